"""Sums, means and norms of random floats: within a few ulp of the exact answer at every window size.

An ulp is that of the window's mean absolute value, times the number of taps for sums; of the result for Lp.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastpool import config
from fastpool.kernels.registry import Ask
from tests.kernel_cases import ASKS, Expected, marked, problem_of
from tests.strategies import real_numbers, store

ADDING = [
    ask
    for ask in ASKS
    if ask.op in ("mean", "sum", "lp", "l1", "l2")
    and ask.role in ("forward", "gather", "weigh")
    and ask.dtype in ("f16", "bf16", "f32", "f64")
]

SIZES = (1, 2, 3, 4, 5, 7, 8, 13, 31, 32, 63, 64, 65, 100, 127, 128, 129, 255, 500, 1000, 2047, 4096, 6000)


@pytest.mark.parametrize("ask", marked(ADDING))
def test_every_window_size(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in SIZES:
        if ask.role == "forward":
            windows = [((1, 2, size + 3), size, 2), ((1, 2, 2 * size), size, size)]
        else:
            # the reference is slow where many elements meet many windows
            windows = [((1, 1, size + 3), size, 2)] if size <= 1000 else []
        if size in (2, 3, 7, 31):
            windows.append(((1, 1, size + 1, size), size, 1))
        for shape, k, s in windows:
            expected = Expected(problem_of(ask, shape, k, s=s), real_numbers, size)
            for form, layout in itertools.product(("rows", "lanes"), ("first", "last")):
                monkeypatch.setenv(config.FORCE_KERNEL.name, form)
                result = expected.run(layout)
                assert result.kernels[0].endswith(f"__{form}")
                expected.check_ulps(result)


@pytest.mark.parametrize("ask", marked([ask for ask in ADDING if ask.role == "forward"]))
def test_values_that_cancel(ask: Ask) -> None:
    def opposite(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        half = real_numbers(dtype, (*shape[:-1], shape[-1] // 2), rng)
        sign = half.dtype.type(1 << 15) if dtype == "bf16" else half.dtype.type(-1)
        return np.concatenate([half, half ^ sign if dtype == "bf16" else half * sign], axis=-1)

    for size in (2, 50, 1000, 4096):
        problem = problem_of(ask, (1, 3, size + 2), size, s=1)
        expected = Expected(problem, opposite, size)
        for layout in ("first", "last"):
            expected.check_ulps(expected.run(layout))


@pytest.mark.parametrize("ask", marked([ask for ask in ADDING if ask.role == "forward"]))
def test_global_pooling_of_an_image(ask: Ask) -> None:
    for shape in [(1, 2, 70, 90), (1, 2, 1, 5000), (1, 2, 5000, 1), (2, 1, 9, 10, 11)]:
        expected = Expected(problem_of(ask, shape, shape[2:]), real_numbers, len(shape))
        for layout in ("first", "last", "permuted"):
            expected.check_ulps(expected.run(layout))


@pytest.mark.parametrize("ask", marked([ask for ask in ADDING if ask.op in ("lp", "l1", "l2")]))
def test_norms_of_any_size(ask: Ask) -> None:
    """Powers of float32 and smaller are taken in float64, so that none overflows or vanishes."""
    for exponent in {"f16": (-12, 12), "f64": (-90, 90)}.get(ask.dtype, (-100, 100)):

        def scaled(dtype: str, shape: tuple[int, ...], rng: np.random.Generator, size: int = exponent) -> np.ndarray:
            return store(dtype, np.ldexp(rng.uniform(0.5, 1, shape), size))

        expected = Expected(problem_of(ask, (2, 3, 40), 5, s=2), scaled, 1)
        for layout in ("first", "last"):
            expected.check_ulps(expected.run(layout))
