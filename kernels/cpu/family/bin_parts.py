"""What kernels of bins share: where bins are written down, and rows that are combined in binary blocks.

A *bin* is a range ``begin .. end - 1`` along an axis; along each of the three spatial axes there is a list of them, and
an output is the reduction of a box, one bin of each axis. Bins may overlap and may be empty; along an axis neither
begins nor ends ever step back. The lists are a table of int64, one for all planes or one for each::

    begins and ends along the first axis | of the second | of the third      each as many as outputs along that axis

The numbers of these programs are in ``kernels/bin_plan.py``. States in scratch are read and written by one tag, as
outputs, because what one loop writes there the next one reads.
"""

from __future__ import annotations

import math

from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels import reductions as R
from fastpool.kernels.bin_plan import PITCH
from fastpool.kernels.cpu.family.access import VALUES, reader
from fastpool.kernels.cpu.memory import SIZES, load_out, load_side, load_source, store_out, store_source
from fastpool.kernels.cpu.vectors import prefetch
from fastpool.kernels.frame import size

EXACT = 1 << 24
"""Integers below it are numbers of float32."""

LONG = 256
"""Of rows longer than this the beginnings are asked for ahead."""
ASKED = 4
"""Cache lines that are asked for of a row."""


@register_jitable
def lists(plan, number, array):
    """Where in the table the begins along each axis are, for the plane of that number; as many ends follow them.
    ``array`` of the frame has an element for each bin.
    """
    at, first, second = plan[plan[F.OWN] + PITCH] * number, size(plan, array, 0), size(plan, array, 1)
    return at, at + 2 * first, at + 2 * (first + second)


@register_jitable
def bin_of(table, at, many, o):
    """(where bin ``o`` of ``many`` begins, how many elements it has); ``at`` is where in the table their begins are."""
    begin = load_side(table, at + o)
    return begin, load_side(table, at + many + o) - begin


@register_jitable
def share(tile, many, each):
    """(the tile's number among the tiles of other parts, its first and one past its last of ``many``)."""
    parts = (many + each - 1) // each
    part = tile % parts
    return tile // parts, part * each, min(many, part * each + each)


def larger_present(a, b):
    """The larger of two, NaN counting for nothing: it comes out of two NaN alone."""
    return R.pick((a > b) | (b != b), a, b)


COMBINE = {"max": R.larger, "maxnum": larger_present, "mean": R.add, "sum": R.add}
"""How two neighbouring blocks of taps are combined, by reduction."""

for _function in (R.pick, *COMBINE.values()):
    register_jitable(_function)


def make_merge(combine):
    """``merge(s, a, b, count)``: of rows of states in scratch, the first becomes itself combined with the second."""

    @register_jitable
    def merge(s, a, b, count):
        for e in range(count):
            store_out(s, a + e, combine(load_out(s, a + e), load_out(s, b + e)))

    return merge


def make_settle(combine):
    """``settle(s, to, slot, depth, n, count)``: item ``n`` has been put on the stack of ``depth`` rows; gives its
    depth when blocks of equal size are combined. ``close(s, to, slot, depth, count)``: all rows into the first.
    """
    merge = make_merge(combine)

    @register_jitable
    def settle(s, to, slot, depth, n, count):
        while n & 1:
            merge(s, to + (depth - 2) * slot, to + (depth - 1) * slot, count)
            depth -= 1
            n >>= 1
        return depth

    @register_jitable
    def close(s, to, slot, depth, count):
        for row in range(1, depth):
            merge(s, to, to + row * slot, count)

    return settle, close


