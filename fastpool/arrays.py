"""Arrays of every kind in, the caller's own kind out. The only file that knows other libraries' arrays.

An array that comes in is looked at in *storage form*: a NumPy array on the same memory, float16 as it is,
bfloat16 as its bits in uint16. Nothing is copied, with two exceptions: data that NumPy cannot address in
whole, aligned elements, and torch tensors that conjugate or negate lazily. A library is never imported to
recognise its arrays: what has made an array is loaded already.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastpool.errors import message, type_error, type_name, value_error
from fastpool.memory import Array, memory_order
from fastpool.problem import DTYPES, Ints

KNOWN = "numpy.ndarray, torch.Tensor, jax.Array, and arrays with __dlpack__ on the CPU"

# Where long double is double, the later entry wins and it is called float64.
SHORT = {np.dtype(name): short for short, name in reversed(DTYPES.items()) if short != "bf16"}
"""Short names of element types by NumPy's."""

_TORCH = {f"torch.{name}": short for short, name in DTYPES.items() if "long" not in name}

_ON_CPU = (1, 3, 11)
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
"""DLPack's device types; the memory of those in ``_ON_CPU`` is ordinary memory."""

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
    """One library's arrays."""

    name: str

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
    kind = _NUMPY if type(x) is np.ndarray else _kind_of(called, name, x)
    data, dtype = kind.storage(called, name, x, False)
    if data.ndim == 0:
        raise value_error(called, f"{name} with no axes", "an array with at least one axis is needed", "pool x[None]")
    return Source(kind, dtype, data)


def stored(x: Array, dtype: str) -> Array:
    """A plain array of that element type in storage form."""
    return x.view(np.uint16) if dtype == "bf16" else x


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


def _kind_of(called: str, name: str, x: object) -> Kind:
    if isinstance(x, np.ndarray):
        return _NUMPY
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, getattr(torch, "Tensor", ())):
        return _TorchKind(torch)
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(x, getattr(jax, "Array", ())):
        return _JaxKind(jax)
    given = f"{name} is a {type_name(x)}"
    if isinstance(x, list | tuple | range):
        raise type_error(called, given, "an array is needed", f"give np.asarray({name})")
    if isinstance(x, bool | int | float | complex | np.generic):
        raise type_error(called, given, "an array with at least one axis is needed", f"give np.asarray([{name}])")
    instead = _INSTEAD.get(type(x).__module__.partition(".")[0])
    if instead is not None:
        raise type_error(called, given, *instead)
    if isinstance(x, type) or not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        if hasattr(x, "__cuda_array_interface__"):
            raise ValueError(_elsewhere(called, given, "a CUDA device"))
        raise type_error(called, given, f"known kinds are {KNOWN}", "convert it first; nothing is converted silently")
    device, number = x.__dlpack_device__()
    if int(device) not in _ON_CPU:
        where = _DEVICES.get(int(device), f"type {int(device)}")
        raise ValueError(_elsewhere(called, given, f"device {where}:{number}"))
    return _DlpackKind(called, given, x)


def _elsewhere(called: str, given: str, where: str) -> str:
    rule = f"it is on {where}, and this version runs on the CPU alone (CUDA is not part of it)"
    return message(called, given, rule, "copy it to the CPU first")


def _bad_dtype(called: str, name: str, dtype: object, way_out: str = "") -> TypeError:
    known = ", ".join(DTYPES.values())
    way_out = way_out or "convert it to one of them"
    return type_error(called, f"{name} of dtype {dtype}", f"the element type must be one of {known}", way_out)


def _addressable(called: str, name: str, x: Array, writing: bool) -> Array:
    """The array, or a copy where its elements are not aligned or its strides are no whole elements."""
    if x.flags.aligned and (x.flags.c_contiguous or not any(stride % x.itemsize for stride in x.strides)):
        return x
    if writing:
        raise value_error(
            called,
            f"{name} with strides of {x.strides} bytes for elements of {x.itemsize}",
            "its elements must be aligned and whole elements apart",
            "leave it out for a new array",
        )
    return x.copy(order="K")


class _NumpyKind:
    name = "numpy.ndarray"

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        if type(x) is not np.ndarray:
            x = self._plain(called, name, x)
        dtype = SHORT.get(x.dtype)
        if dtype is None:
            if x.dtype.name != "bfloat16":
                raise self._refusal(called, name, x.dtype)
            dtype = "bf16"
            x = stored(x, dtype)
        return _addressable(called, name, x, writing), dtype

    def _plain(self, called: str, name: str, x: Array) -> Array:
        if isinstance(x, np.memmap):
            return np.asarray(x)
        ways_out = {
            np.ma.MaskedArray: (
                "a masked array's mask would be lost",
                "give x.filled(value), or x.filled(np.nan) with nan='ignore'",
            ),
            np.matrix: ("a matrix keeps two axes in every operation", "give np.asarray(x)"),
            np.recarray: ("a record array has fields", "give one field, x['name']"),
        }
        for kind, (rule, way_out) in ways_out.items():
            if isinstance(x, kind):
                raise type_error(called, f"{name} is a {type_name(x)}", rule, way_out)
        raise type_error(
            called,
            f"{name} is a {type_name(x)}",
            "what a subclass of numpy.ndarray adds would be lost",
            "give np.asarray(x)",
        )

    def _refusal(self, called: str, name: str, dtype: np.dtype[Any]) -> TypeError:
        if not dtype.isnative and dtype.newbyteorder("=") in SHORT:
            rule = "the bytes of an element must be in this machine's order"
            way_out = "give x.astype(x.dtype.newbyteorder('='))"
            return type_error(called, f"{name} of dtype {dtype.str}", rule, way_out)
        ways_out = {
            "O": "give x.astype(np.float64) if it holds numbers",
            "S": "convert the text to numbers first",
            "U": "convert the text to numbers first",
            "T": "convert the text to numbers first",
            "M": "give x.view(np.int64) for max and min",
            "m": "give x.view(np.int64)",
            "V": "give one field, x['name']" if dtype.names else "",
        }
        return _bad_dtype(called, name, dtype, ways_out.get(dtype.kind, ""))

    def lacks(self, dtype: str) -> str:
        return ""

    def give(self, data: Array, dtype: str) -> Any:
        # an array of bfloat16 came in, so its library is loaded
        return data.view(sys.modules["ml_dtypes"].bfloat16) if dtype == "bf16" else data

    def wrote(self, out: Any) -> None:
        pass


