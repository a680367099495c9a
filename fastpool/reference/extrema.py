"""Max and min, with the place where they are found."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from fastpool.problem import DTYPES, Problem
from fastpool.reference.exact import Array, missing, rounded_sum
from fastpool.reference.geometry import Taps, to_planes, windows


def forward(problem: Problem, planes: Array) -> tuple[Array, Array]:
    """Values and indices, a row per plane, a column per window; without an index kind, the plane's."""
    shape = len(planes), math.prod(problem.outputs)
    lowest, highest = _range(planes.dtype)
    empty = lowest if problem.op == "max" else highest
    if problem.nan == "ignore" and planes.dtype.kind == "f":
        empty = np.nan
    y = np.full(shape, empty, planes.dtype)
    no_index = problem.tap_limit if problem.indices == "tap" else -1
    indices = np.full(shape, no_index, DTYPES[problem.index_dtype])
    elements = _elements(problem) if problem.indices == "tensor" else indices
    for output, taps in enumerate(windows(problem)):
        winner = winners(problem, planes, taps)
        rows = np.flatnonzero(winner >= 0)
        columns = taps.columns[winner[rows]]
        y[rows, output] = planes[rows, columns]
        if problem.indices == "tap":
            indices[rows, output] = taps.numbers[winner[rows]]
        elif problem.indices == "tensor":
            indices[rows, output] = elements[rows, columns]
        else:
            indices[rows, output] = columns
    return y, indices


def winners(problem: Problem, planes: Array, taps: Taps) -> Array:
    """For each row the winning tap's place in ``taps``, or -1 where the window has no value."""
    values = planes[:, taps.columns]
    count = taps.columns.size
    if count == 0:
        return np.full(len(values), -1)
    nan = missing(problem.dtype, "ignore", values)
    lowest, highest = _range(values.dtype)
    if problem.op == "max":
        best = np.where(nan, np.array(lowest, values.dtype), values).max(axis=1, keepdims=True)
    else:
        best = np.where(nan, np.array(highest, values.dtype), values).min(axis=1, keepdims=True)
    winner: Array = np.argmax(values == best, axis=1)
    if problem.nan == "ignore":
        winner[nan.all(axis=1)] = -1
    else:
        last_nan = count - 1 - np.argmax(nan[:, ::-1], axis=1)
        winner = np.where(nan.any(axis=1), last_nan, winner)
    return winner


def backward(problem: Problem, dy: Array, planes: Array | None, indices: Array | None) -> Array:
    """The gradient of each plane: every window gives its gradient to the element that won it."""
    if indices is not None:
        won = _columns(problem, indices)
    elif planes is not None:
        won = np.full(dy.shape, -1)
        for output, taps in enumerate(windows(problem)):
            winner = winners(problem, planes, taps)
            rows = np.flatnonzero(winner >= 0)
            won[rows, output] = taps.columns[winner[rows]]
    else:
        raise TypeError(f"reference.backward: {problem}: max and min need x or the forward's indices")
    dx = np.zeros((len(dy), problem.plane), dy.dtype)
    for row in range(len(dy)):
        outputs_by_column = defaultdict(list)
        for output, column in enumerate(won[row].tolist()):
            if column >= 0:
                outputs_by_column[column].append(output)
        for column, outputs in outputs_by_column.items():
            dx[row, column] = rounded_sum(problem.dtype, dy[row, outputs])
    return dx


def _range(dtype: np.dtype[np.generic]) -> tuple[float, float]:
    """The smallest and the largest value of the type: what max and min of nothing are."""
    if dtype.kind == "b":
        return False, True
    if dtype.kind in "iu":
        return np.iinfo(dtype).min, np.iinfo(dtype).max  # type: ignore[type-var]
    return -np.inf, np.inf


def _elements(problem: Problem) -> Array:
    """For each plane and column the flat index in the whole array."""
    return to_planes(np.arange(math.prod(problem.shape)).reshape(problem.shape), problem.axes)


def _columns(problem: Problem, indices: Array) -> Array:
    """The columns that indices of any kind stand for; -1 for none."""
    if problem.indices == "plane":
        return indices
    columns = np.full(indices.shape, -1)
    if problem.indices == "tensor":
        found = indices >= 0
        place = np.unravel_index(indices[found], problem.shape)
        sizes = [problem.shape[axis] for axis in problem.axes]
        columns[found] = np.ravel_multi_index([place[axis] for axis in problem.axes], sizes)
        return columns
    for output, taps in enumerate(windows(problem)):
        column_of_tap = dict(zip(taps.numbers.tolist(), taps.columns.tolist(), strict=True))
        columns[:, output] = [column_of_tap.get(tap, -1) for tap in indices[:, output].tolist()]
    return columns
