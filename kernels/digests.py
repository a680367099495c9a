"""Digests of what kernels are made of: names and cache keys that change when a source does, and only then."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import itertools
import pathlib
import types
from typing import Any

import numpy as np

from fastpool.kernels import reductions as R


@functools.cache
def sources_digest() -> bytes:
    """A digest of every source file that a CPU's kernel is made from: those of the GPU are none of them, nor is how a
    library is made of kernels.
    """
    digest = hashlib.sha256()
    folder = pathlib.Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] not in ("c_abi", "cuda"):
            digest.update(path.read_bytes())
    return digest.digest()


def digest(reduction: R.Reduction) -> int:
    """A number that changes when a kernel's sources or the reduction's functions do.

    Numba's disk cache knows a kernel by its bytecode and what its closure holds, but not by the source of a captured
    function: without this number in the closure an edited reduction would be served as it was, where Numba compiles.
    """
    sha = hashlib.sha256(sources_digest())
    for field in dataclasses.fields(reduction):
        _feed(sha, getattr(reduction, field.name), set())
    return int.from_bytes(sha.digest()[:7], "little")


def content(function: Any) -> str:
    """A digest of what a function does: equal for two that do the same, whichever process made them."""
    return digest_of(function)[:16]


def digest_of(thing: Any) -> str:
    """A digest of functions, numbers and tuples of these: equal for what does the same in any process."""
    sha = hashlib.sha256()
    _feed(sha, thing, set())
    return sha.hexdigest()


def reached(function: Any) -> list[types.FunctionType]:
    """The plain functions that a function is made of: itself, those that it captures or uses by name, and theirs."""
    found: dict[types.FunctionType, None] = {}
    waiting = [function]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, types.FunctionType) and thing not in found:
            found[thing] = None
            waiting += [cell.cell_contents for cell in thing.__closure__ or ()]
            waiting += [thing.__globals__.get(name) for name in _names(thing.__code__)]
    return list(found)


def _feed(sha: Any, thing: Any, seen: set[Any]) -> None:
    """Adds to a digest what a function does: its code, defaults and closure, and all that they reach by name."""
    if isinstance(thing, types.FunctionType):
        if id(thing) in seen:
            return
        seen.add(id(thing))
        _feed(sha, thing.__code__, seen)
        _feed(sha, thing.__defaults__, seen)
        _feed(sha, tuple(sorted((thing.__kwdefaults__ or {}).items())), seen)
        for cell in thing.__closure__ or ():
            _feed(sha, cell.cell_contents, seen)
        names = _names(thing.__code__)
        for name in names:
            if name in thing.__globals__:
                _feed_named(sha, thing.__globals__[name], names, seen)
    elif isinstance(thing, types.CodeType):
        sha.update(thing.co_code)
        for constant in thing.co_consts:
            _feed(sha, constant, seen)
        sha.update(repr(thing.co_names).encode())
    elif isinstance(thing, tuple):
        for part in thing:
            _feed(sha, part, seen)
    elif isinstance(thing, (types.ModuleType, type)):
        sha.update(thing.__name__.encode())
        if isinstance(thing, enum.EnumMeta):
            sha.update(repr(dict(thing.__members__)).encode())
    elif isinstance(thing, np.ndarray):
        sha.update(thing.tobytes())
    elif hasattr(thing, "py_func"):
        # compiled by Numba already; its repr holds an address
        _feed(sha, thing.py_func, seen)
    elif hasattr(thing, "_defn"):
        # an intrinsic of Numba's: its own code, for what that reaches are Numba's and LLVM's objects
        _feed(sha, thing._defn.__code__, seen)
    else:
        sha.update(repr(thing).encode())


def _names(code: types.CodeType) -> tuple[str, ...]:
    """The names that a function's code and the functions inside it use, in the order of their first use."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return tuple(dict.fromkeys(itertools.chain(code.co_names, *map(_names, inner))))


def _feed_named(sha: Any, thing: Any, names: tuple[str, ...], seen: set[Any]) -> None:
    """Adds a global; of a module that is not a library's, those attributes that the function may use."""
    _feed(sha, thing, seen)
    if isinstance(thing, types.ModuleType) and thing.__name__.partition(".")[0] not in _LIBRARIES:
        if (id(thing), names) in seen:
            return
        seen.add((id(thing), names))
        for name in names:
            if hasattr(thing, name):
                _feed_named(sha, getattr(thing, name), names, seen)


_LIBRARIES = {"math", "cmath", "numpy", "numba", "operator", "builtins"}
"""Modules whose functions do not change between two runs without their version, which the cache knows."""
