"""Where the taps are: arrays as matrices of planes, windows as lists of columns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastpool.problem import Ints, Problem
from fastpool.reference.exact import Array


@dataclass(frozen=True)
class Taps:
    """The taps of one window that lie on the input, in tap order.

    Attributes
    ----------
    columns : ndarray of int64
        Where each tap stands in the plane.
    numbers : ndarray of int64
        Each tap's position inside the window, taps on padding included.
    counted : int
        Taps that the divisor of a mean counts.
    """

    columns: Array
    numbers: Array
    counted: int


def to_planes(array: Array, axes: Ints) -> Array:
    """The array as a matrix: rows run over the other axes, columns over ``axes``, in the order given."""
    columns = math.prod(array.shape[axis] for axis in axes)
    rows = math.prod(size for axis, size in enumerate(array.shape) if axis not in axes)
    return np.moveaxis(array, axes, range(-len(axes), 0)).reshape(rows, columns)


def from_planes(planes: Array, shape: Ints, axes: Ints) -> Array:
    """The array of the given shape, in C order, that ``to_planes`` turns into ``planes``."""
    others = [size for axis, size in enumerate(shape) if axis not in axes]
    turned = planes.reshape(*others, *(shape[axis] for axis in axes))
    return np.ascontiguousarray(np.moveaxis(turned, range(-len(axes), 0), axes))


def windows(problem: Problem) -> Iterator[Taps]:
    """The windows of a plane, in the order of the columns of y."""
    for place in itertools.product(*map(range, problem.outputs)):
        columns = np.zeros(1, np.int64)
        numbers = np.zeros(1, np.int64)
        counted = 1
        for output, window in zip(place, problem.windows, strict=True):
            tap = np.arange(window.kernel)
            position = window.origin(output) + tap * window.dilation
            inside = (position >= 0) & (position < window.size)
            columns = np.add.outer(columns * window.size, position[inside]).ravel()
            numbers = np.add.outer(numbers * window.kernel, tap[inside]).ravel()
            counted *= window.taps_counted(output, problem.include_pad)
        yield Taps(columns, numbers, counted)


def holders(problem: Problem) -> list[list[int]]:
    """For each column of x the windows that hold it, in row-major order."""
    held: list[list[int]] = [[] for _ in range(problem.plane)]
    for output, taps in enumerate(windows(problem)):
        for column in taps.columns.tolist():
            held[column].append(output)
    return held
