"""The passes of a sweep: every loop over typed memory that a reduction needs, for one role and element type.

``passes(w)`` makes the pass that the words ``w`` call for (see ``words``), on a group of rows at once::

    LEAF    row = lift(source row)                         MERGE   row A = row A . row B
    PAIR    row = lift(source A) . lift(source B)          JOIN    row OUT = row A . row B
    TRIPLE  row = PAIR . lift(source C)                    HALVE   state j = state 2j . state 2j + 1
    EMIT    output k = lower(state A + k [. state B + k])  PACK    a dense row from strided memory

where ``.`` combines, and B gains AMOUNT taps. Outputs along a row are neighbours in a vector (rows family); or the
lanes of one output are (lanes family).
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.memory import (
    CODES,
    DECODE,
    ENCODE,
    OUT,
    SCALARS,
    SOURCE,
    as_float,
    load,
    load_side,
    load_source,
    pointer,
    store,
    store_result,
    store_side,
)
from fastpool.kernels.cpu.state import (
    bind_pair,
    bind_single,
    first_pair,
    first_single,
    inlined,
    make_shift,
    put_pair,
    put_single,
    replace_pair,
    replace_single,
    second_pair,
    second_single,
    shift_none,
)
from fastpool.kernels.registry import Variant


def _as_is(v):
    return v


def make_sharing_lift(pull: Any, real: Any) -> Any:
    """The state of an output's gradient that all taps share: divided by ``p``, which is 1 where PACK has done it."""

    def lift(g, p):
        return pull(real(g), real(g), real(p), 1, p)

    return lift


def make_parameter(variant: Variant) -> Any:
    """``parameter(bits)``: the reduction's parameter from its word."""
    real = SCALARS[variant.state[0]]
    if not variant.reduction.keyed:

        def parameter(bits):
            return as_float(bits)

    elif variant.state[0][0] == "f":

        def parameter(bits):
            return real(as_float(bits))

    else:

        def parameter(bits):
            return real(bits)

    return inlined(parameter)


