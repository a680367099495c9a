"""Forward along rows: a thread makes a vector of neighbouring outputs, for windows whose numbers are compiled in.

It reads what they need of each row of taps once: a vector of 16 bytes or more, and the elements beside it::

    kernel 3, stride 2, padding 1, 4 outputs     . [0 1 2 3 4 5 6 7]      one element before, none behind
    kernel 3, stride 1, padding 1, 4 outputs     . [0 1 2 3] .            one element at each side

Rows are combined first, column by column, along the first axis and then the second; then each output combines its
columns. With up to three taps along an axis that is the order of summation. Taps beside the input are the state of no
tap. Reads ``source``, writes ``output`` and, with indices, ``aux``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import SCALARS, load, store, vector_load, vector_store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import rebound
from fastpool.kernels.cuda.parts import count_of, make_parts
from fastpool.kernels.cuda.thread import between, make_coordinates, make_states
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64

Window = tuple[tuple[int, int, int], tuple[int, int, int]]
"""Kernel sizes and strides of three axes."""


def make_rows(variant: Variant, window: Window, vector: int, left: int) -> Any:
    """The kernel of a variant for one window: ``vector`` outputs a thread, ``left`` padding before a row.

    ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``. Rows of the input are as long as their outputs
    times the stride, and whole vectors. With a ``left`` of -1 they may be of any length, with any padding, and are read
    and written element by element.
    """
    loose = left < 0
    (k0, k1, k2), (s0, s1, s2) = window
    nothing, leaf, combine, moved, finish, place = make_parts(variant)
    get, put = make_states(variant)
    coordinates = make_coordinates(1)
    numbered = variant.role == "index"
    counts_taps = (variant.reduction.counted or len(variant.state) == 2) and not numbered
    main, columns = vector * s2, (vector - 1) * s2 + k2
    behind = columns if loose else left + main
    before = columns if loose else left
    load_main, store_outputs = vector_load(main), vector_store(vector)
    # a divisor is made a number of the states' type from 32 bits: from 64 it takes several instructions
    number = count_of(variant)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, _, o1, o0, near, far = coordinates(t, n)
        raw = cuda.local.array(main, source_type)
        row, row_counts = cuda.local.array(columns, state_type), cuda.local.array(columns, count_type)
        slab, slab_counts = cuda.local.array(columns, state_type), cuda.local.array(columns, count_type)
        total, total_counts = cuda.local.array(columns, state_type), cuda.local.array(columns, count_type)
        i0, i1 = _INT(o0 * s0 - _INT(n[N.PAD0])), _INT(o1 * s1 - _INT(n[N.PAD1]))
        i2 = _INT(c * main - (_INT(n[N.PAD2]) if loose else left))
        x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR]
        for j1 in range(k1):
            for j0 in range(k0):
                p0, p1 = _INT(i0 + j0), _INT(i1 + j1)
                amount = _INT(j0 * _INT(n[N.JUMP0]) + j1 * _INT(n[N.JUMP1]))
                for u in range(columns):
                    put(row, row_counts, u, nothing())
                if (p0 >= 0) & (p0 < _INT(n[N.SIZE0])) & (p1 >= 0) & (p1 < _INT(n[N.SIZE1])):
                    at = x + _INT(p0 * _INT(n[N.STEP0]) + p1 * _INT(n[N.STEP1]) + i2)
                    if not loose:
                        load_main(raw, 0, source, at + left)
                        for u in range(main):
                            if left + u < columns:
                                put(row, row_counts, left + u, moved(leaf(raw[u], _LONG(1), p), amount))
                    for u in range(before):
                        if (i2 + u >= 0) & ((not loose) | (i2 + u < _INT(n[N.SIZE2]))):
                            put(row, row_counts, u, moved(leaf(load(source, at + u), _LONG(1), p), amount))
                    for u in range(behind, columns):
                        if i2 + u < _INT(n[N.SIZE2]):
                            put(row, row_counts, u, moved(leaf(load(source, at + u), _LONG(1), p), amount))
                for u in range(columns):
                    s = get(row, row_counts, u)
                    if j0 > 0:
                        s = combine(get(slab, slab_counts, u), s)
                    put(slab, slab_counts, u, s)
            for u in range(columns):
                s = get(slab, slab_counts, u)
                if j1 > 0:
                    s = combine(get(total, total_counts, u), s)
                put(total, total_counts, u, s)
        made, beside = cuda.local.array(vector, output_type), cuda.local.array(vector, aux_type)
        lead, lead_inside, fixed = _INT(1), _INT(1), number(n[N.DIVISOR])
        if counts_taps:
            lead = _INT(between(i0, k0, n[N.LOW0], n[N.HIGH0]) * between(i1, k1, n[N.LOW1], n[N.HIGH1]))
            lead_inside = _INT(between(i0, k0, 0, n[N.FORWARD0]) * between(i1, k1, 0, n[N.FORWARD1]))
        flat = _LONG(0)
        if numbered:
            flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2] + near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
        for v in range(vector):
            s = get(total, total_counts, v * s2)
            for j in range(1, k2):
                s = combine(s, moved(get(total, total_counts, v * s2 + j), _INT(j * _INT(n[N.JUMP2]))))
            divisor, inside = number(1), _INT(1)
            if counts_taps:
                first = _INT(i2 + v * s2)
                divisor = number(_INT(lead * between(first, k2, n[N.LOW2], n[N.HIGH2])))
                inside = _INT(lead_inside * between(first, k2, 0, n[N.FORWARD2]))
            if n[N.DIVISOR] != 0:
                divisor, inside = fixed, _INT(-1)
            made[v] = finish(s, divisor, inside, 0, p)
            if numbered:
                beside[v] = place(s, flat + (v * s2) * n[N.UNIT2])
        to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR]
        to += _INT(o0 * _INT(n[N.OUT0]) + o1 * _INT(n[N.OUT1]) + c * vector)
        if loose:
            for v in range(vector):
                if c * vector + v < _INT(n[N.WINDOWS2]):
                    store(output, to + v, made[v])
        else:
            store_outputs(output, to, made)
        if numbered:
            by = _LONG(near) * n[N.AUX_NEAR] + _LONG(far) * n[N.AUX_FAR]
            by += _INT(o0 * _INT(n[N.AUX0]) + o1 * _INT(n[N.AUX1]) + c * vector)
            if loose:
                for v in range(vector):
                    if c * vector + v < _INT(n[N.WINDOWS2]):
                        store(aux, by + v, beside[v])
            else:
                store_outputs(aux, by, beside)

    return rebound(kernel)
