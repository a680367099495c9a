"""Average and sum unpooling over one, two or three spatial axes: the transposes of those poolings, and their gradients.

What is spread here is what the gradient of the pooling spreads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpool import functional
from fastpool.family import tasks
from fastpool.family.calls import FLOATS, Call
from fastpool.family.inverse import unpooled_shape, windows
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, Layout, Padding, Sizes
from fastpool.problem import Ints

__all__ = [
    "avg_unpool1d",
    "avg_unpool1d_backward",
    "avg_unpool2d",
    "avg_unpool2d_backward",
    "avg_unpool3d",
    "avg_unpool3d_backward",
    "sum_unpool1d",
    "sum_unpool1d_backward",
    "sum_unpool2d",
    "sum_unpool2d_backward",
    "sum_unpool3d",
    "sum_unpool3d_backward",
]


def hand_over(called: str, other: str, array: Any, *rest: Any, **named: Any) -> Any:
    """What a function of windows gives; its errors name the function that was called, and its x.

    Where a call is only explained, what that function would run is told, and the array itself given back.
    """
    function = getattr(functional, other)
    try:
        if tasks.telling():
            tasks.tell(str(functional.explain(function, array, *rest, **named)))
            return array
        return function(array, *rest, **named)
    except (TypeError, ValueError) as error:
        text = str(error).removeprefix(f"{other}: ")
        if other.endswith("_backward"):
            text = text.replace("grad_output", "x").replace("for x of shape", "for a result of shape")
        raise type(error)(f"{called}: {text}") from None


def _large(call: Call, n: int, shape: Ints, asked: object, layout: object, numbers: tuple[Any, ...]) -> Ints:
    """The shape of the unpooled array; ``numbers`` are kernel size, stride, padding and dilation."""
    kernel, stride, padding, dilation = numbers
    window = windows(call, kernel, stride, padding, dilation, n)
    return unpooled_shape(call, asked, call.axes(layout, n, shape), shape, window)


def _forward(
    word: str, n: int, x: A, rest: tuple[Any, ...], asked: Any, dilation: Any, layout: Any, out: Any, device: Any
) -> A:
    """``rest`` are the arguments of the pooling from kernel size on, which may include the dilation."""
    call = Call(f"{word}_unpool{n}d", device)
    source = call.take("x", x, FLOATS)
    large = _large(call, n, source.data.shape, asked, layout, (*rest[:3], dilation))
    named = {"layout": layout, "out": out} | ({"dilation": dilation} if word == "avg" else {})
    given: A = hand_over(call.called, f"{word}_pool{n}d_backward", x, large, *rest, **named)
    return given


def _backward(
    word: str,
    n: int,
    g: A,
    x: object,
    rest: tuple[Any, ...],
    asked: Any,
    dilation: Any,
    layout: Any,
    out: Any,
    device: Any,
) -> A:
    call = Call(f"{word}_unpool{n}d_backward", device)
    source = call.take("grad_output", g, FLOATS)
    shape = call.shape_of("x_or_shape", x)
    large = _large(call, n, shape, asked, layout, (*rest[:3], dilation))
    call.check_shape("grad_output", source.data, large, "the shape of the forward's result")
    named = {"layout": layout, "out": out} | ({"dilation": dilation} if word == "avg" else {})
    dx: A = hand_over(call.called, f"{word}_pool{n}d", g, *rest, **named)
    return dx


def _avg_unpool(n: int) -> Callable[..., Any]:
    def unpool(
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        output_size: Sizes | None = None,
        dilation: Sizes = 1,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Average pooling transposed, over <axes>: each element is spread over its window, and what meets is added.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says; floating.
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
            As in ``avg_pool<n>d``; ``padding`` in numbers, not in words.
        output_size : int or tuple of int, optional
            Spatial sizes of the result, or its whole shape: sizes for which the pooling with these arguments gives
            that of x. Left out, ``(size - 1) * stride - begin - end + dilation * (kernel_size - 1) + 1``.
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
        avg_pool<n>d : the pooling. avg_pool<n>d_backward : the same, for a given shape.
        <name>_backward : its gradient.

        Notes
        -----
        An element of y is the sum over the windows that hold it of their elements of x, each divided by that window's
        divisor.
        It is not the inverse of the pooling, but its adjoint: ``sum(y * z) == sum(x * avg_pool<n>d(z))`` for every z.

        Examples
        --------
        <example>
        """
        rest = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return _forward("avg", n, x, rest, output_size, dilation, layout, out, device)

    return unpool


