"""Strided sub-sampling over one, two or three spatial axes, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpool.family import tasks
from fastpool.family.calls import NUMBERS, Call
from fastpool.family.framing import Frame
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, Layout, Sizes
from fastpool.kernels import frame as F
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints

__all__ = [
    "stride_pool1d",
    "stride_pool1d_backward",
    "stride_pool2d",
    "stride_pool2d_backward",
    "stride_pool3d",
    "stride_pool3d_backward",
]

DTYPES = ("b1", *NUMBERS)


def _sampled(call: Call, stride: object, offset: object, axes: Ints, shape: Ints) -> tuple[Ints, Ints, Ints]:
    """Stride and offset for each axis, and the shape of the result."""
    strides = call.sizes("stride", stride, len(axes))
    offsets = call.sizes("offset", offset, len(axes), 0)
    sampled = list(shape)
    for axis, step, first in zip(axes, strides, offsets, strict=True):
        if first >= shape[axis]:
            rule = f"axis {axis} has {shape[axis]} elements"
            raise call.value_error(f"offset={first}", rule, "give the position of the first element to keep")
        sampled[axis] = -(-(shape[axis] - first) // step)
    return strides, offsets, tuple(sampled)


def _run(role: str, large: Array, small: Array, axes: Ints, strides: Ints, offsets: Ints) -> None:
    frame = Frame((large, small), axes)
    missing = F.SPATIAL - len(axes)
    own = [1, 0] * missing + [number for pair in zip(strides, offsets, strict=True) for number in pair]
    written = small if role == "pick" else large
    tiles = frame.outer
    for axis in axes[:-1]:
        tiles *= written.shape[axis]
    numbers = dict(zip(axes, zip(strides, offsets, strict=True), strict=True))
    picked = tuple(
        slice(numbers[a][1], None, numbers[a][0]) if a in numbers else slice(None) for a in range(large.ndim)
    )

    def oracle() -> None:
        if role == "pick":
            small[...] = large[picked]
        else:
            large[...] = 0
            large[picked] = small

    program = Program("subsample", (role, str(8 * large.itemsize)))
    tasks.run(program, [*frame.plan, *own], (large, small), tiles if large.size and small.size else 0, oracle=oracle)


def _forward(
    called: str, count: int, x: A, stride: object, offset: object, layout: object, out: object, device: object
) -> A:
    call = Call(called, device)
    source = call.take("x", x, DTYPES)
    axes = call.axes(layout, count, source.data.shape)
    strides, offsets, shape = _sampled(call, stride, offset, axes, source.data.shape)
    y = call.result("out", shape, source.dtype, out, source.data)
    _run("pick", source.data, y.data, axes, strides, offsets)
    given: A = call.give()
    return given


def _backward(
    called: str, count: int, grad: A, x: object, stride: object, offset: object, layout: object, out: Any, device: Any
) -> A:
    call = Call(called, device)
    source = call.take("grad_output", grad)
    shape = call.shape_of("x_or_shape", x)
    axes = call.axes(layout, count, shape)
    strides, offsets, sampled = _sampled(call, stride, offset, axes, shape)
    call.check_shape("grad_output", source.data, sampled, "the shape of the forward's result")
    dx = call.result("out", shape, source.dtype, out, source.data)
    _run("place", dx.data, source.data, axes, strides, offsets)
    given: A = call.give()
    return given


def _pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        stride: Sizes,
        offset: Sizes = 0,
        *,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Every ``stride``-th element over <axes>: strided sub-sampling.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says. Any element type but complex.
        stride : int or tuple of int
            Elements from one that is kept to the next, at least 1.
        offset : int or tuple of int
            Position of the first one that is kept, below the size of its axis.
        <layout>
        <out>
        <device>

        Returns
        -------
        y : array
            ``ceil((size - offset) / stride)`` elements along each spatial axis; dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        <name>_backward : its gradient.

        Notes
        -----
        The all-convolutional net replaces pooling by a larger stride [1]_.

        References
        ----------
        .. [1] Springenberg et al., "Striving for Simplicity: The All Convolutional Net", 2014.

        Examples
        --------
        <example>
        """
        return _forward(f"stride_pool{n}d", n, x, stride, offset, layout, out, device)

    return pool


def _pool_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x_or_shape: Any,
        stride: Sizes,
        offset: Sizes = 0,
        *,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of sub-sampling over <axes>: each element goes back to where it was taken from, all others are 0.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x_or_shape : array or tuple of int
            The forward's x, or its shape.
        stride, offset
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
        stride_pool<n>d : the forward.

        Examples
        --------
        <example>
        """
        called = f"stride_pool{n}d_backward"
        return _backward(called, n, grad_output, x_or_shape, stride, offset, layout, out, device)

    return pool_backward


stride_pool1d, stride_pool2d, stride_pool3d = ranked(
    _pool,
    "stride_pool{n}d",
    {
        1: """
        >>> fastpool.stride_pool1d(np.arange(6), 2, 1)
        array([1, 3, 5])
        """,
        2: """
        >>> fastpool.stride_pool2d(np.arange(16).reshape(4, 4), 2)
        array([[ 0,  2],
               [ 8, 10]])
        """,
        3: """
        >>> fastpool.stride_pool3d(np.arange(8).reshape(2, 2, 2), (2, 2, 1))
        array([[[0, 1]]])
        """,
    },
)
stride_pool1d_backward, stride_pool2d_backward, stride_pool3d_backward = ranked(
    _pool_backward,
    "stride_pool{n}d_backward",
    {
        1: """
        >>> fastpool.stride_pool1d_backward(np.ones(2), (4,), 2)
        array([1., 0., 1., 0.])
        """,
        2: """
        >>> fastpool.stride_pool2d_backward(np.ones((1, 2)), (2, 3), 2)
        array([[1., 0., 1.],
               [0., 0., 0.]])
        """,
        3: """
        >>> fastpool.stride_pool3d_backward(np.ones((1, 1, 1)), (1, 1, 2), 2)
        array([[[1., 0.]]])
        """,
    },
)
