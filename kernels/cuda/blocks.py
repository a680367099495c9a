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
        active = t < _INT(n[N.COUNT])
        c, rest = part(t, n[N.VECTORS], n[N.VECTORS_BY], n[N.VECTORS_SHIFT])
        o2, rest = part(rest, n[N.OUTPUTS2], n[N.OUTPUTS2_BY], n[N.OUTPUTS2_SHIFT])
        o1, rest = part(rest, n[N.OUTPUTS1], n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT])
        o0, rest = part(rest, n[N.OUTPUTS0], n[N.OUTPUTS0_BY], n[N.OUTPUTS0_SHIFT])
        near, far = part(rest, n[N.NEAR], n[N.NEAR_BY], n[N.NEAR_SHIFT])
        lane_number = _INT(c * lanes + lane)
        active = active & (lane_number < _INT(n[N.LANES]))
        k0, k1, k2 = _INT(n[N.KERNEL0]), _INT(n[N.KERNEL1]), _INT(n[N.KERNEL2])
        tails = _INT(n[N.TILE1]) if states else _INT(0)
        d0, d1, d2 = _INT(n[N.DILATION0]), _INT(n[N.DILATION1]), _INT(n[N.DILATION2])
        i0 = _INT(o0 * _INT(n[N.STRIDE0]) - _INT(n[N.PAD0]))
        i1 = _INT(o1 * _INT(n[N.STRIDE1]) - _INT(n[N.PAD1]))
        i2 = _INT(o2 * _INT(n[N.STRIDE2]) - _INT(n[N.PAD2]))
        x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR] + lane_number * n[N.STEP_LANE]
        # of one window and lane, columns lie ``lanes`` apart
        base = _INT(window * (columns if free else k1 * min(_INT(n[N.TILE2]), k2)) * lanes + lane)
        total = nothing()
        above = 0
        # columns along axis 2 that are taken at a time, a power of two; all of them where the order does not matter
        wide, start = _INT(n[N.TILE2]), _INT(0)
        while start < k2:
            span = k2 if free else min(wide, _INT(k2 - start))
            column, many = mine, _INT(k1 * span)
            while active & (column < many):
                j1 = divide(column, span)
                j2 = _INT(start + column - j1 * span)
                p1, p2 = _INT(i1 + j1 * d1), _INT(i2 + j2 * d2)
                beside = (p1 < 0) | (p1 >= _INT(n[N.SIZE1])) | (p2 < 0) | (p2 >= _INT(n[N.SIZE2]))
                at = x + _LONG(p1) * n[N.STEP1] + _LONG(p2) * n[N.STEP2]
                amount = _INT(j1 * _INT(n[N.JUMP1]) + j2 * _INT(n[N.JUMP2]))
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
                divisor = _LONG(between(i0, k0, n[N.LOW0], n[N.HIGH0])) * between(i1, k1, n[N.LOW1], n[N.HIGH1])
                divisor *= between(i2, k2, n[N.LOW2], n[N.HIGH2])
                inside = _LONG(between(i0, k0, 0, n[N.FORWARD0])) * between(i1, k1, 0, n[N.FORWARD1])
                inside *= between(i2, k2, 0, n[N.FORWARD2])
            if n[N.DIVISOR] != 0:
                divisor, inside = n[N.DIVISOR], _LONG(-1)
            to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR] + lane_number * n[N.OUT_LANE]
            to += _INT(o0 * _INT(n[N.OUT0]) + o1 * _INT(n[N.OUT1]) + o2 * _INT(n[N.OUT2]))
            store(output, to, finish(s, divisor, inside, 0, p))
            if numbered:
                flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2] + near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
                flat += lane_number * n[N.UNIT_LANE]
                by = _LONG(near) * n[N.AUX_NEAR] + _LONG(far) * n[N.AUX_FAR] + lane_number * n[N.AUX_LANE]
                by += _INT(o0 * _INT(n[N.AUX0]) + o1 * _INT(n[N.AUX1]) + o2 * _INT(n[N.AUX2]))
                store(aux, by, place(s, flat))

    return rebound(kernel)
