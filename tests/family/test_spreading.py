"""Average and sum unpooling: the transposes of the poolings, against PyTorch's gradients and by explicit matrices."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from tests.family import same


def named(word, n, end=""):
    return getattr(fastpool, f"{word}_unpool{n}d{end}")


def by_windows(x, shape, kernel, stride, padding, dilation, include=True, override=None):
    """Spread every element of x over its window, tap by tap."""
    n = len(kernel)
    y = np.zeros(shape)
    for place in np.ndindex(*x.shape):
        taps, counted = [], 1
        for axis in range(n):
            start = place[x.ndim - n + axis] * stride[axis] - padding[axis]
            along = [start + j * dilation[axis] for j in range(kernel[axis])]
            size = shape[len(shape) - n + axis]
            taps.append([i for i in along if 0 <= i < size])
            counted *= sum(i < size + padding[axis] for i in along) if include else len(taps[-1])
        divisor = counted if override is None else override
        for spot in np.ndindex(*map(len, taps)):
            i = tuple(taps[axis][spot[axis]] for axis in range(n))
            y[place[: x.ndim - n] + i] += x[place] / divisor
    return y


@pytest.mark.parametrize("word", ["avg", "sum"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_it_spreads_over_windows(n, word):
    rng = np.random.default_rng(n)
    done = 0
    while done < 100:
        kernel, stride, dilation = (tuple(int(v) for v in rng.integers(1, 4, n)) for _ in range(3))
        padding = tuple(int(rng.integers(0, k)) for k in kernel)
        x = rng.standard_normal((1, 2, *rng.integers(1, 5 if n < 3 else 3, n)))
        default = [
            (i - 1) * s - 2 * p + d * (k - 1) + 1
            for i, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
        ]
        if min(default) < 1:
            continue
        done += 1
        size = tuple(m + int(rng.integers(0, s)) for m, s in zip(default, stride, strict=True))
        include = bool(rng.integers(2))
        override = int(rng.integers(1, 9)) if rng.random() < 0.3 else None
        options = {"count_include_pad": include, "divisor_override": override} if word == "avg" else {}
        if word == "sum":
            include, override = True, 1
        rest = (kernel, stride, padding)
        named_rest = {"dilation": dilation, "output_size": size, **options}
        y = named(word, n)(x, *rest, **named_rest)
        expected = by_windows(x, (1, 2, *size), *rest, dilation, include, override)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
        error = same.adjoint_error(
            lambda x, rest=rest, more=named_rest: named(word, n)(x, *rest, **more),
            lambda dy, x=x, rest=rest, more=named_rest: named(word, n, "_backward")(dy, x.shape, *rest, **more),
            x,
        )
        assert error < 1e-13
        same.assert_same_bits(named(word, n)(x, *rest, **{**named_rest, "output_size": (1, 2, *size)}), y)


@pytest.mark.parametrize("word", ["avg", "sum"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_it_is_the_gradient_of_torchs_pooling(n, word):
    """Sums are means divided by 1; for one axis torch takes no divisor, and they are the mean times the taps."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(5)
    pool = getattr(torch.nn.functional, f"avg_pool{n}d")
    for _ in range(100):
        kernel, stride = (tuple(int(v) for v in rng.integers(1, 5, n)) for _ in range(2))
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        sizes = tuple(int(rng.integers(k, 12 if n < 3 else 7)) for k in kernel)
        ceil, include = bool(rng.integers(2)), bool(rng.integers(2))
        options = {"count_include_pad": include} if word == "avg" else {}
        if word == "avg" and n > 1 and rng.integers(2):
            options["divisor_override"] = int(rng.integers(1, 9))
        theirs = {"divisor_override": 1} if word == "sum" and n > 1 else options
        z = torch.from_numpy(rng.standard_normal((2, 3, *sizes))).requires_grad_()
        pooled = pool(z, kernel, stride, padding, ceil, **theirs)
        scale = kernel[0] if word == "sum" and n == 1 else 1
        if scale != 1 and ceil:
            # windows that end beyond the padding have another divisor
            pooled, ceil = pool(z, kernel, stride, padding), False
        x = rng.standard_normal(pooled.shape)
        (expected,) = torch.autograd.grad(pooled, z, torch.from_numpy(x * scale))
        unpool, back = named(word, n), named(word, n, "_backward")
        y = unpool(x, kernel, stride, padding, ceil_mode=ceil, output_size=sizes, **options)
        np.testing.assert_allclose(y, expected.numpy(), rtol=1e-13, atol=1e-13)
        dy = z.detach().numpy()
        dx = back(dy, x, kernel, stride, padding, ceil_mode=ceil, output_size=sizes, **options)
        np.testing.assert_allclose(dx, pooled.detach().numpy() * scale, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("word", ["avg", "sum"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_bits_everywhere(n, word):
    x = np.random.default_rng(n).standard_normal((2, 3, *(5,) * n)).astype(np.float32)
    y = same.everywhere(lambda x, layout: named(word, n)(x, 3, 2, 1, layout=layout), x, n)
    same.everywhere(lambda g, layout: named(word, n, "_backward")(g, shape(x, layout), 3, 2, 1, layout=layout), y, n)
    result, pullback = fastpool.vjp(named(word, n), x, 3, 2, 1)
    same.assert_same_bits(pullback(result), named(word, n, "_backward")(result, x, 3, 2, 1))


def shape(x, layout):
    return x.shape if layout == "channels_first" else (x.shape[0], *x.shape[2:], x.shape[1])


def test_torch_arrays_stay_so():
    torch = pytest.importorskip("torch")
    y = fastpool.avg_unpool2d(torch.ones(1, 1, 2, 2), 2)
    assert isinstance(y, torch.Tensor)
    assert y.tolist() == [[[[0.25] * 4] * 4]]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kernel_size": 0}, ValueError, "^avg_unpool2d: kernel_size=0"),
        ({"dilation": 1.5}, TypeError, "^avg_unpool2d: dilation=1.5"),
        ({"divisor_override": 0}, ValueError, "^avg_unpool2d: divisor_override=0: must not be 0"),
        ({"ceil_mode": 1}, TypeError, "^avg_unpool2d: ceil_mode=1"),
        ({"padding": "same"}, TypeError, "^avg_unpool2d: padding='same'"),
        ({"output_size": 10}, ValueError, "^avg_unpool2d: output_size=10: .* from 7 to 9 only"),
        ({"output_size": 7}, ValueError, "^avg_unpool2d: x of shape"),
        ({"x": np.ones((2, 2), np.int32)}, TypeError, "^avg_unpool2d: x of dtype int32"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"out": np.full((2, 3, 8, 8), 7, np.float32)}, TypeError, "^avg_unpool2d: out"),
        ({"out": np.full((2, 3, 9, 8), 7.0)}, ValueError, "^avg_unpool2d: out"),
    ],
)
def test_errors_name_what_was_called(change, error, words):
    with pytest.raises(error, match=words):
        fastpool.avg_unpool2d(**{"x": np.ones((2, 3, 4, 4)), "kernel_size": 2, **change})
    if "out" in change:
        assert (change["out"] == 7).all()


def test_explain_tells_whose_kernel_runs():
    x = np.ones((2, 3, 4, 4), np.float32)
    assert "mean_gather_f32" in str(fastpool.explain(fastpool.avg_unpool2d, x, 2))
    assert "unpool_apart" in str(
        fastpool.explain(fastpool.max_unpool2d, np.ones((1, 1, 8, 32)), np.zeros((1, 1, 8, 32), int), 2)
    )
