"""Forward pooling of small planes at stride 1 or 2, stacked in scratch: rows of any width are one run of vectors.

Where a row is one to three vectors, finding the next row costs more than making it. So a tile copies some planes into
scratch, padding included, where all of their rows are one row::

    . . . . . . . . .     outside
    a a a a . b b b b     padding between two rows, or two planes, serves both
    . c c c c . . . .     a row of three and padding of one: rows of the stack are five apart, planes four rows

A tap to the right is then one state on, a tap below as many as a row of the stack has, and every axis is combined by
passes over the whole stack, whatever it is cut into: in blocks of 2 or 4, 8 or 16 ... taps, so that a window costs
log(k). What a pass makes at the places between two rows is never read. Windows are made from those blocks; along the
last axis, while outputs are written.

Reads ``bufs[0]``, writes ``bufs[1]``. Taps are combined along the first spatial axis, then the next.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import CODES, SCALARS, address, pointer
from fastpool.kernels.cpu.parts import make_parameter
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_vector_parts
from fastpool.kernels.cpu.vectors import any_of, either_nan, even, everywhere, load, none, prefetch, store
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.registry import Variant
from fastpool.kernels.taps import extent

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]

AHEAD = 1024
"""Bytes that are asked for ahead of a row."""

RUN = 3
"""Vectors of a row from which on windows between those that are asked for are left out."""

register_jitable(extent)


@register_jitable
def origin_of(plan, axis, o):
    """The source position at which the window of output ``o`` begins."""
    return o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]


@register_jitable
def extent_of(plan, axis):
    """Places that an axis takes in the stack."""
    return extent(
        plan[axis + P.SOURCE], plan[axis + P.OUTPUT], plan[axis + P.BY], plan[axis + P.KERNEL],
        plan[axis + P.WINDOW_STRIDE], plan[axis + P.DILATION], plan[axis + P.PAD],
    )  # fmt: skip


def make_copy(variant: Variant, lift: Any, watches: bool) -> Any:
    """The function that copies planes into the stack; with ``watches`` it returns whether it saw NaN, else False."""
    lanes = vectors.lanes(variant.source)
    ahead = AHEAD // (vectors.BYTES // lanes)

    if watches:

        def watch(bad, v):
            return bad | either_nan(v, v)

    else:

        def watch(bad, v):
            return bad

    watch = inlined(watch)

    def copy_rows(t, to, x, at, count, step, width, pitch, p, nothing):
        """Rows of the stack from ``to`` on, and what counts for nothing behind each; returns where NaN was seen.

        Reads and writes whole vectors: up to one beyond a row.
        """
        bad = none(nothing)
        for _ in range(count):
            for o in range(0, width, lanes):
                prefetch(x, at + o + ahead)
                v = load(x, at + o)
                bad = watch(bad, v)
                store(t, to + o, lift(v, p))
            for o in range(width, pitch, lanes):
                store(t, to + o, nothing)
            at += step
            to += pitch
        return bad

    def copy_last_rows(t, to, x, at, count, step, width, pitch, p, nothing):
        """As ``copy_rows``, where vectors would reach beyond the array."""
        bad = none(nothing)
        for _ in range(count):
            for o in range(width):
                # one element in all lanes: of those written behind it, none is read
                v = everywhere(x, x[at + o])
                bad = watch(bad, v)
                store(t, to + o, lift(v, p))
            for o in range(width, pitch, lanes):
                store(t, to + o, nothing)
            at += step
            to += pitch
        return bad

    copy_rows, copy_last_rows = inlined(copy_rows, always=True), inlined(copy_last_rows, always=True)

    def fill(t, to, count, nothing):
        for o in range(to, to + count, lanes):
            store(t, o, nothing)

    fill = inlined(fill, always=True)

    def copy_planes(plan, c, t, x, count, p, identity):
        """Stacks ``count`` planes, the first of which the coordinates say, and what lies around them."""
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        last = _HEADER + (outer + lead) * _AXIS
        near = last - _AXIS
        far = near - _AXIS
        width, pitch = plan[last + P.SOURCE], extent_of(plan, last)
        rows, planes, high, deep, row_step, plane_step = 1, 1, 1, 1, 0, 0
        top, front = 0, 0
        if lead > 0:
            rows, high, row_step = extent_of(plan, near), plan[near + P.SOURCE], plan[near + P.SOURCE_STRIDE]
            top = -origin_of(plan, near, c[outer + lead - 1])
        if lead > 1:
            planes, deep, plane_step = extent_of(plan, far), plan[far + P.SOURCE], plan[far + P.SOURCE_STRIDE]
            front = -origin_of(plan, far, c[outer + lead - 2])
        group = plan[_HEADER + max(outer - 1, 0) * _AXIS + P.SOURCE_STRIDE]
        first = offset(plan, c, outer, P.SOURCE_STRIDE)
        # rows of the source from ``begin`` to ``end - 1`` are in the stack, below ``top`` rows of padding
        begin, end = max(-top, 0), min(rows - top, high)
        top = max(top, 0)
        bottom = rows - top - max(end - begin, 0)
        whole = (width + lanes - 1) // lanes * lanes
        nothing = everywhere(t, identity)
        bad = none(nothing)
        to = plan[last + P.PAD]
        fill(t, 0, to, nothing)
        for g in range(count):
            for j in range(planes):
                if (j < front) | (j - front >= deep):
                    fill(t, to, rows * pitch, nothing)
                    to += rows * pitch
                    continue
                at = first + g * group + (j - front) * plane_step + begin * row_step
                fill(t, to, top * pitch, nothing)
                to += top * pitch
                many = max(end - begin, 0)
                # rows at the end of the array, whose last vectors do not fit in it
                few = 0
                while (few < many) & (at + (many - 1 - few) * row_step + whole > plan[P.SOURCE_END]):
                    few += 1
                bad = bad | copy_rows(t, to, x, at, many - few, row_step, width, pitch, p, nothing)
                to += (many - few) * pitch
                if few > 0:
                    at += (many - few) * row_step
                    bad = bad | copy_last_rows(t, to, x, at, few, row_step, width, pitch, p, nothing)
                    to += few * pitch
                fill(t, to, bottom * pitch, nothing)
                to += bottom * pitch
        # padding before a plane serves the one before it; the last one needs some behind it
        fill(t, to, plan[P.TAIL] * pitch, nothing)
        return any_of(bad)

    return inlined(copy_planes)


def make_passes(variant: Variant, combine: Any, lower: Any, canonical: Any) -> Any:
    """The function that combines a stack and writes the outputs of its planes."""
    reduction = variant.vector
    assert reduction is not None
    lanes = vectors.lanes(variant.source)
    overlaps = reduction.repeatable
    combine = inlined(combine)

    def double(t, a, to, count, step):
        """Blocks of twice as many taps: ``t[to + i] = t[a + i] . t[a + i + step]``."""
        for i in range(0, count, lanes):
            store(t, to + i, combine(load(t, a + i), load(t, a + i + step)))

    def quadruple(t, a, count, step):
        """Blocks of four times as many taps, in place."""
        for i in range(a, a + count, lanes):
            s = combine(load(t, i), load(t, i + step))
            store(t, i, combine(s, combine(load(t, i + 2 * step), load(t, i + 3 * step))))

    double, quadruple = inlined(double), inlined(quadruple)

    def blocks(t, blocks_of, a, room, many, count, step, kernel):
        """Makes the blocks that windows of ``kernel`` taps, ``step`` apart, consist of.

        Writes how far apart they are in ``blocks_of``, from place ``a`` of the stack on, which has ``room`` places in
        each of ``many`` copies; returns the first block's place and how many there are.
        """
        size = 1
        if overlaps:
            while 4 * size < kernel:
                quadruple(t, a, count + (kernel - 4 * size) * step, size * step)
                size *= 4
            used = (kernel + size - 1) // size
            for j in range(used):
                blocks_of[j] = min(j * size, kernel - size) * step
            return a, used
        # Sums are added as binary blocks go. The largest block is never made: its halves are added in its place.
        # Smaller ones that are needed behind it are kept, while larger ones are made in the next copy of the stack.
        used, place = 0, a
        while 4 * size <= kernel:
            to = place
            if kernel & size != 0:
                to = (place // room + 1) % many * room
                used += 1
                blocks_of[P.MOST_BLOCKS - used] = place
            double(t, place, to, count + (kernel - 2 * size) * step, size * step)
            place = to
            size *= 2
        blocks_of[0], blocks_of[1] = 0, size * step
        if kernel == 1:
            return place, 1
        number, done, at = 2, 2 * size, P.MOST_BLOCKS - used
        if kernel & size != 0:
            blocks_of[2] = done * step
            number, done = 3, 3 * size
        while at < P.MOST_BLOCKS:
            size //= 2
            if kernel & size != 0:
                blocks_of[number] = blocks_of[at] - place + done * step
                number += 1
                done += size
                at += 1
        return place, number

    blocks = inlined(blocks)

    def window(t, i, b1, b2, b3, blocks_of, used):
        """The windows that begin at place ``i`` and behind, from their blocks."""
        s = load(t, i)
        if used > 1:
            s = combine(s, load(t, i + b1))
        if used > 2:
            s = combine(s, load(t, i + b2))
        if used > 3:
            s = combine(s, load(t, i + b3))
        for j in range(4, used):
            s = combine(s, load(t, i + blocks_of[j]))
        return s

    window = inlined(window, always=True)

    def windows(t, a, count, runs, apart, blocks_of, used):
        """Windows in place of their first blocks: ``runs`` times ``count`` of them, ``apart`` from run to run."""
        b1, b2, b3 = blocks_of[1], blocks_of[2], blocks_of[3]
        if used == 2:
            for _ in range(runs):
                for i in range(a, a + count, lanes):
                    store(t, i, combine(load(t, i), load(t, i + b1)))
                a += apart
        elif used == 3:
            for _ in range(runs):
                for i in range(a, a + count, lanes):
                    store(t, i, combine(combine(load(t, i), load(t, i + b1)), load(t, i + b2)))
                a += apart
        elif used > 3:
            for _ in range(runs):
                for i in range(a, a + count, lanes):
                    store(t, i, window(t, i, b1, b2, b3, blocks_of, used))
                a += apart

    windows = inlined(windows)

    def make_rows(window: Any, stride: int) -> Any:
        """The function that writes rows of outputs from a stack, where windows are a step of ``stride`` apart."""

        def write_rows(t, a, down, y, d, step, count, outputs, limit, b1, b2, b3, blocks_of, used, divisor, p, spare):
            """Rows of outputs from element ``d`` on, ``step`` apart, from rows of the stack that are ``down`` apart.

            Writes whole vectors to places up to ``limit``; elsewhere, of short rows, one element at a time.
            """
            for _ in range(count):
                for first in range(0, outputs, lanes):
                    # the last vector begins earlier, so that nothing is written beside the row
                    o = max(min(first, outputs - lanes), 0)
                    s = window(t, a + stride * o, b1, b2, b3, blocks_of, used)
                    if stride == 2:
                        s = even(s, window(t, a + 2 * o + lanes, b1, b2, b3, blocks_of, used))
                    v = canonical(lower(s, divisor, p))
                    if d + o <= limit:
                        store(y, d + o, v)
                    else:
                        store(spare, 0, v)
                        for e in range(outputs):
                            y[d + e] = spare[e]
                d += step
                a += down

        return inlined(write_rows)

    def window_of_two(t, i, b1, b2, b3, blocks_of, used):
        return combine(load(t, i), load(t, i + b1))

    def window_of_three(t, i, b1, b2, b3, blocks_of, used):
        return combine(combine(load(t, i), load(t, i + b1)), load(t, i + b2))

    twos = make_rows(inlined(window_of_two, always=True), 1)
    threes = make_rows(inlined(window_of_three, always=True), 1)
    any_rows = make_rows(window, 1)
    split_rows = make_rows(window, 2)

    def pool_planes(plan, c, t, blocks_of, y, planes_here, p, divisor, spare):
        """Combines the stack of ``planes_here`` planes, and writes their outputs."""
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        last = _HEADER + (outer + lead) * _AXIS
        near = last - _AXIS
        far = near - _AXIS
        pitch = extent_of(plan, last)
        room, many = plan[P.ROW], plan[P.LEVELS]
        rows, row_count, row_step, row_out = 1, 1, 0, 0
        planes, plane_count, plane_step, plane_out = 1, 1, 0, 0
        if lead > 0:
            rows, row_step, row_out = extent_of(plan, near), plan[near + P.WINDOW_STRIDE], plan[near + P.OUTPUT_STRIDE]
            row_count = min(plan[near + P.BY], plan[near + P.OUTPUT] - c[outer + lead - 1])
        if lead > 1:
            planes, plane_step = extent_of(plan, far), plan[far + P.WINDOW_STRIDE]
            plane_out = plan[far + P.OUTPUT_STRIDE]
            plane_count = min(plan[far + P.BY], plan[far + P.OUTPUT] - c[outer + lead - 2])
        reach_row = (plan[last + P.KERNEL] - 1) * plan[last + P.DILATION]
        held = (plan[last + P.OUTPUT] - 1) * plan[last + P.WINDOW_STRIDE] + reach_row + 1
        # what the last axis reads, what the one before it reads, and so on
        count = (planes_here - 1) * planes * rows * pitch + (plane_count - 1) * plane_step * rows * pitch
        count += (row_count - 1) * row_step * pitch + pitch + reach_row
        a = 0
        plane = rows * pitch
        if lead > 1:
            more = (plan[near + P.KERNEL] - 1) * plan[near + P.DILATION] * pitch
            step = plan[far + P.DILATION] * plane
            a, used = blocks(t, blocks_of, a, room, many, count + more, step, plan[far + P.KERNEL])
            if (plane_step > 1) & (plane >= RUN * lanes):
                for g in range(planes_here):
                    at = a + g * planes * plane
                    windows(t, at, plane + more, plane_count, plane_step * plane, blocks_of, used)
            else:
                windows(t, a, count + more, 1, 0, blocks_of, used)
        if lead > 0:
            a, used = blocks(t, blocks_of, a, room, many, count, plan[near + P.DILATION] * pitch, plan[near + P.KERNEL])
            if (row_step > 1) & (pitch >= RUN * lanes):
                # Windows between those that are asked for are left out. What is written beyond a row lies in the next
                # one, which no later window holds.
                for g in range(planes_here):
                    for j in range(plane_count):
                        at = a + (g * planes + j * plane_step) * plane
                        windows(t, at, held, row_count, row_step * pitch, blocks_of, used)
            else:
                windows(t, a, count, 1, 0, blocks_of, used)
        a, used = blocks(t, blocks_of, a, room, many, count - reach_row, plan[last + P.DILATION], plan[last + P.KERNEL])
        outputs, stride = plan[last + P.OUTPUT], plan[last + P.WINDOW_STRIDE]
        group = plan[_HEADER + max(outer - 1, 0) * _AXIS + P.OUTPUT_STRIDE]
        first = offset(plan, c, outer + lead, P.OUTPUT_STRIDE)
        # whole vectors are written where what lies behind a row is written after it, or all of it is the row's
        limit = first + planes_here * plane_count * row_count * outputs - lanes
        if outputs >= lanes:
            limit = P.FAR
        elif plan[P.DENSE] == 0:
            limit = -P.FAR
        b1, b2, b3 = blocks_of[1], blocks_of[2], blocks_of[3]
        down = row_step * pitch
        for g in range(planes_here):
            for j in range(plane_count):
                d = first + g * group + j * plane_out
                at = a + ((g * planes + j * plane_step) * rows) * pitch
                if stride == 2:
                    split_rows(
                        t, at, down, y, d, row_out, row_count, outputs, limit, b1, b2, b3, blocks_of, used, divisor, p,
                        spare,
                    )  # fmt: skip
                elif used == 2:
                    twos(
                        t, at, down, y, d, row_out, row_count, outputs, limit, b1, b2, b3, blocks_of, used, divisor, p,
                        spare,
                    )  # fmt: skip
                elif used == 3:
                    threes(
                        t, at, down, y, d, row_out, row_count, outputs, limit, b1, b2, b3, blocks_of, used, divisor, p,
                        spare,
                    )  # fmt: skip
                else:
                    any_rows(
                        t, at, down, y, d, row_out, row_count, outputs, limit, b1, b2, b3, blocks_of, used, divisor, p,
                        spare,
                    )  # fmt: skip

    return inlined(pool_planes)


def make_stacked(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    reduction = variant.vector
    assert reduction is not None
    code = CODES[variant.source]
    real = SCALARS[variant.source]
    identity = reduction.identity[0]
    parameter = make_parameter(variant)
    lift, lower, canonical = make_vector_parts(variant)
    watches = reduction.calm is not None
    copy_planes = make_copy(variant, lift, watches)
    # most planes hold no NaN: they are combined without regard to it
    calm = make_passes(variant, reduction.calm or reduction.combine, lower, canonical)
    careful = make_passes(variant, reduction.combine, lower, canonical) if watches else calm

    def stacked(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some planes, or some rows of one."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        blocks_of = pointer(address(work) + plan[P.STATE], _INT64)
        t = pointer(address(work) + plan[P.PACK], code)
        spare = pointer(address(work) + plan[P.STACK], code)
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        p = parameter(plan[P.PARAM])
        divisor = real(plan[P.DIVISOR])
        nothing = real(identity)
        # places that no pass writes are read, too; what stands there may not be slow to add
        for i in range(plan[P.ROW] * plan[P.LEVELS]):
            t[i] = nothing
        group = plan[P.OUTER] - 1
        at = _HEADER + max(group, 0) * _AXIS
        seek(plan, c, begin)
        for _ in range(begin, end):
            planes = 1
            if group >= 0:
                planes = min(plan[at + P.BY], plan[at + P.OUTPUT] - c[group])
            if copy_planes(plan, c, t, x, planes, p, nothing):
                careful(plan, c, t, blocks_of, y, planes, p, divisor, spare)
            else:
                calm(plan, c, t, blocks_of, y, planes, p, divisor, spare)
            advance(plan, c)

    return stacked
