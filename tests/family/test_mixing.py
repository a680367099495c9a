"""Mixed and gated pooling: against the two poolings that they are made of, and their parameters' gradients."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.family import chaining
from fastpool.reference.family import window_sums
from tests.family import same, window_problems
from tests.family.test_moments import problem_of

RNG = np.random.default_rng(14)


def of_empty(most, mean):
    """The maxima, and 0 for windows without a tap."""
    return np.where(np.isneginf(most) & (mean == 0), 0, most)


def per_channel(values, spatial):
    return values.reshape(-1, *(1,) * spatial)


@pytest.mark.parametrize("cached", [1 << 20, 256])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_mixed_is_what_it_says(spatial, cached, monkeypatch):
    monkeypatch.setattr(chaining, "CACHED_BYTES", cached)
    pool, most, mean = (getattr(fastpool, f"{name}_pool{spatial}d") for name in ("mixed", "max", "avg"))
    for i in range(60):
        shape, given = window_problems.arguments(RNG, spatial)
        dtype = ("float64", "float32", "float32")[i % 3]
        x = RNG.standard_normal(shape).astype(dtype)
        wide = np.float64 if dtype == "float64" else np.float32
        mix = RNG.uniform(-0.5, 1.5, shape[1]).astype(wide) if i % 2 else float(wide(RNG.uniform()))
        share = per_channel(mix, spatial) if i % 2 else wide(mix)
        p, q = most(x, **given).astype(wide), mean(x, **given).astype(wide)
        p = of_empty(p, q)
        expected = (share * p + (wide(1) - share) * q).astype(dtype)

        def call(x, layout, given=given, mix=mix):
            return pool(x, **given, mix=mix, layout=layout)

        found = same.everywhere(call, x, spatial) if i % 6 == 0 else pool(x, **given, mix=mix)
        same.assert_same_bits(found, expected, str(given))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_mixed_gradients(spatial):
    pool, back = (getattr(fastpool, f"mixed_pool{spatial}d{end}") for end in ("", "_backward"))
    for i in range(34):
        shape, given = window_problems.arguments(RNG, spatial, 6)
        x = RNG.permutation(np.arange(float(np.prod(shape)))).reshape(shape) / 10
        mix = RNG.uniform(0, 1, shape[1]) if i % 2 else 0.3
        g = RNG.standard_normal(pool(x, **given).shape)
        dx, dmix = back(g, x, **given, mix=mix)
        most, mean = (getattr(fastpool, f"{name}_pool{spatial}d") for name in ("max", "avg"))
        q = mean(x, **given)
        terms = g * (of_empty(most(x, **given), q) - q)
        expected = terms.sum(axis=(0, *range(2, x.ndim))) if i % 2 else terms.sum()
        np.testing.assert_allclose(dmix, expected, rtol=1e-9, atol=1e-9)
        if i < 4:
            error = same.gradient_error(
                lambda x, a=given, m=mix: pool(x, **a, mix=m), lambda g, x, a=given, m=mix: back(g, x, **a, mix=m)[0], x
            )
            assert error < 1e-6

        def call(x, g, layout, given=given, mix=mix, dmix=dmix):
            found, share = back(g, x, **given, mix=mix, layout=layout)
            same.assert_same_bits(np.asarray(share), np.asarray(dmix))
            return found

        if i % 5 == 0:
            same.assert_same_bits(same.everywhere(call, x, spatial, g), dx)
    y, pullback = fastpool.vjp(pool, x, **given, mix=mix)
    assert len(pullback(y)) == 2


def random_gate(i, shape, kernel, dtype):
    wide = (shape[1],) if i % 2 else ()
    weight = RNG.standard_normal((*wide, *kernel)).astype(dtype)
    bias = RNG.standard_normal(shape[1]).astype(dtype) if i % 4 > 1 else 0.25
    return weight, bias


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_gated_is_what_it_says(spatial):
    pool, most, mean = (getattr(fastpool, f"{name}_pool{spatial}d") for name in ("gated", "max", "avg"))
    for i in range(100):
        shape, given = window_problems.arguments(RNG, spatial)
        dtype = ("float64", "float32")[i // 4 % 2]
        x = RNG.standard_normal(shape).astype(dtype)
        weight, bias = random_gate(i, shape, given["kernel_size"], dtype)
        taps = np.broadcast_to(weight, (*shape[:2], *given["kernel_size"]))
        added = np.broadcast_to(per_channel(np.asarray(bias), spatial), (*shape[:2], *(1,) * spatial))
        share = window_sums.gate(problem_of(spatial, x, given), x, taps, added)
        q = mean(x, **given)
        expected = share * of_empty(most(x, **given), q) + (1 - share) * q
        close = 1e-12 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(pool(x, **given, weight=weight, bias=bias), expected, rtol=close, atol=close)


@pytest.mark.parametrize("engine", ["aot", pytest.param("jit", marks=pytest.mark.slow)])
def test_gated_bits(engine):
    for i in range(8):
        shape, given = window_problems.arguments(RNG, 2)
        x = RNG.standard_normal(shape).astype(("float32", "float64")[i // 4])
        weight, bias = random_gate(i, shape, given["kernel_size"], x.dtype)

        known = []

        def call(x, layout, given=given, weight=weight, bias=bias):
            return fastpool.gated_pool2d(x, **given, weight=weight, bias=bias, layout=layout)

        def gradients(x, g, layout, given=given, weight=weight, bias=bias, known=known):
            parts = fastpool.gated_pool2d_backward(g, x, **given, weight=weight, bias=bias, layout=layout)
            known.append(tuple(map(np.asarray, parts[1:])))
            return parts[0]

        with same.engine(engine):
            y = same.everywhere(call, x, 2)
            same.everywhere(gradients, x, 2, y)
        for other in known[1:]:
            same.assert_same_bits(other, known[0])


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_gated_gradients(spatial):
    pool, back = (getattr(fastpool, f"gated_pool{spatial}d{end}") for end in ("", "_backward"))
    for i in range(6):
        shape, given = window_problems.arguments(RNG, spatial, 6)
        x = RNG.permutation(np.arange(float(np.prod(shape)))).reshape(shape) / 50
        weight, bias = random_gate(i, shape, given["kernel_size"], "float64")
        bias = bias if isinstance(bias, np.ndarray) else np.full(shape[1], bias)

        def call(x, w, b, given=given):
            return pool(x, **given, weight=w, bias=b)

        def grad(place, g, x, w, b, given=given):
            return back(g, x, **given, weight=w, bias=b)[place]

        def error(forward, backward, at):
            # windows of one tap have no gradient but that of their element
            nothing = np.abs(backward(np.ones(forward(at).shape), at)).max() < 1e-9
            return 0 if nothing else same.gradient_error(forward, backward, at)

        assert (
            error(lambda t, w=weight, b=bias: call(t, w, b), lambda g, t, w=weight, b=bias: grad(0, g, t, w, b), x)
            < 1e-6
        )
        assert error(lambda t, x=x, b=bias: call(x, t, b), lambda g, t, x=x, b=bias: grad(1, g, x, t, b), weight) < 1e-6
        assert (
            error(lambda t, x=x, w=weight: call(x, w, t), lambda g, t, x=x, w=weight: grad(2, g, x, w, t), bias) < 1e-6
        )
        if i == 0:
            y = pool(x, **given, weight=weight, bias=0.25)
            dbias = back(y, x, **given, weight=weight, bias=0.25)[2]
            assert isinstance(dbias, float)
            np.testing.assert_allclose(dbias, back(y, x, **given, weight=weight, bias=np.full(shape[1], 0.25))[2].sum())


def test_gated_gradients_are_those_of_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for _ in range(10):
        x, w, b = RNG.standard_normal((2, 3, 9, 8)), RNG.standard_normal((3, 3, 3)), RNG.standard_normal(3)
        t, tw, tb = (torch.from_numpy(a).requires_grad_() for a in (x, w, b))
        gate = torch.sigmoid(functional.conv2d(t, tw[:, None], tb, stride=2, padding=1, groups=3))
        y = gate * functional.max_pool2d(t, 3, 2, 1) + (1 - gate) * functional.avg_pool2d(t, 3, 2, 1)
        np.testing.assert_allclose(fastpool.gated_pool2d(x, 3, 2, 1, weight=w, bias=b), y.detach().numpy(), rtol=1e-12)
        g = RNG.standard_normal(y.shape)
        y.backward(torch.from_numpy(g))
        for ours, theirs in zip(
            fastpool.gated_pool2d_backward(g, x, 3, 2, 1, weight=w, bias=b), (t, tw, tb), strict=True
        ):
            np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "change", "error", "words"),
    [
        ("mixed", {"mix": np.ones(4)}, ValueError, "an entry for each channel"),
        ("mixed", {"mix": np.nan}, ValueError, "finite number"),
        ("mixed", {"mix": np.ones(3, np.float32)}, TypeError, "float32"),
        ("mixed", {"mix": "half"}, TypeError, "mix is a str"),
        ("mixed", {"mix": np.ones(1), "x": np.ones((8, 8)), "layout": "HW"}, ValueError, "no axis of channels"),
        ("mixed", {"out": np.full((2, 3, 4, 3), 7.0)}, ValueError, "the result has shape"),
        ("gated", {"weight": np.ones((2, 3))}, ValueError, "it must have a window's shape"),
        ("gated", {"weight": np.ones((2, 2), np.float32)}, TypeError, "float32"),
        ("gated", {"weight": np.ones((2, 2)), "bias": np.ones(2)}, ValueError, "an entry for each channel"),
        ("gated", {"weight": np.ones((2, 2)), "x": np.ones((2, 3, 8, 8), np.float16)}, TypeError, "float16"),
        ("gated", {"weight": np.ones((2, 2)), "out": np.full((2, 3, 4, 4), 7, np.float32)}, TypeError, "float32"),
    ],
)
def test_errors_write_nothing(name, change, error, words):
    given = {"x": np.ones((2, 3, 8, 8)), "kernel_size": 2, **change}
    with pytest.raises(error, match=words):
        getattr(fastpool, f"{name}_pool2d")(**given)
    assert (given.get("out", np.array(7)) == 7).all()
