"""The C library from Python: found, loaded through cffi, and run.

The library and what declares it to cffi (``_capi``) are written into this package when it is built; where that was not
possible, the just-in-time compiler does the work.
"""

from __future__ import annotations

import functools
import importlib
import operator
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastpool import config
from fastpool._version import __version__
from fastpool.kernels import plan as P
from fastpool.memory import Array
from fastpool.problem import INDEX_KINDS, OPS, Problem

FOLDER = os.path.dirname(__file__)
INCLUDE = os.path.join(FOLDER, "include")
LIB = os.path.join(FOLDER, "lib")


class Library:
    """The loaded library: ``path``, cffi's ``ffi``, and ``lib`` with its functions."""

    def __init__(self, path: str) -> None:
        from fastpool._capi import ffi

        self.path = path
        self.ffi: Any = ffi
        self.lib: Any = ffi.dlopen(path)
        version = self.text(self.lib.fastpool_version())
        if version != __version__:
            raise ImportError(f"{os.path.basename(path)} is of version {version}, the package of {__version__}")
        self.level = self.text(self.lib.fastpool_cpu_level())

    def error(self, status: int) -> str:
        """What a status means."""
        return "libfastpool: " + self.text(self.lib.fastpool_status_text(status))

    def address(self, function: str) -> int:
        """Where a function lies."""
        return int(self.ffi.cast("uintptr_t", self.ffi.addressof(self.lib, function)))

    def number(self, dtype: str) -> int:
        """The number of an element type, or -1."""
        name = "BOOL" if dtype == "b1" else dtype.upper()
        return int(getattr(self.lib, f"FASTPOOL_{name}", -1))

    def done(self, status: int) -> bool:
        """Whether a run was done, or else there was a wrong index; an exception for every other status."""
        if status not in (self.lib.FASTPOOL_OK, self.lib.FASTPOOL_INVALID_INDICES):
            raise RuntimeError(self.error(status))
        return bool(status == self.lib.FASTPOOL_OK)

    def pointer(self, array: np.ndarray | None) -> Any:
        """Where an array's first element lies; null for none."""
        return self.ffi.cast("void *", 0 if array is None else address_of(array))

    def spec(self, problem: Problem, forced: str = "") -> Any:
        """A problem as the library's spec, or None if it cannot be one; ``forced`` is a form's name or ""."""
        dtype = self.number(problem.dtype)
        if dtype < 0 or problem.op not in OPS or len(problem.shape) > self.lib.FASTPOOL_MAX_RANK:
            return None
        spec = self.ffi.new("fastpool_spec *")
        self.lib.fastpool_spec_init(spec, self.ffi.sizeof("fastpool_spec"))
        _write(spec, problem, dtype, _form(forced))
        return spec

    def text(self, words: Any) -> str:
        """A string of C."""
        return str(self.ffi.string(words).decode())


def path_of_library() -> str:
    """The path of the shared library, or ""."""
    names = os.listdir(LIB) if os.path.isdir(LIB) else []
    numbers = [name.removeprefix("libfastpool.so.") for name in names if name.startswith("libfastpool.so.")]
    latest = max(filter(str.isdecimal, numbers), key=int, default="")
    return os.path.join(LIB, f"libfastpool.so.{latest}") if latest else ""


@functools.cache
def _find() -> tuple[Library | None, str]:
    """The library, or None and why there is none."""
    path = path_of_library()
    if not path:
        note = os.path.join(LIB, "missing.txt")
        if not os.path.exists(note):
            return None, "it was not built with this installation"
        with open(note, encoding="utf-8") as file:
            return None, file.read()
    try:
        return Library(path), ""
    except (ImportError, OSError) as error:
        return None, f"it does not load: {error}"


def library() -> Library | None:
    """The library, or None where there is none."""
    return _find()[0]


def missing() -> str:
    """Why there is no library, or ""."""
    return _find()[1]


