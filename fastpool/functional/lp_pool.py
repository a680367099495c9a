"""Lp pooling over one, two or three spatial axes, and its gradient."""

from __future__ import annotations

from fastpool.functional import _call
from fastpool.functional._docs import Family, documented
from fastpool.functional._types import A, Device, Layout, NanRule, Padding, Sizes

__all__ = [
    "lp_pool1d",
    "lp_pool1d_backward",
    "lp_pool2d",
    "lp_pool2d_backward",
    "lp_pool3d",
    "lp_pool3d_backward",
]

FAMILY = Family(
    dtypes="Floating; float16, bfloat16 and longdouble included.",
    result="that of x",
    padding="it counts as 0",
    nan="the norm of the other elements",
    reads_x="always",
    rules="The result is ``(sum |x|**p) ** (1/p)`` over the elements of the window [2]_. torch differs "
    "where p is odd (it keeps the sign) and in partial windows (it scales them up).",
    gradient="An element x of a window with the result y gets ``sign(x) * |x|**(p-1) * y**(1-p)`` times "
    "its gradient, and 0 where y is 0. Gradients that meet in an element add up in one order, whatever "
    "the number of threads.",
    source="ONNX, LpPool, since opset 18.",
)


@documented(FAMILY)
def lp_pool1d(
    x: A,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Lp norm of the elements of each window, over one spatial axis.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([3.0, -4.0, 0.0, 5.0])
    >>> fastpool.lp_pool1d(x, 2, 2)
    array([5., 5.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, "plane", True, None, norm_type)
    return _call.forward("lp_pool1d", x, options, out, device)


@documented(FAMILY)
def lp_pool2d(
    x: A,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Lp norm of the elements of each window, over two spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[1.0, -2.0, 2.0, 0.0], [2.0, 4.0, 3.0, 6.0]])
    >>> fastpool.lp_pool2d(x, 2, 2)
    array([[5., 7.]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, "plane", True, None, norm_type)
    return _call.forward("lp_pool2d", x, options, out, device)


@documented(FAMILY)
def lp_pool3d(
    x: A,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Lp norm of the elements of each window, over three spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[[1.0, -2.0], [2.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    >>> fastpool.lp_pool3d(x, 2, 2)
    array([[[5.]]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, "plane", True, None, norm_type)
    return _call.forward("lp_pool3d", x, options, out, device)


@documented(FAMILY)
def lp_pool1d_backward(
    grad_output: A,
    x: A,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``lp_pool1d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([3.0, -4.0, 0.0, 5.0])
    >>> fastpool.lp_pool1d_backward(np.array([5.0, 1.0]), x, 2, 2)
    array([ 3., -4.,  0.,  1.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, "plane", True, None, norm_type)
    return _call.backward("lp_pool1d_backward", grad_output, x, options, out, device)


@documented(FAMILY)
def lp_pool2d_backward(
    grad_output: A,
    x: A,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``lp_pool2d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[1.0, -2.0], [2.0, 4.0]])
    >>> fastpool.lp_pool2d_backward(np.array([[5.0]]), x, 2, 2)
    array([[ 1., -2.],
           [ 2.,  4.]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, "plane", True, None, norm_type)
    return _call.backward("lp_pool2d_backward", grad_output, x, options, out, device)


@documented(FAMILY)
def lp_pool3d_backward(
    grad_output: A,
    x: A,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
    *,
    padding: Padding = 0,
    dilation: Sizes = 1,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``lp_pool3d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[[1.0, -2.0], [2.0, 4.0]]])
    >>> fastpool.lp_pool3d_backward(np.array([[[5.0]]]), x, 2, (1, 2, 2))
    array([[[ 1., -2.],
            [ 2.,  4.]]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, "plane", True, None, norm_type)
    return _call.backward("lp_pool3d_backward", grad_output, x, options, out, device)
