"""Forward across lanes for windows whose numbers are compiled in: a thread makes a strip of outputs of some lanes.

``vector`` neighbouring lanes (channels, where they come last) of ``strip`` neighbouring outputs along axis 1, each of
whose rows of taps is read once. With a vector of 1 it takes any layout: rows that are no whole vectors, any strides.

A selection combines a row of taps first, and that with all outputs that hold the row: taps come in their order. Sums
combine taps along the first axis, then the second, then the third, which with up to three taps along an axis is the
order of summation. Taps beside the input are as in ``strips``.

Reads ``source``, writes ``output`` and, with indices, ``aux``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.lanes import make_accesses
from fastpool.kernels.cuda.means import Divisor, make_means
from fastpool.kernels.cuda.memory import SCALARS, ahead
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import count_of, make_parts
from fastpool.kernels.cuda.strips import Strip, in_turn, make_images, make_named, make_placed, make_settled
from fastpool.kernels.cuda.thread import between, make_coordinates, make_states
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64
_ZERO = _INT(0)


def make_lane_reader(variant: Variant, made: Strip) -> Any:
    """``read(row, row_counts, raw, x, p0, p1, p2, p, n)``: the states of the lanes of a tap."""
    vector = made.vector
    _, leaf, _, _, _, _ = make_parts(variant)
    _, put = make_states(variant)
    load, _ = make_accesses(vector)
    element, state = make_settled(variant)
    placed0, placed1, placed2 = (make_placed(whole) for whole in made.whole)

    def read(row, row_counts, raw, x, p0, p1, p2, p, n):
        q0, there0 = placed0(p0, n[N.SIZE0])
        q1, there1 = placed1(p1, n[N.SIZE1])
        q2, there2 = placed2(p2, n[N.SIZE2])
        there = there0 & there1 & there2
        at = _INT(q0 * _INT(n[N.STEP0]) + q1 * _INT(n[N.STEP1]) + q2 * _INT(n[N.STEP2]))
        load(raw, 0, ahead(x, at), 0)
        for v in range(vector):
            put(row, row_counts, v, state(leaf(element(raw[v], there), _LONG(1), p), there))

    return device(read)


def make_lanes_hot(variant: Variant, made: Strip) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``."""
    (k0, k1, k2), (s0, s1, s2) = made.window
    vector, strip, rows = made.vector, made.strip, made.rows
    select, numbered = variant.reduction.select, variant.role == "index"
    nothing, _, combine, moved, finish, place = make_parts(variant)
    get, put = make_states(variant)
    follow = variant.reduction.follow
    order = combine if follow is None else device(follow)
    named = make_named(variant)
    counts_taps = (variant.reduction.counted or len(variant.state) == 2) and not numbered and made.fixed is Divisor.OWN
    has_one = made.fixed is not Divisor.OWN
    number = count_of(variant)
    means, needs_inverse = make_means(variant, made.fixed, vector)
    coordinates, image = make_coordinates(2), make_images(made.outer)
    read = make_lane_reader(variant, made)
    _, write = make_accesses(vector)
    kept = vector * strip
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]

    def holders(b: int) -> list[int]:
        """The outputs of the strip that row ``b`` of taps is held by."""
        return [r for r in range(strip) if 0 <= b - r * s1 < k1]

    def make_select(j0: int, b: int) -> Any:
        """Row ``b`` of taps in slab ``j0``, for all outputs that hold it."""
        begun, ended = holders(b)[0], holders(b)[-1] + 1

        def step(raw, total, total_counts, column, column_counts, x, i0, i1, i2, p, n):
            row, row_counts = cuda.local.array(vector, state_type), cuda.local.array(vector, count_type)
            best, best_counts = cuda.local.array(vector, state_type), cuda.local.array(vector, count_type)
            for j2 in range(k2):
                read(row, row_counts, raw, x, _INT(i0 + j0), _INT(i1 + b), _INT(i2 + j2), p, n)
                for v in range(vector):
                    s = moved(get(row, row_counts, v), _INT(j2 * _INT(n[N.JUMP2])))
                    if j2 > 0:
                        s = order(get(best, best_counts, v), s)
                    put(best, best_counts, v, s)
            for e in range(begun * vector, ended * vector):
                amount = _INT(j0 * _INT(n[N.JUMP0]) + (b - e // vector * s1) * _INT(n[N.JUMP1]))
                s = moved(get(best, best_counts, e % vector), amount)
                put(total, total_counts, e, order(get(total, total_counts, e), s))

        return device(step)

    def make_sum(j2: int, b: int) -> Any:
        """Tap ``b`` of column ``j2``, for all outputs that hold it; with the last one of an output, its column."""
        begun, ended = holders(b)[0], holders(b)[-1] + 1
        starts = b // s1 if b % s1 == 0 else -1
        ends = (b - k1 + 1) // s1 if b >= k1 - 1 and (b - k1 + 1) % s1 == 0 else -1

        def step(raw, total, total_counts, column, column_counts, x, i0, i1, i2, p, n):
            row, row_counts = cuda.local.array(vector, state_type), cuda.local.array(vector, count_type)
            slab, slab_counts = cuda.local.array(vector, state_type), cuda.local.array(vector, count_type)
            for j0 in range(k0):
                read(row, row_counts, raw, x, _INT(i0 + j0), _INT(i1 + b), _INT(i2 + j2), p, n)
                for v in range(vector):
                    s = get(row, row_counts, v)
                    if j0 > 0:
                        s = combine(get(slab, slab_counts, v), s)
                    put(slab, slab_counts, v, s)
            for r in range(begun, ended):
                for v in range(vector):
                    s, e = get(slab, slab_counts, v), r * vector + v
                    if r != starts:
                        s = combine(get(column, column_counts, e), s)
                    if r == ends:
                        if j2 > 0:
                            s = combine(get(total, total_counts, e), s)
                        put(total, total_counts, e, s)
                    else:
                        put(column, column_counts, e, s)

        return device(step)

    if select:
        every_tap = in_turn([make_select(j0, b) for j0 in range(k0) for b in range(rows)])
    else:
        every_tap = in_turn([make_sum(j2, b) for j2 in range(k2) for b in range(rows)])

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, o2, q1, o0, near, far = coordinates(t, n)
        raw = cuda.local.array(vector, source_type)
        total, total_counts = cuda.local.array(kept, state_type), cuda.local.array(kept, count_type)
        column, column_counts = cuda.local.array(kept, state_type), cuda.local.array(kept, count_type)
        i0, i1 = _INT(o0 * s0 - _INT(n[N.PAD0])), _INT(q1 * (strip * s1) - _INT(n[N.PAD1]))
        i2 = _INT(o2 * s2 - _INT(n[N.PAD2]))
        lane = _INT(c * vector)
        x = ahead(ahead(source, image(near, far, n[N.STEP_NEAR], n[N.STEP_FAR])), _INT(lane * _INT(n[N.STEP_LANE])))
        for e in range(kept):
            put(total, total_counts, e, nothing())
        every_tap(raw, total, total_counts, column, column_counts, x, i0, i1, i2, p, n)
        made_now, beside = cuda.local.array(vector, output_type), cuda.local.array(vector, aux_type)
        sums, sum_counts = cuda.local.array(vector, state_type), cuda.local.array(vector, count_type)
        values = cuda.local.array(vector, state_type)
        y = ahead(ahead(output, image(near, far, n[N.OUT_NEAR], n[N.OUT_FAR])), _INT(lane * _INT(n[N.OUT_LANE])))
        z, flat = aux, _LONG(0)
        if numbered:
            z = ahead(ahead(aux, image(near, far, n[N.AUX_NEAR], n[N.AUX_FAR])), _INT(lane * _INT(n[N.AUX_LANE])))
            flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2] + near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
            flat += lane * n[N.UNIT_LANE]
        fixed = number(_INT(n[N.DIVISOR]))
        inverse = number(1) / fixed if needs_inverse else number(1)
        for r in range(strip):
            o1 = _INT(q1 * strip + r)
            if o1 < _INT(n[N.WINDOWS1]):
                first0, first1, first2 = max(_INT(-i0), _ZERO), max(_INT(-i1 - r * s1), _ZERO), max(_INT(-i2), _ZERO)
                for v in range(vector):
                    s = named(get(total, total_counts, r * vector + v), first0, first1, first2, n)
                    put(sums, sum_counts, v, s)
                    if numbered:
                        beside[v] = place(s, flat + (r * s1) * n[N.UNIT1] + v * n[N.UNIT_LANE])
                if has_one:
                    means(made_now, values, sums, sum_counts, fixed, inverse, _INT(-1), p)
                else:
                    divisor, inside = number(1), _INT(1)
                    if counts_taps:
                        f1 = _INT(i1 + r * s1)
                        many = _INT(between(i0, k0, n[N.LOW0], n[N.HIGH0]) * between(f1, k1, n[N.LOW1], n[N.HIGH1]))
                        divisor = number(_INT(many * between(i2, k2, n[N.LOW2], n[N.HIGH2])))
                        many = _INT(between(i0, k0, 0, n[N.FORWARD0]) * between(f1, k1, 0, n[N.FORWARD1]))
                        inside = _INT(many * between(i2, k2, 0, n[N.FORWARD2]))
                    for v in range(vector):
                        made_now[v] = finish(get(sums, sum_counts, v), divisor, inside, 0, p)
                to = _INT(o0 * _INT(n[N.OUT0]) + o1 * _INT(n[N.OUT1]) + o2 * _INT(n[N.OUT2]))
                write(ahead(y, to), 0, made_now)
                if numbered:
                    by = _INT(o0 * _INT(n[N.AUX0]) + o1 * _INT(n[N.AUX1]) + o2 * _INT(n[N.AUX2]))
                    write(ahead(z, by), 0, beside)

    return rebound(kernel)
