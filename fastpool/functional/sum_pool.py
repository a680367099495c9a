"""Sum pooling over one, two or three spatial axes, and its gradient."""

from __future__ import annotations

from fastpool.functional import _call
from fastpool.functional._docs import Family, documented
from fastpool.functional._types import A, Device, Layout, NanRule, Padding, Shape, Sizes

__all__ = [
    "sum_pool1d",
    "sum_pool1d_backward",
    "sum_pool2d",
    "sum_pool2d_backward",
    "sum_pool3d",
    "sum_pool3d_backward",
]

FAMILY = Family(
    dtypes="Integer, floating (float16, bfloat16 and longdouble included) or complex.",
    result="int64 or uint64 for integers, else that of x",
    padding="it counts as 0",
    nan="the sum of the other elements",
    reads_x='with ``nan="ignore"``',
    rules="Sums of integers wrap in 64 bits; float16 and bfloat16 are summed in float32. A window without "
    "any element of x gives 0.",
    gradient="Every element of a window gets the gradient of its result. Gradients that meet in an "
    "element add up in one order, whatever the number of threads.",
)


@documented(FAMILY)
def sum_pool1d(
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Sum of the elements of each window, over one spatial axis.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([100, 100, 100, 100], dtype=np.int8)
    >>> fastpool.sum_pool1d(x, 2)
    array([200, 200])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
    return _call.forward("sum_pool1d", x, options, out, device)


@documented(FAMILY)
def sum_pool2d(
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Sum of the elements of each window, over two spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(24.0, dtype=np.float32).reshape(1, 1, 4, 6)
    >>> fastpool.sum_pool2d(x, 2)
    array([[[[14., 22., 30.],
             [62., 70., 78.]]]], dtype=float32)
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
    return _call.forward("sum_pool2d", x, options, out, device)


@documented(FAMILY)
def sum_pool3d(
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Sum of the elements of each window, over three spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(24.0).reshape(2, 3, 4)
    >>> fastpool.sum_pool3d(x, (2, 1, 4))
    array([[[ 60.],
            [ 92.],
            [124.]]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
    return _call.forward("sum_pool3d", x, options, out, device)


@documented(FAMILY)
def sum_pool1d_backward(
    grad_output: A,
    x_or_shape: A | Shape,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``sum_pool1d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> fastpool.sum_pool1d_backward(np.array([1.0, 2.0]), (3,), 2, stride=1)
    array([1., 3., 2.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
    return _call.backward("sum_pool1d_backward", grad_output, x_or_shape, options, out, device)


@documented(FAMILY)
def sum_pool2d_backward(
    grad_output: A,
    x_or_shape: A | Shape,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``sum_pool2d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> fastpool.sum_pool2d_backward(np.array([[1.0, 2.0]]), (2, 3), 2, stride=1)
    array([[1., 3., 2.],
           [1., 3., 2.]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
    return _call.backward("sum_pool2d_backward", grad_output, x_or_shape, options, out, device)


@documented(FAMILY)
def sum_pool3d_backward(
    grad_output: A,
    x_or_shape: A | Shape,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``sum_pool3d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> fastpool.sum_pool3d_backward(np.array([[[4.0]]]), (1, 2, 2), (1, 2, 2))
    array([[[4., 4.],
            [4., 4.]]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
    return _call.backward("sum_pool3d_backward", grad_output, x_or_shape, options, out, device)
