"""Gradients against central differences, a hundred random problems for each operation that is not linear.

Linear operations are held against their adjoints; statistics, LeNet's sub-sampling and the learnable wavelets against
differences in their own tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastpool
from tests.family import region_cases, same, window_problems

PROBLEMS = 100


class Slope(NamedTuple):
    """A problem: its forward, as one array; its gradient; where both are taken."""

    forward: Callable[[np.ndarray], np.ndarray]
    backward: Callable[[np.ndarray, np.ndarray], np.ndarray]
    x: np.ndarray


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Elements further apart than the step of a difference, so that the largest stays the largest."""
    return rng.permutation(math.prod(shape)).reshape(shape) / 7


def functions(name: str) -> tuple[Any, Any]:
    return getattr(fastpool, name), getattr(fastpool, f"{name}_backward")


def joined(parts: Any) -> np.ndarray:
    """Several results as one array."""
    return np.concatenate([part.ravel() for part in parts])


def apart(g: np.ndarray, parts: Any) -> tuple[np.ndarray, ...]:
    """The gradients of several results, from one array."""
    ends = np.cumsum([part.size for part in parts])[:-1]
    return tuple(piece.reshape(part.shape) for piece, part in zip(np.split(g, ends), parts, strict=True))


def several(call: Callable[..., Any], back: Callable[..., Any], x: np.ndarray) -> Slope:
    return Slope(lambda x: joined(call(x)), lambda g, x: back(apart(g, call(x)), x), x)


def of_windows(name: str, options: dict[str, Any], many: bool = False) -> Callable[[np.random.Generator], Slope]:
    """Problems of an operation over windows, in one to three dimensions."""

    def make(rng: np.random.Generator) -> Slope:
        spatial = int(rng.integers(1, 4))
        pool, back = functions(f"{name}_pool{spatial}d")
        shape, given = window_problems.arguments(rng, spatial, 6 if spatial < 3 else 4)
        x, given = distinct(rng, shape), {**given, **options}
        if many:
            return several(lambda x: pool(x, **given), lambda g, x: back(g, x, **given), x)

        def backward(g: np.ndarray, x: np.ndarray) -> np.ndarray:
            found = back(g, x, **given)
            return found[0] if isinstance(found, tuple) else found

        # windows without taps have no gradient
        return Slope(lambda x: np.nan_to_num(pool(x, **given), neginf=0), backward, x)

    return make


def of_planes(name: str) -> Callable[[np.random.Generator], Slope]:
    pool, back = functions(name)

    def make(rng: np.random.Generator) -> Slope:
        shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(3, 6)))
        return several(pool, back, distinct(rng, shape))

    return make


def of_gates(rng: np.random.Generator) -> Slope:
    spatial = int(rng.integers(1, 4))
    pool, back = functions(f"gated_pool{spatial}d")
    shape, given = window_problems.arguments(rng, spatial, 6 if spatial < 3 else 4)
    given["weight"] = rng.standard_normal((shape[1], *given["kernel_size"])) / 10
    given["bias"] = rng.standard_normal(shape[1])
    return Slope(lambda x: pool(x, **given), lambda g, x: back(g, x, **given)[0], distinct(rng, shape))


def of_adaptive(rng: np.random.Generator) -> Slope:
    spatial = int(rng.integers(1, 4))
    pool, back = functions(f"adaptive_max_pool{spatial}d")
    sizes, bins = (tuple(int(n) for n in rng.integers(1, top, spatial)) for top in (8 if spatial < 3 else 5, 6))
    return Slope(lambda x: pool(x, bins), lambda g, x: back(g, x, bins), distinct(rng, (1, 2, *sizes)))


def of_regions(name: str) -> Callable[[np.random.Generator], Slope]:
    pool, back = functions(name)

    def make(rng: np.random.Generator) -> Slope:
        case = region_cases.case(rng, "float64", most=6)
        more: tuple[Any, ...] = ()
        options = {}
        if name == "roi_align":
            more, options = (int(rng.integers(0, 4)), bool(rng.integers(2))), {"mode": "max"}
        call = (*case.arguments, *more)
        return Slope(lambda x: pool(x, *call, **options), lambda g, x: back(g, x, *call, **options), case.x)

    return make


