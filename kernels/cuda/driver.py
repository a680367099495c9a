"""Loading and launching through the driver itself: a launch with packed arguments takes microseconds.

Numba compiles and links a kernel; from then on only its handle is needed. Numba's own launch looks at every argument
anew and takes up to 90 us.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastpool.kernels.cuda import package

_BUFFER, _SIZE, _END = 1, 2, 0
"""The words of a launch's ``extra`` argument: CU_LAUNCH_PARAM_BUFFER_POINTER, ..._BUFFER_SIZE, ..._END."""


@functools.cache
def library() -> Any:
    """The driver's library, with the types of the functions that are used here."""
    lib: Any = ctypes.CDLL("libcuda.so.1")
    word, pointer = ctypes.c_void_p, ctypes.POINTER
    # Asked at each launch, and answered at once: it takes half as long if it does not release the interpreter's lock.
    # It and a launch have no types here, since their arguments are objects of ctypes, made once.
    lib.cuCtxGetDevice = ctypes.PyDLL("libcuda.so.1").cuCtxGetDevice
    lib.cuDeviceGet.argtypes = [pointer(ctypes.c_int), ctypes.c_int]
    lib.cuDevicePrimaryCtxRetain.argtypes = [pointer(word), ctypes.c_int]
    lib.cuCtxPushCurrent_v2.argtypes = [word]
    lib.cuCtxPopCurrent_v2.argtypes = [pointer(word)]
    lib.cuMemAlloc_v2.argtypes = [pointer(ctypes.c_uint64), ctypes.c_size_t]
    lib.cuMemFree_v2.argtypes = [ctypes.c_uint64]
    lib.cuMemcpyHtoD_v2.argtypes = [ctypes.c_uint64, word, ctypes.c_size_t]
    lib.cuMemcpyDtoH_v2.argtypes = [word, ctypes.c_uint64, ctypes.c_size_t]
    lib.cuGetErrorString.argtypes = [ctypes.c_int, pointer(ctypes.c_char_p)]
    lib.cuStreamSynchronize.argtypes = [word]
    return lib


def _functions() -> tuple[int, int] | None:
    """Where cuCtxGetDevice and cuLaunchKernelEx lie, if machine code can be compiled that calls them."""
    if not _compiles():
        return None
    lib = library()
    where, launch = (ctypes.cast(each, ctypes.c_void_p).value for each in (lib.cuCtxGetDevice, lib.cuLaunchKernelEx))
    return (where, launch) if where and launch else None


@functools.cache
def _compiles() -> bool:
    try:
        from fastpool.kernels.cuda import launching

        launching.launcher(b"", print)
    # whatever a compiler raises that is of another version; launches go without it
    except Exception:
        return False
    return True


def check(status: int, doing: str) -> None:
    """An error where the driver reports one."""
    if status:
        text = ctypes.c_char_p()
        library().cuGetErrorString(status, ctypes.byref(text))
        said = (text.value or b"unknown").decode()
        raise RuntimeError(
            f"fastpool.cuda: {doing}: the driver reports error {status}, {said}; "
            "an earlier call on this device may have caused it"
        )


@functools.cache
def _primary(device: int) -> int:
    """The context of a device that other libraries use, too."""
    handle, context = ctypes.c_int(), ctypes.c_void_p()
    check(library().cuDeviceGet(ctypes.byref(handle), device), f"opening device {device}")
    check(library().cuDevicePrimaryCtxRetain(ctypes.byref(context), handle), f"opening device {device}")
    return int(context.value or 0)


@contextmanager
def current(device: int) -> Iterator[None]:
    """Makes a device's context the current one for a block of code, unless it is."""
    lib, now = library(), ctypes.c_int(-1)
    if lib.cuCtxGetDevice(ctypes.byref(now)) == 0 and now.value == device:
        yield
        return
    check(lib.cuCtxPushCurrent_v2(_primary(device)), f"switching to device {device}")
    try:
        yield
    finally:
        lib.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


