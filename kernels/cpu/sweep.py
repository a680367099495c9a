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
from fastpool.kernels.cpu.along import double, fetch, fold, operands
from fastpool.kernels.cpu.call import call_pass
from fastpool.kernels.cpu.columns import fill
from fastpool.kernels.cpu.memory import address, pointer
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
_INT64 = 4
"""Code of int64 elements, see ``memory.CODES``."""


@register_jitable
def emit(plan, passes, w, op, a, b, two, amount, step, first, many, lead, on_input):
    """Writes outputs ``first .. first + many - 1``; at the borders each has its own divisor."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    lanes = w[W.LANES]
    w[W.TWO] = 1 if two else 0
    w[W.AMOUNT] = amount
    w[W.STEP] = step
    w[W.WORDS] = op
    w[W.A] = a
    w[W.B] = b
    w[W.COUNT] = many
    if plan[P.COUNTS] == 0:
        call_pass(passes, w)
        return
    fixed = plan[P.DIVISOR]
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
        w[W.DIVISOR] = fixed if fixed != 0 else lead * counted(plan, last, o)
        w[W.INSIDE] = -1 if fixed != 0 else on_input * inside(plan, last, o)
        call_pass(passes, w)
        k += run


@register_jitable
def sweep_backward(plan, c, passes, w, op, base, o, stop, lanes, direct):
    """One tile of a gradient: outputs ``o .. stop - 1`` by their phase, the position modulo the stride."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    stride, pad, kernel = plan[last + P.WINDOW_STRIDE], plan[last + P.PAD], plan[last + P.KERNEL]
    row, stack = plan[P.ROW], plan[P.STACK]
    begin = (o + pad - (kernel - 1) * plan[last + P.DILATION]) // stride
    end = (stop - 1 + pad) // stride + 1
    d, i = w[W.D], w[W.I]
    d_step, i_step = plan[last + P.OUTPUT_STRIDE], plan[last + P.AUX_STRIDE]
    fetch(plan, c, passes, w, base, begin, end, lanes, direct)
    distance = plan[last + P.STEP_WINDOWS] * lanes
    most = (kernel - 1) // plan[last + P.STEP_TAPS] + 1
    double(passes, w, row, most, (end - begin) * lanes, distance, 0)
    w[W.LANES] = lanes
    w[W.D_STEP], w[W.I_STEP] = d_step * stride, i_step * stride
    for phase in range(min(stride, stop - o)):
        at, taps, _ = taps_backward(plan, last, o + phase)
        many = (stop - 1 - o - phase) // stride + 1
        a, b, two, amount, step = stack, stack, False, 0, 0
        if taps == 0:
            fill(passes, w, stack, stack + lanes)
        else:
            start = (at - begin) * lanes
            a, b, two, amount = operands(
                passes, w, False, row, plan[P.LEVELS] * row, taps, start, many * lanes, distance, 0
            )
            step = 1
        w[W.D], w[W.I] = d + phase * d_step, i + phase * i_step
        emit(plan, passes, w, op, a, b, two, amount, step, 0, many, 1, 1)


