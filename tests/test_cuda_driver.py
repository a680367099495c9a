"""Launches through the driver, with a driver that only writes down what it is asked for."""

from __future__ import annotations

import ctypes
import struct
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from fastpool.kernels.cuda import driver, package


class Recorder:
    """Stands for the driver's library: one current device, memory by address, and the arguments of launches."""

    def __init__(self) -> None:
        self.current = [0]
        self.launched = []
        self.freed = []
        self.copied = {}
        self.status = 0
        self.before = lambda: None

    def cuCtxGetDevice(self, number):  # noqa: N802
        number._obj.value = self.current[-1]
        return 0

    def cuDeviceGet(self, handle, number):  # noqa: N802
        handle._obj.value = number
        return 0

    def cuDevicePrimaryCtxRetain(self, context, handle):  # noqa: N802
        context._obj.value = 1000 + handle.value
        return 0

    def cuCtxPushCurrent_v2(self, context):  # noqa: N802
        self.current.append(context - 1000)
        return 0

    def cuCtxPopCurrent_v2(self, context):  # noqa: N802
        self.current.pop()
        return 0

    def cuMemAlloc_v2(self, address, size):  # noqa: N802
        address._obj.value = 4096 * (len(self.copied) + 1)
        return 0

    def cuMemcpyHtoD_v2(self, address, data, size):  # noqa: N802
        self.copied[address] = (self.current[-1], bytes(data)[:size])
        return 0

    def cuMemFree_v2(self, address):  # noqa: N802
        self.freed.append(address)
        return 0

    def cuGetErrorString(self, status, text):  # noqa: N802
        text._obj.value = b"an illegal memory access was encountered"
        return 0

    def cuLaunchKernelEx(self, config, function, params, extra):  # noqa: N802
        self.before()
        # CUlaunchConfig: seven numbers, a gap, a stream, a pointer and a number
        words = struct.unpack("7I4xQQI", ctypes.string_at(ctypes.addressof(config._obj), 52))
        *sizes, shared, stream, attributes, count = words
        extra = extra._obj
        assert (params, attributes, count) == (None, 0, 0)
        assert [extra[0], extra[2], extra[4]] == [1, 2, None]
        size = ctypes.c_size_t.from_address(extra[3]).value
        data = ctypes.string_at(extra[1], size)
        self.launched.append(
            (self.current[-1], function.value, tuple(sizes[:3]), tuple(sizes[3:]), shared, stream, data)
        )
        return self.status


def functions_of(recorder):
    """The recorder's functions for machine code: cuCtxGetDevice and cuLaunchKernelEx."""

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int))
    def where(number):
        number[0] = recorder.current[-1]
        return 0

    @ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)
    def launch(config, function, params, extra):
        config = SimpleNamespace(_obj=driver._Config.from_address(config))
        extra = SimpleNamespace(_obj=(ctypes.c_void_p * 5).from_address(extra))
        return recorder.cuLaunchKernelEx(config, SimpleNamespace(value=function), params, extra)

    return where, launch


@pytest.fixture(params=["ctypes", "compiled"])
def recorder(monkeypatch, request):
    found = Recorder()
    monkeypatch.setattr(driver, "library", lambda: found)
    monkeypatch.setattr(package, "loaded", lambda kernel, device: 77 + device)
    functions = functions_of(found)
    if request.param == "compiled":
        assert driver._compiles()
        addresses = tuple(ctypes.cast(function, ctypes.c_void_p).value for function in functions)
        monkeypatch.setattr(driver, "_functions", lambda: addresses)
    else:
        monkeypatch.setattr(driver, "_functions", lambda: None)
    driver._primary.cache_clear()
    yield found
    driver._primary.cache_clear()


def test_arguments_lie_in_slots_of_eight_bytes(recorder):
    rest = struct.pack("<f4xqq", 2.5, -7, 2**40)
    launch = driver.Launch("kernel", 0, 12, (32, 8), (0x3000,), rest).queue
    launch(0x1000, 0x2000, 0, 99)
    ((device, function, grid, block, shared, stream, data),) = recorder.launched
    assert (device, function, grid, block, shared, stream) == (0, 77, (12, 1, 1), (32, 8, 1), 0, 99)
    assert struct.unpack("<QQQQf4xqq", data) == (0x3000, 0x1000, 0x2000, 0, 2.5, -7, 2**40)


