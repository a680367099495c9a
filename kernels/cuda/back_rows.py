"""Gradients along rows: a thread makes a vector of neighbouring elements, for windows whose numbers are compiled in.

It reads, of each row of windows that holds its elements, the gradients (and indices) of all windows that hold one of
them: a whole vector, and a few beside it. Which of these a given element belongs to is known at compile time::

    kernel 3, stride 2, padding 1       elements   8   9  10  11        windows 4 and 5 are the vector
                                        windows    4  4 5  5  5 6       window 6 stands beside it

A gradient of sums adds rows of windows first, along the first axis and then the second, then the windows of a row: with
up to three along an axis that is the order of summation. A window beside all others counts as the state of no tap. A
gradient of a selection adds, in row-major order, the windows whose index names the element.

Reads ``source`` and, by role, indices or x from ``aux``; writes ``output``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import DECODE, ENCODE, SCALARS, load, store, vector_load, vector_store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import make_parts, shares
from fastpool.kernels.cuda.rows import Window
from fastpool.kernels.cuda.thread import between, make_coordinates
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64


def windows_of(kernel: int, stride: int) -> int:
    """Windows that hold one position, at most."""
    return (kernel - 1) // stride + 1


def neutral(variant: Variant) -> Any:
    """What leaves any state as it is when it is added to it: of floats -0."""
    real = SCALARS[variant.state[0]]
    return real(-0.0) if variant.state[0][0] == "f" else real(0)


def make_rows_gather(variant: Variant, window: Window, vector: int, left: int, loose: bool = False) -> Any:
    """The kernel of a gradient of sums: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    ``vector`` elements a thread, a multiple of the stride; ``left`` padding before a row. ``loose``: rows may be of any
    length, and are read and written element by element.
    """
    (k0, k1, k2), (s0, s1, s2) = window
    w0, w1, w2 = windows_of(k0, s0), windows_of(k1, s1), windows_of(k2, s2)
    nothing, leaf, combine, _, finish, _ = make_parts(variant)
    coordinates, sharing = make_coordinates(1), shares(variant)
    main, first = vector // s2, left // s2 - w2 + 1
    columns = (vector - 1 + left) // s2 - first + 1
    load_main, store_outputs, load_given = vector_load(main), vector_store(vector), vector_load(vector)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type = SCALARS[variant.state[0]]
    none, reads_x = neutral(variant), variant.reduction.push_reads_x

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, _, i1, i0, near, far = coordinates(t, n)
        raw = cuda.local.array(main, source_type)
        slab, total = cuda.local.array(columns, state_type), cuda.local.array(columns, state_type)
        p0, p1 = _INT(i0 + _INT(n[N.PAD0])), _INT(i1 + _INT(n[N.PAD1]))
        x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR]
        for u in range(columns):
            total[u] = none
        for b in range(w1):
            o1 = _INT(p1 // s1 - (w1 - 1 - b))
            fits1 = p1 - o1 * s1 < k1
            for u in range(columns):
                slab[u] = none
            for a in range(w0):
                o0 = _INT(p0 // s0 - (w0 - 1 - a))
                # a tap of the window must lie on the position
                if fits1 & (p0 - o0 * s0 < k0):
                    there = (o0 >= 0) & (o0 < _INT(n[N.SIZE0])) & (o1 >= 0) & (o1 < _INT(n[N.SIZE1]))
                    at = x + _INT(o0 * _INT(n[N.STEP0]) + o1 * _INT(n[N.STEP1]) + c * main)
                    lead = _INT(1)
                    if sharing:
                        lead = _INT(between(_INT(o0 * s0 - _INT(n[N.PAD0])), k0, n[N.LOW0], n[N.HIGH0]))
                        lead = _INT(lead * between(_INT(o1 * s1 - _INT(n[N.PAD1])), k1, n[N.LOW1], n[N.HIGH1]))
                    if there and not loose:
                        load_main(raw, 0, source, at)
                    for u in range(columns):
                        place = first + u
                        o2 = _INT(c * main + place)
                        s = nothing()
                        if there & (o2 >= 0) & (o2 < _INT(n[N.SIZE2])):
                            divisor = n[N.DIVISOR]
                            if sharing and divisor == 0:
                                divisor = _LONG(lead * between(_INT(o2 * s2 - left), k2, n[N.LOW2], n[N.HIGH2]))
                            if (place >= 0) & (place < main) & (not loose):
                                s = leaf(raw[place], divisor, p)
                            else:
                                s = leaf(load(source, at + place), divisor, p)
                        slab[u] = combine(slab[u], s)
            for u in range(columns):
                total[u] = combine(total[u], slab[u])
        made = cuda.local.array(vector, output_type)
        given = cuda.local.array(vector, aux_type)
        if reads_x:
            by = _LONG(near) * n[N.AUX_NEAR] + _LONG(far) * n[N.AUX_FAR]
            by += _INT(i0 * _INT(n[N.AUX0]) + i1 * _INT(n[N.AUX1]) + c * vector)
            if loose:
                for e in range(vector):
                    if c * vector + e < _INT(n[N.WINDOWS2]):
                        given[e] = load(aux, by + e)
            else:
                load_given(given, 0, aux, by)
        for e in range(vector):
            s = none
            for u in range(columns):
                tap = e + left - s2 * (first + u)
                if (tap >= 0) & (tap < k2):
                    s = combine(s, total[u])
            made[e] = finish(s, _LONG(1), _LONG(1), given[e], p)
        to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR]
        to += _INT(i0 * _INT(n[N.OUT0]) + i1 * _INT(n[N.OUT1]) + c * vector)
        if loose:
            for e in range(vector):
                if c * vector + e < _INT(n[N.WINDOWS2]):
                    store(output, to + e, made[e])
        else:
            store_outputs(output, to, made)

    return rebound(kernel)


def make_rows_scatter(variant: Variant, window: Window, vector: int, left: int, loose: bool = False) -> Any:
    """The kernel of a gradient of a selection, likewise."""
    (k0, k1, k2), (s0, s1, s2) = window
    w0, w1, w2 = windows_of(k0, s0), windows_of(k1, s1), windows_of(k2, s2)
    decode, encode = device(DECODE[variant.source]), device(ENCODE[variant.output])
    coordinates, by_tap = make_coordinates(1), variant.aux != "i64"
    main, first = vector // s2, left // s2 - w2 + 1
    columns = (vector - 1 + left) // s2 - first + 1
    load_main, store_outputs = vector_load(main), vector_store(vector)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type = SCALARS[variant.state[0]]

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, _, i1, i0, near, far = coordinates(t, n)
        raw, raw_index = cuda.local.array(main, source_type), cuda.local.array(main, aux_type)
        total = cuda.local.array(vector, state_type)
        p0, p1 = _INT(i0 + _INT(n[N.PAD0])), _INT(i1 + _INT(n[N.PAD1]))
        x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR]
        y = _LONG(near) * n[N.AUX_NEAR] + _LONG(far) * n[N.AUX_FAR]
        flat = _LONG(0)
        if not by_tap:
            flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
            flat += (c * vector) * n[N.UNIT2]
        for e in range(vector):
            total[e] = 0
        for a in range(w0):
            o0 = _INT(p0 // s0 - (w0 - 1 - a))
            for b in range(w1):
                o1 = _INT(p1 // s1 - (w1 - 1 - b))
                j0, j1 = _INT(p0 - o0 * s0), _INT(p1 - o1 * s1)
                there = (o0 >= 0) & (o0 < _INT(n[N.SIZE0])) & (o1 >= 0) & (o1 < _INT(n[N.SIZE1]))
                if there & (j0 < k0) & (j1 < k1):
                    at = x + _INT(o0 * _INT(n[N.STEP0]) + o1 * _INT(n[N.STEP1]) + c * main)
                    by = y + _INT(o0 * _INT(n[N.AUX0]) + o1 * _INT(n[N.AUX1]) + c * main)
                    lead = _INT(j0 * _INT(n[N.JUMP0]) + j1 * _INT(n[N.JUMP1]))
                    if not loose:
                        load_main(raw, 0, source, at)
                        load_main(raw_index, 0, aux, by)
                    for u in range(columns):
                        place = first + u
                        o2 = _INT(c * main + place)
                        if (o2 >= 0) & (o2 < _INT(n[N.SIZE2])):
                            if (place >= 0) & (place < main) & (not loose):
                                g, named = raw[place], raw_index[place]
                            else:
                                g, named = load(source, at + place), load(aux, by + place)
                            for e in range(vector):
                                tap = e + left - s2 * place
                                if (tap >= 0) & (tap < k2):
                                    if by_tap:
                                        own = aux_type(lead + tap * _INT(n[N.JUMP2]))
                                    else:
                                        own = aux_type(flat + e * n[N.UNIT2])
                                    if named == own:
                                        total[e] = state_type(total[e] + decode(g))
        made = cuda.local.array(vector, output_type)
        for e in range(vector):
            made[e] = encode(total[e])
        to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR]
        to += _INT(i0 * _INT(n[N.OUT0]) + i1 * _INT(n[N.OUT1]) + c * vector)
        if loose:
            for e in range(vector):
                if c * vector + e < _INT(n[N.WINDOWS2]):
                    store(output, to + e, made[e])
        else:
            store_outputs(output, to, made)

    return rebound(kernel)
