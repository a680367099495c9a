"""Forward across lanes: a thread makes one output of a vector of neighbouring lanes (channels, where they come last).

With a vector of 1 it takes any layout: rows that are no whole vectors, and any strides.

The window's numbers are read. Taps are combined along the first axis, then the second, then the third: where the order
matters, in blocks of a power of two taps, up to 15 taps along an axis. Reads ``source``, writes ``output`` and, with
indices, ``aux``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import SCALARS, load, store, vector_load, vector_store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import count_of, make_parts
from fastpool.kernels.cuda.thread import between, make_coordinates, make_states
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64


LEVELS = 4
"""Blocks of taps along an axis that a thread keeps, where taps are combined in their order."""


def make_accesses(vector: int) -> Any:
    """(read, write) of a vector of lanes; of one lane without a condition on where it lies."""
    if vector > 1:
        return vector_load(vector), vector_store(vector)

    def read(array, at, p, i):
        array[at] = load(p, i)

    def write(p, i, array):
        store(p, i, array[0])

    return device(read), device(write)


def make_lanes(variant: Variant, vector: int) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``."""
    nothing, leaf, combine, moved, finish, place = make_parts(variant)
    get, put = make_states(variant)
    read, write = make_accesses(vector)
    coordinates = make_coordinates(2)
    numbered = variant.role == "index"
    counts_taps = (variant.reduction.counted or len(variant.state) == 2) and not numbered
    number = count_of(variant)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]
    together = variant.reduction.repeatable or variant.state[0][0] in "iu"
    levels = 1 if together else LEVELS
    kept = levels * vector

    @device
    def add(values, counts, v, s, j):
        """Adds tap ``j`` of an axis: level ``l`` keeps a block of ``2**l`` taps that waits for the one behind it."""
        carried = True
        for level in range(LEVELS):
            at = level * vector + v
            if carried:
                if (j >> level) & 1 != 0:
                    s = combine(get(values, counts, at), s)
                else:
                    put(values, counts, at, s)
                    carried = False

    @device
    def total_of(values, counts, v, k):
        """The blocks of ``k`` taps, added from the left, which is from the largest."""
        s = nothing()
        empty = True
        for back in range(LEVELS):
            level = LEVELS - 1 - back
            if (k >> level) & 1 != 0:
                block = get(values, counts, level * vector + v)
                s = block if empty else combine(s, block)
                empty = False
        return s

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, o2, o1, o0, near, far = coordinates(t, n)
        raw = cuda.local.array(vector, source_type)
        row, row_counts = cuda.local.array(vector, state_type), cuda.local.array(vector, count_type)
        slab, slab_counts = cuda.local.array(kept, state_type), cuda.local.array(kept, count_type)
        column, column_counts = cuda.local.array(kept, state_type), cuda.local.array(kept, count_type)
        total, total_counts = cuda.local.array(kept, state_type), cuda.local.array(kept, count_type)
        k0, k1, k2 = _INT(n[N.KERNEL0]), _INT(n[N.KERNEL1]), _INT(n[N.KERNEL2])
        s0, s1, s2 = _INT(n[N.STRIDE0]), _INT(n[N.STRIDE1]), _INT(n[N.STRIDE2])
        d0, d1, d2 = _INT(n[N.DILATION0]), _INT(n[N.DILATION1]), _INT(n[N.DILATION2])
        i0, i1 = _INT(o0 * s0 - _INT(n[N.PAD0])), _INT(o1 * s1 - _INT(n[N.PAD1]))
        i2 = _INT(o2 * s2 - _INT(n[N.PAD2]))
        x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR] + c * vector * n[N.STEP_LANE]
        for v in range(vector):
            put(total, total_counts, v, nothing())
        for j2 in range(k2):
            p2 = _INT(i2 + j2 * d2)
            inside2 = (p2 >= 0) & (p2 < _INT(n[N.SIZE2]))
            if together & (not inside2):
                continue
            for j1 in range(k1):
                p1 = _INT(i1 + j1 * d1)
                inside1 = inside2 & (p1 >= 0) & (p1 < _INT(n[N.SIZE1]))
                if together & (not inside1):
                    continue
                for j0 in range(k0):
                    p0 = _INT(i0 + j0 * d0)
                    inside0 = inside1 & (p0 >= 0) & (p0 < _INT(n[N.SIZE0]))
                    if together & (not inside0):
                        continue
                    amount = _INT(j0 * _INT(n[N.JUMP0]) + j1 * _INT(n[N.JUMP1]) + j2 * _INT(n[N.JUMP2]))
                    for v in range(vector):
                        put(row, row_counts, v, nothing())
                    if inside0:
                        step = _INT(p0 * _INT(n[N.STEP0]) + p1 * _INT(n[N.STEP1]) + p2 * _INT(n[N.STEP2]))
                        read(raw, 0, source, x + step)
                        for v in range(vector):
                            put(row, row_counts, v, moved(leaf(raw[v], _LONG(1), p), amount))
                    for v in range(vector):
                        s = get(row, row_counts, v)
                        if together:
                            put(total, total_counts, v, combine(get(total, total_counts, v), s))
                        else:
                            add(slab, slab_counts, v, s, j0)
                if not together:
                    for v in range(vector):
                        add(column, column_counts, v, total_of(slab, slab_counts, v, k0), j1)
            if not together:
                for v in range(vector):
                    add(total, total_counts, v, total_of(column, column_counts, v, k1), j2)
        made, beside = cuda.local.array(vector, output_type), cuda.local.array(vector, aux_type)
        divisor, inside = number(1), _INT(1)
        if counts_taps:
            many = _INT(between(i0, k0, n[N.LOW0], n[N.HIGH0]) * between(i1, k1, n[N.LOW1], n[N.HIGH1]))
            divisor = number(_INT(many * between(i2, k2, n[N.LOW2], n[N.HIGH2])))
            many = _INT(between(i0, k0, 0, n[N.FORWARD0]) * between(i1, k1, 0, n[N.FORWARD1]))
            inside = _INT(many * between(i2, k2, 0, n[N.FORWARD2]))
        if n[N.DIVISOR] != 0:
            divisor, inside = number(n[N.DIVISOR]), _INT(-1)
        flat = _LONG(0)
        if numbered:
            flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2] + near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
            flat += c * vector * n[N.UNIT_LANE]
        for v in range(vector):
            s = get(total, total_counts, v) if together else total_of(total, total_counts, v, k2)
            made[v] = finish(s, divisor, inside, 0, p)
            if numbered:
                beside[v] = place(s, flat + v * n[N.UNIT_LANE])
        to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR] + c * vector * n[N.OUT_LANE]
        write(output, to + _INT(o0 * _INT(n[N.OUT0]) + o1 * _INT(n[N.OUT1]) + o2 * _INT(n[N.OUT2])), made)
        if numbered:
            by = _LONG(near) * n[N.AUX_NEAR] + _LONG(far) * n[N.AUX_FAR] + c * vector * n[N.AUX_LANE]
            write(aux, by + _INT(o0 * _INT(n[N.AUX0]) + o1 * _INT(n[N.AUX1]) + o2 * _INT(n[N.AUX2])), beside)

    return rebound(kernel)
