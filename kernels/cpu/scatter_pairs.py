"""The gradient of max pooling by taps: two neighbouring rows from one reading of the windows that they share.

Of stride 2 along the axis across, windows of two or three taps there::

    two taps      window v holds the rows 2v and 2v + 1, and no other window holds them
    three taps    windows v - 1 and v hold row 2v, window v alone holds 2v + 1

Rows are counted from the first padded one. Made one by one, rows of 112 elements under 3x3 windows took 44 ns each, of
which what is done once for each row, and its ends, were more than half; in pairs they take 33.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.row_tables import NOT_TAKEN, ROW
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import (
    between,
    everywhere,
    load,
    load_beside,
    prefetch,
    store,
    woven_high,
    woven_low,
)
from fastpool.kernels.reductions import pick


def make_pairs(dtype: str, taken: Any, canonical: Any, write_past_caches: Any, ahead: int) -> tuple[Any, Any]:
    """The functions of pairs of rows for windows of two taps and of three, made of those of ``fused_scatter``.

    Both write whole vectors, two at a time. The last ones of a row begin earlier, so that they end with it.
    """
    lanes = vectors.lanes(dtype)

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

    def windows(g, t, table, row, w, width):
        """Gradients and taps of the windows ``w`` and up of a row of the table; outside of the row ``NOT_TAKEN``.

        Vectors of which all windows are there could do without: a second copy of the loop for them took as long to run,
        and the kernel a quarter longer to compile.
        """
        v = load(g, table[row] + w)
        prefetch(g, table[row] + w + ahead)
        return v, between(load_beside(t, table[row + 1] + w, v), -w, width - w, NOT_TAKEN)

    windows = inlined(windows, always=True)

    def pair_by_two(g, t, table, below, y, d, pitch, outputs, w, width, spare):
        """The rows at ``d`` and ``pitch`` after it, whose elements windows two apart hold, as ``row_by_two``.

        The rows of windows of ``table``, the upper row's, are two for each of ``below``, the lower row's: one that
        holds the upper row alone, and one that holds both.
        """
        for begin in range(0, outputs, 2 * lanes):
            x = min(begin, outputs - 2 * lanes)
            first = w + x // 2
            even = everywhere(spare, 0)
            odd, even_below, odd_below = even, even, even
            at = ROW
            for i in range(1, below[0] + 1):
                v, took = windows(g, t, table, at, first, width)
                even, odd = taken(even, v, took, table[at + 3]), taken(odd, v, took, table[at + 5])
                v, took = windows(g, t, table, at, first + 1, width)
                even, odd = taken(even, v, took, table[at + 4]), taken(odd, v, took, table[at + 6])
                at += ROW
                v, took = windows(g, t, table, at, first, width)
                even, odd = taken(even, v, took, table[at + 3]), taken(odd, v, took, table[at + 5])
                even_below = taken(even_below, v, took, below[ROW * i + 3])
                odd_below = taken(odd_below, v, took, below[ROW * i + 5])
                v, took = windows(g, t, table, at, first + 1, width)
                even, odd = taken(even, v, took, table[at + 4]), taken(odd, v, took, table[at + 6])
                even_below = taken(even_below, v, took, below[ROW * i + 4])
                odd_below = taken(odd_below, v, took, below[ROW * i + 6])
                at += ROW
            store(y, d + x, canonical(woven_low(even, odd)))
            store(y, d + x + lanes, canonical(woven_high(even, odd)))
            store(y, d + pitch + x, canonical(woven_low(even_below, odd_below)))
            store(y, d + pitch + x + lanes, canonical(woven_high(even_below, odd_below)))

    return inlined(pairs_apart), inlined(pair_by_two)
