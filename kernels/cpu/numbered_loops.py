"""The loops over a stack of planes that keep the number of the tap beside each value, see ``stacked_index``.

Values are in ``t``, the numbers of their taps, as wide as elements, in the same places of ``n``. Of two equal taps the
one that comes first in the window stays; of several NaN the last one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_put_indices
from fastpool.kernels.cpu.vectors import even, integers, load, odd, store
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant, numbers_places

MOST_TAKEN = 5
"""Taps along a row, at most, that ``along`` takes."""

MOST_MERGED, MOST_WRITTEN = 4, 3
"""Blocks of taps, at most, that are combined at a time: by ``merge``, and where outputs are written."""


class Numbered(NamedTuple):
    """The loops. ``split`` takes windows of a row a step of 2 apart. The first argument says whether a tap is NaN.

    Of those that write, one does indices of one byte and one those of eight; elements that are too short to number
    places by have none of eight.
    """

    along: Any
    split: Any
    merge: Any
    write_taps: Any
    write_places: Any


def make_numbered(variant: Variant, lower: Any, canonical: Any) -> Numbered:
    """The loops over a stack and its numbers, as plain Python functions that Numba knows."""
    calm = _make_loops(variant, lower, canonical, True)
    if variant.source[0] != "f":
        return Numbered(*calm)
    careful = _make_loops(variant, lower, canonical, False)
    return Numbered(*(_either(*both) for both in zip(careful, calm, strict=True)))


def _either(careful: Any, calm: Any) -> Any:
    """One loop or the other, so that what calls them is compiled once."""

    def loop(seen, *arguments):
        if seen:
            careful(seen, *arguments)
        else:
            calm(seen, *arguments)

    return inlined(loop)


def _make_loops(variant: Variant, lower: Any, canonical: Any, calm: bool) -> tuple[Any, ...]:
    """The loops for one way to choose among taps: with ``calm`` as if none were NaN."""
    reduction = variant.vector
    assert reduction is not None
    lanes = vectors.lanes(variant.source)
    identity = reduction.identity[0]

    if calm:

        def take(s, m, t, number):
            chosen = t > s
            return pick(chosen, t, s), pick(chosen, number, m)

    else:

        def take(s, m, t, number):
            chosen = (t > s) | (t != t)
            return pick(chosen, t, s), pick(chosen, number, m)

    take = inlined(take, always=True)

    def along(seen, t, n, count, step, taps, jump):
        """Of ``taps`` taps ``step`` apart, the value that is taken, in place of the first, and its number."""
        for i in range(0, count, lanes):
            s = load(t, i)
            m = integers(s, 0)
            if taps > 1:
                s, m = take(s, m, load(t, i + step), jump)
            if taps > 2:
                s, m = take(s, m, load(t, i + 2 * step), 2 * jump)
            if taps > 3:
                s, m = take(s, m, load(t, i + 3 * step), 3 * jump)
            if taps > 4:
                s, m = take(s, m, load(t, i + 4 * step), 4 * jump)
            store(t, i, s)
            store(n, i, m)

    def split(seen, t, n, count, step, taps, jump):
        """The same for every other place, whose values and numbers then are neighbours."""
        near = (step == 1) & (taps > 1)
        for i in range(0, count, lanes):
            a, b = load(t, 2 * i), load(t, 2 * i + lanes)
            s = even(a, b)
            m = integers(s, 0)
            if near:
                s, m = take(s, m, odd(a, b), jump)
            for j in range(2 if near else 1, taps):
                at = 2 * i + j * step
                s, m = take(s, m, even(load(t, at), load(t, at + lanes)), j * jump)
            store(t, i, s)
            store(n, i, m)

    def window(t, n, i, used, apart, jump, reach, reached):
        """The windows that begin at place ``i`` and behind, of ``used`` blocks that are ``apart``, the last ``reach``.

        Of up to three; a single one is taken as two in the same place. Numbers of taps rise by ``jump`` from block to
        block, those of the last by ``reached``.
        """
        s, m = load(t, i), load(n, i)
        if used > 2:
            s, m = take(s, m, load(t, i + apart), load(n, i + apart) + jump)
        return take(s, m, load(t, i + reach), load(n, i + reach) + reached)

    window = inlined(window, always=True)

    def merge(seen, t, n, count, used, apart, jump, reach, reached):
        """Windows in place of their first blocks, of 2 to 4 blocks; otherwise as ``window``."""
        for i in range(0, count, lanes):
            s, m = load(t, i), load(n, i)
            if used > 2:
                s, m = take(s, m, load(t, i + apart), load(n, i + apart) + jump)
            if used > 3:
                s, m = take(s, m, load(t, i + 2 * apart), load(n, i + 2 * apart) + 2 * jump)
            s, m = take(s, m, load(t, i + reach), load(n, i + reach) + reached)
            store(t, i, s)
            store(n, i, m)

    def make_rows(put: Any) -> Any:
        """The function that writes rows of outputs, for indices of one type."""

        def write_rows(
            seen, t, n, a, down, count, outputs, blocks, y, d, step, i, index_step, limit, edge, start, stride,
            dilation, jump, number, index, row_index, unit, p, spare, indices, few,
        ):  # fmt: skip
            """``count`` rows of outputs from element ``d`` on, ``step`` apart, from rows of the stack ``down`` apart.

            ``indices`` are written from ``i`` on. Writes whole vectors to places up to ``limit``; elsewhere, of short
            rows, one element at a time. A window that holds nothing but the identity takes its first tap on the input,
            whose number is that in ``edge`` and, along the leading axes, ``number`` and what rows above lack.
            """
            for _ in range(count):
                above = number
                if start < 0:
                    above += (dilation - 1 - start) // dilation * jump
                for first in range(0, outputs, lanes):
                    # the last vector begins earlier, so that nothing is written beside the row
                    o = max(min(first, outputs - lanes), 0)
                    s, m = window(t, n, a + o, *blocks)
                    m = pick(s == identity, load(edge, o) + above, m)
                    v = canonical(lower(s, 1, p))
                    if d + o <= limit:
                        store(y, d + o, v)
                        put(indices, i + o, m, index + o * unit, unit)
                    else:
                        store(spare, 0, v)
                        put(few, 0, m, index, unit)
                        for e in range(outputs):
                            y[d + e] = spare[e]
                            indices[i + e] = few[e]
                a += down
                d += step
                i += index_step
                start += stride
                index += row_index

        return inlined(write_rows)

    write_taps = write_places = make_rows(make_put_indices("u8"))
    if numbers_places(variant.source):
        write_places = make_rows(make_put_indices("i64"))
    return inlined(along), inlined(split), inlined(merge), write_taps, write_places
