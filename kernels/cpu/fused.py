"""Forward pooling of rows by small windows, in one sweep over memory and without scratch: explicit vectors.

Windows of two or three taps along each axis, at stride 1 or 2 along the last one. A row of outputs is made a vector at
a time, from the rows of its taps::

    rows of taps    a0 a1 a2 a3 ...        column   c0 c1 c2 c3 ...    c = a . b . d, as leading axes go
                    b0 b1 b2 b3 ...        even     c0 c2 ...
                    d0 d1 d2 d3 ...        odd      c1 c3 ...          output   even . odd [. even, one lane on]

Taps are combined along the first spatial axis, then the next. Reads ``bufs[0]``, writes ``bufs[1]``. A row outside the
input is read from a row of scratch that holds what counts for nothing. At the ends of a row vectors take in what lies
beside it, which is replaced afterwards, and write into the next row, which is written later; only at the ends of the
array, and of a tile, elements are copied one by one.
"""

from __future__ import annotations

import math
from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import CODES, SCALARS, address, pointer, pointer_like
from fastpool.kernels.cpu.parts import make_parameter
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_vector_parts, make_watch
from fastpool.kernels.cpu.vectors import (
    any_of,
    between,
    even,
    everywhere,
    fence,
    load,
    none,
    odd,
    prefetch,
    shifted,
    shifted_twice,
    store,
    store_past_cache,
)
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]
AHEAD = 1024
"""Bytes that are asked for ahead of a load: 2x2 windows of 224x224 planes took 5.6 ms, without 7.6."""


@register_jitable
def rows_of_taps(plan, c, table, x, blank, size, low, high):
    """Writes the addresses of the rows that the current output row needs, the first leading axis fastest.

    ``x`` is the address of the first element, ``blank`` that of the row that counts for nothing, ``low`` and ``high``
    the places along a row between which vectors are loaded. Returns whether memory from ``low`` to ``high`` is the
    array's own for all of them.
    """
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    first = _HEADER + outer * _AXIS
    second = first + _AXIS
    at = offset(plan, c, outer, P.SOURCE_STRIDE)
    if lead == 0:
        table[0] = x + at * size
        return (at + low >= 0) & (at + high <= plan[P.SOURCE_END])
    many, step, limit = plan[first + P.KERNEL], plan[first + P.DILATION], plan[first + P.SOURCE]
    start = c[outer] * plan[first + P.WINDOW_STRIDE] - plan[first + P.PAD]
    pitch = plan[first + P.SOURCE_STRIDE]
    more = 1 if lead == 1 else plan[second + P.KERNEL]
    own = True
    for j in range(more):
        here = at + start * pitch
        inside = True
        if lead > 1:
            place = c[outer + 1] * plan[second + P.WINDOW_STRIDE] - plan[second + P.PAD] + j * plan[second + P.DILATION]
            inside = (place >= 0) & (place < plan[second + P.SOURCE])
            here += place * plan[second + P.SOURCE_STRIDE]
        for i in range(many):
            place = start + i * step
            there = inside & (place >= 0) & (place < limit)
            table[j * many + i] = x + here * size if there else blank
            own = own & ((not there) | ((here + low >= 0) & (here + high <= plan[P.SOURCE_END])))
            here += step * pitch
    return own


@register_jitable
def followed(plan, table, x, row, axis, high, size):
    """Whether output row ``row`` and the one before it have all rows of their taps, in memory that is the array's."""
    start = (row - 1) * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
    reach = (plan[axis + P.KERNEL] - 1) * plan[axis + P.DILATION] + plan[axis + P.WINDOW_STRIDE]
    if (start < 0) | (start + reach >= plan[axis + P.SOURCE]) | (plan[axis + P.SOURCE_STRIDE] < 0):
        return False
    here = (table[plan[axis + P.KERNEL] - 1] - x) // size + plan[axis + P.WINDOW_STRIDE] * plan[axis + P.SOURCE_STRIDE]
    return here + high <= plan[P.SOURCE_END]


