"""Everything about GPUs that needs none: tests/cuda in a process of its own, in which Numba simulates one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent / "cuda"


# a minute of two processors; one test for each file, so that several processes share them
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("test_*.py")))
def test_in_the_simulator(name):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "FASTPOOL_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(FOLDER / name)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=FOLDER.parent.parent,
        env=environment | {"NUMBA_ENABLE_CUDASIM": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-5000:]
    assert " passed" in done.stdout
