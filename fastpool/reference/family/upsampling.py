"""Nearest upsampling by its definition, in exact integers."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def upsample(x: Array, y: Array, axes: tuple[int, ...]) -> None:
    """Write to each element of y that of x at floor(i n / m), for the sizes n of x and m of y."""
    for place in np.ndindex(*y.shape):
        source = tuple(i * x.shape[axis] // y.shape[axis] if axis in axes else i for axis, i in enumerate(place))
        y[place] = x[source]


def upsample_backward(g: Array, dx: Array, axes: tuple[int, ...]) -> None:
    """Write to dx the sums of g: along the first spatial axis, then the next, each from its beginning."""
    found = g.astype(np.float32) if g.dtype == np.float16 else g
    for axis in axes:
        m, n = found.shape[axis], dx.shape[axis]
        shape = tuple(n if a == axis else size for a, size in enumerate(found.shape))
        folded = np.zeros(shape, found.dtype)
        to, source = np.moveaxis(folded, axis, 0), np.moveaxis(found, axis, 0)
        for i in range(m):
            to[i * n // m] += source[i]
        found = folded
    dx[...] = found
