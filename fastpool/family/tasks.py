"""Running a program: which engine has it, threads, workspace."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from fastpool import config, library
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.tiling import PARALLEL_BYTES

_told: list[list[str]] = []
"""What ``explaining`` collects, instead of running it; empty where nobody asks."""


@functools.cache
def _ahead(program: Program) -> int:
    """The address of a program in the C library, or 0."""
    owner = library.library()
    return 0 if owner is None else int(owner.lib.fastpool_program(program.name.encode()))


def engine_of(program: Program) -> str:
    """Which engine runs a program: ``aot``, ``jit`` or ``reference``."""
    wanted = config.engine()
    if wanted == "reference":
        return "reference"
    return "jit" if wanted in ("jit", "njit") or not _ahead(program) else "aot"


def _address(array: Array | None) -> int:
    return 0 if array is None else library.address_of(array)


def telling() -> bool:
    """Whether programs are told at present, and not run: then nothing else is to be written, either."""
    return bool(_told)


def tell(step: str) -> bool:
    """Say what is about to run, to who wants to know; whether that is all that is wanted."""
    if _told:
        _told[-1].append(step)
        return True
    if config.verbose_dispatch():
        print(f"fastpool: {step}", file=sys.stderr)
    return False


def run(
    program: Program,
    plan: Sequence[int] | Array,
    arrays: Sequence[Array | None],
    tiles: int,
    work: int = 0,
    size: int | None = None,
    oracle: Callable[[], None] | None = None,
) -> None:
    """Run a program over all of its tiles.

    Parameters
    ----------
    program : Program
    plan : sequence of int, or an array of them
        A frame's plan and the program's own numbers.
    arrays : sequence of array or None
        What ``bufs`` points to, in storage form.
    tiles : int
        How many there are; they may run in any order, on any thread.
    work : int
        Bytes of workspace that a thread needs.
    size : int, optional
        Bytes that the task moves: below a grain it runs in one thread. Left out, those of the arrays.
    oracle : function, optional
        Writes the same results by plain NumPy: the engine ``reference``.
    """
    moved = sum(array.nbytes for array in arrays if array is not None) if size is None else size
    _run(program, np.array(plan, np.int64), [*map(_address, arrays)], tiles, work, moved, oracle)


def _run(
    program: Program,
    block: Array,
    places: list[int],
    tiles: int,
    work: int,
    moved: int,
    oracle: Callable[[], None] | None = None,
) -> None:
    engine = engine_of(program)
    if engine == "reference" and oracle is None:
        engine = "aot" if _ahead(program) else "jit"
    if tell(f"{program.name} ({engine}), {tiles} tiles") or tiles <= 0:
        return
    if engine == "reference" and oracle is not None:
        oracle()
        return
    threads = 1 if moved < PARALLEL_BYTES else max(1, min(config.get_num_threads(), tiles))
    pitch = -(-work // 64) * 64
    memory = np.empty(threads * pitch + 64, np.uint8)
    start = -(-_address(memory) // 64) * 64
    bufs = np.array(places, np.int64)
    if engine == "aot":
        owner = library.library()
        assert owner is not None
        numbers, given = (owner.ffi.from_buffer("int64_t[]", array) for array in (block, bufs))
        place = owner.ffi.cast("void *", start)
        owner.lib.fastpool_run_program(_ahead(program), numbers, given, place, pitch, tiles, threads)
        return
    from fastpool.kernels.cpu import engine as jit

    kernel = jit.compile_program(program, config.cache_dir(), config.cpu_level())
    jit.run(kernel, _address(block), _address(bufs), start, pitch, tiles, threads, config.cache_dir)


class Task(NamedTuple):
    """A program that is planned, for arrays that lie in memory as those did which it was planned for."""

    program: Program
    block: Array
    tables: tuple[Array, ...]
    places: tuple[int, ...]
    """Where the tables are."""
    tiles: int
    work: int
    moved: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """What the front door is told of it: addresses of the program and of its block, tiles, bytes of workspace, and
        whether threads share them; () where the library lacks the program.
        """
        shared = self.moved >= PARALLEL_BYTES and self.tiles > 1
        found = _ahead(self.program)
        return (found, _address(self.block), self.tiles, self.work, int(shared)) if found else ()

    def run(self, *arrays: Array, oracle: Callable[[], None] | None = None) -> None:
        """Run it: ``bufs`` points to these arrays, then to the tables; ``oracle`` as in ``run``."""
        places = [*map(_address, arrays), *self.places]
        _run(self.program, self.block, places, self.tiles, self.work, self.moved, oracle)


def task(
    program: Program, plan: Sequence[int], tables: Sequence[Array], tiles: int, work: int = 0, moved: int = 0
) -> Task:
    """A task, from what ``run`` takes; ``tables`` are the arrays that are the same each time it runs."""
    return Task(program, np.array(plan, np.int64), (*tables,), (*map(_address, tables),), tiles, work, moved)


@contextmanager
def explaining() -> Iterator[list[str]]:
    """While it lasts, programs are not run but told, one line each."""
    _told.append([])
    try:
        yield _told[-1]
    finally:
        _told.pop()
