"""Reductions that users define: refused where they are wrong, and right in every layout, forward and backward."""

# a definition's functions get no self
# ruff: noqa: N801, N805

from __future__ import annotations

import gc
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit, prange

import fastpool
from fastpool import config, own, reference, tracing
from fastpool.kernels import registry, rows
from tests.family import slopes

Array = np.ndarray


@fastpool.reduction
class log_sum_exp:
    """The logarithm of the sum of exponentials."""

    identity = 0.0

    def lift(x):
        return math.exp(x)

    def combine(a, b):
        return a + b

    def lower(s):
        return math.log(s)

    def pull(g, s):
        return g / s

    def push(a, x):
        return a * math.exp(x)


@fastpool.reduction
class stable_log_sum_exp:
    identity = (-math.inf, 0.0)

    def lift(x):
        return (x, 1.0)

    def combine(a, b):
        low, high = (a, b) if a[0] < b[0] else (b, a)
        return (high[0], high[1] + low[1] * math.exp(low[0] - high[0]) if low[1] > 0 else high[1])

    @staticmethod
    def lower(s):
        return s[0] + math.log(s[1])


@fastpool.reduction
class product:
    identity = 1.0
    state = "wide"
    dtypes = ("float", "integer")

    def combine(a, b):
        return a * b

    def pull(g, s):
        return g * s

    def push(a, x):
        return a / x


@fastpool.reduction
class variance:
    identity = (0.0, 0.0)

    def lift(x):
        return (x, x * x)

    def combine(a, b):
        return (a[0] + b[0], a[1] + b[1])

    def lower(s, count):
        return s[1] / count - (s[0] / count) ** 2


@fastpool.reduction
class power_mean:
    identity = 0.0
    parameter = 3.0

    def lift(x, p):
        return abs(x) ** p

    def combine(a, b):
        return a + b

    def lower(s, count, p):
        return (s / count) ** (1 / p)

    def pull(g, s, count, p):
        return g / count * (s / count) ** (1 / p - 1)

    def push(a, x, p):
        return math.copysign(a * abs(x) ** (p - 1), a * x)


@fastpool.reduction
class largest:
    identity = 0
    state = "same"
    dtypes = ("integer", "bool")
    repeatable = True

    def combine(a, b):
        return a if a > b else b


@fastpool.reduction
class total:
    identity = 0.0

    def combine(a, b):
        return a + b

    def pull(g):
        return g


@pytest.fixture(autouse=True)
def known_reductions() -> Iterator[None]:
    """What a test makes known to the registry, which others go through, is gone after it."""
    before = set(registry.REDUCTIONS)
    yield
    for name in set(registry.REDUCTIONS) - before:
        registry.remove_reduction(name)


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def taps(x: Array, window: tuple[int, ...], stride: tuple[int, ...], pad: int = 0, fill: float = 0.0) -> Array:
    """Every window over the last axes as a row of its taps."""
    count = len(window)
    padded = np.pad(x, [(0, 0)] * (x.ndim - count) + [(pad, pad)] * count, constant_values=fill)
    axes = tuple(range(x.ndim - count, x.ndim))
    view = np.lib.stride_tricks.sliding_window_view(padded, window, axes)
    view = view[(..., *(slice(None, None, s) for s in stride), *[slice(None)] * count)]
    return view.reshape(*view.shape[: x.ndim], -1)


def oracle(problem_of: Any, x: Array, *arguments: Any, **options: Any) -> Array:
    """What the reference says to a forward call."""
    problem = fastpool.explain(problem_of, x, *arguments, **options).problem
    return reference.forward(problem, x)[0]


# ---- right ----


@pytest.mark.parametrize("op", [log_sum_exp, stable_log_sum_exp], ids=lambda op: op.name)
def test_log_sum_exp(op: fastpool.Reduction) -> None:
    special = pytest.importorskip("scipy.special")
    x = numbers(2, 3, 9, 10)
    expected = special.logsumexp(taps(x, (3, 2), (2, 1), 1, -math.inf), -1)
    y = fastpool.pool(x, (3, 2), op, stride=(2, 1), padding=1)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-14)


