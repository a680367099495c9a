"""The gradient of a selection for windows of few taps: each tap takes the gradients of the windows that name it.

Where ``scatter`` goes from a window to the element that its index names, one at a time, this walk goes from each tap to
all windows at once: the gradient of a window is added where its index is that tap's. That is a comparison and an
addition for each tap and window, but in vectors, on scratch that stays in the cache.

A tile is a run of positions along the first spatial axis (all of the other ones; in the lanes family a block of the
inner axis), for one or more planes. A position ``i`` is ``cell * stride + phase - padding``; sums of one phase lie side
by side, so that a window's tap lies a fixed number of cells after the window's own, in the phase of that tap::

    kernel 3, stride 2     windows   0   1   2   3        phase 0 of cell c: tap 2 of window c - 1, tap 0 of window c
                           cells     0   1   2   3        phase 1 of cell c: tap 1 of window c

Windows and cells share one pitch along each axis, so a tap is one loop over all cells of the tile. At each position the
windows are added in row-major order, as a scatter adds them.

Reads ``bufs[0]`` (the gradient of y) and ``bufs[2]`` (indices, already checked), writes ``bufs[1]`` (the gradient of
x). float16 and bfloat16 are summed in float32. ``c``, the integers of the workspace, after the coordinates of
``walk``::

    pitch | cells | first cell | first window | end of the windows (one entry per spatial axis each) | taps by phase
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.call import call_pass
from fastpool.kernels.cpu.match_lanes import match_lanes
from fastpool.kernels.cpu.memory import CODES, address, pointer
from fastpool.kernels.cpu.walk import advance, offset, seek

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]
_FIELDS = 5
_PITCH, _CELLS, _CELL, _LOW, _HIGH = range(_FIELDS)


@register_jitable
def reach(plan, axis):
    """Cells from a window's own to that of its last tap."""
    return (plan[axis + P.KERNEL] - 1) * plan[axis + P.DILATION] // plan[axis + P.WINDOW_STRIDE]


@register_jitable
def set_axis(plan, c, a, low, high, pitch):
    """Sets the entry of a spatial axis for the positions ``low .. high - 1``; returns the pitch of the axis before."""
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    axis, at = _HEADER + (outer + a) * _AXIS, outer + 2 + a
    stride, before = plan[axis + P.WINDOW_STRIDE], reach(plan, axis)
    cell = (low + plan[axis + P.PAD]) // stride
    cells = (high - 1 + plan[axis + P.PAD]) // stride - cell + 1
    c[at + _PITCH * spatial] = pitch
    c[at + _CELLS * spatial] = cells
    c[at + _CELL * spatial] = cell
    c[at + _LOW * spatial] = max(0, cell - before)
    c[at + _HIGH * spatial] = min(plan[axis + P.SOURCE], cell + cells)
    return pitch * (cells + before)


