"""Mean and variance of each window, over windows and over whole planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastpool import arguments
from fastpool.arguments import Options
from fastpool.family import windowed
from fastpool.family.calls import Call
from fastpool.family.ranks import GLOBAL_LAYOUT, IMPORTS, page, ranked
from fastpool.functional._types import A, Device, Layout, Padding, Sizes
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints, Problem

__all__ = [
    "global_mean_var_pool",
    "global_mean_var_pool_backward",
    "mean_var_pool1d",
    "mean_var_pool1d_backward",
    "mean_var_pool2d",
    "mean_var_pool2d_backward",
    "mean_var_pool3d",
    "mean_var_pool3d_backward",
]


def _squeezed(shape: Ints, problem: Problem, keepdims: bool) -> Ints:
    return shape if keepdims else tuple(n for axis, n in enumerate(shape) if axis not in problem.axes)


def _forward(
    called: str,
    place: int | str,
    x: A,
    options: Options,
    correction: object,
    out: Any,
    device: object,
    keepdims: object = True,
) -> tuple[A, A]:
    call = Call(called, device)
    source = call.take("x", x)
    keep = arguments.flag(called, "keepdims", keepdims)
    problem = call.windows(source.dtype, source.data.shape, options, place, "mean")
    less = call.integer("correction", correction, 0)
    outs = call.outs(out, 2)
    results: list[Array] = []
    for i in range(2):
        shape = _squeezed(problem.out_shape, problem, keep)
        made = call.result(f"out[{i}]", shape, source.dtype, outs[i], source.data).data
        results.append(made if keep else np.expand_dims(made, problem.axes))
    windowed.forward(problem, source.data, results[0])
    program = Program("deviate", ("forward", source.dtype))
    arrays = (source.data, *results)
    windowed.run_windows(program, problem, arrays, "windows", 1, 2 * problem.kernel[-1] + 1, (less,))
    given: tuple[A, A] = call.give()
    return given


def _backward(
    called: str, place: int | str, grads: Any, x: A, options: Options, correction: object, out: Any, device: object
) -> A:
    call = Call(called, device)
    if not isinstance(grads, tuple | list) or len(grads) != 2:
        raise call.type_error("grad_output", "must be a pair: that of the means and that of the variances")
    source = call.take("x", x)
    problem = call.windows(source.dtype, source.data.shape, options, place, "mean")
    less = call.integer("correction", correction, 0)
    parts = []
    for i, grad in enumerate(grads):
        part = call.take(f"grad_output[{i}]", grad, (source.dtype,)).data
        if place == "global" and part.ndim < len(problem.shape):
            shape = _squeezed(problem.out_shape, problem, False)
            call.check_shape(f"grad_output[{i}]", part, shape, "the result's shape")
            part = np.expand_dims(part, problem.axes)
        call.check_shape(f"grad_output[{i}]", part, problem.out_shape, "the shape of the forward's results")
        parts.append(part)
    dx = call.result("out", source.data.shape, source.dtype, out, source.data)
    if dx.data.size:
        mean = windowed.like(problem, source.data)
        windowed.forward(problem, source.data, mean)
        arrays = (source.data, dx.data, mean, *parts)
        windowed.run_windows(Program("deviate", ("backward", source.dtype)), problem, arrays, "x", 2, 3, (less,))
    given: A = call.give()
    return given


def _pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        correction: int = 0,
        layout: Layout = "channels_first",
        out: tuple[A, A] | None = None,
        device: Device = None,
    ) -> tuple[A, A]:
        """Mean and variance of each window over <axes>.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says; floating.
        <window>
        correction : int
            Taken off the number of taps by which the sum of squares is divided: 1 for the unbiased variance.
        <layout>
        <outs>
        <device>

        Returns
        -------
        mean, variance : array
            Of the taps on the input; padding counts in neither. The mean is that of ``avg_pool<n>d`` with
            ``count_include_pad=False``, to the bit. The variance is NaN where no more taps than ``correction`` are on
            the input, and 0 where none is. Dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        mean_var_pool<n>d_backward : its gradient.

        Notes
        -----
        The mean first, then the squares of the deviations from it, less the square of their sum over the number of
        taps, which takes back what the mean was rounded by [1]_: no digits are lost where the mean is large. Deviations
        add up from the first row of the window to the last, for each column of taps, and then over the columns.

        References
        ----------
        .. [1] Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance", 1983, the corrected two-pass
           algorithm.

        Examples
        --------
        <example>
        """
        options = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, count_include_pad=False)
        return _forward(f"mean_var_pool{n}d", n, x, options, correction, out, device)

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
        *,
        correction: int = 0,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of ``mean_var_pool<n>d`` with respect to its input.

        Parameters
        ----------
        grad_output : tuple of array
            Gradients of the means and of the variances.
        x : array
            The forward's input.
        <window>
        correction : int
            As in the forward.
        <layout>
        <out>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x: over the windows that hold an element, in row-major order, the sum of
            ``g_mean / n + (x - mean) * 2 * g_variance / (n - correction)``.

        <raises>

        See Also
        --------
        mean_var_pool<n>d : the forward.

        Examples
        --------
        <example>
        """
        options = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, count_include_pad=False)
        called = f"mean_var_pool{n}d_backward"
        return _backward(called, n, grad_output, x, options, correction, out, device)

    return pool_backward


