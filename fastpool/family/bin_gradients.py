"""The gradient of the largest of each box of bins from indices: the tasks that check these, and that write it."""

from __future__ import annotations

import functools
import math

import numpy as np

from fastpool.family import tasks
from fastpool.family.binning import (
    WOVEN_LANES,
    Bins,
    lay_out,
    runs_and_holders,
    spatial_sizes,
    tap_type,
    virtual,
)
from fastpool.family.framing import Frame, lane_axis
from fastpool.family.tasks import Task
from fastpool.kernels import frame as F
from fastpool.kernels.programs import AHEAD, Program
from fastpool.memory import Array
from fastpool.problem import Ints
from fastpool.tiling import PARALLEL_BYTES

FEW = 2
"""So many elements of x for each of the result, and gradients are put where they belong one by one: with 64 lanes it
took 0.88 of the time of asking all elements at 2, 0.5 at 10, 0.28 at 26."""
PLANE_BYTES = 1 << 18
"""Bytes that are cleared at once before gradients are added to them, about: they stay in L2."""
LANE_BYTES = 1 << 20
"""The same where an element has many lanes: a box lies in few of them, and is visited again for each part that it
reaches into. 28 x 28 elements of 512 lanes took half of the time that they took in parts of ``PLANE_BYTES``."""
THREADS = 4
"""Parts of a single plane that threads are to share, at least."""
TOGETHER = 256
"""Indices of small planes that are checked at once, about: their table has as many columns, and stays in L1."""


def _in_order(array: Array, axes: Ints) -> bool:
    """Whether the planes of an array are one run of memory, one after the other, each row by row."""
    return bool(array.flags.c_contiguous) and axes == tuple(range(array.ndim - len(axes), array.ndim))


def in_runs(dtype: str, arrays: tuple[Array, ...], axes: Ints, bins: Bins, kind: str) -> bool:
    """Whether planes of a gradient, of that of the result and of indices follow one another in memory, and elements are
    where their indices say; and the library has the kernel for that.
    """
    small = arrays[0][(0,) * (arrays[0].ndim - len(axes))].nbytes <= PLANE_BYTES if arrays[0].size else False
    ready = (dtype, "i64") in AHEAD["bin_scatter"]
    return small and ready and kind == "plane" and bins.shared and all(_in_order(array, axes) for array in arrays)


