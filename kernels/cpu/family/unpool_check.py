"""Whether indices that count in planes are -1 or name an element of one, wherever they stand.

The first buffer has the indices in a row, the second is told of one that is not allowed. A tile is a part of the row.
Numbers: indices, those in a tile, elements of a plane.
"""

from __future__ import annotations

import numpy as np

from fastpool.kernels.cpu.family.access import codes
from fastpool.kernels.cpu.memory import RESULT, SOURCE, load, pointer, store


def make(digest, index):
    """The kernel for indices of a type, "flat" for int64."""
    code, flag = codes("i64" if index == "flat" else index), codes("u8")

    def kernel(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        indices, wrong = pointer(bufs[0], code), pointer(bufs[1], flag)
        most = np.uint64(plan[2])
        bad = 0
        for i in range(begin * plan[1], min(plan[0], end * plan[1])):
            bad |= np.uint64(load(indices, i, SOURCE) + 1) > most
        if bad != 0:
            store(wrong, 0, 1, RESULT)

    return kernel
