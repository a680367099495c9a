"""The order of summation, written down a second time: the kernels' sums must have exactly these bits.

Along the first spatial axis, then the next. Along an axis the taps are numbered from the window's first, missing
ones count as +0, and their number is split into binary blocks, largest first; in a block neighbours are added until
one is left, and the blocks are added from the left. A mean divides once, at the end. The gradient of a sum or mean
adds, in the same order, over the windows that can hold the element, lowest first; that of a maximum adds window
after window.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from fastpool import config, reference
from fastpool.problem import Problem
from tests.problems import make
from tests.strategies import (
    LAYOUTS,
    Array,
    Result,
    arrange,
    bits,
    pool,
    pull_back,
    random_problem,
    real_numbers,
    turn,
    turn_back,
    turned,
)

ROUNDS = 15
"""Random problems per number of axes."""

LONG = (
    # windows that outputs fold for themselves, in one piece and in several
    ((1, 2, 300), 99, {"s": 190}),
    ((1, 3, 5000), 5000, {}),
    ((1, 2, 7000), 3001, {"s": 2000, "p": 40, "d": 2}),
    ((1, 70, 2, 400), (2, 150), {"s": (1, 130)}),
    # rows and channels of several blocks
    ((1, 1, 6000), 13, {"s": 5}),
    ((2, 300, 3, 9), 3, {"s": (1, 2), "p": 1}),
    ((1, 1, 2, 2500), (2, 200), {"s": 1}),
)

ADDING = [
    *(("sum", "f32"), ("mean", "f32"), ("mean", "f64"), ("mean", "f16")),
    *(pytest.param("sum", dtype, marks=pytest.mark.exhaustive) for dtype in ("f64", "f16")),
]


def halves(terms: list[Any]) -> Any:
    """The sum of 1, 2, 4, ... terms: neighbours first."""
    if len(terms) == 1:
        return terms[0]
    return halves([terms[i] + terms[i + 1] for i in range(0, len(terms), 2)])


def ordered_sum(terms: list[Any]) -> Any:
    """The sum of any number of terms: binary blocks, largest first, added from the left."""
    total = None
    while terms:
        block = 1 << (len(terms).bit_length() - 1)
        part = halves(terms[:block])
        total = part if total is None else total + part
        terms = terms[block:]
    return total


def padded(values: Array, axes: int) -> Array:
    """The values with one zero more along the first axes, for the taps that are missing."""
    return np.pad(values, [(0, 1)] * axes + [(0, 0)] * (values.ndim - axes))


def tap_numbers(positions: Array, size: int) -> Array:
    """The positions, those outside replaced by that of the zero."""
    return np.where((positions >= 0) & (positions < size), positions, size)


def sum_at(values: Array, taps: tuple[Array, ...]) -> Any:
    """The sum at the product of the positions: along the first axis, then the next. Other axes are kept."""
    picked = values[np.ix_(*taps)]
    for _ in taps:
        picked = ordered_sum(list(picked))
    return picked


def divisor(problem: Problem, output: tuple[int, ...]) -> int:
    """What the window's sum is divided by, tap by tap."""
    if problem.op == "sum":
        return 1
    if problem.divisor:
        return problem.divisor
    count = 1
    for a, o in enumerate(output):
        size = problem.shape[problem.axes[a]]
        low, high = (-problem.pad_begin[a], size + problem.pad_end[a]) if problem.include_pad else (0, size)
        first = o * problem.stride[a] - problem.pad_begin[a]
        count *= sum(low <= first + j * problem.dilation[a] < high for j in range(problem.kernel[a]))
    return count


def spatial_first(array: Array) -> Array:
    """The axes batch and channel behind the others."""
    return np.moveaxis(array, (0, 1), (-2, -1))


def spatial_last(array: Array) -> Array:
    return np.moveaxis(array, (-2, -1), (0, 1))


def sums(problem: Problem, x: Array) -> Array:
    """The forward, not yet divided, with the spatial axes first."""
    windows = []
    for a, axis in enumerate(problem.axes):
        offsets = np.arange(problem.kernel[a]) * problem.dilation[a] - problem.pad_begin[a]
        origins = np.arange(problem.outputs[a]) * problem.stride[a]
        windows.append([tap_numbers(origin + offsets, problem.shape[axis]) for origin in origins])
    values = padded(x, len(windows))
    y = [sum_at(values, taps) for taps in itertools.product(*windows)]
    return np.reshape(y, (*problem.outputs, *x.shape[-2:]))


def divide(problem: Problem, y: Array) -> Array:
    """Each sum by its divisor; an empty window's is left alone."""
    quotients = y.copy()
    for output in np.ndindex(*problem.outputs):
        count = divisor(problem, output)
        if count:
            quotients[output] /= y.dtype.type(count)
    return quotients


