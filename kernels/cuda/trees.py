"""Taps that are combined in the order of summation by code without a loop: for numbers of taps that are compiled in.

Along an axis, blocks of a power of two taps are each made of two of half the size; they are then combined from the
left, the largest first::

    7 taps      ((0 . 1) . (2 . 3)) . (4 . 5) . 6

Each block is a function of its own, which calls that of the smaller one twice. Everything is inlined: places are sums
of constants and steps, states stay in registers, and loads are free to run ahead. The axes nest, the first one
innermost.

A vector of states is a pair of vectors of half the length, down to the state itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import load, vector_load
from fastpool.kernels.cuda.package import device
from fastpool.kernels.cuda.parts import Parts
from fastpool.kernels.cuda.thread import part

STEPS, JUMPS = 0, 1
"""What every context begins with: of the three axes, how far taps are apart in memory, and in their numbers."""

_INT, _LONG, _PLACE = np.int32, np.int64, np.uint32
"""Places in a thread's or a block's own arrays have no sign: one below 0 would count from the end, as in Python."""


def digits(count: int) -> list[tuple[int, int]]:
    """(first tap, taps) of the blocks of so many taps, from the left."""
    found, first = [], 0
    for exponent in reversed(range(count.bit_length())):
        if count >> exponent & 1:
            found.append((first, 1 << exponent))
            first += 1 << exponent
    return found


def _twice(half: Any, combine: Any, size: int, axis: int) -> Any:
    """A block of two blocks of ``size`` taps."""

    def block(context, at, amount):
        first = half(context, at, amount)
        further = _INT(at + size * context[STEPS][axis])
        return combine(first, half(context, further, _INT(amount + size * context[JUMPS][axis])))

    return device(block)


def _behind(left: Any, block: Any, combine: Any, first: int, axis: int) -> Any:
    """What lies to the left, and a block behind it that begins with tap ``first``."""

    def both(context, at, amount):
        s = left(context, at, amount)
        further = _INT(at + first * context[STEPS][axis])
        return combine(s, block(context, further, _INT(amount + first * context[JUMPS][axis])))

    return device(both)


def make_tree(item: Any, combine: Any, count: int, axis: int, *grouped: int) -> Any:
    """``tree(context, at, amount)``: the state of ``count`` taps along an axis.

    ``item`` is that of one of them, or of what nests inside: ``item(context, at, amount)`` with a place in elements
    and what is added to a tap's number. Whole groups of ``grouped`` taps, powers of two, have been combined,
    and lie where their first tap did.
    """
    blocks, size = {1: item}, 1
    while 2 * size <= count:
        size *= 2
        blocks[size] = item if size in grouped else _twice(blocks[size // 2], combine, size // 2, axis)
    tree = None
    for first, size in digits(count):
        tree = blocks[size] if tree is None else _behind(tree, blocks[size], combine, first, axis)
    return tree


class Vectors(NamedTuple):
    """What is done with vectors of states.

    gather(raw, i, p, amount)      the states of neighbouring taps, from a thread's array of their elements
    combine(a, b)                  lane by lane
    put(values, counts, at, s)     writes them beside one another
    """

    gather: Any
    combine: Any
    put: Any


def make_vectors(parts: Parts, put: Any, size: int) -> Vectors:
    """The functions of vectors of ``size`` states, a power of two; ``put`` writes one state."""
    if size == 1:
        leaf, moved = parts.leaf, parts.moved

        def gather_one(raw, i, p, amount):
            return moved(leaf(raw[i], _LONG(1), p), amount)

        return Vectors(device(gather_one), parts.combine, put)
    size >>= 1
    gather_half, combine_half, put_half = make_vectors(parts, put, size)

    def gather(raw, i, p, amount):
        return (gather_half(raw, i, p, amount), gather_half(raw, i + size, p, amount))

    def combine(a, b):
        return (combine_half(a[0], b[0]), combine_half(a[1], b[1]))

    def put_both(values, counts, at, s):
        put_half(values, counts, _PLACE(at), s[0])
        put_half(values, counts, _PLACE(at + size), s[1])

    return Vectors(device(gather), device(combine), device(put_both))


def make_taps(parts: Parts, vectors: Vectors, sizes: tuple[int, ...], vector: int) -> Any:
    """``taps(context, at, amount)``: ``vector`` neighbouring windows of ``sizes`` taps along the first axes.

    The context is ``(steps, jumps, raw, source, base, p)``: ``raw`` is a thread's array of ``vector`` elements.
    """
    leaf, moved = parts.leaf, parts.moved
    gather, read = vectors.gather, vector_load(vector)

    if vector == 1:

        def tap(context, at, amount):
            v = load(context[3], context[4] + at)
            return moved(leaf(v, _LONG(1), context[5]), amount)

    else:

        def tap(context, at, amount):
            read(context[2], 0, context[3], context[4] + at)
            return gather(context[2], 0, context[5], amount)

    tree = device(tap)
    for axis, size in enumerate(sizes):
        tree = make_tree(tree, vectors.combine, size, axis)
    return tree


def make_kept(parts: Parts, get: Any, count: int, *grouped: int) -> Any:
    """``kept(context, at, amount)``: states along the last axis that lie in an array, or the groups of them.

    The context is ``(steps, jumps, values, counts)``.
    """
    moved = parts.moved

    def item(context, at, amount):
        return moved(get(context[2], context[3], _PLACE(at)), amount)

    return make_tree(device(item), parts.combine, count, 2, *grouped)


def _make_level(place: int, kind: int) -> Any:
    """(the coordinate, what is left) of a number: 0 if the axis is not there, all of it for the last one that is."""
    size, by, shift = place, place + 1, place + 2

    def absent(t, n):
        return _INT(0), t

    def last(t, n):
        return t, _INT(0)

    def split(t, n):
        return part(t, n[size], n[by], n[shift])

    return device((absent, last, split)[kind])


def make_place(there: tuple[bool, ...]) -> Any:
    """``place(t, n)``: as ``thread.make_coordinates``, without quotients for coordinates that are not ``there``."""
    final = max((i for i, is_there in enumerate(there) if is_there), default=-1)
    kinds = [0 if not there[i] else 1 if i == final else 2 for i in range(6)]
    first = N.VECTORS
    c_of, o2_of, o1_of, o0_of = (_make_level(first + 3 * i, kinds[i]) for i in range(4))
    near_of, far_of = _make_level(N.NEAR, kinds[4]), _make_level(N.NEAR, min(kinds[5], 1))

    def place(t, n):
        c, t = c_of(t, n)
        o2, t = o2_of(t, n)
        o1, t = o1_of(t, n)
        o0, t = o0_of(t, n)
        near, t = near_of(t, n)
        far, t = far_of(t, n)
        return c, o2, o1, o0, near, far

    return device(place)
