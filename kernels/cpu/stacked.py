"""Forward pooling of planes that are stacked in scratch: rows of any width are one run of vectors.

Where a row is one to three vectors, finding the next row costs more than making it. So a tile copies some planes into
scratch, padding included, where all of their rows are one row::

    o o o o o      two planes of 2 x 4 with a padding of one: a row of the stack is five places long, and a plane three
    o a a a a      rows, because padding before a row or a plane stands behind the one before it, too
    o a a a a
    o o o o o      Only the last plane of a stack has some of its own.
    o b b b b
    o b b b b
    o o o o o o

A tap to the right is then one place on, a tap below as many as a row of the stack has, and every axis is combined by
passes over the whole stack, whatever it is cut into: in blocks of 2 or 4, 8 or 16 ... taps, so that a window costs
log(k). What a pass makes at the places between two rows is never read. Windows are made from those blocks; along the
last axis, while outputs are written. Larger planes are taken in bands of rows, and rows in blocks. Of tall windows in
long rows the stack holds one row at a time, see ``stack_kept``: their height costs nothing. Planes that one window
covers are not copied, see ``stack_covered``.

Reads ``bufs[0]``, writes ``bufs[1]``. Taps are combined along the first spatial axis, then the next.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import CODES, SCALARS, address, pointer
from fastpool.kernels.cpu.parts import make_parameter
from fastpool.kernels.cpu.stack_copy import columns_of, extent_of, make_copy
from fastpool.kernels.cpu.stack_covered import make_covered
from fastpool.kernels.cpu.stack_fold import by_bands, make_fold
from fastpool.kernels.cpu.stack_kept import make_next_row
from fastpool.kernels.cpu.stack_loops import Loops, make_loops
from fastpool.kernels.cpu.stack_runs import make_marks
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_vector_parts
from fastpool.kernels.cpu.vectors import everywhere
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]

APART = 3
"""Vectors of a row from which on windows between those that are asked for are left out."""


def make_pool(variant: Variant, loops: Loops) -> Any:
    """The function that combines a stack and writes the outputs of its planes."""
    lanes = vectors.lanes(variant.source)
    blocks, windows, write_rows, split_rows, runs, split_runs = loops

    def pool_planes(plan, c, t, blocks_of, y, planes_here, row, p, divisor, spare, marks, nothing):
        """Combines the stack of ``planes_here`` planes, and writes their outputs; or those of the one row ``row``."""
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        last = _HEADER + (outer + lead) * _AXIS
        near = last - _AXIS
        far = near - _AXIS
        pitch = plan[P.PITCH]
        place = c[outer + lead] * plan[P.BLOCK]
        outputs, stride = min(plan[P.BLOCK], plan[last + P.OUTPUT] - place), plan[last + P.WINDOW_STRIDE]
        room, many = plan[P.ROW], plan[P.LEVELS]
        rows, row_count, row_step, row_out = 1, 1, 0, 0
        planes, plane_count, plane_step, plane_out = 1, 1, 0, 0
        if lead > 0:
            rows, row_step, row_out = extent_of(plan, near), plan[near + P.WINDOW_STRIDE], plan[near + P.OUTPUT_STRIDE]
            row_count = min(plan[near + P.BY], plan[near + P.OUTPUT] - c[outer + lead - 1])
        else:
            rows, row_count, planes_here = planes_here, planes_here, 1
            row_step, row_out = 1, plan[_HEADER + max(outer - 1, 0) * _AXIS + P.OUTPUT_STRIDE]
        if lead > 1:
            planes, plane_step = extent_of(plan, far), plan[far + P.WINDOW_STRIDE]
            plane_out = plan[far + P.OUTPUT_STRIDE]
            plane_count = min(plan[far + P.BY], plan[far + P.OUTPUT] - c[outer + lead - 2])
        near_kernel = plan[near + P.KERNEL]
        if (plan[P.FIRST] > 1) & (lead == 1):
            row_step, near_kernel = 1, 1
        elif plan[P.FIRST] > 1:
            plane_step = 1
        reach_row = (plan[last + P.KERNEL] - 1) * plan[last + P.DILATION]
        held = (outputs - 1) * stride + reach_row + 1
        # what the last axis reads, what the one before it reads, and so on
        count = (planes_here - 1) * planes * rows * pitch + (plane_count - 1) * plane_step * rows * pitch
        count += (row_count - 1) * row_step * pitch + pitch + reach_row
        a = 0
        if plan[P.KEPT] != 0:
            rows, row_count, near_kernel = 1, 1, 1
            to, _, _ = columns_of(plan, c)
            a = (plan[near + P.KERNEL] + 1) * pitch + (lanes - to % lanes) % lanes
            count = held
        plane = rows * pitch
        if (lead > 1) & (plan[P.FIRST] == 1):
            more = (plan[near + P.KERNEL] - 1) * plan[near + P.DILATION] * pitch
            step = plan[far + P.DILATION] * plane
            a, used = blocks(t, blocks_of, a, room, many, count + more, step, plan[far + P.KERNEL])
            if (plane_step > 1) & (plane >= APART * lanes):
                for g in range(planes_here):
                    at = a + g * planes * plane
                    windows(t, at, plane + more, plane_count, plane_step * plane, blocks_of, used)
            else:
                windows(t, a, count + more, 1, 0, blocks_of, used)
        if (lead > 0) & (near_kernel > 1):
            a, used = blocks(t, blocks_of, a, room, many, count, plan[near + P.DILATION] * pitch, near_kernel)
            if (row_step > 1) & (pitch >= APART * lanes):
                # Windows between those that are asked for are left out. What is written beyond a row lies in the next
                # one, which no later window holds.
                for g in range(planes_here):
                    for j in range(plane_count):
                        at = a + (g * planes + j * plane_step) * plane
                        windows(t, at, held, row_count, row_step * pitch, blocks_of, used)
            else:
                windows(t, a, count, 1, 0, blocks_of, used)
        group = plan[_HEADER + max(outer - 1, 0) * _AXIS + P.OUTPUT_STRIDE]
        first = offset(plan, c, outer + lead, P.OUTPUT_STRIDE) + place + row * row_out
        if plan[P.MARKS] != 0:
            run, apart, more = row_count * outputs, pitch + 2 * lanes, stride * lanes % pitch
            if (plan[P.DENSE] != 0) & (rows == row_count) & (planes == plane_count):
                run, planes_here, plane_count = run * planes_here * plane_count, 1, 1
            for g in range(planes_here):
                at = a + g * planes * plane
                told = (t, at, y, first + g * group, plane_count, plane_step * plane, plane_out, run, pitch, more)
                if stride == 2:
                    split_runs(*told, marks, apart, nothing, divisor, p, spare)
                else:
                    runs(*told, marks, apart, nothing, divisor, p, spare)
            return
        a, used = blocks(t, blocks_of, a, room, many, count - reach_row, plan[last + P.DILATION], plan[last + P.KERNEL])
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
                told = (t, at, down, y, d, row_out, row_count, outputs, limit, b1, b2, b3, blocks_of, used)
                if stride == 2:
                    split_rows(used, *told, divisor, p, spare)
                else:
                    write_rows(used, *told, divisor, p, spare)

    return inlined(pool_planes)


def make_stacked(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    reduction = variant.vector
    assert reduction is not None
    lanes = vectors.lanes(variant.source)
    code = CODES[variant.source]
    real = SCALARS[variant.source]
    identity = reduction.identity[0]
    parameter = make_parameter(variant)
    lift, lower, canonical = make_vector_parts(variant)
    lower_one = inlined(reduction.lower)
    watches = reduction.calm is not None

    # Most planes hold no NaN. They are combined without regard to it, unless one was seen while they were copied.
    careful = reduction.combine
    write_marks = make_marks(lanes)
    copy_planes = make_copy(variant, lift, watches)
    loops = make_loops(variant, careful, lower, canonical)
    fold_planes = fold_all = make_fold(variant, careful, lift, False, loops.split_runs)
    pool_planes = pool_all = make_pool(variant, loops)
    covered = make_covered(variant)
    next_row = next_careful = make_next_row(variant, careful, lift, False)
    if watches:
        loops = make_loops(variant, reduction.calm, lower, canonical)
        next_row = make_next_row(variant, reduction.calm, lift, True)
        fold_planes = make_fold(variant, reduction.calm, lift, True, loops.split_runs)
        pool_planes = make_pool(variant, loops)

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
        if plan[P.COVERED] != 0:
            covered(plan, c, begin, end, t, x, y, spare, divisor, p)
            return
        nothing = real(identity)
        blank = pointer(address(work) + plan[P.COLUMN], code)
        outside = real(lower_one(nothing, real(1), 1, p))
        marks = pointer(address(work) + plan[P.MARKS], code)
        row_marks = pointer(address(work) + plan[P.ROW_MARKS], code)
        last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
        one, zero = everywhere(t, real(1)), real(0)
        if plan[P.MARKS] != 0:
            pitch, pad = plan[P.PITCH], plan[last + P.PAD]
            write_marks(marks, pitch + 2 * lanes, pitch, pad, pitch + pad - 2, one, zero)
        if plan[P.ROW_MARKS] != 0:
            pitch, plane = plan[P.PITCH], plan[P.PITCH] * plan[last - _AXIS + P.SOURCE]
            write_marks(row_marks, plane + lanes, plane, pitch, plane - pitch, one, zero)
        kept = plan[P.KEPT] != 0
        if kept | (plan[P.FIRST] > 1):
            for i in range(plan[P.CHUNK]):
                blank[i] = outside
        # places that no pass writes are read, too; what stands there may not be slow to add
        clean = (plan[last - _AXIS + P.KERNEL] + 2) * plan[P.PITCH] if kept else 0
        for i in range(clean, plan[P.ROW] * plan[P.LEVELS]):
            t[i] = nothing
        written = by_bands(plan)
        group = plan[P.OUTER] - 1
        at = _HEADER + max(group, 0) * _AXIS
        near = last - _AXIS
        seek(plan, c, begin)
        for _ in range(begin, end):
            planes, many, step = 1, 1, 1
            if kept:
                step = plan[near + P.WINDOW_STRIDE]
                many = (min(plan[near + P.BY], plan[near + P.OUTPUT] - c[group + 1]) - 1) * step + 1
            elif group >= 0:
                planes = min(plan[at + P.BY], plan[at + P.OUTPUT] - c[group])
            seen, number = False, 0
            while number < many:
                if kept:
                    if watches and seen:
                        next_careful(plan, c, t, x, blank, number, p, nothing)
                    else:
                        seen = next_row(plan, c, t, x, blank, number, p, nothing)
                        if watches and seen:
                            # all of the tile again
                            number = 0
                            continue
                elif plan[P.FIRST] > 1:
                    told = (plan, c, t, x, address(blank), row_marks, planes, p, nothing, y, marks, divisor, spare)
                    seen = fold_planes(*told)
                    if watches and seen:
                        fold_all(*told)
                else:
                    seen = copy_planes(plan, c, t, x, planes, p, nothing)
                if (number % step == 0) & (not written):
                    row = number // step
                    if watches and seen:
                        pool_all(plan, c, t, blocks_of, y, planes, row, p, divisor, spare, marks, nothing)
                    else:
                        pool_planes(plan, c, t, blocks_of, y, planes, row, p, divisor, spare, marks, nothing)
                number += 1
            advance(plan, c)

    return stacked
