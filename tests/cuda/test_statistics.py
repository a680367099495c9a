"""Statistics of windows on the GPU, in the simulator: against their definitions in NumPy, and against the CPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import fastpool
from fastpool.cuda import memory
from fastpool.cuda import statistics as on_gpu
from fastpool.kernels import statistics
from fastpool.problem import Problem
from fastpool.reference.family import statistics as oracle
from tests.cuda.arrays import Interface, host, on_device
from tests.family import statistic_cases as S

CASES = [case for case in S.CASES if case.name != "weibull"]
DIGITS = {"float64": 1e-11, "float32": 4e-6, "float16": 2e-3, "bfloat16": 1.6e-2}
NUMBERS = ("bool", "int8", "uint16", "int32", "uint64", "float16", "float32", "float64")


class Windows(NamedTuple):
    """x with axes (N, C, spatial...), in a memory order of any kind, and the arguments of its windows."""

    x: np.ndarray
    arguments: tuple[Any, ...]
    layout: str
    spatial: int

    def call(self, case: S.Case, direction: str = "") -> Any:
        return getattr(fastpool, f"{case.word}_pool{self.spatial}d{direction}")

    def problem(self, nan: str = "propagate") -> Problem:
        return S.Windows(self.x, self.arguments, self.spatial).problem(nan)

    def turned(self, array: np.ndarray) -> np.ndarray:
        """An array of x's axes with axes as ``layout`` says."""
        return np.moveaxis(array, 1, -1) if self.layout == "channels_last" else array

    def back(self, array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array, -1, 1) if self.layout == "channels_last" else array


def taps(problem: Problem) -> np.ndarray:
    """How many taps of each window lie on the input."""
    return oracle.gathered(np.ones(problem.shape), problem)[1].sum(-1)


