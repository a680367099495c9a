"""All that is compiled ahead of time, as object files: kernels for each level of the processor, and planning once.

The work is shared among processes. An object file is kept under a digest of the module that it was made from, so that
a second build compiles only what changed.
"""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import multiprocessing.pool
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import numba
from numba import types
from numba.extending import register_jitable

from fastpool.kernels import digests, programs, registry
from fastpool.kernels.c_abi.loops import fill, lower_loops, lower_parts
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.engine import SPLIT, WHOLE, make_program
from fastpool.kernels.cpu.memory import PASSES, SIGNATURE, SIZES
from fastpool.kernels.native.lower import Function, lower
from fastpool.kernels.native.objects import Level, digest, emit, simplify
from fastpool.kernels.registry import Variant
from fastpool.kernels.table import Table

PREFIX = "fastpool_k_"
"""What symbols begin with that are not exported."""


class Planning(NamedTuple):
    """The functions that plan: those called from C, and all that they need; and the files that these are made from.

    Parameters named in ``numbers`` are integers, all others blocks.
    """

    called: tuple[Any, ...]
    needed: tuple[Any, ...]
    numbers: frozenset[str]
    files: tuple[Path, ...]


FUSED = next(form for form in registry.FORMS if form.fused)
STACKED = next(form for form in registry.FORMS if form.stacked)


EXPLICIT = ("fused", "stacked", "lanes")
"""The jobs whose kernels write their vectors out."""


class Job(NamedTuple):
    """What one process compiles at a time.

    ``what`` is "planning", "walk", "whole", "match", "fused", "stacked", "lanes", "passes" or "program".
    """

    what: str
    name: str
    number: int = -1
    loops: bytes = b""


def counts_registers(job: Job, variants: Sequence[Variant]) -> bool:
    """Whether a job is compiled with explicit vectors of the size that a level has: where values have their numbers.

    16 registers of 32 bytes have no room for the values and numbers of 64 bytes of elements: on AVX2 float32 and
    float64 took 1.1 to 3 times as long. With elements of a byte, and without numbers, 64 bytes are as fast or faster:
    5x5 1.3 times.
    """
    if job.what != "fused":
        return False
    variant = variants[job.number]
    return variant.role == "index" and SIZES[variant.source] >= 4


def symbol(name: str, level: Level) -> str:
    """The symbol of a kernel or walk for a level."""
    return f"{PREFIX}{name}_{level.name}"


def shared_name(variant: Variant, what: str) -> str:
    """The name of a variant's kernel of vectors, ``what`` being "fused" or "stacked": forward with indices, there is
    one for both types of these.
    """
    own = f"_{variant.aux}" if variant.role == "index" else ""
    return f"{variant.name.removesuffix(own)}_{what}"


def jobs(variants: Sequence[Variant]) -> list[Job]:
    """The jobs that kernels need besides planning, the longest first."""
    ahead = [(number, v) for number, v in enumerate(variants) if registry.is_ahead(v)]
    whole = [Job("whole", v.name, number) for number, v in ahead if v.role in WHOLE]
    match = [Job("match", v.name + "_match", number) for number, v in ahead if v.role == "scatter"]
    # those by keys are for forms that combine much, and are no vectors
    vectors = [(number, v) for number, v in ahead if v.vector is not None and not v.name.endswith("_keys")]
    shared = {("fused", shared_name(v, "fused")): number for number, v in vectors}
    shared |= {("stacked", shared_name(v, "stacked")): number for number, v in vectors if STACKED.serves(v)}
    once = [Job(*job, number) for job, number in shared.items()]
    lanes = [Job("lanes", v.name + "_fused_lanes", number) for number, v in ahead if v.across is not None]
    passes = [Job("passes", v.name, number) for number, v in ahead if v.role not in WHOLE]
    family = [Job("program", program.name, number) for number, program in enumerate(programs.ahead())]
    return [*(Job("walk", walk) for walk in SPLIT), *whole, *match, *once, *family, *lanes, *passes]


def _settle(vector: int) -> None:
    """Prepares a process for many jobs with explicit vectors of so many bytes.

    Typing makes millions of objects, and to look for garbage among them so often as Python does took a twelfth of the
    time.
    """
    vectors.set_bytes(vector)
    gc.freeze()
    gc.set_threshold(1_000_000, 10, 10)


_shared: tuple[Sequence[Variant], Planning]
"""What the processes inherit, because functions inside of others cannot be sent."""


def _lower_planning(planning: Planning) -> bytes:
    for function in planning.needed:
        register_jitable(function)
    block = types.CPointer(types.int64)
    functions = []
    for function in planning.called:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        arguments = [types.int64 if name in planning.numbers else block for name in names]
        functions.append(Function(PREFIX + function.__name__, function, types.int64(*arguments)))
    return lower("planning", functions)


