"""Wavelet pooling against padded sums in NumPy, against torch's strided convolution, and the way back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastpool
from fastpool.family.daubechies import NAMES, high_pass, low_pass
from tests.family import same

MODES = {"reflect": "reflect", "replicate": "edge", "zero": "constant", "periodic": "wrap"}
RULES = tuple(MODES)


def along(x, taps, axis, padding):
    """One level of one filter along an axis, by the definition."""
    size, before = x.shape[axis], (len(taps) - 1) // 2
    count = -(-size // 2)
    pads = [(0, 0)] * x.ndim
    pads[axis] = (before, max(0, 2 * count - 2 + len(taps) - before - size))
    padded = np.pad(x, pads, mode=MODES[padding])
    return sum(tap * np.take(padded, 2 * np.arange(count) + u, axis) for u, tap in enumerate(taps))


def bands_of(x, pair, spatial, padding):
    found = []
    for chosen in itertools.product(range(2), repeat=spatial):
        band = x.astype(np.float64)
        for axis, which in enumerate(chosen, x.ndim - spatial):
            band = along(band, pair[which], axis, padding)
        found.append(band)
    return np.stack(found)


def problem(rng, spatial):
    sizes = tuple(int(n) for n in rng.integers(4, 11, spatial))
    padding = str(rng.choice(RULES))
    if rng.integers(2):
        name = NAMES[rng.integers(4)]
        return sizes, name, (low_pass(name), high_pass(low_pass(name))), padding
    pair = tuple(rng.standard_normal((2, int(rng.integers(1, 6)))))
    return sizes, pair, pair, padding


def functions(spatial):
    return getattr(fastpool, f"wavelet_pool{spatial}d"), getattr(fastpool, f"wavelet_pool{spatial}d_backward")


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_it_is_a_padded_sum(spatial):
    rng = np.random.default_rng(spatial)
    pool, _ = functions(spatial)
    for i in range(100):
        sizes, wavelet, pair, padding = problem(rng, spatial)
        dtype = ("float32", "float64")[i % 2]
        x = rng.standard_normal((2, 3, *sizes)).astype(dtype)
        expected = bands_of(x, pair, spatial, padding)
        tolerance = 2e-5 if dtype == "float32" else 1e-12
        y = pool(x, wavelet, mode="bands", padding=padding)
        np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
        same.assert_same_bits(pool(x, wavelet, padding=padding), y[0])
        if i % 4 == 1:
            twice = bands_of(expected[0], pair, spatial, padding)[0] if min(sizes) > 7 or padding != "reflect" else None
            if twice is not None:
                found = pool(x, wavelet, levels=2, padding=padding)
                np.testing.assert_allclose(found, twice, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_bits_are_the_same_everywhere(spatial, dtype):
    rng = np.random.default_rng(spatial)
    for i in range(3):
        sizes, wavelet, _, padding = problem(rng, spatial)
        x = rng.standard_normal((2, (3, 20, 1)[i], *sizes)).astype(dtype)
        x[rng.random(x.shape) < 0.3] = -0.0
        for levels, mode in ((1, "bands"), (2, "approximation")):
            rule = "periodic" if levels == 2 else padding

            def call(x, layout, given=(wavelet, levels, mode, rule)):
                wavelet, levels, mode, rule = given
                pool, _ = functions(spatial)
                y = pool(x, wavelet, levels=levels, mode=mode, padding=rule, layout=layout)
                return tuple(y) if mode == "bands" else y

            y = same.everywhere(call, x, spatial)

            def back(x, *dy, layout, given=(wavelet, levels, mode, rule)):
                wavelet, levels, mode, rule = given
                _, backward = functions(spatial)
                dy = np.stack(dy) if mode == "bands" else dy[0]
                return backward(dy, x, wavelet, levels=levels, mode=mode, padding=rule, layout=layout)

            same.everywhere(back, x, spatial, *(y if isinstance(y, tuple) else (y,)))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_gradients_are_adjoints(spatial):
    rng = np.random.default_rng(spatial)
    pool, backward = functions(spatial)
    unpool = getattr(fastpool, f"wavelet_unpool{spatial}d")
    unpool_backward = getattr(fastpool, f"wavelet_unpool{spatial}d_backward")
    for i in range(100):
        sizes, wavelet, _, padding = problem(rng, spatial)
        x = rng.standard_normal((2, 3, *sizes))
        given = {"mode": "bands"} if i % 2 else {"levels": 1 + (padding != "reflect")}
        given["padding"] = padding
        error = same.adjoint_error(
            lambda x, w=wavelet, g=given: pool(x, w, **g),
            lambda dy, x=x, w=wavelet, g=given: backward(dy, x, w, **g),
            x,
        )
        assert error < 1e-12, (sizes, wavelet, given)
        bands = rng.standard_normal((2**spatial, 2, *sizes))
        error = same.adjoint_error(
            lambda b, w=wavelet, p=padding: unpool(b, w, padding=p),
            lambda dx, b=bands, w=wavelet, p=padding: unpool_backward(dx, b, w, padding=p),
            bands,
        )
        assert error < 1e-12, (sizes, wavelet, padding)
    y, pullback = fastpool.vjp(pool, x, wavelet, **given)
    same.assert_same_bits(pullback(y), backward(y, x.shape, wavelet, **given))


def test_gradients_are_slopes():
    x = np.random.default_rng(0).standard_normal((2, 6, 5))
    given = {"mode": "bands", "padding": "reflect"}
    error = same.gradient_error(
        lambda x: fastpool.wavelet_pool2d(x, "db2", **given),
        lambda dy, x: fastpool.wavelet_pool2d_backward(dy, x, "db2", **given),
        x,
    )
    assert error < 1e-6
    bands = np.random.default_rng(0).standard_normal((4, 3, 4))
    error = same.gradient_error(
        lambda b: fastpool.wavelet_unpool2d(b, "db2"),
        lambda dy, b: fastpool.wavelet_unpool2d_backward(dy, b, "db2"),
        bands,
    )
    assert error < 1e-6


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_haars_approximation_is_a_scaled_mean(spatial):
    rng = np.random.default_rng(spatial)
    average = getattr(fastpool, f"avg_pool{spatial}d")
    for _ in range(100):
        x = rng.standard_normal((2, 3, *(2 * int(n) for n in rng.integers(1, 7, spatial))))
        expected = 2 ** (spatial / 2) * average(x, 2)
        np.testing.assert_allclose(functions(spatial)[0](x), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_the_way_back_is_exact(spatial):
    rng = np.random.default_rng(spatial)
    pool, _ = functions(spatial)
    unpool = getattr(fastpool, f"wavelet_unpool{spatial}d")
    for i in range(100):
        name = NAMES[i % len(NAMES)]
        x = rng.standard_normal((2, *(2 * int(n) for n in rng.integers(1, 9, spatial))))
        y = pool(x, name, mode="bands")
        np.testing.assert_allclose(unpool(y, name), x, atol=1e-12, err_msg=name)
        # an orthogonal transform keeps lengths
        np.testing.assert_allclose((y * y).sum(), (x * x).sum(), rtol=1e-12)
        if i % 10 == 0:
            np.testing.assert_allclose(unpool(pool(x, mode="bands", padding="zero"), padding="zero"), x, atol=1e-14)


def test_wavelet_pooling_of_two_levels_is_the_first_approximation():
    """Williams and Li compose the second level's bands again."""
    x = np.random.default_rng(0).standard_normal((3, 8, 12))
    for name in ("haar", "db2", "db3"):
        first = fastpool.wavelet_pool2d(x, name)
        composed = fastpool.wavelet_unpool2d(fastpool.wavelet_pool2d(first, name, mode="bands"), name)
        np.testing.assert_allclose(first, composed, atol=1e-13)


