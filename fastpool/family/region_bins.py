"""RoI pooling as programs: bins in integers, the plans, gradients by index."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastpool.family import tasks
from fastpool.family.calls import Call
from fastpool.family.region_boxes import Boxes, Geometry, Task, by_image, groups, order_of
from fastpool.kernels import regions as R
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints

Oracle = Callable[[], None]


def rounded(x: Array) -> Array:
    """Nearest integers, halves away from zero."""
    whole = np.trunc(x)
    # the difference is exact, x + 0.5 would not be
    return (whole + np.where(np.abs(x - whole) >= 0.5, np.sign(x), 0)).astype(np.int64)


def bins(where: Geometry, regions: Boxes) -> Array:
    """For each region the first rows of its bins, the past rows, the first columns and the past columns."""
    corners = rounded(regions.corners)
    parts = []
    for axis, (count, size) in enumerate(zip(where.bins, where.size, strict=True)):
        begin, end = corners[:, 1 - axis, None], corners[:, 3 - axis, None]
        length = np.maximum(end - begin + 1, 1)
        o = np.arange(count)
        parts.append(np.clip(o * length // count + begin, 0, size))
        parts.append(np.clip(-(-(o + 1) * length // count) + begin, 0, size))
    return np.concatenate(parts, 1)


def ranges(where: Geometry, found: Array) -> Array:
    """First and past row, first and past column of each region, from its bins."""
    rows, columns = where.bins
    return found[:, [0, 2 * rows - 1, 2 * rows, 2 * rows + 2 * columns - 1]]


def numbering(task: Task, where: Geometry, kind: str) -> None:
    """How indices of that kind are counted: in the plane, or in the whole of x."""
    plane = where.size[0] * where.size[1]
    last = where.channel == 3
    steps: Ints = (1, 0, 0)
    if kind == "tensor":
        steps = (where.channels, 1, plane * where.channels) if last else (1, plane, plane * where.channels)
    task.own[R.INDEX_STEP], task.own[R.INDEX_CHANNEL], task.own[R.INDEX_IMAGE] = steps


def forward(
    where: Geometry,
    regions: Boxes,
    dtype: str,
    x: Array,
    y: Array,
    indices: Array | None = None,
    kind: str = "plane",
    oracle: Oracle | None = None,
) -> None:
    """Run RoI pooling."""
    if y.size == 0:
        return
    task = Task(where, (x, y) if indices is None else (x, y, indices), dtype)
    found = bins(where, regions)
    order = order_of(regions.images)
    together, streamed, whole = groups(regions, order, ranges(where, found), task.blocks)
    task.own[R.STREAMED] = int(streamed)
    numbering(task, where, kind)
    task.part(R.RESULTS, where.bins[0] * where.bins[1])
    task.part(R.SECOND_RESULTS, where.bins[0] * where.bins[1])
    tiles = task.together(y, where.channel, len(together), whole) * len(together)
    task.part(R.BLOCK, whole * task.own[R.TOGETHER])
    program = Program("roi_max", ("max" if indices is None else "index", dtype))
    given = (x, y, indices, together, order, found)
    tasks.run(program, task.numbers(), given, tiles, task.work, x.nbytes + y.nbytes, oracle)


def check(call: Call, where: Geometry, regions: Boxes, dx: Array, indices: Array, kind: str) -> None:
    """Refuse indices that the forward cannot have found."""
    if indices.size == 0:
        return
    task = Task(where, (dx, indices), "f32")
    numbering(task, where, kind)
    faults = np.zeros(len(regions), np.uint8)
    rows = np.ascontiguousarray(ranges(where, bins(where, regions))[:, :2])
    given = (regions.images, indices, rows, faults)
    tasks.run(Program("roi_scatter", ("check", "i64")), task.numbers(), given, len(regions), 0, indices.nbytes)
    if faults.any():
        k = int(np.flatnonzero(faults)[0])
        rule = f"region {k} has one that is neither -1 nor in its rows"
        raise call.value_error("indices", rule, "give those that the forward returned, and its index_kind")


def scatter(
    where: Geometry,
    regions: Boxes,
    dtype: str,
    dx: Array,
    g: Array,
    indices: Array,
    kind: str = "plane",
    weights: Array | None = None,
    rows: Array | None = None,
    oracle: Oracle | None = None,
) -> None:
    """Run the gradient by index; ``rows`` are the first and past row of each region."""
    if dx.size == 0:
        return
    parts = (dx, g, indices) if weights is None else (dx, g, indices, weights)
    task = Task(where, parts, dtype)
    numbering(task, where, kind)
    order = order_of(regions.images)
    if rows is None:
        rows = ranges(where, bins(where, regions))[:, :2]
    tiles = task.bands(where, g)
    given = (dx, g, indices, weights, order, by_image(regions, order, where.images), np.ascontiguousarray(rows))
    program = Program("roi_scatter", ("plain" if weights is None else "weighed", dtype))
    tasks.run(program, task.numbers(), given, tiles, task.work, dx.nbytes + g.nbytes, oracle)
