"""Arrays of every kind in, the caller's own kind out.

An array that comes in is looked at in *storage form*: a NumPy array on the same memory, float16 as it is, bfloat16 as
its bits in uint16. For an array on a GPU that form is made over the device's address: its shape, its strides and its
address can be asked for, its elements cannot be read. What each library's arrays are like is said in ``host_arrays``
and ``device_arrays``, and nowhere else. A library is never imported to recognise its arrays: what has made an array is
loaded already.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from fastpool.errors import type_error, type_name, value_error
from fastpool.host_arrays import NUMPY, DlpackKind, JaxKind, TorchKind, elsewhere
from fastpool.memory import Array, memory_order
from fastpool.problem import DTYPES, Ints

if TYPE_CHECKING:
    from fastpool.cuda.place import Place

KNOWN = "numpy.ndarray, torch.Tensor, cupy.ndarray, jax.Array, and arrays with __dlpack__ or __cuda_array_interface__"

_ON_CPU, _ON_CUDA = (1, 3, 11), (2, 13)
_DEVICES = {
    1: "CPU",
    2: "CUDA",
    3: "CUDA host",
    4: "OpenCL",
    7: "Vulkan",
    8: "Metal",
    9: "VPI",
    10: "ROCm",
    11: "ROCm host",
    13: "CUDA managed",
    14: "oneAPI",
    15: "WebGPU",
    16: "Hexagon",
}
"""DLPack's device types; the memory of those in ``_ON_CPU`` is ordinary memory, that in ``_ON_CUDA`` a GPU's."""

_INSTEAD = {
    "dask": (
        "a dask array is not in memory",
        "use x.map_overlap (windows that overlap) or x.map_blocks with this function",
    ),
    "pandas": ("a pandas object carries labels, which pooling cannot keep", "give x.to_numpy()"),
    "polars": ("a polars object is a table's column or table", "give x.to_numpy()"),
    "xarray": (
        "an xarray object carries labels, which pooling cannot keep",
        "give x.data, or call this function through xarray.apply_ufunc",
    ),
}


class Kind(Protocol):
    """One library's arrays on one device."""

    name: str

    @property
    def where(self) -> str:
        """The device, in words."""

    @property
    def device(self) -> int | None:
        """The number of the GPU, None for the CPU."""

    def place(self) -> Place | None:
        """Where a call on these arrays is queued now, or None where it runs on the CPU and is waited for."""

    def empty(self, shape: Ints, dtype: str, order: Ints) -> Array:
        """Memory for a new array, dense with its axes in that order, in storage form."""

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        """The array in storage form and its element type; an error if that cannot be."""

    def lacks(self, dtype: str) -> str:
        """Why this kind cannot hold an element type, and the way out; or ""."""

    def give(self, data: Array, dtype: str) -> Any:
        """An array of this kind on the memory of ``data``."""

    def wrote(self, out: Any) -> None:
        """Tell the library that ``out`` was written behind its back."""


class Outline(NamedTuple):
    """What is known of an array without its elements: enough to make another one like it."""

    kind: Kind
    dtype: str
    shape: Ints
    order: Ints


class Source(NamedTuple):
    """An array that came in."""

    kind: Kind
    dtype: str
    data: Array

    @property
    def outline(self) -> Outline:
        """Its kind, element type, shape and order in memory."""
        return Outline(self.kind, self.dtype, self.data.shape, memory_order(self.data))


def take(called: str, name: str, x: object) -> Source:
    """Look at an array that the caller gave.

    Parameters
    ----------
    called : str
        Name of the public function, for errors.
    name : str
        Name of its argument, for errors.
    x : object
        An array of any kind.

    Raises
    ------
    TypeError
        If it is no array, or of a kind or element type that is not pooled.
    ValueError
        If it lies on another device, has no axes, or would need its gradient recorded.
    """
    kind = NUMPY if type(x) is np.ndarray else _kind_of(called, name, x)
    data, dtype = kind.storage(called, name, x, False)
    if data.ndim == 0:
        raise value_error(called, f"{name} with no axes", "an array with at least one axis is needed", "pool x[None]")
    return Source(kind, dtype, data)


