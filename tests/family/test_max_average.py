"""Maximum and mean in one pass: the bits of the two functions that they are, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.family import chaining
from tests.family import same, window_problems

RNG = np.random.default_rng(11)
DTYPES = ("float32", "float64", "float16")


@pytest.fixture(params=["whole", "turns"])
def parts(request, monkeypatch):
    """Arrays of a few elements go through a chain, too."""
    if request.param == "turns":
        monkeypatch.setattr(chaining, "CACHED_BYTES", 256)
    return request.param


def values(shape, dtype):
    x = RNG.standard_normal(shape).astype(dtype)
    x[RNG.random(shape) < 0.02] = np.nan
    return x


@pytest.mark.parametrize("engine", ["aot", pytest.param("jit", marks=pytest.mark.slow)])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_they_are_the_two_poolings(spatial, engine, parts):
    both, most, mean = (getattr(fastpool, f"{name}_pool{spatial}d") for name in ("max_avg", "max", "avg"))
    for i in range(12 if engine == "aot" else 2):
        shape, given = window_problems.arguments(RNG, spatial)
        x = values(shape, DTYPES[i % 3])
        include = bool(i % 2)

        def call(x, layout, given=given, include=include):
            return both(x, **given, count_include_pad=include, layout=layout)

        with same.engine(engine):
            found = same.everywhere(call, x, spatial)
        same.assert_same_bits(found, (most(x, **given), mean(x, **given, count_include_pad=include)), str(given))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_many_problems(spatial, monkeypatch):
    monkeypatch.setattr(chaining, "CACHED_BYTES", 512)
    both, most, mean = (getattr(fastpool, f"{name}_pool{spatial}d") for name in ("max_avg", "max", "avg"))
    for i in range(100):
        shape, given = window_problems.arguments(RNG, spatial, 12)
        x = values(shape, DTYPES[i % 3])
        same.assert_same_bits(both(x, **given), (most(x, **given), mean(x, **given)), str(given))


def test_planes_and_channels(parts):
    for i in range(30):
        spatial = i % 3 + 1
        x = values((2, int(RNG.integers(1, 9)), *(int(n) for n in RNG.integers(1, 20, spatial))), DTYPES[i % 2])
        keep = bool(i % 2)
        expected = fastpool.global_max_pool(x, keepdims=keep), fastpool.global_avg_pool(x, keepdims=keep)
        same.assert_same_bits(fastpool.global_max_avg_pool(x, keepdims=keep), expected)
        last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
        found = fastpool.global_max_avg_pool(last, layout="channels_last")
        same.assert_same_bits(found, tuple(y.reshape(2, -1) for y in expected))
        most, mean = fastpool.global_max_avg_pool(x, over="channels")
        np.testing.assert_array_equal(most, x.max(axis=1))
        np.testing.assert_allclose(mean, x.astype(np.float64).mean(axis=1), rtol=1e-5, atol=1e-6)
        turned = fastpool.global_max_avg_pool(last, over="channels", layout="channels_last")
        same.assert_same_bits(turned, (most, mean))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_the_gradient_is_the_sum_of_both(spatial):
    both, most, mean = (getattr(fastpool, f"{name}_pool{spatial}d_backward") for name in ("max_avg", "max", "avg"))
    forward = getattr(fastpool, f"max_avg_pool{spatial}d")
    for i in range(34):
        shape, given = window_problems.arguments(RNG, spatial)
        # many equal elements: the first one gets the gradient
        x = RNG.integers(0, 4, shape).astype(DTYPES[i % 2])
        grads = tuple(RNG.standard_normal(y.shape).astype(x.dtype) for y in forward(x, **given))
        expected = most(grads[0], x, **given) + mean(grads[1], x, **given)
        same.assert_same_bits(both(grads, x, **given), expected)

        def call(x, first, second, layout, given=given):
            return both((first, second), x, **given, layout=layout)

        same.assert_same_bits(same.everywhere(call, x, spatial, *grads), expected)


def test_gradients_are_those_of_differences():
    x = RNG.permutation(np.arange(2 * 3 * 7 * 6.0)).reshape(2, 3, 7, 6) / 100

    def joined(x):
        return np.concatenate([y.ravel() for y in fastpool.max_avg_pool2d(x, 3, 2, 1)])

    def back(g, x):
        shape = fastpool.max_pool2d(x, 3, 2, 1).shape
        return fastpool.max_avg_pool2d_backward(tuple(g.reshape(2, *shape)), x, 3, 2, 1)

    assert same.gradient_error(joined, back, x) < 1e-6

    def of_planes(x):
        return np.concatenate([y.ravel() for y in fastpool.global_max_avg_pool(x)])

    def back_of_planes(g, x):
        return fastpool.global_max_avg_pool_backward(tuple(g.reshape(2, 2, 3)), x)

    assert same.gradient_error(of_planes, back_of_planes, x) < 1e-6
    y, pullback = fastpool.vjp(fastpool.global_max_avg_pool, x, over="channels")
    np.testing.assert_array_equal(pullback(y).shape, x.shape)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kernel_size": 0}, ValueError, "at least 1"),
        ({"stride": "two"}, TypeError, "must be an integer"),
        ({"padding": (1, 2, 3)}, ValueError, "3 entries for 2 axes"),
        ({"layout": "CHWN"}, ValueError, "unknown layout"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"x": np.ones((2, 3, 8, 8), np.int32)}, TypeError, "int32"),
        ({"out": np.full((2, 3, 4, 4), 7.0)}, TypeError, "tuple"),
        ({"out": (np.full((2, 3, 4, 4), 7.0), np.full((2, 3, 4, 5), 7.0))}, ValueError, "the result has shape"),
        ({"out": (np.full((2, 3, 4, 4), 7.0),) * 2}, ValueError, "overlaps"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {"x": np.ones((2, 3, 8, 8)), "kernel_size": 2, **change}
    with pytest.raises(error, match=words):
        fastpool.max_avg_pool2d(**given)
    out = given.get("out", ())
    assert all((array == 7).all() for array in (out if isinstance(out, tuple) else (out,)))


def test_gradients_are_checked():
    x, g = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2))
    with pytest.raises(TypeError, match="must be a pair"):
        fastpool.max_avg_pool2d_backward(g, x, 2)
    with pytest.raises(ValueError, match="grad_output"):
        fastpool.max_avg_pool2d_backward((g, g[..., :1]), x, 2)
    with pytest.raises(TypeError, match="float32"):
        fastpool.max_avg_pool2d_backward((g, g.astype(np.float32)), x, 2)
    with pytest.raises(ValueError, match="no axis of channels"):
        fastpool.global_max_avg_pool(np.ones((3, 4)), over="channels", layout="HW")
