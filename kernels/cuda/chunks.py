"""The first of two launches for windows that are too large for a block: parts of each column, combined.

A column is cut into chunks of a power of two taps and, behind these, the blocks of its other taps, the largest first.
The state of each goes into a workspace, from which ``blocks`` combines them as it combines taps::

    13 taps in chunks of 4      0 1 2 3 | 4 5 6 7 | 8 9 10 11 | 12       ((0..3 . 4..7) . 8..11) . 12

Neighbouring threads take neighbouring columns, or lanes. Reads ``source``, writes states to ``output``, which lies as
``window, chunk, column, lane``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.columns import LEVELS, TOGETHER, make_columns
from fastpool.kernels.cuda.memory import SCALARS, divide, store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import rebound
from fastpool.kernels.cuda.thread import part
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64


def make_chunks(variant: Variant) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    A thread's number is a lane (``VECTORS``), a column (``OUTPUTS2``), a chunk (``OUTPUTS1``) and a window;
    ``TILE1`` are the taps of a chunk.
    """
    fold = make_columns(variant, False).fold
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        values, counts = cuda.local.array(LEVELS, state_type), cuda.local.array(LEVELS, count_type)
        row, row_counts = cuda.local.array(TOGETHER, state_type), cuda.local.array(TOGETHER, count_type)
        lane, rest = part(t, n[N.VECTORS], n[N.VECTORS_BY], n[N.VECTORS_SHIFT])
        column, rest = part(rest, n[N.OUTPUTS2], n[N.OUTPUTS2_BY], n[N.OUTPUTS2_SHIFT])
        chunk, rest = part(rest, n[N.OUTPUTS1], n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT])
        near, far = part(rest, n[N.NEAR], n[N.NEAR_BY], n[N.NEAR_SHIFT])
        taps, size = _INT(n[N.KERNEL0]), _INT(n[N.TILE1])
        # where the chunk begins: behind all whole ones each is half as large as the one before, or less
        whole = divide(taps, size)
        begin, many = _INT(chunk * size), size
        if chunk >= whole:
            begin, left = _INT(whole * size), _INT(chunk - whole)
            rest = _INT(taps - begin)
            many = _INT(size >> 1)
            while (rest & many) == 0:
                many = _INT(many >> 1)
            for _ in range(left):
                begin = _INT(begin + many)
                rest = _INT(rest - many)
                many = _INT(many >> 1)
                while (rest & many) == 0:
                    many = _INT(many >> 1)
        j1 = divide(column, _INT(n[N.KERNEL2]))
        j2 = _INT(column - j1 * _INT(n[N.KERNEL2]))
        p1 = _INT(j1 * _INT(n[N.DILATION1]) - _INT(n[N.PAD1]))
        p2 = _INT(j2 * _INT(n[N.DILATION2]) - _INT(n[N.PAD2]))
        beside = (p1 < 0) | (p1 >= _INT(n[N.SIZE1])) | (p2 < 0) | (p2 >= _INT(n[N.SIZE2]))
        x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR] + lane * n[N.STEP_LANE]
        at = x + _LONG(p1) * n[N.STEP1] + _LONG(p2) * n[N.STEP2]
        i0 = _INT(begin * _INT(n[N.DILATION0]) - _INT(n[N.PAD0]))
        d0, none = _INT(n[N.DILATION0]), _INT(0)
        store(output, t, fold(values, counts, row, row_counts, source, at, i0, d0, many, none, none, beside, p, n))

    return rebound(kernel)
