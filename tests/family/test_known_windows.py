"""Calls of adaptive pooling made again, and indices that are looked at box by box."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from tests.family import same

RNG = np.random.default_rng(29)


@pytest.mark.parametrize("last", [False, True])
def test_a_call_made_again_gives_the_same(last):
    for size, m in ((12, 6), (12, 12), (12, 3), (12, 5)):
        x = RNG.standard_normal((2, 3, size, size)).astype("float32")
        x = same.in_memory_last(x) if last else x
        dy = RNG.standard_normal((2, 3, m, m)).astype("float32")
        for nan in ("propagate", "ignore"):
            expected = [a.copy() for a in fastpool.adaptive_max_pool2d(x, m, True, nan=nan)]
            for _ in range(2):
                out = np.empty_like(expected[0]), np.empty_like(expected[1])
                found = fastpool.adaptive_max_pool2d(x, m, True, nan=nan, out=out)
                assert found[0] is out[0]
                assert found[1] is out[1]
                for a, b in zip(found, expected, strict=True):
                    same.assert_same_bits(a, b)
                same.assert_same_bits(fastpool.adaptive_max_pool2d(x, m, nan=nan), expected[0])
        first = fastpool.adaptive_max_pool2d_backward(dy, x, m, indices=expected[1])
        again = fastpool.adaptive_max_pool2d_backward(dy, x, m, indices=expected[1])
        same.assert_same_bits(again, first)
        for given in (x, x.shape):
            first, again = (fastpool.adaptive_avg_pool2d_backward(dy, given, m) for _ in range(2))
            same.assert_same_bits(again, first)
            assert again.strides == first.strides


def test_a_call_that_is_like_a_known_one_is_checked():
    x = RNG.standard_normal((1, 2, 4, 4)).astype("float32")
    for _ in range(2):
        fastpool.adaptive_avg_pool2d(x, 1)
        fastpool.adaptive_max_pool2d(x, 1, True)
        fastpool.adaptive_avg_pool2d_backward(x, x.shape, 4)
    with pytest.raises(TypeError, match=r"adaptive_avg_pool2d.*must be an integer"):
        fastpool.adaptive_avg_pool2d(x, True)
    with pytest.raises(TypeError, match="adaptive_max_pool2d"):
        fastpool.adaptive_max_pool2d(x, 1, 1)
    with pytest.raises(ValueError, match=r"adaptive_avg_pool2d: .*overlaps x"):
        fastpool.adaptive_avg_pool2d(x, 1, out=x[:, :, :1, :1])
    with pytest.raises(TypeError, match="adaptive_avg_pool2d_backward"):
        fastpool.adaptive_avg_pool2d_backward(x.astype(np.int32), x.shape, 4)
    with pytest.raises(ValueError, match="CPU alone"):
        fastpool.adaptive_avg_pool2d(x, 1, device="cuda")


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize(
    ("sizes", "m"),
    [((7, 7), (7, 7)), ((14, 14), (7, 7)), ((13, 13), (6, 6)), ((9, 1), (4, 1)), ((6, 7, 5), (4, 3, 2)), ((20,), (3,))],
)
def test_a_gradient_made_again_gives_the_same(layout, sizes, m):
    """Its tasks are planned once; indices are still looked at, and nothing is written where one is wrong."""
    n, rng = len(sizes), np.random.default_rng(31)
    forward = getattr(fastpool, f"adaptive_max_pool{n}d")
    backward = getattr(fastpool, f"adaptive_max_pool{n}d_backward")
    for channels in (5, 40):
        x = rng.standard_normal((3, channels, *sizes)).astype("float32")
        x[rng.random(x.shape) < 0.3] = np.nan
        x = x if layout == "channels_first" else np.ascontiguousarray(np.moveaxis(x, 1, -1))
        for nan in ("propagate", "ignore"):
            y, indices = forward(x, m, True, nan=nan, layout=layout)
            _, taps = forward(x, m, "tap", nan=nan, layout=layout)
            dy = rng.standard_normal(y.shape).astype("float32")
            dy[rng.random(dy.shape) < 0.2] = -0.0
            options = {"nan": nan, "layout": layout}
            expected = backward(dy, x, m, indices=taps, index_kind="tap", **options)
            for out in (None, None, np.full_like(x, 7), np.full_like(x, 7)):
                found = backward(dy, x, m, indices=indices, out=out, **options)
                assert out is None or found is out
                same.assert_same_bits(found, expected)
                assert found.strides == expected.strides
            at = tuple(int(rng.integers(0, size)) for size in indices.shape)
            for value in (-1, -2, int(np.prod(sizes)), 2**40 + int(indices[at]), -(2**63), 2**63 - 1):
                wrong, out = indices.copy(), np.full_like(x, 7)
                wrong[at] = value
                if value == -1 and nan == "ignore":
                    backward(dy, x, m, indices=wrong, out=out, **options)
                    continue
                for given in (None, out):
                    with pytest.raises(ValueError, match="indices"):
                        backward(dy, x, m, indices=wrong, out=given, **options)
                assert (out == 7).all()
            with pytest.raises(ValueError, match="overlaps x"):
                backward(dy, x, m, indices=indices, out=x, **options)


def names_an_element(index, kind, box, plane, shape, n, c, layout):
    """Whether an index is that of an element of a box, by looking at all of them."""
    (r0, r1), (c0, c1) = box
    if kind == "tap":
        return 0 <= index < (r1 - r0) * (c1 - c0)
    rows, columns = plane
    for r in range(r0, r1):
        for q in range(c0, c1):
            if kind == "plane":
                number = r * columns + q
            elif layout == "channels_first":
                number = ((n * shape[1] + c) * rows + r) * columns + q
            else:
                number = ((n * rows + r) * columns + q) * shape[1] + c
            if index == number:
                return True
    return False


@pytest.mark.parametrize("kind", ["plane", "tensor", "tap"])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_every_index_is_looked_at(kind, layout):
    refused = 0
    for turn in range(120):
        rows, columns = (int(v) for v in RNG.integers(1, 13, 2))
        m = tuple(int(v) for v in RNG.integers(1, 5, 2)) if turn % 6 else (rows, columns)
        shape = (2, (1, 3, 40)[turn % 3], rows, columns)
        x = RNG.standard_normal(shape).astype("float32")
        x = x if layout == "channels_first" else np.ascontiguousarray(np.moveaxis(x, 1, -1))
        y, indices = fastpool.adaptive_max_pool2d(x, m, kind, layout=layout)
        view = indices if layout == "channels_first" else np.moveaxis(indices, -1, 1)
        n, c, o, p = (int(RNG.integers(0, size)) for size in view.shape)
        box = tuple((i * s // k, -(-(i + 1) * s // k)) for i, s, k in ((o, rows, m[0]), (p, columns, m[1])))
        near = int(view[n, c, o, p]) + int(RNG.integers(-columns - 1, columns + 2))
        value = near if kind != "tap" else int(RNG.integers(0, 256))
        view[n, c, o, p] = value
        if turn % 2:
            # an array that is not dense
            indices = np.repeat(indices, 2, axis=-1)[..., ::2]
        out = np.full_like(x, 7)
        given = {"indices": indices, "index_kind": kind, "layout": layout, "out": out}
        if names_an_element(value, kind, box, (rows, columns), shape, n, c, layout):
            fastpool.adaptive_max_pool2d_backward(y, x, m, **given)
        else:
            refused += 1
            with pytest.raises(ValueError, match="indices"):
                fastpool.adaptive_max_pool2d_backward(y, x, m, **given)
            assert (out == 7).all()
    assert 5 < refused < 120
