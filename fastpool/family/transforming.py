"""Wavelet transforms of arrays, a level at a time, and back: what the functions of ``wavelets`` are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastpool.family import filtering
from fastpool.family.calls import FLOATS, Call
from fastpool.family.daubechies import MOST, NAMES, high_pass, low_pass
from fastpool.family.filtering import Filter, Taps
from fastpool.functional._types import A
from fastpool.memory import Array, empty_in_order, memory_order
from fastpool.problem import Ints


def pair_of(call: Call, wavelet: object) -> tuple[Taps, Taps]:
    """The low-pass and the high-pass filter of a wavelet."""
    if isinstance(wavelet, str):
        if wavelet not in NAMES:
            rule = f'the known ones are "haar" and "db1" to "db{MOST}"'
            raise call.value_error(f"wavelet={wavelet!r}", rule, "give the pair of filters (low, high)")
        low = low_pass(wavelet)
        return low, high_pass(low)
    if not isinstance(wavelet, tuple | list) or len(wavelet) != 2:
        raise call.type_error("wavelet", 'it must be a name such as "haar", or a pair of filters (low, high)')
    low, high = (filtering.taps_of(call, f"wavelet[{i}]", given) for i, given in enumerate(wavelet))
    if len(low) != len(high):
        given = f"filters of {len(low)} and {len(high)} taps"
        raise call.value_error(given, "they must have the same length", "put zeros around the shorter one")
    return low, high


def filters_of(call: Call, shape: Ints, axes: Ints, bands: tuple[Taps, ...], rule: str) -> tuple[Filter, ...]:
    """One level along each axis: a stride of 2, half of the elements, rounded up."""
    found = []
    for axis in axes:
        size, taps = shape[axis], len(bands[0])
        count, before = (size + 1) // 2, (taps - 1) // 2
        filter_ = Filter(size, bands, 2, before, count, rule)
        filtering.check_reflection(call, axis, filter_, (count - 1) * 2 + taps - before - size)
        found.append(filter_)
    return tuple(found)


def halved(shape: Ints, axes: Ints) -> Ints:
    """The shape of one band."""
    return tuple((size + 1) // 2 if axis in axes else size for axis, size in enumerate(shape))


def _levels(
    call: Call, shape: Ints, axes: Ints, wavelet: object, levels: object, mode: object, padding: object
) -> tuple[list[tuple[Filter, ...]], list[Ints]]:
    """The filters of each level, and the shapes of x and of each level's result."""
    pair = pair_of(call, wavelet)
    rule = filtering.rule_of(call, padding)
    many = call.integer("levels", levels)
    if mode not in ("approximation", "bands"):
        error = call.value_error if isinstance(mode, str) else call.type_error
        raise error(f"mode={mode!r}", 'it must be "approximation" or "bands"')
    if mode == "bands" and many != 1:
        way_out = "transform y[0], the approximation, again"
        raise call.value_error(f"levels={many}", 'mode "bands" gives one level', way_out)
    if many > 62:
        raise call.value_error(f"levels={many}", "at most 62 levels: no axis can be halved more often")
    shapes, filters = [shape], []
    for _ in range(many):
        filters.append(filters_of(call, shapes[-1], axes, pair if mode == "bands" else pair[:1], rule))
        shapes.append(halved(shapes[-1], axes))
    if mode == "bands":
        shapes[-1] = (2 ** len(axes), *shapes[-1])
    return filters, shapes


def _between(shapes: Sequence[Ints], dtype: str, like: Array) -> list[Array]:
    """Memory for the results of levels that nobody sees."""
    return [empty_in_order(shape, dtype, memory_order(like)) for shape in shapes]


def forward(called: str, n: int, x: A, asked: tuple[Any, ...], layout: object, out: object, device: object) -> A:
    """The approximation after some levels, or the bands of one."""
    call = Call(called, device)
    source = call.take("x", x, FLOATS)
    shape = source.data.shape
    axes = call.axes(layout, n, shape)
    filters, shapes = _levels(call, shape, axes, *asked)
    y = call.result("out", shapes[-1], source.dtype, out, source.data, len(shapes[-1]) - len(shape))
    line = [source.data, *_between(shapes[1:-1], source.dtype, source.data), y.data]
    for level, own in enumerate(filters):
        filtering.apply(line[level], line[level + 1], axes, own, source.dtype)
    found: A = call.give()
    return found


def backward(
    called: str, n: int, grad: A, x: object, asked: tuple[Any, ...], layout: object, out: object, device: object
) -> A:
    """The gradient of ``forward``."""
    call = Call(called, device)
    source = call.take("grad_output", grad, FLOATS)
    shape = call.shape_of("x_or_shape", x)
    axes = call.axes(layout, n, shape)
    filters, shapes = _levels(call, shape, axes, *asked)
    call.check_shape("grad_output", source.data, shapes[-1], "the shape of the forward's result")
    dx = call.result("out", shape, source.dtype, out, source.data[0] if source.data.ndim > len(shape) else source.data)
    line = [dx.data, *_between(shapes[1:-1], source.dtype, source.data), source.data]
    for level, own in reversed(list(enumerate(filters))):
        filtering.apply(line[level + 1], line[level], axes, own, source.dtype, transposed=True)
    found: A = call.give()
    return found


def _unpooled(call: Call, n: int, shape: Ints, wavelet: object, padding: object, layout: object) -> Any:
    """Axes, filters and shape of the transform back from bands of that shape."""
    many = 2**n
    if len(shape) <= n or shape[0] != many:
        rule = f"its first axis must have {many} bands"
        raise call.value_error(f"bands of shape {shape}", rule, f'give what wavelet_pool{n}d(..., mode="bands") gives')
    axes = call.axes(layout, n, shape[1:])
    whole = tuple(2 * size if axis in axes else size for axis, size in enumerate(shape[1:]))
    pair = pair_of(call, wavelet)
    return axes, filters_of(call, whole, axes, pair, filtering.rule_of(call, padding)), whole


def unpool(
    called: str, n: int, bands: A, wavelet: object, padding: object, layout: object, out: object, device: object
) -> A:
    """The transform back: the transposed filters."""
    call = Call(called, device)
    source = call.take("bands", bands, FLOATS)
    axes, filters, whole = _unpooled(call, n, source.data.shape, wavelet, padding, layout)
    x = call.result("out", whole, source.dtype, out, source.data[0])
    filtering.apply(source.data, x.data, axes, filters, source.dtype, transposed=True)
    found: A = call.give()
    return found


def unpool_backward(
    called: str, n: int, grad: A, bands: object, asked: tuple[Any, Any], layout: object, out: object, device: object
) -> A:
    """The gradient of ``unpool``: the filters forward."""
    call = Call(called, device)
    source = call.take("grad_output", grad, FLOATS)
    shape = call.shape_of("bands_or_shape", bands)
    axes, filters, whole = _unpooled(call, n, shape, *asked, layout)
    call.check_shape("grad_output", source.data, whole, "the shape of the forward's result")
    dy = call.result("out", shape, source.dtype, out, source.data, 1)
    filtering.apply(source.data, dy.data, axes, filters, source.dtype)
    found: A = call.give()
    return found
