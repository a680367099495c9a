"""Wavelet pooling: the low-pass half of a wavelet transform, or all of its bands; and the transform back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpool.family import transforming
from fastpool.family.ranks import ranked
from fastpool.functional._types import A, Device, Layout

__all__ = [
    "wavelet_pool1d",
    "wavelet_pool1d_backward",
    "wavelet_pool2d",
    "wavelet_pool2d_backward",
    "wavelet_pool3d",
    "wavelet_pool3d_backward",
    "wavelet_unpool1d",
    "wavelet_unpool1d_backward",
    "wavelet_unpool2d",
    "wavelet_unpool2d_backward",
    "wavelet_unpool3d",
    "wavelet_unpool3d_backward",
]


def _pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        wavelet: Any = "haar",
        *,
        levels: int = 1,
        mode: str = "approximation",
        padding: str = "periodic",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Wavelet pooling over <axes>: the approximation of a wavelet transform, or all of its bands.

        Parameters
        ----------
        x : array
            Shape ``<shape>``, or as ``layout`` says. Floating.
        wavelet : str, or pair of sequences of float
            ``"haar"``, or Daubechies' ``"db1"`` (Haar) to ``"db12"``, of 2 to 24 taps; or the low-pass and the
            high-pass filter, of the same length.
        levels : int
            How often the approximation is transformed again.
        mode : {"approximation", "bands"}
            What is returned. ``"bands"`` gives one level.
        padding : {"periodic", "reflect", "replicate", "zero"}
            What x is outside: itself again (``"wrap"`` is another name); its mirror image, in which the edge is not
            repeated; its edge (``"edge"``); 0.
        <layout>
        <out>
        <device>

        Returns
        -------
        y : array
            ``ceil(size / 2)`` elements along each spatial axis, ``levels`` times; dtype and kind of array are those of
            x. Bands stand on a new first axis of 2 for each spatial axis, low before high, the last spatial axis
            varying fastest: over two axes ``ll, lh, hl, hh = y``, where ``lh`` is low along H and high along W.

        <raises>

        See Also
        --------
        <name>_backward : its gradient.
        wavelet_unpool<n>d : back from the bands.

        Notes
        -----
        Along each axis ``y[o] = sum_u f[u] x[2 o + u - floor((k - 1) / 2)]`` for a filter of k taps; the first axis
        first, products added from the first tap to the last, in x's type (halves in float32). Of an orthogonal
        low-pass filter h the high-pass one is ``(-1)^u h[k - 1 - u]``. Haar's approximation is ``2^(n/2)`` times the
        mean of windows of 2 in n dimensions.

        Wavelet pooling [1]_ decomposes twice, drops the details of the first level and composes what is left once:
        this is the approximation of the first level, as the transform back is exact.

        References
        ----------
        .. [1] Williams and Li, "Wavelet Pooling for Convolutional Neural Networks", 2018.

        Examples
        --------
        <example>
        """
        asked = (wavelet, levels, mode, padding)
        return transforming.forward(f"wavelet_pool{n}d", n, x, asked, layout, out, device)

    return pool


