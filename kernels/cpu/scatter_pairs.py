"""The gradient of max pooling by taps: two neighbouring rows from one reading of the windows that they share.

Of stride 2 along the axis across, windows of two or three taps there::

    two taps      window v holds the rows 2v and 2v + 1, and no other window holds them
    three taps    windows v - 1 and v hold row 2v, window v alone holds 2v + 1

Rows are counted from the first padded one. Made one by one, rows of 112 elements under 3x3 windows took 44 ns each, of
which what is done once for each row, and its ends, were more than half; in pairs they take 25.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import ENCODE, SCALARS
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
from fastpool.kernels.cpu.walk import offset
from fastpool.kernels.reductions import pick

_AXIS, _HEADER = P.AXIS, P.HEADER

WRITTEN_AHEAD = 2048
"""Bytes of the gradient of x that are asked for ahead of a store: two rows are written in turn, whose lines the
processor does not foresee. Rows of 112 elements under 3x3 windows took 1.43 ms so, and 1.63 without."""


def make_pairs(dtype: str, taken: Any, canonical: Any, write_past_caches: Any, ahead: int) -> tuple[Any, Any, Any]:
    """The functions of pairs of rows for windows of two taps, one for a tile of them, and of three, made of those of
    ``fused_scatter``.

    Both write whole vectors, two at a time. The last ones of a row begin earlier, so that they end with it.
    """
    lanes, floats = vectors.lanes(dtype), dtype[0] == "f"
    size, real = vectors.BYTES // lanes, SCALARS[dtype]
    canonical_one = inlined(ENCODE[dtype])
    written_ahead = WRITTEN_AHEAD // size

    def one_by_one(g, t, g_at, t_at, width, y, d, pitch, tap, numbers):
        """A pair of rows by elements, where a vector would reach too far."""
        for k in range(width):
            v, place = canonical_one(real(0) + g[g_at + k]), t[t_at + k] - tap
            for i in range(2):
                for j in range(2):
                    y[d + i * pitch + 2 * k + j] = v if place == i * numbers[2] + j * numbers[1] else real(0)

    one_by_one = inlined(one_by_one)

    def pairs_apart(
        g, t, places, steps, planes, first, every, tap, numbers, count, width, y, d, pitch, ends, spare, taps, stream,
        past, to, skew, begins,
    ):  # fmt: skip
        """``count`` pairs of rows of each of ``planes`` planes from ``d`` on, whose elements one window each holds.

        ``width`` windows of a row, from the elements ``places[0]`` of their gradients and ``places[1]`` of their taps
        on, make two rows, ``pitch`` apart. The next row of windows is ``steps[0]`` and ``steps[1]`` further. Plane
        ``first`` comes first; ``every`` planes hold the same windows, those of the next one are ``steps[2]`` and
        ``steps[3]`` further. A plane's first tap is ``tap``, and ``numbers[0]`` more in the plane after it. The taps
        of odd elements are ``numbers[1]`` after those of even ones, those of the lower row ``numbers[2]`` after those
        of the upper one.

        Rows of less than two vectors are written over the beginning of the next one, which is written later; no
        element from ``ends[0]`` on is written, nor any from ``ends[1]`` of gradients and ``ends[2]`` of taps on read.
        With ``stream``, ``y`` is the buffer of ``past`` and begins at its element ``to``. Returns where the next pair
        would begin, ``to`` and ``begins`` as they are then.
        """
        nothing = everywhere(spare, 0)
        two, last = 2 * width > lanes, max(width - lanes, 0)
        for plane in range(first, first + planes):
            w = plane // every
            even_tap = tap + (plane - w * every) * numbers[0]
            odd_tap, below = even_tap + numbers[1], even_tap + numbers[2]
            odd_below = odd_tap + numbers[2]
            g_at, t_at = places[0] + w * steps[2], places[1] + w * steps[3]
            # pairs of which no vector reaches too far
            free = count
            if width < lanes:
                while free > 0:
                    g_end, t_end = g_at + (free - 1) * steps[0] + lanes, t_at + (free - 1) * steps[1] + lanes
                    if (g_end <= ends[1]) & (t_end <= ends[2]) & (d + (2 * free - 1) * pitch + 2 * lanes <= ends[0]):
                        break
                    free -= 1
            for r in range(count):
                if r >= free:
                    one_by_one(g, t, g_at, t_at, width, y, d, pitch, even_tap, numbers)
                    k = last
                else:
                    k = -lanes
                while k < last:
                    k = min(k + lanes, last)
                    x = d + 2 * k
                    v = load(g, g_at + k)
                    prefetch(g, g_at + k + ahead)
                    took = load_beside(t, t_at + k, v)
                    # of a single addition it is known before the places are
                    v = canonical(nothing + v)
                    even, odd = pick(took == even_tap, v, nothing), pick(took == odd_tap, v, nothing)
                    store(y, x, woven_low(even, odd))
                    if two:
                        store(y, x + lanes, woven_high(even, odd))
                    even, odd = pick(took == below, v, nothing), pick(took == odd_below, v, nothing)
                    store(y, x + pitch, woven_low(even, odd))
                    if two:
                        store(y, x + pitch + lanes, woven_high(even, odd))
                g_at += steps[0]
                t_at += steps[1]
                d += 2 * pitch
                if stream:
                    begins, moved = write_past_caches(past, to, skew, y, begins, d, False)
                    to, d = to + moved, d - moved
        return d, to, begins

    pairs_apart = inlined(pairs_apart)

    def tile_apart(plan, c, g, t, y, address_of_y, buffer, spare, taps):
        """A tile of whole planes, or of pairs of rows of one, of windows that share nothing and lie on the input."""
        outer, lead, stream = plan[P.OUTER], plan[P.LEAD], plan[P.STREAM] != 0
        last = _HEADER + (outer + lead) * _AXIS
        near, far = last - _AXIS, last - 2 * _AXIS
        row, width, planes, first, every, above = c[outer + lead - 1], plan[last + P.SOURCE], 1, 0, 1, 0
        g_plane, t_plane = 0, 0
        d = offset(plan, c, outer + lead, P.OUTPUT_STRIDE)
        if lead > 1:
            planes, first = min(plan[far + P.BY], plan[far + P.OUTPUT] - c[outer]), c[outer]
            every, above = plan[far + P.WINDOW_STRIDE], plan[far + P.JUMP]
            g_plane, t_plane = plan[far + P.SOURCE_STRIDE], plan[far + P.AUX_STRIDE]
        g_row, t_row = plan[near + P.SOURCE_STRIDE], plan[near + P.AUX_STRIDE]
        places = (
            offset(plan, c, outer, P.SOURCE_STRIDE) + row // 2 * g_row,
            offset(plan, c, outer, P.AUX_STRIDE) + row // 2 * t_row,
        )
        count = min(plan[near + P.BY], plan[near + P.OUTPUT] - row) // 2
        to, at, end, skew = y, d, d + planes * count * 4 * width, 0
        if stream:
            to, at, end, skew = buffer, 0, P.FAR, (address_of_y // size + d) % lanes
        at, d, begins = pairs_apart(
            g, t, places, (g_row, t_row, g_plane, t_plane), planes, first, every, 0,
            (above, plan[last + P.JUMP], plan[near + P.JUMP]), count, width, to, at, 2 * width,
            (end, plan[P.SOURCE_END], plan[P.AUX_END]), spare, taps, stream, y, d, skew, 0,
        )  # fmt: skip
        if stream:
            write_past_caches(y, d, skew, buffer, begins, at, True)

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

    return pairs_apart, inlined(tile_apart), inlined(pair_by_two)
