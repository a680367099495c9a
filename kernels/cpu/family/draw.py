"""Stochastic pooling: a tap of each window drawn with a probability that is its share of the sum, and what is expected.

Numbers of its own: ``kernels/windows.py``. Taps below 0 count as 0; those on the padding are none. Sums run over the
taps in row-major order.

"sample": x, numbers, indices, y. The tap drawn is the first one at which the running sum passes u times the whole, u
being the random number of the output's own number: ``numbers`` is no memory, its strides are those of the numbers.
EXTRA and the next are the key, then whether indices are written: flat in the plane, -1 where the sum is 0, and y, too.
Where the sum is not finite, y is NaN, and the index that of the last tap that is not 0.
"expect": x, y = sum of x^2 / sum of x, and 0 where that is 0.
"slopes": x, g, a, b: with S and Q, the sums of x and of x^2, a = -(Q / S) g / S, b = 2 g / S, and 0 where S is 0.
A tile is one row of windows, with all its lanes.

"backward": x, dx, a, b: dx = the sum over the windows that hold x, in row-major order, of a + b x, where x > 0, else 0.
A tile is one row of x.
"""

from __future__ import annotations

import math

from numba.extending import register_jitable
from numpy import float64

from fastpool.kernels import frame as F
from fastpool.kernels import philox as P
from fastpool.kernels import windows as W
from fastpool.kernels.cpu.family.access import VALUES, codes, reader, value_type, writer
from fastpool.kernels.cpu.family.rows import make_pack, make_unpack
from fastpool.kernels.cpu.memory import FIRST, OUT, RESULT, SECOND, SIDE, SIZES, SOURCE, address, load, pointer, store
from fastpool.kernels.frame import lane_stride, offset, row_at, size, stride
from fastpool.kernels.philox import uniform
from fastpool.kernels.windows import end_window, first_window, holder, tap_at

for _function in (P.philox, P.uniform):
    register_jitable(_function)

INDICES = codes("i64")
WRITES = W.EXTRA + 2