def _pool_backward(n: int) -> Callable[..., Any]:
    def pool_backward(
        grad_output: A,
        x_or_shape: Any,
        wavelet: Any = "haar",
        *,
        levels: int = 1,
        mode: str = "approximation",
        padding: str = "periodic",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of wavelet pooling over <axes>: the transposed filters.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        x_or_shape : array or tuple of int
            The forward's x, or its shape.
        wavelet, levels, mode, padding
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
        wavelet_pool<n>d : the forward.

        Notes
        -----
        Along each axis an element adds the bands in order, of each the outputs that saw it from the first to the last,
        and after these what comes by the border rule.

        Examples
        --------
        <example>
        """
        asked = (wavelet, levels, mode, padding)
        return transforming.backward(
            f"wavelet_pool{n}d_backward", n, grad_output, x_or_shape, asked, layout, out, device
        )

    return pool_backward


def _unpool(n: int) -> Callable[..., Any]:
    def unpool(
        bands: A,
        wavelet: Any = "haar",
        *,
        padding: str = "periodic",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Back from the bands of a wavelet transform over <axes>.

        Parameters
        ----------
        bands : array
            All bands on the first axis, as ``wavelet_pool<n>d(..., mode="bands")`` gives them; floating.
        wavelet : str, or pair of sequences of float
            As in ``wavelet_pool<n>d``. Of a biorthogonal wavelet, whose filters for the way back are others, those.
        padding : {"periodic", "reflect", "replicate", "zero"}
            As in ``wavelet_pool<n>d``.
        <layout>
        <out>
        <device>

        Returns
        -------
        x : array
            Twice as many elements along each spatial axis; dtype and kind of array are those of ``bands``.

        <raises>

        See Also
        --------
        wavelet_pool<n>d : there.
        wavelet_pool<n>d_backward : back from the approximation alone, the other bands taken as 0; also to odd sizes.

        Notes
        -----
        It is the transpose of the transform, which is its inverse where the filters are orthogonal and the border rule
        is ``"periodic"``, or the wavelet Haar's, which meets no border.

        Examples
        --------
        <example>
        """
        return transforming.unpool(f"wavelet_unpool{n}d", n, bands, wavelet, padding, layout, out, device)

    return unpool


def _unpool_backward(n: int) -> Callable[..., Any]:
    def unpool_backward(
        grad_output: A,
        bands_or_shape: Any,
        wavelet: Any = "haar",
        *,
        padding: str = "periodic",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Gradient of the way back over <axes>: the wavelet transform of the gradient, with the same filters.

        Parameters
        ----------
        grad_output : array
            Gradient of the result, floating.
        bands_or_shape : array or tuple of int
            The forward's ``bands``, or their shape.
        wavelet, padding
            As in the forward.
        <layout>
        <out>
        <device>

        Returns
        -------
        dbands : array
            Gradient with respect to ``bands``: their shape, grad_output's dtype and kind of array.

        <raises>

        See Also
        --------
        wavelet_unpool<n>d : the forward.

        Examples
        --------
        <example>
        """
        called, asked = f"wavelet_unpool{n}d_backward", (wavelet, padding)
        return transforming.unpool_backward(called, n, grad_output, bands_or_shape, asked, layout, out, device)

    return unpool_backward


wavelet_pool1d, wavelet_pool2d, wavelet_pool3d = ranked(
    _pool,
    "wavelet_pool{n}d",
    {
        1: """
        >>> fastpool.wavelet_pool1d(np.array([1.0, 3.0, 5.0, 5.0]), mode="bands").round(3)
        array([[ 2.828,  7.071],
               [-1.414,  0.   ]])
        """,
        2: """
        >>> fastpool.wavelet_pool2d(np.arange(16.0).reshape(4, 4)).round(3)
        array([[ 5.,  9.],
               [21., 25.]])
        """,
        3: """
        >>> fastpool.wavelet_pool3d(np.ones((2, 2, 2))).round(3)
        array([[[2.828]]])
        """,
    },
)
wavelet_pool1d_backward, wavelet_pool2d_backward, wavelet_pool3d_backward = ranked(
    _pool_backward,
    "wavelet_pool{n}d_backward",
    {
        1: """
        >>> fastpool.wavelet_pool1d_backward(np.ones(2), (4,)).round(3)
        array([0.707, 0.707, 0.707, 0.707])
        """,
        2: """
        >>> fastpool.wavelet_pool2d_backward(np.ones((1, 1)), (2, 2)).round(3)
        array([[0.5, 0.5],
               [0.5, 0.5]])
        """,
        3: """
        >>> fastpool.wavelet_pool3d_backward(np.ones((1, 1, 1)), (1, 1, 2), padding="zero").round(3)
        array([[[0.354, 0.354]]])
        """,
    },
)
wavelet_unpool1d, wavelet_unpool2d, wavelet_unpool3d = ranked(
    _unpool,
    "wavelet_unpool{n}d",
    {
        1: """
        >>> x = np.array([1.0, 3.0, 5.0, 4.0])
        >>> fastpool.wavelet_unpool1d(fastpool.wavelet_pool1d(x, "db2", mode="bands"), "db2").round(6)
        array([1., 3., 5., 4.])
        """,
        2: """
        >>> y = fastpool.wavelet_pool2d(np.array([[1.0, 2.0], [3.0, 4.0]]), mode="bands")
        >>> fastpool.wavelet_unpool2d(y).round(6)
        array([[1., 2.],
               [3., 4.]])
        """,
        3: """
        >>> y = fastpool.wavelet_pool3d(np.ones((2, 2, 2)), mode="bands")
        >>> fastpool.wavelet_unpool3d(y).round(6)
        array([[[1., 1.],
                [1., 1.]],
        <BLANKLINE>
               [[1., 1.],
                [1., 1.]]])
        """,
    },
)
wavelet_unpool1d_backward, wavelet_unpool2d_backward, wavelet_unpool3d_backward = ranked(
    _unpool_backward,
    "wavelet_unpool{n}d_backward",
    {
        1: """
        >>> fastpool.wavelet_unpool1d_backward(np.array([1.0, 3.0]), (2, 1)).round(3)
        array([[ 2.828],
               [-1.414]])
        """,
        2: """
        >>> fastpool.wavelet_unpool2d_backward(np.ones((2, 2)), (4, 1, 1)).round(3)[0]
        array([[2.]])
        """,
        3: """
        >>> fastpool.wavelet_unpool3d_backward(np.ones((2, 2, 2)), (8, 1, 1, 1)).round(3)[0]
        array([[[2.828]]])
        """,
    },
)
