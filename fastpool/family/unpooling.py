"""Max unpooling over one, two or three spatial axes, and its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastpool import arguments
from fastpool.family import known_tasks
from fastpool.family.calls import NUMBERS, Call
from fastpool.family.inverse import Windows, unpooled_shape, windows
from fastpool.family.ranks import ranked
from fastpool.family.scattering import Scatter, run
from fastpool.functional._types import A, Device, IndexKind, Layout, Padding, Sizes
from fastpool.memory import Array
from fastpool.problem import Ints

__all__ = [
    "max_unpool1d",
    "max_unpool1d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "max_unpool3d",
    "max_unpool3d_backward",
]

DTYPES = ("b1", *NUMBERS)


def _index_type(kind: str, taps: int) -> str:
    if kind != "tap":
        return "i64"
    return next(f"u{bits}" for bits in (8, 16, 32, 64) if taps < 2**bits)


def _planned(
    call: Call, count: int, shape: Ints, indices: object, window: Windows, asked: object, kind: object, layout: object
) -> tuple[Ints, str, Ints, Array]:
    """The spatial axes, the kind of indices, the shape of the larger array and the indices of a call."""
    named = arguments.index_kind(call.called, "index_kind", kind)
    axes = call.axes(layout, count, shape)
    taps = math.prod(window.kernel)
    large = unpooled_shape(call, asked, axes, shape, window)
    given = call.take_like("indices", indices, shape, _index_type(named, taps), "x's shape")
    return axes, named, large, given.data


FORWARD, BACKWARD = ({n: f"max_unpool{n}d{end}" for n in (1, 2, 3)} for end in ("", "_backward"))
"""Names of the functions, each one object, by which the front door knows them."""


def _forward(
    n: int,
    x: A,
    indices: A,
    kernel: object,
    stride: object,
    padding: object,
    size: object,
    kind: object,
    layout: object,
    out: A | None,
    device: object,
) -> A:
    written, called = (kernel, stride, padding, size, kind, layout), FORWARD[n]
    answer, asked = known_tasks.again(called, written, device, (x, indices), out)
    if answer is None:
        call = Call(called, device)
        source = call.take("x", x, DTYPES)
        window = windows(call, kernel, stride, padding, 1, n)
        axes, named, shape, found = _planned(call, n, source.data.shape, indices, window, size, kind, layout)
        y = call.result("out", shape, source.dtype, out, source.data)
        stages = run(call, "place", Scatter(y.data, source.data, found, axes, named, window), out is not None)
        known_tasks.keep(asked if source.data is x and found is indices else None, stages, call)
        answer = call.give()
    given: A = answer
    return given


def _backward(
    n: int,
    grad: A,
    x: Any,
    indices: A,
    kernel: object,
    stride: object,
    padding: object,
    size: object,
    kind: object,
    layout: object,
    out: A | None,
    device: object,
) -> A:
    shape = x if isinstance(x, tuple) else None
    reads: Any = (grad, indices) if shape else (grad, indices, x)
    written, called = (kernel, stride, padding, size, kind, layout, shape), BACKWARD[n]
    answer, asked = known_tasks.again(called, written, device, reads, out)
    if answer is None:
        call = Call(called, device)
        source = call.take("grad_output", grad)
        pooled = call.shape_of("x_or_shape", x)
        window = windows(call, kernel, stride, padding, 1, n)
        axes, named, large, found = _planned(call, n, pooled, indices, window, size, kind, layout)
        call.check_shape("grad_output", source.data, large, "the shape of the forward's result")
        dx = call.result("out", pooled, source.dtype, out, source.data)
        stages = run(call, "take", Scatter(source.data, dx.data, found, axes, named, window), out is not None)
        known_tasks.keep(asked if source.data is grad and found is indices else None, stages, call)
        answer = call.give()
    given: A = answer
    return given


def _vjp(n: int) -> Callable[..., Any]:
    """The result and its pullback, which keeps x's shape and the indices, but not x."""

    def vjp(x: Any, indices: Any, *args: Any, **kwargs: Any) -> tuple[Any, Callable[[Any], Any]]:
        forward, backward = (globals()[f"max_unpool{n}d{end}"] for end in ("", "_backward"))
        y = forward(x, indices, *args, **kwargs)
        shape = tuple(x.shape)
        rest = {key: value for key, value in kwargs.items() if key != "out"}
        return y, lambda dy: backward(dy, shape, indices, *args, **rest)

    return vjp


VJPS = {f"max_unpool{n}d": _vjp(n) for n in (1, 2, 3)}


