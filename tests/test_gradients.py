"""Gradients: the transpose of a linear pooling, the element that a maximum took, and finite differences."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from fastpool.problem import Problem
from tests.problems import make
from tests.strategies import LAYOUTS, Array, arrange, pool, pull_back, random_problem, turn, turned

PIECES = 27720
"""Divides by every number of taps up to 12."""

MIN = pytest.param("min", marks=pytest.mark.exhaustive)

LINEAR = [
    ("sum", {}),
    ("mean", {}),
    ("mean", {"include_pad": False}),
    ("mean", {"divisor": -4}),
]


def whole(shape: tuple[int, ...], rng: np.random.Generator, unit: int = 1) -> Array:
    return unit * rng.integers(-9, 10, shape).astype(np.float64)


def lying(array: Array, layout: str, memory: str = "contiguous") -> Array:
    """An array (batch, channel, spatial...) in that layout."""
    return arrange(array.transpose(turn(layout, array.ndim)), memory)


@pytest.mark.parametrize(("op", "options"), LINEAR)
def test_backward_is_the_transpose(op: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(len(op) + len(options))
    for rank, layout, _ in itertools.product((1, 2, 3), LAYOUTS, range(30)):
        forward = random_problem(rng, op, rank, dtype="f64", **options)
        # products of counts of at most 12 taps, so that every quotient is a whole number
        if op == "mean" and forward.taps > 12:
            forward = forward._replace(kernel=tuple(min(k, 2) for k in forward.kernel))
        problem = turned(forward, layout)
        backward = problem._replace(direction="bwd")
        unit = PIECES if op == "mean" else 1
        x = whole(problem.shape, rng, unit)
        dy = whole(problem.out_shape, rng, unit)
        y = pool(problem, x).array
        dx = pull_back(backward, dy).array
        # all whole numbers
        assert np.vdot(dy, y) == np.vdot(dx, x), str(problem)
        assert np.abs(dy).sum() * problem.taps * np.abs(x).max(initial=0) < 2**53


@pytest.mark.parametrize("op", ["max", MIN])
@pytest.mark.parametrize("kind", ["plane", "tensor", "tap"])
def test_index_names_the_element(op: str, kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    for rank, layout, memory in itertools.product((1, 2, 3), LAYOUTS, ("contiguous", "strided", "negative")):
        for _ in range(4):
            problem = turned(random_problem(rng, op, rank, dtype="f32", indices=kind), layout)
            x = rng.normal(size=problem.shape).astype(np.float32)
            x[rng.random(x.shape) < 0.05] = -math.inf
            result = pool(problem, arrange(x, memory), memory)
            y, indices = result.array, result.indices
            assert indices is not None
            none = indices == (problem.tap_limit if kind == "tap" else -1)
            for place in np.argwhere(~none):
                assert x[element(problem, tuple(place), int(indices[tuple(place)]))] == y[tuple(place)]
            assert np.all(y[none] == (-math.inf if op == "max" else math.inf))
            for place in np.argwhere(none):
                assert taps_inside(problem, tuple(place)) == 0


def element(problem: Problem, place: tuple[int, ...], index: int) -> tuple[int, ...]:
    """The element of x that an index of the output at ``place`` names; IndexError if there is none."""
    if problem.indices == "tensor":
        return tuple(map(int, np.unravel_index(index, problem.shape)))
    at = list(map(int, place))
    if problem.indices == "plane":
        sizes = [problem.shape[axis] for axis in problem.axes]
        positions = np.unravel_index(index, sizes)
    else:
        taps = np.unravel_index(index, problem.kernel)
        positions = tuple(
            at[axis] * s - p + j * d
            for axis, s, p, d, j in zip(
                problem.axes, problem.stride, problem.pad_begin, problem.dilation, taps, strict=True
            )
        )
    for axis, position in zip(problem.axes, positions, strict=True):
        if not 0 <= position < problem.shape[axis]:
            raise IndexError(f"{problem}: index {index} of output {place} is outside")
        at[axis] = int(position)
    return tuple(at)


def taps_inside(problem: Problem, place: tuple[int, ...]) -> int:
    counts = [w.taps_inside(int(place[axis])) for axis, w in zip(problem.axes, problem.windows, strict=True)]
    return math.prod(counts)


GEOMETRIES = (
    {"shape": (2, 2, 9), "k": 3, "s": 2, "p": 1},
    {"shape": (2, 2, 11), "k": 4, "s": 3, "p": [(1, 2)], "d": 2, "ceil": True},
    {"shape": (1, 3, 5, 6), "k": (2, 3), "s": (1, 2), "p": [0, 1]},
    {"shape": (2, 1, 6, 5), "k": (3, 2), "s": 1, "p": [(2, 0), 1], "d": (2, 1)},
    {"shape": (1, 2, 4, 3, 4), "k": (2, 3, 2), "s": (2, 1, 1), "p": [0, 1, 0]},
)


def slopes(problem: Problem, x: Array, dy: Array, steps: float) -> Array:
    """The gradient of ``<dy, pool(x)>`` by central differences, one element after the other."""
    found = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * steps
            y = pool(problem, moved).array
            ends.append(np.vdot(dy, np.where(np.isnan(y), 0, y)))
        found[place] = (ends[0] - ends[1]) / (2 * steps)
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", ["max", MIN, "sum", "mean", "mean without NaN"])
def test_piecewise_linear(op: str, layout: str) -> None:
    """Whole numbers and steps that every divisor divides: the differences are exact."""
    rng = np.random.default_rng(len(op))
    skips = op == "mean without NaN"
    for geometry in GEOMETRIES:
        options = dict(geometry)
        shape = options.pop("shape")
        nan = "ignore" if skips else "propagate"
        problem = make(op.split()[0], shape, range(2, len(shape)), dtype="f64", nan=nan, **options)
        problem = turned(problem, layout)
        # all different, so that a step does not change which element is the largest
        x = 8.0 * PIECES * rng.permutation(math.prod(problem.shape)).reshape(problem.shape)
        if skips:
            x[rng.random(x.shape) < 0.3] = np.nan
        dy = whole(problem.out_shape, rng, PIECES)
        backward = problem._replace(direction="bwd")
        reads_x = skips or op in ("max", "min")
        dx = pull_back(backward, dy, x if reads_x else None).array
        np.testing.assert_array_equal(dx, np.where(np.isnan(x), 0, slopes(problem, x, dy, PIECES)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("norm", [1.0, 2.0, 3.0, 1.5, 0.7, 4.25])
def test_lp(norm: float, layout: str) -> None:
    rng = np.random.default_rng(round(8 * norm))
    for geometry in GEOMETRIES:
        options = dict(geometry)
        shape = options.pop("shape")
        problem = turned(make("lp", shape, range(2, len(shape)), dtype="f64", norm=norm, **options), layout)
        # away from 0, where the norm has no slope
        x = rng.uniform(0.5, 2, problem.shape) * rng.choice([-1, 1], problem.shape)
        dy = rng.uniform(-1, 1, problem.out_shape)
        dx = pull_back(problem._replace(direction="bwd"), dy, x).array
        # the error of a central difference falls with the square of the step: cancel its first term
        coarse, fine = slopes(problem, x, dy, 2.0**-9), slopes(problem, x, dy, 2.0**-10)
        estimate = (4 * fine - coarse) / 3
        # what remains is the rounding of y, magnified by one over the step
        rounding = 2.0**10 * 2.0**-52 * np.vdot(np.abs(dy), pool(problem, x).array)
        np.testing.assert_allclose(dx, estimate, rtol=0, atol=rounding)
