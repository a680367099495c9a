"""From a spec to a plan: how a task is cut into tiles, what scratch it needs, and which kernel form takes it.

Integer arithmetic in the subset that Numba compiles, over flat blocks: the same code plans for Python and, compiled,
for callers without it. Where a number was chosen by measurement, the comment says which.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.fusing import (
    apart_refusal,
    fused_refusal,
    lanes_refusal,
    plan_fused,
    plan_fused_index,
    plan_fused_lanes,
)
from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.kernels.rows import ACROSS_LANES
from fastpool.layout import Block
from fastpool.scattering import plan_fused_scatter, scatter_refusal
from fastpool.selecting import plan_check, plan_match, plan_scatter
from fastpool.sliding import plan_slide
from fastpool.spreading import gather_refusal, plan_fused_gather
from fastpool.stack_choice import stacked_refusal
from fastpool.stacking import plan_stacked
from fastpool.tiling import (
    ACCEPTED,
    BAND_BYTES,
    FOLDS,
    MOST_STATES,
    NOT_CONTIGUOUS,
    NOT_SLID,
    OTHER_WINDOW,
    ROWS_BETTER,
    SCATTERS,
    TOO_LARGE,
    bit_length,
    ceil_div,
    cut,
    last_axis,
    product,
    round_up,
    single_steps,
    source_end,
)

ROW_BYTES = 8192
"""A scratch row of states: two source rows and two scratch rows then share a 32 KiB first-level cache."""

MOST_HALVINGS = 4

LANES_ROW_BYTES = 32768
"""The same with lanes, which make a position wide: rows cut shorter read the positions that windows share again."""


def _most_taps(plan: Block, axis: int, backward: bool) -> int:
    """The most taps that one output has along an axis."""
    if backward:
        return (plan[axis + P.KERNEL] - 1) // plan[axis + P.STEP_TAPS] + 1
    return plan[axis + P.KERNEL]


def _span(plan: Block, axis: int, outputs: int, backward: bool) -> int:
    """Source positions that ``outputs`` neighbouring outputs look at, at most."""
    reach = (plan[axis + P.KERNEL] - 1) * plan[axis + P.DILATION]
    stride = plan[axis + P.WINDOW_STRIDE]
    if backward:
        return (outputs - 1 + reach) // stride + 2
    return (outputs - 1) * stride + reach + 1


def _cut_lanes(spec: Block, plan: Block) -> None:
    """Blocks of the inner axis: whole up to 256 contiguous lanes, 64 where lanes are gathered from apart.

    A scatter, which jumps about among the rows of its band, takes 32, so that they stay in the first-level cache;
    where taps are compared, 64 keep several rows of windows in the second-level cache.
    """
    most = 64
    if plan[P.SOURCE_LANE] == 1 and spec[S.MATCH] == 0:
        most = 32 if spec[S.ROLE] == S.SCATTER else 256
    lanes = plan[P.LANES]
    block = lanes
    if lanes > most and spec[S.FUSED] == 0:
        block = min(round_up(ceil_div(lanes, ceil_div(lanes, most)), 16), most)
    plan[P.LANE_BLOCK] = block
    plan[P.LANE_BLOCKS] = ceil_div(lanes, block) if lanes > 0 else 0


def _folds(plan: Block, last: int, backward: bool) -> bool:
    """Whether folding each output's own taps is less work than doubling over the row."""
    if backward:
        return False
    kernel, outputs = plan[last + P.KERNEL], plan[last + P.OUTPUT]
    if outputs == 1:
        return kernel > 64
    span, digits = _span(plan, last, outputs, backward), bit_length(kernel)
    # span * digits / kernel, without a product that could pass 2**63
    return kernel > 64 and 3 * outputs < span // kernel * digits + span % kernel * digits // kernel


