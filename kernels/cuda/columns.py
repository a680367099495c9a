"""The taps of one column of a window, folded by one thread: what ``blocks`` and ``chunks`` are made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import load
from fastpool.kernels.cuda.package import device
from fastpool.kernels.cuda.parts import make_parts
from fastpool.kernels.cuda.thread import make_states
from fastpool.kernels.registry import Variant

LEVELS = 40
"""Blocks that a thread keeps: of taps while it folds a column, and of columns."""

TOGETHER, HALVES = 8, 3
"""Taps of a column that are read at a time, a power of two, so that their loads wait together; and its exponent."""

_INT, _LONG = np.int32, np.int64


class Columns(NamedTuple):
    """What a thread does with a column. ``values`` and ``counts`` are its stack, ``row`` and ``row_counts`` its row.

    fold(values, counts, row, row_counts, source, at, i0, d0, many, tails, amount, beside, p, n)
        the state of ``many`` taps from ``at`` on, the first one at position ``i0`` of axis 0 and each ``d0`` apart, and
        of ``tails`` blocks behind them that are combined one by one
    push(values, counts, top, s, before)
        puts a block on a stack of blocks, with as many of the same size before it; the stack's new top
    from_left(values, counts, top)
        the blocks of a stack, combined from the left
    """

    fold: Any
    push: Any
    from_left: Any


def is_free(variant: Variant) -> bool:
    """Whether states may be combined in any order."""
    return variant.reduction.repeatable or variant.state[0][0] in "iu"


def make_columns(variant: Variant, states: bool) -> Columns:
    """The functions of a variant. ``states``: the source holds states in place of elements."""
    nothing, leaf, combine, moved, _, _ = make_parts(variant)
    get, put = make_states(variant)
    free = is_free(variant)

    def as_it_is(v, divisor, p):
        return v

    if states:
        leaf = device(as_it_is)

    def fill(row, row_counts, source, at, i0, j0, d0, amount, beside, many, p, n):
        """The states of ``many`` taps of a column, from tap ``j0`` on."""
        for u in range(many):
            p0 = _INT(i0 + (j0 + u) * d0)
            s = nothing()
            if (not beside) & (p0 >= 0) & (p0 < _INT(n[N.SIZE0])):
                tap = _INT(amount + (j0 + u) * _INT(n[N.JUMP0]))
                s = moved(leaf(load(source, at + _LONG(p0) * n[N.STEP0]), _LONG(1), p), tap)
            put(row, row_counts, u, s)

    def tree(row, row_counts, many):
        """One state from a power of two of them."""
        for u in range(many // 2):
            put(row, row_counts, u, combine(get(row, row_counts, 2 * u), get(row, row_counts, 2 * u + 1)))
        for u in range(many // 4):
            put(row, row_counts, u, combine(get(row, row_counts, 2 * u), get(row, row_counts, 2 * u + 1)))
        for u in range(many // 8):
            put(row, row_counts, u, combine(get(row, row_counts, 2 * u), get(row, row_counts, 2 * u + 1)))
        return get(row, row_counts, 0)

    def push(values, counts, top, s, before):
        ends = before
        while ends & 1 != 0:
            top -= 1
            s = combine(get(values, counts, top), s)
            ends = _INT(ends >> 1)
        put(values, counts, top, s)
        return top + 1

    def from_left(values, counts, top):
        s = get(values, counts, 0)
        for b in range(1, top):
            s = combine(s, get(values, counts, b))
        return s

    fill, tree, push, from_left = device(fill), device(tree), device(push), device(from_left)

    def fold(values, counts, row, row_counts, source, at, i0, d0, many, tails, amount, beside, p, n):
        top, total = 0, nothing()
        j0 = _INT(0)
        while j0 + TOGETHER <= many:
            fill(row, row_counts, source, at, i0, j0, d0, amount, beside, TOGETHER, p, n)
            s = tree(row, row_counts, TOGETHER)
            if free:
                total = combine(total, s)
            else:
                top = push(values, counts, top, s, _INT(j0 >> HALVES))
            j0 = _INT(j0 + TOGETHER)
        for half in range(HALVES):
            size = TOGETHER >> (half + 1)
            if (many & size) != 0:
                fill(row, row_counts, source, at, i0, j0, d0, amount, beside, size, p, n)
                s = tree(row, row_counts, size)
                if free:
                    total = combine(total, s)
                else:
                    put(values, counts, top, s)
                    top += 1
                j0 = _INT(j0 + size)
        for _ in range(tails):
            fill(row, row_counts, source, at, i0, j0, d0, amount, beside, 1, p, n)
            s = get(row, row_counts, 0)
            if free:
                total = combine(total, s)
            else:
                put(values, counts, top, s)
                top += 1
            j0 = _INT(j0 + 1)
        return total if free else from_left(values, counts, top)

    return Columns(device(fold), push, from_left)
