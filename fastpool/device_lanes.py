"""The arrays on a GPU that a repeated call knows again: what it asks of each library, as directly as it can be asked.

Looking at an array in full takes some ten microseconds, most of them in the library's own functions; a lane asks for
what the outcome of a call depends on, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastpool.device_arrays import (
    CupyKind,
    DeviceKind,
    OnDevice,
    TorchCuda,
    numpy_type,
    on_device,
    storage_type,
    torch_stream,
)
from fastpool.problem import DTYPES, Ints


@dataclass(frozen=True)
class Lane:
    """A type of arrays.

    look(x)             what the checks of a call depend on, or None where they have to be made
    address(x)          where its first element lies
    stream(device)      the handle of the stream that is current on a device
    maker(...)          a function without arguments that makes an array, from a kind, shape, strides and element type
    wrote(out)          tells the library that an array was written
    """

    look: Callable[[Any], Hashable | None]
    address: Callable[[Any], int]
    stream: Callable[[int], int]
    maker: Callable[[Any, Ints, Ints, str], Callable[[], Any]]
    wrote: Callable[[Any], None]


def _found(place: Any, *names: str) -> Any:
    """What lies behind some names, or None."""
    for name in names:
        place = getattr(place, name, None)
    return place


def _torch(kind: TorchCuda) -> Lane:
    torch = kind.torch
    strided, grads = torch.strided, torch.is_grad_enabled
    # what torch's own compiler makes arrays with, on the current device, in half the time
    quick = _found(torch, "_C", "_dynamo", "guards", "_empty_strided_cuda")
    now = _found(torch, "_C", "_cuda_getDevice")

    # to look for a type here takes a fifth of the time of its is_complex
    parts = {getattr(torch, name, None) for name in ("complex32", "complex64", "complex128")}

    def look(x: Any) -> Hashable | None:
        dtype = x.dtype
        if x.layout is not strided or (x.requires_grad and grads()) or x.is_neg() or (dtype in parts and x.is_conj()):
            return None
        # C order says all of strides that a call depends on, and is found in half the time
        return (dtype, x.get_device(), x.shape, x.is_contiguous() or x.stride())

    def maker(kind: TorchCuda, shape: Ints, strides: Ints, dtype: str) -> Callable[[], Any]:
        element, number = getattr(torch, DTYPES[dtype]), kind.device
        make = partial(torch.empty_strided, shape, strides, dtype=element, device=torch.device("cuda", number))
        if quick is None or now is None:
            return make
        shape, strides = tuple(map(int, shape)), tuple(map(int, strides))
        return lambda: quick(shape, strides, element) if now() == number else make()

    return Lane(look, torch.Tensor.data_ptr, torch_stream(torch), maker, torch.autograd.graph.increment_version)


def _cupy(kind: CupyKind) -> Lane:
    cupy = kind.cupy
    streams, now = cupy.cuda.get_current_stream, cupy.cuda.runtime.getDevice

    def look(x: Any) -> Hashable | None:
        # to ask x.device for its number makes an object
        return (x.dtype, x.data.device_id, x.shape, x.strides)

    def address(x: Any) -> int:
        return x.data.ptr  # type: ignore[no-any-return]

    def stream(device: int) -> int:
        return streams(device).ptr  # type: ignore[no-any-return]

    def maker(kind: CupyKind, shape: Ints, strides: Ints, dtype: str) -> Callable[[], Any]:
        order = tuple(int(axis) for axis in np.argsort([-step for step in strides], kind="stable"))
        device, item, plain = kind.device, numpy_type(dtype), order == tuple(range(len(shape)))

        def make() -> Any:
            # memory comes from the current device, which need not be made so where it is, nor axes be turned
            if plain and now() == device:
                return cupy.empty(shape, item)
            return kind.new(shape, dtype, strides, order)[0]

        return make

    return Lane(look, address, stream, maker, lambda out: None)


def lane_of(kind: DeviceKind) -> Lane | None:
    """The lane of a kind, if it has one."""
    if isinstance(kind, TorchCuda):
        return _torch(kind)
    return _cupy(kind) if isinstance(kind, CupyKind) else None


class Form(NamedTuple):
    """What is known of an array of a repeated call but where it lies.

    ``low`` and ``high`` are the bytes from the first element's address to the ends of what it spans. ``shape`` and
    ``strides``, in bytes, are those that kernels see: with all axes.
    """

    low: int
    high: int
    shape: Ints
    strides: Ints
    item: np.dtype[Any]

    @classmethod
    def of(cls, data: np.ndarray[Any, np.dtype[Any]]) -> Form:
        """The form of an array in storage form."""
        steps = [(size - 1) * step for size, step in zip(data.shape, data.strides, strict=True)]
        low = sum(min(step, 0) for step in steps)
        high = sum(max(step, 0) for step in steps) + data.itemsize
        return cls(low, high, data.shape, data.strides, data.dtype)

    def at(self, address: int, owner: Any) -> OnDevice:
        """The array in storage form."""
        return on_device(address, self.shape, self.strides, self.item, owner)


def new_form(shape: Ints, order: Ints, dtype: str) -> Form:
    """The form of an array that a call makes."""
    item = storage_type(dtype)
    steps, count = [0] * len(shape), item.itemsize
    for axis in reversed(order or range(len(shape))):
        steps[axis] = count
        count *= shape[axis]
    return Form(0, count, shape, tuple(steps), item)
