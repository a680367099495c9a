"""From LLVM modules to object files: the back half of compiling, once for each level of a processor."""

from __future__ import annotations

import functools
import hashlib
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import llvmlite
import llvmlite.binding as ll


class Level(NamedTuple):
    """A level of instructions.

    ``name`` is in symbols; ``processor`` is LLVM's name, ``features`` are others besides; ``vector`` is the bytes of
    explicit vectors where these are few, see ``compile.counts_registers``.
    """

    name: str
    processor: str
    vector: int
    features: str = ""


LEVELS = {
    "x86_64": (
        Level("v2", "x86-64-v2", 32),
        Level("v3", "x86-64-v3", 32),
        Level("v4", "x86-64-v4", 64),
    ),
    "aarch64": (Level("base", "generic", 32),),
}
"""The levels of each kind of processor, the lowest first."""

OPTIONS = ("-disable-lsr",)
"""Options of LLVM, each on or off. A third of the time went into finding addresses that x86 computes for nothing."""

_SOURCE = Path(__file__).read_text(encoding="utf-8")


@contextmanager
def _options() -> Iterator[None]:
    """While it lasts, LLVM has our options: they hold for a process, and others compile in it, too."""
    for option in OPTIONS:
        ll.set_option("fastpool", f"{option}=true")
    try:
        yield
    finally:
        for option in OPTIONS:
            ll.set_option("fastpool", f"{option}=false")


@functools.cache
def prepare() -> None:
    """Sets LLVM up in this process."""
    ll.initialize_native_target()
    ll.initialize_native_asmprinter()


def _machine(level: Level) -> ll.TargetMachine:
    prepare()
    target = ll.Target.from_triple(ll.get_process_triple())
    return target.create_target_machine(
        cpu=level.processor, features=level.features, opt=3, reloc="pic", codemodel="default"
    )


class Simple(NamedTuple):
    """A module with everything inlined and simplified that does not depend on the level."""

    bitcode: bytes
    content: bytes
    """A digest of all that decides what is compiled from it."""
    explicit: bool = False
    """Whether its vectors are written out, so that no loop is to be made one of vectors."""


def simplify(bitcode: bytes, explicit: bool = False) -> Simple:
    """Simplifies a module as far as all levels have that in common.

    With explicit vectors, that is nearly all: levels then do little more than to choose instructions, and the modules
    of such kernels take two thirds of the time and a third less space.
    """
    module = ll.parse_bitcode(bitcode)
    with _options():
        _optimise(module, _machine(next(iter(LEVELS[platform.machine()]))), 3 if explicit else 1, vectorise=False)
    # Numba's names have numbers that count what was compiled before in the process
    module.name = "fastpool"
    internal = [*module.functions, *module.global_variables]
    internal = [value for value in internal if value.linkage in (ll.Linkage.internal, ll.Linkage.private)]
    for number, value in enumerate(internal):
        value.name = f"_{number}"
    text = re.sub(r"B\d+v\d+B", "BvB", str(module))
    return Simple(bytes(module.as_bitcode()), hashlib.sha256(text.encode()).digest(), explicit)


def digest(simple: Simple, level: Level) -> str:
    """A digest of an object file before it is made."""
    made_by = repr((level, simple.explicit, llvmlite.__version__, OPTIONS)) + _SOURCE
    return hashlib.sha256(simple.content + made_by.encode()).hexdigest()[:16]


def emit(simple: Simple, level: Level, symbol: str = "") -> bytes:
    """The object file of a module for a level; the function "kernel" gets the name ``symbol``."""
    module = ll.parse_bitcode(simple.bitcode)
    if symbol:
        module.get_function("kernel").name = symbol
    machine = _machine(level)
    with _options():
        _optimise(module, machine, 1 if simple.explicit else 3, vectorise=not simple.explicit)
        return bytes(machine.emit_object(module))


def _optimise(module: ll.ModuleRef, machine: ll.TargetMachine, speed: int, vectorise: bool) -> None:
    tuning = ll.create_pipeline_tuning_options(speed_level=speed)
    tuning.loop_vectorization = tuning.loop_interleaving = vectorise
    # as where they are compiled just in time
    tuning.slp_vectorization = False
    # loops are vectorised and interleaved, and wait for memory: another fifth of the time
    tuning.loop_unrolling = False
    builder = ll.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
