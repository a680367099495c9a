"""Where max unpooling puts elements: bands of planes, and the positions that indices name.

Numbers of the plan are those of ``unpool``.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels.frame import lane_stride, size, stride

AXIS, BAND, BANDS, FIRST, UNIT, DENSE, EQUAL, WINDOWS = range(8)
TABLE = 256
"""Taps of which the workspace has the distance from a window's origin: those that a byte can number."""
FAR = -(2**62)
EMPTY, WRONG = -1, -2
"""Positions in a plane that are none: of a window without elements, and of an index that is not allowed."""


@register_jitable
def within(number, count):
    """Whether a number is one of ``0, 1, ... count - 1``."""
    return np.uint64(number) < np.uint64(count)


@register_jitable
def band_of(plan, own, band):
    """Where a band begins and ends along its axis, and from which to which element windows reach into it."""
    axis = plan[own + AXIS]
    length, count = size(plan, 0, axis), size(plan, 1, axis)
    window = own + WINDOWS + 3 * axis
    kernel, step, pad = plan[window], plan[window + 1], plan[window + 2]
    begin, end = plan[own + FIRST] + band * plan[own + BAND], length
    first, last = 0, count
    if band > 0:
        first = max(0, (begin + pad - kernel) // step + 1)
    else:
        begin = 0
    if band < plan[own + BANDS] - 1:
        end = plan[own + FIRST] + (band + 1) * plan[own + BAND]
        last = min(count, (end + pad - 1) // step + 1)
    return begin, end, first, last


@register_jitable
def reach(plan, own, i):
    """From which to which position of the band's axis the window of an element reaches; one at least."""
    axis = plan[own + AXIS]
    length = size(plan, 0, axis)
    window = own + WINDOWS + 3 * axis
    origin = i * plan[window + 1] - plan[window + 2]
    begin = min(max(origin, 0), length - 1)
    return begin, max(begin + 1, min(origin + plan[window], length))


@register_jitable
def locate_flat(plan, own, table, index, base, unit, row, v, taps, d, h):
    """The position in its plane that a flat index names."""
    position = index - base
    if unit != 1:
        rest = position
        position = rest // unit
        if position * unit != rest:
            position = WRONG
    if index < 0 or position < 0:
        position = EMPTY if index == -1 else WRONG
    return position


@register_jitable
def guess_flat(table, index, base, window):
    """The position that a flat index of units of one names, or any number outside of the plane."""
    return index - base


@register_jitable
def guess_tap(table, index, base, window):
    """The position of a tap of a window inside of the plane that begins at ``window``, or a number outside of it."""
    return window + table[index]


@register_jitable
def astray(plan, own, axis, weight, position, coordinate):
    """Whether a position, none of the band, is not even in the window of an element."""
    begin, end = reach(plan, own, coordinate)
    return (position != EMPTY) & ((position < begin * weight) | (position >= end * weight))


@register_jitable
def tap_position(plan, own, tap, d, h, v):
    """The position in its plane of a tap, by division; or WRONG where it lies in the padding."""
    at = own + WINDOWS
    area = plan[at + 3] * plan[at + 6]
    z = tap // area
    rest = tap - z * area
    u = rest // plan[at + 6]
    z += d * plan[at + 1] - plan[at + 2]
    u += h * plan[at + 4] - plan[at + 5]
    v += rest % plan[at + 6]
    if z < 0 or z >= size(plan, 0, 0) or u < 0 or u >= size(plan, 0, 1) or v < 0 or v >= size(plan, 0, 2):
        return WRONG
    return (z * size(plan, 0, 1) + u) * size(plan, 0, 2) + v


def make_locate_tap(empty):
    """The position that the number of a tap names; ``empty`` is that of a window without elements."""
    short = empty < TABLE

    @register_jitable
    def locate_tap(plan, own, table, index, base, unit, row, v, taps, d, h):
        if index == empty:
            return EMPTY
        tap = np.int64(index)
        if tap < 0 or tap >= taps:
            return WRONG
        if short and row >= 0 and v >= 0 and v <= size(plan, 0, 2) - plan[own + WINDOWS + 6]:
            return row + v + table[tap]
        return tap_position(plan, own, tap, d, h, v)

    return locate_tap


@register_jitable
def row_origin(plan, own, d, h):
    """The position where windows begin in a row of them, without the last axis; -1 where not all of their taps are
    inside of the plane along the other two.
    """
    at = own + WINDOWS
    z = d * plan[at + 1] - plan[at + 2]
    u = h * plan[at + 4] - plan[at + 5]
    inside = (z >= 0) & (z + plan[at] <= size(plan, 0, 0)) & (u >= 0) & (u + plan[at + 3] <= size(plan, 0, 1))
    return (z * size(plan, 0, 1) + u) * size(plan, 0, 2) if inside else -1


@register_jitable
def fill_table(plan, own, table):
    """The distance of each tap from its window's origin, for windows of few, and far outside for what is no tap; and
    the number of taps.
    """
    at = own + WINDOWS
    area = plan[at + 3] * plan[at + 6]
    if plan[at] * area < TABLE:
        for tap in range(TABLE):
            table[tap] = FAR
        for tap in range(plan[at] * area):
            rest = tap % area
            line = tap // area * size(plan, 0, 1) + rest // plan[at + 6]
            table[tap] = line * size(plan, 0, 2) + rest % plan[at + 6]
    return plan[at] * area


@register_jitable
def place_of(plan, position):
    """Where a position of a plane of the larger array lies, from the plane's beginning, for any strides."""
    columns = size(plan, 0, 2)
    row = position // columns
    rows = size(plan, 0, 1)
    return (
        row // rows * stride(plan, 0, 0)
        + row % rows * stride(plan, 0, 1)
        + (position - row * columns) * stride(plan, 0, 2)
    )


@register_jitable
def run_steps(plan, array, lanes, columns):
    """Along a row: how often and by how much its runs are repeated, and how many elements are how far apart in one.

    Runs go along the lanes where there are any, else along the row.
    """
    if lanes == 1:
        return 1, 0, columns, stride(plan, array, 2)
    return columns, stride(plan, array, 2), lanes, lane_stride(plan, array)


@register_jitable
def ranges(plan, axis, first, last):
    """The elements of a tile along each of the spatial axes, where the bands are along one of them."""
    return (
        first if axis == 0 else 0,
        last if axis == 0 else size(plan, 1, 0),
        first if axis == 1 else 0,
        last if axis == 1 else size(plan, 1, 1),
        first if axis == 2 else 0,
        last if axis == 2 else size(plan, 1, 2),
    )


@register_jitable
def one_run(plan, array):
    """Whether a plane of an array without lanes is one run of elements, equally far apart."""
    row = size(plan, array, 2) * stride(plan, array, 2)
    rows = (size(plan, array, 1) == 1) | (stride(plan, array, 1) == row)
    planes = (size(plan, array, 0) == 1) | (stride(plan, array, 0) == size(plan, array, 1) * row)
    return (plan[F.LANES] == 1) & rows & planes
