"""The gradient of the largest of each box of bins: what its index names receives the gradient of the box.

Reads ``bufs[1]`` (gradients of results), ``bufs[2]`` (their indices) and ``bufs[3]`` (the table of bins, see
``bin_parts``), writes ``bufs[0]``. Arrays of the frame: gradient of x, that of the results, indices, and one that is
not there, as in ``bin_index``; its rows are dense.

A tile is some rows of the gradient of x, over the first two axes, with some lanes. It adds the results whose boxes
reach into it, in row-major order, in scratch, and writes its rows once. Where elements are added in their own type and
lie side by side in memory (``LINE`` is not 0), it clears them and adds there: there is no other pass. An index that is
the largest of an unsigned type, or negative, names none. Where ``WHOLE`` is not 0, planes of all arrays are one run of
memory each, indices count the elements of a plane, and a tile is a plane: nothing else is looked at.
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
    SIDE,
    SOURCE,
    address,
    load,
    load_out,
    load_side,
    load_source,
    pointer,
    store,
    store_out,
)
from fastpool.kernels.frame import lane_stride, offset, size, stride


def make(digest, dtype, index):
    """The kernel for a type of gradients and of indices."""
    code, state, table_code, index_code = (codes(name) for name in (dtype, B.state_type(dtype), "i64", index))
    decode, encode = reader(dtype), writer(dtype)
    # an index of 64 bits is never that large
    narrow = np.uint32 if index in ("u8", "u16") else np.int64
    absent = -1 if index in ("i64", "u64") else 2 ** int(index[1:]) - 1

    @register_jitable
    def put(dx, dy, indices, plane, boxes, begin, end):
        """Whole planes, one after the other: cleared, then added to."""
        for number in range(begin, end):
            home, at = number * plane, number * boxes
            for e in range(plane):
                store_out(dx, home + e, 0)
            for k in range(boxes):
                index_of = np.int64(load_side(indices, at + k))
                if index_of >= 0:
                    g = decode(load_source(dy, at + k))
                    i = home + index_of
                    store_out(dx, i, encode(decode(load_out(dx, i)) + g))

    @register_jitable
    def one(dx, to, dy, y, indices, i, home, limit, count, e):
        """A lane of a box to the element of dx that its index counts from ``home``, where ``count`` lanes are."""
        # what is named by no element of this tile, or is -1, is beyond the limit, too
        place = np.int64(load(indices, i, SIDE)) - home
        if np.uint64(place) < np.uint64(limit):
            at = to + place * count + e
            g = decode(load(dy, y, SOURCE))
            store(dx, at, encode(decode(load(dx, at, RESULT)) + g), RESULT)

    @register_jitable
    def add(dx, to, dy, y, y_lane, indices, i, i_lane, home, step, limit, count):
        if (y_lane == 1) & (i_lane == 1) & (step == 0):
            for e in range(count):
                one(dx, to, dy, y + e, indices, i + e, home, limit, count, e)
        else:
            for e in range(count):
                one(dx, to, dy, y + e * y_lane, indices, i + e * i_lane, home + e * step, limit, count, e)

    def bin_scatter(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        dx, dy, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        table, s = pointer(bufs[3], table_code), pointer(address(work), state)
        own, lanes = plan[F.OWN], plan[F.LANES]
        flat, direct = plan[own + P.FLAT] != 0, plan[own + P.LINE] != 0
        deep, high, wide = size(plan, 0, 0), size(plan, 0, 1), size(plan, 0, 2)
        bins_d, bins_h, bins_w = size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        xd, xh, step = stride(plan, 0, 0), stride(plan, 0, 1), stride(plan, 0, 2)
        yd, yh, yw = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2)
        i_deep, i_high, i_wide = stride(plan, 2, 0), stride(plan, 2, 1), stride(plan, 2, 2)
        many_rows, many_lanes = plan[own + P.ROWS], plan[own + P.LANES]
        x_lane, y_lane, i_lane = lane_stride(plan, 0), lane_stride(plan, 1), lane_stride(plan, 2)
        cw, cl = stride(plan, 3, 2), lane_stride(plan, 3)
        if plan[own + P.WHOLE] != 0:
            put(dx, dy, indices, deep * high * wide, bins_d * bins_h * bins_w, begin, end)
            return
        for tile in range(begin, end):
            rest, lane, last_lane = B.share(tile, lanes, many_lanes)
            number, first, last = B.share(rest, deep * high, many_rows)
            at_d, at_h, at_w = B.lists(plan, number, 1)
            count = last_lane - lane
            pitch = wide * count
            base = offset(plan, 0, number) + lane * x_lane
            base_y = offset(plan, 1, number) + lane * y_lane
            base_i = offset(plan, 2, number) + lane * i_lane
            home = offset(plan, 3, number) + lane * cl
            here = base + first * pitch
            if direct:
                for e in range((last - first) * pitch):
                    store(dx, here + e, 0, RESULT)
            else:
                for e in range((last - first) * pitch):
                    store_out(s, e, 0)
            whole = first == 0 and last == deep * high
            for od in range(bins_d):
                d, kd = B.bin_of(table, at_d, bins_d, od)
                if (kd <= 0) | ((d + kd) * high <= first) | (d * high >= last):
                    continue
                for oh in range(bins_h):
                    h, kh = B.bin_of(table, at_h, bins_h, oh)
                    if (kh <= 0) | ((d + kd - 1) * high + h + kh <= first) | (d * high + h >= last):
                        continue
                    row_y, row_i = base_y + od * yd + oh * yh, base_i + od * i_deep + oh * i_high
                    for o in range(bins_w):
                        w, kw = B.bin_of(table, at_w, bins_w, o)
                        from_y, from_i = row_y + o * yw, row_i + o * i_wide
                        if flat & direct & (cw == 1):
                            if kw > 0:
                                start, limit = home + first * wide, (last - first) * wide
                                add(dx, here, dy, from_y, y_lane, indices, from_i, i_lane, start, cl, limit, count)
                            continue
                        for e in range(count):
                            index_of = np.int64(load(indices, from_i + e * i_lane, SIDE))
                            if (index_of == absent) | (kw <= 0):
                                continue
                            if flat:
                                place = index_of - home - e * cl
                                if cw != 1:
                                    place //= cw
                                place -= first * wide
                            else:
                                # divided as 32 bits where that holds it: 64 take three times as long
                                row = np.int64(narrow(index_of) // narrow(kw))
                                place = w + index_of - row * kw
                                if kd > 1:
                                    j = row // kh
                                    row += j * (high - kh)
                                place += (d * high + h + row - first) * wide
                            if (not whole) & ((place < 0) | (place >= (last - first) * wide)):
                                continue
                            i = place * count + e
                            g = decode(load(dy, from_y + e * y_lane, SOURCE))
                            if direct:
                                i += here
                                store(dx, i, encode(decode(load(dx, i, RESULT)) + g), RESULT)
                            else:
                                store_out(s, i, load_out(s, i) + g)
            if direct:
                continue
            for row in range(first, last):
                to = base + row // high * xd + row % high * xh
                here = (row - first) * pitch
                if (step == count) & (x_lane == 1) | (count == 1) & (step == 1):
                    for e in range(pitch):
                        store(dx, to + e, encode(load_out(s, here + e)), RESULT)
                elif x_lane == 1:
                    for o in range(wide):
                        for e in range(count):
                            store(dx, to + o * step + e, encode(load_out(s, here + o * count + e)), RESULT)
                else:
                    for o in range(wide):
                        for e in range(count):
                            element = encode(load_out(s, here + o * count + e))
                            store(dx, to + o * step + e * x_lane, element, RESULT)

    return bin_scatter
