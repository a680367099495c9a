"""Gradients of statistics: against torch's, finite differences, and each other."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from tests.family import same, slopes
from tests.family import statistic_cases as S

WITH_TORCH = {
    "logsumexp": lambda t: t.logsumexp(-1) - np.log(t.shape[-1]),
    "soft": lambda t: (t.softmax(-1) * t).sum(-1),
    "entropy": lambda t: -(t.softmax(-1) * t.log_softmax(-1)).sum(-1),
    "prod": lambda t: t.prod(-1),
    "var": lambda t: t.var(-1, correction=0),
    "gem": lambda t: t.clamp(min=1e-6).pow(3).mean(-1).pow(1 / 3),
}


@pytest.mark.parametrize("word", WITH_TORCH)
def test_beside_torch(word):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    for i in range(100):
        shape = (int(rng.integers(1, 3)), int(rng.choice([1, 4, 17])), *map(int, rng.integers(1, 20, 2)))
        x = rng.standard_normal(shape)
        x = (np.abs(x) + 0.1 if word == "gem" else x).astype(np.float32)
        if word == "prod":
            x[rng.random(shape) < 0.2] = 0
        kernel = shape[2:] if i % 4 == 0 else tuple(int(rng.integers(1, n + 1)) for n in shape[2:])
        stride = tuple(map(int, rng.integers(1, 5, 2)))
        tensor = torch.from_numpy(x).double().requires_grad_()
        taps = tensor.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(-2)
        y = WITH_TORCH[word](taps)
        dy = rng.standard_normal(tuple(y.shape)).astype(np.float32)
        y.backward(torch.from_numpy(dy).double())
        found = getattr(fastpool, f"{word}_pool2d_backward")(dy, x, kernel, stride)
        found = found[0] if word == "gem" else found
        expected = tensor.grad.numpy()
        np.testing.assert_allclose(found, expected, rtol=3e-5, atol=3e-6 * (np.abs(expected).max() + 1e-30))


@pytest.mark.parametrize("case", [case for case in S.CASES if case.name in S.COMPILED], ids=lambda case: case.id)
def test_same_bits_everywhere(case):
    rng = np.random.default_rng(2)
    for _ in range(8):
        given = S.windows(rng, np.float32, case.positive)
        dy = rng.standard_normal(given.problem().out_shape).astype(np.float32)

        def call(x, dy, layout, given=given):
            dx = given.call(case, "_backward")(dy, x, *given.arguments, layout=layout, **case.options)
            return dx[0] if case.word == "gem" else dx

        dx = same.everywhere(call, given.x, given.spatial, dy)
        assert dx.shape == given.x.shape


def small(rng: np.random.Generator, case: S.Case) -> S.Windows:
    """Windows whose results are not at the edge of what is defined, or so large that a difference says little."""
    while True:
        given = S.windows(rng, np.float64, case.positive, largest=7)
        given = given._replace(x=given.x[:, :3].copy())
        with np.errstate(all="ignore"):
            y = S.answer(case, given)
        size = np.abs(y)
        edged = case.name in ("variance", "gamma", "weibull")
        inner = size.min() > 1e-2 if edged else case.word != "entropy" or size.max() > 1e-2
        if given.x.size < 200 and np.isfinite(y).all() and size.max() < 1e2 and inner:
            return given


@pytest.mark.slow
@pytest.mark.parametrize("case", S.CASES, ids=lambda case: case.id)
def test_finite_differences(case):
    def make(rng):
        given = small(rng, case)
        forward, backward = given.call(case), given.call(case, "_backward")

        def pool(copies):
            y = forward(copies.reshape(-1, *given.x.shape[1:]), *given.arguments, **case.options)
            return y.reshape(len(copies), -1)

        def gradient(dy, x):
            return backward(dy.reshape(given.problem().out_shape), x[0], *given.arguments, **case.options)

        return slopes.Slope(forward.__name__, pool, gradient, given.x)

    slopes.hold(make)


@pytest.mark.slow
@pytest.mark.parametrize("case", S.CASES, ids=lambda case: case.id)
def test_without_nan_it_is_that_of_the_numbers(case):
    """A window of which half the taps are NaN has the gradient of one of the others alone."""
    rng = np.random.default_rng(4)
    x = np.abs(rng.standard_normal((2, 3, 40))) + 0.1
    holes = np.full((2, 3, 80), np.nan)
    holes[:, :, ::2] = x
    case = S.Case(case.word, case.options, case.name)
    pool, backward = (getattr(fastpool, f"{case.word}_pool1d{d}") for d in ("", "_backward"))
    y = pool(x, 4, **case.options)
    np.testing.assert_array_equal(pool(holes, 8, nan="ignore", **case.options), y)
    dx, ignoring = backward(y, x, 4, **case.options), backward(y, holes, 8, nan="ignore", **case.options)
    if case.word == "gem":
        assert dx[1] == ignoring[1]
        dx, ignoring = dx[0], ignoring[0]
    np.testing.assert_array_equal(ignoring[:, :, ::2], dx)
    assert (ignoring[:, :, 1::2] == 0).all()
    only = backward(np.ones((2, 3, 10)), np.full((2, 3, 80), np.nan), 8, nan="ignore", **case.options)
    assert ((only[0] if case.word == "gem" else only) == 0).all()


def test_exponent_of_generalised_mean():
    rng = np.random.default_rng(5)
    x = (np.abs(rng.standard_normal((3, 4, 9, 9))) + 0.1).astype(np.float32)
    dy = rng.standard_normal((3, 4, 4, 4)).astype(np.float32)
    p = rng.uniform(1, 5, 4)
    taps = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), (2, 3))[:, :, ::2, ::2]
    taps = taps.reshape(*taps.shape[:4], 9)

    def mean(p):
        return (taps ** p.reshape(4, 1, 1, 1)).mean(-1) ** (1 / p.reshape(4, 1, 1))

    expected = ((mean(p + 1e-6) - mean(p - 1e-6)) * dy).sum((0, 2, 3)) / 2e-6
    np.testing.assert_allclose(fastpool.gem_pool2d(x, 3, 2, p=p), mean(p), rtol=2e-6)
    dx, dp = fastpool.gem_pool2d_backward(dy, x, 3, 2, p=p)
    np.testing.assert_allclose(dp, expected, rtol=1e-4, atol=1e-4)
    assert dp.dtype == p.dtype
    # of one channel at a time, and of a number
    for channel in range(4):
        part = slice(channel, channel + 1)
        alone, change = fastpool.gem_pool2d_backward(dy[:, part], x[:, part], 3, 2, p=float(p[channel]))
        np.testing.assert_array_equal(alone, dx[:, part])
        assert change == dp[channel]
    last = [np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in (dy, x)]
    moved, same_p = fastpool.gem_pool2d_backward(*last, 3, 2, p=p, layout="channels_last")
    np.testing.assert_array_equal(np.moveaxis(moved, -1, 1), dx)
    np.testing.assert_array_equal(same_p, dp)
    one = fastpool.gem_pool2d_backward(dy, x, 3, 2, p=np.array([3.0]))[1]
    assert one.shape == (1,)
    assert one[0] == fastpool.gem_pool2d_backward(dy, x, 3, 2, p=3.0)[1]
    out = (np.empty_like(x), np.empty_like(p))
    assert fastpool.gem_pool2d_backward(dy, x, 3, 2, p=p, out=out)[1] is out[1]
    pooled, pullback = fastpool.vjp(fastpool.global_gem_pool, x, p=p)
    again = fastpool.global_gem_pool_backward(pooled, x, p=p)
    for found, known in zip(pullback(pooled), again, strict=True):
        np.testing.assert_array_equal(found, known)


def test_gradients_at_edges():
    zeros = np.zeros((1, 1, 4), np.float32)
    ones = np.ones((1, 1, 2), np.float32)
    assert (fastpool.std_pool1d_backward(ones, zeros, 2) == 0).all()
    dx, dp = fastpool.gem_pool1d_backward(ones, zeros, 2, eps=0.0)
    assert (dx == 0).all()
    assert dp == 0
    x = np.float32([[[0, 0, 0, 3]]])
    assert fastpool.prod_pool1d_backward(ones, x, 2).tolist() == [[[0, 0, 3, 0]]]
    x = np.float32([[[1e-30, 1e-30, 1e30, 1e30]]])
    found = fastpool.prod_pool1d_backward(ones[:, :, :1], x, 4)
    np.testing.assert_allclose(found, 1 / x.astype(np.float64), rtol=1e-6)
    x = np.float32([[[1e4, 1e4 - 1, -1e4, 1e4]]])
    found = fastpool.logsumexp_pool1d_backward(ones, x, 2)
    np.testing.assert_allclose(found, [[[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0, 1]]], rtol=1e-6)
    empty = fastpool.logsumexp_pool1d_backward(np.ones((1, 1, 4), np.float32), zeros, 1, 4, ((12, 0),))
    assert empty.tolist() == [[[1, 0, 0, 0]]]


def test_gaps_between_windows_have_none():
    x = np.ones((2, 3, 9), np.float32)
    dx = fastpool.logsumexp_pool1d_backward(np.ones((2, 3, 2), np.float32), x, 2, 5)
    assert (dx[0, 0] == np.float32([0.5, 0.5, 0, 0, 0, 0.5, 0.5, 0, 0])).all()


def test_vjp():
    x = np.random.default_rng(6).standard_normal((2, 3, 8, 8)).astype(np.float32)
    y, pullback = fastpool.vjp(fastpool.var_pool2d, x, 2, ddof=1)
    np.testing.assert_array_equal(pullback(y), fastpool.var_pool2d_backward(y, x, 2, ddof=1))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"grad_output": np.ones((2, 3, 4, 5))}, ValueError, "the shape of the forward's result"),
        ({"grad_output": np.ones((2, 3, 4, 4), np.float32)}, TypeError, "float32"),
        ({"x": (2, 3, 8, 8)}, TypeError, "array is needed"),
        ({"p": np.ones(3), "out": "kept"}, TypeError, "there are 2 results"),
        ({"p": 0.0}, ValueError, "not 0"),
    ],
)
def test_errors_write_nothing(change, error, words):
    out = np.full((2, 3, 8, 8), 7.0)
    given = {"grad_output": np.ones((2, 3, 4, 4)), "x": np.ones((2, 3, 8, 8)), "kernel_size": 2, **change, "out": out}
    with pytest.raises(error, match=words):
        fastpool.gem_pool2d_backward(**given)
    assert (out == 7).all()
