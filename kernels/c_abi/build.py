"""Builds the C library: compiles kernels and planning, writes the C sources, compiles and links them."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import cffi
import numpy as np

from fastpool.kernels.c_abi import cython, packages
from fastpool.kernels.c_abi.compile import Planning, compile_all, sources
from fastpool.kernels.c_abi.tables import ABI, HERE, Interface, declarations, header, library_tables
from fastpool.kernels.native.objects import LEVELS
from fastpool.kernels.table import Table

LIBRARY = f"libfastpool.so.{ABI}"

FLAGS = ("-std=c11", "-O2", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra")


class BuildError(RuntimeError):
    """The library cannot be built here; the package does without."""


def compiler() -> str:
    """The C compiler.

    Raises
    ------
    BuildError
        Where there is none, or none that is known to link what is compiled here.
    """
    if sys.platform != "linux" or platform.machine() not in LEVELS:
        raise BuildError(f"the library is not built for {sys.platform} on {platform.machine()}")
    for name in (os.environ.get("CC", ""), "gcc", "clang", "cc"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise BuildError("there is no C compiler (gcc or clang)")


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(map(str, command[:6]))} ... failed:\n{done.stderr[-4000:]}")


def _openmp(cc: str, folder: Path) -> list[str]:
    """What a program names to link with code that this compiler made for OpenMP; empty where it has none.

    The program's own compiler may be another one, whose ``-fopenmp`` brings another runtime.
    """
    source, compiled = folder / "openmp.c", folder / "openmp.o"
    source.write_text(
        "#include <omp.h>\n"
        "int main(void)\n{\n    int threads = 0;\n"
        "#pragma omp parallel\n    threads = omp_get_num_threads();\n"
        "    return threads < 1;\n}\n"
    )
    if subprocess.run([cc, "-fopenmp", "-c", source, "-o", compiled], capture_output=True, check=False).returncode:
        return []
    for word in ("-lgomp", "-lomp", "-fopenmp"):
        command: list[str | Path] = [cc, compiled, word, "-lpthread", "-o", folder / "openmp"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return [word]
    return []


def exports() -> list[str]:
    """The symbols that the library exports."""
    return (HERE / "exports.txt").read_text(encoding="utf-8").split()


def made_from(planning: Planning) -> str:
    """A digest of all that the library is made from."""
    sha = hashlib.sha256(sources(planning, LEVELS[platform.machine()]).encode())
    written = ("fastpool.c", "threads.h", "fastpool.h.in", "door.c", "exports.txt")
    for name in (*written, *packages.FILES, *packages.HEADERS):
        sha.update((HERE / name).read_bytes())
    return sha.hexdigest()[:16]


def build(target: Path, cache: Path, interface: Interface, planning: Planning, processes: int = 0) -> Path:
    """Builds the library into a folder, as ``lib`` and ``include``; returns the path of the shared library.

    Parameters
    ----------
    target : Path
        Where these are made.
    cache : Path
        Where object files are kept between builds.
    interface, planning
        What the package around the kernels adds.
    processes : int
        How many compile at a time; 0 for as many as there are processors.

    Raises
    ------
    BuildError
        If the library cannot be built here.
    """
    cc = compiler()
    levels = LEVELS[platform.machine()]
    table = Table()
    table.dump()
    objects = compile_all(table, planning, levels, cache, processes or len(os.sched_getaffinity(0)))
    include, lib = target / "include", target / "lib"
    for folder in (include, lib):
        folder.mkdir(parents=True, exist_ok=True)
    (include / "fastpool.h").write_text(header(interface), encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "fastpool_tables.h").write_text(library_tables(table, interface, levels), encoding="utf-8")
        runtime = _openmp(cc, work)
        openmp = ["-fopenmp"] if runtime else []
        shim = work / "fastpool.o"
        _run(cc, *FLAGS, *openmp, "-I", include, "-I", work, "-c", HERE / "fastpool.c", "-o", shim)
        script = work / "exports.map"
        script.write_text("{ global: " + " ".join(f"{name};" for name in exports()) + " local: *; };\n")
        listed = work / "objects"
        listed.write_text("\n".join(map(str, objects)))
        shared = work / LIBRARY
        link = [
            "-shared",
            f"-Wl,-soname,{LIBRARY}",
            f"-Wl,--version-script={script}",
            # never unloaded: plans that are ended at exit, and compiled code, call it after its handle was closed
            "-Wl,-z,defs,-z,noexecstack,-z,nodelete",
            "-s",
        ]
        _run(cc, *link, shim, f"@{listed}", "-o", shared, *openmp, "-lm", "-lpthread")
        archive = work / "libfastpool.a"
        _run(shutil.which("ar") or "ar", "rcsD", archive, shim, f"@{listed}")
        for path in (shared, archive):
            shutil.move(path, lib / path.name)
    packages.write(target, LIBRARY, interface.version, ["-lm", "-lpthread", *runtime])
    (lib / "sources.txt").write_text(made_from(planning), encoding="ascii")
    # what -lfastpool finds; a symbolic link would not survive in a wheel
    (lib / "libfastpool.so").write_text(f"INPUT({LIBRARY})\n", encoding="ascii")
    return lib / LIBRARY


DOOR = "_door.abi3.so"


def bind(target: Path, interface: Interface) -> None:
    """Adds to a folder with the library what Python needs to call it: ``_capi`` for cffi, and the front door of small
    calls where the headers of Python are there.
    """
    ffi = cffi.FFI()
    ffi.cdef(declarations(interface))
    # ABI mode: no module for each version of Python. A call costs 0.80 us (8x8, with the pooling) against 0.45 in API
    # mode; calls that are short enough for it to matter go through the front door, without cffi.
    ffi.set_source("fastpool._capi", None)
    ffi.emit_python_code(str(target / "_capi.py"))
    (target / "capsules.pxd").write_text(cython.pxd(header(interface)), encoding="utf-8")
    headers = [Path(sysconfig.get_paths()["include"]), Path(np.get_include())]
    if (headers[0] / "Python.h").exists():
        include = [word for folder in (target / "include", *headers) for word in ("-I", str(folder))]
        _run(compiler(), *FLAGS, "-shared", "-s", *include, HERE / "door.c", "-o", target / DOOR)
