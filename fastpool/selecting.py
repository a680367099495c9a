"""Plans for the gradient of a selection: by scattering or by comparing taps; and for the check of its indices.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.layout import Block
from fastpool.tiling import (
    ACCEPTED,
    BAND_BYTES,
    ENOUGH_TILES,
    NO_MATCH,
    PARALLEL_BYTES,
    TOO_LARGE,
    VECTOR_BYTES,
    ceil_div,
    cut,
    last_axis,
    product,
    round_up,
    single_steps,
)

MATCH_TAPS = 32
"""Windows of up to so many taps are compared with each of them: beyond, a scatter does less."""

MATCH_PHASES = 64
"""Sums that are kept apart by phase, at most: the product of the strides."""

MATCH_BYTES = 1 << 16
"""Scratch of a tile that compares taps."""

MATCH_LANES_BYTES = 1 << 19
"""The same with lanes, where one row of windows is long."""

MATCH_STATES = 1 << 24
"""States of one phase in such a tile, at most."""

TABLE_TAPS = 4096
"""Windows of up to so many taps have a table of offsets in the scatter kernels."""

LISTED_TAPS = 63
"""Taps of a window from which on a check looks at each index by itself."""

CHECK_TABLE = 64
"""Runs of taps, or border windows along a row, for which a check of indices keeps a table."""


def plan_scatter(spec: Block, plan: Block) -> None:
    """Plans a scatter: a tile is a band of the first spatial axis."""
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    first = P.HEADER + outer * P.AXIS
    plan[P.LEAD] = 0
    rest = product(plan, outer + 1, spatial - 1, P.OUTPUT)
    row_bytes = max(1, rest * plan[P.LANE_BLOCK]) * max(spec[S.STATE_BYTES], spec[S.OUTPUT_BYTES])
    size = plan[first + P.OUTPUT]
    reach = (plan[first + P.KERNEL] - 1) * plan[first + P.DILATION] + 1
    # a band not much shorter than a window would visit every window twice
    least = max(min(reach, size), 1)
    block, blocks = cut(size, max(BAND_BYTES // row_bytes, least))
    tiles = product(plan, 0, outer, P.OUTPUT) * plan[P.LANE_BLOCKS]
    if 0 < tiles < ENOUGH_TILES and plan[P.BYTES] >= PARALLEL_BYTES:
        block, blocks = cut(size, max(min(block, ceil_div(size, ceil_div(ENOUGH_TILES, tiles))), least))
    plan[P.BLOCK] = block
    plan[P.BLOCKS] = blocks
    plan[P.TABLE] = plan[P.TAPS] if spec[S.INDEX_KIND] == 2 and plan[P.TAPS] <= TABLE_TAPS else 0
    dense = 1 if spec[S.INDEX_KIND] != 2 else 0
    for a in range(spatial):
        axis = first + a * P.AXIS
        if plan[axis + P.OUTPUT_STRIDE] != plan[axis + P.INDEX_UNIT]:
            dense = 0
        # the first axis must have the largest unit, so that a range of flat indices is a band
        if a > 0 and plan[axis + P.INDEX_UNIT] * plan[axis + P.OUTPUT] > plan[first + P.INDEX_UNIT]:
            dense = 0
    plan[P.DENSE] = dense
    single_steps(plan, outer)
    plan[P.GROUP] = 1
    last = last_axis(plan)
    rows = plan[last + P.SOURCE_STRIDE] == 1 and plan[last + P.AUX_STRIDE] == 1
    whole = plan[P.TABLE] != 0 and blocks == 1 and spatial > 1 and plan[P.LANE_BLOCK] == 1
    if rows and whole and outer > 0 and tiles >= 2 * ENOUGH_TILES and spec[S.STATE_BYTES] == spec[S.OUTPUT_BYTES]:
        # two planes at a time
        at = P.HEADER + (outer - 1) * P.AXIS
        plan[P.GROUP] = 2
        plan[at + P.BY] = 2
        plan[at + P.STEPS] = ceil_div(plan[at + P.OUTPUT], 2)
    plan[P.STATE] = round_up(8 * (outer + 2 + 2 * spatial + 2 * plan[P.TABLE] + 1), 64)
    band = block * rest * plan[P.LANE_BLOCK] * spec[S.STATE_BYTES]
    plan[P.WORK] = round_up(plan[P.STATE] + band + 64, 64)
    plan[P.TILES] = product(plan, 0, outer, P.STEPS) * blocks * plan[P.LANE_BLOCKS]


def _match_rows(plan: Block) -> tuple[int, int, int]:
    """(states that one cell of the first spatial axis has, sums by phase, refusal or ACCEPTED) for comparing taps."""
    first = P.HEADER + plan[P.OUTER] * P.AXIS
    phases, codes, row = 1, 0, max(plan[P.LANE_BLOCK], 1)
    if plan[P.TAPS] > MATCH_TAPS:
        return 0, 0, NO_MATCH
    for a in range(plan[P.SPATIAL]):
        axis = first + a * P.AXIS
        stride, pad, size = plan[axis + P.WINDOW_STRIDE], plan[axis + P.PAD], plan[axis + P.OUTPUT]
        codes += (plan[axis + P.KERNEL] - 1) * plan[axis + P.JUMP]
        if stride > MATCH_PHASES // phases or codes >= 1 << 31:
            return 0, 0, NO_MATCH
        phases *= stride
        reach = (plan[axis + P.KERNEL] - 1) * plan[axis + P.DILATION] // stride
        cells = (size - 1 + pad) // stride - pad // stride + 1 + reach
        # of the first axis, two windows' reach must fit
        if a == 0:
            cells = 2 * reach + 2
        if cells > MATCH_STATES // row:
            return 0, 0, TOO_LARGE
        if a > 0:
            row *= cells
    return row, phases, ACCEPTED


def _in_place(spec: Block, plan: Block) -> None:
    """Decides whether taps are compared where gradients and indices lie: in whole vectors of lanes.

    192 lanes of 28 x 28 positions under 3x3 windows one apart took 0.47 ms so, and 0.80 in scratch.
    """
    together = plan[P.SOURCE_LANE] == 1 and plan[P.OUTPUT_LANE] == 1 and plan[P.AUX_LANE] == 1
    # halves are summed in float32, which is scratch
    whole = plan[P.LANES] * spec[S.OUTPUT_BYTES] >= VECTOR_BYTES and spec[S.STATE_BYTES] == spec[S.OUTPUT_BYTES]
    if together and whole:
        plan[P.IN_PLACE] = 1
        plan[P.LANE_BLOCK], plan[P.LANE_BLOCKS] = plan[P.LANES], 1


def plan_match(spec: Block, plan: Block) -> None:
    """Plans the comparison of taps, or sets the tiles to a refusal, negative."""
    _in_place(spec, plan)
    row, phases, refused = _match_rows(plan)
    if refused != ACCEPTED:
        plan[P.TILES] = -refused
        return
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    first = P.HEADER + outer * P.AXIS
    plan[P.LEAD] = 0
    size, stride = plan[first + P.OUTPUT], plan[first + P.WINDOW_STRIDE]
    reach = (plan[first + P.KERNEL] - 1) * plan[first + P.DILATION] // stride
    state_bytes = spec[S.STATE_BYTES]
    states = (MATCH_BYTES if plan[P.LANE_BLOCK] <= 1 else MATCH_LANES_BYTES) // (4 + state_bytes * (1 + phases))
    # a tile not much longer than a window would visit every window twice
    block, blocks = cut(size, max(states // row - reach, reach, 1) * stride)
    single_steps(plan, outer)
    tiles = product(plan, 0, outer, P.OUTPUT) * plan[P.LANE_BLOCKS]
    if 0 < tiles < ENOUGH_TILES and plan[P.BYTES] >= PARALLEL_BYTES:
        least = max(reach, 1) * stride
        block = min(block, max(ceil_div(size, ceil_div(ENOUGH_TILES, tiles)), least))
    block = min(round_up(block, stride), size)
    blocks = ceil_div(size, max(1, block))
    # a tile may begin and end inside a cell
    plane = ((block + 2 * stride - 2) // stride + reach) * row
    plan[P.GROUP_AXIS] = -1
    plan[P.GROUP] = 1
    if blocks == 1 and outer > 0 and plan[P.IN_PLACE] == 0:
        at = P.HEADER + (outer - 1) * P.AXIS
        many = min(states // plane, tiles // ENOUGH_TILES, plan[at + P.OUTPUT])
        if many > 1:
            plan[P.GROUP_AXIS] = outer - 1
            plan[P.GROUP], plan[at + P.STEPS] = cut(plan[at + P.OUTPUT], many)
            plan[at + P.BY] = plan[P.GROUP]
    # whole vectors are read past the last state
    states = round_up(plan[P.GROUP] * plane + 64, 16)
    plan[P.BLOCK] = block
    plan[P.BLOCKS] = blocks
    plan[P.ROW] = states
    integers = outer + 2 + 5 * spatial + max(phases * (2 * plan[P.TAPS] + 1), 12 * plan[P.TAPS] + 16) + 8
    plan[P.COORDINATES] = round_up(8 * W.WORDS, 64)
    plan[P.STATE] = plan[P.COORDINATES] + round_up(8 * integers, 64)
    plan[P.STATE2] = plan[P.STATE] + round_up(phases * states * state_bytes, 64)
    plan[P.PACK] = plan[P.STATE2] + round_up(states * state_bytes, 64)
    plan[P.WORK] = plan[P.PACK] + max(round_up(4 * states, 64), 8 * VECTOR_BYTES)
    plan[P.TILES] = product(plan, 0, outer, P.STEPS) * blocks * plan[P.LANE_BLOCKS]


def _flatten(plan: Block) -> None:
    """Makes windows that all lie on the input one row, where their taps are one run of memory: any number will do."""
    if plan[P.INDEX_KIND] != 2 or plan[P.FAMILY] != 0 or plan[P.TAPS] >= LISTED_TAPS or plan[P.LANES] != 1:
        return
    total = 1
    for a in range(plan[P.OUTER] + plan[P.SPATIAL]):
        at = last_axis(plan) - a * P.AXIS
        if plan[at + P.AUX_STRIDE] != total:
            return
        total *= plan[at + P.OUTPUT]
        if a < plan[P.SPATIAL]:
            past = (plan[at + P.OUTPUT] - 1) * plan[at + P.WINDOW_STRIDE]
            past += (plan[at + P.KERNEL] - 1) * plan[at + P.DILATION]
            if plan[at + P.PAD] != 0 or past >= plan[at + P.FORWARD_SIZE]:
                return
    plan[P.OUTER], plan[P.SPATIAL] = 0, 1
    at = P.HEADER
    plan[at + P.AUX_STRIDE] = plan[at + P.KERNEL] = plan[at + P.WINDOW_STRIDE] = plan[at + P.DILATION] = 1
    plan[at + P.PAD] = 0
    plan[at + P.OUTPUT] = plan[at + P.WINDOWS] = plan[at + P.FORWARD_SIZE] = total


def plan_check(plan: Block) -> None:
    """Plans the check of indices: a tile is some rows of windows."""
    _flatten(plan)
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    last = last_axis(plan)
    plan[P.LEAD] = lead
    plan[P.TABLE] = CHECK_TABLE
    single_steps(plan, outer + lead)
    # what the tiles are cut from: the axis before the last one, or the last one
    others = product(plan, 0, outer + max(lead - 1, 0), P.OUTPUT) * plan[P.LANE_BLOCKS]
    most = ceil_div(ENOUGH_TILES, max(others, 1))
    block, blocks = plan[last + P.OUTPUT], 1
    if lead > 0:
        at = last - P.AXIS
        plan[at + P.BY], plan[at + P.STEPS] = cut(plan[at + P.OUTPUT], ceil_div(plan[at + P.OUTPUT], most))
    else:
        block, blocks = cut(block, ceil_div(block, most))
    plan[P.BLOCK] = block
    plan[P.BLOCKS] = blocks
    plan[P.WORK] = round_up(8 * (outer + lead + 2 + 2 * lead + 2 * CHECK_TABLE), 64)
    plan[P.TILES] = product(plan, 0, outer + lead, P.STEPS) * blocks * plan[P.LANE_BLOCKS]
