"""Mean and variance, gates, draws and expected values of windows, from lists of taps.

Arrays are in the caller's layout and of plain element types; sums are those of ``math.fsum``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastpool.problem import Problem
from fastpool.reference.exact import Array
from fastpool.reference.geometry import Taps, from_planes, to_planes, windows


def _each(problem: Problem, x: Array, value: Callable[[Array, Taps, int, int], float]) -> Array:
    """``value(taps of x, where they are, plane, window)`` for all windows, in float64."""
    planes = to_planes(x, problem.axes).astype(np.float64)
    found = np.empty((len(planes), math.prod(problem.outputs)))
    for output, taps in enumerate(windows(problem)):
        for row in range(len(planes)):
            found[row, output] = value(planes[row, taps.columns], taps, row, output)
    return from_planes(found, problem.out_shape, problem.axes)


def variance(problem: Problem, x: Array, correction: int) -> Array:
    """The variance of each window: 0 of no tap, NaN of no more than ``correction``."""

    def value(taps: Array, where: Taps, row: int, output: int) -> float:
        if taps.size == 0:
            return 0.0
        if not np.isfinite(taps).all() or taps.size <= correction:
            return math.nan
        mean = math.fsum(taps) / taps.size
        return math.fsum((taps - mean) ** 2) / (taps.size - correction)

    return _each(problem, x, value)


def gate(problem: Problem, x: Array, weights: Array, biases: Array) -> Array:
    """The sigmoid of each window's weighed sum; weights and biases have the axes of x."""
    flat = to_planes(weights, problem.axes).astype(np.float64)
    added = to_planes(biases, problem.axes).astype(np.float64)

    def value(taps: Array, where: Taps, row: int, output: int) -> float:
        argument = math.fsum(flat[row, where.numbers] * taps) + added[row, 0]
        return 1 / (1 + math.exp(-argument)) if argument > -700 else 0.0

    return _each(problem, x, value)


def expected(problem: Problem, x: Array) -> Array:
    """The sum of squares over the sum, of what is above 0."""

    def value(taps: Array, where: Taps, row: int, output: int) -> float:
        kept = np.where(taps < 0, 0, taps)
        total = math.fsum(kept)
        return math.fsum(kept**2) / total if total else 0.0

    return _each(problem, x, value)


def drawn(problem: Problem, x: Array, seed: int) -> Array:
    """The flat index in the plane of the tap that is drawn in each window, -1 for a window of zeros; x is float64.

    Running sums are those of float64, from the first tap, as drawing needs one order.
    """
    count = math.prod(problem.outputs)

    def value(taps: Array, where: Taps, row: int, output: int) -> float:
        kept = np.where(taps < 0, 0, taps)
        sums = np.cumsum(kept)
        if taps.size == 0 or sums[-1] == 0:
            return -1
        passed = np.flatnonzero(sums > uniform(row * count + output, seed) * sums[-1])
        return float(where.columns[passed[0] if passed.size else np.flatnonzero(kept)[-1]])

    return _each(problem, x, value).astype(np.int64)


def uniform(number: int, seed: int) -> float:
    """A number from 0 to below 1: 53 bits of the words that Philox4x32-10 makes of a number, by a key."""
    first, second, _, _ = philox((number % 2**32, number >> 32, 0, 0), (seed % 2**32, seed >> 32))
    return ((first // 32) * 2**26 + second // 64) / 2**53


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Ten rounds of Philox4x32, as its authors define them."""
    words, (left, right) = counter, key
    for _ in range(10):
        first, second = 0xD2511F53 * words[0], 0xCD9E8D57 * words[2]
        words = (
            second // 2**32 ^ words[1] ^ left,
            second % 2**32,
            first // 2**32 ^ words[3] ^ right,
            first % 2**32,
        )
        left, right = (left + 0x9E3779B9) % 2**32, (right + 0xBB67AE85) % 2**32
    return words
