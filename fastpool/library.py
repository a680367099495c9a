"""The C library from Python: found, loaded through cffi, and run.

The library and what declares it to cffi (``_capi``) are written into this package when it is built; where that was not
possible, the just-in-time compiler does the work.
"""

from __future__ import annotations

import functools
import operator
from pathlib import Path
from typing import Any

import numpy as np

from fastpool import config
from fastpool._version import __version__
from fastpool.kernels import rows as T
from fastpool.kernels.registry import FORMS
from fastpool.problem import INDEX_KINDS, OPS, Problem

FOLDER = Path(__file__).parent
INCLUDE = FOLDER / "include"
LIB = FOLDER / "lib"

_DTYPES = {name: number for number, name in enumerate((*T.DTYPES, *T.PARTS))}
_FORMS = {form.name: number + 1 for number, form in enumerate(FORMS[: T.COUNT])}


class Library:
    """The loaded library: ``path``, cffi's ``ffi``, and ``lib`` with its functions."""

    def __init__(self, path: Path) -> None:
        from fastpool._capi import ffi

        self.path = path
        self.ffi: Any = ffi
        self.lib: Any = ffi.dlopen(str(path))
        version = self.text(self.lib.fastpool_version())
        if version != __version__:
            raise ImportError(f"{path.name} is of version {version}, the package of {__version__}")
        self.level = self.text(self.lib.fastpool_cpu_level())

    def error(self, status: int) -> str:
        """What a status means."""
        return "libfastpool: " + self.text(self.lib.fastpool_status_text(status))

    def text(self, words: Any) -> str:
        """A string of C."""
        return str(self.ffi.string(words).decode())


@functools.cache
def _find() -> tuple[Library | None, str]:
    """The library, or None and why there is none."""
    found = sorted(LIB.glob("libfastpool.so.*"))
    if not found:
        note = LIB / "missing.txt"
        return None, note.read_text(encoding="utf-8") if note.exists() else "it was not built with this installation"
    try:
        return Library(found[-1]), ""
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

    def _workspace(self) -> tuple[np.ndarray, int]:
        threads = self._lib.fastpool_threads(self._handle, config.get_num_threads())
        return np.empty(self._lib.fastpool_workspace_size(self._handle, threads), np.uint8), threads

    def _pointer(self, array: np.ndarray | None) -> Any:
        address = 0 if array is None else array.__array_interface__["data"][0]
        return self._ffi.cast("void *", address)

    def forward(self, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
        """Writes y, and the indices if there are any."""
        work, threads = self._workspace()
        arrays = map(self._pointer, (x, y, indices, work))
        self._done(self._lib.fastpool_forward(self._handle, *arrays, work.nbytes, threads))

    def backward(self, dy: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None, dx: np.ndarray) -> bool:
        """Writes dx, unless an index is wrong; returns whether it did."""
        work, threads = self._workspace()
        arrays = map(self._pointer, (dy, x, indices, dx, work))
        status = self._lib.fastpool_backward(self._handle, *arrays, work.nbytes, threads)
        if status == self._lib.FASTPOOL_INVALID_INDICES:
            return False
        self._done(status)
        return True

    def _done(self, status: int) -> None:
        if status != self._lib.FASTPOOL_OK:
            raise RuntimeError(self._owner.error(status))


def _write(spec: Any, problem: Problem, forced: str) -> None:
    """Fills in the library's spec of a problem."""
    spec.operation = OPS.index(problem.op)
    spec.direction = int(problem.direction == "bwd")
    spec.dtype = _DTYPES[problem.dtype]
    spec.indices = INDEX_KINDS.index(problem.indices) if problem.indices else -1
    spec.skip_nan = int(problem.nan == "ignore")
    spec.include_pad = int(problem.include_pad)
    spec.ceil_mode = int(problem.ceil)
    spec.rank, spec.pooled = len(problem.shape), len(problem.axes)
    spec.form = _FORMS.get(forced, 0)
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
    known = problem.dtype in _DTYPES and problem.op in OPS
    if owner is None or not known or len(problem.shape) > owner.lib.FASTPOOL_MAX_RANK:
        return None
    spec, made = owner.ffi.new("fastpool_spec *"), owner.ffi.new("fastpool_plan **")
    owner.lib.fastpool_spec_init(spec, owner.ffi.sizeof("fastpool_spec"))
    _write(spec, problem, forced)
    status = owner.lib.fastpool_plan_create(spec, made)
    # the interface of C takes less than the kernels do: bool has no gradient there
    if status in (owner.lib.FASTPOOL_UNSUPPORTED, owner.lib.FASTPOOL_INVALID_OPERATION):
        return None
    if status != owner.lib.FASTPOOL_OK:
        raise RuntimeError(f"{problem}: {owner.error(status)}")
    return Plan(owner, made[0])


@functools.cache
def door() -> Any:
    """The module that runs known calls without passing through Python, or None where it was not built."""
    owner = library()
    if owner is None:
        return None
    try:
        from fastpool import _door  # type: ignore[attr-defined]
    except ImportError:
        return None
    names = ("fastpool_forward", "fastpool_workspace_size", "fastpool_threads")
    addresses = [int(owner.ffi.cast("uintptr_t", owner.ffi.addressof(owner.lib, name))) for name in names]
    _door.attach(*addresses, config.get_num_threads)
    return _door
