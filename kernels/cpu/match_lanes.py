"""The comparison of taps where lanes are contiguous: no scratch, each row of x's gradient is written from its windows.

For a position the windows that hold it are few; their gradients and indices lie in memory as the lanes of the position
do, so an output is a sum over them, in vectors along the lanes. Positions a stride apart have the same taps and are
taken together, but for those at the borders, where windows are missing.

``c``, the integers of the workspace, after the coordinates of ``walk``::

    first window, windows, step between them (one entry per leading axis each) | windows of the row | windows of a run

where a window is three integers: its offset in the gradient of y, in the indices, and the code of its tap.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.call import call_pass
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
def add_windows(c, passes, w, table, count):
    """Writes a run of outputs from ``count`` windows each, one or two at a time."""
    w[W.OP] = W.LANES_NONE if count == 0 else (W.LANES_ONE if count % 2 == 1 else W.LANES_TWO)
    at = table
    left = count
    g, i = w[W.SOURCE], w[W.I]
    code = w[W.INDEX]
    while True:
        w[W.A], w[W.AUX_A], w[W.AMOUNT] = g + c[at], i + c[at + 1], code + c[at + 2]
        used = 1
        if w[W.OP] != W.LANES_ONE:
            w[W.B], w[W.AUX_B], w[W.C] = g + c[at + 3], i + c[at + 4], code + c[at + 5]
            used = 2
        call_pass(passes, w)
        left -= used
        at += 3 * used
        if left <= 0:
            break
        w[W.OP] = W.LANES_MORE


@register_jitable
def write_row(plan, c, passes, w, table, leading, d, flat, begin, end):
    """Writes the positions ``begin .. end - 1`` of a row, phase by phase, borders apart."""
    last = _HEADER + (plan[P.OUTER] + plan[P.SPATIAL] - 1) * _AXIS
    stride, windows = plan[last + P.WINDOW_STRIDE], plan[last + P.SOURCE]
    by_tap, run = plan[P.INDEX_KIND] == 2, table + 3 * plan[P.TAPS]
    origin = w[W.INDEX]
    w[W.D_STEP] = stride * plan[last + P.OUTPUT_STRIDE]
    w[W.STEP], w[W.I_STEP] = plan[last + P.SOURCE_STRIDE], plan[last + P.AUX_STRIDE]
    w[W.INDEX_STEP] = 0 if by_tap else stride * plan[last + P.INDEX_UNIT]
    for phase in range(min(stride, end - begin)):
        o = begin + phase
        first, taps, step = taps_backward(plan, last, o)
        many = (end - 1 - o) // stride + 1
        m = 0
        while m < many:
            # up to where a window enters or leaves
            stop, count = many, 0
            for t in range(taps):
                window = first + m + t * step
                if window < 0:
                    stop = min(stop, m - window)
                elif window < windows:
                    stop = min(stop, m + windows - window)
            for entry in range(leading):
                at = table + 3 * entry
                for t in range(taps):
                    window = first + m + t * step
                    if (window >= 0) & (window < windows):
                        to = run + 3 * count
                        moved = o + m * stride + plan[last + P.PAD] - window * stride
                        c[to] = c[at] + window * plan[last + P.SOURCE_STRIDE]
                        c[to + 1] = c[at + 1] + window * plan[last + P.AUX_STRIDE]
                        c[to + 2] = 0
                        if by_tap:
                            c[to + 2] = c[at + 2] + moved // plan[last + P.DILATION] * plan[last + P.JUMP]
                        count += 1
            w[W.COUNT] = stop - m
            w[W.OUT] = d + (o + m * stride) * plan[last + P.OUTPUT_STRIDE]
            w[W.INDEX] = 0 if by_tap else origin + flat + (o + m * stride) * plan[last + P.INDEX_UNIT]
            add_windows(c, passes, w, run, count)
            m = stop
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
    w[W.SOURCE] = w[W.A]
    for number in range(rows):
        leading, d, flat = list_leading(plan, c, base, table, number, low, high)
        write_row(plan, c, passes, w, table, leading, w[W.D] + d, flat, begin, end)
