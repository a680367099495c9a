"""The walk of both kernel families: a window swept over memory, tile by tile.

A tile is a run of outputs along the last spatial axis, all other coordinates fixed; in the lanes family also a block of
the inner axis. Forward and backward are the same sweep: the gradient of a sum at a position is the sum over the windows
that hold it, and along an axis these are spaced evenly, so they are the taps of a window over the gradient. What
differs is the rule that gives an output its taps; in backward it depends on the position modulo the stride.

Reads ``bufs[0]`` (x, or the gradient of y), writes ``bufs[1]`` (y, or the gradient of x); ``bufs[2]`` holds the
indices, or what the gradient needs; ``bufs[3]`` is the address of the pass function. Taps are combined along the first
spatial axis, then the next, each in binary blocks from the first tap on; taps outside count as the identity.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.along import double, fetch, fold, halve_stride, join, operands, split
from fastpool.kernels.cpu.call import call_pass
from fastpool.kernels.cpu.columns import fill, merge
from fastpool.kernels.cpu.memory import CODES, address, pointer
from fastpool.kernels.cpu.walk import (
    advance,
    counted,
    inside,
    interior,
    offset,
    seek,
    set_taps,
    tap_to_index,
    taps_backward,
)

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]


@register_jitable
def emit(plan, passes, w, op, a, b, two, amount, step, first, many, lead, on_input):
    """Writes outputs ``first .. first + many - 1`` of each row; at the borders each has its own divisor."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    lanes = w[W.LANES]
    w[W.TWO] = 1 if two else 0
    w[W.AMOUNT] = amount
    w[W.STEP] = step
    w[W.OP] = op
    w[W.A] = a
    w[W.B] = b
    w[W.COUNT] = many
    if (many == 1) & (plan[P.WINDOW] == 0):
        # one output in each row: the rows become the run
        w[W.COUNT] = w[W.ROWS_COUNT]
        w[W.ROWS_COUNT] = 1
        w[W.STEP] = w[W.PITCH] // lanes if step != 0 else 0
        w[W.D_STEP], w[W.I_STEP], w[W.INDEX_STEP] = w[W.D_GROUP], w[W.I_GROUP], w[W.INDEX_GROUP]
        if (plan[P.COUNTS] != 0) & (plan[P.DIVISOR] == 0):
            w[W.DIVISOR] = lead * counted(plan, last, first)
            w[W.INSIDE] = on_input * inside(plan, last, first)
        call_pass(passes, w)
        w[W.ROWS_COUNT] = w[W.COUNT]
        return
    if (plan[P.COUNTS] == 0) | (plan[P.DIVISOR] != 0):
        call_pass(passes, w)
        return
    low, high = interior(plan, last)
    d, i, index = w[W.D], w[W.I], w[W.INDEX]
    k = 0
    while k < many:
        o = first + k
        run = 1
        if (o >= low) & (o < high):
            run = min(many - k, high - o)
        w[W.A] = a + k * step * lanes
        w[W.B] = b + k * step * lanes
        w[W.COUNT] = run
        w[W.D] = d + k * w[W.D_STEP]
        w[W.I] = i + k * w[W.I_STEP]
        w[W.INDEX] = index + k * w[W.INDEX_STEP]
        w[W.DIVISOR] = lead * counted(plan, last, o)
        w[W.INSIDE] = on_input * inside(plan, last, o)
        call_pass(passes, w)
        k += run