def test_each_launch_has_arguments_of_its_own(recorder):
    launch = driver.Launch("kernel", 0, 1, (64, 1), (), bytes(8)).queue
    launch(1, 2, 3, 0)
    launch(4, 5, 0, 7)
    launch(1, 5, 3, 0)
    sent = [(struct.unpack("<QQQQ", data), stream) for *_, stream, data in recorder.launched]
    assert sent == [((1, 2, 3, 0), 0), ((4, 5, 0, 0), 7), ((1, 5, 3, 0), 0)]


def test_a_launch_while_another_one_is_made(recorder):
    """As from another thread: the driver has not read the first one's arguments when the second one comes."""
    launch = driver.Launch("kernel", 0, 1, (64, 1), (), bytes(8)).queue
    inner = [True]

    def within():
        if inner.pop():
            inner.append(False)
            launch(7, 8, 9, 2)

    recorder.before = within
    launch(1, 2, 3, 1)
    sent = [(struct.unpack("<QQQQ", data)[:3], stream) for *_, stream, data in recorder.launched]
    assert sent == [((7, 8, 9), 2), ((1, 2, 3), 1)]
    recorder.before = lambda: None
    launch(4, 5, 6, 1)
    assert struct.unpack("<QQQQ", recorder.launched[-1][-1])[:3] == (4, 5, 6)


def test_threads_launch_the_same(recorder):
    launch = driver.Launch("kernel", 0, 1, (64, 1), (5,), bytes(800)).queue

    def many(first):
        for i in range(first, first + 300):
            launch(i, i + 1, i + 2, i + 3)

    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=many, args=(1000 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(often)
    sent = sorted((*struct.unpack("<4Q", data[:32]), stream) for *_, stream, data in recorder.launched)
    assert sent == [(5, i, i + 1, i + 2, i + 3) for n in range(4) for i in range(1000 * n, 1000 * n + 300)]


def test_each_launch_looks_which_device_is_current(recorder):
    launch = driver.Launch("kernel", 1, 1, (64, 1), (), bytes(8)).queue
    for now in (0, 1, 0):
        recorder.current = [now]
        launch(1, 2, 3, 0)
        assert recorder.launched[-1][0] == 1
        assert recorder.current == [now]


def test_the_arrays_own_device_is_current_during_a_launch_and_no_longer(recorder):
    launch = driver.Launch("kernel", 3, 1, (64, 1), (), bytes(8)).queue
    launch(1, 2, 3, 0)
    assert recorder.launched[0][:2] == (3, 80)
    assert recorder.current == [0]


def test_memory_is_copied_once_and_freed_with_its_last_reference(recorder):
    data = np.arange(3, dtype=np.int64).tobytes()
    memory = driver.Memory(1, data)
    assert recorder.copied == {memory.address: (1, data)}
    address = memory.address
    del memory
    assert recorder.freed == [address]
    assert recorder.current == [0]


def test_an_error_of_the_driver_says_what_was_done_and_what_it_means(recorder):
    launch = driver.Launch("kernel", 0, 1, (64, 1), (), bytes(8)).queue
    recorder.status = 700
    with pytest.raises(
        RuntimeError, match=r"launching a kernel: the driver reports error 700, an illegal memory access"
    ):
        launch(1, 2, 3, 0)


def test_a_context_that_stays_another_device_s_is_an_error(recorder):
    launch = driver.Launch("kernel", 1, 1, (64, 1), (), bytes(8))
    recorder.cuCtxPushCurrent_v2 = lambda context: recorder.current.append(0) or 0
    if launch.queue != launch.__call__:
        with pytest.raises(RuntimeError, match="launching a kernel: the driver reports error 201"):
            launch.queue(1, 2, 3, 0)
        assert recorder.launched == []
    assert recorder.current == [0]


def test_launches_take_four_whole_numbers(recorder):
    launch = driver.Launch("kernel", 0, 1, (64, 1), (), bytes(8)).queue
    for arguments in ((1, 2, 3), (1, 2, 3, 4, 5), (1, 2, "3", 4)):
        with pytest.raises((TypeError, struct.error)):
            launch(*arguments)
    assert recorder.launched == []


def test_a_launch_keeps_no_references(recorder):
    launch = driver.Launch("kernel", 0, 1, (64, 1), (), bytes(8)).queue
    address = 2**45 + 1
    counts = []
    for _ in range(2):
        for _ in range(100):
            assert launch(address, address, 3, 0) is None
        counts.append(sys.getrefcount(address))
    assert counts[0] == counts[1]
