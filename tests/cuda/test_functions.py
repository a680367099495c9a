"""The public functions on Numba's device arrays, in the simulator: the same bits as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from tests.cuda.arrays import host, on_device

RNG = np.random.default_rng(3)
SHAPE = (2, 3, 4, 6)


def numbers(shape=SHAPE, dtype=np.float32):
    top = 2 if np.dtype(dtype) == bool else 50
    return RNG.integers(0, top, shape).astype(dtype)


def same(mine, theirs):
    """Also the same axes in the same order in memory."""
    mine = host(mine)
    assert mine.dtype == theirs.dtype
    np.testing.assert_array_equal(mine.view(np.uint8), theirs.view(np.uint8))


CALLS = {
    "max_pool1d": (2,),
    "max_pool2d": (3, 2, 1),
    "max_pool3d": (2, 1, 1),
    "min_pool1d": (3, 1, 1),
    "min_pool2d": (2,),
    "min_pool3d": ((1, 2, 3),),
    "avg_pool1d": (2,),
    "avg_pool2d": (3, 2, 1, True, False),
    "avg_pool3d": (2, 1),
    "sum_pool1d": (4,),
    "sum_pool2d": (2, 1),
    "sum_pool3d": (2, 1, 1),
    "lp_pool1d": (2, 2),
    "lp_pool2d": (2.5, 2),
    "lp_pool3d": (1, 2),
    "global_max_pool": (),
    "global_min_pool": (),
    "global_avg_pool": (),
    "global_sum_pool": (),
    "global_lp_pool": (2,),
    "pool": ((2, 3), "mean"),
}


@pytest.mark.parametrize("name", CALLS)
def test_forward_and_backward(name):
    x, arguments = numbers(), CALLS[name]
    forward, backward = getattr(fastpool, name), getattr(fastpool, f"{name}_backward")
    expected = forward(x, *arguments)
    y = forward(on_device(x), *arguments)
    assert type(y) is type(on_device(x))
    same(y, expected)
    dy = numbers(expected.shape)
    same(backward(on_device(dy), on_device(x), *arguments), backward(dy, x, *arguments))


@pytest.mark.parametrize("dtype", ["?", "b", "h", "i", "q", "B", "H", "I", "Q", "e", "f", "d"])
def test_element_types(dtype):
    x = numbers(dtype=dtype)
    same(fastpool.max_pool2d(on_device(x), 2), fastpool.max_pool2d(x, 2))
    if dtype != "?":
        same(fastpool.sum_pool2d(on_device(x), 2), fastpool.sum_pool2d(x, 2))


@pytest.mark.parametrize("dtype", ["F", "D"])
def test_complex(dtype):
    x = (numbers((1, 4, 4)) + 1j * numbers((1, 4, 4))).astype(dtype)
    same(fastpool.avg_pool2d(on_device(x), 2), fastpool.avg_pool2d(x, 2))


def test_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = numbers(dtype=ml_dtypes.bfloat16)
    y = fastpool.avg_pool2d(on_device(x), 3, 2, 1)
    same(y, fastpool.avg_pool2d(x, 3, 2, 1))
    same(fastpool.avg_pool2d_backward(y, SHAPE, 3, 2, 1), fastpool.avg_pool2d_backward(host(y), SHAPE, 3, 2, 1))


@pytest.mark.parametrize("kind", ["plane", "tensor", "tap"])
@pytest.mark.parametrize("op", ["max", "min"])
def test_indices(op, kind):
    x = numbers()
    forward, backward = getattr(fastpool, f"{op}_pool2d"), getattr(fastpool, f"{op}_pool2d_backward")
    expected, theirs = forward(x, 3, 2, 1, return_indices=kind)
    y, indices = forward(on_device(x), 3, 2, 1, return_indices=kind)
    same(y, expected)
    same(indices, theirs)
    dx = backward(y, on_device(x), 3, 2, 1, indices=indices, index_kind=kind)
    same(dx, backward(expected, x, 3, 2, 1, indices=theirs, index_kind=kind))


def test_out():
    x = numbers()
    expected, theirs = fastpool.max_pool2d(x, 2, return_indices=True)
    out = on_device(np.zeros_like(expected))
    assert fastpool.max_pool2d(on_device(x), 2, out=out) is out
    same(out, expected)
    pair = (on_device(np.zeros_like(expected)), on_device(np.zeros_like(theirs)))
    assert fastpool.max_pool2d(on_device(x), 2, return_indices=True, out=pair) is pair
    same(pair[0], expected)
    same(pair[1], theirs)
    dx = on_device(np.ones_like(x))
    assert fastpool.max_pool2d_backward(out, on_device(x), 2, out=dx) is dx
    same(dx, fastpool.max_pool2d_backward(expected, x, 2))
    pooled = on_device(np.zeros(SHAPE[:2], np.float32))
    assert fastpool.global_max_pool(on_device(x), out=pooled) is pooled
    same(pooled, fastpool.global_max_pool(x))


def test_channels_last_and_any_axes():
    x = numbers((2, 4, 6, 3))
    same(
        fastpool.avg_pool2d(on_device(x), 2, layout="channels_last"), fastpool.avg_pool2d(x, 2, layout="channels_last")
    )
    for axes in ((0, 2), (3, 1)):
        mine = fastpool.pool(on_device(x), (2, 3), "max", axes=axes, return_indices=True)
        for a, b in zip(mine, fastpool.pool(x, (2, 3), "max", axes=axes, return_indices=True), strict=True):
            same(a, b)


STRIDED = {
    "transposed": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "sliced": lambda a: np.repeat(a, 3, axis=2)[:, :, ::3],
    "negative": lambda a: np.ascontiguousarray(a[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1],
    "repeated": lambda a: np.broadcast_to(a[:, :1], a.shape),
}


@pytest.mark.parametrize("form", STRIDED)
def test_strides(form):
    x = STRIDED[form](numbers())
    given = on_device(x)
    expected, theirs = fastpool.max_pool2d(x, 2, return_indices=True)
    y, indices = fastpool.max_pool2d(given, 2, return_indices=True)
    np.testing.assert_array_equal(host(y), expected)
    np.testing.assert_array_equal(host(indices), theirs)
    # in the memory order of x, where x is dense
    assert tuple(y.strides) == expected.strides
    out = on_device(STRIDED[form](np.zeros_like(expected)) if form != "repeated" else np.zeros_like(expected))
    assert fastpool.max_pool2d(given, 2, out=out) is out
    np.testing.assert_array_equal(host(out), expected)
    dx = fastpool.max_pool2d_backward(y, given, 2, indices=indices)
    np.testing.assert_array_equal(host(dx), fastpool.max_pool2d_backward(expected, x, 2, indices=theirs))


def test_nan_is_ignored():
    x = numbers()
    x[0, 0, :2, :2] = np.nan
    x[1, 2, 1] = np.nan
    for name in ("max_pool2d", "avg_pool2d"):
        forward, backward = getattr(fastpool, name), getattr(fastpool, f"{name}_backward")
        expected = forward(x, 2, nan="ignore")
        same(forward(on_device(x), 2, nan="ignore"), expected)
        dy = np.ones_like(expected)
        same(backward(on_device(dy), on_device(x), 2, nan="ignore"), backward(dy, x, 2, nan="ignore"))


@pytest.mark.parametrize(
    ("function", "arguments", "options"),
    [
        (fastpool.max_pool2d, (3, 2, 1), {}),
        (fastpool.max_pool2d, (2,), {"return_indices": True}),
        (fastpool.avg_pool2d, (2,), {}),
        (fastpool.avg_pool2d, (2,), {"nan": "ignore"}),
        (fastpool.lp_pool2d, (2, 2), {}),
        (fastpool.global_avg_pool, (), {}),
    ],
)
def test_vjp(function, arguments, options):
    x = numbers()
    expected, theirs = fastpool.vjp(function, x, *arguments, **options)
    y, pullback = fastpool.vjp(function, on_device(x), *arguments, **options)
    if options.get("return_indices"):
        same(y[1], expected[1])
        y, expected = y[0], expected[0]
    same(y, expected)
    for _ in range(2):
        same(pullback(y), theirs(expected))


def test_nothing_to_pool():
    x = numbers((0, 3, 4, 6))
    y, indices = fastpool.max_pool2d(on_device(x), 2, return_indices=True)
    assert tuple(y.shape) == tuple(indices.shape) == (0, 3, 2, 3)
    assert tuple(fastpool.max_pool2d_backward(y, on_device(x), 2, indices=indices).shape) == x.shape
