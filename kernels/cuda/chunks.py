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

_COUNT = N.COUNT
_PAD0, _PAD1, _PAD2, _SIZE1, _SIZE2 = N.PAD0, N.PAD1, N.PAD2, N.SIZE1, N.SIZE2
_STEP1, _STEP2, _STEP_LANE, _STEP_NEAR, _STEP_FAR = N.STEP1, N.STEP2, N.STEP_LANE, N.STEP_NEAR, N.STEP_FAR
_KERNEL0, _KERNEL2, _DILATION0, _DILATION1, _DILATION2 = N.KERNEL0, N.KERNEL2, N.DILATION0, N.DILATION1, N.DILATION2
_VECTORS, _VECTORS_BY, _VECTORS_SHIFT = N.VECTORS, N.VECTORS_BY, N.VECTORS_SHIFT
_OUTPUTS2, _OUTPUTS2_BY, _OUTPUTS2_SHIFT = N.OUTPUTS2, N.OUTPUTS2_BY, N.OUTPUTS2_SHIFT
_OUTPUTS1, _OUTPUTS1_BY, _OUTPUTS1_SHIFT = N.OUTPUTS1, N.OUTPUTS1_BY, N.OUTPUTS1_SHIFT
_NEAR, _NEAR_BY, _NEAR_SHIFT, _TILE1 = N.NEAR, N.NEAR_BY, N.NEAR_SHIFT, N.TILE1
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
        if t >= _INT(n[_COUNT]):
            return
        values, counts = cuda.local.array(LEVELS, state_type), cuda.local.array(LEVELS, count_type)
        row, row_counts = cuda.local.array(TOGETHER, state_type), cuda.local.array(TOGETHER, count_type)
        lane, rest = part(t, n[_VECTORS], n[_VECTORS_BY], n[_VECTORS_SHIFT])
        column, rest = part(rest, n[_OUTPUTS2], n[_OUTPUTS2_BY], n[_OUTPUTS2_SHIFT])
        chunk, rest = part(rest, n[_OUTPUTS1], n[_OUTPUTS1_BY], n[_OUTPUTS1_SHIFT])
        near, far = part(rest, n[_NEAR], n[_NEAR_BY], n[_NEAR_SHIFT])
        taps, size = _INT(n[_KERNEL0]), _INT(n[_TILE1])
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
        j1 = divide(column, _INT(n[_KERNEL2]))
        j2 = _INT(column - j1 * _INT(n[_KERNEL2]))
        p1 = _INT(j1 * _INT(n[_DILATION1]) - _INT(n[_PAD1]))
        p2 = _INT(j2 * _INT(n[_DILATION2]) - _INT(n[_PAD2]))
        beside = (p1 < 0) | (p1 >= _INT(n[_SIZE1])) | (p2 < 0) | (p2 >= _INT(n[_SIZE2]))
        x = _LONG(near) * n[_STEP_NEAR] + _LONG(far) * n[_STEP_FAR] + lane * n[_STEP_LANE]
        at = x + _LONG(p1) * n[_STEP1] + _LONG(p2) * n[_STEP2]
        i0 = _INT(begin * _INT(n[_DILATION0]) - _INT(n[_PAD0]))
        d0, none = _INT(n[_DILATION0]), _INT(0)
        store(output, t, fold(values, counts, row, row_counts, source, at, i0, d0, many, none, none, beside, p, n))

    return rebound(kernel)
