"""Pooling that is learnt: LDW pooling and LeNet's sub-sampling, against NumPy, torch and slopes."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.family.daubechies import low_pass
from tests.family import same
from tests.family.test_wavelets import bands_of

RULES = ("periodic", "reflect", "replicate", "zero")


def tied(low):
    return np.array([(-1) ** u * low[len(low) - 1 - u] for u in range(len(low))])


def ldw(x, low, weight, bias, mode, padding):
    """By the definition."""
    bands = bands_of(x, (low, tied(low)), 2, padding)
    energies = (bands**2).sum((-2, -1))
    scores = np.einsum("bc,c...->b...", weight, energies) + bias.reshape(4, *[1] * (energies.ndim - 1))
    weights = np.exp(scores - scores.max(0))
    weights /= weights.sum(0)
    weighed = bands * weights[..., None, None]
    return (weighed.sum(0) if mode == "sum" else weighed), bands, energies, weights


def ldw_problem(rng, dtype="float64"):
    sizes = tuple(int(n) for n in rng.integers(4, 9, 2))
    x = rng.standard_normal((2, 3, *sizes))
    low = rng.standard_normal(2 * int(rng.integers(1, 3)))
    # scores of a few: energies are sums of many squares
    weight, bias = rng.standard_normal((4, 4)) / 50, rng.standard_normal(4)
    given = {"mode": ("sum", "concat")[rng.integers(2)], "padding": RULES[rng.integers(4)]}
    return [part.astype(dtype) for part in (x, low, weight, bias)], given


def test_ldw_is_its_definition():
    rng = np.random.default_rng(0)
    for i in range(100):
        dtype = ("float64", "float32")[i % 2]
        arrays, given = ldw_problem(rng, dtype)
        expected = ldw(*(a.astype(np.float64) for a in arrays), **given)
        found = fastpool.ldw_pool2d(*arrays, return_parts=True, **given)
        tolerance = 1e-10 if dtype == "float64" else 2e-3
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == dtype
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
        same.assert_same_bits(fastpool.ldw_pool2d(*arrays, **given), found[0])


def test_ldw_with_haars_filter_has_haars_bands():
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 6))
    haar = np.array(low_pass("haar"))
    y, bands, _, weights = fastpool.ldw_pool2d(x, haar, np.zeros((4, 4)), np.zeros(4), return_parts=True)
    same.assert_same_bits(bands, fastpool.wavelet_pool2d(x, mode="bands"))
    np.testing.assert_allclose(bands[0], 2 * fastpool.avg_pool2d(x, 2), atol=1e-14)
    assert (weights == 0.25).all()
    np.testing.assert_allclose(y, bands.mean(0), atol=1e-15)


def test_ldw_gradients_are_slopes():
    rng = np.random.default_rng(1)
    for _ in range(12):
        arrays, given = ldw_problem(rng)
        # small energies: the slope of a softmax is found to this precision where scores do not change much
        arrays[0] = arrays[0][:1, :2] / 4
        for i in range(4):
            before, after = arrays[:i], arrays[i + 1 :]
            error = same.gradient_error(
                lambda part, b=before, a=after, g=given: fastpool.ldw_pool2d(*b, part, *a, **g),
                lambda dy, part, b=before, a=after, g=given, i=i: fastpool.ldw_pool2d_backward(dy, *b, part, *a, **g)[
                    i
                ],
                arrays[i].copy(),
            )
            assert error < 1e-6, (i, given)


def test_ldw_gradients_are_torchs():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(2)
    kinds = {"reflect": "reflect", "replicate": "replicate", "zero": "constant", "periodic": "circular"}
    for _ in range(100):
        arrays, given = ldw_problem(rng)
        arrays[0] = np.ascontiguousarray(arrays[0][..., : arrays[0].shape[2] // 2 * 2, : arrays[0].shape[3] // 2 * 2])
        x, low, weight, bias = (torch.tensor(part, requires_grad=True) for part in arrays)
        many = len(low)
        high = low.flip(0) * torch.tensor([(-1.0) ** u for u in range(many)], dtype=torch.float64)
        taps = torch.stack([torch.outer(a, b) for a in (low, high) for b in (low, high)])[:, None]
        before, after = (many - 1) // 2, many // 2 - 1
        padded = torch.nn.functional.pad(x, (before, after, before, after), mode=kinds[given["padding"]])
        found = torch.nn.functional.conv2d(padded, taps.repeat(3, 1, 1, 1), stride=2, groups=3)
        bands = found.reshape(2, 3, 4, *found.shape[2:])
        scores = (bands**2).sum((-2, -1)) @ weight.T + bias
        weighed = bands * scores.softmax(-1)[..., None, None]
        expected = weighed.sum(2) if given["mode"] == "sum" else weighed.permute(2, 0, 1, 3, 4)
        y, pullback = fastpool.vjp(fastpool.ldw_pool2d, *(part.detach() for part in (x, low, weight, bias)), **given)
        torch.testing.assert_close(y, expected.detach(), rtol=1e-9, atol=1e-10)
        dy = torch.tensor(rng.standard_normal(tuple(y.shape)))
        expected.backward(dy)
        gradients = pullback(dy)
        again = fastpool.ldw_pool2d_backward(dy, *(part.detach() for part in (x, low, weight, bias)), **given)
        for part, gradient, other in zip((x, low, weight, bias), gradients, again, strict=True):
            scale = float(part.grad.abs().max()) + 1e-12
            torch.testing.assert_close(gradient / scale, part.grad / scale, rtol=1e-8, atol=1e-8)
            assert torch.equal(gradient, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ldw_bits_are_the_same_everywhere(dtype):
    rng = np.random.default_rng(3)
    for i in range(8):
        (x, low, weight, bias), given = ldw_problem(rng, dtype)
        if i == 0:
            x = rng.standard_normal((2, 20, 18, 22)).astype(dtype) / 8
        if i == 1:
            x[0, 0, 0, 0] = np.inf

        def call(x, layout, rest=(low, weight, bias), given=given):
            y = fastpool.ldw_pool2d(x, *rest, layout=layout, **given)
            return tuple(y) if given["mode"] == "concat" else y

        y = same.everywhere(call, x, 2)
        dy = tuple(rng.standard_normal(part.shape).astype(dtype) for part in (y if isinstance(y, tuple) else (y,)))

        seen = []

        def back(x, *dy, layout, rest=(low, weight, bias), given=given, seen=seen):
            dy = np.stack(dy) if given["mode"] == "concat" else dy[0]
            found = fastpool.ldw_pool2d_backward(dy, x, *rest, layout=layout, **given)
            seen.append(found[1:])
            return found[0]

        same.everywhere(back, x, 2, *dy)
        for others in seen[1:]:
            same.assert_same_bits(others, seen[0])


def test_the_constraint_and_its_slope():
    rng = np.random.default_rng(4)
    for i in range(100):
        low = rng.standard_normal(2 * int(rng.integers(1, 7)))
        loss, gradient = fastpool.ldw_constraint(low)
        expected = (low.sum() - 2**0.5) ** 2 + (low @ low - 1) ** 2
        for shift in range(2, len(low), 2):
            expected += (low[shift:] @ low[:-shift]) ** 2
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        if i < 20:
            error = same.gradient_error(
                lambda h: np.array(fastpool.ldw_constraint(h)[0]),
                lambda dy, h: dy * fastpool.ldw_constraint(h)[1],
                low.copy(),
            )
            assert error < 1e-6
    for name in ("haar", "db2", "db5"):
        loss, gradient = fastpool.ldw_constraint(np.array(low_pass(name)))
        assert loss < 1e-28
        assert abs(gradient).max() < 1e-13


HAAR = np.ones(2) / 2**0.5


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"low": np.ones(3)}, ValueError, "must be even"),
        ({"low": np.ones((2, 2))}, ValueError, "has one axis"),
        ({"low": np.ones(0)}, ValueError, "one tap at least"),
        ({"low": np.array([1.0, np.nan])}, ValueError, "must be finite"),
        ({"low": np.ones(2, np.float32)}, TypeError, "float32"),
        ({"low": [1.0, 1.0]}, TypeError, "low"),
        ({"weight": np.ones((4, 3))}, ValueError, "a row for each band's weight"),
        ({"bias": np.ones(3)}, ValueError, "a number for each band"),
        ({"mode": "mean"}, ValueError, "concat"),
        ({"mode": 1}, TypeError, "concat"),
        ({"padding": "mirror"}, ValueError, "unknown border rule"),
        ({"return_parts": 1}, TypeError, "True or False"),
        ({"return_parts": True}, TypeError, "there are 4 results"),
        ({"x": np.ones((2, 3, 8, 8), np.float16)}, TypeError, "float16"),
        ({"layout": "rows"}, ValueError, "unknown layout"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"out": np.full((2, 3, 4, 5), 7.0)}, ValueError, "the result has shape"),
    ],
)
def test_errors_of_ldw_write_nothing(change, error, words):
    out = np.full((2, 3, 4, 4), 7.0)
    given = {"x": np.ones((2, 3, 8, 8)), "low": HAAR, "weight": np.ones((4, 4)), "bias": np.ones(4), "out": out}
    given.update(change)
    with pytest.raises(error, match=words):
        fastpool.ldw_pool2d(**given)
    assert (given["out"] == 7).all()


def test_errors_of_ldw_gradients_write_nothing():
    x, weight, bias = np.ones((2, 3, 8, 8)), np.ones((4, 4)), np.ones(4)
    out = tuple(np.full(shape, 7.0) for shape in (x.shape, (2,), (4, 4), (5,)))
    with pytest.raises(ValueError, match="the result has shape"):
        fastpool.ldw_pool2d_backward(np.ones((2, 3, 4, 4)), x, HAAR, weight, bias, out=out)
    with pytest.raises(ValueError, match="the shape of the forward's result"):
        fastpool.ldw_pool2d_backward(np.ones((2, 3, 4, 4)), x, HAAR, weight, bias, mode="concat", out=out)
    assert all((part == 7).all() for part in out)
    with pytest.raises(ValueError, match="must be even"):
        fastpool.ldw_constraint(np.ones(3))
    with pytest.raises(TypeError, match="int64"):
        fastpool.ldw_constraint(np.ones(2, np.int64))


def phi(t, activation):
    if activation == "tanh":
        return 1.7159 * np.tanh(2 * t / 3)
    return 1 / (1 + np.exp(-t)) if activation == "sigmoid" else t


def lenet_problem(rng, i, dtype="float64"):
    sizes = tuple(int(n) for n in rng.integers(5, 10, 2))
    channels = int(rng.integers(1, 5))
    x = rng.standard_normal((2, channels, *sizes)).astype(dtype)
    scale, bias = rng.standard_normal((2, channels)).astype(dtype)
    kernel = tuple(int(n) for n in rng.integers(1, 4, 2))
    given = {"stride": int(rng.integers(1, 4)), "padding": int(rng.integers(0, min(kernel) // 2 + 1))}
    given["activation"] = ("tanh", "sigmoid", "identity")[i % 3]
    return x, kernel, scale, bias, given


def windows_sum(x, kernel, stride, padding):
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, (2, 3))[:, :, ::stride, ::stride]
    return windows.sum((-2, -1))


def test_lenets_is_its_definition():
    rng = np.random.default_rng(0)
    for i in range(100):
        dtype = ("float64", "float32")[i % 2]
        x, kernel, scale, bias, given = lenet_problem(rng, i, dtype)
        y = fastpool.lenet_pool2d(x, kernel, scale, bias, **given)
        sums = windows_sum(x, kernel, given["stride"], given["padding"])
        expected = phi(sums * scale[:, None, None] + bias[:, None, None], given["activation"])
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
        assert y.dtype == dtype
    assert abs(fastpool.lenet_pool2d(np.ones((1, 1, 1)), 1, np.ones(1), np.zeros(1)).item() - 1) < 1e-5


def test_lenets_gradients_are_slopes():
    rng = np.random.default_rng(1)
    for i in range(100):
        x, kernel, scale, bias, given = lenet_problem(rng, i)
        parts = [x[:1, :2], scale[:2], bias[:2]]
        for number in range(3) if i < 12 else (1, 2):

            def forward(part, number=number, parts=parts, kernel=kernel, given=given):
                own = [*parts[:number], part, *parts[number + 1 :]]
                return fastpool.lenet_pool2d(own[0], kernel, own[1], own[2], **given)

            def backward(dy, part, number=number, parts=parts, kernel=kernel, given=given):
                own = [*parts[:number], part, *parts[number + 1 :]]
                return fastpool.lenet_pool2d_backward(dy, own[0], kernel, own[1], own[2], **given)[number]

            assert same.gradient_error(forward, backward, parts[number].copy()) < 1e-6, (number, given)


def test_lenets_gradients_are_torchs():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(2)
    for i in range(100):
        x, kernel, scale, bias, given = lenet_problem(rng, i)
        parts = [torch.tensor(part, requires_grad=True) for part in (x, scale, bias)]
        window = {"stride": given["stride"], "padding": given["padding"], "divisor_override": 1}
        t = torch.nn.functional.avg_pool2d(parts[0], kernel, **window)
        t = t * parts[1][:, None, None] + parts[2][:, None, None]
        act = {"tanh": lambda t: 1.7159 * torch.tanh(2 * t / 3), "sigmoid": torch.sigmoid, "identity": lambda t: t}
        expected = act[given["activation"]](t)
        dy = rng.standard_normal(tuple(expected.shape))
        expected.backward(torch.tensor(dy))
        found = fastpool.lenet_pool2d_backward(dy, x, kernel, scale, bias, **given)
        for part, gradient in zip(parts, found, strict=True):
            np.testing.assert_allclose(gradient, part.grad.numpy(), rtol=1e-10, atol=1e-11)
        y, pullback = fastpool.vjp(fastpool.lenet_pool2d, x, kernel, scale, bias, **given)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-13)
        same.assert_same_bits(pullback(dy), found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "identity"])
def test_lenets_bits_are_the_same_everywhere(activation, dtype):
    rng = np.random.default_rng(5)
    for channels in (1, 3, 20):
        x = rng.standard_normal((2, channels, 17, 13)).astype(dtype)
        x.flat[100] = np.nan
        x.flat[150] = np.inf
        scale, bias = rng.standard_normal((2, channels)).astype(dtype)

        def call(x, layout, rest=(scale, bias)):
            return fastpool.lenet_pool2d(x, 3, *rest, 2, activation=activation, layout=layout)

        y = same.everywhere(call, x, 2)

        seen = []

        def back(x, dy, layout, rest=(scale, bias), seen=seen):
            found = fastpool.lenet_pool2d_backward(dy, x, 3, *rest, 2, activation=activation, layout=layout)
            seen.append(found[1:])
            return found[0]

        same.everywhere(back, x, 2, rng.standard_normal(y.shape).astype(dtype))
        for others in seen[1:]:
            same.assert_same_bits(others, seen[0])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"scale": np.ones(2)}, ValueError, "a number for each channel"),
        ({"bias": np.ones((3, 1))}, ValueError, "a number for each channel"),
        ({"bias": np.ones(3, np.float32)}, TypeError, "float32"),
        ({"scale": 1.0}, TypeError, "scale"),
        ({"activation": "relu"}, ValueError, "sigmoid"),
        ({"activation": None}, TypeError, "sigmoid"),
        ({"kernel_size": 0}, ValueError, "kernel_size"),
        ({"kernel_size": 2.5}, TypeError, "kernel_size"),
        ({"x": np.ones((8, 8))}, ValueError, "an axis of channels"),
        ({"x": np.ones((3, 8, 8)), "layout": "NHW"}, ValueError, "an axis of channels"),
        ({"x": np.ones((2, 3, 8, 8), np.int64)}, TypeError, "int64"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"out": np.full((2, 3, 4, 5), 7.0)}, ValueError, "the result has shape"),
        ({"out": np.full((2, 3, 4, 4), 7.0, np.float32)}, TypeError, "float32"),
    ],
)
def test_errors_of_lenets_write_nothing(change, error, words):
    given = {"x": np.ones((2, 3, 8, 8)), "kernel_size": 2, "scale": np.ones(3), "bias": np.ones(3)}
    given = {**given, "out": np.full((2, 3, 4, 4), 7.0), **change}
    with pytest.raises(error, match=words):
        fastpool.lenet_pool2d(**given)
    assert (given["out"] == 7).all()


def test_no_elements_and_one_plane():
    low, weight, bias = HAAR, np.ones((4, 4)) / 100, np.zeros(4)
    y, pullback = fastpool.vjp(fastpool.ldw_pool2d, np.zeros((0, 4, 4)), low, weight, bias)
    assert y.shape == (0, 2, 2)
    dx, dlow, dweight, dbias = pullback(y)
    assert dx.shape == (0, 4, 4)
    assert not dlow.any()
    assert not dweight.any()
    assert not dbias.any()
    plane = np.random.default_rng(0).standard_normal((6, 4))
    same.assert_same_bits(
        fastpool.ldw_pool2d(plane, low, weight, bias), fastpool.ldw_pool2d(plane[None], low, weight, bias)[0]
    )
    none = fastpool.lenet_pool2d_backward(np.zeros((0, 2, 2, 2)), np.zeros((0, 2, 4, 4)), 2, np.ones(2), np.ones(2))
    assert none[0].shape == (0, 2, 4, 4)
    assert not none[1].any()


def test_explained_calls_write_nothing():
    x, out = np.ones((2, 3, 8, 8)), np.full((2, 3, 4, 4), 7.0)
    told = fastpool.explain(fastpool.ldw_pool2d, x, HAAR, np.ones((4, 4)), np.ones(4), out=out)
    assert "rows_f64__filtering" in str(told)
    fastpool.explain(fastpool.lenet_pool2d, x, 2, np.ones(3), np.ones(3), out=out)
    assert "rows_f64__filtering" in str(fastpool.explain(fastpool.blur_pool2d, x, out=out))
    assert (out == 7).all()
