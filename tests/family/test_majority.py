"""Majorities against counting in Python, NumPy's counts, and SciPy's mode."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import fastpool
from tests.family import same
from tests.family.slopes import sizes
from tests.family.windowed import Case, pooled, random_case

RNG = np.random.default_rng(11)


def counted(ties):
    def of(taps):
        found = Counter(taps.tolist())
        most = max(found.values(), default=0)
        best = [label for label in found if found[label] == most]
        return (best[0] if ties == "first" else min(best)) if best else 0

    return of


def labels(shape, dtype):
    if dtype == "bool":
        return RNG.random(shape) < 0.5
    info = np.iinfo(dtype)
    known = np.array([info.min, info.max, 1, 2, info.max - 1], dtype)
    return known[RNG.integers(0, RNG.integers(1, 6), shape)]


SLOW = [
    pytest.param(*both, marks=pytest.mark.slow)
    for both in (("int32", "smallest"), ("int8", "smallest"), ("int32", "first"), ("uint64", "first"))
]


@pytest.mark.parametrize(
    ("dtype", "ties"), [("uint8", "smallest"), ("uint64", "smallest"), ("bool", "smallest"), ("uint8", "first"), *SLOW]
)
def test_it_is_what_counting_finds(dtype, ties):
    for i in range(60):
        spatial = i % 3 + 1
        case = random_case(RNG, spatial, 8 if spatial < 3 else 5)
        if i > 50:
            # four and eight taps, all on the input
            case = Case((6,) * spatial, (2,) * spatial, (2,) * spatial, ((0, 0),) * spatial, (1,) * spatial, False)
        x = labels((1, 2, *case.sizes), dtype)
        pool = getattr(fastpool, f"mode_pool{spatial}d")

        def call(x, layout, pool=pool, case=case):
            return pool(x, *case.arguments, ties=ties, layout=layout)

        y = same.everywhere(call, x, spatial)
        expected = pooled(x, case, counted(ties))
        np.testing.assert_array_equal(y, expected, err_msg=f"{case}")
        with same.engine("reference"):
            np.testing.assert_array_equal(call(x, "channels_first"), expected)


@pytest.mark.parametrize("ties", ["smallest", "first"])
def test_it_is_what_numpy_counts(ties):
    def most(taps):
        counts = np.bincount(taps, minlength=1)
        return taps[np.argmax(counts[taps])] if ties == "first" and taps.size else np.argmax(counts)

    rng = np.random.default_rng(12)
    for i in range(100):
        spatial = i % 3 + 1
        case = random_case(rng, spatial, 8 if spatial < 3 else 5)
        if i % 10 == 0:
            # so many taps that they are sorted
            spatial, case = 2, Case((9, 20), (7, 11), sizes(rng, 1, 4, 2), ((1, 2), (3, 0)), (1, 1), False)
        x = rng.integers(0, rng.integers(1, 9), (1, 2, *case.sizes), "uint8")
        y = getattr(fastpool, f"mode_pool{spatial}d")(x, *case.arguments, ties=ties)
        np.testing.assert_array_equal(y, pooled(x, case, most), err_msg=f"{case}")


def test_windows_of_many_taps():
    for ties in ("smallest", "first"):
        x = labels((1, 1, 24, 50), "uint8")
        for kernel, stride in ((5, 3), ((12, 11), 6), ((20, 40), 4)):
            y = fastpool.mode_pool2d(x, kernel, stride, ties=ties)
            kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
            taps = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (2, 3))[:, :, ::stride, ::stride]
            for place in np.ndindex(y.shape):
                assert y[place] == counted(ties)(taps[place].reshape(-1))


def test_it_is_scipys_mode():
    stats = pytest.importorskip("scipy.stats")
    x = RNG.integers(0, 3, (16, 16, 16)).astype(np.uint64)
    for kernel in ((2, 2, 1), (2, 2, 2), (1, 2, 2)):
        a, b, c = kernel
        taps = x.reshape(16 // a, a, 16 // b, b, 16 // c, c).transpose(0, 2, 4, 1, 3, 5)
        expected = stats.mode(taps.reshape(*taps.shape[:3], -1), axis=-1).mode
        np.testing.assert_array_equal(fastpool.mode_pool3d(x, kernel), expected)
        # as segmentations lie in memory
        turned = np.asfortranarray(x)
        np.testing.assert_array_equal(fastpool.mode_pool3d(turned, kernel), expected)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": np.ones((4, 4))}, TypeError, "float64"),
        ({"ties": "last"}, ValueError, "unknown word"),
        ({"kernel_size": 5}, ValueError, "must fit into"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"out": np.full((2, 3), 7)}, ValueError, "the result has shape"),
    ],
)
def test_errors_write_nothing(change, error, words):
    out = np.full((2, 2), 7)
    given = {"x": np.ones((4, 4), np.int64), "kernel_size": 2, "out": out, **change}
    with pytest.raises(error, match=words):
        fastpool.mode_pool2d(**given)
    assert (given["out"] == 7).all()
    with pytest.raises(TypeError, match="has no gradient"):
        fastpool.vjp(fastpool.mode_pool2d, np.ones((4, 4), np.int64), 2)
