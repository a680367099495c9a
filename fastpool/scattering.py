"""Plans for the gradient of a selection in explicit vectors: which windows, and how its rows are cut into tiles.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.fusing import BLOCK, MOST_LEAD, TILE_BYTES, cut_rows, large_output, stream_rows
from fastpool.kernels import plan as P
from fastpool.layout import Block
from fastpool.tiling import (
    ACCEPTED,
    ENOUGH_TILES,
    NO_MATCH,
    NOT_CONTIGUOUS,
    NOT_FUSED,
    SHORT_ROWS,
    VECTOR_BYTES,
    ceil_div,
    cut,
    last_axis,
    product,
    round_up,
    single_steps,
    source_end,
)

LARGE_TILE_BYTES = 1 << 18
"""What a tile writes, about, where that goes around the caches: at its ends it does not."""

SHORT_ROW, SHORT_ROW_SHARED = 256, 384
"""Bytes of a row of the gradient below which a scatter takes less time, where windows share no element, and where they
do: planes of 28 x 28 took 1.7 ms and 0.9, of 56 x 56 0.96 and 0.85, of 112 x 112 0.60 and 0.83."""

SHORT_ROW_APART = 12
"""Elements of a row below which it is so where two leading axes have windows that share nothing: 2x2x2, 4 wide 27 us
and 20, 14 wide 4 and 6. Planes of 2x2 windows take 0.3 to 0.8 of the time of a scatter, however small they are."""

MOST_MATCHED = 128
"""Taps of a window, at most, where they are compared: there must be numbers that no tap has."""


def _shares_nothing(plan: Block) -> bool:
    """Whether each element of a gradient is held by one window, rows come in pairs, and planes are written as one."""
    lead = plan[P.SPATIAL] - 1
    if lead < 1 or lead > MOST_LEAD:
        return False
    size = 1
    for i in range(lead + 1):
        at = last_axis(plan) - i * P.AXIS
        stride = plan[at + P.WINDOW_STRIDE]
        if plan[at + P.KERNEL] != stride or plan[at + P.DILATION] != 1 or plan[at + P.PAD] != 0:
            return False
        if (i < 2 and stride != 2) or plan[at + P.OUTPUT] != stride * plan[at + P.SOURCE]:
            return False
        if plan[at + P.OUTPUT_STRIDE] != size:
            return False
        size *= plan[at + P.OUTPUT]
    return 0 < plan[last_axis(plan) + P.OUTPUT] <= BLOCK


def _join_gradients(plan: Block) -> None:
    """Makes planes of a gradient one along the first axis, as ``_join_planes`` does forward."""
    while plan[P.OUTER] > 0:
        first = P.HEADER + plan[P.OUTER] * P.AXIS
        outer = first - P.AXIS
        windows = plan[first + P.SOURCE]
        if plan[outer + P.OUTPUT_STRIDE] != plan[first + P.OUTPUT] * plan[first + P.OUTPUT_STRIDE]:
            return
        if plan[outer + P.SOURCE_STRIDE] != windows * plan[first + P.SOURCE_STRIDE]:
            return
        if plan[outer + P.AUX_STRIDE] != windows * plan[first + P.AUX_STRIDE]:
            return
        plan[first + P.SOURCE] *= plan[outer + P.OUTPUT]
        plan[first + P.OUTPUT] *= plan[outer + P.OUTPUT]
        for field in range(plan[P.SPATIAL] * P.AXIS):
            plan[outer + field] = plan[first + field]
        plan[P.OUTER] -= 1


def _cut_pairs(spec: Block, plan: Block) -> None:
    """Cuts a gradient of windows that share nothing: a tile is some planes, or pairs of rows of one."""
    lead, last = plan[P.LEAD], last_axis(plan)
    near = last - P.AXIS
    axes = plan[P.OUTER] + lead
    most = LARGE_TILE_BYTES if large_output(spec, plan) != 0 else TILE_BYTES
    most //= max(plan[last + P.OUTPUT] * spec[S.OUTPUT_BYTES], 1)
    # what is cut, and the size of its parts: rows, in pairs; or planes
    at, least = near, 2
    if lead > 1 and plan[near + P.OUTPUT] <= most:
        at, least = near - P.AXIS, 1
        most //= max(plan[near + P.OUTPUT], 1)
    single_steps(plan, axes)
    plan[near + P.BY], plan[near + P.STEPS] = plan[near + P.OUTPUT], 1
    others = product(plan, 0, axes, P.STEPS) // max(plan[at + P.STEPS], 1)
    most = min(most, ceil_div(plan[at + P.OUTPUT], ceil_div(ENOUGH_TILES, max(others, 1))))
    many, _ = cut(plan[at + P.OUTPUT], max(most, 1))
    plan[at + P.BY] = round_up(many, least)
    plan[at + P.STEPS] = ceil_div(plan[at + P.OUTPUT], plan[at + P.BY])
    plan[P.BLOCK], plan[P.BLOCKS] = plan[last + P.OUTPUT], 1
    plan[P.STATE] = round_up(8 * (axes + 2), 64)
    plan[P.TILES] = product(plan, 0, axes, P.STEPS)


def plan_fused_scatter(spec: Block, plan: Block) -> None:
    """Plans rows of the gradient of a selection."""
    last = last_axis(plan)
    plan[P.LEAD] = plan[P.SPATIAL] - 1
    if _shares_nothing(plan):
        _join_gradients(plan)
        _cut_pairs(spec, plan)
        last = last_axis(plan)
        plan[P.DENSE] = 1
        plan[P.PACK] = plan[P.STATE]
        plan[P.PACK2] = plan[P.WORK] = plan[P.PACK] + 2 * VECTOR_BYTES
        plan[P.STREAM] = large_output(spec, plan)
        if plan[P.STREAM] != 0:
            # two rows, and what is left of those before
            plan[P.WORK] += round_up(2 * plan[last + P.OUTPUT] * spec[S.OUTPUT_BYTES], 64) + 16 * VECTOR_BYTES
        plan[P.SOURCE_END] = source_end(plan, P.SOURCE_STRIDE)
        plan[P.AUX_END] = source_end(plan, P.AUX_STRIDE)
        return
    cut_rows(plan, min(plan[last + P.OUTPUT], BLOCK) * spec[S.OUTPUT_BYTES], BLOCK)
    plan[P.PACK] = plan[P.STATE] + P.WINDOW_TABLES * P.WINDOW_TABLE
    # a vector of gradients, and one of taps, to copy elements by; marks of the windows of a row, and of those beside it
    plan[P.PACK2] = plan[P.PACK] + 2 * VECTOR_BYTES
    if plan[last + P.KERNEL] == 3 and plan[last + P.WINDOW_STRIDE] == 2 and plan[last + P.SOURCE] <= P.MOST_EDGES:
        plan[P.PACK2] += round_up(plan[last + P.SOURCE] + 3 * VECTOR_BYTES, 64)
    plan[P.WORK] = plan[P.PACK2]
    stream_rows(spec, plan)
    plan[P.SOURCE_END] = source_end(plan, P.SOURCE_STRIDE)
    plan[P.AUX_END] = source_end(plan, P.AUX_STRIDE)


def scatter_refusal(spec: Block, plan: Block) -> int:
    """Why the planned task is not done so, or ACCEPTED."""
    last = last_axis(plan)
    rows = 1
    if plan[P.SPATIAL] - 1 > MOST_LEAD:
        return NOT_FUSED
    for a in range(plan[P.SPATIAL] - 1):
        axis = P.HEADER + (plan[P.OUTER] + a) * P.AXIS
        more = (plan[axis + P.KERNEL] - 1) * plan[axis + P.DILATION] // plan[axis + P.WINDOW_STRIDE] + 1
        if more > P.WINDOW_ROWS // rows:
            return NOT_FUSED
        rows *= more
    if spec[S.INDEX_KIND] != 2 or plan[P.TAPS] > MOST_MATCHED:
        return NO_MATCH
    neighbours = plan[last + P.SOURCE_STRIDE] == 1 and plan[last + P.AUX_STRIDE] == 1
    if not neighbours and plan[last + P.SOURCE] > 1:
        return NOT_FUSED
    if plan[last + P.OUTPUT_STRIDE] != 1 and plan[last + P.OUTPUT] > 1:
        return NOT_CONTIGUOUS
    if plan[P.DENSE] != 0:
        short = plan[P.LEAD] > 1 and plan[last + P.OUTPUT] < SHORT_ROW_APART
        return SHORT_ROWS if short and spec[S.FORCED] == 0 else ACCEPTED
    shortest = SHORT_ROW if plan[last + P.KERNEL] == plan[last + P.WINDOW_STRIDE] else SHORT_ROW_SHARED
    if spec[S.FORCED] == 0 and plan[last + P.OUTPUT] < shortest // spec[S.OUTPUT_BYTES]:
        return SHORT_ROWS
    return ACCEPTED
