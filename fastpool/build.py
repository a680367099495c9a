"""Building the C library from the kernels and the planning functions."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import FunctionType, ModuleType

from fastpool import (
    choosing,
    covering,
    fusing,
    layout,
    measuring,
    planning,
    scattering,
    selecting,
    sliding,
    spreading,
    stack_choice,
    stacking,
    tiling,
    window,
)
from fastpool import request as Q
from fastpool._version import __version__
from fastpool.kernels import rows, taps
from fastpool.kernels.c_abi.compile import Planning
from fastpool.kernels.c_abi.tables import Interface

MODULES = (
    *(taps, rows, window, layout, tiling),
    *(fusing, scattering, covering, stacking, stack_choice, sliding, spreading, selecting),
    *(planning, choosing, measuring),
)
"""The modules of integer arithmetic, each after those that it calls."""

NUMBERS = frozenset({"form", "role", "kind", "size", "kernel", "stride", "dilation", "pad_begin", "pad_end", "ceil"})
"""Parameters of the functions that C calls which are integers; the others are blocks of them."""

_HEADER = ("OP", "DTYPE", "COMPLEX", "BACKWARD", "INDEX_KIND", "SKIP_NAN", "INCLUDE_PAD", "DIVISOR", "NORM", "CEIL")
_AXIS = ("X_SIZE", "Y_SIZE", "X_STEP", "Y_STEP", "INDEX_STEP", "AUX_STEP", "AXIS_SIZE", "WINDOW_SIZE", "REQUEST")
_WINDOW = ("AXIS", "KERNEL", "STRIDE", "DILATION", "PAD_BEGIN", "PAD_END")


def functions(module: ModuleType) -> list[FunctionType]:
    """The functions that a module defines."""
    return [
        found for found in vars(module).values() if inspect.isfunction(found) and found.__module__ == module.__name__
    ]


def plans() -> Planning:
    """The planning functions."""
    called = (measuring.measure, choosing.tasks_of, choosing.row_for, choosing.choose, window.output_size)
    needed = tuple(function for module in MODULES for function in functions(module))
    # the offsets in a request are compiled in
    files = tuple(Path(str(module.__file__)) for module in (*MODULES, Q))
    return Planning(called, needed, NUMBERS, files)


def interface() -> Interface:
    """What the C library needs to know of this package."""
    constants = {
        **{"R_" + name: getattr(Q, name) for name in (*_HEADER, "FORCED", "RANK", "POOLED")},
        **{name: getattr(Q, name) for name in _AXIS},
        **{"W_" + name: getattr(Q, name) for name in _WINDOW},
        **{name: getattr(layout, name) for name in ("SPEC", "ARRAY_AXIS", "POOLED_AXIS")},
        "MOST_TASKS": choosing.MOST_TASKS,
        "PARALLEL_BYTES": tiling.PARALLEL_BYTES,
    }
    return Interface(__version__, measuring.STATUS, constants)


def build(target: Path, cache: Path, processes: int = 0, python: bool = False) -> Path:
    """Builds the library, see ``fastpool.kernels.c_abi.build``; with ``python`` also what this package calls it by."""
    from fastpool.kernels.c_abi import build as c_build

    path = c_build.build(target, cache, interface(), plans(), processes)
    if python:
        c_build.bind(target, interface())
    return path
