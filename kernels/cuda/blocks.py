"""Forward of windows of many taps, such as global pooling: threads of a block share a window.

A thread folds taps along the first axis, column by column; the states of columns meet in shared memory, where they are
combined along the other axes::

    thread 0   1   2   3   4  ...            one column each, or several: taps are combined from the first to the last
           |   |   |   |   |
           +---+   +---+   |                 columns: pairs, pairs of pairs, and so on; blocks of a power of two columns
             +-------+     |                 are then added from the left

Both in the order of summation (see ``general``). States of a kind that may be combined in any order are combined as
they come.

Reads ``source``, writes ``output`` and, with indices, ``aux``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.columns import LEVELS, TOGETHER, is_free, make_columns
from fastpool.kernels.cuda.memory import SCALARS, divide, store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import rebound
from fastpool.kernels.cuda.parts import make_parts
from fastpool.kernels.cuda.thread import between, make_states, part
from fastpool.kernels.registry import Variant

SHARED = 2048
"""States in shared memory, at most."""

_SIZE0, _SIZE1, _SIZE2, _PAD0, _PAD1, _PAD2 = N.SIZE0, N.SIZE1, N.SIZE2, N.PAD0, N.PAD1, N.PAD2
_STEP0, _STEP1, _STEP2, _STEP_LANE = N.STEP0, N.STEP1, N.STEP2, N.STEP_LANE
_STEP_NEAR, _STEP_FAR, _OUT_NEAR, _OUT_FAR = N.STEP_NEAR, N.STEP_FAR, N.OUT_NEAR, N.OUT_FAR
_OUT0, _OUT1, _OUT2, _OUT_LANE = N.OUT0, N.OUT1, N.OUT2, N.OUT_LANE
_AUX0, _AUX1, _AUX2, _AUX_LANE, _AUX_NEAR, _AUX_FAR = N.AUX0, N.AUX1, N.AUX2, N.AUX_LANE, N.AUX_NEAR, N.AUX_FAR
_KERNEL0, _KERNEL1, _KERNEL2 = N.KERNEL0, N.KERNEL1, N.KERNEL2
_STRIDE0, _STRIDE1, _STRIDE2 = N.STRIDE0, N.STRIDE1, N.STRIDE2
_DILATION0, _DILATION1, _DILATION2 = N.DILATION0, N.DILATION1, N.DILATION2
_JUMP0, _JUMP1, _JUMP2 = N.JUMP0, N.JUMP1, N.JUMP2
_UNIT0, _UNIT1, _UNIT2, _UNIT_LANE = N.UNIT0, N.UNIT1, N.UNIT2, N.UNIT_LANE
_UNIT_NEAR, _UNIT_FAR, _DIVISOR = N.UNIT_NEAR, N.UNIT_FAR, N.DIVISOR
_LOW0, _LOW1, _LOW2, _HIGH0, _HIGH1, _HIGH2 = N.LOW0, N.LOW1, N.LOW2, N.HIGH0, N.HIGH1, N.HIGH2
_TILE1, _TILE2 = N.TILE1, N.TILE2
_FORWARD0, _FORWARD1, _FORWARD2, _COUNT = N.FORWARD0, N.FORWARD1, N.FORWARD2, N.COUNT
_VECTORS, _VECTORS_BY, _VECTORS_SHIFT = N.VECTORS, N.VECTORS_BY, N.VECTORS_SHIFT
_OUTPUTS2, _OUTPUTS2_BY, _OUTPUTS2_SHIFT = N.OUTPUTS2, N.OUTPUTS2_BY, N.OUTPUTS2_SHIFT
_OUTPUTS1, _OUTPUTS1_BY, _OUTPUTS1_SHIFT = N.OUTPUTS1, N.OUTPUTS1_BY, N.OUTPUTS1_SHIFT
_OUTPUTS0, _OUTPUTS0_BY, _OUTPUTS0_SHIFT = N.OUTPUTS0, N.OUTPUTS0_BY, N.OUTPUTS0_SHIFT
_NEAR, _NEAR_BY, _NEAR_SHIFT, _LANES = N.NEAR, N.NEAR_BY, N.NEAR_SHIFT, N.LANES
_INT, _LONG = np.int32, np.int64


def make_blocks(variant: Variant, lanes: int, columns: int, states: bool = False) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    Of a block's threads, ``lanes`` neighbours take a lane each, and ``columns`` such groups a column each of one
    window; the rest of the block takes further windows. Both are powers of two. Window numbers are counted with the
    lanes in groups: ``VECTORS`` are groups of lanes. ``states``: the source holds what ``chunks`` has left, of each
    column ``TILE1`` blocks behind its taps.
    """
    nothing, _, combine, _, finish, place = make_parts(variant)
    fold, push, from_left = make_columns(variant, states)
    get, put = make_states(variant)
    numbered = variant.role == "index"
    counts_taps = (variant.reduction.counted or len(variant.state) == 2) and not numbered
    free = is_free(variant)
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]
    levels = 1 if free else LEVELS

    def kernel(source, output, aux, p, n):
        shared = cuda.shared.array(SHARED, state_type)
        shared_counts = cuda.shared.array(SHARED, count_type)
        values, counts = cuda.local.array(levels, state_type), cuda.local.array(levels, count_type)
        far_values, far_counts = cuda.local.array(levels, state_type), cuda.local.array(levels, count_type)
        row, row_counts = cuda.local.array(TOGETHER, state_type), cuda.local.array(TOGETHER, count_type)
        thread = _INT(cuda.threadIdx.x)
        lane = _INT(thread % lanes)
        mine = _INT(thread // lanes % columns)
        window = _INT(thread // (lanes * columns))
        windows = _INT(_INT(cuda.blockDim.x) // (lanes * columns))
        t = _INT(_INT(cuda.blockIdx.x) * windows + window)
        active = t < _INT(n[_COUNT])
        c, rest = part(t, n[_VECTORS], n[_VECTORS_BY], n[_VECTORS_SHIFT])
        o2, rest = part(rest, n[_OUTPUTS2], n[_OUTPUTS2_BY], n[_OUTPUTS2_SHIFT])
        o1, rest = part(rest, n[_OUTPUTS1], n[_OUTPUTS1_BY], n[_OUTPUTS1_SHIFT])
        o0, rest = part(rest, n[_OUTPUTS0], n[_OUTPUTS0_BY], n[_OUTPUTS0_SHIFT])
        near, far = part(rest, n[_NEAR], n[_NEAR_BY], n[_NEAR_SHIFT])
        lane_number = _INT(c * lanes + lane)
        active = active & (lane_number < _INT(n[_LANES]))
        k0, k1, k2 = _INT(n[_KERNEL0]), _INT(n[_KERNEL1]), _INT(n[_KERNEL2])
        tails = _INT(n[_TILE1]) if states else _INT(0)
        d0, d1, d2 = _INT(n[_DILATION0]), _INT(n[_DILATION1]), _INT(n[_DILATION2])
        i0 = _INT(o0 * _INT(n[_STRIDE0]) - _INT(n[_PAD0]))
        i1 = _INT(o1 * _INT(n[_STRIDE1]) - _INT(n[_PAD1]))
        i2 = _INT(o2 * _INT(n[_STRIDE2]) - _INT(n[_PAD2]))
        x = _LONG(near) * n[_STEP_NEAR] + _LONG(far) * n[_STEP_FAR] + lane_number * n[_STEP_LANE]
        # of one window and lane, columns lie ``lanes`` apart
        base = _INT(window * (columns if free else k1 * min(_INT(n[_TILE2]), k2)) * lanes + lane)
        total = nothing()
        above = 0
        # columns along axis 2 that are taken at a time, a power of two; all of them where the order does not matter
        wide, start = _INT(n[_TILE2]), _INT(0)
        while start < k2:
            span = k2 if free else min(wide, _INT(k2 - start))
            column, many = mine, _INT(k1 * span)
            while active & (column < many):
                j1 = divide(column, span)
                j2 = _INT(start + column - j1 * span)
                p1, p2 = _INT(i1 + j1 * d1), _INT(i2 + j2 * d2)
                beside = (p1 < 0) | (p1 >= _INT(n[_SIZE1])) | (p2 < 0) | (p2 >= _INT(n[_SIZE2]))
                at = x + _LONG(p1) * n[_STEP1] + _LONG(p2) * n[_STEP2]
                amount = _INT(j1 * _INT(n[_JUMP1]) + j2 * _INT(n[_JUMP2]))
                s = fold(values, counts, row, row_counts, source, at, i0, d0, k0, tails, amount, beside, p, n)
                if free:
                    total = combine(total, s)
                else:
                    put(shared, shared_counts, base + column * lanes, s)
                column = _INT(column + columns)
            size1, size2 = k1, span
            if free:
                put(shared, shared_counts, base + mine * lanes, total)
                size1, size2 = _INT(1), _INT(columns)
            cuda.syncthreads()
            # along axis 1, then along axis 2: pairs of blocks that begin at a multiple of twice their size
            for axis in range(2):
                length = size1 if axis == 0 else size2
                apart = size2 if axis == 0 else _INT(1)
                others = size2 if axis == 0 else _INT(1)
                size = _INT(1)
                while size < length:
                    pairs = divide(length, _INT(2 * size))
                    item = mine
                    while active & (item < pairs * others):
                        pair = divide(item, others)
                        first = _INT(base + (pair * 2 * size * apart + item - pair * others) * lanes)
                        second = _INT(first + size * apart * lanes)
                        s = combine(get(shared, shared_counts, first), get(shared, shared_counts, second))
                        put(shared, shared_counts, first, s)
                        item = _INT(item + columns)
                    size = _INT(size * 2)
                    cuda.syncthreads()
                # the blocks that are left, from the left: along axis 2 those of all columns so far
                item = mine
                while active & (item < others):
                    first = _INT(base + item * lanes)
                    if (axis == 1) & (size2 == wide) & (not free):
                        above = push(
                            far_values, far_counts, above, get(shared, shared_counts, first), divide(start, wide)
                        )
                    else:
                        s = get(shared, shared_counts, first)
                        done = _INT(0)
                        while done < length:
                            while done + size > length:
                                size = _INT(size >> 1)
                            block = get(shared, shared_counts, first + done * apart * lanes)
                            if (axis == 1) & (not free):
                                put(far_values, far_counts, above, block)
                                above += 1
                            elif done > 0:
                                s = combine(s, block)
                            done = _INT(done + size)
                        put(shared, shared_counts, first, s)
                    item = _INT(item + columns)
                cuda.syncthreads()
            start = _INT(start + span)
        if active & (mine == 0):
            s = get(shared, shared_counts, base) if free else from_left(far_values, far_counts, above)
            divisor, inside = _LONG(1), _LONG(1)
            if counts_taps:
                divisor = _LONG(between(i0, k0, n[_LOW0], n[_HIGH0])) * between(i1, k1, n[_LOW1], n[_HIGH1])
                divisor *= between(i2, k2, n[_LOW2], n[_HIGH2])
                inside = _LONG(between(i0, k0, 0, n[_FORWARD0])) * between(i1, k1, 0, n[_FORWARD1])
                inside *= between(i2, k2, 0, n[_FORWARD2])
            if n[_DIVISOR] != 0:
                divisor, inside = n[_DIVISOR], _LONG(-1)
            to = _LONG(near) * n[_OUT_NEAR] + _LONG(far) * n[_OUT_FAR] + lane_number * n[_OUT_LANE]
            to += _INT(o0 * _INT(n[_OUT0]) + o1 * _INT(n[_OUT1]) + o2 * _INT(n[_OUT2]))
            store(output, to, finish(s, divisor, inside, 0, p))
            if numbered:
                flat = i0 * n[_UNIT0] + i1 * n[_UNIT1] + i2 * n[_UNIT2] + near * n[_UNIT_NEAR] + far * n[_UNIT_FAR]
                flat += lane_number * n[_UNIT_LANE]
                by = _LONG(near) * n[_AUX_NEAR] + _LONG(far) * n[_AUX_FAR] + lane_number * n[_AUX_LANE]
                by += _INT(o0 * _INT(n[_AUX0]) + o1 * _INT(n[_AUX1]) + o2 * _INT(n[_AUX2]))
                store(aux, by, place(s, flat))

    return rebound(kernel)
