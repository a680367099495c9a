"""Blur pooling and max blur pooling against padded sums in NumPy, and against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastpool
from tests.family import same

MODES = {"reflect": "reflect", "replicate": "edge", "edge": "edge", "zero": "constant", "periodic": "wrap"}
TORCH = {"reflect": "reflect", "replicate": "replicate", "zero": "constant", "periodic": "circular"}


def pascal(size):
    return np.array([math.comb(size - 1, i) for i in range(size)]) / 2.0 ** (size - 1)


def blurred(x, filters, strides, padding):
    """By the definition, over the last axes: padded, then a sum over taps."""
    x = x.astype(np.float64)
    first = x.ndim - len(filters)
    for axis, (taps, step) in enumerate(zip(filters, strides, strict=True), first):
        size = x.shape[axis]
        pads = [(0, 0)] * x.ndim
        pads[axis] = ((len(taps) - 1) // 2, len(taps) // 2)
        padded = np.pad(x, pads, mode=MODES[padding])
        x = sum(tap * np.take(padded, np.arange(0, size, step) + u, axis) for u, tap in enumerate(taps))
    return x


def problem(rng, spatial, largest=12):
    """Sizes, filters of three kinds of argument, strides, border rule."""
    sizes = tuple(int(n) for n in rng.integers(2, largest, spatial))
    strides = tuple(int(n) for n in rng.integers(1, 4, spatial))
    padding = str(rng.choice(["reflect", "replicate", "zero", "periodic"]))
    lengths = [int(rng.integers(1, min(8, 2 * min(sizes)))) for _ in range(spatial)]
    own = rng.integers(3)
    if own == 0:
        return sizes, [pascal(n) for n in lengths], strides, padding, {"filter_size": tuple(lengths)}
    if own == 1:
        taps = rng.standard_normal(lengths[0])
        return sizes, [taps] * spatial, strides, padding, {"filter": taps}
    filters = [rng.standard_normal(n) for n in lengths]
    return sizes, filters, strides, padding, {"filter": tuple(filters)}


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_it_is_a_padded_sum(spatial):
    rng = np.random.default_rng(spatial)
    pool = getattr(fastpool, f"blur_pool{spatial}d")
    for i in range(100):
        sizes, filters, strides, padding, given = problem(rng, spatial, (90, 40, 12)[spatial - 1] if i % 4 == 0 else 12)
        dtype = ("float32", "float64")[i % 2]
        x = rng.standard_normal((2, 3, *sizes)).astype(dtype)
        expected = blurred(x, filters, strides, padding)
        y = pool(x, stride=strides, padding=padding, **given)
        assert y.dtype == dtype
        tolerance = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(y, expected, rtol=tolerance, atol=10 * tolerance, err_msg=str((sizes, given)))


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_bits_are_the_same_everywhere(spatial, dtype):
    rng = np.random.default_rng(spatial)
    for i in range(6):
        sizes, _, strides, padding, given = problem(rng, spatial, 40 if i == 0 and spatial < 3 else 12)
        channels = (3, 20, 1)[i % 3]
        x = rng.standard_normal((2, channels, *sizes)).astype(dtype)
        # zeros of both signs, NaN and infinity take the same ways
        x[rng.random(x.shape) < 0.3] = rng.choice([0.0, -0.0])
        if i % 2:
            x.flat[x.size // 2] = np.nan
            x.flat[x.size // 3] = -np.inf

        def call(x, layout, strides=strides, padding=padding, given=given):
            pool = getattr(fastpool, f"blur_pool{spatial}d")
            return pool(x, stride=strides, padding=padding, layout=layout, **given)

        y = same.everywhere(call, x, spatial)

        def back(x, dy, layout, strides=strides, padding=padding, given=given):
            backward = getattr(fastpool, f"blur_pool{spatial}d_backward")
            return backward(dy, x, stride=strides, padding=padding, layout=layout, **given)

        same.everywhere(back, x, spatial, np.nan_to_num(y))


def test_halves_are_rounded_once():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 20, 17)).astype(np.float16)
    y = fastpool.blur_pool2d(x, 3)
    np.testing.assert_array_equal(y, fastpool.blur_pool2d(x.astype(np.float32), 3).astype(np.float16))
    dx = fastpool.blur_pool2d_backward(y, x, 3)
    expected = fastpool.blur_pool2d_backward(y.astype(np.float32), x.shape, 3).astype(np.float16)
    np.testing.assert_array_equal(dx, expected)


def test_both_engines_and_the_oracle_agree():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, 19, 23))
    dy = rng.standard_normal((2, 3, 10, 12))
    found = {}
    for engine in (*same.ENGINES, "reference"):
        with same.engine(engine):
            found[engine] = fastpool.blur_pool2d(x), fastpool.blur_pool2d_backward(dy, x)
    same.assert_same_bits(found["aot"], found["jit"])
    for a, b in zip(found["aot"], found["reference"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_its_gradient_is_its_adjoint(spatial):
    rng = np.random.default_rng(spatial)
    pool = getattr(fastpool, f"blur_pool{spatial}d")
    backward = getattr(fastpool, f"blur_pool{spatial}d_backward")
    for _ in range(100):
        sizes, _, strides, padding, given = problem(rng, spatial)
        given = {"stride": strides, "padding": padding, **given}
        x = rng.standard_normal((2, 3, *sizes))
        error = same.adjoint_error(lambda x, g=given: pool(x, **g), lambda dy, x=x, g=given: backward(dy, x, **g), x)
        assert error < 1e-13, (sizes, given)
    y, pullback = fastpool.vjp(pool, x, **given)
    same.assert_same_bits(pullback(y), backward(y, x.shape, **given))


def test_its_gradient_is_the_slope():
    x = np.random.default_rng(0).standard_normal((2, 7, 6))
    error = same.gradient_error(
        lambda x: fastpool.blur_pool2d(x, 3), lambda dy, x: fastpool.blur_pool2d_backward(dy, x, 3), x
    )
    assert error < 1e-6


def test_it_is_torchs_padded_convolution():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(5)
    for i in range(100):
        sizes = tuple(int(n) for n in rng.integers(5, 14, 2))
        size, stride = int(rng.integers(1, 8)), int(rng.integers(1, 4))
        padding = ("reflect", "replicate", "zero", "periodic")[i % 4]
        x = torch.tensor(rng.standard_normal((2, 3, *sizes)), requires_grad=True)
        taps = torch.tensor(np.outer(pascal(size), pascal(size)))
        pads = ((size - 1) // 2, size // 2) * 2
        padded = torch.nn.functional.pad(x, pads, mode=TORCH[padding])
        expected = torch.nn.functional.conv2d(padded, taps.expand(3, 1, size, size), stride=stride, groups=3)
        y = fastpool.blur_pool2d(x.detach(), size, stride, padding=padding)
        assert isinstance(y, torch.Tensor)
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-13)
        dy = torch.tensor(rng.standard_normal(tuple(y.shape)))
        expected.backward(dy)
        dx = fastpool.blur_pool2d_backward(dy, x.detach(), size, stride, padding=padding)
        torch.testing.assert_close(dx, x.grad, rtol=1e-12, atol=1e-13)


def test_the_order_in_memory_stays():
    x = same.in_memory_last(np.random.default_rng(0).standard_normal((2, 5, 8, 8)))
    y = fastpool.blur_pool2d(x)
    assert np.moveaxis(y, 1, -1).flags.c_contiguous
    assert np.moveaxis(fastpool.blur_pool2d_backward(y, x), 1, -1).flags.c_contiguous


def test_a_filter_of_one_tap_is_a_stride():
    x = np.random.default_rng(0).standard_normal((2, 9, 8))
    np.testing.assert_array_equal(fastpool.blur_pool2d(x, 1, (3, 2)), fastpool.stride_pool2d(x, (3, 2)))


def test_constants_stay_and_nothing_of_a_long_axis_is_lost():
    for size in range(1, 12):
        np.testing.assert_allclose(fastpool.blur_pool1d(np.full(300, 3.0), size, 5), 3.0, rtol=1e-15)
    x = np.random.default_rng(0).standard_normal((1, 100_003))
    np.testing.assert_allclose(fastpool.blur_pool1d(x, 5, 3), blurred(x, [pascal(5)], [3], "reflect"), atol=1e-14)
    lanes = x.reshape(1, 100_003, 1).repeat(3, 2)
    y = fastpool.blur_pool1d(lanes, 5, 3, layout="channels_last")
    np.testing.assert_allclose(y[..., 1], blurred(x, [pascal(5)], [3], "reflect"), atol=1e-14)
    empty = fastpool.blur_pool2d(np.zeros((0, 3, 8, 8)))
    assert empty.shape == (0, 3, 4, 4)
    assert fastpool.blur_pool2d_backward(empty, (0, 3, 8, 8)).shape == (0, 3, 8, 8)


def maxima(x, kernel):
    spatial = tuple(range(x.ndim - len(kernel), x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, spatial)
    return windows.max(tuple(range(x.ndim, x.ndim + len(kernel))))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_max_blur_is_a_maximum_and_a_blur(spatial):
    rng = np.random.default_rng(spatial)
    pool = getattr(fastpool, f"max_blur_pool{spatial}d")
    backward = getattr(fastpool, f"max_blur_pool{spatial}d_backward")
    for i in range(100):
        sizes = tuple(int(n) for n in rng.integers(5, 10, spatial))
        kernel = tuple(int(n) for n in rng.integers(1, 4, spatial))
        stride, size = int(rng.integers(1, 4)), int(rng.integers(1, 6))
        given = {"kernel_size": kernel, "stride": stride, "filter_size": size}
        x = rng.standard_normal((2, 3, *sizes))
        y = pool(x, **given)
        expected = blurred(maxima(x, kernel), [pascal(size)] * spatial, [stride] * spatial, "reflect")
        np.testing.assert_allclose(y, expected, atol=1e-13)
        dy = rng.standard_normal(y.shape)
        again, pullback = fastpool.vjp(pool, x, **given)
        same.assert_same_bits(again, y)
        dx = backward(dy, x, **given)
        same.assert_same_bits(pullback(dy), dx)
        # the sum of a gradient is that of its windows' maxima
        np.testing.assert_allclose((dy * y).sum(), (dx * x).sum(), rtol=1e-9, atol=1e-11)
        if i < 3:

            def call(x, layout, given=given):
                return pool(x, layout=layout, **given)

            def back(x, dy, layout, given=given):
                return backward(dy, x, layout=layout, **given)

            same.everywhere(call, x, spatial)
            same.everywhere(back, x, spatial, dy)


def test_max_blur_is_torchs():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(8)
    for _ in range(100):
        x = torch.tensor(rng.standard_normal((2, 3, *(int(n) for n in rng.integers(6, 12, 2)))), requires_grad=True)
        size = int(rng.integers(1, 6))
        taps = torch.tensor(np.outer(pascal(size), pascal(size))).expand(3, 1, size, size)
        found = torch.nn.functional.max_pool2d(x, 2, 1)
        found = torch.nn.functional.pad(found, ((size - 1) // 2, size // 2) * 2, mode="reflect")
        found = torch.nn.functional.conv2d(found, taps, stride=2, groups=3)
        y = fastpool.max_blur_pool2d(x.detach(), filter_size=size)
        torch.testing.assert_close(y, found, rtol=1e-12, atol=1e-13)
        dy = torch.tensor(rng.standard_normal(tuple(y.shape)))
        found.backward(dy)
        dx = fastpool.max_blur_pool2d_backward(dy, x.detach(), filter_size=size)
        torch.testing.assert_close(dx, x.grad, rtol=1e-12, atol=1e-13)


def test_max_blurs_gradient_is_the_slope():
    x = np.random.default_rng(0).permutation(2 * 7 * 6).reshape(2, 7, 6) / 7.0
    error = same.gradient_error(
        lambda x: fastpool.max_blur_pool2d(x, 3, filter_size=3),
        lambda dy, x: fastpool.max_blur_pool2d_backward(dy, x, 3, filter_size=3),
        x,
    )
    assert error < 1e-6


BAD = [
    ({"stride": 0}, ValueError, "stride=0: must be at least 1"),
    ({"stride": 1.5}, TypeError, "must be an integer"),
    ({"stride": (1, 2, 3)}, ValueError, "3 entries for 2 axes"),
    ({"filter_size": 0}, ValueError, "at least 1"),
    ({"filter_size": True}, TypeError, "must be an integer"),
    ({"filter_size": 2000}, ValueError, "at most 1024"),
    ({"filter_size": 17}, ValueError, "axis 2 of size 8: it cannot be reflected by 8"),
    ({"filter": []}, ValueError, "one tap at least"),
    ({"filter": [[1.0], [2.0], [3.0]]}, ValueError, "3 filters: 2 spatial axes"),
    ({"filter": np.ones((2, 2))}, ValueError, "has one axis"),
    ({"filter": [1.0, np.nan]}, ValueError, "must be finite"),
    ({"filter": [np.inf]}, ValueError, "must be finite"),
    ({"filter": ["a"]}, TypeError, "real numbers"),
    ({"filter": [1j]}, TypeError, "real numbers"),
    ({"filter": object()}, TypeError, "real numbers"),
    ({"padding": "mirror"}, ValueError, "unknown border rule"),
    ({"padding": 1}, TypeError, "unknown border rule"),
    ({"layout": "rows"}, ValueError, "unknown layout"),
    ({"device": "cuda"}, ValueError, "CPU alone"),
    ({"x": [[1.0]]}, TypeError, "an array is needed"),
    ({"x": np.ones((2, 3, 8, 8), np.int32)}, TypeError, "int32"),
    ({"x": np.ones((2, 3, 0, 8))}, ValueError, "at least"),
    ({"out": np.full((2, 3, 4, 4), 7.0, np.float32)}, TypeError, "float32"),
    ({"out": np.full((2, 3, 4, 5), 7.0)}, ValueError, "the result has shape"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD)
@pytest.mark.parametrize("name", ["blur_pool2d", "max_blur_pool2d"])
def test_errors_write_nothing(name, change, error, words):
    size = 8 if name == "blur_pool2d" else 9
    if "out" not in change:
        change = {**change, "out": np.full((2, 3, 4, 4), 7.0)}
    given = {"x": np.ones((2, 3, size, size)), "stride": 2, "padding": "reflect", **change}
    with pytest.raises(error, match=words):
        getattr(fastpool, name)(**given)
    assert (given["out"] == 7).all()


def test_errors_of_gradients():
    with pytest.raises(ValueError, match="the shape of the forward's result"):
        fastpool.blur_pool2d_backward(np.ones((3, 4)), (8, 8))
    with pytest.raises(ValueError, match="the shape of the forward's result"):
        fastpool.max_blur_pool2d_backward(np.ones((3, 4)), np.ones((8, 8)))
    with pytest.raises(ValueError, match="kernel_size=9: axis 0 has 8 elements"):
        fastpool.max_blur_pool2d(np.ones((8, 8)), 9)
    x = np.ones((8, 8))
    with pytest.raises(ValueError, match="overlaps"):
        fastpool.blur_pool2d(x, out=x[:4, :4])
