"""From the two selected taps to the result: a weighted mean of neighbours in the order.

``mix(a, b, weight, mean)`` is ``a`` where the weight is 0, else of floats ``(a + b) / 2`` for a mean, and else
``a + (b - a) * weight``, from the nearer end as NumPy does it. Of integers the same, truncated toward zero, exact for
a weight of one half.
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from fastpool.kernels.cpu.family.access import value_type
from fastpool.kernels.cpu.memory import SCALARS
from fastpool.kernels.elements import BITS


def make_mix(dtype: str):
    """The function for values of an element type."""
    if dtype in BITS:
        return _floats(value_type(dtype))
    return _integers(SCALARS[dtype], dtype[0] == "i")


def _floats(make):
    half, one = make(0.5), make(1)

    @register_jitable
    def mix(a, b, weight, mean):
        if weight == 0.0 or a == b:
            return a
        if mean:
            return (a + b) * half
        t, d = make(weight), b - a
        return a + d * t if t < half else b - d * (one - t)

    return mix


def _integers(make, signed):
    @register_jitable
    def mix(a, b, weight, mean):
        if weight == 0.0 or a == b:
            return a
        if weight == 0.5:
            found = make(make(a & b) + make(make(a ^ b) >> make(1)))
            odd = make(a ^ b) & make(1) != make(0)
        else:
            span = float(np.uint64(b) - np.uint64(a)) * weight
            whole = math.floor(span)
            found = make(np.uint64(a) + np.uint64(whole))
            odd = span != whole
        if signed:
            return make(found + make(1)) if odd and found < 0 else found
        return found

    return mix
