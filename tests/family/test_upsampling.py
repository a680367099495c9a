"""Nearest upsampling against PyTorch and its definition."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.reference.family import upsampling as oracle
from tests.family import same

RNG = np.random.default_rng(11)


def named(n, end=""):
    return getattr(fastpool, f"upsample_nearest{n}d{end}")


def problem(n, dtype=np.float32):
    sizes = RNG.integers(1, 9 if n < 3 else 5, n)
    wanted = tuple(int(v) for v in (sizes * RNG.integers(1, 4, n) if RNG.random() < 0.5 else RNG.integers(1, 17, n)))
    return (RNG.standard_normal((2, 3, *sizes)) * 50).astype(dtype), wanted


@pytest.mark.parametrize("n", [1, 2, 3])
def test_it_is_torchs(n):
    torch = pytest.importorskip("torch")
    for _ in range(100):
        x, size = problem(n)
        z = torch.from_numpy(x).requires_grad_()
        theirs = torch.nn.functional.interpolate(z, size=size, mode="nearest")
        y = named(n)(x, size=size)
        same.assert_same_bits(y, theirs.detach().numpy())
        g = RNG.standard_normal(y.shape).astype(np.float32)
        (expected,) = torch.autograd.grad(theirs, z, torch.from_numpy(g))
        dx = named(n, "_backward")(g, x, size=size)
        np.testing.assert_allclose(dx, expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_bits_everywhere(n):
    for dtype in ("bool", "uint8", "float16", "float32", "float64", "int64"):
        for _ in range(4):
            x, size = problem(n, dtype)

            def call(x, layout, size=size):
                return named(n)(x, size=size, layout=layout)

            y = same.everywhere(call, x, n)
            expected = np.empty_like(y)
            oracle.upsample(x, expected, tuple(range(2, 2 + n)))
            same.assert_same_bits(y, expected)
            with same.engine("reference"):
                same.assert_same_bits(call(x, "channels_first"), y)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_its_gradient_sums_in_one_order(n, dtype):
    for _ in range(8):
        x, size = problem(n, dtype)
        g = RNG.standard_normal((2, 3, *size)).astype(dtype)

        def call(g, layout, shape=x.shape, size=size):
            large = shape if layout == "channels_first" else (shape[0], *shape[2:], shape[1])
            return named(n, "_backward")(g, large, size=size, layout=layout)

        dx = same.everywhere(call, g, n)
        whole = all(m % k == 0 for m, k in zip(size, x.shape[2:], strict=True))
        expected = np.empty_like(dx)
        oracle.upsample_backward(g, expected, tuple(range(2, 2 + n)))
        if whole:
            np.testing.assert_allclose(dx, expected, rtol=1e-2 if dtype == "float16" else 1e-5, atol=1e-2)
        else:
            same.assert_same_bits(dx, expected)


def test_bfloat16():
    dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = np.array([1.0, 2.0, 3.0]).astype(dtype)
    y = fastpool.upsample_nearest1d(x, size=5)
    assert y.dtype == dtype
    assert y.astype(float).tolist() == [1, 1, 2, 2, 3]
    assert fastpool.upsample_nearest1d_backward(y, x, size=5).astype(float).tolist() == [2, 4, 3]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_its_gradient_is_its_adjoint(n):
    for i in range(30):
        x, size = problem(n, np.float64)

        def backward(dy, x=x, size=size):
            return named(n, "_backward")(dy, x, size=size)

        assert same.adjoint_error(lambda x, size=size: named(n)(x, size=size), backward, x) < 1e-13
        if i < 3:
            forward = lambda x, size=size: named(n)(x, size=size)  # noqa: E731
            assert same.gradient_error(forward, lambda dy, x, b=backward: b(dy), x.copy()) < 1e-6
        y, pullback = fastpool.vjp(named(n), x, size=size)
        same.assert_same_bits(pullback(y), backward(y))


def test_sizes_are_exact_where_float32_is_not():
    """2**24 + 1 elements to three times as many: i n / m needs more bits than float32 has."""
    n = 2**24 + 1
    x = np.arange(n, dtype=np.uint8)
    y = fastpool.upsample_nearest1d(x, 3)
    same.assert_same_bits(y[-6:].copy(), np.repeat(x[-2:], 3))


def test_factors():
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(fastpool.upsample_nearest2d(x, 2.0), np.repeat(np.repeat(x, 2, 0), 2, 1))
    np.testing.assert_array_equal(fastpool.upsample_nearest2d(x, (1, 3)), np.repeat(x, 3, 1))
    assert fastpool.upsample_nearest2d(np.ones((0, 2, 3)), 2).shape == (0, 4, 6)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"scale_factor": None}, ValueError, "exactly one"),
        ({"size": 4}, ValueError, "exactly one"),
        ({"scale_factor": 1.5}, ValueError, "a factor must be whole; give size"),
        ({"scale_factor": 0}, ValueError, "at least 1"),
        ({"scale_factor": (2, 2, 2)}, ValueError, "3 entries for 2 axes"),
        ({"scale_factor": True}, TypeError, "must be an integer"),
        ({"scale_factor": 2**62}, ValueError, "2\\*\\*63"),
        ({"scale_factor": None, "size": 0}, ValueError, "at least 1"),
        ({"x": np.ones((2, 3, 4, 4), np.complex128)}, TypeError, "complex128"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"out": np.full((2, 3, 8, 8), 7, np.float32)}, TypeError, "float32"),
        ({"out": np.full((2, 3, 8, 9), 7.0)}, ValueError, "the result has shape"),
    ],
)
def test_errors_write_nothing(change, error, words):
    with pytest.raises(error, match=words):
        fastpool.upsample_nearest2d(**{"x": np.ones((2, 3, 4, 4)), "scale_factor": 2, **change})
    if "out" in change:
        assert (change["out"] == 7).all()


def test_gradients_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="the shape of the forward's result"):
        fastpool.upsample_nearest2d_backward(np.ones((4, 5)), (2, 2), 2)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_calls_made_again_are_told_apart(layout):
    """The second call like one before is not checked again: its values, its arrays and its arguments are its own."""
    shape = (2, 3, 4, 5)
    axes = (2, 3) if layout == "channels_first" else (1, 2)
    for _ in range(3):
        for dtype in (np.float32, np.int16):
            x = (RNG.standard_normal(shape) * 50).astype(dtype)
            for factor in (2, 2.0, (2, 3), (3, 2), [1, 4]):
                expected = x
                for axis, times in zip(axes, np.broadcast_to(np.asarray(factor, int), 2), strict=True):
                    expected = np.repeat(expected, times, axis)
                y = fastpool.upsample_nearest2d(x, factor, layout=layout)
                same.assert_same_bits(y, expected)
                into = np.zeros_like(y)
                assert fastpool.upsample_nearest2d(x, factor, layout=layout, out=into) is into
                same.assert_same_bits(into, expected)
                # a result whose rows lie backward
                backward = np.zeros_like(y)[..., ::-1]
                fastpool.upsample_nearest2d(x, factor, layout=layout, out=backward)
                same.assert_same_bits(np.ascontiguousarray(backward), expected)


def test_a_call_made_again_may_not_write_what_it_reads():
    memory = np.arange(64, dtype=np.float32)
    x, y = memory[:16].reshape(4, 4), memory[:64].reshape(8, 8)
    fastpool.upsample_nearest2d(x, 2, out=np.empty((8, 8), np.float32))
    before = memory.copy()
    with pytest.raises(ValueError, match="memory"):
        fastpool.upsample_nearest2d(x, 2, out=y)
    np.testing.assert_array_equal(memory, before)
