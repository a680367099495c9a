"""Kinds of arrays in ordinary memory: NumPy, torch, JAX, and whatever speaks DLPack.

Nothing is copied, with two exceptions: data that NumPy cannot address in whole, aligned elements, and torch tensors
that conjugate or negate lazily.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastpool.errors import message, type_error, type_name, value_error
from fastpool.memory import Array, empty_in_order
from fastpool.problem import DTYPES, Ints

# Where long double is double, the later entry wins and it is called float64.
SHORT = {np.dtype(name): short for short, name in reversed(DTYPES.items()) if short != "bf16"}
"""Short names of element types by NumPy's."""

TORCH = {f"torch.{name}": short for short, name in DTYPES.items() if "long" not in name}
"""Short names of element types by torch's, as text."""


def stored(x: Array, dtype: str) -> Array:
    """A plain array of that element type in storage form."""
    return x.view(np.uint16) if dtype == "bf16" else x


def elsewhere(called: str, given: str, where: str) -> ValueError:
    """The error for an array on a device that is neither the CPU nor a CUDA device."""
    rule = f"it is on {where}; pooling runs on the CPU and on CUDA devices"
    return ValueError(message(called, given, rule, "copy it to one of these first"))


def bad_dtype(called: str, name: str, dtype: object, way_out: str = "") -> TypeError:
    """The error for an element type that is not pooled."""
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


class HostKind:
    """What all kinds in ordinary memory have in common."""

    where, device = "the CPU", None

    def place(self) -> None:
        """No place: the caller waits for the result."""

    def empty(self, shape: Ints, dtype: str, order: Ints) -> Array:
        """A new array in storage form."""
        return empty_in_order(shape, dtype, order)

    def lacks(self, dtype: str) -> str:
        """Nothing is lacking."""
        return ""

    def wrote(self, out: Any) -> None:
        """Nobody need be told."""


class NumpyKind(HostKind):
    """NumPy's arrays."""

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
        return bad_dtype(called, name, dtype, ways_out.get(dtype.kind, ""))

    def give(self, data: Array, dtype: str) -> Any:
        # an array of bfloat16 came in, so its library is loaded
        return data.view(sys.modules["ml_dtypes"].bfloat16) if dtype == "bf16" else data


NUMPY = NumpyKind()


class TorchKind(HostKind):
    """torch's tensors."""

    name = "torch.Tensor"

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        if x.device.type != "cpu":
            raise elsewhere(called, f"{name} is a {type_name(x)}", f"device {x.device}")
        tensor, dtype = self.checked(called, name, x, writing)
        return _addressable(called, name, tensor.numpy(), writing), dtype

    def checked(self, called: str, name: str, x: Any, writing: bool) -> tuple[Any, str]:
        """The tensor in elements that NumPy has, and its element type; an error if it is not to be pooled."""
        if x.layout != self.torch.strided:
            raise type_error(called, f"{name} of layout {x.layout}", "a tensor must be strided", "give x.to_dense()")
        if x.requires_grad and self.torch.is_grad_enabled():
            raise value_error(
                called,
                f"{name} requires grad",
                "torch does not see this call, so no gradient would be recorded",
                "give x.detach(), with fastpool.vjp for the gradient, or call inside torch.no_grad()",
            )
        dtype = TORCH.get(str(x.dtype))
        if dtype is None:
            raise bad_dtype(called, name, x.dtype)
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
        return x, dtype

    def give(self, data: Array, dtype: str) -> Any:
        tensor = self.torch.from_numpy(data)
        return tensor.view(self.torch.bfloat16) if dtype == "bf16" else tensor

    def wrote(self, out: Any) -> None:
        # autograd then notices that a tensor it has saved is not what it was
        self.torch.autograd.graph.increment_version(out)


class JaxKind(HostKind):
    """JAX's arrays."""

    name = "jax.Array"

    def __init__(self, jax: Any) -> None:
        self.jax = jax

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        self.check(called, name, x, writing)
        devices = sorted(x.devices(), key=str)
        if len(devices) != 1 or devices[0].platform != "cpu":
            where = f"device {', '.join(map(str, devices))}"
            raise elsewhere(called, f"{name} is a {type_name(x)}", where)
        # shares memory on the CPU, bfloat16 included, which DLPack refuses
        return NUMPY.storage(called, name, np.asarray(x), False)

    def check(self, called: str, name: str, x: Any, writing: bool) -> None:
        """An error if the array is not to be pooled."""
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
            return self.jax.numpy.asarray(NUMPY.give(data, dtype))
        return self.jax.dlpack.from_dlpack(data)


def maker_of(x: Any) -> Any:
    """The function of an array's library that makes an array of what DLPack describes, or None."""
    places = (getattr(x, "__array_namespace__", lambda: None)(), type(x))
    roots = (*places, sys.modules.get(type(x).__module__.partition(".")[0]))
    makers = [getattr(place, "from_dlpack", None) for place in roots]
    return next((maker for maker in makers if maker is not None), None)


class DlpackKind(HostKind):
    """Arrays of one further library that speaks DLPack."""

    def __init__(self, called: str, given: str, x: Any) -> None:
        self.name = type_name(x)
        self.maker = maker_of(x)
        if self.maker is None:
            raise type_error(called, given, "it has no from_dlpack to make the result with", "give np.from_dlpack(x)")

    def storage(self, called: str, name: str, x: Any, writing: bool) -> tuple[Array, str]:
        try:
            data = np.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise type_error(
                called, f"{name} is a {type_name(x)}", f"NumPy cannot read it ({error})", "convert it first"
            ) from error
        return NUMPY.storage(called, name, data, writing)

    def give(self, data: Array, dtype: str) -> Any:
        assert self.maker is not None
        return self.maker(data)
