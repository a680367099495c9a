"""Random windows, and each window's taps as a list, for tests against functions of one list."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """Arguments of a window, one entry for each spatial axis, and the sizes of the input."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    ceil: bool

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.kernel, self.stride, self.padding, self.dilation, self.ceil

    @property
    def outputs(self) -> tuple[int, ...]:
        found = []
        for n, k, s, (a, b), d in zip(*self[:5], strict=True):
            room = n + a + b - d * (k - 1) - 1
            count = room // s + 1 if room >= 0 else 0
            if self.ceil and count and room % s and count * s < n + a:
                count += 1
            found.append(count)
        return tuple(found)


def random_case(rng: np.random.Generator, spatial: int, most: int = 9) -> Case:
    while True:
        sizes = tuple(int(n) for n in rng.integers(1, most, spatial))
        kernel, stride, dilation = (
            tuple(int(n) for n in rng.integers(1, high, spatial)) for high in (4 if spatial > 1 else 6, 4, 3)
        )
        padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (spatial, 2)))
        case = Case(sizes, kernel, stride, padding, dilation, bool(rng.integers(2)))
        if min(case.outputs) > 0:
            return case


def pooled(x: np.ndarray, case: Case, of: Callable[[np.ndarray], Any]) -> np.ndarray:
    """``of(taps)`` of every window of an array (N, C, spatial...), taps on the input in row-major order."""
    y = np.empty((*x.shape[:2], *case.outputs), x.dtype)
    for place in itertools.product(*map(range, case.outputs)):
        spots = [
            [i for j in range(k) if 0 <= (i := o * s - a + j * d) < n]
            for o, n, k, s, (a, _), d in zip(place, *case[:5], strict=True)
        ]
        taps = x[(slice(None), slice(None), *np.ix_(*spots))].reshape(*x.shape[:2], -1)
        for n, c in itertools.product(*map(range, x.shape[:2])):
            y[(n, c, *place)] = of(taps[n, c])
    return y