class Plan:
    """A problem planned by the library."""

    def __init__(self, owner: Library, handle: Any) -> None:
        self._owner, self._lib, self._ffi = owner, owner.lib, owner.ffi
        self._handle = self._ffi.gc(handle, self._lib.fastpool_plan_destroy)

    @property
    def address(self) -> int:
        """Where the library's plan is, as long as this one lives."""
        return int(self._ffi.cast("uintptr_t", self._handle))

    @property
    def threads(self) -> int:
        """How many threads a call made now uses."""
        return int(self._lib.fastpool_threads(self._handle, config.get_num_threads()))

    def _workspace(self) -> tuple[np.ndarray, int]:
        threads = self.threads
        return np.empty(self._lib.fastpool_workspace_size(self._handle, threads), np.uint8), threads

    def forward(self, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
        """Writes y, and the indices if there are any."""
        work, threads = self._workspace()
        arrays = map(self._owner.pointer, (x, y, indices, work))
        self._owner.done(self._lib.fastpool_forward(self._handle, *arrays, work.nbytes, threads))

    def backward(self, dy: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None, dx: np.ndarray) -> bool:
        """Writes dx, unless an index is wrong; returns whether it did."""
        work, threads = self._workspace()
        arrays = map(self._owner.pointer, (dy, x, indices, dx, work))
        return self._owner.done(self._lib.fastpool_backward(self._handle, *arrays, work.nbytes, threads))


def _form(forced: str) -> int:
    """The number of a form in a spec: from 1, and 0 for the library's own choice."""
    if not forced:
        return 0
    from fastpool.kernels.registry import FORMS

    return next(number for number, form in enumerate(FORMS, 1) if form.name == forced)


def _write(spec: Any, problem: Problem, dtype: int, form: int) -> None:
    """Fills in the library's spec of a problem."""
    spec.operation = OPS.index(problem.op)
    spec.direction = int(problem.direction == "bwd")
    spec.dtype = dtype
    spec.indices = INDEX_KINDS.index(problem.indices) if problem.indices else -1
    spec.skip_nan = int(problem.nan == "ignore")
    spec.include_pad = int(problem.include_pad)
    spec.ceil_mode = int(problem.ceil)
    spec.rank, spec.pooled = len(problem.shape), len(problem.axes)
    spec.form = form
    spec.divisor, spec.norm = problem.divisor, problem.norm
    strides = (problem.x_strides, problem.y_strides, problem.index_strides, problem.aux_strides)
    spec.strided = functools.reduce(operator.or_, (1 << bit for bit, given in enumerate(strides) if given), 0)
    fields = ("shape", "x_strides", "y_strides", "index_strides", "input_strides")
    for name, values in zip(fields, (problem.shape, *strides), strict=True):
        getattr(spec, name)[0 : len(values)] = values
    for name in ("axes", "kernel", "stride", "dilation", "pad_begin", "pad_end"):
        values = getattr(problem, name)
        getattr(spec, name)[0 : len(values)] = values


@functools.lru_cache(maxsize=4096)
def plan(problem: Problem, forced: str = "") -> Plan | None:
    """The library's plan of a problem, or None where it has no kernel for it; ``forced`` is a form's name or ""."""
    owner = library()
    spec = None if owner is None else owner.spec(problem, forced)
    if owner is None or spec is None:
        return None
    made = owner.ffi.new("fastpool_plan **")
    status = owner.lib.fastpool_plan_create(spec, made)
    # the interface of C takes less than the kernels do: bool has no gradient there
    if status in (owner.lib.FASTPOOL_UNSUPPORTED, owner.lib.FASTPOOL_INVALID_OPERATION):
        return None
    if status != owner.lib.FASTPOOL_OK:
        raise RuntimeError(f"{problem}: {owner.error(status)}")
    return Plan(owner, made[0])


def plan_of(problem: Problem, stages: Sequence[tuple[int, int, int, Array]], shared: int) -> Plan | None:
    """The library's plan of kernels that were compiled at run time, or None where there is no library.

    ``stages`` has for each kernel its address, that of its passes, the number of its role, and its plan block.
    """
    owner = library()
    if owner is None:
        return None
    about: list[int] = []
    numbers: list[int] = []
    for kernel, passes, role, block in stages:
        about += [kernel, passes, role, int(block[P.TILES]), int(block[P.BYTES]), int(block[P.WORK]), len(block)]
        numbers += block.tolist()
    backward = int(problem.direction == "bwd")
    given = (owner.ffi.new("int64_t[]", values) for values in (about, numbers))
    handle = owner.lib.fastpool_plan_of_programs(backward, len(stages), *given, shared)
    return Plan(owner, handle) if handle else None


class Once:
    """A problem that the library plans for each run, as one call of C does."""

    def __init__(self, owner: Library, spec: Any) -> None:
        self._owner, self._spec = owner, spec

    def _run(self, *arrays: np.ndarray | None) -> bool:
        pointers = map(self._owner.pointer, arrays)
        return self._owner.done(self._owner.lib.fastpool_run(self._spec, *pointers, config.get_num_threads()))

    def forward(self, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
        """Writes y, and the indices if there are any."""
        self._run(x, None, indices, y)

    def backward(self, dy: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None, dx: np.ndarray) -> bool:
        """Writes dx, unless an index is wrong; returns whether it did."""
        return self._run(x, dy, indices, dx)


def once(problem: Problem, forced: str = "") -> Once | None:
    """A problem for single calls, or None where the library has no kernel for it."""
    owner = library()
    if owner is None or plan(problem, forced) is None:
        return None
    return Once(owner, owner.spec(problem, forced))


@functools.cache
def door() -> Any:
    """The module that runs known calls without passing through Python, or None where it was not built."""
    owner = library()
    if owner is None:
        return None
    try:
        found: Any = importlib.import_module("fastpool._door")
    except ImportError:
        return None
    names = ("fastpool_forward", "fastpool_workspace_size", "fastpool_threads", "fastpool_run_program")
    found.attach(*map(owner.address, names), config.get_num_threads)
    return found


def address_of(array: np.ndarray) -> int:
    """The address of an array's first element. Asking NumPy in Python takes 3.3 us, the front door 0.45."""
    if type(array) is np.ndarray and (found := _address()) is not None:
        return int(found(array))
    return int(array.__array_interface__["data"][0])


@functools.cache
def _address() -> Any:
    return getattr(door(), "address", None)
