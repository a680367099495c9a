"""What a process has to load before its first result."""

import json
import runpy
import subprocess
import sys

import pytest

from fastpool import library

LOADED = """
import json
import sys
import numpy
before = set(sys.modules)
import fastpool
imported = set(sys.modules) - before
y = fastpool.max_pool2d(numpy.ones((1, 1, 8, 8), numpy.float32), 2)
assert y.shape == (1, 1, 4, 4)
print(json.dumps([sorted(imported), sorted(set(sys.modules) - before - imported)]))
"""

SLOW = {"dataclasses", "email", "importlib.metadata", "pathlib", "platform", "socket", "subprocess", "textwrap"}
"""Modules of Python's that cost a millisecond and more; NumPy has some of them, which is not counted here."""


def test_nothing_heavy_is_imported():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    at_import, at_call = map(set, json.loads(done.stdout))
    packages = {name.split(".")[0] for name in at_import} - set(sys.stdlib_module_names)
    assert packages == {"fastpool"}
    assert not at_import & SLOW
    if library.library() is None:
        pytest.skip("the call needs Numba")
    assert {name.split(".")[0] for name in at_call} <= {"fastpool", "_cffi_backend"}
    assert "fastpool.kernels.registry" not in at_import | at_call


def test_benchmarks(repository, monkeypatch):
    suite = runpy.run_path(str(repository / "asv_benchmarks" / "benchmarks" / "startup.py"))
    monkeypatch.setitem(suite["median_of_processes"].__globals__, "PROCESSES", 1)
    assert 0 < suite["Startup"]().track_import() < 60
    assert 0 < suite["Startup"]().track_first_call() < 60
    if library.library() is not None:
        size = suite["Library"]()
        size.setup()
        # it holds kernels for three levels; 15 MB is what users were promised
        assert 1_000_000 < size.track_size() < 15_000_000
