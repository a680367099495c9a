"""Adaptive pooling against the oracle of boxes, and against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastpool
from fastpool.reference.family import bins as oracle
from tests.family import same

RNG = np.random.default_rng(11)
OTHERS = ("float64", "float16", "int16", "uint8", "int64")


def function(name, n, backward=False):
    return getattr(fastpool, f"adaptive_{name}_pool{n}d{'_backward' if backward else ''}")


def problem(n, most=14, channels=None):
    """Sizes of x and of the result, and how many channels; some more than a vector has."""
    sizes = tuple(int(v) for v in RNG.integers(1, most if n < 3 else 8, n))
    outputs = tuple(int(v) for v in RNG.integers(1, 9 if n < 3 else 5, n))
    return sizes, outputs, channels or int(RNG.choice([1, 3, 40]))


def ranges(sizes, outputs):
    """The definition, with exact fractions."""
    found = []
    for n, m in zip(sizes, outputs, strict=True):
        begins = [[(o * n) // m for o in range(m)]]
        ends = [[-((-(o + 1) * n) // m) for o in range(m)]]
        found.append((np.array(begins), np.array(ends)))
    return found


def planes(x, n):
    return x.reshape(-1, *x.shape[x.ndim - n :])


@pytest.mark.parametrize("dtype", ["float32", *(pytest.param(d, marks=pytest.mark.slow) for d in OTHERS)])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_largest_and_its_index(n, dtype):
    for turn in range(34):
        sizes, outputs, channels = problem(n, channels=None if turn % 4 == 0 else 2)
        x = RNG.integers(0, 9, (1, channels, *sizes)).astype(dtype)
        rule = "ignore" if turn % 4 == 0 else "propagate"
        if x.dtype.kind == "f":
            x[RNG.random(x.shape) < 0.2] = np.nan
        y, taps = function("max", n)(x, outputs, "tap", nan=rule)
        expected, chosen = oracle.largest(planes(x, n), ranges(sizes, outputs), rule == "ignore")
        np.testing.assert_array_equal(planes(y, n), expected)
        known = planes(taps, n).astype(np.int64)
        known[known == np.iinfo(taps.dtype).max] = -1
        np.testing.assert_array_equal(known, chosen)
        same.assert_same_bits(function("max", n)(x, outputs, nan=rule), y)
        dy = RNG.integers(-9, 9, y.shape).astype(dtype)
        dx = function("max", n, True)(dy, x, outputs, indices=taps, index_kind="tap", nan=rule)
        expected = oracle.largest_gradient(planes(dy, n), chosen, planes(x, n).shape, ranges(sizes, outputs))
        np.testing.assert_array_equal(planes(dx, n), expected)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_mean(n):
    for turn in range(34):
        sizes, outputs, channels = problem(n, channels=None if turn % 4 == 0 else 2)
        dtype = ("float32", "float64")[turn % 2]
        near = {"float32": 1e-6, "float64": 1e-14, "float16": 2e-3}[dtype]
        x = RNG.standard_normal((1, channels, *sizes)).astype(dtype)
        y = function("avg", n)(x, outputs)
        np.testing.assert_allclose(planes(y, n), oracle.mean(planes(x, n), ranges(sizes, outputs)), near, near)
        dy = RNG.standard_normal(y.shape).astype(dtype)
        dx = function("avg", n, True)(dy, x.shape, outputs)
        expected = oracle.mean_gradient(planes(dy, n), planes(x, n).shape, ranges(sizes, outputs))
        np.testing.assert_allclose(planes(dx, n), expected, 4 * near, 4 * near)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_torch_agrees(n):
    torch = pytest.importorskip("torch")
    for turn in range(100):
        sizes, outputs, channels = problem(n, 20)
        x = RNG.standard_normal((2, channels, *sizes)).astype("float32")
        if turn % 3 == 0:
            x = np.round(x)
            x[RNG.random(x.shape) < 0.1] = np.nan
        dy = RNG.standard_normal((2, channels, *outputs)).astype("float32")
        t = torch.from_numpy(x).requires_grad_()
        theirs, places = getattr(torch.nn.functional, f"adaptive_max_pool{n}d")(t, outputs, return_indices=True)
        theirs.backward(torch.from_numpy(dy))
        y, indices = function("max", n)(x, outputs, True)
        np.testing.assert_array_equal(y, theirs.detach().numpy())
        np.testing.assert_array_equal(indices, places.numpy())
        dx = function("max", n, True)(dy, x, outputs, indices=indices)
        np.testing.assert_allclose(dx, t.grad.numpy(), 1e-5, 1e-5)
        same.assert_same_bits(function("max", n, True)(dy, x, outputs), dx)
        t = torch.from_numpy(x).requires_grad_()
        theirs = getattr(torch.nn.functional, f"adaptive_avg_pool{n}d")(t, outputs)
        theirs.backward(torch.from_numpy(dy))
        np.testing.assert_allclose(function("avg", n)(x, outputs), theirs.detach().numpy(), 1e-5, 1e-5)
        np.testing.assert_allclose(function("avg", n, True)(dy, x, outputs), t.grad.numpy(), 1e-5, 1e-5)


@pytest.mark.parametrize("n", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_bits_are_the_same_everywhere(n):
    for turn in range(8):
        sizes, outputs, channels = problem(n, 20, (1, 3, 40, 70)[turn % 4])
        if turn % 4 == 3:
            sizes = tuple(2 * m for m in outputs)
        x = RNG.standard_normal((2, channels, *sizes)).astype(("float32", "float16")[turn // 4])
        dy = RNG.standard_normal((2, channels, *outputs)).astype(x.dtype)
        same.everywhere(lambda x, layout, m=outputs: function("avg", n)(x, m, layout=layout), x, n)
        same.everywhere(lambda x, layout, m=outputs: function("max", n)(x, m, layout=layout), x, n)
        for kind in ("plane", "tap"):
            _, indices = same.everywhere(
                lambda x, layout, m=outputs, k=kind: function("max", n)(x, m, k, layout=layout), x, n
            )

            def back(x, dy, indices, layout, m=outputs, k=kind):
                return function("max", n, True)(dy, x, m, indices=indices, index_kind=k, layout=layout)

            same.everywhere(back, x, n, dy, indices)
        same.everywhere(lambda dy, x, layout, m=outputs: function("avg", n, True)(dy, x, m, layout=layout), dy, n, x)


def test_adaptive_is_the_window_where_it_is_one():
    """The bits of bins are those of windows of the same taps, whichever kernel runs."""
    from fastpool.family import binning

    for n, m in ((12, 3), (60, 2), (34, 2), (14, 7)):
        for axes, shape in (((2, 3), (2, 5, n, n)), ((1, 2), (2, n, n, 40))):
            x = RNG.standard_normal(shape).astype("float32")
            layout = "channels_first" if axes[0] == 2 else "channels_last"
            expected = fastpool.avg_pool2d(x, n // m, layout=layout)
            y = np.empty_like(expected)
            task = binning.reducing("mean", "f32", x, y, axes, binning.adaptive_bins((n, n), (m, m)))
            task.run(x, y)
            same.assert_same_bits(y, expected)
            dy = RNG.standard_normal(y.shape).astype("float32")
            dx = np.empty_like(x)
            task = binning.sharing("mean", "f32", dx, dy, axes, binning.adaptive_bins((n, n), (m, m)))
            task.run(dx, dy)
            same.assert_same_bits(dx, fastpool.avg_pool2d_backward(dy, x, n // m, layout=layout))


@pytest.mark.parametrize("n", [1, 2])
def test_gradients_are_derivatives(n):
    for _ in range(20):
        sizes, outputs, _channels = problem(n, 8)
        x = RNG.permutation(2 * int(np.prod(sizes))).reshape(1, 2, *sizes).astype("float64")

        def largest(x, m=outputs):
            return function("max", n)(x, m)

        assert same.gradient_error(largest, lambda dy, x, m=outputs: function("max", n, True)(dy, x, m), x) < 1e-6
        x = RNG.standard_normal(x.shape)

        def mean(x, m=outputs):
            return function("avg", n)(x, m)

        assert same.adjoint_error(mean, lambda dy, x=x, m=outputs: function("avg", n, True)(dy, x, m), x) < 1e-13
        assert same.gradient_error(mean, lambda dy, x, m=outputs: function("avg", n, True)(dy, x, m), x) < 1e-6
        for name in ("max", "avg"):
            y, pullback = fastpool.vjp(function(name, n), x, outputs)
            same.assert_same_bits(pullback(y), function(name, n, True)(y, x, outputs))


@pytest.mark.slow
def test_engines_give_the_same_bits():
    x = RNG.standard_normal((2, 40, 33, 21)).astype("float32")
    dy = RNG.standard_normal((2, 40, 7, 5)).astype("float32")
    found = []
    for engine in same.ENGINES:
        with same.engine(engine):
            for a, b in ((x, dy), (same.in_memory_last(x), same.in_memory_last(dy))):
                y, indices = fastpool.adaptive_max_pool2d(a, (7, 5), True)
                dx = fastpool.adaptive_max_pool2d_backward(b, a, (7, 5), indices=indices)
                mean = fastpool.adaptive_avg_pool2d(a, (7, 5))
                found.append((y, indices, dx, mean, fastpool.adaptive_avg_pool2d_backward(b, x.shape, (7, 5))))
    for other in found[1:]:
        same.assert_same_bits(other, found[0])


def test_boxes_of_one_element_are_copied():
    """Also what is NaN, and where a NaN that counts for nothing receives nothing."""
    x = RNG.standard_normal((2, 3, 4, 5)).astype("float32")
    x[0, 0, 0, :2] = np.nan
    dy = RNG.standard_normal(x.shape).astype("float32")
    same.assert_same_bits(fastpool.adaptive_max_pool2d(x, (4, 5)), x)
    same.assert_same_bits(fastpool.adaptive_avg_pool2d_backward(dy, x, (4, 5)), dy)
    same.assert_same_bits(fastpool.adaptive_max_pool2d_backward(dy, x, (4, 5)), dy)
    expected = np.where(np.isnan(x), 0, dy)
    np.testing.assert_array_equal(fastpool.adaptive_max_pool2d_backward(dy, x, (4, 5), nan="ignore"), expected)
    np.testing.assert_array_equal(fastpool.vjp(fastpool.adaptive_max_pool2d, x, (4, 5), nan="ignore")[1](dy), expected)


def test_sizes_are_exact_and_none_keeps_an_axis():
    """torch's formula in integers: in floats bin 3 of 7 over 2**24 + 9 elements would begin elsewhere."""
    n, m = 2**24 + 9, 7
    x = np.zeros(n, np.uint8)
    _, indices = fastpool.adaptive_max_pool1d(x, m, True)
    np.testing.assert_array_equal(indices, [o * n // m for o in range(m)])
    x = RNG.standard_normal((2, 5, 6)).astype("float32")
    same.assert_same_bits(fastpool.adaptive_max_pool2d(x, (None, 2)), fastpool.adaptive_max_pool2d(x, (5, 2)))
    same.assert_same_bits(fastpool.adaptive_avg_pool2d(x, None), x)
    assert fastpool.adaptive_avg_pool2d(x, (0, 2)).shape == (2, 0, 2)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"output_size": -1}, ValueError, "at least 0"),
        ({"output_size": 2.0}, TypeError, "must be an integer"),
        ({"output_size": (2, 2, 2)}, ValueError, "3 entries for 2 spatial axes"),
        ({"output_size": 2**61}, ValueError, "passes 2"),
        ({"return_indices": "row"}, ValueError, "unknown word"),
        ({"return_indices": 1}, TypeError, "must be"),
        ({"nan": "skip"}, ValueError, "unknown word"),
        ({"layout": "rows"}, ValueError, "unknown layout"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"x": np.ones((2, 3, 8, 8), np.complex64)}, TypeError, "complex64"),
        ({"x": np.ones((2, 3, 0, 8), np.float32)}, ValueError, "size 0"),
        ({"out": np.full((2, 3, 2, 3), 7.0)}, ValueError, "shape"),
        ({"out": np.full((2, 3, 2, 2), 7.0, np.float32)}, TypeError, "float32"),
        ({"out": np.full((2, 3, 2, 2), 7.0), "return_indices": True}, TypeError, "2 results"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {"x": np.ones((2, 3, 8, 8)), "output_size": 2, **change}
    with pytest.raises(error, match=words):
        fastpool.adaptive_max_pool2d(**given)
    if "out" in given:
        assert (given["out"] == 7).all()


@pytest.mark.parametrize("value", [-1, 3, 45, 2**40])
def test_indices_are_checked_before_anything_is_written(value):
    """Bin (0, 1) of 2 x 2 over 9 x 9 has rows 0 ... 4 and columns 4 ... 8."""
    x = RNG.standard_normal((1, 1, 9, 9))
    y, indices = fastpool.adaptive_max_pool2d(x, 2, True)
    indices[0, 0, 0, 1] = value
    out = np.full_like(x, 7)
    with pytest.raises(ValueError, match="indices"):
        fastpool.adaptive_max_pool2d_backward(y, x, 2, indices=indices, out=out)
    assert (out == 7).all()
    with pytest.raises(TypeError, match="must have dtype"):
        fastpool.adaptive_max_pool2d_backward(y, x, 2, indices=indices, index_kind="tap", out=out)
    with pytest.raises(ValueError, match="shape"):
        fastpool.adaptive_max_pool2d_backward(y[..., :1], x, 2, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("lanes", [1, 3, 40])
def test_elements_in_no_bin_get_nothing(lanes):
    """Along one axis, along the other, and between two that share elements with their neighbours."""
    from fastpool.family import binning

    ranges = ([0, 1, 6], [2, 4, 8]), ([1, 5, 6], [3, 7, 9])
    shape = (2, 9, 10) if lanes == 1 else (2, 9, 10, lanes)
    dy = RNG.integers(1, 9, (2, 3, 3, *shape[3:])).astype("float32")
    expected = np.zeros(shape, "float32")
    for places in np.ndindex(3, 3):
        spans = [slice(axis[0][o], axis[1][o]) for axis, o in zip(ranges, places, strict=True)]
        taps = np.float32(math.prod(span.stop - span.start for span in spans))
        expected[(slice(None), *spans)] += dy[(slice(None), *places)][:, None, None] / taps
    dx = np.full(shape, 7, "float32")
    task = binning.sharing("mean", "f32", dx, dy, (1, 2), binning.bins_of(ranges))
    task.run(dx, dy)
    np.testing.assert_allclose(dx, expected, rtol=1e-6)
    assert not dx[:, 4:6].any()
    assert not dx[:, :, 3:5].any()
