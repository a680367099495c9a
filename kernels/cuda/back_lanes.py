"""Gradients across lanes: a thread makes one element of x's gradient, of a vector of neighbouring lanes.

With a vector of 1 it takes any layout. The window's numbers are read; no two windows share an element. Reads ``source``
and, by role, indices or x from ``aux``; writes ``output``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.lanes import make_accesses
from fastpool.kernels.cuda.memory import DECODE, ENCODE, SCALARS, divide
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import make_parts, shares
from fastpool.kernels.cuda.thread import between, make_coordinates
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64


@device
def window(i0, i1, i2, n):
    """The window that an element may be in: its number along each axis, the element's tap of it, and whether it is."""
    p0, p1, p2 = _INT(i0 + _INT(n[N.PAD0])), _INT(i1 + _INT(n[N.PAD1])), _INT(i2 + _INT(n[N.PAD2]))
    o0, o1 = divide(p0, _INT(n[N.STRIDE0])), divide(p1, _INT(n[N.STRIDE1]))
    o2 = divide(p2, _INT(n[N.STRIDE2]))
    j0, j1 = _INT(p0 - o0 * _INT(n[N.STRIDE0])), _INT(p1 - o1 * _INT(n[N.STRIDE1]))
    j2 = _INT(p2 - o2 * _INT(n[N.STRIDE2]))
    there = (o0 >= 0) & (o0 < _INT(n[N.SIZE0])) & (o1 >= 0) & (o1 < _INT(n[N.SIZE1]))
    there = there & (o2 >= 0) & (o2 < _INT(n[N.SIZE2]))
    there = there & (j0 < _INT(n[N.KERNEL0])) & (j1 < _INT(n[N.KERNEL1])) & (j2 < _INT(n[N.KERNEL2]))
    return o0, o1, o2, j0, j1, j2, there


def make_lanes_gather(variant: Variant, vector: int) -> Any:
    """The kernel of a gradient of sums: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``."""
    nothing, leaf, _, _, finish, _ = make_parts(variant)
    read, write = make_accesses(vector)
    coordinates, sharing = make_coordinates(2), shares(variant)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type, reads_x = SCALARS[variant.state[0]], variant.reduction.push_reads_x

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, i2, i1, i0, near, far = coordinates(t, n)
        o0, o1, o2, j0, j1, j2, there = window(i0, i1, i2, n)
        raw, total = cuda.local.array(vector, source_type), cuda.local.array(vector, state_type)
        for v in range(vector):
            total[v] = nothing()
        if there:
            divisor = n[N.DIVISOR]
            if sharing and divisor == 0:
                lead = between(_INT(i0 - j0), _INT(n[N.KERNEL0]), n[N.LOW0], n[N.HIGH0])
                lead *= between(_INT(i1 - j1), _INT(n[N.KERNEL1]), n[N.LOW1], n[N.HIGH1])
                lead *= between(_INT(i2 - j2), _INT(n[N.KERNEL2]), n[N.LOW2], n[N.HIGH2])
                divisor = _LONG(lead)
            x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR] + c * vector * n[N.STEP_LANE]
            step = _INT(o0 * _INT(n[N.STEP0]) + o1 * _INT(n[N.STEP1]) + o2 * _INT(n[N.STEP2]))
            read(raw, 0, source, x + step)
            for v in range(vector):
                total[v] = leaf(raw[v], divisor, p)
        made, given = cuda.local.array(vector, output_type), cuda.local.array(vector, aux_type)
        if reads_x:
            by = _LONG(near) * n[N.AUX_NEAR] + _LONG(far) * n[N.AUX_FAR] + c * vector * n[N.AUX_LANE]
            read(given, 0, aux, by + _INT(i0 * _INT(n[N.AUX0]) + i1 * _INT(n[N.AUX1]) + i2 * _INT(n[N.AUX2])))
        for v in range(vector):
            made[v] = finish(total[v], _LONG(1), _LONG(1), given[v], p)
        to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR] + c * vector * n[N.OUT_LANE]
        write(output, to + _INT(i0 * _INT(n[N.OUT0]) + i1 * _INT(n[N.OUT1]) + i2 * _INT(n[N.OUT2])), made)

    return rebound(kernel)


def make_lanes_scatter(variant: Variant, vector: int) -> Any:
    """The kernel of a gradient of a selection, likewise."""
    decode, encode = device(DECODE[variant.source]), device(ENCODE[variant.output])
    read, write = make_accesses(vector)
    coordinates, by_tap = make_coordinates(2), variant.aux != "i64"
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type = SCALARS[variant.state[0]]

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, i2, i1, i0, near, far = coordinates(t, n)
        o0, o1, o2, j0, j1, j2, there = window(i0, i1, i2, n)
        raw, raw_index = cuda.local.array(vector, source_type), cuda.local.array(vector, aux_type)
        total = cuda.local.array(vector, state_type)
        for v in range(vector):
            total[v] = 0
        if there:
            x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR] + c * vector * n[N.STEP_LANE]
            y = _LONG(near) * n[N.AUX_NEAR] + _LONG(far) * n[N.AUX_FAR] + c * vector * n[N.AUX_LANE]
            step = _INT(o0 * _INT(n[N.STEP0]) + o1 * _INT(n[N.STEP1]) + o2 * _INT(n[N.STEP2]))
            read(raw, 0, source, x + step)
            step = _INT(o0 * _INT(n[N.AUX0]) + o1 * _INT(n[N.AUX1]) + o2 * _INT(n[N.AUX2]))
            read(raw_index, 0, aux, y + step)
            tap, flat = _INT(j0 * _INT(n[N.JUMP0]) + j1 * _INT(n[N.JUMP1]) + j2 * _INT(n[N.JUMP2])), _LONG(0)
            if not by_tap:
                flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2] + near * n[N.UNIT_NEAR]
                flat += far * n[N.UNIT_FAR] + c * vector * n[N.UNIT_LANE]
            for v in range(vector):
                own = aux_type(tap if by_tap else flat + v * n[N.UNIT_LANE])
                if raw_index[v] == own:
                    total[v] = state_type(total[v] + decode(raw[v]))
        made = cuda.local.array(vector, output_type)
        for v in range(vector):
            made[v] = encode(total[v])
        to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR] + c * vector * n[N.OUT_LANE]
        write(output, to + _INT(i0 * _INT(n[N.OUT0]) + i1 * _INT(n[N.OUT1]) + i2 * _INT(n[N.OUT2])), made)

    return rebound(kernel)
