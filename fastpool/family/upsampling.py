"""Nearest upsampling over one, two or three spatial axes, and its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastpool.errors import shown
from fastpool.family import known_tasks, tasks
from fastpool.family.calls import NUMBERS, Call
from fastpool.family.framing import Frame
from fastpool.family.ranks import ranked
from fastpool.family.spreading import hand_over
from fastpool.functional._types import A, Device, Layout, Sizes
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints
from fastpool.reference.family import upsampling as oracle

__all__ = [
    "upsample_nearest1d",
    "upsample_nearest1d_backward",
    "upsample_nearest2d",
    "upsample_nearest2d_backward",
    "upsample_nearest3d",
    "upsample_nearest3d_backward",
]

DTYPES = ("b1", *NUMBERS)
ROWS = 64 * 1024
"""Bytes of y that a tile should have."""


def _upsampled(call: Call, factor: Any, size: object, axes: Ints, shape: Ints) -> Ints:
    """The shape of the result, from whole factors or from sizes."""
    if (factor is None) == (size is None):
        given = f"scale_factor={shown(factor)}, size={shown(size)}"
        raise call.value_error(given, "exactly one of them says how large the result is", "give one of them")
    found = list(shape)
    if size is not None:
        for axis, wanted in zip(axes, call.sizes("size", size, len(axes)), strict=True):
            found[axis] = wanted
        return tuple(found)
    entries = factor if isinstance(factor, tuple | list) else (factor,)
    for entry in entries:
        if isinstance(entry, float | np.floating) and not float(entry).is_integer():
            raise call.value_error(f"scale_factor={shown(factor)}", "a factor must be whole", "give size")
    # 2.0, as configurations have it, is 2
    whole = [int(entry) if isinstance(entry, float | np.floating) else entry for entry in entries]
    factors = call.sizes("scale_factor", whole if isinstance(factor, tuple | list) else whole[0], len(axes))
    for axis, times in zip(axes, factors, strict=True):
        found[axis] *= times
    return tuple(found)


def _plan(role: str, large: Array, small: Array, axes: Ints, word: str) -> tasks.Task:
    """A task: "copy" writes the larger array, "fold" the smaller one."""
    frame = Frame((large, small), axes)
    n, m = small.shape[axes[-1]], large.shape[axes[-1]]
    # from which element along the last axis each is taken, and how many copies come before each
    sources, copies = np.arange(m) * n // m, -(-np.arange(n + 1) * m // n)
    rows = math.prod(small.shape[axis] for axis in axes[:-1])
    plane = large.itemsize * frame.lanes * math.prod(large.shape[axis] for axis in axes)
    band = min(rows, max(1, ROWS * rows // plane))
    bands = -(-rows // band)
    work = 2 * (m * frame.lanes + 8) // 8 * 64 + 64 if role == "fold" else 0
    tiles = 0 if 0 in small.shape else frame.outer * bands
    moved = large.nbytes + small.nbytes
    numbers = [*frame.plan, band, bands]
    return tasks.task(Program("upsample", (role, word)), numbers, (sources, copies), tiles, work, moved)


FORWARD = {n: f"upsample_nearest{n}d" for n in (1, 2, 3)}
"""Names of the functions, each one object, by which the front door knows them."""


def _forward(n: int, x: A, factor: object, size: object, layout: object, out: Any, device: object) -> A:
    written = factor, size, layout
    answer, asked = known_tasks.again(FORWARD[n], written, device, (x,), out)
    given: A
    if answer is not None:
        given = answer
        return given
    call = Call(FORWARD[n], device)
    source = call.take("x", x, DTYPES)
    axes = call.axes(layout, n, source.data.shape)
    shape = _upsampled(call, factor, size, axes, source.data.shape)
    y = call.result("out", shape, source.dtype, out, source.data)
    task = _plan("copy", y.data, source.data, axes, str(8 * y.data.itemsize))
    task.run(y.data, source.data, oracle=lambda: oracle.upsample(source.data, y.data, axes))
    known_tasks.keep(asked if source.data is x else None, known_tasks.written_first(task), call)
    given = call.give()
    return given


def _backward(
    called: str, n: int, g: A, x: object, factor: object, size: object, layout: object, out: Any, device: object
) -> A:
    call = Call(called, device)
    source = call.take("grad_output", g)
    shape = call.shape_of("x_or_shape", x)
    axes = call.axes(layout, n, shape)
    large = _upsampled(call, factor, size, axes, shape)
    call.check_shape("grad_output", source.data, large, "the shape of the forward's result")
    given: A
    if all(large[axis] % shape[axis] == 0 for axis in axes):
        factors = tuple(large[axis] // shape[axis] for axis in axes)
        given = hand_over(called, f"sum_pool{n}d", g, factors, layout=layout, out=out)
        return given
    dx = call.result("out", shape, source.dtype, out, source.data)
    task = _plan("fold", source.data, dx.data, axes, source.dtype)
    task.run(source.data, dx.data, oracle=lambda: oracle.upsample_backward(source.data, dx.data, axes))
    given = call.give()
    return given


def _vjp(n: int) -> Callable[..., Any]:
    """The result and its pullback, which keeps x's shape alone."""

    def vjp(x: Any, *args: Any, **kwargs: Any) -> tuple[Any, Callable[[Any], Any]]:
        forward, backward = (globals()[f"upsample_nearest{n}d{end}"] for end in ("", "_backward"))
        y = forward(x, *args, **kwargs)
        shape = tuple(x.shape)
        rest = {key: value for key, value in kwargs.items() if key != "out"}
        return y, lambda dy: backward(dy, shape, *args, **rest)

    return vjp


