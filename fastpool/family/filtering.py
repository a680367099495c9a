"""Separable filters of arrays: a filter, a stride and a border rule for each spatial axis; forward and transposed.

``apply`` is what the public functions of blurring, wavelets and learnable filters are made of. It makes the tables that
the kernel ``kernels.cpu.family.filtering`` reads, see ``kernels.bands``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastpool.family import tasks
from fastpool.family.calls import Call
from fastpool.family.framing import Frame, lane_axis
from fastpool.family.table import border, brought, rows_of, transposed_rows
from fastpool.kernels import bands as B
from fastpool.kernels import frame as F
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints
from fastpool.reference.family import filters as oracle

VALUE_BYTES = {"f64": 8}
SLACK = 64
"""Elements of scratch behind a region, for whole vectors."""
CHUNK_BYTES = 1 << 16
"""Scratch of one row with its lanes, beyond which lanes are worked on in parts."""
TILE_BYTES = 1 << 15
"""What the rows of a tile write, about."""
ENOUGH_TILES = 16
KEPT_ENTRIES = 1 << 15
"""Entries of tables beyond which they are made anew for each call."""

Taps = tuple[float, ...]


class Filter(NamedTuple):
    """What is done along one axis: ``y[b, o] = sum_u bands[b][u] * x[o * stride - before + u]``.

    Attributes
    ----------
    size : int
        Elements of x along the axis.
    bands : tuple of tuple of float
        One filter or several, of the same length.
    stride, before, outputs : int
        ``outputs`` is their number.
    rule : str
        ``"reflect"``, ``"replicate"``, ``"zero"`` or ``"periodic"``: what x is outside.
    """

    size: int
    bands: tuple[Taps, ...]
    stride: int
    before: int
    outputs: int
    rule: str

    @property
    def taps(self) -> int:
        """The length of the filters."""
        return len(self.bands[0])


LEFT = Filter(1, ((1.0,),), 1, 0, 1, "zero")
"""An axis of one element that is left as it is."""


class Made(NamedTuple):
    """Tables, the numbers that say where they are, and the elements of scratch that they need."""

    numbers: tuple[int, ...]
    integers: Array
    factors: Array
    scratch: int


class _Tables:
    """Integers and factors, one behind the other."""

    def __init__(self) -> None:
        self.integers: list[Array] = []
        self.factors: list[Array] = []
        self.places = self.values = 0

    def put(self, *integers: Array | Sequence[int]) -> int:
        """The place of the first of these integers."""
        begin = self.places
        for part in integers:
            self.integers.append(np.asarray(part, np.int64).reshape(-1))
            self.places += self.integers[-1].size
        return begin

    def put_factors(self, factors: Array) -> int:
        """The place of the first of these factors."""
        begin = self.values
        self.factors.append(factors)
        self.values += factors.size
        return begin


def _room(elements: int) -> int:
    """A region of scratch of at least so many elements: whole vectors, and room behind."""
    return -(-elements // SLACK) * SLACK + SLACK


def _make(
    filters: tuple[Filter, ...],
    transposed: bool,
    reads: tuple[Ints, Ints],
    writes: tuple[Ints, Ints],
    dtype: str,
    lanes: int,
    kept: bool,
) -> Made:
    """Tables for three axes; ``reads`` and ``writes`` are the steps in memory of positions and of bands, by axis.

    ``lanes``: 0 for rows of neighbours in memory, else how many are worked on at a time. ``kept``: the last axis is
    left as it is.
    """
    tables = _Tables()
    numbers = [0] * B.NUMBERS
    deep, high, wide = filters
    for axis, of, out_at, factors_at in (
        (deep, B.DEPTH, B.DEPTH_OUT, B.DEPTH_FACTORS),
        (high, B.HEIGHT, B.HEIGHT_OUT, B.HEIGHT_FACTORS),
    ):
        number = 0 if axis is deep else 1
        rows = (transposed_rows if transposed else rows_of)(axis)
        # bands of a position one behind the other: they read the same
        order = np.lexsort((rows.band, rows.position))
        rows = rows.taken(order)
        numbers[of] = rows.band.size
        numbers[out_at] = tables.put(
            rows.band * writes[1][number] + rows.position * writes[0][number],
            rows.first,
            rows.read_band * reads[1][number] + rows.read * reads[0][number],
        )
        numbers[factors_at] = tables.put_factors(rows.factors)
    numbers[B.FILTERED_DEPTH] = int(deep != LEFT)
    bands = len(wide.bands)
    read_bands, write_bands = (bands, 1) if transposed else (1, bands)
    numbers[B.COUNT] = wide.outputs if transposed else wide.size
    numbers[B.LINES] = write_bands
    numbers[B.LINE_COUNT] = wide.size if transposed else wide.outputs
    numbers[B.LINE_AT] = tables.put([band * writes[1][2] for band in range(write_bands)])
    numbers[B.SEGMENTS] = read_bands
    starts = [band * reads[1][2] for band in range(read_bands)]
    if lanes:
        numbers[B.CHUNK] = lanes
        made = _lanes_line(wide, transposed, tables, numbers, starts)
    elif kept:
        made = _kept_line(tables, numbers, starts)
    elif transposed:
        made = _spread_line(wide, tables, numbers, starts)
    else:
        made = _split_line(wide, tables, numbers, starts)
    factors = np.concatenate(tables.factors).astype(np.float64 if dtype == "f64" else np.float32)
    return Made(tuple(numbers), np.concatenate(tables.integers), factors, made)


def _segments(tables: _Tables, places: Sequence[int], starts: Sequence[int]) -> int:
    return tables.put([number for pair in zip(places, starts, strict=True) for number in pair])


def _kept_line(tables: _Tables, numbers: list[int], starts: list[int]) -> int:
    numbers[B.SEGMENT_AT] = _segments(tables, [0], starts)
    numbers[B.SECOND] = _room(numbers[B.COUNT])
    return 2 * numbers[B.SECOND]


def _lanes_line(wide: Filter, transposed: bool, tables: _Tables, numbers: list[int], starts: list[int]) -> int:
    rows = (transposed_rows if transposed else rows_of)(wide)
    count, lanes = numbers[B.COUNT], numbers[B.CHUNK]
    numbers[B.WIDTH_OUT] = tables.put(rows.position, rows.first, rows.read_band * count + rows.read)
    numbers[B.WIDTH_FACTORS] = tables.put_factors(rows.factors)
    places = [segment * count for segment in range(len(starts))]
    numbers[B.SEGMENT_AT] = _segments(tables, places, starts)
    numbers[B.SECOND] = _room(len(starts) * count * lanes)
    numbers[B.FIFTH] = numbers[B.SECOND] + _room(count * lanes)
    return numbers[B.FIFTH] + _room(numbers[B.LINE_COUNT] * lanes)


def _split_line(wide: Filter, tables: _Tables, numbers: list[int], starts: list[int]) -> int:
    """Forward: the border is put around the line, then it is taken apart into as many phases as the stride."""
    length = (wide.outputs - 1) * wide.stride + wide.taps
    around = np.arange(-wide.before, length - wide.before)
    found = border(wide.rule, around, wide.size)
    outside = (around < 0) | (around >= wide.size)
    places = np.arange(length)
    copied, empty = outside & (found >= 0), outside & (found < 0)
    numbers[B.COPIES] = int(copied.sum())
    numbers[B.COPIES_AT] = tables.put(np.stack([places[copied], found[copied] + wide.before], 1))
    numbers[B.ZEROS] = int(empty.sum())
    numbers[B.ZEROS_AT] = tables.put(places[empty])
    numbers[B.SEGMENT_AT] = _segments(tables, [wide.before], starts)
    numbers[B.SPLIT], numbers[B.SPREAD] = wide.stride, 1
    extent = numbers[B.EXTENT] = _room(-(-length // wide.stride))
    taps = np.arange(wide.taps)
    entries = taps if wide.stride == 1 else taps % wide.stride * extent + taps // wide.stride
    bands = len(wide.bands)
    numbers[B.WIDTH_OUT] = tables.put(
        [wide.outputs] * bands, [band * wide.taps for band in range(bands + 1)], np.tile(entries, bands)
    )
    numbers[B.WIDTH_FACTORS] = tables.put_factors(np.array(wide.bands).reshape(-1))
    numbers[B.SECOND] = _room(max(length, wide.before + wide.size, extent * wide.stride))
    numbers[B.THIRD] = numbers[B.SECOND] + _room(wide.size)
    numbers[B.FIFTH] = numbers[B.THIRD] + (_room(extent * wide.stride) if wide.stride > 1 else 0)
    return numbers[B.FIFTH] + _room(wide.outputs)


def _spread_line(wide: Filter, tables: _Tables, numbers: list[int], starts: list[int]) -> int:
    """Transposed: results of each phase from a line with zeros around, put together; then what the border adds."""
    step, taps = wide.stride, wide.taps
    ahead = (taps - 1) // step
    most = (wide.before + wide.size - 1) // step + 1
    pitch = ahead + max(wide.outputs, most)
    zeros = np.concatenate(
        [np.r_[:ahead, ahead + wide.outputs : pitch] + segment * pitch for segment in range(len(starts))]
    )
    numbers[B.ZEROS], numbers[B.ZEROS_AT] = zeros.size, tables.put(zeros)
    places = [segment * pitch + ahead for segment in range(len(starts))]
    numbers[B.SEGMENT_AT] = _segments(tables, places, starts)
    numbers[B.SPLIT], numbers[B.SPREAD] = 1, step
    extent = numbers[B.EXTENT] = _room(-(-wide.size // step))
    counts, first, entries, factors = [], [0], [], []
    for phase in range(step):
        counts.append(len(range(phase, wide.size, step)))
        away, rest = divmod(phase + wide.before, step)
        for segment, band in enumerate(wide.bands):
            for u in reversed(range(rest, taps, step)):
                entries.append(segment * pitch + ahead + away - u // step)
                factors.append(band[u])
        first.append(len(entries))
    numbers[B.WIDTH_OUT] = tables.put(counts, first, entries)
    numbers[B.WIDTH_FACTORS] = tables.put_factors(np.array(factors))
    target, band_read, read, extra = brought(wide)
    numbers[B.EXTRAS] = target.size
    numbers[B.EXTRAS_AT] = tables.put(np.stack([target, band_read * pitch + ahead + read], 1))
    numbers[B.EXTRAS_FACTORS] = tables.put_factors(extra)
    numbers[B.SECOND] = _room(len(starts) * pitch)
    numbers[B.FOURTH] = numbers[B.SECOND] + _room(wide.outputs)
    numbers[B.FIFTH] = numbers[B.FOURTH] + _room(extent * step)
    return numbers[B.FIFTH] + _room(max(wide.size, extent * step))


_kept = functools.lru_cache(maxsize=64)(_make)


def apply(
    source: Array, target: Array, axes: Ints, filters: Sequence[Filter], dtype: str, transposed: bool = False
) -> None:
    """Filter one array into another, or the transpose of that.

    The smaller array has the bands on an axis of its own in front of all others, where there are several: of two for
    each spatial axis in row-major order of the axes. The larger one has no such axis.
    """
    many = len(filters[0].bands)
    small = source if transposed else target
    step = small.strides[0] // small.itemsize if many > 1 else 0
    seen = small[0] if many > 1 else small
    arrays = (seen, target) if transposed else (source, seen)

    def by_numpy() -> None:
        places = [axis + (many > 1) for axis in axes]
        (oracle.transposed if transposed else oracle.forward)(source, target, axes, places, filters)

    if source.size == 0 or target.size == 0:
        return
    lane = lane_axis(arrays[0], axes)
    kept = len(axes) == 1 and lane >= 0
    frame = Frame(arrays, (axes[0], lane), lanes=False) if kept else Frame(arrays, axes)
    missing = F.SPATIAL - len(axes) - kept
    band_steps = [step * many ** (len(axes) - 1 - i) for i in range(len(axes))]
    by_band = (*[0] * missing, *band_steps, *[0] * kept)
    beside = arrays[0].shape[lane]
    spatial = (*[LEFT] * missing, *filters, *[LEFT._replace(size=beside, outputs=beside)] * kept)
    reads = (frame.steps[0], by_band if transposed else (0, 0, 0))
    writes = (frame.steps[1], (0, 0, 0) if transposed else by_band)
    bytes_each = VALUE_BYTES.get(dtype, 4)
    lanes = 0
    if frame.lanes > 1:
        lanes = min(frame.lanes, max(SLACK, CHUNK_BYTES // bytes_each // spatial[2].size // SLACK * SLACK))
    entries = sum(axis.outputs * axis.taps * many for axis in (spatial if lanes else spatial[:2]))
    make = _kept if entries <= KEPT_ENTRIES else _make
    made = make(spatial, transposed, reads, writes, dtype, lanes, kept)
    numbers = list(made.numbers)
    rows, depths = numbers[B.HEIGHT], numbers[B.DEPTH]
    written = numbers[B.LINES] * numbers[B.LINE_COUNT] * frame.lanes * target.itemsize
    group = max(1, min(rows, TILE_BYTES // max(written, 1), -(-rows * frame.outer * depths // ENOUGH_TILES)))
    numbers[B.GROUP] = group
    tiles = frame.outer * depths * -(-rows // group)
    program = Program("filtering", ("lanes" if lanes else "rows", dtype))
    bufs = (source, target, made.integers, made.factors)
    tasks.run(
        program,
        [*frame.plan, *numbers],
        bufs,
        tiles,
        made.scratch * bytes_each,
        oracle=None if dtype == "bf16" else by_numpy,
    )


def rule_of(call: Call, padding: object) -> str:
    """A border rule by one of its names."""
    known = {
        "reflect": "reflect",
        "replicate": "replicate",
        "edge": "replicate",
        "zero": "zero",
        "periodic": "periodic",
        "wrap": "periodic",
    }
    if not isinstance(padding, str) or padding not in known:
        names = ", ".join(f'"{name}"' for name in known)
        error = call.value_error if isinstance(padding, str) else call.type_error
        raise error(f"padding={padding!r}", "unknown border rule", f"give one of {names}")
    return known[padding]


def check_reflection(call: Call, axis: int, filter_: Filter, after: int) -> None:
    """Reflection reaches as far as the axis has other elements; ``after`` is how far it goes behind the last one."""
    reach = max(filter_.before, after)
    if filter_.rule == "reflect" and reach >= filter_.size:
        given = f"axis {axis} of size {filter_.size}"
        raise call.value_error(
            given, f"it cannot be reflected by {reach}", 'use padding="replicate" or a shorter filter'
        )


def taps_of(call: Call, name: str, given: object) -> Taps:
    """The taps of a filter: finite real numbers, one at least."""
    try:
        found = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise call.type_error(f"{name}", "it must be a sequence of numbers") from error
    if found.dtype.kind not in "iuf":
        raise call.type_error(f"{name} of dtype {found.dtype}", "it must be a sequence of real numbers")
    if found.ndim != 1 or found.size == 0:
        raise call.value_error(f"{name} of shape {found.shape}", "a filter has one axis, and one tap at least")
    taps = tuple(float(tap) for tap in found)
    if not np.isfinite(taps).all():
        raise call.value_error(name, "its taps must be finite", "leave out NaN and infinity")
    return taps