def test_the_stable_form_does_not_overflow() -> None:
    special = pytest.importorskip("scipy.special")
    x = numbers(4, 60) + 2000
    expected = special.logsumexp(taps(x, (5,), (5,)), -1)
    np.testing.assert_allclose(fastpool.pool(x, (5,), stable_log_sum_exp), expected, rtol=1e-14)
    assert np.isinf(fastpool.pool(x, (5,), log_sum_exp)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_product(dtype: Any) -> None:
    x = (1 + 0.1 * numbers(3, 8, 12)).astype(dtype)
    y = fastpool.pool(x, (2, 3), product)
    assert y.dtype == dtype
    expected = np.prod(taps(x.astype(np.float64), (2, 3), (2, 3)), -1)
    np.testing.assert_allclose(y, expected, rtol=8 * np.finfo(np.float32).eps + np.finfo(dtype).eps)


def test_product_of_bfloat16() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = (1 + 0.1 * numbers(3, 8)).astype(bfloat16)
    y = fastpool.pool(x, (4,), product)
    assert y.dtype == bfloat16
    expected = np.prod(x.astype(np.float64).reshape(3, 2, 4), -1)
    np.testing.assert_allclose(y.astype(np.float64), expected, rtol=2**-8)


def test_product_of_integers_wraps_in_64_bits() -> None:
    x = np.random.default_rng(1).integers(-9, 10, (4, 12), np.int32)
    expected = np.prod(x.reshape(4, 4, 3).astype(np.int64), -1).astype(np.int32)
    np.testing.assert_array_equal(fastpool.pool(x, (3,), product), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_])
def test_largest_without_floats(dtype: Any) -> None:
    x = np.random.default_rng(2).integers(0, 255, (5, 40)).astype(dtype)
    x[:, ::3] = 0
    y = fastpool.pool(x, (5,), largest, stride=2)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, fastpool.pool(x, (5,), "max", stride=2))
    np.testing.assert_array_equal(y, taps(x, (5,), (2,)).max(-1))


def test_variance() -> None:
    x = numbers(3, 4, 12)
    np.testing.assert_allclose(fastpool.pool(x, (2, 3), variance), np.var(taps(x, (2, 3), (2, 3)), -1), rtol=1e-12)


@pytest.mark.parametrize("include_pad", [True, False])
def test_the_count_is_that_of_a_mean(include_pad: bool) -> None:
    x = numbers(2, 7, 9)
    options = {"stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": include_pad}
    y = fastpool.pool(x, (3, 3), power_mean(1.0), **options)
    expected = fastpool.avg_pool2d(np.abs(x), 3, 2, 1, True, include_pad)
    np.testing.assert_allclose(y, expected, rtol=1e-14)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 7.5])
def test_a_parameter(p: float) -> None:
    x = numbers(3, 20)
    expected = np.mean(np.abs(taps(x, (4,), (4,))) ** p, -1) ** (1 / p)
    op = power_mean if p == 3.0 else power_mean(p)
    assert op.parameter == p
    np.testing.assert_allclose(fastpool.pool(x, (4,), op), expected, rtol=1e-13)


def test_a_parameter_compiles_nothing_again() -> None:
    from fastpool.kernels.cpu import engine

    x = numbers(3, 20)
    fastpool.pool(x, (4,), power_mean)
    before = len(engine._kernels)
    fastpool.pool(x, (4,), power_mean(1.5))
    assert len(engine._kernels) == before


@pytest.mark.parametrize("op", [log_sum_exp, stable_log_sum_exp, variance, power_mean], ids=lambda op: op.name)
def test_as_the_oracle_says(op: fastpool.Reduction) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=tuple(rng.integers(4, 9, 3)))
        options = {
            "stride": tuple(map(int, rng.integers(1, 4, 2))),
            "padding": int(rng.integers(0, 2)),
            "dilation": int(rng.integers(1, 3)),
            "ceil_mode": bool(rng.integers(2)),
            "count_include_pad": bool(rng.integers(2)),
        }
        window = tuple(map(int, rng.integers(1, 3, 2)))
        y = fastpool.pool(x, window, op, **options)
        expected = oracle(fastpool.pool, x, window, op, **options)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_order_of_combining_is_that_of_the_oracle() -> None:
    """The bits of the built-in sum, and of the oracle."""
    for window in ((13,), (7, 3), (2, 2), (5, 1)):
        x = np.ldexp(numbers(3, 16, 15), np.random.default_rng(3).integers(-20, 20, (3, 16, 15)))
        for stride in (1, 2):
            y = fastpool.pool(x, window, total, stride=stride)
            np.testing.assert_array_equal(y, fastpool.pool(x, window, "sum", stride=stride))
            np.testing.assert_array_equal(y, oracle(fastpool.pool, x, window, total, stride=stride))


