"""Boxes and image numbers, which come from outside: checked, and brought to numbers that programs read."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastpool.family.calls import Call
from fastpool.family.framing import Frame
from fastpool.kernels import regions as R
from fastpool.memory import Array
from fastpool.problem import Ints

LIMITS = {"f32": 2.0**24, "f64": 2.0**31}
"""Largest coordinate, in elements of the image, by type of the boxes: beyond it float32 has no halves of elements."""
INTEGERS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
SCRATCH = 8 << 20
"""Bytes above which an image's block is not brought to scratch whole."""
BAND = 1 << 20
"""Bytes of a band of rows that one tile of a gradient owns."""
TILES = 8
"""Regions of an image are cut into several groups where there were fewer tiles."""
LEAST = 16
"""Regions of a group that is worth bringing its image for once more."""
VECTOR = 64
"""Bytes of a vector, which is an element of a block."""
SPARE = 2 * VECTOR * 16
"""Bytes of workspace that transposing takes."""


class Boxes(NamedTuple):
    """Regions of a call: corners in elements of the image, in the boxes' own type, and the image of each."""

    corners: Array
    images: Array

    @property
    def dtype(self) -> str:
        """Short name of the boxes' element type."""
        return "f32" if self.corners.dtype == np.float32 else "f64"

    def __len__(self) -> int:
        return len(self.images)


class Geometry(NamedTuple):
    """Axes of x and of the result: ``axes`` over the image or region, rows and columns; sizes; channels."""

    axes: Ints
    channel: int
    shape: Ints
    bins: Ints

    @property
    def images(self) -> int:
        """Number of images."""
        return self.shape[self.axes[0]]

    @property
    def size(self) -> Ints:
        """Rows and columns of an image."""
        return self.shape[self.axes[1]], self.shape[self.axes[2]]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[self.channel]

    def result(self, regions: int) -> Ints:
        """The shape of the result for so many regions."""
        shape = [0] * 4
        for axis, size in zip(self.axes, (regions, *self.bins), strict=True):
            shape[axis] = size
        shape[self.channel] = self.channels
        return tuple(shape)


def geometry(call: Call, shape: Ints, output_size: object, layout: object) -> Geometry:
    """The geometry of a call whose x has that shape."""
    axes = call.axes(layout, 2, shape)
    if len(shape) != 4:
        rule = "four axes are needed: images, channels, rows, columns"
        raise call.value_error(f"x with {len(shape)} axes", rule, "one image is x[None]")
    size = shape[axes[0]] * shape[axes[1]]
    if size >= 1 << 31:
        raise call.value_error(f"planes of {size} elements", "at most 2**31 - 1 are numbered", "cut x into parts")
    return Geometry((0, *axes), 3 if axes[0] == 1 else 1, shape, call.sizes("output_size", output_size, 2))


def take_boxes(call: Call, given: object, numbers: object, scale: object, images: int, shift: float = 0.0) -> Boxes:
    """Check the boxes and the image numbers of a call; corners are scaled, and shifted back by ``shift``."""
    taken = call.take_beside("boxes", given, ("f32", "f64"))
    data = taken.data
    if data.ndim != 2 or data.shape[1] != 4:
        rule = "it must be (regions, 4): x1, y1, x2, y2 of each"
        raise call.value_error(f"boxes of shape {data.shape}", rule, "image numbers go to batch_indices")
    index = call.take_beside("batch_indices", numbers, INTEGERS).data
    if index.shape != data.shape[:1]:
        rule = f"it must have one entry for each of the {len(data)} boxes"
        raise call.value_error(f"batch_indices of shape {index.shape}", rule)
    number = data.dtype.type
    with np.errstate(all="ignore"):
        factor = number(call.number("spatial_scale", scale))
        if not 0 < factor < np.inf:
            raise call.value_error(f"spatial_scale={scale!r}", f"must be positive, and finite as {number.__name__}")
        corners = data * factor
        if shift:
            corners -= number(shift)
        # written so that NaN fails
        good = (data[:, 2:] >= data[:, :2]).all() and bool((np.abs(corners) <= LIMITS[taken.dtype]).all())
    if not good:
        _refuse(call, data, corners, LIMITS[taken.dtype])
    if len(index) and (int(index.min()) < 0 or int(index.max()) >= images):
        k = int(np.flatnonzero((index < 0) | (index >= images))[0])
        rule = f"there are {images} images, numbered from 0"
        raise call.value_error(f"batch_indices[{k}]={index[k]}", rule)
    return Boxes(corners, index.astype(np.int64))


def _refuse(call: Call, data: Array, corners: Array, limit: float) -> None:
    """The error for the first box that breaks a rule."""
    good = np.isfinite(data).all(1) & (data[:, 2:] >= data[:, :2]).all(1) & (np.abs(corners) <= limit).all(1)
    k = int(np.flatnonzero(~good)[0])
    box = data[k].tolist()
    given = f"boxes[{k}]={box}"
    if not all(map(math.isfinite, box)):
        raise call.value_error(given, "coordinates must be finite")
    if box[2] < box[0] or box[3] < box[1]:
        raise call.value_error(given, "x2 must not be below x1, nor y2 below y1", "boxes are x1, y1, x2, y2")
    rule = f"scaled coordinates of {data.dtype} boxes are at most {limit:.0f} in magnitude"
    raise call.value_error(given, rule, "clip boxes to the image")


