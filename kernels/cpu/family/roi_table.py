"""Where the samples of RoI align lie: for each region and each of its two axes the taps of every bin, with weights.

A sample at position p between two elements is a tap on each of them, with the weights 1 - f and f, where f is the
fraction of p. Words: what is made of samples, type of the boxes, type of the weights. For "avg" taps of a bin that meet
on one element are one, their weights added in the order of the samples; for "max" they are all kept. Taps of weight 0
are left out, and so are samples outside of the image: ``flags`` says for which bins there were any.

Reads ``bufs[0]``, the begin and the length of a bin along rows and columns, in the boxes' type, in which positions are
computed, and three numbers of ``bufs[1]``, the heads of ``kernels/regions.py``, whose other numbers are written.
Writes, too: ``bufs[2]``, for every bin where its taps begin, counted from the region's own; ``bufs[3]``, flags of bins;
``bufs[4]`` and ``bufs[5]``, elements and weights of taps, those along rows by the number among the region's own rows;
``bufs[6]``, these rows, each once. Own numbers: bins along each axis, rows and columns of the image. A tile is one
region; its workspace has a number for each row of the image.
"""

from __future__ import annotations

from fastpool.kernels import regions as R
from fastpool.kernels.cpu.family.access import codes, value_type
from fastpool.kernels.cpu.memory import address, pointer
from fastpool.kernels.cpu.state import inlined

CLIPPED = 256
"""Samples of a bin above which those far outside of the image are passed over."""
SLACK = 64
"""Samples by which rounding of positions, at the largest coordinates allowed, can move an end of that."""


def make_axis(merges: bool, box: str, value: str):
    """``axis(begin, length, grid, bins, size, starts, s, flags, f, places, weights, at)``: one axis of one region.

    Returns the number of taps; ``starts`` has one entry more than there are bins.
    """
    to_box, to_value = value_type(box), value_type(value)
    half, one, nothing = to_box(0.5), to_value(1), to_value(0)
    below = to_box(-1)

    def add(places, weights, first, end, place, weight):
        if merges:
            if end > first and places[end - 1] == place:
                weights[end - 1] += weight
                return end
            if end - 1 > first and places[end - 2] == place:
                weights[end - 2] += weight
                return end
        places[end] = place
        weights[end] = weight
        return end + 1

    inlined(add)

    def axis(begin, length, grid, bins, size, starts, s, flags, f, places, weights, at):
        end = at
        for o in range(bins):
            first = end
            starts[s + o] = first - at
            base = begin + to_box(o) * length
            low, high = 0, grid
            step = length / to_box(max(grid, 1))
            if grid > CLIPPED and step > 0.25:
                low = min(grid, max(0, int((-1.0 - base) / step) - SLACK))
                high = max(low, min(grid, int((size - base) / step) + SLACK))
            flagged = low > 0 or high < grid
            for i in range(low, high):
                position = base + (to_box(i) + half) * length / to_box(grid)
                if position < below or position > to_box(size):
                    flagged = True
                    continue
                place = int(max(position, to_box(0)))
                fraction = nothing
                if place >= size - 1:
                    place = size - 1
                elif position > 0:
                    fraction = to_value(position - to_box(place))
                    # rounded, from a wider type
                    if fraction >= one:
                        place, fraction = place + 1, nothing
                end = add(places, weights, first, end, place, one - fraction)
                if fraction > 0:
                    end = add(places, weights, first, end, place + 1, fraction)
                else:
                    flagged = True
            flags[f + o] = flagged or end == first
        starts[s + bins] = end - at
        return end - at

    return inlined(axis)


def make(digest, role, box, value):
    """The kernel for one role, boxes of one type, and weights of one type."""
    box_code, value_code, short, long, byte = codes(box), codes(value), codes("i32"), codes("i64"), codes("u8")
    axis = make_axis(role == "avg", box, value)

    def table(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        numbers, heads = pointer(bufs[0], box_code), pointer(bufs[1], long)
        starts, flags = pointer(bufs[2], short), pointer(bufs[3], byte)
        places, weights, rows = pointer(bufs[4], short), pointer(bufs[5], value_code), pointer(bufs[6], short)
        marks = pointer(address(work), short)
        bins_y, bins_x, height, width = plan[0], plan[1], plan[2], plan[3]
        for k in range(begin, end):
            head = k * R.HEAD
            at_y, at_x, at_rows = heads[head + R.TAPS_Y], heads[head + R.TAPS_X], heads[head + R.ROWS_AT]
            s, f = k * (bins_y + bins_x + 2), k * (bins_y + bins_x)
            b_y, l_y, b_x, l_x = numbers[4 * k], numbers[4 * k + 1], numbers[4 * k + 2], numbers[4 * k + 3]
            grid = heads[head + R.GRID_Y]
            many_y = axis(b_y, l_y, grid, bins_y, height, starts, s, flags, f, places, weights, at_y)
            grid = heads[head + R.GRID_X]
            many_x = axis(
                b_x, l_x, grid, bins_x, width, starts, s + bins_y + 1, flags, f + bins_y, places, weights, at_x
            )
            left, right = width, 0
            for e in range(at_x, at_x + many_x):
                left, right = min(left, places[e]), max(right, places[e] + 1)
            top, bottom = height, 0
            for e in range(at_y, at_y + many_y):
                top, bottom = min(top, places[e]), max(bottom, places[e] + 1)
            for row in range(top, bottom):
                marks[row] = 0
            for e in range(at_y, at_y + many_y):
                marks[places[e]] = 1
            found = 0
            for row in range(top, bottom):
                if marks[row]:
                    marks[row] = found
                    rows[at_rows + found] = row
                    found += 1
            for e in range(at_y, at_y + many_y):
                places[e] = marks[places[e]]
            heads[head + R.DISTINCT] = found
            heads[head + R.FROM_Y], heads[head + R.TO_Y] = top, bottom
            heads[head + R.FROM_X], heads[head + R.TO_X] = left, right

    return table
