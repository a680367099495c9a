"""Whether given indices name an element of their box of bins, or none where that is allowed.

Reads ``bufs[0]`` (indices) and ``bufs[1]`` (the table of bins, see ``bin_parts``); writes 1 to ``bufs[2]`` where one
does not. Arrays of the frame: indices, and one that is not there, as in ``bin_index``, with the sizes of x. A tile is
the rows of one plane, or some lanes of them.

Where ``LINE`` is not 0, ``bufs[3]`` is a table of int64 with three rows: for each box, in row-major order, what its
first element counts, how many elements a row of it has, and how far its elements reach from the first to one past the
last. Then nothing is divided: a row's number is a product with the reciprocal of the row's length. For elements counted
by 31 bits the product is exact enough in float64, because half an element is added: it is never near an integer.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastpool.kernels import bin_plan as P
from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family import bin_parts as B
from fastpool.kernels.cpu.family.access import codes
from fastpool.kernels.cpu.memory import RESULT, SOURCE, load, load_side, pointer, store
from fastpool.kernels.frame import lane_stride, offset, size, stride


def make(digest, index):
    """The kernel for a type of indices."""
    index_code, table_code = codes(index), codes("i64")
    absent = -1 if index in ("i64", "u64") else 2 ** int(index[1:]) - 1

    @register_jitable
    def is_wrong(index_of, first, row, reach, wide, inverse, none):
        """Whether an index is wrong, for a box whose first element counts ``first``."""
        q = index_of - first
        short = np.int32(q)
        column = short - np.int32((np.float64(short) + 0.5) * inverse) * wide
        inside = (q >= 0) & (q < reach) & (column < row)
        return np.int32(0 if inside | ((index_of == absent) & (none | (reach == 0))) else 1)

    @register_jitable
    def of_boxes(indices, at, step, many, table, box, boxes, home, wide, none):
        """Whether one of ``many`` indices is wrong, one for each of the boxes from number ``box`` on."""
        bad, inverse = np.int32(0), 1.0 / wide
        first, row, reach = box, boxes + box, 2 * boxes + box
        if step == 1:
            for e in range(many):
                start = home + load_side(table, first + e)
                index_of = np.int64(load(indices, at + e, SOURCE))
                bad |= is_wrong(
                    index_of, start, load_side(table, row + e), load_side(table, reach + e), wide, inverse, none
                )
        else:
            for e in range(many):
                start = home + load_side(table, first + e)
                index_of = np.int64(load(indices, at + e * step, SOURCE))
                bad |= is_wrong(
                    index_of, start, load_side(table, row + e), load_side(table, reach + e), wide, inverse, none
                )
        return bad

    @register_jitable
    def of_lanes(indices, at, step, many, table, box, boxes, home, wide, none):
        """The same, for the lanes of one box."""
        bad, inverse = np.int32(0), 1.0 / wide
        start, row = home + load_side(table, box), load_side(table, boxes + box)
        reach = load_side(table, 2 * boxes + box)
        if step == 1:
            for e in range(many):
                bad |= is_wrong(np.int64(load(indices, at + e, SOURCE)), start, row, reach, wide, inverse, none)
        else:
            for e in range(many):
                index_of = np.int64(load(indices, at + e * step, SOURCE))
                bad |= is_wrong(index_of, start, row, reach, wide, inverse, none)
        return bad

    def bin_check(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        indices, table = pointer(bufs[0], index_code), pointer(bufs[1], table_code)
        wrong = pointer(bufs[2], table_code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        flat, none = plan[own + P.FLAT] != 0, plan[own + P.NONE] != 0
        high, wide = size(plan, 1, 1), size(plan, 1, 2)
        cw, cl = stride(plan, 1, 2), lane_stride(plan, 1)
        bad, quick = 0, plan[own + P.LINE] != 0
        sd, sh, sw, fine = stride(plan, 0, 0), stride(plan, 0, 1), stride(plan, 0, 2), lane_stride(plan, 0)
        deep, rows, columns = size(plan, 0, 0), size(plan, 0, 1), size(plan, 0, 2)
        boxes, dense = deep * rows * columns, (sw == 1) & (sh == columns) & (sd == rows * columns)
        for tile in range(begin, end):
            rest, lane, last_lane = B.share(tile, lanes, plan[own + P.LANES])
            number, first, last = B.share(rest, size(plan, 0, 0) * size(plan, 0, 1), plan[own + P.ROWS])
            if quick:
                at, home = offset(plan, 0, number) + lane * fine, offset(plan, 1, number) if flat else 0
                places, width = pointer(bufs[3], table_code), wide if flat else (1 << 31) - 1
                if lanes == 1 and dense:
                    many, box = (last - first) * columns, first * columns
                    bad |= of_boxes(indices, at + box, 1, many, places, box, boxes, home, width, none)
                    continue
                for row in range(first, last):
                    line, box = at + row // rows * sd + row % rows * sh, row * columns
                    if lanes == 1:
                        bad |= of_boxes(indices, line, sw, columns, places, box, boxes, home, width, none)
                        continue
                    for o in range(columns):
                        many = last_lane - lane
                        bad |= of_lanes(indices, line + o * sw, fine, many, places, box + o, boxes, home, width, none)
                continue
            at_d, at_h, at_w = B.lists(plan, number, 0)
            for row in range(first, last):
                od, oh = row // size(plan, 0, 1), row % size(plan, 0, 1)
                d, kd = B.bin_of(table, at_d, size(plan, 0, 0), od)
                h, kh = B.bin_of(table, at_h, size(plan, 0, 1), oh)
                at = offset(plan, 0, number) + od * stride(plan, 0, 0) + oh * stride(plan, 0, 1)
                home = offset(plan, 1, number)
                for o in range(size(plan, 0, 2)):
                    w, kw = B.bin_of(table, at_w, size(plan, 0, 2), o)
                    empty = (kd <= 0) | (kh <= 0) | (kw <= 0)
                    for e in range(lane, last_lane):
                        index_of = np.int64(
                            load(indices, at + o * stride(plan, 0, 2) + e * lane_stride(plan, 0), SOURCE)
                        )
                        if index_of == absent:
                            good = empty | none
                        elif empty:
                            good = False
                        elif flat:
                            place = index_of - home - e * cl
                            good = (place >= 0) & (place % cw == 0)
                            place //= cw
                            row_of, column = place // wide, place % wide
                            deep, row_of = row_of // high - d, row_of % high - h
                            good &= (deep >= 0) & (deep < kd) & (row_of >= 0) & (row_of < kh)
                            good &= (column >= w) & (column < w + kw)
                        else:
                            good = (index_of >= 0) & (index_of < kd * kh * kw)
                        bad |= not good
        if bad:
            store(wrong, 0, 1, RESULT)

    return bin_check
