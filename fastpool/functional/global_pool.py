"""Global pooling: one window that covers all spatial axes, and its gradient."""

from __future__ import annotations

from fastpool.functional import _call, avg_pool, lp_pool, max_pool, min_pool, sum_pool
from fastpool.functional._docs import documented
from fastpool.functional._types import A, Device, Layout, NanRule, Shape

__all__ = [
    "global_avg_pool",
    "global_avg_pool_backward",
    "global_lp_pool",
    "global_lp_pool_backward",
    "global_max_pool",
    "global_max_pool_backward",
    "global_min_pool",
    "global_min_pool_backward",
    "global_sum_pool",
    "global_sum_pool_backward",
]


@documented(max_pool.FAMILY)
def global_max_pool(
    x: A,
    *,
    keepdims: bool = False,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Largest element of each channel.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(12.0).reshape(1, 2, 2, 3)
    >>> fastpool.global_max_pool(x)
    array([[ 5., 11.]])
    >>> fastpool.global_max_pool(x, keepdims=True).shape
    (1, 2, 1, 1)
    """
    options = (None, None, 0, 1, False, layout, nan)
    return _call.forward("global_max_pool", x, options, out, device, keepdims)


@documented(min_pool.FAMILY)
def global_min_pool(
    x: A,
    *,
    keepdims: bool = False,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Smallest element of each channel.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(12.0).reshape(1, 2, 2, 3)
    >>> fastpool.global_min_pool(x)
    array([[0., 6.]])
    """
    options = (None, None, 0, 1, False, layout, nan)
    return _call.forward("global_min_pool", x, options, out, device, keepdims)


@documented(avg_pool.FAMILY)
def global_avg_pool(
    x: A,
    *,
    keepdims: bool = False,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Mean of the elements of each channel.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(12.0, dtype=np.float32).reshape(1, 2, 2, 3)
    >>> fastpool.global_avg_pool(x)
    array([[2.5, 8.5]], dtype=float32)
    >>> fastpool.global_avg_pool(x, layout="channels_last")
    array([[4.5, 5.5, 6.5]], dtype=float32)
    """
    options = (None, None, 0, 1, False, layout, nan)
    return _call.forward("global_avg_pool", x, options, out, device, keepdims)


@documented(sum_pool.FAMILY)
def global_sum_pool(
    x: A,
    *,
    keepdims: bool = False,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Sum of the elements of each channel.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    >>> fastpool.global_sum_pool(x)
    array([[15, 51]], dtype=uint64)
    """
    options = (None, None, 0, 1, False, layout, nan)
    return _call.forward("global_sum_pool", x, options, out, device, keepdims)


@documented(lp_pool.FAMILY)
def global_lp_pool(
    x: A,
    norm_type: float,
    *,
    keepdims: bool = False,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Lp norm of the elements of each channel.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[[3.0, -4.0]]])
    >>> fastpool.global_lp_pool(x, 2)
    array([[5.]])
    """
    options = (None, None, 0, 1, False, layout, nan, False, "plane", True, None, norm_type)
    return _call.forward("global_lp_pool", x, options, out, device, keepdims)


@documented(max_pool.FAMILY)
def global_max_pool_backward(
    grad_output: A,
    x: A,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``global_max_pool`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[[1.0, 7.0, 3.0]]])
    >>> fastpool.global_max_pool_backward(np.array([[2.0]]), x)
    array([[[0., 2., 0.]]])
    """
    options = (None, None, 0, 1, False, layout, nan)
    return _call.backward("global_max_pool_backward", grad_output, x, options, out, device)


@documented(min_pool.FAMILY)
def global_min_pool_backward(
    grad_output: A,
    x: A,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``global_min_pool`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[[1.0, 7.0, 3.0]]])
    >>> fastpool.global_min_pool_backward(np.array([[2.0]]), x)
    array([[[2., 0., 0.]]])
    """
    options = (None, None, 0, 1, False, layout, nan)
    return _call.backward("global_min_pool_backward", grad_output, x, options, out, device)


@documented(avg_pool.FAMILY)
def global_avg_pool_backward(
    grad_output: A,
    x_or_shape: A | Shape,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``global_avg_pool`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> fastpool.global_avg_pool_backward(np.array([[3.0]]), (1, 1, 2, 3))
    array([[[[0.5, 0.5, 0.5],
             [0.5, 0.5, 0.5]]]])
    """
    options = (None, None, 0, 1, False, layout, nan)
    return _call.backward("global_avg_pool_backward", grad_output, x_or_shape, options, out, device)


@documented(sum_pool.FAMILY)
def global_sum_pool_backward(
    grad_output: A,
    x_or_shape: A | Shape,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``global_sum_pool`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> fastpool.global_sum_pool_backward(np.array([[3.0]]), (1, 1, 4))
    array([[[3., 3., 3., 3.]]])
    """
    options = (None, None, 0, 1, False, layout, nan)
    return _call.backward("global_sum_pool_backward", grad_output, x_or_shape, options, out, device)


@documented(lp_pool.FAMILY)
def global_lp_pool_backward(
    grad_output: A,
    x: A,
    norm_type: float,
    *,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of ``global_lp_pool`` with respect to its input.

    {page}

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[[3.0, -4.0]]])
    >>> fastpool.global_lp_pool_backward(np.array([[5.0]]), x, 2)
    array([[[ 3., -4.]]])
    """
    options = (None, None, 0, 1, False, layout, nan, False, "plane", True, None, norm_type)
    return _call.backward("global_lp_pool_backward", grad_output, x, options, out, device)
