"""Gradients of max by taps where windows share nothing and lie on the input: pairs of rows, planes that are joined; and
the check of such taps, as one run."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool import config, scattering
from tests.around import around_caches

K2S2 = "rows_fused_k2s2"
BEHIND = 77


@pytest.fixture
def by_jit(monkeypatch):
    """Kernels that are planned here: the C library has limits of its own."""
    monkeypatch.setenv("FASTPOOL_ENGINE", "jit")


def options(kernel):
    return {"op": "max", "axes": tuple(range(2, 2 + len(kernel))), "stride": kernel}


def problem(shape, kernel, dtype, rng):
    """x, the gradient of y, and taps, of which some are none."""
    x = rng.integers(0, 9, shape).astype(dtype)
    _, taps = fastpool.pool(x, kernel, return_indices="tap", **options(kernel))
    taps[rng.random(taps.shape) < 0.1] = 255
    dy = rng.integers(0, 99, taps.shape).astype(dtype)
    if dtype[0] == "f":
        dy = rng.choice(np.array([-0.0, np.nan, np.inf, -1.5, 3], dtype), taps.shape)
    return x, dy, taps


def held_against_scatter(x, dy, taps, kernel, skew, monkeypatch):
    """Writes the gradient ``skew`` elements into a larger array: the bits are those of a scatter, and what lies around
    is not touched."""
    arguments = {"indices": taps, "index_kind": "tap", **options(kernel)}
    monkeypatch.setenv(config.FORCE_KERNEL.name, "rows")
    expected = fastpool.pool_backward(dy, x, kernel, **arguments)
    monkeypatch.setenv(config.FORCE_KERNEL.name, K2S2)
    place = np.full(x.size + 200, BEHIND, x.dtype)
    out = place[skew : skew + x.size].reshape(x.shape)
    fastpool.pool_backward(dy, x, kernel, out=out, **arguments)
    assert fastpool.explain(fastpool.pool_backward, dy, x, kernel, **arguments).kernels[-1].endswith(K2S2)
    assert out.tobytes() == expected.tobytes()
    assert (place[:skew] == BEHIND).all()
    assert (place[skew + x.size :] == BEHIND).all()


@pytest.mark.parametrize(
    "dtype", ["float32", *(pytest.param(other, marks=pytest.mark.slow) for other in ("float64", "int32", "uint8"))]
)
@pytest.mark.parametrize("around", [False, True])
def test_pairs_of_rows(dtype, around, by_jit, monkeypatch):
    # few rows of a tile, so that one ends where the next begins
    monkeypatch.setattr(scattering, "TILE_BYTES", 400)
    monkeypatch.setattr(scattering, "LARGE_TILE_BYTES", 900)
    if around:
        around_caches(monkeypatch)
    rng = np.random.default_rng(0)
    # rows below a vector, below two, above; planes of one pair
    for width in (2, 6, 14, 18, 30, 34, 56, 130):
        for height in (2, 6):
            x, dy, taps = problem((2, 5, height, width), (2, 2), dtype, rng)
            for skew in (0, 3):
                held_against_scatter(x, dy, taps, (2, 2), skew, monkeypatch)
            # planes that do not follow one another, and rows that do not
            held_against_scatter(x[:, ::2], dy[:, ::2], taps[:, ::2], (2, 2), 1, monkeypatch)
            held_against_scatter(x, dy[:, :, ::-1], taps, (2, 2), 1, monkeypatch)
            wide = np.pad(dy, [(1, 1)] * 4)[1:-1, 1:-1, 1:-1, 1:-1]
            held_against_scatter(x, wide, taps, (2, 2), 1, monkeypatch)


@pytest.mark.parametrize("around", [False, True])
def test_planes_of_volumes(around, by_jit, monkeypatch):
    monkeypatch.setattr(scattering, "LARGE_TILE_BYTES", 3000)
    if around:
        around_caches(monkeypatch)
    rng = np.random.default_rng(1)
    for kernel in ((2, 2, 2), (3, 2, 2), (1, 2, 2)):
        for height, width in ((2, 4), (4, 14), (6, 40)):
            x, dy, taps = problem((2, 3, 4 * kernel[0], height, width), kernel, "float32", rng)
            held_against_scatter(x, dy, taps, kernel, 5, monkeypatch)
            held_against_scatter(x[:, :2], dy[:, :2], taps[:, :2], kernel, 0, monkeypatch)


def test_small_planes_are_not_scattered():
    for shape in ((8, 64, 4, 4), (8, 16, 14, 14), (8, 4, 112, 112), (2, 8, 14, 14, 14)):
        kernel = (2,) * (len(shape) - 2)
        x, dy, taps = problem(shape, kernel, "float32", np.random.default_rng(2))
        found = fastpool.explain(
            fastpool.pool_backward, dy, x, kernel, indices=taps, index_kind="tap", **options(kernel)
        )
        assert found.kernels[-1].endswith(K2S2)


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 200, 2, 64), (2, 2, 4, 4, 4), (3, 5, 40)])
def test_each_wrong_tap_is_found(shape, monkeypatch):
    kernel = (2,) * (len(shape) - 2)
    rng = np.random.default_rng(3)
    x, dy, taps = problem(shape, kernel, "float32", rng)
    many = 2 ** len(kernel)
    places = range(taps.size) if taps.size < 100 else (*range(20), *rng.integers(0, taps.size, 20), taps.size - 1)
    for place in places:
        for wrong in (many, 128, 254):
            bad = taps.copy()
            bad.reshape(-1)[place] = wrong
            with pytest.raises(ValueError, match="indices"):
                fastpool.pool_backward(dy, x, kernel, indices=bad, index_kind="tap", **options(kernel))
