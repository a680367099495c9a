"""Min pooling over one, two or three spatial axes, and its gradient."""

from __future__ import annotations

from typing import Any

from fastpool.functional import _call
from fastpool.functional._docs import Family, documented
from fastpool.functional._types import A, Device, IndexKind, Layout, NanRule, Padding, Sizes, selecting

__all__ = [
    "min_pool1d",
    "min_pool1d_backward",
    "min_pool2d",
    "min_pool2d_backward",
    "min_pool3d",
    "min_pool3d_backward",
]

FAMILY = Family(
    dtypes="Bool, integer or floating; float16, bfloat16 and longdouble included.",
    result="that of x",
    padding="it is never the minimum",
    nan="the minimum of the other elements",
    reads_x="without ``indices``",
    rules="Of equal elements the first in row-major order of the window is the minimum, of NaN the last, "
    "as in torch [2]_. A window without any element of x gives infinity (integers: their highest value, "
    'bool: True), and the index -1 (``"tap"``: the largest value of its type).',
    gradient="The gradient of a result goes to the one element that is the minimum, the first of equal "
    "ones. A window without any element gives none. Gradients that meet in an element add up in row-major "
    "order of the windows, whatever the number of threads.",
    source="PyTorch, ``max_pool2d`` in ATen/native/cpu/MaxPoolKernel.cpp, with the order turned round.",
    selected="minimum",
)


@selecting
@documented(FAMILY)
def min_pool1d(
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool | IndexKind = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> Any:
    """Smallest element of each window, over one spatial axis.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    >>> fastpool.min_pool1d(x, 2)
    array([1., 1., 5.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, return_indices)
    return _call.forward("min_pool1d", x, options, out, device)


@selecting
@documented(FAMILY)
def min_pool2d(
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool | IndexKind = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> Any:
    """Smallest element of each window, over two spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(24.0, dtype=np.float32).reshape(1, 1, 4, 6)
    >>> fastpool.min_pool2d(x, 2)
    array([[[[ 0.,  2.,  4.],
             [12., 14., 16.]]]], dtype=float32)
    >>> y, indices = fastpool.min_pool2d(x, 2, return_indices="tap")
    >>> indices.dtype, int(indices.max())
    (dtype('uint8'), 0)
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, return_indices)
    return _call.forward("min_pool2d", x, options, out, device)


@selecting
@documented(FAMILY)
def min_pool3d(
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool | IndexKind = False,
    *,
    layout: Layout = "channels_first",
    out: Any = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> Any:
    """Smallest element of each window, over three spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    >>> fastpool.min_pool3d(x, (2, 1, 4))
    array([[[0],
            [4],
            [8]]], dtype=uint8)
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, return_indices)
    return _call.forward("min_pool3d", x, options, out, device)


@documented(FAMILY)
def min_pool1d_backward(
    grad_output: A,
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    indices: A | None = None,
    index_kind: IndexKind = "plane",
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``min_pool1d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([3.0, 1.0, 4.0, 1.0])
    >>> fastpool.min_pool1d_backward(np.array([10.0, 20.0]), x, 2)
    array([ 0., 10.,  0., 20.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, index_kind)
    return _call.backward("min_pool1d_backward", grad_output, x, options, out, device, indices)


@documented(FAMILY)
def min_pool2d_backward(
    grad_output: A,
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    indices: A | None = None,
    index_kind: IndexKind = "plane",
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``min_pool2d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[4.0, 2.0, 3.0], [4.0, 1.0, 6.0]])
    >>> y, taps = fastpool.min_pool2d(x, 2, stride=1, return_indices="tap")
    >>> fastpool.min_pool2d_backward(np.ones_like(y), x, 2, stride=1, indices=taps, index_kind="tap")
    array([[0., 0., 0.],
           [0., 2., 0.]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, index_kind)
    return _call.backward("min_pool2d_backward", grad_output, x, options, out, device, indices)


@documented(FAMILY)
def min_pool3d_backward(
    grad_output: A,
    x: A,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    *,
    indices: A | None = None,
    index_kind: IndexKind = "plane",
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``min_pool3d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(8.0).reshape(2, 2, 2)
    >>> fastpool.min_pool3d_backward(np.array([[[1.0]]]), x, 2).ravel()
    array([1., 0., 0., 0., 0., 0., 0., 0.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, index_kind)
    return _call.backward("min_pool3d_backward", grad_output, x, options, out, device, indices)