def _halvings(spec: Block, plan: Block, last: int) -> int:
    """How often a row of scratch is taken apart: until its stride is odd, or a window has a tap left over."""
    kernel, stride = plan[last + P.KERNEL], plan[last + P.WINDOW_STRIDE]
    if spec[S.FAMILY] != 0 or plan[P.FOLD] != 0 or plan[last + P.DILATION] % 2 == 0:
        return 0
    if plan[last + P.OUTPUT] < 2 and spec[S.FORM_KERNEL] == 0:
        return 0
    halvings = 0
    while stride % 2 == 0 and halvings < MOST_HALVINGS:
        stride //= 2
        halvings += 1
        if kernel > 1 and kernel % 2 != 0:
            break
        kernel = max(kernel // 2, 1)
    return halvings


def _group(spec: Block, plan: Block, target: int, pitch: int) -> int:
    """Chooses the axis along which a tile takes several rows, so that a pass has enough to do; returns how many.

    Small planes are taken side by side, where every row has neighbours with the same taps; else a tile takes rows of
    one plane, below one another.
    """
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    single_steps(plan, outer + lead)
    plan[P.GROUP_AXIS] = -1
    plan[P.GROUP] = 1
    many = target // max(1, pitch)
    # lanes in several blocks: their positions lie apart, and are read as rows themselves
    apart = spec[S.FAMILY] == 1 and plan[P.LANE_BLOCKS] > 1
    if many < 2 or apart or plan[P.FOLD] != 0 or plan[P.DECODE] != 0:
        return 1
    if spec[S.SLIDE] != 0 and (outer == 0 or lead == 0):
        return 1
    read, written = spec[S.SOURCE_BYTES] * plan[P.LANES], spec[S.OUTPUT_BYTES] * plan[P.LANES]
    for a in range(lead + 1):
        at = P.HEADER + (outer + a) * P.AXIS
        read *= plan[at + P.SOURCE]
        written *= plan[at + P.OUTPUT]
    plane = read + written
    axis = -1
    if lead > 0 and plan[P.HEADER + (outer + lead - 1) * P.AXIS + P.OUTPUT] < 2:
        # a plane has one row: as many planes as stay in the second-level cache
        many = min(many, BAND_BYTES // max(1, plane))
    if outer > 0 and (lead == 0 or many * plane <= BAND_BYTES or spec[S.SLIDE] != 0):
        axis = outer - 1
    elif lead > 0:
        axis = outer + lead - 1
    if axis < 0 or plan[P.HEADER + axis * P.AXIS + P.OUTPUT] < 2:
        return 1
    at = P.HEADER + axis * P.AXIS
    rows, steps = cut(plan[at + P.OUTPUT], many)
    plan[P.GROUP_AXIS] = axis
    plan[P.GROUP] = rows
    plan[at + P.STEPS] = steps
    plan[at + P.BY] = rows
    return rows


def _same_divisor(plan: Block) -> int:
    """The divisor, where every window counts all of its taps; else 0."""
    for a in range(plan[P.SPATIAL]):
        at = P.HEADER + (plan[P.OUTER] + a) * P.AXIS
        origin = (plan[at + P.WINDOWS] - 1) * plan[at + P.WINDOW_STRIDE] - plan[at + P.PAD]
        past = origin + (plan[at + P.KERNEL] - 1) * plan[at + P.DILATION]
        if plan[at + P.LOW] > -plan[at + P.PAD] or past >= plan[at + P.HIGH]:
            return 0
    return plan[P.TAPS]


def divide_alike(spec: Block, plan: Block) -> None:
    """Sets the divisor where it is the same for all windows, although taps are counted."""
    if spec[S.COUNTED] != 0 and spec[S.STATE2_BYTES] == 0 and plan[P.DIVISOR] == 0:
        plan[P.DIVISOR] = _same_divisor(plan)


def _plan_sweep(spec: Block, plan: Block) -> None:
    backward = spec[S.ROLE] == S.GATHER
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    plan[P.BACKWARD] = 1 if backward else 0
    plan[P.INDEXED] = 1 if spec[S.ROLE] == S.INDEX else 0
    plan[P.SHARES] = spec[S.COUNTED] if backward else 0
    divide_alike(spec, plan)
    if plan[P.SHARES] != 0 and plan[P.DIVISOR] != 0 and spec[S.SOURCE_IS_STATE] != 0:
        plan[P.SHARES] = 2
        plan[P.PARAM] = S.float_bits(plan[P.DIVISOR])
    elif plan[P.SHARES] != 0:
        plan[P.PARAM] = S.float_bits(1)
    plan[P.SOURCE_END] = source_end(plan, P.SOURCE_STRIDE)
    plan[P.COUNTS] = 0 if backward else spec[S.COUNTED]
    plan[P.WINDOW] = 1 if spec[S.FORM_KERNEL] != 0 else 0
    plan[P.REPEATABLE] = spec[S.REPEATABLE]
    last = last_axis(plan)
    plan[P.LEAD] = lead
    lanes = plan[P.LANE_BLOCK]
    state = spec[S.STATE_BYTES] + spec[S.STATE2_BYTES]
    budget = ROW_BYTES if lanes == 1 else LANES_ROW_BYTES
    target = max(1, budget // spec[S.STATE_BYTES] // max(1, lanes))
    reach = (plan[last + P.KERNEL] - 1) * plan[last + P.DILATION]
    stride = plan[last + P.WINDOW_STRIDE]
    plan[P.FOLD] = 1 if _folds(plan, last, backward) else 0
    chunk = 1
    if plan[P.FOLD] != 0:
        while chunk < plan[last + P.KERNEL] and 2 * chunk * plan[last + P.DILATION] <= target:
            chunk *= 2
        positions = (chunk - 1) * plan[last + P.DILATION] + 1
        block = max(1, target // plan[last + P.KERNEL])
        block, blocks = cut(plan[last + P.OUTPUT], block)
    else:
        # at least as many outputs as one window is long, so that no position is read much more than twice
        block = max(target - reach, reach)
        size = plan[last + P.OUTPUT]
        block = min(block, ceil_div(size, stride)) * stride if backward else block // stride
        block, blocks = cut(size, max(1, block))
        plan[P.HALVINGS] = 0 if backward else _halvings(spec, plan, last)
        positions = round_up(_span(plan, last, block, backward), 1 << plan[P.HALVINGS])
    plan[P.CHUNK] = chunk
    plan[P.BLOCK] = block
    plan[P.BLOCKS] = blocks
    pitch = positions * lanes
    if pitch > MOST_STATES:
        plan[P.TILES] = -TOO_LARGE
        return
    group = _group(spec, plan, target * lanes, pitch)
    # whole vectors of 64 bytes are written where a row is taken apart
    row = round_up(group * pitch + 8, 64 if plan[P.HALVINGS] != 0 else 16)
    rows = bit_length(_most_taps(plan, last, backward)) + 1 + 3 * plan[P.HALVINGS]
    stack = 2
    for a in range(lead):
        stack += bit_length(_most_taps(plan, P.HEADER + (outer + a) * P.AXIS, backward)) + 1
    plan[P.ROW] = row
    plan[P.LEVELS] = max(rows, stack)
    plan[P.STATE_BYTES], plan[P.STATE2_BYTES] = spec[S.STATE_BYTES], spec[S.STATE2_BYTES]
    if spec[S.SLIDE] != 0:
        plan_slide(spec, plan, stack, rows)
        if plan[P.TILES] < 0:
            return
    plan[P.STACK] = (plan[P.LEVELS] + 2) * row
    states = plan[P.STACK] + (bit_length(plan[last + P.KERNEL]) + 2) * lanes
    plan[P.COORDINATES] = round_up(8 * W.WORDS, 64)
    plan[P.STATE] = plan[P.COORDINATES] + round_up(8 * (outer + lead + 2 + 4 * lead + 1), 64)
    plan[P.STATE2] = round_up(plan[P.STATE] + states * spec[S.STATE_BYTES], 64)
    plan[P.PACK] = round_up(plan[P.STATE2] + states * spec[S.STATE2_BYTES], 64)
    pack = max(spec[S.SOURCE_BYTES], spec[S.STATE_BYTES])
    # a vector loop may not read beyond a row, but a whole cache line at the end costs nothing
    plan[P.WORK] = round_up(plan[P.PACK] + 3 * row * pack + state + 64, 64)
    plan[P.TILES] = product(plan, 0, outer + lead, P.STEPS) * plan[P.BLOCKS] * plan[P.LANE_BLOCKS]


def begin_plan(spec: Block, plan: Block) -> None:
    """Fills what every plan has, whatever form runs it: the axes, and most of the header.

    The block has room for one axis record more than the array has axes.
    """
    for i in range(P.HEADER):
        plan[i] = 0
    pooled = spec[S.POOLED]
    windows = S.SPEC + spec[S.RANK] * S.ARRAY_AXIS
    # flat indices in an order that is not that of the taps cannot decide ties: count taps, and convert afterwards
    if spec[S.ROLE] == S.INDEX and spec[S.INDEX_KIND] == 1:
        for p in range(1, pooled):
            at = windows + p * S.POOLED_AXIS
            if spec[at + S.AXIS] < spec[at - S.POOLED_AXIS + S.AXIS]:
                plan[P.DECODE] = 1
    plan[P.DIVISOR] = spec[S.DIVISOR]
    plan[P.FAMILY] = spec[S.FAMILY]
    plan[P.PARAM] = spec[S.PARAM]
    plan[P.INDEX_KIND] = spec[S.INDEX_KIND]
    plan[P.INDEX_BYTES] = spec[S.AUX_BYTES]
    plan[P.TAPS] = 1
    for p in range(pooled):
        plan[P.TAPS] *= spec[windows + p * S.POOLED_AXIS + S.KERNEL]
    x_size, y_size = 1, 1
    for a in range(spec[S.RANK]):
        x_size *= spec[S.SPEC + a * S.ARRAY_AXIS + S.X_SIZE]
        y_size *= spec[S.SPEC + a * S.ARRAY_AXIS + S.Y_SIZE]
    backward = spec[S.ROLE] == S.GATHER or spec[S.ROLE] == S.SCATTER
    source, output = (y_size, x_size) if backward else (x_size, y_size)
    plan[P.BYTES] = source * spec[S.SOURCE_BYTES] + output * spec[S.OUTPUT_BYTES] + y_size * spec[S.AUX_BYTES]
    S.canonical(spec, plan)


def make_plan(spec: Block, plan: Block) -> None:
    """Fills the plan block of a spec for a form of the CPU."""
    begin_plan(spec, plan)
    _cut_lanes(spec, plan)
    if spec[S.MATCH] != 0:
        plan_match(spec, plan)
    elif spec[S.FUSED] != 0 and spec[S.ROLE] == S.GATHER:
        divide_alike(spec, plan)
        plan_fused_gather(spec, plan)
    elif spec[S.FUSED] == ACROSS_LANES:
        plan_fused_lanes(spec, plan)
    elif spec[S.FUSED] != 0 and spec[S.ROLE] == S.SCATTER:
        plan_fused_scatter(spec, plan)
    elif spec[S.FUSED] != 0 and spec[S.ROLE] == S.INDEX:
        plan_fused_index(spec, plan)
    elif spec[S.ROLE] == S.SCATTER:
        plan_scatter(spec, plan)
    elif spec[S.ROLE] == S.CHECK:
        plan_check(plan)
    elif spec[S.FUSED] != 0:
        divide_alike(spec, plan)
        plan_fused(spec, plan)
    elif spec[S.STACKED] != 0:
        divide_alike(spec, plan)
        plan_stacked(spec, plan)
    else:
        _plan_sweep(spec, plan)


def refusal(spec: Block, plan: Block) -> int:
    """Why the form that the spec names does not take the planned task: a number of ``REASONS``."""
    if plan[P.TILES] < 0:
        return -plan[P.TILES]
    last = last_axis(plan)
    source_unit = plan[last + P.SOURCE_STRIDE] == 1
    if spec[S.FORM_KERNEL] != 0:
        if (
            plan[last + P.KERNEL] != spec[S.FORM_KERNEL]
            or plan[last + P.WINDOW_STRIDE] != spec[S.FORM_STRIDE]
            or plan[last + P.DILATION] != 1
        ):
            return OTHER_WINDOW
        if spec[S.FUSED] != 0 and spec[S.ROLE] == S.SCATTER:
            return scatter_refusal(spec, plan)
        if spec[S.FUSED] != 0:
            return fused_refusal(spec, plan)
        if spec[S.FAMILY] == 0:
            units = plan[last + P.OUTPUT_STRIDE] == 1 and plan[last + P.AUX_STRIDE] == 1
            if not units and plan[last + P.OUTPUT] > 1:
                return NOT_CONTIGUOUS
        elif plan[P.OUTPUT_LANE] != 1 or plan[P.AUX_LANE] != 1:
            return NOT_CONTIGUOUS
        if plan[P.FOLD] != 0:
            return FOLDS
    if spec[S.STACKED] != 0:
        return stacked_refusal(spec, plan)
    if spec[S.FUSED] != 0 and spec[S.ROLE] == S.GATHER:
        return gather_refusal(spec, plan)
    if spec[S.FUSED] == ACROSS_LANES:
        return lanes_refusal(spec, plan)
    if spec[S.FUSED] != 0:
        return apart_refusal(spec, plan)
    if spec[S.FORCED] != 0:
        return ACCEPTED
    if spec[S.SLIDE] != 0 and spec[S.FAMILY] == 0 and not source_unit:
        return NOT_SLID
    # a scatter and this: planes of float32 1.9 and 2.7 ms, float16 20 and 4.7, uint8 3.4 and 1.7; rows 5.2 and 0.8
    if spec[S.MATCH] != 0 and spec[S.FAMILY] == 0 and plan[P.SPATIAL] > 1:
        if spec[S.OUTPUT_BYTES] >= 4:
            return SCATTERS
    # 5x5 on lanes by taps: 2.2 ms against 3.0; by flat indices, which a scatter takes apart: 20 against 4
    if spec[S.MATCH] != 0 and plan[P.TAPS] > 16 and plan[P.INDEX_KIND] == 2:
        if spec[S.STATE_BYTES] == spec[S.OUTPUT_BYTES]:
            return SCATTERS
    if spec[S.FAMILY] == 1 and not (plan[P.SOURCE_LANE] == 1 and plan[P.LANES] > 1):
        # no lanes that are neighbours: worth it only where the rows are not either, and the lanes are many
        if source_unit or spec[S.ROLE] == S.SCATTER or plan[P.LANES] < 16:
            return ROWS_BETTER
    return ACCEPTED
