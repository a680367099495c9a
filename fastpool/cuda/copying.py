"""Arrays that are computed on another device than theirs: to a GPU and back, or from a GPU to the host and back.

This is what ``device="cuda"`` does for arrays of the host, and ``device="cpu"`` for arrays on a GPU. It waits for the
result.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.cuda.memory import DeviceArray, download, upload
from fastpool.cuda.place import Place
from fastpool.device_arrays import on_device
from fastpool.host_arrays import SHORT
from fastpool.memory import Array, memory_order, strides_in_order
from fastpool.problem import Ints, Problem

LINK_BYTES = 12e9
"""Bytes per second that a copy from or to ordinary memory is taken to move. It is an assumption, not measured: what
PCI Express 4 gives where memory is not pinned.
"""


def price(sent: int, returned: int) -> str:
    """What the copies of a call are, in words."""
    milliseconds = (sent + returned) / LINK_BYTES * 1e3
    return (
        f"{sent} bytes over the link and {returned} bytes back, "
        f"an estimated {milliseconds:.3g} ms at {LINK_BYTES / 1e9:.0f} GB/s"
    )


def dense(problem: Problem, arrays: tuple[Array | None, ...]) -> Problem:
    """The problem on copies without gaps of these arrays, which are x, y, the indices and what else is read."""
    strides = [() if data is None else strides_in_order(data.shape, memory_order(data)) for data in arrays]
    return problem._replace(
        x_strides=strides[0], y_strides=strides[1], index_strides=strides[2], aux_strides=strides[3]
    )


class _There:
    """A copy on a device of an array of the host, without gaps, with its axes in the same order."""

    def __init__(self, data: Array, device: int) -> None:
        self.data = data
        self.order = memory_order(data)
        self.made = DeviceArray(data.shape, SHORT[data.dtype], self.order, device, 0)
        self.storage = on_device(self.made.address, data.shape, self.made.strides, data.dtype, self.made)

    def _turned(self) -> Array:
        return self.data.transpose(self.order) if self.order else self.data

    def send(self) -> Array:
        upload(np.ascontiguousarray(self._turned()), self.made.address, self.made.device, 0)
        return self.storage

    def fetch(self) -> None:
        turned = self._turned()
        whole = turned if turned.flags.c_contiguous else np.empty(turned.shape, turned.dtype)
        download(self.made.address, whole, self.made.device, 0)
        if whole is not turned:
            turned[...] = whole


def _place(device: int) -> Place:
    def room(shape: Ints, dtype: str) -> Array:
        made = DeviceArray(shape, SHORT[np.dtype(dtype)], (), device, 0)
        return on_device(made.address, shape, None, np.dtype(dtype), made)

    return Place(device, 0, room)


def forward_there(problem: Problem, x: Array, y: Array, indices: Array | None, device: int) -> None:
    """Writes y, and the indices if there are any, from arrays of the host, by way of a GPU."""
    from fastpool.cuda import running

    problem = dense(problem, (x, y, indices, None))
    there, result = _There(x, device), _There(y, device)
    found = None if indices is None else _There(indices, device)
    running.forward(problem, there.send(), result.storage, None if found is None else found.storage, _place(device))
    result.fetch()
    if found is not None:
        found.fetch()


def backward_there(problem: Problem, dy: Array, dx: Array, x: Array | None, indices: Array | None, device: int) -> None:
    """Writes dx from arrays of the host, by way of a GPU."""
    from fastpool.cuda import running

    problem = dense(problem, (dx, dy, indices, x))
    result = _There(dx, device)
    sent = [None if data is None else _There(data, device).send() for data in (dy, x, indices)]
    assert sent[0] is not None
    running.backward(problem, sent[0], result.storage, sent[1], sent[2], _place(device))
    result.fetch()


class _Here:
    """A copy on the host of all memory from an array's first byte on a device to its last, with the same strides."""

    def __init__(self, data: Any, place: Place) -> None:
        self.data, self.place = data, place
        steps = [(size - 1) * step for size, step in zip(data.shape, data.strides, strict=True)]
        low = sum(min(step, 0) for step in steps) if data.size else 0
        high = sum(max(step, 0) for step in steps) + data.itemsize if data.size else 0
        self.address = int(data.__array_interface__["data"][0]) + low
        self.memory = np.empty(high - low, np.uint8)
        self.array: Array = np.ndarray(data.shape, data.dtype, self.memory, -low, data.strides)

    def fetch(self) -> Array:
        download(self.address, self.memory, self.place.device, self.place.stream)
        return self.array

    def room(self) -> Array:
        # between the elements lies what is to stay
        return self.array if self.memory.nbytes == self.data.nbytes else self.fetch()

    def send(self) -> None:
        upload(self.memory, self.address, self.place.device, self.place.stream)


def forward_here(problem: Problem, x: Array, y: Array, indices: Array | None, place: Place) -> None:
    """Writes y, and the indices if there are any, from arrays on a GPU, by way of the host."""
    from fastpool import dispatch

    result = _Here(y, place)
    found = None if indices is None else _Here(indices, place)
    dispatch.forward(problem, _Here(x, place).fetch(), result.room(), None if found is None else found.room())
    result.send()
    if found is not None:
        found.send()


def backward_here(problem: Problem, dy: Array, dx: Array, x: Array | None, indices: Array | None, place: Place) -> str:
    """Writes dx from arrays on a GPU, by way of the host; or says what is wrong with the indices."""
    from fastpool import dispatch

    result = _Here(dx, place)
    fetched = [None if data is None else _Here(data, place).fetch() for data in (dy, x, indices)]
    assert fetched[0] is not None
    wrong = dispatch.backward(problem, fetched[0], result.room(), fetched[1], fetched[2])
    if not wrong:
        result.send()
    return wrong
