"""The symbols that compiled code calls, and what stands behind them in this process.

Code that Numba has compiled and cached calls these by name, whatever was installed meanwhile; a name that is missing
would end the process. So all names that were ever given out are registered in every process: with the library's
functions if it has that binary interface, and else with twins that do the same through the package's other engines.

=============================  ====================================================================
``fastpool_<abi>_shape_of``    as ``fastpool_shape_of`` of the library
``fastpool_<abi>_run``         as ``fastpool_run`` of the library
``fastpool_<abi>_other``       the same, by the twin: for what the library has no kernel for
``fastpool_<abi>_chosen``      an int64: how many threads ``set_num_threads`` allowed, or 0
``fastpool_<abi>_threads``     an int64: how many a call uses otherwise
=============================  ====================================================================
"""

from __future__ import annotations

from array import array
from typing import Any

import llvmlite.binding as llvm

from fastpool import config, library
from fastpool.njit import record, twins

ABIS = (record.ABI,)
"""Binary interfaces whose names have been given out."""

_kept: list[Any] = []
"""What must live as long as compiled code does."""


def name(what: str, abi: int = record.ABI) -> str:
    """The name of a symbol."""
    return f"fastpool_{abi}_{what}"


def register() -> None:
    """Registers all names."""
    # what was compiled calls the library, unless the engines that need none are asked for
    found = library.library() if config.engine() not in ("jit", "reference") else None
    for abi in ABIS:
        twin = twins.make(abi)
        _kept.append(twin)
        addresses = {"shape_of": twin.shape_of, "run": twin.run, "other": twin.run}
        if found is not None and int(found.lib.fastpool_abi()) == abi:
            addresses |= {what: found.address(f"fastpool_{what}") for what in ("shape_of", "run")}
        addresses["chosen"], addresses["threads"] = _threads()
        for what, address in addresses.items():
            llvm.add_symbol(name(what, abi), address)


def _threads() -> tuple[int, int]:
    """Where the numbers of threads lie: both are one, unless it can be told that a call is inside a parallel loop.

    Numba's OpenMP layer and the library share a run time, which knows. With the other layers each thread of a loop
    would start threads of its own.
    """
    if _layer() != "omp":
        numbers = array("q", [1])
        chosen = numbers.buffer_info()[0]
    else:
        numbers = array("q", [config.threads_at_start()])
        chosen = config.chosen_threads_address()
    _kept.append(numbers)
    return chosen, numbers.buffer_info()[0]


def _layer() -> str:
    """The threading layer that Numba uses or, before the first parallel loop, would use."""
    import numba

    try:
        return str(numba.threading_layer())
    except ValueError:
        pass
    wanted = str(numba.config.THREADING_LAYER).lower()
    if wanted in ("tbb", "omp", "workqueue"):
        return wanted
    for layer, module in (("tbb", "tbbpool"), ("omp", "omppool")):
        if _loads(module) and (layer, wanted) != ("omp", "forksafe"):
            return layer
    return "workqueue"


def _loads(module: str) -> bool:
    import importlib

    try:
        importlib.import_module(f"numba.np.ufunc.{module}")
    except ImportError:
        return False
    return True