def _unpool(n: int) -> Callable[..., Any]:
    def unpool(
        x: A,
        indices: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        *,
        output_size: Sizes | None = None,
        index_kind: IndexKind = "plane",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Max pooling undone over <axes>: each element goes where its index says, all others are 0.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says. Any element type but complex.
        indices : array
            The indices that max or min pooling returned, shape and kind of array as x: int64, or for taps the
            unsigned type that the pooling gave. The index of an empty window, -1 or for taps the largest value of
            their type, puts nothing.
        kernel_size, stride, padding
            As in the pooling; each an integer or one per spatial axis, ``padding`` also ``(begin, end)`` pairs.
            ``stride`` is ``kernel_size`` where it is left out.
        output_size : int or tuple of int, optional
            Spatial sizes of the result, or its whole shape: sizes for which this pooling, with or without
            ``ceil_mode``, gives that of x. Left out, ``(size - 1) * stride - begin - end + kernel_size``.
        index_kind : {"plane", "tensor", "tap"}
            What the indices count: elements of the result's plane, of the whole result, both in row-major order in the
            caller's layout, or the taps of a window.
        <layout>
        <out>
        <device>

        Returns
        -------
        y : array
            The unpooled array; dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        max_pool<n>d : the pooling, with ``return_indices``.
        <name>_backward : its gradient.

        Notes
        -----
        Of elements with one index, which windows that overlap can give, the last one in row-major order is kept, on any
        number of threads. Elements are moved as they are, NaN too. Every index is checked: the first one that names
        no element of its plane is an error. An index of kind "tensor" counts in the result's own shape; ONNX counts
        in that of the default size, which is the same where ``output_size`` is not given [2]_.

        It is the unpooling of the deconvolutional nets, and the decoder of SegNet [1]_.

        References
        ----------
        .. [1] Badrinarayanan et al., "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
           Segmentation", 2017.
        .. [2] ONNX operator ``MaxUnpool``; PyTorch ``max_unpool<n>d``.

        Examples
        --------
        <example>
        """
        return _forward(n, x, indices, kernel_size, stride, padding, output_size, index_kind, layout, out, device)

    return unpool


def _unpool_backward(n: int) -> Callable[..., Any]:
    def unpool_backward(
        grad_output: A,
        x_or_shape: Any,
        indices: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        *,
        output_size: Sizes | None = None,
        index_kind: IndexKind = "plane",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of max unpooling over <axes>: that of each element's place in the result.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x_or_shape : array or tuple of int
            The forward's x, or its shape.
        indices, kernel_size, stride, padding, output_size, index_kind
            As in the forward.
        <layout>
        <out>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x: x's shape, grad_output's dtype and kind of array.

        <raises>

        See Also
        --------
        max_unpool<n>d : the forward.

        Notes
        -----
        Of elements with one index only the last one, which the forward keeps, gets the gradient; the others, and
        those of empty windows, get 0. PyTorch gives it to all of them, which is not the derivative of its forward:
        unpooling what overlapping windows pooled then counts the gradient of a maximum once for each of its windows.

        Examples
        --------
        <example>
        """
        return _backward(
            n,
            grad_output,
            x_or_shape,
            indices,
            kernel_size,
            stride,
            padding,
            output_size,
            index_kind,
            layout,
            out,
            device,
        )

    return unpool_backward


max_unpool1d, max_unpool2d, max_unpool3d = ranked(
    _unpool,
    "max_unpool{n}d",
    {
        1: """
        >>> y, indices = fastpool.max_pool1d(np.array([1.0, 5.0, 3.0, 2.0]), 2, return_indices=True)
        >>> fastpool.max_unpool1d(y, indices, 2)
        array([0., 5., 3., 0.])
        """,
        2: """
        >>> x = np.array([[1.0, 5.0, 3.0], [4.0, 2.0, 6.0], [7.0, 8.0, 9.0]])
        >>> y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
        >>> fastpool.max_unpool2d(y, indices, 2, output_size=x.shape)
        array([[0., 5., 0.],
               [0., 0., 0.],
               [0., 0., 0.]])
        """,
        3: """
        >>> y, indices = fastpool.max_pool3d(np.arange(8.0).reshape(2, 2, 2), (2, 2, 1), return_indices="tap")
        >>> fastpool.max_unpool3d(y, indices, (2, 2, 1), index_kind="tap")
        array([[[0., 0.],
                [0., 0.]],
        <BLANKLINE>
               [[0., 0.],
                [6., 7.]]])
        """,
    },
)
max_unpool1d_backward, max_unpool2d_backward, max_unpool3d_backward = ranked(
    _unpool_backward,
    "max_unpool{n}d_backward",
    {
        1: """
        >>> g, indices = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 2])
        >>> fastpool.max_unpool1d_backward(g, (2,), indices, 2)
        array([2., 3.])
        """,
        2: """
        >>> g, indices = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[2]])
        >>> fastpool.max_unpool2d_backward(g, (1, 1), indices, 2)
        array([[3.]])
        """,
        3: """
        >>> g, indices = np.array([[[1.0, 2.0]]]), np.array([[[1]]])
        >>> fastpool.max_unpool3d_backward(g, (1, 1, 1), indices, (1, 1, 2))
        array([[[2.]]])
        """,
    },
)
