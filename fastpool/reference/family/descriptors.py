"""Descriptors: nearest centres, residuals summed by centre, normalised, point by point in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def decode(dtype: str, stored: Array) -> Array:
    """From elements in storage form to float32 or float64. Exact."""
    if dtype == "bf16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored if dtype == "f64" else stored.astype(np.float32)


def encode(dtype: str, values: Array) -> Array:
    """From float32 or float64 to elements in storage form, to nearest, ties to even; NaN becomes the canonical one."""
    values = np.where(np.isnan(values), np.asarray(np.nan, values.dtype), values)
    if dtype == "bf16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        near = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return np.where(np.isnan(values), 0x7FC0, near).astype(np.uint16)
    with np.errstate(over="ignore"):
        return values.astype({"f16": np.float16, "f32": np.float32, "f64": np.float64}[dtype])


def nearest(points: Array, centers: Array) -> Array:
    """The first of the centres that are nearest to each point, by the sum of squares in float64."""
    found = np.zeros(len(points), np.int64)
    for i, x in enumerate(points.astype(np.float64)):
        least = math.inf
        for k, center in enumerate(centers.astype(np.float64)):
            total = 0.0
            for difference in (x - center).tolist():
                total += difference * difference
            if total < least:
                found[i], least = k, total
    return found


def sums(rows: Array, centers: Array, labels: Array) -> Array:
    """Residuals summed by centre, points in order, in the rows' own type."""
    found = np.zeros((len(rows), len(centers), rows.shape[2]), rows.dtype)
    for image, numbers, total in zip(rows, labels, found, strict=True):
        for x, k in zip(image, numbers, strict=True):
            if k >= 0:
                total[k] += x - centers[k]
    return found


def one_hot(labels: Array, count: int) -> Array:
    """Labels as weights."""
    found: Array = (labels[..., None] == np.arange(count)).astype(np.float64)
    return found


def softmax(rows: Array, weight: Array, bias: Array) -> Array:
    """NetVLAD's weights of the points of (images, points, channels)."""
    found = np.empty((*rows.shape[:2], len(weight)))
    for n in range(rows.shape[0]):
        for p in range(rows.shape[1]):
            score = np.array([math.fsum(w * rows[n, p]) + b for w, b in zip(weight, bias, strict=True)])
            power = np.exp(score - score.max())
            found[n, p] = power / math.fsum(power)
    return found


def vlad(rows: Array, centers: Array, weights: Array, steps: tuple[str, ...]) -> Array:
    """The descriptors of (images, points, channels): images x (centres * channels)."""
    found = np.zeros((len(rows), *centers.shape))
    for n, k, c in np.ndindex(found.shape):
        found[n, k, c] = math.fsum(weights[n, :, k] * (rows[n, :, c] - centers[k, c]))
    for v in found:
        if "sqrt" in steps:
            v[...] = np.sign(v) * np.sqrt(np.abs(v))
        if "intra" in steps:
            for part in v:
                _to_unit(part)
        if "l2" in steps:
            _to_unit(v)
    return found.reshape(len(rows), -1)


def _to_unit(v: Array) -> None:
    length = math.sqrt(math.fsum((v * v).ravel()))
    if length > 0:
        v /= length
