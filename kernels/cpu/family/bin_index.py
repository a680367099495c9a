"""The largest element of each box of bins, and which it is.

Reads ``bufs[0]`` (x) and ``bufs[3]`` (the table of bins, see ``bin_parts``), writes ``bufs[1]`` and the indices
``bufs[2]``. Arrays of the frame: x, result, indices, and one that is not there: its strides say what an element counts
in an index (``FLAT``). Taps are taken in row-major order: of equal elements the first is the largest, of NaN the last;
with ``maxnum`` NaN count for nothing, and where there is nothing else the result is NaN with index -1.
An empty box gives the lowest value, and the index -1.

Every element of a row, or every lane, keeps in scratch the largest value and its *code*, what its place in the box adds
to the index: codes grow in row-major order. Then the elements of each bin are compared. Of one lane, boxes
of up to four by four are read at once: for the largest value, and then for its place.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastpool.kernels import bin_plan as P
from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family import bin_parts as B
from fastpool.kernels.cpu.family.access import codes, reader, writer
from fastpool.kernels.cpu.memory import (
    RESULT,
    SCALARS,
    SIZES,
    address,
    load_out,
    load_side,
    load_source,
    pointer,
    store,
    store_out,
)
from fastpool.kernels.frame import lane_stride, offset, size, stride


def make(digest, reduction, dtype, index, word):
    """The kernel for a type of elements and of indices; codes are integers of type ``word``, "i32" or "i64"."""
    code, state, table_code, index_code, word_code = (
        codes(name) for name in (dtype, B.state_type(dtype), "i64", index, word)
    )
    width, state_width = SIZES[dtype], SIZES[B.state_type(dtype)]
    decode, encode, integer = reader(dtype), writer(dtype), SCALARS[word]
    nothing, skip = B.lowest(dtype), 1 if reduction == "maxnum" else 0
    source = B.make_source()

    @register_jitable
    def later(a, b):
        """Whether tap ``b``, which comes after ``a``, takes its place."""
        if skip:
            return (b > a) | ((a != a) & (b == b))
        return (b > a) | (b != b)

    @register_jitable
    def better(a, at, b, bt):
        """Whether ``b`` takes the place of ``a``, whose codes leave out their places along the row: ``b`` is later."""
        if skip:
            return (b > a) | ((b == a) & (bt < at)) | ((a != a) & (b == b))
        return (b > a) | ((b == a) & (bt < at)) | ((b != b) & ((a == a) | (bt >= at)))

    @register_jitable
    def start(x, i, count, s, t, first):
        for e in range(count):
            store_out(s, e, decode(load_source(x, i + e)))
            store_out(t, e, integer(first))

    @register_jitable
    def one(x, i, count, s, t, first):
        for e in range(count):
            a, at = load_out(s, e), load_out(t, e)
            b = decode(load_source(x, i + e))
            chosen = later(a, b)
            store_out(s, e, b if chosen else a)
            store_out(t, e, integer(first) if chosen else at)

    @register_jitable
    def two(x, i, c, count, s, t, first, step):
        for e in range(count):
            a, at = load_out(s, e), load_out(t, e)
            b = decode(load_source(x, i + e))
            chosen = later(a, b)
            a = b if chosen else a
            at = integer(first) if chosen else at
            b = decode(load_source(x, i + c + e))
            chosen = later(a, b)
            store_out(s, e, b if chosen else a)
            store_out(t, e, integer(first + step) if chosen else at)

    @register_jitable
    def follow(x, rows, at, stride, step, fine, lanes, k, count, slot, s, t, first, code, fresh):
        """``k`` rows of taps more, of codes ``first``, ``first + code``, ...; ``fresh`` where there were none yet."""
        done = 0
        while done < k:
            many = 1 if fresh | (k - done == 1) else 2
            p, i, c = source(x, rows, at + done * stride, stride, step, fine, lanes, many, count, slot)
            if fresh:
                start(p, i, count, s, t, first)
                fresh = False
            elif many == 2:
                two(p, i, c, count, s, t, first + done * code, code)
            else:
                one(p, i, count, s, t, first + done * code)
            done += many
        return False

    @register_jitable
    def where(x, at, a, kh, kw, sh, sw):
        """(row, column) in a box of the element that is ``a``: of equal ones the first, of NaN the last."""
        row, column = np.int64(0), np.int64(0)
        if a == a:
            # backwards, so that nothing waits for what comes before it
            for i in range(kh):
                for j in range(kw):
                    same = decode(load_source(x, at + (kh - 1 - i) * sh + (kw - 1 - j) * sw)) == a
                    row = kh - 1 - i if same else row
                    column = kw - 1 - j if same else column
        else:
            for i in range(kh):
                for j in range(kw):
                    b = decode(load_source(x, at + i * sh + j * sw))
                    row = i if b != b else row
                    column = j if b != b else column
        return row, column

    def make_row(high):
        box = B.make_box(dtype, B.COMBINE[reduction], high)

        @register_jitable
        def row(x, y, indices, table, at_w, wide, at, sh, sw, to, yw, side, i_wide, flat, home, ch, cw):
            for o in range(wide):
                w, kw = B.bin_of(table, at_w, wide, o)
                value, found = encode(nothing), np.int64(-1)
                if kw > 0:
                    here = at + w * sw
                    a = box(x, here, sh, sw, kw)
                    i, j = where(x, here, a, high, kw, sh, sw)
                    # of zeros of both signs the first
                    value = load_source(x, here + i * sh + j * sw)
                    found = home + i * ch + (w + j) * cw if flat else i * kw + j
                    found = np.int64(-1) if skip and a != a else found
                store(y, to + o * yw, value, RESULT)
                store(indices, side + o * i_wide, found, RESULT)

        return row

    row_of_1, row_of_2, row_of_3, row_of_4 = make_row(1), make_row(2), make_row(3), make_row(4)

    @register_jitable
    def short_row(x, y, indices, table, at_w, wide, at, sh, sw, to, yw, side, i_wide, flat, home, ch, cw, kh):
        """A row of boxes of up to four by four elements."""
        if kh == 1:
            row_of_1(x, y, indices, table, at_w, wide, at, sh, sw, to, yw, side, i_wide, flat, home, ch, cw)
        elif kh == 2:
            row_of_2(x, y, indices, table, at_w, wide, at, sh, sw, to, yw, side, i_wide, flat, home, ch, cw)
        elif kh == 3:
            row_of_3(x, y, indices, table, at_w, wide, at, sh, sw, to, yw, side, i_wide, flat, home, ch, cw)
        else:
            row_of_4(x, y, indices, table, at_w, wide, at, sh, sw, to, yw, side, i_wide, flat, home, ch, cw)

    def bin_index(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        table = pointer(bufs[3], table_code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        slot, flat = plan[own + P.SLOT], plan[own + P.FLAT] != 0
        woven, short = plan[own + P.WOVEN] != 0, plan[own + P.SHORT] != 0
        rows = pointer(address(work), code)
        s = pointer(address(work) + P.PACKED * slot * width, state)
        t = pointer(address(work) + slot * (P.PACKED * width + state_width), word_code)
        sd, sh, sw = stride(plan, 0, 0), stride(plan, 0, 1), stride(plan, 0, 2)
        deep, high, wide = size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        yd, yh, yw = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2)
        i_deep, i_high, i_wide = stride(plan, 2, 0), stride(plan, 2, 1), stride(plan, 2, 2)
        cd, ch, cw, cl = stride(plan, 3, 0), stride(plan, 3, 1), stride(plan, 3, 2), lane_stride(plan, 3)
        many_rows, many_lanes = plan[own + P.ROWS], plan[own + P.LANES]
        x_lane, y_lane, i_lane = lane_stride(plan, 0), lane_stride(plan, 1), lane_stride(plan, 2)
        for tile in range(begin, end):
            rest, lane, last_lane = B.share(tile, lanes, many_lanes)
            number, first, last = B.share(rest, deep * high, many_rows)
            at_d, at_h, at_w = B.lists(plan, number, 1)
            base_c = offset(plan, 3, number) + lane * cl
            count = last_lane - lane
            base_x = offset(plan, 0, number) + lane * x_lane
            base_y = offset(plan, 1, number) + lane * y_lane
            base_i = offset(plan, 2, number) + lane * i_lane
            low = load_side(table, at_w)
            span = load_side(table, at_w + 2 * wide - 1) - low
            for row in range(first, last):
                od, oh = row // high, row % high
                d, kd = B.bin_of(table, at_d, deep, od)
                h, kh = B.bin_of(table, at_h, high, oh)
                at = base_x + d * sd + h * sh
                to = base_y + od * yd + oh * yh
                side = base_i + od * i_deep + oh * i_high
                some = (kd > 0) & (kh > 0) & (span > 0)
                home = base_c + d * cd + h * ch if flat else 0
                if some & short:
                    short_row(
                        x, y, indices, table, at_w, wide, at, sh, sw, to, yw, side, i_wide, flat, home, ch, cw, kh
                    )
                    continue
                if some & woven:
                    fresh = True
                    for j in range(kd):
                        # counts of taps depend on the width of the bin: codes are numbers of rows then
                        from_code, step = (j * cd, ch) if flat else (j * kh, 1)
                        fresh = follow(
                            x, rows, at + j * sd + low * sw, sh, sw, x_lane, count, kh, span * count, slot, s, t,
                            from_code, step, fresh,
                        )  # fmt: skip
                for o in range(wide):
                    w, kw = B.bin_of(table, at_w, wide, o)
                    here, there = to + o * yw, side + o * i_wide
                    if (not some) | (kw <= 0):
                        for e in range(count):
                            store(y, here + e * y_lane, encode(nothing), RESULT)
                            store(indices, there + e * i_lane, -1, RESULT)
                    elif woven:
                        for e in range(count):
                            i = (w - low) * count + e
                            a, number_a, place = load_out(s, i), load_out(t, i), 0
                            for j in range(1, kw):
                                b, number_b = load_out(s, i + j * count), load_out(t, i + j * count)
                                chosen = better(a, number_a, b, number_b)
                                a = b if chosen else a
                                number_a = number_b if chosen else number_a
                                place = j if chosen else place
                            found = home + number_a + (w + place) * cw + e * cl if flat else number_a * kw + place
                            store(y, here + e * y_lane, encode(a), RESULT)
                            store(indices, there + e * i_lane, -1 if skip and a != a else found, RESULT)
                    else:
                        fresh = True
                        for j in range(kd):
                            for i in range(kh):
                                from_code, step = (j * cd + i * ch, cw) if flat else ((j * kh + i) * kw, 1)
                                fresh = follow(
                                    x, rows, at + j * sd + i * sh + w * sw, sw, x_lane, 1, 1, kw, count, slot, s, t,
                                    from_code, step, fresh,
                                )  # fmt: skip
                        first_index = home + w * cw if flat else 0
                        step = cl if flat else 0
                        if (y_lane == 1) & (i_lane == 1):
                            for e in range(count):
                                a, found = load_out(s, e), first_index + load_out(t, e) + e * step
                                store(y, here + e, encode(a), RESULT)
                                store(indices, there + e, -1 if skip and a != a else found, RESULT)
                        else:
                            for e in range(count):
                                a, found = load_out(s, e), first_index + load_out(t, e) + e * step
                                store(y, here + e * y_lane, encode(a), RESULT)
                                store(indices, there + e * i_lane, -1 if skip and a != a else found, RESULT)

    return bin_index
