"""Small planes: those that one window covers, and windows of four and five taps down their rows."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool import config

BEHIND = 77

CASES = [
    (name, dtype, nan)
    for name in ("max_pool2d", "min_pool2d", "avg_pool2d")
    for dtype in ("float32", "float64", "float16", "int16", "uint8")
    for nan in (False, True)
    # an integer is never NaN, and means of other types are not made of vectors
    if not (nan and dtype[0] != "f") and (name != "avg_pool2d" or dtype in ("float32", "float64"))
]


def data(shape, dtype, rng, nan):
    """A part of a larger array, whose other elements are the largest there are, so that reading them is seen."""
    around = tuple(size + 2 for size in shape)
    inner = tuple(slice(1, -1) for _ in shape)
    if dtype[0] in "iu":
        place = np.full(around, np.iinfo(dtype).max, dtype)
        place[inner] = rng.integers(0, 100, shape)
    else:
        place = np.full(around, np.inf, dtype)
        place[inner] = rng.standard_normal(shape)
        if nan:
            place[inner][rng.random(shape) < 0.01] = np.nan
    return place[inner]


def check(monkeypatch, name, x, kernel, stride, padding):
    """Compares a call with the reference, and of means with a sweep, which sums in the same order; and what lies
    around its output with what was there.
    """
    function = getattr(fastpool, name)
    with monkeypatch.context() as patch:
        if name == "avg_pool2d":
            patch.setenv(config.FORCE_KERNEL.name, "rows")
        else:
            patch.setenv("FASTPOOL_ENGINE", "reference")
        expected = function(x, kernel, stride, padding)
    place = np.full(expected.size + 130, BEHIND, expected.dtype)
    out = place[5 : 5 + expected.size].reshape(expected.shape)
    function(x, kernel, stride, padding, out=out)
    assert out.tobytes() == expected.tobytes(), (x.shape, x.strides, kernel, padding)
    assert (place[:5] == BEHIND).all()
    assert (place[5 + expected.size :] == BEHIND).all()


def form_of(name, x, *window):
    return str(fastpool.explain(getattr(fastpool, name), x, *window)).partition("__")[2].split()[0]


@pytest.mark.parametrize(("name", "dtype", "nan"), CASES)
def test_one_window_covers_a_plane(name, dtype, nan, monkeypatch):
    rng = np.random.default_rng(5)
    lanes = 64 // np.dtype(dtype).itemsize
    # a width up to half a vector, and one up to a whole one; each number of rows that is a block more
    for high, width in ((1, 2), (2, 3), (3, lanes // 2), (7, 7), (8, 8), (6, lanes - 3), (11, lanes), (15, 5), (4, 4)):
        if width > lanes:
            continue
        for planes in (lanes, 2 * lanes + 3):
            part = data((2, planes, high, width), dtype, rng, nan)
            whole = part.copy()
            for x in (
                (part, whole[:, ::-1], whole[:, :, ::-1]) if planes > lanes else (whole, whole.transpose(1, 0, 2, 3))
            ):
                check(monkeypatch, name, x, (high, width), None, 0)
        check(monkeypatch, name, whole, (max(high - 1, 1), width), (high, width), 0)
    assert form_of(name, np.zeros((2, lanes, 7, 7), dtype), 7) == "rows_stacked"


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_one_window_covers_a_row(dtype, monkeypatch):
    """Rows are planes of one row; those of few taps that follow one another are taken apart, as one row."""
    rng = np.random.default_rng(7)
    for width in (2, 5, 7, 8, 11, 16):
        whole = data((2, 70, width), dtype, rng, False).copy()
        for x in (whole, whole[:, ::2], whole[:, ::-1]):
            check(monkeypatch, "max_pool1d", x, width, None, 0)
    assert form_of("max_pool1d", np.zeros((2, 70, 8), dtype), 8) == "rows_apart"
    assert form_of("max_pool1d", np.zeros((2, 140, 8), dtype)[:, ::2], 8) == "rows_stacked"


@pytest.mark.parametrize(("name", "dtype", "nan"), CASES)
def test_windows_down_the_rows(name, dtype, nan, monkeypatch):
    rng = np.random.default_rng(6)
    for kernel, padding in ((5, 2), (4, 1), (5, 0), ((5, 3), (1, 1)), ((4, 2), (2, 0))):
        for high, width in ((4, 5), (5, 16), (6, 17), (20, 20), (13, 33), (7, 100)):
            reach = kernel if isinstance(kernel, tuple) else (kernel, kernel)
            pads = padding if isinstance(padding, tuple) else (padding, padding)
            if high + 2 * pads[0] < reach[0] or width + 2 * pads[1] < reach[1]:
                continue
            part = data((2, 3, high, width), dtype, rng, nan)
            for x in (part, part.copy()[:, ::-1, ::-1]):
                check(monkeypatch, name, x, kernel, 1, padding)
    assert form_of(name, np.zeros((2, 3, 20, 20), dtype), 5, 1, 2) == "rows_stacked"


@pytest.mark.parametrize("padding", [((700, 900), (2, 2)), ((2, 2), (700, 900))])
def test_tiles_of_padding(padding, monkeypatch):
    """Planes are taken in bands, of rows or of columns, of which the first and the last ones lie outside."""
    x = np.random.default_rng(8).standard_normal((1, 2, 60, 200), np.float32)
    for name in ("max_pool2d", "avg_pool2d"):
        check(monkeypatch, name, x, 5, 1, padding)
    assert form_of("max_pool2d", x, 5, 1, padding) == "rows_stacked"
