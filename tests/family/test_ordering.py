"""Medians, quantiles and ranks against NumPy's, one window at a time, and SciPy's filters."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import fastpool
from tests.family import same
from tests.family.windowed import Case, pooled, random_case

METHODS = ("linear", "lower", "higher", "nearest", "midpoint")
PROBLEMS = 36


def elements(rng, shape, dtype):
    """Few different values, so that there are ties; of floats some NaN and infinities now and then."""
    if np.dtype(dtype).kind == "f":
        x = np.where(rng.random(shape) < 0.5, rng.standard_normal(shape) * 8, rng.integers(-3, 4, shape)).astype(dtype)
        if rng.integers(3) == 0:
            x[rng.random(shape) < 0.1] = np.nan
        return x
    info = np.iinfo(dtype)
    edges = np.array([info.min, info.min + 1, info.max - 1, info.max, max(info.min, -7), 0, 5], dtype)
    return np.where(
        rng.random(shape) < 0.3, edges[rng.integers(0, 7, shape)], rng.integers(0, 100, shape).astype(dtype)
    )


def of_integers(found):
    """A value between two integers, truncated."""

    def rounded(taps):
        return math.trunc(found([Fraction(int(tap)) for tap in sorted(taps.tolist())])) if taps.size else 0

    return rounded


def quiet(function, skip, wide=False):
    """A function of NumPy for the taps of a window."""

    def of(taps):
        kept = taps[~np.isnan(taps)] if skip else taps
        if kept.size == 0 or np.isnan(kept).any():
            return np.nan
        return function(kept.astype(np.float32) if wide else kept) + 0

    return of


def fraction(q, method):
    """A quantile of exact numbers, its rank as NumPy computes it."""

    def of(ordered):
        place = (len(ordered) - 1) * q
        low, high = math.floor(place), math.ceil(place)
        a, b = ordered[low], ordered[high]
        share = {"linear": Fraction(place - low), "midpoint": Fraction(1, 2) if low != high else 0}.get(method)
        if share is None:
            return {"lower": a, "higher": b, "nearest": ordered[round(place)]}[method]
        # a part of a difference is a float64, half of it is exact
        return a + (Fraction(float(b - a) * float(share)) if share != Fraction(1, 2) else (b - a) / 2)

    return of


SLOW = [pytest.param(dtype, marks=pytest.mark.slow) for dtype in ("int64", "int16", "uint64", "int8", "uint32")]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", *SLOW])
def test_medians_are_numpys(dtype):
    rng = np.random.default_rng(3)
    for i in range(PROBLEMS):
        spatial = i % 3 + 1
        case = random_case(rng, spatial, 9 if spatial < 3 else 6)
        x = elements(rng, (1, 2, *case.sizes), dtype)
        even, skip = ("mean", "lower", "upper")[i % 3 if i % 4 else 0], bool(i // 3 % 2)
        method = {"mean": "midpoint", "lower": "lower", "upper": "higher"}[even]
        if x.dtype.kind == "f":
            numpys = np.median if even == "mean" else lambda taps, m=method: np.quantile(taps, 0.5, method=m)
            of = quiet(numpys, skip, dtype == "float16")
        else:
            of = of_integers(fraction(0.5, method))
        expected = pooled(x, case, of)
        nan = "ignore" if skip else "propagate"
        pool = getattr(fastpool, f"median_pool{spatial}d")

        def call(x, layout, pool=pool, case=case, even=even, nan=nan):
            return pool(x, *case.arguments, even=even, nan=nan, layout=layout)

        y = same.everywhere(call, x, spatial)
        np.testing.assert_array_equal(y, expected, err_msg=f"{case} {even} {nan}")
        with same.engine("reference"):
            np.testing.assert_array_equal(call(x, "channels_first"), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint16", *SLOW[:2]])
def test_quantiles_are_numpys(dtype):
    rng = np.random.default_rng(4)
    for i in range(PROBLEMS):
        spatial = i % 3 + 1
        case = random_case(rng, spatial, 9 if spatial < 3 else 6)
        x = elements(rng, (1, 2, *case.sizes), dtype)
        q, method, skip = float(rng.choice([0, 1, 0.5, 0.3, rng.random()])), METHODS[i % 5], bool(i // 3 % 2)
        nan = "ignore" if skip else "propagate"
        if x.dtype.kind == "f":
            # ranks in float64, as for arrays of that type
            of = quiet(lambda taps, q=q, m=method: np.quantile(taps.astype(np.float64), q, method=m), skip)
        else:
            of = of_integers(fraction(q, method))
        pool = getattr(fastpool, f"quantile_pool{spatial}d")

        def call(x, layout, pool=pool, q=q, case=case, method=method, nan=nan):
            return pool(x, q, *case.arguments, method=method, nan=nan, layout=layout)

        y = same.everywhere(call, x, spatial)
        expected = pooled(x, case, of)
        if dtype == "float32":
            np.testing.assert_allclose(y, expected, rtol=3e-7, atol=1e-6)
        else:
            np.testing.assert_array_equal(y, expected, err_msg=f"{case} {q} {method} {nan}")
        with same.engine("reference"):
            wanted = call(x, "channels_first")
        np.testing.assert_array_equal(y, wanted)


def test_ranks_are_those_of_sorted_taps():
    rng = np.random.default_rng(5)
    for i in range(102):
        spatial = i % 3 + 1
        case = random_case(rng, spatial, 7)
        x = elements(rng, (1, 1, *case.sizes), "float32")
        rank, skip = int(rng.integers(-5, 6)), bool(i // 3 % 2)

        def of(taps, rank=rank):
            place = rank if rank >= 0 else taps.size + rank
            return np.sort(taps)[min(max(place, 0), taps.size - 1)]

        nan = "ignore" if skip else "propagate"
        y = getattr(fastpool, f"rank_pool{spatial}d")(x, rank, *case.arguments, nan=nan)
        np.testing.assert_array_equal(y, pooled(x, case, quiet(of, skip)), err_msg=f"{case} {rank} {nan}")


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "float16", *SLOW[:2]])
def test_windows_that_have_a_way_of_their_own(dtype):
    """Blocks of more than one vector: sorted columns, pairs of neighbours, networks, and many taps, bit by bit."""
    rng = np.random.default_rng(6)
    x = (rng.standard_normal((2, 3, 21, 300)) * 40).astype(dtype)
    if x.dtype.kind == "f":
        x[0, 0, 5, 100] = np.nan
    cases = [(3, 1, 1, 1), (3, (2, 1), 1, 1), (3, 1, 2, 2), ((3, 5), 1, 1, 1), (2, 2, 0, 1), (3, 2, 1, 1), (7, 1, 3, 1)]
    cases += [((18, 15), (3, 9), 4, 1), ((1, 3), 1, 0, 1), ((2, 1), (2, 1), 0, 1), ((1, 2), (1, 2), 0, 1)]
    for kernel, stride, padding, dilation in cases:
        for nan in ("propagate", "ignore"):

            def call(x, layout, arguments=(kernel, stride, padding, dilation), nan=nan):
                return fastpool.median_pool2d(x, *arguments, nan=nan, layout=layout)

            y = same.everywhere(call, x, 2)
            pair = [(k, k) if isinstance(k, int) else k for k in (kernel, dilation, stride, padding)]
            (kh, kw), (dh, dw), (sh, sw), (ph, pw) = pair
            padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=np.inf)
            span = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
            taps = np.lib.stride_tricks.sliding_window_view(padded, span, (2, 3))[:, :, ::sh, ::sw, ::dh, ::dw]
            taps = np.sort(taps.reshape(*taps.shape[:4], -1).copy(), -1)
            wrong = np.isnan(taps).sum(-1)
            n = np.isfinite(taps).sum(-1)
            low, high = (np.take_along_axis(taps, r[..., None], -1)[..., 0] for r in ((n - 1) // 2, n // 2))
            expected = ((low + high) / 2 if x.dtype.kind == "f" else np.trunc((low + high) / 2)).astype(np.float64)
            if nan == "propagate":
                expected = np.where(wrong > 0, np.nan, expected)
            if dtype == "float32":
                expected = np.where(
                    np.isnan(expected), expected, (low.astype("f4") + high.astype("f4")) / np.float32(2)
                )
            np.testing.assert_array_equal(y, expected.astype(dtype), err_msg=f"{kernel} {stride} {padding} {nan}")


def test_many_small_planes():
    """Blocks of rows of several planes: whole ones, and one window of each."""
    rng = np.random.default_rng(12)
    for case in (
        Case((5, 6), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), False),
        Case((5, 6), (2, 2), (2, 2), ((1, 0), (0, 1)), (1, 1), True),
        Case((5, 7), (5, 7), (1, 1), ((0, 0), (0, 0)), (1, 1), False),
        Case((9,), (4,), (2,), ((1, 2),), (2,), False),
    ):
        spatial = len(case.sizes)
        x = rng.permutation(16 * 9 * math.prod(case.sizes)).reshape(16, 9, *case.sizes).astype(np.float32)
        x[rng.random(x.shape) < 0.02] = np.nan
        for nan in ("propagate", "ignore"):
            pool, back = (getattr(fastpool, f"median_pool{spatial}d{end}") for end in ("", "_backward"))

            def call(x, layout, pool=pool, case=case, nan=nan):
                return pool(x, *case.arguments, nan=nan, layout=layout)

            y = same.everywhere(call, x, spatial)
            np.testing.assert_array_equal(y, pooled(x, case, quiet(np.median, nan == "ignore")), err_msg=f"{case}")

            def gradient(x, dy, layout, back=back, case=case, nan=nan):
                return back(dy, x, *case.arguments, nan=nan, layout=layout)

            dy = rng.random(y.shape).astype(np.float32)
            dx = same.everywhere(gradient, x, spatial, dy)
            # each plane by itself
            planes = [(x[i : i + 1, j : j + 1], dy[i : i + 1, j : j + 1]) for i, j in np.ndindex(16, 9)]
            alone = [gradient(*plane, "channels_first") for plane in planes]
            np.testing.assert_array_equal(dx, np.concatenate(alone).reshape(x.shape))
        labels = rng.integers(0, 3, x.shape).astype(np.uint8)
        found = getattr(fastpool, f"mode_pool{spatial}d")(labels, *case.arguments)
        np.testing.assert_array_equal(found, pooled(labels, case, lambda taps: np.bincount(taps).argmax()))


def test_it_is_the_filter_of_scipy_away_from_the_border():
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(8)
    for dtype in ("uint8", "float32", "float64"):
        x = (rng.standard_normal((40, 90)) * 40).astype(dtype)
        for k in (3, 5, 7):
            inner = (slice(k, -k), slice(k, -k))
            np.testing.assert_array_equal(
                fastpool.median_pool2d(x, k, 1, "same")[inner], ndimage.median_filter(x, k)[inner]
            )
            np.testing.assert_array_equal(
                fastpool.rank_pool2d(x, 2, k, 1, "same")[inner], ndimage.rank_filter(x, 2, k)[inner]
            )


def test_torchs_median_is_the_lower_one():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(9)
    for _ in range(20):
        x = torch.from_numpy(rng.standard_normal((2, 3, 6, 8)).astype(np.float32)).requires_grad_()
        blocks = x.unfold(2, 2, 2).unfold(3, 4, 4).reshape(2, 3, 3, 2, 8)
        y = blocks.median(-1).values
        found = fastpool.median_pool2d(x.detach(), (2, 4), even="lower")
        assert isinstance(found, torch.Tensor)
        assert torch.equal(found, y)
        dy = torch.rand_like(y)
        (expected,) = torch.autograd.grad(y, x, dy)
        assert torch.equal(fastpool.median_pool2d_backward(dy, x.detach(), (2, 4), even="lower"), expected)


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_gradients_are_differences(spatial):
    rng = np.random.default_rng(10)
    for i in range(24):
        case = random_case(rng, spatial, 6 if spatial < 3 else 4)
        # all different, further apart than the step of a difference
        x = rng.permutation(math.prod(case.sizes) * 2).reshape(1, 2, *case.sizes) / 7
        which = i % 3
        name = ("median", "quantile", "rank")[which]
        first = ((), (float(rng.random()),), (int(rng.integers(-3, 4)),))[which]
        options = ({"even": ("mean", "lower", "upper")[i // 3 % 3]}, {"method": METHODS[i // 3 % 5]}, {})[which]
        pool = getattr(fastpool, f"{name}_pool{spatial}d")
        back = getattr(fastpool, f"{name}_pool{spatial}d_backward")
        arguments = (*first, *case.arguments)

        def forward(x, pool=pool, arguments=arguments, options=options):
            # windows without taps have no gradient
            return np.nan_to_num(pool(x, *arguments, **options))

        def backward(dy, x, back=back, arguments=arguments, options=options):
            return back(dy, x, *arguments, **options)

        assert same.gradient_error(forward, backward, x) < 1e-6
        y, pullback = fastpool.vjp(pool, x, *arguments, **options)
        np.testing.assert_array_equal(pullback(y), backward(y, x))
        same.everywhere(
            lambda x, dy, layout, f=back, a=arguments, o=options: f(dy, x, *a, layout=layout, **o), x, spatial, y
        )


@pytest.mark.slow
def test_gradients_of_halves_add_in_float32():
    x = np.zeros((1, 1, 1, 4097), np.float16)
    x[..., 1:] = 1
    dy = np.ones((1, 1, 1, 4097), np.float16)
    # every window of 4097 places holds the one element
    dx = fastpool.rank_pool1d_backward(dy[0, 0], x[0, 0], 0, 4097, 1, 2048)
    assert dx[0, 0] == 2049 + 0


def test_gradients_at_ties_and_nan():
    g = np.ones((1, 1))
    x = np.array([[2.0, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(fastpool.median_pool2d_backward(g, x, 2), [[0, 1], [0, 0]])
    x = np.array([[2.0, np.nan], [1.0, np.nan]])
    np.testing.assert_array_equal(fastpool.median_pool2d_backward(g, x, 2), [[0, 1], [0, 0]])
    np.testing.assert_array_equal(fastpool.median_pool2d_backward(g, x, 2, nan="ignore"), [[0.5, 0], [0.5, 0]])
    x[...] = np.nan
    np.testing.assert_array_equal(fastpool.median_pool2d_backward(g, x, 2, nan="ignore"), np.zeros((2, 2)))


def test_windows_without_taps():
    for dtype in ("float32", "uint8", "int64"):
        x = np.full((1, 1), 3, dtype)
        y = fastpool.median_pool1d(x, 1, 1, 2)
        expected = [0, 0, 3, 0, 0] if np.dtype(dtype).kind != "f" else [np.nan, np.nan, 3, np.nan, np.nan]
        np.testing.assert_array_equal(y, [expected])
    assert fastpool.median_pool2d(np.empty((0, 3, 4, 4), np.float32), 2).shape == (0, 3, 2, 2)


@pytest.mark.slow
def test_bfloat16_is_computed_in_float32():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(14)
    x = torch.from_numpy(rng.standard_normal((2, 3, 12, 40)).astype(np.float32)).bfloat16()
    x[0, 0, 3, 3] = float("nan")
    for kernel, stride in ((3, 1), (2, 2), ((4, 5), 3)):
        for nan in ("propagate", "ignore"):
            expected = fastpool.median_pool2d(x.float(), kernel, stride, 1, nan=nan).bfloat16()
            found = fastpool.median_pool2d(x, kernel, stride, 1, nan=nan)
            np.testing.assert_array_equal(found.float().numpy(), expected.float().numpy())
            assert set(found[found.isnan()].view(torch.int16).tolist()) <= {0x7FC0}
            dy = torch.ones_like(found)
            dx = fastpool.median_pool2d_backward(dy, x, kernel, stride, 1, nan=nan)
            # sums of halves and ones
            assert torch.equal(
                dx.float(), fastpool.median_pool2d_backward(dy.float(), x.float(), kernel, stride, 1, nan=nan)
            )


def test_a_plane_as_one_window():
    rng = np.random.default_rng(13)
    x = rng.permutation(300 * 200).reshape(1, 300, 200).astype(np.float32)
    for q in (0.25, 0.5, 1.0):
        np.testing.assert_allclose(fastpool.quantile_pool2d(x, q, (300, 200))[0, 0, 0], np.quantile(x, q), rtol=1e-6)


def test_infinities_and_zeros():
    inf = np.inf
    x = np.array([inf, inf, -inf, 1.0, -0.0, -0.0])
    assert fastpool.median_pool1d(x[:2], 2) == inf
    assert np.isnan(fastpool.median_pool1d(x[1:3], 2))
    assert fastpool.quantile_pool1d(x[:4], 0.0, 4) == -inf
    assert not np.signbit(fastpool.median_pool1d(x[4:], 2))
    assert not np.signbit(fastpool.median_pool1d(np.full(9, -0.0), 9))
    assert not np.signbit(fastpool.median_pool2d(np.full((3, 3), -0.0), 3))


BAD = [
    ({"kernel_size": 0}, ValueError, "at least 1"),
    ({"kernel_size": 9}, ValueError, "must fit into"),
    ({"kernel_size": 2.0}, TypeError, "must be an integer"),
    ({"stride": (1, 2, 3)}, ValueError, "3 entries for 2 axes"),
    ({"padding": -1}, ValueError, "at least 0"),
    ({"padding": "full"}, ValueError, "unknown word"),
    ({"dilation": 9}, ValueError, "must fit into"),
    ({"dilation": 2**62}, ValueError, "must fit into"),
    ({"padding": 2**62}, ValueError, "pass"),
    ({"ceil_mode": 1}, TypeError, "True or False"),
    ({"even": "odd"}, ValueError, "unknown word"),
    ({"even": 2}, TypeError, "must be a word"),
    ({"nan": "omit"}, ValueError, "unknown word"),
    ({"layout": "rows"}, ValueError, "unknown layout"),
    ({"device": "cuda"}, ValueError, "CPU alone"),
    ({"x": np.ones((2, 3, 8, 8), np.complex64)}, TypeError, "complex64"),
    ({"x": np.ones((2, 3, 0, 8))}, ValueError, "size 0"),
    ({"out": np.full((2, 3, 4, 4), 7.0, np.float32)}, TypeError, "float32"),
    ({"out": np.full((2, 3, 4, 5), 7.0)}, ValueError, "the result has shape"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD)
def test_errors_write_nothing(change, error, words):
    out = np.full((2, 3, 4, 4), 7.0)
    given = {"x": np.ones((2, 3, 8, 8)), "kernel_size": 2, "out": out, **change}
    with pytest.raises(error, match=words):
        fastpool.median_pool2d(**given)
    assert (given["out"] == 7).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"q": 1.5}, ValueError, "from 0 to 1"),
        ({"q": float("nan")}, ValueError, "finite"),
        ({"q": "half"}, TypeError, "must be a number"),
        ({"method": "hazen"}, ValueError, "unknown word"),
    ],
)
def test_errors_of_quantiles(change, error, words):
    out = np.full((2, 2), 7.0)
    given = {"x": np.ones((4, 4)), "q": 0.5, "kernel_size": 2, "out": out, **change}
    with pytest.raises(error, match=words):
        fastpool.quantile_pool2d(**given)
    assert (out == 7).all()
    with pytest.raises(TypeError, match="must be an integer"):
        fastpool.rank_pool2d(given["x"], 1.0, 2, out=out)
    with pytest.raises(ValueError, match="at most 32767 taps"):
        fastpool.median_pool2d(np.ones((200, 200), np.float16), 200)


def test_errors_of_gradients():
    x, out = np.ones((4, 4)), np.full((4, 4), 7.0)
    with pytest.raises(ValueError, match="the shape of the forward's result"):
        fastpool.median_pool2d_backward(np.ones((3, 2)), x, 2, out=out)
    with pytest.raises(TypeError, match="float32"):
        fastpool.median_pool2d_backward(np.ones((2, 2)), x.astype(np.float32), 2, out=out)
    with pytest.raises(TypeError, match="int64"):
        fastpool.median_pool2d_backward(np.ones((2, 2), np.int64), x, 2, out=out)
    with pytest.raises(ValueError, match="overlaps x"):
        fastpool.median_pool2d_backward(np.ones((2, 2)), x, 2, out=x)
    assert (out == 7).all()