def _avg_unpool_backward(n: int) -> Callable[..., Any]:
    def unpool_backward(
        grad_output: A,
        x_or_shape: Any,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        output_size: Sizes | None = None,
        dilation: Sizes = 1,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of average unpooling over <axes>: the pooling itself.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x_or_shape : array or tuple of int
            The forward's x, or its shape.
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation, output_size
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
        avg_unpool<n>d : the forward.

        Examples
        --------
        <example>
        """
        rest = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return _backward("avg", n, grad_output, x_or_shape, rest, output_size, dilation, layout, out, device)

    return unpool_backward


def _sum_unpool(n: int) -> Callable[..., Any]:
    def unpool(
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        output_size: Sizes | None = None,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Sum pooling transposed, over <axes>: each element is spread over its window, and what meets is added.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says; floating.
        kernel_size, stride, padding, ceil_mode, dilation
            As in ``sum_pool<n>d``; ``padding`` in numbers, not in words.
        output_size : int or tuple of int, optional
            Spatial sizes of the result, or its whole shape: sizes for which the pooling with these arguments gives
            that of x. Left out, ``(size - 1) * stride - begin - end + dilation * (kernel_size - 1) + 1``.
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
        sum_pool<n>d : the pooling. sum_pool<n>d_backward : the same, for a given shape.
        <name>_backward : its gradient.

        Notes
        -----
        An element of y is the sum over the windows that hold it of their elements of x, each as it is.
        It is the pooling's adjoint, not its inverse: ``sum(y * z) == sum(x * sum_pool<n>d(z))`` for every z.

        Examples
        --------
        <example>
        """
        rest = (kernel_size, stride, padding, dilation, ceil_mode)
        return _forward("sum", n, x, rest, output_size, dilation, layout, out, device)

    return unpool


def _sum_unpool_backward(n: int) -> Callable[..., Any]:
    def unpool_backward(
        grad_output: A,
        x_or_shape: Any,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        output_size: Sizes | None = None,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of sum unpooling over <axes>: the pooling itself.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x_or_shape : array or tuple of int
            The forward's x, or its shape.
        kernel_size, stride, padding, ceil_mode, dilation, output_size
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
        sum_unpool<n>d : the forward.

        Examples
        --------
        <example>
        """
        rest = (kernel_size, stride, padding, dilation, ceil_mode)
        return _backward("sum", n, grad_output, x_or_shape, rest, output_size, dilation, layout, out, device)

    return unpool_backward


avg_unpool1d, avg_unpool2d, avg_unpool3d = ranked(
    _avg_unpool,
    "avg_unpool{n}d",
    {
        1: """
        >>> fastpool.avg_unpool1d(np.array([2.0, 4.0]), 2)
        array([1., 1., 2., 2.])
        """,
        2: """
        >>> fastpool.avg_unpool2d(np.array([[4.0, 8.0]]), 2, 1)
        array([[1., 3., 2.],
               [1., 3., 2.]])
        """,
        3: """
        >>> fastpool.avg_unpool3d(np.array([[[4.0]]]), (1, 2, 2), output_size=(1, 2, 3))
        array([[[1., 1., 0.],
                [1., 1., 0.]]])
        """,
    },
)
avg_unpool1d_backward, avg_unpool2d_backward, avg_unpool3d_backward = ranked(
    _avg_unpool_backward,
    "avg_unpool{n}d_backward",
    {
        1: """
        >>> fastpool.avg_unpool1d_backward(np.array([1.0, 3.0, 5.0, 7.0]), (2,), 2)
        array([2., 6.])
        """,
        2: """
        >>> fastpool.avg_unpool2d_backward(np.array([[1.0, 3.0], [5.0, 7.0]]), (1, 1), 2)
        array([[4.]])
        """,
        3: """
        >>> fastpool.avg_unpool3d_backward(np.array([[[1.0, 3.0]]]), (1, 1, 1), (1, 1, 2))
        array([[[2.]]])
        """,
    },
)
sum_unpool1d, sum_unpool2d, sum_unpool3d = ranked(
    _sum_unpool,
    "sum_unpool{n}d",
    {
        1: """
        >>> fastpool.sum_unpool1d(np.array([2.0, 4.0]), 2, 1)
        array([2., 6., 4.])
        """,
        2: """
        >>> fastpool.sum_unpool2d(np.array([[1.0, 2.0]]), 2)
        array([[1., 1., 2., 2.],
               [1., 1., 2., 2.]])
        """,
        3: """
        >>> fastpool.sum_unpool3d(np.array([[[3.0]]]), (1, 1, 2), output_size=(1, 1, 3))
        array([[[3., 3., 0.]]])
        """,
    },
)
sum_unpool1d_backward, sum_unpool2d_backward, sum_unpool3d_backward = ranked(
    _sum_unpool_backward,
    "sum_unpool{n}d_backward",
    {
        1: """
        >>> fastpool.sum_unpool1d_backward(np.array([1.0, 3.0, 5.0, 7.0]), (2,), 2)
        array([ 4., 12.])
        """,
        2: """
        >>> fastpool.sum_unpool2d_backward(np.array([[1.0, 3.0], [5.0, 7.0]]), (1, 1), 2)
        array([[16.]])
        """,
        3: """
        >>> fastpool.sum_unpool3d_backward(np.array([[[1.0, 3.0]]]), (1, 1, 1), (1, 1, 2))
        array([[[4.]]])
        """,
    },
)


def _vjp(word: str, n: int) -> Callable[..., Any]:
    """The result and its pullback, which keeps x's shape alone."""

    def vjp(x: Any, *args: Any, **kwargs: Any) -> tuple[Any, Callable[[Any], Any]]:
        forward, backward = (globals()[f"{word}_unpool{n}d{end}"] for end in ("", "_backward"))
        y, shape = forward(x, *args, **kwargs), tuple(x.shape)
        rest = {key: value for key, value in kwargs.items() if key != "out"}
        return y, lambda dy: backward(dy, shape, *args, **rest)

    return vjp


VJPS = {f"{word}_unpool{n}d": _vjp(word, n) for word in ("avg", "sum") for n in (1, 2, 3)}
