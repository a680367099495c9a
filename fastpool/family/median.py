"""Median pooling over one, two or three spatial axes, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from fastpool import arguments
from fastpool.arguments import Options
from fastpool.family.calls import Call
from fastpool.family.ordering import Rule, backward, forward
from fastpool.family.ordering_pages import WORDS
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, Layout, NanRule, Padding, Sizes

__all__ = [
    "median_pool1d",
    "median_pool1d_backward",
    "median_pool2d",
    "median_pool2d_backward",
    "median_pool3d",
    "median_pool3d_backward",
]

Even: TypeAlias = Literal["mean", "lower", "upper"]
_RULES = {"mean": "mean", "lower": "lower", "upper": "higher"}


def _rule(even: object) -> Callable[[Call], Rule]:
    def made(call: Call) -> Rule:
        return Rule("quantile", 0.5, _RULES[arguments.one_of(call.called, "even", even, tuple(_RULES))])

    return made


def _pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        even: Even = "mean",
        layout: Layout = "channels_first",
        out: A | None = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> A:
        """Median of every window over <axes>.

        Parameters
        ----------
        <windows>
        even : {"mean", "lower", "upper"}
            Of an even number of taps: half of the sum of the two in the middle, as ``numpy.median``, or the lower one
            of them, as ``torch.median``, or the upper one.
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
        quantile_pool<n>d, rank_pool<n>d : elements of other ranks.

        Notes
        -----
        <rules>
        A mean of two integers is truncated toward zero. With a stride of 1 and padding ``"same"`` this is a
        median filter [1]_ that does not see beyond the border.

        References
        ----------
        .. [1] Tukey, "Exploratory Data Analysis", 1977.

        Examples
        --------
        <example>
        """
        given = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
        found: A = forward(f"median_pool{n}d", n, _rule(even), x, given, out, device)
        return found

    return pool


def _pool_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        even: Even = "mean",
        layout: Layout = "channels_first",
        out: A | None = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> A:
        """Gradient of median pooling over <axes>: to the tap in the middle, or one half to each of the two.

        Parameters
        ----------
        <gradients>
        even
            As in the forward.
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
        median_pool<n>d : the forward.

        Notes
        -----
        <pull>

        Examples
        --------
        <example>
        """
        given = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, nan)
        found: A = backward(f"median_pool{n}d_backward", n, _rule(even), grad_output, x, given, out, device)
        return found

    return pool_backward


median_pool1d, median_pool2d, median_pool3d = ranked(
    _pool,
    "median_pool{n}d",
    {
        1: """
        >>> x = np.array([1.0, 5.0, 2.0, 8.0])
        >>> fastpool.median_pool1d(x, 3, 1, "same")
        array([3., 2., 5., 5.])
        """,
        2: """
        >>> x = np.array([[1.0, 2.0], [4.0, 9.0]])
        >>> fastpool.median_pool2d(x, 2)
        array([[3.]])
        >>> fastpool.median_pool2d(x, 2, even="lower")
        array([[2.]])
        """,
        3: """
        >>> x = np.arange(8.0).reshape(2, 2, 2)
        >>> fastpool.median_pool3d(x, 2)
        array([[[3.5]]])
        """,
    },
    **WORDS,
)
median_pool1d_backward, median_pool2d_backward, median_pool3d_backward = ranked(
    _pool_backward,
    "median_pool{n}d_backward",
    {
        1: """
        >>> x = np.array([1.0, 5.0, 2.0, 8.0])
        >>> fastpool.median_pool1d_backward(np.ones(1), x, 4)
        array([0. , 0.5, 0.5, 0. ])
        """,
        2: """
        >>> x = np.array([[1.0, 2.0], [4.0, 9.0]])
        >>> fastpool.median_pool2d_backward(np.ones((1, 1)), x, 2, even="lower")
        array([[0., 1.],
               [0., 0.]])
        """,
        3: """
        >>> x = np.arange(8.0).reshape(2, 2, 2)
        >>> fastpool.median_pool3d_backward(np.ones((1, 1, 1)), x, 2)
        array([[[0. , 0. ],
                [0. , 0.5]],
        <BLANKLINE>
               [[0.5, 0. ],
                [0. , 0. ]]])
        """,
    },
    **WORDS,
)
