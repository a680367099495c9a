"""Bins reduced: the largest element, the mean or the sum of each box.

Reads ``bufs[0]`` (x) and ``bufs[2]`` (the table of bins, see ``bin_parts``), writes ``bufs[1]``. Taps are combined
along the first spatial axis, then the next, along each in binary blocks: the order of windows. A mean is divided once.

A row of x, with its lanes where there are few, is reduced over the leading axes, a vector at a time, into scratch; then
its blocks of 2, 4, ... neighbours are made, of which every bin is put together. Where lanes are many, vectors run over
those of one element, or of up to eight neighbours where these lie side by side: memory is read in longer pieces.
Of one lane, boxes of up to four by four elements are read at once, without scratch.
A tile is some rows of outputs of one plane, or some lanes of them. An empty box gives the identity, a mean 0.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastpool.kernels import bin_plan as P
from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family import bin_parts as B
from fastpool.kernels.cpu.family.access import codes, value_type, writer
from fastpool.kernels.cpu.memory import (
    RESULT,
    SIZES,
    address,
    load_out,
    load_side,
    pointer,
    store,
    store_out,
    store_result,
)
from fastpool.kernels.frame import lane_stride, offset, size, stride


def make(digest, reduction, dtype):
    """The kernel of a reduction ("max", "maxnum": of what is not NaN, "mean", "sum") for one type of elements."""
    code, state, table_code, width = codes(dtype), codes(B.state_type(dtype)), codes("i64"), SIZES[dtype]
    combine, encode = B.COMBINE[reduction], writer(dtype)
    column = B.make_column(dtype, combine)
    settle, close = B.make_settle(combine)
    double, block = B.make_doubling(combine)
    value, exact = value_type(dtype), B.EXACT
    divided = 1 if reduction == "mean" else 0
    nothing = B.lowest(dtype) if reduction in ("max", "maxnum") else 0

    @register_jitable
    def result(a, taps):
        if not divided:
            return encode(a)
        # as long as float32 holds their number, the quotient is the same in float32 as in float64
        return encode(a / value(taps)) if taps < exact else encode(a / np.float64(taps))

    @register_jitable
    def element(s, e, slot, k):
        """The state of up to four rows of scratch, as binary blocks go."""
        if k == 1:
            return load_out(s, e)
        a = combine(load_out(s, e), load_out(s, slot + e))
        if k == 2:
            return a
        if k == 3:
            return combine(a, load_out(s, 2 * slot + e))
        return combine(a, combine(load_out(s, 2 * slot + e), load_out(s, 3 * slot + e)))

    def make_row(high):
        box = B.make_box(dtype, combine, high)

        @register_jitable
        def row(x, y, table, at_w, wide, source, sh, sw, target, yw):
            for o in range(wide):
                w, kw = B.bin_of(table, at_w, wide, o)
                a = box(x, source + w * sw, sh, sw, kw) if kw > 0 else value(nothing)
                store_result(y, target + o * yw, result(a, high * kw) if kw > 0 else encode(value(nothing)))

        return row

    row_of_1, row_of_2, row_of_3, row_of_4 = make_row(1), make_row(2), make_row(3), make_row(4)

    @register_jitable
    def together(s, to, many, count):
        """Of 8, 4, 2 rows of states, each behind the one before, the first becomes all of them; of 1 it is."""
        if many == 8:
            for e in range(to, to + count):
                store_out(s, e, combine(element(s, e, count, 4), element(s, e + 4 * count, count, 4)))
        elif many == 4:
            for e in range(to, to + count):
                store_out(s, e, element(s, e, count, 4))
        elif many == 2:
            for e in range(to, to + count):
                store_out(s, e, element(s, e, count, 2))

    @register_jitable
    def emit(y, to, step, s, slot, k, taps, count):
        if step == 1:
            for e in range(count):
                store_result(y, to + e, result(element(s, e, slot, k), taps))
        else:
            for e in range(count):
                store_result(y, to + e * step, result(element(s, e, slot, k), taps))

    @register_jitable
    def beside(x, rows, at, kd, kh, kw, sd, sh, count, s, slot):
        """A box of elements whose lanes, ``count`` of them, lie side by side: up to eight elements are one long row.

        Gives how many rows of scratch are left to be put together, and how far they are apart.
        """
        if kw <= 4:
            column(x, rows, at, kd, kh, sd, sh, count, 1, count, kw * count, s, 0, slot, 0)
            return kw, count
        depth = 0
        for n in range(kw >> 3):
            here = depth * slot
            column(x, rows, at + 8 * n * count, kd, kh, sd, sh, count, 1, count, 8 * count, s, here, slot, 0)
            together(s, here, 8, count)
            depth = settle(s, 0, slot, depth + 1, n, count)
        at += (kw & ~7) * count
        for many in (4, 2, 1):
            if kw & many:
                here = depth * slot
                column(x, rows, at, kd, kh, sd, sh, count, 1, count, many * count, s, here, slot, 0)
                together(s, here, many, count)
                at += many * count
                depth += 1
        close(s, 0, slot, depth, count)
        return 1, slot

    def bins(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y, table = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], table_code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        slot, longest = plan[own + P.SLOT], plan[own + P.LONGEST]
        woven, short = plan[own + P.WOVEN] != 0, plan[own + P.SHORT] != 0
        rows = pointer(address(work), code)
        s = pointer(address(work) + P.PACKED * slot * width, state)
        sd, sh, sw = stride(plan, 0, 0), stride(plan, 0, 1), stride(plan, 0, 2)
        deep, high, wide = size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        yd, yh, yw = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2)
        x_lane, y_lane = lane_stride(plan, 0), lane_stride(plan, 1)
        many_rows, many_lanes = plan[own + P.ROWS], plan[own + P.LANES]
        for tile in range(begin, end):
            rest, lane, last_lane = B.share(tile, lanes, many_lanes)
            number, first, last = B.share(rest, deep * high, many_rows)
            at_d, at_h, at_w = B.lists(plan, number, 1)
            count = last_lane - lane
            base_x = offset(plan, 0, number) + lane * x_lane
            base_y = offset(plan, 1, number) + lane * y_lane
            low = load_side(table, at_w)
            span = load_side(table, at_w + 2 * wide - 1) - low
            for row in range(first, last):
                od, oh = row // high, row % high
                d, kd = B.bin_of(table, at_d, deep, od)
                h, kh = B.bin_of(table, at_h, high, oh)
                source = base_x + d * sd + h * sh
                target = base_y + od * yd + oh * yh
                some = (kd > 0) & (kh > 0) & (span > 0)
                if some & short:
                    if kh == 1:
                        row_of_1(x, y, table, at_w, wide, source, sh, sw, target, yw)
                    elif kh == 2:
                        row_of_2(x, y, table, at_w, wide, source, sh, sw, target, yw)
                    elif kh == 3:
                        row_of_3(x, y, table, at_w, wide, source, sh, sw, target, yw)
                    else:
                        row_of_4(x, y, table, at_w, wide, source, sh, sw, target, yw)
                    continue
                if some & woven:
                    at, many = source + low * sw, span * count
                    column(x, rows, at, kd, kh, sd, sh, sw, x_lane, count, many, s, 0, slot, 0)
                    double(s, 0, slot, many, longest, count)
                for o in range(wide):
                    w, kw = B.bin_of(table, at_w, wide, o)
                    to = target + o * yw
                    if (not some) | (kw <= 0):
                        for e in range(count):
                            store(y, to + e * y_lane, encode(nothing), RESULT)
                    elif woven:
                        for e in range(count):
                            a = block(s, 0, slot, (w - low) * count + e, kw, count)
                            store(y, to + e * y_lane, result(a, kd * kh * kw), RESULT)
                    else:
                        taps, at, many, apart = kd * kh * kw, source + w * sw, 1, slot
                        if kd * kh == 1:
                            column(x, rows, at, 1, kw, sd, sw, x_lane, 1, 1, count, s, 0, slot, 0)
                        elif (sw == count) & (x_lane == 1):
                            many, apart = beside(x, rows, at, kd, kh, kw, sd, sh, count, s, slot)
                        elif kw <= 4:
                            many = kw
                            for j in range(kw):
                                here = j * slot
                                column(x, rows, at + j * sw, kd, kh, sd, sh, x_lane, 1, 1, count, s, here, slot, sw)
                        else:
                            depth = 0
                            for j in range(kw):
                                here = depth * slot
                                column(x, rows, at + j * sw, kd, kh, sd, sh, x_lane, 1, 1, count, s, here, slot, sw)
                                depth = settle(s, 0, slot, depth + 1, j, count)
                            close(s, 0, slot, depth, count)
                        if many == 1:
                            emit(y, to, y_lane, s, apart, 1, taps, count)
                        elif many == 2:
                            emit(y, to, y_lane, s, apart, 2, taps, count)
                        elif many == 3:
                            emit(y, to, y_lane, s, apart, 3, taps, count)
                        else:
                            emit(y, to, y_lane, s, apart, 4, taps, count)

    return bins
