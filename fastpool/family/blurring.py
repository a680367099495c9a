"""Blur pooling: a low-pass filter before the stride."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastpool.family import filtering
from fastpool.family.calls import FLOATS, Call
from fastpool.family.filtering import Filter, Taps
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, Layout, Sizes
from fastpool.problem import Ints

__all__ = [
    "blur_pool1d",
    "blur_pool1d_backward",
    "blur_pool2d",
    "blur_pool2d_backward",
    "blur_pool3d",
    "blur_pool3d_backward",
]


@functools.cache
def binomial(size: int) -> Taps:
    """The row of Pascal's triangle with so many numbers, divided by their sum: exact up to one rounding."""
    total = 1 << (size - 1)
    return tuple(math.comb(size - 1, i) / total for i in range(size))


MOST_TAPS = 1024
"""Of a binomial filter: the numbers of a longer one pass the range of a float."""


def filters_of(
    call: Call, shape: Ints, axes: Ints, size: object, stride: object, given: object, padding: object
) -> tuple[Filter, ...]:
    """What is done along each axis."""
    count = len(axes)
    strides = call.sizes("stride", stride, count)
    if given is None:
        lengths = call.sizes("filter_size", size, count)
        if max(lengths) > MOST_TAPS:
            raise call.value_error(f"filter_size={max(lengths)}", f"at most {MOST_TAPS}", "give the taps as filter")
        taps = tuple(binomial(length) for length in lengths)
    elif isinstance(given, tuple | list) and len(given) and all(np.ndim(entry) > 0 for entry in given):
        if len(given) != count:
            raise call.value_error(f"{len(given)} filters", f"{count} spatial axes", "give one filter, or one per axis")
        taps = tuple(filtering.taps_of(call, f"filter[{i}]", entry) for i, entry in enumerate(given))
    else:
        taps = (filtering.taps_of(call, "filter", given),) * count
    rule = filtering.rule_of(call, padding)
    found = []
    for axis, own, step in zip(axes, taps, strides, strict=True):
        outputs = (shape[axis] - 1) // step + 1
        found.append(Filter(shape[axis], (own,), step, (len(own) - 1) // 2, outputs, rule))
        filtering.check_reflection(call, axis, found[-1], len(own) // 2)
    return tuple(found)


def blurred(shape: Ints, axes: Ints, filters: tuple[Filter, ...]) -> Ints:
    sizes = {axis: filter_.outputs for axis, filter_ in zip(axes, filters, strict=True)}
    return tuple(sizes.get(axis, size) for axis, size in enumerate(shape))


def _blur(
    called: str, n: int, x: A, size: object, stride: object, given: object, padding: object, layout: object, rest: Any
) -> A:
    out, device = rest
    call = Call(called, device)
    source = call.take("x", x, FLOATS)
    shape = source.data.shape
    axes = call.axes(layout, n, shape)
    filters = filters_of(call, shape, axes, size, stride, given, padding)
    y = call.result("out", blurred(shape, axes, filters), source.dtype, out, source.data)
    filtering.apply(source.data, y.data, axes, filters, source.dtype)
    found: A = call.give()
    return found


def _blur_backward(
    called: str,
    n: int,
    grad: A,
    x: object,
    size: object,
    stride: object,
    given: object,
    padding: object,
    layout: object,
    rest: Any,
) -> A:
    out, device = rest
    call = Call(called, device)
    source = call.take("grad_output", grad, FLOATS)
    shape = call.shape_of("x_or_shape", x)
    axes = call.axes(layout, n, shape)
    filters = filters_of(call, shape, axes, size, stride, given, padding)
    call.check_shape("grad_output", source.data, blurred(shape, axes, filters), "the shape of the forward's result")
    dx = call.result("out", shape, source.dtype, out, source.data)
    filtering.apply(source.data, dx.data, axes, filters, source.dtype, transposed=True)
    found: A = call.give()
    return found


def _pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        filter_size: Sizes = 4,
        stride: Sizes = 2,
        *,
        filter: Any = None,  # noqa: A002
        padding: str = "reflect",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Blur pooling over <axes>: a binomial filter, then every ``stride``-th element.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says. Floating.
        filter_size : int or tuple of int
            Taps of the binomial filter along each axis: 1 sub-samples, 2 is a mean of two, 3 has taps 1, 2, 1 over 4.
        stride : int or tuple of int
            Elements from one output to the next, at least 1.
        filter : sequence of float, or tuple of sequences, optional
            Taps of your own, for all axes or one sequence for each; then ``filter_size`` is not looked at. They are
            used as they are, from the first to the last along the axis: normalise them yourself.
        padding : {"reflect", "replicate", "zero", "periodic"}
            What x is outside: its mirror image, in which the edge is not repeated; its edge (``"edge"`` is another
            name); 0; itself again (``"wrap"``). A reflection must be shorter than the axis.
        <layout>
        <out>
        <device>

        Returns
        -------
        y : array
            ``ceil(size / stride)`` elements along each spatial axis; dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        <name>_backward : its gradient.
        max_blur_pool<n>d : max pooling with a blur for its stride.
        stride_pool<n>d : the stride without a filter.

        Notes
        -----
        A filter of f taps sees ``floor((f - 1) / 2)`` elements before the first and ``ceil((f - 1) / 2)`` after the
        last, as the authors' code pads [1]_. Along each axis, the first spatial one first, products are added from the
        first tap to the last, in x's type (halves in float32), with taps rounded to it.

        References
        ----------
        .. [1] Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019.

        Examples
        --------
        <example>
        """
        rest = (out, device)
        return _blur(f"blur_pool{n}d", n, x, filter_size, stride, filter, padding, layout, rest)

    return pool


def _pool_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x_or_shape: Any,
        filter_size: Sizes = 4,
        stride: Sizes = 2,
        *,
        filter: Any = None,  # noqa: A002
        padding: str = "reflect",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of blur pooling over <axes>: the transposed filter.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x_or_shape : array or tuple of int
            The forward's x, or its shape.
        filter_size, stride, filter, padding
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
        blur_pool<n>d : the forward.

        Notes
        -----
        An element adds the outputs that saw it from the first to the last, after these what comes by the border rule.

        Examples
        --------
        <example>
        """
        called, rest = f"blur_pool{n}d_backward", (out, device)
        return _blur_backward(called, n, grad_output, x_or_shape, filter_size, stride, filter, padding, layout, rest)

    return pool_backward


blur_pool1d, blur_pool2d, blur_pool3d = ranked(
    _pool,
    "blur_pool{n}d",
    {
        1: """
        >>> fastpool.blur_pool1d(np.array([0.0, 4.0, 0.0, 0.0, 8.0]), 3)
        array([2., 1., 4.])
        """,
        2: """
        >>> fastpool.blur_pool2d(np.arange(16.0).reshape(4, 4), 2)
        array([[ 2.5,  4.5],
               [10.5, 12.5]])
        """,
        3: """
        >>> fastpool.blur_pool3d(np.arange(8.0).reshape(2, 2, 2), (1, 2, 2), (1, 2, 2))
        array([[[1.5]],
        <BLANKLINE>
               [[5.5]]])
        """,
    },
)
blur_pool1d_backward, blur_pool2d_backward, blur_pool3d_backward = ranked(
    _pool_backward,
    "blur_pool{n}d_backward",
    {
        1: """
        >>> fastpool.blur_pool1d_backward(np.array([1.0, 0.0, 0.0]), (5,), 3)
        array([0.5, 0.5, 0. , 0. , 0. ])
        """,
        2: """
        >>> fastpool.blur_pool2d_backward(np.ones((1, 1)), (2, 2), 2)
        array([[0.25, 0.25],
               [0.25, 0.25]])
        """,
        3: """
        >>> fastpool.blur_pool3d_backward(np.ones((1, 1, 1)), (1, 2, 2), (1, 2, 2))
        array([[[0.25, 0.25],
                [0.25, 0.25]]])
        """,
    },
)
