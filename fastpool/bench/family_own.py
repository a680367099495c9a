"""Reductions of one's own beside the built-in ones with the same definition, on the stem of ResNet and others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import fastpool
from fastpool.bench import data, errors
from fastpool.bench.data import Prepared
from fastpool.bench.family import BUILT_IN, Case, Results
from fastpool.problem import Problem

LAYERS = {
    "": "max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1",
    ", last": "max2d_fwd_f32_last_mb8ic64_ih112oh56kh3sh2ph1",
    ", 2x2": "max2d_fwd_f32_first_mb8ic64_ih112oh56kh2sh2",
    ", 7x7": "max2d_fwd_f32_first_mb8ic64_ih56oh56kh7sh1ph3",
}


def _defined() -> dict[str, tuple[str, Any]]:
    """The built-in operation, and a user's definition of it, by its name."""

    @fastpool.reduction
    class Largest:
        identity = -math.inf
        state = "same"
        repeatable = True

        def combine(a: Any, b: Any) -> Any:  # noqa: N805
            return a if (a > b) | (a != a) else b

    @fastpool.reduction
    class Mean:
        identity = 0.0
        state = "wide"

        def combine(a: Any, b: Any) -> Any:  # noqa: N805
            return a + b

        def lower(s: Any, count: Any) -> Any:  # noqa: N805
            return s / count if count != 0 else s

    @fastpool.reduction
    class Euclidean:
        identity = 0.0

        def lift(x: Any) -> Any:  # noqa: N805
            return x * x

        def combine(a: Any, b: Any) -> Any:  # noqa: N805
            return a + b

        def lower(s: Any) -> Any:  # noqa: N805
            return math.sqrt(s)

    return {"maximum": ("max", Largest), "mean": ("mean", Mean), "norm": ("lp", Euclidean)}


def _case(name: str, layer: str) -> Case:
    problem = Problem.parse(layer)
    word, _ = _defined()[name]
    options = {**data.arguments(problem), "op": word}
    x = data.inputs(problem).x
    written: Any = fastpool.pool(x, **options)

    def prepared(op: Any) -> Prepared:
        # both write the same memory; each has another result to be looked at
        y: Any = fastpool.pool(x, **{**options, "op": op})
        return Prepared(lambda: fastpool.pool(x, **{**options, "op": op}, out=written), (y,))

    def error(results: Results) -> float:
        # sums of both signs may cancel: their errors are in units of the same pooling of magnitudes
        wide: Any = x.astype(np.float64)
        expected, large = (fastpool.pool(values, **options) for values in (wide, np.abs(wide)))
        return float(np.max(np.abs(results[0] - expected) / np.spacing(np.abs(large).astype(np.float32))))

    makers: dict[str, Callable[[], Prepared]] = {
        "fastpool": lambda: prepared(_defined()[name][1]),
        f"fastpool {BUILT_IN}": lambda: prepared(word),
    }
    return Case(data.moved(problem), makers, error, errors.allowed(problem._replace(op=word)))


CASES = {
    f"own {name}{layer}": (lambda name=name, text=text: _case(name, text))
    for name in ("maximum", "mean", "norm")
    for layer, text in LAYERS.items()
}
