"""Sum and mean."""

from __future__ import annotations

import math

import numpy as np

from fastpool.problem import Problem
from fastpool.reference.exact import Array, divided_sum, is_exact, missing, rounded_sum, working_dtype
from fastpool.reference.geometry import Taps, holders, windows


def forward(problem: Problem, planes: Array) -> Array:
    """Sums or means, a row per plane, a column per window."""
    y = np.empty((len(planes), math.prod(problem.outputs)), working_dtype(problem.out_dtype))
    absent = missing(problem.dtype, problem.nan, planes)
    empty: complex = 0
    if problem.nan == "ignore" and y.dtype.kind in "fc":
        empty = complex(np.nan, np.nan) if y.dtype.kind == "c" else np.nan
    for output, taps in enumerate(windows(problem)):
        divisors = _divisors(problem, taps, absent)
        for row in range(len(planes)):
            columns = taps.columns[~absent[row, taps.columns]]
            if columns.size == 0:
                y[row, output] = empty
            else:
                y[row, output] = divided_sum(problem.out_dtype, planes[row, columns], int(divisors[row]))
    return y


def backward(problem: Problem, dy: Array, planes: Array | None) -> Array:
    """The gradient of each plane: every element gets ``dy / divisor`` from each window that holds it."""
    dx = np.zeros((len(dy), problem.plane), working_dtype(problem.dtype))
    absent = np.zeros(dx.shape, np.bool_)
    if problem.nan == "ignore" and not is_exact(problem.dtype):
        if planes is None:
            raise TypeError(f'reference.backward: {problem}: nan="ignore" needs x, which says what is NaN')
        absent = missing(problem.dtype, problem.nan, planes)
    divisors = np.empty(dy.shape, np.int64)
    for output, taps in enumerate(windows(problem)):
        divisors[:, output] = _divisors(problem, taps, absent)
    for column, outputs in enumerate(holders(problem)):
        for row in np.flatnonzero(~absent[:, column]):
            dx[row, column] = rounded_sum(problem.dtype, dy[row, outputs], divisors[row, outputs])
    return dx


def _divisors(problem: Problem, taps: Taps, absent: Array) -> Array:
    """For each row what the window's sum is divided by."""
    if problem.op == "sum":
        return np.ones(len(absent), np.int64)
    if problem.divisor:
        return np.full(len(absent), problem.divisor)
    counted: Array = taps.counted - absent[:, taps.columns].sum(axis=1)
    return counted
