"""What is asked of the driver, and what is said where a part is missing, with a driver that only takes notes."""

from __future__ import annotations

import gc
import sys
import types
from contextlib import contextmanager

import numpy as np
import pytest

import fastpool.kernels.cuda
from fastpool.cuda import devices, memory
from fastpool.cuda.memory import DeviceArray


class Driver:
    """The functions of libcuda that fastpool calls. ``calls`` are their names and plain arguments."""

    def __init__(self) -> None:
        self.calls = []
        self.version, self.devices, self.capability, self.status = 13000, 2, (9, 0), 0
        self.lost = False

    def __getattr__(self, name):
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments):
            self.calls.append((name, *[value for value in arguments if isinstance(value, int)]))
            first = getattr(arguments[0], "_obj", None)
            if name == "cuDriverGetVersion":
                first.value = self.version
            elif name == "cuDeviceGetCount":
                first.value = self.devices
            elif name == "cuDeviceGetAttribute":
                first.value = self.capability[arguments[1] - 75]
            elif name == "cuDeviceGetName":
                arguments[0].value = b"Some GPU"
            elif name == "cuDeviceTotalMem_v2":
                first.value = 80 << 30
            elif name == "cuPointerGetAttribute":
                first.value = 1
                return 0 if arguments[2] else 1
            elif name == "cuMemAllocAsync":
                first.value = 4096
            elif name == "cuEventCreate":
                first.value = 99
            elif name == "cuMemFreeAsync" and self.lost and arguments[1]:
                return 400
            return self.status

        return call


@pytest.fixture
def driver(monkeypatch):
    driver = Driver()
    package = types.ModuleType("fastpool.kernels.cuda.package")
    package.SIMULATED, package.builtin, package.toolkit = False, lambda: False, lambda: (13, 2)
    monkeypatch.setitem(sys.modules, "fastpool.kernels.cuda.package", package)
    monkeypatch.setattr(fastpool.kernels.cuda, "package", package, raising=False)
    driver.package = package

    @contextmanager
    def current(device):
        driver.calls.append(("current", device))
        yield

    monkeypatch.setattr(devices, "driver", lambda: driver)
    monkeypatch.setattr(memory, "_calls", lambda: driver)
    monkeypatch.setattr(memory, "current", current)
    monkeypatch.setattr(devices, "_fine", set())
    forget()
    yield driver
    monkeypatch.undo()
    forget()


def forget():
    for function in (devices._missing_parts, devices.count, devices.capability):
        function.cache_clear()


def trouble():
    rule, way_out = devices.trouble()
    return f"{rule}; {way_out}"


def test_all_is_well(driver):
    assert devices.trouble(0) == devices.trouble(1) == ("", "")
    devices.check("f", "x", 1)
    asked = len(driver.calls)
    devices.check("f", "x", 1)
    assert len(driver.calls) == asked
    assert devices.device_of(4096) == 1
    assert devices.device_of(0) == -1


def test_what_may_be_missing(driver, monkeypatch):
    driver.package.builtin = lambda: True
    assert trouble().startswith("it needs the package numba-cuda, which is not installed")
    assert "pip install 'numba-cuda[cu13]'" in trouble()
    forget()
    driver.package.builtin = lambda: False
    driver.version = 11080
    assert trouble() == "the driver is one of CUDA 11.8, and 12.0 is needed; install a newer driver"
    forget()
    driver.version = 12040
    assert trouble() == (
        "the driver is one of CUDA 12.4, and the compilers are those of 13.2; "
        "install a newer driver, or numba-cuda[cu12]"
    )
    forget()
    # compilers that do not say
    driver.package.toolkit = lambda: (0, 0)
    assert devices.trouble() == ("", "")
    forget()
    driver.devices = 0
    assert trouble() == "there is no CUDA device that this process can use; pool on the CPU"
    forget()

    def no_driver():
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(devices, "driver", no_driver)
    assert trouble().startswith("there is no NVIDIA driver (libcuda.so.1 is not found); ")
    forget()
    monkeypatch.setitem(sys.modules, "fastpool.kernels.cuda.package", None)
    monkeypatch.delattr(fastpool.kernels.cuda, "package")
    assert "which cannot be imported" in trouble()


