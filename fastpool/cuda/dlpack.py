"""DLPack's capsules of arrays on a GPU, read and made without the help of a library that has GPU arrays.

NumPy reads and makes capsules of ordinary memory alone. A capsule that is read here is not taken over: its maker frees
the array when the capsule goes, so it has to be kept for as long as its memory is used.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from fastpool.problem import Ints

CUDA = 2
"""DLPack's type of a CUDA device."""

_CODES = {"i": 0, "u": 1, "f": 2, "c": 5}

TYPES = {
    "b1": (6, 8),
    "bf16": (4, 16),
    **{f"{kind}{bits}": (_CODES[kind], bits) for kind in "iu" for bits in (8, 16, 32, 64)},
    **{f"f{bits}": (_CODES["f"], bits) for bits in (16, 32, 64)},
    **{f"c{bits}": (_CODES["c"], bits) for bits in (64, 128)},
}
"""DLPack's code and bits of each element type."""

_NAMES = {found: name for name, found in TYPES.items()}
_READ_ONLY = 1
_PLAIN, _VERSIONED = b"dltensor", b"dltensor_versioned"


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


class Described(NamedTuple):
    """What a capsule says: strides in elements, None for C order; ``dtype`` is "" for a type that is not pooled."""

    address: int
    device: int
    dtype: str
    shape: Ints
    strides: Ints | None
    read_only: bool


_api = ctypes.pythonapi
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _api))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(("PyCapsule_New", _api))


def read(capsule: Any) -> Described:
    """What a capsule says that nobody has taken over yet."""
    # a capsule of Python is passed by its address, since one that is going away may not be referred to again
    place = id(capsule)
    flags = 0
    if _is_valid(place, _VERSIONED):
        versioned = _ManagedVersioned.from_address(_pointer(place, _VERSIONED))
        tensor, flags = versioned.tensor, versioned.flags
    else:
        tensor = _Managed.from_address(_pointer(place, _PLAIN)).tensor
    shape = tuple(tensor.shape[: tensor.ndim])
    return Described(
        (tensor.data or 0) + tensor.byte_offset,
        tensor.device,
        _NAMES.get((tensor.code, tensor.bits), "") if tensor.lanes == 1 else "",
        shape,
        tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None,
        bool(flags & _READ_ONLY),
    )


_made: dict[int, tuple[Any, ...]] = {}
"""What the capsules made here refer to, by the addresses of their structures, until whoever took one over is done."""


def _forget(address: int) -> None:
    _made.pop(address, None)


def _capsule_goes(capsule: int) -> None:
    # one that was taken over has another name
    if _is_valid(capsule, _PLAIN):
        _forget(_pointer(capsule, _PLAIN))


_deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_forget)
_destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_capsule_goes)


def make(owner: Any, address: int, device: int, dtype: str, shape: Ints, strides: Ints) -> Any:
    """A capsule of memory that stays for as long as ``owner`` does."""
    axes = ctypes.c_int64 * len(shape)
    sizes, steps = axes(*shape), axes(*strides)
    managed = _Managed()
    tensor = managed.tensor
    tensor.data, tensor.device_type, tensor.device, tensor.ndim = address, CUDA, device, len(shape)
    tensor.code, tensor.bits = TYPES[dtype]
    tensor.lanes = 1
    tensor.shape = ctypes.cast(sizes, ctypes.POINTER(ctypes.c_int64))
    tensor.strides = ctypes.cast(steps, ctypes.POINTER(ctypes.c_int64))
    managed.deleter = ctypes.cast(_deleter, ctypes.c_void_p).value
    place = ctypes.addressof(managed)
    _made[place] = (managed, sizes, steps, owner)
    return _new(place, _PLAIN, ctypes.cast(_destructor, ctypes.c_void_p).value)
