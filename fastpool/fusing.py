"""Plans for pooling in one sweep over memory, without scratch: which windows, and how rows are cut into tiles.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.layout import Block
from fastpool.tiling import (
    ACCEPTED,
    DIVISORS,
    ENOUGH_TILES,
    MOST_STATES,
    NOT_APART,
    NOT_CONTIGUOUS,
    NOT_FUSED,
    SHORT_ROWS,
    TOO_LARGE,
    VECTOR_BYTES,
    ceil_div,
    cut,
    last_axis,
    product,
    round_up,
    single_steps,
    source_end,
)

MOST_TAPS = 3
"""Taps along a leading axis, at most: their rows are combined one after the other, as binary blocks are up to here."""

MOST_LEAD = 2

MOST_APART = 8
"""Taps of windows that share no element, at most."""

MOST_NUMBERED = 32
"""Rows of taps of a window, at most, where taps are taken one by one."""

TILE_BYTES = 1 << 16
"""What a tile reads, about."""

STREAM_BYTES, STREAM_OUTPUT = 3 << 24, 1 << 22
"""Outputs are written around the caches where so many bytes or more are read and written in all, and so many written:
they would not be found there, or little of them, and what is written there is read first. 268 MB of audio took 29 ms
instead of 39; 128 MB, a fifth of which is written, 3.9 instead of 4.6; 64 MB across channels 1.6 instead of 1.9."""

STREAM_ROW, STREAM_ROW_OF_TWO = 1 << 12, 384
"""Bytes of a row of outputs from which on it is written so by itself, its ends through the caches; windows of two taps,
which are not made again for that, from fewer. Of about as many bytes in all, rows of 224 bytes took 6.8 ms instead of
3.9, of 2 KiB 2.6 instead of 2.3; those of two taps, of 256 bytes 4.7 instead of 4.3, of 384 4.7 instead of 5.6."""

STREAM_CHUNK = 1 << 12
"""Bytes of outputs of lanes that are made in scratch at a time, and then written around the caches."""

COLUMN_BYTES, COLUMN_ROW = 1 << 24, 48
"""Where so many bytes or more are read and written, indices of eight bytes in rows of so many outputs or more are made
row by row, not column by column as numbers of taps are: the hardware does not foresee rows that are written in turn.
8 x 64 planes of 112 x 112, at a step of 2, took 1.49 ms instead of 2.48; 2 x 64 of them, which stay in a cache, 0.30
instead of 0.21."""

BLOCK = 8192
"""Outputs of a row that a tile makes, at most; a multiple of what a vector holds."""

LONG_BLOCK = 1 << 16
"""The same, of rows that are written around the caches; a multiple of what a vector holds, too. Ends of rows are not
written so, and hold up all other writing."""

MOST_LISTED = 127
"""Taps of a window, at most, where they are listed: a byte has to tell them apart."""

MOST_TAKEN, MOST_INDEXED = 32, 64
"""Taps of a window up to which listing them takes less time than making blocks of them, without indices and with: 256
lanes of float32 took 0.37 ms and 0.42 for 5x5 windows, 0.62 and 0.39 for 7x7; with taps 0.99 and 1.13 for 7x7 windows,
1.63 and 1.36 for 9x9."""


def cut_rows(plan: Block, row_bytes: int, most_outputs: int) -> None:
    """Cuts rows of outputs into tiles: some of the innermost of the other axes, or a part of a row."""
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    last = last_axis(plan)
    plan[P.LEAD] = lead
    plan[P.BLOCK] = min(plan[last + P.OUTPUT], most_outputs)
    plan[P.BLOCKS] = ceil_div(plan[last + P.OUTPUT], max(plan[P.BLOCK], 1))
    single_steps(plan, outer + lead)
    plan[P.GROUP_AXIS] = outer + lead - 1
    plan[P.GROUP] = 1
    if outer + lead > 0:
        at = last - P.AXIS
        size = max(plan[at + P.OUTPUT], 1)
        others = product(plan, 0, outer + lead - 1, P.OUTPUT) * plan[P.BLOCKS]
        # each thread is to have several tiles
        most = ceil_div(size, ceil_div(ENOUGH_TILES, max(others, 1)))
        most = min(TILE_BYTES // max(row_bytes, 1), most) if plan[P.BLOCKS] == 1 else 1
        plan[P.GROUP], plan[at + P.STEPS] = cut(plan[at + P.OUTPUT], max(1, most))
        plan[at + P.BY] = plan[P.GROUP]
    plan[P.COORDINATES] = 0
    plan[P.STATE] = round_up(8 * (outer + lead + 2), 64)
    plan[P.TILES] = product(plan, 0, outer + lead, P.STEPS) * plan[P.BLOCKS]


def large_output(spec: Block, plan: Block) -> int:
    """1 if the output is to be written around the caches."""
    outputs = product(plan, 0, plan[P.OUTER] + plan[P.SPATIAL], P.OUTPUT) * max(plan[P.LANES], 1)
    return 1 if plan[P.BYTES] >= STREAM_BYTES and outputs >= STREAM_OUTPUT // spec[S.OUTPUT_BYTES] else 0


def stream_rows(spec: Block, plan: Block) -> None:
    """Where the output is to be written around the caches, makes room for a tile, if its rows are neighbours."""
    last = last_axis(plan)
    at = last - P.AXIS
    dense = plan[P.BLOCKS] == 1 and plan[at + P.OUTPUT_STRIDE] == plan[last + P.OUTPUT]
    if large_output(spec, plan) != 0 and (dense or plan[P.GROUP] == 1):
        plan[P.STREAM] = 1
        plan[P.WORK] += round_up(plan[P.GROUP] * plan[P.BLOCK] * spec[S.OUTPUT_BYTES], 64) + 4 * VECTOR_BYTES


def planes_inside(plan: Block) -> bool:
    """Whether all windows lie on the input."""
    for a in range(plan[P.SPATIAL]):
        at = last_axis(plan) - a * P.AXIS
        past = (plan[at + P.OUTPUT] - 1) * plan[at + P.WINDOW_STRIDE] + (plan[at + P.KERNEL] - 1) * plan[
            at + P.DILATION
        ]
        if plan[at + P.PAD] != 0 or past >= plan[at + P.SOURCE]:
            return False
    return True


def planes_go_on(plan: Block) -> bool:
    """Whether windows go on over the end of a plane as they go within it, along the first axis."""
    first = P.HEADER + plan[P.OUTER] * P.AXIS
    outer = first - P.AXIS
    if plan[P.OUTER] == 0:
        return False
    outputs, stride = plan[first + P.OUTPUT], plan[first + P.WINDOW_STRIDE]
    if plan[outer + P.SOURCE_STRIDE] != outputs * stride * plan[first + P.SOURCE_STRIDE]:
        return False
    return plan[outer + P.OUTPUT_STRIDE] == outputs * plan[first + P.OUTPUT_STRIDE]


def _join_planes(plan: Block) -> None:
    """Makes planes one where windows go on from one to the next: tiles are longer then, and begin seldom."""
    if not planes_inside(plan):
        return
    while planes_go_on(plan):
        first = P.HEADER + plan[P.OUTER] * P.AXIS
        outer = first - P.AXIS
        plan[first + P.SOURCE] += (plan[outer + P.OUTPUT] - 1) * plan[first + P.OUTPUT] * plan[first + P.WINDOW_STRIDE]
        plan[first + P.OUTPUT] *= plan[outer + P.OUTPUT]
        for field in range(plan[P.SPATIAL] * P.AXIS):
            plan[outer + field] = plan[first + field]
        plan[P.OUTER] -= 1


def _block(spec: Block, plan: Block) -> int:
    """Outputs of a row that a tile makes, at most: where rows are all there is, each thread is to have several."""
    if large_output(spec, plan) != 0:
        return LONG_BLOCK
    last = last_axis(plan)
    if plan[P.SPATIAL] > 1:
        return BLOCK
    others = product(plan, 0, plan[P.OUTER], P.OUTPUT)
    block = ceil_div(plan[last + P.OUTPUT], ceil_div(ENOUGH_TILES, max(others, 1)))
    return max(min(round_up(block, VECTOR_BYTES), BLOCK), 1)


def plan_fused(spec: Block, plan: Block) -> None:
    """Plans rows of outputs of a forward pooling."""
    _join_planes(plan)
    lead = plan[P.SPATIAL] - 1
    last = last_axis(plan)
    block = _block(spec, plan)
    row = plan[last + P.WINDOW_STRIDE] * min(plan[last + P.OUTPUT], block) * spec[S.SOURCE_BYTES]
    cut_rows(plan, row * (plan[last - P.AXIS + P.WINDOW_STRIDE] if lead > 0 else 1), block)
    plan[P.PACK] = round_up(plan[P.STATE] + 8 * MOST_TAPS**MOST_LEAD, 64)
    # a row of what counts for nothing, with room for vectors on either side; before it a vector to copy elements by
    vector = VECTOR_BYTES // spec[S.SOURCE_BYTES]
    plan[P.ROW] = 4 * vector
    if lead > 0:
        plan[P.ROW] += plan[last + P.PAD] + (plan[last + P.OUTPUT] + vector) * plan[last + P.WINDOW_STRIDE]
    plan[P.WORK] = round_up(plan[P.PACK] + plan[P.ROW] * spec[S.SOURCE_BYTES], 64)
    plan[P.SOURCE_END] = source_end(plan, P.SOURCE_STRIDE)
    inside = plan[last + P.KERNEL] == 2 and plan[last + P.PAD] == 0
    least = STREAM_ROW_OF_TWO if inside else STREAM_ROW
    if plan[last + P.OUTPUT] >= least // spec[S.OUTPUT_BYTES]:
        plan[P.STREAM] = large_output(spec, plan)


def taps_in_one_plane(plan: Block) -> bool:
    """Whether windows of 2x2 with indices of taps share nothing, and all planes are written as one, row by row."""
    if plan[P.SPATIAL] != 2 or plan[P.INDEX_KIND] != 2 or not planes_inside(plan):
        return False
    last = last_axis(plan)
    near = last - P.AXIS
    size = plan[last + P.OUTPUT]
    for axis in (near, last):
        if plan[axis + P.KERNEL] != 2 or plan[axis + P.WINDOW_STRIDE] != 2 or plan[axis + P.DILATION] != 1:
            return False
    if plan[near + P.OUTPUT_STRIDE] != size or plan[near + P.AUX_STRIDE] != size or plan[near + P.SOURCE_STRIDE] < 0:
        return False
    # what a step along an axis is, from the last outer one on
    step = 2 * plan[near + P.OUTPUT] * plan[near + P.SOURCE_STRIDE]
    size *= plan[near + P.OUTPUT]
    for a in range(plan[P.OUTER]):
        at = near - (a + 1) * P.AXIS
        if plan[at + P.SOURCE_STRIDE] != step or plan[at + P.OUTPUT_STRIDE] != size or plan[at + P.AUX_STRIDE] != size:
            return False
        step *= plan[at + P.OUTPUT]
        size *= plan[at + P.OUTPUT]
    return True


def plan_fused_index(spec: Block, plan: Block) -> None:
    """Plans rows of outputs of a forward pooling with indices."""
    if taps_in_one_plane(plan):
        _join_planes(plan)
        plan[P.DENSE] = 1
    lead = plan[P.SPATIAL] - 1
    last = last_axis(plan)
    row = plan[last + P.WINDOW_STRIDE] * min(plan[last + P.OUTPUT], BLOCK) * spec[S.SOURCE_BYTES]
    cut_rows(plan, row * (plan[last - P.AXIS + P.WINDOW_STRIDE] if lead > 0 else 1), BLOCK)
    plan[P.PACK] = plan[P.STATE] + 2 * 8 * MOST_NUMBERED
    plan[P.WORK] = plan[P.PACK] + VECTOR_BYTES
    plan[P.SOURCE_END] = source_end(plan, P.SOURCE_STRIDE)
    if spec[S.AUX_BYTES] > 1 and plan[last + P.OUTPUT] >= COLUMN_ROW:
        outputs = product(plan, 0, plan[P.OUTER] + plan[P.SPATIAL], P.OUTPUT)
        step = plan[last + P.WINDOW_STRIDE] * (plan[last - P.AXIS + P.WINDOW_STRIDE] if lead > 0 else 1)
        each = step * spec[S.SOURCE_BYTES] + spec[S.OUTPUT_BYTES] + spec[S.AUX_BYTES]
        plan[P.STREAM] = 1 if outputs >= COLUMN_BYTES // max(each, 1) else 0


def numbered(spec: Block, plan: Block) -> bool:
    """Whether taps come in the order of their numbers, and as many bits as elements have can hold these."""
    last = last_axis(plan)
    numbers = (plan[last + P.KERNEL] - 1) * plan[last + P.JUMP]
    for i in range(plan[P.SPATIAL] - 1):
        axis = last - (i + 1) * P.AXIS
        if plan[axis + P.JUMP] <= numbers:
            return False
        numbers += (plan[axis + P.KERNEL] - 1) * plan[axis + P.JUMP]
    return plan[P.DECODE] == 0 and numbers < 1 << (8 * min(spec[S.SOURCE_BYTES], 4) - 1)


def squares(plan: Block) -> bool:
    """Whether windows are 3x3 and their middle tap is on the input: indices may then be made column by column."""
    if plan[P.SPATIAL] != 2:
        return False
    last = last_axis(plan)
    stride = plan[last + P.WINDOW_STRIDE]
    for i in range(2):
        axis = last - i * P.AXIS
        if plan[axis + P.KERNEL] != 3 or plan[axis + P.DILATION] != 1 or plan[axis + P.WINDOW_STRIDE] != stride:
            return False
        pad = plan[axis + P.PAD]
        if pad > 1 or (plan[axis + P.OUTPUT] - 1) * stride + 1 - pad >= plan[axis + P.SOURCE]:
            return False
    return stride <= 2


def _index_refusal(spec: Block, plan: Block) -> int:
    """Why the planned task is not done so, where indices are asked for; or ACCEPTED."""
    last = last_axis(plan)
    rows = 1
    for i in range(plan[P.SPATIAL] - 1):
        axis = last - (i + 1) * P.AXIS
        if plan[axis + P.KERNEL] > MOST_NUMBERED // rows:
            return NOT_FUSED
        rows *= plan[axis + P.KERNEL]
    if not numbered(spec, plan):
        return NOT_FUSED
    if plan[last + P.SOURCE_STRIDE] != 1 and plan[last + P.SOURCE] > 1:
        return NOT_FUSED
    if (plan[last + P.OUTPUT_STRIDE] != 1 or plan[last + P.AUX_STRIDE] != 1) and plan[last + P.OUTPUT] > 1:
        return NOT_CONTIGUOUS
    vector = VECTOR_BYTES // spec[S.SOURCE_BYTES]
    if plan[P.DENSE] != 0:
        return ACCEPTED
    if spec[S.FORCED] == 0 and plan[last + P.OUTPUT] < (vector if squares(plan) else vector + 1):
        return SHORT_ROWS
    return ACCEPTED


def fused_refusal(spec: Block, plan: Block) -> int:
    """Why the planned task is not done so, or ACCEPTED."""
    if spec[S.ROLE] == S.INDEX:
        return _index_refusal(spec, plan)
    last = last_axis(plan)
    if plan[P.SPATIAL] - 1 > MOST_LEAD:
        return NOT_FUSED
    for a in range(plan[P.SPATIAL] - 1):
        if plan[P.HEADER + (plan[P.OUTER] + a) * P.AXIS + P.KERNEL] > MOST_TAPS:
            return NOT_FUSED
    if plan[P.ROW] > MOST_STATES:
        return TOO_LARGE
    if plan[last + P.SOURCE_STRIDE] != 1 and plan[last + P.SOURCE] > 1:
        return NOT_FUSED
    if plan[last + P.OUTPUT_STRIDE] != 1 and plan[last + P.OUTPUT] > 1:
        return NOT_CONTIGUOUS
    if spec[S.COUNTED] != 0 and plan[P.DIVISOR] == 0:
        return DIVISORS
    return ACCEPTED


def apart_refusal(spec: Block, plan: Block) -> int:
    """The same, where windows along the only axis share no element."""
    last = last_axis(plan)
    kernel = plan[last + P.KERNEL]
    if plan[P.SPATIAL] > 1 or kernel != plan[last + P.WINDOW_STRIDE] or plan[last + P.DILATION] != 1:
        return NOT_APART
    if kernel < 3 or kernel > MOST_APART or (kernel not in (4, 8) and spec[S.SOURCE_BYTES] < P.WIDE):
        return NOT_APART
    if not planes_inside(plan) or (plan[last + P.SOURCE_STRIDE] != 1 and plan[last + P.SOURCE] > 1):
        return NOT_APART
    if plan[last + P.OUTPUT_STRIDE] != 1 and plan[last + P.OUTPUT] > 1:
        return NOT_CONTIGUOUS
    if plan[last + P.OUTPUT] < VECTOR_BYTES // spec[S.SOURCE_BYTES]:
        return SHORT_ROWS
    if spec[S.COUNTED] != 0 and plan[P.DIVISOR] == 0:
        return DIVISORS
    return ACCEPTED


def plan_fused_lanes(spec: Block, plan: Block) -> None:
    """Plans rows of outputs of a selection across lanes."""
    lead, lanes = plan[P.SPATIAL] - 1, max(plan[P.LANES], 1)
    last = last_axis(plan)
    step = plan[last + P.WINDOW_STRIDE] * lanes * spec[S.SOURCE_BYTES]
    row = step * plan[last + P.OUTPUT] * (plan[last - P.AXIS + P.WINDOW_STRIDE] if lead > 0 else 1)
    cut_rows(plan, row, max(TILE_BYTES // step, 1))
    plan[P.INDEXED] = 1 if spec[S.ROLE] == S.INDEX else 0
    plan[P.STATE_BYTES] = spec[S.SOURCE_BYTES]
    plan[P.COORDINATES] = round_up(8 * W.WORDS, 64)
    plan[P.STATE] = plan[P.COORDINATES] + round_up(8 * (plan[P.OUTER] + lead + 2), 64)
    plan[P.STATE2] = plan[P.STATE] + 2 * 8 * MOST_NUMBERED
    plan[P.PACK] = plan[P.STATE2] + 2 * 8 * (MOST_LISTED + 1)
    plan[P.WORK] = plan[P.PACK] + VECTOR_BYTES
    output = lanes * spec[S.OUTPUT_BYTES]
    if plan[P.INDEXED] == 0 and plan[last + P.OUTPUT_STRIDE] == lanes and output <= STREAM_CHUNK:
        plan[P.STREAM] = large_output(spec, plan)
    if plan[P.STREAM] != 0:
        # outputs come by twos; and what waits for a vector of memory, or for enough of them
        plan[P.CHUNK] = max(STREAM_CHUNK // output // 2 * 2, 2)
        plan[P.PACK2] = round_up(plan[P.WORK], 64)
        plan[P.WORK] = plan[P.PACK2] + round_up(plan[P.CHUNK] * output, 64) + 16 * VECTOR_BYTES


def lanes_refusal(spec: Block, plan: Block) -> int:
    """Why the planned task is not done so, across lanes; or ACCEPTED."""
    last = last_axis(plan)
    indexed = spec[S.ROLE] == S.INDEX
    most = MOST_LISTED
    if spec[S.FORCED] == 0:
        most = MOST_INDEXED if indexed else MOST_TAKEN
    if plan[P.TAPS] > most or plan[P.TAPS] // plan[last + P.KERNEL] > MOST_NUMBERED or plan[P.DECODE] != 0:
        return NOT_FUSED
    if plan[P.SPATIAL] - 1 > MOST_LEAD and not indexed:
        return NOT_FUSED
    numbers = (plan[last + P.KERNEL] - 1) * plan[last + P.JUMP]
    for i in range(plan[P.SPATIAL] - 1):
        axis = last - (i + 1) * P.AXIS
        # taps come in the order of their numbers
        if indexed and plan[axis + P.JUMP] <= numbers:
            return NOT_FUSED
        numbers += (plan[axis + P.KERNEL] - 1) * plan[axis + P.JUMP]
    # bytes number taps, all others hold what an index gains
    if indexed and spec[S.SOURCE_BYTES] > 1 and numbers >= 1 << (8 * min(spec[S.SOURCE_BYTES], 4) - 1):
        return NOT_FUSED
    if plan[P.SOURCE_LANE] != 1 or plan[P.OUTPUT_LANE] != 1 or plan[P.AUX_LANE] != 1:
        return NOT_CONTIGUOUS
    if plan[P.LANES] < VECTOR_BYTES // spec[S.SOURCE_BYTES]:
        return SHORT_ROWS
    return ACCEPTED
