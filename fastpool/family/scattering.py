"""How max unpooling is planned: where elements go, in which tiles, and by which kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np

from fastpool.family import tasks
from fastpool.family.calls import Call
from fastpool.family.framing import Frame
from fastpool.family.inverse import Windows
from fastpool.kernels import frame as F
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints
from fastpool.reference.family import unpooling as oracle

BAND = 512 * 1024
"""Bytes of the larger array that a tile should have: zeros are written over in the cache they were written to, and
few windows reach into two bands."""
SHORT = 16
"""Windows in a row from which on comparing in vectors is faster than going where the indices say."""
ROWS = 64 * 1024
"""As that, where every element is written once."""
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
        if lanes == 1 and self.small.shape[self.axes[-1]] < SHORT:
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


def run(call: Call, role: str, scatter: Scatter, given: bool) -> None:
    """Move the elements: "place" writes the larger array, "take" the smaller.

    Indices are checked on the way, or before where the written array is the caller's own.
    """
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
    flag = np.zeros(1, np.uint8)
    arrays = (scatter.large, scatter.small, scatter.indices, flag)
    empty = 0 in scatter.small.shape

    def ran(module: str, role: str, band: int, bands: int, first: int, by_hand: Callable[[], None]) -> bool:
        """Whether all indices were found where they may be."""
        flag[0] = 0
        own = [missing, band, bands, first, unit, int(dense), int(not apart), *shaped]
        bits = "8" if role == "check" else str(8 * scatter.large.itemsize)
        marks = band * frame.lanes * math.prod(sizes[1:]) if role == "take" and not apart else 0
        tiles = 0 if empty else frame.outer * bands
        size = scatter.indices.nbytes if role == "check" else None
        program = Program(module, (role, word, bits))
        tasks.run(program, [*frame.plan, *own], arrays, tiles, TABLE + marks, size, by_hand)
        return not flag.any()

    def find() -> None:
        flag[0] = bool((scatter.positions() == oracle.WRONG).any())

    def move() -> None:
        put = oracle.unpool if role == "place" else oracle.unpool_backward
        read, written = (scatter.small, scatter.large) if role == "place" else (scatter.large, scatter.small)
        put(read, scatter.positions(), written, axes)
        find()

    whole = (sizes[0], 1, 0)
    cut = scatter.bands(frame.lanes)
    if given and not ran("unpool", "check", *whole, find):
        raise scatter.wrong(call)
    if scatter.apart(frame.lanes) and ran("unpool_apart", role, *scatter.rows(), move):
        return
    if not ran("unpool", role, *cut, move) and (cut[1] == 1 or not ran("unpool", role, *whole, move)):
        raise scatter.wrong(call)
