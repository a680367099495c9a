"""What a type checker must see; checked with ``mypy --strict tests/typing_cases.py``, never run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import fastpool

Floats = npt.NDArray[np.float32]


class Tensor:
    """Any other library's array."""


def max_pooling(x: Floats, t: Tensor, flag: bool) -> None:
    assert_type(fastpool.max_pool2d(x, 2), Floats)
    assert_type(fastpool.max_pool1d(t, 2), Tensor)
    assert_type(fastpool.max_pool3d(t, (1, 2, 2), stride=(1, 2, 2), padding=((0, 1), (1, 1), (0, 0))), Tensor)
    assert_type(fastpool.max_pool2d(t, 3, 2, 1, 1, True), Tensor)
    assert_type(fastpool.max_pool2d(t, 3, 2, 1, 1, True, False), Tensor)
    assert_type(fastpool.max_pool2d(t, 2, return_indices=False, layout="NHWC", nan="ignore"), Tensor)
    assert_type(fastpool.max_pool2d(t, 2, return_indices=True), tuple[Tensor, Tensor])
    assert_type(fastpool.max_pool2d(t, 2, return_indices="plane"), tuple[Tensor, Tensor])
    assert_type(fastpool.min_pool1d(t, 2, return_indices="tensor"), tuple[Tensor, Tensor])
    assert_type(fastpool.min_pool3d(t, 2, return_indices="tap", out=(t, t)), tuple[Tensor, Tensor])
    assert_type(fastpool.max_pool2d(t, 3, 2, 1, 1, False, True), tuple[Tensor, Tensor])
    assert_type(fastpool.max_pool2d(t, 2, return_indices=flag), Tensor | tuple[Tensor, Tensor])
    assert_type(fastpool.max_pool2d(t, 2, padding="same", out=t), Tensor)
    assert_type(fastpool.max_pool2d_backward(t, t, 2, indices=t, index_kind="tap"), Tensor)


def other_pooling(x: Floats, t: Tensor) -> None:
    assert_type(fastpool.avg_pool2d(x, 3, 2, 1, True, False, 5, dilation=2), Floats)
    assert_type(fastpool.sum_pool1d(t, [2], layout="channels_last"), Tensor)
    assert_type(fastpool.lp_pool3d(t, 2.5, 2), Tensor)
    assert_type(fastpool.avg_pool2d_backward(x, (2, 3, 4, 4), 2), Floats)
    assert_type(fastpool.global_avg_pool(x, keepdims=True), Floats)
    assert_type(fastpool.global_lp_pool_backward(t, t, 2), Tensor)
    assert_type(fastpool.pool(t, (2, 2), "mean", axes=(0, 1)), Tensor)
    assert_type(fastpool.pool(t, 2, return_indices="tap"), tuple[Tensor, Tensor])
    assert_type(fastpool.pool_backward(t, (4, 4), 2, "sum"), Tensor)


class Definition:
    identity = 0.0

    @staticmethod
    def combine(a: float, b: float) -> float:
        return a + b


@fastpool.reduction
class Largest(Definition): ...


def own_reductions(x: Floats, t: Tensor) -> None:
    assert_type(fastpool.pool(x, (2, 2), Largest, axes=(0, 1)), Floats)
    op = fastpool.reduction(Definition)
    assert_type(op, fastpool.Reduction)
    assert_type(fastpool.pool_backward(t, t, 2, op(2.0)), Tensor)


def wrong_calls(x: Floats, t: Tensor) -> None:
    fastpool.max_pool2d(x, 2.0)  # type: ignore[call-overload]
    fastpool.max_pool2d(x, 2, layout="NCWH")  # type: ignore[call-overload]
    fastpool.max_pool2d(x, 2, return_indices="flat")  # type: ignore[call-overload]
    fastpool.avg_pool2d(x, 2, nan="omit")  # type: ignore[arg-type]
    fastpool.pool(t, 2, "median")  # type: ignore[call-overload]


def the_rest(x: Floats) -> None:
    y, pullback = fastpool.vjp(fastpool.max_pool2d, x, 2)
    assert_type(pullback, Callable[[Any], Any])
    assert_type(fastpool.get_num_threads(), int)
    assert_type(fastpool.get_include(), Path)
    assert_type(fastpool.get_library(), Path)
    with fastpool.threads(2):
        fastpool.set_num_threads(1)
    print(fastpool.explain(fastpool.avg_pool1d, x, 2), y)
