"""Launches in the simulator: the same kernel bodies, in plain Python, on memory of the host."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np

from fastpool.kernels.cuda.engine import Kernel
from fastpool.kernels.cuda.package import cuda
from fastpool.kernels.cuda.simulated import Pointer

_one_at_a_time = threading.Lock()


def _pointer(array: np.ndarray | None, dtype: str) -> Pointer:
    """The pointer to an array's first element, which reaches what lies between its lowest and highest address."""
    if array is None or array.size == 0:
        return Pointer(np.empty(0, dtype), 0)
    item = np.dtype(dtype).itemsize
    steps = [(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)]
    low, high = sum(min(step, 0) for step in steps), sum(max(step, 0) for step in steps)
    address = array.__array_interface__["data"][0]
    place = {
        "data": (address + low, False),
        "shape": ((high - low + array.itemsize) // item,),
        "typestr": np.dtype(dtype).str,
    }
    holder = type("Memory", (), {"__array_interface__": place | {"version": 3}})()
    return Pointer(np.asarray(holder), -low // item)


def launch(
    kernel: Kernel, grid: Any, block: Any, arrays: tuple[np.ndarray | None, ...], p: Any, numbers: tuple[int, ...]
) -> None:
    """Runs a kernel over arrays, the plan's first where it has one."""
    pointers = [_pointer(array, dtype) for array, dtype in zip(arrays, kernel.pointers, strict=True)]
    values = tuple(np.int64(n) for n in numbers)
    with _one_at_a_time, warnings.catch_warnings():
        # integers wrap, and floats overflow, as on the device
        warnings.simplefilter("ignore", RuntimeWarning)
        cuda.jit(kernel.function)[grid, block](*pointers, np.dtype(kernel.real).type(p), values)
