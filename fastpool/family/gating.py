"""Gated pooling: a maximum and a mean, weighed by a gate that is made of the window's elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastpool.arguments import Options
from fastpool.family import mixing, windowed
from fastpool.family.calls import REALS, Call
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, Layout, Padding, Sizes
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Problem

__all__ = [
    "gated_pool1d",
    "gated_pool1d_backward",
    "gated_pool2d",
    "gated_pool2d_backward",
    "gated_pool3d",
    "gated_pool3d_backward",
]


class _Gate:
    """The parameters of a call: what came in, and both as arrays with the axes of x, those of batches repeated."""

    def __init__(self, call: Call, problem: Problem, weight: object, bias: object, layout: object) -> None:
        shape, axes = problem.shape, problem.axes
        self.channel = -1
        self.per_channel = False
        given = call.take("weight", weight, (problem.dtype,)).data
        kernel = problem.kernel
        if given.shape != kernel:
            self.channel = windowed.channel_axis(call, layout, axes, len(shape))
            wanted = (shape[self.channel], *kernel)
            self.per_channel = True
            if given.shape != wanted:
                rule = f"it must have a window's shape, {kernel}, or one for each channel, {wanted}"
                raise call.value_error(f"weight of shape {given.shape}", rule)
        self.weight = given
        self.number_bias = isinstance(bias, int | float | np.integer | np.floating)
        if self.number_bias:
            biases = np.full((), call.number("bias", bias), given.dtype)
        else:
            self.channel = windowed.channel_axis(call, layout, axes, len(shape))
            biases = call.take("bias", bias, (problem.dtype,)).data
            call.check_shape("bias", biases, (shape[self.channel],), "an entry for each channel")
        self.weights = self._spread(given, kernel, problem, self.per_channel)
        self.biases = self._spread(biases, (1,) * len(kernel), problem, not self.number_bias)

    def _spread(self, given: Array, kernel: tuple[int, ...], problem: Problem, per_channel: bool) -> Array:
        """With the axes of x, of which the spatial ones have these sizes."""
        full = list(problem.shape)
        own = [1] * len(full)
        for axis, size in zip(problem.axes, kernel, strict=True):
            full[axis] = own[axis] = size
        if not per_channel:
            if given.ndim == 0:
                return np.broadcast_to(given, full)
            return np.broadcast_to(given.reshape(own), full)
        own[self.channel] = full[self.channel]
        # axes of a window stay in their order; that of channels may come behind them
        moved = given.reshape(given.shape[0], *kernel)
        if self.channel > problem.axes[0]:
            moved = np.moveaxis(moved, 0, -1)
        return np.broadcast_to(moved.reshape(own), full)


def _gates(problem: Problem, x: Array, gate: _Gate) -> Array:
    """The share of the maximum in each window."""
    found = windowed.like(problem, x)
    program = Program("gate", ("forward", problem.dtype))
    windowed.run_windows(program, problem, (x, gate.weights, gate.biases, found), "windows", 1, 1)
    return found


def _prepared(call: Call, n: int, x: object, options: Options) -> tuple[Problem, Array]:
    source = call.take("x", x, REALS)
    return call.windows(source.dtype, source.data.shape, options, n, "mean"), source.data


def _forward(
    called: str, n: int, x: A, options: Options, weight: object, bias: object, out: object, device: object
) -> A:
    call = Call(called, device)
    problem, data = _prepared(call, n, x, options)
    gate = _Gate(call, problem, weight, bias, options.layout)
    y = call.result("out", problem.out_shape, problem.dtype, out, data)
    if y.data.size:
        mixing.mix_into(problem, data, _gates(problem, data, gate), y.data)
    given: A = call.give()
    return given


def _backward(
    called: str, n: int, grad_output: A, x: A, options: Options, weight: object, bias: object, out: Any, device: object
) -> tuple[A, A, Any]:
    call = Call(called, device)
    problem, data = _prepared(call, n, x, options)
    dtype = problem.dtype
    grad = call.take_like(
        "grad_output", grad_output, problem.out_shape, dtype, "the shape of the forward's result"
    ).data
    gate = _Gate(call, problem, weight, bias, options.layout)
    outs = call.outs(out, 2 if gate.number_bias else 3)
    dx = call.result("out[0]", data.shape, dtype, outs[0], data)
    dw = call.result("out[1]", gate.weight.shape, dtype, outs[1])
    db = None if gate.number_bias else call.result("out[2]", (data.shape[gate.channel],), dtype, outs[2])
    sums = np.zeros((1, *gate.weight.shape))
    slopes = np.zeros((0, 1))
    if data.size:
        gates = _gates(problem, data, gate)
        most, mean = mixing.both(problem, data)
        # of the gate's argument: g (max - mean) a (1 - a)
        slope = np.subtract(most, mean)
        # a window without a tap
        slope[np.isneginf(most) & (mean == 0)] = 0
        slope *= grad
        slope *= gates
        slope *= 1 - gates
        np.multiply(grad, gates, out=most)
        np.subtract(grad, most, out=mean)
        windowed.add_gradients(problem, (most, mean), data, dx.data)
        arrays = (data, dx.data, gate.weights, slope)
        windowed.run_windows(Program("gate", ("backward", dtype)), problem, arrays, "x", 1, 1)
        sums, slopes = _parameter_sums(problem, data, slope, gate)
    dw.data[...] = sums.sum(axis=0) if gate.per_channel else sums.reshape(-1, *problem.kernel).sum(axis=0)
    if db is None:
        return dx.give(), dw.give(), float(slopes.sum())
    db.data[...] = slopes.sum(axis=0)
    return dx.give(), dw.give(), db.give()


def _parameter_sums(problem: Problem, x: Array, slope: Array, gate: _Gate) -> tuple[Array, Array]:
    """Sums of slope times tap, and of slopes, in float64: for each plane, (batch, channels, window) and (batch,
    channels), where the axis of channels is known; in an order that is that of no layout.
    """
    axes, shape = problem.axes, list(problem.shape)
    for axis, size in zip(axes, problem.kernel, strict=True):
        shape[axis] = size
    sums = np.zeros(shape)
    taps = math.prod(problem.kernel)
    windowed.run_windows(
        Program("gate", ("weights", problem.dtype)),
        problem,
        (x, sums, slope),
        "planes",
        1,
        1 + taps * 2,
        more=64 * taps,
    )
    nothing = np.broadcast_to(slope.dtype.type(0), slope.shape)
    each = np.broadcast_to(slope.dtype.type(1), slope.shape)
    total = np.zeros([1 if axis in axes else size for axis, size in enumerate(shape)])
    windowed.blend("weigh", problem.dtype, (slope, nothing, each, total), axes)
    order = [axis for axis in range(len(shape)) if axis not in axes]
    if gate.channel >= 0:
        order.remove(gate.channel)
        order.append(gate.channel)
    last = shape[gate.channel] if gate.channel >= 0 else 1
    by_plane = np.ascontiguousarray(sums.transpose(*order, *axes)).reshape(-1, last, *problem.kernel)
    return by_plane, np.ascontiguousarray(total.transpose(*order, *axes)).reshape(-1, last)


GATE = """weight : array
    The gate's weights: of a window's shape, or with an axis of channels before; x's dtype.
