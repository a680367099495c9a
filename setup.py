"""Builds the C library with the package, where that is possible; everything else is said in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build
from setuptools.dist import Distribution

ROOT = Path(__file__).resolve().parent
MADE = ("lib", "include", "_capi.py", "capsules.pxd", "_door.abi3.so")
"""What the build adds to the package."""


class BuildLibrary(Command):
    """Compiles the C library into the package; where it cannot be, the package does without and says why."""

    description = "compile the C library"
    user_options = ()
    editable_mode = False

    def initialize_options(self) -> None:
        """Set nothing yet."""
        self.build_lib = None

    def finalize_options(self) -> None:
        """Take the folder from the build."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def _package(self) -> Path:
        return (ROOT if self.editable_mode else Path(self.build_lib).absolute()) / "fastpool"

    def run(self) -> None:
        """Build, or leave a note of why not."""
        package = self._package()
        for name in MADE:
            made = package / name
            if made.is_dir():
                shutil.rmtree(made)
            elif made.exists():
                made.unlink()
        wanted = os.environ.get("FASTPOOL_BUILD_CAPI", "")
        why = "FASTPOOL_BUILD_CAPI=0" if wanted == "0" else _build(package)
        if why and wanted == "1":
            raise RuntimeError(f"FASTPOOL_BUILD_CAPI=1: {why}")
        if why:
            # the second folder is an entry point's: those who read it complain of every one that is not there
            for folder in (package / "lib", package / "lib" / "pkgconfig"):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "missing.txt").write_text(why, encoding="utf-8")
            print(f"fastpool: no C library: {why}", file=sys.stderr)

    def get_source_files(self) -> list[str]:
        """The C sources."""
        folder = ROOT / "kernels" / "c_abi"
        return [str(path.relative_to(ROOT)) for path in sorted(folder.iterdir()) if path.is_file()]

    def get_outputs(self) -> list[str]:
        """The files that were made."""
        package = self._package()
        found = [path for name in MADE for path in [package / name, *(package / name).rglob("*")]]
        return [str(path) for path in found if path.is_file()]

    def get_output_mapping(self) -> dict[str, str]:
        """No file is the copy of a source."""
        return {}


def _build(package: Path) -> str:
    """Builds in a process of its own; returns why that failed, or ""."""
    if sys.platform != "linux":
        return f"it is not built for {sys.platform}"
    if not any(map(shutil.which, (os.environ.get("CC") or "gcc", "gcc", "clang", "cc"))):
        return "there is no C compiler (gcc or clang)"
    cache = os.environ.get("FASTPOOL_BUILD_CACHE") or ROOT / "build" / "objects"
    with tempfile.TemporaryDirectory() as name:
        # the package as it is installed: in a source distribution kernels/ lies beside it
        farm = Path(name) / "fastpool"
        farm.mkdir()
        for path in (ROOT / "fastpool").iterdir():
            if path.name not in ("kernels", *MADE):
                (farm / path.name).symlink_to(path)
        (farm / "kernels").symlink_to(ROOT / "kernels")
        command = [sys.executable, "-m", "fastpool", "build", str(package), "--cache", str(cache), "--python"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([name, *sys.path])}
        done = subprocess.run(command, cwd=name, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()[-2000:] or f"the build ended with {done.returncode}"


class PlatformDistribution(Distribution):
    """What is built for one platform, if anything was compiled."""

    def has_ext_modules(self) -> bool:
        """Whether the wheel is for this platform alone."""
        return sys.platform == "linux" and os.environ.get("FASTPOOL_BUILD_CAPI", "") != "0"


class PlatformWheel(bdist_wheel):
    """The library knows no Python, and the front door its stable interface alone: one wheel serves all versions."""

    def get_tag(self) -> tuple[str, str, str]:
        """The tags of the wheel's name."""
        python, abi, platform = super().get_tag()
        if self.root_is_pure:
            return python, abi, platform
        door = any(Path(self.bdist_dir or "", "fastpool").glob("_door.*"))
        return ("cp311", "abi3", platform) if door else ("py3", "none", platform)


build.sub_commands = [*build.sub_commands, ("build_library", None)]
setup(
    cmdclass={"build_library": BuildLibrary, "bdist_wheel": PlatformWheel},
    distclass=PlatformDistribution,
)
