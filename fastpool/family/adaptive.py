"""Adaptive pooling over one, two or three spatial axes, and its gradient: a result of a given size for x of any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex, TypeAlias

from fastpool.family import adaptive_calls as C
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, IndexKind, Layout, NanRule

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_backward",
]

OutputSize: TypeAlias = SupportsIndex | Sequence[SupportsIndex | None] | None


def _max_pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        output_size: OutputSize,
        return_indices: bool | IndexKind = False,
        *,
        layout: Layout = "channels_first",
        out: Any = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> Any:
        """Largest element of each bin, of so many bins over <axes>: adaptive max pooling.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says. Bool, integer or floating.
        output_size : int, None or tuple of these
            Elements of the result along each spatial axis; None keeps the axis as it is.
        return_indices : bool or str
            True or ``"plane"``: also each maximum's place in its plane, ``"tensor"``: in all of x, ``"tap"``: in its
            bin, in the smallest unsigned type that holds one more than the elements of the largest bin.
        <layout>
        <outs>
        nan : str
            ``"propagate"``: a bin with NaN gives NaN. ``"ignore"``: NaN count for nothing; a bin of nothing else gives
            NaN, and the index -1 (``"tap"``: the largest value of its type).
        <device>

        Returns
        -------
        y : array
            ``output_size`` elements along the spatial axes; dtype and kind of array are those of x.
        indices : array
            Only with ``return_indices``: int64, or what ``"tap"`` says.

        <raises>

        See Also
        --------
        <name>_backward : its gradient.

        Notes
        -----
        Bin o of m along an axis of n elements is ``floor(o n / m) ... ceil((o + 1) n / m) - 1``, in integers: bins
        cover the axis, and neighbours share an element where m does not divide n [1]_. Of equal elements the first in
        row-major order is the largest, of NaN the last.

        References
        ----------
        .. [1] PyTorch, ``adaptive_max_pool<n>d``, ATen/native/AdaptivePooling.h.

        Examples
        --------
        <example>
        """
        return C.largest(n, x, output_size, return_indices, layout, out, nan, device)[0]

    return pool


def _max_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x: A,
        output_size: OutputSize,
        *,
        indices: A | None = None,
        index_kind: IndexKind = "plane",
        layout: Layout = "channels_first",
        out: A | None = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> A:
        """Gradient of adaptive max pooling over <axes>: the largest of each bin receives the gradient of the bin.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, of x's dtype.
        x : array
            The forward's input; not bool.
        output_size
            As in the forward.
        indices : array, optional
            What the forward returned; without, the largest elements are looked for again.
        index_kind : str
            What they count, as ``return_indices`` of the forward said.
        <layout>
        <out>
        nan : str
            As in the forward.
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x, of its shape, dtype and kind of array.

        <raises>

        See Also
        --------
        adaptive_max_pool<n>d : the forward.

        Notes
        -----
        Gradients that meet in an element are added in row-major order of the bins, halves in float32.

        Examples
        --------
        <example>
        """
        result: A = C.largest_gradient(n, grad_output, x, output_size, indices, index_kind, layout, out, nan, device)
        return result

    return pool_backward


def _avg_pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        output_size: OutputSize,
        *,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Mean of each bin, of so many bins over <axes>: adaptive average pooling.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says. Floating; halves are added in float32.
        output_size : int, None or tuple of these
            Elements of the result along each spatial axis; None keeps the axis as it is.
        <layout>
        <out>
        <device>

        Returns
        -------
        y : array
            ``output_size`` elements along the spatial axes; dtype and kind of array are those of x.

        <raises>

        See Also
        --------
        <name>_backward : its gradient.

        Notes
        -----
        Bin o of m along an axis of n elements is ``floor(o n / m) ... ceil((o + 1) n / m) - 1``, in integers: bins
        cover the axis, and neighbours share an element where m does not divide n [1]_. Elements are added along the
        first spatial axis, then the next, along each in binary blocks, and divided once.

        References
        ----------
        .. [1] PyTorch, ``adaptive_avg_pool<n>d``, ATen/native/AdaptivePooling.h.

        Examples
        --------
        <example>
        """
        result: A = C.mean(n, x, output_size, layout, out, device)
        return result

    return pool


