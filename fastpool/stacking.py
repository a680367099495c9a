"""Plans for small planes that are stacked in scratch: how many at a time, or how many rows of a larger one.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.covering import covered, plan_covered
from fastpool.fusing import MOST_LEAD, MOST_TAPS
from fastpool.kernels import plan as P
from fastpool.kernels.taps import extent, written_by_bands
from fastpool.layout import Block
from fastpool.tiling import (
    ENOUGH_TILES,
    MOST_STATES,
    NOT_STACKED,
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

STACK_BYTES = 1 << 14
"""A stack, about: half of a first-level cache."""

BANDS_BYTES = 1 << 16
"""Planes of a tile, about, where outputs are written after a band of rows, over which the next one is stacked."""

BAND_BYTES = 1 << 18
"""A stack of one plane, at most, in a second-level cache; of a larger plane, bands of rows are taken."""

ROW_BYTES = 1 << 11
"""A row of a stack, where the array's are longer: rows of several taps then stay in a first-level cache."""

MARK_BYTES = 1 << 13
"""Marks of the rows of planes, at most: a quarter of a first-level cache."""

MOST_SHARED = 5
"""Taps along the leading axis, at most, of windows that keep what they share in registers: planes of 20 x 20 in 5x5."""

RUN = 4
"""Taps along the leading axis from which on windows are kept from row to row: those of 9x9 in 2048 x 2048 took 1.39 ms
without, 1.18 so."""

KEPT = 14
"""Vectors of a row from which on it is so: windows of 9x9, 128 wide, take 0.76 ms without and 0.82 so, 224 wide 0.75
and 0.67, 512 wide 0.77 and 0.64."""

RUN_BYTES, LONG_ROW_BYTES = 1 << 19, 1 << 13
"""The rows that are kept, and each of them, at most, where rows are cut: 31x31 of 2048 x 2048 took 1.47 ms in whole
rows, 1.65 in quarters."""


def _extent(plan: Block, axis: int) -> int:
    if plan[P.FIRST] > 1 and axis == P.HEADER + plan[P.OUTER] * P.AXIS:
        return plan[axis + P.BY]
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
    folded = plan[P.FIRST] > 1 and axis == P.HEADER + plan[P.OUTER] * P.AXIS
    if folded or plan[axis + P.BY] < plan[axis + P.OUTPUT]:
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


def _gapless(plan: Block) -> bool:
    """Whether rows of three taps may follow one another in a stack without padding, so that vectors of outputs go from
    row to row: there are as many outputs as a row has steps, and the middle tap of each is there.
    """
    last = last_axis(plan)
    stride, pad = plan[last + P.WINDOW_STRIDE], plan[last + P.PAD]
    if plan[last + P.KERNEL] != 3 or plan[last + P.DILATION] != 1 or pad > 1 or stride + pad < 2:
        return False
    if plan[last + P.SOURCE] != stride * plan[last + P.OUTPUT]:
        return False
    near = last - P.AXIS
    if plan[P.LEAD] + plan[P.OUTER] == 0:
        return True
    if plan[P.LEAD] > 0 and plan[near + P.WINDOW_STRIDE] > 1 and (plan[P.LEAD] > 1 or plan[P.FIRST] == 1):
        return False
    return plan[near + P.OUTPUT_STRIDE] == plan[last + P.OUTPUT]


def _one_run(plan: Block) -> bool:
    """Whether the rows of planes follow one another in memory, too, and those of a gapless stack are made of three."""
    last = last_axis(plan)
    near = last - P.AXIS
    if plan[P.LEAD] != 1 or plan[P.OUTER] == 0 or plan[P.FIRST] != 3 or plan[near + P.PAD] != 1:
        return False
    if plan[near + P.DILATION] != 1 or plan[near + P.WINDOW_STRIDE] != 1 or plan[near + P.BY] != plan[near + P.SOURCE]:
        return False
    if plan[near + P.OUTPUT] != plan[near + P.SOURCE] or plan[near + P.SOURCE_STRIDE] != plan[last + P.SOURCE]:
        return False
    return plan[near - P.AXIS + P.SOURCE_STRIDE] == plan[last + P.SOURCE] * plan[near + P.SOURCE]


def _keeps_windows(spec: Block, plan: Block) -> int:
    """1 if windows of rows are kept from row to row."""
    last = last_axis(plan)
    near = last - P.AXIS
    if spec[S.REPEATABLE] == 0 or spec[S.ROLE] == S.INDEX or plan[P.LEAD] != 1 or plan[near + P.DILATION] != 1:
        return 0
    long = plan[last + P.SOURCE] * spec[S.STATE_BYTES] >= KEPT * VECTOR_BYTES
    return 1 if long and plan[near + P.KERNEL] >= RUN else 0


