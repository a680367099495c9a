"""The one place that names the CUDA package: Numba's CUDA target (numba-cuda), or its simulator.

The simulator (``NUMBA_ENABLE_CUDASIM=1``) runs the same kernel bodies in plain Python, thread by thread.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import types as python_types
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config
from numba import cuda as cuda

from fastpool.kernels.digests import reached

SIMULATED = bool(config.ENABLE_CUDASIM)
"""Whether kernels run in the simulator."""

NAME = "numba-cuda"
"""What to install for a GPU."""

_known: dict[Any, Any] = {}


def _load_arrays() -> None:
    """Loads the package's functions on arrays, of which numba-cuda 0.30 names one that NumPy has no longer since 2.5.

    Without it nothing is compiled, and there is no newer numba-cuda. Earlier ones have no such module.
    """
    np.row_stack = np.vstack
    try:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module("numba.cuda.np.arrayobj")
    finally:
        del np.row_stack


if not SIMULATED and not hasattr(np, "row_stack"):
    _load_arrays()


def missing() -> str:
    """Why there is no GPU to run on, or ""."""
    if SIMULATED or cuda.is_available():
        return ""
    error = getattr(cuda, "cuda_error", lambda: None)()
    return str(error or "no device was found")


def builtin() -> bool:
    """Whether Numba's CUDA target is the one inside Numba, which is no longer kept up."""
    return getattr(cuda, "implementation", "NVIDIA") == "Built-in"


def toolkit() -> tuple[int, int]:
    """The CUDA of the compilers that the package has found; (0, 0) where it does not say."""
    try:
        major, minor = cuda.runtime.get_version()
    # whatever the package raises where a part of it is missing
    except Exception:
        return 0, 0
    return int(major), int(minor)


def device(function: Callable[..., Any]) -> Any:
    """A plain function as a function of the device, with the plain functions that it calls or captures.

    Those are found by name in the function's globals and in its closure, so that a reduction's functions need not know
    the package.
    """
    if SIMULATED:
        return function
    found = _known.get(function)
    if found is None:
        found = _known[function] = cuda.jit(device=True, forceinline=True)(_rebound(function))
    return found


def rebound(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with the plain functions that it uses made functions of the device."""
    return function if SIMULATED else _rebound(function)


def _rebound(function: Callable[..., Any]) -> Callable[..., Any]:
    own = set(reached(function)) - {function}
    # typing: reached gives plain functions alone
    names = {name: device(thing) for name, thing in function.__globals__.items() if _is_own(thing, own)}
    cells = tuple(
        python_types.CellType(device(cell.cell_contents)) if _is_own(cell.cell_contents, own) else cell
        for cell in function.__closure__ or ()
    )
    made = python_types.FunctionType(
        function.__code__, function.__globals__ | names, function.__name__, function.__defaults__, cells
    )
    made.__module__ = function.__module__
    made.__qualname__ = function.__qualname__
    return made


def _is_own(thing: Any, own: set[Any]) -> bool:
    return isinstance(thing, python_types.FunctionType) and thing in own


def signature(kernel: Any) -> Any:
    """The types that a kernel takes, as Numba's."""
    from numba.cuda import types

    pointers = [types.CPointer(getattr(types, name)) for name in kernel.pointers]
    return types.void(*pointers, getattr(types, kernel.real), types.UniTuple(types.int64, kernel.numbers))


def compile_text(kernel: Any, capability: tuple[int, int]) -> str:
    """A kernel in the assembly language of the compiler (PTX), for a device of that capability. Needs no GPU."""
    return compile_function(kernel.function, signature(kernel), capability)


def compile_function(function: Any, types: Any, capability: tuple[int, int]) -> str:
    """The same of a function that takes arguments of these types."""
    from numba.cuda import dispatcher

    # functions of the device ask for the current one, whose capability they are compiled for
    asked = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: python_types.SimpleNamespace(compute_capability=capability)
    try:
        text, _ = cuda.compile(function, types, device=False, output="ptx", abi="numba", cc=capability)
    finally:
        dispatcher.get_current_device = asked
    return str(text)


@functools.lru_cache(maxsize=4096)
def loaded(kernel: Any, device: int) -> int:
    """The driver's handle of a kernel, compiled for the current device, which is number ``device``."""
    dispatcher = cuda.jit(signature(kernel))(kernel.function)
    (made,) = dispatcher.overloads.values()
    function = made.library.get_cufunc()
    _kept.append(dispatcher)
    # a kernel of cuda.core, or in earlier versions a function of the driver's
    handle = getattr(function, "kernel", function).handle
    return int(getattr(handle, "value", handle))


_kept: list[Any] = []
"""What Numba would unload with the last reference to it."""
