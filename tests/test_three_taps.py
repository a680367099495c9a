"""Windows of three taps that begin a place before their row, and how their indices are written."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool import fusing
from tests.surrounded import check, data, otherwise

WIDTHS = (15, 16, 17, 31, 32, 33, 34, 47, 63, 64, 65, 112, 113, 150)


CASES = [
    (name, dtype, nan)
    for name in ("max_pool2d", "min_pool2d", "avg_pool2d")
    for dtype in ("float32", "float64", "uint8")
    for nan in (False, True)
    # an integer is never NaN, and has no mean by vectors
    if dtype != "uint8" or not (nan or name == "avg_pool2d")
]


@pytest.mark.parametrize(("name", "dtype", "nan"), CASES)
@pytest.mark.parametrize("stride", [1, 2])
def test_rows_behind_padding(name, stride, dtype, nan, monkeypatch):
    rng = np.random.default_rng(3)
    for width in WIDTHS:
        for height, ceil in ((3, False), (8, True)):
            part = data((2, 2, height, width), dtype, rng, nan, name != "min_pool2d")
            for x in (part, part.copy()):
                check(monkeypatch, name, x, 3, stride, 1, ceil_mode=ceil)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("nan", [False, True])
def test_indices_no_cache_holds(stride, nan, monkeypatch):
    """Row by row as column by column: numbers of taps are of one byte, and always made by columns."""
    monkeypatch.setenv("FASTPOOL_ENGINE", "jit")
    monkeypatch.setattr(fusing, "COLUMN_BYTES", 1)
    rng = np.random.default_rng(4)
    for width in (96, 97, 112, 127, 160):
        x = data((2, 2, 9, width), "float32", rng, nan)
        options = {"return_indices": True}
        y, indices = fastpool.max_pool2d(x, 3, stride, 1, **options)
        y_expected, expected = otherwise(monkeypatch, "max_pool2d", x, 3, stride, 1, **options)
        assert y.tobytes() == y_expected.tobytes()
        assert (indices == expected).all()
