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

    def pull(g, s):  # noqa: N805
        return g / math.sqrt(s) if s > 0 else 0.0

    def push(a, x):  # noqa: N805
        return a * x


@fastpool.reduction
class log_of_sum:  # noqa: N801
    """The logarithm of the sum of exponentials: pairs as states."""

    identity = (-math.inf, 0.0)
    state = "double"

    def lift(x):  # noqa: N805
        return (x, 1.0)

    def combine(a, b):  # noqa: N805
        m = max(a[0], b[0])
        if m == -math.inf:
            return (m, 0.0)
        return (m, a[1] * math.exp(a[0] - m) + b[1] * math.exp(b[0] - m))

    def lower(s):  # noqa: N805
        return s[0] + math.log(s[1]) if s[1] > 0 else s[0]


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


@pytest.mark.parametrize("axes", [(2, 3), (1, 2)])
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), ((4, 3), 1)])
def test_the_gradient_has_the_bits_of_the_cpu(axes, window, stride) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-9, 10, (2, 4, 8, 12)).astype(np.float32)
    options = {"axes": axes, "stride": stride, "padding": 1}
    y = fastpool.pool(x, window, root_of_squares, **options)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    expected = fastpool.pool_backward(dy, x, window, root_of_squares, **options)
    found = host(fastpool.pool_backward(on_device(dy), on_device(x), window, root_of_squares, **options))
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=1e-6)
    # against the definition: y = |x| of the window, dx = sum of g x / y
    wide = fastpool.lp_pool2d_backward if axes == (2, 3) else None
    if wide is not None:
        same = wide(dy.astype(np.float64), x.astype(np.float64), 2, window, stride, padding=1)
        np.testing.assert_allclose(found, same, rtol=1e-5, atol=1e-5)


def test_pairs_as_states() -> None:
    x = np.random.default_rng(2).standard_normal((2, 3, 6, 10)).astype(np.float32)
    y = host(fastpool.pool(on_device(x), 2, log_of_sum, axes=(2, 3)))
    expected = np.log(np.exp(x.astype(np.float64)).reshape(2, 3, 3, 2, 5, 2).sum((3, 5)))
    np.testing.assert_allclose(y, expected, rtol=2e-7, atol=1e-7)
