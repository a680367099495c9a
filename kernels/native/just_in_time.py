"""Kernels compiled when they are first asked for, by the halves and for the levels that those compiled ahead have.

Numba by itself compiles each function that a kernel calls once alone and once more in every caller, and for this one
processor. Five kernels took 66 s of CPU by it and take 30 here; from the disk 1.8 s and 0.8.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import itertools
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as ll
import numba
from numba._helperlib import c_helpers  # type: ignore[attr-defined]
from numba.core.caching import CompileResultCacheImpl
from numba.core.compiler_lock import global_compiler_lock

from fastpool.kernels import digests
from fastpool.kernels.native.lower import Function, lower
from fastpool.kernels.native.objects import LEVELS, Level, emit, prepare, simplify

SYMBOL = "kernel"

OF_THIS_PROCESS = ("Py", "_Py", "NRT_", "numba_gil_", "numba.dynamic.")
"""What symbols begin with that are the interpreter's, or hold an address."""

NEEDED = {
    "v2": ("cx16", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"),
    "v3": ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"),
    "v4": ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"),
}
"""What a processor has of each level beside what it has of those below, as LLVM calls it."""


class Code(NamedTuple):
    """A function that was compiled: its address, and whether it came from the disk."""

    address: int
    cache_hits: bool


@functools.cache
def level(wanted: str = "") -> Level | None:
    """The highest level that this processor has, or the one of that name if it has it; None where there is none."""
    if sys.platform != "linux":
        return None
    has = ll.get_host_cpu_features()
    found = None
    for one in LEVELS.get(platform.machine(), ()):
        if not all(has.get(feature) for feature in NEEDED.get(one.name, ())):
            break
        found = one
        if one.name == wanted:
            break
    return found


def compile_function(
    function: Any, signature: Any, level: Level, cache_dir: str, explicit: bool = False
) -> Code | None:
    """The code of a function of plain numbers and pointers, from the disk or compiled; None where Numba has to.

    ``explicit`` says that it writes its vectors out.

    That is where the function needs the interpreter, an address that holds for this process alone, or a symbol that
    nobody has; and where Numba compiles already, for what it has found out of calls so far would be lost.
    """
    if global_compiler_lock.is_locked():
        return None
    path = _path(function, signature, level, cache_dir)
    with contextlib.suppress(OSError, RuntimeError):
        if path is not None:
            return Code(_load(path.read_bytes()), True)
    try:
        image = _compiled(function, signature, level, explicit)
        code = Code(_load(image), False)
    # of whatever kind: what is wrong is told by Numba, which is asked next
    except Exception:
        return None
    if path is not None:
        _keep(path, image)
    return code


def _compiled(function: Any, signature: Any, level: Level, explicit: bool = False) -> bytes:
    with global_compiler_lock, _no_collection():
        simple = simplify(lower(function.__name__, [Function(SYMBOL, function, signature)]), explicit)
        module = ll.parse_bitcode(simple.bitcode)
        for value in (*module.functions, *module.global_variables):
            if value.name.startswith(OF_THIS_PROCESS):
                raise ValueError(f"{function.__name__} needs {value.name}")
        return emit(simple, level)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Typing makes millions of objects that live on; to look for garbage among them took a twelfth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# ---- in memory ----

_linked: list[Any] = []
"""What keeps the code where it is."""
_numbers = itertools.count()
"""Of what was linked, or was to be: a name that failed is taken, too."""


@functools.cache
def _linker() -> Any:
    prepare()
    return ll.create_lljit_compiler(use_jit_link=True, suppress_errors=True)


def _load(image: bytes) -> int:
    """Links an object file into this process; returns where its function is."""
    builder = ll.JITLibraryBuilder().add_object_img(image).add_current_process().export_symbol(SYMBOL)
    # what Numba has of its own: numba_frexp and the like
    for name, address in c_helpers.items():
        builder.import_symbol(f"numba_{name}", address)
    with global_compiler_lock:
        tracker = builder.link(_linker(), f"fastpool_{next(_numbers)}")
        _linked.append(tracker)
    return int(tracker[SYMBOL])


# ---- on the disk ----


def _path(function: Any, signature: Any, level: Level, cache_dir: str) -> Path | None:
    """The file that keeps the code of what does the same, by the same sources and compiler; None without a place."""
    folder = _folder(cache_dir)
    if folder is None:
        return None
    sha = hashlib.sha256(digests.sources_digest())
    sha.update(digests.digest_of(function).encode())
    sha.update(repr((str(signature), level, numba.__version__, llvmlite.__version__)).encode())
    return folder / f"{function.__name__[:100]}.{level.name}.{sha.hexdigest()[:32]}.o"


@functools.cache
def _folder(cache_dir: str) -> Path | None:
    """Where code is kept: below the folder that is named, or where Numba keeps that of this module."""
    try:
        if cache_dir:
            folder = Path(cache_dir, "kernels")
            folder.mkdir(parents=True, exist_ok=True)
        else:
            # finds a place that can be written, or says that there is none
            folder = Path(CompileResultCacheImpl(_load).locator.get_cache_path())
    except (OSError, RuntimeError):
        return None
    return folder


def _keep(path: Path, image: bytes) -> None:
    """Writes a file that others find whole or not at all; a disk that fails is only slower."""
    part = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        try:
            part.write_bytes(image)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
