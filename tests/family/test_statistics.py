"""Statistics of windows against their definitions in long double, and against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastpool
from fastpool.kernels import statistics
from tests.family import same
from tests.family import statistic_cases as S

COMPILED = [case for case in S.CASES if case.name in S.COMPILED]


def check(case: S.Case, dtype: type, digits: float, count: int, seed: int, nan: bool = False) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        given = S.windows(rng, dtype, case.positive)
        rule = {}
        if nan:
            given.x[rng.random(given.x.shape) < 0.3] = np.nan
            rule = {"nan": "ignore"}
        y = given.call(case)(given.x, *given.arguments, **case.options, **rule)
        assert y.dtype == dtype
        S.assert_near(y, S.answer(case, given, *rule.values()), digits)


@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.id)
def test_single_precision(case):
    check(case, np.float32, 2e-5 if case.word == "entropy" else 4e-6, 100, 1)


@pytest.mark.slow
@pytest.mark.parametrize("case", S.CASES, ids=lambda case: case.id)
def test_double_precision(case):
    check(case, np.float64, 1e-12, 100, 2)
    check(case, np.float64, 1e-12, 30, 3, nan=True)


# each is a kernel of its own, and none is known from other tests
HALVES = [
    pytest.param(case, id=case.id, marks=pytest.mark.exhaustive if number % 3 else ())
    for number, case in enumerate(S.CASES)
]


@pytest.mark.slow
@pytest.mark.parametrize("case", HALVES)
def test_half_precision(case):
    check(case, np.float16, 2e-3, 100, 4)


@pytest.mark.parametrize("case", S.COUNTING, ids=lambda case: case.id)
def test_counting(case):
    rng = np.random.default_rng(5)
    dtype = np.float32 if case.word == "count" else np.bool_
    for _ in range(100):
        given = S.windows(rng, np.float32)
        few = rng.random(given.x.shape) < rng.random()
        x = np.where(few, np.float32(np.nan), given.x) if case.word == "count" else few
        given = given._replace(x=x.astype(dtype))
        y = given.call(case)(given.x, *given.arguments)
        assert y.dtype == (np.int64 if case.word == "count" else np.bool_)
        np.testing.assert_array_equal(y, S.answer(case, given))


MORE = ("int8", "int16", "uint16", "int32", "uint64", "float64")
OTHERS = ("uint8", "int64", "float16", *(pytest.param(dtype, marks=pytest.mark.exhaustive) for dtype in MORE))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", OTHERS)
def test_counting_of_other_elements(dtype):
    x = np.array([[0, 1, 0, 0, 2, 3]]).astype(dtype)
    assert fastpool.any_pool1d(x, 2).tolist() == [[True, False, True]]
    assert fastpool.all_pool1d(x, 2).tolist() == [[False, False, True]]
    assert fastpool.count_pool1d(x, 2).tolist() == [[2, 2, 2]]
    if dtype.startswith("float"):
        x[0, 0] = np.nan
        assert fastpool.any_pool1d(x, 2).tolist() == [[True, False, True]]
        assert fastpool.count_pool1d(x, 2).tolist() == [[1, 2, 2]]


@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.id)
def test_same_bits_everywhere(case):
    rng = np.random.default_rng(6)
    for _ in range(12):
        given = S.windows(rng, np.float32, case.positive)

        def call(x, layout, given=given):
            return given.call(case)(x, *given.arguments, layout=layout, **case.options)

        same.everywhere(call, given.x, given.spatial)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*S.CASES, *S.COUNTING], ids=lambda case: case.id)
def test_same_bits_in_double_precision(case):
    rng = np.random.default_rng(7)
    for _ in range(20):
        given = S.windows(rng, np.float64, case.positive)

        def call(x, layout, given=given):
            return given.call(case)(x, *given.arguments, layout=layout, **case.options)

        same.everywhere(call, given.x, given.spatial)


@pytest.mark.slow
@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.id)
def test_same_bits_by_either_engine(case):
    rng = np.random.default_rng(8)
    for _ in range(10):
        given = S.windows(rng, np.float32, case.positive)
        found = []
        for name in same.ENGINES:
            with same.engine(name):
                found.append(given.call(case)(given.x, *given.arguments, **case.options))
        same.assert_same_bits(*found)


def test_large_windows_have_one_order():
    """Thousands of taps along the last axis, which stand in columns: near the truth, the same bits in any layout."""
    rng = np.random.default_rng(9)
    for sizes in ((1, 1000), (3, 129), (2, 128), (5, 300)):
        x = rng.standard_normal((2, 5, *sizes)).astype(np.float32)
        for kernel in (sizes, (1, 129) if sizes[1] > 129 else sizes):
            first = same.everywhere(
                lambda x, layout, k=kernel: fastpool.logsumexp_pool2d(x, k, 1, layout=layout, mean=False), x, 2
            )
            windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), kernel, (2, 3))
            np.testing.assert_allclose(first, np.log(np.exp(windows).sum((-1, -2))), rtol=1e-5, atol=1e-5)
    y = fastpool.global_logsumexp_pool(x, mean=False, keepdims=True)
    np.testing.assert_array_equal(y, fastpool.logsumexp_pool2d(x, sizes, mean=False))
    np.testing.assert_array_equal(y[:, :, 0, 0], fastpool.global_logsumexp_pool(x, mean=False))


def test_extreme_exponentials():
    x = np.array([1e4, 1e4 - 1, -1e4, 88.0, 3e38, 1.0, -3e38, -3e38], np.float32)
    y = fastpool.logsumexp_pool1d(x, 2, mean=False)
    np.testing.assert_allclose(y, [1e4 + math.log1p(math.exp(-1)), 88, 3e38, -3e38], rtol=1e-6)
    y = fastpool.soft_pool1d(np.array([1e3, 1e3 - 1, -1e3, 1e3], np.float32), 2)
    np.testing.assert_allclose(y, [1e3 - 1 / (1 + math.e), 1e3], rtol=1e-7)
    infinite = np.array([np.inf, 1.0, -np.inf, -np.inf, -np.inf, 2.0], np.float32)
    np.testing.assert_array_equal(fastpool.logsumexp_pool1d(infinite, 2, mean=False), np.float32([np.inf, -np.inf, 2]))
    np.testing.assert_array_equal(fastpool.soft_pool1d(infinite[2:], 2), np.float32([-np.inf, 2]))
    assert np.isnan(fastpool.logsumexp_pool1d(np.array([np.nan, 1], np.float32), 2)).all()
    y = fastpool.gem_pool1d(np.array([1e30, 3e30, 0, 0], np.float32), 2, p=20.0, eps=0.0)
    np.testing.assert_allclose(y, [3e30 * 0.5**0.05, 0], rtol=1e-5)


def test_variance_far_from_zero():
    rng = np.random.default_rng(10)
    x = (1e6 + rng.integers(-4, 5, (3, 4, 30, 30)) / 4).astype(np.float32)
    for y, ddof in ((fastpool.global_var_pool(x), 0), (fastpool.global_var_pool(x, ddof=1), 1)):
        np.testing.assert_allclose(y, x.astype(np.float64).var((2, 3), ddof=ddof), rtol=1e-6)
    np.testing.assert_array_equal(fastpool.var_pool1d(np.full(9, 1e6, np.float32), 3), np.zeros(3, np.float32))
    one = np.ones(3, np.float32)
    assert np.isnan(fastpool.var_pool1d(one, 1, ddof=1)).all()
    assert (fastpool.std_pool1d(one, 1) == 0).all()


def test_products_with_zeros_and_denormals():
    x = np.array([1e-40, 1e38, 0.0, 5.0, 1e-30, 1e-30, 1e30, 1e30], np.float32)
    y = fastpool.prod_pool1d(x, 2)
    with np.errstate(over="ignore"):
        expected = (x[::2].astype(np.float64) * x[1::2]).astype(np.float32)
    np.testing.assert_allclose(y, expected, rtol=1e-7)
    # the order of factors does not matter to a product that is a number in the end
    order = np.float32([1e-30, 1e-30, 1e30, 1e30])
    for x in (order, order[::-1].copy()):
        np.testing.assert_allclose(fastpool.prod_pool1d(x, 4), [1], rtol=1e-6)
    many = np.tile(np.float32([1e-30, 1e-30, 1e30, 1e30]), 200)
    np.testing.assert_allclose(fastpool.prod_pool1d(np.sort(many), many.size), [1], rtol=1e-4)


def test_windows_without_taps():
    x = np.ones((1, 1, 2), np.float32)
    windows = {"padding": ((3, 0),), "kernel_size": 2, "stride": 1}
    empty = {"logsumexp": -np.inf, "soft": 0, "gem": 0, "prod": 1, "entropy": 0}
    for word, value in empty.items():
        y = getattr(fastpool, f"{word}_pool1d")(x, **windows)
        np.testing.assert_array_equal(y[0, 0, :2], np.float32([value, value]), word)
    assert np.isnan(fastpool.var_pool1d(x, **windows)[0, 0, :2]).all()
    bools = x.astype(bool)
    assert fastpool.any_pool1d(bools, **windows).tolist() == [[[False, False, True, True]]]
    assert fastpool.all_pool1d(bools, **windows).tolist() == [[[True, True, True, True]]]
    assert fastpool.count_pool1d(x, **windows).tolist() == [[[0, 0, 1, 2]]]


def test_beside_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(11)
    x = rng.standard_normal((2, 3, 9, 8)).astype(np.float32)
    taps = torch.from_numpy(x).unfold(2, 3, 2).unfold(3, 2, 2).flatten(-2).double()
    for found, expected in (
        (fastpool.logsumexp_pool2d(x, (3, 2), 2, mean=False), torch.logsumexp(taps, -1)),
        (fastpool.var_pool2d(x, (3, 2), 2, ddof=1), taps.var(-1)),
        (fastpool.std_pool2d(x, (3, 2), 2), taps.std(-1, correction=0)),
        (fastpool.prod_pool2d(x, (3, 2), 2), taps.prod(-1)),
        (fastpool.soft_pool2d(x, (3, 2), 2), (taps.softmax(-1) * taps).sum(-1)),
        (fastpool.entropy_pool2d(x, (3, 2), 2), torch.distributions.Categorical(logits=taps).entropy()),
        (fastpool.gem_pool2d(x, (3, 2), 2), taps.clamp(min=1e-6).pow(3).mean(-1).pow(1 / 3)),
    ):
        np.testing.assert_allclose(found, expected.numpy(), rtol=2e-6, atol=2e-6)
    tensor = torch.from_numpy(x)
    assert isinstance(fastpool.soft_pool2d(tensor, 2), torch.Tensor)


def test_every_statistic_is_a_row_of_numbers():
    """What kernels are told of a statistic is so."""
    for name in statistics.NAMES:
        for skip in (False, True):
            made = statistics.make(name, statistics.Maths(float, math.exp, math.log), skip)
            state = made.lift(2.0, (0.25, 0.5))
            assert len(state) == len(made.identity) == len(made.combine(state, state)) <= 5
            if made.pull is not None:
                kept = made.pull(1.0, made.combine(state, made.lift(1.5, (0.25, 0.5))), 2.0, (0.25, 0.5))
                assert len(kept) == made.kept <= 5
                assert isinstance(made.slope(kept, 2.0, (0.25, 0.5)), float)


@pytest.mark.parametrize(
    ("name", "change", "error", "words"),
    [
        ("logsumexp_pool2d", {"sharpness": 0}, ValueError, "must not be 0"),
        ("logsumexp_pool2d", {"sharpness": np.nan}, ValueError, "finite"),
        ("logsumexp_pool2d", {"sharpness": "1"}, TypeError, "must be a number"),
        ("logsumexp_pool2d", {"mean": 1}, TypeError, "True or False"),
        ("logsumexp_pool2d", {"kernel_size": 0}, ValueError, "at least 1"),
        ("logsumexp_pool2d", {"kernel_size": 9}, ValueError, "must fit"),
        ("logsumexp_pool2d", {"padding": "full"}, ValueError, "unknown word"),
        ("logsumexp_pool2d", {"nan": "drop"}, ValueError, "unknown word"),
        ("logsumexp_pool2d", {"sharpnes": 1.0}, TypeError, "no argument of that name"),
        ("soft_pool2d", {"x": np.ones((2, 3, 8, 8), np.int32)}, TypeError, "int32"),
        ("soft_pool2d", {"device": "cuda"}, ValueError, "moves none"),
        ("entropy_pool2d", {"form": "histogram"}, ValueError, "unknown word"),
        ("var_pool2d", {"ddof": -1}, ValueError, "at least 0"),
        ("var_pool2d", {"ddof": 0.5}, TypeError, "integer"),
        ("any_pool2d", {"nan": "ignore"}, TypeError, "no argument of that name"),
        ("any_pool2d", {"x": np.ones((2, 3, 8, 8), np.complex64)}, TypeError, "complex64"),
        ("gem_pool2d", {"p": 0}, ValueError, "not 0"),
        ("gem_pool2d", {"p": np.inf}, ValueError, "finite"),
        ("gem_pool2d", {"p": np.ones(2)}, ValueError, "an element for each channel"),
        ("gem_pool2d", {"p": np.array([1.0, 0.0, 2.0])}, ValueError, "not 0"),
        ("gem_pool2d", {"p": "3"}, TypeError, "p is a str"),
        ("gem_pool2d", {"eps": -1.0}, ValueError, "from 0"),
        ("gamma_pool2d", {"statistic": "mean"}, ValueError, "unknown word"),
        ("gamma_pool2d", {"eps": 0.0}, ValueError, "above 0"),
        ("weibull_pool2d", {"shape": 0.0}, ValueError, "above 0"),
        ("weibull_pool2d", {"statistic": "k"}, ValueError, "unknown word"),
        ("global_var_pool", {"x": np.ones((2, 3))}, ValueError, "needs at least 3"),
        ("global_var_pool", {"keepdims": True}, ValueError, "the result has shape"),
    ],
)
def test_errors_write_nothing(name, change, error, words):
    shape = (2, 3) if name.startswith("global") else (2, 3, 4, 4)
    out = np.full(shape, 7.0, np.float64)
    given = {
        "x": np.ones((2, 3, 8, 8)),
        "out": out,
        **({} if name.startswith("global") else {"kernel_size": 2}),
        **change,
    }
    with pytest.raises(error, match=words):
        getattr(fastpool, name)(**given)
    assert (out == 7).all()


def test_the_oracle_is_an_engine():
    x = np.random.default_rng(12).standard_normal((2, 3, 9, 9)).astype(np.float32)
    with same.engine("reference"):
        expected = fastpool.var_pool2d(x, 3, 2)
    np.testing.assert_allclose(fastpool.var_pool2d(x, 3, 2), expected, rtol=1e-6)