def windows(rng: np.random.Generator, dtype: Any, positive: bool, least: int = 0) -> Windows:
    """Small windows of any kind, each with ``least`` taps at least."""
    while True:
        spatial = int(rng.integers(1, 4))
        sizes = tuple(int(n) for n in rng.integers(1, (0, 13, 6, 4)[spatial], spatial))
        kernel = tuple(int(rng.integers(1, n + 2)) for n in sizes)
        stride = tuple(int(n) for n in rng.integers(1, 4, spatial))
        dilation = tuple(int(n) for n in rng.choice([1, 1, 2], spatial))
        padding = tuple(int(rng.integers(0, 1 + k * d // 2)) for k, d in zip(kernel, dilation, strict=True))
        x = rng.standard_normal((int(rng.integers(1, 3)), int(rng.integers(1, 4)), *sizes))
        x = (np.abs(x) + 0.2 if positive else x).astype(dtype)
        layout = str(rng.choice(["channels_first", "channels_last"]))
        made = Windows(
            in_memory(rng, x, layout), (kernel, stride, padding, dilation, bool(rng.integers(2))), layout, spatial
        )
        problem = made.problem()
        if x.size <= 60 and all(window.output > 0 for window in problem.windows):
            if least == 0 or taps(problem).min() >= least:
                return made


def in_memory(rng: np.random.Generator, x: np.ndarray, layout: str) -> np.ndarray:
    """The same elements: dense in the layout, in another order of axes, with gaps, or backwards."""
    how = int(rng.integers(4))
    if how == 0:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if layout != "channels_first" else x
    if how == 1:
        return np.asfortranarray(x)
    if how == 2:
        wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    return np.ascontiguousarray(x[..., ::-1])[..., ::-1]


def wide(x: np.ndarray) -> np.ndarray:
    """Half types as the oracle takes them."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x


def pooled(case: S.Case, given: Windows, x: np.ndarray, nan: str = "propagate") -> np.ndarray:
    return oracle.pooled(case.name, x, given.problem(nan), case.parameters)


def slopes(case: S.Case, given: Windows, dy: np.ndarray, nan: str = "propagate") -> np.ndarray:
    """The gradient of x by differences of the definition, in long double."""
    x, step = wide(given.x).astype(np.longdouble), np.longdouble(1e-5)
    dx = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        high, low = x.copy(), x.copy()
        high[at] += step
        low[at] -= step
        change = (pooled(case, given, high, nan) - pooled(case, given, low, nan)) / (2 * step)
        # a window that is NaN with or without the step does not hold the element, or has no gradient
        dx[at] = np.where(np.isnan(change), 0, change * wide(dy)).sum()
    return dx


def types_of(count: int) -> list[Any]:
    """Element types, one for each problem; bfloat16 where there is one."""
    try:
        import ml_dtypes
    except ImportError:
        half = np.dtype(np.float16)
    else:
        half = np.dtype(ml_dtypes.bfloat16)
    return [[np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.float16), half][i % 4] for i in range(count)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_forward_by_the_definition(case):
    rng = np.random.default_rng(1)
    for dtype in types_of(16):
        given = windows(rng, dtype, case.positive)
        options = {**case.options, "layout": given.layout}
        y = host(given.call(case)(on_device(given.turned(given.x)), *given.arguments, **options))
        assert y.dtype == dtype
        expected = pooled(case, given, wide(given.x))
        scale = np.nanmax(np.abs(np.where(np.isfinite(expected), expected, 1)), initial=1)
        S.assert_near(given.back(y), expected, DIGITS[dtype.name], float(scale))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_gradient_by_the_definition(case):
    rng = np.random.default_rng(2)
    for dtype in types_of(8):
        given = windows(rng, dtype, case.positive, least=3)
        dy = rng.standard_normal(given.problem().out_shape).astype(dtype)
        arrays = [on_device(given.turned(array)) for array in (dy, given.x)]
        dx = given.call(case, "_backward")(*arrays, *given.arguments, layout=given.layout, **case.options)
        dx = host(dx[0] if case.word == "gem" else dx)
        assert dx.dtype == dtype
        expected = slopes(case, given, dy)
        digits = max(DIGITS[dtype.name], 1e-7) * (10 if dtype.itemsize == 4 else 2)
        S.assert_near(given.back(dx), expected, digits, float(np.abs(expected).max()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_nan_is_left_out_or_passed_on(case):
    rng = np.random.default_rng(3)
    for _ in range(3):
        given = windows(rng, np.float64, case.positive, least=5)
        given.x[rng.random(given.x.shape) < 0.15] = np.nan
        x = on_device(given.turned(given.x))
        for nan in ("ignore", "propagate"):
            options = {**case.options, "layout": given.layout, "nan": nan}
            y = given.back(host(given.call(case)(x, *given.arguments, **options)))
            expected = pooled(case, given, given.x, nan)
            S.assert_near(y, expected, 1e-11, float(np.nanmax(np.abs(expected), initial=1)))
        there = oracle.gathered(given.x, given.problem())
        many = (there[1] & ~np.isnan(there[0])).sum(-1)
        dy = np.where(many >= 3, rng.standard_normal(expected.shape), 0)
        if (many < 3).any():
            continue
        options["nan"] = "ignore"
        dx = given.call(case, "_backward")(on_device(given.turned(dy)), x, *given.arguments, **options)
        dx = given.back(host(dx[0] if case.word == "gem" else dx))
        expected = slopes(case, given, dy, "ignore")
        S.assert_near(dx, expected, 1e-6, float(np.abs(expected).max()))


@pytest.mark.parametrize("case", S.COUNTING, ids=lambda case: case.id)
def test_counting_of_all_elements(case):
    rng = np.random.default_rng(4)
    for dtype in NUMBERS:
        given = windows(rng, dtype, False)
        given.x[...] = rng.random(given.x.shape) < 0.6
        if dtype.startswith("float"):
            given.x[rng.random(given.x.shape) < 0.2] = np.nan
        y = given.call(case)(on_device(given.turned(given.x)), *given.arguments, layout=given.layout)
        y = given.back(host(y))
        assert y.dtype == (np.int64 if case.word == "count" else np.bool_)
        np.testing.assert_array_equal(y, pooled(case, given, given.x))


@pytest.mark.parametrize("case", [case for case in CASES if case.name in S.COMPILED], ids=lambda case: case.id)
def test_beside_the_cpu(case):
    """The same order of summation: equal where no exponential is part of it, else to the last digits."""
    rng = np.random.default_rng(5)
    for _ in range(3):
        given = windows(rng, np.float32, case.positive)
        options = {**case.options, "layout": given.layout}
        x = given.turned(given.x)
        expected = given.call(case)(x, *given.arguments, **options)
        dy = rng.standard_normal(expected.shape).astype(np.float32)
        found = host(given.call(case)(on_device(x), *given.arguments, **options))
        theirs = given.call(case, "_backward")(dy, x, *given.arguments, **options)
        ours = given.call(case, "_backward")(on_device(dy), on_device(x), *given.arguments, **options)
        pairs = [(found, expected), *zip(*[d if case.word == "gem" else (d,) for d in (ours, theirs)], strict=True)]
        for one, other in pairs:
            if case.name in ("variance", "product"):
                np.testing.assert_array_equal(host(one), other)
            else:
                one = one if isinstance(one, float) else host(one)
                scale = max(1.0, float(np.nanmax(np.abs(np.where(np.isfinite(other), other, 1)), initial=1)))
                np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6 * scale)


@pytest.mark.parametrize("sizes", [(2, 11), (1, 130), (1, 300)])
def test_many_columns_have_the_order_of_the_cpu(sizes):
    x = np.random.default_rng(6).standard_normal((1, 2, sizes[0], sizes[1] + 1))
    # in double precision another order has other bits
    y = fastpool.var_pool2d(x, sizes, 1)
    np.testing.assert_array_equal(host(fastpool.var_pool2d(on_device(x), sizes, 1)), y)
    x = x.astype(np.float32)
    padded = {"stride": (1, 90), "padding": (0, sizes[1] // 2)}
    dy = np.ones_like(fastpool.var_pool2d(x, sizes, **padded))
    dx = fastpool.var_pool2d_backward(dy, x, sizes, **padded)
    found = host(fastpool.var_pool2d_backward(on_device(dy), on_device(x), sizes, **padded))
    np.testing.assert_array_equal(found, dx)


def test_of_whole_planes():
    x = np.random.default_rng(7).standard_normal((2, 3, 4, 5))
    for keepdims in (False, True):
        y = host(fastpool.global_var_pool(on_device(x), keepdims=keepdims))
        np.testing.assert_allclose(y, x.var((2, 3), keepdims=keepdims), rtol=1e-13)
    dx = host(fastpool.global_var_pool_backward(on_device(np.ones((2, 3))), on_device(x)))
    np.testing.assert_allclose(dx, 2 * (x - x.mean((2, 3), keepdims=True)) / 20, rtol=1e-12)


def test_places_of_64_bits(monkeypatch):
    rng = np.random.default_rng(8)
    x, dy = rng.standard_normal((2, 2, 3, 11)), rng.standard_normal((2, 2, 3, 2))
    arguments = ((2, 9), (1, 2), (1, 1), 1, True)

    def call():
        y = host(fastpool.soft_pool2d(on_device(x), *arguments))
        given = rng.standard_normal(y.shape)
        return y, given, host(fastpool.soft_pool2d_backward(on_device(given), on_device(x), *arguments))

    y, dy, dx = call()
    monkeypatch.setattr(on_gpu, "NARROW", 0)
    np.testing.assert_array_equal(host(fastpool.soft_pool2d(on_device(x), *arguments)), y)
    np.testing.assert_array_equal(host(fastpool.soft_pool2d_backward(on_device(dy), on_device(x), *arguments)), dx)


def test_extreme_elements():
    x = np.float32([1e4, 1e4 - 1, np.inf, 1, -np.inf, -np.inf, 0, 0, 3e38, 3e38])
    y = host(fastpool.logsumexp_pool1d(on_device(x), 2, mean=False))
    np.testing.assert_allclose(y, [1e4 + np.log1p(np.exp(-1)), np.inf, -np.inf, np.log(2), 3e38], rtol=1e-6)
    y = host(fastpool.gem_pool1d(on_device(np.float32([1e30, 3e30, 0, 0])), 2, p=20.0, eps=0.0))
    np.testing.assert_allclose(y, [3e30 * 0.5**0.05, 0], rtol=1e-5)
    y = host(fastpool.prod_pool1d(on_device(np.float32([1e-30, 1e-30, 1e30, 1e30])), 4))
    np.testing.assert_allclose(y, [1], rtol=1e-6)


def test_empty_arrays():
    x = on_device(np.empty((0, 3, 4, 4)))
    assert fastpool.soft_pool2d(x, 2).shape == (0, 3, 2, 2)
    dy = on_device(np.empty((0, 3, 2, 2)))
    assert fastpool.soft_pool2d_backward(dy, x, 2).shape == (0, 3, 4, 4)
    assert fastpool.gem_pool2d_backward(dy, x, 2)[1] == 0


def test_results_and_streams(monkeypatch):
    found = []
    monkeypatch.setattr(memory, "order", lambda device, first, then: found.append((first, then)))
    x = np.random.default_rng(9).standard_normal((2, 3, 4, 6))
    out = Interface(np.zeros((2, 3, 2, 3)), stream=5)
    assert fastpool.soft_pool2d(Interface(x, stream=9), 2, out=out) is out
    assert found == [(5, 9), (9, 5)]
    turned = Interface(np.asfortranarray(x))
    y = fastpool.soft_pool2d(turned, 2)
    assert y.strides == fastpool.stride_pool2d(np.asfortranarray(x), 2).strides
    np.testing.assert_array_equal(y.copy_to_host(), out.data)


def test_a_gradient_by_vjp():
    x = np.random.default_rng(10).standard_normal((2, 3, 4, 6))
    y, pull = fastpool.vjp(fastpool.soft_pool2d, on_device(x), 2)
    dx = pull(on_device(np.ones(y.shape)))
    expected = host(fastpool.soft_pool2d_backward(on_device(np.ones(y.shape)), on_device(x), 2))
    np.testing.assert_array_equal(host(dx[0] if isinstance(dx, tuple) else dx), expected)


@pytest.mark.parametrize(
    ("name", "change", "error", "words"),
    [
        ("weibull_pool2d", {"statistic": "shape"}, ValueError, "on the CPU alone"),
        ("gem_pool2d", {"p": on_device(np.ones(3))}, TypeError, "give a number"),
        ("gem_pool2d", {"p": np.ones(3)}, TypeError, "one kind"),
        ("soft_pool2d", {"device": "cpu"}, ValueError, "moves none"),
        ("soft_pool2d", {"device": "cuda:1"}, ValueError, "moves none"),
        ("soft_pool2d", {"x": np.ones((2, 3, 8, 8)), "out": None, "device": "cuda"}, ValueError, "moves none"),
        ("soft_pool2d", {"out": np.ones((2, 3, 4, 4))}, TypeError, "one kind"),
        ("median_pool2d", {}, ValueError, "CPU alone"),
    ],
)
def test_what_is_refused_writes_nothing(name, change, error, words):
    out = np.full((2, 3, 4, 4), 7.0)
    given = {"x": on_device(np.ones((2, 3, 8, 8))), "kernel_size": 2, "out": on_device(out), **change}
    with pytest.raises(error, match=words):
        getattr(fastpool, name)(**given)
    assert (out == 7).all()


def test_kernels_are_there_for_every_statistic():
    from fastpool.kernels.cuda import statistics as kernels

    for name in statistics.NAMES:
        if name != "weibull":
            made = kernels.kernel(name, "f32", True, "windows", False, False)
            assert made.name == f"{name}_skipna_f32_windows_blocks"
