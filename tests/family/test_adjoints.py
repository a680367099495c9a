"""The adjoint of each linear operation, on a hundred random problems: <dy, P x> is <P^T dy, x>.

P^T is what ``transpose`` gives, which is the operation's gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastpool
from tests.family import region_cases, window_problems
from tests.family.slopes import PROBLEMS, parts_of, sizes
from tests.family.test_slopes import gives_bins

Rng = np.random.Generator
Problem = tuple[str, np.ndarray, tuple[Any, ...], dict[str, Any]]
"""A function, what it pools, and its other arguments."""
RULES = ("reflect", "replicate", "zero", "periodic")


def array(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape)


def batch(rng: Rng, low: int, high: int, spatial: int) -> np.ndarray:
    return array(rng, (*sizes(rng, 1, 4, 2), *sizes(rng, low, high, spatial)))


def of_windows(rng: Rng, name: str, spatial: int) -> Problem:
    shape, given = window_problems.arguments(rng, spatial)
    if name == "avg":
        given["count_include_pad"] = bool(rng.integers(2))
        given["divisor_override"] = int(rng.integers(1, 9)) if rng.integers(3) == 0 else None
    return f"{name}_pool{spatial}d", array(rng, shape), (), given


def of_planes(rng: Rng, name: str, spatial: int) -> Problem:
    return f"global_{name}_pool", batch(rng, 1, 9, spatial), (), {"keepdims": bool(rng.integers(2))}


def of_any_axes(rng: Rng, name: str, _: int) -> Problem:
    rank = int(rng.integers(1, 6))
    shape, axes = sizes(rng, 1, 6, rank), rng.permutation(rank)[: rng.integers(1, min(rank, 3) + 1)]
    window = tuple(int(rng.integers(1, shape[axis] + 1)) for axis in axes)
    given = {"axes": tuple(int(axis) for axis in axes), "stride": sizes(rng, 1, 4, len(axes))}
    return "pool", array(rng, shape), (window, name), given


def adaptive(rng: Rng, _: str, spatial: int) -> Problem:
    return f"adaptive_avg_pool{spatial}d", batch(rng, 1, 12, spatial), (sizes(rng, 1, 9, spatial),), {}


def fractional(rng: Rng, _: str, __: int) -> Problem:
    asked = {
        "pseudo_random": bool(rng.integers(2)),
        "overlapping": bool(rng.integers(2)),
        "seed": int(rng.integers(99)),
    }
    return "fractional_avg_pool2d", batch(rng, 6, 12, 2), (sizes(rng, 1, 7, 2),), asked


def strided(rng: Rng, _: str, spatial: int) -> Problem:
    return f"stride_pool{spatial}d", batch(rng, 1, 9, spatial), (sizes(rng, 1, 4, spatial),), {}


def blur(rng: Rng, _: str, spatial: int) -> Problem:
    given = {"stride": sizes(rng, 1, 4, spatial), "padding": RULES[rng.integers(4)]}
    given |= (
        {"filter": array(rng, sizes(rng, 1, 8, 1))} if rng.integers(2) else {"filter_size": int(rng.integers(1, 8))}
    )
    return f"blur_pool{spatial}d", batch(rng, 5, 9, spatial), (), given


def wavelet(rng: Rng) -> Any:
    return (
        ("haar", "db2", "db3")[rng.integers(3)] if rng.integers(2) else tuple(array(rng, (2, int(rng.integers(1, 6)))))
    )


def wavelets(rng: Rng, _: str, spatial: int) -> Problem:
    given = {"padding": RULES[rng.integers(4)], "mode": "bands"}
    return f"wavelet_pool{spatial}d", batch(rng, 6, 10, spatial), (wavelet(rng),), given


def back_from_wavelets(rng: Rng, _: str, spatial: int) -> Problem:
    bands = array(rng, (2**spatial, *sizes(rng, 1, 3, 2), *sizes(rng, 3, 6, spatial)))
    return f"wavelet_unpool{spatial}d", bands, (wavelet(rng),), {"padding": RULES[rng.integers(4)]}


def unpooling(rng: Rng, _: str, spatial: int) -> Problem:
    """Any indices of the plane, some of them equal, some of none."""
    x = batch(rng, 1, 7 if spatial < 3 else 5, spatial)
    kernel, stride = sizes(rng, 1, 4, spatial), sizes(rng, 1, 4, spatial)
    plane = math.prod((n - 1) * s + k for n, s, k in zip(x.shape[2:], stride, kernel, strict=True))
    return f"max_unpool{spatial}d", x, (rng.integers(-1, plane, x.shape), kernel, stride), {}


def spreading(rng: Rng, name: str, spatial: int) -> Problem:
    while True:
        shape, given = window_problems.arguments(rng, spatial, 6)
        pool = getattr(fastpool, f"sum_pool{spatial}d")
        given |= {"padding": tuple(low for low, _ in given["padding"]), "ceil_mode": False}
        span = [d * (k - 1) + 1 for d, k in zip(given["dilation"], given["kernel_size"], strict=True)]
        if all(
            2 * p < k and s <= n + 2 * p for p, k, s, n in zip(given["padding"], span, span, shape[2:], strict=True)
        ):
            break
    x = array(rng, pool(np.zeros(shape), **given).shape)
    given["output_size"] = shape[2:]
    if name == "avg":
        given["count_include_pad"] = bool(rng.integers(2))
        given["divisor_override"] = int(rng.integers(1, 9)) if rng.integers(3) == 0 else None
    return f"{name}_unpool{spatial}d", x, (), given


def upsampling(rng: Rng, _: str, spatial: int) -> Problem:
    return f"upsample_nearest{spatial}d", batch(rng, 1, 7, spatial), (), {"size": sizes(rng, 1, 15, spatial)}


def regions(rng: Rng, _: str, __: int) -> Problem:
    case = region_cases.case(rng, "float64")
    return "roi_align", case.x, (*case.arguments, int(rng.integers(0, 4)), bool(rng.integers(2))), {}


def spatial_pyramids(rng: Rng, _: str, __: int) -> Problem:
    while True:
        rule = ("adaptive", "paper", "caffe")[rng.integers(3)]
        levels: Any = int(rng.integers(1, 4)) if rule == "caffe" else sizes(rng, 1, 5, int(rng.integers(1, 4)))
        x = batch(rng, 3, 14, 2)
        if gives_bins(x, rule, levels):
            return "spatial_pyramid_pool", x, (levels, "avg"), {"rule": rule}


def pyramids(rng: Rng, name: str, _: int) -> Problem:
    axes, levels = rng.permutation(3)[: rng.integers(1, 4)], int(rng.integers(1, 4))
    window, shape = sizes(rng, 1, 4, len(axes)), list(sizes(rng, 1, 4, 3))
    for axis, size in zip(axes, window, strict=True):
        shape[axis] = size**levels + int(rng.integers(0, 5))
    given = {"window": window, "axes": tuple(int(axis) for axis in axes), "ceil_mode": bool(rng.integers(2))}
    return "pyramid", array(rng, tuple(shape)), (levels, name), given


RANKS = (1, 2, 3)
MAKERS: dict[tuple[Callable[[Rng, str, int], Problem], str], tuple[int, ...]] = {
    (of_windows, "sum"): RANKS,
    (of_windows, "avg"): RANKS,
    (of_planes, "sum"): RANKS,
    (of_planes, "avg"): RANKS,
    (of_any_axes, "sum"): (2,),
    (of_any_axes, "mean"): (2,),
    (adaptive, ""): RANKS,
    (fractional, ""): (2,),
    (strided, ""): RANKS,
    (blur, ""): RANKS,
    (wavelets, ""): RANKS,
    (back_from_wavelets, ""): RANKS,
    (unpooling, ""): RANKS,
    (spreading, "avg"): RANKS,
    (spreading, "sum"): RANKS,
    (upsampling, ""): RANKS,
    (regions, ""): (2,),
    (spatial_pyramids, ""): (2,),
    (pyramids, "mean"): (2,),
    (pyramids, "sum"): (2,),
}
"""What makes problems, of which operation, in which dimensions."""

WITH_WORDS = ("roi_align", "spatial_pyramid_pool", "pyramid")
"""Linear with a word alone, for which there is no ``transpose``."""

CASES = [
    pytest.param(make, name, rank, id=f"{make.__name__}{name and '-' + name}-{rank}d")
    for (make, name), ranks in MAKERS.items()
    for rank in ranks
]


@pytest.mark.parametrize(("make", "name", "rank"), CASES)
def test_it_is_the_adjoint(make, name, rank):
    rng = np.random.default_rng(rank)
    for _ in range(PROBLEMS):
        called, x, args, given = make(rng, name, rank)
        ys = parts_of(getattr(fastpool, called)(x, *args, **given))
        dys = tuple(array(rng, y.shape) for y in ys)
        dy = dys if called == "pyramid" else dys[0]
        rest = {key: value for key, value in given.items() if key != "keepdims"}
        if called in WITH_WORDS:
            dx = getattr(fastpool, f"{called}_backward")(dy, x, *args, **rest)
        else:
            dx = fastpool.transpose(getattr(fastpool, called), x.shape, *args, **rest)(dy)
        terms = np.concatenate([(dy * y).ravel() for dy, y in zip(dys, ys, strict=True)])
        assert dx.shape == x.shape
        assert abs(math.fsum(terms) - math.fsum((dx * x).ravel())) <= 1e-13 * math.fsum(np.abs(terms)), (
            called,
            x.shape,
            args,
            given,
        )
