"""What figures were measured on and with: processor, caches, versions. Nothing that changes from run to run."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path

import fastpool
from fastpool.bench import peers

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def describe() -> dict[str, str]:
    """Processor, its caches and the system, and what fastpool runs on."""
    found = {"processor": processor(), "system": f"{platform.system()} {platform.machine()}"}
    cached = caches()
    if cached:
        found["caches"] = cached
    library = fastpool.show_config("dicts")["C library"]
    found["engine"] = str(library.get("engine", ""))
    if library.get("level"):
        found["level"] = str(library["level"])
    return found


def processor() -> str:
    """The processor's own name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def caches() -> str:
    """Sizes of the first processor's data caches in words, or "" where the system does not tell."""
    found = []
    for folder in sorted(_CACHES.glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found)


def versions(names: list[str]) -> dict[str, str]:
    """Versions of Python, fastpool and what it stands on, and of the named peers."""
    found = {"python": sys.version.split()[0], "fastpool": fastpool.__version__}
    found |= {name: metadata.version(name) for name in ("numpy", "numba")}
    wanted = {package for name in names for package in peers.PEERS[name].packages.values()}
    return found | {package: version for package, version in peers.versions().items() if package in wanted}
