"""Bins along axes, and the programs that reduce them: what adaptive, pyramid and fractional pooling share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastpool.family import tasks
from fastpool.family.framing import Frame, lane_axis
from fastpool.family.tasks import Task
from fastpool.kernels import bin_plan as P
from fastpool.kernels import frame as F
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints

TILE_BYTES = 1 << 15
"""Bytes of the larger array that a tile moves, about: enough that its own cost is not seen, and few enough for L1."""
WOVEN_LANES = 32
"""Fewer lanes than this are gone over together with the row that they are of, in gradients."""
VALUE_LANES, INDEX_LANES = 16, 8
"""The same for values, and with indices: of 16 lanes in 40 bins of 112 elements, values took 189 us together and 105
apart, and with indices 783 and 233; of 6 lanes with indices 309 and 595."""
LANES = 2048, 512
"""Lanes of a tile at most, and how few they may become where there would be less than ``TILES``: memory is read fastest
in long pieces."""
STATES = 4096
"""States of a row of bins, with their lanes, of which gradients are put together: a few of these stay in L2."""
TILES = 4
LONGEST_RUN = 16
"""Elements of a run at most, over the first two axes."""


class Bins(NamedTuple):
    """The bins of one to three spatial axes, for all planes or for each.

    Attributes
    ----------
    table : array
        int64, a row for all planes or one for each: begins and ends along the first of three axes, and so on. Axes that
        are missing come first, with one bin of one element.
    counts : tuple of int
        How many bins there are along each of the three axes.
    longest : tuple of int
        Elements of the longest along each.
    """

    table: Array
    counts: Ints
    longest: Ints

    @property
    def shared(self) -> bool:
        """Whether all planes have the same."""
        return bool(self.table.shape[0] == 1)

    def ranges(self) -> list[tuple[Array, Array]]:
        """Begins and ends along each of the three axes, each of shape (1 or planes, bins)."""
        found, at = [], 0
        for count in self.counts:
            found.append((self.table[:, at : at + count], self.table[:, at + count : at + 2 * count]))
            at += 2 * count
        return found


def bins_of(ranges: Sequence[tuple[Any, Any]]) -> Bins:
    """Bins from their begins and ends along each axis: sequences of integers, or arrays with a row for each plane."""
    parts: list[Array] = []
    for begins, ends in [([0], [1])] * (F.SPATIAL - len(ranges)) + list(ranges):
        parts += [np.atleast_2d(np.asarray(begins, np.int64)), np.atleast_2d(np.asarray(ends, np.int64))]
    planes = max(part.shape[0] for part in parts)
    table = np.concatenate([np.broadcast_to(part, (planes, part.shape[1])) for part in parts], axis=1)
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    longest = tuple(int(np.max(ends - begins, initial=0)) for begins, ends in pairs)
    return Bins(np.ascontiguousarray(table), tuple(begins.shape[1] for begins, _ in pairs), longest)


def adaptive_range(size: int, bins: int) -> tuple[list[int], list[int]]:
    """Begins and ends of so many bins that cover an axis as evenly as whole elements can: integers all the way."""
    return [o * size // bins for o in range(bins)], [-(-(o + 1) * size // bins) for o in range(bins)]


@functools.lru_cache(maxsize=256)
def adaptive_bins(sizes: Ints, counts: Ints) -> Bins:
    """Those of adaptive pooling, for axes of these sizes."""
    return bins_of([adaptive_range(size, count) for size, count in zip(sizes, counts, strict=True)])


@functools.lru_cache(maxsize=256)
def runs_of(bins_table: bytes, counts: Ints, sizes: Ints) -> tuple[Bins, Bins]:
    """Runs of elements that are held by the same bins, along each axis, and the bins that hold each run."""
    bins = Bins(np.frombuffer(bins_table, np.int64).reshape(1, -1), counts, ())
    runs, held = [], []
    for axis, (begins, ends) in enumerate(bins.ranges()):
        size = sizes[axis]
        # no run is longer than this over the first axes, so that there are enough tiles
        cuts = [] if axis == F.SPATIAL - 1 else range(0, size, LONGEST_RUN)
        points = np.unique(np.concatenate([begins[0], ends[0], [0, size], np.asarray(cuts, np.int64)]))
        points = points[points <= size]
        low = np.searchsorted(ends[0], points[:-1], "right")
        high = np.maximum(low, np.searchsorted(begins[0], points[:-1], "right"))
        runs.append((points[:-1], points[1:]))
        held.append((low, high))
    return bins_of(runs), bins_of(held)


class Layout(NamedTuple):
    """How a program of bins goes over its arrays."""

    plan: list[int]
    tiles: int
    slot: int
    """Elements of a row of scratch."""
    rows: int
    lanes: int
    woven: bool


def lay_out(
    arrays: Sequence[Array],
    axes: Ints,
    bins: Bins,
    rows: int,
    moved: int,
    *,
    line: int = 0,
    flat: bool = False,
    none: bool = False,
    woven: bool | None = None,
    least: int = WOVEN_LANES,
    each: int = 0,
    whole: int = 0,
    neighbours: int = 1,
    short: bool = False,
    most: int = 0,
) -> Layout:
    """The plan of a program.

    ``arrays`` are those of the frame, x or its gradient first; ``rows`` is how many rows of the result there are over
    the first two axes, and ``moved`` how many elements are moved to make one, for each lane; ``each`` is how many of
    these rows make a tile, where that is not left to be found. Fewer lanes than ``least`` are woven, ``most`` of
    them in a tile; where lanes are many a row of scratch has those of ``neighbours`` elements.
    """
    frame = Frame(arrays, axes, bins.shared)
    width = max(array.shape[axes[-1]] for array in arrays[:2])
    if woven is None:
        woven = frame.lanes < least
    lanes = min(frame.lanes, most or frame.lanes if woven else LANES[0])
    while not woven and lanes > LANES[1] and frame.outer * rows * -(-frame.lanes // lanes) < TILES:
        lanes //= 2
    slot = -(-((width if woven else neighbours) * lanes) // 16) * 16
    each = each or max(1, min(rows, TILE_BYTES // max(1, moved * lanes * arrays[0].itemsize)))
    pitch = 0 if bins.shared else bins.table.shape[1]
    marks = int(woven), int(flat), int(none), line, whole, int(short)
    plan = [*frame.plan, pitch, each, lanes, slot, bins.longest[-1], *marks]
    tiles = frame.outer * -(-rows // each) * -(-frame.lanes // max(1, lanes))
    return Layout(plan, tiles, slot, each, lanes, woven)


def _flat(array: Array, axes: Ints, bins: Bins) -> bool:
    """Whether bins are along the last two of three axes, the same for all planes."""
    return bins.shared and spatial_sizes(array, axes)[0] == bins.counts[0] == 1


def _slots(bins: Bins) -> int:
    """Rows of scratch for the blocks of a box along each axis."""
    return sum(longest.bit_length() + 2 for longest in bins.longest)


def spatial_sizes(array: Array, axes: Ints) -> Ints:
    """The sizes of the three spatial axes."""
    return (1,) * (F.SPATIAL - len(axes)) + tuple(array.shape[axis] for axis in axes)


def reducing(reduction: str, dtype: str, x: Array, y: Array, axes: Ints, bins: Bins) -> Task | None:
    """The task that writes the reduction of every box of bins, or None where there is nothing to write.

    It is run with ``x`` and ``y``, or with others that lie in memory as these do.
    """
    if not y.size:
        return None
    moved = bins.longest[0] * bins.longest[1] * x.shape[axes[-1]]
    neighbours = min(P.NEIGHBOURS, bins.longest[-1])
    short = _flat(x, axes, bins) and max(bins.longest) <= P.MOST and lane_axis(x, axes) < 0
    rows = bins.counts[0] * bins.counts[1]
    layout = lay_out((x, y), axes, bins, rows, moved, least=VALUE_LANES, neighbours=neighbours, short=short)
    work = layout.slot * (P.PACKED * x.itemsize + _slots(bins) * max(4, x.itemsize))
    program = Program("bins", (reduction, dtype))
    return tasks.task(program, layout.plan, (bins.table,), layout.tiles, work, x.nbytes + y.nbytes)


def runs_and_holders(dx: Array, axes: Ints, bins: Bins) -> tuple[Bins, Bins, Array]:
    """Runs, the bins that hold each, and an array that is not there, with an element for each run."""
    runs, held = runs_of(bins.table.tobytes(), bins.counts, spatial_sizes(dx, axes))
    shape = list(dx.shape)
    for axis, count in zip(axes, runs.counts[F.SPATIAL - len(axes) :], strict=True):
        shape[axis] = count
    return runs, held, np.broadcast_to(np.empty((), dx.dtype), shape)


def _places(runs: Bins, held: Bins, bins: int) -> Array:
    """Where each element along the last axis finds its share, of as many ``bins``: among those of bins, where it is in
    one; among those of pairs of neighbours, behind them, where it is in two; and behind these where it is in none.
    """
    first, last = held.ranges()[-1]
    many = last[0] - first[0]
    begins, ends = runs.ranges()[-1]
    found: Array = np.repeat(np.where(many > 0, first[0] + bins * (many - 1), 2 * bins - 1), ends[0] - begins[0])
    return found


def sharing(reduction: str, dtype: str, dx: Array, dy: Array, axes: Ints, bins: Bins) -> Task | None:
    """The task that writes the gradient of the mean, or the sum, of every box of bins; None as above. It is run with
    ``dx`` and ``dy``.
    """
    if not dx.size:
        return None
    runs, held, marks = runs_and_holders(dx, axes, bins)
    slots = _slots(held)
    moved = runs.longest[0] * runs.longest[1] * dx.shape[axes[-1]]
    longest = held._replace(table=bins.table)
    short = _flat(dx, axes, bins) and max(held.longest) <= P.MOST // 2
    rows, most = runs.counts[0] * runs.counts[1], max(16, STATES // max(1, bins.counts[2]) // 16 * 16)
    woven, most = (True, most) if short else (None, 0)
    arrays = dx, dy, marks
    layout = lay_out(arrays, axes, longest, rows, moved, line=slots, woven=woven, short=short, most=most)
    # behind the rows of blocks those of elements and of the widths of bins
    work = layout.slot * (slots + 2) * max(4, dx.itemsize)
    program = Program("bin_share", (reduction, dtype))
    tables = runs.table, held.table, bins.table, _places(runs, held, bins.counts[-1])
    return tasks.task(program, layout.plan, tables, layout.tiles, work, dx.nbytes + dy.nbytes)


def virtual(shape: Ints, axes: Ints, kind: str) -> Array:
    """An array that is not there, of that shape, whose strides say what an element counts in an index.

    ``"tensor"``: flat in the whole array, in the caller's layout; otherwise flat in the plane, over ``axes``.
    """
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(range(len(shape))):
        if kind == "tensor" or axis in axes:
            strides[axis] = step
            step *= shape[axis]
    found: Array = np.lib.stride_tricks.as_strided(np.empty(1, np.uint8), shape, strides, writeable=False)
    return found


def tap_type(bins: Bins) -> str:
    """The smallest unsigned type that holds the taps of the largest box and one more value."""
    taps = bins.longest[0] * bins.longest[1] * bins.longest[2]
    return next(f"u{bits}" for bits in (8, 16, 32, 64) if taps < 2**bits)


def selecting(
    reduction: str, dtype: str, x: Array, y: Array, indices: Array, axes: Ints, bins: Bins, kind: str
) -> Task | None:
    """The task that writes the largest element of every box of bins, and its index; None as above. It is run with
    ``x``, ``y`` and ``indices``.
    """
    if not y.size:
        return None
    ghost = virtual(x.shape, axes, kind)
    reach = max(ghost.strides[axis] * size for axis, size in enumerate(x.shape))
    word = "i32" if x.itemsize < 8 and max(reach, np.prod(spatial_sizes(x, axes), dtype=object)) < 2**31 else "i64"
    index = "i64" if kind != "tap" else tap_type(bins)
    moved = bins.longest[0] * bins.longest[1] * x.shape[axes[-1]]
    short = _flat(x, axes, bins) and max(bins.longest) <= P.MOST and lane_axis(x, axes) < 0
    rows = bins.counts[0] * bins.counts[1]
    arrays, flat = (x, y, indices, ghost), kind != "tap"
    layout = lay_out(arrays, axes, bins, rows, moved, least=INDEX_LANES, flat=flat, short=short)
    work = layout.slot * (P.PACKED * x.itemsize + max(4, x.itemsize) + 8)
    program = Program("bin_index", (reduction, dtype, index, word))
    moved = x.nbytes + y.nbytes + indices.nbytes
    return tasks.task(program, layout.plan, (bins.table,), layout.tiles, work, moved)