def _goes_down(spec: Block, plan: Block, first: int) -> bool:
    """Whether vectors may go down the rows of planes, and keep what windows share: more taps than are combined row by
    row, a step of 1 apart, in rows so short that those of a plane stay in caches.
    """
    if plan[P.LEAD] != 1 or plan[first + P.WINDOW_STRIDE] != 1 or plan[first + P.DILATION] != 1:
        return False
    short = plan[last_axis(plan) + P.SOURCE] * spec[S.STATE_BYTES] < KEPT * VECTOR_BYTES
    return short and MOST_TAPS < plan[first + P.KERNEL] <= MOST_SHARED


def _band(plan: Block, first: int) -> int:
    """Rows of windows that a tile makes, where they are kept: several times as many as what neighbours both read."""
    over, stride, outputs = plan[first + P.KERNEL] - 1, plan[first + P.WINDOW_STRIDE], plan[first + P.OUTPUT]
    rows = 6 * over // stride
    others = max(1, product(plan, 0, plan[P.OUTER], P.OUTPUT) * plan[P.BLOCKS])
    if ceil_div(outputs, rows) * others < ENOUGH_TILES:
        rows = max(ceil_div(outputs, ceil_div(ENOUGH_TILES, others)), 2 * over // stride)
    return rows


def _cut_row(spec: Block, plan: Block, size: int) -> None:
    """Cuts rows into blocks, several times as long as what neighbours both read; sets the pitch of the stack."""
    last = last_axis(plan)
    near = last - P.AXIS
    stride, reach = plan[last + P.WINDOW_STRIDE], (plan[last + P.KERNEL] - 1) * plan[last + P.DILATION]
    most = max(ROW_BYTES // size, 3 * reach) // stride
    plan[P.KEPT] = _keeps_windows(spec, plan)
    if plan[P.KEPT] != 0:
        run = RUN_BYTES // size // plan[near + P.KERNEL] - reach
        most = max(most, min(run, LONG_ROW_BYTES // size) // stride)
    plan[P.BLOCK], plan[P.BLOCKS] = cut(plan[last + P.OUTPUT], max(1, most))
    plan[last + P.BY] = plan[P.BLOCK]
    plan[P.PITCH] = _extent(plan, last)
    if plan[P.KEPT] != 0:
        # elements begin and end with a vector
        vector = VECTOR_BYTES // spec[S.STATE_BYTES]
        plan[P.PITCH] = round_up(plan[P.PITCH], vector) + 2 * vector
    if spec[S.ROLE] == S.INDEX:
        # every other place of a stack is the same one of every row
        plan[P.PITCH] = round_up(plan[P.PITCH], stride)
        return
    plan[P.MARKS], plan[P.ROW_MARKS] = 0, 0
    if plan[P.KEPT] == 0 and plan[P.BLOCKS] == 1 and _gapless(plan):
        plan[P.MARKS] = 1
        plan[P.PITCH] = plan[last + P.SOURCE]


def plan_stacked(spec: Block, plan: Block) -> None:
    """Plans stacks of planes of a forward pooling, with indices or without, or refuses."""
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    last = last_axis(plan)
    plan[P.LEAD] = lead
    plan[P.COVERED] = 1 if covered(spec, plan) else 0
    if plan[P.COVERED] != 0:
        plan_covered(spec, plan)
        return
    if lead > MOST_LEAD or plan[last + P.WINDOW_STRIDE] > 2:
        plan[P.TILES] = -NOT_STACKED
        return
    first = P.HEADER + outer * P.AXIS
    plan[P.FIRST] = 1
    indexed = spec[S.ROLE] == S.INDEX
    if lead > 0 and not indexed and (1 < plan[first + P.KERNEL] <= MOST_TAPS or _goes_down(spec, plan, first)):
        plan[P.FIRST] = plan[first + P.KERNEL]
    plan[P.LEVELS] = _copies(spec, plan)
    # beside each value the number of its tap
    size = spec[S.STATE_BYTES] * (2 if indexed else plan[P.LEVELS])
    single_steps(plan, outer)
    _cut_row(spec, plan, size)
    plane = plan[P.PITCH]
    reach = 1 + (plan[last + P.KERNEL] - 1) * plan[last + P.DILATION]
    for a in range(lead):
        at = last - (a + 1) * P.AXIS
        plan[at + P.STEPS], plan[at + P.BY] = 1, plan[at + P.OUTPUT]
        reach += (plan[at + P.KERNEL] - 1) * plan[at + P.DILATION] * plane
        if plane > MOST_STATES // max(_extent(plan, at), 1) or reach > MOST_STATES:
            plan[P.TILES] = -TOO_LARGE
            return
        plane *= _extent(plan, at)
    if plan[P.KEPT] != 0:
        plan[first + P.BY], plan[first + P.STEPS] = cut(plan[first + P.OUTPUT], _band(plan, first))
        # a run of rows, what was combined since, and the windows
        plane = (plan[first + P.KERNEL] + 2) * plan[P.PITCH]
    elif lead > 0 and plane > BAND_BYTES // size:
        # bands of the first of the leading axes, several times as tall as what neighbours both read
        row = plane // _extent(plan, first)
        rows = BAND_BYTES // size // max(row, 1)
        if plan[P.FIRST] == 1:
            over = (plan[first + P.KERNEL] - 1) * plan[first + P.DILATION]
            rows = (max(rows, 3 * over) - over) // plan[first + P.WINDOW_STRIDE]
        rows = max(1, rows)
        plan[first + P.BY], plan[first + P.STEPS] = cut(plan[first + P.OUTPUT], rows)
        plane = row * _extent(plan, first)
    elif outer > 0 and plan[P.BLOCKS] == 1:
        at = first - P.AXIS
        others = product(plan, 0, outer - 1, P.OUTPUT)
        # each thread is to have several tiles
        most = ceil_div(plan[at + P.OUTPUT], ceil_div(ENOUGH_TILES, max(others, 1)))
        strides = plan[first + P.WINDOW_STRIDE], plan[last + P.WINDOW_STRIDE]
        bands = written_by_bands(plan[P.FIRST], plan[P.MARKS], lead, strides[0], strides[1])
        room = BANDS_BYTES if bands else STACK_BYTES
        planes = max(1, min(room // size // max(plane, 1), most))
        plan[at + P.BY], plan[at + P.STEPS] = cut(plan[at + P.OUTPUT], planes)
        if not bands:
            plane *= plan[at + P.BY]
    plan[P.TAIL] = 0
    for a in range(lead):
        at = first + a * P.AXIS
        plan[P.TAIL] += _behind(plan, at) * (_extent(plan, at + P.AXIS) if a + 1 < lead else 1)
    dense = plan[last + P.OUTPUT]
    plan[P.DENSE] = 1 if plan[P.BLOCKS] == 1 else 0
    for a in range(lead):
        at = last - (a + 1) * P.AXIS
        if plan[at + P.BY] > 1 and not _behind_each_other(plan, at, dense, indexed):
            plan[P.DENSE] = 0
        dense *= plan[at + P.OUTPUT]
    at = first - P.AXIS
    if outer > 0 and plan[at + P.BY] > 1 and not _behind_each_other(plan, at, dense, indexed):
        plan[P.DENSE] = 0
    vector = VECTOR_BYTES // spec[S.STATE_BYTES]
    plan[P.ROW] = plane + plan[P.TAIL] * plan[P.PITCH] + reach + 4 * vector
    plan[P.COORDINATES] = 0
    plan[P.STATE] = round_up(8 * (outer + lead + 2), 64)
    plan[P.STACK] = round_up(plan[P.STATE] + 8 * P.MOST_BLOCKS, 64)
    # a vector of values, and one of indices, to copy elements by; a row of nothing, or one of numbers
    plan[P.COLUMN] = plan[P.STACK] + VECTOR_BYTES + vector * spec[S.AUX_BYTES]
    plan[P.CHUNK] = plan[P.PITCH] + 2 * vector if plan[P.FIRST] > 1 or indexed else 0
    if plan[P.KEPT] != 0 or plan[P.FIRST] > MOST_TAPS:
        plan[P.CHUNK] = 2 * (plan[P.PITCH] + 2 * vector)
    plan[P.PACK] = round_up(plan[P.COLUMN] + plan[P.CHUNK] * spec[S.STATE_BYTES], 64)
    if plan[P.MARKS] != 0:
        plan[P.MARKS] = plan[P.PACK]
        plan[P.PACK] = round_up(plan[P.PACK] + 2 * (plan[P.PITCH] + 3 * vector) * spec[S.STATE_BYTES], 64)
        marks = 2 * (plan[P.PITCH] * plan[last - P.AXIS + P.SOURCE] + 2 * vector) * spec[S.STATE_BYTES]
        if _one_run(plan) and marks <= MARK_BYTES:
            plan[P.ROW_MARKS] = plan[P.PACK]
            plan[P.PACK] = round_up(plan[P.PACK] + marks, 64)
        # the first row begins with a cache line
        plan[P.PACK] += (VECTOR_BYTES - plan[last + P.PAD] * spec[S.STATE_BYTES]) % VECTOR_BYTES
    if plan[P.ROW] > MOST_STATES // plan[P.LEVELS]:
        plan[P.TILES] = -TOO_LARGE
        return
    plan[P.STATE2] = round_up(plan[P.PACK] + plan[P.ROW] * plan[P.LEVELS] * spec[S.STATE_BYTES], 64)
    plan[P.WORK] = plan[P.STATE2]
    if indexed:
        plan[P.WORK] += round_up(plan[P.ROW] * spec[S.STATE_BYTES], 64)
    plan[P.SOURCE_END] = source_end(plan, P.SOURCE_STRIDE)
    plan[P.TILES] = product(plan, 0, outer + lead, P.STEPS) * plan[P.BLOCKS]


def _behind_each_other(plan: Block, axis: int, size: int, indexed: bool) -> bool:
    """Whether outputs ``size`` places apart are neighbours along an axis, and their indices, too."""
    return plan[axis + P.OUTPUT_STRIDE] == size and (plan[axis + P.AUX_STRIDE] == size or not indexed)
