"""The variance of each window about its mean, which is known, and the gradient of both.

Numbers of its own: ``kernels/windows.py``, EXTRA being the correction c. n are the taps of a window on the input.

"forward": x, mean, variance. With t = x - mean: (sum t^2 - (sum t)^2 / n) / (n - c), the second sum taking back what
the mean was rounded by. Sums run over the rows of the window from its first, for each column of taps, and then over the
columns from the left. A tile is one row of windows, with all its lanes.

"backward": x, dx, mean, gradient of the mean, gradient of the variance. dx = the sum over the windows that hold x, in
row-major order, of gm / n + (x - mean) 2 gv / (n - c). A tile is one row of x.

Packed rows have tag SIDE, sums OUT and SECOND.
"""

from __future__ import annotations

import math

from fastpool.kernels import frame as F
from fastpool.kernels import windows as W
from fastpool.kernels.cpu.family.access import VALUES, codes, reader, value_type, writer
from fastpool.kernels.cpu.family.rows import make_pack, make_unpack
from fastpool.kernels.cpu.memory import FIRST, OUT, RESULT, SECOND, SIDE, SIZES, SOURCE, address, load, pointer, store
from fastpool.kernels.frame import lane_stride, offset, row_at, size, stride
from fastpool.kernels.taps import taps_between
from fastpool.kernels.windows import end_window, first_window, holder, tap_at