def make_fused(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    reduction = variant.vector
    assert reduction is not None
    code = CODES[variant.source]
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    ahead = AHEAD // size
    real = SCALARS[variant.source]
    identity = reduction.identity[0]
    lower_one = inlined(reduction.lower)
    parameter = make_parameter(variant)
    floats = variant.source[0] == "f"
    nan = real(math.nan) if floats else real(0)

    lift, lower, _ = make_vector_parts(variant)

    def make_row(combine: Any, watches: bool) -> Any:
        """The function of a row of outputs; with ``watches`` it returns whether it saw NaN, else False."""

        def end_of_row(x, q, width, spare, other):
            """The elements at the places ``q`` and up, ``other`` outside the row."""
            for e in range(lanes):
                spare[e] = x[q + e] if (q + e >= 0) & (q + e < width) else other
            return load(spare, 0)

        combine, watch, end_of_row = inlined(combine), make_watch(watches), inlined(end_of_row)

        def column_at_end(table, many, more, q, width, p, spare, other):
            """As ``column``, where vectors would reach into memory that is not the array's."""
            s = everywhere(spare, 0)
            bad = none(s)
            for j in range(more):
                t = s
                for i in range(many):
                    x = end_of_row(pointer_like(table[j * many + i], spare), q, width, spare, other)
                    bad = watch(bad, x, x)
                    t = combine(t, lift(x, p)) if i > 0 else lift(x, p)
                s = combine(s, t) if j > 0 else t
            return s, bad

        def column_of_planes(table, many, more, q, p, spare):
            """As ``column``, with two leading axes."""
            s = everywhere(pointer_like(table[0], spare), 0)
            bad = none(s)
            for j in range(more):
                t = s
                for i in range(many):
                    x = pointer_like(table[j * many + i], spare)
                    prefetch(x, q + ahead)
                    v = load(x, q)
                    bad = watch(bad, v, v)
                    t = combine(t, lift(v, p)) if i > 0 else lift(v, p)
                s = combine(s, t) if j > 0 else t
            return s, bad

        column_at_end, column_of_planes = inlined(column_at_end), inlined(column_of_planes)

        def column(table, many, more, q, p, spare):
            """The combined taps of the leading axes at the places ``q`` and up, and where NaN was seen."""
            if more > 1:
                return column_of_planes(table, many, more, q, p, spare)
            x = pointer_like(table[0], spare)
            a = load(x, q)
            s = lift(a, p)
            bad = none(s)
            if many == 1:
                bad = watch(bad, a, a)
            if many > 1:
                x = pointer_like(table[1], spare)
                b = load(x, q)
                bad = watch(bad, a, b)
                s = combine(s, lift(b, p))
            if many > 2:
                x = pointer_like(table[2], spare)
                b = load(x, q)
                bad = watch(bad, b, b)
                s = combine(s, lift(b, p))
            prefetch(x, q + ahead)
            return s, bad

        column = inlined(column, always=True)

        def any_column(table, many, more, q, width, own, p, spare, other, nothing):
            """As ``column``, at the ends of a row, too, where ``nothing`` lies outside."""
            if q >= width:
                s = everywhere(spare, nothing)
                return s, none(s)
            if (q >= 0) & (q + lanes <= width):
                return column(table, many, more, q, p, spare)
            if not own:
                return column_at_end(table, many, more, q, width, p, spare, other)
            s, bad = column(table, many, more, q, p, spare)
            # NaN beside the row is seen, too: that costs time, and is rare
            return between(s, -q, width - q, nothing), bad

        any_column = inlined(any_column, always=True)

        if floats and not watches:

            def canonical(v):
                return pick(v == v, v, nan)

        else:

            def canonical(v):
                return v

        canonical = inlined(canonical)

        def write(y, at, left, end, stream, s, divisor, p, spare):
            """Writes a vector of outputs, of which ``left`` are asked for; up to ``end`` others will be written."""
            v = canonical(lower(s, divisor, p))
            if stream & (left >= lanes):
                store_past_cache(y, at, v)
            elif (left >= lanes) | (at + lanes <= end):
                store(y, at, v)
            else:
                store(spare, 0, v)
                for e in range(left):
                    y[at + e] = spare[e]

        write = inlined(write, always=True)

        def row(
            table, many, more, y, d, end, stream, q, outputs, width, own, kernel, stride, p, spare, other, nothing,
            divisor,
        ):  # fmt: skip
            """One row of outputs, the first one at ``d``, whose window begins at place ``q``."""
            bad = none(everywhere(spare, 0))
            if kernel == 2:
                for o in range(0, outputs, lanes):
                    if (q + 2 * o >= 0) & (q + 2 * o + 2 * lanes <= width):
                        a, bad_a = column(table, many, more, q + 2 * o, p, spare)
                        b, bad_b = column(table, many, more, q + 2 * o + lanes, p, spare)
                    else:
                        a, bad_a = any_column(table, many, more, q + 2 * o, width, own, p, spare, other, nothing)
                        b, bad_b = any_column(
                            table, many, more, q + 2 * o + lanes, width, own, p, spare, other, nothing
                        )
                    bad = bad | bad_a | bad_b
                    write(y, d + o, outputs - o, end, stream, combine(even(a, b), odd(a, b)), divisor, p, spare)
            elif stride == 2:
                a, bad = any_column(table, many, more, q, width, own, p, spare, other, nothing)
                for o in range(0, outputs, lanes):
                    at = q + 2 * o + lanes
                    if (at >= 0) & (at + 2 * lanes <= width):
                        b, bad_b = column(table, many, more, at, p, spare)
                        c, bad_c = column(table, many, more, at + lanes, p, spare)
                    else:
                        b, bad_b = any_column(table, many, more, at, width, own, p, spare, other, nothing)
                        c, bad_c = any_column(table, many, more, at + lanes, width, own, p, spare, other, nothing)
                    bad = bad | bad_b | bad_c
                    e = even(a, b)
                    s = combine(combine(e, odd(a, b)), shifted(e, c))
                    write(y, d + o, outputs - o, end, stream, s, divisor, p, spare)
                    a = c
            else:
                a, bad = any_column(table, many, more, q, width, own, p, spare, other, nothing)
                for o in range(0, outputs, lanes):
                    b, bad_b = any_column(table, many, more, q + o + lanes, width, own, p, spare, other, nothing)
                    bad = bad | bad_b
                    s = combine(combine(a, shifted(a, b)), shifted_twice(a, b))
                    write(y, d + o, outputs - o, end, stream, s, divisor, p, spare)
                    a = b
            return any_of(bad)

        return inlined(row)

    # most rows hold no NaN: they are made without regard to it, and again where one was seen
    watches = reduction.calm is not None
    last_row = make_row(reduction.combine, False)
    first_row = make_row(reduction.calm, True) if watches else last_row

    def fused(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some rows of outputs, or a part of one."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        table = pointer(address(work) + plan[P.STATE], _INT64)
        spare = pointer(address(work) + plan[P.PACK], code)
        y = pointer(bufs[1], code)
        p = parameter(plan[P.PARAM])
        divisor = real(plan[P.DIVISOR])
        outer, axes = plan[P.OUTER], plan[P.OUTER] + plan[P.LEAD]
        last = _HEADER + axes * _AXIS
        width, kernel, stride = plan[last + P.SOURCE], plan[last + P.KERNEL], plan[last + P.WINDOW_STRIDE]
        many = plan[_HEADER + outer * _AXIS + P.KERNEL] if plan[P.LEAD] > 0 else 1
        more = plan[_HEADER + (outer + 1) * _AXIS + P.KERNEL] if plan[P.LEAD] > 1 else 1
        step = plan[last - _AXIS + P.WINDOW_STRIDE] * plan[last - _AXIS + P.SOURCE_STRIDE] * size
        nothing = real(identity)
        other = real(lower_one(nothing, real(1), 1, p))
        for e in range(plan[P.ROW]):
            spare[e] = other
        blank = address(work) + plan[P.PACK] + (lanes + plan[last + P.PAD]) * size
        group = plan[P.GROUP_AXIS]
        axis = _HEADER + max(group, 0) * _AXIS
        dense = (group >= 0) & (plan[P.BLOCKS] == 1) & (plan[axis + P.OUTPUT_STRIDE] == plan[last + P.OUTPUT])
        seek(plan, c, begin)
        for _ in range(begin, end):
            o = c[axes] * plan[P.BLOCK]
            outputs = min(plan[P.BLOCK], plan[last + P.OUTPUT] - o)
            q = o * stride - plan[last + P.PAD]
            high = q + ((outputs + lanes - 1) // lanes * stride + 1) * lanes
            first, stop = 0, 1
            if group >= 0:
                first = c[group]
                stop = min(first + plan[P.GROUP], plan[axis + P.OUTPUT])
            d = o + offset(plan, c, axes, P.OUTPUT_STRIDE)
            until = d + (stop - first) * plan[last + P.OUTPUT]
            own = False
            for r in range(first, stop):
                if group >= 0:
                    c[group] = r
                # where all rows were there, and the next ones are, they are a step further
                if own & (plan[P.LEAD] == 1) and followed(plan, table, bufs[0], r, axis, high, size):
                    for i in range(many):
                        table[i] += step
                else:
                    own = rows_of_taps(plan, c, table, bufs[0], blank, size, q, high)
                # before whole vectors can be written around the caches, some outputs up to a multiple of their size
                head = 0
                if plan[P.STREAM] != 0:
                    head = min((lanes - (bufs[1] // size + d) % lanes) % lanes, outputs)
                done = 0
                while done < outputs:
                    here, stream = outputs - done, plan[P.STREAM] != 0
                    if done < head:
                        here, stream = head, False
                    at, place, ends = d + done, q + done * stride, until if dense else d + outputs
                    seen = first_row(
                        table, many, more, y, at, ends, stream, place, here, width, own, kernel, stride, p, spare,
                        other, nothing, divisor,
                    )  # fmt: skip
                    if watches and seen:
                        last_row(
                            table, many, more, y, at, ends, stream, place, here, width, own, kernel, stride, p, spare,
                            other, nothing, divisor,
                        )  # fmt: skip
                    done += here
                d += plan[axis + P.OUTPUT_STRIDE]
            if group >= 0:
                c[group] = first
            advance(plan, c)
        if plan[P.STREAM] != 0:
            fence()

    return fused
