"""The largest or smallest along rows, and its index, for windows whose numbers are compiled in.

A row of taps is combined to one state for each output of a row, and that with the states of all rows of outputs that
hold it: taps come in their order, so that of equal ones the first is found without a look at its index. Taps beside the
input are the nearest ones inside, which their window holds, too; with indices the lowest element.

Reads ``source``, writes ``output`` and, with indices, ``aux``. See ``strips`` for what a thread makes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import SCALARS, ahead, store, vector_store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import make_parts
from fastpool.kernels.cuda.strips import Strip, in_turn, make_coordinates, make_images, make_named, make_reader
from fastpool.kernels.cuda.thread import make_states
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64
_ZERO = _INT(0)


def make_rows_select(variant: Variant, made: Strip) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    Every window has a tap inside, and the index of a tap is larger than those of all taps before it.
    """
    (k0, k1, k2), (s0, s1, s2) = made.window
    loose, vector, strip, deep = made.left < 0, made.vector, made.strip, made.deep
    nothing, _, combine, moved, finish, place = make_parts(variant)
    get, put = make_states(variant)
    numbered = variant.role == "index"
    follow = variant.reduction.follow
    order = combine if follow is None else device(follow)
    named = make_named(variant)
    coordinates, image = make_coordinates(deep, made.outer), make_images(made.outer)
    read = make_reader(variant, made)
    main, columns, rows, left = vector * s2, made.columns, made.rows, made.left
    kept = vector * strip
    store_outputs = vector_store(vector)
    pitch, at_pitch = made.pitch, made.pitch > 0
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]

    def make_step(j0: int, b: int) -> Any:
        """Row ``b`` of taps in slab ``j0``, for all rows of outputs that hold it."""
        holders = [r for r in range(strip) if 0 <= b - r * s1 < k1]
        begun, ended = holders[0], holders[-1] + 1

        def step(row, row_counts, raw, best, best_counts, x, i0, i1, i2, p, n):
            p0, p1 = _INT(i0 + j0), _INT(i1 + b)
            taps, tap_counts = cuda.local.array(vector, state_type), cuda.local.array(vector, count_type)
            read(row, row_counts, raw, x, _INT(b) if at_pitch else p0, p1, i2, p, n)
            for v in range(vector):
                s = get(row, row_counts, v * s2)
                for j in range(1, k2):
                    s = order(s, moved(get(row, row_counts, v * s2 + j), _INT(j * _INT(n[N.JUMP2]))))
                put(taps, tap_counts, v, s)
            for e in range(begun * vector, ended * vector):
                amount = _INT(j0 * _INT(n[N.JUMP0]) + (b - e // vector * s1) * _INT(n[N.JUMP1]))
                s = moved(get(taps, tap_counts, e % vector), amount)
                put(best, best_counts, e, order(get(best, best_counts, e), s))

        return device(step)

    every_row = in_turn([make_step(j0, b) for j0 in range(k0) for b in range(rows)])

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, q1, o0, near, far = coordinates(t, n)
        raw = cuda.local.array(main, source_type)
        row, row_counts = cuda.local.array(columns, state_type), cuda.local.array(columns, count_type)
        best = cuda.local.array(kept, state_type)
        best_counts = cuda.local.array(kept, count_type)
        i0 = _INT(o0 * s0 - _INT(n[N.PAD0])) if deep else _INT(0)
        i1 = _INT(q1 * (strip * s1) - _INT(n[N.PAD1]))
        i2 = _INT(c * main - (_INT(n[N.PAD2]) if loose else left))
        x = ahead(source, image(near, far, n[N.STEP_NEAR], n[N.STEP_FAR]))
        if at_pitch:
            x = ahead(x, _INT(i1 * pitch))
        for e in range(kept):
            put(best, best_counts, e, nothing())
        every_row(row, row_counts, raw, best, best_counts, x, i0, i1, i2, p, n)
        made_now, beside = cuda.local.array(vector, output_type), cuda.local.array(vector, aux_type)
        y = ahead(output, image(near, far, n[N.OUT_NEAR], n[N.OUT_FAR]))
        z = ahead(aux, image(near, far, n[N.AUX_NEAR], n[N.AUX_FAR])) if numbered else aux
        flat = _LONG(0)
        if numbered:
            flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2] + near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
        for r in range(strip):
            o1 = _INT(q1 * strip + r)
            if o1 < _INT(n[N.WINDOWS1]):
                first0, first1 = max(_INT(-i0), _ZERO), max(_INT(-i1 - r * s1), _ZERO)
                for v in range(vector):
                    s = get(best, best_counts, r * vector + v)
                    s = named(s, first0, first1, max(_INT(-i2 - v * s2), _ZERO), n)
                    made_now[v] = finish(s, _LONG(1), _LONG(1), 0, p)
                    if numbered:
                        beside[v] = place(s, flat + (r * s1) * n[N.UNIT1] + (v * s2) * n[N.UNIT2])
                to = _INT(o1 * _INT(n[N.OUT1]) + c * vector)
                by = _INT(o1 * _INT(n[N.AUX1]) + c * vector)
                if deep:
                    to, by = _INT(to + o0 * _INT(n[N.OUT0])), _INT(by + o0 * _INT(n[N.AUX0]))
                if loose:
                    for v in range(vector):
                        if c * vector + v < _INT(n[N.WINDOWS2]):
                            store(y, to + v, made_now[v])
                            if numbered:
                                store(z, by + v, beside[v])
                else:
                    store_outputs(y, to, made_now)
                    if numbered:
                        store_outputs(z, by, beside)

    return rebound(kernel)