def make_write(variant: Variant) -> Any:
    """``write(y, aux, d, i, s, count, inside, index, p)``: writes output ``d`` (aux element ``i``) from state ``s``.

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

        def write(y, aux, d, i, s, count, inside, index, p):
            store_result(y, d, encode(lower(s, number(count), inside, p)))

    elif variant.role == "index":
        none = reduction.identity[1]

        def write(y, aux, d, i, s, count, inside, index, p):
            store_result(y, d, encode(lower(s, number(count), inside, p)))
            store_side(aux, i, index + s[1] if s[1] < none else -1)

    elif variant.role == "weigh":
        pull = inlined(reduction.pull)

        def write(y, aux, d, i, s, count, inside, index, p):
            g = real(decode_aux(load_side(aux, i)))
            store_result(y, d, encode(pull(g, s, number(count), inside, p)))

    elif reduction.push_reads_x:
        push = inlined(reduction.push)

        def write(y, aux, d, i, s, count, inside, index, p):
            store_result(y, d, encode(push(s, decode_aux(load_side(aux, i)), p)))

    else:

        def write(y, aux, d, i, s, count, inside, index, p):
            store_result(y, d, encode(s))

    return inlined(write)


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
    first, second, put, replace, bind = (
        (first_pair, second_pair, put_pair, replace_pair, bind_pair)
        if pair
        else (first_single, second_single, put_single, replace_single, bind_single)
    )
    shift = make_shift(integer) if variant.role == "index" else shift_none
    nothing = tuple(reduction.identity) if pair else reduction.identity[0]
    combine = inlined(reduction.combine)
    lift = inlined(make_sharing_lift(reduction.pull, real) if share else reduction.lift)
    pull = inlined(reduction.pull) if share else inlined(_as_is)
    decode = DECODE["f32"] if share else DECODE[variant.source]
    decode_source = DECODE[variant.source]
    write, parameter = make_write(variant), make_parameter(variant)

    def seven(s0, s1, s2, s3, s4, s5, s6, jump):
        """Seven neighbouring taps: 4 + 2 + 1, as binary blocks go."""
        left = combine(combine(s0, shift(s1, jump)), shift(combine(s2, shift(s3, jump)), 2 * jump))
        return combine(combine(left, shift(combine(s4, shift(s5, jump)), 4 * jump)), shift(s6, 6 * jump))

    seven = inlined(seven)

    def seven_rows(x, u, c, p, jump):
        """The states of seven rows, ``c`` apart."""
        return seven(
            lift(decode(load_source(x, u)), p),
            lift(decode(load_source(x, u + c)), p),
            lift(decode(load_source(x, u + 2 * c)), p),
            lift(decode(load_source(x, u + 3 * c)), p),
            lift(decode(load_source(x, u + 4 * c)), p),
            lift(decode(load_source(x, u + 5 * c)), p),
            lift(decode(load_source(x, u + 6 * c)), p),
            jump,
        )

    seven_rows = inlined(seven_rows)

    def passes(w):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        op = w[W.OP]
        t = bind(pointer(w[W.STATES], first_code), pointer(w[W.STATES2], second_code))
        a, b, out, count, amount = w[W.A], w[W.B], w[W.OUT], w[W.COUNT], w[W.AMOUNT]
        rows, pitch, lanes = w[W.ROWS_COUNT], w[W.PITCH], w[W.LANES]
        p = parameter(w[W.PARAM])
        if op == W.FILL:
            for row in range(rows):
                o = out + row * pitch
                for e in range(count):
                    put(t, o + e, nothing)
        elif op == W.MERGE:
            for e in range(count):
                replace(t, a + e, combine(first(t, a + e), shift(second(t, b + e), amount)))
        elif op == W.JOIN:
            for e in range(count):
                put(t, out + e, combine(first(t, a + e), shift(second(t, b + e), amount)))
        elif op <= W.SEVEN:
            x = pointer(w[W.SOURCE], rows_code)
            c, step = w[W.C], w[W.SOURCE_PITCH]
            for row in range(rows):
                u, v, z, o = a + row * step, b + row * step, c + row * step, out + row * pitch
                if op == W.LEAF:
                    for e in range(count):
                        put(t, o + e, lift(decode(load(x, u + e, SOURCE)), p))
                elif op == W.PAIR:
                    for e in range(count):
                        s = lift(decode(load(x, u + e, SOURCE)), p)
                        put(t, o + e, combine(s, shift(lift(decode(load(x, v + e, SOURCE)), p), amount)))
                elif op == W.TRIPLE:
                    for e in range(count):
                        s = lift(decode(load(x, u + e, SOURCE)), p)
                        s = combine(s, shift(lift(decode(load(x, v + e, SOURCE)), p), amount))
                        put(t, o + e, combine(s, shift(lift(decode(load(x, z + e, SOURCE)), p), 2 * amount)))
                else:
                    # global pooling of 7x7 planes ends most networks: in one pass, 27 cycles a plane instead of 90
                    for e in range(count):
                        put(t, o + e, seven_rows(x, u + e, c, p, amount))
        elif op == W.PACK:
            x = pointer(w[W.X], source_code)
            packed = pointer(w[W.ROWS], rows_code)
            step, lane_step, group = w[W.STEP], w[W.LANE_STEP], w[W.X_GROUP]
            divisor = real(w[W.DIVISOR]) if share else 0
            packed_pitch = w[W.SOURCE_PITCH]
            for row in range(rows):
                u, o = a + row * group, out + row * packed_pitch
                if share:
                    # a mean's gradient is divided as its window divides, before it is added up
                    if (lanes == 1) & (step == 1):
                        for k in range(count):
                            g = real(decode_source(load(x, u + k, SOURCE)))
                            store(packed, o + k, pull(g, g, divisor, 1, p), OUT)
                    else:
                        for k in range(count):
                            for e in range(lanes):
                                g = real(decode_source(load(x, u + k * step + e * lane_step, SOURCE)))
                                store(packed, o + k * lanes + e, pull(g, g, divisor, 1, p), OUT)
                elif lanes == 1:
                    for k in range(count):
                        store(packed, o + k, load(x, u + k * step, SOURCE), OUT)
                else:
                    for k in range(count):
                        for e in range(lanes):
                            store(packed, o + k * lanes + e, load(x, u + k * step + e * lane_step, SOURCE), OUT)
        elif op == W.HALVE:
            step = w[W.STEP]
            if lanes == 1:
                for k in range(count):
                    s = combine(first(t, a + 2 * k * step), shift(second(t, a + (2 * k + 1) * step), amount))
                    put(t, out + k, s)
            else:
                for k in range(count):
                    u = a + 2 * k * step
                    for e in range(lanes):
                        s = combine(first(t, u + e), shift(second(t, u + step + e), amount))
                        put(t, out + k * lanes + e, s)
        elif op == W.COPY:
            for e in range(count):
                put(t, out + e, first(t, a + e))
        else:
            y = pointer(w[W.Y], output_code)
            aux = pointer(w[W.AUX], aux_code)
            d_step, i_step, index_step = w[W.D_STEP], w[W.I_STEP], w[W.INDEX_STEP]
            divisor, inside = w[W.DIVISOR], w[W.INSIDE]
            two, step = w[W.TWO] != 0, w[W.STEP]
            unit_rows = (step == 1) & (d_step == 1) & (i_step == 1)
            taps = w[W.KERNEL]
            d_lane, i_lane, index_lane = w[W.D_LANE], w[W.I_LANE], w[W.INDEX_LANE]
            unit_lanes = (d_lane == 1) & (i_lane == 1)
            for row in range(rows):
                ar, br = a + row * pitch, b + row * pitch
                d, i = w[W.D] + row * w[W.D_GROUP], w[W.I] + row * w[W.I_GROUP]
                index = w[W.INDEX] + row * w[W.INDEX_GROUP]
                if op == W.EMIT_ROWS:
                    # the loops differ in what is a constant 1: with a run-time stride none would be vectorised
                    if unit_rows & two:
                        for k in range(count):
                            s = combine(first(t, ar + k), shift(second(t, br + k), amount))
                            write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                    elif unit_rows:
                        for k in range(count):
                            s = first(t, ar + k)
                            write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                    else:
                        for k in range(count):
                            s = first(t, ar + k * step)
                            if two:
                                s = combine(s, shift(second(t, br + k * step), amount))
                            at = index + k * index_step
                            write(y, aux, d + k * d_step, i + k * i_step, s, divisor, inside, at, p)
                elif op == W.EMIT_SEVEN:
                    for k in range(count):
                        u = ar + k * step
                        s = seven(
                            first(t, u),
                            first(t, u + 1),
                            first(t, u + 2),
                            first(t, u + 3),
                            first(t, u + 4),
                            first(t, u + 5),
                            first(t, u + 6),
                            amount,
                        )
                        write(y, aux, d + k * d_step, i + k * i_step, s, divisor, inside, index + k * index_step, p)
                elif op == W.EMIT_WINDOW_ROWS:
                    if taps == 2:
                        for k in range(count):
                            u = ar + 2 * k
                            s = combine(first(t, u), shift(second(t, u + 1), amount))
                            write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                    elif step == 2:
                        for k in range(count):
                            u = ar + 2 * k
                            s = combine(first(t, u), shift(second(t, u + 1), amount))
                            s = combine(s, shift(second(t, u + 2), 2 * amount))
                            write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                    else:
                        for k in range(count):
                            u = ar + k
                            s = combine(first(t, u), shift(second(t, u + 1), amount))
                            s = combine(s, shift(second(t, u + 2), 2 * amount))
                            write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                else:
                    for k in range(count):
                        u, v = ar + k * step * lanes, br + k * step * lanes
                        dk, ik, at = d + k * d_step, i + k * i_step, index + k * index_step
                        if op == W.EMIT_WINDOW_LANES:
                            v = u + 2 * lanes
                            if taps == 3:
                                for e in range(lanes):
                                    s = combine(first(t, u + e), shift(second(t, u + lanes + e), amount))
                                    s = combine(s, shift(second(t, v + e), 2 * amount))
                                    write(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                            else:
                                for e in range(lanes):
                                    s = combine(first(t, u + e), shift(second(t, u + lanes + e), amount))
                                    write(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                        elif unit_lanes & two:
                            for e in range(lanes):
                                s = combine(first(t, u + e), shift(second(t, v + e), amount))
                                write(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                        elif unit_lanes:
                            for e in range(lanes):
                                s = first(t, u + e)
                                write(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                        else:
                            for e in range(lanes):
                                s = first(t, u + e)
                                if two:
                                    s = combine(s, shift(second(t, v + e), amount))
                                to, side = dk + e * d_lane, ik + e * i_lane
                                write(y, aux, to, side, s, divisor, inside, at + e * index_lane, p)

    return passes
