"""RoI align as programs: the table of samples, the plans, and what they are run with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastpool.family import tasks
from fastpool.family.region_boxes import Boxes, Geometry, Task, by_image, groups, order_of
from fastpool.kernels import regions as R
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints

Oracle = Callable[[], None]
FAR = 64
"""As many samples outside of the image, at each end, may be looked at: see ``roi_table``."""


class Samples(NamedTuple):
    """Where the bins of regions begin, how long they are, and how many samples each has along rows and columns."""

    begin: Array
    length: Array
    grid: Array


class Table(NamedTuple):
    """The arrays that the program ``roi_table`` writes."""

    heads: Array
    starts: Array
    flags: Array
    places: Array
    weights: Array
    rows: Array

    @property
    def ranges(self) -> Array:
        """First and past row, first and past column of each region."""
        return self.heads[:, R.FROM_Y : R.TO_X + 1]


def samples(regions: Boxes, bins: Ints, ratio: int, aligned: bool) -> Samples:
    """The samples of regions, computed in the boxes' own type."""
    number = regions.corners.dtype.type
    begin = regions.corners[:, [1, 0]]
    size = regions.corners[:, [3, 2]] - begin
    if not aligned:
        size = np.maximum(size, number(1))
    length = size / np.array(bins, number)
    grid = np.ceil(length).astype(np.int64) if ratio == 0 else np.full(length.shape, ratio, np.int64)
    return Samples(begin, length, grid)


def table(where: Geometry, regions: Boxes, found: Samples, mode: str, value: str) -> Table:
    """The taps of every bin."""
    many, bins = len(regions), where.bins
    merges = mode == "avg"
    height, width = where.size
    # taps of a bin: two for a sample, of those that can lie in the image
    limits = where.size if merges else (4 * (height + FAR), 4 * (width + FAR))
    taps = np.minimum(2 * found.grid, limits) * bins
    ends = taps.cumsum()
    total = int(ends[-1]) if many else 0
    heads = np.zeros((many, R.HEAD), np.int64)
    heads[:, R.TAPS_Y : R.TAPS_X + 1] = ends.reshape(many, 2) - taps
    rows = np.minimum(taps[:, 0], height).cumsum()
    heads[1:, R.ROWS_AT] = rows[:-1]
    heads[:, R.GRID_Y : R.GRID_X + 1] = found.grid
    made = Table(
        heads,
        np.empty((many, sum(bins) + 2), np.int32),
        np.empty((many, sum(bins)), np.uint8),
        np.empty(total, np.int32),
        np.empty(total, np.float64 if value == "f64" else np.float32),
        np.empty(int(rows[-1]) if many else 0, np.int32),
    )
    numbers = np.empty((many, 2, 2), found.begin.dtype)
    numbers[:, :, 0], numbers[:, :, 1] = found.begin, found.length
    program = Program("roi_table", ("avg" if merges else "max", regions.dtype, value))
    tasks.run(program, [*bins, *where.size], (numbers, *made), many, 4 * height, size=8 * total)
    return made


def forward(
    where: Geometry,
    regions: Boxes,
    found: Samples,
    mode: str,
    dtype: str,
    arrays: tuple[Array, ...],
    oracle: Oracle | None = None,
) -> None:
    """Run RoI align: ``arrays`` are x and y, or for the mode "where" x, places as int64 and weights."""
    x, y = arrays[:2]
    if y.size == 0:
        return
    task = Task(where, arrays, dtype)
    taps = table(where, regions, found, mode, task.value)
    order = order_of(regions.images)
    together, streamed, whole = groups(regions, order, taps.ranges, task.blocks)
    task.own[R.STREAMED] = int(streamed)
    states = int(taps.heads[:, R.DISTINCT].max()) * where.bins[1]
    task.part(R.STATES, 3 * states if mode == "where" else states)
    task.part(R.RESULTS, where.bins[0] * where.bins[1])
    task.part(R.SECOND_RESULTS, where.bins[0] * where.bins[1] if mode == "where" else 0)
    tiles = len(together) * (task.blocks if mode == "where" else task.together(y, where.channel, len(together), whole))
    task.part(R.BLOCK, whole * max(1, task.own[R.TOGETHER]))
    given = (x, y, arrays[2] if mode == "where" else None, together, order, *taps)
    program = Program("roi_align", (mode, dtype))
    tasks.run(program, task.numbers(), given, tiles, task.work, x.nbytes + y.nbytes, oracle)


def spread(
    where: Geometry, regions: Boxes, found: Samples, dtype: str, dx: Array, g: Array, oracle: Oracle | None = None
) -> None:
    """Run the gradient of the mean."""
    if dx.size == 0:
        return
    task = Task(where, (dx, g), dtype)
    taps = table(where, regions, found, "avg", task.value)
    order = order_of(regions.images)
    task.part(R.STATES, int(taps.heads[:, R.DISTINCT].max(initial=0)) * where.bins[1])
    task.part(R.RESULTS, where.bins[0] * where.bins[1])
    tiles = task.bands(where, g)
    given = (dx, g, order, by_image(regions, order, where.images), *taps)
    size = dx.nbytes + g.nbytes
    tasks.run(Program("roi_spread", (dtype,)), task.numbers(), given, tiles, task.work, size, oracle)


def winners(where: Geometry, regions: Boxes, found: Samples, dtype: str, x: Array, like: Array) -> tuple[Array, Array]:
    """Places of the largest weighted corners, and their weights, shaped and laid out as ``like``."""
    places = np.empty_like(like, np.int64)
    weights = np.empty_like(like, np.float64 if dtype == "f64" else np.float32)
    forward(where, regions, found, "where", dtype, (x, places, weights))
    return places, weights