def _lower(job: Job) -> bytes:
    """A module whose function, but for planning, is called "kernel"."""
    variants, planning = _shared
    if job.what == "planning":
        return _lower_planning(planning)
    if job.what == "program":
        function = make_program(list(programs.ahead())[job.number], 0)
        function.__name__ = function.__qualname__ = job.name
        return lower(job.name, [Function("kernel", function, SIGNATURE)])
    variant = variants[job.number]
    if job.what == "walk":
        function, signature = SPLIT[job.name][0](0), SIGNATURE
    elif job.what == "whole":
        function, signature = WHOLE[variant.role](variant, 0), SIGNATURE
    elif job.what == "fused":
        function, signature = WHOLE[FUSED.walk(variant.role)](variant, 0), SIGNATURE
    elif job.what == "stacked":
        function, signature = WHOLE[STACKED.walk(variant.role)](variant, 0), SIGNATURE
    elif job.what == "match":
        function, signature = SPLIT["match"][1](variant, 0), PASSES
    elif job.what == "lanes":
        function, signature = SPLIT["fused_lanes"][1](variant, 0), PASSES
    else:
        return fill(job.loops, lower_parts(variant), "kernel")
    function.__name__ = function.__qualname__ = job.name
    return lower(job.name, [Function("kernel", function, signature)])


def _objects(task: tuple[Job, tuple[Level, ...], Path]) -> list[Path]:
    """Compiles a job for some levels; returns the object files."""
    job, levels, folder = task
    simple = simplify(_lower(job), job.what in EXPLICIT)
    found = []
    for level in levels:
        own = "" if job.what == "planning" else symbol(job.name, level)
        path = folder / f"{own or job.name}_{digest(simple, level)}.o"
        if not path.exists():
            whole = path.with_suffix(f".{os.getpid()}")
            whole.write_bytes(emit(simple, level, own))
            whole.replace(path)
        found.append(path)
    return found


@cache
def _loops(state: tuple[str, ...]) -> bytes:
    return lower_loops(state)


def sources(planning: Planning, levels: Sequence[Level]) -> str:
    """A digest of all that is compiled and of what compiles it."""
    sha = hashlib.sha256(digests.sources_digest())
    # what lowers and compiles, beside what is compiled
    here = [Path(__file__).with_name(f"{name}.py") for name in ("loops", "compile")]
    for path in (*here, *planning.files):
        sha.update(path.read_bytes())
    sha.update(repr((tuple(levels), numba.__version__, llvmlite.__version__)).encode())
    return sha.hexdigest()[:16]


def compile_all(table: Table, planning: Planning, levels: Sequence[Level], folder: Path, processes: int) -> list[Path]:
    """Compiles everything, or takes it from an earlier build of the same; returns the object files."""
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / f"objects_{sources(planning, levels)}.txt"
    if known.exists():
        objects = [folder / name for name in known.read_text(encoding="utf-8").split()]
        if all(path.exists() for path in objects):
            return objects
    objects = _compile_all(table, planning, levels, folder, processes)
    known.write_text("\n".join(path.name for path in objects), encoding="utf-8")
    return objects


def _compile_all(table: Table, planning: Planning, levels: Sequence[Level], folder: Path, processes: int) -> list[Path]:
    global _shared
    _shared = (table.variants, planning)
    wanted = jobs(table.variants)
    sized = [job for job in wanted if counts_registers(job, table.variants)]
    objects = []
    for size in {level.vector for level in levels} - {vectors.BYTES}:
        mine = tuple(level for level in levels if level.vector == size)
        with _pool(processes, size) as pool:
            objects += pool.map(_objects, [(job, mine, folder) for job in sized], chunksize=1)
    with _pool(processes, vectors.BYTES) as pool:
        objects += _compile_most(pool, wanted, sized, table, levels, folder)
    return [path for paths in objects for path in paths]


def _pool(processes: int, vector: int) -> multiprocessing.pool.Pool:
    return multiprocessing.get_context("fork").Pool(processes, _settle, (vector,))


def _compile_most(
    pool: multiprocessing.pool.Pool,
    wanted: Sequence[Job],
    sized: Sequence[Job],
    table: Table,
    levels: Sequence[Level],
    folder: Path,
) -> list[list[Path]]:
    """Compiles what is wanted, but those of ``sized`` only for levels that have vectors of the usual size."""
    usual = tuple(level for level in levels if level.vector == vectors.BYTES)
    states = sorted({table.variants[job.number].state for job in wanted if job.what == "passes"})
    # long ones first, so that no process ends much later than the others
    first = pool.map_async(_loops, states, chunksize=1)
    lowest = pool.map_async(_objects, [(Job("planning", "planning"), tuple(levels[:1]), folder)], chunksize=1)
    big = [(job, usual if job in sized else tuple(levels), folder) for job in wanted if job.what != "passes"]
    big = [task for task in big if task[1]]
    whole = pool.map_async(_objects, big, chunksize=1)
    loops = dict(zip(states, first.get(), strict=True))
    small = [job._replace(loops=loops[table.variants[job.number].state]) for job in wanted if job.what == "passes"]
    passes = pool.map_async(_objects, [(job, tuple(levels), folder) for job in small], chunksize=1)
    return [*lowest.get(), *whole.get(), *passes.get()]
