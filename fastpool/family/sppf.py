"""Chained maxima of stride 1, concatenated with what they were made of: fast spatial pyramid pooling."""

from __future__ import annotations

import itertools
import math
from typing import Any

from fastpool import arguments, config
from fastpool.arguments import Options
from fastpool.family import chaining, windowed
from fastpool.family.calls import Call
from fastpool.family.chaining import Chain
from fastpool.family.ranks import IMPORTS, page, words
from fastpool.functional._types import A, Device, Layout, Sizes
from fastpool.memory import Array
from fastpool.problem import Ints, Problem

__all__ = ["sppf_pool2d", "sppf_pool2d_backward"]


def _parts(array: Array, channel: int, count: int) -> list[Array]:
    """The blocks of channels of a concatenated array."""
    size = array.shape[channel] // count
    return [_channels(array, channel, slice(i * size, (i + 1) * size)) for i in range(count)]


def _channels(array: Array, channel: int, kept: slice) -> Array:
    index = [slice(None)] * array.ndim
    index[channel] = kept
    return array[tuple(index)]


def _prepared(call: Call, dtype: str, shape: Ints, kernel_size: object, layout: object) -> Problem:
    options = Options(kernel_size, 1, "same", layout=layout)
    return call.windows(dtype, shape, options, 2)