def order_of(images: Array) -> Array:
    """Numbers of regions, image by image, those of an image in their own order."""
    if len(images) == 1:
        return np.zeros(1, np.int64)
    return np.argsort(images, kind="stable").astype(np.int64, copy=False)


def groups(regions: Boxes, order: Array, ranges: Array, blocks: int) -> tuple[Array, bool, int]:
    """Groups of regions, whether their rows are streamed, and elements of a block that is brought at once.

    ``ranges`` are first and past row, first and past column of each region. Where regions do not share elements, or an
    image would be too large, each is a group, and rows are streamed.
    """
    many = len(order)
    images, found = regions.images[order], ranges[order]
    first = _cuts(images, blocks)
    extents = np.maximum(found[:, 1::2] - found[:, ::2], 0)
    low, size = found, extents
    streamed = many == 1
    if not streamed:
        low = np.minimum.reduceat(found, first)
        size = np.maximum(np.maximum.reduceat(found, first)[:, 1::2] - low[:, ::2], 0)
        areas = size[:, 0] * size[:, 1]
        own = (extents[:, 0] * extents[:, 1]).sum()
        streamed = bool(own <= areas.sum()) or int(areas.max()) * VECTOR > SCRATCH
        if streamed:
            first, low, size = np.arange(many), found, extents
    made = np.empty((len(first), R.GROUP), np.int64)
    made[:, R.IMAGE] = images[first]
    made[:, [R.TOP, R.LEFT]] = low[:, ::2]
    made[:, [R.ROWS, R.COLUMNS]] = size
    made[:, R.FIRST] = first
    made[:-1, R.PAST], made[-1, R.PAST] = first[1:], many
    return made, streamed, int((size[:, 1] if streamed else size[:, 0] * size[:, 1]).max())


def _cuts(images: Array, blocks: int) -> Array:
    """Where groups begin: where the image changes, and between, where there would be few tiles."""
    many = len(images)
    if images[0] == images[-1]:
        first = np.zeros(1, np.int64)
    else:
        first = np.flatnonzero(np.diff(images, prepend=-1))
    parts = -(-TILES // (len(first) * blocks))
    if parts == 1 or many < 2 * LEAST:
        return first
    ends = [*first[1:].tolist(), many]
    return np.concatenate(
        [np.arange(a, b, max(LEAST, -((a - b) // parts))) for a, b in zip(first.tolist(), ends, strict=True)]
    )


def by_image(regions: Boxes, order: Array, images: int) -> Array:
    """Where the regions of each image begin in their order, with the end of the last."""
    return np.searchsorted(regions.images[order], np.arange(images + 1)).astype(np.int64)


class Task:
    """The plan of a program: a frame, own numbers, and the parts of a thread's workspace."""

    def __init__(self, where: Geometry, parts: tuple[Array, ...], dtype: str) -> None:
        frame = Frame(parts, where.axes, lanes=False)
        self.value = "f64" if dtype == "f64" else "f32"
        self.itemsize = 8 if dtype == "f64" else 4
        self.blocks = -(-where.channels // (VECTOR // self.itemsize))
        self.own = [0] * R.OWN_NUMBERS
        self.own[R.BLOCKS] = self.blocks
        self.own[R.BIN_ROWS], self.own[R.BIN_COLUMNS] = where.bins
        self.plan = frame.plan
        self.work = SPARE

    def part(self, field: int, vectors: int) -> None:
        """Set aside so many vectors of workspace, at least one, and keep where they begin."""
        self.own[field] = self.work
        self.work += VECTOR * max(vectors, 1)

    def numbers(self) -> list[int]:
        """The whole plan."""
        return [*self.plan, *self.own]

    def together(self, array: Array, channel: int, others: int, vectors: int) -> int:
        """Blocks that a tile does side by side, if channels of ``array`` are; returns how many tiles that makes of each
        of so many ``others``. A block has so many vectors.
        """
        many = 1
        if array.strides[channel] == array.itemsize:
            many = max(1, min(BAND // (VECTOR * max(vectors, 1)), self.blocks * others // TILES))
        self.own[R.TOGETHER] = many
        return -(-self.blocks // many)

    def bands(self, where: Geometry, g: Array) -> int:
        """Cut images into bands of rows, one for each tile of a gradient; returns how many tiles there are."""
        rows, columns = where.size
        most = max(1, BAND // (VECTOR * columns))
        bands = -(-rows // most)
        tiles = where.images * self.blocks * bands
        if tiles < TILES:
            bands = min(rows, bands * -(-TILES // max(tiles, 1)))
        band = -(-rows // bands)
        bands = -(-rows // band)
        self.own[R.BAND], self.own[R.BANDS] = band, bands
        tiles = self.together(g, where.channel, where.images * bands, band * columns)
        self.part(R.BLOCK, self.own[R.TOGETHER] * band * columns)
        return tiles * bands * where.images
