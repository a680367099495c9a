"""RoI align: bins of a region of interest as means or maxima of samples between elements, and the gradient."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fastpool.arguments import flag, one_of
from fastpool.family import region_bins, sampling
from fastpool.family.calls import Call
from fastpool.family.ranks import page
from fastpool.family.region_boxes import Boxes, Geometry, geometry, take_boxes
from fastpool.family.region_pages import WORDS
from fastpool.functional._types import A, Device, Layout, Sizes
from fastpool.reference.family import regions as reference

__all__ = ["roi_align", "roi_align_backward"]

MODES = ("avg", "max")
MOST_SAMPLES = 1 << 15
"""Samples of a bin along an axis: more tell nothing."""


def _sampled(
    call: Call, where: Geometry, boxes: Any, images: Any, scale: object, ratio: object, aligned: object
) -> tuple[Boxes, sampling.Samples, int, bool]:
    """The regions, their samples, and the two arguments as they are used."""
    half = flag(call.called, "aligned", aligned)
    count = call.integer("sampling_ratio", ratio, 0)
    if count > MOST_SAMPLES:
        raise call.value_error(f"sampling_ratio={count}", f"must be at most {MOST_SAMPLES}", "0 adapts it")
    regions = take_boxes(call, boxes, images, scale, where.images, 0.5 if half else 0.0)
    return regions, sampling.samples(regions, where.bins, count, half), count, half


def roi_align(
    x: A,
    boxes: Any,
    batch_indices: Any,
    output_size: Sizes,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    *,
    mode: Literal["avg", "max"] = "avg",
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Bins of regions of interest from samples between elements: RoI align.

    Parameters
    ----------
    <images>
    <where>
    output_size : int or tuple of int
        Bins along rows and columns.
    spatial_scale : float
        Elements of x for a unit of the boxes' coordinates.
    sampling_ratio : int
        Samples of a bin along each axis, up to ``2**15``; 0: the length of the bin in elements, rounded up.
    aligned : bool
        Whether coordinates are those of pixels' corners, so that half a pixel is taken off them to find elements. If
        not, nothing is taken off, and a region is one element long at least.
    mode : {"avg", "max"}
        The mean of a bin's samples, or the largest weighted corner of them, as onnxruntime has it.
    <layout>
    <out>
    <device>

    Returns
    -------
    y : array
        Shape ``(K, C, *output_size)``, or ``(K, *output_size, C)`` for channels last; x's dtype and kind of array.

    <raises>

    See Also
    --------
    roi_align_backward : its gradient.
    roi_pool : bins of whole elements.

    Notes
    -----
    A bin of length b that begins at a has n samples along the axis, at ``a + (i + 1/2) b / n``; one beyond -1 or the
    image's size counts as 0, and one beyond the first or last element as on it [1]_. Between elements a sample is
    bilinear: the sum of four corners, each an element times two weights, one along rows and one along columns. The
    mode "max" takes the largest of these products, of all samples, not the largest sum; a weight of 0 makes 0, whatever
    the element. A bin without samples is 0: that of a region of no length whose ``sampling_ratio`` is 0. Positions are
    computed in the boxes' dtype. Sums run over columns, then rows, left to right. ``aligned=True`` is ONNX's
    ``half_pixel``, False its ``output_half_pixel``.

    References
    ----------
    .. [1] He et al., "Mask R-CNN", 2017; ONNX operator RoiAlign, version 16.

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> fastpool.roi_align(x, np.array([[0.0, 0.0, 4.0, 2.0]]), np.array([0]), (1, 2))
    array([[[[2.5, 4.5]]]])
    """
    call = Call("roi_align", device)
    source = call.take("x", x)
    where = geometry(call, source.data.shape, output_size, layout)
    how = one_of(call.called, "mode", mode, MODES)
    regions, found, ratio, half = _sampled(call, where, boxes, batch_indices, spatial_scale, sampling_ratio, aligned)
    y = call.result("out", where.result(len(regions)), source.dtype, out, source.data)

    def oracle() -> None:
        image = reference.values(source.data, source.dtype)
        pooled = reference.roi_align(
            image, regions.corners, regions.images, where.bins, ratio, half, how, where.channel
        )
        y.data[...] = reference.elements(pooled[0], source.dtype)

    sampling.forward(where, regions, found, how, source.dtype, (source.data, y.data), oracle)
    given: A = call.give()
    return given