@register_jitable
def list_taps(plan, c, table):
    """Writes the taps of each phase, the last first: (its code, states from a cell back to its window's).

    A list begins with its length; each takes ``2 * taps + 1`` integers. Returns the number of phases.
    """
    outer, spatial, taps = plan[P.OUTER], plan[P.SPATIAL], plan[P.TAPS]
    phases = 1
    for a in range(spatial):
        phases *= plan[_HEADER + (outer + a) * _AXIS + P.WINDOW_STRIDE]
    for phase in range(phases):
        at = table + phase * (2 * taps + 1)
        count = 0
        for back in range(taps):
            rest, other = taps - 1 - back, phase
            code, before, fits = 0, 0, True
            for b in range(spatial):
                a = spatial - 1 - b
                axis = _HEADER + (outer + a) * _AXIS
                stride, kernel = plan[axis + P.WINDOW_STRIDE], plan[axis + P.KERNEL]
                tap = rest % kernel
                moved = tap * plan[axis + P.DILATION]
                fits = fits & (moved % stride == other % stride)
                code += tap * plan[axis + P.JUMP]
                before += (reach(plan, axis) - moved // stride) * c[outer + 2 + a + _PITCH * spatial]
                rest //= kernel
                other //= stride
            if fits:
                c[at + 1 + 2 * count] = code
                c[at + 2 + 2 * count] = before
                count += 1
        c[at] = count
    return phases


@register_jitable
def pack(plan, c, passes, w, planes, plane):
    """Brings the gradients and codes of the tile's windows into scratch, rows of windows at a time."""
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    base, last = outer + 2, _HEADER + (outer + spatial - 1) * _AXIS
    codes = pointer(w[W.ROWS], _INT64)
    for e in range((planes * plane + 1) // 2):
        codes[e] = -1
    many = planes if spatial > 1 else 1
    for a in range(spatial):
        low, high = c[base + a + _LOW * spatial], c[base + a + _HIGH * spatial]
        if low >= high:
            return
        if a < spatial - 2:
            many *= high - low
    source, side, index = w[W.X_GROUP], w[W.I_GROUP], w[W.INDEX_GROUP]
    g, i, origin = w[W.A], w[W.I], w[W.INDEX]
    w[W.ROWS_COUNT], w[W.PITCH] = planes, plane
    for number in range(many):
        rest, to = number, 0
        here, there, flat = g, i, origin
        for b in range(spatial):
            a = spatial - 1 - b
            axis = _HEADER + (outer + a) * _AXIS
            low, high = c[base + a + _LOW * spatial], c[base + a + _HIGH * spatial]
            at, pitch = low, c[base + a + _PITCH * spatial]
            if a < spatial - 2:
                at = low + rest % (high - low)
                rest //= high - low
            unit = plan[axis + P.INDEX_UNIT]
            here += at * plan[axis + P.SOURCE_STRIDE]
            there += at * plan[axis + P.AUX_STRIDE]
            flat += (at * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]) * unit
            to += (at - c[base + a + _CELL * spatial] + reach(plan, axis)) * pitch
            if b == 0:
                w[W.COUNT] = high - low
                w[W.INDEX_STEP] = plan[axis + P.WINDOW_STRIDE] * unit
            elif b == 1:
                w[W.ROWS_COUNT], w[W.PITCH] = high - low, pitch
                w[W.X_GROUP], w[W.I_GROUP] = plan[axis + P.SOURCE_STRIDE], plan[axis + P.AUX_STRIDE]
                w[W.INDEX_GROUP] = plan[axis + P.WINDOW_STRIDE] * unit
        if spatial > 1:
            here, there, flat, to = here + rest * source, there + rest * side, flat + rest * index, to + rest * plane
        w[W.A], w[W.I], w[W.INDEX], w[W.OUT] = here, there, flat, to
        w[W.STEP], w[W.I_STEP] = plan[last + P.SOURCE_STRIDE], plan[last + P.AUX_STRIDE]
        w[W.OP] = W.MATCH_PACK
        call_pass(passes, w)
    w[W.X_GROUP], w[W.I_GROUP], w[W.INDEX_GROUP] = source, side, index


@register_jitable
def add(plan, c, passes, w, table, phases, count):
    """Adds for each phase, tap by tap, what the windows send to ``count`` cells."""
    size = 2 * plan[P.TAPS] + 1
    w[W.COUNT] = count
    for phase in range(phases):
        at = table + phase * size
        left = c[at]
        w[W.OUT] = phase * plan[P.ROW]
        w[W.OP] = W.MATCH_NONE if left == 0 else (W.MATCH_ONE if left % 2 == 1 else W.MATCH_TWO)
        while True:
            w[W.AMOUNT], w[W.A] = c[at + 1], c[at + 2]
            used = 1
            if w[W.OP] != W.MATCH_ONE:
                w[W.C], w[W.B] = c[at + 3], c[at + 4]
                used = 2
            call_pass(passes, w)
            left -= used
            at += 2 * used
            if left <= 0:
                break
            w[W.OP] = W.MATCH_MORE


@register_jitable
def write(plan, c, passes, w, planes, plane, low, high):
    """Writes the positions of the tile, ``low .. high - 1`` along the first spatial axis, row after row."""
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    base, last = outer + 2, _HEADER + (outer + spatial - 1) * _AXIS
    planes_step, d = w[W.D_GROUP], w[W.D]
    stride = plan[last + P.WINDOW_STRIDE]
    begin = low if spatial == 1 else 0
    w[W.COUNT] = high - low if spatial == 1 else plan[last + P.OUTPUT]
    w[W.KERNEL], w[W.STEP] = stride, plan[P.ROW]
    w[W.FIRST] = begin + plan[last + P.PAD] - c[base + spatial - 1 + _CELL * spatial] * stride
    w[W.D_STEP] = plan[last + P.OUTPUT_STRIDE]
    # rows of planes: each is the only phase, one plane after the other
    many, scale = 1, stride
    w[W.ROWS_COUNT], w[W.PITCH], w[W.AMOUNT], w[W.C] = planes, plane, 1, 0
    if spatial > 1:
        axis, a = last - _AXIS, spatial - 2
        step = plan[axis + P.WINDOW_STRIDE]
        first, rows = 0, plan[axis + P.OUTPUT]
        if a == 0:
            first, rows = low, high - low
        d += first * plan[axis + P.OUTPUT_STRIDE]
        many, scale = planes, stride * step
        w[W.ROWS_COUNT], w[W.PITCH], w[W.AMOUNT] = rows, c[base + a + _PITCH * spatial], step
        w[W.C] = first + plan[axis + P.PAD] - c[base + a + _CELL * spatial] * step
        w[W.D_GROUP] = plan[axis + P.OUTPUT_STRIDE]
    for a in range(spatial - 2):
        many *= high - low if a == 0 else plan[_HEADER + (outer + a) * _AXIS + P.OUTPUT]
    w[W.OP] = W.MATCH_WRITE
    for number in range(many):
        rest, at, to, phases, lead = number, 0, d + begin * plan[last + P.OUTPUT_STRIDE], scale, 0
        for b in range(2, spatial):
            a = spatial - 1 - b
            axis = _HEADER + (outer + a) * _AXIS
            first, size = 0, plan[axis + P.OUTPUT]
            if a == 0:
                first, size = low, high - low
            position = first + rest % size
            rest //= size
            shifted, step = position + plan[axis + P.PAD], plan[axis + P.WINDOW_STRIDE]
            at += (shifted // step - c[base + a + _CELL * spatial]) * c[base + a + _PITCH * spatial]
            lead += shifted % step * phases
            phases *= step
            to += position * plan[axis + P.OUTPUT_STRIDE]
        w[W.A] = lead * plan[P.ROW] + at + rest * plane
        w[W.D] = to + rest * planes_step
        call_pass(passes, w)
    w[W.D_GROUP] = planes_step


def make_match(digest: int) -> Any:
    """The Python function of the walk. ``digest`` stands for the sources that it was made from."""

    def match(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        w = work
        passes = bufs[3]
        outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
        first = _HEADER + outer * _AXIS
        for i in range(3):
            w[W.X + i] = bufs[i]
        w[W.STATES] = address(work) + plan[P.STATE]
        w[W.STATES2] = address(work) + plan[P.STATE2]
        w[W.ROWS] = address(work) + plan[P.PACK]
        w[W.LANE_STEP], w[W.D_LANE], w[W.I_LANE] = plan[P.SOURCE_LANE], plan[P.OUTPUT_LANE], plan[P.AUX_LANE]
        # a tap's number is its code; a flat index becomes one when the window's origin is taken off
        flat = plan[P.INDEX_KIND] != 2
        w[W.INDEX_LANE] = plan[P.INDEX_LANE] if flat else 0
        table = outer + 2 + _FIELDS * spatial
        codes, phases, pitch = 0, 0, plan[P.LANE_BLOCK]
        if plan[P.IN_PLACE] == 0:
            for b in range(spatial):
                a = spatial - 1 - b
                axis = _HEADER + (outer + a) * _AXIS
                codes += (plan[axis + P.KERNEL] - 1) * plan[axis + P.JUMP]
                pitch = set_axis(plan, c, a, 0, plan[axis + P.OUTPUT], pitch)
            phases = list_taps(plan, c, table)
        w[W.TWO] = codes
        grouped = plan[P.GROUP_AXIS] >= 0
        axis = _HEADER + max(plan[P.GROUP_AXIS], 0) * _AXIS
        w[W.X_GROUP], w[W.I_GROUP] = plan[axis + P.SOURCE_STRIDE], plan[axis + P.AUX_STRIDE]
        w[W.D_GROUP], w[W.INDEX_GROUP] = plan[axis + P.OUTPUT_STRIDE], plan[axis + P.INDEX_UNIT]
        seek(plan, c, begin)
        for _ in range(begin, end):
            planes = 1
            if grouped:
                planes = min(plan[P.GROUP], plan[axis + P.OUTPUT] - c[plan[P.GROUP_AXIS]])
            lane, w[W.LANES] = 0, 1
            if plan[P.FAMILY] != 0:
                lane = c[outer + 1] * plan[P.LANE_BLOCK]
                w[W.LANES] = min(plan[P.LANE_BLOCK], plan[P.LANES] - lane)
            w[W.A] = offset(plan, c, outer, P.SOURCE_STRIDE) + lane * plan[P.SOURCE_LANE]
            w[W.I] = offset(plan, c, outer, P.AUX_STRIDE) + lane * plan[P.AUX_LANE]
            w[W.D] = offset(plan, c, outer, P.OUTPUT_STRIDE) + lane * plan[P.OUTPUT_LANE]
            w[W.INDEX] = offset(plan, c, outer, P.INDEX_UNIT) + lane * plan[P.INDEX_LANE] if flat else 0
            low = c[outer] * plan[P.BLOCK]
            high = min(low + plan[P.BLOCK], plan[first + P.OUTPUT])
            if plan[P.IN_PLACE] != 0:
                w[W.C] = address(work) + plan[P.COORDINATES]
                match_lanes(plan, c, passes, w, low, high)
                advance(plan, c)
                continue
            d = w[W.D]
            plane = set_axis(plan, c, 0, low, high, c[outer + 2 + _PITCH * spatial])
            w[W.B] = plan[P.LANE_BLOCK]
            pack(plan, c, passes, w, planes, plane)
            count = (planes - 1) * plane + plan[P.LANE_BLOCK]
            for a in range(spatial):
                at = outer + 2 + a
                count += (c[at + _CELLS * spatial] - 1) * c[at + _PITCH * spatial]
            add(plan, c, passes, w, table, phases, count)
            w[W.D], w[W.B] = d, plan[P.LANE_BLOCK]
            write(plan, c, passes, w, planes, plane, low, high)
            advance(plan, c)

    return match