def test_a_biorthogonal_pair_goes_back_with_its_own():
    """LeGall's filters of 5 and 3 taps: the low ones are centred at tap 2, the high ones at tap 3."""
    there = np.array([-1, 2, 6, 2, -1, 0]) / 8, np.array([0, 0, -1, 2, -1, 0]) / 2
    back = np.array([0, 1, 2, 1, 0, 0]) / 2, np.array([0, -1, -2, 6, -2, -1]) / 8
    x = np.random.default_rng(0).standard_normal((2, 16, 10))
    found = fastpool.wavelet_unpool2d(fastpool.wavelet_pool2d(x, there, mode="bands"), back)
    np.testing.assert_allclose(found, x, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_named_filters_are_orthogonal(name):
    low = np.array(low_pass(name))
    high = np.array(high_pass(low_pass(name)))
    assert abs(low.sum() - 2**0.5) < 1e-15
    for shift in range(0, len(low), 2):
        for a, b, dot in ((low, low, shift == 0), (high, high, shift == 0), (low, high, 0)):
            assert abs(a[shift:] @ b[: len(b) - shift] - dot) < 1e-15
    # as many moments of the high-pass filter are 0
    count = len(low) // 2
    for power in range(min(count, 5)):
        terms = high * np.linspace(-1, 1, len(low)) ** power
        assert abs(terms.sum()) < 1e-14


def test_db2_and_db3_are_the_published_ones():
    three = 3**0.5
    db2 = np.array([1 + three, 3 + three, 3 - three, 1 - three]) / (4 * 2**0.5)
    np.testing.assert_allclose(low_pass("db2"), db2, rtol=1e-15)
    a, b = 10**0.5, (5 + 2 * 10**0.5) ** 0.5
    db3 = [1 + a + b, 5 + a + 3 * b, 10 - 2 * a + 2 * b, 10 - 2 * a - 2 * b, 5 + a - 3 * b, 1 + a - b]
    np.testing.assert_allclose(low_pass("db3"), np.array(db3) / (16 * 2**0.5), rtol=1e-14)


def test_it_is_torchs_strided_convolution():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(4)
    kinds = {"reflect": "reflect", "replicate": "replicate", "zero": "constant", "periodic": "circular"}
    for i in range(100):
        name, padding = NAMES[i % 4], RULES[i // 4 % 4]
        x = torch.tensor(rng.standard_normal((2, 3, *(2 * int(n) for n in rng.integers(4, 7, 2)))), requires_grad=True)
        pair = [np.array(low_pass(name)), np.array(high_pass(low_pass(name)))]
        weight = torch.tensor(np.stack([np.outer(a, b) for a in pair for b in pair])[:, None])
        taps = len(pair[0])
        padded = torch.nn.functional.pad(x, ((taps - 1) // 2, taps // 2 - 1) * 2, mode=kinds[padding])
        found = torch.nn.functional.conv2d(padded, weight.repeat(3, 1, 1, 1), stride=2, groups=3)
        expected = found.reshape(2, 3, 4, *found.shape[2:]).permute(2, 0, 1, 3, 4)
        y = fastpool.wavelet_pool2d(x.detach(), name, mode="bands", padding=padding)
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-13)
        dy = torch.tensor(rng.standard_normal(tuple(y.shape)))
        expected.backward(dy)
        dx = fastpool.wavelet_pool2d_backward(dy, x.detach(), name, mode="bands", padding=padding)
        torch.testing.assert_close(dx, x.grad, rtol=1e-12, atol=1e-13)


def test_the_order_in_memory_stays():
    x = same.in_memory_last(np.random.default_rng(0).standard_normal((2, 5, 8, 8)))
    y = fastpool.wavelet_pool2d(x, mode="bands")
    assert y.shape == (4, 2, 5, 4, 4)
    assert np.moveaxis(y, 2, -1).flags.c_contiguous
    assert np.moveaxis(fastpool.wavelet_unpool2d(y), 1, -1).flags.c_contiguous
    assert np.moveaxis(fastpool.wavelet_pool2d_backward(y, x, mode="bands"), 1, -1).flags.c_contiguous


def test_no_elements():
    assert fastpool.wavelet_pool2d(np.zeros((0, 4, 4)), mode="bands").shape == (4, 0, 2, 2)
    assert fastpool.wavelet_unpool2d(np.zeros((4, 0, 2, 2))).shape == (0, 4, 4)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"wavelet": "db99"}, ValueError, "the known ones"),
        ({"wavelet": 3}, TypeError, "a name such as"),
        ({"wavelet": ([1.0, 1.0], [1.0])}, ValueError, "filters of 2 and 1 taps"),
        ({"wavelet": ([], [])}, ValueError, "one tap at least"),
        ({"wavelet": ([1.0, np.nan], [1.0, 1.0])}, ValueError, "must be finite"),
        ({"wavelet": ([[1.0]], [[1.0]])}, ValueError, "has one axis"),
        ({"levels": 0}, ValueError, "levels=0"),
        ({"levels": 2.0}, TypeError, "must be an integer"),
        ({"levels": 63}, ValueError, "at most 62"),
        ({"levels": 2, "mode": "bands"}, ValueError, "gives one level"),
        ({"mode": "details"}, ValueError, "approximation"),
        ({"mode": None}, TypeError, "approximation"),
        ({"padding": "mirror"}, ValueError, "unknown border rule"),
        ({"wavelet": "db12", "padding": "reflect"}, ValueError, "cannot be reflected by 11"),
        ({"layout": "rows"}, ValueError, "unknown layout"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"x": np.ones((2, 3, 8, 8), np.int32)}, TypeError, "int32"),
        ({"out": np.full((2, 3, 4, 4), 7.0, np.float32)}, TypeError, "float32"),
        ({"out": np.full((2, 3, 4, 5), 7.0)}, ValueError, "the result has shape"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {"x": np.ones((2, 3, 8, 8)), "out": np.full((2, 3, 4, 4), 7.0), **change}
    with pytest.raises(error, match=words):
        fastpool.wavelet_pool2d(**given)
    assert (given["out"] == 7).all()


def test_errors_of_the_way_back():
    with pytest.raises(ValueError, match="its first axis must have 4 bands"):
        fastpool.wavelet_unpool2d(np.ones((3, 4, 4)))
    with pytest.raises(ValueError, match="its first axis must have 4 bands"):
        fastpool.wavelet_unpool2d(np.ones((4, 4)))
    with pytest.raises(ValueError, match="the shape of the forward's result"):
        fastpool.wavelet_pool2d_backward(np.ones((4, 4)), (8, 8), mode="bands")
    with pytest.raises(ValueError, match="the shape of the forward's result"):
        fastpool.wavelet_unpool2d_backward(np.ones((7, 8)), (4, 4, 4))
