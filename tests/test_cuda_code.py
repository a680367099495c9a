"""The machine code of the GPU's hot kernels, compiled without a GPU: wide loads, and nothing that is slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

REGISTERS = 64
"""A thread's at most: with more, a processor of the GPU has less than half of its threads under way."""

MORE_REGISTERS = {"strips": 96}
"""The same of a form whose threads hold a column of a large window, all of whose loads are under way at once."""

LOOSE = {"general": 1024, "blocks": 512, "points": 64, "lanes": 64}
"""Bytes of local memory that a form may use, where it is not none: those for windows of any number of taps, whose sums
keep blocks of taps. What is compiled in, and what no order holds, has none."""


@pytest.mark.parametrize("capability", [80, 90, 100])
def test_hot_kernels(repository, capability):
    pytest.importorskip("numba_cuda", reason="numba-cuda, which compiles kernels, is not installed")
    command = [sys.executable, "docs/cuda_code.py", "--print", str(capability)]
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0", "PYTHONPATH": str(repository)}
    process = subprocess.run(command, env=environment, cwd=repository, capture_output=True, text=True, check=False)
    if process.returncode == 2:
        pytest.skip(process.stdout.strip())
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    assert len(found) > 20
    # the table of docs/cuda.md is of these kernels
    table = json.loads((repository / "docs" / "cuda_code.json").read_text(encoding="utf-8"))
    assert list(table["kernels"]) == list(found), "run python docs/cuda_code.py and docs/generate.py"
    wrong = []
    for name, kernel in found.items():
        facts = kernel["facts"][str(capability)]
        if facts["loads"][0] < kernel["promised"]:
            wrong.append(f"{name}: loads {facts['loads'][0]} bytes at a time, and promises {kernel['promised']}")
        if facts["local"] > LOOSE.get(kernel["form"], 0):
            wrong.append(f"{name}: {facts['local']} bytes of local memory")
        if facts["registers"] > MORE_REGISTERS.get(kernel["form"], REGISTERS):
            wrong.append(f"{name}: {facts['registers']} registers")
        # a mean of integers is a quotient of them
        if facts["divisions"] and not name.startswith("mean_forward_i"):
            wrong.append(f"{name}: {facts['divisions']} divisions of 64-bit integers")
        if facts["calls"] and name.startswith(("max", "scatter")) and kernel["form"] != "general":
            wrong.append(f"{name}: {facts['calls']} calls")
    assert not wrong, "\n".join(wrong)
    assert sum(kernel["promised"] == 16 for kernel in found.values()) > 10
