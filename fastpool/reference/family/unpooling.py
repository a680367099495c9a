"""Max unpooling by plain loops: where an index points, elements put there, and the gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
EMPTY, WRONG = -1, -2


def positions(
    indices: Array,
    kind: str,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    begin: tuple[int, ...],
) -> Array:
    """The flat position in its plane that each index names: EMPTY for a window of none, WRONG for what is not allowed.

    ``shape`` is that of the unpooled array, of which ``axes`` are spatial.
    """
    sizes = tuple(shape[axis] for axis in axes)
    found = np.full(indices.shape, WRONG, np.int64)
    empty = np.iinfo(indices.dtype).max if kind == "tap" else -1
    limit = {"plane": math.prod(sizes), "tensor": math.prod(shape), "tap": math.prod(kernel)}[kind]
    for place in np.ndindex(*indices.shape):
        index = int(indices[place])
        if index == empty:
            found[place] = EMPTY
            continue
        if not 0 <= index < limit:
            continue
        if kind == "plane":
            found[place] = index
        elif kind == "tensor":
            at = [int(coordinate) for coordinate in np.unravel_index(index, shape)]
            if all(at[axis] == place[axis] for axis in range(len(shape)) if axis not in axes):
                found[place] = int(np.ravel_multi_index([at[axis] for axis in axes], sizes))
        else:
            tap = np.unravel_index(index, kernel)
            at = [place[axis] * s - p + int(j) for axis, s, p, j in zip(axes, stride, begin, tap, strict=True)]
            if all(0 <= a < n for a, n in zip(at, sizes, strict=True)):
                found[place] = int(np.ravel_multi_index(at, sizes))
    return found


def _planes(array: Array, axes: tuple[int, ...]) -> Array:
    """A copy with a row for each plane."""
    last = tuple(range(array.ndim - len(axes), array.ndim))
    moved = np.moveaxis(array, axes, last)
    return moved.reshape(-1, math.prod(moved.shape[array.ndim - len(axes) :])).copy()


def _put(planes: Array, array: Array, axes: tuple[int, ...]) -> None:
    """The reverse: the rows become the planes of an array."""
    last = tuple(range(array.ndim - len(axes), array.ndim))
    moved = np.moveaxis(array, axes, last)
    moved[...] = planes.reshape(moved.shape)


def unpool(x: Array, found: Array, y: Array, axes: tuple[int, ...]) -> None:
    """Write every element of x to its position of y, in row-major order, and zero elsewhere."""
    result = np.zeros_like(_planes(y, axes))
    for plane, (values, places) in enumerate(zip(_planes(x, axes), _planes(found, axes), strict=True)):
        for value, place in zip(values, places, strict=True):
            if place >= 0:
                result[plane, place] = value
    _put(result, y, axes)


def unpool_backward(g: Array, found: Array, dx: Array, axes: tuple[int, ...]) -> None:
    """Write to dx the element of g at each position, to the last one of those with the same position."""
    result = np.zeros_like(_planes(dx, axes))
    for plane, (values, places) in enumerate(zip(_planes(g, axes), _planes(found, axes), strict=True)):
        last = {int(place): number for number, place in enumerate(places) if place >= 0}
        for place, number in last.items():
            result[plane, number] = values[place]
    _put(result, dx, axes)
