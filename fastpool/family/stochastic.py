"""Stochastic pooling: a tap drawn by its share of the window's sum, and its expected value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from fastpool import arguments
from fastpool.arguments import Options
from fastpool.family import windowed
from fastpool.family.calls import FLOATS, Call
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, Layout, Padding, Sizes
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Problem

__all__ = [
    "stochastic_pool1d",
    "stochastic_pool1d_backward",
    "stochastic_pool2d",
    "stochastic_pool2d_backward",
    "stochastic_pool3d",
    "stochastic_pool3d_backward",
]

Plane: TypeAlias = Literal["plane"]
MOST_TAPS = {"f16": 2**24, "bf16": 2**24, "f32": 2**24, "f64": 2**53}
"""Taps of a window that the values of an element type can number."""


def _seed(call: Call, seed: object, training: bool) -> int:
    if seed is None:
        if training:
            raise call.type_error("seed=None", "a draw needs a seed", "give an integer, another one for each step")
        return 0
    return call.integer("seed", seed, 0)


def _numbers(problem: Problem) -> Array:
    """An array that has no memory: its strides are those of the outputs' numbers, in the order of channels first."""
    axes, shape = problem.axes, problem.out_shape
    strides, step = [0] * len(shape), 1
    for axis in reversed([*(a for a in range(len(shape)) if a not in axes), *axes]):
        strides[axis] = step
        step *= shape[axis]
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), shape, strides)


def _sample(problem: Problem, x: Array, seed: int, y: Array, indices: Array | None) -> None:
    to = np.lib.stride_tricks.as_strided(np.zeros(1, np.int64), y.shape, (0,) * y.ndim) if indices is None else indices
    key = (seed & 0xFFFFFFFF, seed >> 32, int(indices is not None))
    arrays = (x, _numbers(problem), to, y)
    program = Program("draw", ("sample", problem.dtype))
    windowed.run_windows(program, problem, arrays, "windows", math.prod(problem.kernel[:-1]), 6, key)


def _prepared(call: Call, n: int, x: object, options: Options) -> tuple[Problem, Array]:
    source = call.take("x", x, FLOATS)
    problem = call.windows(source.dtype, source.data.shape, options, n)
    if problem.taps > MOST_TAPS[source.dtype]:
        rule = f"at most {MOST_TAPS[source.dtype]} taps can be numbered"
        raise call.value_error(f"kernel size {problem.kernel}", rule, "use a smaller window, or float64")
    return problem, source.data


def _forward(
    called: str,
    n: int,
    x: A,
    options: Options,
    seed: object,
    training: object,
    return_indices: object,
    out: Any,
    device: object,
) -> Any:
    call = Call(called, device)
    problem, data = _prepared(call, n, x, options)
    drawn = arguments.flag(called, "training", training)
    number = _seed(call, seed, drawn)
    kind = arguments.index_kind(called, "return_indices", return_indices)
    if kind not in ("", "plane"):
        raise call.value_error(f"return_indices={kind!r}", "its indices are flat in the plane", "give True")
    if kind and not drawn:
        raise call.value_error("return_indices with training=False", "nothing is drawn then", "leave it out")
    outs = call.outs(out, 2 if kind else 1)
    y = call.result("out[0]" if kind else "out", problem.out_shape, problem.dtype, outs[0], data)
    indices = call.result("out[1]", problem.out_shape, "i64", outs[1], data).data if kind else None
    if not drawn:
        program = Program("draw", ("expect", problem.dtype))
        windowed.run_windows(program, problem, (data, y.data), "windows", 1, 2)
    else:
        _sample(problem, data, number, y.data, indices)
    return call.give()


def _backward(
    called: str,
    n: int,
    grad_output: A,
    x: A,
    options: Options,
    seed: object,
    training: object,
    indices: object,
    out: object,
    device: object,
) -> A:
    call = Call(called, device)
    problem, data = _prepared(call, n, x, options)
    dtype = problem.dtype
    drawn = arguments.flag(called, "training", training)
    grad = call.take_like(
        "grad_output", grad_output, problem.out_shape, dtype, "the shape of the forward's result"
    ).data
    taps = None
    number = 0
    if indices is not None:
        if not drawn:
            raise call.value_error("indices with training=False", "nothing is drawn then", "leave them out")
        taps = call.take_like("indices", indices, problem.out_shape, "i64", "the shape of the forward's result").data
    else:
        number = _seed(call, seed, drawn)
    dx = call.result("out", data.shape, dtype, out, data)
    if not data.size:
        pass
    elif drawn:
        if taps is None:
            order = windowed.like(problem, data)
            taps = np.empty_like(order, np.int64)
            _sample(problem, data, number, order, taps)
        wrong = windowed.backward(problem, grad, dx.data, None, taps)
        if wrong:
            raise call.value_error("indices", wrong, "give those that the forward returned")
    else:
        value = windowed.VALUES[dtype]
        parts = [np.empty_like(windowed.like(problem, data), value) for _ in range(2)]
        slopes = Program("draw", ("slopes", dtype))
        windowed.run_windows(slopes, problem, (data, grad, *parts), "windows", 1, 2)
        back = Program("draw", ("backward", dtype))
        windowed.run_windows(back, problem, (data, dx.data, *parts), "x", 2, 2)
    given: A = call.give()
    return given


