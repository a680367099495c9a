"""Max pooling whose stride is a blur: the maximum of every window, low-pass filtered, then sub-sampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpool.family import blurring, filtering
from fastpool.family.blurring import blurred, filters_of
from fastpool.family.calls import FLOATS, Call
from fastpool.family.filtering import Filter
from fastpool.family.ranks import ranked
from fastpool.functional import max_pool
from fastpool.functional._types import A, Device, Layout, Sizes
from fastpool.functional.differentiate import vjp
from fastpool.problem import Ints

__all__ = [
    "max_blur_pool1d",
    "max_blur_pool1d_backward",
    "max_blur_pool2d",
    "max_blur_pool2d_backward",
    "max_blur_pool3d",
    "max_blur_pool3d_backward",
]


def _plan(
    call: Call, shape: Ints, axes: Ints, kernel: object, size: object, stride: object, given: object, padding: object
) -> tuple[Ints, Ints, tuple[Filter, ...]]:
    """The kernel, the shape of the maxima, and the blur."""
    kernels = call.sizes("kernel_size", kernel, len(axes))
    maxima = list(shape)
    for axis, window in zip(axes, kernels, strict=True):
        if window > shape[axis]:
            rule = f"axis {axis} has {shape[axis]} elements"
            raise call.value_error(f"kernel_size={window}", rule, "give a window that fits into x")
        maxima[axis] += 1 - window
    return kernels, tuple(maxima), filters_of(call, tuple(maxima), axes, size, stride, given, padding)


def _forward(
    called: str, n: int, x: A, kernel: Sizes, blur: tuple[Any, ...], layout: Any, rest: Any, keep: bool
) -> Any:
    """The result; with ``keep`` also the gradient of the maxima, and their shape."""
    out, device = rest
    call = Call(called, device)
    source = call.take("x", x, FLOATS)
    shape = source.data.shape
    axes = call.axes(layout, n, shape)
    kernels, maxima, filters = _plan(call, shape, axes, kernel, *blur)
    y = call.result("out", blurred(maxima, axes, filters), source.dtype, out, source.data)
    pool = getattr(max_pool, f"max_pool{n}d")
    found, pull = vjp(pool, x, kernels, 1, layout=layout) if keep else (pool(x, kernels, 1, layout=layout), None)
    middle = call.take("maxima", found, FLOATS)
    filtering.apply(middle.data, y.data, axes, filters, source.dtype)
    return (call.give(), pull, maxima) if keep else call.give()


def _backward(called: str, n: int, grad: A, x: Any, kernel: Sizes, blur: tuple[Any, ...], layout: Any, rest: Any) -> A:
    out, device = rest
    call = Call(called, device)
    source = call.take("grad_output", grad, FLOATS)
    shape = call.take("x", x, (source.dtype,)).data.shape
    axes = call.axes(layout, n, shape)
    kernels, maxima, filters = _plan(call, shape, axes, kernel, *blur)
    wanted = "the shape of the forward's result"
    call.check_shape("grad_output", source.data, blurred(maxima, axes, filters), wanted)
    call.result("out", shape, source.dtype, out, source.data)
    middle = Call(called, device)
    middle.take("grad_output", grad, FLOATS)
    between = middle.result("maxima", maxima, source.dtype, None, source.data)
    filtering.apply(source.data, between.data, axes, filters, source.dtype, transposed=True)
    backward = getattr(max_pool, f"max_pool{n}d_backward")
    found: A = backward(middle.give(), x, kernels, 1, layout=layout, out=out)
    return found


def _pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        kernel_size: Sizes = 2,
        stride: Sizes = 2,
        *,
        filter_size: Sizes = 4,
        filter: Any = None,  # noqa: A002
        padding: str = "reflect",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Max pooling over <axes> with an anti-aliased stride: maxima at every position, then blur pooling.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says. Floating.
        kernel_size : int or tuple of int
            The window of the maximum, which moves by 1, without padding.
        stride : int or tuple of int
            The stride of the blur.
        filter_size, filter, padding
            The blur, as in ``blur_pool<n>d``; ``padding`` is the border rule of the maxima.
        <layout>
        <out>
        <device>

        Returns
        -------
        y : array
            ``ceil((size - kernel_size + 1) / stride)`` elements along each spatial axis; dtype and kind of array are
            those of x.

        <raises>

        See Also
        --------
        <name>_backward : its gradient.
        blur_pool<n>d : the second half.

        Notes
        -----
        It takes the place of max pooling with a stride [1]_: ``max_pool<n>d(x, kernel_size, 1)``, then
        ``blur_pool<n>d(..., filter_size, stride)``. NaN propagates.

        References
        ----------
        .. [1] Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019.

        Examples
        --------
        <example>
        """
        blur = (filter_size, stride, filter, padding)
        found: A = _forward(f"max_blur_pool{n}d", n, x, kernel_size, blur, layout, (out, device), False)
        return found

    return pool


