"""asv_benchmarks/gpu.py without a GPU: its tests in Numba's simulator, everything else on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

TORCH = importlib.util.find_spec("torch") is not None


def script(repository, *words):
    environment = {**os.environ, "FASTPOOL_ENGINE": "reference", "PYTHONPATH": "", "PYTHONWARNINGS": ""}
    command = [sys.executable, "asv_benchmarks/gpu.py", *map(str, words)]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def test_a_dry_run(repository, tmp_path):
    found = tmp_path / "gpu.json"
    only = ("matrix", "kinds", "tiny", "threads", "time") if TORCH else ("matrix",)
    words = ("--simulate", "--few", 4, "--workers", 2, "--rounds", 1, "--only", ",".join(only))
    process = script(repository, *words, "--json", found)
    assert process.returncode == 0, process.stdout + process.stderr
    written = json.loads(found.read_text(encoding="utf-8"))
    assert list(written) == ["machine", *only]
    assert written["matrix"]["passed"] == written["matrix"]["cases"] == 4
    assert "matrix: 4 of 4 passed" in process.stdout
    if TORCH:
        rows = written["time"]["rows"]
        assert [row["wrong"] or row["failed"] for row in rows] == [{}] * len(rows)
        assert all(set(row["times"]) >= {"floor", "fastpool"} for row in rows)
        assert "of floor" in process.stdout
        assert set(written["tiny"]) == {"fastpool", "fastpool, out", "torch"}
        assert written["threads"]["wrong"] == 0


def test_a_part_that_fails_does_not_stop_the_others(repository):
    """Here it has no GPU."""
    if TORCH:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
    process = script(repository, "--only", "tiny,threads", "--seconds", 5)
    assert process.returncode == 1
    assert "failed: tiny, threads" in process.stdout


def test_unknown_parts_are_told(repository):
    process = script(repository, "--only", "speed")
    assert process.returncode == 2
    assert "--only speed: the parts are matrix" in process.stderr
