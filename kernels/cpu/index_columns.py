"""Forward max pooling with indices of planes, by windows of 3x3: vectors of outputs one below the other.

What the three taps of a row give, value and number, is kept in registers for the windows below that hold the row, too::

    row -1         h = row 0, whose number counts as that in row -1: of equal taps the first one on the input stays
    row  0   h         window 0 = h(-1) . h(0) . h(1)
    row  1   h         window 1 = h(0) . h(1) . h(2)          with a step of 1
    row  2   h

so that a row costs two comparisons and a window two more. Some rows of all columns are made before those below.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import FAR
from fastpool.kernels.cpu.memory import CODES, address, pointer
from fastpool.kernels.cpu.numbered_taps import Taps, edges
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import (
    any_of,
    everywhere,
    integers,
    lanes_past,
    load,
    none,
    prefetch_to_second,
    prefetch_to_write,
    store,
    store_as,
)
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant

_INT16 = CODES["i16"]

LINE = 64
"""Bytes of a line of the caches."""

BAND_BYTES = 1 << 13
"""Bytes of the rows of which all columns are made before those below: these, their results and those that are asked for
ahead stay in a first-level cache of 32 KiB. With 16 KiB the `resnet stem` with taps took 1.4 of the time of values
there, with 8 KiB 1.2."""

BANDS_AHEAD = 2
"""Bands that are asked for ahead, for the second-level cache: 8 x 64 planes of 112 x 112 took 1.70 ms with the next one
asked for by the first-level cache, 1.25 by the second-level one, with two 1.18, with five 1.19."""


def make_columns(variant: Variant, taps: Taps, stride: int, put: Any) -> Any:
    """The function that writes outputs and indices of a plane, windows being a step of ``stride`` apart both ways.

    It does so as if no tap were NaN, and returns whether one was.
    """
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    of_row, take, lower = taps.of_row[stride - 1], taps.take, taps.lower
    two_lines = stride * vectors.BYTES > LINE

    def column(
        x, u, step, rows, q, width, above, below, y, d, down, indices, i, index_down, index, row_index, unit, jump,
        row_jump, p, ahead, spare, bad,
    ):  # fmt: skip
        """A vector of outputs in each of ``rows`` rows, from element ``u`` of the input on, where the windows begin at
        place ``q`` of a row. ``above`` and ``below`` are 1 where the first row of taps of the first window, or the last
        one of the last, is outside; ``u`` is that of the first row which is not.
        """
        like = everywhere(spare, 0)
        first, third = edges(q, stride, width)
        first, third = lanes_past(like, first), lanes_past(like, third)
        s0 = s1 = like
        n0 = n1 = integers(like, 0)
        wait = 3
        for part in range(3):
            # the first row, those between, and a last one that is outside
            many, number, on = 1, above * row_jump, step - above * step
            if part == 1:
                many, number, on = (rows - 1) * stride + 2 - below, 0, step
            elif part == 2:
                many, number = below, -row_jump
                u -= step
            for _ in range(many):
                prefetch_to_second(x, u + ahead)
                if two_lines:
                    prefetch_to_second(x, u + lanes + ahead)
                s2, n2, bad = of_row(x, u, first, third, number, jump, p, bad)
                u += on
                wait -= 1
                if wait == 0:
                    wait = stride
                    s, n = take(s0, n0, s1, n1 + row_jump)
                    s, n = take(s, n, s2, n2 + 2 * row_jump)
                    # Columns are written a line here and a line there, which the hardware does not foresee: without
                    # this the `resnet stem` with indices took 1.4 of the time on a processor of 32 MiB.
                    prefetch_to_write(y, d + rows * down)
                    if indices[2]:
                        prefetch_to_write(indices[1], i + rows * index_down)
                    store(y, d, lower(s, p))
                    put(indices, i, n, index, unit)
                    d += down
                    i += index_down
                    index += row_index
                s0, n0, s1, n1 = s1, n1, s2, n2
        return bad

    column = inlined(column, always=True)

    def columns(
        x, at, step, top, high, count, begins, ends, pad, width, y, d, down, indices, i, index_down, index, row_index,
        unit, jump, row_jump, p, spare,
    ):  # fmt: skip
        """``count`` rows of outputs from column ``begins`` to ``ends``; returns whether a tap was NaN.

        ``top`` is the row of the input at which the first window begins; -1 is a row of padding, as ``high`` is.
        ``at``, ``d`` and ``i`` are the elements of row 0 of the input, and of column 0 of the first row written.
        """
        bad = none(everywhere(spare, 0))
        band = max(8, BAND_BYTES // size // (stride * max(width, 1)))
        for r in range(0, count, band):
            rows = min(band, count - r)
            start = top + r * stride
            above = 1 if start < 0 else 0
            below = 1 if start + (rows - 1) * stride + 2 >= high else 0
            o = begins
            while o < ends:
                o = min(o, ends - lanes)
                q = o * stride - pad
                bad = column(
                    x, at + (start + above) * step + q, step, rows, q, width, above, below, y, d + r * down + o, down,
                    indices, i + r * index_down + o, index_down, index + r * row_index + q * unit, row_index,
                    stride * unit, jump, row_jump, p, BANDS_AHEAD * rows * stride * step, spare, bad,
                )  # fmt: skip
                o += lanes
        return any_of(bad)

    return inlined(columns)


def windows_of_two(lanes: int) -> int:
    """Windows that a vector of ``make_squares_of_two`` makes: of elements of a byte half a vector."""
    return lanes // 2 if lanes == vectors.BYTES else lanes


def make_squares_of_two(variant: Variant, taps: Taps, put: Any) -> Any:
    """The function that writes rows of outputs whose windows are 2x2, share no tap and lie on the input."""
    lanes = vectors.lanes(variant.source)
    if lanes == vectors.BYTES:
        return make_squares_of_bytes(windows_of_two(lanes))
    ahead = FAR * lanes // vectors.BYTES
    two_apart, _, take, lower = taps

    def squares_of_two(
        x, at, line, count, begins, ends, y, d, down, indices, i, index_down, index, index_step, unit, jump, below, p,
        spare,
    ):  # fmt: skip
        """``count`` rows, the first of which reads from element ``at`` on, and the row ``line`` places from there.

        Rows of less than a vector are written as one. Returns whether a tap was NaN.
        """
        like = everywhere(spare, 0)
        bad = none(like)
        first, second = integers(like, 0), integers(like, jump)
        third, fourth = integers(like, below), integers(like, below + jump)
        for _ in range(count):
            o = begins
            while o < ends:
                # the last vector begins earlier, so that nothing is read or written beside the row
                o = max(min(o, ends - lanes), begins)
                q = at + 2 * o
                prefetch_to_second(x, q + ahead)
                prefetch_to_second(x, q + lanes + ahead)
                a, b, bad = two_apart(x, q, p, bad)
                s, n = take(a, first, b, second)
                prefetch_to_second(x, q + line + ahead)
                prefetch_to_second(x, q + line + lanes + ahead)
                a, b, bad = two_apart(x, q + line, p, bad)
                t, m = take(a, third, b, fourth)
                s, n = take(s, n, t, m)
                store(y, d + o, lower(s, p))
                put(indices, i + o, n, index + 2 * o * unit, 2 * unit)
                o += lanes
            at += 2 * line
            d += down
            i += index_down
            index += index_step
        return any_of(bad)

    return inlined(squares_of_two)


def make_squares_of_bytes(windows: int) -> Any:
    """The same for elements of a byte, of which two are one integer: a window's taps along a row.

    A tap is its value above the complement of its number, so that the largest is the first of the largest taps, and
    nothing is taken apart. Planes of 112 x 112 took 0.47 ms so, and 0.58 by values and numbers.
    """

    def squares_of_bytes(
        x, at, line, count, begins, ends, y, d, down, indices, i, index_down, index, index_step, unit, jump, below, p,
        spare,
    ):  # fmt: skip
        """As ``squares_of_two``."""
        sign = p & 255
        both = sign * 257
        first, second, third, fourth = 255, 255 - jump, 255 - below, 255 - below - jump
        for _ in range(count):
            o = begins
            while o < ends:
                o = max(min(o, ends - windows), begins)
                here = address(x) + at + 2 * o
                v = load(pointer(here, _INT16), 0) ^ both
                a, b = v * 256 | first, v & -256 | second
                s = pick(a > b, a, b)
                v = load(pointer(here + line, _INT16), 0) ^ both
                a, b = v * 256 | third, v & -256 | fourth
                a = pick(a > b, a, b)
                s = pick(s > a, s, a)
                store_as(y, d + o, (s >> 8) ^ sign)
                store_as(indices[0], i + o, s ^ 255)
                prefetch_to_second(x, at + 2 * o + FAR)
                prefetch_to_second(x, at + line + 2 * o + FAR)
                o += windows
            at += 2 * line
            d += down
            i += index_down
        return False

    return inlined(squares_of_bytes)
