"""Boxes of bins in plain NumPy: one box at a time, of one plane at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ranges = Sequence[tuple[Array, Array]]
"""Begins and ends along each spatial axis: arrays of shape (1 or planes, bins)."""


def boxes(ranges: Ranges, plane: int) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """(place in the result, elements of x) of every box of a plane, in row-major order."""
    for place in itertools.product(*(range(begins.shape[1]) for begins, _ in ranges)):
        box = []
        for o, (begins, ends) in zip(place, ranges, strict=True):
            row = 0 if begins.shape[0] == 1 else plane
            box.append(slice(int(begins[row, o]), max(int(begins[row, o]), int(ends[row, o]))))
        yield place, tuple(box)


def mean(x: Array, ranges: Ranges) -> Array:
    """The mean of every box of x (planes, spatial...), in float64; 0 of an empty one."""
    shape = (x.shape[0], *(begins.shape[1] for begins, _ in ranges))
    y = np.zeros(shape)
    for plane in range(x.shape[0]):
        for place, box in boxes(ranges, plane):
            taps = x[plane][box].astype(np.float64)
            y[(plane, *place)] = taps.sum() / taps.size if taps.size else 0.0
    return y


def mean_gradient(dy: Array, shape: tuple[int, ...], ranges: Ranges) -> Array:
    """Its gradient, in float64."""
    dx = np.zeros(shape)
    for plane in range(shape[0]):
        for place, box in boxes(ranges, plane):
            taps = dx[plane][box]
            if taps.size:
                taps += float(dy[(plane, *place)]) / taps.size
    return dx


def largest(x: Array, ranges: Ranges, ignore: bool = False) -> tuple[Array, Array]:
    """The largest of every box and its tap: the first of equal ones, the last of NaN; -1 where there is none.

    ``ignore``: NaN count for nothing.
    """
    shape = (x.shape[0], *(begins.shape[1] for begins, _ in ranges))
    y, chosen = np.zeros(shape, x.dtype), np.full(shape, -1, np.int64)
    exact = x.dtype.kind in "biu"
    for plane in range(x.shape[0]):
        for place, box in boxes(ranges, plane):
            taps = x[plane][box].ravel()
            at = (plane, *place)
            missing = np.zeros(taps.shape, np.bool_) if exact else np.isnan(taps)
            if not taps.size:
                y[at] = (False if x.dtype.kind == "b" else np.iinfo(x.dtype).min) if exact else -np.inf
            elif missing.all() and ignore:
                y[at] = np.nan
            elif missing.any() and not ignore:
                y[at], chosen[at] = np.nan, np.flatnonzero(missing)[-1]
            else:
                present = np.flatnonzero(~missing)
                chosen[at] = present[np.argmax(taps[present])]
                y[at] = taps[chosen[at]]
    return y, chosen


def largest_gradient(dy: Array, chosen: Array, shape: tuple[int, ...], ranges: Ranges) -> Array:
    """The gradient of the largest, from taps, added in row-major order of the boxes; in dy's type."""
    dx = np.zeros(shape, dy.dtype)
    for plane in range(shape[0]):
        for place, box in boxes(ranges, plane):
            tap = int(chosen[(plane, *place)])
            if tap >= 0:
                inside = np.unravel_index(tap, tuple(part.stop - part.start for part in box))
                at = tuple(int(i) + part.start for i, part in zip(inside, box, strict=True))
                np.add.at(dx, (plane, *at), dy[(plane, *place)])
    return dx
