"""What is found out about a user's functions by running them once: those of vectors, and those without NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastpool
from fastpool import tracing


def larger(a, b):
    return a if (a > b) | (a != a) else b


def larger_by_ways(a, b):
    if a != a:
        return a
    return a if not (b > a) and b == b else b


def smaller_number(a, b):
    return a if (a < b) & (a == a) else b


@pytest.mark.parametrize("combine", [larger, larger_by_ways, smaller_number])
def test_a_selection_without_nan_is_less_and_the_same(combine):
    less = tracing.calm(combine)
    assert less is not None
    for a in (1.0, -2.0, math.inf):
        for b in (0.5, 3.0, -math.inf):
            assert less(a, b) == combine(a, b)


@pytest.mark.parametrize(
    "combine",
    [
        lambda a, b: a + b,
        lambda a, b: a if a > b else b,
        # two infinities make a NaN of numbers
        lambda a, b: a - b if a != a else b - a,
        lambda a, b: a if abs(a) != abs(a) else b,
    ],
)
def test_what_computes_or_asks_for_no_nan_stays(combine):
    assert tracing.calm(combine) is None


@pytest.mark.slow
def test_nan_is_found_all_the_same(monkeypatch):
    """Kernels that are made without regard to NaN are left as soon as one is seen."""

    @fastpool.reduction
    class Largest:
        identity = -math.inf
        state = "same"
        repeatable = True

        def combine(a, b):  # noqa: N805
            return a if (a > b) | (a != a) else b

    monkeypatch.setenv("FASTPOOL_ENGINE", "jit")
    rng = np.random.default_rng(5)
    for shape, options in (((2, 3, 29, 31), {"stride": 1, "padding": 3}), ((2, 3, 29, 31), {"stride": 2})):
        x = rng.standard_normal(shape).astype(np.float32)
        for many in (0, 1, 40):
            x.reshape(-1)[rng.integers(0, x.size, many)] = np.nan
            for window in (2, 3, 7):
                found, expected = (fastpool.pool(x, (window, window), op, **options) for op in (Largest, "max"))
                np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))
