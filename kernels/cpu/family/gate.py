"""Gated pooling: the gate of each window, and what its gradient is made of.

Numbers of its own: ``kernels/windows.py``. A window's weights have as many spatial elements as it has taps; taps are
taken in row-major order, those on the padding left out.

"forward": x, weights, biases, gate: gate = 1 / (1 + exp(-(sum of w x, from the first tap, + b))). A tile is one row of
windows, with all its lanes. The exponential is that of float64.

"backward": x, dx, weights, gradient h of the gate's argument: dx += the sum over the windows that hold x, in row-major
order, of w h; dx has been written. A tile is one row of x.

"weights": x, sums, h: sums of h x for each tap, in float64; of which the array has as many spatial elements as a window
has taps. A tile is a plane, with all its lanes: for each column of windows from the top, then over the columns.
"""

from __future__ import annotations

import math

from numpy import float64

from fastpool.kernels import frame as F
from fastpool.kernels import windows as W
from fastpool.kernels.cpu.family.access import codes, value_type
from fastpool.kernels.cpu.family.rows import make_pack
from fastpool.kernels.cpu.memory import FIRST, OUT, RESULT, SECOND, SIDE, SIZES, SOURCE, address, load, pointer, store
from fastpool.kernels.frame import lane_stride, offset, row_at, size, stride
from fastpool.kernels.windows import end_window, first_window, holder, tap_at

WIDE = codes("f64")