@register_jitable
def backward_rows(plan, c, passes, w, op, base, o, stop, lanes, direct):
    """A gradient at positions ``o .. stop - 1`` of each row, by their phase: the position modulo the stride."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    stride, pad, kernel = plan[last + P.WINDOW_STRIDE], plan[last + P.PAD], plan[last + P.KERNEL]
    row, spare, rows = plan[P.ROW], plan[P.LEVELS] * plan[P.ROW], w[W.ROWS_COUNT]
    end = (stop - 1 + pad) // stride + 1
    begin = end
    for phase in range(min(stride, stop - o)):
        at, taps, _ = taps_backward(plan, last, o + phase)
        if taps > 0:
            begin = min(begin, at)
    d, i = w[W.D], w[W.I]
    d_step, i_step = plan[last + P.OUTPUT_STRIDE], plan[last + P.AUX_STRIDE]
    fetch(plan, c, passes, w, base, begin, end, lanes, direct)
    pitch = w[W.PITCH]
    distance = plan[last + P.STEP_WINDOWS] * lanes
    most = (kernel - 1) // plan[last + P.STEP_TAPS] + 1
    double(passes, w, 0, row, most, rows * pitch, distance, 0)
    both = (stop - o) // 2
    if (stride == 2) & (op == W.EMIT_ROWS) & (both > 1) & (d_step == 1) & (i_step == 1):
        # both phases at once, in the order of memory: a store to every other element takes 6 times as long
        a = phase_states(plan, passes, w, o, begin, row, spare, both)
        b = phase_states(plan, passes, w, o + 1, begin, row, spare + row, both)
        emit(plan, passes, w, W.EMIT_SPREAD, a, b, False, 0, 1, 0, both, 1, 1)
        o += 2 * both
        w[W.D], w[W.I] = d + 2 * both, i + 2 * both
        d, i = w[W.D], w[W.I]
    for phase in range(min(stride, stop - o)):
        at, taps, _ = taps_backward(plan, last, o + phase)
        many = (stop - 1 - o - phase) // stride + 1
        a, b, two, amount, step = spare, spare, False, 0, 0
        if taps == 0:
            w[W.PITCH] = lanes
            fill(passes, w, spare, spare + lanes)
        else:
            start = (at - begin) * lanes
            dense = (rows - 1) * pitch + many * lanes
            a, b, two, amount = operands(passes, w, False, 0, row, spare, taps, start, dense, distance, 0)
            step = 1
        w[W.D], w[W.I] = d + phase * d_step, i + phase * i_step
        w[W.D_STEP], w[W.I_STEP] = d_step * stride, i_step * stride
        emit(plan, passes, w, op, a, b, two, amount, step, 0, many, 1, 1)
        w[W.PITCH] = pitch


@register_jitable
def phase_states(plan, passes, w, o, begin, row, spare, many):
    """Where the states of ``many`` positions ``o``, ``o + stride``, ... of each row are."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    at, taps, _ = taps_backward(plan, last, o)
    pitch = w[W.PITCH]
    dense = (w[W.ROWS_COUNT] - 1) * pitch + many
    if taps == 0:
        rows, w[W.ROWS_COUNT] = w[W.ROWS_COUNT], 1
        fill(passes, w, spare, spare + dense)
        w[W.ROWS_COUNT] = rows
        return spare
    distance = plan[last + P.STEP_WINDOWS]
    a, b, two, _ = operands(passes, w, False, 0, row, spare, taps, at - begin, dense, distance, 0)
    if two:
        if a == spare:
            merge(passes, w, spare, b, dense, 0)
        else:
            join(passes, w, a, b, spare, dense, 0)
        a = spare
    return a


@register_jitable
def finish_rows(plan, passes, w, op, base, spare, o, stop, lanes, lead, on_input):
    """Outputs ``o .. stop - 1`` of each row, from the states of single positions at ``base``."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    stride, kernel, jump = plan[last + P.WINDOW_STRIDE], plan[last + P.KERNEL], plan[last + P.JUMP]
    row, rows = plan[P.ROW], w[W.ROWS_COUNT]
    distance = plan[last + P.DILATION] * lanes
    repeatable = plan[P.REPEATABLE] != 0
    rest, taps = -1, kernel
    if plan[P.HALVINGS] != 0:
        base, taps, stride, jump, rest = halve_stride(
            plan, passes, w, base, kernel, stride, plan[last + P.DILATION], jump
        )
    double(passes, w, base, row, taps, rows * w[W.PITCH], distance, jump)
    dense = (rows - 1) * w[W.PITCH] + ((stop - o - 1) * stride + 1) * lanes
    a, b, two, amount = operands(passes, w, repeatable, base, row, spare, taps, 0, dense, distance, jump)
    if rest >= 0:
        if two:
            if a == spare:
                merge(passes, w, spare, b, dense, amount)
            else:
                join(passes, w, a, b, spare, dense, amount)
            a = spare
        b, two, amount = rest, True, taps * jump
    emit(plan, passes, w, op, a, b, two, amount, stride, o, stop - o, lead, on_input)


@register_jitable
def forward_rows(plan, c, passes, w, op, base, o, stop, lanes, direct, lead, on_input):
    """Outputs ``o .. stop - 1`` of each row."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    stride, pad, kernel = plan[last + P.WINDOW_STRIDE], plan[last + P.PAD], plan[last + P.KERNEL]
    jump, row, spare, rows = plan[last + P.JUMP], plan[P.ROW], plan[P.LEVELS] * plan[P.ROW], w[W.ROWS_COUNT]
    d_step, i_step, index_step = plan[last + P.OUTPUT_STRIDE], plan[last + P.AUX_STRIDE], w[W.INDEX_STEP]
    if plan[P.FOLD] != 0:
        d, i, index, stack = w[W.D], w[W.I], w[W.INDEX], plan[P.STACK]
        for k in range(stop - o):
            w[W.D], w[W.I], w[W.INDEX] = d + k * d_step, i + k * i_step, index + k * index_step
            fold(plan, c, passes, w, base, (o + k) * stride - pad, lanes, direct)
            emit(plan, passes, w, op, stack, stack, False, 0, 0, o + k, 1, lead, on_input)
        return
    first = o * stride - pad
    past = (stop - 1) * stride - pad + (kernel - 1) * plan[last + P.DILATION] + 1
    past = first + ((past - first - 1 >> plan[P.HALVINGS]) + 1 << plan[P.HALVINGS])
    fetch(plan, c, passes, w, base, first, past, lanes, direct)
    w[W.D_STEP], w[W.I_STEP] = d_step, i_step
    if plan[P.WINDOW] != 0:
        w[W.KERNEL] = kernel
        if plan[P.HALVINGS] != 0:
            w[W.PITCH] //= 2
            split(passes, w, 0, row, 2 * row, rows * w[W.PITCH])
            emit(plan, passes, w, W.EMIT_SPLIT, row, 2 * row, True, jump, 1, o, stop - o, lead, on_input)
        else:
            emit(plan, passes, w, op + 2, 0, 0, True, jump, stride, o, stop - o, lead, on_input)
        return
    if (kernel == 7) & (stop - o == 1) & (op == W.EMIT_ROWS) & (plan[last + P.DILATION] == 1):
        emit(plan, passes, w, W.EMIT_SEVEN, 0, 0, False, jump, 1, o, 1, lead, on_input)
        return
    finish_rows(plan, passes, w, op, 0, spare, o, stop, lanes, lead, on_input)


