"""Gradient of RoI align's mean: each bin's gradient goes to the taps of its samples.

A region's gradients, divided by the number of samples, are spread along rows first, for each of the region's own rows
the sum over its bins in order, and then along columns. An element's gradient is the sum over regions in the order of
their numbers, and within one over bins of columns in order.

Arrays of the frame: dx, g. ``bufs``: dx, g, the order of regions, where those of each image begin, and the tables of
``roi_table``. A tile is a band of rows of some blocks of channels of one image: it writes all of it.
"""

from __future__ import annotations

from fastpool.kernels import frame as F
from fastpool.kernels import regions as R
from fastpool.kernels.cpu.family.access import VALUES, codes, value_type
from fastpool.kernels.cpu.family.blocks import make_blocks, make_neighbours
from fastpool.kernels.cpu.memory import address, pointer
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import BYTES, everywhere, load, store
from fastpool.kernels.frame import offset, size, stride


def make_spreads(value: str):
    """``(down, along)``: from bins to rows of the region, of which those from ``low`` to ``high`` are wanted, and from
    a row to the image.
    """
    lanes = make_blocks(value).lanes
    zero = value_type(value)(0)

    def down(gradients, bins_y, bins_x, places, weights, at, starts, s, low, high, states):
        for e in range(low * bins_x, high * bins_x):
            store(states, e * lanes, everywhere(states, zero))
        for o in range(bins_y):
            for e in range(at + starts[s + o], at + starts[s + o + 1]):
                if low <= places[e] < high:
                    for p in range(bins_x):
                        to = (places[e] * bins_x + p) * lanes
                        more = load(gradients, (o * bins_x + p) * lanes) * weights[e]
                        store(states, to, load(states, to) + more)

    def along(states, i, bins_x, places, weights, at, starts, s, row):
        for p in range(bins_x):
            share = load(states, (i * bins_x + p) * lanes)
            for e in range(at + starts[s + p], at + starts[s + p + 1]):
                to = places[e] * lanes
                store(row, to, load(row, to) + share * weights[e])

    return inlined(down), inlined(along)


def make(digest, dtype):
    """The kernel for elements of one type."""
    code, value = codes(dtype), VALUES.get(dtype, dtype)
    value_code, short, long = codes(value), codes("i32"), codes("i64")
    parts = make_blocks(dtype)
    take, lanes = parts.take, parts.lanes
    put = make_neighbours(parts).give
    down, along = make_spreads(value)
    number = value_type(value)
    zero = number(0)

    def spread(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        dx, g = pointer(bufs[0], code), pointer(bufs[1], code)
        order, firsts, heads = pointer(bufs[2], long), pointer(bufs[3], long), pointer(bufs[4], long)
        starts = pointer(bufs[5], short)
        places, weights, rows = pointer(bufs[7], short), pointer(bufs[8], value_code), pointer(bufs[9], short)
        own, room = plan[F.OWN], address(work)
        spare, states = (
            pointer(room + plan[own + R.SPARE], value_code),
            pointer(room + plan[own + R.STATES], value_code),
        )
        gradients = pointer(room + plan[own + R.RESULTS], value_code)
        block = pointer(room + plan[own + R.BLOCK], value_code)
        blocks, bins_y, bins_x = plan[own + R.BLOCKS], plan[own + R.BIN_ROWS], plan[own + R.BIN_COLUMNS]
        band, bands, together = plan[own + R.BAND], plan[own + R.BANDS], plan[own + R.TOGETHER]
        channels = plan[F.SIZES] if plan[F.OUTER] else 1
        channel, row, column = offset(plan, 0, 1), stride(plan, 0, 1), stride(plan, 0, 2)
        from_channel, width = offset(plan, 1, 1), size(plan, 0, 2)
        from_row, from_column = stride(plan, 1, 1), stride(plan, 1, 2)
        supers = (blocks + together - 1) // together
        for tile in range(begin, end):
            low = tile % bands * band
            high = min(low + band, size(plan, 0, 1))
            image, first = tile // bands // supers, tile // bands % supers * together * lanes
            many = min(together, blocks - tile // bands % supers * together)
            apart = (high - low) * width * BYTES
            for e in range(many * (high - low) * width):
                store(block, e * lanes, everywhere(block, zero))
            for number_in_order in range(firsts[image] * many, firsts[image + 1] * many):
                k, b = order[number_in_order // many], number_in_order % many
                c, head = first + b * lanes, k * R.HEAD
                if heads[head + R.FROM_Y] >= high or heads[head + R.TO_Y] <= low:
                    continue
                at_y, at_x, at_rows = heads[head + R.TAPS_Y], heads[head + R.TAPS_X], heads[head + R.ROWS_AT]
                s, count = k * (bins_y + bins_x + 2), min(lanes, channels - c)
                source = k * stride(plan, 1, 0) + c * from_channel
                take(g, source, from_channel, count, from_row, bins_y, from_column, bins_x, gradients, spare)
                divisor = number(max(heads[head + R.GRID_Y] * heads[head + R.GRID_X], 1))
                for e in range(bins_y * bins_x):
                    store(gradients, e * lanes, load(gradients, e * lanes) / divisor)
                i_low, i_high = 0, heads[head + R.DISTINCT]
                while i_low < i_high and rows[at_rows + i_low] < low:
                    i_low += 1
                while i_high > i_low and rows[at_rows + i_high - 1] >= high:
                    i_high -= 1
                down(gradients, bins_y, bins_x, places, weights, at_y, starts, s, i_low, i_high, states)
                for i in range(i_low, i_high):
                    to = b * apart + (rows[at_rows + i] - low) * width * BYTES
                    here = pointer(address(block) + to, value_code)
                    along(states, i, bins_x, places, weights, at_x, starts, s + bins_y + 1, here)
            to, left = image * stride(plan, 0, 0) + first * channel + low * row, channels - first
            put(dx, to, channel, left, many, row, high - low, column, width, block, spare)

    return spread
