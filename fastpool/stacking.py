"""Plans for small planes that are stacked in scratch: how many at a time, or how many rows of a larger one.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.kernels import plan as P
from fastpool.kernels.taps import extent
from fastpool.layout import Block
from fastpool.tiling import (
    ACCEPTED,
    DIVISORS,
    ENOUGH_TILES,
    MOST_STATES,
    NOT_CONTIGUOUS,
    NOT_STACKED,
    TOO_LARGE,
    ceil_div,
    cut,
    last_axis,
    product,
    round_up,
    single_steps,
    source_end,
)

MOST_LEAD = 2

VECTOR_BYTES = 64

STACK_BYTES = 1 << 14
"""A stack, about: half of a first-level cache."""

BAND_BYTES = 1 << 17
"""A stack of one plane, at most, in a second-level cache; of a larger plane, bands of rows are taken."""


def _extent(plan: Block, axis: int) -> int:
    return extent(
        plan[axis + P.SOURCE],
        plan[axis + P.OUTPUT],
        plan[axis + P.BY],
        plan[axis + P.KERNEL],
        plan[axis + P.WINDOW_STRIDE],
        plan[axis + P.DILATION],
        plan[axis + P.PAD],
    )


def _behind(plan: Block, axis: int) -> int:
    """Places of padding that the last plane of a stack needs behind it."""
    if plan[axis + P.BY] < plan[axis + P.OUTPUT]:
        return 0
    held = (plan[axis + P.OUTPUT] - 1) * plan[axis + P.WINDOW_STRIDE]
    held += (plan[axis + P.KERNEL] - 1) * plan[axis + P.DILATION] + 1
    return max(held - _extent(plan, axis), 0)


def _copies(spec: Block, plan: Block) -> int:
    """Copies of a stack that sums need, whose blocks of some sizes are kept while larger ones are made."""
    copies = 1
    if spec[S.REPEATABLE] != 0:
        return copies
    for a in range(plan[P.SPATIAL]):
        kernel = plan[P.HEADER + (plan[P.OUTER] + a) * P.AXIS + P.KERNEL]
        size, kept = 1, 1
        while 4 * size <= kernel:
            kept += 1 if kernel & size != 0 else 0
            size *= 2
        copies = max(copies, kept)
    return copies


def plan_stacked(spec: Block, plan: Block) -> None:
    """Plans stacks of planes of a forward pooling, or refuses."""
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    last = last_axis(plan)
    plan[P.LEAD] = lead
    if lead > MOST_LEAD or plan[last + P.WINDOW_STRIDE] > 2:
        plan[P.TILES] = -NOT_STACKED
        return
    plan[P.BLOCK], plan[P.BLOCKS] = plan[last + P.OUTPUT], 1
    plan[P.LEVELS] = _copies(spec, plan)
    single_steps(plan, outer)
    size = spec[S.STATE_BYTES] * plan[P.LEVELS]
    plane, reach = 1, 1
    for a in range(lead + 1):
        at = P.HEADER + (outer + lead - a) * P.AXIS
        plan[at + P.STEPS], plan[at + P.BY] = 1, plan[at + P.OUTPUT]
        reach += (plan[at + P.KERNEL] - 1) * plan[at + P.DILATION] * plane
        if plane > MOST_STATES // max(_extent(plan, at), 1) or reach > MOST_STATES:
            plan[P.TILES] = -TOO_LARGE
            return
        plane *= _extent(plan, at)
    first = P.HEADER + outer * P.AXIS
    if lead > 0 and plane > BAND_BYTES // size:
        # bands of the first of the leading axes, several times as tall as what neighbours both read
        row = plane // _extent(plan, first)
        over = (plan[first + P.KERNEL] - 1) * plan[first + P.DILATION]
        held = max(BAND_BYTES // size // max(row, 1), 4 * over)
        rows = max(1, (held - over) // plan[first + P.WINDOW_STRIDE])
        plan[first + P.BY], plan[first + P.STEPS] = cut(plan[first + P.OUTPUT], rows)
        plane = row * _extent(plan, first)
    elif outer > 0:
        at = first - P.AXIS
        others = product(plan, 0, outer - 1, P.OUTPUT)
        # each thread is to have several tiles
        most = ceil_div(plan[at + P.OUTPUT], ceil_div(ENOUGH_TILES, max(others, 1)))
        planes = max(1, min(STACK_BYTES // size // max(plane, 1), most))
        plan[at + P.BY], plan[at + P.STEPS] = cut(plan[at + P.OUTPUT], planes)
        plane *= plan[at + P.BY]
    plan[P.TAIL] = 0
    for a in range(lead):
        at = first + a * P.AXIS
        plan[P.TAIL] += _behind(plan, at) * (_extent(plan, at + P.AXIS) if a + 1 < lead else 1)
    dense = plan[last + P.OUTPUT]
    plan[P.DENSE] = 1
    for a in range(lead):
        at = last - (a + 1) * P.AXIS
        if plan[at + P.BY] > 1 and plan[at + P.OUTPUT_STRIDE] != dense:
            plan[P.DENSE] = 0
        dense *= plan[at + P.OUTPUT]
    if outer > 0 and plan[first - P.AXIS + P.BY] > 1 and plan[first - P.AXIS + P.OUTPUT_STRIDE] != dense:
        plan[P.DENSE] = 0
    vector = VECTOR_BYTES // spec[S.STATE_BYTES]
    plan[P.ROW] = plane + plan[P.TAIL] * _extent(plan, last) + reach + 4 * vector
    plan[P.COORDINATES] = 0
    plan[P.STATE] = round_up(8 * (outer + lead + 2), 64)
    plan[P.STACK] = round_up(plan[P.STATE] + 8 * P.MOST_BLOCKS, 64)
    plan[P.PACK] = plan[P.STACK] + VECTOR_BYTES
    if plan[P.ROW] > MOST_STATES // plan[P.LEVELS]:
        plan[P.TILES] = -TOO_LARGE
        return
    plan[P.WORK] = round_up(plan[P.PACK] + plan[P.ROW] * plan[P.LEVELS] * spec[S.STATE_BYTES], 64)
    plan[P.SOURCE_END] = source_end(plan, P.SOURCE_STRIDE)
    plan[P.TILES] = product(plan, 0, outer + lead, P.STEPS)


def stacked_refusal(spec: Block, plan: Block) -> int:
    """Why the planned task is not done so, or ACCEPTED."""
    last = last_axis(plan)
    if plan[last + P.SOURCE_STRIDE] != 1 and plan[last + P.SOURCE] > 1:
        return NOT_STACKED
    if plan[last + P.OUTPUT_STRIDE] != 1 and plan[last + P.OUTPUT] > 1:
        return NOT_CONTIGUOUS
    if spec[S.COUNTED] != 0 and plan[P.DIVISOR] == 0:
        return DIVISORS
    return ACCEPTED
