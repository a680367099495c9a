"""Windows of rows that are kept from row to row, see ``stacked``: three steps for each place, however tall they are.

Rows of the source are taken in runs as long as a window. A row of the stack is what the rest of its run combines to,
and is joined by as many rows of the next run as its window holds, which are combined on the way::

    run          r0 r1 r2 r3          the next one    r4 r5 r6 r7
    to its end   r0..3 r1..3 r2..3 r3       so far    r4 r4..5 r4..6
    windows      r0..3      r1..3 r4      r2..3 r4..5      r3 r4..6

The stack holds the rows of a run, the row so far, and the row of windows, which is taken before the next one is made.
All of a row but its elements counts for nothing.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import FAR
from fastpool.kernels.cpu.memory import address, pointer_like
from fastpool.kernels.cpu.stack_copy import columns_of, make_fill, origin_of
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_watch
from fastpool.kernels.cpu.vectors import any_of, between, everywhere, load, none, prefetch_to_second, store
from fastpool.kernels.cpu.walk import offset
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER


def make_next_row(variant: Variant, combine: Any, lift: Any, watches: bool) -> Any:
    """The function that makes the next row of windows; with ``watches`` it returns whether it saw NaN, else False."""
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    ahead = FAR // size
    watch, combine, fill = make_watch(watches), inlined(combine), make_fill(lanes)

    def source_of(plan, x, blank, row, at, width):
        """A pointer to a row of the source: to nothing beyond the array, and to a copy where vectors would reach
        beyond its end.
        """
        near = _HEADER + plan[P.OUTER] * _AXIS
        if (row < 0) | (row >= plan[near + P.SOURCE]):
            return blank
        at += row * plan[near + P.SOURCE_STRIDE]
        if at + (width + lanes - 1) // lanes * lanes <= plan[P.SOURCE_END]:
            return pointer_like(address(x) + at * size, x)
        copy = plan[P.CHUNK] // 2
        for i in range(width):
            blank[copy + i] = x[at + i]
        return pointer_like(address(blank) + copy * size, x)

    source_of = inlined(source_of)

    def join_below(t, to, below, x, width, p, identity, nothing):
        """A row of the stack from one of the source and the one below it; returns where NaN was seen."""
        bad = none(nothing)
        whole = width // lanes * lanes
        for o in range(0, whole, lanes):
            v = load(x, o)
            bad = watch(bad, v, v)
            store(t, to + o, combine(lift(v, p), load(t, below + o)))
        if whole < width:
            v = load(x, whole)
            bad = watch(bad, v, v)
            s = combine(lift(v, p), load(t, below + whole))
            store(t, to + whole, between(s, 0, width - whole, identity))
        return bad

    def join_next(t, to, far, near, x, width, step, p, identity, nothing):
        """Adds a row of the source to ``near``, and makes windows of it and ``far``; returns where NaN was seen."""
        bad = none(nothing)
        whole = width // lanes * lanes
        for o in range(0, whole, lanes):
            prefetch_to_second(x, o + step)
            v = load(x, o)
            bad = watch(bad, v, v)
            s = combine(load(t, near + o), lift(v, p))
            store(t, near + o, s)
            store(t, to + o, combine(load(t, far + o), s))
        if whole < width:
            v = load(x, whole)
            bad = watch(bad, v, v)
            s = between(combine(load(t, near + whole), lift(v, p)), 0, width - whole, identity)
            store(t, near + whole, s)
            store(t, to + whole, combine(load(t, far + whole), s))
        return bad

    join_below, join_next = inlined(join_below, always=True), inlined(join_next, always=True)

    def next_row(plan, c, t, x, blank, number, p, identity):
        """Makes the tile's row of windows ``number``, after those before it."""
        outer, pitch = plan[P.OUTER], plan[P.PITCH]
        near = _HEADER + outer * _AXIS
        kernel = plan[near + P.KERNEL]
        to, left, width = columns_of(plan, c)
        nothing = everywhere(t, identity)
        base = offset(plan, c, outer, P.SOURCE_STRIDE) + left
        row = origin_of(plan, near, c[outer]) + number
        # elements begin with a vector, and end with one
        begin = (to + lanes - 1) // lanes * lanes
        end = begin + (width + lanes - 1) // lanes * lanes
        so_far = kernel * pitch
        windows = so_far + pitch
        if number == 0:
            fill(t, 0, windows + pitch, nothing)
        far = number % kernel
        bad = none(nothing)
        if far == 0:
            fill(t, so_far, pitch, nothing)
            below = so_far + begin
            for j in range(kernel - 1, -1, -1):
                source = source_of(plan, x, blank, row + j, base, width)
                bad = bad | join_below(t, j * pitch + begin, below, source, width, p, identity, nothing)
                below = j * pitch + begin
            for o in range(0, pitch, lanes):
                store(t, windows + o, load(t, o))
        else:
            source = source_of(plan, x, blank, row + kernel - 1, base, width)
            step = max(2 * plan[near + P.SOURCE_STRIDE], ahead)
            fill(t, windows, begin, nothing)
            bad = join_next(
                t, windows + begin, far * pitch + begin, so_far + begin, source, width, step, p, identity, nothing
            )
            fill(t, windows + end, pitch - end, nothing)
        return any_of(bad)

    return inlined(next_row)
