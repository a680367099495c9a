"""Plans for small planes that one window covers, see ``stacking``: how many a tile takes.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.fusing import MOST_APART, planes_go_on, planes_inside
from fastpool.kernels import plan as P
from fastpool.layout import Block
from fastpool.tiling import (
    ENOUGH_TILES,
    VECTOR_BYTES,
    ceil_div,
    cut,
    last_axis,
    product,
    round_up,
    single_steps,
    source_end,
)

MOST_ROWS = 15
"""Rows of planes, at most, that are one window each."""

COVERED_BYTES = 1 << 16
"""Such planes that a tile reads, about."""


def covered(spec: Block, plan: Block) -> bool:
    """Whether planes are small, one window each, and many."""
    last = last_axis(plan)
    if spec[S.ROLE] == S.INDEX or plan[P.SPATIAL] > 2 or plan[P.OUTER] == 0 or not planes_inside(plan):
        return False
    for a in range(plan[P.SPATIAL]):
        at = last - a * P.AXIS
        if plan[at + P.OUTPUT] != 1 or plan[at + P.DILATION] != 1:
            return False
    if plan[P.SPATIAL] > 1 and plan[last - P.AXIS + P.KERNEL] > MOST_ROWS:
        return False
    if plan[P.SPATIAL] == 1 and planes_go_on(plan):
        # rows of few taps that follow one another are one row, and taken apart in a quarter of the time
        few = plan[last + P.KERNEL]
        if few in (2, 4, 8) or (few <= MOST_APART and spec[S.SOURCE_BYTES] >= P.WIDE):
            return False
    vector = VECTOR_BYTES // spec[S.STATE_BYTES]
    planes = plan[last - plan[P.SPATIAL] * P.AXIS + P.OUTPUT]
    return 1 < plan[last + P.KERNEL] <= vector and planes >= vector


def plan_covered(spec: Block, plan: Block) -> None:
    """Plans planes that are one window each: as many for a tile as are read at once."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    last = last_axis(plan)
    at = P.HEADER + (outer - 1) * P.AXIS
    vector = VECTOR_BYTES // spec[S.STATE_BYTES]
    high = plan[last - P.AXIS + P.KERNEL] if lead > 0 else 1
    others = product(plan, 0, outer - 1, P.OUTPUT)
    most = ceil_div(plan[at + P.OUTPUT], ceil_div(ENOUGH_TILES, max(others, 1)))
    planes = min(COVERED_BYTES // (high * plan[last + P.KERNEL] * spec[S.SOURCE_BYTES]), most)
    plan[P.BLOCK], plan[P.BLOCKS] = 1, 1
    single_steps(plan, outer + lead)
    plan[at + P.BY], plan[at + P.STEPS] = cut(plan[at + P.OUTPUT], round_up(max(planes, 1), vector))
    plan[P.COORDINATES] = 0
    plan[P.STATE] = round_up(8 * (outer + lead + 2), 64)
    plan[P.STACK] = plan[P.STATE]
    plan[P.PACK] = plan[P.STACK] + VECTOR_BYTES
    # the vectors of a vector of outputs, twice, and eight more; a copy of their planes
    lanes = plan[last + P.KERNEL]
    lanes = vector // 2 if 2 * lanes <= vector else vector
    plan[P.ROW] = (2 * lanes + 8) * vector + vector * high * lanes
    plan[P.WORK] = round_up(plan[P.PACK] + plan[P.ROW] * spec[S.STATE_BYTES], 64)
    plan[P.SOURCE_END] = source_end(plan, P.SOURCE_STRIDE)
    plan[P.TILES] = product(plan, 0, outer + lead, P.STEPS)
