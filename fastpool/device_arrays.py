"""Kinds of arrays on a GPU: torch, CuPy, JAX, Numba, and whatever speaks DLPack or has ``__cuda_array_interface__``.

An array in storage form is an ``OnDevice``: a NumPy array made over the device's address, so that shape, strides,
overlap and order in memory are found as for any other. Results are made by the library of the arrays that came in, on
their device; work is queued on the stream that is current there. Nothing is copied, and nothing passes through the
host.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastpool.cuda import dlpack
from fastpool.cuda.devices import device_of
from fastpool.cuda.memory import LEGACY, DeviceArray, c_strides
from fastpool.cuda.place import Place
from fastpool.errors import type_error, type_name, value_error
from fastpool.host_arrays import SHORT, JaxKind, TorchKind, bad_dtype, elsewhere, maker_of
from fastpool.memory import Array, strides_in_order
from fastpool.problem import DTYPES, Ints

_ALLOWED = {np.shares_memory, np.may_share_memory, np.expand_dims}


class OnDevice(np.ndarray[Any, np.dtype[Any]]):
    """Where the elements of an array on a GPU lie. They cannot be read from here.

    ``owner`` is what keeps the memory, ``stream`` the stream that its library has named for the array, or None.
    """

    owner: Any
    stream: int | None

    def __array_finalize__(self, other: Any) -> None:
        self.owner, self.stream = getattr(other, "owner", None), getattr(other, "stream", None)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in _ALLOWED:
            return super().__array_function__(function, types, args, kwargs)
        raise self._unreadable()

    def __repr__(self) -> str:
        address = self.__array_interface__["data"][0]
        return f"<{self.dtype} of shape {self.shape}, strides {self.strides}, at {address:#x} on a CUDA device>"

    __str__ = __repr__

    def _unreadable(self) -> TypeError:
        return type_error("fastpool", repr(self), "its elements are on the device", "copy them to the host first")

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise self._unreadable()

    __array_ufunc__ = __getitem__ = __setitem__ = __iter__ = __contains__ = __bool__ = __reduce__ = _refuse
    __float__ = __int__ = __complex__ = __index__ = __copy__ = __deepcopy__ = _refuse
    copy = astype = tolist = tobytes = item = fill = put = take = sort = dump = tofile = flatten = _refuse
    any = all = sum = mean = min = max = _refuse


class _Memory:
    """Memory at an address, as NumPy asks for it."""

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def on_device(
    address: int,
    shape: Ints,
    strides: Ints | None,
    dtype: np.dtype[Any],
    owner: Any,
    read_only: bool = False,
    stream: int | None = None,
) -> OnDevice:
    """An array in storage form; strides are in bytes, None for C order."""
    described = {"data": (address, read_only), "shape": shape, "strides": strides, "typestr": dtype.str, "version": 3}
    made = np.asarray(_Memory(described)).view(OnDevice)
    made.owner, made.stream = owner, stream
    return made


def storage_type(dtype: str) -> np.dtype[Any]:
    """What an element type is in storage form."""
    return np.dtype(np.uint16 if dtype == "bf16" else DTYPES[dtype])


def short_name(called: str, name: str, dtype: Any) -> str:
    """The short name of one of NumPy's element types, bfloat16 included; an error if it is not pooled."""
    short = "bf16" if dtype.name == "bfloat16" else SHORT.get(dtype)
    if short is None or short in ("fld", "cld"):
        raise bad_dtype(called, name, dtype)
    return short


def _checked(called: str, name: str, data: OnDevice) -> OnDevice:
    if data.flags.aligned and not any(step % data.itemsize for step in data.strides):
        return data
    raise value_error(
        called,
        f"{name} with strides of {data.strides} bytes for elements of {data.itemsize}",
        "on a GPU its elements must be aligned and whole elements apart",
        "give a copy",
    )


class DeviceKind:
    """What all kinds on a GPU have in common: they have no place but their own device."""

    name = ""

    def __init__(self, device: int) -> None:
        self.device = device
        self.where = f"cuda:{device}"

    def stream(self) -> int:
        """The handle of the stream that is current; 0 is the default stream."""
        return 0

    def place(self) -> Place:
        return Place(self.device, self.stream(), self._room)

    def _room(self, shape: Ints, dtype: str) -> Array:
        return self.empty(shape, SHORT[np.dtype(dtype)], ())

    def empty(self, shape: Ints, dtype: str, order: Ints) -> Array:
        item = storage_type(dtype)
        steps = strides_in_order(shape, order) or c_strides(shape)
        owner, address = self.new(shape, dtype, steps, order)
        # the stream that a new array names is this kind's own, which may not be that of the call
        named = owner.stream if isinstance(owner, DeviceArray) else None
        strides = tuple([step * item.itemsize for step in steps])
        return on_device(address, shape, strides, item, owner, stream=named)

    def new(self, shape: Ints, dtype: str, strides: Ints, order: Ints) -> tuple[Any, int]:
        """A new array and its address; strides in elements. fastpool's own, where the library is not asked."""
        made = DeviceArray(shape, dtype, order, self.device, self.stream())
        return made, made.address

    def lacks(self, dtype: str) -> str:
        return ""

    def give(self, data: Any, dtype: str) -> Any:
        made = data.owner
        return made if tuple(made.shape) == data.shape else made.reshape(data.shape)

    def wrote(self, out: Any) -> None:
        pass


