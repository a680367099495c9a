"""Tables of rows that a row of outputs is made from: where they are, and by which numbers their taps are told.

Of taps, for indices: ``address, number of the first tap`` for each row on the input. Of windows, for gradients:
see ``put_row``.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu.walk import offset

_AXIS, _HEADER = P.AXIS, P.HEADER

NO_TAP, NOT_TAKEN = 254, 255
"""A tap that is looked for and that no window has; one that a window has and that nobody looks for."""

ROW, TABLE = P.WINDOW_ROW, P.WINDOW_TABLE
KEPT = P.WINDOW_TABLES - 2
"""Tables of neighbouring rows of the gradient that are kept: those of the next windows lie a step further."""


@register_jitable
def tap(first, place, kernel, jump):
    """The tap at a place of a window along the last axis, or one that no window has."""
    return first + place * jump if (place >= 0) & (place < kernel) else NO_TAP


@register_jitable
def put_row(plan, table, row, g, t, first, place):
    """Writes a row of windows into a table, where ``place`` is that of the row's first element in the first window.

    ``where its gradients begin | where its taps begin | its first tap | the taps that are looked for``: with a stride
    of 2 those of even and then those of odd elements, in the first window and the next one; else those of an element
    in three windows. The first row of a table has ``how many rows follow | whether none is missing``.
    """
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    kernel, jump = plan[last + P.KERNEL], plan[last + P.JUMP]
    at = ROW * (row + 1)
    table[at], table[at + 1], table[at + 2] = g, t, first
    table[at + 3] = tap(first, place, kernel, jump)
    if plan[last + P.WINDOW_STRIDE] == 2:
        table[at + 4] = tap(first, place - 2, kernel, jump)
        table[at + 5] = tap(first, place + 1, kernel, jump)
        table[at + 6] = tap(first, place - 1, kernel, jump)
    else:
        table[at + 4] = tap(first, place - 1, kernel, jump)
        table[at + 5] = tap(first, place - 2, kernel, jump)


@register_jitable
def put_rows(plan, axis, w, phase, source, table, place):
    """Writes for each row of ``source`` those of the windows along an axis that hold a position, the first one first.

    The position is ``phase`` after the beginning of window ``w``.
    """
    stride, dilation, size = plan[axis + P.WINDOW_STRIDE], plan[axis + P.DILATION], plan[axis + P.SOURCE]
    moved, reach, found = phase, (plan[axis + P.KERNEL] - 1) * dilation, 0
    complete = w < size
    while moved + stride <= reach:
        moved += stride
        w -= 1
    for k in range(1, source[0] + 1):
        v, step = w, moved
        while step >= 0:
            there = (v >= 0) & (v < size) & (step <= reach)
            if there and (dilation == 1 or step % dilation == 0):
                g = source[ROW * k] + v * plan[axis + P.SOURCE_STRIDE]
                t = source[ROW * k + 1] + v * plan[axis + P.AUX_STRIDE]
                first = step if dilation == 1 else step // dilation
                put_row(plan, table, found, g, t, source[ROW * k + 2] + first * plan[axis + P.JUMP], place)
                found += 1
            step -= stride
            v += 1
    table[0], table[1] = found, 1 if complete & (w >= 0) else 0


@register_jitable
def move_rows(plan, axis, table, steps):
    """Moves the rows of a table to other windows along an axis."""
    table[ROW] += steps * plan[axis + P.SOURCE_STRIDE]
    table[ROW + 1] += steps * plan[axis + P.AUX_STRIDE]
    at = 2 * ROW
    for _ in range(1, table[0]):
        table[at] += steps * plan[axis + P.SOURCE_STRIDE]
        table[at + 1] += steps * plan[axis + P.AUX_STRIDE]
        at += ROW


@register_jitable
def renew(plan, axis, w, phase, source, table, place):
    """As ``put_rows``, in a table that is either empty or has the rows of the same phase of the window before."""
    if (table[1] != 0) & (phase < KEPT - 1) & (w < plan[axis + P.SOURCE]):
        move_rows(plan, axis, table, 1)
    else:
        put_rows(plan, axis, w, phase, source, table, place)


@register_jitable
def owns_windows(plan, table, low, high):
    """Whether the windows from ``low`` to ``high`` of all rows of the table lie in their arrays' memory."""
    own = True
    at = ROW
    for _ in range(table[0]):
        own = own & (table[at] + low >= 0) & (table[at] + high <= plan[P.SOURCE_END])
        own = own & (table[at + 1] + low >= 0) & (table[at + 1] + high <= plan[P.AUX_END])
        at += ROW
    return own


@register_jitable
def rows_of_taps(plan, c, table, x, size):
    """Writes for each row of taps on the input its address and the number of its first tap; returns how many."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    table[0], table[1] = x + offset(plan, c, outer, P.SOURCE_STRIDE) * size, 0
    many = 1
    # from the last leading axis to the first: those of the first tap take the place of what they are made from
    for i in range(lead):
        a = outer + lead - 1 - i
        axis = _HEADER + a * _AXIS
        start = c[a] * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
        dilation, limit = plan[axis + P.DILATION], plan[axis + P.SOURCE]
        low, past = 0, plan[axis + P.KERNEL]
        while start + low * dilation < 0 and low < past:
            low += 1
        while start + (past - 1) * dilation >= limit and past > low:
            past -= 1
        j = past - 1
        while j >= low:
            at = (start + j * dilation) * plan[axis + P.SOURCE_STRIDE] * size
            for k in range(many):
                to = 2 * ((j - low) * many + k)
                table[to] = table[2 * k] + at
                table[to + 1] = table[2 * k + 1] + j * plan[axis + P.JUMP]
            j -= 1
        many *= past - low
    return many


@register_jitable
def follows(plan, row, axis):
    """Whether output row ``row`` has all rows of its taps, a step after those of the row before it."""
    start = row * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
    reach = (plan[axis + P.KERNEL] - 1) * plan[axis + P.DILATION]
    return (start >= 0) & (start + reach < plan[axis + P.SOURCE])


@register_jitable
def owns_taps(plan, table, many, x, size, low, high):
    """Whether the places ``low`` to ``high`` of all rows of taps lie in the array's memory, which begins at ``x``."""
    own = True
    for i in range(many):
        at = table[2 * i] // size - x
        own = own & (at + low >= 0) & (at + high < plan[P.SOURCE_END])
    return own


@register_jitable
def index_of_row(plan, c):
    """What is added to a tap's number for the index of the row's position 0."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    index = offset(plan, c, outer, P.INDEX_UNIT)
    for a in range(outer, outer + lead):
        axis = _HEADER + a * _AXIS
        index += (c[a] * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]) * plan[axis + P.INDEX_UNIT]
    return index
