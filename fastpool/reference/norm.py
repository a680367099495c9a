"""Lp: ``(sum of |x|**p) ** (1/p)``, computed in longdouble and rounded once."""

from __future__ import annotations

import math

import numpy as np

from fastpool.problem import Problem
from fastpool.reference.exact import (
    Array,
    missing,
    round_longdouble,
    rounded_sum,
    to_longdouble,
    working_dtype,
)
from fastpool.reference.geometry import holders, windows


def forward(problem: Problem, planes: Array) -> Array:
    """Norms, a row per plane, a column per window."""
    return round_longdouble(problem.dtype, _norms(problem, planes))


def backward(problem: Problem, dy: Array, planes: Array | None) -> Array:
    """The gradient of a plane: ``sgn(x) * |x|**(p-1)`` times the sum over x's windows of ``dy * y**(1-p)``.

    The power is taken of ``|x| / y``, because ``|x|**(p-1)`` and ``y**(1-p)`` may overflow on their own.
    An element of 0 gets nothing, so a window whose norm is 0 passes nothing.
    """
    if planes is None:
        raise TypeError(f"reference.backward: {problem}: the gradient of Lp needs x")
    y = _norms(problem, planes)
    x = to_longdouble(planes)
    gradient = to_longdouble(dy)
    power = np.longdouble(problem.norm) - 1
    absent = missing(problem.dtype, problem.nan, planes)
    dx = np.zeros(planes.shape, working_dtype(problem.dtype))
    for column, outputs in enumerate(holders(problem)):
        for row in np.flatnonzero(~absent[:, column] & (x[:, column] != 0)):
            norms = y[row, outputs]
            with np.errstate(all="ignore"):
                slopes = np.sign(x[row, column]) * (abs(x[row, column]) / norms) ** power
                terms = gradient[row, outputs] * slopes
            dx[row, column] = rounded_sum(problem.dtype, terms)
    return dx


def _norms(problem: Problem, planes: Array) -> Array:
    """Norms in longdouble. Values are divided by about the largest first, so that no power overflows."""
    norms = np.empty((len(planes), math.prod(problem.outputs)), np.longdouble)
    power = np.longdouble(problem.norm)
    absent = missing(problem.dtype, problem.nan, planes)
    sizes = np.where(absent, 0, np.abs(to_longdouble(planes)))
    for output, taps in enumerate(windows(problem)):
        size = sizes[:, taps.columns]
        largest = size.max(axis=1, initial=0)
        largest = np.where((largest > 0) & np.isfinite(largest), largest, 1)
        # a power of two divides exactly; with large exponents only 1 has a power that neither overflows nor vanishes
        scale = np.ldexp(np.longdouble(1), np.frexp(largest)[1]) if problem.norm in (1.0, 2.0) else largest
        with np.errstate(all="ignore"):
            total = ((size / scale[:, None]) ** power).sum(axis=1)
            norms[:, output] = scale * _root(problem, total)
        if problem.nan == "ignore":
            norms[absent[:, taps.columns].all(axis=1), output] = np.nan
    return norms


def _root(problem: Problem, total: Array) -> Array:
    """The root of sums of powers; a square root of what float64 holds is rounded to float64 at once, not twice."""
    if problem.norm != 2.0:
        return np.asarray(total ** (1 / np.longdouble(problem.norm)))
    root = np.sqrt(total)
    if problem.dtype == "f64" and problem.direction == "fwd":
        double = total.astype(np.float64)
        root = np.where(double == total, np.sqrt(double), root)
    return np.asarray(root)