class TorchCuda(DeviceKind):
    """torch's tensors on a GPU, on torch's current stream."""

    name = "torch.Tensor"

    def __init__(self, torch: Any, device: int) -> None:
        super().__init__(device)
        self.torch = torch
        self.host = TorchKind(torch)

    def stream(self) -> int:
        return int(torch_stream(self.torch)(self.device))

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        tensor, dtype = self.host.checked(called, name, x, writing)
        item = storage_type(dtype)
        strides = tuple([step * item.itemsize for step in tensor.stride()])
        return on_device(tensor.data_ptr(), tuple(tensor.shape), strides, item, tensor), dtype

    def new(self, shape: Ints, dtype: str, strides: Ints, order: Ints) -> tuple[Any, int]:
        made = self.torch.empty_strided(
            shape, strides, dtype=getattr(self.torch, DTYPES[dtype]), device=f"cuda:{self.device}"
        )
        return made, made.data_ptr()

    def wrote(self, out: Any) -> None:
        self.host.wrote(out)


def torch_stream(torch: Any) -> Any:
    """The function that gives the handle of a device's current stream; torch's own compiler uses the first, which makes
    no object.
    """
    quick = getattr(getattr(torch, "_C", None), "_cuda_getCurrentRawStream", None)
    return quick or (lambda device: torch.cuda.current_stream(device).cuda_stream)


class CupyKind(DeviceKind):
    """CuPy's arrays, on CuPy's current stream."""

    name = "cupy.ndarray"

    def __init__(self, cupy: Any, device: int) -> None:
        super().__init__(device)
        self.cupy = cupy

    def stream(self) -> int:
        return int(self.cupy.cuda.get_current_stream(self.device).ptr)

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        dtype = short_name(called, name, x.dtype)
        data = on_device(x.data.ptr, tuple(x.shape), tuple(x.strides), storage_type(dtype), x)
        return _checked(called, name, data), dtype

    def new(self, shape: Ints, dtype: str, strides: Ints, order: Ints) -> tuple[Any, int]:
        axes = order or tuple(range(len(shape)))
        with self.cupy.cuda.Device(self.device):
            made = self.cupy.empty(tuple([shape[axis] for axis in axes]), numpy_type(dtype))
        made = made.transpose(tuple([axes.index(axis) for axis in range(len(shape))]))
        return made, made.data.ptr


def numpy_type(dtype: str) -> Any:
    """NumPy's element type; an array of bfloat16 came in, so its library is loaded."""
    return sys.modules["ml_dtypes"].bfloat16 if dtype == "bf16" else np.dtype(DTYPES[dtype])


class NumbaKind(DeviceKind):
    """Numba's device arrays, on the stream that they are bound to, or the default stream."""

    name = "numba.cuda device array"

    def __init__(self, x: Any, device: int) -> None:
        super().__init__(device)
        self.bound = getattr(x, "stream", 0)
        self.named = _stream_of(getattr(x, "__cuda_array_interface__", {}))

    def stream(self) -> int:
        return self.named or 0

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        dtype = short_name(called, name, x.dtype)
        bound = _stream_of(getattr(x, "__cuda_array_interface__", {}))
        shape, strides = tuple(x.shape), tuple(x.strides)
        data = on_device(_numba_address(x), shape, strides, storage_type(dtype), x, stream=bound)
        return _checked(called, name, data), dtype

    def new(self, shape: Ints, dtype: str, strides: Ints, order: Ints) -> tuple[Any, int]:
        cuda, item = sys.modules["numba.cuda"], np.dtype(numpy_type(dtype))
        steps = tuple([step * item.itemsize for step in strides])
        with cuda.gpus[self.device]:
            made = cuda.device_array(shape, item, strides=steps, stream=self.bound)
        return made, _numba_address(made)


def _numba_address(x: Any) -> int:
    # in the simulator there is an array of NumPy's behind it
    own = getattr(x, "_ary", None)
    return int(x.__cuda_array_interface__["data"][0] if own is None else own.__array_interface__["data"][0])


class InterfaceKind(DeviceKind):
    """Whatever has ``__cuda_array_interface__`` alone: results are arrays of fastpool's own, which have it, too."""

    name = "array with __cuda_array_interface__"

    def __init__(self, x: Any, device: int) -> None:
        super().__init__(device)
        self.named = _stream_of(x.__cuda_array_interface__)

    def stream(self) -> int:
        return self.named or 0

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        said = x.__cuda_array_interface__
        if said.get("mask") is not None:
            rule, way_out = "its mask would be lost", "give its data alone"
            raise type_error(called, f"{name} is a {type_name(x)} with a mask", rule, way_out)
        own = getattr(x, "short", "") if isinstance(x, DeviceArray) else ""
        dtype = own or short_name(called, name, np.dtype(said["typestr"]))
        address, read_only = said["data"]
        shape, strides = tuple(said["shape"]), said.get("strides")
        item = storage_type(dtype)
        steps = None if strides is None else tuple(strides)
        data = on_device(address or 0, shape, steps, item, x, read_only, _stream_of(said))
        return _checked(called, name, data), dtype


