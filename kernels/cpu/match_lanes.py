"""The comparison of taps where lanes are contiguous: no scratch, each row of x's gradient is written from its windows.

For a position the windows that hold it are few; their gradients and indices lie in memory as the lanes of the position
do, so an output is a sum over them, in vectors along the lanes. Positions a stride apart have the same taps and are
taken together, but for those at the borders, where windows are missing. Of a row, two neighbours are written at a time:
what both have is read once.

``c``, the integers of the workspace, after the coordinates of ``walk``::

    first window, windows, step between them (one entry per leading axis each) | windows of the row | windows of a run

where a window is three integers: its offset in the gradient of y, in the indices, and the code of its tap; in a run
four, see ``list_windows``.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.call import call_pass
from fastpool.kernels.cpu.row_tables import NO_TAP
from fastpool.kernels.cpu.walk import taps_backward

_AXIS, _HEADER = P.AXIS, P.HEADER


@register_jitable
def list_leading(plan, c, base, table, number, low, high):
    """Lists the windows of a row by their leading axes, in row-major order.

    ``number`` counts the rows of the tile. Returns (how many windows, offset of the row, its flat index).
    """
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    rest, total, d, flat = number, 1, 0, 0
    for b in range(lead):
        a = lead - 1 - b
        axis = _HEADER + (outer + a) * _AXIS
        begin, size = 0, plan[axis + P.OUTPUT]
        if a == 0:
            begin, size = low, high - low
        position = begin + rest % size
        rest //= size
        first, taps, step = taps_backward(plan, axis, position)
        while (taps > 0) & (first < 0):
            first, taps = first + step, taps - 1
        while (taps > 0) and (first + (taps - 1) * step >= plan[axis + P.SOURCE]):
            taps -= 1
        at = base + 4 * a
        c[at], c[at + 1], c[at + 2], c[at + 3] = first, taps, step, position
        total *= taps
        d += position * plan[axis + P.OUTPUT_STRIDE]
        flat += position * plan[axis + P.INDEX_UNIT]
    for entry in range(total):
        rest, source, side, code = entry, 0, 0, 0
        for b in range(lead):
            a = lead - 1 - b
            axis, at = _HEADER + (outer + a) * _AXIS, base + 4 * a
            window = c[at] + rest % c[at + 1] * c[at + 2]
            rest //= c[at + 1]
            moved = c[at + 3] + plan[axis + P.PAD] - window * plan[axis + P.WINDOW_STRIDE]
            source += window * plan[axis + P.SOURCE_STRIDE]
            side += window * plan[axis + P.AUX_STRIDE]
            code += moved // plan[axis + P.DILATION] * plan[axis + P.JUMP]
        c[table + 3 * entry], c[table + 3 * entry + 1], c[table + 3 * entry + 2] = source, side, code
    return total, d, flat


@register_jitable
def tap_at(plan, axis, moved):
    """The number of the tap that stands ``moved`` after a window's beginning, or one that no window has."""
    dilation = plan[axis + P.DILATION]
    tap = moved // dilation
    return tap * plan[axis + P.JUMP] if (moved == tap * dilation) & (0 <= tap < plan[axis + P.KERNEL]) else -1


@register_jitable
def list_windows(plan, c, table, leading, run, position):
    """Lists the windows that hold ``position`` or the next one, of the rows that ``table`` lists; returns how many.

    A window is four integers: its offset in the gradient of y, in the indices, and the codes of its taps at both.
    """
    last = _HEADER + (plan[P.OUTER] + plan[P.SPATIAL] - 1) * _AXIS
    stride, moved = plan[last + P.WINDOW_STRIDE], position + plan[last + P.PAD]
    by_tap = plan[P.INDEX_KIND] == 2
    reach = (plan[last + P.KERNEL] - 1) * plan[last + P.DILATION]
    low, high = max(-((reach - moved) // stride), 0), min((moved + 1) // stride + 1, plan[last + P.SOURCE])
    count = 0
    for entry in range(leading):
        at = table + 3 * entry
        for window in range(low, high):
            here = moved - window * stride
            first, second = tap_at(plan, last, here), tap_at(plan, last, here + 1)
            if (first >= 0) | (second >= 0):
                to = run + 4 * count
                c[to] = c[at] + window * plan[last + P.SOURCE_STRIDE]
                c[to + 1] = c[at + 1] + window * plan[last + P.AUX_STRIDE]
                # a flat index is that of the position
                c[to + 2], c[to + 3] = 0, plan[last + P.INDEX_UNIT]
                if by_tap:
                    c[to + 2] = c[at + 2] + first if first >= 0 else NO_TAP
                    c[to + 3] = c[at + 2] + second if second >= 0 else NO_TAP
                count += 1
    return count


@register_jitable
def write_row(plan, c, passes, w, table, leading, d, flat, begin, end):
    """Writes the positions ``begin .. end - 1`` of a row, two neighbours at a time, borders apart."""
    last = _HEADER + (plan[P.OUTER] + plan[P.SPATIAL] - 1) * _AXIS
    stride, windows, unit = plan[last + P.WINDOW_STRIDE], plan[last + P.SOURCE], plan[last + P.OUTPUT_STRIDE]
    by_tap, run = plan[P.INDEX_KIND] == 2, table + 3 * plan[P.TAPS]
    reach, origin = (plan[last + P.KERNEL] - 1) * plan[last + P.DILATION], w[W.INDEX]
    period = stride if stride % 2 == 0 else 2 * stride
    further = period // stride
    w[W.D_STEP], w[W.KERNEL] = period * unit, run
    w[W.STEP], w[W.I_STEP] = further * plan[last + P.SOURCE_STRIDE], further * plan[last + P.AUX_STRIDE]
    w[W.INDEX_STEP] = 0 if by_tap else period * plan[last + P.INDEX_UNIT]
    for turn in range(0, min(period, end - begin), 2):
        o = begin + turn
        while o < end:
            # up to where a window enters or leaves
            stop = (end - 2 - o) // period + 1 if o + 1 < end else 1
            moved = o + plan[last + P.PAD]
            for window in range(-((reach - moved) // stride), (moved + 1) // stride + 1):
                if window < 0:
                    stop = min(stop, -(window // further))
                elif window < windows:
                    stop = min(stop, -((window - windows) // further))
            w[W.AMOUNT] = list_windows(plan, c, table, leading, run, o)
            w[W.COUNT], w[W.OUT] = stop, d + o * unit
            w[W.B] = unit if o + 1 < end else 0
            w[W.INDEX] = 0 if by_tap else origin + flat + o * plan[last + P.INDEX_UNIT]
            w[W.OP] = W.MATCH_LANES
            call_pass(passes, w)
            o += stop * period
    w[W.INDEX] = origin


@register_jitable
def match_lanes(plan, c, passes, w, low, high):
    """Writes the tile's positions: ``low .. high - 1`` along the first spatial axis, all of the others."""
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    base = outer + 2
    table = base + 4 * spatial
    rows, begin, end = 1, low, high
    if spatial > 1:
        begin, end = 0, plan[_HEADER + (outer + spatial - 1) * _AXIS + P.OUTPUT]
    for a in range(spatial - 1):
        rows *= high - low if a == 0 else plan[_HEADER + (outer + a) * _AXIS + P.OUTPUT]
    w[W.X_GROUP], w[W.I_GROUP] = w[W.A], w[W.I]
    for number in range(rows):
        leading, d, flat = list_leading(plan, c, base, table, number, low, high)
        write_row(plan, c, passes, w, table, leading, w[W.D] + d, flat, begin, end)
