"""Arrays of fastpool's own on a GPU, the order of work on two streams, and copies from and to the host.

These arrays are what a call gives back whose array came from a library that can make none itself, and what it computes
in where arrays of the host are pooled on a GPU. Their memory comes from the driver's own pool, in the order of a
stream: neither taking nor freeing it waits for the device.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from fastpool.cuda import dlpack
from fastpool.cuda.devices import driver, simulated
from fastpool.memory import Array, strides_in_order
from fastpool.problem import DTYPES, Ints

LEGACY = 1
"""The default stream as protocols write it; the driver also knows it as 0."""

_NO_TIMING = 2
"""Of an event: CU_EVENT_DISABLE_TIMING."""


@functools.cache
def _calls() -> Any:
    """The driver, ready for what is called here."""
    lib, word, pointer = driver(), ctypes.c_void_p, ctypes.POINTER
    lib.cuMemAllocAsync.argtypes = [pointer(ctypes.c_uint64), ctypes.c_size_t, word]
    lib.cuMemFreeAsync.argtypes = [ctypes.c_uint64, word]
    lib.cuMemcpyHtoDAsync_v2.argtypes = [ctypes.c_uint64, word, ctypes.c_size_t, word]
    lib.cuMemcpyDtoHAsync_v2.argtypes = [word, ctypes.c_uint64, ctypes.c_size_t, word]
    lib.cuEventCreate.argtypes = [pointer(word), ctypes.c_uint]
    lib.cuEventRecord.argtypes = [word, word]
    lib.cuEventDestroy_v2.argtypes = [word]
    lib.cuStreamWaitEvent.argtypes = [word, word, ctypes.c_uint]
    return lib


def check(status: int, doing: str) -> None:
    """An error where the driver reports one."""
    if status:
        from fastpool.kernels.cuda import driver as kernels_driver

        kernels_driver.check(status, doing)


def current(device: int) -> AbstractContextManager[None]:
    """Makes a device the current one for a block of code."""
    from fastpool.kernels.cuda import driver as kernels_driver

    return kernels_driver.current(device)


class DeviceArray:
    """An array on a CUDA device, of fastpool's own.

    It says where its elements are by ``__cuda_array_interface__`` and by DLPack, so that CuPy, torch, JAX and Numba
    take it without a copy: ``cupy.asarray(y)``, ``torch.as_tensor(y)``, ``numba.cuda.as_cuda_array(y)``.
    ``copy_to_host`` gives a NumPy array.

    Attributes
    ----------
    shape, strides : tuple of int
        Strides are in bytes.
    dtype : str
        Name of the element type.
    device : int
        Number of the device.
    stream : int
        Handle of the stream in whose order the elements were written.
    """

    def __init__(self, shape: Ints, short: str, order: Ints, device: int, stream: int) -> None:
        self.shape = shape
        self.short = short
        self.device = device
        self.stream = stream
        self._storage = np.dtype(np.uint16 if short == "bf16" else DTYPES[short])
        steps = strides_in_order(shape, order) or c_strides(shape)
        self.strides = tuple([step * self._storage.itemsize for step in steps])
        size = max(1, self._storage.itemsize * int(np.prod(shape, dtype=np.int64)))
        self._memory: Any = _Room(size, device, stream)
        self.address = int(self._memory.address)

    @property
    def dtype(self) -> str:
        """Name of the element type."""
        return DTYPES[self.short]

    def __repr__(self) -> str:
        return f"<fastpool array of shape {self.shape}, dtype {self.dtype}, on cuda:{self.device}>"

    def reshape(self, shape: Ints) -> DeviceArray:
        """The same memory without axes of length 1, or with more of them."""
        made = DeviceArray.__new__(DeviceArray)
        made.__dict__.update(self.__dict__)
        steps = iter([step for size, step in zip(self.shape, self.strides, strict=True) if size != 1])
        # those of axes of length 1 say nothing
        made.strides = tuple([self._storage.itemsize if size == 1 else next(steps) for size in shape])
        made.shape = shape
        return made

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "strides": self.strides,
            "typestr": "<V2" if self.short == "bf16" else self._storage.str,
            "data": (self.address, False),
            "stream": self.stream or LEGACY,
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self.device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(f"fastpool: {self!r} is given where it lies, and not copied; copy it afterwards")
        if stream != -1:
            order(self.device, self.stream, stream or LEGACY)
        steps = tuple([step // self._storage.itemsize for step in self.strides])
        return dlpack.make(self._memory, self.address, self.device, self.short, self.shape, steps)

    def copy_to_host(self) -> Array:
        """The elements as a NumPy array, when they are there."""
        flat = np.empty(int(np.prod(self.shape, dtype=np.int64)), self._storage)
        download(self.address, flat, self.device, self.stream)
        data: Array = np.ndarray(self.shape, self._storage, flat, strides=self.strides)
        if self.short == "bf16":
            import ml_dtypes

            return data.view(ml_dtypes.bfloat16)
        return data


class _Room:
    """Bytes on a device; given back, in the order of the stream, when nothing refers to it any more."""

    def __init__(self, size: int, device: int, stream: int) -> None:
        self.device, self.stream, self.address = device, stream, 0
        self._host: Any = None
        if simulated():
            self._host = np.empty(size + 16, np.uint8)
            self.address = -(-self._host.ctypes.data // 16) * 16
            return
        address = ctypes.c_uint64()
        with current(device):
            check(_calls().cuMemAllocAsync(ctypes.byref(address), size, stream), f"allocating {size} bytes")
        self.address = address.value

    def __del__(self) -> None:
        if self.address and self._host is None and ctypes is not None:
            with current(self.device):
                # a stream that is gone no longer orders anything
                if _calls().cuMemFreeAsync(self.address, self.stream):
                    _calls().cuMemFreeAsync(self.address, 0)


def c_strides(shape: Ints) -> Ints:
    """Strides in elements of an array in C order."""
    steps, step = [0] * len(shape), 1
    for axis in reversed(range(len(shape))):
        steps[axis] = step
        step *= max(1, shape[axis])
    return tuple(steps)


def order(device: int, first: int, then: int) -> None:
    """Lets what is queued on one stream from now on wait for what is queued on another so far. The host does not wait.

    Streams are handles; 1 stands for the default stream, too.
    """
    first, then = (0 if stream == LEGACY else stream for stream in (first, then))
    if first == then or simulated():
        return
    lib, event = _calls(), ctypes.c_void_p()
    with current(device):
        check(lib.cuEventCreate(ctypes.byref(event), _NO_TIMING), "making an event")
        try:
            check(lib.cuEventRecord(event, first), "recording an event")
            check(lib.cuStreamWaitEvent(then, event, 0), "waiting for an event")
        finally:
            # the driver keeps it until the streams have passed it
            lib.cuEventDestroy_v2(event)


@contextmanager
def joined(device: int, stream: int, read: tuple[Any, ...], written: tuple[Any, ...]) -> Iterator[None]:
    """Work on a stream in a block of code is done between what their own streams do with these arrays.

    Only arrays whose library has said on which stream they are used have one, in their storage form.
    """
    for other in _streams((*read, *written)) - {stream}:
        order(device, other, stream)
    yield
    for other in _streams(written) - {stream}:
        order(device, stream, other)


def _streams(arrays: tuple[Any, ...]) -> set[int]:
    return {data.stream for data in arrays if getattr(data, "stream", None) is not None}


def upload(data: Array, address: int, device: int, stream: int) -> None:
    """Copies an array of the host, without gaps, to a device. Its memory is free again on return."""
    if simulated():
        ctypes.memmove(address, data.ctypes.data, data.nbytes)
        return
    with current(device):
        # from ordinary memory the driver returns when it has read it
        status = _calls().cuMemcpyHtoDAsync_v2(address, data.ctypes.data, data.nbytes, stream)
        check(status, f"copying {data.nbytes} bytes to the device")
        check(_calls().cuStreamSynchronize(stream), "copying to the device")


def download(address: int, data: Array, device: int, stream: int) -> None:
    """Copies from a device to an array of the host, without gaps; waits for what the stream does, and for the copy."""
    if simulated():
        ctypes.memmove(data.ctypes.data, address, data.nbytes)
        return
    with current(device):
        status = _calls().cuMemcpyDtoHAsync_v2(data.ctypes.data, address, data.nbytes, stream)
        check(status, f"copying {data.nbytes} bytes from the device")
        check(_calls().cuStreamSynchronize(stream), "copying from the device")
