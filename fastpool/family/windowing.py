"""Windows of one size, as the caller asks for them, brought to a Problem; and how statistics of them are laid out."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastpool.arguments import Options
from fastpool.family import tasks
from fastpool.family.calls import Call
from fastpool.family.framing import Frame, window_numbers
from fastpool.kernels import frame as F
from fastpool.kernels.programs import Program
from fastpool.kernels.statistic_plan import ALONE, APART, DOUBLED, FEW, MANY
from fastpool.memory import Array
from fastpool.problem import Ints, Problem

ROOM = 2048
"""States of a row in the workspace that are aimed at: they stay in the nearest caches."""
LEAST = 16
"""Lanes of a block at least, so that every vector is full."""
NEWTON = "weibull"
"""The statistic that is found step by step, over all taps of a window."""
MOST_TAPS = 1 << 20
"""Taps of a window up to which several outputs are found at a time."""


def problem(call: Call, spatial: int | str, asked: Options, dtype: str, shape: Ints) -> Problem:
    """The windows that a call asks for; ``spatial`` is the number of axes, or ``"global"``."""
    found = call.windows(dtype, shape, asked, spatial)
    if len(found.axes) > F.SPATIAL:
        rule = f"at most {F.SPATIAL} axes are pooled"
        raise call.value_error(f"x with {len(found.axes)} spatial axes", rule, "reshape x so that axes are joined")
    return found


def _bits(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def _lane_axis(x: Array, asked: Problem, newton: bool) -> int | None:
    """The axis that lanes run along: None leaves it to the frame.

    Rows that are shorter than a vector are taken together with those of other planes, each a lane.
    """
    others = [axis for axis in range(x.ndim) if axis not in asked.axes]
    last = asked.axes[-1]
    short = x.shape[last] < 64 if asked.outputs[-1] == 1 and not newton else asked.outputs[-1] < 32
    if not others or not short or (asked.windows[-1].kernel > MANY and not newton):
        return None
    best = max(others, key=lambda axis: (min(x.shape[axis], LEAST), axis))
    return best if x.shape[best] >= 4 else None


def frame(arrays: list[Array], asked: Problem, newton: bool = False) -> Frame:
    """The frame of a call: dense lanes where there are such, else planes as lanes where rows are short."""
    found = Frame(arrays, asked.axes)
    if found.lanes > 1:
        return found
    lane = _lane_axis(arrays[0], asked, newton)
    return found if lane is None else Frame(arrays, asked.axes, lane=lane)


class Rows(NamedTuple):
    """How rows of a program stand in the workspace, see ``kernels/cpu/family/windowed.py``."""

    width: int
    lane_blocks: int
    columns: int
    blocks: int
    form: int
    phases: int
    phase: int

    @property
    def pitch(self) -> int:
        """Numbers of one array of the workspace."""
        return -(-max(self.phases * self.phase, self.columns) * self.width // 16) * 16


def _width(lanes: int, places: int) -> tuple[int, int]:
    """Lanes of a block, and how many blocks."""
    if lanes <= LEAST:
        return lanes, 1
    most = max(LEAST, ROOM // places // LEAST * LEAST)
    if lanes <= most:
        return lanes, 1
    blocks = -(-lanes // most)
    each = (lanes + blocks - 1) // blocks
    width = (each + LEAST - 1) // LEAST * LEAST
    return width, -(-lanes // width)


@functools.lru_cache(maxsize=1024)
def forward_rows(asked: Problem, lanes: int) -> Rows:
    """How the rows of windows stand."""
    window, outputs = asked.windows[-1], asked.outputs[-1]
    k, s, d = window.kernel, window.stride, window.dilation
    span = (k - 1) * d + 1
    # windows far apart: nothing between them is to be lifted
    if outputs == 1 or k > MANY or (k > FEW and s > 2 * span):
        kept = min(k, MANY)
        width, lane_blocks = _width(lanes, kept)
        return Rows(width, lane_blocks, 1, outputs, ALONE, 1, kept)
    if k <= FEW:
        phases = min(s, span)
        width, lane_blocks = _width(lanes, outputs * phases)
        columns = min(outputs, max(8, ROOM // (phases * width)))
        return Rows(width, lane_blocks, columns, -(-outputs // columns), APART, phases, columns + (span - 1) // s)
    width, lane_blocks = _width(lanes, outputs * s + span)
    columns = min(outputs, max(8, ROOM // (s * width), 2 * span // s))
    return Rows(width, lane_blocks, columns, -(-outputs // columns), DOUBLED, 1, (columns - 1) * s + span)


@functools.lru_cache(maxsize=1024)
def newton_rows(asked: Problem, lanes: int) -> Rows:
    """How the outputs stand of which all taps are kept."""
    taps, outputs = math.prod(asked.kernel), asked.outputs[-1]
    width = min(lanes, LEAST) if taps <= MOST_TAPS else 1
    columns = min(outputs, max(1, 4 * ROOM // (taps * width), LEAST // width if taps <= MOST_TAPS else 1))
    return Rows(width, -(-lanes // width), columns, -(-outputs // columns), ALONE, 1, columns)


def _work(statistic: str, size: int, asked: Problem, rows: Rows) -> int:
    """Bytes of workspace for rows of windows."""
    arrays = 8 + math.prod(asked.kernel) if statistic == NEWTON else 3 * (size + 1) + 4
    return 8 * rows.pitch * arrays


@functools.lru_cache(maxsize=1024)
def gradient_rows(asked: Problem, width: int, lane_blocks: int) -> Rows:
    """How the rows of x's gradient stand; blocks of lanes are those of the windows."""
    window, outputs, wide = asked.windows[-1], asked.outputs[-1], asked.windows[-1].size
    columns = min(wide, max(64, 2 * ROOM // width))
    blocks = -(-wide // columns)
    if width == 1 and window.dilation == 1 and outputs < window.kernel:
        return Rows(width, lane_blocks, columns, blocks, ALONE, 1, columns)
    phases = window.stride if outputs > 1 else 1
    return Rows(width, lane_blocks, columns, blocks, APART, phases, -(-columns // phases) + 1)


def _own(asked: Problem, parameters: tuple[float, float], rows: Rows, emit: int, outputs: Ints) -> list[int]:
    return [
        *window_numbers(asked.kernel, asked.stride, asked.dilation, asked.pad_begin),
        *map(_bits, parameters),
        rows.width,
        rows.lane_blocks,
        rows.columns,
        rows.blocks,
        rows.form,
        rows.phases,
        rows.phase,
        emit,
        *outputs,
        rows.pitch,
    ]


def _name(statistic: str, role: str, asked: Problem, dtype: str) -> Program:
    skip = asked.nan == "ignore" and statistic not in ("any", "all", "count")
    return Program("statistics", (statistic, role, dtype, *(["skipna"] if skip else [])))


def reduce(
    statistic: str,
    size: int,
    asked: Problem,
    x: Array,
    y: Array,
    parameters: tuple[float, float],
    p: Array | None,
    oracle: Callable[[], None] | None,
) -> None:
    """Run the program that reduces windows to y. ``size`` is that of a state, ``p`` the parameter by channel."""
    arrays = [x, y, *([] if p is None else [p])]
    newton = statistic == NEWTON
    found = frame(arrays, asked, newton)
    rows = (newton_rows if newton else forward_rows)(asked, found.lanes)
    tiles = 0 if y.size == 0 else found.outer * rows.lane_blocks * math.prod(asked.outputs[:-1]) * rows.blocks
    own = _own(asked, parameters, rows, 0, (0, 0, 0))
    work = _work(statistic, size, asked, rows)
    program = _name(statistic, "windows", asked, asked.dtype)
    tasks.run(program, [*found.plan, *own], (x, y, p, None), tiles, work, x.nbytes + y.nbytes, oracle)


def differentiate(
    statistic: str,
    size: int,
    kept: int,
    asked: Problem,
    x: Array,
    g: Array,
    dx: Array,
    parameters: tuple[float, float],
    p: Array | None,
    real: type,
) -> Array | None:
    """Run the programs that send the gradients of windows to x.

    The result is what each window adds to the gradient of the parameter, where this is by channel: an array of states'
    type, x's other axes before the spatial ones.
    """
    arrays = [x, g, *([] if p is None else [p])]
    newton = statistic == NEWTON
    found = frame(arrays, asked, newton)
    rows = (newton_rows if newton else forward_rows)(asked, found.lanes)
    outputs = (1,) * (F.SPATIAL - len(asked.axes)) + asked.outputs
    windows = found.outer * rows.lane_blocks * math.prod(outputs) * rows.width
    numbers: Array = np.empty((kept + (p is not None), max(windows, 1)), real)
    tiles = 0 if g.size == 0 else found.outer * rows.lane_blocks * math.prod(asked.outputs[:-1]) * rows.blocks
    own = _own(asked, parameters, rows, 1, (windows, 0, 0))
    work = _work(statistic, size, asked, rows)
    moved = x.nbytes + dx.nbytes
    program = _name(statistic, "windows", asked, asked.dtype)
    tasks.run(program, [*found.plan, *own], (x, g, p, numbers), tiles, work, size=moved)
    arrays[1] = dx
    placed = frame(arrays, asked, newton)
    rows = gradient_rows(asked, rows.width, rows.lane_blocks)
    tiles = 0 if x.size == 0 else found.outer * rows.lane_blocks * math.prod(_sizes(asked)[:-1]) * rows.blocks
    own = _own(asked, parameters, rows, 0, outputs)
    work = 8 * rows.pitch * 3
    program = _name(statistic, "push", asked, asked.dtype)
    tasks.run(program, [*placed.plan, *own], (x, dx, p, numbers), tiles, work, size=moved)
    if p is None or g.size == 0:
        return None
    return _in_axes(numbers[kept], found, rows, asked)


def _sizes(asked: Problem) -> Ints:
    return tuple(window.size for window in asked.windows)


def _in_axes(numbers: Array, found: Frame, rows: Rows, asked: Problem) -> Array:
    """What windows kept, as an array (x's other axes..., outputs...)."""
    others = [axis for axis in range(len(asked.shape)) if axis not in asked.axes]
    outer = [asked.shape[axis] for axis in others if axis != found.lane]
    at = len(outer)
    blocks = numbers.reshape(*outer, rows.lane_blocks, *asked.outputs, rows.width)
    lanes = np.moveaxis(blocks, -1, at + 1).reshape(*outer, rows.lane_blocks * rows.width, *asked.outputs)
    if found.lane < 0:
        return lanes.reshape(*outer, *asked.outputs)
    used = lanes[(slice(None),) * at + (slice(0, found.lanes),)]
    return np.moveaxis(used, at, others.index(found.lane))
