"""Gradients of selections along rows, for windows whose numbers are compiled in.

An element adds, in row-major order, the gradients of the windows whose index names it. Reads ``source`` and indices
from ``aux``; writes ``output``. See ``back_strips`` for what a thread makes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.back_strips import Tile, make_placed
from fastpool.kernels.cuda.memory import DECODE, ENCODE, SCALARS, ahead, load, store, vector_load, vector_store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.strips import in_turn, make_coordinates, make_images
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64
_FAR = _INT(-(2**31))


Pair = tuple[int, int, int, int, int]
"""An element of a tile that a window holds: its place, its tap's number, and its distances from the first element."""


def make_relative(by_tap: bool) -> Any:
    """``relative(named, flat)``: an index by its distance from that of a tile's first element, or a tap's number."""

    def from_tile(named, flat):
        far = _LONG(named - flat)
        near = _INT(far)
        return near if far == _LONG(near) else _FAR

    def as_tap(named, flat):
        return _INT(named)

    return device(as_tap if by_tap else from_tile)


def make_add(by_tap: bool, state_type: Any, pairs: list[Pair]) -> Any:
    """``add(total, g, named, v, n)``: a window's gradient for lane ``v``, to that of its elements that it names."""
    if len(pairs) > 1:
        half = len(pairs) // 2
        one, other = make_add(by_tap, state_type, pairs[:half]), make_add(by_tap, state_type, pairs[half:])

        def both(total, g, named, v, n):
            one(total, g, named, v, n)
            other(total, g, named, v, n)

        return device(both)
    to, number, a0, a1, a2 = pairs[0]

    def add(total, g, named, v, n):
        own = _INT(number) if by_tap else _INT(a0 * _INT(n[N.UNIT0]) + a1 * _INT(n[N.UNIT1]) + a2 * _INT(n[N.UNIT2]))
        if named == own:
            total[to + v] = state_type(total[to + v] + g)

    return device(add)


def make_rows_scatter(variant: Variant, made: Tile) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``."""
    s0, s1, s2 = made.window[1]
    k2 = made.window[0][2]
    w0, w1, _ = made.holders
    loose, vector, left, deep, strip = made.loose, made.vector, made.left, made.deep, made.strip
    main, first, columns, slabs, rows = made.main, made.first, made.columns, made.slabs, made.rows
    decode, encode = device(DECODE[variant.source]), device(ENCODE[variant.output])
    by_tap = variant.aux != "i64"
    jump0, jump1, jump2 = made.jumps or (0, 0, 0)
    coordinates, image = make_coordinates(deep, made.outer), make_images(made.outer)
    load_main, store_outputs = vector_load(main), vector_store(vector)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type, kept = SCALARS[variant.state[0]], slabs * rows * vector
    relative = make_relative(by_tap)
    placed0, placed1, placed2 = (make_placed(axis) for axis in range(3))

    def make_pair(b0: int, b1: int, u: int) -> list[Pair]:
        """The elements of the tile that window ``u`` of a row holds."""
        found = []
        for a0, j0 in made.taps(0, b0):
            for a1, j1 in made.taps(1, b1):
                for e in range(vector):
                    tap = e + left - s2 * (first + u)
                    if 0 <= tap < k2:
                        number = j0 * jump0 + j1 * jump1 + tap * jump2
                        found.append(((a0 * rows + a1) * vector + e, number, a0, a1, e))
        return found

    def make_window(b0: int, b1: int, u: int) -> Any:
        """Window ``u`` of a row, for the elements that it may name."""
        add, place = make_add(by_tap, state_type, make_pair(b0, b1, u)), first + u
        of_vector = 0 <= place < main and not loose

        def window(total, raw, raw_index, x, z, at, by, there, flat, c, n):
            if of_vector:
                g, named, inside = raw[place], raw_index[place], there
            else:
                o2, inside = placed2(_INT(c * main + place), n)
                g, named = load(x, _INT(at + o2)), load(z, _INT(by + o2))
                inside = inside & there
            value = state_type(decode(g)) if inside else state_type(0)
            add(total, value, relative(named, flat), 0, n)

        return device(window)

    def make_step(b0: int, b1: int) -> Any:
        """A row of windows, for all elements of the tile that it holds."""
        windows = in_turn([make_window(b0, b1, u) for u in range(columns) if make_pair(b0, b1, u)])

        def step(total, raw, raw_index, x, z, q0, q1, flat, c, p, n):
            o1, there = placed1(_INT(q1 * strip - (w1 - 1 - b1)), n)
            at, by = _INT(o1 * _INT(n[N.STEP1])), _INT(o1 * _INT(n[N.AUX1]))
            if deep:
                o0, there0 = placed0(_INT(q0 - (w0 - 1 - b0)), n)
                there = there & there0
                at, by = _INT(at + o0 * _INT(n[N.STEP0])), _INT(by + o0 * _INT(n[N.AUX0]))
            if not loose:
                load_main(raw, 0, ahead(x, _INT(at + c * main)), 0)
                load_main(raw_index, 0, ahead(z, _INT(by + c * main)), 0)
            windows(total, raw, raw_index, x, z, at, by, there, flat, c, n)

        return device(step)

    every = [make_step(b0, b1) for b0 in range(made.steps(0)) for b1 in range(made.steps(1))]
    every_row = in_turn(every)

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, q1, q0, near, far = coordinates(t, n)
        raw, raw_index = cuda.local.array(main, source_type), cuda.local.array(main, aux_type)
        total = cuda.local.array(kept, state_type)
        i0 = _INT(q0 * s0 - _INT(n[N.PAD0])) if deep else _INT(0)
        i1 = _INT(q1 * (strip * s1) - _INT(n[N.PAD1]))
        x = ahead(source, image(near, far, n[N.STEP_NEAR], n[N.STEP_FAR]))
        z = ahead(aux, image(near, far, n[N.AUX_NEAR], n[N.AUX_FAR]))
        flat = _LONG(0)
        if not by_tap:
            flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
            flat += (c * vector) * n[N.UNIT2]
        for e in range(kept):
            total[e] = 0
        every_row(total, raw, raw_index, x, z, q0, q1, flat, c, p, n)
        made_now = cuda.local.array(vector, output_type)
        y = ahead(output, image(near, far, n[N.OUT_NEAR], n[N.OUT_FAR]))
        for a0 in range(slabs):
            for a1 in range(rows):
                p0, p1 = _INT(i0 + a0), _INT(i1 + a1)
                inside = (p1 >= 0) & (p1 < _INT(n[N.WINDOWS1]))
                to = _INT(p1 * _INT(n[N.OUT1]) + c * vector)
                if deep:
                    inside = inside & (p0 >= 0) & (p0 < _INT(n[N.TILE1]))
                    to = _INT(to + p0 * _INT(n[N.OUT0]))
                if inside:
                    for e in range(vector):
                        made_now[e] = encode(total[(a0 * rows + a1) * vector + e])
                    if loose:
                        for e in range(vector):
                            if c * vector + e < _INT(n[N.WINDOWS2]):
                                store(y, to + e, made_now[e])
                    else:
                        store_outputs(y, to, made_now)

    return rebound(kernel)
