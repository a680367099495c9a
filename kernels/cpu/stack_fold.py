"""Combines taps along the first leading axis while planes are copied into the stack, see ``stacked``: two or three, or,
as ``stack_column`` does it, four or five.

What is stacked are then windows along that axis, one below the other, which takes less scratch and a pass less.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import FAR
from fastpool.kernels.cpu.memory import address, pointer_like
from fastpool.kernels.cpu.stack_column import make_fold_columns
from fastpool.kernels.cpu.stack_copy import columns_of, extent_of, make_fill, origin_of, rows_at_end
from fastpool.kernels.cpu.stack_runs import make_fold_run
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_watch
from fastpool.kernels.cpu.vectors import any_of, everywhere, load, none, prefetch_to_second, store
from fastpool.kernels.cpu.walk import offset
from fastpool.kernels.registry import Variant
from fastpool.kernels.taps import written_by_bands

_AXIS, _HEADER = P.AXIS, P.HEADER
BAND = 1 << 10
"""Bytes of a stack, at most, after which outputs are written where planes are made by bands of rows. To read memory and
to write outputs take turns; the shorter these are, the more goes on at a time: 512 planes of 112 x 112 float16 in 3x3
windows at a stride of 2 took 0.31 ms on two threads, plane by plane 0.35."""


MOST_AT_ONCE = 3
"""Taps that are combined row by row; windows of more keep what they share."""

register_jitable(written_by_bands)


@register_jitable
def by_bands(plan):
    """Whether outputs are written while planes are copied."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    stride, last_stride = plan[last - _AXIS + P.WINDOW_STRIDE], plan[last + P.WINDOW_STRIDE]
    return written_by_bands(plan[P.FIRST], plan[P.MARKS], plan[P.LEAD], stride, last_stride)


