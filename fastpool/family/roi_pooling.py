"""RoI pooling: the largest element of each bin of a region of interest, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.arguments import one_of
from fastpool.errors import shown, type_name
from fastpool.family import region_bins
from fastpool.family.calls import Call
from fastpool.family.ranks import page
from fastpool.family.region_boxes import Boxes, Geometry, geometry, take_boxes
from fastpool.family.region_pages import WORDS
from fastpool.functional._types import A, Device, Layout, Sizes
from fastpool.memory import Array
from fastpool.reference.family import regions as reference

__all__ = ["roi_pool", "roi_pool_backward"]

KINDS = ("plane", "tensor")


def _kind(call: Call, value: object) -> str:
    """The kind of indices that is asked for, or ""."""
    if value is False or value is None:
        return ""
    if value is True:
        return "plane"
    if not isinstance(value, str):
        rule = f"must be True, False or a word, not {type_name(value)}"
        raise call.type_error(f"return_indices={shown(value)}", rule)
    return one_of(call.called, "return_indices", value, KINDS)


def _oracle(where: Geometry, regions: Boxes, dtype: str, x: Array, y: Array, indices: Array | None, kind: str) -> Any:
    def oracle() -> None:
        found, places = reference.roi_pool(
            reference.values(x, dtype), regions.corners, regions.images, where.bins, where.channel, kind or "plane"
        )
        y[...] = reference.elements(found, dtype)
        if indices is not None:
            indices[...] = places

    return oracle


def roi_pool(
    x: A,
    boxes: Any,
    batch_indices: Any,
    output_size: Sizes,
    spatial_scale: float = 1.0,
    *,
    return_indices: bool | str = False,
    layout: Layout = "channels_first",
    out: Any = None,
    device: Device = None,
) -> Any:
    """The largest element of each bin of regions of interest: RoI pooling, spatial pyramid pooling of one level.

    Parameters
    ----------
    <images>
    <where>
    output_size : int or tuple of int
        Bins along rows and columns.
    spatial_scale : float
        Elements of x for a unit of the boxes' coordinates.
    return_indices : bool or {"plane", "tensor"}
        ``True`` or ``"plane"``: also give the place of each maximum, ``row * W + column``; ``"tensor"``: its place in
        the whole of x, flat in the order of x's axes.
    <layout>
    <outs>
    <device>

    Returns
    -------
    y : array
        Shape ``(K, C, *output_size)``, or ``(K, *output_size, C)`` for channels last; x's dtype and kind of array.
    indices : array
        Where asked for: int64 of y's shape, -1 for a bin without elements.

    <raises>

    See Also
    --------
    roi_pool_backward : its gradient.
    roi_align : bins whose edges are not rounded.

    Notes
    -----
    Scaled corners are rounded, halves away from zero [1]_. From row a to row b a region has ``h = max(b - a + 1, 1)``
    rows, and its bin o of n those from ``a + floor(o h / n)`` up to ``a + ceil((o + 1) h / n)``, as far as they are in
    the image; columns the same. These are integers here; onnxruntime computes ``o * (h / n)`` in float32, where a bin
    may be one element longer or shorter. A bin without elements gives 0. NaN propagates; of equal elements the first
    has the index, of several NaN the last.

    References
    ----------
    .. [1] Girshick, "Fast R-CNN", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> fastpool.roi_pool(x, np.array([[0.0, 0.0, 3.0, 1.0]]), np.array([0]), 2)
    array([[[[1., 3.],
             [5., 7.]]]])
    """
    call = Call("roi_pool", device)
    source = call.take("x", x)
    where = geometry(call, source.data.shape, output_size, layout)
    regions = take_boxes(call, boxes, batch_indices, spatial_scale, where.images)
    kind = _kind(call, return_indices)
    outs = call.outs(out, 2 if kind else 1)
    shape = where.result(len(regions))
    y = call.result("out", shape, source.dtype, outs[0], source.data)
    indices = call.result("out", shape, "i64", outs[1], source.data).data if kind else None
    oracle = _oracle(where, regions, source.dtype, source.data, y.data, indices, kind)
    region_bins.forward(where, regions, source.dtype, source.data, y.data, indices, kind, oracle)
    return call.give()


def roi_pool_backward(
    grad_output: A,
    x_or_shape: Any,
    boxes: Any,
    batch_indices: Any,
    output_size: Sizes,
    spatial_scale: float = 1.0,
    *,
    indices: Any = None,
    index_kind: str = "plane",
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Gradient of RoI pooling: that of each bin goes to the element that was its maximum. Boxes have none.

    Parameters
    ----------
    grad_output : array
        Gradient of the result, floating.
    x_or_shape : array or tuple of int
        The forward's x; its shape is enough where ``indices`` are given.
    boxes, batch_indices, output_size, spatial_scale
        As in the forward.
    indices : array, optional
        Those that the forward returned. Without them they are found again, in x.
    index_kind : {"plane", "tensor"}
        What kind of indices they are.
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
    roi_pool : the forward.

    Notes
    -----
    An element's gradient is the sum over regions in their order, and within one over bins in row-major order, whatever
    the number of threads. float16 and bfloat16 are added in float32.

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.arange(6.0).reshape(1, 1, 2, 3)
    >>> boxes, images = np.array([[0.0, 0.0, 2.0, 1.0]]), np.array([0])
    >>> fastpool.roi_pool_backward(np.ones((1, 1, 1, 1)), x, boxes, images, 1)
    array([[[[0., 0., 0.],
             [0., 0., 1.]]]])
    """
    call = Call("roi_pool_backward", device)
    grad = call.take("grad_output", grad_output)
    kind = one_of(call.called, "index_kind", index_kind, KINDS)
    if indices is None and isinstance(x_or_shape, tuple):
        raise call.value_error("a shape, and no indices", "the maxima are found in x", "give x, or indices")
    x = None if indices is not None else call.take("x_or_shape", x_or_shape, (grad.dtype,)).data
    shape = call.shape_of("x_or_shape", x_or_shape) if x is None else x.shape
    where = geometry(call, shape, output_size, layout)
    regions = take_boxes(call, boxes, batch_indices, spatial_scale, where.images)
    result = where.result(len(regions))
    call.check_shape("grad_output", grad.data, result, "the shape of the forward's result")
    given = None if indices is None else call.take_like("indices", indices, result, "i64", "the result's shape").data
    dx = call.result("out", shape, grad.dtype, out, grad.data)
    if given is None:
        assert x is not None
        given, y, kind = np.empty_like(grad.data, np.int64), np.empty_like(grad.data), "plane"
        oracle = _oracle(where, regions, grad.dtype, x, y, given, kind)
        region_bins.forward(where, regions, grad.dtype, x, y, given, kind, oracle)
    else:
        region_bins.check(call, where, regions, dx.data, given, kind)
    places = given

    def put() -> None:
        found = reference.scattered(
            reference.values(grad.data, grad.dtype), places, regions.images, shape, where.channel, kind
        )
        dx.data[...] = reference.elements(found, grad.dtype)

    region_bins.scatter(where, regions, grad.dtype, dx.data, grad.data, given, kind, oracle=put)
    found: A = call.give()
    return found


page(roi_pool, "roi_pool", **WORDS)
page(roi_pool_backward, "roi_pool_backward", **WORDS)


def _pool_vjp(x: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The result and a pullback that keeps the indices, not x."""
    asked = kwargs.pop("return_indices", False)
    out = kwargs.pop("out", None)
    if asked is False and out is not None:
        # the caller's array takes the result alone, so x is kept
        y = roi_pool(x, *args, out=out, **kwargs)
        return y, lambda dy: roi_pool_backward(dy, x, *args, **kwargs)
    kind = asked if isinstance(asked, str) else "plane"
    y, indices = roi_pool(x, *args, return_indices=kind, out=out, **kwargs)
    shape = tuple(x.shape)

    def pullback(dy: Any) -> Any:
        return roi_pool_backward(dy, shape, *args, indices=indices, index_kind=kind, **kwargs)

    return (y if asked is False else (y, indices)), pullback


VJPS = {"roi_pool": _pool_vjp}
