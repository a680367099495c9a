"""Functions of one window, to be called in a ``@cuda.jit`` kernel of one's own.

They give what the public functions give, bit for bit: the same reductions in the same order, the same rules of NaN. In
Numba's simulator they run as plain Python.
"""

from __future__ import annotations

from typing import Any

_SHARED = {
    "x": """x : array
        One, two or three axes; of a larger array pass a part, such as ``x[n, c]``. Its memory can have any strides.""",
    "geometry": """origin : int or tuple of int
        The index of the first tap, an integer for each axis. It may be negative, and the window may stick out on any
        side: what lies outside is padding.
    kernel_size : int or tuple of int
        Taps along each axis, at least 1. Constants make faster code than variables do.
    dilation : int or tuple of int, optional
        Distance between neighbouring taps, along each axis.""",
    "nan": """nan : {"propagate", "ignore"}, optional
        A constant. With ``"ignore"`` NaN counts as no tap, and a window without a value gives NaN.""",
}


def _documented(function: Any) -> Any:
    """Fills in what the descriptions share."""
    for name, text in _SHARED.items():
        function.__doc__ = function.__doc__.replace(f"{{{name}}}", text)
    return function


@_documented
def window_max(x: Any, origin: Any, kernel_size: Any, dilation: Any = 1, nan: Any = "propagate") -> Any:
    """The largest element of a window, inside a CUDA kernel.

    Parameters
    ----------
    {x}
    {geometry}
    {nan}

    Returns
    -------
    scalar
        Of x's type. NaN, the one canonical quiet NaN, if a tap is NaN; the lowest value of the type if no tap lies on
        the array.

    See Also
    --------
    window_argmax : The same with the place of the element.
    fastpool.max_pool2d : The same for all windows of an array.

    Examples
    --------
    The dilation of an image by 3x3 pixels, a thread for each of them (a device takes more threads, and arrays of its
    own):

    >>> import numpy as np
    >>> from numba import cuda
    >>> from fastpool.cuda import window_max
    >>> @cuda.jit
    ... def dilate(x, y):
    ...     i, j = cuda.grid(2)
    ...     if i < y.shape[0] and j < y.shape[1]:
    ...         y[i, j] = window_max(x, (i - 1, j - 1), (3, 3))
    >>> x = np.array([[1, 0, 0, 0], [0, 0, 0, 5], [0, 7, 0, 0]], np.float32)
    >>> y = np.empty_like(x)
    >>> dilate[(3, 2), (1, 2)](x, y)
    >>> y
    array([[1., 1., 5., 5.],
           [7., 7., 7., 5.],
           [7., 7., 7., 5.]], dtype=float32)
    """
    return _call("max", False, x, (origin, kernel_size, dilation), nan)[0]


@_documented
def window_min(x: Any, origin: Any, kernel_size: Any, dilation: Any = 1, nan: Any = "propagate") -> Any:
    """The smallest element of a window, inside a CUDA kernel.

    Parameters
    ----------
    {x}
    {geometry}
    {nan}

    Returns
    -------
    scalar
        Of x's type. NaN, the one canonical quiet NaN, if a tap is NaN; the highest value of the type if no tap lies on
        the array.

    See Also
    --------
    window_argmin : The same with the place of the element.
    window_max : The largest element, with an example.
    fastpool.min_pool2d : The same for all windows of an array.
    """
    return _call("min", False, x, (origin, kernel_size, dilation), nan)[0]


@_documented
def window_argmax(x: Any, origin: Any, kernel_size: Any, dilation: Any = 1, nan: Any = "propagate") -> Any:
    """The largest element of a window and its place, inside a CUDA kernel.

    Parameters
    ----------
    {x}
    {geometry}
    {nan}

    Returns
    -------
    value : scalar
        As of ``window_max``.
    index : int64
        Flat index of the element in x, in row-major order: of equal ones the first, of several NaN the last. -1 if
        no tap lies on the array.

    See Also
    --------
    window_max : The element alone.
    fastpool.max_pool2d : The same for all windows of an array, with ``return_indices=True``.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from fastpool.cuda import window_argmax
    >>> @cuda.jit
    ... def peaks(x, where):
    ...     i = cuda.grid(1)
    ...     if i < where.size:
    ...         value, index = window_argmax(x, 4 * i, 4)
    ...         where[i] = index
    >>> x = np.array([3, 9, 2, 1, 0, 5, 5, 4], np.float32)
    >>> where = np.zeros(2, np.int64)
    >>> peaks[1, 2](x, where)
    >>> where
    array([1, 5])
    """
    return _call("max", True, x, (origin, kernel_size, dilation), nan)


