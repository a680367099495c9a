"""The oracle against arithmetic that can be checked by hand: sum, mean, Lp, and how they round."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fastpool.problem import DTYPES
from fastpool.reference import backward, exact, forward
from tests.oracle import array, pool, same
from tests.problems import make

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("options", "y"),
    [
        # 4 x 4, kernel 3, stride 2, padding 1, ceil: the example of pooling-semantics.md 2.3
        ({}, [[14 / 9, 30 / 9, 2], [57 / 9, 11, 6], [4.5, 7.5, 4]]),
        ({"include_pad": False}, [[3.5, 5, 6], [9.5, 11, 12], [13.5, 15, 16]]),
        ({"divisor": 2}, [[7, 15, 6], [28.5, 49.5, 18], [13.5, 22.5, 8]]),
    ],
)
def test_divisors_in_ceil_mode(options: dict[str, Any], y: list) -> None:
    x = np.arange(1.0, 17).reshape(4, 4)
    same(pool("mean", x, 3, 2, 1, ceil=True, **options), y)


def test_dilation_divisor_counts_taps() -> None:
    # padded positions -3 .. 5; taps of the windows: -3 -1 1 | -2 0 2 | -1 1 3 | 0 2 4 | 1 3 5
    x = array([2, 4, 6])
    same(pool("mean", x, 3, 1, 3, 2), np.divide([4, 8, 4, 8, 4], 3), "f32")
    same(pool("mean", x, 3, 1, 3, 2, include_pad=False), [4, 4, 4, 4, 4])
    # in ceil mode the last window has taps at 1, 3 and 5; only those below 3 + 2 count
    same(pool("mean", x, 3, 3, [(2, 2)], 2, ceil=True), np.divide([8, 4], [3, 2]), "f32")


def test_empty_windows_of_sum_and_mean_are_zero() -> None:
    for op in ("sum", "mean", "lp"):
        for options in ({}, {"include_pad": False}, {"divisor": 3}):
            y = pool(op, array([6]), 1, 1, 2, **options)
            assert y[[0, 1, 3, 4]].tolist() == [0] * 4
    for dtype, out in (("i8", "i64"), ("u16", "u64")):
        same(pool("sum", array([6], dtype), 1, 1, 1), [0, 6, 0], out)
        same(pool("mean", array([6], dtype), 1, 1, 1, include_pad=False), [0, 6, 0], dtype)


@pytest.mark.parametrize(
    ("dtype", "x", "options", "total", "mean"),
    [
        ("i8", [-1, -2, -2, -2], {}, -7, -1),
        ("i8", [127, 127, 127, 126], {}, 507, 126),
        ("i32", [1, 2, 2, 2], {"divisor": -2}, 7, -3),
        ("u8", [255, 255, 255, 255], {}, 1020, 255),
        ("u8", [255, 255, 255, 255], {"divisor": 1}, 1020, 252),
        ("i64", [2**62] * 4, {}, 0, 0),
        ("i64", [2**62, 2**62, 0, 1], {}, 1 - 2**63, -(2**61) + 1),
        ("u64", [2**63, 2**62, 0, 3], {}, 3 * 2**62 + 3, 3 * 2**60),
        ("u64", [2**64 - 1, 1, 0, 8], {}, 8, 2),
    ],
)
@pytest.mark.parametrize("nan", ["propagate", "ignore"])
def test_integers(dtype: str, x: list, options: dict[str, Any], total: int, mean: int, nan: str) -> None:
    same(pool("sum", array(x, dtype), 4, nan=nan), [total], dtype[0] + "64")
    same(pool("mean", array(x, dtype), 4, nan=nan, **options), [mean], dtype)


def test_integer_gradients() -> None:
    sums = make("sum", (3,), 0, 2, 1, dtype="u8")
    same(backward(sums, array([2**64 - 1, 3], "u64"), None, None), [255, 2, 3], "u8")
    # each quotient is truncated before they are added: -7/2 + -7/2 -> -3 + -3
    means = make("mean", (3,), 0, 2, 1, dtype="i16", nan="ignore")
    same(backward(means, array([-7, -7], "i16"), None, None), [-3, -6, -3], "i16")


@pytest.mark.parametrize(
    ("x", "total", "mean"),
    [
        ([NAN, 1], NAN, NAN),
        ([INF, 1], INF, INF),
        ([-INF, INF], NAN, NAN),
        ([-INF, 3.4e38], -INF, -INF),
        ([3e38, 3e38], INF, 3e38),
        ([-0.0, 0.0], 0, 0),
    ],
)
def test_special_sums(x: list, total: float, mean: float) -> None:
    same(pool("sum", array(x), 2), [total], "f32")
    same(pool("mean", array(x), 2), [mean], "f32")
    same(pool("mean", array(x), 2, divisor=-2), [-mean], "f32")


@pytest.mark.parametrize(
    ("op", "options", "y", "dx"),
    [
        ("sum", {}, [NAN, 3, 4, 1, NAN, 8, 8], [0, 4, 4, 0, 0, 4]),
        ("mean", {}, [NAN, 3, 2, 1, NAN, 8, 4], [0, 3, 3, 0, 0, 3]),
        ("mean", {"include_pad": False}, [NAN, 3, 2, 1, NAN, 8, 8], [0, 3, 3, 0, 0, 4]),
        ("mean", {"divisor": 4}, [NAN, 0.75, 1, 0.25, NAN, 2, 2], [0, 1, 1, 0, 0, 1]),
    ],
)
def test_nan_ignored_by_sum_and_mean(op: str, options: dict[str, Any], y: list, dx: list) -> None:
    # windows: pad NaN | NaN 3 | 3 1 | 1 NaN | NaN NaN | NaN 8 | 8 pad
    x = array([NAN, 3, 1, NAN, NAN, 8])
    problem = make(op, x.shape, 0, 2, 1, 1, nan="ignore", **options)
    same(forward(problem, x)[0], y, "f32")
    same(backward(problem, array([2] * 7), x, None), dx, "f32")


@pytest.mark.parametrize("dtype", ["c64", "c128", "cld"])
def test_complex(dtype: str) -> None:
    x = array([1 + 2j, 3 - 6j, complex(NAN, 1), 2j, complex(5, NAN), complex(NAN, 0)], dtype)
    same(pool("sum", x, 2), [4 - 4j, complex(NAN, 3), complex(NAN, NAN)], dtype)
    same(pool("mean", x, 2), [2 - 2j, complex(NAN, 1.5), complex(NAN, NAN)], dtype)
    # a part that is NaN makes the whole number no value, the finite part included
    means = make("mean", (6,), 0, 2, dtype=dtype, nan="ignore")
    y, _ = forward(means, x)
    same(y, [2 - 2j, 2j, complex(NAN, NAN)], dtype)
    dy = array([2 + 4j, 6j, 1], dtype)
    same(backward(means, dy, x, None), [1 + 2j, 1 + 2j, 0, 6j, 0, 0], dtype)


@pytest.mark.parametrize("op", ["sum", "mean"])
def test_complex_nan_is_canonical(op: str) -> None:
    x = np.array([0xFFF0000000000001, 0], np.uint64).view(np.complex128)
    problem = make(op, (1,), 0, 1, dtype="c128")
    for result in (forward(problem, x)[0], backward(problem, x, None, None)):
        assert result.view(np.uint64).tolist() == [0x7FF8000000000000, 0]


def test_sum_backward_is_the_transpose() -> None:
    rng = np.random.default_rng(0)
    for p, d, ceil in [(0, 1, False), ([(0, 3), 2], 2, True), ([4, (5, 0)], 3, True), (1, 4, False)]:
        problem = make("sum", (6, 2, 7), (2, 0), (3, 2), (2, 1), p, d, ceil=ceil, dtype="i64")
        x = rng.integers(-99, 100, problem.shape)
        dy = rng.integers(-99, 100, problem.out_shape)
        assert (forward(problem, x)[0] * dy).sum() == (x * backward(problem, dy, None, None)).sum()


@pytest.mark.parametrize(
    ("dtype", "x", "expected"),
    [
        # exact ties, and ties broken by a term that a sum in float64 would lose
        ("f32", [1, 2**-24], 1),
        ("f32", [1, 2**-24, 2**-80], 1 + 2**-23),
        ("f32", [1, 3 * 2**-24, -(2**-80)], 1 + 2**-23),
        ("f16", [2048, 1, 2**-24], 2050),
        ("f16", [65504, 15], 65504),
        ("f16", [65504, 16], INF),
        ("f16", [-65504, -16], -INF),
        ("f64", [1, 2**-53, 2**-1074], 1 + 2**-52),
        ("f64", [1.7e308, 1.7e308, -1.7e308], 1.7e308),
        ("f64", [1e16, 1, -1e16], 1),
    ],
)
def test_sums_round_once(dtype: str, x: list, expected: float) -> None:
    same(pool("sum", array(x, dtype), len(x)), [expected], dtype)
    # the gradient of the element that every window holds, or that wins every window, is the same sum
    size = 2 * len(x) - 1
    peak = array([0] * (len(x) - 1) + [1] + [0] * (len(x) - 1), dtype)
    for op in ("sum", "max"):
        problem = make(op, (size,), 0, len(x), 1, dtype=dtype)
        dx = backward(problem, array(x, dtype), peak, None)
        same(dx[[len(x) - 1]], [expected], dtype)


@pytest.mark.parametrize(("x", "expected"), [([256, 1], 256), ([256, 1, 2**-100], 258), ([258, 1], 260)])
def test_bfloat16_rounds_once(x: list, expected: float) -> None:
    bits = array(x).view(np.uint32) >> 16
    problem = make("sum", bits.shape, 0, len(x), dtype="bf16")
    y, _ = forward(problem, bits.astype(np.uint16))
    same(y, (array([expected]).view(np.uint32) >> 16).astype(np.uint16))


def test_bfloat16_values_and_gradients() -> None:
    one, two, minus_three = 0x3F80, 0x4000, 0xC040
    x = np.array([one, minus_three, two, one], np.uint16)
    for op, y in (("max", [one, two]), ("min", [minus_three, one]), ("mean", [0xBF80, 0x3FC0])):
        same(forward(make(op, (4,), 0, 2, dtype="bf16"), x)[0], np.array(y, np.uint16))
    for op, dx in (("max", [one, 0, two, 0]), ("mean", [0x3F00, 0x3F00, one, one])):
        dy = np.array([one, two], np.uint16)
        same(backward(make(op, (4,), 0, 2, dtype="bf16"), dy, x, None), np.array(dx, np.uint16))


@pytest.mark.parametrize("dtype", ["f16", "f32", "f64"])
def test_subnormal_means(dtype: str) -> None:
    tiny = np.finfo(DTYPES[dtype]).smallest_subnormal
    x = tiny * array([1, 0, 3, 0, -3, 0], dtype)
    same(pool("mean", x, 2), tiny * array([0, 2, -2], dtype), dtype)


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
def test_nearest_equals_a_cast(dtype: str) -> None:
    rng = np.random.default_rng(0)
    values = np.ldexp(rng.uniform(-2, 2, 2000), rng.integers(-160, 140, 2000))
    with np.errstate(over="ignore", under="ignore"):
        if dtype == "bf16":
            # ml_dtypes goes by way of float32, which must not round first
            values = values.astype(np.float32).astype(np.float64)
            values = values[np.isfinite(values)]
            expected = values.astype(pytest.importorskip("ml_dtypes").bfloat16).astype(np.float64)
        else:
            expected = values.astype(DTYPES[dtype]).astype(np.float64)
    actual = [exact.nearest(dtype, Fraction(value)) for value in values.tolist()]
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="longdouble is no wider than double here")
def test_longdouble() -> None:
    one, tiny = np.longdouble(1), np.ldexp(np.longdouble(1), -63)
    same(pool("sum", np.array([one, tiny]), 2), np.array([one + tiny]))
    same(pool("mean", np.array([one, 0, 0]), 3), np.array([one / 3]))
    same(pool("max", np.array([one, one + tiny]), 2), np.array([one + tiny]))
    huge = np.ldexp(one, 5000)
    same(pool("sum", np.array([huge, one, -huge]), 3), np.array([one]))
    same(pool("lp", np.array([3 * huge, 4 * huge]), 2), np.array([5 * huge]))
    same(pool("mean", np.array([one, 0, 0]) * 1j, 3), np.array([one / 3]) * 1j)
    problem = make("mean", (3,), 0, 3, dtype="fld")
    same(backward(problem, np.array([one]), None, None), np.array([one / 3] * 3))


@pytest.mark.parametrize(
    ("norm", "x", "y", "dx"),
    [
        (2, [3, -4], 5, [0.6, -0.8]),
        (1, [-2, 0, 5], 7, [-1, 0, 1]),
        (0.5, [1, 4], 9, [3, 1.5]),
        (2, [0, 0], 0, [0, 0]),
        (2, [-INF, 1], INF, [NAN, 0]),
        (3, [NAN, 1, 0], NAN, [NAN, NAN, 0]),
        (50000, [1, -2], 2, [0, -1]),
        (2, [3 * 2.0**1020, 2.0**1022], 5 * 2.0**1020, [0.6, 0.8]),
        (3, [2.0**-1074, 0], 2.0**-1074, [1, 0]),
    ],
)
def test_lp(norm: float, x: list, y: float, dx: list) -> None:
    problem = make("lp", (len(x),), 0, len(x), dtype="f64", norm=float(norm))
    same(forward(problem, array(x, "f64"))[0], [y])
    same(backward(problem, array([1], "f64"), array(x, "f64"), None), dx)


def test_lp_takes_absolute_values_for_odd_powers() -> None:
    y = pool("lp", array([-1, -2, 3], "f64"), 3, norm=3.0).item()
    half = Fraction(np.spacing(y)) / 2
    assert (Fraction(y) - half) ** 3 < 36 < (Fraction(y) + half) ** 3


def test_lp_of_clipped_windows_is_their_true_norm() -> None:
    x = np.arange(1.0, 10)
    same(pool("lp", x, 4, ceil=True, norm=1.0), [10, 26, 9])
    same(pool("lp", array([3, 4]), 2, 1, 1), [3, 5, 4])
    problem = make("lp", (2,), 0, 2, 1, 1, dtype="f64")
    same(backward(problem, array([1, 10, 1], "f64"), array([3, 4], "f64"), None), [1 + 6, 1 + 8])


def test_nan_ignored_by_lp() -> None:
    x = array([NAN, 3, 4, NAN, NAN, NAN])
    problem = make("lp", (6,), 0, 3, nan="ignore")
    same(forward(problem, x)[0], [5, NAN])
    same(backward(problem, array([5, 1]), x, None), [0, 3, 4, 0, 0, 0])
