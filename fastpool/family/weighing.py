"""What LDW pooling makes of its bands: energies, weights of their softmax, sums; by NumPy, element by element.

Numbers of planes stand in row-major order of the other axes, in memory of their own: the bits are the same however the
arrays lie.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastpool.family import filtering
from fastpool.family.filtering import Filter
from fastpool.family.transforming import halved
from fastpool.functional.general import pool
from fastpool.memory import Array, empty_in_order, memory_order
from fastpool.problem import Ints

BANDS = 4


class Given(NamedTuple):
    """What came in, checked."""

    x: Array
    dtype: str
    axes: Ints
    low: Array
    weight: Array
    bias: Array
    filters: tuple[Filter, ...]


class Parts(NamedTuple):
    """The bands of x, on a first axis; of each plane, in row-major order, their energies and weights."""

    bands: Array
    energies: Array
    weights: Array


def total(x: Array, axes: Ints) -> Array:
    """Sums over two axes, the others in row-major order."""
    size = tuple(x.shape[axis] for axis in axes)
    found: Array = np.ascontiguousarray(pool(x, size, "sum", axes=axes)) if x.size else np.zeros(0, x.dtype)
    return found.reshape(-1)


def spread(weights: Array, shape: Ints, axes: Ints) -> Array:
    """A number for each plane, beside every element of it."""
    return weights.reshape([1 if axis in axes else size for axis, size in enumerate(shape)])


@np.errstate(all="ignore")
def parts_of(given: Given) -> Parts:
    """The bands, and the weights that their energies give them."""
    shape = halved(given.x.shape, given.axes)
    order = memory_order(given.x)
    ahead = (0, *[axis + 1 for axis in order]) if order else ()
    bands = empty_in_order((BANDS, *shape), given.dtype, ahead)
    filtering.apply(given.x, bands, given.axes, given.filters, given.dtype)
    squares = np.empty_like(bands[0])
    energies = np.stack([total(np.multiply(band, band, out=squares), given.axes) for band in bands])
    scores = np.empty_like(energies)
    for band in range(BANDS):
        scores[band] = given.bias[band]
        for other in range(BANDS):
            scores[band] += given.weight[band, other] * energies[other]
    scores = np.exp(scores - scores.max(0))
    weights = scores / (((scores[0] + scores[1]) + scores[2]) + scores[3])
    canonical(weights)
    return Parts(bands, energies, weights)


def canonical(x: Array) -> None:
    """Every NaN becomes the one canonical NaN."""
    np.copyto(x, np.nan, where=np.isnan(x))


@np.errstate(all="ignore")
def combine(parts: Parts, y: Array, shape: Ints, axes: Ints, mode: str) -> None:
    """Write the weighed bands, or their sum."""
    product = np.empty_like(parts.bands[0])
    for band in range(BANDS):
        factor = spread(parts.weights[band], shape, axes)
        if mode == "concat":
            np.multiply(parts.bands[band], factor, out=y[band])
        elif band == 0:
            np.multiply(parts.bands[band], factor, out=y)
        else:
            y += np.multiply(parts.bands[band], factor, out=product)
