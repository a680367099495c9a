"""Quotients by the divisor of all windows: as products, where these have the same bits."""

from __future__ import annotations

import enum
from typing import Any

from fastpool.kernels import reductions as R
from fastpool.kernels.cuda.memory import ENCODE, SCALARS, corrected, doubtful
from fastpool.kernels.cuda.package import device
from fastpool.kernels.cuda.parts import make_parts
from fastpool.kernels.cuda.thread import make_states
from fastpool.kernels.registry import Variant

KNOWN = (3, 5, 7, 9, 11, 13, 15, 21, 25, 27, 35, 45, 49, 63, 75, 81, 121, 125, 147, 169, 225)
"""Odd divisors, also times a power of two, for which ``memory.corrected`` was compared for all fractions."""


class Divisor(enum.IntEnum):
    """What is known of the divisors of a kernel's windows when it is compiled."""

    OWN = 0
    """Each has its own."""

    ONE = 1
    """They have one."""

    POWER = 2
    """They have one, a power of two."""

    KNOWN = 3
    """They have one of ``KNOWN``."""


def divisor_of(count: int) -> Divisor:
    """What is known of a divisor of all windows, or of 0 where there is none."""
    if count == 0:
        return Divisor.OWN
    odd = count // (count & -count)
    return Divisor.POWER if odd == 1 else Divisor.KNOWN if odd in KNOWN else Divisor.ONE


def make_quotient(state: str, divisor: Divisor) -> tuple[Any, Any]:
    """(``quotient(s, d, r)`` of a state by all windows' divisor, by a product with its reciprocal ``r``;
    ``doubted(s, q)``, whether that may have lost bits); or (None, None).
    """
    real = SCALARS[state]

    def multiplied(s, d, r):
        return real(s * r)

    def never(s, q):
        return False

    if divisor is Divisor.POWER and state[0] == "f":
        return device(multiplied), device(never)
    return (device(corrected), device(doubtful)) if divisor is Divisor.KNOWN and state == "f32" else (None, None)


def make_means(variant: Variant, divisor: Divisor, vector: int) -> tuple[Any, bool]:
    """(``means(made, values, sums, sum_counts, d, r, inside, p)``, whether it needs ``r``, which is 1 / d).

    Elements of ``vector`` states with one divisor; ``values`` is room for as many. By products, one look at all of
    them says whether one has to be divided: a branch for each takes as many instructions as its product.
    """
    finish, encode = make_parts(variant).finish, device(ENCODE[variant.output])
    get, _ = make_states(variant)
    quotient, doubted = None, None
    if variant.reduction.lower is R.quotient and len(variant.state) == 1:
        quotient, doubted = make_quotient(variant.state[0], divisor)

    def by_division(made, values, sums, sum_counts, d, r, inside, p):
        for v in range(vector):
            made[v] = finish(get(sums, sum_counts, v), d, inside, 0, p)

    def by_product(made, values, sums, sum_counts, d, r, inside, p):
        doubt = False
        for v in range(vector):
            values[v] = quotient(sums[v], d, r)
            doubt = doubt | doubted(sums[v], values[v])
        if doubt:
            for v in range(vector):
                values[v] = sums[v] / d
        for v in range(vector):
            made[v] = encode(values[v])

    return device(by_division if quotient is None else by_product), quotient is not None
