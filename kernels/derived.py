"""Reductions made from others: selections with the index of the tap, NaN left out, 16-bit floats by integer keys.

Plain functions in the subset that the CPU and GPU compilers share, as in ``reductions``, for any of these.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from fastpool.kernels.reductions import Reduction, in_no_window, larger_of_numbers, pick


def larger_number(a, b):
    return a if (a > b) | (b != b) else b


def takes_larger(a, i, b, j):
    """Whether the tap (b, j) replaces (a, i): larger, or equal and earlier; of NaN the last."""
    return (b > a) | ((b == a) & (j < i)) | ((b != b) & ((a == a) | (j > i)))


def with_index(reduction: Reduction, real: Any, integer: Any, none: int, skip_nan: bool) -> Reduction:
    """The same selection on pairs (value, index of the tap in its block); ``none`` is an index beyond all.

    ``real`` and ``integer`` are the types of the components. With ``skip_nan`` a NaN tap counts as no tap.
    """
    key, element = reduction.lift, reduction.lower
    nothing = reduction.identity[0]

    def lift(x, p):
        return (real(key(x, p)), integer(0))

    def lift_numbers(x, p):
        return (real(key(x, p)), integer(0)) if x == x else (real(nothing), integer(none))

    def combine(a, b):
        t = takes_larger(a[0], a[1], b[0], b[1])
        return (b[0] if t else a[0], b[1] if t else a[1])

    def follow(a, b):
        t = (b[0] > a[0]) | (b[0] != b[0])
        return (b[0] if t else a[0], b[1] if t else a[1])

    def lower(s, count, inside, p):
        return real(element(s[0], count, inside, p))

    def lower_numbers(s, count, inside, p):
        return real(element(s[0], count, inside, p)) if s[1] < none else real(math.nan)

    return Reduction(
        reduction.name,
        reduction.kinds,
        (nothing, none),
        lift_numbers if skip_nan else lift,
        combine,
        lower_numbers if skip_nan else lower,
        ("same", "count"),
        select=True,
        follow=None if skip_nan else follow,
        repeatable=True,
        keyed=True,
    )


def of_type(reduction: Reduction, real: Any) -> Reduction:
    """The same selection with keys of the type ``real``: the compiler would widen those of small integers."""
    key, element = reduction.lift, reduction.lower

    def lift(x, p):
        return real(key(x, p))

    def lower(s, count, inside, p):
        return real(element(s, count, inside, p))

    return replace(reduction, lift=lift, lower=lower)


def of_states(reduction: Reduction, reals: list[Any]) -> Reduction:
    """The same reduction with everything that its functions are given, and give, of the types of its states.

    Those of a user compute as they come to it: a float32 times 0.5 is a float64 where Numba compiles it. What is kept
    in registers would then have other bits than what went through scratch, and layouts differ.
    """
    lift_any, combine_any = reduction.lift, reduction.combine
    pull_any, push_any = reduction.pull, reduction.push
    first, last = reals[0], reals[-1]

    def lift_single(x, p):
        return first(lift_any(first(x), p))

    def combine_single(a, b):
        return first(combine_any(a, b))

    def lift_pair(x, p):
        s = lift_any(first(x), p)
        return (first(s[0]), last(s[1]))

    def combine_pair(a, b):
        s = combine_any(a, b)
        return (first(s[0]), last(s[1]))

    def pull(g, s, count, inside, p):
        return first(pull_any(g, s, count, inside, p))

    def push(a, x, p):
        return first(0) if in_no_window(a) else first(push_any(a, first(x), p))

    pair = len(reals) == 2
    return replace(
        reduction,
        identity=tuple(real(number) for real, number in zip(reals, reduction.identity, strict=True)),
        lift=lift_pair if pair else lift_single,
        combine=combine_pair if pair else combine_single,
        pull=None if pull_any is None else pull,
        push=None if push_any is None else push,
    )


def of_bits(reduction: Reduction, bits: int, infinity: int, nan: int) -> Reduction:
    """A selection among floats by integer keys, in the order of the numbers they stand for.

    To combine keys takes one instruction, floats, whose NaN is looked for, four; and 16-bit floats are not widened.
    Elements are the ``bits`` bits of a float, as a number with a sign; ``infinity`` and ``nan`` are the bits of these.
    NaN has the largest keys, and comes out as ``nan``. Floats as a number with a sign are in order, but that negative
    ones run backward, NaN among them the last: they are turned around, and then all keys are made less by as many as
    there are bits of NaN, so that these, which stand below all others, become the largest.
    """
    low, many = -1 << (bits - 1), (1 << (bits - 1)) - 1 - infinity

    def lift(x, p):
        y = x ^ (p & low)
        return pick(y < 0, ((y ^ -1) + -many) ^ low, y + -many)

    def lower(s, count, inside, p):
        # a sum or a difference: to turn the sign bit around, it is added
        sign = p & low
        return pick(s < -many, (-1 - many) - s + (low ^ sign), pick(s > infinity - many, nan, s + (sign + many)))

    return replace(reduction, lift=lift, combine=larger_of_numbers, lower=lower, calm=None, identity=(low,))


def numbers_only(reduction: Reduction) -> Reduction:
    """The same selection with NaN left out: it stands for no tap."""
    return replace(reduction, identity=(math.nan,), combine=larger_number)


def without_nan(reduction: Reduction, real: Any, integer: Any) -> Reduction:
    """The same reduction with NaN left out, on pairs (state, number of taps that are not NaN).

    ``real`` and ``integer`` are the types of the components. The divisor loses the NaN taps, unless it is fixed,
    which a negative ``inside`` tells; with no value at all the result is NaN.
    """
    lift_value, combine_values, lower_value = reduction.lift, reduction.combine, reduction.lower
    pull_value, push_value = reduction.pull, reduction.push
    nothing = reduction.identity[0]

    def lift(x, p):
        return (real(lift_value(x, p)), integer(1)) if x == x else (real(nothing), integer(0))

    def combine(a, b):
        return (combine_values(a[0], b[0]), integer(a[1] + b[1]))

    def lower(s, count, inside, p):
        divisor = count if inside < 0 else count - (inside - s[1])
        return lower_value(s[0], real(divisor), inside, p) if s[1] > 0 else real(math.nan)

    def pull(g, s, count, inside, p):
        divisor = count if inside < 0 else count - (inside - s[1])
        return pull_value(g, s[0], real(divisor), inside, p) if s[1] > 0 else real(0)

    def push(a, x, p):
        return push_value(a, x, p) if x == x else real(0)

    return Reduction(
        reduction.name,
        reduction.kinds,
        (nothing, 0),
        lift,
        combine,
        lower,
        (*reduction.state, "count"),
        counted=True,
        select=reduction.select,
        pull=pull,
        push=push,
        pull_reads_state=reduction.counted or reduction.pull_reads_state,
        push_reads_x=True,
    )
