"""The walk for windows of many taps along the last leading axis: blocks of taps are kept from row to row.

A tile is a band of output rows. Each row of the source that they need is read once, and combined with those before it
into blocks of 2, 4, 8, ... taps, each of which serves all windows that hold it::

    arriving rows      r0 r1 r2 r3 r4 r5 r6 ...       kept: the last row or two
    blocks of 2        r0r1 r1r2 r2r3 r3r4 r4r5 ...   kept: the last three
    blocks of 4        r0..r3 r1..r4 r2..r5 ...       a window of 5 taps: (r0..r3) r4, then (r1..r4) r5

so that k taps cost log2(k) rows of work. Blocks are kept in rings of rows; where windows are a stride apart, only those
that a window needs are made. All else, and the order of combining, is as in ``sweep``.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.along import copy, fetch, join
from fastpool.kernels.cpu.columns import merge
from fastpool.kernels.cpu.sweep import aim, begin_call, finish_rows, lanes_of
from fastpool.kernels.cpu.walk import advance, offset, seek, set_taps
from fastpool.kernels.taps import gcd, levels_kept, slots_kept

for _function in (gcd, levels_kept, slots_kept):
    register_jitable(_function)

_AXIS, _HEADER = P.AXIS, P.HEADER


@register_jitable
def slot(plan, axis, level, place):
    """The state at which the row of blocks of ``2**level`` taps begins whose first tap is row ``place`` of the band."""
    kernel, dilation = plan[axis + P.KERNEL], plan[axis + P.DILATION]
    overlaps = (plan[P.REPEATABLE] != 0) & (plan[axis + P.WINDOW_STRIDE] == 1)
    at = plan[P.RING]
    for q in range(level):
        at += slots_kept(kernel, dilation, q, overlaps)
    return (at + place % slots_kept(kernel, dilation, level, overlaps)) * plan[P.ROW]


@register_jitable
def arrive(plan, c, passes, w, base, axis, place, row, first, past, lanes, direct):
    """Reads source row ``row``, the band's row ``place``, into its ring."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    taps = outer + lead + 2
    # one tap along this axis, and all of them along those before it
    c[taps + lead - 1] = row
    c[taps + 2 * lead - 1] = 1
    to = slot(plan, axis, 0, place)
    if lead > 1:
        fetch(plan, c, passes, w, base, first, past, lanes, direct)
        copy(passes, w, 0, to, w[W.ROWS_COUNT] * w[W.PITCH])
        return
    states, states2 = w[W.STATES], w[W.STATES2]
    w[W.STATES] = states + to * plan[P.STATE_BYTES]
    w[W.STATES2] = states2 + to * plan[P.STATE2_BYTES]
    fetch(plan, c, passes, w, base, first, past, lanes, direct)
    w[W.STATES], w[W.STATES2] = states, states2


@register_jitable
def combine_blocks(plan, passes, w, axis, place, count):
    """Makes the window whose first tap is the band's row ``place``, from the blocks that are kept."""
    kernel, dilation, jump = plan[axis + P.KERNEL], plan[axis + P.DILATION], plan[axis + P.JUMP]
    level = levels_kept(kernel) - 1
    size = 1 << level
    column = plan[P.COLUMN] * plan[P.ROW]
    overlaps = (plan[P.REPEATABLE] != 0) & (plan[axis + P.WINDOW_STRIDE] == 1)
    a = slot(plan, axis, level, place)
    if overlaps | (2 * size == kernel):
        rest = kernel - size
        join(passes, w, a, slot(plan, axis, level, place + rest * dilation), column, count, rest * jump)
        return
    done = size
    while level > 0:
        level -= 1
        size //= 2
        if kernel & size:
            b = slot(plan, axis, level, place + done * dilation)
            if a == column:
                merge(passes, w, column, b, count, done * jump)
            else:
                join(passes, w, a, b, column, count, done * jump)
                a = column
            done += size


