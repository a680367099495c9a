"""The oracle against arithmetic that can be checked by hand: max, min, indices, and any array.

Against other libraries: test_reference_peers.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastpool.reference import backward, forward
from tests.oracle import array, pool, same
from tests.problems import make

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("op", "x", "k", "s", "p", "y", "indices"),
    [
        ("max", [3, 1, 3, 0, 5], 3, 2, 0, [3, 5], [0, 4]),
        ("min", [3, 1, 1, 0, 5], 3, 2, 0, [1, 0], [1, 3]),
        ("max", [NAN, 2, NAN, 3], 4, 1, 0, [NAN], [2]),
        ("min", [1, NAN, 3], 3, 1, 0, [NAN], [1]),
        ("max", [-INF, -INF, -INF], 3, 1, 1, [-INF] * 3, [0, 0, 1]),
        ("min", [INF, INF], 2, 2, 1, [INF] * 2, [0, 1]),
        ("max", [4, 5], 1, 1, [(1, 2)], [-INF, 4, 5, -INF, -INF], [-1, 0, 1, -1, -1]),
        ("min", [4, 5], 1, 1, [(1, 0)], [INF, 4, 5], [-1, 0, 1]),
    ],
)
def test_extremum_and_plane_index(op: str, x: list, k: int, s: int, p: Any, y: list, indices: list) -> None:
    actual, found = pool(op, array(x), k, s, p, indices="plane")
    same(actual, y, "f32")
    same(found, indices, "i64")


def test_dilated_window_without_tap_is_empty() -> None:
    problem = make("max", (1,), 0, 2, 1, 1, 2, indices="tap")
    y, indices = forward(problem, array([7]))
    same(y, [-INF])
    same(indices, [255], "u8")
    same(backward(problem, array([1]), None, indices), [0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # windows of 2 x 2 with one row of padding above; the largest of column pairs is 5, 4 in the only row
        ("plane", [[[1, 2]], [[0, 3]]]),
        ("tensor", [[[1, 2]], [[4, 7]]]),
        ("tap", [[[3, 2]], [[2, 3]]]),
    ],
)
def test_index_kinds(kind: str, expected: list) -> None:
    x = array([[[1, 5, 4, 2]], [[6, 2, 1, 3]]])
    y, indices = pool("max", x, 2, 2, [(1, 0), 0], axes=(1, 2), indices=kind)
    same(y, [[[5, 4]], [[6, 3]]])
    same(indices, expected, "u8" if kind == "tap" else "i64")
    problem = make("max", x.shape, (1, 2), 2, 2, [(1, 0), 0], indices=kind, direction="bwd")
    same(backward(problem, array([[[1, 2]], [[3, 4]]]), None, indices), [[[0, 1, 2, 0]], [[3, 0, 0, 4]]])


def test_axes_order_numbers_taps_and_plane() -> None:
    x = array([[1, 9], [9, 2]])
    for axes, plane, tap in [((0, 1), 1, 1), ((1, 0), 1, 1)]:
        assert pool("max", x, 2, axes=axes, indices="plane")[1].item() == plane
        assert pool("max", x, 2, axes=axes, indices="tap")[1].item() == tap
    assert pool("max", x, 2, axes=(0, 1), indices="tensor")[1].item() == 1
    assert pool("max", x, 2, axes=(1, 0), indices="tensor")[1].item() == 2


def test_axes_around_a_kept_axis() -> None:
    x = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    y, indices = pool("max", x, (2, 2), axes=(2, 0), indices="plane")
    same(y, x.reshape(2, 3, 2, 2).max(axis=(0, 3), keepdims=True)[:, :, :, 0])
    same(indices, [[[3, 7]] * 3], "i64")
    _, tensor = pool("max", x, (2, 2), axes=(2, 0), indices="tensor")
    same(tensor, y)


def test_index_kinds_agree() -> None:
    rng = np.random.default_rng(0)
    for axes, p, d, ceil in [
        ((2, 0), 1, 2, True),
        ((0, 1, 3), [(0, 4), 2, (3, 0)], 3, False),
        ((1,), 5, 1, True),
    ]:
        x = rng.integers(-2, 3, (5, 6, 4, 7)).astype(np.float32)
        x[rng.random(x.shape) < 0.1] = NAN
        for op, nan in [("max", "propagate"), ("min", "ignore")]:
            plain = make(op, x.shape, axes, 2, 3, p, d, ceil=ceil, nan=nan)
            dy = rng.integers(-9, 10, plain.out_shape).astype(np.float32)
            dx = backward(plain, dy, x, None)
            for kind in ("plane", "tensor", "tap"):
                problem = make(op, x.shape, axes, 2, 3, p, d, ceil=ceil, nan=nan, indices=kind)
                y, indices = forward(problem, x)
                same(backward(problem, dy, None, indices), dx)
                if kind == "tensor":
                    same(y[indices >= 0], x.ravel()[indices[indices >= 0]])


@pytest.mark.parametrize(("taps", "dtype", "limit"), [(255, "u8", 255), (256, "u16", 65535)])
def test_tap_type_has_a_value_to_spare(taps: int, dtype: str, limit: int) -> None:
    x = array([0] * (taps - 1) + [1])
    _, indices = pool("max", x, taps, 1, [(1, taps)], indices="tap")
    same(indices[[0, 1, 2, taps, taps + 1]], [1, taps - 1, taps - 2, 0, limit], dtype)


@pytest.mark.parametrize(
    ("dtype", "smallest", "largest"),
    [
        ("b1", False, True),
        ("i8", -128, 127),
        ("u16", 0, 65535),
        ("i64", -(2**63), 2**63 - 1),
        ("u64", 0, 2**64 - 1),
        ("f16", -INF, INF),
        ("f64", -INF, INF),
        ("fld", -INF, INF),
    ],
)
@pytest.mark.parametrize("nan", ["propagate", "ignore"])
def test_identities(dtype: str, smallest: Any, largest: Any, nan: str) -> None:
    # the identity is also a value that can win over padding, at its own place
    for op, identity in (("max", smallest), ("min", largest)):
        x = array([identity, identity], dtype)
        y, indices = pool(op, x, 1, 1, 1, indices="plane", nan=nan)
        empty = NAN if nan == "ignore" and dtype[0] == "f" else identity
        same(y, [empty, identity, identity, empty], dtype)
        same(indices, [-1, 0, 1, -1], "i64")


@pytest.mark.parametrize("op", ["max", "min"])
def test_nan_ignored_by_extrema(op: str) -> None:
    worst = -INF if op == "max" else INF
    x = array([NAN, worst, NAN, NAN, 1, NAN])
    y, indices = pool(op, x, 2, indices="plane", nan="ignore")
    same(y, [worst, NAN, 1])
    same(indices, [1, -1, 4], "i64")
    for given, index in ((x, None), (None, indices)):
        problem = make(op, x.shape, 0, 2, nan="ignore", indices="plane")
        same(backward(problem, array([1, 2, 3]), given, index), [0, 1, 0, 0, 3, 0])


def test_bool() -> None:
    x = array([0, 0, 0, 1, 1, 1], "b1")
    y, indices = pool("max", x, 2, indices="tap")
    same(y, [False, True, True])
    same(indices, [0, 1, 0], "u8")
    same(pool("min", x, 2), [False, False, True])
    dy = array([True, False, True], "b1")
    same(backward(make("max", (6,), 0, 2, dtype="b1"), dy, x, None), [1, 0, 0, 0, 1, 0], "b1")


def test_integer_gradient_of_max_wraps() -> None:
    problem = make("max", (3,), 0, 2, 1, dtype="i8")
    same(backward(problem, array([100, 100], "i8"), array([0, 9, 0], "i8"), None), [0, -56, 0])


@pytest.mark.parametrize("op", ["max", "min", "mean", "sum", "lp"])
@pytest.mark.parametrize(("dtype", "odd", "bits"), [("f16", 0xFC01, 0x7E00), ("bf16", 0xFF81, 0x7FC0)])
def test_nan_is_canonical(op: str, dtype: str, odd: int, bits: int) -> None:
    # a negative signalling NaN goes in
    x = np.array([odd, 0], np.uint16)
    x = x if dtype == "bf16" else x.view(np.float16)
    problem = make(op, (2,), 0, 2, dtype=dtype)
    assert forward(problem, x)[0].view(np.uint16).tolist() == [bits]
    assert set(backward(problem, x[:1], x[1:].repeat(2), None).view(np.uint16).tolist()) <= {bits, 0}


@pytest.mark.parametrize("op", ["max", "min", "mean", "sum", "lp"])
def test_strides_do_not_matter_and_empty_is_empty(op: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 5, 6))
    for view in (
        x[::-1, :, ::-1],
        np.asfortranarray(x),
        np.broadcast_to(x[:1], (3, 5, 6)),
        x[:0],
        x[:, :, :0][:0],
    ):
        if view.size:
            problem = make(op, view.shape, (2, 0), 2, 1, dtype="f64")
        else:
            problem = make(op, view.shape, (1,), 2, 1, dtype="f64")
        y, _ = forward(problem, view)
        same(y, forward(problem, view.copy())[0])
        dx = backward(problem, y, view, None)
        assert dx.shape == view.shape
        same(dx, backward(problem, y.copy(), view.copy(), None))


@pytest.mark.parametrize(("op", "nan"), [("max", "propagate"), ("lp", "propagate"), ("mean", "ignore")])
def test_backward_says_that_it_needs_x(op: str, nan: str) -> None:
    with pytest.raises(TypeError, match=rf"reference.backward: {op}1d_fwd_f32_first_n2.*needs? x"):
        backward(make(op, (2,), 0, 2, nan=nan), array([1]), None, None)