_NUMPY = _NumpyKind()


class _TorchKind:
    name = "torch.Tensor"

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        if x.device.type != "cpu":
            raise ValueError(_elsewhere(called, f"{name} is a {type_name(x)}", f"device {x.device}"))
        if x.layout != self.torch.strided:
            raise type_error(called, f"{name} of layout {x.layout}", "a tensor must be strided", "give x.to_dense()")
        if x.requires_grad and self.torch.is_grad_enabled():
            raise value_error(
                called,
                f"{name} requires grad",
                "torch does not see this call, so no gradient would be recorded",
                "give x.detach(), with fastpool.vjp for the gradient, or call inside torch.no_grad()",
            )
        dtype = _TORCH.get(str(x.dtype))
        if dtype is None:
            raise _bad_dtype(called, name, x.dtype)
        x = x.detach()
        if x.is_conj() or x.is_neg():
            if writing:
                raise value_error(
                    called,
                    f"{name} is a lazy conjugate or negative",
                    "it cannot be written to",
                    "give x.resolve_conj().resolve_neg()",
                )
            x = x.resolve_conj().resolve_neg()
        if dtype == "bf16":
            x = x.view(self.torch.uint16)
        return _addressable(called, name, x.numpy(), writing), dtype

    def lacks(self, dtype: str) -> str:
        return ""

    def give(self, data: Array, dtype: str) -> Any:
        tensor = self.torch.from_numpy(data)
        return tensor.view(self.torch.bfloat16) if dtype == "bf16" else tensor

    def wrote(self, out: Any) -> None:
        # autograd then notices that a tensor it has saved is not what it was
        self.torch.autograd.graph.increment_version(out)


class _JaxKind:
    name = "jax.Array"

    def __init__(self, jax: Any) -> None:
        self.jax = jax

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        given = f"{name} is a {type_name(x)}"
        if writing:
            raise value_error(called, given, "jax arrays cannot be written to", "leave it out for a new one")
        if isinstance(x, self.jax.core.Tracer):
            raise type_error(
                called,
                given,
                "jax is tracing, so there are no elements yet",
                "call this function through jax.pure_callback",
            )
        devices = sorted(x.devices(), key=str)
        if len(devices) != 1 or devices[0].platform != "cpu":
            raise ValueError(_elsewhere(called, given, f"device {', '.join(map(str, devices))}"))
        # shares memory on the CPU, bfloat16 included, which DLPack refuses
        return _NUMPY.storage(called, name, np.asarray(x), False)

    def lacks(self, dtype: str) -> str:
        wide = dtype in ("i64", "u64", "f64", "c128")
        if wide and not self.jax.config.jax_enable_x64:
            return (
                "jax holds no 64-bit elements while jax_enable_x64 is off; "
                "turn it on, ask for return_indices='tap', or give np.asarray(x)"
            )
        return ""

    def give(self, data: Array, dtype: str) -> Any:
        if dtype == "bf16":
            return self.jax.numpy.asarray(_NUMPY.give(data, dtype))
        return self.jax.dlpack.from_dlpack(data)

    def wrote(self, out: Any) -> None:
        pass


class _DlpackKind:
    def __init__(self, called: str, given: str, x: Any) -> None:
        self.name = type_name(x)
        places = (getattr(x, "__array_namespace__", lambda: None)(), type(x))
        roots = (*places, sys.modules.get(type(x).__module__.partition(".")[0]))
        makers = [getattr(place, "from_dlpack", None) for place in roots]
        self.maker = next((maker for maker in makers if maker is not None), None)
        if self.maker is None:
            raise type_error(called, given, "it has no from_dlpack to make the result with", "give np.from_dlpack(x)")

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        try:
            data = np.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise type_error(
                called, f"{name} is a {type_name(x)}", f"NumPy cannot read it ({error})", "convert it first"
            ) from error
        return _NUMPY.storage(called, name, data, writing)

    def lacks(self, dtype: str) -> str:
        return ""

    def give(self, data: Array, dtype: str) -> Any:
        assert self.maker is not None
        return self.maker(data)

    def wrote(self, out: Any) -> None:
        pass