def make_source():
    """``source(x, rows, at, stride, step, fine, lanes, many, count, slot)``: pointer, place and stride of rows of
    ``count`` elements side by side: the array's own where they are, else those of ``rows``, where they are packed.
    ``step`` leads from one element along the row to the next, ``fine`` from one of its ``lanes`` to the next.
    """

    @register_jitable
    def source(x, rows, at, stride, step, fine, lanes, many, count, slot):
        if (step == lanes) & ((fine == 1) | (lanes == 1)):
            return x, at, stride
        for row in range(many):
            for e in range(count // lanes):
                for lane in range(lanes):
                    element = load_source(x, at + row * stride + e * step + lane * fine)
                    store_source(rows, row * slot + e * lanes + lane, element)
        return rows, 0, slot

    return source


def make_column(dtype, combine):
    """``column(x, rows, at, kd, kh, sd, sh, step, fine, lanes, count, s, to, slot, ahead)``: rows of ``count`` taps,
    ``kd x kh`` of them, combined along the first axis, then the second, each in binary blocks, into the row of states
    at ``to``. ``step``, ``fine`` and ``lanes`` are as in ``make_source``. ``ahead`` is how far on the column lies that
    is read next, or 0.
    """
    line = 64 // SIZES[dtype]
    decode = reader(dtype)
    source = make_source()
    settle, close = make_settle(combine)

    @register_jitable
    def tap(x, i):
        return decode(load_source(x, i))

    @register_jitable
    def two(x, i, c):
        return combine(tap(x, i), tap(x, i + c))

    @register_jitable
    def four(x, i, c):
        return combine(two(x, i, c), two(x, i + 2 * c, c))

    @register_jitable
    def add(x, i, c, many, count, s, to):
        # many is 4, 2 or 1
        if many == 4:
            for e in range(count):
                store_out(s, to + e, combine(load_out(s, to + e), four(x, i + e, c)))
        elif many == 2:
            for e in range(count):
                store_out(s, to + e, combine(load_out(s, to + e), two(x, i + e, c)))
        else:
            for e in range(count):
                store_out(s, to + e, combine(load_out(s, to + e), tap(x, i + e)))

    @register_jitable
    def ask(x, at, stride, many):
        """Ask for the beginnings of rows: once a row is begun, the hardware asks for the rest of it."""
        for row in range(many):
            for i in range(ASKED):
                prefetch(x, at + row * stride + i * line)

    @register_jitable
    def fold(x, rows, at, stride, step, fine, lanes, k, count, s, to, slot, ahead):
        depth = 0
        for n in range(k >> 3):
            if count > LONG:
                many = min(8, k - 8 * n - 8)
                if many > 0:
                    ask(x, at + 8 * (n + 1) * stride, stride, many)
                elif ahead:
                    ask(x, at + ahead, stride, 8)
            p, i, c = source(x, rows, at + 8 * n * stride, stride, step, fine, lanes, 8, count, slot)
            o = to + depth * slot
            for e in range(count):
                store_out(s, o + e, combine(four(p, i + e, c), four(p, i + e + 4 * c, c)))
            depth = settle(s, to, slot, depth + 1, n, count)
        close(s, to, slot, depth, count)
        rest = k & 7
        if rest == 0:
            return
        if (ahead != 0) & (count > LONG):
            ask(x, at + ahead, stride, min(8, k))
        p, i, c = source(x, rows, at + (k - rest) * stride, stride, step, fine, lanes, rest, count, slot)
        if depth == 0:
            if rest >= 4:
                for e in range(count):
                    store_out(s, to + e, four(p, i + e, c))
                i += 4 * c
                rest -= 4
            elif rest == 3:
                for e in range(count):
                    store_out(s, to + e, combine(two(p, i + e, c), tap(p, i + e + 2 * c)))
                rest = 0
            elif rest == 2:
                for e in range(count):
                    store_out(s, to + e, two(p, i + e, c))
                rest = 0
            else:
                for e in range(count):
                    store_out(s, to + e, tap(p, i + e))
                rest = 0
        for many in (4, 2, 1):
            if rest >= many:
                add(p, i, c, many, count, s, to)
                i += many * c
                rest -= many

    @register_jitable
    def column(x, rows, at, kd, kh, sd, sh, step, fine, lanes, count, s, to, slot, ahead):
        if kd == 1:
            fold(x, rows, at, sh, step, fine, lanes, kh, count, s, to, slot, ahead)
        elif kh == 1:
            fold(x, rows, at, sd, step, fine, lanes, kd, count, s, to, slot, ahead)
        else:
            depth = 0
            for h in range(kh):
                fold(x, rows, at + h * sh, sd, step, fine, lanes, kd, count, s, to + depth * slot, slot, 0)
                depth = settle(s, to, slot, depth + 1, h, count)
            close(s, to, slot, depth, count)

    return column


def make_box(dtype, combine, high):
    """``box(x, at, sh, sw, kw)``: the state of ``high`` rows of ``kw`` elements, both one to four, in binary blocks."""
    decode = reader(dtype)

    @register_jitable
    def tap(x, i):
        return decode(load_source(x, i))

    @register_jitable
    def down(x, at, sh):
        a = tap(x, at)
        if high > 1:
            a = combine(a, tap(x, at + sh))
        if high == 3:
            a = combine(a, tap(x, at + 2 * sh))
        elif high == 4:
            a = combine(a, combine(tap(x, at + 2 * sh), tap(x, at + 3 * sh)))
        return a

    @register_jitable
    def box(x, at, sh, sw, kw):
        a = down(x, at, sh)
        if kw > 1:
            a = combine(a, down(x, at + sw, sh))
        if kw == 3:
            a = combine(a, down(x, at + 2 * sw, sh))
        elif kw == 4:
            a = combine(a, combine(down(x, at + 2 * sw, sh), down(x, at + 3 * sw, sh)))
        return a

    return box


def make_doubling(combine):
    """``double(s, to, slot, count, longest, lanes)``: from a row of states the rows of blocks of 2, 4, ... neighbours,
    each behind the one before, as far as a bin of ``longest`` elements needs. ``block(s, to, slot, begin, k, lanes)``:
    the state of ``k >= 1`` neighbours, from these rows. Neighbours are ``lanes`` states apart.
    """

    @register_jitable
    def double(s, to, slot, count, longest, lanes):
        reach = 1
        while 2 * reach <= longest:
            for e in range(count - (2 * reach - 1) * lanes):
                far = load_out(s, to + reach * lanes + e)
                store_out(s, to + slot + e, combine(load_out(s, to + e), far))
            to += slot
            reach *= 2

    @register_jitable
    def block(s, to, slot, begin, k, lanes):
        reach = 1
        at = to + begin
        while 2 * reach <= k:
            reach *= 2
            at += slot
        a = load_out(s, at)
        rest = k - reach
        while rest:
            at += reach * lanes
            while reach > rest:
                reach >>= 1
                at -= slot
            a = combine(a, load_out(s, at))
            rest -= reach
        return a

    return double, block


def lowest(dtype):
    """What is less than every other value of a type."""
    if dtype == "b1" or dtype[0] == "u":
        return 0
    return -(2 ** (int(dtype[1:]) - 1)) if dtype[0] == "i" else -math.inf


def state_type(dtype):
    """The type of states."""
    return VALUES.get(dtype, dtype)
