"""Gradients of means and sums over windows that share no element: the bits are those of sweeps, and what lies around
the gradient is not touched."""

from __future__ import annotations

import random

import numpy as np
import pytest

import fastpool
from fastpool import config, spreading
from tests.around import around_caches

BEHIND = 77
FORMS = ("rows_apart", "lanes_apart")


@pytest.fixture
def by_jit(monkeypatch):
    """Kernels that are planned here: the C library has limits of its own."""
    monkeypatch.setenv("FASTPOOL_ENGINE", "jit")


def random_case(rng):
    """Shape of x, window, stride, padding and options, of windows that share no element."""
    rank = rng.choice((1, 2, 2, 3))
    k = [rng.choice((1, 2, 3, 4, 5, 6) if rank == 3 else (1, 2, 3, 4, 7, 8, 9, 16, 17, 30)) for _ in range(rank)]
    stride = [size + rng.choice((0, 0, 0, 1, 5)) for size in k]
    padding = [rng.randrange(size // 2 + 1) if rng.random() < 0.4 else 0 for size in k]
    shape = [
        max(size - 2 * pad, size) + rng.choice((0, 1, 3)) * step + rng.choice((0, 0, 1, 7))
        for size, step, pad in zip(k, stride, padding, strict=True)
    ]
    if rng.random() < 0.2:
        # a single window, which may be the first of many
        shape, padding, stride = list(k), [0] * rank, [rng.choice((1, size)) for size in k]
    layout = rng.choice(("channels_first", "channels_last"))
    channels = rng.choice((1, 2, 3, 16, 17, 33))
    whole = (2, channels, *shape) if layout == "channels_first" else (2, *shape, channels)
    options = {"layout": layout, "ceil_mode": rng.random() < 0.3, "count_include_pad": rng.random() < 0.5}
    if rng.random() < 0.2:
        options["divisor_override"] = rng.choice((-2, 7))
    return whole, k, stride, padding, options


def held_against_sweeps(case, dtype, seed, monkeypatch):
    """Which kernels ran."""
    shape, k, stride, padding, options = case
    rng = np.random.default_rng(seed)
    rank = len(k)
    forward, backward = (getattr(fastpool, f"avg_pool{rank}d{name}") for name in ("", "_backward"))
    arguments = (shape, k, stride, padding)
    dy = rng.standard_normal(forward(np.zeros(shape, dtype), *arguments[1:], **options).shape).astype(dtype)
    for value in (-0.0, np.nan, -np.nan, np.inf):
        dy.flat[rng.integers(dy.size)] = value
    monkeypatch.setenv(config.FORCE_KERNEL.name, "rows")
    expected = backward(dy, *arguments, **options)
    ran = set()
    for form in FORMS:
        monkeypatch.setenv(config.FORCE_KERNEL.name, form)
        skew = int(rng.integers(40))
        place = np.full(expected.size + 100, BEHIND, dtype)
        backward(dy, *arguments, out=place[skew : skew + expected.size].reshape(shape), **options)
        assert place[skew : skew + expected.size].tobytes() == expected.tobytes(), (case, form)
        assert (place[:skew] == BEHIND).all(), (case, form)
        assert (place[skew + expected.size :] == BEHIND).all(), (case, form)
        # rows with something between them
        wide = np.full((*shape[:-1], shape[-1] + 3), BEHIND, dtype)
        backward(dy, *arguments, out=wide[..., 1:-2], **options)
        assert wide[..., 1:-2].tobytes() == expected.tobytes(), (case, form)
        assert (wide[..., 0] == BEHIND).all(), (case, form)
        assert (wide[..., -2:] == BEHIND).all(), (case, form)
        # rows that lie one before the other, so that places are negative
        wide = np.full((*shape[:-1], shape[-1] + 40), BEHIND, dtype)
        back = wide[tuple(slice(None, None, -1) for _ in shape[:-1])]
        backward(dy, *arguments, out=back[..., 20:-20], **options)
        assert back[..., 20:-20].tobytes() == expected.tobytes(), (case, form)
        assert (wide[..., :20] == BEHIND).all(), (case, form)
        assert (wide[..., -20:] == BEHIND).all(), (case, form)
        ran |= {name.rpartition("__")[2] for name in fastpool.explain(backward, dy, *arguments, **options).kernels}
    return ran


@pytest.mark.parametrize(
    "dtype", ["float32", *(pytest.param(other, marks=pytest.mark.slow) for other in ("float64", "float16"))]
)
@pytest.mark.parametrize("around", [False, True])
def test_any_windows_apart(dtype, around, by_jit, monkeypatch):
    if around:
        # small tiles and lines, written around the caches
        around_caches(monkeypatch)
        monkeypatch.setattr(spreading, "LINE_BYTES", 1024)
        monkeypatch.setattr(spreading, "TILE_BYTES", 4096)
    rng = random.Random(f"{dtype} {around}")
    ran = set()
    for seed in range(60):
        case = random_case(rng)
        if np.prod(case[0]) <= 200_000:
            ran |= held_against_sweeps(case, dtype, seed, monkeypatch)
    assert ran >= set(FORMS)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("around", [False, True])
def test_windows_of_two_in_long_rows(dtype, around, by_jit, monkeypatch):
    """Rows of a vector of windows or more, or a little less; with rows between windows, and with some at their ends."""
    if around:
        around_caches(monkeypatch)
        monkeypatch.setattr(spreading, "TILE_BYTES", 4096)
    ran = set()
    for seed, (tall, step, width) in enumerate(
        [(2, 2, 56), (2, 2, 30), (2, 2, 32), (3, 3, 34), (1, 2, 64), (2, 3, 126), (2, 2, 65)]
    ):
        case = ((2, 3, 4 * step + 1, width), [tall, 2], [step, 2], [0, 0], {"layout": "channels_first"})
        ran |= held_against_sweeps(case, dtype, seed, monkeypatch)
        ran |= held_against_sweeps(((2, 3, width), [2], [2], [0], case[4]), dtype, seed, monkeypatch)
    assert "rows_apart" in ran


@pytest.mark.parametrize(("size", "options"), [(7, {"stride": 2, "padding": 1}), (14, {"stride": 3, "dilation": 2})])
def test_windows_that_share_elements_are_left_to_others(size, options):
    dy = np.zeros((1, 2, 4, 4), np.float32)
    told = fastpool.explain(fastpool.avg_pool2d_backward, dy, (1, 2, size, size), 3, **options)
    assert told.kernels == ("mean_gather_f32__rows",) or told.kernels == ("mean_gather_f32__lanes",)
