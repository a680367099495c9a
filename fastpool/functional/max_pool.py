"""Max pooling over one, two or three spatial axes, and its gradient."""

from __future__ import annotations

from typing import Any

from fastpool.functional import _call
from fastpool.functional._docs import Family, documented
from fastpool.functional._types import A, Device, IndexKind, Layout, NanRule, Padding, Sizes, selecting

__all__ = [
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
]

FAMILY = Family(
    dtypes="Bool, integer or floating; float16, bfloat16 and longdouble included.",
    result="that of x",
    padding="it is never the maximum",
    nan="the maximum of the other elements",
    reads_x="without ``indices``",
    rules="Of equal elements the first in row-major order of the window is the maximum, of NaN the last, "
    "as in torch [2]_. A window without any element of x gives minus infinity (integers: their lowest "
    'value, bool: False), and the index -1 (``"tap"``: the largest value of its type).',
    gradient="The gradient of a result goes to the one element that is the maximum, the first of equal "
    "ones. A window without any element gives none. Gradients that meet in an element add up in row-major "
    "order of the windows, whatever the number of threads.",
    source="PyTorch, ``max_pool2d`` in ATen/native/cpu/MaxPoolKernel.cpp.",
    selected="maximum",
)


@selecting
@documented(FAMILY)
def max_pool1d(
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
    """Largest element of each window, over one spatial axis.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    >>> fastpool.max_pool1d(x, 2)
    array([3., 4., 9.])
    >>> fastpool.max_pool1d(x, 3, stride=1, padding="same")
    array([3., 4., 4., 5., 9., 9.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, return_indices)
    return _call.forward("max_pool1d", x, options, out, device)


@selecting
@documented(FAMILY)
def max_pool2d(
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
    """Largest element of each window, over two spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(24.0, dtype=np.float32).reshape(1, 1, 4, 6)
    >>> fastpool.max_pool2d(x, 2)
    array([[[[ 7.,  9., 11.],
             [19., 21., 23.]]]], dtype=float32)
    >>> y, indices = fastpool.max_pool2d(x, 3, stride=2, padding=1, return_indices=True)
    >>> indices
    array([[[[ 7,  9, 11],
             [19, 21, 23]]]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, return_indices)
    return _call.forward("max_pool2d", x, options, out, device)


@selecting
@documented(FAMILY)
def max_pool3d(
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
    """Largest element of each window, over three spatial axes.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    >>> fastpool.max_pool3d(x, (2, 1, 4))
    array([[[15],
            [19],
            [23]]], dtype=uint8)
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, return_indices)
    return _call.forward("max_pool3d", x, options, out, device)


@documented(FAMILY)
def max_pool1d_backward(
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
    """Gradient of ``max_pool1d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([3.0, 1.0, 4.0, 1.0])
    >>> fastpool.max_pool1d_backward(np.array([10.0, 20.0]), x, 2)
    array([10.,  0., 20.,  0.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, index_kind)
    return _call.backward("max_pool1d_backward", grad_output, x, options, out, device, indices)


@documented(FAMILY)
def max_pool2d_backward(
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
    """Gradient of ``max_pool2d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[1.0, 2.0, 3.0], [4.0, 9.0, 6.0]])
    >>> y, taps = fastpool.max_pool2d(x, 2, stride=1, return_indices="tap")
    >>> fastpool.max_pool2d_backward(np.ones_like(y), x, 2, stride=1, indices=taps, index_kind="tap")
    array([[0., 0., 0.],
           [0., 2., 0.]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, index_kind)
    return _call.backward("max_pool2d_backward", grad_output, x, options, out, device, indices)


@documented(FAMILY)
def max_pool3d_backward(
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
    """Gradient of ``max_pool3d`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(8.0).reshape(2, 2, 2)
    >>> fastpool.max_pool3d_backward(np.array([[[1.0]]]), x, 2).ravel()
    array([0., 0., 0., 0., 0., 0., 0., 1.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, layout, nan, False, index_kind)
    return _call.backward("max_pool3d_backward", grad_output, x, options, out, device, indices)