def make(digest, role, dtype):
    """The kernel of a role, for float32 or float64."""
    code, value, width = codes(dtype), value_type(dtype), SIZES[dtype]
    zero = value(0)
    pack = make_pack(dtype)

    def forward(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, weights = pointer(bufs[0], code), pointer(bufs[1], code)
        biases, y = pointer(bufs[2], code), pointer(bufs[3], code)
        own, lanes_in_all, last = plan[F.OWN], plan[F.LANES], plan[F.OWN] + 2 * W.AXIS
        block, pitch = plan[own + W.LANE_BLOCK], plan[own + W.PITCH]
        kernel, step = plan[last + W.KERNEL], plan[last + W.STRIDE]
        dilation, pad = plan[last + W.DILATION], plan[last + W.PAD]
        columns, windows = size(plan, 0, 2), size(plan, 3, 2)
        rows = pointer(address(work), code)
        sums = pointer(address(work) + plan[own + W.PACKED] * width, code)
        ws, wl = stride(plan, 1, 2), lane_stride(plan, 1)
        for tile in range(begin, end):
            place, rest = tile % size(plan, 3, 1), tile // size(plan, 3, 1)
            plane, number = rest % size(plan, 3, 0), rest // size(plan, 3, 0)
            d0 = plane * plan[own + W.STRIDE] - plan[own + W.PAD]
            h0 = place * plan[own + W.AXIS + W.STRIDE] - plan[own + W.AXIS + W.PAD]
            for start in range(0, lanes_in_all, block):
                lanes = min(block, lanes_in_all - start)
                for u in range(windows * lanes):
                    store(sums, u, zero, OUT)
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
                        from_w = offset(plan, 1, number) + i * stride(plan, 1, 0) + k * stride(plan, 1, 1) + start * wl
                        for j in range(kernel):
                            low = first_window(j, step, dilation, pad)
                            high = end_window(j, step, dilation, pad, columns, windows)
                            source = tap_at(j, step, dilation, pitch) * lanes
                            if wl == 0:
                                w = load(weights, from_w + j * ws, SOURCE)
                                for u in range(low * lanes, high * lanes):
                                    store(sums, u, load(sums, u, OUT) + w * load(rows, source + u, SIDE), OUT)
                            else:
                                for o in range(low, high):
                                    for lane in range(lanes):
                                        w = load(weights, from_w + j * ws + lane * wl, SOURCE)
                                        u = o * lanes + lane
                                        store(sums, u, load(sums, u, OUT) + w * load(rows, source + u, SIDE), OUT)
                at = row_at(plan, 3, tile) + start * lane_stride(plan, 3)
                from_b = offset(plan, 2, number) + start * lane_stride(plan, 2)
                for o in range(windows):
                    for lane in range(lanes):
                        b = load(biases, from_b + lane * lane_stride(plan, 2), SOURCE)
                        argument = float64(load(sums, o * lanes + lane, OUT) + b)
                        gate = value(1.0 / (1.0 + math.exp(-argument)))
                        store(y, at + o * stride(plan, 3, 2) + lane * lane_stride(plan, 3), gate, RESULT)

    def backward(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        dx, weights, slopes = pointer(bufs[1], code), pointer(bufs[2], code), pointer(bufs[3], code)
        own, lanes_in_all, last = plan[F.OWN], plan[F.LANES], plan[F.OWN] + 2 * W.AXIS
        block, pitch = plan[own + W.LANE_BLOCK], plan[own + W.PITCH]
        kernel, step = plan[last + W.KERNEL], plan[last + W.STRIDE]
        dilation, pad = plan[last + W.DILATION], plan[last + W.PAD]
        columns, windows = size(plan, 1, 2), size(plan, 3, 2)
        packed = plan[own + W.PACKED]
        total = pointer(address(work), code)
        row = pointer(address(work) + packed * width, code)
        ws, wl = stride(plan, 2, 2), lane_stride(plan, 2)
        for tile in range(begin, end):
            h, rest = tile % size(plan, 1, 1), tile // size(plan, 1, 1)
            d, number = rest % size(plan, 1, 0), rest // size(plan, 1, 0)
            for start in range(0, lanes_in_all, block):
                lanes = min(block, lanes_in_all - start)
                for u in range(packed):
                    store(total, u, zero, OUT)
                for i in range(plan[own + W.KERNEL] - 1, -1, -1):
                    plane = holder(
                        d, i, plan[own + W.STRIDE], plan[own + W.DILATION], plan[own + W.PAD], size(plan, 3, 0)
                    )
                    if plane < 0:
                        continue
                    axis = own + W.AXIS
                    for k in range(plan[axis + W.KERNEL] - 1, -1, -1):
                        place = holder(
                            h, k, plan[axis + W.STRIDE], plan[axis + W.DILATION], plan[axis + W.PAD], size(plan, 3, 1)
                        )
                        if place < 0:
                            continue
                        from_row = (number * size(plan, 3, 0) + plane) * size(plan, 3, 1) + place
                        at = row_at(plan, 3, from_row) + start * lane_stride(plan, 3)
                        for o in range(windows):
                            for lane in range(lanes):
                                g = load(slopes, at + o * stride(plan, 3, 2) + lane * lane_stride(plan, 3), SOURCE)
                                store(row, o * lanes + lane, g, FIRST)
                        from_w = offset(plan, 2, number) + i * stride(plan, 2, 0) + k * stride(plan, 2, 1) + start * wl
                        for j in range(kernel - 1, -1, -1):
                            low = first_window(j, step, dilation, pad)
                            high = end_window(j, step, dilation, pad, columns, windows)
                            to = tap_at(j, step, dilation, pitch) * lanes
                            if wl == 0:
                                w = load(weights, from_w + j * ws, SOURCE)
                                for u in range(low * lanes, high * lanes):
                                    store(total, to + u, load(total, to + u, OUT) + w * load(row, u, FIRST), OUT)
                            else:
                                for o in range(low, high):
                                    for lane in range(lanes):
                                        w = load(weights, from_w + j * ws + lane * wl, SOURCE)
                                        u = o * lanes + lane
                                        store(total, to + u, load(total, to + u, OUT) + w * load(row, u, FIRST), OUT)
                at = row_at(plan, 1, tile) + start * lane_stride(plan, 1)
                for position in range(columns):
                    q = position + pad
                    u = (q % step * pitch + q // step) * lanes
                    for lane in range(lanes):
                        to = at + position * stride(plan, 1, 2) + lane * lane_stride(plan, 1)
                        store(dx, to, load(dx, to, RESULT) + load(total, u + lane, OUT), RESULT)

    def of_weights(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, found, slopes = pointer(bufs[0], code), pointer(bufs[1], WIDE), pointer(bufs[2], code)
        own, lanes_in_all, last = plan[F.OWN], plan[F.LANES], plan[F.OWN] + 2 * W.AXIS
        block, pitch = plan[own + W.LANE_BLOCK], plan[own + W.PITCH]
        kernel, step = plan[last + W.KERNEL], plan[last + W.STRIDE]
        dilation, pad = plan[last + W.DILATION], plan[last + W.PAD]
        columns, windows, row_values = size(plan, 0, 2), size(plan, 2, 2), plan[own + W.WINDOWS]
        axis = own + W.AXIS
        high_taps, deep_taps = plan[axis + W.KERNEL], plan[own + W.KERNEL]
        rows = pointer(address(work), code)
        row = pointer(address(work) + plan[own + W.PACKED] * width, code)
        sums = pointer(address(work) + (plan[own + W.PACKED] + row_values) * width, WIDE)
        for number in range(begin, end):
            for start in range(0, lanes_in_all, block):
                lanes = min(block, lanes_in_all - start)
                for u in range(deep_taps * high_taps * kernel * row_values):
                    store(sums, u, 0.0, OUT)
                for plane in range(size(plan, 2, 0)):
                    for place in range(size(plan, 2, 1)):
                        from_row = (number * size(plan, 2, 0) + plane) * size(plan, 2, 1) + place
                        at = row_at(plan, 2, from_row) + start * lane_stride(plan, 2)
                        for o in range(windows):
                            for lane in range(lanes):
                                g = load(slopes, at + o * stride(plan, 2, 2) + lane * lane_stride(plan, 2), SOURCE)
                                store(row, o * lanes + lane, g, FIRST)
                        for i in range(deep_taps):
                            d = plane * plan[own + W.STRIDE] - plan[own + W.PAD] + i * plan[own + W.DILATION]
                            if d < 0 or d >= size(plan, 0, 0):
                                continue
                            for k in range(high_taps):
                                h = place * plan[axis + W.STRIDE] - plan[axis + W.PAD] + k * plan[axis + W.DILATION]
                                if h < 0 or h >= size(plan, 0, 1):
                                    continue
                                at = offset(plan, 0, number) + d * stride(plan, 0, 0) + h * stride(plan, 0, 1)
                                at += start * lane_stride(plan, 0)
                                pack(
                                    rows,
                                    x,
                                    at,
                                    stride(plan, 0, 2),
                                    lane_stride(plan, 0),
                                    columns,
                                    pad,
                                    step,
                                    pitch,
                                    lanes,
                                )
                                for j in range(kernel):
                                    low = first_window(j, step, dilation, pad)
                                    high = end_window(j, step, dilation, pad, columns, windows)
                                    source = tap_at(j, step, dilation, pitch) * lanes
                                    to = ((i * high_taps + k) * kernel + j) * row_values
                                    for u in range(low * lanes, high * lanes):
                                        term = float64(load(row, u, FIRST)) * float64(load(rows, source + u, SIDE))
                                        store(sums, to + u, load(sums, to + u, OUT) + term, OUT)
                for tap in range(deep_taps * high_taps * kernel):
                    i, k, j = tap // (high_taps * kernel), tap // kernel % high_taps, tap % kernel
                    at = (
                        offset(plan, 1, number)
                        + i * stride(plan, 1, 0)
                        + k * stride(plan, 1, 1)
                        + j * stride(plan, 1, 2)
                    )
                    for lane in range(lanes):
                        total = 0.0
                        for o in range(windows):
                            total += load(sums, tap * row_values + o * lanes + lane, OUT)
                        store(found, at + (start + lane) * lane_stride(plan, 1), total, SECOND)

    return {"forward": forward, "backward": backward, "weights": of_weights}[role]