@pytest.mark.slow
def test_layouts_strides_and_threads_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    x = numbers(4, 12, 40, 33).astype(np.float32)
    first = fastpool.pool(x, (3, 3), product, stride=2, padding=1)
    forms = set()
    for form in ("rows", "lanes", "rows_slide", ""):
        monkeypatch.setenv(config.FORCE_KERNEL.name, form)
        for threads in (1, 3):
            with fastpool.threads(threads):
                last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
                y = fastpool.pool(last, (3, 3), product, axes=(1, 2), stride=2, padding=1)
                np.testing.assert_array_equal(np.moveaxis(y, -1, 1), first)
                told = fastpool.explain(fastpool.pool, last, (3, 3), product, axes=(1, 2), stride=2, padding=1)
                forms |= set(told.kernels)
                backwards = x[::-1, :, ::-1, ::-1].copy()[::-1, :, ::-1, ::-1]
                y = fastpool.pool(backwards, (3, 3), product, stride=2, padding=1)
                np.testing.assert_array_equal(y, first)
                spread = np.zeros((4, 12, 80, 66), np.float32)[:, :, ::2, ::2]
                spread[...] = x
                np.testing.assert_array_equal(fastpool.pool(spread, (3, 3), product, stride=2, padding=1), first)
    assert len(forms) >= 3


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_every_rank(rank: int) -> None:
    x = 1 + 0.1 * numbers(*[4] * rank)
    y = fastpool.pool(x, 2, product)
    np.testing.assert_allclose(y, oracle(fastpool.pool, x, 2, product), rtol=1e-15)


def test_axes_in_another_order() -> None:
    x = numbers(6, 5, 8)
    y = fastpool.pool(x, (2, 4), stable_log_sum_exp, axes=(2, 0), stride=(2, 2))
    expected = oracle(fastpool.pool, x, (2, 4), stable_log_sum_exp, axes=(2, 0), stride=(2, 2))
    np.testing.assert_allclose(y, expected, rtol=1e-14)


@pytest.mark.slow
def test_a_window_on_padding_alone_gives_what_the_identity_does() -> None:
    x = np.full((3, 3), 2.0)
    y = fastpool.pool(x, (2, 2), product, padding=3)
    assert y[0, 0] == 1.0
    assert fastpool.pool(x, (2, 2), log_sum_exp, padding=3)[0, 0] == -math.inf


def test_nan_propagates_and_is_left_out() -> None:
    x = np.array([[1.0, math.nan, 2.0, 3.0, math.nan, math.nan]])
    np.testing.assert_array_equal(fastpool.pool(x, (1, 2), product), [[math.nan, 6.0, math.nan]])
    np.testing.assert_array_equal(fastpool.pool(x, (1, 2), product, nan="ignore"), [[1.0, 6.0, math.nan]])
    np.testing.assert_array_equal(oracle(fastpool.pool, x, (1, 2), product, nan="ignore"), [[1.0, 6.0, math.nan]])
    # the count is that of the values
    y = fastpool.pool(x, (1, 3), power_mean(1.0), nan="ignore")
    np.testing.assert_allclose(y, [[1.5, 3.0]])


def test_out_is_written() -> None:
    x, out = 1 + numbers(4, 6), np.empty((2, 2))
    assert fastpool.pool(x, (2, 3), product, out=out) is out
    np.testing.assert_array_equal(out, fastpool.pool(x, (2, 3), product))


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    x = 1 + numbers(4, 6)
    y = fastpool.pool(torch.from_numpy(x), (2, 3), product)
    assert isinstance(y, torch.Tensor)
    np.testing.assert_array_equal(y.numpy(), fastpool.pool(x, (2, 3), product))


