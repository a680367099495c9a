"""Plans for the gradient of a sum over windows that share no element: how rows are cut, which axes become one.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.fusing import TILE_BYTES, large_output
from fastpool.kernels import plan as P
from fastpool.layout import Block
from fastpool.tiling import (
    ACCEPTED,
    ENOUGH_TILES,
    NOT_CONTIGUOUS,
    NOT_SPREAD,
    SHORT_ROWS,
    VECTOR_BYTES,
    ceil_div,
    last_axis,
    product,
    round_up,
    single_steps,
)

LINE_BYTES = 1 << 14
"""A line of scratch that rows are copied from, at most: it stays in the first-level cache."""


def _single_windows(plan: Block) -> None:
    """Makes the only window along an axis one that is far from the next, which is not there.

    A sum over windows, of which all others are not there, adds 0 to the one that is, so that -0 becomes 0: for all
    elements, or else nothing is changed.
    """
    for a in range(plan[P.SPATIAL]):
        at = last_axis(plan) - a * P.AXIS
        kernel, stride = plan[at + P.KERNEL], plan[at + P.WINDOW_STRIDE]
        if plan[at + P.SOURCE] == 1 and plan[at + P.DILATION] == 1 and (kernel <= stride or kernel // 2 >= stride):
            if kernel > stride:
                plan[P.SHARES] = 3
            stride = max(plan[at + P.OUTPUT] + plan[at + P.PAD], 1)
            if plan[P.DIVISOR] != 0:
                plan[at + P.KERNEL] = min(kernel, stride)
            plan[at + P.WINDOW_STRIDE] = max(stride, plan[at + P.KERNEL])


def _shared(plan: Block) -> bool:
    """Whether windows share elements, or have gaps between their taps."""
    for a in range(plan[P.SPATIAL]):
        at = last_axis(plan) - a * P.AXIS
        if plan[at + P.DILATION] != 1 or plan[at + P.KERNEL] > plan[at + P.WINDOW_STRIDE]:
            return True
    return False


def _filled(plan: Block, at: int) -> bool:
    """Whether the steps from window to window along an axis make up the axis."""
    return plan[at + P.PAD] == 0 and plan[at + P.OUTPUT] == plan[at + P.SOURCE] * plan[at + P.WINDOW_STRIDE]


def _join_rows(plan: Block) -> None:
    """Makes rows that one window covers a part of one row: a plane that is all alike is a row of one window."""
    while plan[P.SPATIAL] > 1:
        last = last_axis(plan)
        near = last - P.AXIS
        size = plan[last + P.OUTPUT]
        covered = _filled(plan, last) and plan[last + P.SOURCE] == 1 and plan[last + P.KERNEL] == size
        follows = plan[near + P.OUTPUT_STRIDE] == size * plan[last + P.OUTPUT_STRIDE]
        if not covered or not follows or not _filled(plan, near):
            return
        plan[near + P.OUTPUT] *= size
        plan[near + P.KERNEL] *= size
        plan[near + P.WINDOW_STRIDE] *= size
        plan[near + P.OUTPUT_STRIDE] = plan[last + P.OUTPUT_STRIDE]
        plan[P.SPATIAL] -= 1


def _join_planes(plan: Block) -> None:
    """Makes planes, or rows, one where windows go on from one to the next: tiles are longer then, and begin seldom."""
    while plan[P.OUTER] > 0:
        first = P.HEADER + plan[P.OUTER] * P.AXIS
        outer = first - P.AXIS
        many = plan[outer + P.OUTPUT]
        follows = plan[outer + P.OUTPUT_STRIDE] == plan[first + P.OUTPUT] * plan[first + P.OUTPUT_STRIDE]
        follows = follows and plan[outer + P.SOURCE_STRIDE] == plan[first + P.SOURCE] * plan[first + P.SOURCE_STRIDE]
        if not follows or not _filled(plan, first):
            return
        plan[first + P.OUTPUT] *= many
        plan[first + P.SOURCE] *= many
        for field in range(plan[P.SPATIAL] * P.AXIS):
            plan[outer + field] = plan[first + field]
        plan[P.OUTER] -= 1


def plan_fused_gather(spec: Block, plan: Block) -> None:
    """Plans rows of the gradient of a sum over windows that share no element."""
    _single_windows(plan)
    # borders are looked for where windows have divisors of their own
    if not _shared(plan) and (spec[S.COUNTED] == 0 or plan[P.DIVISOR] != 0):
        _join_rows(plan)
        _join_planes(plan)
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    last = last_axis(plan)
    near = last - P.AXIS
    plan[P.LEAD] = lead
    if spec[S.COUNTED] == 0 and plan[P.DIVISOR] == 0:
        plan[P.DIVISOR] = 1
    wide = spec[S.OUTPUT_BYTES]
    vector = VECTOR_BYTES // wide
    plan[P.LANE_BLOCK] = min(plan[P.LANES], LINE_BYTES // wide)
    plan[P.LANE_BLOCKS] = ceil_div(plan[P.LANES], max(plan[P.LANE_BLOCK], 1))
    lanes = max(plan[P.LANE_BLOCK], 1)
    plan[P.BLOCK] = max(min(plan[last + P.OUTPUT], LINE_BYTES // wide // lanes), 1)
    plan[P.BLOCKS] = ceil_div(plan[last + P.OUTPUT], plan[P.BLOCK])
    single_steps(plan, outer + lead)
    plan[P.GROUP_AXIS] = outer + lead - 1
    plan[P.GROUP] = 1
    if outer + lead > 0:
        size, step = max(plan[near + P.OUTPUT], 1), plan[near + P.WINDOW_STRIDE] if lead > 0 else 1
        many = max(TILE_BYTES // (plan[P.BLOCK] * lanes * wide), 1)
        # a line is made for each row of windows, and again for each tile that cuts one
        if lead > 0:
            many = max(many // step, 1) * step
        others = product(plan, 0, outer + lead - 1, P.OUTPUT) * plan[P.BLOCKS] * plan[P.LANE_BLOCKS]
        most = ceil_div(size, ceil_div(ENOUGH_TILES, max(others, 1)))
        if most > step:
            most = most // step * step
        plan[P.GROUP] = max(min(many, most, size), 1)
        plan[near + P.BY] = plan[P.GROUP]
        plan[near + P.STEPS] = ceil_div(plan[near + P.OUTPUT], plan[P.GROUP])
    # rows that are one run of memory are copied from a line, others, and many lanes, position by position
    whole = plan[last + P.OUTPUT_STRIDE] == lanes and plan[P.LANE_BLOCKS] <= 1
    plan[P.DENSE] = 1 if whole and lanes < vector else 0
    row = plan[P.BLOCK] * lanes
    windows = min((plan[P.BLOCK] - 1) // plan[last + P.WINDOW_STRIDE] + 2, plan[P.BLOCK] + 1)
    plan[P.COORDINATES] = 0
    plan[P.STATE] = plan[P.STATE2] = round_up(8 * (outer + lead + 2), 64)
    plan[P.PACK] = plan[P.STATE2] + round_up((windows * lanes + vector) * wide, 64)
    plan[P.PACK2] = plan[P.PACK] + round_up((max(row, lanes) + 4 * vector) * wide, 64)
    plan[P.WORK] = plan[P.PACK2] + round_up((row // 2 + 4 * vector) * wide, 64)
    plan[P.ROW] = plan[P.WORK]
    follow = plan[P.BLOCKS] == 1 and plan[near + P.OUTPUT_STRIDE] == row
    if large_output(spec, plan) != 0 and whole and (follow or plan[P.GROUP] == 1):
        plan[P.STREAM] = 1
        plan[P.WORK] += round_up(plan[P.GROUP] * row * wide, 64) + 4 * VECTOR_BYTES
    plan[P.TILES] = product(plan, 0, outer + lead, P.STEPS) * plan[P.BLOCKS] * plan[P.LANE_BLOCKS]


def gather_refusal(spec: Block, plan: Block) -> int:
    """Why the planned task is not done so, or ACCEPTED."""
    if _shared(plan):
        return NOT_SPREAD
    last = last_axis(plan)
    if plan[P.OUTPUT_LANE] != 1 and plan[P.LANES] > 1:
        return NOT_CONTIGUOUS
    if spec[S.FAMILY] == 0 and plan[last + P.OUTPUT_STRIDE] != 1 and plan[last + P.OUTPUT] > 1:
        return NOT_CONTIGUOUS
    if spec[S.FORCED] == 0 and spec[S.FAMILY] == 1 and plan[P.LANES] < 2:
        return SHORT_ROWS
    return ACCEPTED
