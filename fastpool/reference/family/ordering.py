"""Order statistics and majorities of windows, one window at a time.

A window is the sorted list of its taps on the input. The value of a fractional rank lies between two of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from fastpool.window import Window

Array = np.ndarray[Any, np.dtype[Any]]
Ranks = Callable[[int], tuple[int, int, float]]


def windows(x: Array, y: Array, axes: Sequence[int], along: Sequence[Window]) -> Iterator[tuple[Array, Array]]:
    """For each window the taps on the input, (tap, other axes) in row-major order, and where its results go."""
    planes, results = np.moveaxis(x, axes, range(len(axes))), np.moveaxis(y, axes, range(len(axes)))
    for place in itertools.product(*(range(window.output) for window in along)):
        positions = []
        for o, window in zip(place, along, strict=True):
            spots = [window.origin(o) + j * window.dilation for j in range(window.kernel)]
            positions.append([spot for spot in spots if 0 <= spot < window.size])
        taps = [planes[spot] for spot in itertools.product(*positions)]
        found = np.stack(taps) if taps else np.empty((0, *planes.shape[len(axes) :]), x.dtype)
        yield found, results[place]


def forward(
    x: Array,
    y: Array,
    axes: Sequence[int],
    along: Sequence[Window],
    ranks: Ranks,
    mean: bool,
    skip: bool,
) -> None:
    """Writes the value of ``ranks(number of taps)`` of every window: two ranks, and the weight of the upper one."""
    for taps, result in windows(x, y, axes, along):
        for other in np.ndindex(result.shape):
            result[other] = _value(taps[(slice(None), *other)], ranks, mean, skip)


def _value(taps: Array, ranks: Ranks, mean: bool, skip: bool) -> Any:
    floating = taps.dtype.kind == "f"
    if floating:
        wrong = np.isnan(taps)
        if wrong.any() and not skip:
            return taps.dtype.type(np.nan)
        taps = taps[~wrong]
    if taps.size == 0:
        return taps.dtype.type(np.nan if floating else 0)
    low, high, weight = ranks(taps.size)
    ordered = np.sort(taps)
    a, b = ordered[low], ordered[high]
    if weight == 0 or a == b:
        return a + a.dtype.type(0)
    if not floating:
        # truncated toward zero
        span = int(b) - int(a)
        return int(int(a) + (Fraction(span, 2) if weight == 0.5 else Fraction(float(span) * weight)))
    if taps.dtype == np.float16:
        a, b = np.float32(a), np.float32(b)
    kind = a.dtype.type
    with np.errstate(all="ignore"):
        if mean:
            return (a + b) / kind(2)
        d, t = b - a, kind(weight)
        return a + d * t if t < 0.5 else b - d * (kind(1) - t)


def majority(x: Array, y: Array, axes: Sequence[int], along: Sequence[Window], first: bool) -> None:
    """Writes the most frequent label of every window; of equally frequent ones the smallest, or the first tap's."""
    for taps, result in windows(x, y, axes, along):
        for other in np.ndindex(result.shape):
            labels = taps[(slice(None), *other)].tolist()
            counted = {label: labels.count(label) for label in labels}
            most = max(counted.values(), default=0)
            best = [label for label in counted if counted[label] == most]
            result[other] = 0 if not best else best[0] if first else min(best)