def gradient(problem: Problem, shares: Array) -> Array:
    """The backward, from what each window gives to each of its taps, with the spatial axes first."""
    holders = []
    for a, axis in enumerate(problem.axes):
        offsets = np.arange(problem.kernel[a])[::-1] * problem.dilation[a] - problem.pad_begin[a]
        along = []
        for i in range(problem.shape[axis]):
            origins = i - offsets
            windows = origins[origins % problem.stride[a] == 0] // problem.stride[a]
            along.append(tap_numbers(windows, problem.outputs[a]))
        holders.append(along)
    shape = [len(along) for along in holders]
    dx = np.zeros((*shape, *shares.shape[-2:]), shares.dtype)
    values = padded(shares, len(shape))
    for element, windows in zip(np.ndindex(*shape), itertools.product(*holders), strict=True):
        if all(map(len, windows)):
            dx[element] = sum_at(values, windows)
    return dx


def scatter(problem: Problem, dy: Array, indices: Array) -> Array:
    """The gradient of a maximum: one window after the other, in row-major order."""
    dx = np.zeros((*problem.shape[:2], problem.plane), dy.dtype)
    for plane in np.ndindex(*problem.shape[:2]):
        for output in np.ndindex(*problem.outputs):
            if indices[plane][output] >= 0:
                dx[plane][indices[plane][output]] += dy[plane][output]
    return dx.reshape(problem.shape)


def problems(op: str, dtype: str) -> list[Problem]:
    rng = np.random.default_rng(len(op) + len(dtype))
    found = [make(op, shape, range(2, len(shape)), k, dtype=dtype, **o) for shape, k, o in LONG]
    for rank, _ in itertools.product((1, 2, 3), range(ROUNDS)):
        options: dict[str, Any] = {"dtype": dtype}
        if op == "mean":
            options["include_pad"] = bool(rng.integers(2))
            options["divisor"] = int(rng.choice([0, 0, 3, -5]))
        found.append(random_problem(rng, op, rank, **options))
    return found


def data(dtype: str, shape: tuple[int, ...], seed: int) -> Array:
    rng = np.random.default_rng(seed)
    x = real_numbers(dtype, shape, rng)
    # the sign of a zero tells whether a missing tap was added
    return np.where(rng.random(shape) < 0.3, x.dtype.type(-0.0), x)


def wide(array: Array) -> Array:
    """The type in which sums are made."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def check(problem: Problem, expected: Array, run: Any, arrays: list[Array], monkeypatch: Any) -> None:
    """The same bits from each family of kernels, in each layout."""
    for form, layout in itertools.product(("rows", "lanes", ""), LAYOUTS):
        monkeypatch.setenv(config.FORCE_KERNEL.name, form)
        order = turn(layout, len(problem.shape))
        result = run(turned(problem, layout), *(arrange(a.transpose(order), "contiguous") for a in arrays))
        actual = turn_back(result.array, layout)
        np.testing.assert_array_equal(bits(actual), bits(expected), str((result.problem, form)))


@pytest.mark.parametrize(("op", "dtype"), ADDING)
def test_forward(op: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, problem in enumerate(problems(op, dtype)):
        x = data(dtype, problem.shape, seed)
        y = spatial_last(divide(problem, sums(problem, spatial_first(wide(x)))))
        check(problem, y.astype(x.dtype), pool, [x], monkeypatch)


@pytest.mark.parametrize(("op", "dtype"), ADDING)
def test_linear_backward(op: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, forward in enumerate(problems(op, dtype)):
        problem = forward._replace(direction="bwd")
        dy = data(dtype, problem.out_shape, seed)
        dx = spatial_last(gradient(problem, divide(problem, spatial_first(wide(dy)))))
        check(problem, dx.astype(dy.dtype), pull_back, [dy], monkeypatch)


@pytest.mark.parametrize("dtype", ["f32", "f64", "f16"])
def test_backward_of_a_maximum(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, forward in enumerate(problems("max", dtype)):
        problem = forward._replace(direction="bwd", indices="plane")
        x = np.random.default_rng(seed).integers(0, 4, problem.shape).astype(np.float32)
        _, indices = reference.forward(forward._replace(dtype="f32", indices="plane"), x)
        dy = data(dtype, problem.out_shape, seed)
        dx = scatter(problem, wide(dy), indices)

        def run(problem: Problem, dy: Array, indices: Array) -> Result:
            return pull_back(problem, dy, indices=indices)

        check(problem, dx.astype(dy.dtype), run, [dy, indices], monkeypatch)
