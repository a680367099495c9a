"""A user's own reduction on the GPU: the same functions, in the simulator."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastpool
from tests.cuda.arrays import host, on_device


@fastpool.reduction
class root_of_squares:  # noqa: N801
    """The root of the sum of squares."""

    identity = 0.0
    state = "double"

    def lift(x):  # noqa: N805
        return x * x

    def combine(a, b):  # noqa: N805
        return a + b

    def lower(s):  # noqa: N805
        return math.sqrt(s)


@pytest.mark.parametrize("axes", [(2, 3), (1, 2)])
@pytest.mark.parametrize("window", [2, 3, (4, 3)])
def test_an_own_reduction_gives_what_arithmetic_gives(axes, window) -> None:
    x = np.random.default_rng(0).integers(-9, 10, (2, 4, 8, 12)).astype(np.float32)
    y = host(fastpool.pool(on_device(x), window, root_of_squares, axes=axes))
    sizes = (window, window) if isinstance(window, int) else window
    views = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), sizes, axes)
    steps = [slice(None)] * 4
    for axis, size in zip(axes, sizes, strict=True):
        steps[axis] = slice(None, None, size)
    expected = np.sqrt((views[tuple(steps)] ** 2).sum((-2, -1))).astype(np.float32)
    np.testing.assert_array_equal(y, expected)
