"""Compiles kernels, keeps them, and runs them over a range of tiles: in the calling thread, or over ``prange``."""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
from numba import cfunc, njit, prange, types
from numba.np.ufunc import parallel

from fastpool.kernels import digests
from fastpool.kernels.cpu.call import call_kernel, claim
from fastpool.kernels.cpu.checking import make_check
from fastpool.kernels.cpu.fused import make_fused
from fastpool.kernels.cpu.fused_gather import make_fused_gather
from fastpool.kernels.cpu.fused_index import make_fused_index
from fastpool.kernels.cpu.fused_lanes import make_fused_lanes
from fastpool.kernels.cpu.fused_scatter import make_fused_scatter
from fastpool.kernels.cpu.lanes_passes import make_fused_lanes_passes
from fastpool.kernels.cpu.match import make_match
from fastpool.kernels.cpu.match_passes import make_match_passes
from fastpool.kernels.cpu.memory import PASSES, SIGNATURE
from fastpool.kernels.cpu.passes import make_passes
from fastpool.kernels.cpu.scatter import make_scatter
from fastpool.kernels.cpu.slide import make_slide
from fastpool.kernels.cpu.stacked import make_stacked
from fastpool.kernels.cpu.stacked_index import make_stacked_index
from fastpool.kernels.cpu.sweep import make_sweep
from fastpool.kernels.forms import ON_VECTORS
from fastpool.kernels.native import just_in_time
from fastpool.kernels.programs import Program
from fastpool.kernels.registry import Variant

WHOLE = {
    "scatter": make_scatter,
    "check": make_check,
    "fused": make_fused,
    "fused_gather": make_fused_gather,
    "fused_index": make_fused_index,
    "fused_scatter": make_fused_scatter,
    "stacked": make_stacked,
    "stacked_index": make_stacked_index,
}
"""Kernels that are one function for each variant."""
SPLIT = {
    "sweep": (make_sweep, make_passes),
    "slide": (make_slide, make_passes),
    "match": (make_match, make_match_passes),
    "fused_lanes": (make_fused_lanes, make_fused_lanes_passes),
}
"""Kernels that are a walk, compiled once, and the passes of each variant."""
TURNS = 8
"""Times that each thread comes back for tiles, if all are equally fast."""
_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def _drive(kernel, plan, bufs, work, stride, tiles, parts, counter, many):
    # Threads take tiles as they come to them: one that wakes late, or shares its core, does fewer. Where a tile is
    # done does not change its result.
    for part in prange(parts):
        begin = claim(counter, many)
        while begin < tiles:
            call_kernel(kernel, plan, bufs, work + part * stride, begin, min(begin + many, tiles))
            begin = claim(counter, many)


class Kernel:
    """A compiled kernel: the walk's address, that of its passes or 0, and whether all came from the disk cache."""

    def __init__(self, walk: Any, passes: Any = None):
        self.parts = (walk, passes)
        self.address = int(walk.address)
        self.passes = 0 if passes is None else int(passes.address)
        self.from_cache = bool(walk.cache_hits) and (passes is None or bool(passes.cache_hits))
        self.serial = _PROTOTYPE(self.address)


_lock = threading.RLock()
_kernels: dict[tuple[Variant, str], Kernel] = {}
_programs: dict[Program, Kernel] = {}
_walks: dict[str, Any] = {}
_passes: dict[tuple[Variant, Any], Any] = {}
_driver: list[Any] = []
_forked = False
_workers: list[ThreadPoolExecutor] = []


def _after_fork() -> None:
    global _forked, _lock
    # a pool does not survive a fork, and Numba kills a child that uses OpenMP again
    _forked = True
    _lock = threading.RLock()
    _workers.clear()


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


def name_by_content(function: Any) -> None:
    """Adds to the name of every function inside of others that a kernel reaches a digest of what it does.

    Numba names the code of a function by its qualified name and a number, which begins anew in each process. Of two
    functions of one name, one from the disk cache and one compiled here, the linker takes the first for both: a norm
    summed its taps by the rule of ``nan="ignore"`` (``tests/test_names.py`` makes the two meet).

    The cache's key is a pickle of what a kernel captures, where an object that occurs twice is written once. The name
    of a source file is one object with its module's where Python compiled the source, and another where it read the
    bytecode: the second process would find nothing. It is made one object here.
    """
    for part in digests.reached(function):
        if "<" in part.__qualname__ and part.__code__.co_filename == part.__globals__.get("__file__"):
            part.__code__ = part.__code__.replace(co_filename=part.__globals__["__file__"])
        digest = digests.content(part)
        if "<" in part.__qualname__ and not part.__qualname__.endswith(digest):
            part.__qualname__ += f"_{digest}"


def _compile(signature: Any, function: Any, name: str, cache_dir: str, level: str, explicit: bool = False) -> Any:
    function.__name__ = function.__qualname__ = name
    taken = just_in_time.level(level)
    code = taken and just_in_time.compile_function(function, signature, taken, cache_dir, explicit)
    return code or compile_by_numba(signature, function, name, cache_dir)


def compile_by_numba(signature: Any, function: Any, name: str, cache_dir: str) -> Any:
    """The same where the library's way does not lead: on other systems, and for functions that call the interpreter."""
    # Numba numbers the cached versions of a function by what its index file holds. Kernels of one name, compiled by two
    # processes at a time, could get the same number, and one of them the other's code: each has a name of its own.
    function.__name__ = function.__qualname__ = name
    name_by_content(function)

    def decorator(cache: bool) -> Any:
        return cfunc(signature, error_model="numpy", cache=cache)

    return _decorate(decorator, function, cache_dir)