def make_fold(variant: Variant, combine: Any, lift: Any, watches: bool, write_runs: Any) -> Any:
    """The function that combines and copies; with ``watches`` it returns whether it saw NaN, else False.

    ``write_runs`` writes the outputs of rows without gaps, whose windows are a step of 2 apart.
    """
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    ahead = FAR // size
    watch, combine = make_watch(watches), inlined(combine)

    def fold_rows(t, to, x, y, z, taps, steps, count, width, whole, pitch, p, nothing):
        """Rows of the stack from ``to`` on, each from one of ``x``, ``y`` and, for three taps, ``z``.

        These are ``steps`` apart; vectors are read from the first ``whole`` elements of a row, others one by one.
        Writes up to a vector beyond a row. Returns where NaN was seen.
        """
        bad = none(nothing)
        at0, at1, at2 = 0, 0, 0
        for _ in range(count):
            for o in range(0, whole, lanes):
                a, b = load(x, at0 + o), load(y, at1 + o)
                bad = watch(bad, a, b)
                s = combine(lift(a, p), lift(b, p))
                if taps > 2:
                    prefetch_to_second(z, at2 + o + ahead)
                    b = load(z, at2 + o)
                    bad = watch(bad, b, b)
                    s = combine(s, lift(b, p))
                else:
                    prefetch_to_second(y, at1 + o + ahead)
                store(t, to + o, s)
            for o in range(whole, width):
                # one element in all lanes: of those written behind it, none is read
                a, b = everywhere(x, x[at0 + o]), everywhere(x, y[at1 + o])
                bad = watch(bad, a, b)
                s = combine(lift(a, p), lift(b, p))
                if taps > 2:
                    b = everywhere(x, z[at2 + o])
                    bad = watch(bad, b, b)
                    s = combine(s, lift(b, p))
                store(t, to + o, s)
            for o in range(width, pitch, lanes):
                store(t, to + o, nothing)
            at0 += steps[0]
            at1 += steps[1]
            at2 += steps[2]
            to += pitch
        return bad

    fold_rows = inlined(fold_rows, always=True)

    fill = make_fill(lanes)

    def fold_some(plan, t, to, x, at, taps, apart, there, blank, step, count, width, pitch, p, nothing):
        """``count`` rows of the stack whose first taps are ``step`` apart from element ``at`` on, the others ``apart``.

        ``there`` says by a bit for each tap whether it is inside the array; for others a row of ``blank`` stands.
        """
        if (step == width) & (pitch == width) & (there == (1 << taps) - 1):
            # rows that follow one another, here and there, are one
            width, pitch, count = width * count, pitch * count, 1
        origin = address(x)
        x0 = pointer_like(origin + at * size if there & 1 else blank, x)
        x1 = pointer_like(origin + (at + apart) * size if there & 2 else blank, x)
        x2 = pointer_like(origin + (at + 2 * apart) * size if there & 4 else blank, x)
        steps = (step if there & 1 else 0, step if there & 2 else 0, step if there & 4 else 0)
        past = at + (taps - 1) * apart + (width + lanes - 1) // lanes * lanes
        few = rows_at_end(plan, past, count, step)
        bad = fold_rows(t, to, x0, x1, x2, taps, steps, count - few, width, width, pitch, p, nothing)
        if few > 0:
            many = count - few
            x0 = pointer_like(address(x0) + many * steps[0] * size, x)
            x1 = pointer_like(address(x1) + many * steps[1] * size, x)
            x2 = pointer_like(address(x2) + many * steps[2] * size, x)
            inside = width // lanes * lanes
            to += many * pitch
            bad = bad | fold_rows(t, to, x0, x1, x2, taps, steps, few, width, inside, pitch, p, nothing)
        return bad

    fold_some = inlined(fold_some, always=True)
    fold_run = make_fold_run(variant, combine, lift, watches, ahead)
    fold_columns = make_fold_columns(variant, combine, lift, watches)

    def fold_planes(plan, c, t, x, blank, marks, count, p, identity, y, edges, divisor, spare):
        """Stacks ``count`` planes, the first of which the coordinates say, and what lies around them.

        Where that goes by bands, writes their outputs, too; ``edges`` are the marks of columns.
        """
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        first = _HEADER + outer * _AXIS
        near = first + _AXIS
        pitch = plan[P.PITCH]
        to, left, width = columns_of(plan, c)
        pad = to
        taps, limit = plan[first + P.KERNEL], plan[first + P.SOURCE]
        tap_step = plan[first + P.DILATION]
        apart = tap_step * plan[first + P.SOURCE_STRIDE]
        start, stride = origin_of(plan, first, c[outer]), plan[first + P.WINDOW_STRIDE]
        number = min(plan[first + P.BY], plan[first + P.OUTPUT] - c[outer])
        group = plan[_HEADER + max(outer - 1, 0) * _AXIS + P.SOURCE_STRIDE]
        base = offset(plan, c, outer, P.SOURCE_STRIDE) + left
        # a plane of the stack: with one leading axis a row, of which many may be made at a time
        top, high, row_step, bottom = 0, 1, 0, 0
        if lead > 1:
            top, high, row_step = plan[near + P.PAD], plan[near + P.SOURCE], plan[near + P.SOURCE_STRIDE]
            bottom = extent_of(plan, near) - top - high
        reach = (taps - 1) * tap_step
        nothing = everywhere(t, identity)
        blank_row = pointer_like(blank, x)
        bad = none(nothing)
        fill(t, 0, to, nothing)
        bands, most, d, more = by_bands(plan), max(number, 1), 0, 0
        outputs = plan[near + P.OUTPUT]
        if bands:
            most = max(BAND // size // (4 * pitch) * 4, 1)
            d = offset(plan, c, outer + 1, P.OUTPUT_STRIDE)
            more = 2 * lanes % pitch
        group_out = plan[_HEADER + max(outer - 1, 0) * _AXIS + P.OUTPUT_STRIDE]
        low, past, plane = 0, 0, 0
        if plan[P.ROW_MARKS] != 0:
            # planes that are made as one: all whose neighbours' rows are the array's
            plane = limit * width
            low, past = 0 if base >= width else 1, count
            while (past > low) & (base + past * plane + width + lanes > plan[P.SOURCE_END]):
                past -= 1
        g = -1
        while g + 1 < count:
            g += 1
            if (g == low) & (low < past):
                at, some = base + g * plane, (past - low) * plane
                bad = bad | fold_run(t, to, x, at, some, width, plane, marks, plane + lanes, p, nothing)
                to += some
                g = past - 1
                continue
            o = 0
            if taps > MOST_AT_ONCE:
                o, above = number, min(max(-start, 0), number + taps - 1)
                inside = max(min(limit - start, number + taps - 1) - above, 0)
                many = above, inside, number + taps - 1 - above - inside
                at = base + g * group + max(start, 0) * plan[first + P.SOURCE_STRIDE]
                bad = bad | fold_columns(
                    plan, t, to, x, at, plan[first + P.SOURCE_STRIDE], many, blank_row, taps, width, pitch, p, nothing,
                    identity,
                )  # fmt: skip
                to += number * pitch
            while o < number:
                place = start + o * stride
                at = base + g * group + place * plan[first + P.SOURCE_STRIDE]
                there = 0
                for j in range(taps):
                    if (place + j * tap_step >= 0) & (place + j * tap_step < limit):
                        there |= 1 << j
                some = 1
                if (lead == 1) & (place >= 0) & (place + reach < limit):
                    some = min((limit - 1 - reach - place) // stride + 1, number - o)
                if lead == 1:
                    step = stride * plan[first + P.SOURCE_STRIDE]
                    for done in range(0, some, most):
                        here = min(most, some - done)
                        bad = bad | fold_some(
                            plan, t, to, x, at, taps, apart, there, blank, step, here, width, pitch, p, nothing
                        )
                        at += here * step
                        if bands:
                            write_runs(
                                t, to - pad, y, d + (o + done) * outputs, 1, 0, 0, here * outputs, pitch, more, edges,
                                pitch + 2 * lanes, identity, divisor, p, spare,
                            )  # fmt: skip
                        else:
                            to += here * pitch
                else:
                    fill(t, to, top * pitch, nothing)
                    to += top * pitch
                    bad = bad | fold_some(
                        plan, t, to, x, at, taps, apart, there, blank, row_step, high, width, pitch, p, nothing
                    )
                    to += high * pitch
                    fill(t, to, bottom * pitch, nothing)
                    to += bottom * pitch
                o += some
            d += group_out
        fill(t, to, plan[P.TAIL] * pitch, nothing)
        return any_of(bad)

    return inlined(fold_planes)
