"""Small planes: those that one window covers, and windows of four and five taps down their rows."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from tests.surrounded import check, data

CASES = [
    (name, dtype, nan)
    for name in ("max_pool2d", "min_pool2d", "avg_pool2d")
    for dtype in ("float32", "float64", "float16", "int16", "uint8")
    for nan in (False, True)
    # an integer is never NaN, and means of other types are not made of vectors
    if not (nan and dtype[0] != "f") and (name != "avg_pool2d" or dtype in ("float32", "float64"))
]


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
            part = data((2, planes, high, width), dtype, rng, nan, name != "min_pool2d")
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
        whole = data((2, 70, width), dtype, rng).copy()
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
            part = data((2, 3, high, width), dtype, rng, nan, name != "min_pool2d")
            for x in (part, part.copy()[:, ::-1, ::-1]):
                check(monkeypatch, name, x, kernel, 1, padding)
    assert form_of(name, np.zeros((2, 3, 20, 20), dtype), 5, 1, 2) == "rows_stacked"


@pytest.mark.parametrize("padding", [((700, 900), (2, 2)), ((2, 2), (700, 900))])
def test_tiles_of_padding(padding, monkeypatch):
    """Planes are taken in bands, of rows or of columns, of which the first and the last ones lie outside."""
    x = np.random.default_rng(8).standard_normal((1, 1, 60, 200), np.float32)
    for name in ("max_pool2d", "avg_pool2d"):
        check(monkeypatch, name, x, 5, 1, padding)
    assert form_of("max_pool2d", x, 5, 1, padding) == "rows_stacked"
