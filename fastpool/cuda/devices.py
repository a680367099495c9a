"""Which GPUs there are, and why a call cannot run on one."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from fastpool.errors import value_error

LEAST_DRIVER = (12, 0)
"""CUDA of the oldest driver that is used; memory in the order of streams came with 11.2."""

LEAST_CAPABILITY = (7, 5)
"""The oldest devices that the compilers of CUDA 13 still know."""

BFLOAT_CAPABILITY = (8, 0)
"""The oldest devices that convert bfloat16."""

_DEVICE_ORDINAL = 9
"""Of an address: CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL."""

_MAJOR, _MINOR = 75, 76
"""Of a device: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and ..._MINOR."""


def simulated() -> bool:
    """Whether kernels run in Numba's simulator, in which the memory of the one device is the host's."""
    from fastpool.kernels.cuda import package

    return package.SIMULATED


@functools.cache
def driver() -> Any:
    """The driver's library, ready for what is asked here."""
    from fastpool.kernels.cuda.driver import library

    lib = library()
    word, number, pointer = ctypes.c_void_p, ctypes.c_int, ctypes.POINTER
    lib.cuInit.argtypes = [ctypes.c_uint]
    lib.cuDriverGetVersion.argtypes = [pointer(number)]
    lib.cuDeviceGetCount.argtypes = [pointer(number)]
    lib.cuDeviceGetName.argtypes = [ctypes.c_char_p, number, number]
    lib.cuDeviceTotalMem_v2.argtypes = [pointer(ctypes.c_size_t), number]
    lib.cuDeviceGetAttribute.argtypes = [pointer(number), number, number]
    lib.cuPointerGetAttribute.argtypes = [word, number, ctypes.c_uint64]
    return lib


def device_of(address: int) -> int:
    """The device on which an address lies; -1 for the host's memory."""
    if simulated():
        return 0
    found = ctypes.c_int(-1)
    status = driver().cuPointerGetAttribute(ctypes.byref(found), _DEVICE_ORDINAL, address)
    return found.value if status == 0 else -1


def trouble(device: int = 0) -> tuple[str, str]:
    """Why nothing can run on a device, as a rule and a way out; two empty texts where it can."""
    reason = _missing_parts()
    if reason != ("", ""):
        return reason
    if device >= count():
        have = "1 CUDA device" if count() == 1 else f"{count()} CUDA devices"
        return f"there is no such device: this process sees {have}", "they are numbered from 0"
    if simulated():
        return "", ""
    found = capability(device)
    if found < LEAST_CAPABILITY:
        return (
            f"device {device} has compute capability {_version(found)}, and {_version(LEAST_CAPABILITY)} is needed",
            "pool on the CPU, with device='cpu'",
        )
    return "", ""


_fine: set[int] = set()


def check(called: str, given: str, device: int) -> None:
    """Refuses to run on a device that cannot be used; ``given`` says why it was to be."""
    if device in _fine:
        return
    rule, way_out = trouble(device)
    if rule:
        raise value_error(called, given, rule, way_out)
    _fine.add(device)


@functools.cache
def count() -> int:
    """How many devices this process sees."""
    if simulated():
        return 1
    found = ctypes.c_int(0)
    driver().cuDeviceGetCount(ctypes.byref(found))
    return found.value


@functools.cache
def capability(device: int) -> tuple[int, int]:
    """The compute capability of a device."""
    if simulated():
        return 9, 0
    major, minor = ctypes.c_int(0), ctypes.c_int(0)
    driver().cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    driver().cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    return major.value, minor.value


def _version(pair: tuple[int, int]) -> str:
    return f"{pair[0]}.{pair[1]}"


def driver_version() -> tuple[int, int]:
    """The newest CUDA that the driver can run; (0, 0) where it does not say."""
    found = ctypes.c_int(0)
    driver().cuDriverGetVersion(ctypes.byref(found))
    return found.value // 1000, found.value % 1000 // 10


@functools.cache
def _missing_parts() -> tuple[str, str]:
    """What a call on any GPU lacks, as a rule and a way out."""
    install = "install it with: pip install 'numba-cuda[cu13]', or [cu12] for a driver of CUDA 12"
    try:
        from fastpool.kernels.cuda import package
    except ImportError as error:
        return f"it needs the package numba-cuda, which cannot be imported ({error})", install
    if package.SIMULATED:
        return "", ""
    if package.builtin():
        return "it needs the package numba-cuda, which is not installed (Numba's own CUDA target is not used)", install
    try:
        lib = driver()
    except OSError:
        return "there is no NVIDIA driver (libcuda.so.1 is not found)", "install NVIDIA's driver, or pool on the CPU"
    status = lib.cuInit(0)
    version, compilers = driver_version(), package.toolkit()
    if version != (0, 0) and version < LEAST_DRIVER:
        rule = f"the driver is one of CUDA {_version(version)}, and {_version(LEAST_DRIVER)} is needed"
        return rule, "install a newer driver"
    if version[0] and compilers[0] > version[0]:
        rule = f"the driver is one of CUDA {_version(version)}, and the compilers are those of {_version(compilers)}"
        return rule, f"install a newer driver, or numba-cuda[cu{version[0]}]"
    if status or count() == 0:
        return "there is no CUDA device that this process can use", "pool on the CPU"
    return "", ""


def report() -> dict[str, str | int | bool | list[str]]:
    """What ``show_config`` says of CUDA."""
    from importlib import metadata

    rule, way_out = _missing_parts()
    section: dict[str, str | int | bool | list[str]] = {"available": not rule}
    if rule:
        section |= {"reason": rule, "way out": way_out}
    try:
        section["package"] = f"numba-cuda {metadata.version('numba-cuda')}"
    except metadata.PackageNotFoundError:
        section["package"] = "none"
    if rule:
        return section
    if simulated():
        return section | {"simulator": True}
    section["driver"] = f"CUDA {_version(driver_version())}"
    section["compilers"] = f"CUDA {_version(_toolkit())}"
    for device in range(count()):
        name, size = ctypes.create_string_buffer(256), ctypes.c_size_t(0)
        driver().cuDeviceGetName(name, 256, device)
        driver().cuDeviceTotalMem_v2(ctypes.byref(size), device)
        section[f"device {device}"] = (
            f"{name.value.decode()}, capability {_version(capability(device))}, {size.value / 2**30:.1f} GiB"
        )
    return section


def _toolkit() -> tuple[int, int]:
    from fastpool.kernels.cuda import package

    return package.toolkit()
