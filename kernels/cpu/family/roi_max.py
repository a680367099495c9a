"""RoI pooling: the largest element of each bin of a region, and where it is.

Words: "max", or "index" where indices are written, too; the elements' type. Of equal elements the first counts, rows
before columns, of several NaN the last; a bin without elements gives 0 and -1.

Arrays of the frame: x, y, indices. ``bufs``: the same (indices or None), groups, the order of regions, and for each
region the first and past rows of its bins, then the first and past columns. A tile is some blocks of channels of
one group; its image is brought to scratch first, whole or row by row.
"""

from __future__ import annotations

import math

from fastpool.kernels import frame as F
from fastpool.kernels import regions as R
from fastpool.kernels.cpu.family.access import VALUES, codes, value_type
from fastpool.kernels.cpu.family.blocks import make_blocks, make_canonical, make_neighbours
from fastpool.kernels.cpu.family.places import INTEGERS, make_give_places
from fastpool.kernels.cpu.memory import address, pointer
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import BYTES, any_of, everywhere, integers, load, marked, none, store, store_as
from fastpool.kernels.frame import offset, size, stride
from fastpool.kernels.reductions import pick


def make_fold(value: str, indexed: bool, careful: bool):
    """``fold(block, at, row, rows, columns, place, width, results, numbers, to, fresh)``: elements into a result.

    Element (r, c) is at ``at + r * row + c`` in the block, and at ``place + r * width + c`` in the plane. The result is
    begun where ``fresh``; ``careful`` folds NaN, too.
    """
    lanes = make_blocks(value).lanes
    lowest = value_type(value)(-math.inf)

    def beats(v, found):
        if careful:
            return (v > found) | (v != v)
        return v > found

    inlined(beats, True)
    if indexed:

        def fold(block, at, row, rows, columns, place, width, results, numbers, to, fresh):
            found = everywhere(block, lowest)
            where = integers(found, place)
            if not fresh:
                found, where = load(results, to), load(numbers, to)
            for r in range(rows):
                for c in range(columns):
                    v = load(block, (at + r * row + c) * lanes)
                    better = beats(v, found)
                    found = pick(better, v, found)
                    where = pick(better, integers(found, place + r * width + c), where)
            store(results, to, found)
            store_as(numbers, to, where)

    else:

        def fold(block, at, row, rows, columns, place, width, results, numbers, to, fresh):
            found = everywhere(block, lowest)
            if not fresh:
                found = load(results, to)
            for r in range(rows):
                for c in range(columns):
                    v = load(block, (at + r * row + c) * lanes)
                    found = pick(beats(v, found), v, found)
            store(results, to, found)

    return inlined(fold)


def make_any_nan(value: str):
    """``any_nan(block, many)``: whether one of so many vectors has a NaN."""
    lanes = make_blocks(value).lanes

    def any_nan(block, many):
        seen = none(load(block, 0))
        for e in range(many):
            v = load(block, e * lanes)
            seen = seen | marked(v, v != v)
        return any_of(seen)

    return inlined(any_nan)