mean_var_pool1d, mean_var_pool2d, mean_var_pool3d = ranked(
    _pool,
    "mean_var_pool{n}d",
    {
        1: """
        >>> fastpool.mean_var_pool1d(np.array([1.0, 3.0, 5.0, 9.0]), 2)
        (array([2., 7.]), array([1., 4.]))
        """,
        2: """
        >>> mean, variance = fastpool.mean_var_pool2d(np.arange(16.0).reshape(4, 4), 2, correction=1)
        >>> variance
        array([[5.66666667, 5.66666667],
               [5.66666667, 5.66666667]])
        """,
        3: """
        >>> fastpool.mean_var_pool3d(np.arange(8.0).reshape(2, 2, 2), 2)
        (array([[[3.5]]]), array([[[5.25]]]))
        """,
    },
)
mean_var_pool1d_backward, mean_var_pool2d_backward, mean_var_pool3d_backward = ranked(
    _pool_backward,
    "mean_var_pool{n}d_backward",
    {
        1: """
        >>> g = np.ones(2)
        >>> fastpool.mean_var_pool1d_backward((g, g), np.array([1.0, 3.0, 5.0, 9.0]), 2)
        array([-0.5,  1.5, -1.5,  2.5])
        """,
        2: """
        >>> g = np.ones((1, 1))
        >>> fastpool.mean_var_pool2d_backward((g, g), np.array([[0.0, 0.0], [4.0, 4.0]]), 2)
        array([[-0.75, -0.75],
               [ 1.25,  1.25]])
        """,
        3: """
        >>> g = np.ones((1, 1, 1))
        >>> fastpool.mean_var_pool3d_backward((g, g), np.array([[[1.0, 3.0]]]), (1, 1, 2))
        array([[[-0.5,  1.5]]])
        """,
    },
)


def global_mean_var_pool(
    x: A,
    *,
    correction: int = 0,
    keepdims: bool = False,
    layout: Layout = "channels_first",
    out: tuple[A, A] | None = None,
    device: Device = None,
) -> tuple[A, A]:
    """Mean and variance of each plane.

    Parameters
    ----------
    x : array
        Floating.
    correction : int
        Taken off the number of elements by which the sum of squares is divided: 1 for the unbiased variance.
    keepdims : bool
        Keep the spatial axes, with one element each.
    <layout>
    <outs>
    <device>

    Returns
    -------
    mean, variance : array
        The mean is that of ``global_avg_pool``, to the bit.

    <raises>

    See Also
    --------
    global_mean_var_pool_backward : its gradient.

    Notes
    -----
    As ``mean_var_pool2d`` and its like.

    Examples
    --------
    <example>
    """
    options = Options(layout=layout, count_include_pad=False)
    return _forward("global_mean_var_pool", "global", x, options, correction, out, device, keepdims)


def global_mean_var_pool_backward(
    grad_output: tuple[A, A],
    x: A,
    *,
    correction: int = 0,
    keepdims: bool = False,
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Gradient of ``global_mean_var_pool`` with respect to its input.

    Parameters
    ----------
    grad_output : tuple of array
        Gradients of the means and of the variances, with the spatial axes or without.
    x : array
        The forward's input.
    correction : int
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
    global_mean_var_pool : the forward.

    Examples
    --------
    <example>
    """
    options = Options(layout=layout, count_include_pad=False)
    return _backward("global_mean_var_pool_backward", "global", grad_output, x, options, correction, out, device)


page(
    global_mean_var_pool,
    "global_mean_var_pool",
    layout=GLOBAL_LAYOUT,
    example=f"""{IMPORTS}
>>> fastpool.global_mean_var_pool(np.arange(8.0).reshape(1, 2, 4))
(array([[1.5, 5.5]]), array([[1.25, 1.25]]))""",
)
page(
    global_mean_var_pool_backward,
    "global_mean_var_pool_backward",
    layout=GLOBAL_LAYOUT,
    example=f"""{IMPORTS}
>>> g = np.ones((1, 1))
>>> fastpool.global_mean_var_pool_backward((g, g), np.arange(4.0).reshape(1, 1, 4))
array([[[-0.5,  0. ,  0.5,  1. ]]])""",
)
