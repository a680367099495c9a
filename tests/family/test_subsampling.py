"""Strided sub-sampling against slices of NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from tests.family import same

RNG = np.random.default_rng(7)
DTYPES = ("bool", "uint8", "int16", "float16", "float32", "float64", "int64")


@pytest.mark.parametrize("engine", same.EACH)
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_it_is_a_slice(spatial, engine):
    for dtype in DTYPES:
        for _ in range(4):
            sizes = tuple(int(n) for n in RNG.integers(1, 9, spatial))
            x = (RNG.standard_normal((2, 3, *sizes)) * 50).astype(dtype)
            stride = tuple(int(n) for n in RNG.integers(1, 4, spatial))
            offset = tuple(int(RNG.integers(0, n)) for n in sizes)

            def call(x, layout, stride=stride, offset=offset):
                return getattr(fastpool, f"stride_pool{spatial}d")(x, stride, offset, layout=layout)

            with same.engine(engine):
                y = same.everywhere(call, x, spatial)
            picked = (slice(None),) * 2 + tuple(slice(o, None, s) for o, s in zip(offset, stride, strict=True))
            same.assert_same_bits(y, np.ascontiguousarray(x[picked]))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_its_gradient_is_its_adjoint(spatial):
    pool = getattr(fastpool, f"stride_pool{spatial}d")
    backward = getattr(fastpool, f"stride_pool{spatial}d_backward")
    for _ in range(100):
        sizes = tuple(int(n) for n in RNG.integers(1, 9, spatial))
        x = RNG.standard_normal((2, 3, *sizes))
        stride = tuple(int(n) for n in RNG.integers(1, 4, spatial))
        error = same.adjoint_error(lambda x, s=stride: pool(x, s), lambda dy, x=x, s=stride: backward(dy, x, s), x)
        assert error < 1e-13
        y, pullback = fastpool.vjp(pool, x, stride)
        np.testing.assert_array_equal(pullback(y), backward(y, x, stride))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"stride": 0}, ValueError, "stride=0: must be at least 1"),
        ({"stride": 1.5}, TypeError, "must be an integer"),
        ({"stride": True}, TypeError, "must be an integer"),
        ({"stride": (1, 2, 3)}, ValueError, "3 entries for 2 axes"),
        ({"offset": 8}, ValueError, "axis 2 has 8 elements"),
        ({"offset": -1}, ValueError, "at least 0"),
        ({"layout": "rows"}, ValueError, "unknown layout"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"x": [[1.0]]}, TypeError, "an array is needed"),
        ({"x": np.ones((2, 3, 8, 8), np.complex64)}, TypeError, "complex64"),
        ({"out": np.full((2, 3, 4, 4), 7.0, np.float32)}, TypeError, "float32"),
        ({"out": np.full((2, 3, 4, 5), 7.0)}, ValueError, "the result has shape"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {"x": np.ones((2, 3, 8, 8)), "stride": 2, **change}
    with pytest.raises(error, match=words):
        fastpool.stride_pool2d(**given)
    if "out" in given:
        assert (given["out"] == 7).all()
