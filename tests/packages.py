"""Builds of the package, for the tests that install it."""

import os
import subprocess
import sys
from pathlib import Path

from fastpool import library


def run(*command, cwd, **environment):
    process = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "PYTHONWARNINGS": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, f"{command}\n{process.stdout}\n{process.stderr}"
    return process.stdout


OBJECTS = Path(__file__).parent.parent / "build" / "objects"
LIBRARY = library.library() is not None and OBJECTS.exists()
"""Whether the C library is built here, too: where it was not before, its kernels would compile for minutes."""

BUILD = {"FASTPOOL_BUILD_CAPI": str(int(LIBRARY)), "FASTPOOL_BUILD_CACHE": str(OBJECTS)}


def build(kind, folder, source):
    """Call a hook of the build backend in ``source``; returns the path of what it made in ``folder``."""
    code = f"import fastpool_backend; print(fastpool_backend.build_{kind}({str(folder)!r}))"
    backend = str(source / "build_backend")
    return folder / run(sys.executable, "-c", code, cwd=source, PYTHONPATH=backend, **BUILD).splitlines()[-1]
