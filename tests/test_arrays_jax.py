"""JAX arrays in, JAX arrays out."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool

jax = pytest.importorskip("jax")
jnp = jax.numpy

X = np.random.default_rng(2).integers(0, 100, (2, 3, 4, 6)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "uint16", "float16", "bfloat16", "float32"])
def test_dtypes(dtype):
    x = jnp.asarray(X % 2 if dtype == "bool" else X, dtype)
    y, taps = fastpool.max_pool2d(x, 2, return_indices="tap")
    assert isinstance(y, jax.Array)
    assert isinstance(taps, jax.Array)
    assert y.dtype == dtype
    expected = jax.lax.reduce_window(x.astype(jnp.float32), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "valid")
    np.testing.assert_array_equal(y.astype(jnp.float32), expected)


def test_vjp():
    x = jnp.asarray(X)
    y, pullback = fastpool.vjp(fastpool.avg_pool2d, x, 2)
    _, theirs = jax.vjp(
        lambda v: jax.lax.reduce_window(v, 0.0, jax.lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "valid") / 4, x
    )
    np.testing.assert_array_equal(pullback(y), theirs(y)[0])


def test_an_element_type_that_jax_lacks_is_refused_before_the_work():
    x = jnp.asarray(X, "int32")
    with pytest.raises(TypeError, match="dtype int64: jax holds no 64-bit elements while jax_enable_x64 is off"):
        fastpool.sum_pool2d(x, 2)
    with pytest.raises(TypeError, match=r"a result of dtype int64: .*return_indices='tap'"):
        fastpool.max_pool2d(x, 2, return_indices=True)
    with jax.enable_x64(True):
        y = fastpool.sum_pool2d(x, 2)
        assert y.dtype == "int64"
        np.testing.assert_array_equal(y, X.astype(int).reshape(2, 3, 2, 2, 3, 2).sum((3, 5)))


def test_what_jax_arrays_cannot_do():
    x = jnp.asarray(X)
    with pytest.raises(ValueError, match="jax arrays cannot be written to; leave it out for a new one"):
        fastpool.max_pool2d(x, 2, out=jnp.zeros((2, 3, 2, 3)))
    with pytest.raises(TypeError, match=r"jax is tracing, .*; call this function through jax.pure_callback"):
        jax.jit(lambda v: fastpool.max_pool2d(v, 2))(x)


def test_through_pure_callback():
    shape = jax.ShapeDtypeStruct((2, 3, 2, 3), jnp.float32)
    pooled = jax.jit(lambda v: jax.pure_callback(lambda a: fastpool.max_pool2d(a, 2), shape, v))(X)
    np.testing.assert_array_equal(pooled, X.reshape(2, 3, 2, 2, 3, 2).max((3, 5)))