def make(digest, role, dtype):
    """The kernel of a role for one element type."""
    code, value, read, write = codes(dtype), value_type(dtype), reader(dtype), writer(dtype)
    inner = codes(VALUES.get(dtype, dtype))
    width = SIZES[VALUES.get(dtype, dtype)]
    zero, nan, none = value(0), value(math.nan), value(-1)
    infinity = value(math.inf)
    side = 1 if role == "expect" else 3  # the last array
    pack, unpack = make_pack(dtype), make_unpack(dtype)

    def sample(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, to_index, y = pointer(bufs[0], code), pointer(bufs[2], INDICES), pointer(bufs[3], code)
        own, lanes_in_all, last = plan[F.OWN], plan[F.LANES], plan[F.OWN] + 2 * W.AXIS
        axis = own + W.AXIS
        block, pitch, packed = plan[own + W.LANE_BLOCK], plan[own + W.PITCH], plan[own + W.PACKED]
        kernel, step = plan[last + W.KERNEL], plan[last + W.STRIDE]
        dilation, pad = plan[last + W.DILATION], plan[last + W.PAD]
        columns, windows, row = size(plan, 0, 2), size(plan, 3, 2), plan[own + W.WINDOWS]
        high_taps, deep_taps = plan[axis + W.KERNEL], plan[own + W.KERNEL]
        base, after = address(work), address(work) + deep_taps * high_taps * packed * width
        sums, limits = pointer(after, inner), pointer(after + row * width, inner)
        taps, values = pointer(after + 2 * row * width, inner), pointer(after + 3 * row * width, inner)
        last_taps, last_values = pointer(after + 4 * row * width, inner), pointer(after + 5 * row * width, inner)
        for tile in range(begin, end):
            place, rest = tile % size(plan, 3, 1), tile // size(plan, 3, 1)
            plane, number = rest % size(plan, 3, 0), rest // size(plan, 3, 0)
            d0 = plane * plan[own + W.STRIDE] - plan[own + W.PAD]
            h0 = place * plan[axis + W.STRIDE] - plan[axis + W.PAD]
            for start in range(0, lanes_in_all, block):
                lanes = min(block, lanes_in_all - start)
                for u in range(windows * lanes):
                    store(sums, u, zero, OUT)
                for turn in range(2):
                    for i in range(deep_taps):
                        d = d0 + i * plan[own + W.DILATION]
                        if d < 0 or d >= size(plan, 0, 0):
                            continue
                        for k in range(high_taps):
                            h = h0 + k * plan[axis + W.DILATION]
                            if h < 0 or h >= size(plan, 0, 1):
                                continue
                            rows = pointer(base + (i * high_taps + k) * packed * width, inner)
                            if turn == 0:
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
                                if turn == 0:
                                    for u in range(low * lanes, high * lanes):
                                        v = load(rows, source + u, SIDE)
                                        store(sums, u, load(sums, u, OUT) + (zero if v < zero else v), OUT)
                                    continue
                                tap = value((i * high_taps + k) * kernel + j)
                                for u in range(low * lanes, high * lanes):
                                    v = load(rows, source + u, SIDE)
                                    v = zero if v < zero else v
                                    total = load(sums, u, OUT) + v
                                    store(sums, u, total, OUT)
                                    known = load(taps, u, FIRST)
                                    hit = (total > load(limits, u, SECOND)) & (known < zero)
                                    store(taps, u, tap if hit else known, FIRST)
                                    store(values, u, v if hit else load(values, u, RESULT), RESULT)
                                    some = v != zero
                                    store(last_taps, u, tap if some else load(last_taps, u, SOURCE), SOURCE)
                                    store(last_values, u, v if some else load(last_values, u, SIDE), SIDE)
                    if turn == 0:
                        at = row_at(plan, 1, tile) + start * lane_stride(plan, 1)
                        for o in range(windows):
                            for lane in range(lanes):
                                u = o * lanes + lane
                                drawn = uniform(
                                    at + o * stride(plan, 1, 2) + lane * lane_stride(plan, 1),
                                    plan[own + W.EXTRA],
                                    plan[own + W.EXTRA + 1],
                                )
                                store(limits, u, value(drawn * float64(load(sums, u, OUT))), SECOND)
                                store(sums, u, zero, OUT)
                                store(taps, u, none, FIRST)
                                store(values, u, zero, RESULT)
                                store(last_taps, u, none, SOURCE)
                                store(last_values, u, zero, SIDE)
                at, at_index = row_at(plan, 3, tile), row_at(plan, 2, tile)
                at, at_index = at + start * lane_stride(plan, 3), at_index + start * lane_stride(plan, 2)
                for o in range(windows):
                    for lane in range(lanes):
                        u = o * lanes + lane
                        total, tap, v = load(sums, u, OUT), load(taps, u, FIRST), load(values, u, RESULT)
                        if tap < zero:
                            tap, v = load(last_taps, u, SOURCE), load(last_values, u, SIDE)
                        v = v if total < infinity else nan
                        store(y, at + o * stride(plan, 3, 2) + lane * lane_stride(plan, 3), write(v), RESULT)
                        if plan[own + WRITES] != 0:
                            index = -1
                            if tap >= zero:
                                t = int(tap)
                                d = d0 + t // (high_taps * kernel) * plan[own + W.DILATION]
                                h = h0 + t // kernel % high_taps * plan[axis + W.DILATION]
                                index = (d * size(plan, 0, 1) + h) * columns + o * step - pad + t % kernel * dilation
                            to = at_index + o * stride(plan, 2, 2) + lane * lane_stride(plan, 2)
                            store(to_index, to, index, RESULT)

    def totals(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        a, b = pointer(bufs[side - 1], inner), pointer(bufs[side], inner)
        own, lanes_in_all, last = plan[F.OWN], plan[F.LANES], plan[F.OWN] + 2 * W.AXIS
        axis = own + W.AXIS
        block, pitch = plan[own + W.LANE_BLOCK], plan[own + W.PITCH]
        kernel, step = plan[last + W.KERNEL], plan[last + W.STRIDE]
        dilation, pad = plan[last + W.DILATION], plan[last + W.PAD]
        columns, windows = size(plan, 0, 2), size(plan, 1, 2)
        rows = pointer(address(work), inner)
        sums = pointer(address(work) + plan[own + W.PACKED] * width, inner)
        squares = pointer(address(work) + (plan[own + W.PACKED] + plan[own + W.WINDOWS]) * width, inner)
        for tile in range(begin, end):
            place, rest = tile % size(plan, 1, 1), tile // size(plan, 1, 1)
            plane, number = rest % size(plan, 1, 0), rest // size(plan, 1, 0)
            d0 = plane * plan[own + W.STRIDE] - plan[own + W.PAD]
            h0 = place * plan[axis + W.STRIDE] - plan[axis + W.PAD]
            for start in range(0, lanes_in_all, block):
                lanes = min(block, lanes_in_all - start)
                for u in range(windows * lanes):
                    store(sums, u, zero, OUT)
                    store(squares, u, zero, SECOND)
                for i in range(plan[own + W.KERNEL]):
                    d = d0 + i * plan[own + W.DILATION]
                    if d < 0 or d >= size(plan, 0, 0):
                        continue
                    for k in range(plan[axis + W.KERNEL]):
                        h = h0 + k * plan[axis + W.DILATION]
                        if h < 0 or h >= size(plan, 0, 1):
                            continue
                        at = offset(plan, 0, number) + d * stride(plan, 0, 0) + h * stride(plan, 0, 1)
                        at += start * lane_stride(plan, 0)
                        pack(rows, x, at, stride(plan, 0, 2), lane_stride(plan, 0), columns, pad, step, pitch, lanes)
                        for j in range(kernel):
                            low = first_window(j, step, dilation, pad)
                            high = end_window(j, step, dilation, pad, columns, windows)
                            source = tap_at(j, step, dilation, pitch) * lanes
                            for u in range(low * lanes, high * lanes):
                                v = load(rows, source + u, SIDE)
                                v = zero if v < zero else v
                                store(sums, u, load(sums, u, OUT) + v, OUT)
                                store(squares, u, load(squares, u, SECOND) + v * v, SECOND)
                at = row_at(plan, 1, tile) + start * lane_stride(plan, 1)
                for o in range(windows):
                    for lane in range(lanes):
                        total, squared = load(sums, o * lanes + lane, OUT), load(squares, o * lanes + lane, SECOND)
                        here = at + o * stride(plan, 1, 2) + lane * lane_stride(plan, 1)
                        mean = zero if total == zero else squared / total
                        if side == 1:
                            store(y, here, write(mean), RESULT)
                        else:
                            g = zero if total == zero else read(load(y, here, SOURCE)) / total
                            to = row_at(plan, 2, tile) + o * stride(plan, 2, 2)
                            store(a, to + (start + lane) * lane_stride(plan, 2), -mean * g, RESULT)
                            to = row_at(plan, 3, tile) + o * stride(plan, 3, 2)
                            store(b, to + (start + lane) * lane_stride(plan, 3), value(2) * g, RESULT)

    def backward(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, dx, a, b = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], inner), pointer(bufs[3], inner)
        own, lanes_in_all, last = plan[F.OWN], plan[F.LANES], plan[F.OWN] + 2 * W.AXIS
        axis = own + W.AXIS
        block, pitch = plan[own + W.LANE_BLOCK], plan[own + W.PITCH]
        kernel, step = plan[last + W.KERNEL], plan[last + W.STRIDE]
        dilation, pad = plan[last + W.DILATION], plan[last + W.PAD]
        columns, windows = size(plan, 0, 2), size(plan, 3, 2)
        reach = (windows - 1) * step + (kernel - 1) * dilation + 1
        packed, row = plan[own + W.PACKED], plan[own + W.WINDOWS]
        rows, total = pointer(address(work), inner), pointer(address(work) + packed * width, inner)
        shares = pointer(address(work) + 2 * packed * width, inner)
        slopes = pointer(address(work) + (2 * packed + row) * width, inner)
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
                        d, i, plan[own + W.STRIDE], plan[own + W.DILATION], plan[own + W.PAD], size(plan, 3, 0)
                    )
                    if plane < 0:
                        continue
                    for k in range(plan[axis + W.KERNEL] - 1, -1, -1):
                        place = holder(
                            h, k, plan[axis + W.STRIDE], plan[axis + W.DILATION], plan[axis + W.PAD], size(plan, 3, 1)
                        )
                        if place < 0:
                            continue
                        from_row = (number * size(plan, 3, 0) + plane) * size(plan, 3, 1) + place
                        at_a = row_at(plan, 2, from_row) + start * lane_stride(plan, 2)
                        at_b = row_at(plan, 3, from_row) + start * lane_stride(plan, 3)
                        for o in range(windows):
                            for lane in range(lanes):
                                u = o * lanes + lane
                                store(
                                    shares,
                                    u,
                                    load(a, at_a + o * stride(plan, 2, 2) + lane * lane_stride(plan, 2), SOURCE),
                                    SECOND,
                                )
                                store(
                                    slopes,
                                    u,
                                    load(b, at_b + o * stride(plan, 3, 2) + lane * lane_stride(plan, 3), SOURCE),
                                    FIRST,
                                )
                        for j in range(kernel - 1, -1, -1):
                            low = first_window(j, step, dilation, pad)
                            high = end_window(j, step, dilation, pad, columns, windows)
                            to = tap_at(j, step, dilation, pitch) * lanes
                            for u in range(low * lanes, high * lanes):
                                v = load(rows, to + u, SIDE)
                                term = load(shares, u, SECOND) + load(slopes, u, FIRST) * v
                                store(total, to + u, load(total, to + u, OUT) + (zero if v <= zero else term), OUT)
                at = row_at(plan, 1, tile) + start * lane_stride(plan, 1)
                unpack(total, dx, at, stride(plan, 1, 2), lane_stride(plan, 1), columns, pad, step, pitch, lanes, reach)

    return {"sample": sample, "expect": totals, "slopes": totals, "backward": backward}[role]