# ---- gradients ----


def differences(function: Any, x: Array, step: float = 1e-6) -> Array:
    """The gradient of a number, by central differences."""
    gradient = np.empty_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient


@pytest.mark.parametrize("op", [log_sum_exp, product, power_mean, power_mean(2.5), total], ids=repr)
@pytest.mark.parametrize(
    "options",
    [
        {"stride": (3, 1), "ceil_mode": True},
        *(pytest.param(options, marks=pytest.mark.slow) for options in ({}, {"stride": 1, "padding": 1})),
    ],
    ids=str,
)
def test_gradients_are_those_of_differences(op: fastpool.Reduction, options: dict[str, Any]) -> None:
    x = numbers(2, 5, 6)
    x = np.sign(x) * (0.5 + np.abs(x))
    y, pullback = fastpool.vjp(fastpool.pool, x, (2, 3), op, **options)
    dy = numbers(*y.shape, seed=1)
    dx = pullback(dy)
    expected = differences(lambda x: float((fastpool.pool(x, (2, 3), op, **options) * dy).sum()), x)
    np.testing.assert_allclose(dx, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    given = fastpool.pool_backward(dy, x, (2, 3), op, **options)
    np.testing.assert_array_equal(given, dx)
    problem = fastpool.explain(fastpool.pool_backward, dy, x, (2, 3), op, **options).problem
    np.testing.assert_allclose(reference.backward(problem, dy, x, None), dx, rtol=1e-12, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("op", [log_sum_exp, product, power_mean, total], ids=lambda op: op.name)
def test_gradients_are_slopes(op: fastpool.Reduction) -> None:
    def make(rng: np.random.Generator) -> slopes.Slope:
        shape = slopes.sizes(rng, 1, 6, 3)
        window = tuple(int(rng.integers(1, n + 1)) for n in shape[1:])
        given = {"stride": slopes.sizes(rng, 1, 4, 2), "padding": tuple(int(rng.integers(0, n)) for n in window)}
        given["ceil_mode"] = bool(rng.integers(2))
        x = rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)
        asked = op(float(rng.uniform(1, 4))) if op is power_mean else op
        pool, back = fastpool.pool, fastpool.pool_backward
        return slopes.Slope(
            "pool", lambda x: pool(x, window, asked, **given), lambda dy, x: back(dy, x, window, asked, **given), x
        )

    slopes.hold(make)


def test_gradients_have_the_same_bits_in_each_layout() -> None:
    x = 1 + 0.1 * numbers(4, 5, 20, 11).astype(np.float32)
    y, pullback = fastpool.vjp(fastpool.pool, x, (3, 2), product, stride=1)
    dy = numbers(*y.shape, seed=1).astype(np.float32)
    dx = pullback(dy)
    assert dx.dtype == np.float32
    last, dy_last = (np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in (x, dy))
    found = fastpool.pool_backward(dy_last, last, (3, 2), product, axes=(1, 2), stride=1)
    np.testing.assert_array_equal(np.moveaxis(found, -1, 1), dx)
    with fastpool.threads(1):
        np.testing.assert_array_equal(pullback(dy), dx)


def test_an_element_in_no_window_has_no_gradient() -> None:
    x = np.array([0.0, 1.0, 2.0, 0.0])
    dx = fastpool.pool_backward(np.array([3.0]), x[1:], (2,), product, stride=4)
    np.testing.assert_array_equal(dx, [6.0, 3.0, 0.0])


def test_gradient_where_nan_is_left_out() -> None:
    x = np.array([2.0, math.nan, 3.0, 4.0])
    dx = fastpool.pool_backward(np.array([1.0]), x, (4,), product, nan="ignore")
    np.testing.assert_allclose(dx, [12.0, 0.0, 8.0, 6.0])


# ---- inside compiled code ----


def test_inside_njit() -> None:
    @njit
    def both(x: Array, dy: Array) -> Any:
        y = fastpool.pool(x, (2, 2), product)
        return y, fastpool.pool_backward(dy, x, (2, 2), product)

    x = 1 + 0.1 * numbers(2, 6, 8)
    y, pullback = fastpool.vjp(fastpool.pool, x, (2, 2), product)
    found, gradient = both(x, y)
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(gradient, pullback(y))


def test_as_an_argument_of_njit_and_with_a_parameter() -> None:
    @njit
    def pooled(x: Array, op: Any) -> Any:
        return fastpool.pool(x, (2, 2), op, stride=1, padding=1, count_include_pad=False)

    x = numbers(2, 6, 8)
    for op in (product, power_mean, power_mean(1.5)):
        expected = fastpool.pool(x, (2, 2), op, stride=1, padding=1, count_include_pad=False)
        np.testing.assert_array_equal(pooled(x, op), expected)


def test_inside_a_parallel_loop() -> None:
    @njit(parallel=True)
    def pooled(x: Array, y: Array) -> None:
        for i in prange(x.shape[0]):
            fastpool.pool(x[i], (2, 2), product, out=y[i])

    x = 1 + 0.1 * numbers(8, 6, 8)
    y = np.empty((8, 3, 4))
    pooled(x, y)
    np.testing.assert_array_equal(y, fastpool.pool(x, (2, 2), product))


def test_njit_refuses_what_python_does() -> None:
    @njit
    def gradient(dy: Array, x: Array) -> Any:
        return fastpool.pool_backward(dy, x, (2,), variance)

    with pytest.raises(Exception, match="reduction variance has no rule for its gradient"):
        gradient(np.ones(2), np.ones(4))


# ---- definitions that change ----


def scaled(factor: float) -> fastpool.Reduction:
    """Reductions of one name that do something else each."""

    @fastpool.reduction
    class edited:
        identity = 0.0

        def lift(x):
            return x * factor

        def combine(a, b):
            return a + b

    return edited


def test_a_definition_of_the_same_name_replaces_and_the_old_one_stays() -> None:
    x = np.arange(8.0)
    first, second = scaled(1.0), scaled(2.0)
    for _ in range(2):
        np.testing.assert_array_equal(fastpool.pool(x, 4, first), [6.0, 22.0])
        np.testing.assert_array_equal(fastpool.pool(x, 4, second), [12.0, 44.0])


def test_the_same_definition_again_is_not_compiled_again() -> None:
    from fastpool.kernels.cpu import engine

    x = np.arange(8.0)
    fastpool.pool(x, 4, scaled(1.0))
    before = len(engine._kernels)
    again = scaled(1.0)
    assert again.key == scaled(1.0).key != scaled(2.0).key
    fastpool.pool(x, 4, again)
    assert len(engine._kernels) == before


def test_there_is_room_for_any_number_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST", len(registry.REDUCTIONS) + 2)
    x = np.arange(8.0)
    made = [scaled(1.0), scaled(2.0), product, total]
    answers = [fastpool.pool(x, 4, op).tolist() for op in made]
    assert len(registry.REDUCTIONS) <= rows.MOST
    assert [fastpool.pool(x, 4, op).tolist() for op in made] == answers
    gc.collect()
    assert [fastpool.pool(x, 4, op).tolist() for op in reversed(made)] == answers[::-1]


SCRIPT = """
import numpy as np
from numba import njit
import fastpool
from fastpool.kernels.cpu import engine


def weight(x):
    return x * FACTOR


@fastpool.reduction
class edited:
    identity = 0.0

    def lift(x):
        return weight(x)

    def combine(a, b):
        return a + b


@fastpool.reduction
class traced:
    identity = 0.0

    def combine(a, b):
        return a + b


fastpool.pool(np.arange(8.0), 4, traced)


@njit(cache=True)
def compiled(x):
    return fastpool.pool(x, 4, edited)


x = np.arange(8.0)
print(*fastpool.pool(x, 4, edited), *compiled(x), [kernel.from_cache for kernel in engine._kernels.values()])
"""


def test_an_edited_definition_is_compiled_again(tmp_path: Path, repository: Path) -> None:
    """Three processes that share a cache: the second one has another definition, the third the second's."""
    script = tmp_path / "edited.py"

    def run(factor: str) -> str:
        script.write_text(SCRIPT.replace("FACTOR", factor))
        environment = {
            "FASTPOOL_CACHE_DIR": str(tmp_path / "cache"),
            "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
            "PYTHONPATH": str(repository),
        }
        command = [sys.executable, "-W", "error", str(script)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run("1.0") == "6.0 22.0 6.0 22.0 [False, False]"
    assert run("2.0") == "12.0 44.0 12.0 44.0 [True, False]"
    assert run("2.0") == "12.0 44.0 12.0 44.0 [True, True]"


def test_compiled_code_finds_an_edited_definition_by_its_name() -> None:
    old, new = scaled(1.0), scaled(3.0)
    found = own.by_number(old.number, own.number_of("edited"))
    assert found is not None
    assert found.key == old.key
    found = own.by_number(1, own.number_of("edited"))
    assert found is not None
    assert found.name == new.name
    assert own.by_number(1, 2) is None


def test_a_definition_may_inherit() -> None:
    class Sums:
        identity = 0.0
        state = "wide"

        def combine(a, b):
            return a + b

    @fastpool.reduction
    class sum_of_squares(Sums):
        state = "double"

        def lift(x):
            return x * x

    assert sum_of_squares.state == ("double",)
    np.testing.assert_array_equal(fastpool.pool(np.arange(4.0), 2, sum_of_squares), [1.0, 13.0])


# ---- on vectors ----


def larger(a, b):
    if a != a:
        return a
    return a if a > b else b


def mean(s, count):
    return s / count if count != 0 else s


def add(a, b):
    return a + b


def times(a, b):
    return a * b


def define(name: str = "refused", **given: Any) -> fastpool.Reduction:
    return fastpool.reduction(type(name, (), given))


def raising(x):
    if x > 1:
        raise ValueError("too large")
    return x


@pytest.mark.parametrize(
    ("function", "kinds", "text"),
    [
        (lambda a, b: a + b, ("vector", "vector"), "(a + b)"),
        (lambda a, b: a if a > b else b, ("vector", "vector"), "pick((a > b), a, b)"),
        (lambda a, b: a if (a > b) | (a != a) else b, ("vector", "vector"), "pick(((a > b) | (a != a)), a, b)"),
        (lambda a, b: a / b if b > 0 else a, ("vector", "count"), "((a / b) if (b > 0) else a)"),
        (lambda a, b: a if a > b and b == b else b, ("vector", "vector"), "pick((a > b), pick((b == b), a, b), b)"),
        (lambda a, b: a * 2.0, ("vector", "vector"), None),
        (lambda a, b: a - (b - 1), ("vector", "count"), None),
        (lambda a, b: a if a > 0 else b, ("vector", "vector"), None),
        (lambda a, b: a**b, ("vector", "vector"), None),
        (lambda a, b: math.hypot(a, b), ("vector", "vector"), None),
        (lambda a, b: max(a, b), ("vector", "vector"), None),
        (lambda a, b: 1.0, ("vector", "vector"), None),
        (lambda a, b: b, ("vector", "count"), None),
    ],
)
def test_what_is_traced(function: Any, kinds: tuple[str, ...], text: str | None) -> None:
    names = ("a", "b")
    if text is None:
        assert tracing.on_vectors("f", function, "a, b", kinds) is None
        return
    assert tracing.on_vectors("f", function, "a, b", kinds) is not None
    assert tracing._written(function, names, kinds, []) == text


def test_ways_that_grow_are_not_traced() -> None:
    def many(a, b):
        for _ in (a, b, a, b, a, b, a, b, a, b):
            if a > b:
                a = a + b
        return a

    assert tracing.on_vectors("f", many, "a, b", ("vector", "vector")) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "like"),
    [
        ({"identity": 0.0, "combine": add}, "sum"),
        pytest.param({"identity": 0.0, "combine": add, "lower": mean}, "mean", marks=pytest.mark.exhaustive),
        ({"identity": -math.inf, "combine": larger, "repeatable": True}, "max"),
    ],
    ids=["sum", "mean", "max"],
)
def test_vectors_give_the_bits_of_the_built_in_operation(given: dict[str, Any], like: str) -> None:
    op = define("own_" + like, state="same", **given)
    rng = np.random.default_rng(0)
    forms = set()
    for window, stride, padding in ((2, 2, 0), (3, 2, 1), (7, 1, 3)):
        x = rng.normal(size=(6, 3, 31, 45)).astype(np.float32)
        x[rng.random(x.shape) < 0.02] = np.nan
        x[rng.random(x.shape) < 0.02] = np.inf
        options = {"stride": stride, "padding": padding}
        y = fastpool.pool(x, (window, window), op, **options)
        np.testing.assert_array_equal(y, fastpool.pool(x, (window, window), like, **options))
        forms |= {
            name.split("__")[1] for name in fastpool.explain(fastpool.pool, x, (window,) * 2, op, **options).kernels
        }
    assert {"rows_fused_k2s2", "rows_stacked"} <= forms


