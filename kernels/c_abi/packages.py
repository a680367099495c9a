"""What build systems read of the library, the file of pkg-config and the package of CMake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastpool.kernels.c_abi.tables import HERE

HEADERS = ("fastpool_dlpack.h",)
"""Installed beside ``fastpool.h`` as they are."""

FILES = {
    "fastpool.pc.in": Path("pkgconfig", "fastpool.pc"),
    "fastpoolConfig.cmake.in": Path("cmake", "fastpool", "fastpoolConfig.cmake"),
    "fastpoolConfigVersion.cmake.in": Path("cmake", "fastpool", "fastpoolConfigVersion.cmake"),
}
"""Where each template is written, within ``lib``."""


def write(target: Path, library: str, version: str, private: Sequence[str]) -> None:
    """Adds these files to a folder that has ``lib`` and ``include``.

    Parameters
    ----------
    target : Path
        The folder.
    library : str
        The file name of the shared library.
    version : str
        That of the package.
    private : sequence of str
        What a linker is told besides the static library.
    """
    major, minor = version.split(".")[:2]
    values = {
        "@VERSION@": version,
        "@MAJOR@": major,
        "@MINOR@": minor,
        "@LIBRARY@": library,
        "@PRIVATE@": " ".join(private),
        "@PRIVATE_LIST@": ";".join(private),
    }
    for name, place in FILES.items():
        text = (HERE / name).read_text(encoding="utf-8")
        for mark, value in values.items():
            text = text.replace(mark, value)
        path = target / "lib" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in HEADERS:
        (target / "include" / name).write_bytes((HERE / name).read_bytes())