bias : float or array
    What is added to the weighed sum: a number, or an array of one for each channel."""


def _pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        *,
        weight: A,
        bias: Any = 0.0,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gated pooling over <axes>: ``a * max + (1 - a) * mean``, ``a = sigmoid(sum(weight * x) + bias)``.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says; float32 or float64.
        <window>
        <average>
        <gate>
        <layout>
        <out>
        <device>

        Returns
        -------
        y : array
            dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        gated_pool<n>d_backward : its gradient, with those of ``weight`` and ``bias``.
        mixed_pool<n>d : the share does not depend on the window.

        Notes
        -----
        A window without a tap on the input gives 0. The gate looks at the window [1]_: taps on the padding count as 0
        for it. Its sum runs over the taps in row-major order. The maximum and the mean are those of ``max_pool<n>d``
        and ``avg_pool<n>d``.

        References
        ----------
        .. [1] Lee, Gallagher and Tu, "Generalizing Pooling Functions in Convolutional Neural Networks: Mixed, Gated,
           and Tree", 2016.

        Examples
        --------
        <example>
        """
        options = Options(
            kernel_size, stride, padding, dilation, ceil_mode, layout, count_include_pad=count_include_pad
        )
        return _forward(f"gated_pool{n}d", n, x, options, weight, bias, out, device)

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
        count_include_pad: bool = True,
        *,
        weight: A,
        bias: Any = 0.0,
        layout: Layout = "channels_first",
        out: Any = None,
        device: Device = None,
    ) -> tuple[A, A, Any]:
        """Gradients of ``gated_pool<n>d`` with respect to its input, ``weight`` and ``bias``.

        Parameters
        ----------
        grad_output : array
            Gradient of the result.
        x : array
            The forward's input.
        <window>
        <average>
        <gate>
        <layout>
        <outs>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x: that of the maximum, of the mean, and of the gate's argument, in this order.
        dweight : array
            Gradient with respect to ``weight``, summed in float64.
        dbias : float or array
            Gradient with respect to ``bias``: a float where that is a number, and then ``out`` is a pair.

        <raises>

        See Also
        --------
        gated_pool<n>d : the forward.

        Examples
        --------
        <example>
        """
        options = Options(
            kernel_size, stride, padding, dilation, ceil_mode, layout, count_include_pad=count_include_pad
        )
        return _backward(f"gated_pool{n}d_backward", n, grad_output, x, options, weight, bias, out, device)

    return pool_backward


