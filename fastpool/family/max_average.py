"""Maximum and mean of each window from one reading of x, over windows and over whole planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from fastpool import arguments
from fastpool.arguments import Options
from fastpool.family import chaining, windowed
from fastpool.family.calls import Call
from fastpool.family.ranks import GLOBAL_LAYOUT, IMPORTS, page, ranked
from fastpool.functional._types import A, Device, Layout, Padding, Sizes
from fastpool.memory import Array
from fastpool.problem import Ints, Problem

__all__ = [
    "global_max_avg_pool",
    "global_max_avg_pool_backward",
    "max_avg_pool1d",
    "max_avg_pool1d_backward",
    "max_avg_pool2d",
    "max_avg_pool2d_backward",
    "max_avg_pool3d",
    "max_avg_pool3d_backward",
]


def _dropped(shape: Ints, problem: Problem, keepdims: bool) -> Ints:
    return shape if keepdims else tuple(n for axis, n in enumerate(shape) if axis not in problem.axes)


def _forward(
    called: str, place: int | str, x: A, options: Options, keepdims: object, out: Any, device: object, over: object = ""
) -> tuple[A, A]:
    call = Call(called, device)
    source = call.take("x", x)
    keep = arguments.flag(called, "keepdims", keepdims)
    if over:
        options, place = _whole(call, over, options.layout, source.data.shape)
    problem = call.windows(source.dtype, source.data.shape, options, place, "mean")
    outs = call.outs(out, 2)
    results: list[Array] = []
    for i in range(2):
        shape = _dropped(problem.out_shape, problem, keep)
        made = call.result(f"out[{i}]", shape, source.dtype, outs[i], source.data).data
        results.append(_expanded(made, problem, keep))
    if results[0].size:
        poolings = (problem._replace(op="max", include_pad=True, divisor=0), problem)
        chaining.in_turns(poolings, source.data, results)
    given: tuple[A, A] = call.give()
    return given


def _expanded(array: Array, problem: Problem, keepdims: bool) -> Array:
    return array if keepdims else np.expand_dims(array, problem.axes)


def _backward(
    called: str, place: int | str, grads: Any, x: A, options: Options, out: Any, device: object, over: object = ""
) -> A:
    call = Call(called, device)
    if not isinstance(grads, tuple | list) or len(grads) != 2:
        raise call.type_error("grad_output", "must be a pair: that of the maxima and that of the means")
    source = call.take("x", x)
    if over:
        options, place = _whole(call, over, options.layout, source.data.shape)
    problem = call.windows(source.dtype, source.data.shape, options, place, "mean")
    parts = []
    for i, grad in enumerate(grads):
        part = call.take(f"grad_output[{i}]", grad, (source.dtype,)).data
        if over and part.ndim < len(problem.shape):
            call.check_shape(
                f"grad_output[{i}]", part, _dropped(problem.out_shape, problem, False), "the result's shape"
            )
            part = _expanded(part, problem, False)
        call.check_shape(f"grad_output[{i}]", part, problem.out_shape, "the shape of the forward's results")
        parts.append(part)
    dx = call.result("out", source.data.shape, source.dtype, out, source.data)
    if dx.data.size:
        windowed.add_gradients(problem, (parts[0], parts[1]), source.data, dx.data)
    given: A = call.give()
    return given


def _whole(call: Call, over: object, layout: object, shape: Ints) -> tuple[Options, str]:
    """The window that is a whole plane, or all channels of a place, and how ``Call.windows`` is told."""
    if arguments.one_of(call.called, "over", over, ("planes", "channels")) == "planes":
        return Options(layout=layout), "global"
    channel = windowed.channel_axis(call, layout, call.axes(layout, "global", shape), len(shape))
    return Options(shape[channel], axes=(channel,)), "window"


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
        layout: Layout = "channels_first",
        out: tuple[A, A] | None = None,
        device: Device = None,
    ) -> tuple[A, A]:
        """Maximum and mean of each window over <axes>, from one reading of x.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says; floating.
        <window>
        count_include_pad : bool
            Whether the mean divides by the padding, too.
        <layout>
        <outs>
        <device>

        Returns
        -------
        most, mean : array
            What ``max_pool<n>d`` and ``avg_pool<n>d`` give, to the bit; dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        max_avg_pool<n>d_backward : its gradient.

        Notes
        -----
        Where x is larger than a cache, both poolings work on one part of it after another, so that it comes from
        memory once.

        Examples
        --------
        <example>
        """
        options = Options(
            kernel_size, stride, padding, dilation, ceil_mode, layout, count_include_pad=count_include_pad
        )
        return _forward(f"max_avg_pool{n}d", n, x, options, True, out, device)

    return pool


def _pool_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: tuple[A, A],
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        *,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of ``max_avg_pool<n>d`` with respect to its input.

        Parameters
        ----------
        grad_output : tuple of array
            Gradients of the maxima and of the means.
        x : array
            The forward's input.
        <window>
        count_include_pad : bool
            As in the forward.
        <layout>
        <out>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x: that of ``max_pool<n>d`` (of equal elements the first in row-major order of
            the window), plus that of ``avg_pool<n>d``.

        <raises>

        See Also
        --------
        max_avg_pool<n>d : the forward.

        Examples
        --------
        <example>
        """
        options = Options(
            kernel_size, stride, padding, dilation, ceil_mode, layout, count_include_pad=count_include_pad
        )
        return _backward(f"max_avg_pool{n}d_backward", n, grad_output, x, options, out, device)

    return pool_backward


