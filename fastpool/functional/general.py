"""Pooling over any axes of an array of any rank, and its gradient."""

from __future__ import annotations

from typing import Any, Literal, overload

from fastpool.functional import _call
from fastpool.functional._docs import Family, documented
from fastpool.functional._types import A, Device, IndexKind, Indices, NanRule, Op, Padding, Shape, Sizes
from fastpool.own import named

__all__ = ["pool", "pool_backward"]

FAMILY = Family(
    dtypes="Bool (max and min), integer (all but lp), floating (float16, bfloat16 and longdouble "
    "included), or complex (mean and sum); for a Reduction those that it names, but no longdouble.",
    result="that of x, but int64 or uint64 for sums of integers",
    padding="it is never a maximum or minimum, counts as 0 in a sum, and as no element in a Reduction",
    nan="the result of the other elements",
    reads_x='for lp and a Reduction, for max and min without ``indices``, and for mean and sum with ``nan="ignore"``',
    rules="Each operation follows the rules of its own function: ``max_pool2d``, ``min_pool2d``, "
    "``avg_pool2d``, ``sum_pool2d``, ``lp_pool2d`` or ``reduction``. Row-major order in a window, and the "
    "plane that indices count in, have their axes in the order of ``axes``.",
    gradient="Each operation follows the rules of its own function: ``max_pool2d_backward``, "
    "``min_pool2d_backward``, ``avg_pool2d_backward``, ``sum_pool2d_backward``, ``lp_pool2d_backward`` or "
    "``reduction``.",
    selected="maximum or minimum",
)


@overload
def pool(
    x: A,
    window: Sizes,
    op: Op = "max",
    *,
    axes: Sizes | None = None,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    norm_type: float = 2,
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A: ...
@overload
def pool(
    x: A,
    window: Sizes,
    op: Op = "max",
    *,
    axes: Sizes | None = None,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: Indices,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    norm_type: float = 2,
    out: tuple[A, A] | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> tuple[A, A]: ...
@overload
def pool(
    x: A,
    window: Sizes,
    op: Op = "max",
    *,
    axes: Sizes | None = None,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool | IndexKind = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    norm_type: float = 2,
    out: A | tuple[A, A] | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A | tuple[A, A]: ...
@documented(FAMILY)
def pool(
    x: A,
    window: Sizes,
    op: Op = "max",
    *,
    axes: Sizes | None = None,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool | IndexKind = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    norm_type: float = 2,
    out: Any = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> Any:
    """Maximum, minimum, mean, sum, Lp norm or own reduction of each window, over any axes.

    {page}

    Examples
    --------
    An RGB image at half its size:

    >>> import numpy as np
    >>> import fastpool
    >>> image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> fastpool.pool(image, (2, 2), "mean", axes=(0, 1))
    array([[[ 7,  8,  9],
            [13, 14, 15]],
    <BLANKLINE>
           [[31, 32, 33],
            [37, 38, 39]]], dtype=uint8)

    The maximum of the 3 x 3 neighbourhood of every pixel, and where it stands:

    >>> field = np.array([[1.0, 5.0, 2.0], [3.0, 4.0, 0.0]])
    >>> y, indices = fastpool.pool(field, 3, stride=1, padding="same", return_indices=True)
    >>> indices
    array([[1, 1, 1],
           [1, 1, 1]])
    """
    name, norm = named(op, norm_type)
    options = (
        window,
        stride,
        padding,
        dilation,
        ceil_mode,
        "channels_first",
        nan,
        return_indices,
        "plane",
        count_include_pad,
        divisor_override,
        norm,
        name,
        axes,
    )
    return _call.forward("pool", x, options, out, device)


@documented(FAMILY)
def pool_backward(
    grad_output: A,
    x_or_shape: A | Shape,
    window: Sizes,
    op: Op = "max",
    *,
    axes: Sizes | None = None,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    norm_type: float = 2,
    indices: A | None = None,
    index_kind: IndexKind = "plane",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``pool`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> fastpool.pool_backward(np.array([[4.0], [8.0]]), (4, 2), (2, 2), "mean")
    array([[1., 1.],
           [1., 1.],
           [2., 2.],
           [2., 2.]])
    """
    name, norm = named(op, norm_type)
    options = (
        window,
        stride,
        padding,
        dilation,
        ceil_mode,
        "channels_first",
        nan,
        False,
        index_kind,
        count_include_pad,
        divisor_override,
        norm,
        name,
        axes,
    )
    return _call.backward("pool_backward", grad_output, x_or_shape, options, out, device, indices)
