"""The first stage of a sweep: reduce along the leading spatial axes, into one scratch row.

For each position along the last spatial axis (and each lane) the taps of the leading axes are combined in the fixed
order: along the first axis in binary blocks, then along the next. Blocks live on a stack of scratch rows, as in a
binary counter, so k taps take k passes and log2(k) rows::

    taps   0  1  2  3  4        row 0: (0 1)              row 0: ((0 1) (2 3))      row 0: ((0 1) (2 3)) 4
           five source rows     row 1:       (2 3)        row 1: 4

A source row that cannot be read in place is packed first, three rows at a time at most.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.call import call_pass
from fastpool.kernels.cpu.walk import counted, interior

_AXIS, _HEADER = P.AXIS, P.HEADER


@register_jitable
def fill(passes, w, begin, end):
    """Makes the states ``begin .. end - 1`` of each row the identity."""
    if begin < end:
        w[W.OUT] = begin
        w[W.COUNT] = end - begin
        w[W.OP] = W.FILL
        call_pass(passes, w)


@register_jitable
def merge(passes, w, a, b, count, amount):
    """Combines two blocks of ``count`` states each into the first; the second lies ``amount`` taps later."""
    w[W.A] = a
    w[W.B] = b
    w[W.COUNT] = count
    w[W.AMOUNT] = amount
    w[W.OP] = W.MERGE
    call_pass(passes, w)


@register_jitable
def locate(plan, c, base):
    """(whether the current tap lies on the source, offset of its row)."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    taps = outer + lead + 2
    at = base
    on = True
    for a in range(lead):
        axis = _HEADER + (outer + a) * _AXIS
        position = c[taps + a] + c[taps + 3 * lead + a] * c[taps + 2 * lead + a]
        if (position < 0) | (position >= plan[axis + P.SOURCE]):
            on = False
        at += position * plan[axis + P.SOURCE_STRIDE]
    return on, at


@register_jitable
def leading_divisor(plan, c, row):
    """The leading axes' share of the divisor of the current tap's window, in row ``row`` of the group."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    taps = outer + lead + 2
    divisor = 1
    for a in range(lead):
        axis = _HEADER + (outer + a) * _AXIS
        window = c[taps + a] + c[taps + 3 * lead + a] * c[taps + 2 * lead + a]
        if outer + a == plan[P.GROUP_AXIS]:
            window += row
        divisor *= counted(plan, axis, window)
    return divisor


@register_jitable
def pack(plan, c, passes, w, at, slot, count, lanes):
    """Packs the rows of the current tap into slot 0, 1 or 2; returns where they begin."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    w[W.STEP] = plan[last + P.SOURCE_STRIDE]
    w[W.LANE_STEP] = plan[P.SOURCE_LANE]
    w[W.COUNT] = count
    w[W.OP] = W.PACK
    begin = slot * plan[P.ROW]
    if plan[P.SHARES] != 1:
        w[W.A] = at
        w[W.OUT] = begin
        call_pass(passes, w)
        return begin
    fixed = plan[P.DIVISOR]
    window, pitch = w[W.FIRST], count * lanes
    low, high = interior(plan, last)
    rows = w[W.ROWS_COUNT]
    row = 0
    while row < rows:
        # rows whose windows have the same divisor at once, and along a row the windows inside the borders
        lead = leading_divisor(plan, c, row)
        run = 1
        if (fixed != 0) | (plan[P.GROUP_AXIS] < plan[P.OUTER]):
            run = rows
        while (row + run < rows) and (leading_divisor(plan, c, row + run) == lead):
            run += 1
        w[W.ROWS_COUNT] = run
        k = 0
        while k < count:
            o = window + k
            many = 1
            if fixed != 0:
                many = count
            elif (o >= low) & (o < high):
                many = min(count - k, high - o)
            w[W.DIVISOR] = fixed if fixed != 0 else lead * counted(plan, last, o)
            w[W.COUNT] = many
            w[W.A] = at + row * w[W.X_GROUP] + k * w[W.STEP]
            w[W.OUT] = begin + row * pitch + k * lanes
            call_pass(passes, w)
            k += many
        row += run
    w[W.ROWS_COUNT] = rows
    return begin


@register_jitable
def lift(passes, w, op, a, b, c, out, count, positions, lanes, jump):
    """Source rows become a row of states: one, two or three of them; or more, ``c`` apart, the last one at ``b``."""
    w[W.A] = a
    w[W.B] = b
    w[W.C] = c
    w[W.OUT] = out
    # whole vectors are cheaper than a rest (rows of 7: 12 cycles for 18), and what lies behind a row is written over
    whole = (count + 7) // 8 * 8
    rows = w[W.ROWS_COUNT] if positions == 0 else positions
    end = max(a, max(b, c)) + (rows - 1) * w[W.SOURCE_PITCH] + whole
    w[W.COUNT] = whole if (count < 64) & (w[W.SOURCE_END] > 0) & (end <= w[W.SOURCE_END]) else count
    w[W.AMOUNT] = jump
    w[W.OP] = op
    if positions == 0:
        call_pass(passes, w)
    else:
        pitch = w[W.PITCH]
        w[W.ROWS_COUNT], w[W.PITCH] = positions, lanes
        call_pass(passes, w)
        w[W.ROWS_COUNT], w[W.PITCH] = 1, pitch


@register_jitable
def ones(n):
    """How many binary digits are 1."""
    found = 0
    while n > 0:
        found += n & 1
        n >>= 1
    return found


@register_jitable
def whole_block(tap, many):
    """How many taps from ``tap`` on are lifted at once, of ``many``: all eights, seven or four; else 1."""
    if tap == 0:
        if many == 7:
            return 7
        if many >= 8:
            return many // 8 * 8
    return 4 if (tap % 4 == 0) & (many - tap >= 4) else 1


