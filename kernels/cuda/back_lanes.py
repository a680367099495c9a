"""Gradients across lanes: a thread makes one element of x's gradient, of a vector of neighbouring lanes.

With a vector of 1 it takes any layout. Small windows have their numbers compiled in; of others, whose numbers are read,
no two may share an element. The order is that of ``back_rows``.
Reads ``source`` and, by role, indices or x from ``aux``; writes ``output``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.back_rows import neutral, windows_of
from fastpool.kernels.cuda.lanes import make_accesses
from fastpool.kernels.cuda.memory import DECODE, ENCODE, SCALARS, divide
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import make_parts, shares
from fastpool.kernels.cuda.rows import Window
from fastpool.kernels.cuda.thread import between, make_coordinates
from fastpool.kernels.registry import Variant

_COUNT = N.COUNT
_SIZE0, _SIZE1, _SIZE2, _PAD0, _PAD1, _PAD2 = N.SIZE0, N.SIZE1, N.SIZE2, N.PAD0, N.PAD1, N.PAD2
_STEP0, _STEP1, _STEP2, _STEP_LANE = N.STEP0, N.STEP1, N.STEP2, N.STEP_LANE
_STEP_NEAR, _STEP_FAR, _OUT_NEAR, _OUT_FAR = N.STEP_NEAR, N.STEP_FAR, N.OUT_NEAR, N.OUT_FAR
_OUT0, _OUT1, _OUT2, _OUT_LANE = N.OUT0, N.OUT1, N.OUT2, N.OUT_LANE
_AUX0, _AUX1, _AUX2, _AUX_LANE, _AUX_NEAR, _AUX_FAR = N.AUX0, N.AUX1, N.AUX2, N.AUX_LANE, N.AUX_NEAR, N.AUX_FAR
_KERNEL0, _KERNEL1, _KERNEL2 = N.KERNEL0, N.KERNEL1, N.KERNEL2
_STRIDE0, _STRIDE1, _STRIDE2 = N.STRIDE0, N.STRIDE1, N.STRIDE2
_JUMP0, _JUMP1, _JUMP2 = N.JUMP0, N.JUMP1, N.JUMP2
_UNIT0, _UNIT1, _UNIT2, _UNIT_LANE = N.UNIT0, N.UNIT1, N.UNIT2, N.UNIT_LANE
_UNIT_NEAR, _UNIT_FAR, _DIVISOR = N.UNIT_NEAR, N.UNIT_FAR, N.DIVISOR
_LOW0, _LOW1, _LOW2, _HIGH0, _HIGH1, _HIGH2 = N.LOW0, N.LOW1, N.LOW2, N.HIGH0, N.HIGH1, N.HIGH2
_INT, _LONG = np.int32, np.int64


def make_lanes_gather(variant: Variant, window: Window | None, vector: int) -> Any:
    """The kernel of a gradient of sums: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``."""
    fixed_window = window is not None
    (c0, c1, c2), (v0, v1, v2) = window or ((1, 1, 1), (1, 1, 1))
    w0, w1, w2 = windows_of(c0, v0), windows_of(c1, v1), windows_of(c2, v2)
    nothing, leaf, combine, _, finish, _ = make_parts(variant)
    read, write = make_accesses(vector)
    coordinates, sharing = make_coordinates(2), shares(variant)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type = SCALARS[variant.state[0]]
    none, reads_x = neutral(variant), variant.reduction.push_reads_x

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[_COUNT]):
            return
        c, i2, i1, i0, near, far = coordinates(t, n)
        if fixed_window:
            k0, k1, k2, s0, s1, s2 = _INT(c0), _INT(c1), _INT(c2), _INT(v0), _INT(v1), _INT(v2)
        else:
            k0, k1, k2 = _INT(n[_KERNEL0]), _INT(n[_KERNEL1]), _INT(n[_KERNEL2])
            s0, s1, s2 = _INT(n[_STRIDE0]), _INT(n[_STRIDE1]), _INT(n[_STRIDE2])
        raw = cuda.local.array(vector, source_type)
        slab, column = cuda.local.array(vector, state_type), cuda.local.array(vector, state_type)
        total = cuda.local.array(vector, state_type)
        p0, p1, p2 = _INT(i0 + _INT(n[_PAD0])), _INT(i1 + _INT(n[_PAD1])), _INT(i2 + _INT(n[_PAD2]))
        x = _LONG(near) * n[_STEP_NEAR] + _LONG(far) * n[_STEP_FAR] + c * vector * n[_STEP_LANE]
        for v in range(vector):
            total[v] = none
        for d in range(w2):
            o2 = _INT(divide(p2, s2) - (w2 - 1 - d))
            if p2 - o2 * s2 < k2:
                for v in range(vector):
                    column[v] = none
                for b in range(w1):
                    o1 = _INT(divide(p1, s1) - (w1 - 1 - b))
                    if p1 - o1 * s1 < k1:
                        for v in range(vector):
                            slab[v] = none
                        for a in range(w0):
                            o0 = _INT(divide(p0, s0) - (w0 - 1 - a))
                            if p0 - o0 * s0 < k0:
                                there = (o0 >= 0) & (o0 < _INT(n[_SIZE0])) & (o1 >= 0) & (o1 < _INT(n[_SIZE1]))
                                if there & (o2 >= 0) & (o2 < _INT(n[_SIZE2])):
                                    divisor = n[_DIVISOR]
                                    if sharing and divisor == 0:
                                        lead = between(_INT(o0 * s0 - _INT(n[_PAD0])), k0, n[_LOW0], n[_HIGH0])
                                        lead *= between(_INT(o1 * s1 - _INT(n[_PAD1])), k1, n[_LOW1], n[_HIGH1])
                                        lead *= between(_INT(o2 * s2 - _INT(n[_PAD2])), k2, n[_LOW2], n[_HIGH2])
                                        divisor = _LONG(lead)
                                    step = _INT(o0 * _INT(n[_STEP0]) + o1 * _INT(n[_STEP1]) + o2 * _INT(n[_STEP2]))
                                    read(raw, 0, source, x + step)
                                    for v in range(vector):
                                        slab[v] = combine(slab[v], leaf(raw[v], divisor, p))
                                else:
                                    for v in range(vector):
                                        slab[v] = combine(slab[v], nothing())
                        for v in range(vector):
                            column[v] = combine(column[v], slab[v])
                for v in range(vector):
                    total[v] = combine(total[v], column[v])
        if not fixed_window:
            # a position between two windows is in none
            held = (p0 - divide(p0, s0) * s0 < k0) & (p1 - divide(p1, s1) * s1 < k1) & (p2 - divide(p2, s2) * s2 < k2)
            for v in range(vector):
                total[v] = total[v] if held else nothing()
        made, given = cuda.local.array(vector, output_type), cuda.local.array(vector, aux_type)
        if reads_x:
            by = _LONG(near) * n[_AUX_NEAR] + _LONG(far) * n[_AUX_FAR] + c * vector * n[_AUX_LANE]
            read(given, 0, aux, by + _INT(i0 * _INT(n[_AUX0]) + i1 * _INT(n[_AUX1]) + i2 * _INT(n[_AUX2])))
        for v in range(vector):
            made[v] = finish(total[v], _LONG(1), _LONG(1), given[v], p)
        to = _LONG(near) * n[_OUT_NEAR] + _LONG(far) * n[_OUT_FAR] + c * vector * n[_OUT_LANE]
        write(output, to + _INT(i0 * _INT(n[_OUT0]) + i1 * _INT(n[_OUT1]) + i2 * _INT(n[_OUT2])), made)

    return rebound(kernel)


def make_lanes_scatter(variant: Variant, window: Window | None, vector: int) -> Any:
    """The kernel of a gradient of a selection, likewise."""
    fixed_window = window is not None
    (c0, c1, c2), (v0, v1, v2) = window or ((1, 1, 1), (1, 1, 1))
    w0, w1, w2 = windows_of(c0, v0), windows_of(c1, v1), windows_of(c2, v2)
    decode, encode = device(DECODE[variant.source]), device(ENCODE[variant.output])
    read, write = make_accesses(vector)
    coordinates, by_tap = make_coordinates(2), variant.aux != "i64"
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type = SCALARS[variant.state[0]]

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[_COUNT]):
            return
        c, i2, i1, i0, near, far = coordinates(t, n)
        if fixed_window:
            k0, k1, k2, s0, s1, s2 = _INT(c0), _INT(c1), _INT(c2), _INT(v0), _INT(v1), _INT(v2)
        else:
            k0, k1, k2 = _INT(n[_KERNEL0]), _INT(n[_KERNEL1]), _INT(n[_KERNEL2])
            s0, s1, s2 = _INT(n[_STRIDE0]), _INT(n[_STRIDE1]), _INT(n[_STRIDE2])
        raw, raw_index = cuda.local.array(vector, source_type), cuda.local.array(vector, aux_type)
        total = cuda.local.array(vector, state_type)
        p0, p1, p2 = _INT(i0 + _INT(n[_PAD0])), _INT(i1 + _INT(n[_PAD1])), _INT(i2 + _INT(n[_PAD2]))
        x = _LONG(near) * n[_STEP_NEAR] + _LONG(far) * n[_STEP_FAR] + c * vector * n[_STEP_LANE]
        y = _LONG(near) * n[_AUX_NEAR] + _LONG(far) * n[_AUX_FAR] + c * vector * n[_AUX_LANE]
        flat = _LONG(0)
        if not by_tap:
            flat = i0 * n[_UNIT0] + i1 * n[_UNIT1] + i2 * n[_UNIT2] + near * n[_UNIT_NEAR] + far * n[_UNIT_FAR]
            flat += c * vector * n[_UNIT_LANE]
        for v in range(vector):
            total[v] = 0
        for a in range(w0):
            for b in range(w1):
                for d in range(w2):
                    o0, o1 = _INT(divide(p0, s0) - (w0 - 1 - a)), _INT(divide(p1, s1) - (w1 - 1 - b))
                    o2 = _INT(divide(p2, s2) - (w2 - 1 - d))
                    j0, j1, j2 = _INT(p0 - o0 * s0), _INT(p1 - o1 * s1), _INT(p2 - o2 * s2)
                    there = (o0 >= 0) & (o0 < _INT(n[_SIZE0])) & (o1 >= 0) & (o1 < _INT(n[_SIZE1]))
                    there = there & (o2 >= 0) & (o2 < _INT(n[_SIZE2]))
                    if there & (j0 < k0) & (j1 < k1) & (j2 < k2):
                        step = _INT(o0 * _INT(n[_STEP0]) + o1 * _INT(n[_STEP1]) + o2 * _INT(n[_STEP2]))
                        read(raw, 0, source, x + step)
                        step = _INT(o0 * _INT(n[_AUX0]) + o1 * _INT(n[_AUX1]) + o2 * _INT(n[_AUX2]))
                        read(raw_index, 0, aux, y + step)
                        tap = _INT(j0 * _INT(n[_JUMP0]) + j1 * _INT(n[_JUMP1]) + j2 * _INT(n[_JUMP2]))
                        for v in range(vector):
                            own = aux_type(tap if by_tap else flat + v * n[_UNIT_LANE])
                            if raw_index[v] == own:
                                total[v] = state_type(total[v] + decode(raw[v]))
        made = cuda.local.array(vector, output_type)
        for v in range(vector):
            made[v] = encode(total[v])
        to = _LONG(near) * n[_OUT_NEAR] + _LONG(far) * n[_OUT_FAR] + c * vector * n[_OUT_LANE]
        write(output, to + _INT(i0 * _INT(n[_OUT0]) + i1 * _INT(n[_OUT1]) + i2 * _INT(n[_OUT2])), made)

    return rebound(kernel)