@register_jitable
def lanes_of(plan, c):
    """(first lane, lanes, whether rows are contiguous) of the current tile."""
    axes = plan[P.OUTER] + plan[P.LEAD]
    last = _HEADER + axes * _AXIS
    if plan[P.FAMILY] == 0:
        return 0, 1, (plan[P.SHARES] != 1) & (plan[last + P.SOURCE_STRIDE] == 1)
    first_lane = c[axes + 1] * plan[P.LANE_BLOCK]
    lanes = min(plan[P.LANE_BLOCK], plan[P.LANES] - first_lane)
    direct = (plan[P.SHARES] != 1) & (plan[P.SOURCE_LANE] == 1) & (plan[last + P.SOURCE_STRIDE] == lanes)
    return first_lane, lanes, direct


@register_jitable
def aim(plan, c, w, first_lane, o):
    """Writes the words that say where the output at position ``o`` of the current row, and what goes with it, is."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    axes = outer + lead
    last = _HEADER + axes * _AXIS
    d = first_lane * plan[P.OUTPUT_LANE] + o * plan[last + P.OUTPUT_STRIDE]
    i = first_lane * plan[P.AUX_LANE] + o * plan[last + P.AUX_STRIDE]
    w[W.D] = d + offset(plan, c, axes, P.OUTPUT_STRIDE)
    w[W.I] = i + offset(plan, c, axes, P.AUX_STRIDE)
    index, unit = 0, 0
    if (plan[P.INDEXED] != 0) & (plan[P.DECODE] == 0):
        unit = plan[last + P.INDEX_UNIT]
        index = first_lane * plan[P.INDEX_LANE] + offset(plan, c, outer, P.INDEX_UNIT)
        for a in range(lead):
            axis = _HEADER + (outer + a) * _AXIS
            index += (c[outer + a] * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]) * plan[axis + P.INDEX_UNIT]
        index += (o * plan[last + P.WINDOW_STRIDE] - plan[last + P.PAD]) * unit
    w[W.INDEX] = index
    w[W.INDEX_STEP] = plan[last + P.WINDOW_STRIDE] * unit


@register_jitable
def run_rows(plan, c, passes, w):
    """One tile's rows, from the current coordinates on; how many, and how far apart, the words tell."""
    outer, axes = plan[P.OUTER], plan[P.OUTER] + plan[P.LEAD]
    last = _HEADER + axes * _AXIS
    op = W.EMIT_ROWS if plan[P.FAMILY] == 0 else W.EMIT_LANES
    first_lane, lanes, direct = lanes_of(plan, c)
    o = c[axes] * plan[P.BLOCK]
    stop = min(o + plan[P.BLOCK], plan[last + P.OUTPUT])
    base = offset(plan, c, outer, P.SOURCE_STRIDE) + first_lane * plan[P.SOURCE_LANE]
    aim(plan, c, w, first_lane, o)
    lead, on_input = set_taps(plan, c)
    if plan[P.BACKWARD] != 0:
        backward_rows(plan, c, passes, w, op, base, o, stop, lanes, direct)
        return
    i = w[W.I]
    forward_rows(plan, c, passes, w, op, base, o, stop, lanes, direct, lead, on_input)
    if plan[P.DECODE] != 0:
        indices = pointer(w[W.AUX], _INT64)
        for k in range(stop - o):
            for e in range(lanes):
                at = i + k * plan[last + P.AUX_STRIDE] + e * plan[P.AUX_LANE]
                if indices[at] >= 0:
                    lane = (first_lane + e) * plan[P.INDEX_LANE]
                    indices[at] = lane + tap_to_index(plan, c, indices[at], o + k)