@_documented
def window_argmin(x: Any, origin: Any, kernel_size: Any, dilation: Any = 1, nan: Any = "propagate") -> Any:
    """The smallest element of a window and its place, inside a CUDA kernel.

    Parameters
    ----------
    {x}
    {geometry}
    {nan}

    Returns
    -------
    value : scalar
        As of ``window_min``.
    index : int64
        Flat index of the element in x, in row-major order: of equal ones the first, of several NaN the last. -1 if
        no tap lies on the array.

    See Also
    --------
    window_min : The element alone.
    window_max : The largest element, with an example.
    fastpool.min_pool2d : The same for all windows of an array, with ``return_indices=True``.
    """
    return _call("min", True, x, (origin, kernel_size, dilation), nan)


@_documented
def window_sum(x: Any, origin: Any, kernel_size: Any, dilation: Any = 1, nan: Any = "propagate") -> Any:
    """The sum of the elements of a window, inside a CUDA kernel.

    Parameters
    ----------
    {x}
    {geometry}
    {nan}

    Returns
    -------
    scalar
        Of x's type; int64 or uint64 if that is an integer. Half precision is added in float32.

    See Also
    --------
    window_max : The largest element, with an example.
    fastpool.sum_pool2d : The same for all windows of an array.
    """
    return _call("sum", False, x, (origin, kernel_size, dilation), nan)[0]


@_documented
def window_mean(
    x: Any,
    origin: Any,
    kernel_size: Any,
    dilation: Any = 1,
    count_include_pad: Any = True,
    divisor_override: Any = None,
    nan: Any = "propagate",
) -> Any:
    """The mean of the elements of a window, inside a CUDA kernel.

    Parameters
    ----------
    {x}
    {geometry}
    count_include_pad : bool, optional
        Whether the divisor counts the taps that lie outside. A window of ``ceil_mode`` that goes past its padding
        has a divisor of its own: give it.
    divisor_override : int, optional
        The divisor, not 0. Left out, it is the number of taps.
    {nan}

    Returns
    -------
    scalar
        Of x's type. Half precision is added in float32, integers in 64 bits; their mean is truncated toward zero.

    See Also
    --------
    window_max : The largest element, with an example of two axes.
    fastpool.avg_pool2d : The same for all windows of an array.

    Examples
    --------
    A sound smoothed, where the ends have fewer neighbours:

    >>> import numpy as np
    >>> from numba import cuda
    >>> from fastpool.cuda import window_mean
    >>> @cuda.jit
    ... def smooth(x, y):
    ...     i = cuda.grid(1)
    ...     if i < y.size:
    ...         y[i] = window_mean(x, i - 1, 3, count_include_pad=False)
    >>> x = np.array([2, 4, 6, 2], np.float32)
    >>> y = np.zeros_like(x)
    >>> smooth[1, 4](x, y)
    >>> y
    array([3., 4., 4., 4.], dtype=float32)
    """
    options = {"divisor": divisor_override, "include_pad": count_include_pad}
    return _call("mean", False, x, (origin, kernel_size, dilation), nan, **options)[0]


@_documented
def window_lp(x: Any, norm_type: Any, origin: Any, kernel_size: Any, dilation: Any = 1, nan: Any = "propagate") -> Any:
    """The Lp norm of the elements of a window, inside a CUDA kernel.

    Parameters
    ----------
    {x}
    norm_type : float
        The exponent, above 0. The constants 1 and 2 make the fastest code.
    {geometry}
    {nan}

    Returns
    -------
    scalar
        Of x's type, which is a float's. Powers are added in float64.

    See Also
    --------
    window_max : The largest element, with an example.
    fastpool.lp_pool2d : The same for all windows of an array.
    """
    return _call("lp", False, x, (origin, kernel_size, dilation), nan, norm=norm_type)[0]


def _call(op: str, index: bool, x: Any, geometry: tuple[Any, ...], nan: str, **options: Any) -> Any:
    from fastpool.kernels.cuda import window

    return window.call(op, index, x, geometry, nan, **options)


def connect() -> None:
    """Tells Numba of these functions."""
    from fastpool.kernels.cuda import window

    for op, public in (
        ("max", window_max),
        ("min", window_min),
        ("sum", window_sum),
        ("mean", window_mean),
        ("lp", window_lp),
    ):
        window.connect(op, False, public)
    window.connect("max", True, window_argmax)
    window.connect("min", True, window_argmin)


connect()
