"""The symbols that compiled code calls, and what stands behind them in this process.

Code that Numba has compiled and cached calls these by name, whatever was installed meanwhile; a name that is missing
would end the process. So all names that were ever given out are registered in every process: with the library's
functions if it has that binary interface, and else with twins that do the same through the package's other engines.

=============================  ====================================================================
``fastpool_<abi>_shape_of``    as ``fastpool_shape_of`` of the library
``fastpool_<abi>_run``         as ``fastpool_run`` of the library
``fastpool_<abi>_other``       the same, by the twin: for what the library has no kernel for
``fastpool_<abi>_mark``        an int64: 1 where the first two are twins, which leave that number in a spec
``fastpool_<abi>_chosen``      an int64: how many threads ``set_num_threads`` allowed, or 0
``fastpool_<abi>_threads``     an int64: how many a call uses otherwise
``fastpool_<abi>_limit``       an int64: how many a call uses at most
=============================  ====================================================================
"""

from __future__ import annotations

import ctypes
import importlib.util
from array import array
from typing import Any

import llvmlite.binding as llvm

from fastpool import config, library
from fastpool.njit import record, twins

_kept: list[Any] = []
"""What must live as long as compiled code does."""

_limit = array("q", [1])

MANY = 2**31 - 1


def name(what: str, abi: int = record.ABI) -> str:
    """The name of a symbol."""
    return f"fastpool_{abi}_{what}"


def register() -> None:
    """Registers all names. Whatever is wrong with the library or the environment, none is left out."""
    threads = array("q", [config.threads_at_start()])
    _kept.append(threads)
    limit_threads()
    for abi in record.RECORDS:
        twin = twins.make(abi)
        mark = array("q", [1])
        _kept.extend((twin, mark))
        addresses = {
            "shape_of": twin.shape_of,
            "run": twin.run,
            "other": twin.run,
            "mark": mark.buffer_info()[0],
            "chosen": config.chosen_threads_address(),
            "threads": threads.buffer_info()[0],
            "limit": _limit.buffer_info()[0],
        }
        found = _library(abi)
        if found:
            addresses |= found
            mark[0] = 0
        for what, address in addresses.items():
            llvm.add_symbol(name(what, abi), address)


def _library(abi: int) -> dict[str, int]:
    """The library's functions, if it has that interface and is to be used."""
    try:
        found = library.library()
        # a wrong word in the environment is told by the first call from Python
        if found is None or config.ENGINE.read() in ("jit", "reference") or int(found.lib.fastpool_abi()) != abi:
            return {}
        return {what: found.address(f"fastpool_{what}") for what in ("shape_of", "run")}
    except AttributeError:
        return {}


def limit_threads() -> None:
    """Lets calls use many threads, if it can be told that one is inside a parallel loop, and else one.

    Numba's OpenMP layer and the library share a run time, which knows. With the other layers each thread of a loop
    would start threads of its own. The layer is fixed by the first parallel loop; until then it is foreseen, anew
    whenever a call is compiled.
    """
    _limit[0] = MANY if _layer() == "omp" else 1


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
    usual = ("tbb", "omp", "workqueue")
    order = {
        "default": tuple(getattr(numba.config, "THREADING_LAYER_PRIORITY", usual)),
        "threadsafe": ("tbb", "omp"),
        "forksafe": ("tbb", "workqueue"),
    }.get(wanted, ("tbb",))
    return next((layer for layer in order if _is_there(layer)), "workqueue")


def _is_there(layer: str) -> bool:
    """Whether a layer would load. Loading it to see would start an OpenMP run time in every process."""
    module = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}.get(layer, layer)
    if importlib.util.find_spec(f"numba.np.ufunc.{module}") is None:
        return False
    if layer != "tbb":
        return True
    try:
        ctypes.CDLL("libtbb.so.12")
    except OSError:
        return False
    return True
