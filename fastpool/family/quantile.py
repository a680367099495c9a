"""Quantiles and ranks of windows over one, two or three spatial axes, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, SupportsIndex, TypeAlias

from fastpool import arguments
from fastpool.arguments import Options
from fastpool.family.calls import Call
from fastpool.family.ordering import Rule, backward, forward
from fastpool.family.ordering_pages import WORDS
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, Layout, NanRule, Padding, Sizes
from fastpool.window import LIMIT

__all__ = [
    "quantile_pool1d",
    "quantile_pool1d_backward",
    "quantile_pool2d",
    "quantile_pool2d_backward",
    "quantile_pool3d",
    "quantile_pool3d_backward",
    "rank_pool1d",
    "rank_pool1d_backward",
    "rank_pool2d",
    "rank_pool2d_backward",
    "rank_pool3d",
    "rank_pool3d_backward",
]

Method: TypeAlias = Literal["linear", "lower", "higher", "nearest", "midpoint"]
METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def _quantile(q: object, method: object) -> Callable[[Call], Rule]:
    def made(call: Call) -> Rule:
        number = call.number("q", q, 0, 1)
        return Rule("quantile", number, arguments.one_of(call.called, "method", method, METHODS))

    return made


def _rank(rank: object) -> Callable[[Call], Rule]:
    return lambda call: Rule("rank", call.integer("rank", rank, -LIMIT))


def _quantile_pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        q: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        method: Method = "linear",
        layout: Layout = "channels_first",
        out: A | None = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> A:
        """Quantile of every window over <axes>.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says: floats or integers.
        q : float
            Which quantile, from 0, the smallest tap, to 1, the largest.
        <taps>
        method : {"linear", "lower", "higher", "nearest", "midpoint"}
            What lies between two ranks: these methods of ``numpy.quantile``.
        <layout>
        <out>
        <nan>
        <device>

        Returns
        -------
        y : array
            dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        <name>_backward : its gradient.
        median_pool<n>d : the quantile 0.5 with its own words.

        Notes
        -----
        <rules>
        Of n taps the quantile has rank ``q (n - 1)``, a float64 [1]_. A value between two ranks is computed in x's
        dtype (float16 and bfloat16: float32; of integers, the part of their difference is a float64, the sum is
        truncated toward zero, and half way is exact).

        References
        ----------
        .. [1] Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996, definition 7.

        Examples
        --------
        <example>
        """
        given = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
        found: A = forward(f"quantile_pool{n}d", n, _quantile(q, method), x, given, out, device)
        return found

    return pool


def _quantile_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x: A,
        q: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        method: Method = "linear",
        layout: Layout = "channels_first",
        out: A | None = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> A:
        """Gradient of quantile pooling over <axes>: to the two taps that a value lies between, by their weights.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x : array
            The forward's x, of the same dtype.
        q, method
            As in the forward.
        <asked>
        <layout>
        <out>
        <nan>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x: x's shape, dtype and kind of array.

        <raises>

        See Also
        --------
        quantile_pool<n>d : the forward.

        Notes
        -----
        <pull>

        Examples
        --------
        <example>
        """
        given = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
        called = f"quantile_pool{n}d_backward"
        found: A = backward(called, n, _quantile(q, method), grad_output, x, given, out, device)
        return found

    return pool_backward


def _rank_pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        rank: SupportsIndex,
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
        """The element of a rank in every window over <axes>.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says: floats or integers.
        rank : int
            0 is the smallest tap, 1 the next; -1 is the largest, -2 the one before. Where a window has too few taps
            for it, the last one in that direction.
        <taps>
        <layout>
        <out>
        <nan>
        <device>

        Returns
        -------
        y : array
            dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        <name>_backward : its gradient.
        median_pool<n>d, quantile_pool<n>d : ranks by the number of taps.

        Notes
        -----
        <rules>
        In windows with all taps this is ``scipy.ndimage.rank_filter``.

        Examples
        --------
        <example>
        """
        given = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
        found: A = forward(f"rank_pool{n}d", n, _rank(rank), x, given, out, device)
        return found

    return pool


def _rank_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x: A,
        rank: SupportsIndex,
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
        """Gradient of rank pooling over <axes>: to the tap of that rank.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x : array
            The forward's x, of the same dtype.
        rank
            As in the forward.
        <asked>
        <layout>
        <out>
        <nan>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x: x's shape, dtype and kind of array.

        <raises>

        See Also
        --------
        rank_pool<n>d : the forward.

        Notes
        -----
        <pull>

        Examples
        --------
        <example>
        """
        given = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
        found: A = backward(f"rank_pool{n}d_backward", n, _rank(rank), grad_output, x, given, out, device)
        return found

    return pool_backward


quantile_pool1d, quantile_pool2d, quantile_pool3d = ranked(
    _quantile_pool,
    "quantile_pool{n}d",
    {
        1: """
        >>> x = np.array([1.0, 5.0, 2.0, 8.0, 0.0])
        >>> fastpool.quantile_pool1d(x, 0.25, 5)
        array([1.])
        """,
        2: """
        >>> x = np.array([[1.0, 2.0], [4.0, 9.0]])
        >>> fastpool.quantile_pool2d(x, 0.9, 2)
        array([[7.5]])
        >>> fastpool.quantile_pool2d(x, 0.9, 2, method="nearest")
        array([[9.]])
        """,
        3: """
        >>> x = np.arange(8).reshape(2, 2, 2)
        >>> fastpool.quantile_pool3d(x, 1 / 7, 2)
        array([[[1]]])
        """,
    },
    **WORDS,
)
quantile_pool1d_backward, quantile_pool2d_backward, quantile_pool3d_backward = ranked(
    _quantile_backward,
    "quantile_pool{n}d_backward",
    {
        1: """
        >>> x = np.array([1.0, 5.0, 2.0, 8.0])
        >>> fastpool.quantile_pool1d_backward(np.ones(1), x, 0.25, 4)
        array([0.25, 0.  , 0.75, 0.  ])
        """,
        2: """
        >>> x = np.array([[1.0, 2.0], [4.0, 9.0]])
        >>> fastpool.quantile_pool2d_backward(np.ones((1, 1)), x, 1.0, 2)
        array([[0., 0.],
               [0., 1.]])
        """,
        3: """
        >>> x = np.arange(4.0).reshape(1, 2, 2)
        >>> fastpool.quantile_pool3d_backward(np.ones((1, 1, 1)), x, 0.5, (1, 2, 2), method="higher")
        array([[[0., 0.],
                [1., 0.]]])
        """,
    },
    **WORDS,
)
rank_pool1d, rank_pool2d, rank_pool3d = ranked(
    _rank_pool,
    "rank_pool{n}d",
    {
        1: """
        >>> fastpool.rank_pool1d(np.array([1, 5, 2, 8, 0]), -2, 5)
        array([5])
        """,
        2: """
        >>> fastpool.rank_pool2d(np.array([[1.0, 2.0], [4.0, 9.0]]), 1, 2)
        array([[2.]])
        """,
        3: """
        >>> fastpool.rank_pool3d(np.arange(8).reshape(2, 2, 2), 3, 2)
        array([[[3]]])
        """,
    },
    **WORDS,
)
rank_pool1d_backward, rank_pool2d_backward, rank_pool3d_backward = ranked(
    _rank_backward,
    "rank_pool{n}d_backward",
    {
        1: """
        >>> fastpool.rank_pool1d_backward(np.ones(1), np.array([1.0, 5.0, 2.0]), 1, 3)
        array([0., 0., 1.])
        """,
        2: """
        >>> fastpool.rank_pool2d_backward(np.ones((1, 1)), np.array([[1.0, 2.0], [4.0, 9.0]]), 0, 2)
        array([[1., 0.],
               [0., 0.]])
        """,
        3: """
        >>> fastpool.rank_pool3d_backward(np.ones((1, 1, 1)), np.zeros((1, 1, 2)), 1, (1, 1, 2))
        array([[[1., 0.]]])
        """,
    },
    **WORDS,
)
