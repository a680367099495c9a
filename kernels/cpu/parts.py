"""What a variant does with one element or one state: the scalar parts of which its passes are made.

The loops in ``passes`` know these by name only. The just-in-time compiler inlines them; ahead of time, the loops are
compiled once for each type of state, and a variant's parts are put into them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import (
    DECODE,
    ENCODE,
    SCALARS,
    as_float,
    load_side,
    load_source,
    store_out,
    store_result,
    store_side,
)
from fastpool.kernels.cpu.state import inlined, make_shift, shift_none
from fastpool.kernels.elements import HALVES
from fastpool.kernels.reductions import Reduction, pick
from fastpool.kernels.registry import Variant


class Parts(NamedTuple):
    """The parts of a variant. ``p`` is the reduction's parameter as it stands in the words, an int64.

    nothing()                                       the state of no tap
    leaf(x, u, p)                                   the state of the tap that is element ``u`` of a row
    join(a, b, amount)                              two blocks of taps; the second gains ``amount`` taps
    follow(a, b, amount)                            the same, where the second is one tap, and all taps are there
    pack(rows, o, x, u, divisor, p)                 copies element ``u`` to element ``o`` of a packed row
    write(y, aux, d, i, s, count, inside, index, p) output ``d``, and what goes with it in ``aux``, from a state
    blocks()                                        whether there are the three that follow: 1 or 0
    leaf_block(t, o, x, u, p)                       eight leaves, into state ``o`` and those behind it
    eight_block(t, o, x, u, c, p)                   eight states, each of eight leaves, ``c`` elements apart
    write_block(y, d, t, a, b, two, count, inside, p)   eight outputs, from states ``a`` on, joined with ``b`` if two
    """

    nothing: Any
    leaf: Any
    join: Any
    follow: Any
    pack: Any
    write: Any
    blocks: Any
    leaf_block: Any
    eight_block: Any
    write_block: Any


def shares(variant: Variant) -> bool:
    """Whether source elements are divided when they are packed, so that packed rows hold states."""
    return variant.role == "gather" and variant.reduction.counted


def _as_is(v):
    return v


def _make_sharing_lift(pull: Any, real: Any) -> Any:
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

    elif variant.source in HALVES:
        # the mask of integer keys, where the states are numbers all the same

        def parameter(bits):
            return real(1 + 2 * bits)

    elif variant.state[0][0] == "f":

        def parameter(bits):
            return real(as_float(bits))

    elif variant.name.endswith("_keys"):
        # all bits where the factor is negative

        def parameter(bits):
            return real(bits >> 63)

    else:

        def parameter(bits):
            return real(bits)

    return inlined(parameter)


def _make_write(variant: Variant, parameter: Any) -> Any:
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
            store_result(y, d, encode(lower(s, number(count), inside, parameter(p))))

    elif variant.role == "index":
        none = reduction.identity[1]

        def write(y, aux, d, i, s, count, inside, index, p):
            store_result(y, d, encode(lower(s, number(count), inside, parameter(p))))
            store_side(aux, i, index + s[1] if s[1] < none else -1)

    elif variant.role == "weigh":
        pull = inlined(reduction.pull)

        def write(y, aux, d, i, s, count, inside, index, p):
            g = real(decode_aux(load_side(aux, i)))
            store_result(y, d, encode(pull(g, s, number(count), inside, parameter(p))))

    elif reduction.push_reads_x:
        push = inlined(reduction.push)

        def write(y, aux, d, i, s, count, inside, index, p):
            store_result(y, d, encode(push(s, decode_aux(load_side(aux, i)), parameter(p))))

    else:

        def write(y, aux, d, i, s, count, inside, index, p):
            store_result(y, d, encode(s))

    return inlined(write)


def _no_blocks() -> tuple[Any, Any, Any, Any]:
    """Stand-ins for the parts that work on eight elements, where there are none."""

    def blocks():
        return 0

    def leaf_block(t, o, x, u, p):
        return

    def eight_block(t, o, x, u, c, p):
        return

    def write_block(y, d, t, a, b, two, count, inside, p):
        return

    return blocks, leaf_block, eight_block, write_block


def _make_blocks(variant: Variant, reduction: Reduction, parameter: Any) -> tuple[Any, Any, Any, Any]:
    """The parts that work on eight elements: rows of a few dozen would be left to the rest of a loop, one by one."""
    real = SCALARS[variant.state[0]]
    lift, combine, lower = (inlined(part) for part in (reduction.lift, reduction.combine, reduction.lower))
    if variant.output[0] == "f":
        nan = real(math.nan)

        def canonical(v):
            return pick(v == v, v, nan)

    else:
        canonical = _as_is
    canonical = inlined(canonical)

    def blocks():
        return 1

    def leaf_block(t, o, x, u, p):
        vectors.store(t, o, lift(vectors.load_eight(x, u), parameter(p)))

    def pair(x, u, c, p):
        return combine(lift(vectors.load_eight(x, u), p), lift(vectors.load_eight(x, u + c), p))

    pair = inlined(pair)

    def four(x, u, c, p):
        return combine(pair(x, u, c, p), pair(x, u + 2 * c, c, p))

    four = inlined(four)

    def eight_block(t, o, x, u, c, p):
        factor = parameter(p)
        vectors.store(t, o, combine(four(x, u, c, factor), four(x, u + 4 * c, c, factor)))

    def write_block(y, d, t, a, b, two, count, inside, p):
        s = vectors.load_eight(t, a)
        if two:
            s = combine(s, vectors.load_eight(t, b))
        vectors.store(y, d, canonical(lower(s, real(count), inside, parameter(p))))

    return blocks, leaf_block, eight_block, write_block


def make_parts(variant: Variant) -> Parts:
    """The parts of a variant, as plain Python functions that Numba knows."""
    reduction = variant.reduction
    share = shares(variant)
    real, integer = SCALARS[variant.state[0]], SCALARS.get(variant.state[-1])
    pair = len(variant.state) == 2
    identity = tuple(reduction.identity) if pair else reduction.identity[0]
    shift = make_shift(integer) if variant.role == "index" else shift_none
    combine = inlined(reduction.combine)
    combine_next = inlined(reduction.follow or reduction.combine)
    lift = inlined(_make_sharing_lift(reduction.pull, real) if share else reduction.lift)
    decode = DECODE["f32"] if share else DECODE[variant.source]
    decode_source = DECODE[variant.source]
    parameter = make_parameter(variant)

    def nothing():
        return identity

    def leaf(x, u, p):
        return lift(decode(load_source(x, u)), parameter(p))

    def join(a, b, amount):
        return combine(a, shift(b, amount))

    def follow(a, b, amount):
        return combine_next(a, shift(b, amount))

    if share:
        pull = inlined(reduction.pull)

        # a mean's gradient is divided as its window divides, before it is added up
        def pack(rows, o, x, u, divisor, p):
            g = real(decode_source(load_source(x, u)))
            store_out(rows, o, pull(g, g, real(divisor), 1, parameter(p)))

    else:

        def pack(rows, o, x, u, divisor, p):
            store_out(rows, o, load_source(x, u))

    write = _make_write(variant, parameter)
    vector = variant.vector if variant.role == "forward" else None
    blocks = _no_blocks() if vector is None else _make_blocks(variant, vector, parameter)
    return Parts(*map(inlined, (nothing, leaf, join, follow, pack, write, *blocks)))
