"""Taps of small windows along a row as vectors, each with its number, as ``fused_index`` takes them.

With ``calm`` as if no tap were NaN; whether one was is watched then.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import SCALARS
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_watch
from fastpool.kernels.cpu.vectors import (
    even,
    everywhere,
    integers,
    load,
    odd,
    shifted,
    signed,
)
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant


class Taps(NamedTuple):
    """What windows are made of; ``s`` is the value that is held, ``n`` its number, ``t`` another tap.

    two_apart(x, q, p, bad)             taps 0 and 1 of windows that are two apart, the first one's from place q on
    of_row(x, q, first, third, number, jump, p, bad)
                                        of three taps the largest and its number: number + jump for each tap before it;
                                        the middle one is there, the first one in lanes that are not negative in
                                        ``first``, the third in those that are in ``third``; for windows that are
                                        neighbours, and for those that are two apart
    take(s, n, t, m)                    t where it is larger; the one that is held comes first in the window
    lower(s, p)                         results
    """

    two_apart: Any
    of_row: tuple[Any, Any]
    take: Any
    lower: Any


@inlined
def edges(q, stride, width):
    """(first, past): windows of three taps that have their middle one have their first one too from window ``first``
    on, and their third one before window ``past``, where window 0 begins at place ``q`` of a row.
    """
    return -(q // stride), -((q + 2 - width) // stride)


def make_taps(variant: Variant, calm: bool) -> Taps:
    """The parts of a variant, as plain Python functions that Numba knows. Few, for each takes as long to compile."""
    reduction = variant.vector
    assert reduction is not None
    lanes = vectors.lanes(variant.source)
    floats = variant.source[0] == "f"
    lift_one, lower_one = inlined(reduction.lift), inlined(reduction.lower)
    real = SCALARS[variant.source]
    nan = real(math.nan) if floats else real(0)
    lift = signed if floats else lift_one

    if floats and not calm:

        def lower(s, p):
            v = signed(s, p)
            return pick(v == v, v, nan)

        def take(s, n, t, m):
            chosen = (t > s) | (t != t)
            return pick(chosen, t, s), pick(chosen, m, n)

        def three_taps(a, s, t, first, third, number, jump):
            chosen = (first >= 0) & ((a >= s) | ((a != a) & (s == s)))
            s, n = pick(chosen, a, s), pick(chosen, number, integers(s, number + jump))
            chosen = (third < 0) & ((t > s) | (t != t))
            return pick(chosen, t, s), pick(chosen, number + 2 * jump, n)

    else:

        def lower(s, p):
            return signed(s, p) if floats else lower_one(s, real(1), 1, p)

        def take(s, n, t, m):
            chosen = t > s
            return pick(chosen, t, s), pick(chosen, m, n)

        def three_taps(a, s, t, first, third, number, jump):
            chosen = (first >= 0) & (a >= s)
            s, n = pick(chosen, a, s), pick(chosen, number, integers(s, number + jump))
            chosen = (third < 0) & (t > s)
            return pick(chosen, t, s), pick(chosen, number + 2 * jump, n)

    watch, three_taps = make_watch(calm and floats), _always(three_taps)

    def two_apart(x, q, p, bad):
        a, b = load(x, q), load(x, q + lanes)
        bad = watch(bad, a, b)
        a, b = lift(a, p), lift(b, p)
        return even(a, b), odd(a, b), bad

    two_apart = _always(two_apart)

    def by_one(x, q, first, third, number, jump, p, bad):
        a, b, t = load(x, q), load(x, q + 1), load(x, q + 2)
        bad = watch(bad, a, t)
        return *three_taps(lift(a, p), lift(b, p), lift(t, p), first, third, number, jump), bad

    def by_two(x, q, first, third, number, jump, p, bad):
        a, b, bad = two_apart(x, q, p, bad)
        # nothing may be read beyond the last tap
        last = everywhere(x, x[q + 2 * lanes])
        bad = watch(bad, last, last)
        return *three_taps(a, b, shifted(a, lift(last, p)), first, third, number, jump), bad

    return Taps(two_apart, (_always(by_one), _always(by_two)), inlined(take), inlined(lower))


def _always(function: Any) -> Any:
    return inlined(function, always=True)
