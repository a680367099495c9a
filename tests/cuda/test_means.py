"""Quotients by the divisor of all windows, as products with one correction: arithmetic of the device, in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from fastpool.kernels.cuda.means import KNOWN, Divisor, divisor_of

FRACTIONS = 1 << 23
"""Of float32: all numbers from 1 to below 2. Those of other powers of two are them times these."""


def corrected(s: np.ndarray, divisor: int) -> np.ndarray:
    """``instructions.corrected``: products of two float32 are exact in float64, and so is what is left over."""
    d = np.float32(divisor)
    r = np.float32(1) / d
    q = s * r
    left = s.astype(np.float64) - q.astype(np.float64) * np.float64(d)
    assert (left == left.astype(np.float32)).all()
    return (left.astype(np.longdouble) * np.longdouble(r) + q.astype(np.longdouble)).astype(np.float32)


def fractions(step: int) -> np.ndarray:
    return (np.arange(0, FRACTIONS, step, dtype=np.uint32) + np.uint32(0x3F800000)).view(np.float32)


@pytest.mark.parametrize("divisor", KNOWN)
def test_products_have_the_bits_of_quotients(divisor: int) -> None:
    s = fractions(13)
    np.testing.assert_array_equal(corrected(s, divisor), s / np.float32(divisor))


@pytest.mark.slow
@pytest.mark.parametrize("divisor", KNOWN)
def test_products_have_the_bits_of_all_quotients(divisor: int) -> None:
    s = fractions(1)
    np.testing.assert_array_equal(corrected(s, divisor), s / np.float32(divisor))


def test_what_is_known_of_a_divisor() -> None:
    counts = {0: Divisor.OWN, 1: Divisor.POWER, 8: Divisor.POWER, 9: Divisor.KNOWN, 18: Divisor.KNOWN, 17: Divisor.ONE}
    assert {count: divisor_of(count) for count in counts} == counts