SEED = """seed : int
    From 0 to ``2**63 - 1``: the same seed draws the same taps. Needed to draw.
training : bool
    Draw a tap; else give the expected value."""


def _pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool | Plane = False,
        *,
        seed: int | None = None,
        training: bool = True,
        layout: Layout = "channels_first",
        out: Any = None,
        device: Device = None,
    ) -> Any:
        """Stochastic pooling over <axes>: one tap of each window, drawn with a probability of its share of the sum.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says; floating. Elements below 0 count as 0.
        <window>
        return_indices : bool or "plane"
            Also return where the taps drawn lie: int64, flat in the plane.
        <seed>
        <layout>
        <outs>
        <device>

        Returns
        -------
        y : array
            The taps drawn, or with ``training=False`` ``sum(x**2) / sum(x)``; 0 for a window of zeros. dtype and kind
            of array are those of x. A window whose sum is not finite gives NaN.
        indices : array
            Where asked for; -1 for a window of zeros.

        <raises>

        See Also
        --------
        stochastic_pool<n>d_backward : its gradient.

        Notes
        -----
        The tap drawn [1]_ is the first one, in row-major order of the window, at which the running sum passes u times
        the whole. u is a number of 53 bits made by Philox4x32-10 [2]_, with the seed as its key and as its counter the
        output's number in row-major order, channels before the spatial axes: the draw is the same for every layout and
        number of threads. Padding is never drawn.

        References
        ----------
        .. [1] Zeiler and Fergus, "Stochastic Pooling for Regularization of Deep Convolutional Neural Networks", 2013.
        .. [2] Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.

        Examples
        --------
        <example>
        """
        options = Options(kernel_size, stride, padding, dilation, ceil_mode, layout)
        return _forward(f"stochastic_pool{n}d", n, x, options, seed, training, return_indices, out, device)

    return pool


def _pool_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        seed: int | None = None,
        training: bool = True,
        indices: A | None = None,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of ``stochastic_pool<n>d`` with respect to its input.

        Parameters
        ----------
        grad_output : array
            Gradient of the result.
        x : array
            The forward's input.
        <window>
        <seed>
        indices : array, optional
            Those that the forward returned; without them the taps are drawn again, by the forward's seed.
        <layout>
        <out>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x. Of a draw: each tap drawn gets the gradient of its window. Of the expected
            value, with S and Q the sums of x and of its square: over the windows that hold an element above 0, in
            row-major order, the sum of ``(2 * x * S - Q) / S**2`` times the window's gradient.

        <raises>

        See Also
        --------
        stochastic_pool<n>d : the forward.

        Examples
        --------
        <example>
        """
        options = Options(kernel_size, stride, padding, dilation, ceil_mode, layout)
        called = f"stochastic_pool{n}d_backward"
        return _backward(called, n, grad_output, x, options, seed, training, indices, out, device)

    return pool_backward


stochastic_pool1d, stochastic_pool2d, stochastic_pool3d = ranked(
    _pool,
    "stochastic_pool{n}d",
    {
        1: """
        >>> fastpool.stochastic_pool1d(np.array([1.0, 3.0, 0.0, 9.0]), 2, training=False)
        array([2.5, 9. ])
        """,
        2: """
        >>> y, where = fastpool.stochastic_pool2d(np.array([[0.0, 7.0]]), (1, 2), return_indices=True, seed=1)
        >>> y, where
        (array([[7.]]), array([[1]]))
        """,
        3: """
        >>> fastpool.stochastic_pool3d(np.ones((2, 2, 2)), 2, seed=1)
        array([[[1.]]])
        """,
    },
    seed=SEED,
)
stochastic_pool1d_backward, stochastic_pool2d_backward, stochastic_pool3d_backward = ranked(
    _pool_backward,
    "stochastic_pool{n}d_backward",
    {
        1: """
        >>> fastpool.stochastic_pool1d_backward(np.ones(1), np.array([1.0, 3.0]), 2, training=False)
        array([-0.125,  0.875])
        """,
        2: """
        >>> fastpool.stochastic_pool2d_backward(np.ones((1, 1)), np.array([[0.0, 7.0]]), (1, 2), seed=1)
        array([[0., 1.]])
        """,
        3: """
        >>> fastpool.stochastic_pool3d_backward(np.ones((1, 1, 1)), np.array([[[0.0, 7.0]]]), (1, 1, 2), seed=1)
        array([[[0., 1.]]])
        """,
    },
    seed=SEED,
)