def holds(data: Array, x: object) -> bool:
    """Whether a storage form is the memory of the array that it was made from, which is plain, and no copy of it."""
    return data is x or (type(x) is np.ndarray and data.ctypes.data == x.ctypes.data)


def take_same(called: str, name: str, x: object, kind: Kind) -> Source:
    """Look at a further array of a call, which must be of the same kind as the first."""
    check_kind(called, name, x, kind)
    return take(called, name, x)


def take_out(called: str, name: str, out: object, like: Outline) -> Array:
    """Look at an array that the result is to be written to: same kind, shape and element type, writable."""
    kind = like.kind
    check_kind(called, name, out, kind)
    data, dtype = kind.storage(called, name, out, True)
    if data.shape != like.shape:
        raise value_error(
            called, f"{name} of shape {data.shape}", f"the result has shape {like.shape}", "give that shape"
        )
    if dtype != like.dtype:
        raise type_error(
            called,
            f"{name} of dtype {DTYPES[dtype]}",
            f"the result has dtype {DTYPES[like.dtype]}",
            "give that dtype",
        )
    if not data.flags.writeable:
        raise value_error(called, name, "it is read-only", "give a writable array, or leave it out for a new one")
    return data


def check_holds(called: str, like: Outline) -> None:
    """Refuse to make a result that the caller's kind of array cannot hold."""
    reason = like.kind.lacks(like.dtype)
    if reason:
        rule, way_out = reason.split("; ")
        raise type_error(called, f"a result of dtype {DTYPES[like.dtype]}", rule, way_out)


def check_kind(called: str, name: str, x: object, kind: Kind) -> None:
    """Refuse an array of another kind than the others of the call."""
    found = _kind_of(called, name, x)
    if found.name != kind.name:
        raise type_error(
            called,
            f"{name} is a {type_name(x)}",
            f"all arrays of a call must be of one kind, here {kind.name}",
            "convert it first",
        )
    if found.where != kind.where:
        raise value_error(
            called,
            f"{name} is on {found.where}",
            f"all arrays of a call must be on one device, here {kind.where}",
            "move it there first",
        )


def _kind_of(called: str, name: str, x: Any) -> Kind:
    if isinstance(x, np.ndarray):
        return NUMPY
    given = f"{name} is a {type_name(x)}"
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and _is(x, torch, "Tensor"):
        if x.device.type == "cuda":
            return _on_device("torch_kind", called, given, torch, x)
        return TorchKind(torch)
    if jax is not None and _is(x, jax, "Array"):
        if not isinstance(x, jax.core.Tracer) and {device.platform for device in x.devices()} & {"gpu", "cuda"}:
            return _on_device("jax_kind", called, given, jax, x)
        return JaxKind(jax)
    if isinstance(x, list | tuple | range):
        raise type_error(called, given, "an array is needed", f"give np.asarray({name})")
    if isinstance(x, bool | int | float | complex | np.generic):
        raise type_error(called, given, "an array with at least one axis is needed", f"give np.asarray([{name}])")
    instead = _INSTEAD.get(type(x).__module__.partition(".")[0])
    if instead is not None:
        raise type_error(called, given, *instead)
    if not isinstance(x, type) and (hasattr(x, "__cuda_ndarray__") or hasattr(x, "__cuda_array_interface__")):
        return _on_device("interface_kind", called, name, x)
    if isinstance(x, type) or not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise type_error(called, given, f"known kinds are {KNOWN}", "convert it first; nothing is converted silently")
    device, number = x.__dlpack_device__()
    if int(device) in _ON_CUDA:
        return _on_device("dlpack_kind", called, name, x, number)
    if int(device) not in _ON_CPU:
        where = _DEVICES.get(int(device), f"type {int(device)}")
        raise elsewhere(called, given, f"device {where}:{number}")
    return DlpackKind(called, given, x)


def _is(x: object, library: Any, name: str) -> bool:
    return isinstance(x, getattr(library, name, ()))


def _on_device(kind: str, called: str, *given: Any) -> Kind:
    """A kind of arrays on a GPU. The module is loaded when the first of them comes."""
    from fastpool import device_arrays

    found: Kind = getattr(device_arrays, kind)(called, *given)
    return found