gated_pool1d, gated_pool2d, gated_pool3d = ranked(
    _pool,
    "gated_pool{n}d",
    {
        1: """
        >>> fastpool.gated_pool1d(np.array([1.0, 3.0, 5.0, 9.0]), 2, weight=np.array([1.0, -1.0]))
        array([2.11920292, 7.03597242])
        """,
        2: """
        >>> fastpool.gated_pool2d(np.arange(4.0).reshape(2, 2), 2, weight=np.zeros((2, 2)))
        array([[2.25]])
        """,
        3: """
        >>> fastpool.gated_pool3d(np.arange(8.0).reshape(2, 2, 2), 2, weight=np.zeros((2, 2, 2)), bias=99.0)
        array([[[7.]]])
        """,
    },
    gate=GATE,
    average=mixing.AVERAGE,
)
gated_pool1d_backward, gated_pool2d_backward, gated_pool3d_backward = ranked(
    _pool_backward,
    "gated_pool{n}d_backward",
    {
        1: """
        >>> x, w = np.array([1.0, 3.0]), np.zeros(2)
        >>> fastpool.gated_pool1d_backward(np.ones(1), x, 2, weight=w)
        (array([0.25, 0.75]), array([0.25, 0.75]), 0.25)
        """,
        2: """
        >>> x, w = np.array([[1.0, 3.0]]), np.zeros((1, 2))
        >>> dx, dw, db = fastpool.gated_pool2d_backward(np.ones((1, 1)), x, (1, 2), weight=w)
        >>> dw
        array([[0.25, 0.75]])
        """,
        3: """
        >>> x, w = np.array([[[1.0, 3.0]]]), np.zeros((1, 1, 2))
        >>> fastpool.gated_pool3d_backward(np.ones((1, 1, 1)), x, (1, 1, 2), weight=w)[0]
        array([[[0.25, 0.75]]])
        """,
    },
    gate=GATE,
    average=mixing.AVERAGE,
)