def _run(problem: Problem, x: Array, copy: Array | None, results: list[Array]) -> None:
    """Copy x, and pool it again and again, one group of planes after another."""
    moved = x.nbytes * (len(results) + 2)
    if moved <= chaining.CACHED_BYTES or config.engine() == "reference":
        if copy is not None:
            copy[...] = x
        for source, y in zip([x, *results[:-1]], results, strict=True):
            windowed.forward(problem, source, y)
        return
    steps = [
        (axis, x.shape[axis] // block, block)
        for axis, block in chaining.blocks(x, problem.axes, x.itemsize * (len(results) + 1))
    ]

    def build() -> chaining.Prepared:
        chain = Chain(math.prod(count for _, count, _ in steps))
        part = chaining.first(x, steps)
        if copy is not None:
            chain.copy((x, copy), (0, len(results) + 1), steps)
        for i, y in enumerate(results):
            source = results[i - 1] if i else x
            own = problem._replace(shape=part.shape)
            own = chaining.placed(own, chaining.first(source, steps), chaining.first(y, steps))
            chain.forward(own, chaining.places(source, steps, i), chaining.places(y, steps, i + 1))
        return chain.prepare()

    arrays = (x, *results) if copy is None else (x, *results, copy)
    chaining.prepared(("sppf", problem, copy is None), arrays, build).run(arrays, moved)


def sppf_pool2d(
    x: A,
    kernel_size: Sizes = 5,
    times: int = 3,
    *,
    concat: bool = True,
    layout: Layout = "channels_first",
    out: Any = None,
    device: Device = None,
) -> Any:
    """Maxima of stride 1, one of the other, ``times`` times, and all of them concatenated along the channels.

    Parameters
    ----------
    x : array
        Shape ``(..., C, H, W)``, or as ``layout`` says; floating.
    kernel_size : int or tuple of int
        Taps along each spatial axis.
    times : int
        How many poolings, at least 1.
    concat : bool
        Whether one array is returned, which begins with x; else the poolings are, without x.
    <layout>
    <outs>
    <device>

    Returns
    -------
    y : array or tuple of array
        x and its poolings, ``times + 1`` times as many channels as x has; or a tuple of ``times`` arrays like x.

    <raises>

    See Also
    --------
    sppf_pool2d_backward : its gradient.
    max_pool2d : one of the poolings.

    Notes
    -----
    A chain of three 5 x 5 maxima gives those of 5 x 5, 9 x 9 and 13 x 13, as YOLOv5's SPPF layer has them [1]_. Sizes
    stay: padding is ``"same"``. Each pooling is what ``max_pool2d`` gives for the one before, to the bit; a group of
    planes goes through all of them while it is in a cache, and they are written where the result is to have them.

    References
    ----------
    .. [1] Jocher et al., "YOLOv5", 2022, module SPPF.

    Examples
    --------
    <example>
    """
    call = Call("sppf_pool2d", device)
    source = call.take("x", x)
    data = source.data
    joined = arguments.flag("sppf_pool2d", "concat", concat)
    count = call.integer("times", times)
    problem = _prepared(call, source.dtype, data.shape, kernel_size, layout)
    if joined:
        channel = windowed.channel_axis(call, layout, problem.axes, data.ndim)
        shape = tuple(size * (count + 1) if axis == channel else size for axis, size in enumerate(data.shape))
        y = call.result("out", shape, source.dtype, out, data).data
        copy, *results = _parts(y, channel, count + 1)
    else:
        outs = call.outs(out, count)
        copy = None
        results = [call.result(f"out[{i}]", data.shape, source.dtype, outs[i], data).data for i in range(count)]
    if data.size:
        _run(problem, data, copy, results)
    return call.give() if joined else tuple(target.give() for target in call.targets)


def sppf_pool2d_backward(
    grad_output: Any,
    x: A,
    kernel_size: Sizes = 5,
    times: int = 3,
    *,
    concat: bool = True,
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Gradient of ``sppf_pool2d`` with respect to its input.

    Parameters
    ----------
    grad_output : array or tuple of array
        Gradient of what the forward returned.
    x : array
        The forward's input.
    kernel_size, times, concat
        As in the forward.
    <layout>
    <out>
    <device>

    Returns
    -------
    dx : array
        Gradient with respect to x: that of the last pooling goes to the maxima's places in the one before, to whose own
        gradient it is added, and so on. Of equal elements the first in row-major order of the window is the maximum.

    <raises>

    See Also
    --------
    sppf_pool2d : the forward.

    Examples
    --------
    <example>
    """
    call = Call("sppf_pool2d_backward", device)
    source = call.take("x", x)
    data = source.data
    joined = arguments.flag(call.called, "concat", concat)
    count = call.integer("times", times)
    problem = _prepared(call, source.dtype, data.shape, kernel_size, layout)
    parts: list[Array]
    if joined:
        channel = windowed.channel_axis(call, layout, problem.axes, data.ndim)
        shape = tuple(size * (count + 1) if axis == channel else size for axis, size in enumerate(data.shape))
        grad = call.take_like("grad_output", grad_output, shape, source.dtype, "the shape of the forward's result")
        parts = _parts(grad.data, channel, count + 1)
    else:
        if not isinstance(grad_output, tuple | list) or len(grad_output) != count:
            raise call.type_error("grad_output", f"must be a tuple of {count}, the gradient of each pooling")
        names = [f"grad_output[{i}]" for i in range(count)]
        parts = [
            call.take_like(name, part, data.shape, source.dtype, "the shape of x").data
            for name, part in zip(names, grad_output, strict=True)
        ]
    dx = call.result("out", data.shape, source.dtype, out, data)
    if data.size:
        levels = [data, *(windowed.like(problem, data) for _ in range(count - 1))]
        for level, after in itertools.pairwise(levels):
            windowed.forward(problem, level, after)
        running = parts[-1]
        own: list[Array | None] = [*parts[:-1]] if joined else [None, *parts[:-1]]
        for level, more in zip(reversed(levels), reversed(own), strict=True):
            back = windowed.like(problem, data) if more is not None or level is not data else dx.data
            windowed.backward(problem, running, back, level)
            if more is not None:
                running = dx.data if level is data else windowed.like(problem, data)
                windowed.blend("add", source.dtype, (back, more, running), problem.axes)
            else:
                running = back
    given: A = call.give()
    return given


page(
    sppf_pool2d,
    "sppf_pool2d",
    layout=words(2)["layout"],
    example=f"""{IMPORTS}
>>> x = np.zeros((1, 4, 4))
>>> x[0, 0, 0] = 1
>>> fastpool.sppf_pool2d(x, 3, 2)[2]
array([[1., 1., 1., 0.],
       [1., 1., 1., 0.],
       [1., 1., 1., 0.],
       [0., 0., 0., 0.]])""",
)
page(
    sppf_pool2d_backward,
    "sppf_pool2d_backward",
    layout=words(2)["layout"],
    example=f"""{IMPORTS}
>>> fastpool.sppf_pool2d_backward(np.ones((2, 1, 3)), np.array([[[1.0, 3.0, 2.0]]]), 3, 1)
array([[[1., 4., 1.]]])""",
)
