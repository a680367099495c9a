"""The gradient of max pooling by taps: two neighbouring rows from one reading of the windows that they share.

Of stride 2 along the axis across, windows of two or three taps there::

    two taps      window v holds the rows 2v and 2v + 1, and no other window holds them
    three taps    windows v - 1 and v hold row 2v, window v alone holds 2v + 1

Rows are counted from the first padded one. Made one by one, rows of 112 elements under 3x3 windows took 44 ns each, of
which what is done once for each row, and its ends, were more than half; in pairs they take 25.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.row_tables import ROW
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import (
    any_of,
    either_nan,
    everywhere,
    load,
    load_beside,
    prefetch,
    prefetch_to_write,
    store,
    woven_high,
    woven_low,
)
from fastpool.kernels.reductions import pick

WRITTEN_AHEAD = 2048
"""Bytes of the gradient of x that are asked for ahead of a store: two rows are written in turn, whose lines the
processor does not foresee. Rows of 112 elements under 3x3 windows took 1.43 ms so, and 1.63 without."""


def make_pairs(dtype: str, taken: Any, canonical: Any, write_past_caches: Any, ahead: int) -> tuple[Any, Any]:
    """The functions of pairs of rows for windows of two taps and of three, made of those of ``fused_scatter``.

    Both write whole vectors, two at a time. The last ones of a row begin earlier, so that they end with it.
    """
    lanes, floats = vectors.lanes(dtype), dtype[0] == "f"
    written_ahead = WRITTEN_AHEAD // (vectors.BYTES // lanes)

    def pairs_apart(
        g, t, table, jump, count, g_step, t_step, y, d, pitch, outputs, w, spare, stream, past, to, skew, begins
    ):
        """``count`` pairs of rows from ``d`` on whose elements one window each holds, as ``row_apart`` makes them.

        ``table`` tells a single row of windows, that of the first pair; those of the next one are ``g_step`` and
        ``t_step`` further. The taps of the lower row are ``jump`` after those of the upper one. With ``stream``, ``y``
        is the buffer of ``past`` and begins at its element ``to``. Returns where the next pair would begin, ``to`` and
        ``begins`` as they are then.
        """
        g_at, t_at, even_tap, odd_tap = table[ROW] + w, table[ROW + 1] + w, table[ROW + 3], table[ROW + 5]
        nothing = everywhere(spare, 0)
        for _ in range(count):
            for begin in range(0, outputs, 2 * lanes):
                x = min(begin, outputs - 2 * lanes)
                v = load(g, g_at + x // 2)
                prefetch(g, g_at + x // 2 + ahead)
                took = load_beside(t, t_at + x // 2, v)
                # of a single addition it is known before the places are
                v = canonical(nothing + v)
                even, odd = pick(took == even_tap, v, nothing), pick(took == odd_tap, v, nothing)
                even_below = pick(took == even_tap + jump, v, nothing)
                odd_below = pick(took == odd_tap + jump, v, nothing)
                store(y, d + x, woven_low(even, odd))
                store(y, d + x + lanes, woven_high(even, odd))
                store(y, d + pitch + x, woven_low(even_below, odd_below))
                store(y, d + pitch + x + lanes, woven_high(even_below, odd_below))
            g_at += g_step
            t_at += t_step
            d += 2 * pitch
            if stream:
                begins, moved = write_past_caches(past, to, skew, y, begins, d, False)
                to, d = to + moved, d - moved
        return d, to, begins

    if floats:

        def all_canonical(sums):
            a, b, c, d = sums
            # one test for all: NaN is rare
            if any_of(either_nan(a, b) | either_nan(c, d)):
                return canonical(a), canonical(b), canonical(c), canonical(d)
            return sums

    else:

        def all_canonical(sums):
            return sums

    all_canonical = inlined(all_canonical, always=True)

    def places(table, at):
        """Of two rows of windows of the upper row's table, where gradients and taps begin."""
        return table[at], table[at + 1], table[at + ROW], table[at + ROW + 1]

    def wanted(table, at, below, to):
        """The taps that are looked for, in the order in which ``added`` looks for them."""
        return (
            (table[at + 3], table[at + 5]),
            (table[at + 4], table[at + 6]),
            (table[at + ROW + 3], table[at + ROW + 5], below[to + 3], below[to + 5]),
            (table[at + ROW + 4], table[at + ROW + 6], below[to + 4], below[to + 6]),
        )

    def added(g, t, rows, first, edges, sums, numbers):
        """The sums of both rows, and what two rows of windows give: one of the upper row alone, and one of both."""
        even, odd, even_below, odd_below = sums
        g_upper, t_upper, g_both, t_both = rows
        one, next_one, two, next_two = numbers
        prefetch(g, g_both + first + ahead)
        v, u = load(g, g_upper + first), load(g, g_upper + first + 1)
        outside, outside_next = load_beside(edges, first, v), load_beside(edges, first + 1, v)
        took = load_beside(t, t_upper + first, v) | outside
        even, odd = taken(even, v, took, one[0]), taken(odd, v, took, one[1])
        took = load_beside(t, t_upper + first + 1, u) | outside_next
        even, odd = taken(even, u, took, next_one[0]), taken(odd, u, took, next_one[1])
        v, u = load(g, g_both + first), load(g, g_both + first + 1)
        took = load_beside(t, t_both + first, v) | outside
        even, odd = taken(even, v, took, two[0]), taken(odd, v, took, two[1])
        even_below, odd_below = taken(even_below, v, took, two[2]), taken(odd_below, v, took, two[3])
        took = load_beside(t, t_both + first + 1, u) | outside_next
        even, odd = taken(even, u, took, next_two[0]), taken(odd, u, took, next_two[1])
        even_below, odd_below = taken(even_below, u, took, next_two[2]), taken(odd_below, u, took, next_two[3])
        return even, odd, even_below, odd_below

    places, wanted, added = inlined(places), inlined(wanted), inlined(added, always=True)

    def pair_by_two(g, t, table, below, y, d, pitch, outputs, w, edges, spare):
        """The rows at ``d`` and ``pitch`` after it, whose elements windows two apart hold, as ``row_by_two``.

        The rows of windows of ``table``, the upper row's, are two for each of ``below``, the lower row's: one that
        holds the upper row alone, and one that holds both. ``edges`` has 255, which no tap is, for windows outside of
        the row, and else 0.
        """
        nothing = everywhere(spare, 0)
        rows, numbers, many = places(table, ROW), wanted(table, ROW, below, ROW), below[0]
        for begin in range(0, outputs, 2 * lanes):
            x = min(begin, outputs - 2 * lanes)
            first = w + x // 2
            sums = added(g, t, rows, first, edges, (nothing, nothing, nothing, nothing), numbers)
            for i in range(2, many + 1):
                at = ROW * (2 * i - 1)
                sums = added(g, t, places(table, at), first, edges, sums, wanted(table, at, below, ROW * i))
            even, odd, even_below, odd_below = all_canonical(sums)
            for k in range(4):
                prefetch_to_write(y, d + 2 * x + written_ahead + k * lanes)
            store(y, d + x, woven_low(even, odd))
            store(y, d + x + lanes, woven_high(even, odd))
            store(y, d + pitch + x, woven_low(even_below, odd_below))
            store(y, d + pitch + x + lanes, woven_high(even_below, odd_below))

    return inlined(pairs_apart), inlined(pair_by_two)
