"""From a spec to a plan: how a task is cut into tiles, what scratch it needs, and which kernel form takes it.

Integer arithmetic in the subset that Numba compiles, over flat blocks: the same code plans for Python and, compiled,
for callers without it. Where a number was chosen by measurement, the comment says which.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.kernels import plan as P
from fastpool.kernels.cpu import words as W
from fastpool.layout import Block

ROW_BYTES = 8192
"""A scratch row of states: two source rows and two scratch rows then share a 32 KiB first-level cache."""

LANES_ROW_BYTES = 32768
"""The same with lanes, which make a position wide: rows cut shorter read the positions that windows share again."""

BAND_BYTES = 1 << 18
"""What a scatter tile keeps warm: half of a typical second-level cache."""

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

PARALLEL_BYTES = 1 << 17
"""A task that moves less stays in the calling thread: waking a second one costs as long as moving this much."""

ENOUGH_TILES = 16
"""A tile is made smaller than its scratch would allow where there were fewer: each thread is to have several."""

TABLE_TAPS = 4096
"""Windows of up to so many taps have a table of offsets in the scatter kernels."""

CHECK_TABLE = 64
"""Runs of taps, or border windows along a row, for which a check of indices keeps a table."""

ACCEPTED = 0
REASONS = (
    "accepted",
    "has no kernel for this role",
    "is for windows of its own size and stride along the last axis, without dilation",
    "writes rows whose elements are neighbours in memory",
    "vectors run better along the rows here: the last pooled axis is contiguous",
    "is for windows that share taps or are short; here each output folds its own",
    "has no arithmetic for this element type or reduction",
    "another kernel was forced",
    "needs more workspace than any machine has",
    "compares indices with every tap: the taps, or the strides, are too many here",
    "compares indices with every tap, in scratch: a scatter in place does less here",
)
(
    _,
    NO_ROLE,
    OTHER_WINDOW,
    NOT_CONTIGUOUS,
    ROWS_BETTER,
    FOLDS,
    NO_ARITHMETIC,
    NOT_FORCED,
    TOO_LARGE,
    NO_MATCH,
    SCATTERS,
) = range(len(REASONS))


MOST_STATES = 1 << 44
"""States in a scratch row beyond which nothing is planned: no machine has the memory, and sizes stay below 2**63."""


def bit_length(n: int) -> int:
    """Binary digits of a non-negative integer."""
    count = 0
    while n > 0:
        n >>= 1
        count += 1
    return count


def ceil_div(a: int, b: int) -> int:
    """``a / b``, rounded up."""
    return -((-a) // b)


def round_up(n: int, multiple: int) -> int:
    """The least multiple that is not below ``n``."""
    return ceil_div(n, multiple) * multiple


def _last_axis(plan: Block) -> int:
    return P.HEADER + (plan[P.OUTER] + plan[P.SPATIAL] - 1) * P.AXIS


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


def _cut(size: int, block: int) -> tuple[int, int]:
    """(block, blocks): even blocks of at most about that size."""
    blocks = ceil_div(size, max(1, min(block, size)))
    block = ceil_div(size, max(1, blocks))
    return block, ceil_div(size, max(1, block))


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
    if lanes > most:
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


def _product(plan: Block, first: int, count: int, field: int) -> int:
    total = 1
    for a in range(count):
        total *= plan[P.HEADER + (first + a) * P.AXIS + field]
    return total


def _single_steps(plan: Block, axes: int) -> None:
    for a in range(axes):
        at = P.HEADER + a * P.AXIS
        plan[at + P.STEPS] = plan[at + P.OUTPUT]
        plan[at + P.BY] = 1


def _group(spec: Block, plan: Block, target: int, pitch: int) -> int:
    """Chooses the axis along which a tile takes several rows, so that a pass has enough to do; returns how many.

    Small planes are taken side by side, where every row has neighbours with the same taps; else a tile takes rows of
    one plane, below one another.
    """
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    _single_steps(plan, outer + lead)
    plan[P.GROUP_AXIS] = -1
    plan[P.GROUP] = 1
    many = target // max(1, pitch)
    # lanes in several blocks: their positions lie apart, and are read as rows themselves
    apart = spec[S.FAMILY] == 1 and plan[P.LANE_BLOCKS] > 1
    if many < 2 or apart or plan[P.FOLD] != 0 or plan[P.DECODE] != 0:
        return 1
    read, written = spec[S.SOURCE_BYTES] * plan[P.LANES], spec[S.OUTPUT_BYTES] * plan[P.LANES]
    for a in range(lead + 1):
        at = P.HEADER + (outer + a) * P.AXIS
        read *= plan[at + P.SOURCE]
        written *= plan[at + P.OUTPUT]
    plane = read + written
    axis = -1
    if outer > 0 and (lead == 0 or many * plane <= BAND_BYTES):
        axis = outer - 1
    elif lead > 0:
        axis = outer + lead - 1
    if axis < 0 or plan[P.HEADER + axis * P.AXIS + P.OUTPUT] < 2:
        return 1
    at = P.HEADER + axis * P.AXIS
    rows, steps = _cut(plan[at + P.OUTPUT], many)
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


def _source_end(spec: Block, plan: Block) -> int:
    """One past the last element of the source, or 0 where a stride is negative."""
    end = 1
    for a in range(plan[P.OUTER] + plan[P.SPATIAL]):
        at = P.HEADER + a * P.AXIS
        size = plan[at + P.SOURCE]
        if plan[at + P.SOURCE_STRIDE] < 0:
            return 0
        end += (size - 1) * plan[at + P.SOURCE_STRIDE]
    if plan[P.SOURCE_LANE] < 0 or plan[P.LANES] < 1:
        return 0
    return end + (plan[P.LANES] - 1) * plan[P.SOURCE_LANE]


def _plan_sweep(spec: Block, plan: Block) -> None:
    backward = spec[S.ROLE] == S.GATHER
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    plan[P.BACKWARD] = 1 if backward else 0
    plan[P.INDEXED] = 1 if spec[S.ROLE] == S.INDEX else 0
    plan[P.SHARES] = spec[S.COUNTED] if backward else 0
    if spec[S.COUNTED] != 0 and spec[S.STATE2_BYTES] == 0 and plan[P.DIVISOR] == 0:
        plan[P.DIVISOR] = _same_divisor(plan)
    if plan[P.SHARES] != 0 and plan[P.DIVISOR] != 0 and spec[S.SOURCE_IS_STATE] != 0:
        plan[P.SHARES] = 2
        plan[P.PARAM] = S.float_bits(plan[P.DIVISOR])
    elif plan[P.SHARES] != 0:
        plan[P.PARAM] = S.float_bits(1)
    plan[P.SOURCE_END] = _source_end(spec, plan)
    plan[P.COUNTS] = 0 if backward else spec[S.COUNTED]
    plan[P.WINDOW] = 1 if spec[S.FORM_KERNEL] != 0 else 0
    plan[P.REPEATABLE] = spec[S.REPEATABLE]
    last = _last_axis(plan)
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
        block, blocks = _cut(plan[last + P.OUTPUT], block)
    else:
        # at least as many outputs as one window is long, so that no position is read much more than twice
        block = max(target - reach, reach)
        size = plan[last + P.OUTPUT]
        block = min(block, ceil_div(size, stride)) * stride if backward else block // stride
        block, blocks = _cut(size, max(1, block))
        positions = _span(plan, last, block, backward)
    plan[P.CHUNK] = chunk
    plan[P.BLOCK] = block
    plan[P.BLOCKS] = blocks
    pitch = positions * lanes
    if pitch > MOST_STATES:
        plan[P.TILES] = -TOO_LARGE
        return
    group = _group(spec, plan, target * lanes, pitch)
    row = round_up(group * pitch + 8, 16)
    rows = bit_length(_most_taps(plan, last, backward)) + 1
    stack = 2
    for a in range(lead):
        stack += bit_length(_most_taps(plan, P.HEADER + (outer + a) * P.AXIS, backward)) + 1
    plan[P.ROW] = row
    plan[P.LEVELS] = max(rows, stack)
    plan[P.STACK] = (plan[P.LEVELS] + 1) * row
    states = plan[P.STACK] + (bit_length(plan[last + P.KERNEL]) + 2) * lanes
    plan[P.COORDINATES] = round_up(8 * W.WORDS, 64)
    plan[P.STATE] = plan[P.COORDINATES] + round_up(8 * (outer + lead + 2 + 4 * lead + 1), 64)
    plan[P.STATE2] = round_up(plan[P.STATE] + states * spec[S.STATE_BYTES], 64)
    plan[P.PACK] = round_up(plan[P.STATE2] + states * spec[S.STATE2_BYTES], 64)
    pack = max(spec[S.SOURCE_BYTES], spec[S.STATE_BYTES])
    # a vector loop may not read beyond a row, but a whole cache line at the end costs nothing
    plan[P.WORK] = round_up(plan[P.PACK] + 3 * row * pack + state + 64, 64)
    plan[P.TILES] = _product(plan, 0, outer + lead, P.STEPS) * plan[P.BLOCKS] * plan[P.LANE_BLOCKS]


def _plan_scatter(spec: Block, plan: Block) -> None:
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    first = P.HEADER + outer * P.AXIS
    plan[P.LEAD] = 0
    rest = _product(plan, outer + 1, spatial - 1, P.OUTPUT)
    row_bytes = max(1, rest * plan[P.LANE_BLOCK]) * max(spec[S.STATE_BYTES], spec[S.OUTPUT_BYTES])
    size = plan[first + P.OUTPUT]
    reach = (plan[first + P.KERNEL] - 1) * plan[first + P.DILATION] + 1
    # a band not much shorter than a window would visit every window twice
    least = max(min(reach, size), 1)
    block, blocks = _cut(size, max(BAND_BYTES // row_bytes, least))
    tiles = _product(plan, 0, outer, P.OUTPUT) * plan[P.LANE_BLOCKS]
    if 0 < tiles < ENOUGH_TILES and plan[P.BYTES] >= PARALLEL_BYTES:
        block, blocks = _cut(size, max(min(block, ceil_div(size, ceil_div(ENOUGH_TILES, tiles))), least))
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
    plan[P.STATE] = round_up(8 * (outer + 2 + 2 * spatial + 2 * plan[P.TABLE] + 1), 64)
    band = block * rest * plan[P.LANE_BLOCK] * spec[S.STATE_BYTES]
    plan[P.WORK] = round_up(plan[P.STATE] + band + 64, 64)
    _single_steps(plan, outer)
    plan[P.TILES] = _product(plan, 0, outer, P.STEPS) * blocks * plan[P.LANE_BLOCKS]


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


def _plan_match(spec: Block, plan: Block) -> None:
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
    # halves are summed in float32, which is scratch
    together = plan[P.SOURCE_LANE] == 1 and plan[P.OUTPUT_LANE] == 1 and plan[P.AUX_LANE] == 1
    whole = together and plan[P.LANES] >= 8 and state_bytes == spec[S.OUTPUT_BYTES]
    # 64 lanes, 3x3 stride 2: 2.2 ms against 3.0; stride 1, where nine windows meet: 1.75 against 1.35
    plan[P.IN_PLACE] = 1 if whole and plan[P.TAPS] <= 3 * phases else 0
    states = (MATCH_BYTES if plan[P.LANE_BLOCK] <= 1 else MATCH_LANES_BYTES) // (4 + state_bytes * (1 + phases))
    # a tile not much longer than a window would visit every window twice
    block, blocks = _cut(size, max(states // row - reach, reach, 1) * stride)
    _single_steps(plan, outer)
    tiles = _product(plan, 0, outer, P.OUTPUT) * plan[P.LANE_BLOCKS]
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
            plan[P.GROUP], plan[at + P.STEPS] = _cut(plan[at + P.OUTPUT], many)
            plan[at + P.BY] = plan[P.GROUP]
    # whole vectors are read past the last state
    states = round_up(plan[P.GROUP] * plane + 64, 16)
    plan[P.BLOCK] = block
    plan[P.BLOCKS] = blocks
    plan[P.ROW] = states
    integers = outer + 2 + 5 * spatial + max(phases * (2 * plan[P.TAPS] + 1), 6 * plan[P.TAPS]) + 8
    plan[P.COORDINATES] = round_up(8 * W.WORDS, 64)
    plan[P.STATE] = plan[P.COORDINATES] + round_up(8 * integers, 64)
    plan[P.STATE2] = plan[P.STATE] + round_up(phases * states * state_bytes, 64)
    plan[P.PACK] = plan[P.STATE2] + round_up(states * state_bytes, 64)
    plan[P.WORK] = plan[P.PACK] + round_up(4 * states, 64)
    plan[P.TILES] = _product(plan, 0, outer, P.STEPS) * blocks * plan[P.LANE_BLOCKS]


def _plan_check(plan: Block) -> None:
    """Plans the check of indices: a tile is some rows of windows."""
    outer, lead = plan[P.OUTER], plan[P.SPATIAL] - 1
    last = _last_axis(plan)
    plan[P.LEAD] = lead
    plan[P.TABLE] = CHECK_TABLE
    _single_steps(plan, outer + lead)
    # what the tiles are cut from: the axis before the last one, or the last one
    others = _product(plan, 0, outer + max(lead - 1, 0), P.OUTPUT) * plan[P.LANE_BLOCKS]
    most = ceil_div(ENOUGH_TILES, max(others, 1))
    block, blocks = plan[last + P.OUTPUT], 1
    if lead > 0:
        at = last - P.AXIS
        plan[at + P.BY], plan[at + P.STEPS] = _cut(plan[at + P.OUTPUT], ceil_div(plan[at + P.OUTPUT], most))
    else:
        block, blocks = _cut(block, ceil_div(block, most))
    plan[P.BLOCK] = block
    plan[P.BLOCKS] = blocks
    plan[P.WORK] = round_up(8 * (outer + lead + 2 + 2 * lead + 2 * CHECK_TABLE), 64)
    plan[P.TILES] = _product(plan, 0, outer + lead, P.STEPS) * blocks * plan[P.LANE_BLOCKS]


def make_plan(spec: Block, plan: Block) -> None:
    """Fills the plan block of a spec. The block has room for one axis record more than the array has axes."""
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
    _cut_lanes(spec, plan)
    if spec[S.MATCH] != 0:
        _plan_match(spec, plan)
    elif spec[S.ROLE] == S.SCATTER:
        _plan_scatter(spec, plan)
    elif spec[S.ROLE] == S.CHECK:
        _plan_check(plan)
    else:
        _plan_sweep(spec, plan)


def refusal(spec: Block, plan: Block) -> int:
    """Why the form that the spec names does not take the planned task: a number of ``REASONS``."""
    if plan[P.TILES] < 0:
        return -plan[P.TILES]
    last = _last_axis(plan)
    source_unit = plan[last + P.SOURCE_STRIDE] == 1
    if spec[S.FORM_KERNEL] != 0:
        if (
            plan[last + P.KERNEL] != spec[S.FORM_KERNEL]
            or plan[last + P.WINDOW_STRIDE] != spec[S.FORM_STRIDE]
            or plan[last + P.DILATION] != 1
        ):
            return OTHER_WINDOW
        if spec[S.FAMILY] == 0:
            units = plan[last + P.OUTPUT_STRIDE] == 1 and plan[last + P.AUX_STRIDE] == 1
            if not units and plan[last + P.OUTPUT] > 1:
                return NOT_CONTIGUOUS
        elif plan[P.OUTPUT_LANE] != 1 or plan[P.AUX_LANE] != 1:
            return NOT_CONTIGUOUS
        if plan[P.FOLD] != 0:
            return FOLDS
    if spec[S.FORCED] != 0:
        return ACCEPTED
    # a scatter and this: planes of float32 1.9 and 2.7 ms, float16 20 and 4.7, uint8 3.4 and 1.7; rows alone 5.2 and 0.8
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
