"""RoI align of the largest weighted corner: which element it is, for the gradient. See ``roi_align``.

Writes, instead of y, the element's place in its plane as int64, -1 where a sample of weight 0 is the largest or there
is none, and its weight.
"""

from __future__ import annotations

import math

from fastpool.kernels import frame as F
from fastpool.kernels import regions as R
from fastpool.kernels.cpu.family.access import VALUES, codes, value_type
from fastpool.kernels.cpu.family.blocks import make_blocks
from fastpool.kernels.cpu.family.places import INTEGERS, make_give_places
from fastpool.kernels.cpu.memory import address, pointer
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import everywhere, integers, load, store, store_as
from fastpool.kernels.frame import offset, size, stride
from fastpool.kernels.reductions import pick


def make_along(value: str):
    """``along(row, left, places, weights, at, starts, s, bins, states, numbers, second, to)``: a row, folded.

    A state is the largest product, the column and the weight of it: in ``states``, ``numbers`` and, from ``second``
    on, in ``states`` again.
    """
    lanes = make_blocks(value).lanes
    number = value_type(value)
    lowest, zero = number(-math.inf), number(0)

    def along(row, left, places, weights, at, starts, s, bins, states, numbers, second, to):
        for p in range(bins):
            first, past = at + starts[s + p], at + starts[s + p + 1]
            found, weight = everywhere(row, lowest), everywhere(row, zero)
            where = integers(found, -1)
            for e in range(first, past):
                term = load(row, (places[e] - left) * lanes) * weights[e]
                larger = (term > found) | (term != term) | (where < 0)
                found = pick(larger, term, found)
                weight = pick(larger, everywhere(row, weights[e]), weight)
                where = pick(larger, integers(found, places[e]), where)
            store(states, (to + p) * lanes, found)
            store(states, (second + to + p) * lanes, weight)
            store_as(numbers, (to + p) * lanes, where)

    return inlined(along)


def make_where(digest, dtype):
    """The kernel for elements of one type."""
    code, value = codes(dtype), VALUES.get(dtype, dtype)
    value_code, short, long, byte = codes(value), codes("i32"), codes("i64"), codes("u8")
    number_code = codes(INTEGERS[value])
    take, _, _, lanes = make_blocks(dtype)
    _, give, _, _ = make_blocks(value)
    along, give_places = make_along(value), make_give_places(value)
    number = value_type(value)
    zero, lowest = number(0), number(-math.inf)

    def where(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y, shares = pointer(bufs[0], code), pointer(bufs[1], long), pointer(bufs[2], value_code)
        groups, order, heads = pointer(bufs[3], long), pointer(bufs[4], long), pointer(bufs[5], long)
        starts, flags = pointer(bufs[6], short), pointer(bufs[7], byte)
        places, weights, rows = pointer(bufs[8], short), pointer(bufs[9], value_code), pointer(bufs[10], short)
        own, room = plan[F.OWN], address(work)
        spare, states = (
            pointer(room + plan[own + R.SPARE], value_code),
            pointer(room + plan[own + R.STATES], value_code),
        )
        results, block = (
            pointer(room + plan[own + R.RESULTS], number_code),
            pointer(room + plan[own + R.BLOCK], value_code),
        )
        seconds = pointer(room + plan[own + R.SECOND_RESULTS], value_code)
        numbers = pointer(room + plan[own + R.STATES], number_code)
        blocks, bins_y, bins_x = plan[own + R.BLOCKS], plan[own + R.BIN_ROWS], plan[own + R.BIN_COLUMNS]
        streamed = plan[own + R.STREAMED]
        channels = plan[F.SIZES] if plan[F.OUTER] else 1
        channel, row, column, width = offset(plan, 0, 1), stride(plan, 0, 1), stride(plan, 0, 2), size(plan, 0, 2)
        for tile in range(begin, end):
            group, first = tile // blocks * R.GROUP, tile % blocks * lanes
            count = min(lanes, channels - first)
            top, left, columns = groups[group + R.TOP], groups[group + R.LEFT], groups[group + R.COLUMNS]
            source = groups[group + R.IMAGE] * stride(plan, 0, 0) + first * channel + left * column
            if not streamed and columns > 0:
                at = source + top * row
                take(x, at, channel, count, row, groups[group + R.ROWS], column, columns, block, spare)
            for number_in_order in range(groups[group + R.FIRST], groups[group + R.PAST]):
                k = order[number_in_order]
                head = k * R.HEAD
                at_y, at_x, at_rows = heads[head + R.TAPS_Y], heads[head + R.TAPS_X], heads[head + R.ROWS_AT]
                s, f = k * (bins_y + bins_x + 2), k * (bins_y + bins_x)
                many = heads[head + R.DISTINCT] * bins_x
                numbers_at = 2 * many * lanes
                kept = pointer(address(numbers) + numbers_at * (64 // lanes), number_code)
                for i in range(heads[head + R.DISTINCT]):
                    r, base = rows[at_rows + i], 0
                    if streamed:
                        if columns > 0:
                            take(x, source + r * row, channel, count, 0, 1, column, columns, block, spare)
                    else:
                        base = (r - top) * columns * lanes
                    here = pointer(address(block) + base * (64 // lanes), value_code)
                    s_x = s + bins_y + 1
                    along(here, left, places, weights, at_x, starts, s_x, bins_x, states, kept, many, i * bins_x)
                for o in range(bins_y):
                    e_first, past = at_y + starts[s + o], at_y + starts[s + o + 1]
                    for p in range(bins_x):
                        c = s + bins_y + 1 + p
                        found, weight = everywhere(states, lowest), everywhere(states, zero)
                        chosen = integers(found, -1)
                        if starts[c] < starts[c + 1]:
                            for e in range(e_first, past):
                                state = (places[e] * bins_x + p) * lanes
                                term = load(states, state) * weights[e]
                                larger = (term > found) | (term != term) | (chosen < 0)
                                share = load(states, many * lanes + state) * weights[e]
                                place = load(kept, state) + integers(found, rows[at_rows + places[e]] * width)
                                found = pick(larger, term, found)
                                weight = pick(larger, share, weight)
                                chosen = pick(larger, place, chosen)
                            if flags[f + o] or flags[f + bins_y + p]:
                                beaten = found < zero
                                weight = pick(beaten, everywhere(states, zero), weight)
                                chosen = pick(beaten, integers(found, -1), chosen)
                        store(seconds, (o * bins_x + p) * lanes, weight)
                        store_as(results, (o * bins_x + p) * lanes, chosen)
                to = k * stride(plan, 2, 0) + first * offset(plan, 2, 1)
                to_row, to_column = stride(plan, 2, 1), stride(plan, 2, 2)
                give(shares, to, offset(plan, 2, 1), count, to_row, bins_y, to_column, bins_x, seconds, spare)
                to = k * stride(plan, 1, 0) + first * offset(plan, 1, 1)
                to_row, to_column = stride(plan, 1, 1), stride(plan, 1, 2)
                channel_step = offset(plan, 1, 1)
                give_places(y, to, channel_step, count, to_row, bins_y, to_column, bins_x, results, 0, 0, 1)

    return where
