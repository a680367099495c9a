"""Max unpooling: every element is put where its index says, zero elsewhere; and its gradient.

Arrays: the larger one (y, or its gradient), the smaller one (x, or its gradient), the indices, and one that is not in
memory: its strides are the units of indices, so that its offset is the index of a plane's first element.

A tile is a band of one plane of the larger array, with all its lanes: positions along one axis, the first spatial one
that there is. It looks at those elements of the smaller array whose windows reach into the band. An index elsewhere
in its window is another band's; one outside of its window, or of the plane, is reported in the fourth buffer: with
several bands the result is then to be made anew with one. ``place`` goes through a plane's elements in row-major
order, so that of equal indices the last one stays, and ``take`` backward, so that the first one that it meets is it.

Numbers of its own: axis of the bands, positions in a band, bands, where the first band would begin (0 or below), units
of an index per position, whether y is one run in memory, whether indices can be equal; and for each of the three
spatial axes kernel size, stride and begin padding. Workspace: ``TABLE`` numbers, and for ``take`` a byte per position.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import codes, value_type
from fastpool.kernels.cpu.memory import RESULT, SIDE, SOURCE, address, load, pointer, store
from fastpool.kernels.frame import lane_stride, offset, size, stride

AXIS, BAND, BANDS, FIRST, UNIT, DENSE, EQUAL, WINDOWS = range(8)
TABLE = 256
"""Taps of which the workspace has the distance from a window's origin: those that a byte can number."""
FAR = -(2**62)
EMPTY, WRONG = -1, -2
"""Positions in a plane that are none: of a window without elements, and of an index that is not allowed."""


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


