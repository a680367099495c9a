"""Statistics of windows on a GPU: their kernels' plans, and how they are queued on the caller's stream."""

from __future__ import annotations

import functools
import struct
from typing import Any, NamedTuple

import numpy as np

from fastpool.cuda import memory, running
from fastpool.cuda.place import Place
from fastpool.family import tasks
from fastpool.family.framing import Frame, window_numbers
from fastpool.kernels import frame as F
from fastpool.kernels.statistic_plan import FEW
from fastpool.memory import Array
from fastpool.problem import Ints, Problem

BLOCK = 128
"""Threads of a block."""

NARROW = 1 << 30
"""Places below are computed in 32 bits: twice as much still fits."""


class Asked(NamedTuple):
    """What is pooled by: the statistic, its parameters, the windows, and how many numbers a window keeps."""

    statistic: str
    parameters: tuple[float, float]
    problem: Problem
    kept: int = 0

    @property
    def skip(self) -> bool:
        """Whether NaN taps do not count."""
        return self.problem.nan == "ignore" and self.statistic not in ("any", "all", "count")


class Step:
    """A kernel with its plan and numbers, as ``running`` takes it."""

    p = 0.0

    def __init__(self, kernel: Any, threads: int, numbers: Ints, plan: Ints) -> None:
        self.kernel = kernel
        self.grid = -(-threads // BLOCK)
        self.block = (BLOCK, 1)
        self.numbers = numbers
        self.plan = np.array(plan, np.int64)


@functools.lru_cache(maxsize=4096)
def _step(words: tuple[Any, ...], threads: int, numbers: Ints, plan: Ints) -> Step:
    from fastpool.kernels.cuda import statistics

    return Step(statistics.kernel(*words), threads, numbers, plan)


def _bits(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def _reach(array: Array) -> int:
    """Elements of memory from one end of an array to the other."""
    steps = [(size - 1) * abs(step) for size, step in zip(array.shape, array.strides, strict=True)]
    return sum(steps) // array.itemsize + 1 if array.size else 0


def _made(asked: Asked, role: str, arrays: list[Array], windows: int) -> Step:
    """A kernel over the elements of the second array."""
    problem = asked.problem
    found = Frame(arrays, problem.axes)
    own = window_numbers(problem.kernel, problem.stride, problem.dilation, problem.pad_begin)
    if role == "push":
        own += [1] * (F.SPATIAL - len(problem.axes)) + list(problem.outputs)
    most = max(
        *map(_reach, arrays),
        windows * (asked.kept + 1),
        *[w.kernel * w.dilation + w.output * w.stride + w.pad_begin + w.size for w in problem.windows],
    )
    few = role == "push" or problem.kernel[-1] <= FEW
    words = (asked.statistic, problem.dtype, asked.skip, role, most >= NARROW, few)
    threads = arrays[1].size
    numbers = (threads, *map(_bits, asked.parameters), windows)
    return _step(words, threads, numbers, (*found.plan, *own))


def _told(step: Step, place: Place) -> bool:
    """Whether the kernel is only to be told."""
    return tasks.tell(f"{step.kernel.name} (cuda:{place.device}), {step.grid} blocks of {BLOCK} threads")


def reduce(asked: Asked, x: Array, y: Array, place: Place) -> None:
    """Queue what reduces windows to y."""
    step = _made(asked, "windows", [x, y], y.size)
    if _told(step, place):
        return
    with memory.joined(place.device, place.stream, (x,), (y,)):
        running.run(step, x, y, None, place)


def differentiate(asked: Asked, x: Array, g: Array, dx: Array, real: type, place: Place, learn: bool) -> Array | None:
    """Queue what sends the gradients of windows to x. What they keep for it is in memory of the caller's library.

    With ``learn`` the result is what each window adds to the gradient of the first parameter, in ordinary memory: an
    array (x's other axes..., outputs...). It is waited for.
    """
    windows, count = g.size, asked.kept + learn
    keep = _made(asked, "learn" if learn else "keep", [x, g], windows)
    push = _made(asked, "push", [x, dx], windows)
    if _told(keep, place) | _told(push, place):
        return None
    kept = place.empty((max(windows, 1) * count,), np.dtype(real).name)
    with memory.joined(place.device, place.stream, (x, g), (dx,)):
        running.run(keep, x, kept, g, place)
        running.run(push, kept, dx, x, place)
    if not learn or windows == 0:
        return None
    changes: Array = np.empty(windows, real)
    address = int(kept.__array_interface__["data"][0]) + windows * asked.kept * changes.itemsize
    memory.download(address, changes, place.device, place.stream)
    return _in_axes(changes, Frame([x, g], asked.problem.axes), asked.problem)


def _in_axes(numbers: Array, found: Frame, asked: Problem) -> Array:
    """A number for each window, in the order of threads, as an array (x's other axes..., outputs...)."""
    others = [axis for axis in range(len(asked.shape)) if axis not in asked.axes]
    outer = [asked.shape[axis] for axis in others if axis != found.lane]
    if found.lane < 0:
        return numbers.reshape(*outer, *asked.outputs)
    return np.moveaxis(numbers.reshape(*outer, *asked.outputs, found.lanes), -1, others.index(found.lane))