# ---- refused ----


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, r"reduction refused: identity is missing: it must have one: the state of no element; for a sum"),
    ({"identity": 0.0}, r"reduction refused: combine is missing: .*; write def combine\(a, b\)"),
    ({"identity": (0.0, 0.0), "combine": add}, r"lift is missing: with pairs as states it must have one; write def"),
    ({"identity": "0", "combine": add}, r"identity='0': a state is one number, or a pair of numbers; give int"),
    ({"identity": (0.0, 0.0, 0.0), "combine": add}, r"identity=\(0.0, 0.0, 0.0\): a state is one number"),
    ({"identity": 0.0, "comine": add}, r"attribute 'comine': it is none of a reduction's; known: 'lift', 'combine'"),
    ({"identity": 0.0, "combine": lambda a: a}, r"combine\(a\): it takes 2 arguments, without defaults; write def"),
    ({"identity": 0.0, "combine": add, "lift": lambda x, p: x}, r"lift\(x, p\): it takes 1 argument.*'parameter'"),
    ({"identity": 0.0, "combine": add, "lower": lambda *s: s}, r"lower\(s\): it takes 1 to 2 arguments, without"),
    ({"identity": 0.0, "combine": add, "lift": lambda x=1: x}, r"lift\(x\): it takes 1 argument, without defaults"),
    ({"identity": 0.0, "combine": max}, r"combine=<built-in function max>.*written in Python; write a def"),
    ({"identity": 0.0, "combine": add, "lift": raising}, r"lift: a kernel cannot raise an error; return math.nan"),
    ({"identity": 0.0, "combine": add, "lift": lambda x: (x, 1.0)}, r"lift\(0.5\)=\(0.5, 1.0\): it must be a state"),
    ({"identity": 0.0, "combine": lambda a, b: (a, b)}, r"combine\(0.5, 0.25\)=\(0.5, 0.25\): it must be a state"),
    ({"identity": 1.0, "combine": add}, r"combine\(1.0, 0.5\)=1.5: with the identity it must give s, here 0.5; mend"),
    ({"identity": 0.0, "combine": times}, r"with the identity it must give s, here 0.5"),
    (
        {"identity": 0.0, "combine": lambda a, b: a + b + a * a * b},
        r"combine gives .*: it must be associative: .*; keep what the result needs in the state",
    ),
    ({"identity": 0.0, "combine": add, "lower": lambda s: (s, s)}, r"lower gives \(0.5, 0.5\) \(tuple\): a result is"),
    ({"identity": 0.0, "combine": add, "push": lambda a: a}, r"pull is missing: a gradient begins with it; write def"),
    ({"identity": 0.0, "combine": add, "state": "half"}, r"state='half': unknown word; known: 'double', 'wide'"),
    ({"identity": 0.0, "combine": add, "dtypes": ("real",)}, r"dtypes='real': unknown word; known: 'float'"),
    ({"identity": 0.0, "combine": add, "dtypes": ()}, r"dtypes=\(\): it must take something; known: 'float'"),
    ({"identity": 0.0, "combine": add, "repeatable": 1}, r"repeatable=1: must be True or False; leave it out"),
    ({"identity": 0.0, "combine": add, "repeatable": True}, r"repeatable=True: combine\(a, a\) must be a, and"),
    ({"identity": 0.0, "combine": add, "parameter": "2"}, r"parameter='2' \(str\): must be a number; use float"),
    ({"identity": 0.0, "combine": add, "parameter": math.inf}, r"parameter=inf: must be finite; use another"),
    ({"name": "max", "identity": 0.0}, r"reduction max: name 'max': it is taken by a built-in operation; choose"),
    ({"name": "x" * 61, "identity": 0.0}, r"name: it must be at most 60 ASCII characters; shorten it"),
)


