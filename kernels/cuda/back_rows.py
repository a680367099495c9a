"""Gradients of sums along rows, for windows whose numbers are compiled in.

Rows of windows are added first, along the first axis and then the second, then the windows of a row: with up to three
along an axis that is the order of summation. A window beside all others counts as the state of no tap.

Reads ``source`` and, where the reduction needs it, x from ``aux``; writes ``output``. See ``back_strips`` for what a
thread makes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels import reductions as R
from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.back_strips import Tile, make_placed
from fastpool.kernels.cuda.means import Divisor, make_quotient
from fastpool.kernels.cuda.memory import DECODE, SCALARS, ahead, load, store, vector_load, vector_store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import make_parts, shares
from fastpool.kernels.cuda.strips import in_turn, make_coordinates, make_images
from fastpool.kernels.cuda.thread import between
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64


def neutral(variant: Variant) -> Any:
    """What leaves any state as it is when it is added to it: of floats -0."""
    real = SCALARS[variant.state[0]]
    return real(-0.0) if variant.state[0][0] == "f" else real(0)


def make_share(variant: Variant, fixed: Divisor) -> tuple[Any, bool]:
    """(``share(v, d, r, p)``, what a window gives each of its elements; whether it needs ``r``, which is 1 / d)."""
    real = SCALARS[variant.state[0]]
    decode, leaf = device(DECODE[variant.source]), make_parts(variant).leaf
    quotient, doubted = None, None
    if variant.reduction.pull is R.share_gradient:
        quotient, doubted = make_quotient(variant.state[0], fixed)

    def by_product(v, d, r, p):
        g = real(decode(v))
        q = quotient(g, real(d), r)
        return real(g / real(d)) if doubted(g, q) else q

    def by_division(v, d, r, p):
        return leaf(v, d, p)

    return device(by_division if quotient is None else by_product), quotient is not None


def make_rows_gather(variant: Variant, made: Tile) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``."""
    (k0, k1, k2), (s0, s1, s2) = made.window
    w0, w1, _ = made.holders
    loose, vector, left, deep, strip = made.loose, made.vector, made.left, made.deep, made.strip
    main, first, columns, slabs, rows = made.main, made.first, made.columns, made.slabs, made.rows
    nothing, _, combine, _, finish, _ = make_parts(variant)
    share, needs_inverse = make_share(variant, made.fixed)
    counts_taps = shares(variant) and made.fixed is Divisor.OWN
    coordinates, image = make_coordinates(deep, made.outer), make_images(made.outer)
    load_main, store_outputs, load_given = vector_load(main), vector_store(vector), vector_load(vector)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type = SCALARS[variant.state[0]]
    in_slab, kept = slabs * columns, slabs * rows * columns
    none, reads_x = neutral(variant), variant.reduction.push_reads_x
    placed0, placed1, placed2 = (make_placed(axis) for axis in range(3))

    def make_read(b0: int, b1: int) -> Any:
        """The shares of a row of windows."""

        def read(row, raw, x, q0, q1, c, inverse, p, n, total, slab):
            f1 = _INT(q1 * strip - (w1 - 1 - b1))
            f0 = _INT(q0 - (w0 - 1 - b0))
            o1, there = placed1(f1, n)
            at = _INT(o1 * _INT(n[N.STEP1]))
            if deep:
                o0, there0 = placed0(f0, n)
                there, at = there & there0, _INT(at + o0 * _INT(n[N.STEP0]))
            lead = _INT(1)
            if counts_taps:
                lead = _INT(between(_INT(f1 * s1 - _INT(n[N.PAD1])), k1, n[N.LOW1], n[N.HIGH1]))
                if deep:
                    lead = _INT(lead * between(_INT(f0 * s0 - _INT(n[N.PAD0])), k0, n[N.LOW0], n[N.HIGH0]))
            if not loose:
                load_main(raw, 0, ahead(x, _INT(at + c * main)), 0)
            for u in range(columns):
                place = first + u
                o2, inside = placed2(_INT(c * main + place), n)
                by = n[N.DIVISOR]
                if counts_taps:
                    by = _LONG(lead * between(_INT((c * main + place) * s2 - left), k2, n[N.LOW2], n[N.HIGH2]))
                if (place >= 0) & (place < main) & (not loose):
                    row[u] = share(raw[place], by, inverse, p) if there else nothing()
                else:
                    row[u] = share(load(x, _INT(at + o2)), by, inverse, p) if there & inside else nothing()

        return device(read)

    def make_along0(b0: int, b1: int) -> Any:
        """A row of windows, added to those before it along axis 0."""
        read = make_read(b0, b1)
        held = [a0 for a0, _ in made.taps(0, b0)]
        # slabs that this is the first row of windows of
        new = [a0 for a0 in held if all(a0 != other for b in range(b0) for other, _ in made.taps(0, b))]
        begun, ended, began = held[0], held[-1] + 1, (new[-1] + 1 if new else 0)

        def along0(row, raw, x, q0, q1, c, inverse, p, n, total, slab):
            read(row, raw, x, q0, q1, c, inverse, p, n, total, slab)
            for a0 in range(begun, ended):
                for u in range(columns):
                    s = row[u]
                    if a0 >= began:
                        s = combine(slab[a0 * columns + u], s)
                    slab[a0 * columns + u] = s

        return device(along0)

    def make_along1(b1: int) -> Any:
        """Those of one place along axis 1, added to those before them."""
        slab_of = in_turn([make_along0(b0, b1) for b0 in range(w0)])
        held = [a1 for a1, _ in made.taps(1, b1)]
        begun, ended = held[0], held[-1] + 1

        def along1(row, raw, x, q0, q1, c, inverse, p, n, total, slab):
            slab_of(row, raw, x, q0, q1, c, inverse, p, n, total, slab)
            for a0 in range(slabs):
                for e in range(begun * columns, ended * columns):
                    at = a0 * rows * columns + e
                    total[at] = combine(total[at], slab[a0 * columns + e % columns])

        return device(along1)

    every_row = in_turn([make_along1(b1) for b1 in range(made.steps(1))])

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, q1, q0, near, far = coordinates(t, n)
        raw, row = cuda.local.array(main, source_type), cuda.local.array(columns, state_type)
        slab, total = cuda.local.array(in_slab, state_type), cuda.local.array(kept, state_type)
        i0 = _INT(q0 * s0 - _INT(n[N.PAD0])) if deep else _INT(0)
        i1 = _INT(q1 * (strip * s1) - _INT(n[N.PAD1]))
        x = ahead(source, image(near, far, n[N.STEP_NEAR], n[N.STEP_FAR]))
        inverse = state_type(1)
        if needs_inverse:
            inverse = state_type(1) / state_type(_INT(n[N.DIVISOR]))
        for u in range(kept):
            total[u] = none
        every_row(row, raw, x, q0, q1, c, inverse, p, n, total, slab)
        made_now, given = cuda.local.array(vector, output_type), cuda.local.array(vector, aux_type)
        y = ahead(output, image(near, far, n[N.OUT_NEAR], n[N.OUT_FAR]))
        z = ahead(aux, image(near, far, n[N.AUX_NEAR], n[N.AUX_FAR])) if reads_x else aux
        for a0 in range(slabs):
            for a1 in range(rows):
                p0, p1 = _INT(i0 + a0), _INT(i1 + a1)
                inside = (p1 >= 0) & (p1 < _INT(n[N.WINDOWS1]))
                to, by = _INT(p1 * _INT(n[N.OUT1]) + c * vector), _INT(p1 * _INT(n[N.AUX1]) + c * vector)
                if deep:
                    inside = inside & (p0 >= 0) & (p0 < _INT(n[N.TILE1]))
                    to, by = _INT(to + p0 * _INT(n[N.OUT0])), _INT(by + p0 * _INT(n[N.AUX0]))
                if inside:
                    if reads_x:
                        if loose:
                            for e in range(vector):
                                if c * vector + e < _INT(n[N.WINDOWS2]):
                                    given[e] = load(z, by + e)
                        else:
                            load_given(given, 0, z, by)
                    for e in range(vector):
                        s = none
                        for u in range(columns):
                            tap = e + left - s2 * (first + u)
                            if (tap >= 0) & (tap < k2):
                                s = combine(s, total[(a0 * rows + a1) * columns + u])
                        made_now[e] = finish(s, _LONG(1), _LONG(1), given[e], p)
                    if loose:
                        for e in range(vector):
                            if c * vector + e < _INT(n[N.WINDOWS2]):
                                store(y, to + e, made_now[e])
                    else:
                        store_outputs(y, to, made_now)

    return rebound(kernel)