class Memory:
    """A copy of some bytes on a device; freed when nothing refers to it any more."""

    def __init__(self, device: int, data: bytes) -> None:
        self.device = device
        address = ctypes.c_uint64()
        lib = library()
        with current(device):
            check(lib.cuMemAlloc_v2(ctypes.byref(address), len(data)), f"allocating {len(data)} bytes")
            self.address = address.value
            check(lib.cuMemcpyHtoD_v2(self.address, data, len(data)), f"copying {len(data)} bytes to the device")

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        address = getattr(self, "address", 0)
        # the memory goes with the process
        if address and not ending():
            with current(self.device):
                library().cuMemFree_v2(address)


class _Config(ctypes.Structure):
    """CUlaunchConfig: how a kernel is launched, without attributes."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("stream", ctypes.c_uint64),
        ("attributes", ctypes.c_void_p),
        ("count", ctypes.c_uint),
    )


class Launch:
    """A kernel on a device, with its grid and all of its arguments but three addresses.

    Arguments lie in slots of eight bytes: the addresses that come ``first`` at each launch, three that change, and the
    ``rest``, which are the parameter and the numbers. A launch ``keeps`` what must live as long as it does.
    """

    def __init__(
        self,
        kernel: Any,
        device: int,
        grid: int,
        block: tuple[int, int],
        first: tuple[int, ...],
        rest: bytes,
        keeps: object = None,
    ) -> None:
        self._keeps = keeps
        self._device = device
        with current(device):
            self._handle = package.loaded(kernel, device)
        lib = library()
        # one structure instead of seven numbers, which ctypes converts in 3 us
        self._call, self._where = lib.cuLaunchKernelEx, lib.cuCtxGetDevice
        self._config = ((grid, 1, 1), (*block, 1))
        self._type = ctypes.c_uint64 * (len(first) + 3 + len(rest) // 8)
        self._blank = struct.pack(f"={len(first) + 3}Q", *first, 0, 0, 0) + rest
        self._at = 8 * len(first)
        self._free: list[tuple[Any, ...]] = []
        # the same as to call the launch, in a fifth of the time
        self.queue: Callable[[int, int, int, int], None] = self._compiled() or self.__call__

    def _compiled(self) -> Any:
        """The builtin that launches; None where it cannot be compiled."""
        functions = _functions()
        if functions is None:
            return None
        from fastpool.kernels.cuda import launching

        at, device, keeps = self._at // 8, self._device, self._keeps
        block = launching.block(functions, self._handle, device, at, *self._config, self._blank)

        def failed(status: int, *arguments: int, keeps: object = keeps) -> None:
            if status == launching.WRONG_DEVICE:
                with current(device):
                    again(*arguments)
            else:
                check(status, "launching a kernel")

        def stop(status: int, *_: int) -> None:
            # a device that is not current where it was just made so has a context that is broken
            check(201 if status == launching.WRONG_DEVICE else status, "launching a kernel")

        again = launching.launcher(block, stop)
        return launching.launcher(block, failed)

    def _packed(self) -> tuple[Any, ...]:
        """(the slots, the structure, a place for a device's number and how to pass that, what a launch is given)."""
        slots = self._type.from_buffer_copy(self._blank)
        size, now = ctypes.c_size_t(ctypes.sizeof(self._type)), ctypes.c_int(-1)
        extra = (ctypes.c_void_p * 5)(_BUFFER, ctypes.addressof(slots), _SIZE, ctypes.addressof(size), _END)
        config = _Config(*self._config)
        arguments = (ctypes.byref(config), ctypes.c_void_p(self._handle), None, ctypes.byref(extra))
        return slots, config, now, ctypes.byref(now), arguments, size

    def __call__(self, source: int, output: int, aux: int, stream: int) -> None:
        """Queues the kernel on a stream, for arrays at these addresses."""
        # The driver copies what is packed. Threads take blocks of their own, since a launch lets other threads run;
        # to make a block takes as long as the rest of a launch.
        try:
            packed = self._free.pop()
        except IndexError:
            packed = self._packed()
        slots, config, now, pointer, arguments, _ = packed
        _pack(slots, self._at, source, output, aux)
        if config.stream != stream:
            config.stream = stream
        if self._where(pointer) == 0 and now.value == self._device:
            status = self._call(*arguments)
        else:
            with current(self._device):
                status = self._call(*arguments)
        self._free.append(packed)
        if status:
            check(status, "launching a kernel")


_pack = struct.Struct("=3Q").pack_into
