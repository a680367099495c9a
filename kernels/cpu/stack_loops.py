"""The loops over a stack of planes, see ``stacked``: blocks of taps, windows made of them, and rows of outputs.

A stack is one row of vectors; whatever axis is combined, its taps are ``step`` places apart. Vectors run over what lies
between two rows, too. All read and write the stack ``t``; those that write rows also write ``y``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.stack_runs import make_write_runs
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import even, load, store
from fastpool.kernels.registry import Variant

MOST_OPERANDS = 5
"""Blocks that a window is made of, at most, where they may overlap."""


class Loops(NamedTuple):
    """The loops over a stack, for one way to combine. ``split_rows`` write windows a step of 2 apart."""

    blocks: Any
    windows: Any
    rows: Any
    split_rows: Any
    runs: Any
    split_runs: Any


def make_loops(variant: Variant, combine: Any, lower: Any, canonical: Any) -> Loops:
    """The loops over a stack, as plain Python functions that Numba knows."""
    reduction = variant.vector
    assert reduction is not None
    lanes = vectors.lanes(variant.source)
    overlaps = reduction.repeatable
    combine = inlined(combine)

    def double(t, a, to, count, step):
        """Blocks of twice as many taps: ``t[to + i] = t[a + i] . t[a + i + step]``."""
        for i in range(0, count, lanes):
            store(t, to + i, combine(load(t, a + i), load(t, a + i + step)))

    def quadruple(t, a, count, step):
        """Blocks of four times as many taps, in place."""
        for i in range(a, a + count, lanes):
            s = combine(load(t, i), load(t, i + step))
            store(t, i, combine(s, combine(load(t, i + 2 * step), load(t, i + 3 * step))))

    double, quadruple = inlined(double), inlined(quadruple)

    def blocks(t, blocks_of, a, room, many, count, step, kernel):
        """Makes the blocks that windows of ``kernel`` taps, ``step`` apart, consist of.

        Writes how far apart they are in ``blocks_of``, from place ``a`` of the stack on, which has ``room`` places in
        each of ``many`` copies; returns the first block's place and how many there are.
        """
        size = 1
        if overlaps:
            while MOST_OPERANDS * size < kernel:
                quadruple(t, a, count + (kernel - 4 * size) * step, size * step)
                size *= 4
            used = (kernel + size - 1) // size
            for j in range(used):
                blocks_of[j] = min(j * size, kernel - size) * step
            return a, used
        # Sums are added as binary blocks go. The largest block is never made: its halves are added in its place.
        # Smaller ones that are needed behind it are kept, while larger ones are made in the next copy of the stack.
        used, place = 0, a
        while 4 * size <= kernel:
            to = place
            if kernel & size != 0:
                to = (place // room + 1) % many * room
                used += 1
                blocks_of[P.MOST_BLOCKS - used] = place
            double(t, place, to, count + (kernel - 2 * size) * step, size * step)
            place = to
            size *= 2
        blocks_of[0], blocks_of[1] = 0, size * step
        if kernel == 1:
            return place, 1
        number, done, at = 2, 2 * size, P.MOST_BLOCKS - used
        if kernel & size != 0:
            blocks_of[2] = done * step
            number, done = 3, 3 * size
        while at < P.MOST_BLOCKS:
            size //= 2
            if kernel & size != 0:
                blocks_of[number] = blocks_of[at] - place + done * step
                number += 1
                done += size
                at += 1
        return place, number

    blocks = inlined(blocks)

    def window(t, i, b1, b2, b3, blocks_of, used):
        """The windows that begin at place ``i`` and behind, from their blocks."""
        s = load(t, i)
        if used > 1:
            s = combine(s, load(t, i + b1))
        if used > 2:
            s = combine(s, load(t, i + b2))
        if used > 3:
            s = combine(s, load(t, i + b3))
        for j in range(4, used):
            s = combine(s, load(t, i + blocks_of[j]))
        return s

    window = inlined(window, always=True)

    def windows(t, a, count, runs, apart, blocks_of, used):
        """Windows in place of their first blocks: ``runs`` times ``count`` of them, ``apart`` from run to run."""
        b1, b2, b3 = blocks_of[1], blocks_of[2], blocks_of[3]
        if used == 2:
            for _ in range(runs):
                for i in range(a, a + count, lanes):
                    store(t, i, combine(load(t, i), load(t, i + b1)))
                a += apart
        elif used == 3:
            for _ in range(runs):
                for i in range(a, a + count, lanes):
                    store(t, i, combine(combine(load(t, i), load(t, i + b1)), load(t, i + b2)))
                a += apart
        elif used > 3:
            for _ in range(runs):
                for i in range(a, a + count, lanes):
                    store(t, i, window(t, i, b1, b2, b3, blocks_of, used))
                a += apart

    windows = inlined(windows)

    def make_rows(window: Any, stride: int) -> Any:
        """The function that writes rows of outputs from a stack, where windows are a step of ``stride`` apart."""

        def write_rows(t, a, down, y, d, step, count, outputs, limit, b1, b2, b3, blocks_of, used, divisor, p, spare):
            """Rows of outputs from element ``d`` on, ``step`` apart, from rows of the stack that are ``down`` apart.

            Writes whole vectors to places up to ``limit``; elsewhere, of short rows, one element at a time.
            """
            for _ in range(count):
                for first in range(0, outputs, lanes):
                    # the last vector begins earlier, so that nothing is written beside the row
                    o = max(min(first, outputs - lanes), 0)
                    s = window(t, a + stride * o, b1, b2, b3, blocks_of, used)
                    if stride == 2:
                        s = even(s, window(t, a + 2 * o + lanes, b1, b2, b3, blocks_of, used))
                    v = canonical(lower(s, divisor, p))
                    if d + o <= limit:
                        store(y, d + o, v)
                    else:
                        store(spare, 0, v)
                        for e in range(outputs):
                            y[d + e] = spare[e]
                d += step
                a += down

        return inlined(write_rows)

    def window_of_two(t, i, b1, b2, b3, blocks_of, used):
        return combine(load(t, i), load(t, i + b1))

    def window_of_three(t, i, b1, b2, b3, blocks_of, used):
        return combine(combine(load(t, i), load(t, i + b1)), load(t, i + b2))

    def window_of_five(t, i, b1, b2, b3, blocks_of, used):
        s = combine(combine(load(t, i), load(t, i + b1)), combine(load(t, i + b2), load(t, i + b3)))
        return combine(s, load(t, i + blocks_of[4]))

    kinds = (window_of_two, window_of_three, window_of_five)
    of_blocks = (*(inlined(kind, always=True) for kind in kinds), window)

    def make_rows_of_any(stride: int) -> Any:
        """The function that writes rows of windows of ``used`` blocks: some numbers have loops of their own."""
        of_two, of_three, of_five, of_more = (make_rows(kind, stride) for kind in of_blocks)

        def rows_of_sums(used, *arguments):
            if used == 2:
                of_two(*arguments)
            elif used == 3:
                of_three(*arguments)
            else:
                of_more(*arguments)

        def rows(used, *arguments):
            if used == MOST_OPERANDS:
                of_five(*arguments)
            else:
                rows_of_sums(used, *arguments)

        rows_of_sums = inlined(rows_of_sums)
        return inlined(rows) if overlaps else rows_of_sums

    rows = (make_rows_of_any(stride) for stride in (1, 2))
    runs = (make_write_runs(variant, combine, lower, canonical, stride) for stride in (1, 2))
    return Loops(blocks, windows, *rows, *runs)