@pytest.mark.parametrize(("given", "told"), REFUSED, ids=range(len(REFUSED)))
def test_a_wrong_definition_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        define(**given)


def test_a_definition_must_be_a_class() -> None:
    with pytest.raises(TypeError, match=r"reduction: .*add.*: it must be a class.*; write @reduction over it"):
        fastpool.reduction(add)  # type: ignore[arg-type]


def test_a_reduction_without_parameter_takes_none() -> None:
    with pytest.raises(TypeError, match=r"product: product\(3.0\): it has no parameter; give the class an attribute"):
        product(3.0)


CALLS: tuple[tuple[Any, str], ...] = (
    (lambda x: fastpool.pool(x, 2, type("plain", (), {})), r"pool: op=.*: must be a word, or a reduction; put @fast"),
    (lambda x: fastpool.pool(x, 2, "product"), r"pool: op='product': unknown word; known: 'max'"),
    (lambda x: fastpool.pool(x, 2, product, return_indices=True), r"return_indices: product selects no element"),
    (lambda x: fastpool.pool(x, 2, variance, nan="ignore"), r"pool: nan='ignore': reduction variance has pairs"),
    (lambda x: fastpool.pool(x.astype(np.int32), 2, variance), r"x of dtype int32: reduction variance takes float;"),
    (lambda x: fastpool.pool(x.astype(np.complex64), 2, product), r"x of dtype complex64: reduction product takes"),
    (lambda x: fastpool.pool(x.astype(np.longdouble), 2, product), r"longdouble: own reductions take no long double"),
    (lambda x: fastpool.pool(x > 0, 2, product), r"x of dtype bool: reduction product takes float and integer"),
    (lambda x: fastpool.pool_backward(x[::2], x, 2, variance), r"op=variance: reduction variance has no rule for its"),
    (lambda x: fastpool.vjp(fastpool.pool, x, 2, variance), r"pool_backward: op=variance: reduction variance has no"),
    (lambda x: fastpool.pool_backward(x[::2], (4,), 2, product), r"x given by its shape \(4,\): the gradient of produ"),
    (
        lambda x: fastpool.pool_backward(x[::2].astype(np.int8), x.astype(np.int8), 2, product),
        r"x of dtype int8: gradients of own reductions are those of floats; convert x first",
    ),
)


