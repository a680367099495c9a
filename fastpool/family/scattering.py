"""How max unpooling is planned: where elements go, in which tiles, and by which kernel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable
from typing import NamedTuple, cast

import numpy as np

from fastpool.family import tasks
from fastpool.family.calls import Call
from fastpool.family.framing import Frame
from fastpool.family.inverse import Windows
from fastpool.family.known_tasks import FLAG, RESULT, Stage
from fastpool.family.tasks import Task
from fastpool.kernels import frame as F
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints
from fastpool.reference.family import unpooling as oracle
from fastpool.tiling import ENOUGH_TILES

BAND = 512 * 1024
"""Bytes of the larger array that a tile should have: zeros are written over in the cache they were written to, and
few windows reach into two bands."""
SHORT, SHORT_OF_TAPS = 20, 16
"""Windows in a row from which on comparing in vectors is faster than going where the indices say. With indices of 64
bits, 16, 18, 20, 24 and 31 in a row take 1.1, 1.1, 1.0, 0.9 and 0.8 of the time; with those of taps, which take less to
compare and more to follow, 16 in a row take 0.8."""
ROWS = 64 * 1024
"""As that, where every element is written once."""
CHECKED = 16 * 1024
"""Indices that are checked in a tile."""
GATHERED = 512
"""Windows that are gathered for in a tile, where they can be chosen: what is known of each stays in the first cache."""
MOST_BEHIND = 24
"""Windows behind each that an index is compared with; where there are more, marking what was taken is faster."""
STEPS_KEPT, MOST_KEPT = 256, 20_000
"""Plans that are kept, and the numbers of the longest one."""
TABLE = 8 * 256
"""Bytes of workspace that every kernel needs."""


class Strides(NamedTuple):
    """What a frame asks of an array: one that takes part in it without elements."""

    shape: Ints
    strides: Ints
    itemsize: int
    ndim: int


class Scatter(NamedTuple):
    """Elements and where they go: the arrays of a call, in storage form, and what the indices mean."""

    large: Array
    small: Array
    indices: Array
    axes: Ints
    kind: str
    window: Windows

    def bands(self, lanes: int) -> tuple[int, int, int]:
        """Positions along the first spatial axis in a band, bands, and where the first one would begin."""
        sizes = [self.large.shape[axis] for axis in self.axes]
        line = self.large.itemsize * lanes * math.prod(sizes[1:])
        if line * sizes[0] <= 2 * BAND:
            return sizes[0], 1, 0
        # bands begin where windows do, so that windows which share no element are in one band each
        step = self.window.stride[0]
        first = -(self.window.begin[0] % step)
        band = max(BAND // line // step, 1) * step
        return band, -(-(sizes[0] - first) // band), first

    def rows(self) -> tuple[int, int, int]:
        """As ``bands``, for windows that lie apart: rows of windows in a band."""
        sizes = [self.small.shape[axis] for axis in self.axes]
        many = math.prod(sizes[:-1])
        planes = self.small.size // math.prod(sizes)
        line = self.large.itemsize * math.prod(self.large.shape[axis] for axis in self.axes) * planes // many
        band = max(1, ROWS // max(1, line // planes)) if planes else 1
        return min(band, many), -(-many // band), 0

    def apart(self, lanes: int) -> bool:
        """Whether no two windows share an element, all of them lie in the plane, and rows of them are long."""
        window = self.window
        short = SHORT_OF_TAPS if self.kind == "tap" else SHORT
        if lanes == 1 and self.small.shape[self.axes[-1]] < short:
            return False
        return all(
            begin == 0 and kernel <= step and (self.small.shape[axis] - 1) * step + kernel <= self.large.shape[axis]
            for axis, begin, kernel, step in zip(self.axes, window.begin, window.kernel, window.stride, strict=True)
        )

    def numbers(self) -> Array:
        """An array of which strides count, but no element: its strides are the units of the indices."""
        shape, axes = self.small.shape, self.axes
        units = [0] * len(shape)
        if self.kind == "tensor":
            unit = 8
            for axis in reversed(range(len(shape))):
                units[axis] = 0 if axis in axes else unit
                unit *= self.large.shape[axis]
        return cast(Array, Strides(shape, tuple(units), 8, len(shape)))

    def positions(self) -> Array:
        """Where each index points, by the oracle."""
        window, shape = self.window, self.large.shape
        return oracle.positions(self.indices, self.kind, shape, self.axes, window.kernel, window.stride, window.begin)

    def wrong(self, call: Call) -> ValueError:
        """The error that names the first index that is not allowed."""
        place = tuple(int(i) for i in np.argwhere(self.positions() == oracle.WRONG)[0])
        index = int(self.indices[place])
        plane = math.prod(self.large.shape[axis] for axis in self.axes)
        taps = math.prod(self.window.kernel)
        rule = {
            "plane": f"must be -1 or below {plane}, the elements of a plane of the result",
            "tensor": f"must be -1 or below {self.large.size}, and name an element of its own plane",
            "tap": f"must be below {taps}, the taps of a window, and name one that is not in the padding",
        }[self.kind]
        way_out = f"give those that max pooling returned with return_indices={self.kind!r}"
        return call.value_error(f"indices[{', '.join(map(str, place))}]={index}", rule, way_out)


def is_dense(array: Array) -> bool:
    """Whether an array's elements are one run of memory, its axes in whatever order."""
    expected = array.itemsize
    for step, size in sorted(zip(array.strides, array.shape, strict=True)):
        if size != 1:
            if step != expected:
                return False
            expected *= size
    return True


