"""The second stage of a sweep: reduce a scratch row along the last spatial axis.

Two ways, the same order of combining. *Doubling* serves all outputs of a row at once: row ``q`` of the scratch holds,
for each position, the block of ``2**q`` taps that begins there::

    row 0   t0 t1 t2 t3 t4 t5 t6        row 1   t0t1 t1t2 t2t3 t3t4 t4t5 t5t6        row 2   t0..t3 t1..t4 t2..t5 t3..t6

*Folding* serves one output, whose window is long or shared with no other: it halves a chunk of taps until one state is
left, and keeps the chunks on a stack, as in a binary counter.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.call import call_pass
from fastpool.kernels.cpu.columns import columns, fill, fold_blocks, merge

_AXIS, _HEADER = P.AXIS, P.HEADER


@register_jitable
def fetch(plan, c, passes, w, base, begin, end, lanes, direct):
    """Fills scratch slot 0 for the positions ``begin .. end - 1`` of each row: identity where there is no source.

    ``base`` is the offset of position 0.
    """
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    size = plan[last + P.SOURCE]
    first = min(max(begin, 0), size)
    stop = max(min(end, size), first)
    w[W.LANES] = lanes
    w[W.PITCH] = (end - begin) * lanes
    if first < stop:
        at = base + first * plan[last + P.SOURCE_STRIDE]
        columns(plan, c, passes, w, at, first, stop - first, lanes, (first - begin) * lanes, direct)
        fill(passes, w, 0, (first - begin) * lanes)
        fill(passes, w, (stop - begin) * lanes, (end - begin) * lanes)
    else:
        fill(passes, w, 0, (end - begin) * lanes)


@register_jitable
def join(passes, w, a, b, out, count, amount):
    """As ``merge``, into other memory: the loop that LLVM vectorises if it may assume just that."""
    w[W.A] = a
    w[W.B] = b
    w[W.OUT] = out
    w[W.COUNT] = count
    w[W.AMOUNT] = amount
    w[W.OP] = W.JOIN
    call_pass(passes, w)


@register_jitable
def split(passes, w, a, even, odd, count):
    """Copies every other state from ``a`` on to ``even``, and those between them to ``odd``: ``count`` each."""
    w[W.A] = a
    w[W.OUT] = even
    w[W.C] = odd
    w[W.COUNT] = count
    w[W.OP] = W.SPLIT
    call_pass(passes, w)


@register_jitable
def halve_stride(plan, passes, w, base, kernel, stride, dilation, jump):
    """Makes windows at an even stride windows at half the stride, over pairs of taps, as often as was planned.

    Returns (row of scratch that the windows are over, their taps, stride, jump, state of the last tap or -1). Where a
    window has an odd tap, it is the last one, and is to be joined behind the others::

        t0 t1 t2 t3 t4 t5 t6 ...    even t0 t2 t4 t6    odd t1 t3 t5    pairs t0t1 t2t3 t4t5
        taps 5, stride 2            pairs: taps 2, stride 1; and t4, t6, ...
    """
    row = plan[P.ROW]
    used, rest = base // row + 1, -1
    for _ in range(plan[P.HALVINGS]):
        many = w[W.ROWS_COUNT] * w[W.PITCH] // 2
        even, odd, pairs = used * row, (used + 1) * row, (used + 2) * row
        split(passes, w, base, even, odd, many)
        w[W.PITCH] //= 2
        stride //= 2
        base = even
        used += 2
        if kernel > 1:
            if kernel % 2 != 0:
                rest = even + kernel // 2 * dilation
            half = (dilation - 1) // 2
            join(passes, w, even, odd + half, pairs, many - half, jump)
            base = pairs
            used += 1
        kernel = max(kernel // 2, 1)
        jump *= 2
    return base, kernel, stride, jump, rest


@register_jitable
def double(passes, w, base, row, taps, count, distance, jump):
    """Builds the rows of blocks of 2, 4, ... up to ``taps`` taps behind ``base``, from ``count`` states of one tap."""
    block = 1
    q = 0
    while 2 * block <= taps:
        count -= block * distance
        join(passes, w, base + q * row, base + q * row + block * distance, base + (q + 1) * row, count, block * jump)
        block *= 2
        q += 1


@register_jitable
def operands(passes, w, repeatable, base, row, spare, taps, start, count, distance, jump):
    """(a, b, two, amount): the window of ``taps`` taps at state ``start`` is state a, joined with b if two.

    All but the last of the joins are made here, for ``count`` states, into the row that begins at ``spare``.
    """
    block = 1
    q = 0
    while 2 * block <= taps:
        block *= 2
        q += 1
    start += base
    a = q * row + start
    if block == taps:
        return a, a, False, 0
    if repeatable:
        rest = taps - block
        return a, a + rest * distance, True, rest * jump
    done = block
    while True:
        block //= 2
        q -= 1
        while taps & block == 0:
            block //= 2
            q -= 1
        b = q * row + start + done * distance
        if done + block == taps:
            return a, b, True, done * jump
        if a == spare:
            merge(passes, w, spare, b, count, done * jump)
        else:
            join(passes, w, a, b, spare, count, done * jump)
            a = spare
        done += block


@register_jitable
def halve(passes, w, a, step, out, count, amount):
    """Combines ``count`` neighbouring pairs of lane groups that begin at ``a``, ``step`` states apart."""
    w[W.A] = a
    w[W.STEP] = step
    w[W.OUT] = out
    w[W.COUNT] = count
    w[W.AMOUNT] = amount
    w[W.OP] = W.HALVE
    call_pass(passes, w)


@register_jitable
def reduce_block(passes, w, a, step, taps, levels, lanes, jump):
    """Halves ``taps`` lane groups (a power of two) until one is left; returns where it is."""
    amount = jump
    out = levels
    while taps > 1:
        taps //= 2
        # levels lie one behind another, so a level is never written where it is read
        halve(passes, w, a, step, out, taps, amount)
        a, step = out, lanes
        out += taps * lanes
        amount *= 2
    return a


@register_jitable
def copy(passes, w, a, out, count):
    w[W.A] = a
    w[W.OUT] = out
    w[W.COUNT] = count
    w[W.OP] = W.COPY
    call_pass(passes, w)


@register_jitable
def fold(plan, c, passes, w, base, origin, lanes, direct):
    """Reduces the window at ``origin``, chunk by chunk, into the first lane group of the stack."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    taps, dilation, jump = plan[last + P.KERNEL], plan[last + P.DILATION], plan[last + P.JUMP]
    chunk, stack = plan[P.CHUNK], plan[P.STACK]
    levels = plan[P.LEVELS] * plan[P.ROW]
    step = dilation * lanes
    top = 0
    full = taps // chunk
    rest = taps - full * chunk
    for q in range(full + (1 if rest > 0 else 0)):
        begin = origin + q * chunk * dilation
        here = chunk if q < full else rest
        fetch(plan, c, passes, w, base, begin, begin + (here - 1) * dilation + 1, lanes, direct)
        if q < full:
            a = reduce_block(passes, w, 0, step, chunk, levels, lanes, jump)
            copy(passes, w, a, stack + top * lanes, lanes)
            top += 1
            blocks = q + 1
            amount = chunk * jump
            while blocks & 1 == 0:
                merge(passes, w, stack + (top - 2) * lanes, stack + (top - 1) * lanes, lanes, amount)
                top -= 1
                blocks >>= 1
                amount *= 2
        else:
            if full > 0:
                fold_blocks(passes, w, lanes, stack, 0, full, lanes, chunk * jump)
            block = 1
            while 2 * block <= rest:
                block *= 2
            done = 0
            while block > 0:
                if rest & block:
                    a = reduce_block(passes, w, done * step, step, block, levels, lanes, jump)
                    if (full == 0) & (done == 0):
                        copy(passes, w, a, stack, lanes)
                    else:
                        merge(passes, w, stack, a, lanes, (full * chunk + done) * jump)
                    done += block
                block //= 2
    if rest == 0:
        fold_blocks(passes, w, lanes, stack, 0, full, lanes, chunk * jump)
