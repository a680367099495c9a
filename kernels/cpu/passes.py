"""The passes of a sweep: every loop over typed memory that a reduction needs, for one role and element type.

``passes(w)`` makes the pass that is called for; ``w`` are the words (see ``words``), after them one more: the pass's
number. A pass reads and writes whole rows of scratch, or a run of outputs::

    LEAF    row = lift(source row)                         MERGE   row A = row A . row B
    PAIR    row = lift(source A) . lift(source B)          JOIN    row OUT = row A . row B
    TRIPLE  row = PAIR . lift(source C)                    HALVE   state j = state 2j . state 2j + 1
    EMIT    output k = lower(state A + k [. state B + k])  PACK    a dense row from strided memory

where ``.`` combines, and B gains AMOUNT taps. Outputs along a row are neighbours in a vector (rows family); or the
lanes of one output are (lanes family).
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.memory import CODES, DECODE, ENCODE, SCALARS, float_of_bits, pointer
from fastpool.kernels.cpu.state import (
    bind_pair,
    bind_single,
    get_pair,
    get_single,
    inlined,
    make_shift,
    put_pair,
    put_single,
    shift_none,
)
from fastpool.kernels.cpu.walk import counted
from fastpool.kernels.registry import Variant


def _as_is(v):
    return v


def _as_is_with_p(x, p):
    return x


def make_store(variant: Variant) -> Any:
    """``store(y, aux, d, i, s, count, inside, index, p)``: writes output ``d`` (aux element ``i``) from state ``s``.

    forward   y = lower(state)
    index     y = lower(state), and the index of the tap that was taken
    weigh     the share of the output's gradient that each tap of the window receives (aux: the output's gradient)
    gather    the gradient of x (aux: the forward's x, where the reduction needs it)
    """
    reduction = variant.reduction
    real = SCALARS[variant.state[0]]
    # pairs count taps themselves and take the divisor as an integer
    number = inlined(_as_is) if len(variant.state) == 2 else real
    encode, decode_aux = ENCODE[variant.output], DECODE[variant.aux]
    lower = inlined(reduction.lower)
    if variant.role == "forward":

        def store(y, aux, d, i, s, count, inside, index, p):
            y[d] = encode(lower(s, number(count), inside, p))

    elif variant.role == "index":
        none = reduction.identity[1]

        def store(y, aux, d, i, s, count, inside, index, p):
            y[d] = encode(lower(s, number(count), inside, p))
            aux[i] = index + s[1] if s[1] < none else -1

    elif variant.role == "weigh":
        pull = inlined(reduction.pull)

        def store(y, aux, d, i, s, count, inside, index, p):
            y[d] = encode(pull(real(decode_aux(aux[i])), s, number(count), inside, p))

    elif reduction.push_reads_x:
        push = inlined(reduction.push)

        def store(y, aux, d, i, s, count, inside, index, p):
            y[d] = encode(push(s, decode_aux(aux[i]), p))

    else:

        def store(y, aux, d, i, s, count, inside, index, p):
            y[d] = encode(s)

    return inlined(store)


def make_passes(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's passes. ``digest`` stands for the sources it was made from."""
    reduction = variant.reduction
    gather = variant.role == "gather"
    share = gather and reduction.counted
    source_code, output_code, aux_code = CODES[variant.source], CODES[variant.output], CODES[variant.aux]
    first_code, second_code = CODES[variant.state[0]], CODES[variant.state[-1]]
    rows_code = first_code if share else source_code
    real, integer = SCALARS[variant.state[0]], SCALARS.get(variant.state[-1])
    pair = len(variant.state) == 2
    get, put, bind = (get_pair, put_pair, bind_pair) if pair else (get_single, put_single, bind_single)
    shift = make_shift(integer) if variant.role == "index" else shift_none
    nothing = tuple(reduction.identity) if pair else reduction.identity[0]
    combine = inlined(reduction.combine)
    lift = inlined(_as_is_with_p if gather else reduction.lift)
    pull = inlined(reduction.pull) if share else inlined(_as_is)
    decode = DECODE["f32"] if share else DECODE[variant.source]
    decode_source = DECODE[variant.source]
    store = make_store(variant)

    def passes(w):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        op = w[W.WORDS]
        t = bind(pointer(w[W.STATES], first_code), pointer(w[W.STATES2], second_code))
        a, b, out, count, amount = w[W.A], w[W.B], w[W.OUT], w[W.COUNT], w[W.AMOUNT]
        lanes = w[W.LANES]
        p = float_of_bits(w[W.PARAM])
        if op == W.FILL:
            for e in range(count):
                put(t, out + e, nothing)
        elif op == W.MERGE:
            # in place: B lies elsewhere, A is read where it is written, which a vectoriser sees only if told so
            for e in range(count):
                put(t, a + e, combine(get(t, a + e), shift(get(t, b + e), amount)))
        elif op == W.JOIN:
            for e in range(count):
                put(t, out + e, combine(get(t, a + e), shift(get(t, b + e), amount)))
        elif op <= W.TRIPLE:
            x = pointer(w[W.SOURCE], rows_code)
            c = w[W.C]
            length, step = w[W.LENGTH], w[W.STEP]
            for segment in range(w[W.SEGMENTS]):
                u, v, z, o = a + segment * step, b + segment * step, c + segment * step, out + segment * lanes
                if op == W.LEAF:
                    for e in range(length):
                        put(t, o + e, lift(decode(x[u + e]), p))
                elif op == W.PAIR:
                    for e in range(length):
                        s = combine(lift(decode(x[u + e]), p), shift(lift(decode(x[v + e]), p), amount))
                        put(t, o + e, s)
                else:
                    for e in range(length):
                        s = combine(lift(decode(x[u + e]), p), shift(lift(decode(x[v + e]), p), amount))
                        put(t, o + e, combine(s, shift(lift(decode(x[z + e]), p), 2 * amount)))
        elif op == W.PACK:
            x = pointer(w[W.X], source_code)
            rows = pointer(w[W.ROWS], rows_code)
            step, lane_step = w[W.STEP], w[W.LANE_STEP]
            if share:
                # a mean's gradient is divided as its window divides, before it is added up
                axis = pointer(w[W.PLAN_AXIS], 4)
                lead, first, fixed = w[W.LEAD], w[W.FIRST], w[W.DIVISOR]
                for k in range(count):
                    divisor = real(fixed if fixed != 0 else lead * counted(axis, 0, first + k))
                    for e in range(lanes):
                        g = real(decode_source(x[a + k * step + e * lane_step]))
                        rows[out + k * lanes + e] = pull(g, g, divisor, 1, p)
            elif lanes == 1:
                for k in range(count):
                    rows[out + k] = x[a + k * step]
            else:
                for k in range(count):
                    for e in range(lanes):
                        rows[out + k * lanes + e] = x[a + k * step + e * lane_step]
        elif op == W.HALVE:
            step = w[W.STEP]
            if lanes == 1:
                for k in range(count):
                    s = combine(get(t, a + 2 * k * step), shift(get(t, a + (2 * k + 1) * step), amount))
                    put(t, out + k, s)
            else:
                for k in range(count):
                    u = a + 2 * k * step
                    for e in range(lanes):
                        s = combine(get(t, u + e), shift(get(t, u + step + e), amount))
                        put(t, out + k * lanes + e, s)
        elif op == W.COPY:
            for e in range(count):
                put(t, out + e, get(t, a + e))
        else:
            y = pointer(w[W.Y], output_code)
            aux = pointer(w[W.AUX], aux_code)
            d, i, index = w[W.D], w[W.I], w[W.INDEX]
            d_step, i_step, index_step = w[W.D_STEP], w[W.I_STEP], w[W.INDEX_STEP]
            divisor, inside = w[W.DIVISOR], w[W.INSIDE]
            two, step = w[W.TWO] != 0, w[W.STEP]
            if op == W.EMIT_ROWS:
                # the loops differ in what is a constant 1: with a run-time stride none would be vectorised
                if (step == 1) & (d_step == 1) & (i_step == 1):
                    if two:
                        for k in range(count):
                            s = combine(get(t, a + k), shift(get(t, b + k), amount))
                            store(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                    else:
                        for k in range(count):
                            s = get(t, a + k)
                            store(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                else:
                    for k in range(count):
                        s = get(t, a + k * step)
                        if two:
                            s = combine(s, shift(get(t, b + k * step), amount))
                        store(y, aux, d + k * d_step, i + k * i_step, s, divisor, inside, index + k * index_step, p)
            elif op == W.EMIT_WINDOW_ROWS:
                if w[W.LENGTH] == 2:
                    for k in range(count):
                        s = combine(get(t, a + 2 * k), shift(get(t, a + 2 * k + 1), amount))
                        store(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                elif step == 2:
                    for k in range(count):
                        u = a + 2 * k
                        s = combine(get(t, u), shift(get(t, u + 1), amount))
                        s = combine(s, shift(get(t, u + 2), 2 * amount))
                        store(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                else:
                    for k in range(count):
                        u = a + k
                        s = combine(get(t, u), shift(get(t, u + 1), amount))
                        s = combine(s, shift(get(t, u + 2), 2 * amount))
                        store(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
            else:
                d_lane, i_lane, index_lane = w[W.D_LANE], w[W.I_LANE], w[W.INDEX_LANE]
                unit = (d_lane == 1) & (i_lane == 1)
                three = w[W.LENGTH] == 3
                for k in range(count):
                    u, v = a + k * step * lanes, b + k * step * lanes
                    dk, ik, at = d + k * d_step, i + k * i_step, index + k * index_step
                    if op == W.EMIT_WINDOW_LANES:
                        v = u + 2 * lanes
                        if three:
                            for e in range(lanes):
                                s = combine(get(t, u + e), shift(get(t, u + lanes + e), amount))
                                s = combine(s, shift(get(t, v + e), 2 * amount))
                                store(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                        else:
                            for e in range(lanes):
                                s = combine(get(t, u + e), shift(get(t, u + lanes + e), amount))
                                store(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                    elif unit & two:
                        for e in range(lanes):
                            s = combine(get(t, u + e), shift(get(t, v + e), amount))
                            store(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                    elif unit:
                        for e in range(lanes):
                            s = get(t, u + e)
                            store(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                    else:
                        for e in range(lanes):
                            s = get(t, u + e)
                            if two:
                                s = combine(s, shift(get(t, v + e), amount))
                            to, side = dk + e * d_lane, ik + e * i_lane
                            store(y, aux, to, side, s, divisor, inside, at + e * index_lane, p)

    return passes
