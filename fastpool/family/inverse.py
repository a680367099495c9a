"""Sizes of what is pooled, from the sizes of what pooling gave: what unpooling is planned with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastpool.errors import shown
from fastpool.family.calls import Call
from fastpool.problem import Ints


class Windows(NamedTuple):
    """The windows that an array was pooled with, one entry per spatial axis."""

    kernel: Ints
    stride: Ints
    begin: Ints
    end: Ints
    dilation: Ints

    def default(self, axis: int, size: int) -> int:
        """The size of which pooling, leaving no rest, gives ``size`` windows along the axis of that number."""
        span = (self.kernel[axis] - 1) * self.dilation[axis] + 1
        return (size - 1) * self.stride[axis] - self.begin[axis] - self.end[axis] + span


def windows(call: Call, kernel: object, stride: object, padding: object, dilation: object, count: int) -> Windows:
    """Arguments of a pooling over so many axes, checked."""
    kernels = call.sizes("kernel_size", kernel, count)
    strides = kernels if stride is None else call.sizes("stride", stride, count)
    begin, end = call.padding(padding, count)
    return Windows(kernels, strides, begin, end, call.sizes("dilation", dilation, count))


def unpooled_shape(call: Call, asked: object, axes: Ints, shape: Ints, window: Windows) -> Ints:
    """The shape of what was pooled to ``shape``: with the caller's ``output_size``, or the least that fits."""
    sizes = None if asked is None else _asked(call, asked, axes, shape)
    found = list(shape)
    for number, axis in enumerate(axes):
        default, step = window.default(number, shape[axis]), window.stride[number]
        if sizes is None:
            if default < 1:
                given = f"kernel size {window.kernel[number]} with padding on axis {axis} of size {shape[axis]}"
                raise call.value_error(given, f"the size of the result would be {default}", "give output_size")
            found[axis] = default
            continue
        least, most = max(1, default - step + 1), default + step - 1
        if not least <= sizes[number] <= most:
            given = f"output_size={shown(asked)}"
            rule = f"windows of these arguments give {shape[axis]} on axis {axis} for sizes from {least} to {most} only"
            raise call.value_error(given, rule, "give the shape of what was pooled")
        found[axis] = sizes[number]
    return tuple(found)


def _asked(call: Call, asked: object, axes: Ints, shape: Ints) -> Ints:
    """The spatial sizes of an ``output_size``: one for all axes, one for each, or a whole shape."""
    if isinstance(asked, Sequence) and len(asked) == len(shape) != len(axes):
        whole = tuple(call.integer("output_size", size, 0, f"output_size={shown(asked)}") for size in asked)
        for axis, size in enumerate(whole):
            if axis not in axes and size != shape[axis]:
                rule = f"axis {axis} of x has size {shape[axis]}"
                raise call.value_error(f"output_size={shown(asked)}", rule, "give the spatial sizes alone")
        return tuple(whole[axis] for axis in axes)
    return call.sizes("output_size", asked, len(axes))