def make(digest, role, dtype):
    """The kernel of a role for one element type."""
    code, value, read, write = codes(dtype), value_type(dtype), reader(dtype), writer(dtype)
    inner = codes(VALUES.get(dtype, dtype))
    width = SIZES[VALUES.get(dtype, dtype)]
    zero, nan = value(0), value(math.nan)
    pack, unpack = make_pack(dtype), make_unpack(dtype)

    def forward(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, mean, y = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], code)
        own, lanes_in_all, last = plan[F.OWN], plan[F.LANES], plan[F.OWN] + 2 * W.AXIS
        block, pitch = plan[own + W.LANE_BLOCK], plan[own + W.PITCH]
        kernel, step = plan[last + W.KERNEL], plan[last + W.STRIDE]
        dilation, pad = plan[last + W.DILATION], plan[last + W.PAD]
        columns, windows, correction = size(plan, 0, 2), size(plan, 2, 2), plan[own + W.EXTRA]
        rows = pointer(address(work), inner)
        sums = pointer(address(work) + plan[own + W.PACKED] * width, inner)
        squares = pointer(address(work) + (plan[own + W.PACKED] + plan[own + W.WINDOWS] * kernel) * width, inner)
        means = pointer(address(work) + (plan[own + W.PACKED] + 2 * plan[own + W.WINDOWS] * kernel) * width, inner)
        for tile in range(begin, end):
            place, rest = tile % size(plan, 2, 1), tile // size(plan, 2, 1)
            plane, number = rest % size(plan, 2, 0), rest // size(plan, 2, 0)
            d0 = plane * plan[own + W.STRIDE] - plan[own + W.PAD]
            h0 = place * plan[own + W.AXIS + W.STRIDE] - plan[own + W.AXIS + W.PAD]
            inside = taps_between(d0, 0, size(plan, 0, 0), plan[own + W.KERNEL], plan[own + W.DILATION]) * taps_between(
                h0, 0, size(plan, 0, 1), plan[own + W.AXIS + W.KERNEL], plan[own + W.AXIS + W.DILATION]
            )
            for start in range(0, lanes_in_all, block):
                lanes = min(block, lanes_in_all - start)
                at = row_at(plan, 1, tile) + start * lane_stride(plan, 1)
                for o in range(windows):
                    for lane in range(lanes):
                        given = load(mean, at + o * stride(plan, 1, 2) + lane * lane_stride(plan, 1), SOURCE)
                        store(means, o * lanes + lane, read(given), FIRST)
                for i in range(kernel * windows * lanes):
                    store(sums, i, zero, OUT)
                    store(squares, i, zero, SECOND)
                for i in range(plan[own + W.KERNEL]):
                    d = d0 + i * plan[own + W.DILATION]
                    if d < 0 or d >= size(plan, 0, 0):
                        continue
                    for k in range(plan[own + W.AXIS + W.KERNEL]):
                        h = h0 + k * plan[own + W.AXIS + W.DILATION]
                        if h < 0 or h >= size(plan, 0, 1):
                            continue
                        at = offset(plan, 0, number) + d * stride(plan, 0, 0) + h * stride(plan, 0, 1)
                        at += start * lane_stride(plan, 0)
                        pack(rows, x, at, stride(plan, 0, 2), lane_stride(plan, 0), columns, pad, step, pitch, lanes)
                        if windows == 1 and lanes == 1 and dilation == 1 and step == 1:
                            about = load(means, 0, FIRST)
                            for j in range(pad if pad > 0 else 0, min(kernel, columns + pad)):
                                t = load(rows, j, SIDE) - about
                                store(sums, j, load(sums, j, OUT) + t, OUT)
                                store(squares, j, load(squares, j, SECOND) + t * t, SECOND)
                            continue
                        for j in range(kernel):
                            low = first_window(j, step, dilation, pad)
                            high = end_window(j, step, dilation, pad, columns, windows)
                            source = tap_at(j, step, dilation, pitch) * lanes
                            to = j * windows * lanes
                            for u in range(low * lanes, high * lanes):
                                t = load(rows, source + u, SIDE) - load(means, u, FIRST)
                                store(sums, to + u, load(sums, to + u, OUT) + t, OUT)
                                store(squares, to + u, load(squares, to + u, SECOND) + t * t, SECOND)
                for j in range(1, kernel):
                    to = j * windows * lanes
                    for u in range(windows * lanes):
                        store(sums, u, load(sums, u, OUT) + load(sums, to + u, OUT), OUT)
                        store(squares, u, load(squares, u, SECOND) + load(squares, to + u, SECOND), SECOND)
                at = row_at(plan, 2, tile) + start * lane_stride(plan, 2)
                for o in range(windows):
                    n = inside * taps_between(o * step - pad, 0, columns, kernel, dilation)
                    for lane in range(lanes):
                        first, second = load(sums, o * lanes + lane, OUT), load(squares, o * lanes + lane, SECOND)
                        found = zero
                        if n > 0:
                            left = second - first * first / value(n)
                            found = zero if left < zero else left
                            found = found / value(n - correction) if n > correction else nan
                        store(y, at + o * stride(plan, 2, 2) + lane * lane_stride(plan, 2), write(found), RESULT)

    def backward(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, dx, mean = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], code)
        of_mean, of_variance = pointer(bufs[3], code), pointer(bufs[4], code)
        own, lanes_in_all, last = plan[F.OWN], plan[F.LANES], plan[F.OWN] + 2 * W.AXIS
        block, pitch = plan[own + W.LANE_BLOCK], plan[own + W.PITCH]
        kernel, step = plan[last + W.KERNEL], plan[last + W.STRIDE]
        dilation, pad = plan[last + W.DILATION], plan[last + W.PAD]
        columns, windows, correction = size(plan, 0, 2), size(plan, 4, 2), plan[own + W.EXTRA]
        reach = (windows - 1) * step + (kernel - 1) * dilation + 1
        packed, row = plan[own + W.PACKED], plan[own + W.WINDOWS]
        rows = pointer(address(work), inner)
        total = pointer(address(work) + packed * width, inner)
        means = pointer(address(work) + 2 * packed * width, inner)
        shares = pointer(address(work) + (2 * packed + row) * width, inner)
        slopes = pointer(address(work) + (2 * packed + 2 * row) * width, inner)
        for tile in range(begin, end):
            h, rest = tile % size(plan, 0, 1), tile // size(plan, 0, 1)
            d, number = rest % size(plan, 0, 0), rest // size(plan, 0, 0)
            for start in range(0, lanes_in_all, block):
                lanes = min(block, lanes_in_all - start)
                at = row_at(plan, 0, tile) + start * lane_stride(plan, 0)
                pack(rows, x, at, stride(plan, 0, 2), lane_stride(plan, 0), columns, pad, step, pitch, lanes)
                for u in range(packed):
                    store(total, u, zero, OUT)
                for i in range(plan[own + W.KERNEL] - 1, -1, -1):
                    plane = holder(
                        d, i, plan[own + W.STRIDE], plan[own + W.DILATION], plan[own + W.PAD], size(plan, 4, 0)
                    )
                    if plane < 0:
                        continue
                    d0 = plane * plan[own + W.STRIDE] - plan[own + W.PAD]
                    planes = taps_between(d0, 0, size(plan, 0, 0), plan[own + W.KERNEL], plan[own + W.DILATION])
                    axis = own + W.AXIS
                    for k in range(plan[axis + W.KERNEL] - 1, -1, -1):
                        place = holder(
                            h, k, plan[axis + W.STRIDE], plan[axis + W.DILATION], plan[axis + W.PAD], size(plan, 4, 1)
                        )
                        if place < 0:
                            continue
                        h0 = place * plan[axis + W.STRIDE] - plan[axis + W.PAD]
                        inside = planes * taps_between(
                            h0, 0, size(plan, 0, 1), plan[axis + W.KERNEL], plan[axis + W.DILATION]
                        )
                        from_row = (number * size(plan, 4, 0) + plane) * size(plan, 4, 1) + place
                        at_mean = row_at(plan, 2, from_row) + start * lane_stride(plan, 2)
                        at_first = row_at(plan, 3, from_row) + start * lane_stride(plan, 3)
                        at_second = row_at(plan, 4, from_row) + start * lane_stride(plan, 4)
                        for o in range(windows):
                            n = inside * taps_between(o * step - pad, 0, columns, kernel, dilation)
                            for lane in range(lanes):
                                about = read(
                                    load(mean, at_mean + o * stride(plan, 2, 2) + lane * lane_stride(plan, 2), SOURCE)
                                )
                                first = read(
                                    load(
                                        of_mean, at_first + o * stride(plan, 3, 2) + lane * lane_stride(plan, 3), SOURCE
                                    )
                                )
                                second = read(
                                    load(
                                        of_variance,
                                        at_second + o * stride(plan, 4, 2) + lane * lane_stride(plan, 4),
                                        SOURCE,
                                    )
                                )
                                u = o * lanes + lane
                                store(means, u, about, FIRST)
                                store(shares, u, first / value(n) if n > 0 else zero, SECOND)
                                slope = value(2) * second / value(n - correction) if n > correction else nan
                                store(slopes, u, slope, RESULT)
                        if windows == 1 and lanes == 1 and dilation == 1 and step == 1:
                            about, share, slope = (
                                load(means, 0, FIRST),
                                load(shares, 0, SECOND),
                                load(slopes, 0, RESULT),
                            )
                            for j in range(pad if pad > 0 else 0, min(kernel, columns + pad)):
                                term = share + (load(rows, j, SIDE) - about) * slope
                                store(total, j, load(total, j, OUT) + term, OUT)
                            continue
                        for j in range(kernel - 1, -1, -1):
                            low = first_window(j, step, dilation, pad)
                            high = end_window(j, step, dilation, pad, columns, windows)
                            to = tap_at(j, step, dilation, pitch) * lanes
                            for u in range(low * lanes, high * lanes):
                                term = load(rows, to + u, SIDE) - load(means, u, FIRST)
                                term = load(shares, u, SECOND) + term * load(slopes, u, RESULT)
                                store(total, to + u, load(total, to + u, OUT) + term, OUT)
                at = row_at(plan, 1, tile) + start * lane_stride(plan, 1)
                unpack(total, dx, at, stride(plan, 1, 2), lane_stride(plan, 1), columns, pad, step, pitch, lanes, reach)

    return forward if role == "forward" else backward
