"""The functions of the C library for Cython, as its own modules pass them on: no linking, and no search for a library.

A Cython module says ``from fastpool.capsules cimport fastpool_run`` and so on; ``capsules.pxd``, which is made with the
library, declares all that ``fastpool.h`` does. Other users of such capsules are Numba's
``get_cython_function_address`` and ``scipy.LowLevelCallable.from_cython``.
"""

from __future__ import annotations

import ctypes

from fastpool import library
from fastpool.kernels.c_abi.cython import prototypes

__pyx_capi__: dict[str, object] = {}
"""A capsule for each function, whose name is the function's signature; empty where the library was not built."""

_signatures: list[bytes] = []
"""Capsules do not keep their names."""


def _fill() -> None:
    owner = library.library()
    if owner is None:
        return
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    make = prototype(("PyCapsule_New", ctypes.pythonapi))
    with open(f"{library.INCLUDE}/fastpool.h", encoding="utf-8") as file:
        known = prototypes(file.read())
    for name, found in known.items():
        signature = found.signature.encode()
        _signatures.append(signature)
        __pyx_capi__[name] = make(owner.address(name), signature, None)


_fill()
