"""Random windows for statistics, the statistics with their options, and what the oracle says of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import fastpool
from fastpool.problem import Problem
from fastpool.reference.family import statistics as oracle


class Case(NamedTuple):
    """A statistic: word of its functions, options, and the oracle's name and parameters for it."""

    word: str
    options: dict[str, Any]
    name: str
    parameters: tuple[float, float] = (0.0, 0.0)
    positive: bool = False

    @property
    def id(self) -> str:
        return "-".join([self.word, *map(str, self.options.values())])


CASES = (
    Case("logsumexp", {}, "logsumexp", (1.0, 1.0)),
    Case("logsumexp", {"sharpness": -2.5, "mean": False}, "logsumexp", (-2.5, 0.0)),
    Case("soft", {}, "soft"),
    Case("entropy", {}, "entropy"),
    Case("entropy", {"form": "normalized"}, "shares", (0.0, 0.0), True),
    Case("prod", {}, "product"),
    Case("var", {}, "variance"),
    Case("var", {"ddof": 1}, "variance", (1.0, 0.0)),
    Case("std", {"ddof": 1}, "variance", (1.0, 1.0)),
    Case("gem", {}, "power", (3.0, 1e-6), True),
    Case("gem", {"p": -1.3, "eps": 1e-3}, "power", (-1.3, 1e-3), True),
    Case("gamma", {}, "gamma", (1e-6, 0.0), True),
    Case("gamma", {"statistic": "k"}, "gamma", (1e-6, 1.0), True),
    Case("weibull", {"shape": 0.7}, "power", (0.7, 1e-6), True),
    Case("weibull", {"statistic": "shape"}, "weibull", (1e-6, 0.0), True),
)
COUNTING = (Case("any", {}, "any"), Case("all", {}, "all"), Case("count", {}, "count"))
COMPILED = ("logsumexp", "soft", "power", "variance", "product", "entropy")
"""Oracle's names of those that are in the C library for float32."""


class Windows(NamedTuple):
    """x with axes (N, C, spatial...) and the arguments of its windows."""

    x: np.ndarray
    arguments: tuple[Any, ...]
    spatial: int

    def call(self, case: Case, direction: str = "") -> Any:
        return getattr(fastpool, f"{case.word}_pool{self.spatial}d{direction}")

    def problem(self, nan: str = "propagate") -> Problem:
        kernel, stride, padding, dilation, ceil = self.arguments
        axes = tuple(range(2, 2 + self.spatial))
        fields: dict[str, Any] = {"op": "sum", "direction": "fwd", "dtype": "f64", "shape": self.x.shape, "axes": axes}
        fields |= {"kernel": kernel, "stride": stride, "dilation": dilation, "ceil": ceil, "nan": nan}
        fields |= {"pad_begin": padding, "pad_end": padding, "indices": "", "include_pad": True, "divisor": 0}
        return Problem(**fields, norm=2.0)


def windows(rng: np.random.Generator, dtype: Any, positive: bool = False, largest: int = 24) -> Windows:
    """Windows of any kind that fit: few taps and many, gaps, padding, one and many outputs."""
    while True:
        spatial = int(rng.integers(1, 4))
        most = (0, largest * 8, largest, largest // 3)[spatial]
        sizes = tuple(int(n) for n in rng.integers(1, most + 1, spatial))
        kernel = tuple(int(rng.integers(1, n + 2)) if rng.random() < 0.5 else min(3, n) for n in sizes)
        stride = tuple(int(n) for n in rng.integers(1, 5, spatial))
        dilation = tuple(int(n) for n in rng.choice([1, 1, 2], spatial))
        padding = tuple(int(rng.integers(0, 1 + k * d // 2)) for k, d in zip(kernel, dilation, strict=True))
        shape = (int(rng.integers(1, 3)), int(rng.choice([1, 3, 17])), *sizes)
        x = rng.standard_normal(shape) * 2
        x = np.abs(x) + 0.05 if positive else x
        made = Windows(x.astype(dtype), (kernel, stride, padding, dilation, bool(rng.integers(2))), spatial)
        if all(window.output > 0 for window in made.problem().windows):
            return made


def answer(case: Case, given: Windows, nan: str = "propagate") -> np.ndarray:
    return oracle.pooled(case.name, given.x, given.problem(nan), case.parameters)


def assert_near(found: np.ndarray, expected: np.ndarray, digits: float, scale: float = 1.0) -> None:
    """Equal up to so many units relative to the expected, or to ``scale`` where that is less; the same NaN."""
    wide = np.promote_types(found.dtype, np.float32)
    with np.errstate(over="ignore"):
        expected = np.asarray(expected).astype(found.dtype).astype(wide)
    np.testing.assert_allclose(found.astype(wide), expected, rtol=digits, atol=digits * scale, equal_nan=True)
