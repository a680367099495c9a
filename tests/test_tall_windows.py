"""Tall windows, whose rows are kept from row to row: bands, blocks of columns, padding, NaN, and the array's end."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool

CASES = [
    # shape, window, stride, padding before and behind each axis; rows are long enough for every element type
    ((70, 920), (17, 5), (1, 1), ((8, 8), (2, 2))),
    ((400, 950), (31, 31), (1, 1), ((15, 15), (15, 15))),
    ((333, 1041), (20, 9), (2, 1), ((3, 19), (8, 0))),
    ((333, 1000), (5, 9), (2, 2), ((4, 3), (0, 8))),
    ((50, 9000), (33, 3), (1, 1), ((16, 16), (1, 1))),
    ((60, 3001), (45, 101), (1, 1), ((44, 0), (50, 50))),
    ((18, 929), (40, 7), (1, 1), ((20, 20), (3, 3))),
]


def expected(x: np.ndarray, kernel: tuple, stride: tuple, padding: tuple) -> np.ndarray:
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    for axis in range(2):
        pad = [(0, 0), (0, 0)]
        pad[axis] = padding[axis]
        x = np.pad(x, pad, constant_values=lowest)
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel[axis], axis)
        x = np.moveaxis(windows, axis, 0)[:: stride[axis]]
        x = np.moveaxis(x, 0, axis).max(-1)
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int16"])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_windows_are_kept_from_row_to_row(case: int, dtype: str) -> None:
    shape, kernel, stride, padding = CASES[case]
    rng = np.random.default_rng(case)
    x = (rng.standard_normal(shape) * 100).astype(dtype)
    options = {"op": "max", "axes": (0, 1), "stride": stride, "padding": padding}
    assert "rows_stacked" in str(fastpool.explain(fastpool.pool, x, kernel, **options).kernels)
    for values in (x, x[::-1], np.pad(x, 1)[1:-1, 1:-1]):
        found = fastpool.pool(values, kernel, **options)
        np.testing.assert_array_equal(found, expected(values, kernel, stride, padding))


@pytest.mark.parametrize("place", [(0, 0), (399, 249), (199, 70), (20, 3)])
def test_nan_reaches_every_window_that_holds_it(place: tuple[int, int]) -> None:
    x = np.random.default_rng(1).standard_normal((400, 250)).astype(np.float32)
    x[place] = np.nan
    found = fastpool.pool(x, 31, op="max", axes=(0, 1), stride=1, padding=15)
    np.testing.assert_array_equal(found, expected(x, (31, 31), (1, 1), ((15, 15), (15, 15))))
    assert np.isnan(found).sum() == np.prod(
        [min(15, p) + min(15, n - 1 - p) + 1 for p, n in zip(place, x.shape, strict=True)]
    )
