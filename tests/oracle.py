"""Short ways to call the oracle on arrays and to compare with expected values."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.problem import DTYPES
from fastpool.reference import forward
from tests.problems import make


def short_dtype(dtype: np.dtype) -> str:
    """The key of DTYPES for a NumPy type."""
    return next(short for short, name in DTYPES.items() if name != "bfloat16" and dtype == name)


def array(values: Any, dtype: str = "f32") -> np.ndarray:
    """An array of the type with this short name."""
    return np.array(values, DTYPES[dtype])


def pool(op: str, x: np.ndarray, k: Any, s: Any = None, p: Any = 0, d: Any = 1, **options: Any) -> Any:
    """y, or (y, indices) where indices are asked for. Over every axis unless ``axes`` are given."""
    options.setdefault("dtype", short_dtype(x.dtype))
    problem = make(op, x.shape, options.pop("axes", range(x.ndim)), k, s, p, d, **options)
    x = x.view()
    x.flags.writeable = False
    y, indices = forward(problem, x)
    assert y.shape == problem.out_shape
    assert y.flags.c_contiguous
    if not problem.indices:
        assert indices is None
        return y
    assert indices is not None
    assert indices.shape == y.shape
    assert indices.dtype == DTYPES[problem.index_dtype]
    return y, indices


def same(actual: np.ndarray, expected: Any, dtype: str | None = None) -> None:
    """Equal in every value, NaN standing for NaN, and in type."""
    expected = np.asarray(expected, actual.dtype if dtype is None else DTYPES[dtype])
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual.real, expected.real)
    np.testing.assert_array_equal(actual.imag, expected.imag)