def _avg_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x_or_shape: Any,
        output_size: OutputSize,
        *,
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of adaptive average pooling over <axes>: each element receives its share from the bins it is in.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x_or_shape : array or tuple of int
            The forward's x, or its shape.
        output_size
            As in the forward.
        <layout>
        <out>
        <device>

        Returns
        -------
        dx : array
            Gradient with respect to x: x's shape, grad_output's dtype and kind of array.

        <raises>

        See Also
        --------
        adaptive_avg_pool<n>d : the forward.

        Notes
        -----
        Every gradient is divided by the elements of its bin; the shares of the bins that hold an element are added in
        the forward's order.

        Examples
        --------
        <example>
        """
        result: A = C.mean_gradient(n, grad_output, x_or_shape, output_size, layout, out, device)
        return result

    return pool_backward


adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = ranked(
    _max_pool,
    "adaptive_max_pool{n}d",
    {
        1: """
        >>> fastpool.adaptive_max_pool1d(np.array([3.0, 1.0, 4.0, 1.0, 5.0]), 2)
        array([4., 5.])
        """,
        2: """
        >>> x = np.arange(15.0).reshape(3, 5)
        >>> y, indices = fastpool.adaptive_max_pool2d(x, (None, 2), return_indices=True)
        >>> indices
        array([[ 2,  4],
               [ 7,  9],
               [12, 14]])
        """,
        3: """
        >>> fastpool.adaptive_max_pool3d(np.arange(8).reshape(2, 2, 2), (1, 2, 1))
        array([[[5],
                [7]]])
        """,
    },
)
adaptive_max_pool1d_backward, adaptive_max_pool2d_backward, adaptive_max_pool3d_backward = ranked(
    _max_backward,
    "adaptive_max_pool{n}d_backward",
    {
        1: """
        >>> x = np.array([3.0, 1.0, 4.0, 1.0, 2.0])
        >>> fastpool.adaptive_max_pool1d_backward(np.ones(2), x, 2)
        array([0., 0., 2., 0., 0.])
        """,
        2: """
        >>> x = np.array([[1.0, 2.0, 3.0], [4.0, 9.0, 6.0]])
        >>> fastpool.adaptive_max_pool2d_backward(np.ones((1, 2)), x, (1, 2))
        array([[0., 0., 0.],
               [0., 2., 0.]])
        """,
        3: """
        >>> fastpool.adaptive_max_pool3d_backward(np.ones((1, 1, 1)), np.arange(2.0).reshape(1, 1, 2), 1)
        array([[[0., 1.]]])
        """,
    },
)
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = ranked(
    _avg_pool,
    "adaptive_avg_pool{n}d",
    {
        1: """
        >>> fastpool.adaptive_avg_pool1d(np.array([3.0, 1.0, 5.0]), 2)
        array([2., 3.])
        """,
        2: """
        >>> fastpool.adaptive_avg_pool2d(np.arange(16.0).reshape(4, 4), 2)
        array([[ 2.5,  4.5],
               [10.5, 12.5]])
        """,
        3: """
        >>> fastpool.adaptive_avg_pool3d(np.arange(8.0).reshape(2, 2, 2), 1)
        array([[[3.5]]])
        """,
    },
)
adaptive_avg_pool1d_backward, adaptive_avg_pool2d_backward, adaptive_avg_pool3d_backward = ranked(
    _avg_backward,
    "adaptive_avg_pool{n}d_backward",
    {
        1: """
        >>> fastpool.adaptive_avg_pool1d_backward(np.array([2.0, 4.0]), (3,), 2)
        array([1., 3., 2.])
        """,
        2: """
        >>> fastpool.adaptive_avg_pool2d_backward(np.ones((1, 1)), (2, 2), 1)
        array([[0.25, 0.25],
               [0.25, 0.25]])
        """,
        3: """
        >>> fastpool.adaptive_avg_pool3d_backward(np.ones((1, 1, 1)), (1, 1, 2), 1)
        array([[[0.5, 0.5]]])
        """,
    },
)


VJPS = {f"adaptive_max_pool{n}d": C.max_vjp(n) for n in (1, 2, 3)} | {
    f"adaptive_avg_pool{n}d": C.avg_vjp(n) for n in (1, 2, 3)
}
"""The gradient keeps the number of the largest element in its bin, or the shape of x."""