def _pool_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x: A,
        kernel_size: Sizes = 2,
        stride: Sizes = 2,
        *,
        filter_size: Sizes = 4,
        filter: Any = None,  # noqa: A002
        padding: str = "reflect",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of max pooling with a blurred stride over <axes>: the transposed blur, then to the largest taps.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, of x's dtype.
        x : array
            The forward's x.
        kernel_size, stride, filter_size, filter, padding
            As in the forward.
        <layout>
        <out>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x. Of equal taps the first one gets it.

        <raises>

        See Also
        --------
        max_blur_pool<n>d : the forward. ``vjp`` of it keeps the taps, and not x.

        Examples
        --------
        <example>
        """
        called, blur = f"max_blur_pool{n}d_backward", (filter_size, stride, filter, padding)
        return _backward(called, n, grad_output, x, kernel_size, blur, layout, (out, device))

    return pool_backward


def _vjp(n: int) -> Callable[..., Any]:
    def of_max_blur(
        x: Any,
        kernel_size: Sizes = 2,
        stride: Sizes = 2,
        *,
        filter_size: Sizes = 4,
        filter: Any = None,  # noqa: A002
        padding: str = "reflect",
        layout: Layout = "channels_first",
        out: Any = None,
        device: Device = None,
    ) -> tuple[Any, Callable[[Any], Any]]:
        blur = (filter_size, stride, filter, padding)
        y, pull, maxima = _forward(f"max_blur_pool{n}d", n, x, kernel_size, blur, layout, (out, device), True)
        backward = getattr(blurring, f"blur_pool{n}d_backward")

        def pullback(dy: Any) -> Any:
            return pull(backward(dy, maxima, filter_size, stride, filter=filter, padding=padding, layout=layout))

        return y, pullback

    return of_max_blur


VJPS = {f"max_blur_pool{n}d": _vjp(n) for n in (1, 2, 3)}

max_blur_pool1d, max_blur_pool2d, max_blur_pool3d = ranked(
    _pool,
    "max_blur_pool{n}d",
    {
        1: """
        >>> fastpool.max_blur_pool1d(np.array([0.0, 4.0, 0.0, 0.0, 8.0]), filter_size=3)
        array([4., 3.])
        """,
        2: """
        >>> fastpool.max_blur_pool2d(np.arange(16.0).reshape(4, 4), filter_size=3)
        array([[ 7.5,  8.5],
               [11.5, 12.5]])
        """,
        3: """
        >>> fastpool.max_blur_pool3d(np.arange(8.0).reshape(2, 2, 2), filter_size=1)
        array([[[7.]]])
        """,
    },
)
max_blur_pool1d_backward, max_blur_pool2d_backward, max_blur_pool3d_backward = ranked(
    _pool_backward,
    "max_blur_pool{n}d_backward",
    {
        1: """
        >>> x = np.array([0.0, 4.0, 0.0, 0.0, 8.0])
        >>> fastpool.max_blur_pool1d_backward(np.array([1.0, 0.0]), x, filter_size=3)
        array([0., 1., 0., 0., 0.])
        """,
        2: """
        >>> x = np.arange(4.0).reshape(2, 2)
        >>> fastpool.max_blur_pool2d_backward(np.ones((1, 1)), x, filter_size=1)
        array([[0., 0.],
               [0., 1.]])
        """,
        3: """
        >>> x = np.arange(8.0).reshape(2, 2, 2)
        >>> fastpool.max_blur_pool3d_backward(np.ones((1, 1, 1)), x, filter_size=1)
        array([[[0., 0.],
                [0., 0.]],
        <BLANKLINE>
               [[0., 0.],
                [0., 1.]]])
        """,
    },
)
