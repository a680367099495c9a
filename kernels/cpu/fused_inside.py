"""Rows of windows that all lie on the input, for ``fused``: no vector takes in what lies beside its row.

The last vector of a row begins earlier, so that it ends with the row: what one before it wrote is written again, with
the same bits.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import AHEAD, FAR
from fastpool.kernels.cpu.memory import address, pointer_like
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_vector_parts, make_watch
from fastpool.kernels.cpu.vectors import (
    any_of,
    even,
    everywhere,
    load,
    none,
    odd,
    prefetch,
    prefetch_to_second,
    store,
    store_past_cache,
)
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER


@register_jitable
def rows_inside(plan, c, first, stop):
    """How many rows of outputs from ``first`` on, below ``stop``, have all rows of their taps on the input."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    if lead == 0:
        return stop - first
    near = _HEADER + (outer + lead - 1) * _AXIS
    if lead > 1:
        far = near - _AXIS
        place = c[outer] * plan[far + P.WINDOW_STRIDE] - plan[far + P.PAD]
        if (place < 0) | (place + (plan[far + P.KERNEL] - 1) * plan[far + P.DILATION] >= plan[far + P.SOURCE]):
            return 0
    if first * plan[near + P.WINDOW_STRIDE] < plan[near + P.PAD]:
        return 0
    room = plan[near + P.SOURCE] - 1 - (plan[near + P.KERNEL] - 1) * plan[near + P.DILATION] + plan[near + P.PAD]
    return max(min(stop, room // plan[near + P.WINDOW_STRIDE] + 1) - first, 0)


def make_column(variant: Variant, combine: Any, watches: bool) -> Any:
    """``column(table, many, more, far, q, p, spare)``: the taps of the leading axes, combined, at the places ``q`` up.

    The rows are those of the table, ``many`` along the first leading axis, ``more`` along the second one. Returns where
    NaN was seen, too, if it ``watches``.
    """
    size = vectors.BYTES // vectors.lanes(variant.source)
    near, ahead = AHEAD // size, FAR // size
    combine, watch = inlined(combine), make_watch(watches)
    lift, _, _ = make_vector_parts(variant)

    def column_of_planes(table, many, more, far, q, p, spare):
        """As ``column``, with two leading axes."""
        s = everywhere(pointer_like(table[0], spare), 0)
        bad = none(s)
        for j in range(more):
            t = s
            for i in range(many):
                x = pointer_like(table[j * many + i], spare)
                if far:
                    prefetch_to_second(x, q + ahead)
                else:
                    prefetch(x, q + near)
                v = load(x, q)
                bad = watch(bad, v, v)
                t = combine(t, lift(v, p)) if i > 0 else lift(v, p)
            s = combine(s, t) if j > 0 else t
        return s, bad

    column_of_planes = inlined(column_of_planes)

    def column(table, many, more, far, q, p, spare):
        if more > 1:
            return column_of_planes(table, many, more, far, q, p, spare)
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
            z = pointer_like(table[2], spare)
            b = load(z, q)
            bad = watch(bad, b, b)
            s = combine(s, lift(b, p))
            # with a step of 2 two of three rows are new
            if far:
                prefetch_to_second(x, q + ahead)
                prefetch_to_second(z, q + ahead)
            else:
                prefetch(x, q + 2 * near)
                prefetch(z, q + 2 * near)
        elif far & (many > 1):
            prefetch_to_second(x, q + ahead)
            prefetch_to_second(pointer_like(table[0], spare), q + ahead)
        else:
            # a single row is foreseen
            prefetch(x, q + near)
        return s, bad

    return inlined(column, always=True)


def make_finish(variant: Variant, watches: bool) -> Any:
    """``finish(s, divisor, p)``: results from states, NaN in one form, unless all is made again where it is seen."""
    _, lower, canonical = make_vector_parts(variant)
    if watches:
        return lower

    def finish(s, divisor, p):
        return canonical(lower(s, divisor, p))

    return inlined(finish)


def make_inside(variant: Variant, combine: Any, watches: bool) -> Any:
    """The function of rows of windows of two taps; with ``watches`` it returns whether it saw NaN, else False."""
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    column, combine = make_column(variant, combine, watches), inlined(combine)
    finish = make_finish(variant, watches)

    lift, _, _ = make_vector_parts(variant)
    watch = make_watch(watches)
    near, ahead = AHEAD // size, FAR // size

    def pairs(table, far, y, d, down, count, q, step, outputs, divisor, p, spare):
        """As ``inside``, of two rows of taps."""
        bad = none(everywhere(spare, 0))
        x, z = pointer_like(table[0], spare), pointer_like(table[1], spare)
        last = max(outputs - lanes, 0)
        for _ in range(count):
            for o in range(0, outputs, lanes):
                at = min(o, last)
                i = q + 2 * at
                if far:
                    prefetch_to_second(x, i + ahead)
                    prefetch_to_second(z, i + ahead)
                    prefetch_to_second(x, i + lanes + ahead)
                    prefetch_to_second(z, i + lanes + ahead)
                else:
                    prefetch(x, i + 2 * near)
                    prefetch(x, i + lanes + 2 * near)
                a, b = load(x, i), load(z, i)
                e, f = load(x, i + lanes), load(z, i + lanes)
                bad = watch(watch(bad, a, b), e, f)
                a, b = combine(lift(a, p), lift(b, p)), combine(lift(e, p), lift(f, p))
                store(y, d + at, finish(combine(even(a, b), odd(a, b)), divisor, p))
            q += step
            d += down
        return any_of(bad)

    pairs = inlined(pairs)

    def inside(table, many, more, far, y, d, down, count, stream, q, step, outputs, divisor, p, spare):
        """``count`` rows of ``outputs`` from element ``d`` on, ``down`` apart; their windows begin at the places ``q``,
        ``step`` apart. Rows of less than a vector are written as one.

        Where NaN was seen, what was written is not right.
        """
        if (many == 2) & (more == 1) & (not stream):
            return pairs(table, far, y, d, down, count, q, step, outputs, divisor, p, spare)
        bad = none(everywhere(spare, 0))
        head = 0
        for _ in range(count):
            if stream:
                head = (lanes - (address(y) // size + d) % lanes) % lanes
            o = 0
            while o < outputs:
                at = max(min(o, outputs - lanes), 0)
                a, bad_a = column(table, many, more, far, q + 2 * at, p, spare)
                b, bad_b = column(table, many, more, far, q + 2 * at + lanes, p, spare)
                bad = bad | bad_a | bad_b
                v = finish(combine(even(a, b), odd(a, b)), divisor, p)
                if not stream:
                    store(y, d + at, v)
                    o += lanes
                elif (o >= head) & (o == at):
                    store_past_cache(y, d + o, v)
                    o += lanes
                else:
                    # ends are written one by one: a vector would go through lines that go around the caches
                    past = head if o < head else outputs
                    store(spare, 0, v)
                    for e in range(o, past):
                        y[d + e] = spare[e - at]
                    o = past
            q += step
            d += down
        return any_of(bad)

    return inlined(inside)
