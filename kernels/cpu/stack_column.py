"""Combines four or five taps along the leading axis while planes are copied into the stack, see ``stacked``.

A vector goes down the rows of the source, which are a step of 1 apart, and keeps what windows share in registers::

    row k     pair  r(k-1) . r(k)     four  pair(k-2) . pair(k)     five  four(k-1) . r(k)

so that a row is read once, and a window costs three steps. The vectors of the right end go first: what they write
beyond a row is the beginning of the next one, which is written after it.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import FAR
from fastpool.kernels.cpu.stack_copy import rows_at_end
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_watch
from fastpool.kernels.cpu.vectors import between, load, none, prefetch_to_second, store
from fastpool.kernels.registry import Variant


def make_fold_columns(variant: Variant, combine: Any, lift: Any, watches: bool) -> Any:
    """The function that combines and copies a plane; with ``watches`` it returns where NaN was seen."""
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    ahead = FAR // size
    watch, combine = make_watch(watches), inlined(combine)

    def fold_column(t, to, x, at, step, many, rest, blank, copy, taps, pitch, wide, behind, p, nothing, identity):
        """A vector of every row of the stack, from place ``to`` of it on.

        ``many`` rows are above the source, inside of it, and below. The last ``rest`` of those inside are read element
        by element, ``wide`` of them, and copied to ``blank``. Of a row that ends with this vector, ``behind`` says how
        many places lie behind its first ``wide`` ones; else it is negative.
        """
        bad = none(nothing)
        h = pair2 = pair1 = four = nothing
        wait = taps - 1
        for part in range(3 + rest):
            # by parts, so that the loop over rows is bare
            count, z, u, on = many[0], blank, 0, 0
            if part == 1:
                count, z, u, on = many[1] - rest, x, at, step
            elif part == 2 + rest:
                count = many[2]
            elif part > 1:
                count, u = 1, copy
                for i in range(wide):
                    blank[copy + i] = x[at + (many[1] - rest + part - 2) * step + i]
            for _ in range(count):
                prefetch_to_second(z, u + ahead)
                v = load(z, u)
                bad = watch(bad, v, v)
                v = lift(v, p)
                pair = combine(h, v)
                s = combine(pair2, pair)
                if taps > 4:
                    s, four = combine(four, v), s
                h, pair2, pair1 = v, pair1, pair
                u += on
                if wait > 0:
                    wait -= 1
                    continue
                if behind >= 0:
                    s = between(s, 0, wide, identity)
                    for o in range(lanes, wide + behind, lanes):
                        store(t, to + o, nothing)
                store(t, to, s)
                to += pitch
        return bad

    fold_column = inlined(fold_column, always=True)

    def fold_columns(plan, t, to, x, at, step, many, blank, taps, width, pitch, p, nothing, identity):
        """The rows of a plane's windows, from place ``to`` of the stack on: of ``many`` rows of taps above the source,
        inside of it and below, the first one inside from element ``at`` on, others ``step`` from there.

        Writes up to a vector beyond the last row.
        """
        o = max(width - 1, 0) // lanes * lanes
        rest = rows_at_end(plan, at + o + lanes, many[1], step)
        copy = plan[P.CHUNK] // 2
        bad = fold_column(
            t, to + o, x, at + o, step, many, rest, blank, copy, taps, pitch, width - o, pitch - width, p, nothing,
            identity,
        )  # fmt: skip
        while o > 0:
            o -= lanes
            bad = bad | fold_column(
                t, to + o, x, at + o, step, many, 0, blank, copy, taps, pitch, lanes, -1, p, nothing, identity
            )
        return bad

    return inlined(fold_columns)