def make_sweep(digest: int) -> Any:
    """The Python function of the walk. ``digest`` stands for the sources that it was made from."""

    def sweep(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        w = work
        passes = bufs[3]
        for i in range(3):
            w[W.X + i] = bufs[i]
        w[W.STATES] = address(work) + plan[P.STATE]
        w[W.STATES2] = address(work) + plan[P.STATE2]
        w[W.ROWS] = address(work) + plan[P.PACK]
        w[W.PARAM] = plan[P.PARAM]
        outer, axes = plan[P.OUTER], plan[P.OUTER] + plan[P.LEAD]
        last = _HEADER + axes * _AXIS
        w[W.PLAN_AXIS] = address(plan) + 8 * last
        w[W.D_LANE], w[W.I_LANE] = plan[P.OUTPUT_LANE], plan[P.AUX_LANE]
        w[W.INDEX_LANE] = 0 if plan[P.DECODE] != 0 else plan[P.INDEX_LANE]
        w[W.DIVISOR] = w[W.INSIDE] = 1
        size, block, stride = plan[last + P.OUTPUT], plan[P.BLOCK], plan[last + P.WINDOW_STRIDE]
        pad, jump, kernel = plan[last + P.PAD], plan[last + P.JUMP], plan[last + P.KERNEL]
        reach = (kernel - 1) * plan[last + P.DILATION]
        row, stack = plan[P.ROW], plan[P.STACK]
        backward, indexed, decode = plan[P.BACKWARD] != 0, plan[P.INDEXED] != 0, plan[P.DECODE] != 0
        window, lanes_inner = plan[P.WINDOW] != 0, plan[P.FAMILY] != 0
        unit = 0 if decode else plan[last + P.INDEX_UNIT]
        direct = (plan[P.SHARES] == 0) & (plan[P.SOURCE_LANE] == 1 if lanes_inner else plan[last + P.SOURCE_STRIDE] == 1)
        op = W.EMIT_LANES if lanes_inner else W.EMIT_ROWS
        seek(plan, c, begin)
        for _ in range(begin, end):
            first_lane, lanes = 0, 1
            if lanes_inner:
                first_lane = c[axes + 1] * plan[P.LANE_BLOCK]
                lanes = min(plan[P.LANE_BLOCK], plan[P.LANES] - first_lane)
            o = c[axes] * block
            stop = min(o + block, size)
            base = offset(plan, c, outer, P.SOURCE_STRIDE) + first_lane * plan[P.SOURCE_LANE]
            d = offset(plan, c, axes, P.OUTPUT_STRIDE) + first_lane * plan[P.OUTPUT_LANE]
            i = offset(plan, c, axes, P.AUX_STRIDE) + first_lane * plan[P.AUX_LANE]
            w[W.D] = d + o * plan[last + P.OUTPUT_STRIDE]
            w[W.I] = i + o * plan[last + P.AUX_STRIDE]
            lead, on_input = set_taps(plan, c)
            if backward:
                sweep_backward(plan, c, passes, w, op, base, o, stop, lanes, direct)
                advance(plan, c)
                continue
            w[W.D_STEP], w[W.I_STEP] = plan[last + P.OUTPUT_STRIDE], plan[last + P.AUX_STRIDE]
            w[W.INDEX_STEP] = stride * unit
            index = 0
            if indexed & (not decode):
                index = first_lane * plan[P.INDEX_LANE] + offset(plan, c, outer, P.INDEX_UNIT)
                for a in range(plan[P.LEAD]):
                    index += c[axes + 2 + a] * plan[_HEADER + (outer + a) * _AXIS + P.INDEX_UNIT]
                index += (o * stride - pad) * unit
            w[W.INDEX] = index
            if plan[P.FOLD] != 0:
                for k in range(o, stop):
                    w[W.D] = d + k * plan[last + P.OUTPUT_STRIDE]
                    w[W.I] = i + k * plan[last + P.AUX_STRIDE]
                    w[W.INDEX] = index + (k - o) * stride * unit
                    fold(plan, c, passes, w, base, k * stride - pad, lanes, direct)
                    w[W.LANES] = lanes
                    emit(plan, passes, w, op, stack, stack, False, 0, 0, k, 1, lead, on_input)
            else:
                first = o * stride - pad
                past = (stop - 1) * stride - pad + reach + 1
                fetch(plan, c, passes, w, base, first, past, lanes, direct)
                if window:
                    w[W.LANES] = lanes
                    w[W.LENGTH] = kernel
                    emit(plan, passes, w, op + 2, 0, 0, True, jump, stride, o, stop - o, lead, on_input)
                else:
                    distance = plan[last + P.DILATION] * lanes
                    double(passes, w, row, kernel, (past - first) * lanes, distance, jump)
                    dense = ((stop - o - 1) * stride + 1) * lanes
                    a, b, two, amount = operands(
                        passes,
                        w,
                        plan[P.REPEATABLE] != 0,
                        row,
                        plan[P.LEVELS] * row,
                        kernel,
                        0,
                        dense,
                        distance,
                        jump,
                    )
                    w[W.LANES] = lanes
                    emit(plan, passes, w, op, a, b, two, amount, stride, o, stop - o, lead, on_input)
            if indexed & decode:
                indices = pointer(w[W.AUX], _INT64)
                for k in range(o, stop):
                    for e in range(lanes):
                        at = i + k * plan[last + P.AUX_STRIDE] + e * plan[P.AUX_LANE]
                        if indices[at] >= 0:
                            lane = (first_lane + e) * plan[P.INDEX_LANE]
                            indices[at] = lane + tap_to_index(plan, c, indices[at], k)
            advance(plan, c)

    return sweep
