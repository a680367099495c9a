"""Mean and variance of windows, against an oracle in exact sums, and torch."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool import arguments
from fastpool.arguments import Operation, Options
from fastpool.reference.family import window_sums
from tests.family import same, window_problems

RNG = np.random.default_rng(13)
CLOSE = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-2}


def problem_of(spatial, x, given, **more):
    options = Options(**given, **more, pooled=Operation("mean", spatial))
    code = {"float64": "f64", "float32": "f32", "float16": "f16"}[x.dtype.name]
    return arguments.problem("test", "fwd", code, x.shape, options)


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_many_problems(spatial):
    pool, mean = getattr(fastpool, f"mean_var_pool{spatial}d"), getattr(fastpool, f"avg_pool{spatial}d")
    for i in range(100):
        shape, given = window_problems.arguments(RNG, spatial)
        dtype = ("float64", "float32", "float16")[i % 3]
        # a mean that is large beside the deviations: sums of squares would lose all digits
        x = (RNG.standard_normal(shape) + (1000 if dtype == "float32" else 3)).astype(dtype)
        if i % 7 == 0:
            x[0, 0] = np.nan
        correction = i % 2
        m, v = pool(x, **given, correction=correction)
        same.assert_same_bits(m, mean(x, **given, count_include_pad=False), str(given))
        expected = window_sums.variance(problem_of(spatial, x, given), x, correction)
        np.testing.assert_allclose(v, expected, rtol=CLOSE[dtype], atol=CLOSE[dtype], err_msg=str(given))


@pytest.mark.parametrize("engine", ["aot", pytest.param("jit", marks=pytest.mark.slow)])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_same_bits_everywhere(spatial, engine):
    pool, back = (getattr(fastpool, f"mean_var_pool{spatial}d{end}") for end in ("", "_backward"))
    for i in range(8):
        shape, given = window_problems.arguments(RNG, spatial)
        x = RNG.standard_normal(shape).astype(("float32", "float64")[i % 2])

        def call(x, layout, given=given):
            return pool(x, **given, layout=layout, correction=1)

        def gradient(x, first, second, layout, given=given):
            return back((first, second), x, **given, layout=layout)

        with same.engine(engine):
            y = same.everywhere(call, x, spatial)
            same.everywhere(gradient, x, spatial, *(RNG.standard_normal(part.shape).astype(x.dtype) for part in y))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_gradients_are_those_of_differences(spatial):
    pool, back = (getattr(fastpool, f"mean_var_pool{spatial}d{end}") for end in ("", "_backward"))
    for _ in range(4):
        shape, given = window_problems.arguments(RNG, spatial, 6)
        x = RNG.standard_normal(shape)

        def joined(x, given=given):
            return np.concatenate([y.ravel() for y in pool(x, **given)])

        def gradient(g, x, given=given):
            y = pool(x, **given)[0].shape
            return back(tuple(g.reshape(2, *y)), x, **given)

        assert same.gradient_error(joined, gradient, x) < 1e-6


def test_planes_are_those_of_torch():
    torch = pytest.importorskip("torch")
    for i in range(100):
        spatial = i % 3 + 1
        shape = (2, int(RNG.integers(1, 20)), *(int(n) for n in RNG.integers(2, 20, spatial)))
        x = RNG.standard_normal(shape)
        axes = tuple(range(2, x.ndim))
        variance, mean = torch.var_mean(torch.from_numpy(x), axes, correction=i % 2)
        m, v = fastpool.global_mean_var_pool(x, correction=i % 2)
        same.assert_same_bits(m, fastpool.global_avg_pool(x))
        np.testing.assert_allclose(m, mean.numpy(), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(v, variance.numpy(), rtol=1e-13)
        last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
        found = fastpool.global_mean_var_pool(last, correction=i % 2, layout="channels_last", keepdims=True)
        same.assert_same_bits(tuple(y.reshape(m.shape) for y in found), (m, v))
        t = torch.from_numpy(x).requires_grad_()
        variance, mean = torch.var_mean(t, axes, correction=i % 2)
        g = RNG.standard_normal((2, *m.shape))
        (mean * torch.from_numpy(g[0]) + variance * torch.from_numpy(g[1])).sum().backward()
        dx = fastpool.global_mean_var_pool_backward((g[0], g[1]), x, correction=i % 2)
        np.testing.assert_allclose(dx, t.grad.numpy(), rtol=1e-11, atol=1e-13)


def test_windows_of_few_taps():
    x = np.array([[1.0, 2.0, 4.0]])
    m, v = fastpool.mean_var_pool1d(x, 1, correction=1)
    assert np.isnan(v).all()
    assert (m == x).all()
    m, v = fastpool.mean_var_pool1d(x, 1, padding=2)
    np.testing.assert_array_equal(m, [[0, 0, 1, 2, 4, 0, 0]])
    np.testing.assert_array_equal(v, np.zeros((1, 7)))
    # the mean is rounded to 1000, the deviations are taken from what it was
    assert fastpool.mean_var_pool1d(np.array([[1000, 1000.5]], np.float16), 2)[1] == 0.0625
    # no result of rounding is below 0
    flat = np.full((1, 100), 0.1, np.float32)
    assert (fastpool.mean_var_pool1d(flat, 7, 1)[1] >= 0).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"correction": -1}, ValueError, "at least 0"),
        ({"correction": 0.5}, TypeError, "must be an integer"),
        ({"kernel_size": 9}, ValueError, "must fit"),
        ({"x": np.ones((2, 3, 8, 8), np.uint8)}, TypeError, "uint8"),
        ({"out": (np.full((2, 3, 4, 4), 7.0), np.full((2, 3, 4, 4), 7.0, np.float32))}, TypeError, "float32"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {"x": np.ones((2, 3, 8, 8)), "kernel_size": 2, **change}
    with pytest.raises(error, match=words):
        fastpool.mean_var_pool2d(**given)
    assert all((array == 7).all() for array in given.get("out", ()))
    g = np.ones((2, 3, 4, 4))
    with pytest.raises((TypeError, ValueError)):
        fastpool.mean_var_pool2d_backward((g, g[:1]), np.ones((2, 3, 8, 8)), 2)