@register_jitable
def fold_blocks(passes, w, row, begin, base, taps, count, jump):
    """Adds the binary blocks of ``taps`` taps, rows ``base`` and up, from the left; ``count`` states each."""
    block = 1
    while block * 2 <= taps:
        block *= 2
    done = block
    i = 1
    block //= 2
    while block > 0:
        if taps & block:
            merge(passes, w, base * row + begin, (base + i) * row + begin, count, done * jump)
            done += block
            i += 1
        block //= 2


@register_jitable
def columns(plan, c, passes, w, base, begin, count, lanes, first_state, direct):
    """Fills ``count * lanes`` states of scratch slot 0 from ``first_state`` on, in each row of the group.

    ``base`` is the offset of source position ``begin`` of the last axis, leading positions at 0. With ``direct`` a row
    is contiguous in memory and is read in place.
    """
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    row = plan[P.ROW]
    n = count * lanes
    every = (w[W.ROWS_COUNT] - 1) * w[W.PITCH] + n
    w[W.SOURCE_END] = plan[P.SOURCE_END]
    spread = False
    if direct:
        w[W.SOURCE] = w[W.X]
        w[W.SOURCE_PITCH] = w[W.X_GROUP]
    elif (plan[P.SHARES] != 1) & (plan[P.SOURCE_LANE] == 1) & (w[W.ROWS_COUNT] == 1) & (lanes >= 16):
        # one row whose positions lie apart, their lanes together: the positions are read as rows
        spread = True
        w[W.SOURCE] = w[W.X]
        w[W.SOURCE_PITCH] = plan[_HEADER + (outer + lead) * _AXIS + P.SOURCE_STRIDE]
    else:
        w[W.SOURCE_END] = 0
        w[W.SOURCE] = w[W.ROWS]
        w[W.SOURCE_PITCH] = n
    w[W.FIRST] = begin
    in_place = direct | spread
    positions = count if spread else 0
    length = lanes if spread else n
    counts = outer + lead + 2 + lead
    taps = counts + 2 * lead
    for a in range(lead):
        c[taps + a] = 0
        if c[counts + a] == 0:
            fill(passes, w, first_state, first_state + n)
            return
    many, tap, jump = 1, 0, 0
    top = 0
    while True:
        # one block of taps along the first axis goes on the stack, or those of all whole eights
        if lead > 0:
            many, tap = c[counts], c[taps]
            jump = plan[_HEADER + outer * _AXIS + P.JUMP]
        out = top * row + first_state
        ok0, at0 = locate(plan, c, base)
        if ok0 & (not in_place):
            at0 = pack(plan, c, passes, w, at0, 0, count, lanes)
        size, at1 = whole_block(tap, many) if in_place & ok0 else 1, 0
        if size > 1:
            # all of them lie on the source where the first and the last do
            c[taps] = tap + size - 1
            ok1, at1 = locate(plan, c, base)
            size = size if ok1 else 1
        if size > 1:
            op, step = W.FOUR if size == 4 else W.SEVEN, (at1 - at0) // (size - 1)
            if size % 8 == 0:
                op, w[W.TWO], w[W.STEP] = W.EIGHTS, size // 8, row
            lift(passes, w, op, at0, at1, step, out, length, positions, lanes, jump)
        elif many - tap >= 2:
            size = 2
            c[taps] = tap + 1
            ok1, at1 = locate(plan, c, base)
            if ok1 & (not in_place):
                at1 = pack(plan, c, passes, w, at1, 1, count, lanes)
            ok2, at2 = False, 0
            if (many == 3) & ok0 & ok1:
                c[taps] = 2
                ok2, at2 = locate(plan, c, base)
            if ok2:
                size = 3
                if not in_place:
                    at2 = pack(plan, c, passes, w, at2, 2, count, lanes)
                lift(passes, w, W.TRIPLE, at0, at1, at2, out, length, positions, lanes, jump)
            elif ok0 & ok1:
                lift(passes, w, W.PAIR, at0, at1, 0, out, length, positions, lanes, jump)
            else:
                if ok0:
                    lift(passes, w, W.LEAF, at0, 0, 0, out, length, positions, lanes, jump)
                else:
                    fill(passes, w, out, out + n)
                if ok1:
                    lift(passes, w, W.LEAF, at1, 0, 0, out + row, length, positions, lanes, jump)
                else:
                    fill(passes, w, out + row, out + row + n)
                merge(passes, w, out, out + row, every, jump)
        elif ok0:
            lift(passes, w, W.LEAF, at0, 0, 0, out, length, positions, lanes, jump)
        else:
            fill(passes, w, out, out + n)
        top += ones(size // 8) if size % 8 == 0 else 1
        if lead == 0:
            return
        # merge blocks of equal size; when an axis is complete, its sum is one tap of the next
        done = tap + size
        half = size if (size == 2) | (size == 4) else 1
        blocks = done // half if half > 1 else 1
        complete = (size == 3) | (size == 7)
        a = 0
        while True:
            jump = plan[_HEADER + (outer + a) * _AXIS + P.JUMP]
            while blocks & 1 == 0:
                lower = (top - 2) * row + first_state
                merge(passes, w, lower, lower + row, every, half * jump)
                top -= 1
                blocks >>= 1
                half <<= 1
            many = c[counts + a]
            if done < many:
                c[taps + a] = done
                break
            if not complete:
                parts = ones(many)
                fold_blocks(passes, w, row, first_state, top - parts, many, every, jump)
                top = top - parts + 1
            complete = False
            c[taps + a] = 0
            a += 1
            if a == lead:
                return
            done = c[taps + a] + 1
            blocks = done
            half = 1