@register_jitable
def run_band(plan, c, passes, w, begin, end):
    """The rows of outputs ``begin .. end - 1`` along the last leading axis."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    axes, ring = outer + lead, outer + lead - 1
    last, axis = _HEADER + axes * _AXIS, _HEADER + ring * _AXIS
    op = W.EMIT_ROWS if plan[P.FAMILY] == 0 else W.EMIT_LANES
    first_lane, lanes, direct = lanes_of(plan, c)
    o = c[axes] * plan[P.BLOCK]
    stop = min(o + plan[P.BLOCK], plan[last + P.OUTPUT])
    base = offset(plan, c, outer, P.SOURCE_STRIDE) + first_lane * plan[P.SOURCE_LANE]
    first = o * plan[last + P.WINDOW_STRIDE] - plan[last + P.PAD]
    reach = (plan[last + P.KERNEL] - 1) * plan[last + P.DILATION]
    positions = (stop - 1 - o) * plan[last + P.WINDOW_STRIDE] + reach + 1
    past = first + ((positions - 1 >> plan[P.HALVINGS]) + 1 << plan[P.HALVINGS])
    stride, kernel, dilation = plan[axis + P.WINDOW_STRIDE], plan[axis + P.KERNEL], plan[axis + P.DILATION]
    start = begin * stride - plan[axis + P.PAD]
    rows = (end - 1 - begin) * stride + (kernel - 1) * dilation + 1
    levels = levels_kept(kernel)
    spare = plan[P.LEVELS] * plan[P.ROW]
    c[ring] = begin
    set_taps(plan, c)
    for place in range(rows):
        if place % gcd(stride, dilation) == 0:
            arrive(plan, c, passes, w, base, axis, place, start + place, first, past, lanes, direct)
        w[W.LANES] = lanes
        w[W.PITCH] = (past - first) * lanes
        count = w[W.ROWS_COUNT] * w[W.PITCH]
        for level in range(1, levels):
            half = (1 << level) // 2
            at = place - (2 * half - 1) * dilation
            if at < 0:
                break
            if (stride == 1) or (at % gcd(stride, 2 * half * dilation) == 0):
                a, b = slot(plan, axis, level - 1, at), slot(plan, axis, level - 1, at + half * dilation)
                join(passes, w, a, b, slot(plan, axis, level, at), count, half * plan[axis + P.JUMP])
        at = place - (kernel - 1) * dilation
        if (at >= 0) and (at % stride == 0):
            c[ring] = begin + at // stride
            combine_blocks(plan, passes, w, axis, at, count)
            share, on_input = set_taps(plan, c)
            aim(plan, c, w, first_lane, o)
            w[W.D_STEP], w[W.I_STEP] = plan[last + P.OUTPUT_STRIDE], plan[last + P.AUX_STRIDE]
            column = plan[P.COLUMN] * plan[P.ROW]
            finish_rows(plan, passes, w, op, column, spare, o, stop, lanes, share, on_input)
    c[ring] = begin


def make_slide(digest: int) -> Any:
    """The Python function of the walk. ``digest`` stands for the sources that it was made from."""

    def slide(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = begin_call(plan, bufs, work)
        w, passes = work, bufs[3]
        ring = plan[P.OUTER] + plan[P.LEAD] - 1
        axis = _HEADER + ring * _AXIS
        group = plan[P.GROUP_AXIS]
        beside = _HEADER + max(group, 0) * _AXIS
        w[W.X_GROUP], w[W.D_GROUP] = plan[beside + P.SOURCE_STRIDE], plan[beside + P.OUTPUT_STRIDE]
        w[W.I_GROUP], w[W.INDEX_GROUP] = plan[beside + P.AUX_STRIDE], plan[beside + P.INDEX_UNIT]
        seek(plan, c, begin)
        for _ in range(begin, end):
            w[W.ROWS_COUNT] = 1
            if group >= 0:
                w[W.ROWS_COUNT] = min(plan[P.GROUP], plan[beside + P.OUTPUT] - c[group])
            run_band(plan, c, passes, w, c[ring], min(c[ring] + plan[axis + P.BY], plan[axis + P.OUTPUT]))
            advance(plan, c)

    return slide