def roi_align_backward(
    grad_output: A,
    x_or_shape: Any,
    boxes: Any,
    batch_indices: Any,
    output_size: Sizes,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    *,
    mode: Literal["avg", "max"] = "avg",
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Gradient of RoI align with respect to x. There is none with respect to the boxes.

    Parameters
    ----------
    grad_output : array
        Gradient of the result, floating.
    x_or_shape : array or tuple of int
        The forward's x; for the mode "avg" its shape is enough.
    boxes, batch_indices, output_size, spatial_scale, sampling_ratio, aligned, mode
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
    roi_align : the forward.

    Notes
    -----
    Of the mode "max" the gradient goes, times its weight, to the element that was the largest weighted corner: of equal
    ones the first, rows before columns. An element's gradient is the sum over regions in their order, whatever the
    number of threads. float16 and bfloat16 are added in float32.

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> boxes, images = np.array([[0.0, 0.0, 3.0, 2.0]]), np.array([0])
    >>> fastpool.roi_align_backward(np.ones((1, 1, 1, 1)), (1, 1, 2, 3), boxes, images, 1, sampling_ratio=1)
    array([[[[0. , 0.5, 0. ],
             [0. , 0.5, 0. ]]]])
    """
    call = Call("roi_align_backward", device)
    grad = call.take("grad_output", grad_output)
    how = one_of(call.called, "mode", mode, MODES)
    if how == "max" and isinstance(x_or_shape, tuple):
        raise call.value_error("a shape, and mode='max'", "the maxima are found in x", "give x")
    x = call.take("x_or_shape", x_or_shape, (grad.dtype,)).data if how == "max" else None
    shape = call.shape_of("x_or_shape", x_or_shape) if x is None else x.shape
    where = geometry(call, shape, output_size, layout)
    regions, found, ratio, half = _sampled(call, where, boxes, batch_indices, spatial_scale, sampling_ratio, aligned)
    result = where.result(len(regions))
    call.check_shape("grad_output", grad.data, result, "the shape of the forward's result")
    dx = call.result("out", shape, grad.dtype, out, grad.data)

    def oracle() -> None:
        g = reference.values(grad.data, grad.dtype)
        if x is None:
            made = reference.roi_align_gradient(g, shape, regions.corners, regions.images, ratio, half, where.channel)
        else:
            image = reference.values(x, grad.dtype)
            _, places, weights = reference.roi_align(
                image, regions.corners, regions.images, where.bins, ratio, half, how, where.channel
            )
            made = reference.scattered(g, places, regions.images, shape, where.channel, "plane", weights)
        dx.data[...] = reference.elements(made, grad.dtype)

    if x is None:
        sampling.spread(where, regions, found, grad.dtype, dx.data, grad.data, oracle)
    else:
        places, weights = sampling.winners(where, regions, found, grad.dtype, x, grad.data)
        # its elements may be anywhere in the image
        rows = np.broadcast_to(np.array([0, where.size[0]]), (len(regions), 2))
        region_bins.scatter(
            where, regions, grad.dtype, dx.data, grad.data, places, weights=weights, rows=rows, oracle=oracle
        )
    given: A = call.give()
    return given


def _align_vjp(x: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The result and a pullback that keeps x for the mode "max" alone."""
    y = roi_align(x, *args, **kwargs)
    kept = x if kwargs.get("mode", "avg") == "max" else tuple(x.shape)
    rest = {key: value for key, value in kwargs.items() if key != "out"}
    return y, lambda dy: roi_align_backward(dy, kept, *args, **rest)


VJPS = {"roi_align": _align_vjp}

page(roi_align, "roi_align", **WORDS)
page(roi_align_backward, "roi_align_backward", **WORDS)
