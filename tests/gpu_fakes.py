"""torch, CuPy and JAX as they are with a GPU, on memory of the host: what fastpool asks of each, and nothing else."""

from __future__ import annotations

import types
from typing import Any, NamedTuple

import numpy as np

TYPES = {
    "bool": "?",
    "uint8": "B",
    "uint16": "H",
    "int32": "i",
    "int64": "q",
    "float16": "e",
    "bfloat16": "H",
    "float32": "f",
    "float64": "d",
    "complex64": "F",
}


class Dtype:
    def __init__(self, name: str) -> None:
        self.name = name
        self.is_complex = name.startswith("complex")

    def __repr__(self) -> str:
        return f"torch.{self.name}"


def fake_torch() -> Any:
    """A module like torch. ``made`` are the arguments of its ``empty_strided``, ``streams`` the current ones."""
    torch = types.ModuleType("torch")
    torch.strided, torch.sparse_coo = "torch.strided", "torch.sparse_coo"
    for name in TYPES:
        setattr(torch, name, Dtype(name))
    torch.made, torch.written, torch.streams = [], [], {0: 100, 1: 200}
    torch.grads = True

    class Device:
        def __init__(self, kind: str, index: int) -> None:
            self.type, self.index = kind, index

        def __str__(self) -> str:
            return f"{self.type}:{self.index}"

    class Tensor:
        def __init__(self, data: np.ndarray, dtype: Any = None, device: int = 0, requires_grad: bool = False) -> None:
            self.data, self.requires_grad, self.number = data, requires_grad, device
            self.dtype = dtype or getattr(torch, data.dtype.name)
            self.device = Device("cuda" if device >= 0 else "cpu", device)
            self.layout = torch.strided
            self.conjugate = False

        @property
        def shape(self) -> tuple[int, ...]:
            return self.data.shape

        def stride(self) -> tuple[int, ...]:
            return tuple(step // self.data.itemsize for step in self.data.strides)

        def get_device(self) -> int:
            return self.number

        def is_contiguous(self) -> bool:
            return self.data.flags.c_contiguous

        def data_ptr(self) -> int:
            return self.data.__array_interface__["data"][0]

        def numpy(self) -> np.ndarray:
            return self.data

        def detach(self) -> Any:
            return Tensor(self.data, self.dtype, self.number)

        def is_conj(self) -> bool:
            return self.conjugate

        def is_neg(self) -> bool:
            return False

        def view(self, dtype: Any) -> Any:
            return Tensor(self.data.view(TYPES[dtype.name]), dtype, self.number)

        def reshape(self, shape: tuple[int, ...]) -> Any:
            return Tensor(self.data.reshape(shape), self.dtype, self.number)

    def empty_strided(shape: Any, strides: Any, *, dtype: Any, device: Any) -> Any:
        torch.made.append((tuple(shape), tuple(strides), str(device)))
        item = np.dtype(TYPES[dtype.name])
        room = np.zeros(max(1, int(np.prod(shape))), item)
        data = np.lib.stride_tricks.as_strided(room, shape, [step * item.itemsize for step in strides])
        return Tensor(data, dtype, int(str(device).partition(":")[2]))

    torch.Tensor, torch.empty_strided, torch.device = Tensor, empty_strided, Device
    torch.is_grad_enabled = lambda: torch.grads
    torch.version = types.SimpleNamespace(hip=None)
    torch.autograd = types.SimpleNamespace(graph=types.SimpleNamespace(increment_version=torch.written.append))
    torch._C = types.SimpleNamespace(_cuda_getCurrentRawStream=lambda device: torch.streams[device])
    torch.cuda = types.SimpleNamespace(
        current_stream=lambda device: types.SimpleNamespace(cuda_stream=torch.streams[device])
    )
    return torch


def fake_cupy() -> Any:
    """A module like CuPy."""
    cupy = types.ModuleType("cupy")
    cupy.made, cupy.stack = [], [0]

    class Device:
        def __init__(self, number: int) -> None:
            self.id = number

        def __enter__(self) -> None:
            cupy.stack.append(self.id)

        def __exit__(self, *_: Any) -> None:
            cupy.stack.pop()

    class ndarray:  # noqa: N801
        def __init__(self, array: np.ndarray, device: int) -> None:
            self.array, self.device = array, Device(device)
            self.data = types.SimpleNamespace(ptr=array.__array_interface__["data"][0], device_id=device)
            self.shape, self.strides, self.dtype = array.shape, array.strides, array.dtype

        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            # CuPy is asked directly
            return {}

        def transpose(self, axes: tuple[int, ...]) -> Any:
            return ndarray(self.array.transpose(axes), self.device.id)

        def reshape(self, shape: tuple[int, ...]) -> Any:
            return ndarray(self.array.reshape(shape), self.device.id)

    def empty(shape: tuple[int, ...], dtype: Any) -> Any:
        cupy.made.append((tuple(shape), cupy.stack[-1]))
        return ndarray(np.zeros(shape, dtype), cupy.stack[-1])

    cupy.ndarray, cupy.empty = ndarray, empty
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        runtime=types.SimpleNamespace(is_hip=False, getDevice=lambda: cupy.stack[-1]),
        get_current_stream=lambda device: types.SimpleNamespace(ptr=300 + device),
    )
    return cupy


def fake_jax() -> Any:
    """A module like JAX. ``asked`` are the streams on which its arrays were asked for."""
    from fastpool.cuda import dlpack

    class Device(NamedTuple):
        platform: str
        id: int

    jax = types.ModuleType("jax")
    jax.asked = []

    class Array:
        def __init__(self, data: np.ndarray, device: int = 0, more: int = 0) -> None:
            self.data, self.number, self.more = data, device, more
            self.dtype = data.dtype

        def devices(self) -> set[Any]:
            return {Device("gpu", self.number + i) for i in range(self.more + 1)}

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, self.number

        def __dlpack__(self, stream: Any = None) -> Any:
            jax.asked.append(stream)
            return self.data.__dlpack__()

    def from_dlpack(other: Any) -> Any:
        number = other.__dlpack_device__()[1]
        capsule = other.__dlpack__(stream=77)
        found = dlpack.read(capsule)
        holder = type("Holder", (), {})()
        holder.capsule = capsule
        item = np.dtype({"f32": "f", "i64": "q", "u8": "B"}[found.dtype])
        strides = None if found.strides is None else tuple(step * item.itemsize for step in found.strides)
        holder.__array_interface__ = {
            "data": (found.address, False),
            "shape": found.shape,
            "typestr": item.str,
            "strides": strides,
            "version": 3,
        }
        return Array(np.asarray(holder), number)

    jax.Array = Array
    jax.core = types.SimpleNamespace(Tracer=type("Tracer", (), {}))
    jax.dlpack = types.SimpleNamespace(from_dlpack=from_dlpack)
    jax.config = types.SimpleNamespace(jax_enable_x64=False)
    return jax