max_avg_pool1d, max_avg_pool2d, max_avg_pool3d = ranked(
    _pool,
    "max_avg_pool{n}d",
    {
        1: """
        >>> most, mean = fastpool.max_avg_pool1d(np.array([1.0, 3.0, 5.0, 9.0]), 2)
        >>> most, mean
        (array([3., 9.]), array([2., 7.]))
        """,
        2: """
        >>> most, mean = fastpool.max_avg_pool2d(np.arange(16.0).reshape(4, 4), 2)
        >>> mean
        array([[ 2.5,  4.5],
               [10.5, 12.5]])
        """,
        3: """
        >>> fastpool.max_avg_pool3d(np.arange(8.0).reshape(2, 2, 2), 2)
        (array([[[7.]]]), array([[[3.5]]]))
        """,
    },
)
max_avg_pool1d_backward, max_avg_pool2d_backward, max_avg_pool3d_backward = ranked(
    _pool_backward,
    "max_avg_pool{n}d_backward",
    {
        1: """
        >>> g = np.ones(2)
        >>> fastpool.max_avg_pool1d_backward((g, g), np.array([1.0, 3.0, 5.0, 9.0]), 2)
        array([0.5, 1.5, 0.5, 1.5])
        """,
        2: """
        >>> g = np.ones((1, 1))
        >>> fastpool.max_avg_pool2d_backward((g, g), np.arange(4.0).reshape(2, 2), 2)
        array([[0.25, 0.25],
               [0.25, 1.25]])
        """,
        3: """
        >>> g = np.ones((1, 1, 1))
        >>> fastpool.max_avg_pool3d_backward((g, g), np.arange(2.0).reshape(1, 1, 2), (1, 1, 2))
        array([[[0.5, 1.5]]])
        """,
    },
)


def global_max_avg_pool(
    x: A,
    *,
    over: Literal["planes", "channels"] = "planes",
    keepdims: bool = False,
    layout: Layout = "channels_first",
    out: tuple[A, A] | None = None,
    device: Device = None,
) -> tuple[A, A]:
    """Maximum and mean of each plane, or over the channels of each place, from one reading of x.

    Parameters
    ----------
    x : array
        Floating.
    over : {"planes", "channels"}
        Of each plane, or of all channels at each place.
    keepdims : bool
        Keep the axes that are pooled, with one element each.
    <layout>
    <outs>
    <device>

    Returns
    -------
    most, mean : array
        What ``global_max_pool`` and ``global_avg_pool`` give, to the bit; over channels, what ``pool`` gives for that
        axis.

    <raises>

    See Also
    --------
    global_max_avg_pool_backward : its gradient.

    Notes
    -----
    CBAM [1]_ has those of planes in its channel attention, and those of channels in its spatial attention.

    References
    ----------
    .. [1] Woo et al., "CBAM: Convolutional Block Attention Module", 2018.

    Examples
    --------
    <example>
    """
    return _forward("global_max_avg_pool", "global", x, Options(layout=layout), keepdims, out, device, over)


def global_max_avg_pool_backward(
    grad_output: tuple[A, A],
    x: A,
    *,
    over: Literal["planes", "channels"] = "planes",
    keepdims: bool = False,
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Gradient of ``global_max_avg_pool`` with respect to its input.

    Parameters
    ----------
    grad_output : tuple of array
        Gradients of the maxima and of the means, with the pooled axes or without.
    x : array
        The forward's input.
    over : {"planes", "channels"}
        As in the forward.
    keepdims : bool
        Not needed: the shape of ``grad_output`` says it.
    <layout>
    <out>
    <device>

    Returns
    -------
    dx : array
        Gradient with respect to x.

    <raises>

    See Also
    --------
    global_max_avg_pool : the forward.

    Examples
    --------
    <example>
    """
    options = Options(layout=layout)
    return _backward("global_max_avg_pool_backward", "global", grad_output, x, options, out, device, over)


page(
    global_max_avg_pool,
    "global_max_avg_pool",
    layout=GLOBAL_LAYOUT,
    example=f"""{IMPORTS}
>>> fastpool.global_max_avg_pool(np.arange(8.0).reshape(1, 2, 4))
(array([[3., 7.]]), array([[1.5, 5.5]]))""",
)
page(
    global_max_avg_pool_backward,
    "global_max_avg_pool_backward",
    layout=GLOBAL_LAYOUT,
    example=f"""{IMPORTS}
>>> g = np.ones((1, 1))
>>> fastpool.global_max_avg_pool_backward((g, g), np.arange(4.0).reshape(1, 1, 4))
array([[[0.25, 0.25, 0.25, 1.25]]])""",
)