def writing(dtype: str, dx: Array, dy: Array, indices: Array, axes: Ints, bins: Bins, kind: str) -> Task:
    """The task that writes the gradient of the largest of every box of bins, from its index.

    It is run with ``dx``, ``dy`` and ``indices``, or with others that lie in memory as these do.
    """
    ghost = virtual(dx.shape, axes, kind)
    index = "i64" if kind != "tap" else tap_type(bins)
    spatial = spatial_sizes(dx, axes)
    rows = spatial[0] * spatial[1]
    arrays = dx, dy, indices, ghost
    frame = Frame(arrays, axes, bins.shared)
    lanes = frame.lanes
    # what is cleared and added to at once: rows with all their lanes, or some rows of a plane
    row_bytes = spatial[2] * lanes * dx.itemsize
    direct = dtype not in ("f16", "bf16") and _dense(dx, axes, lanes)
    most = PLANE_BYTES if lanes < WOVEN_LANES else LANE_BYTES
    woven = lanes < WOVEN_LANES or (direct and dx.size >= FEW * dy.size and 4 * row_bytes <= most)
    moved = dx.nbytes + dy.nbytes + indices.nbytes
    if woven or not bins.shared:
        parts = THREADS if frame.outer == 1 and dx.nbytes >= PARALLEL_BYTES else 1
        each = max(1, min(-(-rows // parts), most // row_bytes)) if direct else 0
        run = lanes == 1 and in_runs(dtype, arrays[:3], axes, bins, kind)
        layout = lay_out(
            arrays, axes, bins, rows, spatial[2], flat=kind != "tap", woven=woven, line=int(direct), each=each,
            whole=int(run),
        )  # fmt: skip
        work = 0 if direct else layout.rows * spatial[2] * layout.lanes * max(4, dx.itemsize)
        return tasks.task(Program("bin_scatter", (dtype, index)), layout.plan, (bins.table,), layout.tiles, work, moved)
    runs, held, marks = runs_and_holders(dx, axes, bins)
    each = runs.longest[0] * runs.longest[1] * spatial[2]
    layout = lay_out((*arrays, marks), axes, bins, runs.counts[0] * runs.counts[1], each, flat=kind != "tap")
    work = layout.slot * max(4, dx.itemsize)
    tables = runs.table, held.table, bins.table
    return tasks.task(Program("bin_match", (dtype, index)), layout.plan, tables, layout.tiles, work, moved)


@functools.lru_cache(maxsize=256)
def _places(table: bytes, counts: Ints, sizes: Ints, index: str) -> Array:
    """For each box: what its first element counts, the elements of a row, how far it reaches, and its rows; see
    ``bin_check``.
    """
    bins = Bins(np.frombuffer(table, np.int64).reshape(1, -1), counts, ())
    (d, d_end), (h, h_end), (w, w_end) = ((begins[0], ends[0]) for begins, ends in bins.ranges())
    shape = (len(d), len(h), len(w))
    layers, high, wide = (np.maximum(ends - begins, 0) for begins, ends in ((d, d_end), (h, h_end), (w, w_end)))
    layers, high = layers[:, None, None], high[:, None]
    all_of = layers * high * wide
    found = np.empty((4, *shape), np.int64)
    if index == "i64":
        found[0] = (d[:, None, None] * sizes[1] + h[:, None]) * sizes[2] + w
        found[2] = np.where(all_of > 0, ((layers - 1) * sizes[1] + high - 1) * sizes[2] + wide, 0)
        found[1] = wide if sizes[2] > 1 else found[2]
    else:
        found[0], found[1], found[2] = 0, all_of, all_of
    found[3] = high
    # no element is one that is numbered as none
    found[:, all_of == 0] = [[-1 if index == "i64" else 2 ** int(index[1:]) - 1], [1], [1], [1]]
    return found.reshape(4, -1)


def _dense(dx: Array, axes: Ints, lanes: int) -> bool:
    """Whether the planes of an array lie in memory row by row, with all lanes of an element side by side."""
    step = lanes * dx.itemsize
    for axis in reversed(axes):
        if dx.strides[axis] != step:
            return False
        step *= dx.shape[axis]
    return True


def checking(shape: Ints, indices: Array, axes: Ints, bins: Bins, kind: str, none: bool) -> Task:
    """The task that checks whether every index names an element of its box; ``none`` where one may also say that there
    is none. It is run with ``indices`` and an int64 that it sets to 1 where one does not.
    """
    index = "i64" if kind != "tap" else tap_type(bins)
    ghost = virtual(shape, axes, kind)
    sizes = (1,) * (F.SPATIAL - len(axes)) + tuple(shape[axis] for axis in axes)
    # a table of boxes needs numbers that are the same in all lanes, and reciprocals that are exact
    deep = bins.longest[0] > 1 and kind != "tap"
    quick = bins.shared and kind != "tensor" and math.prod(sizes) * max(sizes) < 2**32
    quick = quick and not (deep and min(sizes[1:]) == 1)
    rows = bins.counts[0] * bins.counts[1]
    boxes = rows * bins.counts[2]
    run = quick and _in_order(indices, axes) and lane_axis(indices, axes) < 0
    many = max(1, TOGETHER // boxes) if run else 0
    line = quick + (quick and deep)
    layout = lay_out(
        (indices, ghost), axes, bins, rows, bins.counts[2], flat=kind != "tap", none=none, line=line, whole=many
    )
    tables = [bins.table]
    if quick:
        places = _places(bins.table.tobytes(), bins.counts, sizes, index)
        tables.append(np.tile(places, (1, many)) if many > 1 else places)
    tiles = -(-indices.size // (boxes * many)) if many else layout.tiles
    return tasks.task(Program("bin_check", (index,)), layout.plan, tables, tiles, 0, indices.nbytes)


def names_none(indices: Array) -> bool:
    """Whether an index says that there is none: it is negative, or the largest of its type."""
    if not indices.size or indices.dtype.kind not in "iu":
        return False
    if indices.dtype.kind == "u":
        return bool(indices.max() == np.iinfo(indices.dtype).max)
    return bool(indices.min() < 0)


def scatter(dtype: str, dx: Array, dy: Array, indices: Array, axes: Ints, bins: Bins, kind: str) -> None:
    """Write the gradient of the largest of every box of bins, from its index."""
    if dx.size:
        writing(dtype, dx, dy, indices, axes, bins, kind).run(dx, dy, indices)


def check(shape: Ints, indices: Array, axes: Ints, bins: Bins, kind: str, none: bool) -> bool:
    """Whether every index names an element of its box; ``none`` where one may also say that there is none."""
    if not indices.size:
        return True
    wrong = np.zeros(1, np.int64)
    checking(shape, indices, axes, bins, kind, none).run(indices, wrong)
    return not wrong[0]