def compile_kernel(variant: Variant, walk: str = "sweep", cache_dir: str = "", level: str = "") -> Kernel:
    """The kernel of a variant and a walk, from memory, from the disk cache, or from the compiler.

    ``level`` is the name of the level of instructions, or "" for the highest that the processor has.
    """
    kernel = _kernels.get((variant, walk))
    if kernel is not None:
        return kernel
    with _lock:
        if (variant, walk) not in _kernels:
            digest = digests.digest(variant.reduction)
            explicit = walk in ON_VECTORS
            if walk in WHOLE:
                name = variant.name if walk == variant.role else f"{variant.name}_{walk}"
                whole = _compile(SIGNATURE, WHOLE[walk](variant, digest), name, cache_dir, level, explicit)
                _kernels[variant, walk] = Kernel(whole)
            else:
                make_walk, make = SPLIT[walk]
                if (variant, make) not in _passes:
                    name = variant.name if make is make_passes else f"{variant.name}_{walk}"
                    function = make(variant, digest)
                    _passes[variant, make] = _compile(PASSES, function, name, cache_dir, level, explicit)
                passes = _passes[variant, make]
                if walk not in _walks:
                    sources = int.from_bytes(digests.sources_digest()[:7], "little")
                    _walks[walk] = _compile(SIGNATURE, make_walk(sources), walk, cache_dir, level)
                _kernels[variant, walk] = Kernel(_walks[walk], passes)
        return _kernels[variant, walk]


def compile_program(program: Program, cache_dir: str = "", level: str = "") -> Kernel:
    """The kernel of a program, from memory, from the disk cache, or from the compiler; ``level`` as there."""
    kernel = _programs.get(program)
    if kernel is not None:
        return kernel
    with _lock:
        if program not in _programs:
            sources = int.from_bytes(digests.sources_digest()[:7], "little")
            function = make_program(program, sources)
            _programs[program] = Kernel(_compile(SIGNATURE, function, program.name, cache_dir, level))
        return _programs[program]


def make_program(program: Program, digest: int) -> Any:
    """The plain function of a program."""
    module = importlib.import_module(f"fastpool.kernels.cpu.family.{program.module}")
    return module.make(digest, *program.words)


def _driver_function(cache_dir: Callable[[], str]) -> Any:
    with _lock:
        if not _driver:

            def decorator(cache: bool) -> Any:
                return njit(types.void(*[types.int64] * 9), parallel=True, nogil=True, error_model="numpy", cache=cache)

            _driver.append(_decorate(decorator, _drive, cache_dir()))
        return _driver[0]


def threading_layer() -> str:
    """Name of the threading layer that Numba uses in this process, or "" before the first parallel call."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return ""


def _start_layer() -> str:
    """The threading layer, which is chosen, and its pool started, at the first call."""
    if not threading_layer():
        parallel._launch_threads()
    return threading_layer()


def _share(
    kernel: Kernel, plan: int, bufs: int, work: int, stride: int, tiles: int, parts: int, begin: int, part: int
) -> None:
    """Runs the tiles of one part."""
    kernel.serial(plan, bufs, work + part * stride, begin, begin + tiles // parts + (part < tiles % parts))


def _run_in_threads(kernel: Kernel, plan: int, bufs: int, work: int, stride: int, tiles: int, parts: int) -> None:
    """As the driver, on Python's own threads: a kernel is called without the interpreter's lock."""
    with _lock:
        if not _workers:
            _workers.append(ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS, "fastpool"))
        workers = _workers[0]
    size, rest = divmod(tiles, parts)
    shares = [(part * size + min(part, rest), part) for part in range(parts)]
    running = [workers.submit(_share, kernel, plan, bufs, work, stride, tiles, parts, *share) for share in shares[1:]]
    _share(kernel, plan, bufs, work, stride, tiles, parts, *shares[0])
    for future in running:
        future.result()


def run(
    kernel: Kernel,
    plan: int,
    bufs: int,
    work: int,
    stride: int,
    tiles: int,
    parts: int,
    cache_dir: Callable[[], str],
) -> None:
    """Runs tiles ``0 .. tiles - 1`` in ``parts`` threads, thread ``i`` with workspace ``work + i * stride``.

    ``plan``, ``bufs`` and ``work`` are addresses; ``cache_dir`` is asked when the driver is compiled. Serial where a
    parallel call is not safe: in a forked child, and in a thread that Python did not start (a worker of somebody's
    pool).
    """
    if parts > 1 and not _forked and not isinstance(threading.current_thread(), threading._DummyThread):
        # Numba's own pool aborts the process when two threads use it at a time, one of which may be the caller's
        if _start_layer() == "workqueue":
            _run_in_threads(kernel, plan, bufs, work, stride, tiles, parts)
        else:
            counter = ctypes.c_int64(0)
            many = max(1, tiles // (TURNS * parts))
            drive = _driver_function(cache_dir)
            drive(kernel.address, plan, bufs, work, stride, tiles, parts, ctypes.addressof(counter), many)
        return
    kernel.serial(plan, bufs, work, 0, tiles)
