"""Orthogonal wavelet filters by name: Daubechies' of least phase, by spectral factorisation.

The squared response of a filter with N zeros at the highest frequency is that zero's factor times a polynomial, of
which half of the roots, those inside of the unit circle, belong to the filter. Found roughly by NumPy, the roots are
made exact to 50 digits by Newton's steps, so that the taps are the same on every machine.
"""

from __future__ import annotations

import functools
import math
from decimal import Decimal, localcontext

import numpy as np

Number = tuple[Decimal, Decimal]
"""A complex number."""

MOST = 12
NAMES = ("haar", *(f"db{n}" for n in range(1, MOST + 1)))
DIGITS = 50
STEPS = 8


def _times(a: Number, b: Number) -> Number:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _over(a: Number, b: Number) -> Number:
    size = b[0] * b[0] + b[1] * b[1]
    found = _times(a, (b[0], -b[1]))
    return found[0] / size, found[1] / size


def _polynomial(zeros: int) -> list[int]:
    """Coefficients of ``sum_k binom(zeros - 1 + k, k) y^k``, ``y = -(1 - z)^2 / (4 z)``, made whole; highest first."""
    found = [0] * (2 * zeros - 1)
    for k in range(zeros):
        factor = math.comb(zeros - 1 + k, k) * (-1) ** k * 4 ** (zeros - 1 - k)
        for i in range(2 * k + 1):
            found[zeros - 1 - k + i] += factor * (-1) ** i * math.comb(2 * k, i)
    return found


def _exact(root: complex, coefficients: list[int]) -> Number:
    z: Number = (Decimal(root.real), Decimal(root.imag))
    for _ in range(STEPS):
        value: Number = (Decimal(0), Decimal(0))
        slope = value
        for coefficient in coefficients:
            slope = _times(slope, z)
            slope = slope[0] + value[0], slope[1] + value[1]
            value = _times(value, z)
            value = value[0] + coefficient, value[1]
        change = _over(value, slope)
        z = z[0] - change[0], z[1] - change[1]
    return z


@functools.cache
def low_pass(name: str) -> tuple[float, ...]:
    """The low-pass filter of that name: its sum is the root of 2, the sum of its squares 1."""
    zeros = 1 if name == "haar" else int(name.removeprefix("db"))
    with localcontext() as context:
        context.prec = DIGITS
        coefficients = _polynomial(zeros)
        roots = [complex(root) for root in np.roots(coefficients) if abs(root) < 1]
        product: list[Number] = [(Decimal(1), Decimal(0))]
        for factor in [(Decimal(-1), Decimal(0))] * zeros + [_exact(root, coefficients) for root in roots]:
            # the product gets one root more
            longer = [*product, (Decimal(0), Decimal(0))]
            for i, entry in enumerate(product):
                less = _times(entry, factor)
                longer[i + 1] = longer[i + 1][0] - less[0], longer[i + 1][1] - less[1]
            product = longer
        total = sum((entry[0] for entry in product), Decimal(0))
        scale = Decimal(2).sqrt() / total
        return tuple(float(entry[0] * scale) for entry in product)


def high_pass(low: tuple[float, ...]) -> tuple[float, ...]:
    """The filter that goes with an orthogonal low-pass one: backward, every second tap negative."""
    return tuple(-tap if u % 2 else tap for u, tap in enumerate(reversed(low)))
