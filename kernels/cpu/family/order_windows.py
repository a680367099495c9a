"""Which taps of which windows lie on the input, and columns of rows copied."""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import windows_plan as W
from fastpool.kernels.cpu.family.order_block import flat
from fastpool.kernels.cpu.memory import load_source, store_out
from fastpool.kernels.frame import OUTER, SIZES, offset, size

for _function in (W.first_tap, W.past_tap):
    register_jitable(_function)

AXIS, KERNEL, STRIDE, DILATION, PADDING = W.AXIS, W.KERNEL, W.STRIDE, W.DILATION, W.PADDING
first_tap, past_tap = W.first_tap, W.past_tap


@register_jitable
def taps_of(plan, own, axis, o):
    """The taps [from, to) of window ``o`` along an axis that lie on the input, and where its tap 0 stands."""
    at = own + axis * AXIS
    origin = o * plan[at + STRIDE] - plan[at + PADDING]
    past = past_tap(origin, size(plan, 0, axis), plan[at + KERNEL], plan[at + DILATION])
    return min(first_tap(origin, plan[at + DILATION]), past), past, origin


@register_jitable
def columns_inside(plan, own):
    """The windows [from, to) along the last axis that lie on the input wholly; it may be empty."""
    at = own + 2 * AXIS
    span = (plan[at + KERNEL] - 1) * plan[at + DILATION]
    inside = -(-plan[at + PADDING] // plan[at + STRIDE])
    room = size(plan, 0, 2) - 1 + plan[at + PADDING] - span
    return inside, room // plan[at + STRIDE] + 1 if room >= 0 else 0


@register_jitable
def among(block, columns, count, first, past):
    """The windows of a block of a row, [start, stop), and those of them that are in [first, past)."""
    start, stop = block * columns, min((block + 1) * columns, count)
    inside = min(max(first, start), stop)
    return start, stop, inside, max(min(past, stop), inside)


@register_jitable
def places(tile, blocks, parts, rows, planes):
    """A tile as the block of a row, part of the lanes, row, plane, and number of the outer axes."""
    block, part, h, d = 0, 0, 0, 0
    # a division takes as long as some vectors of windows
    if blocks > 1:
        block, tile = tile % blocks, tile // blocks
    if parts > 1:
        part, tile = tile % parts, tile // parts
    if rows > 1:
        h, tile = tile % rows, tile // rows
    if planes > 1:
        d, tile = tile % planes, tile // planes
    return block, part, h, d, tile


@register_jitable
def laid(planes, beyond, columns, step, width, lane):
    """How a block lies in an array: planes and their distance, columns and theirs, lanes and theirs.

    One window of each plane is as good as neighbours of one plane.
    """
    if columns == 1 and width == 1:
        return 1, 0, planes, beyond, 1, lane
    return planes, beyond, columns, step, width, lane


@register_jitable
def outer_of(plan):
    """How many planes there are, and how far one lies from the next in both arrays, if there is one outer axis."""
    if plan[OUTER] == 0:
        return 1, 0, 0
    return plan[SIZES], offset(plan, 0, 1) if plan[SIZES] > 1 else 0, offset(plan, 1, 1) if plan[SIZES] > 1 else 0


@register_jitable
def copy_columns(x, at, columns, step, width, lane, p, to):
    """Columns of ``width`` lanes, ``step`` apart, one behind the other to scratch."""
    times, far, count, near = flat(columns, step, width, lane)
    for i in range(times):
        for e in range(count):
            store_out(p, to + i * count + e, load_source(x, at + i * far + e * near))
