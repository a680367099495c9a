"""Plans for windows of many taps along the last leading axis: how many rows are kept, and how tall a band is.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.kernels import plan as P
from fastpool.kernels.taps import levels_kept, slots_kept
from fastpool.layout import Block
from fastpool.tiling import ENOUGH_TILES, MOST_STATES, NOT_SLID, TOO_LARGE, ceil_div, cut, last_axis, product

MOST_ROWS = 1 << 12
"""Rows that are kept, at most: dilation multiplies them."""


def plan_slide(spec: Block, plan: Block, stack: int, rows: int) -> None:
    """Plans the rings of rows, behind ``stack`` rows of scratch and before ``rows`` others; or refuses."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    axis = last_axis(plan) - P.AXIS
    if lead == 0 or plan[P.FOLD] != 0 or plan[P.DECODE] != 0:
        plan[P.TILES] = -NOT_SLID
        return
    kernel, stride, dilation = plan[axis + P.KERNEL], plan[axis + P.WINDOW_STRIDE], plan[axis + P.DILATION]
    if kernel < 2 or dilation > MOST_ROWS // kernel:
        plan[P.TILES] = -NOT_SLID
        return
    levels = levels_kept(kernel)
    overlaps = spec[S.REPEATABLE] != 0 and stride == 1
    kept = 0
    for level in range(levels):
        kept += slots_kept(kernel, dilation, level, overlaps)
    # each thread is to have several tiles, but a band not much shorter than a window reads its rows twice
    size = plan[axis + P.OUTPUT]
    tiles = product(plan, 0, outer + lead - 1, P.STEPS) * plan[P.BLOCKS] * plan[P.LANE_BLOCKS]
    reach = (kernel - 1) * dilation
    band = max(ceil_div(size, ceil_div(ENOUGH_TILES, max(tiles, 1))), 3 * reach // stride + 1)
    plan[axis + P.BY], plan[axis + P.STEPS] = cut(size, band)
    read = (plan[axis + P.BY] - 1) * stride + reach + 1
    # Combining each row of outputs anew takes a row operation for each tap. Rows of lanes are long, and rings of them
    # leave the first-level cache: 5x5 at 256 lanes took 1.9 ms against 0.7.
    few = 4 if spec[S.FAMILY] == 0 else 8
    work = read + read * (levels - 1) // (stride & -stride) + plan[axis + P.BY]
    if spec[S.FORCED] == 0 and (kernel < few or 2 * stride > kernel or work >= plan[axis + P.BY] * kernel):
        plan[P.TILES] = -NOT_SLID
        return
    plan[P.RING] = stack if lead > 1 else 0
    plan[P.COLUMN] = plan[P.RING] + kept
    plan[P.LEVELS] = plan[P.COLUMN] + rows
    if plan[P.ROW] > MOST_STATES // plan[P.LEVELS]:
        plan[P.TILES] = -TOO_LARGE
