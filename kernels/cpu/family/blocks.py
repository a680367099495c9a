"""Blocks of channels: brought from an array in any layout to scratch, a vector for each element of a plane, and back.

Element (row, column) of a block of so many columns is the vector from ``(row * columns + column) * lanes`` on. Channels
that an array does not have hold whatever numbers. Elements become values on the way in, and values elements on the way
back, where NaN becomes the canonical one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.family.access import VALUES, reader, writer
from fastpool.kernels.cpu.memory import SCALARS, address, pointer_like
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import load, prefetch, prefetch_to_write, store, woven_high, woven_low
from fastpool.kernels.reductions import pick

AHEAD = 16
"""Elements of a plane by which memory is asked for before it is read or written, where they lie far apart."""


class Blocks(NamedTuple):
    """The three functions, and the lanes of a block.

    All have the parameters ``(array, first, channel, count, row, rows, column, columns, block, spare)``: where the
    block's first element lies, elements from one channel, row and column to the next, and how many there are;
    ``spare`` is room for two square blocks. ``expect``, without the last two, asks for the memory that is soon written
    to.
    """

    take: Any
    give: Any
    expect: Any
    lanes: int


class Neighbours(NamedTuple):
    """The functions for several blocks side by side, each behind the one before: ``take`` and ``give`` of them.

    Both have the parameters ``(array, first, channel, left, many, row, rows, column, columns, block, spare)``: as those
    of ``Blocks``, where ``left`` counts the channels of the array that are left, and ``many`` the blocks.
    """

    take: Any
    give: Any


def make_canonical(value: str) -> Any:
    """The function that gives a vector with every NaN the canonical one."""
    nan = SCALARS[value](float("nan"))

    def canonical(v):
        return pick(v == v, v, nan)

    return inlined(canonical, True)


def make_transpose(value: str) -> Any:
    """``transpose(a, i, step, most_in, b, j, to_step, most_out, spare)``: a square of vectors, lanes made rows.

    Its rows are ``step`` apart in ``a``, those from ``most_in`` on are the last one again; of those of ``b`` the first
    ``most_out`` are written. Each round weaves rows i and i + lanes / 2.
    """
    lanes = vectors.lanes(value)
    half = lanes // 2
    rounds = lanes.bit_length() - 1
    canonical = make_canonical(value)

    def transpose(a, i, step, most_in, b, j, to_step, most_out, spare):
        for row in range(half):
            u = load(a, i + min(row, most_in - 1) * step)
            v = load(a, i + min(row + half, most_in - 1) * step)
            store(spare, 2 * row * lanes, woven_low(u, v))
            store(spare, (2 * row + 1) * lanes, woven_high(u, v))
        at = 0
        to = lanes * lanes
        for _ in range(rounds - 2):
            for row in range(half):
                u, v = load(spare, at + row * lanes), load(spare, at + (row + half) * lanes)
                store(spare, to + 2 * row * lanes, woven_low(u, v))
                store(spare, to + (2 * row + 1) * lanes, woven_high(u, v))
            at, to = to, at
        for row in range(half):
            u, v = load(spare, at + row * lanes), load(spare, at + (row + half) * lanes)
            if 2 * row < most_out:
                store(b, j + 2 * row * to_step, canonical(woven_low(u, v)))
            if 2 * row + 1 < most_out:
                store(b, j + (2 * row + 1) * to_step, canonical(woven_high(u, v)))

    return inlined(transpose)


def make_blocks(dtype: str) -> Blocks:
    """The functions for arrays of an element type."""
    value = VALUES.get(dtype, dtype)
    lanes = vectors.lanes(value)
    read, write = inlined(reader(dtype)), inlined(writer(dtype))
    zero = SCALARS[value](0)

    def take_singly(array, first, channel, count, row, rows, column, columns, block):
        for r in range(rows):
            for lane in range(count):
                at = first + r * row + lane * channel
                for c in range(columns):
                    block[(r * columns + c) * lanes + lane] = read(array[at + c * column])
        # numbers of no meaning could be slow ones
        for e in range(rows * columns):
            for lane in range(count, lanes):
                block[e * lanes + lane] = zero

    def give_singly(array, first, channel, count, row, rows, column, columns, block):
        for r in range(rows):
            for lane in range(count):
                at = first + r * row + lane * channel
                for c in range(columns):
                    array[at + c * column] = write(block[(r * columns + c) * lanes + lane])

    def take_lanes(array, first, row, rows, column, columns, block):
        for r in range(rows):
            for c in range(columns):
                at, to = first + r * row + c * column, (r * columns + c) * lanes
                prefetch(array, at + AHEAD * column)
                for lane in range(lanes):
                    block[to + lane] = read(array[at + lane])

    def give_lanes(array, first, row, rows, column, columns, block):
        for r in range(rows):
            for c in range(columns):
                at, to = first + r * row + c * column, (r * columns + c) * lanes
                prefetch_to_write(array, at + AHEAD * column)
                for lane in range(lanes):
                    array[at + lane] = write(block[to + lane])

    def expect(array, first, channel, count, row, rows, column, columns):
        if channel == 1:
            for r in range(rows):
                for c in range(columns):
                    at = first + r * row + c * column
                    # as many cache lines as integers of 64 bits touch that are not aligned
                    prefetch_to_write(array, at)
                    prefetch_to_write(array, at + count // 2)
                    prefetch_to_write(array, at + count - 1)

    for function in (expect, take_singly, give_singly, take_lanes, give_lanes):
        inlined(function)
    if dtype != value:

        def take_half(array, first, channel, count, row, rows, column, columns, block, spare):
            if channel == 1 and count == lanes:
                take_lanes(array, first, row, rows, column, columns, block)
            else:
                take_singly(array, first, channel, count, row, rows, column, columns, block)

        def give_half(array, first, channel, count, row, rows, column, columns, block, spare):
            if channel == 1 and count == lanes:
                give_lanes(array, first, row, rows, column, columns, block)
            else:
                give_singly(array, first, channel, count, row, rows, column, columns, block)

        return Blocks(inlined(take_half), inlined(give_half), expect, lanes)

    transpose = make_transpose(value)

    def take_whole(array, first, channel, count, row, rows, column, columns, block, spare):
        if channel == 1 and count == lanes:
            take_lanes(array, first, row, rows, column, columns, block)
            return
        if column != 1 or columns < lanes:
            take_singly(array, first, channel, count, row, rows, column, columns, block)
            return
        for r in range(rows):
            for c in range(0, columns, lanes):
                # the last square may overlap the one before
                from_c = min(c, columns - lanes)
                to = (r * columns + from_c) * lanes
                transpose(array, first + r * row + from_c, channel, count, block, to, lanes, lanes, spare)

    def give_whole(array, first, channel, count, row, rows, column, columns, block, spare):
        if channel == 1 and count == lanes:
            give_lanes(array, first, row, rows, column, columns, block)
            return
        if column != 1 or columns < lanes:
            give_singly(array, first, channel, count, row, rows, column, columns, block)
            return
        for r in range(rows):
            for c in range(0, columns, lanes):
                from_c = min(c, columns - lanes)
                at = (r * columns + from_c) * lanes
                transpose(block, at, lanes, lanes, array, first + r * row + from_c, channel, count, spare)

    # rows that follow one another without a gap are one
    def take(array, first, channel, count, row, rows, column, columns, block, spare):
        if row == columns * column:
            take_whole(array, first, channel, count, 0, 1, column, rows * columns, block, spare)
        else:
            take_whole(array, first, channel, count, row, rows, column, columns, block, spare)

    def give(array, first, channel, count, row, rows, column, columns, block, spare):
        if row == columns * column:
            give_whole(array, first, channel, count, 0, 1, column, rows * columns, block, spare)
        else:
            give_whole(array, first, channel, count, row, rows, column, columns, block, spare)

    return Blocks(inlined(take), inlined(give), expect, lanes)


def make_neighbours(blocks: Blocks) -> Neighbours:
    """The functions made of those for a single block."""
    take_one, give_one, _, lanes = blocks
    bytes_ = vectors.BYTES

    # row by row, so that a page of memory is used for all blocks while it is known
    def take(array, first, channel, left, many, row, rows, column, columns, block, spare):
        if many == 1:
            take_one(array, first, channel, min(lanes, left), row, rows, column, columns, block, spare)
            return
        for r in range(rows):
            for b in range(many):
                here = pointer_like(address(block) + (b * rows + r) * columns * bytes_, block)
                at, count = first + b * lanes * channel + r * row, min(lanes, left - b * lanes)
                take_one(array, at, channel, count, 0, 1, column, columns, here, spare)

    def give(array, first, channel, left, many, row, rows, column, columns, block, spare):
        if many == 1:
            give_one(array, first, channel, min(lanes, left), row, rows, column, columns, block, spare)
            return
        for r in range(rows):
            for b in range(many):
                here = pointer_like(address(block) + (b * rows + r) * columns * bytes_, block)
                at, count = first + b * lanes * channel + r * row, min(lanes, left - b * lanes)
                give_one(array, at, channel, count, 0, 1, column, columns, here, spare)

    return Neighbours(inlined(take), inlined(give))
