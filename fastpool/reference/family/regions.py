"""Regions of interest as they are defined: one region, bin and sample after the other.

Arrays are (N, C, H, W), or (N, H, W, C) where ``channel`` is 3. Corners are x1, y1, x2, y2 in elements of the image;
positions are computed in their type.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def values(x: Array, dtype: str) -> Array:
    """Elements in storage form as float32 or float64."""
    if dtype == "bf16":
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x if dtype in ("f32", "f64") else x.astype(np.float32)


def elements(found: Array, dtype: str) -> Array:
    """Values as elements in storage form, rounded to nearest."""
    if dtype == "bf16":
        bits = np.ascontiguousarray(found, np.float32).view(np.uint32)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return np.where(np.isnan(found), 0x7FC0, rounded).astype(np.uint16)
    return found.astype(np.float16) if dtype == "f16" else found


def _first(x: Array, channel: int) -> Array:
    return np.moveaxis(x, channel, 1)


def _nearest(x: float) -> int:
    """The nearest integer, halves away from zero."""
    whole = math.trunc(x)
    return whole + (0 if abs(x - whole) < 0.5 else (1 if x > 0 else -1))


def roi_pool(
    x: Array, corners: Array, images: Array, bins: tuple[int, ...], channel: int = 1, kind: str = "plane"
) -> tuple[Array, Array]:
    """The largest element of each bin, and its index: in the plane, or with ``kind="tensor"`` in x."""
    planes = _first(x, channel)
    _, channels, rows, columns = planes.shape
    flat = _first(np.arange(x.size).reshape(x.shape), channel)
    y = np.zeros((len(corners), channels, *bins), x.dtype)
    indices = np.full(y.shape, -1, np.int64)
    for k, box in enumerate(corners):
        x1, y1, x2, y2 = (_nearest(float(corner)) for corner in box)
        height, width = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i in range(bins[0]):
            for j in range(bins[1]):
                top, bottom = i * height // bins[0] + y1, -(-(i + 1) * height // bins[0]) + y1
                left, right = j * width // bins[1] + x1, -(-(j + 1) * width // bins[1]) + x1
                top, bottom = min(max(top, 0), rows), min(max(bottom, 0), rows)
                left, right = min(max(left, 0), columns), min(max(right, 0), columns)
                for c in range(channels):
                    best = None
                    for row in range(top, bottom):
                        for column in range(left, right):
                            v = planes[images[k], c, row, column]
                            if best is None or v > best or np.isnan(v):
                                best = v
                                place = (images[k], c, row, column)
                                indices[k, c, i, j] = row * columns + column if kind == "plane" else flat[place]
                    if best is not None:
                        y[k, c, i, j] = best
    return np.moveaxis(y, 1, channel), np.moveaxis(indices, 1, channel)


def scattered(
    g: Array,
    indices: Array,
    images: Array,
    shape: tuple[int, ...],
    channel: int = 1,
    kind: str = "plane",
    weights: Array | None = None,
) -> Array:
    """Each gradient added to the element with its index, region after region."""
    dx = np.zeros(shape, g.dtype)
    planes = _first(dx, channel)
    places, g = _first(indices, channel), _first(g, channel)
    shares = g if weights is None else g * _first(weights, channel)
    for k, c, i, j in np.ndindex(g.shape):
        index = places[k, c, i, j]
        if index < 0:
            continue
        if kind == "tensor":
            dx.reshape(-1)[index] += shares[k, c, i, j]
        else:
            planes[(images[k], c, *divmod(index, planes.shape[3]))] += shares[k, c, i, j]
    return dx


def _samples(begin: Any, length: Any, grid: int, o: int, size: int, value: Any) -> list[list[tuple[int, Any]]]:
    """The two elements and their weights of each sample of a bin; none of a sample outside of the image."""
    number = type(begin)
    found: list[list[tuple[int, Any]]] = []
    for i in range(grid):
        position = begin + number(o) * length + (number(i) + number(0.5)) * length / number(grid)
        if position < -1 or position > size:
            found.append([])
            continue
        position = max(position, number(0))
        low = min(int(position), size - 1)
        fraction = value(position - number(low)) if low < size - 1 else value(0)
        found.append([(low, value(1) - fraction), (min(low + 1, size - 1), fraction)])
    return found


def _bins(corners: Array, bins: tuple[int, ...], ratio: int, aligned: bool, size: tuple[int, ...], value: Any) -> Any:
    """For each region the samples of each bin along rows and along columns, and how many it has in all."""
    number = corners.dtype.type
    for box in corners:
        along = []
        count = 1
        for axis in (0, 1):
            begin, end = box[1 - axis], box[3 - axis]
            extent = end - begin if aligned else max(end - begin, number(1))
            length = extent / number(bins[axis])
            grid = ratio or math.ceil(length)
            along.append([_samples(begin, length, grid, o, size[axis], value) for o in range(bins[axis])])
            count *= grid
        yield along, count


def roi_align(
    x: Array,
    corners: Array,
    images: Array,
    bins: tuple[int, ...],
    ratio: int,
    aligned: bool,
    mode: str = "avg",
    channel: int = 1,
) -> tuple[Array, Array, Array]:
    """The result, and for the mode "max" the place and the weight of the largest weighted corner."""
    planes = _first(x, channel)
    value = x.dtype.type
    y = np.zeros((len(corners), planes.shape[1], *bins), x.dtype)
    places, weights = np.full(y.shape, -1, np.int64), np.zeros(y.shape, x.dtype)
    for k, (along, count) in enumerate(_bins(corners, bins, ratio, aligned, planes.shape[2:], value)):
        for i, j in np.ndindex(*bins):
            total = np.zeros(planes.shape[1], np.float64)
            best = np.full(planes.shape[1], -np.inf)
            # none, until there is a sample
            chosen = [(-1, value(0))] * planes.shape[1]
            zero = False
            for rows in along[0][i]:
                for columns in along[1][j]:
                    zero |= not rows or not columns
                    for row, a in rows:
                        for column, b in columns:
                            if a == 0 or b == 0:
                                zero = True
                                continue
                            v = planes[images[k], :, row, column]
                            total += np.float64(a) * np.float64(b) * v
                            for c, term in enumerate(a * (b * v)):
                                if chosen[c][0] < 0 or term > best[c] or np.isnan(term):
                                    best[c], chosen[c] = term, (row * planes.shape[3] + column, a * b)
            if mode == "avg":
                y[k, :, i, j] = total / max(count, 1)
                continue
            for c in range(planes.shape[1]):
                if chosen[c][0] < 0 or (zero and best[c] < 0):
                    continue
                y[k, c, i, j] = best[c]
                places[k, c, i, j], weights[k, c, i, j] = chosen[c]
    return np.moveaxis(y, 1, channel), np.moveaxis(places, 1, channel), np.moveaxis(weights, 1, channel)


def roi_align_gradient(
    g: Array,
    shape: tuple[int, ...],
    corners: Array,
    images: Array,
    ratio: int,
    aligned: bool,
    channel: int = 1,
) -> Array:
    """The gradient of the mean."""
    dx = np.zeros(shape, np.float64)
    planes, g = _first(dx, channel), _first(g, channel)
    bins = g.shape[2:]
    for k, (along, count) in enumerate(_bins(corners, bins, ratio, aligned, planes.shape[2:], g.dtype.type)):
        for i, j in np.ndindex(*bins):
            for rows in along[0][i]:
                for columns in along[1][j]:
                    for row, a in rows:
                        for column, b in columns:
                            share = np.float64(a) * np.float64(b) / max(count, 1)
                            planes[images[k], :, row, column] += share * g[k, :, i, j]
    return dx.astype(g.dtype)
