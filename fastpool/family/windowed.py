"""What the family's operations over windows share: a call's windows as a Problem, and poolings run on whole arrays."""

from __future__ import annotations

import math

import numpy as np

from fastpool import dispatch
from fastpool.axes import channel_axis as named_channel
from fastpool.family import tasks
from fastpool.family.calls import Call
from fastpool.family.chaining import placed
from fastpool.family.framing import Frame, window_numbers
from fastpool.kernels.programs import Program
from fastpool.memory import Array, empty_in_order, memory_order
from fastpool.problem import Ints, Problem

VALUES = {"f16": np.float32, "bf16": np.float32, "f32": np.float32, "f64": np.float64}
"""What elements are computed as."""


def channel_axis(call: Call, layout: object, spatial: Ints, rank: int) -> int:
    """The axis of channels that a layout names, where those axes are the spatial ones; an error if there is none."""
    found = named_channel(str(layout), spatial, rank)
    if found < 0:
        raise call.value_error(f"layout={layout!r}", "there is no axis of channels", "add one with x[None]")
    return found


def like(problem: Problem, x: Array, shape: Ints = ()) -> Array:
    """A new array of the results' element type: of their shape or another, with its axes in memory as those of x."""
    return empty_in_order(shape or problem.out_shape, problem.out_dtype, memory_order(x))


def forward(problem: Problem, x: Array, y: Array, indices: Array | None = None) -> None:
    """Pool x by a forward problem, of which the strides are those of the arrays."""
    if y.size:
        dispatch.forward(placed(problem, x, y, indices), x, y, indices)


def backward(problem: Problem, dy: Array, dx: Array, x: Array | None = None, indices: Array | None = None) -> str:
    """The gradient of pooling by a forward problem; returns what is wrong with the indices, or ""."""
    if not dx.size:
        return ""
    kind = "plane" if indices is not None else ""
    back = problem._replace(direction="bwd", indices=kind)
    if not back.reads_x:
        x = None
    return dispatch.backward(placed(back, dx, dy, indices, x), dy, dx, x, indices)


def blend(role: str, dtype: str, arrays: tuple[Array, ...], axes: Ints) -> None:
    """Run a program of ``kernels.cpu.family.blend`` over arrays whose axes are those of a result."""
    frame = Frame(arrays, axes)
    first = arrays[0]
    rows = math.prod(first.shape[axis] for axis in axes[:-1])
    planes = role == "weigh"
    work = 8 * frame.lanes * first.shape[axes[-1]] if planes else 0
    tiles = frame.outer * (1 if planes else rows)
    tasks.run(Program("blend", (role, dtype)), frame.plan, arrays, tiles if first.size else 0, work)


def add_gradients(problem: Problem, parts: tuple[Array, Array], x: Array | None, dx: Array) -> None:
    """The gradient of x from that of the maximum and that of the mean, each rounded, then added."""
    most, mean = like(problem, dx, dx.shape), like(problem, dx, dx.shape)
    backward(problem._replace(op="max", include_pad=True), parts[0], most, x)
    backward(problem._replace(op="mean"), parts[1], mean)
    blend("add", problem.dtype, (most, mean, dx), problem.axes)


WORK_BYTES = 1 << 17
"""Workspace that a program over windows is given, unless a row of few lanes needs more: it stays in a cache."""


def run_windows(
    program: Program,
    problem: Problem,
    arrays: tuple[Array, ...],
    written: str,
    packed_rows: int = 1,
    window_rows: int = 1,
    extra: tuple[int, ...] = (),
    more: int = 0,
) -> None:
    """Run a program over windows: see ``kernels/windows.py``.

    Parameters
    ----------
    program, problem
    arrays : tuple of array
        On the side of x the first, on that of the windows the last.
    written : str
        Whose rows the tiles are: ``"windows"``, ``"x"``, or ``"planes"`` for one tile a plane.
    packed_rows, window_rows : int
        Rows of either kind that the program's workspace has, of values.
    extra : tuple of int
        The role's own numbers.
    more : int
        Further bytes of workspace.
    """
    axes, x, y = problem.axes, arrays[0], arrays[-1]
    frame = Frame(arrays, axes)
    kernel, outputs = problem.kernel[-1], problem.outputs[-1]
    stride = 1 if outputs == 1 else problem.stride[-1]
    strides = (*problem.stride[:-1], stride)
    reach = (outputs - 1) * stride + (kernel - 1) * problem.dilation[-1] + 1
    pitch = max(-(-reach // stride), -(-(x.shape[axes[-1]] + problem.pad_begin[-1]) // stride))
    width = np.dtype(VALUES[problem.dtype]).itemsize
    per_lane = packed_rows * stride * pitch + window_rows * outputs
    lanes = max(1, min(frame.lanes, max(16, WORK_BYTES // (width * per_lane) // 16 * 16)))
    packed, row = (-(-n * lanes // 16) * 16 for n in (stride * pitch, outputs))
    own = window_numbers(problem.kernel, strides, problem.dilation, problem.pad_begin)
    own += [lanes, pitch, packed, row, *extra]
    tiles = frame.outer
    if written != "planes":
        for axis in axes[:-1]:
            tiles *= (y if written == "windows" else x).shape[axis]
    work = (packed_rows * packed + window_rows * row) * width + more
    tasks.run(program, [*frame.plan, *own], arrays, tiles if x.size and y.size else 0, work)
