"""Arrays for the simulator: Numba's, and those of libraries that speak one protocol alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.cuda import dlpack


def on_device(x: np.ndarray) -> Any:
    """One of Numba's device arrays, with the strides of ``x``."""
    from numba import cuda

    return type(cuda.to_device(np.zeros(1)))(x)


def host(array: Any) -> np.ndarray:
    """The elements of an array on the device."""
    if isinstance(array, np.ndarray):
        return array
    if isinstance(array, Interface | Capsule):
        return array.data
    return array.copy_to_host()


class Interface:
    """An array that has ``__cuda_array_interface__`` alone."""

    def __init__(self, data: np.ndarray, **said: Any) -> None:
        self.data = data
        self.said = said

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        own = self.data.__array_interface__
        said = {name: own[name] for name in ("shape", "typestr", "strides", "data")}
        return {**said, "version": 3, **self.said}


class Capsule:
    """An array of a library that speaks DLPack alone, and says that it is on a CUDA device."""

    asked: list[Any] = []  # noqa: RUF012

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, stream: Any = None) -> Any:
        self.asked.append(stream)
        return self.data.__dlpack__()

    @staticmethod
    def from_dlpack(other: Any) -> Capsule:
        assert other.__dlpack_device__() == (2, 0)
        capsule = other.__dlpack__(stream=7)
        found = dlpack.read(capsule)
        item = np.dtype(np.uint16 if found.dtype == "bf16" else dlpack_type(found.dtype))
        strides = None if found.strides is None else tuple(step * item.itemsize for step in found.strides)
        place = {"data": (found.address, False), "shape": found.shape, "typestr": item.str, "strides": strides}
        # the capsule holds the memory
        holder = type("Holder", (), {"__array_interface__": place | {"version": 3}, "capsule": capsule})()
        return Capsule(np.asarray(holder))


def dlpack_type(short: str) -> str:
    """NumPy's name of an element type."""
    kinds = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}
    return "bool" if short == "b1" else kinds[short[0]] + short[1:]
