"""What this installation consists of and how it is set up: the text that a bug report should carry.

What the report needs is imported when it is made: that takes as long as the import of all the rest.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Literal, overload

from fastpool import config
from fastpool._version import __version__
from fastpool.errors import message, shown

if TYPE_CHECKING:
    from pathlib import Path

Section = dict[str, str | int | bool | list[str]]
Report = dict[str, Section]

REQUIRED = ("numpy", "numba", "llvmlite", "cffi")
OPTIONAL = ("ml_dtypes", "torch", "jax", "cupy", "scipy", "scikit-image", "pillow")

LAYERS = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}
"""Numba's threading layers, each with the extension module that has to load for it."""


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> Report: ...
def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> Report | None:
    """Show versions, processor, threads, kernel cache and settings.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        ``"stdout"`` prints the report, ``"dicts"`` returns it as one dict per section.

    Returns
    -------
    dict of dict, or None
        The report for ``"dicts"``, else None.

    Raises
    ------
    ValueError
        If ``mode`` is neither of the two.

    Examples
    --------
    >>> sorted(show_config("dicts"))
    ['C library', 'CUDA', 'environment', 'kernel cache', 'processor', 'threads', 'versions']
    """
    if mode not in ("stdout", "dicts"):
        rule = "the mode must be 'stdout' or 'dicts'"
        raise ValueError(message("show_config", f"mode={shown(mode)}", rule, "'dicts' returns the data"))
    from fastpool.cuda import devices

    report: Report = {
        "versions": _versions(),
        "processor": _processor(),
        "threads": _threads(),
        "kernel cache": _kernel_cache(),
        "environment": {variable.name: variable.read() for variable in config.VARIABLES},
        "C library": _c_library(),
        "CUDA": devices.report(),
    }
    if mode == "dicts":
        return report
    print(report_text(report))
    return None


def report_text(report: Report) -> str:
    """The report in lines: a section's name, then its entries, indented."""
    lines = []
    for title, section in report.items():
        lines.append(f"{title}:")
        lines += [f"  {key}: {_shown(value)}" for key, value in section.items()]
    return "\n".join(lines)


def _shown(value: str | int | bool | list[str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(value) or "none"
    return "not set" if value == "" else str(value)


def _versions() -> Section:
    import platform
    from importlib import metadata

    section: Section = {
        "fastpool": __version__,
        "fastpool is in": os.path.dirname(__file__),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
    }
    for name in REQUIRED + OPTIONAL:
        try:
            section[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name in REQUIRED:
                section[name] = "not installed"
    return section


def _processor() -> Section:
    import platform

    from llvmlite import binding

    section: Section = {"machine": platform.machine(), "name": binding.get_host_cpu_name()}
    try:
        found = binding.get_host_cpu_features()
    except RuntimeError:
        # LLVM cannot tell on some processors
        found = {}
    section["features"] = sorted(name for name, present in found.items() if present)
    return section


def _c_library() -> Section:
    from fastpool import library

    found = library.library()
    if found is None:
        return {"built": False, "reason": library.missing(), "engine": config.engine() or "jit"}
    abi = int(found.lib.fastpool_abi())
    engine = config.engine() or "aot"
    return {"built": True, "file": found.path, "abi": abi, "level": found.level, "engine": engine}


def _threads() -> Section:
    section: Section = {"cpus of this process": config.available_cpus()}
    try:
        section["threads per call"] = config.get_num_threads()
    except ValueError as error:
        section["threads per call"] = str(error)
    import numba

    section["threads that Numba starts"] = numba.config.NUMBA_NUM_THREADS
    layers = [layer for layer, module in LAYERS.items() if _loads(f"numba.np.ufunc.{module}")]
    section["threading layers that load"] = layers
    section["threading layer asked for"] = numba.config.THREADING_LAYER
    try:
        section["threading layer in use"] = numba.threading_layer()
    except ValueError:
        section["threading layer in use"] = "none yet"
    return section


def _loads(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _kernel_cache() -> Section:
    """Where compiled kernels are kept: the first of these places that is set, or can be written."""
    from pathlib import Path

    import numba
    from numba.misc.appdirs import AppDirs

    from fastpool.kernels import cpu

    beside = Path(cpu.__file__).resolve().parent / "__pycache__"
    if config.cache_dir():
        folder, chosen_by = Path(config.cache_dir()), config.CACHE_DIR.name
    elif numba.config.CACHE_DIR:
        folder, chosen_by = Path(numba.config.CACHE_DIR), "NUMBA_CACHE_DIR"
    elif _writable(beside):
        folder, chosen_by = beside, "beside the sources"
    else:
        folder, chosen_by = Path(AppDirs("numba", appauthor=False).user_cache_dir), "the user's cache folder"
    return {"folder": str(folder), "chosen by": chosen_by, "writable": _writable(folder)}


def _writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself where it is missing."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)
