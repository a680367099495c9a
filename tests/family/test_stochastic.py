"""Stochastic pooling: the generator, the draws one by one, their distribution, and the expected value."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.kernels.philox import philox, uniform
from fastpool.reference.family import window_sums
from tests.family import same, window_problems
from tests.family.test_moments import problem_of

RNG = np.random.default_rng(15)

KNOWN = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)
"""Counters, keys and words as the generator's authors publish them (Random123, kat_vectors)."""


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_generator_gives_the_published_words(counter, key, words):
    assert philox(*counter, *key) == words
    assert window_sums.philox(counter, key) == words


def test_numbers_are_uniform():
    for number, seed in ((0, 0), (1, 7), (2**40 + 3, 2**63 - 1)):
        assert uniform(number, seed % 2**32, seed >> 32) == window_sums.uniform(number, seed)
    drawn = np.array([window_sums.uniform(n, 3) for n in range(20000)])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, 64, (0, 1))[0]
    # chi-square of 63 degrees: beyond 113 once in 10000
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 113


def rectified(shape):
    return np.maximum(RNG.standard_normal(shape), 0)


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_each_draw_is_that_of_the_oracle(spatial):
    pool, back = (getattr(fastpool, f"stochastic_pool{spatial}d{end}") for end in ("", "_backward"))
    most_back = getattr(fastpool, f"max_pool{spatial}d_backward")
    for i in range(100):
        shape, given = window_problems.arguments(RNG, spatial)
        x = rectified(shape) if i % 2 else RNG.standard_normal(shape)
        seed = int(RNG.integers(0, 2**63 - 1))
        expected = window_sums.drawn(problem_of(spatial, x, given), x, seed)
        y, indices = pool(x, **given, seed=seed, return_indices=True)
        np.testing.assert_array_equal(indices, expected, err_msg=str(given))
        planes = x.reshape(*shape[:2], -1)
        taken = np.take_along_axis(planes, np.maximum(indices, 0).reshape(*shape[:2], -1), 2).reshape(y.shape)
        np.testing.assert_array_equal(y, np.where(indices < 0, 0, taken))
        np.testing.assert_array_equal(pool(x, **given, seed=seed), y)
        g = RNG.standard_normal(y.shape)
        dx = back(g, x, **given, seed=seed, indices=indices)
        same.assert_same_bits(dx, most_back(g, x, **given, indices=indices))
        same.assert_same_bits(dx, back(g, x, **given, seed=seed))


