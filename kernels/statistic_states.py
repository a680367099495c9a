"""What a statistic is made of, for a target; and any of them with NaN taps left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Function = Callable[..., Any]


class Maths(NamedTuple):
    """What a target computes with: the constructor of its numbers, exponential, and natural logarithm.

    ``narrow`` says that elements have 32 bits at most: none is beyond 2^128, nor below 2^-150 and not 0.
    """

    real: Any
    exp: Function
    log: Function
    narrow: bool = False


@dataclass(frozen=True)
class Statistic:
    """One statistic: its functions, and what kernels must know about it.

    Attributes
    ----------
    kept : int
        Numbers in the tuple that ``pull`` gives; 0 where there is no gradient.
    by_channel : bool
        Whether p[0] is a number for each channel.
    output : str
        Element type of the result, "" for that of x.
    """

    identity: tuple[float, ...]
    lift: Function
    combine: Function
    lower: Function
    pull: Function | None = None
    slope: Function | None = None
    parameter_slope: Function | None = None
    kept: int = 0
    by_channel: bool = False
    output: str = ""


def without_nan(whole: Statistic, m: Maths) -> Statistic:
    """The same of the taps that are not NaN, and NaN where there is none; their number is one more in the state."""
    size = len(whole.identity)
    real = m.real
    zero, one, nan = real(0), real(1), real(math.nan)
    identity = tuple(real(number) for number in whole.identity)
    lift_all, combine_all, lower_all = whole.lift, whole.combine, whole.lower
    pull_all, slope_all, parameter_all = whole.pull, whole.slope, whole.parameter_slope

    def lift(x, p):
        number = x == x
        s = lift_all(x if number else one, p)
        return (one if number else zero,) + _chosen(number, s, identity)  # noqa: RUF005  (as compilers know it)

    def combine(a, b):
        return (a[0] + b[0],) + combine_all(a[1:], b[1:])  # noqa: RUF005

    def lower(s, n, p):
        return lower_all(s[1:], s[0], p) if s[0] > zero else nan

    def pull(g, s, n, p):
        return pull_all(g, s[1:], s[0], p)

    def slope(c, x, p):
        return slope_all(c, x if x == x else one, p) if x == x else zero

    def parameter_slope(g, s, n, p):
        return parameter_all(g, s[1:], s[0], p) if s[0] > zero else zero

    _chosen = _CHOSEN[size]
    return replace(
        whole,
        identity=(0.0, *whole.identity),
        lift=lift,
        combine=combine,
        lower=lower,
        pull=None if pull_all is None else pull,
        slope=None if slope_all is None else slope,
        parameter_slope=None if parameter_all is None else parameter_slope,
    )


def _one_of(first, s, t):
    return (s[0] if first else t[0],)


def _two_of(first, s, t):
    return (s[0] if first else t[0], s[1] if first else t[1])


def _three_of(first, s, t):
    return (s[0] if first else t[0], s[1] if first else t[1], s[2] if first else t[2])


def _four_of(first, s, t):
    return (s[0] if first else t[0], s[1] if first else t[1], s[2] if first else t[2], s[3] if first else t[3])


_CHOSEN: dict[int, Function] = {1: _one_of, 2: _two_of, 3: _three_of, 4: _four_of}
