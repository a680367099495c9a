"""Mixed pooling: a maximum and a mean, weighed by a number or by one for each channel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastpool import config
from fastpool.arguments import Options
from fastpool.family import chaining, windowed
from fastpool.family.calls import Call
from fastpool.family.chaining import Chain
from fastpool.family.framing import Frame
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, Layout, Padding, Sizes
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Problem

__all__ = [
    "mixed_pool1d",
    "mixed_pool1d_backward",
    "mixed_pool2d",
    "mixed_pool2d_backward",
    "mixed_pool3d",
    "mixed_pool3d_backward",
]

WEIGHTS = {"f16": "f32", "bf16": "f32", "f32": "f32", "f64": "f64"}
"""The element type of weights, by that of x: what elements are computed as."""


def _weights(call: Call, mix: object, dtype: str, problem: Problem, layout: object) -> tuple[Array, int]:
    """The share of the maximum, as an array that has the axes of the result, and the axis of channels, or -1."""
    value = windowed.VALUES[dtype]
    rank = len(problem.shape)
    if isinstance(mix, int | float | np.integer | np.floating):
        return np.full((1,) * rank, call.number("mix", mix), value), -1
    channel = windowed.channel_axis(call, layout, problem.axes, rank)
    given = call.take("mix", mix, (WEIGHTS[dtype],)).data
    call.check_shape("mix", given, (problem.shape[channel],), "an entry for each channel")
    shape = [1] * rank
    shape[channel] = given.size
    return given.reshape(shape), channel


def _pair(problem: Problem) -> tuple[Problem, Problem]:
    return problem._replace(op="max", include_pad=True, divisor=0), problem


def both(problem: Problem, x: Array) -> tuple[Array, Array]:
    """The maxima and the means, as new arrays."""
    results = [windowed.like(problem, x) for _ in range(2)]
    chaining.in_turns(_pair(problem), x, results)
    return results[0], results[1]


def mix_into(problem: Problem, x: Array, weights: Array, y: Array) -> None:
    """Write w max + (1 - w) mean, one group of planes after another: ``weights`` have the shape of y."""
    cuts = chaining.blocks(x, problem.axes, 2 * x.itemsize)
    steps = [(axis, x.shape[axis] // block, block) for axis, block in cuts]
    part, to, share = (chaining.first(array, steps) for array in (x, y, weights))
    if part.nbytes > chaining.CACHED_BYTES or not steps or config.engine() == "reference":
        windowed.blend("mix", problem.dtype, (*both(problem, x), weights, y), problem.axes)
        return

    def build() -> chaining.Prepared:
        own = problem._replace(shape=part.shape)
        results = [windowed.like(own, part) for _ in range(2)]
        pitch = -(-to.nbytes // 64) * 64
        chain = Chain(math.prod(count for _, count, _ in steps), 2 * pitch)
        local = [chaining.local(i * pitch) for i in range(2)]
        for pooling, result, place in zip(_pair(own), results, local, strict=True):
            chain.forward(chaining.placed(pooling, part, result), chaining.places(x, steps, 0), place)
        frame = Frame((*results, share, to), problem.axes)
        rows = frame.outer * math.prod(to.shape[axis] for axis in problem.axes[:-1])
        buffers: tuple[chaining.Place, ...] = (*local, chaining.places(weights, steps, 1), chaining.places(y, steps, 2))
        chain.program(Program("blend", ("mix", problem.dtype)), frame.plan, buffers, rows)
        return chain.prepare()

    arrays = (x, weights, y)
    chaining.prepared(("mix", problem), arrays, build).run(arrays, x.nbytes + y.nbytes)


def weighed(most: Array, mean: Array, grad: Array, dtype: str, problem: Problem, channel: int) -> Array:
    """The sum of g (max - mean) for each channel, or of all: planes in the order of the logical array, in float64."""
    shape = tuple(1 if axis in problem.axes else size for axis, size in enumerate(problem.shape))
    sums = np.zeros(shape, np.float64)
    windowed.blend("weigh", dtype, (most, mean, grad, sums), problem.axes)
    if channel < 0:
        return np.array(sums.reshape(-1).sum())
    # in an order that is that of no layout
    planes = np.ascontiguousarray(np.moveaxis(sums, channel, 0).reshape(shape[channel], -1))
    found: Array = planes.sum(axis=1)
    return found


def _forward(called: str, n: int, x: A, options: Options, mix: object, out: object, device: object) -> A:
    call = Call(called, device)
    source = call.take("x", x)
    problem = call.windows(source.dtype, source.data.shape, options, n, "mean")
    weights, _ = _weights(call, mix, source.dtype, problem, options.layout)
    y = call.result("out", problem.out_shape, source.dtype, out, source.data)
    if y.data.size:
        mix_into(problem, source.data, np.broadcast_to(weights, problem.out_shape), y.data)
    given: A = call.give()
    return given


def _backward(
    called: str, n: int, grad_output: A, x: A, options: Options, mix: object, out: Any, device: object
) -> tuple[A, Any]:
    call = Call(called, device)
    source = call.take("x", x)
    dtype, data = source.dtype, source.data
    problem = call.windows(dtype, data.shape, options, n, "mean")
    grad = call.take_like(
        "grad_output", grad_output, problem.out_shape, dtype, "the shape of the forward's result"
    ).data
    weights, channel = _weights(call, mix, dtype, problem, options.layout)
    outs = call.outs(out, 2) if channel >= 0 else (out,)
    dx = call.result("out", data.shape, dtype, outs[0], data)
    share = np.zeros(())
    target = None
    if channel >= 0:
        target = call.result("out[1]", (data.shape[channel],), WEIGHTS[dtype], outs[1])
        share = np.zeros(data.shape[channel])
    if data.size:
        most, mean = both(problem, data)
        share = weighed(most, mean, grad, dtype, problem, channel)
        windowed.blend("part", dtype, (grad, np.broadcast_to(weights, grad.shape), most, mean), problem.axes)
        windowed.add_gradients(problem, (most, mean), data, dx.data)
    if target is None:
        return dx.give(), float(share)
    target.data[...] = share
    return dx.give(), target.give()


MIX = """mix : float or array
    The share of the maximum, usually from 0 to 1: a number, or an array of one for each channel (float64 for x of
    float64, else float32)."""
AVERAGE = """count_include_pad : bool
    Whether the mean divides by the padding, too."""


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
        mix: Any = 0.5,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Mixed pooling over <axes>: ``mix * max + (1 - mix) * mean`` of each window.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says; floating.
        <window>
        <average>
        <mix>
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
        mixed_pool<n>d_backward : its gradient, with that of ``mix``.
        gated_pool<n>d : the share is made of the window's elements.

        Notes
        -----
        The maximum and the mean are those of ``max_pool<n>d`` and ``avg_pool<n>d``, rounded to the dtype of x (which
        matters for float16 and bfloat16) [1]_ [2]_. A window without a tap on the input gives 0.

        References
        ----------
        .. [1] Yu et al., "Mixed Pooling for Convolutional Neural Networks", 2014.
        .. [2] Lee, Gallagher and Tu, "Generalizing Pooling Functions in Convolutional Neural Networks: Mixed, Gated,
           and Tree", 2016.

        Examples
        --------
        <example>
        """
        options = Options(
            kernel_size, stride, padding, dilation, ceil_mode, layout, count_include_pad=count_include_pad
        )
        return _forward(f"mixed_pool{n}d", n, x, options, mix, out, device)

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
        mix: Any = 0.5,
        layout: Layout = "channels_first",
        out: Any = None,
        device: Device = None,
    ) -> tuple[A, Any]:
        """Gradients of ``mixed_pool<n>d`` with respect to its input and to ``mix``.

        Parameters
        ----------
        grad_output : array
            Gradient of the result.
        x : array
            The forward's input.
        <window>
        <average>
        <mix>
        <layout>
        <outs>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x: that of the maximum (of equal elements the first in row-major order of the
            window) for ``mix * grad_output``, plus that of the mean for the rest, each rounded to the dtype of x.
        dmix : float or array
            Gradient with respect to ``mix``: a float where that is a number, and then ``out`` is dx alone. Summed in
            float64: in a plane for each column of results, then over the columns; then over the planes.

        <raises>

        See Also
        --------
        mixed_pool<n>d : the forward.

        Examples
        --------
        <example>
        """
        options = Options(
            kernel_size, stride, padding, dilation, ceil_mode, layout, count_include_pad=count_include_pad
        )
        return _backward(f"mixed_pool{n}d_backward", n, grad_output, x, options, mix, out, device)

    return pool_backward


