"""Gradients across lanes, for windows whose numbers are compiled in: a thread makes a tile of elements of some lanes.

A tile is as many elements along each axis as windows are apart, times ``strip`` along axis 1, so that it is known when
it is compiled which taps of which windows they are; each window is read once. With a vector of 1 it takes any layout.

Sums are added along the first axis, then the second, then the third, and a window beside all others counts as the state
of no tap; selections in row-major order.

Reads ``source`` and, by role, indices or x from ``aux``; writes ``output``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.back_rows import make_share, neutral
from fastpool.kernels.cuda.back_scatter import make_add, make_relative
from fastpool.kernels.cuda.back_strips import Tile, make_placed
from fastpool.kernels.cuda.lanes import make_accesses
from fastpool.kernels.cuda.means import Divisor
from fastpool.kernels.cuda.memory import DECODE, ENCODE, SCALARS, ahead
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import make_parts, shares
from fastpool.kernels.cuda.strips import in_turn, make_images
from fastpool.kernels.cuda.thread import between, make_coordinates
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64


def make_places(made: Tile, field: str) -> Any:
    """``place(q0, q1, q2, n)``: (how far a window lies from the first one, whether it is there), of axes 0, 1 and 2.

    For one that is not there: the nearest that is.
    """
    placed0, placed1, placed2 = (make_placed(axis) for axis in range(3))
    step0, step1, step2 = (getattr(N, f"{field}{axis}") for axis in range(3))

    def place(q0, q1, q2, n):
        o0, there0 = placed0(q0, n)
        o1, there1 = placed1(q1, n)
        o2, there2 = placed2(q2, n)
        at = _INT(o0 * _INT(n[step0]) + o1 * _INT(n[step1]) + o2 * _INT(n[step2]))
        return at, there0 & there1 & there2

    return device(place)


def make_lanes_hot_scatter(variant: Variant, made: Tile) -> Any:
    """The kernel of a gradient of a selection: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``."""
    s0, s1, s2 = made.window[1]
    w0, w1, w2 = made.holders
    vector, strip, slabs, rows = made.vector, made.strip, made.slabs, made.rows
    by_tap, (jump0, jump1, jump2) = variant.aux != "i64", made.jumps or (0, 0, 0)
    decode, encode = device(DECODE[variant.source]), device(ENCODE[variant.output])
    read, write = make_accesses(vector)
    image, relative = make_images(2), make_relative(by_tap)
    coordinates = make_coordinates(2)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type, kept = SCALARS[variant.state[0]], slabs * rows * s2 * vector
    of_source, of_aux = make_places(made, "STEP"), make_places(made, "AUX")

    def make_window(b0: int, b1: int, b2: int) -> Any:
        """A window, for all elements of the tile that it holds."""
        pairs = [
            (((a0 * rows + a1) * s2 + a2) * vector, j0 * jump0 + j1 * jump1 + j2 * jump2, a0, a1, a2)
            for a0, j0 in made.taps(0, b0)
            for a1, j1 in made.taps(1, b1)
            for a2, j2 in made.taps(2, b2)
        ]
        add = make_add(by_tap, state_type, pairs)

        def window(total, raw, raw_index, x, z, q0, q1, q2, flat, p, n):
            o0, o1, o2 = _INT(q0 - (w0 - 1 - b0)), _INT(q1 * strip - (w1 - 1 - b1)), _INT(q2 - (w2 - 1 - b2))
            at, there = of_source(o0, o1, o2, n)
            by, _ = of_aux(o0, o1, o2, n)
            read(raw, 0, ahead(x, at), 0)
            read(raw_index, 0, ahead(z, by), 0)
            for v in range(vector):
                value = state_type(decode(raw[v])) if there else state_type(0)
                add(total, value, relative(raw_index[v], flat + v * n[N.UNIT_LANE]), v, n)

        return device(window)

    steps = [(b0, b1, b2) for b0 in range(w0) for b1 in range(made.steps(1)) for b2 in range(w2)]
    every_window = in_turn([make_window(*step) for step in steps])

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, q2, q1, q0, near, far = coordinates(t, n)
        raw, raw_index = cuda.local.array(vector, source_type), cuda.local.array(vector, aux_type)
        total = cuda.local.array(kept, state_type)
        i0, i1 = _INT(q0 * s0 - _INT(n[N.PAD0])), _INT(q1 * (strip * s1) - _INT(n[N.PAD1]))
        i2, lane = _INT(q2 * s2 - _INT(n[N.PAD2])), _INT(c * vector)
        x = ahead(ahead(source, image(near, far, n[N.STEP_NEAR], n[N.STEP_FAR])), _INT(lane * _INT(n[N.STEP_LANE])))
        z = ahead(ahead(aux, image(near, far, n[N.AUX_NEAR], n[N.AUX_FAR])), _INT(lane * _INT(n[N.AUX_LANE])))
        flat = _LONG(0)
        if not by_tap:
            flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2] + near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
            flat += lane * n[N.UNIT_LANE]
        for e in range(kept):
            total[e] = 0
        every_window(total, raw, raw_index, x, z, q0, q1, q2, flat, p, n)
        made_now = cuda.local.array(vector, output_type)
        y = ahead(ahead(output, image(near, far, n[N.OUT_NEAR], n[N.OUT_FAR])), _INT(lane * _INT(n[N.OUT_LANE])))
        for a0 in range(slabs):
            for a1 in range(rows):
                for a2 in range(s2):
                    p0, p1, p2 = _INT(i0 + a0), _INT(i1 + a1), _INT(i2 + a2)
                    inside = (p0 >= 0) & (p0 < _INT(n[N.TILE1])) & (p1 >= 0) & (p1 < _INT(n[N.WINDOWS1]))
                    if inside & (p2 >= 0) & (p2 < _INT(n[N.WINDOWS2])):
                        for v in range(vector):
                            made_now[v] = encode(total[((a0 * rows + a1) * s2 + a2) * vector + v])
                        to = _INT(p0 * _INT(n[N.OUT0]) + p1 * _INT(n[N.OUT1]) + p2 * _INT(n[N.OUT2]))
                        write(ahead(y, to), 0, made_now)

    return rebound(kernel)


def make_lanes_hot_gather(variant: Variant, made: Tile) -> Any:
    """The kernel of a gradient of sums, likewise."""
    (k0, k1, k2), (s0, s1, s2) = made.window
    w0, w1, w2 = made.holders
    vector, strip, slabs, rows = made.vector, made.strip, made.slabs, made.rows
    nothing, _, combine, _, finish, _ = make_parts(variant)
    share, needs_inverse = make_share(variant, made.fixed)
    counts_taps = shares(variant) and made.fixed is Divisor.OWN
    read, write = make_accesses(vector)
    image, coordinates = make_images(2), make_coordinates(2)
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type = SCALARS[variant.state[0]]
    in_slab, in_column = slabs * vector, slabs * rows * vector
    kept = in_column * s2
    none, reads_x = neutral(variant), variant.reduction.push_reads_x
    of_source = make_places(made, "STEP")

    def make_window(b0: int, b1: int, b2: int) -> Any:
        """A window's shares, added along axis 0, then with the last of these along axis 1, then along axis 2."""
        slab_taps = [a0 for a0, _ in made.taps(0, b0)]
        row_taps = [a1 for a1, _ in made.taps(1, b1)] if b0 == w0 - 1 else []
        column_taps = [a2 for a2, _ in made.taps(2, b2)] if b0 == w0 - 1 and b1 == made.steps(1) - 1 else []
        begun0, ended0 = slab_taps[0], slab_taps[-1] + 1
        begun1, ended1 = (row_taps[0], row_taps[-1] + 1) if row_taps else (0, 0)
        begun2, ended2 = (column_taps[0], column_taps[-1] + 1) if column_taps else (0, 0)
        starts_slab, starts_column = b0 == 0, b0 == 0 and b1 == 0
        # elements of a slab that are added, one after the other
        many1 = max(1, (ended1 - begun1) * vector)

        def window(total, column, slab, raw, x, q0, q1, q2, inverse, p, n):
            f0, f1, f2 = _INT(q0 - (w0 - 1 - b0)), _INT(q1 * strip - (w1 - 1 - b1)), _INT(q2 - (w2 - 1 - b2))
            at, there = of_source(f0, f1, f2, n)
            by = n[N.DIVISOR]
            if counts_taps:
                lead = between(_INT(f0 * s0 - _INT(n[N.PAD0])), k0, n[N.LOW0], n[N.HIGH0])
                lead *= between(_INT(f1 * s1 - _INT(n[N.PAD1])), k1, n[N.LOW1], n[N.HIGH1])
                lead *= between(_INT(f2 * s2 - _INT(n[N.PAD2])), k2, n[N.LOW2], n[N.HIGH2])
                by = _LONG(lead)
            read(raw, 0, ahead(x, at), 0)
            given = cuda.local.array(vector, state_type)
            if starts_column:
                for e in range(in_column):
                    column[e] = none
            if starts_slab:
                for e in range(in_slab):
                    slab[e] = none
            for v in range(vector):
                given[v] = share(raw[v], by, inverse, p) if there else nothing()
            for e in range(begun0 * vector, ended0 * vector):
                slab[e] = combine(slab[e], given[e % vector])
            for k in range(slabs * (ended1 - begun1) * vector):
                a0 = k // many1
                e = (a0 * rows + begun1) * vector + k % many1
                column[e] = combine(column[e], slab[a0 * vector + k % vector])
            for e in range(begun2 * in_column, ended2 * in_column):
                total[e] = combine(total[e], column[e % in_column])

        return device(window)

    steps = [(b0, b1, b2) for b2 in range(w2) for b1 in range(made.steps(1)) for b0 in range(w0)]
    every_window = in_turn([make_window(*step) for step in steps])

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, q2, q1, q0, near, far = coordinates(t, n)
        raw, slab = cuda.local.array(vector, source_type), cuda.local.array(in_slab, state_type)
        column, total = cuda.local.array(in_column, state_type), cuda.local.array(kept, state_type)
        i0, i1 = _INT(q0 * s0 - _INT(n[N.PAD0])), _INT(q1 * (strip * s1) - _INT(n[N.PAD1]))
        i2, lane = _INT(q2 * s2 - _INT(n[N.PAD2])), _INT(c * vector)
        x = ahead(ahead(source, image(near, far, n[N.STEP_NEAR], n[N.STEP_FAR])), _INT(lane * _INT(n[N.STEP_LANE])))
        inverse = state_type(1)
        if needs_inverse:
            inverse = state_type(1) / state_type(_INT(n[N.DIVISOR]))
        for e in range(kept):
            total[e] = none
        every_window(total, column, slab, raw, x, q0, q1, q2, inverse, p, n)
        made_now, given = cuda.local.array(vector, output_type), cuda.local.array(vector, aux_type)
        y = ahead(ahead(output, image(near, far, n[N.OUT_NEAR], n[N.OUT_FAR])), _INT(lane * _INT(n[N.OUT_LANE])))
        z = aux
        if reads_x:
            z = ahead(ahead(aux, image(near, far, n[N.AUX_NEAR], n[N.AUX_FAR])), _INT(lane * _INT(n[N.AUX_LANE])))
        for a0 in range(slabs):
            for a1 in range(rows):
                for a2 in range(s2):
                    p0, p1, p2 = _INT(i0 + a0), _INT(i1 + a1), _INT(i2 + a2)
                    inside = (p0 >= 0) & (p0 < _INT(n[N.TILE1])) & (p1 >= 0) & (p1 < _INT(n[N.WINDOWS1]))
                    if inside & (p2 >= 0) & (p2 < _INT(n[N.WINDOWS2])):
                        if reads_x:
                            by = _INT(p0 * _INT(n[N.AUX0]) + p1 * _INT(n[N.AUX1]) + p2 * _INT(n[N.AUX2]))
                            read(given, 0, ahead(z, by), 0)
                        for v in range(vector):
                            s = total[a2 * in_column + (a0 * rows + a1) * vector + v]
                            made_now[v] = finish(s, _LONG(1), _LONG(1), given[v], p)
                        to = _INT(p0 * _INT(n[N.OUT0]) + p1 * _INT(n[N.OUT1]) + p2 * _INT(n[N.OUT2]))
                        write(ahead(y, to), 0, made_now)

    return rebound(kernel)
