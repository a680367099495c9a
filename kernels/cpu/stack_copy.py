"""Copies planes, and what lies around them, into the stack that ``stacked`` pools."""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import FAR
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_watch
from fastpool.kernels.cpu.vectors import any_of, everywhere, load, none, prefetch_to_second, store
from fastpool.kernels.cpu.walk import offset
from fastpool.kernels.registry import Variant
from fastpool.kernels.taps import extent

_AXIS, _HEADER = P.AXIS, P.HEADER
register_jitable(extent)


@register_jitable
def origin_of(plan, axis, o):
    """The source position at which the window of output ``o`` begins."""
    return o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]


@register_jitable
def extent_of(plan, axis):
    """Places that an axis takes in the stack: as many as it has outputs, where its taps are combined before."""
    if (plan[P.FIRST] > 1) & (axis == _HEADER + plan[P.OUTER] * _AXIS):
        return plan[axis + P.BY]
    return extent(
        plan[axis + P.SOURCE], plan[axis + P.OUTPUT], plan[axis + P.BY], plan[axis + P.KERNEL],
        plan[axis + P.WINDOW_STRIDE], plan[axis + P.DILATION], plan[axis + P.PAD],
    )  # fmt: skip


@register_jitable
def columns_of(plan, c):
    """Of the tile's block of columns: how many are padding, the first one of the source, and how many are there."""
    axes = plan[P.OUTER] + plan[P.LEAD]
    last = _HEADER + axes * _AXIS
    left = origin_of(plan, last, c[axes] * plan[P.BLOCK])
    width = min(plan[last + P.SOURCE], left + extent_of(plan, last)) - max(left, 0)
    return max(-left, 0), max(left, 0), max(width, 0)


@register_jitable
def rows_at_end(plan, past, count, step):
    """How many of ``count`` rows, ``step`` apart, the last vector of the first of which ends at ``past``, are not to be
    read by whole vectors: these would reach beyond the array.
    """
    few = 0
    while (few < count) & (past + (count - 1 - few) * step > plan[P.SOURCE_END]):
        few += 1
    return few


def make_fill(lanes: int) -> Any:
    """The function that fills places of a stack, and up to a vector beyond."""

    def fill(t, to, count, nothing):
        for o in range(to, to + count, lanes):
            store(t, o, nothing)

    return inlined(fill, always=True)


def make_copy(variant: Variant, lift: Any, watches: bool) -> Any:
    """The function that copies planes into the stack; with ``watches`` it returns whether it saw NaN, else False."""
    lanes = vectors.lanes(variant.source)
    ahead = FAR // (vectors.BYTES // lanes)
    watch = make_watch(watches)

    def copy_rows(t, to, x, at, count, step, width, whole, pitch, p, nothing):
        """Rows of the stack from ``to`` on, and what counts for nothing behind each; returns where NaN was seen.

        Vectors are read from the first ``whole`` elements of a row, others one by one; writes up to a vector beyond.
        """
        bad = none(nothing)
        # a place of the next row, where what lies behind this one is another tile's
        next_place = max(step, ahead)
        for _ in range(count):
            for o in range(0, whole, lanes):
                prefetch_to_second(x, at + o + next_place)
                v = load(x, at + o)
                bad = watch(bad, v, v)
                store(t, to + o, lift(v, p))
            for o in range(whole, width):
                # one element in all lanes: of those written behind it, none is read
                v = everywhere(x, x[at + o])
                bad = watch(bad, v, v)
                store(t, to + o, lift(v, p))
            for o in range(width, pitch, lanes):
                store(t, to + o, nothing)
            at += step
            to += pitch
        return bad

    copy_rows, fill = inlined(copy_rows, always=True), make_fill(lanes)

    def copy_planes(plan, c, t, x, count, p, identity):
        """Stacks ``count`` planes, the first of which the coordinates say, and what lies around them."""
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        last = _HEADER + (outer + lead) * _AXIS
        near = last - _AXIS
        far = near - _AXIS
        pitch = plan[P.PITCH]
        to, left, width = columns_of(plan, c)
        rows, planes, high, deep, row_step, plane_step = 1, 1, 1, 1, 0, 0
        top, front = 0, 0
        if lead > 0:
            rows, high, row_step = extent_of(plan, near), plan[near + P.SOURCE], plan[near + P.SOURCE_STRIDE]
            top = -origin_of(plan, near, c[outer + lead - 1])
        if lead > 1:
            planes, deep, plane_step = extent_of(plan, far), plan[far + P.SOURCE], plan[far + P.SOURCE_STRIDE]
            front = -origin_of(plan, far, c[outer + lead - 2])
        group = plan[_HEADER + max(outer - 1, 0) * _AXIS + P.SOURCE_STRIDE]
        first = offset(plan, c, outer, P.SOURCE_STRIDE) + left
        if lead == 0:
            # rows are planes of their own: one below the other they are one plane
            rows, high, row_step, count = count, count, group, 1
        # rows of the source from ``begin`` to ``end - 1`` are in the stack, below ``top`` rows of padding
        begin, end = max(-top, 0), min(rows - top, high)
        top = max(top, 0)
        bottom = rows - top - max(end - begin, 0)
        many = max(end - begin, 0)
        row = pitch
        if (row_step == width) & (pitch == width) & (many > 0):
            # rows that follow one another, here and there, are one
            width, row, many = width * many, pitch * many, 1
        whole = (width + lanes - 1) // lanes * lanes
        nothing = everywhere(t, identity)
        bad = none(nothing)
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
                few = rows_at_end(plan, at + whole, many, row_step)
                bad = bad | copy_rows(t, to, x, at, many - few, row_step, width, width, row, p, nothing)
                to += (many - few) * row
                if few > 0:
                    at += (many - few) * row_step
                    inside = width // lanes * lanes
                    bad = bad | copy_rows(t, to, x, at, few, row_step, width, inside, row, p, nothing)
                    to += few * row
                fill(t, to, bottom * pitch, nothing)
                to += bottom * pitch
        # padding before a plane serves the one before it; the last one needs some behind it
        fill(t, to, plan[P.TAIL] * pitch, nothing)
        return any_of(bad)

    return inlined(copy_planes)
