"""Thousands of random problems against torch, where torch is right: values, indices and gradients.

Left out is what torch refuses (padding beyond half of the window, empty results) and what it gets wrong: windows
without a tap on the input, and indices of 3-D channels-last arrays (torch always gets a contiguous tensor here).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastpool
from fastpool.kernels.cpu import engine
from fastpool.problem import Problem
from tests.strategies import Array

torch = pytest.importorskip("torch")

BATCHES = 32
PER_BATCH = 104
"""Problems in a batch, half of them maxima and half of them averages."""

PIECES = 1728
"""Average windows have up to 4 taps along an axis, padding included: this divides by the number of their taps."""


def fits_torch(problem: Problem) -> bool:
    """Whether torch takes the problem and is right."""
    if min(problem.outputs) < 1:
        return False
    # its average refuses an input that is smaller than the window
    if problem.op == "mean" and any(w.size < w.kernel for w in problem.windows):
        return False
    return all(w.taps_inside(o) > 0 for w in problem.windows for o in range(w.output))


def random_problems(op: str, seed: int, count: int) -> Iterator[Problem]:
    rng = np.random.default_rng(seed)
    while count > 0:
        rank = int(rng.integers(1, 4))
        most = 5 if op == "mean" else (12, 7, 5)[rank - 1]
        kernel, stride = rng.integers(1, most, rank), rng.integers(1, 5, rank)
        dilation = rng.choice([1, 1, 2, 3], rank) if op == "max" else np.ones(rank, int)
        size = rng.integers(1, (40, 12, 7)[rank - 1], rank)
        padding = rng.integers(0, kernel // 2 + 1)
        options: dict[str, Any] = {"ceil": bool(rng.integers(2))}
        if op == "mean":
            options["include_pad"] = bool(rng.integers(2))
            # torch has no divisor_override in 1-D
            options["divisor"] = int(rng.choice([0, 0, 3, -2])) if rank > 1 else 0
        geometry = [tuple(map(int, part)) for part in (kernel, stride, padding, padding, dilation)]
        shape = (*map(int, rng.integers(1, 4, 2)), *map(int, size))
        dtype = str(rng.choice(["f32", "f64"]))
        problem = Problem(op, "fwd", dtype, shape, tuple(range(2, 2 + rank)), *geometry, **options)
        if fits_torch(problem):
            count -= 1
            yield problem


def in_layout(array: Array, layout: str) -> Array:
    """An array (batch, channel, spatial...) in that layout."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)) if layout == "channels_last" else array


def equal(actual: Array, expected: Any, layout: str, problem: Problem) -> None:
    if layout == "channels_last":
        actual = np.moveaxis(actual, -1, 1)
    expected = expected.numpy()
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected, f"{problem} {layout}")


def check_max(problem: Problem, layout: str, rng: np.random.Generator) -> None:
    count = len(problem.axes)
    x = rng.integers(-4, 5, problem.shape) if rng.random() < 0.5 else rng.normal(size=problem.shape)
    x = x.astype(problem.dtype.replace("f", "float"))
    x[rng.random(x.shape) < rng.choice([0, 0.05])] = np.nan
    x[rng.random(x.shape) < rng.choice([0, 0.3])] = -np.inf
    arguments = (problem.kernel, problem.stride, problem.pad_begin, problem.dilation, problem.ceil)
    leaf = torch.tensor(x, requires_grad=True)
    y, indices = getattr(torch.nn.functional, f"max_pool{count}d")(leaf, *arguments, return_indices=True)
    dy = rng.integers(-9, 10, y.shape).astype(x.dtype)
    y.backward(torch.tensor(dy))

    ours, dy = in_layout(x, layout), in_layout(dy, layout)
    pool, back = (getattr(fastpool, f"max_pool{count}d{suffix}") for suffix in ("", "_backward"))
    values, found = pool(ours, *arguments, return_indices=True, layout=layout)
    equal(values, y.detach(), layout, problem)
    equal(found, indices, layout, problem)
    equal(back(dy, ours, *arguments, indices=found, layout=layout), leaf.grad, layout, problem)
    if problem.dtype == "f32":
        equal(back(dy, ours, *arguments, layout=layout), leaf.grad, layout, problem)


def check_mean(problem: Problem, layout: str, rng: np.random.Generator) -> None:
    count = len(problem.axes)
    dtype = problem.dtype.replace("f", "float")
    x = rng.integers(-99, 100, problem.shape).astype(dtype)
    arguments = (problem.kernel, problem.stride, problem.pad_begin, problem.ceil, problem.include_pad)
    override = {"divisor_override": problem.divisor} if problem.divisor else {}
    leaf = torch.tensor(x, requires_grad=True)
    y = getattr(torch.nn.functional, f"avg_pool{count}d")(leaf, *arguments, **override)
    # quotients and their sums are exact, whatever the order in which they are added
    dy = PIECES * rng.integers(-9, 10, y.shape).astype(dtype)
    y.backward(torch.tensor(dy))

    ours, dy = in_layout(x, layout), in_layout(dy, layout)
    pool, back = (getattr(fastpool, f"avg_pool{count}d{suffix}") for suffix in ("", "_backward"))
    equal(pool(ours, *arguments, **override, layout=layout), y.detach(), layout, problem)
    equal(back(dy, ours.shape, *arguments, **override, layout=layout), leaf.grad, layout, problem)


CHECKS = {"max": check_max, "mean": check_mean}


def batch(number: int) -> Iterator[Problem]:
    for op in CHECKS:
        yield from random_problems(op, number, PER_BATCH // 2)


@pytest.fixture(scope="module")
def compiled() -> set[Any]:
    """The kernels that exist once one problem of each kind was run."""
    rng = np.random.default_rng(0)
    for (op, check), dtype in itertools.product(CHECKS.items(), ("f32", "f64")):
        # a gradient of rows compares taps, that of planes is scattered
        for axes in ((2,), (2, 3)):
            shape, one = (2, 3, *(9 for _ in axes)), tuple(1 for _ in axes)
            problem = Problem(op, "fwd", dtype, shape, axes, tuple(4 * k for k in one), one, one, one, one)
            check(problem, "channels_first", rng)
    return set(engine._kernels)


@pytest.mark.parametrize("number", range(BATCHES))
def test_equals_torch(number: int, compiled: set[Any]) -> None:
    rng = np.random.default_rng(number)
    for problem, layout in zip(batch(number), itertools.cycle(["channels_first", "channels_last"]), strict=False):
        CHECKS[problem.op](problem, layout, rng)
    assert set(engine._kernels) == compiled, "kernel size and stride are run-time numbers: nothing to compile"


def test_number_of_different_problems() -> None:
    problems = {str(problem) for number in range(BATCHES) for problem in batch(number)}
    assert len(problems) >= 3000
    assert {len(Problem.parse(text).axes) for text in problems} == {1, 2, 3}
