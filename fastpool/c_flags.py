"""What programs that use the C library are compiled and linked with, as ``python -m fastpool config`` prints it."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path

from fastpool._version import __version__
from fastpool.c_library import get_include, get_library

OPTIONS = {
    "version": "the version of the library",
    "includedir": "the folder of fastpool.h",
    "libdir": "the folder of the library",
    "pkgconfigdir": "the folder of fastpool.pc, for PKG_CONFIG_PATH",
    "cmakedir": "the folder of fastpoolConfig.cmake, for CMake's fastpool_DIR",
    "cflags": "what a compiler is told",
    "libs": "what a linker is told",
}
"""What can be asked for."""


def config(asked: Collection[str], static: bool = False) -> list[str]:
    """The answers, a line each in the order of ``OPTIONS``; the flags together in the last one.

    Parameters
    ----------
    asked : collection of str
        Names from ``OPTIONS``.
    static : bool
        Link the static library, with all that it needs.

    Returns
    -------
    list of str
        The lines. Those of folders are paths as they are; the flags are quoted for a shell where they have to be.

    Raises
    ------
    ValueError
        If nothing is asked for.
    RuntimeError
        If the library was not built.
    """
    if not asked:
        raise ValueError(f"no option: at least one is needed; ask for {', '.join('--' + name for name in OPTIONS)}")
    include, lib = get_include(), get_library().parent
    pkgconfig = lib / "pkgconfig"
    texts = {
        "version": __version__,
        "includedir": str(include),
        "libdir": str(lib),
        "pkgconfigdir": str(pkgconfig),
        "cmakedir": str(lib / "cmake" / "fastpool"),
    }
    lines = [texts[name] for name in texts if name in asked]
    flags = ["-I" + str(include)] if "cflags" in asked else []
    if "libs" in asked:
        # the loader does not look into the folder of a Python package
        shared = ["-L" + str(lib), "-lfastpool", f"-Wl,-rpath,{lib}"]
        flags += [str(lib / "libfastpool.a"), *_private(pkgconfig / "fastpool.pc")] if static else shared
    return [*lines, shlex.join(flags)] if flags else lines


def _private(path: Path) -> list[str]:
    """What the static library needs, as the build found it."""
    name = "Libs.private:"
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix(name).split() for line in lines if line.startswith(name))
