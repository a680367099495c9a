"""What is common to the kernels that are told numbers: a thread's place, and how many taps a divisor counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import SCALARS, scaled
from fastpool.kernels.cuda.package import device
from fastpool.kernels.registry import Variant

_INT = np.int32


def part(t, size, by, shift):
    """(the coordinate, what is left) of a thread's number along an axis."""
    rest = scaled(t, _INT(by), _INT(shift))
    return _INT(t - rest * _INT(size)), rest


part = device(part)


def make_coordinates(levels: int) -> Any:
    """``coordinates(t, n)``: (vector, position along axes 2, 1 and 0, near, far) of thread ``t``.

    Of the first two, ``levels`` are there: with 1 the vector stands for the position along axis 2, too.
    """

    def with_lanes(t, n):
        c, t = part(t, n[N.VECTORS], n[N.VECTORS_BY], n[N.VECTORS_SHIFT])
        o2, t = part(t, n[N.OUTPUTS2], n[N.OUTPUTS2_BY], n[N.OUTPUTS2_SHIFT])
        o1, t = part(t, n[N.OUTPUTS1], n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT])
        o0, t = part(t, n[N.OUTPUTS0], n[N.OUTPUTS0_BY], n[N.OUTPUTS0_SHIFT])
        near, far = part(t, n[N.NEAR], n[N.NEAR_BY], n[N.NEAR_SHIFT])
        return c, o2, o1, o0, near, far

    def without_lanes(t, n):
        c, t = part(t, n[N.VECTORS], n[N.VECTORS_BY], n[N.VECTORS_SHIFT])
        o1, t = part(t, n[N.OUTPUTS1], n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT])
        o0, t = part(t, n[N.OUTPUTS0], n[N.OUTPUTS0_BY], n[N.OUTPUTS0_SHIFT])
        near, far = part(t, n[N.NEAR], n[N.NEAR_BY], n[N.NEAR_SHIFT])
        return c, c, o1, o0, near, far

    return device(with_lanes if levels == 2 else without_lanes)


def between(first, taps, low, high):
    """Taps of a window without dilation, the first one at ``first``, from ``low`` to below ``high``."""
    return max(min(_INT(first + taps), _INT(high)) - max(first, _INT(low)), 0)


between = device(between)


def make_states(variant: Variant) -> Any:
    """(get, put) of a thread's own states, which are an array for each component."""
    real, integer = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]

    def get_pair(values, counts, i):
        return (values[i], counts[i])

    def put_pair(values, counts, i, s):
        values[i] = real(s[0])
        counts[i] = integer(s[1])

    def get_single(values, counts, i):
        return values[i]

    def put_single(values, counts, i, s):
        values[i] = real(s)

    if len(variant.state) == 2:
        return device(get_pair), device(put_pair)
    return device(get_single), device(put_single)
