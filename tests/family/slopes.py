"""Central differences of any function, all of them by one call: the copies with one element moved lie side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

PROBLEMS = 100
"""Random problems of each function."""

STEP = 6e-6
"""The cube root of the rounding of float64: beyond it the third derivative counts, below it the rounding."""


class Slope(NamedTuple):
    """A function of one array, and its gradient.

    ``name`` is that of the public function. ``pool`` takes copies of x along a new first axis and returns an array, or
    several, with them along the first axis. ``back`` takes gradients of what ``pool`` returns, and one copy, and
    returns the gradient, or a tuple that begins with it.
    """

    name: str
    pool: Callable[[np.ndarray], Any]
    back: Callable[[Any, np.ndarray], Any]
    x: np.ndarray


def each(pool: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """A function of copies that are given to ``pool`` one after the other."""
    return lambda copies: np.stack([pool(x) for x in copies])


def parts_of(y: Any) -> tuple[np.ndarray, ...]:
    return y if isinstance(y, tuple) else (y,)


def differences(slope: Slope, dys: tuple[np.ndarray, ...]) -> np.ndarray:
    """The gradient of the sum of dy * y, by central differences."""
    x = slope.x
    steps = STEP * np.maximum(1, np.abs(x.ravel()))
    moved = np.tile(x.ravel(), (2, x.size, 1))
    each_one = np.arange(x.size)
    for sign, copies in zip((1, -1), moved, strict=True):
        copies[each_one, each_one] += sign * steps
    parts = parts_of(slope.pool(moved.reshape(-1, *x.shape)))
    found = np.zeros(x.size)
    for y, dy in zip(parts, dys, strict=True):
        up, down = y.reshape(2, x.size, -1)
        # windows without taps are NaN or infinite, whatever x is, and have no slope
        same = (up == down) | (np.isnan(up) & np.isnan(down))
        found += np.where(same, 0, np.subtract(up, down, where=~same, out=np.zeros_like(up))) @ dy.ravel()
    # what was added is not quite the step
    return (found / (moved[0] - moved[1])[each_one, each_one]).reshape(x.shape)


def holds(slope: Slope, rng: np.random.Generator) -> bool:
    """Assert that the gradient is that of differences; False where these are rounding, which says little."""
    y = slope.pool(slope.x[None])
    parts = parts_of(y)
    dys = tuple(rng.standard_normal(part.shape) for part in parts)
    found = parts_of(slope.back(dys if isinstance(y, tuple) else dys[0], slope.x[None]))[0].reshape(slope.x.shape)
    expected = differences(slope, dys)
    # each y is rounded, those of sums of taps a few times
    sums = sum(float(np.abs(dy * part)[np.isfinite(part)].sum()) for dy, part in zip(dys, parts, strict=True))
    rounding = 4 * np.finfo(float).eps * sums / STEP
    largest, error = (np.abs(array).max(initial=0) for array in (expected, found - expected))
    assert error <= max(1e-6 * largest, rounding), (slope.x.shape, error / largest, rounding / largest)
    return bool(rounding < 1e-6 * largest)


def hold(make: Callable[[np.random.Generator], Slope], problems: int = PROBLEMS) -> None:
    """Hold the gradients of so many random problems, not counting those without a slope."""
    rng = np.random.default_rng(27)
    held = drawn = 0
    while held < problems:
        held += holds(make(rng), rng)
        drawn += 1
        assert drawn < 4 * problems, "most problems say nothing"


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Elements of both signs, further apart than two steps and none near 0, so that neither signs nor orders change."""
    many = math.prod(shape)
    return (rng.permutation(many).reshape(shape) - many // 2 + 0.5) / 7


def sizes(rng: np.random.Generator, low: int, high: int, count: int) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(low, high, count))