def make(digest, role, index, bits):
    """The kernel for indices of a type, "flat" for int64 in planes or tensors, or that of the tap's number.

    Role "place" writes the larger array, "take" the smaller, "check" neither. Elements are of so many bits.
    """
    code, index_code = codes(f"u{bits}"), codes("i64" if index == "flat" else index)
    flag, number_code = codes("u8"), codes("i64")
    locate = locate_flat if index == "flat" else make_locate_tap(2 ** int(index[1:]) - 1)
    guess, short = guess_flat if index == "flat" else guess_tap, index in ("flat", "u8")
    empty = EMPTY if index == "flat" else 2 ** int(index[1:]) - 1
    kind, flat = value_type(f"u{bits}"), index == "flat"

    def place(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        y, x, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        wrong, table = pointer(bufs[3], flag), pointer(address(work), number_code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        axis, bands, unit, dense = plan[own + AXIS], plan[own + BANDS], plan[own + UNIT], plan[own + DENSE] != 0
        rows, columns, step = size(plan, 0, 1), size(plan, 0, 2), stride(plan, 0, 2)
        weight = (rows * columns, columns, 1)[axis]
        to_lane = lane_stride(plan, 0)
        filled = dense & (step == lanes) & ((lanes == 1) | (to_lane == 1))
        taps, along = fill_table(plan, own, table), lanes == 1
        v_step, v_pad = plan[own + WINDOWS + 7], plan[own + WINDOWS + 8]
        to_each, base_each = (0, 0) if along else (to_lane, lane_stride(plan, 3))
        window_each = v_step if along else 0
        x_depth, x_row, x_column = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2)
        index_depth, index_row, index_column = stride(plan, 2, 0), stride(plan, 2, 1), stride(plan, 2, 2)
        # windows that are inside along the last axis; indices that need no division
        inside = (v_pad == 0) & ((size(plan, 1, 2) - 1) * v_step + plan[own + WINDOWS + 6] <= columns)
        simple = short & dense & ((unit == 1) if flat else inside)
        # where no coordinate is asked for, a plane is one row
        single = flat & (bands == 1) & one_run(plan, 1) & one_run(plan, 2)
        for tile in range(begin, end):
            number = tile // bands
            low, high, first, last = band_of(plan, own, tile - number * bands)
            start, stop = low * weight, high * weight
            to, base = offset(plan, 0, number), offset(plan, 3, number)
            if filled:
                for i in range(to + start * lanes, to + stop * lanes):
                    store(y, i, 0, RESULT)
            else:
                for position in range(start, stop):
                    at = to + place_of(plan, position)
                    for lane in range(lanes):
                        store(y, at + lane * to_lane, 0, RESULT)
            d_first, d_last, h_first, h_last, w_first, w_last = ranges(plan, axis, first, last)
            if single:
                d_last, h_last, w_last = 1, 1, d_last * h_last * w_last
            x_plane = offset(plan, 1, number) + w_first * x_column
            index_plane = offset(plan, 2, number) + w_first * index_column
            runs, x_run, many, x_step = run_steps(plan, 1, lanes, w_last - w_first)
            _, index_run, _, index_step = run_steps(plan, 2, lanes, w_last - w_first)
            for d in range(d_first, d_last):
                for h in range(h_first, h_last):
                    x_at = x_plane + d * x_depth + h * x_row
                    index_at = index_plane + d * index_depth + h * index_row
                    row = row_origin(plan, own, d, h)
                    quick = simple & (flat | (row >= 0))
                    for run in range(runs):
                        from_x, from_index = x_at + run * x_run, index_at + run * index_run
                        window = row + (w_first + run) * v_step
                        for i in range(many):
                            found = load(indices, from_index + i * index_step, SOURCE)
                            if quick:
                                position = guess(table, found, base + i * base_each, window + i * window_each)
                                at = position * step
                            else:
                                v = (w_first + (i if along else run)) * v_step - v_pad
                                first = base + i * base_each
                                position = locate(plan, own, table, found, first, unit, row, v, taps, d, h)
                                at = position * step if dense else place_of(plan, position)
                            if (position >= start) & (position < stop):
                                element = load(x, from_x + i * x_step, SOURCE)
                                store(y, to + i * to_each + at, element, RESULT)
                            else:
                                w = w_first + (i if along else run)
                                first, v = base + i * base_each, w * v_step - v_pad
                                position = locate(plan, own, table, found, first, unit, row, v, taps, d, h)
                                if astray(plan, own, axis, weight, position, (d, h, w)[axis]):
                                    store(wrong, 0, 1, SIDE)

    def take(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        y, x, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        wrong, table = pointer(bufs[3], flag), pointer(address(work), number_code)
        taken = pointer(address(work) + 8 * TABLE, flag)
        own, lanes = plan[F.OWN], plan[F.LANES]
        axis, bands, unit, dense = plan[own + AXIS], plan[own + BANDS], plan[own + UNIT], plan[own + DENSE] != 0
        rows, columns, step = size(plan, 0, 1), size(plan, 0, 2), stride(plan, 0, 2)
        weight = (rows * columns, columns, 1)[axis]
        taps, along, equal = fill_table(plan, own, table), lanes == 1, plan[own + EQUAL] != 0
        from_each, base_each = (0, 0) if along else (lane_stride(plan, 0), lane_stride(plan, 3))
        mark_each = 0 if along else 1
        v_step, v_pad = plan[own + WINDOWS + 7], plan[own + WINDOWS + 8]
        window_each = v_step if along else 0
        x_depth, x_row, x_column = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2)
        index_depth, index_row, index_column = stride(plan, 2, 0), stride(plan, 2, 1), stride(plan, 2, 2)
        # windows that are inside along the last axis; indices that need no division
        inside = (v_pad == 0) & ((size(plan, 1, 2) - 1) * v_step + plan[own + WINDOWS + 6] <= columns)
        simple = short & dense & ((unit == 1) if flat else inside)
        # where no coordinate is asked for, a plane is one row
        single = flat & (bands == 1) & one_run(plan, 1) & one_run(plan, 2)
        for tile in range(begin, end):
            number = tile // bands
            low, high, first, last = band_of(plan, own, tile - number * bands)
            start, stop = low * weight, high * weight
            source, base = offset(plan, 0, number), offset(plan, 3, number)
            if equal:
                for i in range((stop - start) * lanes):
                    store(taken, i, 0, SIDE)
            d_first, d_last, h_first, h_last, w_first, w_last = ranges(plan, axis, first, last)
            if single:
                d_last, h_last, w_last = 1, 1, d_last * h_last * w_last
            x_plane = offset(plan, 1, number) + w_first * x_column
            index_plane = offset(plan, 2, number) + w_first * index_column
            runs, x_run, many, x_step = run_steps(plan, 1, lanes, w_last - w_first)
            _, index_run, _, index_step = run_steps(plan, 2, lanes, w_last - w_first)
            for d in range(d_last - 1, d_first - 1, -1):
                for h in range(h_last - 1, h_first - 1, -1):
                    x_at = x_plane + d * x_depth + h * x_row
                    index_at = index_plane + d * index_depth + h * index_row
                    row = row_origin(plan, own, d, h)
                    quick = simple & (flat | (row >= 0))
                    for run in range(runs - 1, -1, -1):
                        to_x, from_index = x_at + run * x_run, index_at + run * index_run
                        window = row + (w_first + run) * v_step
                        for i in range(many - 1, -1, -1):
                            found = load(indices, from_index + i * index_step, SOURCE)
                            if quick:
                                position = guess(table, found, base + i * base_each, window + i * window_each)
                                at = position * step
                            else:
                                v = (w_first + (i if along else run)) * v_step - v_pad
                                first = base + i * base_each
                                position = locate(plan, own, table, found, first, unit, row, v, taps, d, h)
                                at = position * step if dense else place_of(plan, position)
                            if (position >= start) & (position < stop):
                                element = load(y, source + i * from_each + at, SOURCE)
                                if equal:
                                    mark = (position - start) * lanes + i * mark_each
                                    known = load(taken, mark, SIDE)
                                    store(taken, mark, 1, SIDE)
                                    element = element if known == 0 else kind(0)
                                store(x, to_x + i * x_step, element, RESULT)
                            else:
                                w = w_first + (i if along else run)
                                first, v = base + i * base_each, w * v_step - v_pad
                                position = locate(plan, own, table, found, first, unit, row, v, taps, d, h)
                                if position == EMPTY:
                                    # one band writes it, that in which the window begins
                                    reach_begin, _ = reach(plan, own, (d, h, w)[axis])
                                    if (reach_begin >= low) & (reach_begin < high):
                                        store(x, to_x + i * x_step, 0, RESULT)
                                elif astray(plan, own, axis, weight, position, (d, h, w)[axis]):
                                    store(wrong, 0, 1, SIDE)

    def check(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        indices, wrong = pointer(bufs[2], index_code), pointer(bufs[3], flag)
        table = pointer(address(work), number_code)
        own, lanes, unit = plan[F.OWN], plan[F.LANES], plan[plan[F.OWN] + UNIT]
        elements = size(plan, 0, 0) * size(plan, 0, 1) * size(plan, 0, 2)
        base_lane = lane_stride(plan, 3)
        runs, index_run, many, index_step = run_steps(plan, 2, lanes, size(plan, 1, 2))
        taps, along = fill_table(plan, own, table), lanes == 1
        v_step, v_pad = plan[own + WINDOWS + 7], plan[own + WINDOWS + 8]
        inside = (v_pad == 0) & ((size(plan, 1, 2) - 1) * v_step + plan[own + WINDOWS + 6] <= size(plan, 0, 2))
        bad = 0
        for number in range(begin, end):
            base, index_plane = offset(plan, 3, number), offset(plan, 2, number)
            for d in range(size(plan, 1, 0)):
                for h in range(size(plan, 1, 1)):
                    at, row = index_plane + d * stride(plan, 2, 0) + h * stride(plan, 2, 1), row_origin(plan, own, d, h)
                    for run in range(runs):
                        if flat & (unit == 1) & (index_step == 1) & (base_lane == 0):
                            for i in range(many):
                                found = load(indices, at + run * index_run + i, SOURCE)
                                position = found - base
                                bad |= ((position < 0) | (position >= elements)) & (found != EMPTY)
                            continue
                        if (not flat) & inside & (row >= 0) & (index_step == 1):
                            for i in range(many):
                                found = load(indices, at + run * index_run + i, SOURCE)
                                bad |= (found >= taps) & (found != empty)
                            continue
                        for i in range(many):
                            w, lane = (i, 0) if along else (run, i)
                            found = load(indices, at + run * index_run + i * index_step, SOURCE)
                            from_base, v = base + lane * base_lane, w * v_step - v_pad
                            position = locate(plan, own, table, found, from_base, unit, row, v, taps, d, h)
                            bad |= (position < EMPTY) | (position >= elements)
        if bad != 0:
            store(wrong, 0, 1, SIDE)

    return {"place": place, "take": take, "check": check}[role]
