"""Whether given indices name an element of their box of bins, or none where that is allowed.

Reads ``bufs[0]`` (indices) and ``bufs[1]`` (the table of bins, see ``bin_parts``); writes 1 to ``bufs[2]`` where one
does not. Arrays of the frame: indices, and one that is not there, as in ``bin_index``, with the sizes of x. A tile is
the rows of one plane, or some lanes of them.
"""

from __future__ import annotations

import numpy as np

from fastpool.kernels import bin_plan as P
from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family import bin_parts as B
from fastpool.kernels.cpu.family.access import codes
from fastpool.kernels.cpu.memory import RESULT, SOURCE, load, pointer, store
from fastpool.kernels.frame import lane_stride, offset, size, stride


def make(digest, index):
    """The kernel for a type of indices."""
    index_code, table_code = codes(index), codes("i64")
    absent = -1 if index in ("i64", "u64") else 2 ** int(index[1:]) - 1

    def bin_check(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        indices, table = pointer(bufs[0], index_code), pointer(bufs[1], table_code)
        wrong = pointer(bufs[2], table_code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        flat, none = plan[own + P.FLAT] != 0, plan[own + P.NONE] != 0
        high, wide = size(plan, 1, 1), size(plan, 1, 2)
        cw, cl = stride(plan, 1, 2), lane_stride(plan, 1)
        bad = 0
        for tile in range(begin, end):
            rest, lane, last_lane = B.share(tile, lanes, plan[own + P.LANES])
            number, first, last = B.share(rest, size(plan, 0, 0) * size(plan, 0, 1), plan[own + P.ROWS])
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
