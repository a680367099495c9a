"""Windows of three taps that begin a place before their row, and how their indices are written."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool import config, fusing

WIDTHS = (15, 16, 17, 31, 32, 33, 34, 47, 63, 64, 65, 112, 113, 150)
BEHIND = 77


def data(shape, dtype, rng, nan):
    """A part of a larger array, whose other elements are the largest there are, so that reading them is seen."""
    around = tuple(size + 2 for size in shape)
    inner = tuple(slice(1, -1) for _ in shape)
    if dtype[0] == "u":
        place = np.full(around, 255, dtype)
        place[inner] = rng.integers(0, 100, shape)
    else:
        place = np.full(around, np.inf, dtype)
        place[inner] = rng.standard_normal(shape)
        if nan:
            place[inner][rng.random(shape) < 0.01] = np.nan
    return place[inner]


def otherwise(monkeypatch, function, *arguments, **options):
    """What a call gives by the reference; for means, exact there, by a sweep, which sums in the same order."""
    with monkeypatch.context() as patch:
        if function is fastpool.avg_pool2d:
            patch.setenv(config.FORCE_KERNEL.name, "rows")
        else:
            patch.setenv("FASTPOOL_ENGINE", "reference")
        return function(*arguments, **options)


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
    function = getattr(fastpool, name)
    for width in WIDTHS:
        for height, ceil in ((3, False), (8, True)):
            part = data((2, 2, height, width), dtype, rng, nan)
            for x in (part, part.copy()):
                expected = otherwise(monkeypatch, function, x, 3, stride, 1, ceil_mode=ceil)
                place = np.full(expected.size + 130, BEHIND, expected.dtype)
                out = place[5 : 5 + expected.size].reshape(expected.shape)
                function(x, 3, stride, 1, ceil_mode=ceil, out=out)
                assert out.tobytes() == expected.tobytes(), (x.shape, ceil)
                assert (place[:5] == BEHIND).all()
                assert (place[5 + expected.size :] == BEHIND).all()


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
        y_expected, expected = otherwise(monkeypatch, fastpool.max_pool2d, x, 3, stride, 1, **options)
        assert y.tobytes() == y_expected.tobytes()
        assert (indices == expected).all()