def make(digest, role, dtype):
    """The kernel for one role and elements of one type."""
    code, value = codes(dtype), VALUES.get(dtype, dtype)
    value_code, long, number_code = codes(value), codes("i64"), codes(INTEGERS[value])
    parts = make_blocks(dtype)
    take, give, expect, lanes = parts
    bring = make_neighbours(parts).take
    indexed = role == "index"
    fold, quick = make_fold(value, indexed, True), make_fold(value, indexed, False)
    canonical, any_nan, give_places = make_canonical(value), make_any_nan(value), make_give_places(value)
    zero = value_type(value)(0)

    def largest(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], long)
        groups, order, bins = pointer(bufs[3], long), pointer(bufs[4], long), pointer(bufs[5], long)
        own, room = plan[F.OWN], address(work)
        spare, block = pointer(room + plan[own + R.SPARE], value_code), pointer(room + plan[own + R.BLOCK], value_code)
        results = pointer(room + plan[own + R.RESULTS], value_code)
        numbers = pointer(room + plan[own + R.SECOND_RESULTS], number_code)
        blocks, bins_y, bins_x = plan[own + R.BLOCKS], plan[own + R.BIN_ROWS], plan[own + R.BIN_COLUMNS]
        streamed, together = plan[own + R.STREAMED], plan[own + R.TOGETHER]
        channels = plan[F.SIZES] if plan[F.OUTER] else 1
        channel, to_channel = offset(plan, 0, 1), offset(plan, 1, 1)
        row, column, width = stride(plan, 0, 1), stride(plan, 0, 2), size(plan, 0, 2)
        to_row, to_column = stride(plan, 1, 1), stride(plan, 1, 2)
        i_row, i_column, i_channel = 0, 0, 0
        if indexed:
            i_row, i_column, i_channel = stride(plan, 2, 1), stride(plan, 2, 2), offset(plan, 2, 1)
        supers = (blocks + together - 1) // together
        for tile in range(begin, end):
            group, first = tile // supers * R.GROUP, tile % supers * together * lanes
            many = min(together, blocks - tile % supers * together)
            top, left, columns = groups[group + R.TOP], groups[group + R.LEFT], groups[group + R.COLUMNS]
            image, all_rows = groups[group + R.IMAGE], groups[group + R.ROWS]
            source = image * stride(plan, 0, 0) + first * channel + left * column
            nans, apart = False, 0
            if not streamed and all_rows > 0 and columns > 0:
                at, rest = source + top * row, channels - first
                bring(x, at, channel, rest, many, row, all_rows, column, columns, block, spare)
                nans, apart = any_nan(block, many * all_rows * columns), all_rows * columns * BYTES
            for number in range(groups[group + R.FIRST] * many, groups[group + R.PAST] * many):
                k, b = order[number // many], number % many
                c = first + b * lanes
                count, here = min(lanes, channels - c), pointer(address(block) + b * apart, value_code)
                b_y = k * 2 * (bins_y + bins_x)
                b_x = b_y + 2 * bins_y
                to_y = k * stride(plan, 1, 0) + c * to_channel
                expect(y, to_y, to_channel, count, to_row, bins_y, to_column, bins_x)
                to_i = k * stride(plan, 2, 0) + c * i_channel if indexed else 0
                if indexed:
                    expect(indices, to_i, i_channel, count, i_row, bins_y, i_column, bins_x)
                for o in range(bins_y):
                    from_row, past_row = bins[b_y + o], bins[b_y + bins_y + o]
                    rows = past_row - from_row if not streamed else min(1, past_row - from_row)
                    for r in range(from_row, past_row if streamed else min(from_row + 1, past_row)):
                        at = (r - top) * columns
                        if streamed:
                            at = 0
                            if columns > 0:
                                from_x = source + b * lanes * channel + r * row
                                take(x, from_x, channel, count, 0, 1, column, columns, here, spare)
                        for p in range(bins_x):
                            from_column, past_column = bins[b_x + p], bins[b_x + bins_x + p]
                            wide, to = past_column - from_column, (o * bins_x + p) * lanes
                            if wide > 0:
                                a, place, fresh = at + from_column - left, r * width + from_column, r == from_row
                                if streamed or nans:
                                    fold(here, a, columns, rows, wide, place, width, results, numbers, to, fresh)
                                else:
                                    quick(here, a, columns, rows, wide, place, width, results, numbers, to, fresh)
                    for p in range(bins_x):
                        to = (o * bins_x + p) * lanes
                        if past_row <= from_row or bins[b_x + bins_x + p] <= bins[b_x + p]:
                            store(results, to, everywhere(results, zero))
                            if indexed:
                                store_as(numbers, to, integers(load(results, to), -1))
                        else:
                            store(results, to, canonical(load(results, to)))
                give(y, to_y, to_channel, count, to_row, bins_y, to_column, bins_x, results, spare)
                if indexed:
                    more, step = plan[own + R.INDEX_CHANNEL], plan[own + R.INDEX_STEP]
                    base = image * plan[own + R.INDEX_IMAGE] + c * more
                    give_places(
                        indices, to_i, i_channel, count, i_row, bins_y, i_column, bins_x, numbers, base, more, step
                    )

    return largest