def _stream_of(said: dict[str, Any]) -> int | None:
    """The stream that an interface names: None where nothing need be waited for."""
    stream = said.get("stream")
    return None if stream is None else 0 if stream == LEGACY else int(stream)


def _described(called: str, name: str, x: Any) -> tuple[OnDevice, str]:
    """An array by DLPack, whose library lets the default stream wait until its elements are there."""
    try:
        capsule = x.__dlpack__(stream=LEGACY)
        found = dlpack.read(capsule)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        given = f"{name} is a {type_name(x)}"
        raise type_error(called, given, f"it cannot be given by DLPack ({error})", "convert it first") from error
    if not found.dtype:
        raise bad_dtype(called, name, getattr(x, "dtype", "unknown"))
    item = storage_type(found.dtype)
    strides = None if found.strides is None else tuple([step * item.itemsize for step in found.strides])
    # the capsule keeps the memory
    data = on_device(found.address, found.shape, strides, item, (x, capsule), found.read_only)
    return _checked(called, name, data), found.dtype


class JaxCuda(DeviceKind):
    """JAX's arrays on a GPU. JAX has no current stream: the default stream waits for x, and JAX for the result."""

    name = "jax.Array"

    def __init__(self, jax: Any, device: int) -> None:
        super().__init__(device)
        self.jax = jax
        self.host = JaxKind(jax)

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        self.host.check(called, name, x, writing)
        return _described(called, name, x)

    def lacks(self, dtype: str) -> str:
        return self.host.lacks(dtype)

    def give(self, data: Any, dtype: str) -> Any:
        return self.jax.dlpack.from_dlpack(super().give(data, dtype))


class DlpackCuda(DeviceKind):
    """Arrays of one further library that speaks DLPack, on the default stream."""

    def __init__(self, name: str, maker: Any, device: int) -> None:
        super().__init__(device)
        self.name = name
        self.maker = maker

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        return _described(called, name, x)

    def give(self, data: Any, dtype: str) -> Any:
        return self.maker(super().give(data, dtype))


def torch_kind(called: str, given: str, torch: Any, x: Any) -> DeviceKind:
    """The kind of a tensor on a GPU."""
    if getattr(torch.version, "hip", None):
        raise elsewhere(called, given, f"device ROCm:{x.device.index}")
    return TorchCuda(torch, x.get_device())


def jax_kind(called: str, given: str, jax: Any, x: Any) -> DeviceKind:
    """The kind of a JAX array on a GPU."""
    devices = sorted(x.devices(), key=str)
    if len(devices) != 1:
        raise elsewhere(called, given, f"devices {', '.join(map(str, devices))}")
    device, number = x.__dlpack_device__()
    if int(device) != dlpack.CUDA:
        raise elsewhere(called, given, f"device {devices[0]}")
    return JaxCuda(jax, number)


def interface_kind(called: str, name: str, x: Any) -> DeviceKind:
    """The kind of an array that says by ``__cuda_array_interface__`` where it is, or is Numba's."""
    given = f"{name} is a {type_name(x)}"
    cupy: Any = sys.modules.get("cupy")
    arrays: Any = getattr(cupy, "ndarray", ())
    if isinstance(x, arrays):
        if getattr(cupy.cuda.runtime, "is_hip", False):
            raise elsewhere(called, given, f"device ROCm:{x.device.id}")
        return CupyKind(cupy, x.device.id)
    if hasattr(x, "__cuda_ndarray__") and "numba.cuda" in sys.modules:
        return NumbaKind(x, max(0, device_of(_numba_address(x))))
    maker = maker_of(x) if hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__") else None
    if maker is not None and not isinstance(x, DeviceArray):
        return dlpack_kind(called, name, x, x.__dlpack_device__()[1])
    said = x.__cuda_array_interface__
    if not isinstance(said, dict) or not {"shape", "typestr", "data", "version"} <= said.keys():
        raise type_error(
            called,
            given,
            "its __cuda_array_interface__ lacks one of shape, typestr, data and version",
            "give an array that has them",
        )
    device = device_of(said["data"][0] or 0)
    return InterfaceKind(x, max(0, device))


def dlpack_kind(called: str, name: str, x: Any, device: int) -> DeviceKind:
    """The kind of an array of a further library that speaks DLPack."""
    maker = maker_of(x)
    if maker is None:
        given = f"{name} is a {type_name(x)}"
        rule, way_out = "it has no from_dlpack to make the result with", "give it by __cuda_array_interface__"
        raise type_error(called, given, rule, way_out)
    return DlpackCuda(type_name(x), maker, device)
