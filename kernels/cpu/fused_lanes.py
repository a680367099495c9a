"""Forward max pooling of lanes by small windows, with indices or without: in explicit vectors, without scratch.

The walk writes a list of taps for each run of outputs of a row that have the same ones, and a pass, compiled for each
variant, takes them one by one, a vector of lanes at a time::

    list      address, number | address, number | ...      where tap 0 of the run's first output begins, and so on
    lanes     a0 a1 a2 a3 ...                              tap 0, begins as the largest
              b0 b1 b2 b3 ...                              tap 1, by lanes: larger, or not; and its number, likewise

Taps come in the order of their numbers where they are numbered, so that of two equal ones the first stays by a single
comparison; else along the first spatial axis, then the next, and of two equal ones the last stays, as in ``sweep``.
Two vectors are made at a time, of an output or of neighbours, so that what a tap costs is shared. The last vector of an
output begins earlier, and makes some lanes again, so that nothing is written beside them.

Where the output is written around the caches, a pass makes some outputs of a row in scratch, from where whole vectors
are copied, as bytes, whatever they are.

Reads ``bufs[0]``, writes ``bufs[1]`` and the indices ``bufs[2]``; ``bufs[3]`` is the address of the pass.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.ahead import FAR_BYTES
from fastpool.kernels.cpu.call import call_pass
from fastpool.kernels.cpu.memory import CODES, address, pointer
from fastpool.kernels.cpu.past_caches import make_past_caches
from fastpool.kernels.cpu.row_tables import follows, index_of_row, rows_of_taps
from fastpool.kernels.cpu.vectors import fence
from fastpool.kernels.cpu.walk import advance, inside, offset, seek

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64, _BYTES = CODES["i64"], CODES["i8"]


@register_jitable
def list_taps(plan, c, rows, many, first, past, at, taps):
    """Writes the taps ``first .. past - 1`` of ``many`` rows, at place ``at`` of them, in the order they are taken."""
    axes = plan[P.OUTER] + plan[P.LEAD]
    last = _HEADER + axes * _AXIS
    pitch, jump = plan[last + P.SOURCE_STRIDE] * plan[P.STATE_BYTES], plan[last + P.JUMP]
    step = plan[last + P.DILATION] * pitch
    to = 0
    if plan[P.INDEXED] != 0:
        for k in range(many):
            for j in range(first, past):
                taps[to] = rows[2 * k] + at * pitch + j * step
                taps[to + 1] = rows[2 * k + 1] + j * jump
                to += 2
        return
    below = 1
    if plan[P.LEAD] > 1:
        below = max(inside(plan, last - _AXIS, c[axes - 1]), 1)
    above = many // below
    for j in range(first, past):
        for k in range(below):
            for i in range(above):
                taps[to] = rows[2 * (i * below + k)] + at * pitch + j * step
                to += 2


def make_fused_lanes(digest: int) -> Any:
    """The Python function of the walk. ``digest`` stands for the sources that it was made from."""
    write_past_caches = make_past_caches("i8")

    def fused_lanes(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some rows of outputs, or a part of one."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        w, passes = work, bufs[3]
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        rows = pointer(address(work) + plan[P.STATE], _INT64)
        taps = pointer(address(work) + plan[P.STATE2], _INT64)
        size, lead = plan[P.STATE_BYTES], plan[P.LEAD]
        axes = plan[P.OUTER] + lead
        last = _HEADER + axes * _AXIS
        width, kernel, stride = plan[last + P.SOURCE], plan[last + P.KERNEL], plan[last + P.WINDOW_STRIDE]
        pad, dilation, unit = plan[last + P.PAD], plan[last + P.DILATION], plan[last + P.INDEX_UNIT]
        group = plan[P.GROUP_AXIS]
        axis = _HEADER + max(group, 0) * _AXIS
        step = plan[axis + P.WINDOW_STRIDE] * plan[axis + P.SOURCE_STRIDE] * size
        all_rows = 1
        for a in range(plan[P.OUTER], axes):
            all_rows *= plan[_HEADER + a * _AXIS + P.KERNEL]
        # past the last output of a row whose taps are all there
        complete = (width - 1 - (kernel - 1) * dilation + pad) // stride + 1
        for k in range(3):
            w[W.X + k] = bufs[k]
        w[W.ROWS], w[W.A] = address(work) + plan[P.PACK], address(work) + plan[P.STATE2]
        w[W.PARAM], w[W.LANES] = plan[P.PARAM], plan[P.LANES]
        w[W.STEP] = stride * plan[last + P.SOURCE_STRIDE]
        w[W.D_STEP], w[W.I_STEP] = plan[last + P.OUTPUT_STRIDE], plan[last + P.AUX_STRIDE]
        w[W.INDEX_STEP], w[W.INDEX_LANE] = stride * unit, plan[P.INDEX_LANE]
        w[W.TWO] = 1 if plan[P.BYTES] >= FAR_BYTES else 0
        stream, each = plan[P.STREAM] != 0, plan[P.LANES] * size
        y, buffer = pointer(bufs[1], _BYTES), pointer(address(work) + plan[P.PACK2], _BYTES)
        if stream:
            w[W.Y] = address(buffer)
        seek(plan, c, begin)
        for _ in range(begin, end):
            begins = c[axes] * plan[P.BLOCK]
            ends = min(begins + plan[P.BLOCK], plan[last + P.OUTPUT])
            first, stop = 0, 1
            if group >= 0:
                first = c[group]
                stop = min(first + plan[P.GROUP], plan[axis + P.OUTPUT])
            d, i = offset(plan, c, axes, P.OUTPUT_STRIDE), offset(plan, c, axes, P.AUX_STRIDE)
            many, whole = 0, False
            for r in range(first, stop):
                if group >= 0:
                    c[group] = r
                whole = whole and follows(plan, r, axis)
                if whole:
                    for k in range(many):
                        rows[2 * k] += step
                else:
                    many = rows_of_taps(plan, c, rows, bufs[0], size)
                    whole = (lead > 0) & (many == all_rows)
                index = index_of_row(plan, c)
                o = begins
                # bytes: where the buffer will be written, and which part of it waits for that
                to = (d + o * w[W.D_STEP]) * size
                skew, waits, made = (bufs[1] + to) % vectors.BYTES, 0, 0
                while o < ends:
                    at = o * stride - pad
                    low, past, run = 0, kernel, 1
                    if at >= 0:
                        run = max(min(complete, ends) - o, 1)
                    if stream:
                        run = min(run, plan[P.CHUNK])
                    while low < past and at + low * dilation < 0:
                        low += 1
                    while past > low and at + (past - 1) * dilation >= width:
                        past -= 1
                    list_taps(plan, c, rows, many, low, past, at, taps)
                    w[W.KERNEL], w[W.COUNT] = many * (past - low), run
                    # taps that the next output does not have
                    w[W.AMOUNT] = many * (min(stride, past - low) if dilation == 1 else past - low)
                    w[W.D], w[W.I] = d + o * w[W.D_STEP], i + o * w[W.I_STEP]
                    w[W.INDEX] = index + at * unit
                    if stream:
                        w[W.D] = made // size
                    call_pass(passes, w)
                    o += run
                    if stream:
                        made += run * each
                        waits, moved = write_past_caches(y, to, skew, buffer, waits, made, o == ends)
                        to, made = to + moved, made - moved
                d += plan[axis + P.OUTPUT_STRIDE]
                i += plan[axis + P.AUX_STRIDE]
            if group >= 0:
                c[group] = first
            advance(plan, c)
        if stream:
            fence()

    return fused_lanes