@register_jitable
def next_run(plan, axis, row, stop):
    """(how many rows from ``row`` on, ``stop`` excluded, have all their taps on the source, or 1; step between them).

    In backward the rows of one phase: those a stride apart.
    """
    stride = plan[axis + P.WINDOW_STRIDE]
    if plan[P.BACKWARD] == 0:
        low, high = interior(plan, axis)
        if (row >= low) & (row < high):
            return min(stop, high) - row, 1
        return 1, 1
    many = (stop - 1 - row) // stride + 1
    first, taps, step = taps_backward(plan, axis, row)
    room = plan[axis + P.SOURCE] - first - (taps - 1) * step
    if taps == 0:
        return many, stride
    if (first >= 0) & (room > 0):
        return min(many, room), stride
    return 1, stride


@register_jitable
def begin_call(plan, bufs, w):
    """Writes the words that are fixed during a call; returns the walk's coordinates."""
    work = address(w)
    for i in range(3):
        w[W.X + i] = bufs[i]
    w[W.STATES] = work + plan[P.STATE]
    w[W.STATES2] = work + plan[P.STATE2]
    w[W.ROWS] = work + plan[P.PACK]
    w[W.PARAM] = plan[P.PARAM]
    w[W.D_LANE], w[W.I_LANE] = plan[P.OUTPUT_LANE], plan[P.AUX_LANE]
    w[W.INDEX_LANE] = 0 if plan[P.DECODE] != 0 else plan[P.INDEX_LANE]
    # where the lift divides, packing must not
    w[W.DIVISOR] = plan[P.DIVISOR] if (plan[P.DIVISOR] != 0) & (plan[P.SHARES] != 2) else 1
    w[W.INSIDE] = -1 if plan[P.DIVISOR] != 0 else 1
    return pointer(work + plan[P.COORDINATES], _INT64)


def make_sweep(digest: int) -> Any:
    """The Python function of the walk. ``digest`` stands for the sources that it was made from."""

    def sweep(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = begin_call(plan, bufs, work)
        w, passes, outer = work, bufs[3], plan[P.OUTER]
        group = plan[P.GROUP_AXIS]
        axis = _HEADER + max(group, 0) * _AXIS
        leading = group >= outer
        source_step, output_step, index_step = 1, 1, 1
        if leading:
            if plan[P.BACKWARD] != 0:
                output_step = plan[axis + P.WINDOW_STRIDE]
            else:
                source_step = index_step = plan[axis + P.WINDOW_STRIDE]
        w[W.X_GROUP] = source_step * plan[axis + P.SOURCE_STRIDE]
        w[W.D_GROUP] = output_step * plan[axis + P.OUTPUT_STRIDE]
        w[W.I_GROUP] = output_step * plan[axis + P.AUX_STRIDE]
        w[W.INDEX_GROUP] = 0 if plan[P.DECODE] != 0 else index_step * plan[axis + P.INDEX_UNIT]
        seek(plan, c, begin)
        for _ in range(begin, end):
            if group < 0:
                w[W.ROWS_COUNT] = 1
                run_rows(plan, c, passes, w)
            else:
                first = c[group]
                stop = min(first + plan[P.GROUP], plan[axis + P.OUTPUT])
                phases = output_step if leading else 1
                for phase in range(min(phases, stop - first)):
                    row = first + phase
                    while row < stop:
                        many, step = stop - row, 1
                        if leading:
                            many, step = next_run(plan, axis, row, stop)
                        c[group] = row
                        w[W.ROWS_COUNT] = many
                        run_rows(plan, c, passes, w)
                        row += many * step
                c[group] = first
            advance(plan, c)

    return sweep
