"""Compiles kernels, keeps them, and runs them over a range of tiles: in the calling thread, or over ``prange``."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Any

import numba
from numba import cfunc, njit, prange, types

from fastpool.kernels import registry
from fastpool.kernels.cpu.call import call_kernel
from fastpool.kernels.cpu.checking import make_check
from fastpool.kernels.cpu.memory import SIGNATURE
from fastpool.kernels.cpu.passes import make_passes
from fastpool.kernels.cpu.scatter import make_scatter
from fastpool.kernels.cpu.sweep import make_sweep
from fastpool.kernels.registry import Variant

PASSES = types.void(types.CPointer(types.int64))
_WALKS = {"scatter": make_scatter, "check": make_check}
_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def _drive(kernel, plan, bufs, work, stride, tiles, parts):
    share, rest = tiles // parts, tiles % parts
    for part in prange(parts):
        begin = part * share + min(part, rest)
        end = begin + share + (1 if part < rest else 0)
        call_kernel(kernel, plan, bufs, work + part * stride, begin, end)


class Kernel:
    """A compiled kernel: the walk's address, that of its passes or 0, and whether all came from the disk cache."""

    def __init__(self, walk: Any, passes: Any = None):
        self.parts = (walk, passes)
        self.address = int(walk.address)
        self.passes = 0 if passes is None else int(passes.address)
        self.from_cache = bool(walk.cache_hits) and (passes is None or bool(passes.cache_hits))
        self.serial = _PROTOTYPE(self.address)


_lock = threading.RLock()
_kernels: dict[Variant, Kernel] = {}
_sweep: list[Any] = []
_driver: list[Any] = []
_forked = False
# the first parallel call starts Numba's pool; with the workqueue layer a second one beside it would abort the process
_parallel = threading.Lock()


def _after_fork() -> None:
    global _forked, _lock, _parallel
    # a pool does not survive a fork, and Numba kills a child that uses OpenMP again
    _forked = True
    _lock = threading.RLock()
    _parallel = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _decorate(decorator: Any, function: Any, cache_dir: str) -> Any:
    """Applies a Numba decorator with the disk cache, or without where no place for one can be written."""
    known = numba.config.CACHE_DIR
    try:
        if cache_dir:
            numba.config.CACHE_DIR = cache_dir
        return decorator(True)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return decorator(False)(function)
    except OSError:
        return decorator(False)(function)
    finally:
        numba.config.CACHE_DIR = known


def _compile(signature: Any, function: Any, name: str, cache_dir: str) -> Any:
    # Numba numbers the cached versions of a function by what its index file holds. Kernels of one name, compiled by two
    # processes at a time, could get the same number, and one of them the other's code: each has a name of its own.
    function.__name__ = function.__qualname__ = name

    def decorator(cache: bool) -> Any:
        return cfunc(signature, error_model="numpy", cache=cache)

    return _decorate(decorator, function, cache_dir)


def compile_kernel(variant: Variant, cache_dir: str = "") -> Kernel:
    """The kernel of a variant, from memory, from the disk cache, or from the compiler."""
    kernel = _kernels.get(variant)
    if kernel is not None:
        return kernel
    with _lock:
        if variant not in _kernels:
            digest = registry.digest(variant.reduction)
            if variant.role in _WALKS:
                walk = _compile(SIGNATURE, _WALKS[variant.role](variant, digest), variant.name, cache_dir)
                _kernels[variant] = Kernel(walk)
            else:
                passes = _compile(PASSES, make_passes(variant, digest), variant.name, cache_dir)
                if not _sweep:
                    sources = int.from_bytes(registry.sources_digest()[:7], "little")
                    _sweep.append(_compile(SIGNATURE, make_sweep(sources), "sweep", cache_dir))
                _kernels[variant] = Kernel(_sweep[0], passes)
        return _kernels[variant]


def _driver_function(cache_dir: str) -> Any:
    with _lock:
        if not _driver:

            def decorator(cache: bool) -> Any:
                return njit(types.void(*[types.int64] * 7), parallel=True, nogil=True, error_model="numpy", cache=cache)

            _driver.append(_decorate(decorator, _drive, cache_dir))
        return _driver[0]


def threading_layer() -> str:
    """Name of the threading layer that Numba uses in this process, or "" before the first parallel call."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return ""


def run(
    kernel: Kernel, plan: int, bufs: int, work: int, stride: int, tiles: int, parts: int, cache_dir: str = ""
) -> None:
    """Runs tiles ``0 .. tiles - 1`` in ``parts`` equal shares, part ``i`` with workspace ``work + i * stride``.

    All arguments are addresses and integers. Serial where a parallel call is not safe: in a forked child, in a thread
    that Python did not start (a worker of somebody's pool), and beside another call under the workqueue layer.
    """
    if parts > 1 and not _forked and not isinstance(threading.current_thread(), threading._DummyThread):
        drive = _driver_function(cache_dir)
        if threading_layer() in ("omp", "tbb"):
            drive(kernel.address, plan, bufs, work, stride, tiles, parts)
            return
        if _parallel.acquire(blocking=False):
            try:
                drive(kernel.address, plan, bufs, work, stride, tiles, parts)
                return
            finally:
                _parallel.release()
    kernel.serial(plan, bufs, work, 0, tiles)
