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
from fastpool.kernels.cpu.memory import address
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_watch
from fastpool.kernels.cpu.vectors import even, load, none, prefetch, store
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
        place = 0
        for o in range(at, at + count, lanes):
            prefetch(x, o + width + ahead)
            a, b, c = load(x, o - width), load(x, o), load(x, o + width)
            bad = watch(watch(bad, a, b), c, c)
            a, b, c = lift(a, p), lift(b, p), lift(c, p)
            if (place >= width) & (place + lanes + width <= plane):
                store(t, to, combine(combine(a, b), c))
            else:
                store(t, to, three(a, b, c, load(marks, place), load(marks, place + apart), nothing))
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

    def write_runs(t, a, y, d, runs, down, step, count, width, marks, apart, nothing, divisor, p, spare):
        """``runs`` runs of ``count`` outputs from element ``d`` on, ``step`` apart, of rows of ``width`` places.

        In the stack the first one's windows begin at place ``a``; runs are ``down`` apart there.
        """
        more = stride * lanes % width
        for _ in range(runs):
            head = 0
            if count >= LONG * lanes:
                head = (lanes - (address(y) // size + d) % lanes) % lanes
            o, column = 0, 0
            while o < count:
                if o + lanes > count:
                    # the last vector begins earlier, so that nothing is written beside the run
                    o = max(count - lanes, 0)
                    column = stride * o % width
                s = window(t, a + stride * o, marks, column, apart, nothing)
                if stride == 2:
                    s = even(s, window(t, a + 2 * o + lanes, marks, column + lanes, apart, nothing))
                v = canonical(lower(s, divisor, p))
                if count >= lanes:
                    store(y, d + o, v)
                else:
                    store(spare, 0, v)
                    for e in range(count):
                        y[d + e] = spare[e]
                if (o == 0) & (head > 0):
                    o, column = head, stride * head % width
                else:
                    o += lanes
                    column += more
                    if column >= width:
                        column -= width
            d += step
            a += down

    return inlined(write_runs)
