"""Average pooling over one, two or three spatial axes, and its gradient."""

from __future__ import annotations

from fastpool.functional import _call
from fastpool.functional._docs import Family, documented
from fastpool.functional._types import A, Device, Layout, NanRule, Padding, Shape, Sizes

__all__ = [
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
]

FAMILY = Family(
    dtypes="Integer, floating (float16, bfloat16 and longdouble included) or complex.",
    result="that of x",
    padding="it counts as 0 in the sum",
    nan="the mean of the other elements, NaN being in neither the sum nor the divisor",
    reads_x='with ``nan="ignore"``',
    rules="The sum is divided once, by the number of taps below ``n + e`` along each axis, or with "
    "``count_include_pad=False`` by the number of taps on x [2]_. Integers are summed in 64 bits and "
    "their mean is truncated toward zero; float16 and bfloat16 are summed in float32. A window without "
    "any element of x gives 0.",
    gradient="Every element of a window gets the gradient of its result, divided by the divisor of the "
    "forward. Gradients that meet in an element add up in one order, whatever the number of threads.",
    source="PyTorch, ``avg_pool2d`` in ATen/native/cpu/AvgPoolKernel.cpp, extended to dilation.",
)


@documented(FAMILY)
def avg_pool1d(
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Mean of the elements of each window, over one spatial axis.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    >>> fastpool.avg_pool1d(x, 2)
    array([2. , 2.5, 7. ])
    >>> fastpool.avg_pool1d(x, 2, padding=1, count_include_pad=False)
    array([3. , 2.5, 3. , 9. ])
    """
    options = (
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        layout,
        nan,
        False,
        "plane",
        count_include_pad,
        divisor_override,
    )
    return _call.forward("avg_pool1d", x, options, out, device)


@documented(FAMILY)
def avg_pool2d(
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Mean of the elements of each window, over two spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(24.0, dtype=np.float32).reshape(1, 1, 4, 6)
    >>> fastpool.avg_pool2d(x, 2)
    array([[[[ 3.5,  5.5,  7.5],
             [15.5, 17.5, 19.5]]]], dtype=float32)
    """
    options = (
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        layout,
        nan,
        False,
        "plane",
        count_include_pad,
        divisor_override,
    )
    return _call.forward("avg_pool2d", x, options, out, device)


@documented(FAMILY)
def avg_pool3d(
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Mean of the elements of each window, over three spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(24.0).reshape(2, 3, 4)
    >>> fastpool.avg_pool3d(x, (2, 1, 4))
    array([[[ 7.5],
            [11.5],
            [15.5]]])
    """
    options = (
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        layout,
        nan,
        False,
        "plane",
        count_include_pad,
        divisor_override,
    )
    return _call.forward("avg_pool3d", x, options, out, device)


@documented(FAMILY)
def avg_pool1d_backward(
    grad_output: A,
    x_or_shape: A | Shape,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``avg_pool1d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> fastpool.avg_pool1d_backward(np.array([1.0, 2.0]), (4,), 2)
    array([0.5, 0.5, 1. , 1. ])
    """
    options = (
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        layout,
        nan,
        False,
        "plane",
        count_include_pad,
        divisor_override,
    )
    return _call.backward("avg_pool1d_backward", grad_output, x_or_shape, options, out, device)


@documented(FAMILY)
def avg_pool2d_backward(
    grad_output: A,
    x_or_shape: A | Shape,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``avg_pool2d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> fastpool.avg_pool2d_backward(np.array([[1.0, 2.0]]), (2, 3), 2, stride=1)
    array([[0.25, 0.75, 0.5 ],
           [0.25, 0.75, 0.5 ]])
    """
    options = (
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        layout,
        nan,
        False,
        "plane",
        count_include_pad,
        divisor_override,
    )
    return _call.backward("avg_pool2d_backward", grad_output, x_or_shape, options, out, device)


@documented(FAMILY)
def avg_pool3d_backward(
    grad_output: A,
    x_or_shape: A | Shape,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``avg_pool3d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> fastpool.avg_pool3d_backward(np.array([[[4.0]]]), (1, 2, 2), (1, 2, 2))
    array([[[1., 1.],
            [1., 1.]]])
    """
    options = (
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        layout,
        nan,
        False,
        "plane",
        count_include_pad,
        divisor_override,
    )
    return _call.backward("avg_pool3d_backward", grad_output, x_or_shape, options, out, device)
