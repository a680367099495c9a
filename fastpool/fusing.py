"""Plans for forward pooling in one sweep over memory, without scratch: which windows, and how rows are cut into tiles.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.kernels import plan as P
from fastpool.layout import Block
from fastpool.tiling import (
    ACCEPTED,
    DIVISORS,
    ENOUGH_TILES,
    MOST_STATES,
    NOT_CONTIGUOUS,
    NOT_FUSED,
    TOO_LARGE,
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

VECTOR_BYTES = 64

TILE_BYTES = 1 << 16
"""What a tile reads, about."""

STREAM_BYTES = 1 << 26
"""Outputs of at least so many bytes are written around the caches: 268 MB of audio took 29 ms instead of 39."""

BLOCK = 8192
"""Outputs of a row that a tile makes, at most; a multiple of what a vector holds."""


def plan_fused(spec: Block, plan: Block) -> None:
    """Plans rows of outputs, some of the innermost of the other axes in a tile."""
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    last = last_axis(plan)
    plan[P.LEAD] = lead
    plan[P.BLOCK] = min(plan[last + P.OUTPUT], BLOCK)
    plan[P.BLOCKS] = ceil_div(plan[last + P.OUTPUT], max(plan[P.BLOCK], 1))
    single_steps(plan, outer + lead)
    plan[P.GROUP_AXIS] = outer + lead - 1
    plan[P.GROUP] = 1
    if outer + lead > 0:
        at = last - P.AXIS
        size = max(plan[at + P.OUTPUT], 1)
        row = plan[last + P.WINDOW_STRIDE] * plan[P.BLOCK] * spec[S.SOURCE_BYTES]
        row *= plan[at + P.WINDOW_STRIDE] if lead > 0 else 1
        others = product(plan, 0, outer + lead - 1, P.OUTPUT) * plan[P.BLOCKS]
        # each thread is to have several tiles
        most = ceil_div(size, ceil_div(ENOUGH_TILES, max(others, 1)))
        plan[P.GROUP], plan[at + P.STEPS] = cut(size, max(1, min(TILE_BYTES // max(row, 1), most)))
        plan[at + P.BY] = plan[P.GROUP]
    plan[P.COORDINATES] = 0
    plan[P.STATE] = round_up(8 * (outer + lead + 2), 64)
    plan[P.PACK] = round_up(plan[P.STATE] + 8 * MOST_TAPS**MOST_LEAD, 64)
    # a row of what counts for nothing, with room for vectors on either side; before it a vector to copy elements by
    vector = VECTOR_BYTES // spec[S.SOURCE_BYTES]
    plan[P.ROW] = 4 * vector
    if lead > 0:
        plan[P.ROW] += plan[last + P.PAD] + (plan[last + P.OUTPUT] + vector) * plan[last + P.WINDOW_STRIDE]
    plan[P.WORK] = round_up(plan[P.PACK] + plan[P.ROW] * spec[S.SOURCE_BYTES], 64)
    plan[P.SOURCE_END] = source_end(plan)
    outputs = product(plan, 0, outer + lead + 1, P.OUTPUT)
    plan[P.STREAM] = 1 if outputs >= STREAM_BYTES // spec[S.OUTPUT_BYTES] else 0
    plan[P.TILES] = product(plan, 0, outer + lead, P.STEPS) * plan[P.BLOCKS]


def fused_refusal(spec: Block, plan: Block) -> int:
    """Why the planned task is not done so, or ACCEPTED."""
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
