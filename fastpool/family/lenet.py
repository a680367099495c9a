"""LeNet's sub-sampling: sums of windows, a factor and an addend for each channel, and a squashing function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastpool.axes import channel_axis
from fastpool.family import tasks
from fastpool.family.calls import REALS, Call
from fastpool.family.ranks import IMPORTS, page, words
from fastpool.functional._types import A, Device, Layout, Padding, Sizes
from fastpool.functional.general import pool
from fastpool.functional.sum_pool import sum_pool2d, sum_pool2d_backward
from fastpool.memory import Array
from fastpool.problem import Ints

__all__ = ["lenet_pool2d", "lenet_pool2d_backward"]

HEIGHT, SLOPE = 1.7159, 2.0 / 3.0
"""Of the squashing function ``HEIGHT tanh(SLOPE t)``, which takes 1 to 1 and -1 to -1."""
ACTIVATIONS = ("tanh", "sigmoid", "identity")


class _Given(NamedTuple):
    """What came in, checked: factors and addends of the channels stand beside every element of sums."""

    sums: Array
    scale: Array
    bias: Array
    axes: Ints
    channel: int
    dtype: str


def _take(call: Call, x: Any, scale: object, bias: object, window: tuple[Any, ...], act: object, layout: Any) -> _Given:
    source = call.take("x", x, REALS)
    axes = call.axes(layout, 2, source.data.shape)
    rank = source.data.ndim
    channel = channel_axis(layout, axes, rank)
    if channel < 0:
        rule = "there must be an axis of channels, each of which has its scale and bias"
        raise call.value_error(f"x of shape {source.data.shape}, layout={layout!r}", rule, "add one with x[None]")
    many = source.data.shape[channel]
    factors, addends = (
        call.take_like(name, given, (many,), source.dtype, "a number for each channel").data
        for name, given in (("scale", scale), ("bias", bias))
    )
    if act not in ACTIVATIONS:
        error = call.value_error if isinstance(act, str) else call.type_error
        raise error(f"activation={act!r}", 'it must be "tanh", "sigmoid" or "identity"')
    shape = [many if axis == channel else 1 for axis in range(rank)]
    sums = call.take("sums", sum_pool2d(x, *window, layout=layout), REALS).data
    return _Given(sums, factors.reshape(shape), addends.reshape(shape), axes, channel, source.dtype)


@np.errstate(all="ignore")
def _squash(given: _Given, act: str, out: Array) -> None:
    """Write the results."""
    t = given.sums * given.scale + given.bias
    if act == "identity":
        out[...] = t
    elif act == "tanh":
        t *= t.dtype.type(SLOPE)
        np.tanh(t, out=t)
        np.multiply(t, t.dtype.type(HEIGHT), out=out)
    else:
        # exp of a number that is not positive: it cannot pass the range
        small = np.exp(-np.abs(t))
        np.divide(np.where(t < 0, small, t.dtype.type(1)), 1 + small, out=out)
    np.copyto(out, np.nan, where=np.isnan(out))


@np.errstate(all="ignore")
def _inner(given: _Given, act: str, grad: Array) -> tuple[Array, Array, Array]:
    """The gradient inside of the function: itself, times sums, times the factors of channels."""
    inner = _slopes(given.sums * given.scale + given.bias, act) * grad
    return inner, inner * given.sums, inner * given.scale


def _slopes(t: Array, act: str) -> Array:
    """The derivative at t, which is overwritten."""
    slopes: Array
    if act == "identity":
        slopes = np.ones_like(t)
    elif act == "tanh":
        t *= t.dtype.type(SLOPE)
        np.tanh(t, out=t)
        slopes = (1 - t * t) * t.dtype.type(HEIGHT * SLOPE)
    else:
        small = np.exp(-np.abs(t))
        slopes = small / ((1 + small) * (1 + small))
    return slopes


def _of_channels(x: Array, given: _Given) -> Array:
    """Sums over all but the channels, those of each plane first."""
    if not x.size:
        return np.zeros(given.scale.size, x.dtype)
    planes = pool(x, tuple(x.shape[axis] for axis in given.axes), "sum", axes=given.axes)
    rows = np.ascontiguousarray(np.moveaxis(planes, given.channel, -1)).reshape(-1, given.scale.size)
    found: Array = np.add.reduce(rows, axis=0)
    return np.where(np.isnan(found), np.nan, found)


def lenet_pool2d(
    x: A,
    kernel_size: Sizes,
    scale: A,
    bias: A,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    activation: str = "tanh",
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """LeNet's sub-sampling over two spatial axes: ``phi(scale * sum + bias)``, with a scale and a bias per channel.

    Parameters
    ----------
    x : array
        Shape ``<shape>`` with channels just before the spatial axes, or as ``layout`` says. float32 or float64.
    kernel_size : int or tuple of int
        Size of the window.
    scale, bias : array
        One number for each channel, of x's dtype and kind of array.
    stride, padding, dilation, ceil_mode
        As in ``sum_pool2d``; the stride is the kernel size where it is left out.
    activation : {"tanh", "sigmoid", "identity"}
        The function phi: ``1.7159 tanh(2 t / 3)``, ``1 / (1 + exp(-t))`` or ``t``.
    <layout>
    <out>
    <device>

    Returns
    -------
    y : array
        The shape that ``sum_pool2d`` gives; dtype and kind of array are those of x.

    <raises>

    See Also
    --------
    lenet_pool2d_backward : its gradients.
    sum_pool2d : the sums.

    Notes
    -----
    A trainable mean: LeNet-5 adds the four inputs of a window, multiplies by a coefficient and adds a bias, both of the
    channel [1]_.

    References
    ----------
    .. [1] LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998.

    Examples
    --------
    <example>
    """
    call = Call("lenet_pool2d", device)
    given = _take(call, x, scale, bias, (kernel_size, stride, padding, dilation, ceil_mode), activation, layout)
    y = call.result("out", given.sums.shape, given.dtype, out, given.sums)
    if not tasks.telling():
        _squash(given, activation, y.data)
    found: A = call.give()
    return found


def lenet_pool2d_backward(
    grad_output: A,
    x: A,
    kernel_size: Sizes,
    scale: A,
    bias: A,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    activation: str = "tanh",
    layout: Layout = "channels_first",
    out: Any = None,
    device: Device = None,
) -> Any:
    """Gradients of LeNet's sub-sampling over two spatial axes, with respect to x, scale and bias.

    Parameters
    ----------
    grad_output : array
        Gradient of the result, of x's dtype.
    x, kernel_size, scale, bias, stride, padding, dilation, ceil_mode, activation
        As in the forward.
    <layout>
    <outs>
    <device>

    Returns
    -------
    dx, dscale, dbias : array
        Gradients, each with the shape of what it is the gradient of.

    <raises>

    See Also
    --------
    lenet_pool2d : the forward.

    Examples
    --------
    <example>
    """
    call = Call("lenet_pool2d_backward", device)
    window = (kernel_size, stride, padding, dilation, ceil_mode)
    given = _take(call, x, scale, bias, window, activation, layout)
    wanted = "the shape of the forward's result"
    grad = call.take_like("grad_output", grad_output, given.sums.shape, given.dtype, wanted).data
    outs = call.outs(out, 3)
    dx = call.result("out[0]", call.inputs["x"].shape, given.dtype, outs[0], call.inputs["x"])
    dscale, dbias = (call.result(f"out[{i}]", (given.scale.size,), given.dtype, outs[i]) for i in (1, 2))
    inner, by_scale, by_sums = _inner(given, activation, grad)
    dscale.data[...] = _of_channels(by_scale, given)
    dbias.data[...] = _of_channels(inner, given)
    sum_pool2d_backward(by_sums, dx.data.shape, *window, layout=layout, out=dx.data)
    return call.give()


_EXAMPLES: dict[Callable[..., Any], str] = {
    lenet_pool2d: """
>>> x = np.arange(8.0).reshape(2, 2, 2)
>>> fastpool.lenet_pool2d(x, 2, np.array([0.25, 0.25]), np.array([0.0, 1.0]), activation="identity")
array([[[1.5]],
<BLANKLINE>
       [[6.5]]])""",
    lenet_pool2d_backward: """
>>> x, ones = np.arange(8.0).reshape(2, 2, 2), np.ones((2, 1, 1))
>>> dx, dscale, dbias = fastpool.lenet_pool2d_backward(
...     ones, x, 2, np.array([0.25, 0.25]), np.zeros(2), activation="identity"
... )
>>> dscale, dbias
(array([ 6., 22.]), array([1., 1.]))""",
}
for _function, _example in _EXAMPLES.items():
    page(_function, _function.__name__, **words(2), example=f"{IMPORTS}{_example}")
