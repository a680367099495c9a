"""A block of windows, tap by tap: its taps gathered into rows of scratch, and elements selected from these.

Row ``t`` of scratch has tap ``t`` of every window of the block, as keys (``order_keys.py``). Taps outside of the input
are in no row: a block has windows with the same taps.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import networks
from fastpool.kernels.cpu.family.order_keys import keys
from fastpool.kernels.cpu.memory import (
    SIZES,
    address,
    load_out,
    load_side,
    load_source,
    split_pairs,
    store_out,
    store_side,
)

BOTH, SMALLER = networks.BOTH, networks.SMALLER


@register_jitable
def flat(columns, step, width, lane):
    """A block as loops: times, step, elements, step, the last of them as long as it can be."""
    if width == 1:
        return 1, 0, columns, step
    if lane == 1 and (columns == 1 or step == width):
        return 1, 0, columns * width, 1
    return columns, step, width, lane


def make_gather(dtype: str):
    """Copies taps of every window to rows, as keys, and counts NaN: one tap, and two neighbours of windows a step of
    2 elements apart.
    """
    of, bad, _, floating, largest = _parts(dtype)
    itemsize = SIZES[dtype]
    vector = 64 // itemsize

    @register_jitable
    def settle(p, to, side, nan, count):
        """Keys in the place of bits."""
        if floating:
            for e in range(count):
                b = load_out(p, to + e)
                wrong = bad(b)
                store_out(p, to + e, largest if wrong else of(b))
                store_side(side, nan + e, load_side(side, nan + e) + wrong)

    @register_jitable
    def take(x, at, step, p, to, side, nan, count):
        if floating:
            for e in range(count):
                b = load_source(x, at + e * step)
                wrong = bad(b)
                store_out(p, to + e, largest if wrong else of(b))
                store_side(side, nan + e, load_side(side, nan + e) + wrong)
        else:
            for e in range(count):
                store_out(p, to + e, load_source(x, at + e * step))

    @register_jitable
    def gather(x, at, columns, step, width, lane, p, to, side, nan):
        times, far, count, near = flat(columns, step, width, lane)
        for i in range(times):
            # two loops, of which one is of neighbours
            if near == 1:
                take(x, at + i * far, 1, p, to + i * count, side, nan + i * count, count)
            else:
                take(x, at + i * far, near, p, to + i * count, side, nan + i * count, count)

    @register_jitable
    def gather_two(x, at, p, to, other, side, nan, count):
        """The taps at ``at`` and behind it; what lies behind the last window's tap is read by none."""
        many = (count - 1) // vector * vector
        there = (address(p) - address(x)) // itemsize
        split_pairs(x, at, there + to, there + other, many)
        for e in range(many, count):
            store_out(p, to + e, load_source(x, at + 2 * e))
        settle(p, to, side, nan, count)

    @register_jitable
    def gather_pair(x, at, p, to, other, side, nan, count):
        """Both taps."""
        there = (address(p) - address(x)) // itemsize
        split_pairs(x, at, there + to, there + other, count // vector * vector)
        if count >= vector:
            # the last vector once more, as far as it reaches back
            many = count - vector
            split_pairs(x, at + 2 * many, there + to + many, there + other + many, vector)
        else:
            for e in range(count):
                store_out(p, to + e, load_source(x, at + 2 * e))
                store_out(p, other + e, load_source(x, at + 2 * e + 1))
        settle(p, to, side, nan, count)
        settle(p, other, side, nan, count)

    return gather, gather_two, gather_pair


def _parts(dtype):
    known = keys(dtype)
    return known.of, known.bad, known.type, known.floating, known.type(known.largest)


@register_jitable
def exchange(plan, pairs, many, p, row, count):
    """The exchanges of a network, each of two rows."""
    for k in range(many):
        i, j = plan[pairs + 3 * k] * row, plan[pairs + 3 * k + 1] * row
        write = plan[pairs + 3 * k + 2]
        if write == BOTH:
            for e in range(count):
                a, b = load_out(p, i + e), load_out(p, j + e)
                store_out(p, i + e, a if a < b else b)
                store_out(p, j + e, b if a < b else a)
        elif write == SMALLER:
            for e in range(count):
                a, b = load_out(p, i + e), load_out(p, j + e)
                store_out(p, i + e, a if a < b else b)
        else:
            for e in range(count):
                a, b = load_out(p, i + e), load_out(p, j + e)
                store_out(p, j + e, b if a < b else a)


def make_gather_all(dtype: str):
    """Copies all taps of a block."""
    (gather, gather_two, gather_pair), floating = make_gather(dtype), keys(dtype).floating

    @register_jitable
    def gather_all(x, at, box, steps, block, p, row, spare, side, nan):
        """All taps of a block; how many NaN a window has at most."""
        planes, far, columns, step, width, lane = block
        size, to, worst = columns * width, 0, 0
        elements = planes * size
        pairs = width == 1 and step == 2 and steps[5] == 1
        if floating:
            for e in range(elements):
                store_side(side, nan + e, 0)
        for i in range(box[0], box[1]):
            for j in range(box[2], box[3]):
                line = at + i * steps[0] + j * steps[1]
                k = box[4]
                while k < box[5]:
                    tap = line + k * steps[2]
                    two = pairs and steps[2] == 1 and k + 1 < box[5]
                    for i_plane in range(planes):
                        place, e = tap + i_plane * far, i_plane * size
                        if two:
                            gather_pair(x, place, p, to + e, to + row + e, side, nan + e, size)
                        elif pairs:
                            gather_two(x, place, p, to + e, spare, side, nan + e, size)
                        else:
                            gather(x, place, columns, step, width, lane, p, to + e, side, nan + e)
                    taken = 2 if two else 1
                    to += taken * row
                    k += taken
        if floating:
            for e in range(elements):
                worst = max(worst, load_side(side, nan + e))
        return worst

    return gather_all


@register_jitable
def sort_one(p, e, row, taps):
    """Sorts the taps of window ``e`` of a block, by insertion."""
    for t in range(1, taps):
        key, i = load_out(p, t * row + e), t
        while i > 0 and load_out(p, (i - 1) * row + e) > key:
            store_out(p, i * row + e, load_out(p, (i - 1) * row + e))
            i -= 1
        store_out(p, i * row + e, key)


def make_search(dtype: str):
    """The functions that find the key of a rank bit by bit, and the one of the rank behind it."""
    known = keys(dtype)
    make, bits = known.type, known.bits
    smallest, largest = make(known.smallest), make(known.largest)

    @register_jitable
    def count_up_to(p, row, taps, limit, mask, side, counts, count):
        """How many taps are at most ``limit | mask``."""
        for e in range(count):
            store_side(side, counts + e, 0)
        many = taps // 4 * 4
        for t in range(0, many, 4):
            q = t * row
            for e in range(count):
                most = make(load_out(p, limit + e) | mask)
                found = (load_out(p, q + e) <= most) + (load_out(p, q + row + e) <= most)
                found += (load_out(p, q + 2 * row + e) <= most) + (load_out(p, q + 3 * row + e) <= most)
                store_side(side, counts + e, load_side(side, counts + e) + found)
        for t in range(many, taps):
            q = t * row
            for e in range(count):
                found = load_out(p, q + e) <= make(load_out(p, limit + e) | mask)
                store_side(side, counts + e, load_side(side, counts + e) + found)

    @register_jitable
    def search(p, row, taps, to, side, counts, ranks, count):
        """The smallest key that more than ``rank`` taps do not pass: to row ``to``; the ranks are in ``side``."""
        for e in range(count):
            store_out(p, to + e, smallest)
        for i in range(bits):
            bit = bits - 1 - i
            mask, flip = make((1 << bit) - 1), make(1 << bit)
            count_up_to(p, row, taps, to, mask, side, counts, count)
            for e in range(count):
                key = load_out(p, to + e)
                few = load_side(side, counts + e) <= load_side(side, ranks + e)
                store_out(p, to + e, make(key ^ flip) if few else key)

    @register_jitable
    def behind(p, row, taps, low, to, side, counts, ranks, count):
        """The key of the rank, which is that of row ``low`` or the next: to row ``to``."""
        count_up_to(p, row, taps, low, make(0), side, counts, count)
        for e in range(count):
            store_out(p, to + e, largest)
        for t in range(taps):
            q = t * row
            for e in range(count):
                key, known = load_out(p, q + e), load_out(p, to + e)
                above = key > load_out(p, low + e)
                store_out(p, to + e, key if above and key < known else known)
        for e in range(count):
            within = load_side(side, counts + e) > load_side(side, ranks + e)
            store_out(p, to + e, load_out(p, low + e) if within else load_out(p, to + e))

    return search, behind