@pytest.mark.parametrize(("call", "told"), CALLS, ids=range(len(CALLS)))
def test_a_wrong_call_is_refused(call: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        call(np.ones(4))


def test_what_numba_cannot_compile_is_told_by_its_name() -> None:
    def words(x):
        return float(str(x).strip().encode())

    op = define(identity=0.0, combine=add, lift=words)
    out = np.full(2, 7.0)
    with pytest.raises(TypeError, match=r"reduction refused: lift for states of float64: Numba cannot compile it: .+;"):
        fastpool.pool(np.ones(4), 2, op, out=out)
    np.testing.assert_array_equal(out, 7.0)


# ---- as values ----


def test_a_reduction_as_it_is_shown() -> None:
    assert repr(product) == "<fastpool.reduction product>"
    assert repr(power_mean(1.5)) == "<fastpool.reduction power_mean(1.5)>"
    assert log_sum_exp.__doc__ == "The logarithm of the sum of exponentials."
    told = fastpool.explain(fastpool.pool, numbers(4, 6), (2, 2), product)
    assert told.engine == "jit"
    assert told.kernels[0].startswith("product_")
    assert str(told).startswith("problem  product_")


@pytest.mark.parametrize("engine", ["jit", "reference", "njit", "c"])
def test_every_engine_answers(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = 1 + 0.1 * numbers(4, 6)
    expected = fastpool.pool(x, (2, 2), product)
    monkeypatch.setenv(config.ENGINE.name, engine)
    np.testing.assert_array_equal(fastpool.pool(x, (2, 2), product), expected)
