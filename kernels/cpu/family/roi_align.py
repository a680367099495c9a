"""RoI align: each bin of a region is the mean of its samples, or the largest of their weighted corners.

A sample interpolates between four elements by weights that are products, one along rows and one along columns. So each
row of a region is folded along the columns once, for all bins, and then the rows of each bin: sums of w x, left to
right, in both, and at the end one division by the number of samples. For "max" the same with max(w x), which up to
rounding is the largest of all products; for "where" it is found which element that was: its place in the plane, and its
weight. Of equal products the first is taken, rows before columns.

Arrays of the frame: x, y. ``bufs``: x, y (for "where": places, as int64, and weights, both of y's shape), groups, the
order of regions, and the tables of ``roi_table``: heads, starts, flags, places, weights, rows. A tile is some blocks of
channels of one group; their image is brought to scratch first, whole or row by row.
"""

from __future__ import annotations

import math

from fastpool.kernels import frame as F
from fastpool.kernels import regions as R
from fastpool.kernels.cpu.family.access import VALUES, codes, value_type
from fastpool.kernels.cpu.family.blocks import make_blocks, make_canonical, make_neighbours
from fastpool.kernels.cpu.memory import address, pointer
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import BYTES, everywhere, load, store
from fastpool.kernels.frame import offset, stride
from fastpool.kernels.reductions import pick


def make_folds(mode: str, value: str):
    """``(along, across)``: a row of the region folded along its columns, and a bin's rows folded.

    ``along(row, left, places, weights, at, starts, s, bins, states, to)`` writes a state for each bin of columns;
    ``across(states, bins, bin, places, weights, first, end)`` gives the vector of one bin, for "avg" the sum.
    """
    lanes = make_blocks(value).lanes
    number = value_type(value)
    none = number(0) if mode == "avg" else number(-math.inf)
    adds = mode == "avg"

    def more(acc, term):
        if adds:
            return acc + term
        return pick((term > acc) | (term != term), term, acc)

    inlined(more, True)

    def along(row, left, places, weights, at, starts, s, bins, states, to):
        for p in range(bins):
            acc = everywhere(row, none)
            for e in range(at + starts[s + p], at + starts[s + p + 1]):
                acc = more(acc, load(row, (places[e] - left) * lanes) * weights[e])
            store(states, (to + p) * lanes, acc)

    def across(states, bins, p, places, weights, first, end):
        acc = everywhere(states, none)
        for e in range(first, end):
            acc = more(acc, load(states, (places[e] * bins + p) * lanes) * weights[e])
        return acc

    return inlined(along), inlined(across, True)


def make(digest, mode, dtype):
    """The kernel for one mode and elements of one type."""
    if mode == "where":
        from fastpool.kernels.cpu.family.roi_where import make_where

        return make_where(digest, dtype)
    code, value = codes(dtype), VALUES.get(dtype, dtype)
    value_code, short, long, byte = codes(value), codes("i32"), codes("i64"), codes("u8")
    parts = make_blocks(dtype)
    take, give, expect, lanes = parts
    bring = make_neighbours(parts).take
    canonical = make_canonical(value)
    along, across = make_folds(mode, value)
    number = value_type(value)
    zero, one = number(0), number(1)
    means = mode == "avg"

    def align(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        groups, order, heads = pointer(bufs[3], long), pointer(bufs[4], long), pointer(bufs[5], long)
        starts, flags = pointer(bufs[6], short), pointer(bufs[7], byte)
        places, weights, rows = pointer(bufs[8], short), pointer(bufs[9], value_code), pointer(bufs[10], short)
        own, room = plan[F.OWN], address(work)
        spare, states = (
            pointer(room + plan[own + R.SPARE], value_code),
            pointer(room + plan[own + R.STATES], value_code),
        )
        results, block = (
            pointer(room + plan[own + R.RESULTS], value_code),
            pointer(room + plan[own + R.BLOCK], value_code),
        )
        blocks, bins_y, bins_x = plan[own + R.BLOCKS], plan[own + R.BIN_ROWS], plan[own + R.BIN_COLUMNS]
        streamed, together = plan[own + R.STREAMED], plan[own + R.TOGETHER]
        channels = plan[F.SIZES] if plan[F.OUTER] else 1
        channel, to_channel = offset(plan, 0, 1), offset(plan, 1, 1)
        row, column = stride(plan, 0, 1), stride(plan, 0, 2)
        to_row, to_column = stride(plan, 1, 1), stride(plan, 1, 2)
        supers = (blocks + together - 1) // together
        for tile in range(begin, end):
            group, first = tile // supers * R.GROUP, tile % supers * together * lanes
            many = min(together, blocks - tile % supers * together)
            top, left, columns = groups[group + R.TOP], groups[group + R.LEFT], groups[group + R.COLUMNS]
            source, all_rows = groups[group + R.IMAGE] * stride(plan, 0, 0) + left * column, groups[group + R.ROWS]
            apart = 0 if streamed else all_rows * columns * BYTES
            if not streamed and columns > 0:
                at, rest = source + top * row + first * channel, channels - first
                bring(x, at, channel, rest, many, row, all_rows, column, columns, block, spare)
            for number_in_order in range(groups[group + R.FIRST] * many, groups[group + R.PAST] * many):
                k, b = order[number_in_order // many], number_in_order % many
                c = first + b * lanes
                count, head = min(lanes, channels - c), k * R.HEAD
                at_y, at_x, at_rows = heads[head + R.TAPS_Y], heads[head + R.TAPS_X], heads[head + R.ROWS_AT]
                s, f = k * (bins_y + bins_x + 2), k * (bins_y + bins_x)
                to = k * stride(plan, 1, 0) + c * to_channel
                expect(y, to, to_channel, count, to_row, bins_y, to_column, bins_x)
                for i in range(heads[head + R.DISTINCT]):
                    r, base = rows[at_rows + i], 0
                    if not streamed:
                        base = b * apart + (r - top) * columns * BYTES
                    elif columns > 0:
                        take(x, source + c * channel + r * row, channel, count, 0, 1, column, columns, block, spare)
                    here = pointer(address(block) + base, value_code)
                    along(here, left, places, weights, at_x, starts, s + bins_y + 1, bins_x, states, i * bins_x)
                samples = heads[head + R.GRID_Y] * heads[head + R.GRID_X]
                divisor = number(max(samples, 1))
                factor = one / divisor
                # a power of two divides by its reciprocal without another rounding
                exact = samples & (samples - 1) == 0
                for o in range(bins_y):
                    e, past = at_y + starts[s + o], at_y + starts[s + o + 1]
                    for p in range(bins_x):
                        found = across(states, bins_x, p, places, weights, e, past)
                        if means:
                            if exact:
                                found = found * factor
                            else:
                                found = found / divisor
                        else:
                            a = s + bins_y + 1 + p
                            if e == past or starts[a] == starts[a + 1]:
                                found = everywhere(results, zero)
                            elif flags[f + o] or flags[f + bins_y + p]:
                                found = pick(found < zero, everywhere(results, zero), found)
                        store(results, (o * bins_x + p) * lanes, canonical(found))
                give(y, to, to_channel, count, to_row, bins_y, to_column, bins_x, results, spare)

    return align
