"""Gradients against central differences: a hundred random problems for each operation that is not linear.

Gradients of statistics over windows are held in ``test_statistic_gradients.py``, those of what is learnt in
``test_slopes_learned.py``, linear operations against their adjoints in ``test_adjoints.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastpool
from tests.family import region_cases, window_problems
from tests.family.slopes import Slope, distinct, hold, sizes

Maker = Callable[[np.random.Generator], Slope]
METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def slope(name: str, x: np.ndarray, *args: Any, **kwargs: Any) -> Slope:
    """A function of the package and its gradient, both called with these arguments."""
    pool, back = getattr(fastpool, name), getattr(fastpool, f"{name}_backward")
    return Slope(name, lambda x: pool(x, *args, **kwargs), lambda dy, x: back(dy, x, *args, **kwargs), x)


def windows(rng: np.random.Generator) -> tuple[int, np.ndarray, dict[str, Any]]:
    """How many spatial axes, x without its first axis, and arguments of windows."""
    spatial = int(rng.integers(1, 4))
    shape, given = window_problems.arguments(rng, spatial, 6 if spatial < 3 else 4)
    return spatial, distinct(rng, shape[1:]), given


def of_windows(name: str, options: Callable[[np.random.Generator], dict[str, Any]] = lambda rng: {}) -> Maker:
    def make(rng: np.random.Generator) -> Slope:
        spatial, x, given = windows(rng)
        return slope(f"{name}_pool{spatial}d", x, **given, **options(rng))

    return make


def of_planes(name: str, options: Callable[[np.random.Generator], dict[str, Any]] = lambda rng: {}) -> Maker:
    """Global pooling; two elements at least, for variances."""

    def make(rng: np.random.Generator) -> Slope:
        x = distinct(rng, (int(rng.integers(1, 4)), *sizes(rng, 2, 6, int(rng.integers(1, 4)))))
        # what takes logarithms takes numbers above 0
        x = x if name in ANY_SIGN else x - x.min() + 0.5
        return slope(f"global_{name}_pool", x, **options(rng))

    return make


ANY_SIGN = ("max", "min", "lp", "max_avg", "mean_var", "logsumexp", "var", "std")


def norm(rng: np.random.Generator) -> dict[str, Any]:
    return {"norm_type": float(rng.choice([1, 2, 3, 1.5, 0.7, 4.25]))}


def of_any_axes(rng: np.random.Generator) -> Slope:
    rank = int(rng.integers(1, 5))
    shape, axes = sizes(rng, 2, 5, rank), rng.permutation(rank)[: rng.integers(1, min(rank, 3) + 1)]
    window = tuple(int(rng.integers(1, shape[axis] + 1)) for axis in axes)
    given = {"axes": tuple(int(axis) + 1 for axis in axes), "stride": sizes(rng, 1, 3, len(axes))}
    op = ("max", "min", "lp")[rng.integers(3)]
    return slope("pool", distinct(rng, shape), window, op, **given, **(norm(rng) if op == "lp" else {}))


def of_adaptive(rng: np.random.Generator) -> Slope:
    spatial = int(rng.integers(1, 4))
    shape, bins = (sizes(rng, 1, most, spatial) for most in (8 if spatial < 3 else 5, 6))
    return slope(f"adaptive_max_pool{spatial}d", distinct(rng, (2, *shape)), bins)


def gives_bins(x: np.ndarray, rule: str, levels: Any) -> bool:
    """Whether a rule of pyramids gives the bins that its name says, or refuses the size."""
    try:
        fastpool.spatial_pyramid_pool(x, levels, rule=rule)
    except ValueError:
        return False
    return True


def of_spatial_pyramids(rng: np.random.Generator) -> Slope:
    while True:
        rule = ("adaptive", "paper", "caffe", "chainer")[rng.integers(4)]
        levels: Any = int(rng.integers(1, 4))
        if rule in ("adaptive", "paper"):
            levels = sizes(rng, 1, 5, levels)
        x = distinct(rng, (2, *sizes(rng, 3, 9, 2)))
        if gives_bins(x, rule, levels):
            return slope("spatial_pyramid_pool", x, levels, rule=rule)


def of_fractions(rng: np.random.Generator) -> Slope:
    if rng.integers(3) == 0:
        asked = {"pseudo_random": bool(rng.integers(2)), "overlapping": bool(rng.integers(2))}
        given = {"output_size": sizes(rng, 2, 5, 2), "rule": "tensorflow", "seed": int(rng.integers(1000)), **asked}
        return slope("fractional_max_pool2d", distinct(rng, (2, *sizes(rng, 5, 9, 2))), None, **given)
    spatial = int(rng.integers(2, 4))
    kernel, bins = sizes(rng, 1, 4, spatial), sizes(rng, 1, 4, spatial)
    shape = tuple(k + m + int(rng.integers(0, 3)) for k, m in zip(kernel, bins, strict=True))
    samples = rng.random((1, 2, spatial))
    name = f"fractional_max_pool{spatial}d"
    pool, back = getattr(fastpool, name), getattr(fastpool, f"{name}_backward")
    return Slope(
        name,
        lambda x: pool(x, kernel, bins, samples=np.repeat(samples, len(x), 0)),
        lambda dy, x: back(dy, x, kernel, bins, samples=samples),
        distinct(rng, (2, *shape)),
    )


def of_regions(name: str) -> Maker:
    pool, back = getattr(fastpool, name), getattr(fastpool, f"{name}_backward")

    def make(rng: np.random.Generator) -> Slope:
        case = region_cases.case(rng, "float64", most=6)
        rest: tuple[Any, ...] = (case.bins, case.scale)
        options = {}
        if name == "roi_align":
            rest, options = (*rest, int(rng.integers(0, 4)), bool(rng.integers(2))), {"mode": "max"}

        def forward(copies: np.ndarray) -> np.ndarray:
            many, images = copies.shape[:2]
            boxes = np.tile(case.boxes, (many, 1))
            places = (case.images + images * np.arange(many)[:, None]).ravel()
            return pool(copies.reshape(-1, *copies.shape[2:]), boxes, places, *rest, **options)

        def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
            return back(dy, x[0], case.boxes, case.images, *rest, **options)

        return Slope(name, forward, backward, case.x)

    return make


def of_levels(rng: np.random.Generator) -> Slope:
    axes = rng.permutation(3)[: rng.integers(1, 4)]
    window = sizes(rng, 1, 4, len(axes))
    levels = int(rng.integers(1, 3))
    shape = list(sizes(rng, 1, 4, 3))
    for axis, size in zip(axes, window, strict=True):
        shape[axis] = size**levels + int(rng.integers(0, 4 if len(axes) < 3 else 2))
    given = {"window": window, "axes": tuple(int(axis) + 1 for axis in axes), "ceil_mode": bool(rng.integers(2))}
    return slope("pyramid", distinct(rng, tuple(shape)), levels, ("max", "min")[rng.integers(2)], **given)


def of_chains(rng: np.random.Generator) -> Slope:
    return slope("sppf_pool2d", distinct(rng, sizes(rng, 1, 6, 3)), *sizes(rng, 1, 5, 2), concat=bool(rng.integers(2)))


def of_blurred_maxima(rng: np.random.Generator) -> Slope:
    spatial = int(rng.integers(1, 4))
    x = distinct(rng, (2, *sizes(rng, 4, 8 if spatial < 3 else 6, spatial)))
    given = {"kernel_size": sizes(rng, 1, 4, spatial), "stride": sizes(rng, 1, 4, spatial)}
    return slope(f"max_blur_pool{spatial}d", x, **given, filter_size=int(rng.integers(1, 4)))


MAKERS: dict[str, Maker] = {
    "max": of_windows("max"),
    "min": of_windows("min"),
    "lp": of_windows("lp", norm),
    "max_avg": of_windows("max_avg"),
    "mean_var": of_windows("mean_var"),
    "stochastic": of_windows("stochastic", lambda rng: {"training": False}),
    "median": of_windows("median", lambda rng: {"even": ("mean", "lower", "upper")[rng.integers(3)]}),
    "quantile": of_windows("quantile", lambda rng: {"q": float(rng.random()), "method": METHODS[rng.integers(5)]}),
    "rank": of_windows("rank", lambda rng: {"rank": int(rng.integers(-3, 4))}),
    "global_max": of_planes("max"),
    "global_min": of_planes("min"),
    "global_lp": of_planes("lp", norm),
    "global_max_avg": of_planes("max_avg"),
    "global_mean_var": of_planes("mean_var", lambda rng: {"correction": int(rng.integers(2))}),
    "global_logsumexp": of_planes("logsumexp", lambda rng: {"mean": bool(rng.integers(2))}),
    "global_entropy": of_planes("entropy", lambda rng: {"form": ("softmax", "normalized")[rng.integers(2)]}),
    "global_var": of_planes("var", lambda rng: {"ddof": int(rng.integers(2))}),
    "global_std": of_planes("std", lambda rng: {"ddof": int(rng.integers(2))}),
    "global_gem": of_planes("gem", lambda rng: {"p": float(rng.uniform(-2, 4))}),
    "global_gamma": of_planes("gamma", lambda rng: {"statistic": ("theta", "k")[rng.integers(2)]}),
    "global_weibull": of_planes("weibull", lambda rng: {"statistic": ("scale", "shape")[rng.integers(2)]}),
    "pool": of_any_axes,
    "adaptive_max": of_adaptive,
    "spatial_pyramid": of_spatial_pyramids,
    "fractional_max": of_fractions,
    "roi_pool": of_regions("roi_pool"),
    "roi_align max": of_regions("roi_align"),
    "pyramid": of_levels,
    "sppf": of_chains,
    "max_blur": of_blurred_maxima,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_gradients_are_slopes(name):
    hold(MAKERS[name])