def test_devices_that_are_not_there_or_too_old(driver):
    with pytest.raises(ValueError, match="f: x on cuda:2: there is no such device: this process sees 2 CUDA devices; "):
        devices.check("f", "x on cuda:2", 2)
    driver.capability = (7, 0)
    with pytest.raises(ValueError, match=r"device 1 has compute capability 7.0, and 7.5 is needed; pool on the CPU"):
        devices.check("f", "x", 1)


def test_report(driver):
    report = devices.report()
    assert report["available"] is True
    assert report["driver"] == "CUDA 13.0"
    assert report["compilers"] == "CUDA 13.2"
    assert report["device 1"] == "Some GPU, capability 9.0, 80.0 GiB"
    forget()
    driver.devices = 0
    report = devices.report()
    assert report["available"] is False
    assert report["reason"].startswith("there is no CUDA device")
    assert "driver" not in report


def test_memory_is_taken_and_freed_in_the_order_of_a_stream(driver):
    made = DeviceArray((2, 3), "f32", (), 1, 55)
    assert made.address == 4096
    assert driver.calls == [("current", 1), ("cuMemAllocAsync", 24, 55)]
    view = made.reshape((2, 1, 3))
    del made
    gc.collect()
    driver.calls.clear()
    del view
    gc.collect()
    assert driver.calls == [("current", 1), ("cuMemFreeAsync", 4096, 55)]
    driver.lost = True
    del driver.calls[:]
    DeviceArray((1,), "u8", (), 0, 56)
    gc.collect()
    assert driver.calls[-2:] == [("cuMemFreeAsync", 4096, 56), ("cuMemFreeAsync", 4096, 0)]


def test_streams_wait_on_the_device(driver):
    memory.order(1, 7, 8)
    assert [name for name, *_ in driver.calls] == [
        "current",
        "cuEventCreate",
        "cuEventRecord",
        "cuStreamWaitEvent",
        "cuEventDestroy_v2",
    ]
    assert driver.calls[2] == ("cuEventRecord", 7)
    assert driver.calls[3] == ("cuStreamWaitEvent", 8, 0)
    driver.calls.clear()
    # both are the default stream
    memory.order(0, 0, 1)
    memory.order(0, 5, 5)
    assert driver.calls == []


def test_copies(driver):
    data = np.zeros(6, np.float32)
    memory.upload(data, 4096, 0, 3)
    memory.download(4096, data, 0, 3)
    names = [name for name, *_ in driver.calls]
    assert names == [
        "current",
        "cuMemcpyHtoDAsync_v2",
        "cuStreamSynchronize",
        "current",
        "cuMemcpyDtoHAsync_v2",
        "cuStreamSynchronize",
    ]
    assert driver.calls[1][1:] == (4096, data.ctypes.data, 24, 3)


def test_an_array_of_our_own_describes_itself(driver):
    made = DeviceArray((2, 3), "f32", (1, 0), 1, 0)
    assert made.__cuda_array_interface__ == {
        "shape": (2, 3),
        "strides": (4, 8),
        "typestr": "<f4",
        "data": (4096, False),
        "stream": 1,
        "version": 3,
    }
    assert made.__dlpack_device__() == (2, 1)
    driver.calls.clear()
    made.__dlpack__(stream=9)
    assert ("cuStreamWaitEvent", 9, 0) in driver.calls
    driver.calls.clear()
    made.__dlpack__(stream=-1)
    assert driver.calls == []
    with pytest.raises(BufferError):
        made.__dlpack__(dl_device=(1, 0))