@pytest.mark.parametrize("engine", ["aot", pytest.param("jit", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_same_draws_everywhere(engine, dtype):
    for i in range(6):
        shape, given = window_problems.arguments(RNG, 2)
        x = rectified(shape).astype(dtype)

        def call(x, layout, given=given, i=i):
            return fastpool.stochastic_pool2d(x, **given, seed=i, return_indices=True, layout=layout)

        def expect(x, layout, given=given):
            return fastpool.stochastic_pool2d(x, **given, training=False, layout=layout)

        def gradient(x, g, layout, given=given):
            return fastpool.stochastic_pool2d_backward(g, x, **given, training=False, layout=layout)

        with same.engine(engine):
            same.everywhere(call, x, 2)
            same.everywhere(gradient, x, 2, same.everywhere(expect, x, 2))


def test_the_distribution_is_that_of_the_shares():
    shares = np.array([0.5, 1.0, 0.0, 2.0, 4.0, 0.25])
    for dtype in (np.float32, np.float64):
        x = np.ascontiguousarray(np.broadcast_to(shares, (200, 100, 6)), dtype)
        for seed in range(3):
            _, indices = fastpool.stochastic_pool1d(x, 6, seed=seed, return_indices=True)
            counts = np.bincount(indices.ravel(), minlength=6)
            assert counts[2] == 0
            expected = 20000 * shares / shares.sum()
            kept = expected > 0
            # chi-square of 4 degrees: beyond 23.5 once in 10000
            assert ((counts[kept] - expected[kept]) ** 2 / expected[kept]).sum() < 23.5
    # draws of neighbours do not depend on each other: pairs of a coin
    x = np.ones((100, 100, 4))
    _, indices = fastpool.stochastic_pool1d(x, 2, seed=9, return_indices=True)
    pairs = np.bincount(
        (indices % 2) @ np.array([2, 1]) if indices.ndim == 2 else ((indices % 2) @ [2, 1]).ravel(), minlength=4
    )
    assert ((pairs - 2500.0) ** 2 / 2500).sum() < 21.1


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_the_expected_value(spatial):
    pool, back = (getattr(fastpool, f"stochastic_pool{spatial}d{end}") for end in ("", "_backward"))
    for i in range(100):
        shape, given = window_problems.arguments(RNG, spatial)
        dtype = ("float64", "float32", "float16")[i % 3]
        x = (rectified(shape) if i % 2 else RNG.standard_normal(shape)).astype(dtype)
        close = {"float64": 1e-13, "float32": 1e-5, "float16": 2e-3}[dtype]
        expected = window_sums.expected(problem_of(spatial, x, given), x)
        np.testing.assert_allclose(
            pool(x, **given, training=False), expected, rtol=close, atol=close, err_msg=str(given)
        )
        if i % 12 == 0:
            x = np.abs(RNG.standard_normal(shape)) + 0.01

            def call(x, given=given):
                return pool(x, **given, training=False)

            def gradient(g, x, given=given):
                return back(g, x, **given, training=False)

            assert same.gradient_error(call, gradient, x) < 1e-6


def test_windows_without_a_share_and_without_a_sum():
    x = np.array([[0.0, -1.0, 3.0, np.nan, np.inf, 1.0]])
    y, indices = fastpool.stochastic_pool1d(x, 2, seed=0, return_indices=True)
    np.testing.assert_array_equal(y, [[0.0, np.nan, np.nan]])
    np.testing.assert_array_equal(indices, [[-1, 3, 5]])
    np.testing.assert_array_equal(fastpool.stochastic_pool1d(x, 2, training=False), [[0.0, np.nan, np.nan]])
    dx = fastpool.stochastic_pool1d_backward(np.ones((1, 3)), x, 2, seed=0)
    np.testing.assert_array_equal(dx, [[0, 0, 0, 1, 0, 1]])
    dx = fastpool.stochastic_pool1d_backward(np.ones((1, 1)), x[:, :2].copy(), 2, training=False)
    np.testing.assert_array_equal(dx, [[0, 0]])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"seed": None}, TypeError, "a draw needs a seed"),
        ({"seed": -1}, ValueError, "at least 0"),
        ({"seed": 1.0}, TypeError, "must be an integer"),
        ({"training": 1}, TypeError, "True or False"),
        ({"training": False, "return_indices": True}, ValueError, "nothing is drawn"),
        ({"return_indices": "tap"}, ValueError, "flat in the plane"),
        ({"x": np.ones((2, 3, 8, 8), np.int64)}, TypeError, "int64"),
        ({"out": np.full((2, 3, 4, 3), 7.0)}, ValueError, "the result has shape"),
        ({"return_indices": True, "out": (np.full((2, 3, 4, 4), 7.0), np.full((2, 3, 4, 4), 7.0))}, TypeError, "int64"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {"x": np.ones((2, 3, 8, 8)), "kernel_size": 2, "seed": 1, **change}
    with pytest.raises(error, match=words):
        fastpool.stochastic_pool2d(**given)
    out = given.get("out", ())
    assert all((array == 7).all() for array in (out if isinstance(out, tuple) else (out,)))


def test_indices_are_checked():
    x, g = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2))
    out = np.full((1, 1, 4, 4), 7.0)
    for indices, error in (
        (np.full(g.shape, 15), ValueError),
        (np.zeros(g.shape), TypeError),
        (np.zeros((1, 1, 2, 1), int), ValueError),
    ):
        with pytest.raises(error):
            fastpool.stochastic_pool2d_backward(g, x, 2, indices=indices, out=out)
    assert (out == 7).all()
