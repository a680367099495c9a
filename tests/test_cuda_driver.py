"""Launches through the driver, with a driver that only writes down what it is asked for."""

from __future__ import annotations

import ctypes
import struct

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

    def cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared, stream, params, extra):  # noqa: N802
        assert params is None
        assert [extra[0], extra[2], extra[4]] == [1, 2, None]
        size = ctypes.c_size_t.from_address(extra[3]).value
        self.launched.append(
            (self.current[-1], function, (gx, gy, gz), (bx, by, bz), shared, stream, ctypes.string_at(extra[1], size))
        )
        return self.status


@pytest.fixture
def recorder(monkeypatch):
    found = Recorder()
    monkeypatch.setattr(driver, "library", lambda: found)
    monkeypatch.setattr(package, "loaded", lambda kernel, device: 77 + device)
    driver._primary.cache_clear()
    yield found
    driver._primary.cache_clear()


def test_arguments_lie_in_slots_of_eight_bytes(recorder):
    rest = struct.pack("<f4xqq", 2.5, -7, 2**40)
    launch = driver.Launch("kernel", 0, 12, (32, 8), (rest, 3))
    launch((0x1000, 0x2000, 0), 99)
    ((device, function, grid, block, shared, stream, data),) = recorder.launched
    assert (device, function, grid, block, shared, stream) == (0, 77, (12, 1, 1), (32, 8, 1), 0, 99)
    assert struct.unpack("<QQQf4xqq", data) == (0x1000, 0x2000, 0, 2.5, -7, 2**40)


def test_each_launch_has_arguments_of_its_own(recorder):
    launch = driver.Launch("kernel", 0, 1, (64, 1), (bytes(8), 1))
    launch((1,), 0)
    launch((2,), 0)
    assert [struct.unpack("<QQ", call[-1])[0] for call in recorder.launched] == [1, 2]


def test_the_arrays_own_device_is_current_during_a_launch_and_no_longer(recorder):
    launch = driver.Launch("kernel", 3, 1, (64, 1), (bytes(8), 1))
    launch((1,), 0)
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
    launch = driver.Launch("kernel", 0, 1, (64, 1), (bytes(8), 1))
    recorder.status = 700
    with pytest.raises(
        RuntimeError, match=r"launching a kernel: the driver reports error 700, an illegal memory access"
    ):
        launch((1,), 0)