VJPS = {f"upsample_nearest{n}d": _vjp(n) for n in (1, 2, 3)}


def _upsample(n: int) -> Callable[..., Any]:
    def upsample(
        x: A,
        scale_factor: Any = None,
        size: Sizes | None = None,
        *,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Nearest upsampling over <axes>: every element several times, without interpolation.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says. Any element type but complex.
        scale_factor : int or tuple of int, optional
            How many times larger the result is along each spatial axis.
        size : int or tuple of int, optional
            Spatial sizes of the result, instead; any, smaller ones too.
        <layout>
        <out>
        <device>

        Returns
        -------
        y : array
            The larger array; dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        <name>_backward : its gradient.
        avg_unpool<n>d : the same divided by the elements that each is spread to.

        Notes
        -----
        Element i of m along an axis is element ``floor(i * n / m)`` of n, in whole numbers. PyTorch's
        ``interpolate(mode="nearest")`` has the same rule in float32 [1]_: where ``i * n / m`` is close to a whole
        number of large arrays, its rounding may choose a neighbour. Factors that are not whole are refused,
        because PyTorch divides by them instead of by the sizes; give ``size``.

        References
        ----------
        .. [1] PyTorch, ``nearest_neighbor_compute_source_index`` in ATen/native/UpSample.h.

        Examples
        --------
        <example>
        """
        return _forward(n, x, scale_factor, size, layout, out, device)

    return upsample


def _upsample_backward(n: int) -> Callable[..., Any]:
    def upsample_backward(
        grad_output: A,
        x_or_shape: Any,
        scale_factor: Any = None,
        size: Sizes | None = None,
        *,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of nearest upsampling over <axes>: each element's is the sum over its copies.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x_or_shape : array or tuple of int
            The forward's x, or its shape.
        scale_factor, size
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
        upsample_nearest<n>d : the forward.

        Notes
        -----
        Sizes that are whole multiples are summed as ``sum_pool<n>d`` sums; others along the first spatial axis, then
        the next, each from its beginning, float16 and bfloat16 in float32.

        Examples
        --------
        <example>
        """
        called = f"upsample_nearest{n}d_backward"
        return _backward(called, n, grad_output, x_or_shape, scale_factor, size, layout, out, device)

    return upsample_backward


upsample_nearest1d, upsample_nearest2d, upsample_nearest3d = ranked(
    _upsample,
    "upsample_nearest{n}d",
    {
        1: """
        >>> fastpool.upsample_nearest1d(np.array([1, 2, 3]), size=5)
        array([1, 1, 2, 2, 3])
        """,
        2: """
        >>> fastpool.upsample_nearest2d(np.array([[1, 2], [3, 4]]), 2)
        array([[1, 1, 2, 2],
               [1, 1, 2, 2],
               [3, 3, 4, 4],
               [3, 3, 4, 4]])
        """,
        3: """
        >>> fastpool.upsample_nearest3d(np.array([[[1, 2]]]), (1, 2, 1))
        array([[[1, 2],
                [1, 2]]])
        """,
    },
)
upsample_nearest1d_backward, upsample_nearest2d_backward, upsample_nearest3d_backward = ranked(
    _upsample_backward,
    "upsample_nearest{n}d_backward",
    {
        1: """
        >>> fastpool.upsample_nearest1d_backward(np.ones(5), (3,), size=5)
        array([2., 2., 1.])
        """,
        2: """
        >>> fastpool.upsample_nearest2d_backward(np.ones((2, 4)), (1, 2), 2)
        array([[4., 4.]])
        """,
        3: """
        >>> fastpool.upsample_nearest3d_backward(np.ones((1, 2, 2)), (1, 1, 2), (1, 2, 1))
        array([[[2., 2.]]])
        """,
    },
)
