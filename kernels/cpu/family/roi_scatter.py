"""Gradients of regions that select: each goes to the element with the index that the forward found.

Words: "plain", or "weighed" where each gradient is first multiplied by a weight; the elements' type. An element's
gradient is the sum over regions in the order of their numbers, and within one over bins, rows first.

Arrays of the frame: dx, g, indices, weights if there are any. ``bufs``: the same (weights or None), the order of
regions, where those of each image begin, and the first and past row that each region has elements in. A tile is a band
of rows of some blocks of channels of one image: it writes all of it. With the word "check" nothing but ``bufs[4]`` is
written, a byte for each region: 1 where an index is neither -1 nor in the region's rows, of its image and channel.
"""

from __future__ import annotations

from fastpool.kernels import frame as F
from fastpool.kernels import regions as R
from fastpool.kernels.cpu.family.access import VALUES, codes, reader, value_type
from fastpool.kernels.cpu.family.blocks import make_blocks, make_neighbours
from fastpool.kernels.cpu.memory import address, pointer
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import everywhere, prefetch, store
from fastpool.kernels.frame import offset, size, stride

AHEAD = 4
"""Bins by which memory is asked for before it is read, where a bin's channels lie together."""
NEAR = 8
"""Indices in a cache line."""


def make_check(digest):
    """The kernel that checks indices. Arrays of the frame: dx, indices; ``bufs``: images, indices, ranges, faults."""
    long, byte = codes("i64"), codes("u8")

    def check(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        images, indices = pointer(bufs[0], long), pointer(bufs[1], long)
        ranges, faults = pointer(bufs[2], long), pointer(bufs[3], byte)
        own = plan[F.OWN]
        bins_y, bins_x, step = plan[own + R.BIN_ROWS], plan[own + R.BIN_COLUMNS], plan[own + R.INDEX_STEP]
        channels = plan[F.SIZES] if plan[F.OUTER] else 1
        column, width = stride(plan, 1, 2), size(plan, 0, 2)
        for k in range(begin, end):
            low, high = ranges[2 * k] * width * step, ranges[2 * k + 1] * width * step
            wrong = 0
            for c in range(channels):
                base = images[k] * plan[own + R.INDEX_IMAGE] + c * plan[own + R.INDEX_CHANNEL]
                for o in range(bins_y):
                    at = k * stride(plan, 1, 0) + offset(plan, 1, c) + o * stride(plan, 1, 1)
                    for p in range(bins_x):
                        index = indices[at + p * column]
                        place = index - base
                        wrong |= (index != -1) & ((index < 0) | (place < low) | (place >= high))
                        if step != 1:
                            wrong |= (index != -1) & (place % step != 0)
            faults[k] = wrong

    return check


def make(digest, role, dtype):
    """The kernel for one role and elements of one type."""
    if role == "check":
        return make_check(digest)
    code, value = codes(dtype), VALUES.get(dtype, dtype)
    value_code, long = codes(value), codes("i64")
    parts = make_blocks(dtype)
    lanes, put = parts.lanes, make_neighbours(parts).give
    read = inlined(reader(dtype))
    zero = value_type(value)(0)
    weighed = role == "weighed"

    def add(block, c, many, index, base, step, g, e, weights, w):
        place = index - base
        if step != 1:
            place = place // step
        if index >= 0 and 0 <= place < many:
            share = read(g[e])
            if weighed:
                share = share * weights[w]
            block[(c // lanes * many + place) * lanes + c % lanes] += share

    inlined(add, True)

    def scatter(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        dx, g, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], long)
        weights = pointer(bufs[3], value_code)
        order, firsts, ranges = pointer(bufs[4], long), pointer(bufs[5], long), pointer(bufs[6], long)
        own, room = plan[F.OWN], address(work)
        spare, block = pointer(room + plan[own + R.SPARE], value_code), pointer(room + plan[own + R.BLOCK], value_code)
        blocks, bins_y, bins_x = plan[own + R.BLOCKS], plan[own + R.BIN_ROWS], plan[own + R.BIN_COLUMNS]
        band, bands, together = plan[own + R.BAND], plan[own + R.BANDS], plan[own + R.TOGETHER]
        step, channel_step = plan[own + R.INDEX_STEP], plan[own + R.INDEX_CHANNEL]
        channels = plan[F.SIZES] if plan[F.OUTER] else 1
        channel, row, column, width = offset(plan, 0, 1), stride(plan, 0, 1), stride(plan, 0, 2), size(plan, 0, 2)
        g_channel, i_channel = offset(plan, 1, 1), offset(plan, 2, 1)
        g_row, g_column, i_row, i_column = (
            stride(plan, 1, 1),
            stride(plan, 1, 2),
            stride(plan, 2, 1),
            stride(plan, 2, 2),
        )
        w_channel, w_row, w_column, from_w = 0, 0, 0, 0
        if weighed:
            w_channel, w_row, w_column = offset(plan, 3, 1), stride(plan, 3, 1), stride(plan, 3, 2)
        supers = (blocks + together - 1) // together
        for tile in range(begin, end):
            low = tile % bands * band
            high = min(low + band, size(plan, 0, 1))
            image, first = tile // bands // supers, tile // bands % supers * together * lanes
            many = min(together, blocks - tile // bands % supers * together)
            count, room_of_one = min(many * lanes, channels - first), (high - low) * width
            for e in range(many * room_of_one):
                store(block, e * lanes, everywhere(block, zero))
            base = image * plan[own + R.INDEX_IMAGE] + first * channel_step + low * width * step
            for number_in_order in range(firsts[image], firsts[image + 1]):
                k = order[number_in_order]
                if ranges[2 * k] >= high or ranges[2 * k + 1] <= low:
                    continue
                from_g = k * stride(plan, 1, 0) + first * g_channel
                from_i = k * stride(plan, 2, 0) + first * i_channel
                if weighed:
                    from_w = k * stride(plan, 3, 0) + first * w_channel
                # memory in its own order: elements of different channels never meet
                if i_channel == 1:
                    for o in range(bins_y):
                        for p in range(bins_x):
                            i, e = from_i + o * i_row + p * i_column, from_g + o * g_row + p * g_column
                            w = from_w + o * w_row + p * w_column
                            for c in range(0, count, NEAR):
                                prefetch(indices, i + AHEAD * i_column + c)
                                prefetch(g, e + AHEAD * g_column + c)
                            for c in range(count):
                                add(
                                    block,
                                    c,
                                    room_of_one,
                                    indices[i + c],
                                    base + c * channel_step,
                                    step,
                                    g,
                                    e + c * g_channel,
                                    weights,
                                    w + c * w_channel,
                                )
                else:
                    for c in range(count):
                        for o in range(bins_y):
                            i, e = from_i + c * i_channel + o * i_row, from_g + c * g_channel + o * g_row
                            w = from_w + c * w_channel + o * w_row
                            for p in range(bins_x):
                                add(
                                    block,
                                    c,
                                    room_of_one,
                                    indices[i + p * i_column],
                                    base + c * channel_step,
                                    step,
                                    g,
                                    e + p * g_column,
                                    weights,
                                    w + p * w_column,
                                )
            to, left = image * stride(plan, 0, 0) + first * channel + low * row, channels - first
            put(dx, to, channel, left, many, row, high - low, column, width, block, spare)

    return scatter
