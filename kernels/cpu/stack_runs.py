"""Rows of a stack that follow one another without padding between them, see ``stacked``: runs of any number of rows.

Windows of three taps, the middle one of which is always there; which of the others are, marks tell, a row of them for
first taps and one for last taps, that repeat with the rows of the stack, or with its planes::

    stack          a0 a1 a2 b0 b1 b2 ...     two rows of three, windows one apart
    first taps        a0 a1 a2 b0 b1 ...
    marks           0  1  1  0  1  1 ...     nothing in place of what is not marked
    last taps      a1 a2 b0 b1 b2 ...
    marks           1  1  0  1  1  0 ...

A vector then never ends with a row, be it ever so short.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import address, pointer_like
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_watch
from fastpool.kernels.cpu.vectors import even, load, none, prefetch_to_second, store
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant

LONG = 16
"""Vectors of a run from which on all but the first one and the last are written to one cache line each."""


def make_marks(lanes: int) -> Any:
    """The function that writes marks."""

    def write_marks(marks, apart, unit, low, high, one, zero):
        """First taps of places from ``low`` on are there, last taps of places below ``high``, of ``unit`` places.

        Each of two rows has ``apart`` marks.
        """
        for i in range(0, 2 * apart, lanes):
            store(marks, i, one)
        for first in range(0, apart, unit):
            for i in range(first, min(first + low, apart)):
                marks[i] = zero
            for i in range(first + high, min(first + unit, apart)):
                marks[apart + i] = zero

    return inlined(write_marks)


def make_three(overlaps: bool, combine: Any) -> Any:
    """``three(a, b, c, first, last, nothing)``: what three taps combine to, of which the first and last are marked."""
    if overlaps:

        def three(a, b, c, first, last, nothing):
            s = pick(first > 0, combine(a, b), b)
            return pick(last > 0, combine(s, c), s)

    else:

        def three(a, b, c, first, last, nothing):
            return combine(combine(pick(first > 0, a, nothing), b), pick(last > 0, c, nothing))

    return inlined(three, always=True)


def make_fold_run(variant: Variant, combine: Any, lift: Any, watches: bool, ahead: int) -> Any:
    """The function that combines three rows of planes that follow one another; with ``watches`` it looks for NaN."""
    lanes = vectors.lanes(variant.source)
    assert variant.vector is not None
    watch, combine = make_watch(watches), inlined(combine)
    three = make_three(variant.vector.repeatable, combine)

    def fold_run(t, to, x, at, count, width, plane, marks, apart, p, nothing):
        """``count`` places of the stack from ``to`` on, from the rows around the elements from ``at`` on.

        Writes up to a vector beyond. Returns where NaN was seen.
        """
        bad = none(nothing)
        place, o, end = 0, at, at + count
        while o < end:
            # the most of them are neither of a plane's first row nor of its last one
            free = 0
            if (place >= width) & (place + lanes + width <= plane):
                free = min(plane - width - place, end - o + lanes - 1) // lanes
            for _ in range(free):
                prefetch_to_second(x, o + width + ahead)
                a, b, c = load(x, o - width), load(x, o), load(x, o + width)
                bad = watch(watch(bad, a, b), c, c)
                store(t, to, combine(combine(lift(a, p), lift(b, p)), lift(c, p)))
                o += lanes
                to += lanes
            place += free * lanes
            if o < end:
                a, b, c = load(x, o - width), load(x, o), load(x, o + width)
                bad = watch(watch(bad, a, b), c, c)
                first, last = load(marks, place), load(marks, place + apart)
                store(t, to, three(lift(a, p), lift(b, p), lift(c, p), first, last, nothing))
                o += lanes
                to += lanes
                place += lanes
            while place >= plane:
                place -= plane
        return bad

    return inlined(fold_run)


def make_write_runs(variant: Variant, combine: Any, lower: Any, canonical: Any, stride: int) -> Any:
    """The function that writes outputs, of windows along the last axis that are a step of ``stride`` apart."""
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    assert variant.vector is not None
    three = make_three(variant.vector.repeatable, inlined(combine))

    def window(t, i, marks, m, apart, nothing):
        first, last = load(marks, m), load(marks, m + apart)
        return three(load(t, i), load(t, i + 1), load(t, i + 2), first, last, nothing)

    window = inlined(window, always=True)

    def write_runs(t, a, y, d, runs, down, step, count, width, more, marks, apart, nothing, divisor, p, spare):
        """``runs`` runs of ``count`` outputs from element ``d`` on, ``step`` apart, of rows of ``width`` places.

        In the stack the first one's windows begin at place ``a``; runs are ``down`` apart there. From a vector of
        outputs to the next it is ``more`` places, beside whole rows.
        """
        short = count < lanes
        for _ in range(runs):
            head = 0
            if count >= LONG * lanes:
                head = (lanes - (address(y) // size + d) % lanes) % lanes
            last = max(count - lanes, 0)
            z = pointer_like(address(spare) if short else address(y) + d * size, y)
            # One vector before the first cache line; all others, each of a line where the run is long; the last one,
            # which begins earlier, so that nothing is written beside the run. In three loops of nothing else: with
            # these cases told apart for each vector, planes of 28 x 28 float16 took a fifth more time.
            for part in range(3):
                begin, past = 0, min(head, 1)
                if part == 1:
                    begin, past = head, last + 1
                elif part == 2:
                    begin, past = last, last + min((last - head) % lanes, 1)
                column = 0
                if (begin > 0) & (begin < past):
                    column = stride * begin % width
                for o in range(begin, past, lanes):
                    s = window(t, a + stride * o, marks, column, apart, nothing)
                    if stride == 2:
                        s = even(s, window(t, a + 2 * o + lanes, marks, column + lanes, apart, nothing))
                    store(z, o, canonical(lower(s, divisor, p)))
                    column += more
                    if column >= width:
                        column -= width
            if short:
                for e in range(count):
                    y[d + e] = spare[e]
            d += step
            a += down

    return inlined(write_runs)
