"""Whether given indices name an element of their box of bins, or none where that is allowed.

Reads ``bufs[0]`` (indices) and ``bufs[2]`` (the table of bins, see ``bin_parts``); writes 1 to ``bufs[1]`` where one
does not. Arrays of the frame: indices, and one that is not there, as in ``bin_index``, with the sizes of x. A tile is
the rows of one plane, or some lanes of them.

Where ``LINE`` is not 0, ``bufs[3]`` is a table of int64 with four rows: for each box, in row-major order, what its
first element counts, how many elements a row of it has, how far its elements reach from the first to one past the
last, and how many rows it has along the middle axis. Then nothing is divided or compared: an index less the first,
taken apart by products with reciprocals of 32 bits, and what is left of each of the box's sizes, are negative where
it is wrong, and the signs of all are joined. A box without elements is one whose only element is that there is none.
``LINE`` is 1 where boxes have one layer along the first axis, 2 where they have more. Where ``WHOLE`` is not 0, all
planes are one run of indices, and the table is that of ``WHOLE`` planes one after the other: these are a tile.
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

BITS = 32
ONE, WORD = 1 << BITS, (1 << BITS) - 1


def make(digest, index):
    """The kernel for a type of indices."""
    index_code, table_code = codes(index), codes("i64")
    absent = -1 if index in ("i64", "u64") else 2 ** int(index[1:]) - 1

    @register_jitable
    def part(q, inverse):
        """A quotient, by the reciprocal of the divisor."""
        return ((q & WORD) * (inverse & WORD)) >> BITS

    @register_jitable
    def spared(wrong, index_of, none):
        """What is wrong, but for an index that says that there is none; ``none`` is -1 where it may, else 0."""
        return wrong & ~((np.int64(-1) if index_of == absent else np.int64(0)) & none)

    @register_jitable
    def sign(index_of, first, row, reach, wide, inverse, none):
        """Negative where an index is wrong, for a box whose first element counts ``first``."""
        q = index_of - first
        column = q - part(q, inverse) * (wide & WORD)
        return spared(q | (reach - 1 - q) | (row - 1 - column), index_of, none)

    @register_jitable
    def deep_sign(index_of, first, row, reach, rows, wide, inverse, high, inverse_high, none):
        """The same where a box has several layers."""
        q = index_of - first
        line = part(q, inverse)
        column, under = q - line * (wide & WORD), line - part(line, inverse_high) * (high & WORD)
        return spared(q | (reach - 1 - q) | (row - 1 - column) | (rows - 1 - under), index_of, none)

    @register_jitable
    def of_boxes(indices, at, step, many, table, box, boxes, shape, none):
        """Negative where one of ``many`` indices is wrong, one for each of the boxes from number ``box`` on."""
        wide, inverse, high, inverse_high, deep = shape
        bad = np.int64(0)
        first, row, reach, rows = box, boxes + box, 2 * boxes + box, 3 * boxes + box
        if (step == 1) & (not deep):
            for e in range(many):
                index_of = np.int64(load(indices, at + e, SOURCE))
                start, length = load_side(table, first + e), load_side(table, row + e)
                bad |= sign(index_of, start, length, load_side(table, reach + e), wide, inverse, none)
        else:
            for e in range(many):
                index_of = np.int64(load(indices, at + e * step, SOURCE))
                start, length = load_side(table, first + e), load_side(table, row + e)
                end, lines = load_side(table, reach + e), load_side(table, rows + e)
                bad |= deep_sign(index_of, start, length, end, lines, wide, inverse, high, inverse_high, none)
        return bad

    @register_jitable
    def of_lanes(indices, at, step, many, table, box, boxes, shape, none):
        """The same, for the lanes of one box."""
        wide, inverse, high, inverse_high, deep = shape
        bad = np.int64(0)
        start, row = load_side(table, box), load_side(table, boxes + box)
        reach, rows = load_side(table, 2 * boxes + box), load_side(table, 3 * boxes + box)
        if (step == 1) & (not deep):
            for e in range(many):
                bad |= sign(np.int64(load(indices, at + e, SOURCE)), start, row, reach, wide, inverse, none)
        else:
            for e in range(many):
                index_of = np.int64(load(indices, at + e * step, SOURCE))
                bad |= deep_sign(index_of, start, row, reach, rows, wide, inverse, high, inverse_high, none)
        return bad

    def bin_check(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        indices, table = pointer(bufs[0], index_code), pointer(bufs[2], table_code)
        wrong = pointer(bufs[1], table_code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        flat, none = plan[own + P.FLAT] != 0, plan[own + P.NONE] != 0
        high, wide = size(plan, 1, 1), size(plan, 1, 2)
        cw, cl = stride(plan, 1, 2), lane_stride(plan, 1)
        bad, quick = np.int64(0), plan[own + P.LINE] != 0
        spare = np.int64(-1 if none else 0)
        # reciprocals that need more than 32 bits are those of 1, where a row is all of a box
        inverse = ONE // max(wide, 1) + 1 if flat & (wide > 1) else 0
        shape = wide, inverse, high, ONE // max(high, 1) + 1, plan[own + P.LINE] == 2
        sd, sh, sw, fine = stride(plan, 0, 0), stride(plan, 0, 1), stride(plan, 0, 2), lane_stride(plan, 0)
        deep, rows, columns = size(plan, 0, 0), size(plan, 0, 1), size(plan, 0, 2)
        boxes, dense = deep * rows * columns, (sw == 1) & (sh == columns) & (sd == rows * columns)
        together = plan[own + P.WHOLE] * boxes
        if together > 0:
            all_of = boxes
            for axis in range(plan[F.OUTER]):
                all_of *= plan[F.SIZES + axis]
            for tile in range(begin, end):
                many = min(together, all_of - tile * together)
                places = pointer(bufs[3], table_code)
                bad |= of_boxes(indices, tile * together, 1, many, places, 0, together, shape, spare)
            if bad < 0:
                store(wrong, 0, 1, RESULT)
            return
        for tile in range(begin, end):
            rest, lane, last_lane = B.share(tile, lanes, plan[own + P.LANES])
            number, first, last = B.share(rest, size(plan, 0, 0) * size(plan, 0, 1), plan[own + P.ROWS])
            if quick:
                at = offset(plan, 0, number) + lane * fine
                places = pointer(bufs[3], table_code)
                if lanes == 1 and dense:
                    many, box = (last - first) * columns, first * columns
                    bad |= of_boxes(indices, at + box, 1, many, places, box, boxes, shape, spare)
                    continue
                for row in range(first, last):
                    line, box = at + row // rows * sd + row % rows * sh, row * columns
                    if lanes == 1:
                        bad |= of_boxes(indices, line, sw, columns, places, box, boxes, shape, spare)
                        continue
                    for o in range(columns):
                        many = last_lane - lane
                        bad |= of_lanes(indices, line + o * sw, fine, many, places, box + o, boxes, shape, spare)
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
                        bad |= np.int64(0 if good else -1)
        if bad < 0:
            store(wrong, 0, 1, RESULT)

    return bin_check