mixed_pool1d, mixed_pool2d, mixed_pool3d = ranked(
    _pool,
    "mixed_pool{n}d",
    {
        1: """
        >>> fastpool.mixed_pool1d(np.array([1.0, 3.0, 5.0, 9.0]), 2)
        array([2.5, 8. ])
        """,
        2: """
        >>> x = np.arange(8.0).reshape(2, 2, 2)
        >>> fastpool.mixed_pool2d(x, 2, mix=np.array([1.0, 0.0])).ravel()
        array([3. , 5.5])
        """,
        3: """
        >>> fastpool.mixed_pool3d(np.arange(8.0).reshape(2, 2, 2), 2, mix=0.25)
        array([[[4.375]]])
        """,
    },
    mix=MIX,
    average=AVERAGE,
)
mixed_pool1d_backward, mixed_pool2d_backward, mixed_pool3d_backward = ranked(
    _pool_backward,
    "mixed_pool{n}d_backward",
    {
        1: """
        >>> fastpool.mixed_pool1d_backward(np.ones(2), np.array([1.0, 3.0, 5.0, 9.0]), 2)
        (array([0.25, 0.75, 0.25, 0.75]), 3.0)
        """,
        2: """
        >>> dx, dmix = fastpool.mixed_pool2d_backward(np.ones((1, 1)), np.arange(4.0).reshape(2, 2), 2, mix=0.0)
        >>> dx
        array([[0.25, 0.25],
               [0.25, 0.25]])
        """,
        3: """
        >>> fastpool.mixed_pool3d_backward(np.ones((1, 1, 1)), np.arange(2.0).reshape(1, 1, 2), (1, 1, 2), mix=1.0)
        (array([[[0., 1.]]]), 0.5)
        """,
    },
    mix=MIX,
    average=AVERAGE,
)
