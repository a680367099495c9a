"""The same problem in JAX: a ``reduce_window`` over the array as it is, compiled by XLA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastpool.bench.data import Prepared, inputs
from fastpool.bench.planes import Planes, is_global, need, need_plain
from fastpool.problem import Problem


def prepare(problem: Problem) -> Prepared:
    """JAX's call for a problem, which waits for the result.

    Parameters
    ----------
    problem : Problem

    Raises
    ------
    Unsupported
        If it has no such pooling, or one that computes something else.
    """
    import jax

    need_plain(problem)
    Planes.of(problem)
    need(problem.direction == "bwd" or not problem.indices, "has no indices")
    need(problem.op in ("max", "mean"), f"has no {problem.op} pooling that computes the same")
    jax.config.update("jax_enable_x64", True)
    given = inputs(problem)
    pool = _pool(problem, given.x.dtype)
    x = jax.numpy.asarray(given.x)
    if problem.direction == "bwd":
        need(set(problem.dilation) == {1}, "has no gradient with dilation")
        dy = jax.numpy.asarray(given.dy)
        compiled = jax.jit(lambda v, d: jax.vjp(pool, v)[1](d)[0])
        call: Callable[[], Any] = lambda: compiled(x, dy).block_until_ready()  # noqa: E731
    else:
        forward = jax.jit(pool)
        call = lambda: forward(x).block_until_ready()  # noqa: E731
    return Prepared(call, (np.asarray(call()),))


def _pool(problem: Problem, dtype: Any) -> Callable[[Any], Any]:
    import jax

    if is_global(problem) and problem.op == "mean":
        return lambda x: x.mean(problem.axes, keepdims=True)
    window, strides, dilation = ([1] * len(problem.shape) for _ in range(3))
    pads = [(0, 0)] * len(problem.shape)
    for i, axis in enumerate(problem.axes):
        window[axis], strides[axis], dilation[axis] = problem.kernel[i], problem.stride[i], problem.dilation[i]
        reach = (problem.outputs[i] - 1) * problem.stride[i] + (problem.kernel[i] - 1) * problem.dilation[i] + 1
        lo, hi = problem.pad_begin[i], problem.pad_end[i]
        # ceil mode: a last window that reaches beyond the padding
        pads[axis] = lo, max(hi, reach - problem.shape[axis] - lo)
        if problem.op == "mean":
            need(pads[axis][1] == hi, "has no means of partial windows")
    if problem.op == "max":
        least = np.array(
            -np.inf if np.issubdtype(dtype, np.inexact) or problem.dtype == "bf16" else np.iinfo(dtype).min
        )
        identity = least.astype(dtype)[()]
        return lambda x: jax.lax.reduce_window(
            x, identity, jax.lax.max, window, strides, pads, window_dilation=dilation
        )
    need(problem.dtype in ("f16", "bf16", "f32", "f64"), "has means of floats alone")
    need(problem.include_pad or not any(problem.pad_begin + problem.pad_end), "counts the padding in means")
    zero = np.zeros((), dtype)[()]
    return lambda x: (
        jax.lax.reduce_window(x, zero, jax.lax.add, window, strides, pads, window_dilation=dilation) / problem.taps
    )
