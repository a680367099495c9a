"""The same result, to the bit, behind every door: layouts, strides, threads, engines, kinds of element order.

``everywhere(call, x, axes, ...)`` runs a function on one array as it is, and again with the array laid out otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import fastpool

ENGINES = ("aot", "jit")
# what Numba compiles takes seconds for each kernel
EACH = ("aot", pytest.param("jit", marks=pytest.mark.slow))


@contextmanager
def engine(name: str) -> Iterator[None]:
    known = os.environ.get("FASTPOOL_ENGINE")
    os.environ["FASTPOOL_ENGINE"] = name
    try:
        yield
    finally:
        if known is None:
            del os.environ["FASTPOOL_ENGINE"]
        else:
            os.environ["FASTPOOL_ENGINE"] = known


def bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(np.uint8)


def assert_same_bits(a: Any, b: Any, what: str = "") -> None:
    one, other = (list(v) if isinstance(v, tuple) else [v] for v in (a, b))
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert first.shape == second.shape, what
        assert first.dtype == second.dtype, what
        np.testing.assert_array_equal(bits(first), bits(second), err_msg=what)


def strided(x: np.ndarray) -> np.ndarray:
    """The same elements, every second of a larger array, and backward along the last axis."""
    large = np.zeros([2 * n for n in x.shape], x.dtype)
    view = large[tuple(slice(None, None, 2) for _ in x.shape)][..., ::-1]
    view[...] = x
    return view


def in_memory_last(x: np.ndarray, axis: int = 1) -> np.ndarray:
    """The same elements with one axis the fastest in memory, as torch's channels_last."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, axis, -1)), -1, axis)


def everywhere(call: Callable[..., Any], x: np.ndarray, spatial: int, *others: np.ndarray) -> Any:
    """``call(x, *others, layout=...)`` of arrays (N, C, spatial...); the result of channels first, to be compared.

    ``others`` are arrays with the same axes, as gradients and indices. Asserts that channels_last, other strides, one
    thread and two, give the same bits.
    """
    arrays = (x, *others)
    expected = call(*arrays, layout="channels_first")

    def back(result: Any, axis: int) -> Any:
        if isinstance(result, tuple):
            return tuple(back(part, axis) for part in result)
        return np.moveaxis(result, -1, axis)

    channel = x.ndim - 1 - spatial
    last = [np.ascontiguousarray(np.moveaxis(array, channel, -1)) for array in arrays]
    assert_same_bits(back(call(*last, layout="channels_last"), channel), expected, "channels_last")
    assert_same_bits(call(*map(strided, arrays), layout="channels_first"), expected, "strides")
    moved = [in_memory_last(array, channel) for array in arrays]
    assert_same_bits(call(*moved, layout="channels_first"), expected, "channels last in memory")
    for threads in (1, 2):
        with fastpool.threads(threads):
            assert_same_bits(call(*arrays, layout="channels_first"), expected, f"{threads} threads")
    return expected


def gradient_error(
    forward: Callable[[np.ndarray], Any], backward: Callable[[np.ndarray, np.ndarray], np.ndarray], x: np.ndarray
) -> float:
    """How far a gradient is from central differences of the forward, relative to the largest; x is float64."""
    rng = np.random.default_rng(0)
    y = forward(x)
    dy = rng.standard_normal(y.shape)
    found = backward(dy, x)
    expected = np.empty_like(x)
    flat, out = x.reshape(-1), expected.reshape(-1)
    for i in range(x.size):
        known = flat[i]
        step = 6e-6 * max(1.0, abs(known))
        flat[i] = known + step
        up = forward(x)
        flat[i] = known - step
        down = forward(x)
        flat[i] = known
        out[i] = np.sum((up - down) * dy) / (2 * step)
    return float(np.max(np.abs(found - expected)) / max(np.max(np.abs(expected)), 1e-300))


def adjoint_error(
    forward: Callable[[np.ndarray], Any], backward: Callable[[np.ndarray], np.ndarray], x: np.ndarray
) -> float:
    """|<dy, P x> - <P^T dy, x>|, relative to the sum of magnitudes, for a linear operation in float64."""
    y = forward(x)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    a, b = float(np.sum(dy * y)), float(np.sum(backward(dy) * x))
    return abs(a - b) / max(float(np.sum(np.abs(dy * y))), 1e-300)
