"""Statistics that ask what elements are, and take those of any type."""

from __future__ import annotations

from fastpool.kernels.statistic_states import Maths, Statistic


def any_true(m: Maths) -> Statistic:
    zero, one = m.real(0), m.real(1)

    def lift(x, p):
        return (one if x != 0 else zero,)

    def combine(a, b):
        return (a[0] if a[0] > b[0] else b[0],)

    def lower(s, n, p):
        return s[0]

    return Statistic((0.0,), lift, combine, lower, output="b1")


def all_true(m: Maths) -> Statistic:
    zero, one = m.real(0), m.real(1)

    def lift(x, p):
        return (one if x != 0 else zero,)

    def combine(a, b):
        return (a[0] if a[0] < b[0] else b[0],)

    def lower(s, n, p):
        return s[0]

    return Statistic((1.0,), lift, combine, lower, output="b1")


def count_numbers(m: Maths) -> Statistic:
    zero, one = m.real(0), m.real(1)

    def lift(x, p):
        return (one if x == x else zero,)

    def combine(a, b):
        return (a[0] + b[0],)

    def lower(s, n, p):
        return s[0]

    return Statistic((0.0,), lift, combine, lower, output="i64")
