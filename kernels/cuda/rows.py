"""Sums along rows, for windows whose numbers are compiled in, and whatever else is combined in a fixed order.

Rows of taps are combined first, column by column, along the first axis and then the second; then each output combines
its columns. With up to three taps along an axis that is the order of summation. Taps beside the input are the state of
no tap.

Reads ``source``, writes ``output``. See ``strips`` for what a thread makes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.means import Divisor, make_means
from fastpool.kernels.cuda.memory import SCALARS, ahead, store, vector_store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import count_of, make_parts
from fastpool.kernels.cuda.strips import Strip, in_turn, make_coordinates, make_images, make_reader
from fastpool.kernels.cuda.thread import between, make_states
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64


def make_rows(variant: Variant, made: Strip) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``."""
    (k0, k1, k2), (s0, s1, s2) = made.window
    loose, vector, strip, deep = made.left < 0, made.vector, made.strip, made.deep
    nothing, _, combine, _, finish, _ = make_parts(variant)
    get, put = make_states(variant)
    counts_taps = (variant.reduction.counted or len(variant.state) == 2) and made.fixed is Divisor.OWN
    coordinates, image = make_coordinates(deep, made.outer), make_images(made.outer)
    read, has_one = make_reader(variant, made), made.fixed is not Divisor.OWN
    main, columns, rows, left = vector * s2, made.columns, made.rows, made.left
    kept = columns * strip
    store_outputs = vector_store(vector)
    pitch, at_pitch = made.pitch, made.pitch > 0
    # a divisor is made a number of the states' type from 32 bits: from 64 it takes several instructions
    number = count_of(variant)
    means, needs_inverse = make_means(variant, made.fixed, vector)
    source_type, output_type = SCALARS[variant.source], SCALARS[variant.output]
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]

    def make_step(b: int) -> Any:
        """Row ``b`` of taps, for all rows of outputs that hold it."""
        holders = [r for r in range(strip) if 0 <= b - r * s1 < k1]
        begun, ended = holders[0], holders[-1] + 1
        # the row of outputs that this is the first row of taps of
        starts = b // s1 if b % s1 == 0 else -1

        def step(row, row_counts, raw, total, total_counts, x, i0, i1, i2, p, n):
            slab, slab_counts = cuda.local.array(columns, state_type), cuda.local.array(columns, count_type)
            for j0 in range(k0):
                # at a pitch that is known the row is told by its number
                read(row, row_counts, raw, x, _INT(b) if at_pitch else _INT(i0 + j0), _INT(i1 + b), i2, p, n)
                for u in range(columns):
                    s = get(row, row_counts, u)
                    if j0 > 0:
                        s = combine(get(slab, slab_counts, u), s)
                    put(slab, slab_counts, u, s)
            for e in range(begun * columns, ended * columns):
                s = get(slab, slab_counts, e % columns)
                if e // columns != starts:
                    s = combine(get(total, total_counts, e), s)
                put(total, total_counts, e, s)

        return device(step)

    every_row = in_turn([make_step(b) for b in range(rows)])

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, q1, o0, near, far = coordinates(t, n)
        raw = cuda.local.array(main, source_type)
        row, row_counts = cuda.local.array(columns, state_type), cuda.local.array(columns, count_type)
        total = cuda.local.array(kept, state_type)
        total_counts = cuda.local.array(kept, count_type)
        i0 = _INT(o0 * s0 - _INT(n[N.PAD0])) if deep else _INT(0)
        i1 = _INT(q1 * (strip * s1) - _INT(n[N.PAD1]))
        i2 = _INT(c * main - (_INT(n[N.PAD2]) if loose else left))
        x = ahead(source, image(near, far, n[N.STEP_NEAR], n[N.STEP_FAR]))
        if at_pitch:
            x = ahead(x, _INT(i1 * pitch))
        every_row(row, row_counts, raw, total, total_counts, x, i0, i1, i2, p, n)
        if at_pitch:
            for e in range(kept):
                at = _INT(i2 + e % columns)
                if (at < 0) | (at >= _INT(n[N.SIZE2])):
                    put(total, total_counts, e, nothing())
        made_now = cuda.local.array(vector, output_type)
        sums, sum_counts = cuda.local.array(vector, state_type), cuda.local.array(vector, count_type)
        values = cuda.local.array(vector, state_type)
        y = ahead(output, image(near, far, n[N.OUT_NEAR], n[N.OUT_FAR]))
        fixed = number(_INT(n[N.DIVISOR]))
        inverse = number(1) / fixed if needs_inverse else number(1)
        for r in range(strip):
            o1 = _INT(q1 * strip + r)
            if o1 < _INT(n[N.WINDOWS1]):
                lead, lead_inside = _INT(1), _INT(1)
                if counts_taps:
                    f1 = _INT(i1 + r * s1)
                    lead = _INT(between(i0, k0, n[N.LOW0], n[N.HIGH0]) * between(f1, k1, n[N.LOW1], n[N.HIGH1]))
                    lead_inside = _INT(between(i0, k0, 0, n[N.FORWARD0]) * between(f1, k1, 0, n[N.FORWARD1]))
                for v in range(vector):
                    s = get(total, total_counts, r * columns + v * s2)
                    for j in range(1, k2):
                        s = combine(s, get(total, total_counts, r * columns + v * s2 + j))
                    put(sums, sum_counts, v, s)
                if has_one:
                    means(made_now, values, sums, sum_counts, fixed, inverse, _INT(-1), p)
                else:
                    for v in range(vector):
                        divisor, inside = number(1), _INT(1)
                        if counts_taps:
                            f2 = _INT(i2 + v * s2)
                            divisor = number(_INT(lead * between(f2, k2, n[N.LOW2], n[N.HIGH2])))
                            inside = _INT(lead_inside * between(f2, k2, 0, n[N.FORWARD2]))
                        made_now[v] = finish(get(sums, sum_counts, v), divisor, inside, 0, p)
                to = _INT(o1 * _INT(n[N.OUT1]) + c * vector)
                if deep:
                    to = _INT(to + o0 * _INT(n[N.OUT0]))
                if loose:
                    for v in range(vector):
                        if c * vector + v < _INT(n[N.WINDOWS2]):
                            store(y, to + v, made_now[v])
                else:
                    store_outputs(y, to, made_now)

    return rebound(kernel)