def in_fours(numbers: Iterable[int]) -> list[int]:
    """How many there are, and the numbers in rising order; the last one again until they are a multiple of 4."""
    found = sorted(set(numbers))
    found += found[-1:] * (-len(found) % 4)
    return [len(found), *found]


def gather(scatter: Scatter, frame: Frame, simple: bool) -> tuple[int, list[int]] | None:
    """Tiles and further numbers of ``unpool_gather``, or None where that is not for such arrays."""
    if not simple or scatter.kind == "tap" or scatter.small.size == 0 or scatter.large.size == 0:
        return None
    missing = F.SPATIAL - len(scatter.axes)
    window = scatter.window
    kernel, step = (1,) * missing + window.kernel, (1,) * missing + window.stride
    depth, rows, columns = (1,) * missing + tuple(scatter.large.shape[axis] for axis in scatter.axes)
    deep, high, wide = counts = (1,) * missing + tuple(scatter.small.shape[axis] for axis in scatter.axes)
    if any((n - 1) * s + k > size for n, s, k, size in zip(counts, step, kernel, (depth, rows, columns), strict=True)):
        return None
    lanes = frame.lanes
    for array in (1, 2):
        for axis in range(missing, F.SPATIAL):
            apart = lanes * math.prod(counts[axis + 1 :])
            if counts[axis] != 1 and frame.steps[array][axis] != apart:
                return None
    if any(window.begin) or (lanes > 1 and frame.lane_steps != [1, 1, 1, 0]):
        return None
    reach = [min((k - 1) // s, n - 1) for k, s, n in zip(kernel, step, counts, strict=True)]
    around = itertools.product(*(range(-r, r + 1) for r in reach))
    behind = in_fours((z * high + u) * wide + v for z, u, v in around if (z, u, v) > (0, 0, 0))
    if behind[0] > MOST_BEHIND:
        return None
    taps = in_fours((z * rows + u) * columns for z, u in itertools.product(range(kernel[0]), range(kernel[1])))
    windows = deep * high * wide
    planes = 1
    if lanes == 1 and len(frame.outer_steps[0]) == 1 and windows < GATHERED:
        to_next = [steps[0] for steps in frame.outer_steps]
        if to_next[1:] == [windows, windows, 0]:
            planes = max(1, min(frame.outer, GATHERED // windows, frame.outer // ENOUGH_TILES))
    if planes > 1:
        most, tiles, count = planes * windows, 1, -(-frame.outer // planes)
        numbers = np.arange(most)
        d, h, w = numbers % windows // (high * wide), numbers % (high * wide) // wide, numbers % wide
        starts = numbers // windows * to_next[0]
    else:
        lines = min(high, max(1, GATHERED // wide))
        most, tiles = lines * wide, -(-high // lines)
        count = frame.outer * deep * tiles
        numbers = np.arange(most)
        d, h, w = numbers * 0, numbers // wide, numbers % wide
        starts = numbers * 0
    origins = (d * step[0] * rows + h * step[1]) * columns + w * step[2]
    return count, [most, tiles, planes, *taps, *behind, *origins.tolist(), *starts.tolist()]


class Steps(NamedTuple):
    """The tasks of a call: ``check`` looks at the indices alone; those of ``move`` move the elements, or report an
    index, and then the next one does it.
    """

    check: Task
    move: tuple[Task, ...]


_steps: dict[Hashable, Steps] = {}


def steps_of(role: str, scatter: Scatter) -> Steps:
    """The programs for arrays that lie like that, planned when they first do."""
    large, small, indices = scatter.large, scatter.small, scatter.indices
    lie = (large.shape, large.strides, large.itemsize, small.shape, small.strides, indices.strides, indices.itemsize)
    key = (role, scatter[3:], lie, BAND, ROWS, SHORT, SHORT_OF_TAPS, GATHERED)
    found = _steps.get(key)
    if found is None:
        found = _planned(role, scatter)
        if sum(task.block.size for task in found.move) > MOST_KEPT:
            return found
        if len(_steps) >= STEPS_KEPT:
            _steps.clear()
        _steps[key] = found
    return found


def _planned(role: str, scatter: Scatter) -> Steps:
    frame = Frame((scatter.large, scatter.small, scatter.indices, scatter.numbers()), scatter.axes)
    axes, window = scatter.axes, scatter.window
    missing = F.SPATIAL - len(axes)
    steps = [scatter.large.strides[axis] for axis in axes]
    sizes = [scatter.large.shape[axis] for axis in axes]
    dense = all(steps[i] == steps[i + 1] * sizes[i + 1] for i in range(len(axes) - 1))
    unit = math.prod(scatter.large.shape[axes[-1] + 1 :]) if scatter.kind == "tensor" else 1
    apart = scatter.kind == "tap" and all(s >= k for s, k in zip(window.stride, window.kernel, strict=True))
    shaped = [1, 1, 0] * missing
    for shape in zip(window.kernel, window.stride, window.begin, strict=True):
        shaped += shape
    word = f"u{8 * scatter.indices.itemsize}" if scatter.kind == "tap" else "flat"
    empty = 0 in scatter.small.shape
    index_bytes = scatter.indices.nbytes
    moved = scatter.large.nbytes + scatter.small.nbytes + index_bytes

    def step(module: str, role: str, band: int, bands: int, first: int) -> Task:
        own = [missing, band, bands, first, unit, int(dense), int(not apart), *shaped]
        bits = "8" if role == "check" else str(8 * scatter.large.itemsize)
        marks = band * frame.lanes * math.prod(sizes[1:]) if role == "take" and not apart else 0
        tiles = 0 if empty else frame.outer * bands
        program, bytes_moved = Program(module, (role, word, bits)), index_bytes if role == "check" else moved
        return tasks.task(program, [*frame.plan, *own], (), tiles, TABLE + marks, bytes_moved)

    whole = (sizes[0], 1, 0)
    cut = scatter.bands(frame.lanes)
    if scatter.kind == "plane" and is_dense(scatter.indices):
        count, most = scatter.indices.size, math.prod(sizes)
        program = Program("unpool_check", ("flat",))
        check = tasks.task(program, [count, CHECKED, most], (), -(-count // CHECKED), 0, index_bytes)
    else:
        check = step("unpool", "check", *whole)
    move = [step("unpool", role, *cut)]
    if cut[1] > 1:
        move.append(step("unpool", role, *whole))
    gathered = gather(scatter, frame, dense and unit == 1) if role == "take" else None
    if gathered is not None:
        tiles, more = gathered
        own = [missing, *whole, unit, int(dense), 1, *shaped, *more]
        program = Program("unpool_gather", (str(8 * scatter.large.itemsize),))
        move.insert(0, tasks.task(program, [*frame.plan, *own], (), tiles, 0, moved))
    elif scatter.apart(frame.lanes):
        move.insert(0, step("unpool_apart", role, *scatter.rows()))
    return Steps(check, tuple(move))


def stages(role: str, steps: Steps, given: bool) -> tuple[Stage, ...]:
    """The same work for arrays that lie in memory alike: what is read, then the indices, and what is written."""
    large, small = (RESULT, 0) if role == "place" else (0, RESULT)
    move = Stage(steps.move[0], (large, small, 1, FLAG))
    if not given:
        return (move,)
    alone = steps.check.program.module == "unpool_check"
    return Stage(steps.check, (1, FLAG) if alone else (large, small, 1, FLAG)), move


def run(call: Call, role: str, scatter: Scatter, given: bool) -> tuple[Stage, ...]:
    """Move the elements: "place" writes the larger array, "take" the smaller. Gives the stages of calls like this one,
    or () where its first step left the work to the next.

    Indices are checked on the way, or before where the written array is the caller's own.
    """
    flag = np.zeros(1, np.uint8)
    steps = steps_of(role, scatter)

    def find() -> None:
        flag[0] = bool((scatter.positions() == oracle.WRONG).any())

    def move() -> None:
        put = oracle.unpool if role == "place" else oracle.unpool_backward
        read, written = (scatter.small, scatter.large) if role == "place" else (scatter.large, scatter.small)
        put(read, scatter.positions(), written, scatter.axes)
        find()

    arrays = scatter.large, scatter.small, scatter.indices, flag
    if given:
        alone = steps.check.program.module == "unpool_check"
        steps.check.run(*(arrays[2:] if alone else arrays), oracle=find)
        if flag[0]:
            raise scatter.wrong(call)
    for number, task in enumerate(steps.move):
        flag[0] = 0
        task.run(*arrays, oracle=move)
        if not flag[0]:
            return () if number else stages(role, steps, given)
    raise scatter.wrong(call)