def of_pyramids(rng: np.random.Generator) -> Slope:
    pool, back = functions("spatial_pyramid_pool")
    shape = (1, 2, *(int(n) for n in rng.integers(3, 9, 2)))
    levels = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 4)))
    return Slope(lambda x: pool(x, levels), lambda g, x: back(g, x, levels), distinct(rng, shape))


def of_levels(rng: np.random.Generator) -> Slope:
    pool, back = functions("pyramid")
    axes = tuple(int(a) for a in rng.permutation(3)[: rng.integers(1, 4)])
    window = tuple(int(n) for n in rng.integers(1, 4, len(axes)))
    levels = int(rng.integers(1, 3))
    shape = [int(n) for n in rng.integers(1, 4, 3)]
    for axis, size in zip(axes, window, strict=True):
        shape[axis] = size**levels + int(rng.integers(0, 4))
    given = {"levels": levels, "op": "max", "window": window, "axes": axes, "ceil_mode": bool(rng.integers(2))}
    return several(lambda x: pool(x, **given), lambda g, x: back(g, x, **given), distinct(rng, tuple(shape)))


def of_chains(rng: np.random.Generator) -> Slope:
    pool, back = functions("sppf_pool2d")
    kernel, times = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    shape = tuple(int(n) for n in rng.integers(1, 6, 4))
    return Slope(lambda x: pool(x, kernel, times), lambda g, x: back(g, x, kernel, times), distinct(rng, shape))


def of_fractions(rng: np.random.Generator) -> Slope:
    pool, back = functions("fractional_max_pool2d")
    bins = tuple(int(n) for n in rng.integers(1, 5, 2))
    sizes = tuple(2 * n + int(rng.integers(0, 3)) for n in bins)
    given = {"kernel_size": 2, "output_size": bins, "samples": rng.random((1, 2, 2))}
    return Slope(lambda x: pool(x, **given), lambda g, x: back(g, x, **given), distinct(rng, (1, 2, *sizes)))


def of_blurred_maxima(rng: np.random.Generator) -> Slope:
    pool, back = functions("max_blur_pool2d")
    shape = (2, *(int(n) for n in rng.integers(4, 8, 2)))
    given = {"kernel_size": int(rng.integers(1, 4)), "filter_size": int(rng.integers(2, 4))}
    return Slope(lambda x: pool(x, **given), lambda g, x: back(g, x, **given), distinct(rng, shape))


MAKERS = {
    "max_avg": of_windows("max_avg", {}, many=True),
    "mean_var": of_windows("mean_var", {}, many=True),
    "mixed": of_windows("mixed", {"mix": 0.3}),
    "stochastic expectation": of_windows("stochastic", {"training": False}),
    "median": of_windows("median", {}),
    "quantile": of_windows("quantile", {"q": 0.3}),
    "rank": of_windows("rank", {"rank": 1}),
    "global_max_avg": of_planes("global_max_avg_pool"),
    "global_mean_var": of_planes("global_mean_var_pool"),
    "gated": of_gates,
    "adaptive_max": of_adaptive,
    "roi_pool": of_regions("roi_pool"),
    "roi_align max": of_regions("roi_align"),
    "spatial_pyramid": of_pyramids,
    "pyramid": of_levels,
    "sppf": of_chains,
    "fractional_max": of_fractions,
    "max_blur": of_blurred_maxima,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_gradients_are_slopes(name):
    rng = np.random.default_rng(27)
    for _ in range(PROBLEMS):
        slope = MAKERS[name](rng)
        g = np.ones(slope.forward(slope.x).shape)
        if not slope.backward(g, slope.x).any():
            # nothing but windows without a slope: differences are rounding
            continue
        assert same.gradient_error(*slope) < 1e-6, slope.x.shape
