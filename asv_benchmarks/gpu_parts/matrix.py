"""The matrix: every kernel on the device, against the reference, twice."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from gpu_parts.say import say
from gpu_parts.where import where


class OnDevice:
    """What the matrix runs on, in the place of ``fastpool.cuda.running``: arrays are copied to the GPU and back."""

    def __init__(self, device: str) -> None:
        import numpy as np
        import torch

        from fastpool.cuda.place import Place

        self.torch, self.np, self.device = torch, np, device
        self.kept: list[Any] = []
        stream = int(torch.cuda.current_stream().cuda_stream) if device == "cuda" else 0
        self.place = Place(0, stream, self.empty)

    def described(self, address: int, like: Any) -> Any:
        """An array in storage form: the shape and strides of another one, at an address of the device."""
        interface = {
            "data": (address, False),
            "shape": like.shape,
            "strides": like.strides,
            "typestr": like.dtype.str,
            "version": 3,
        }
        return self.np.asarray(type("Memory", (), {"__array_interface__": interface})())

    def empty(self, shape: Any, dtype: str) -> Any:
        """Room for what one kernel leaves to the next."""
        like = self.np.empty(shape, dtype)
        room = self.torch.empty(max(like.nbytes, 1), dtype=self.torch.uint8, device=self.device)
        self.kept.append(room)
        return self.described(room.data_ptr(), like)

    def span(self, array: Any) -> tuple[Any, int]:
        """(the bytes from an array's lowest to its highest element, where its first one lies among them)."""
        steps = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
        low, high = sum(min(step, 0) for step in steps), sum(max(step, 0) for step in steps)
        address = array.__array_interface__["data"][0] + low
        writeable = bool(array.flags.writeable)
        interface = {"data": (address, not writeable), "shape": (high - low + array.itemsize,), "typestr": "|u1"}
        return self.np.asarray(type("Memory", (), {"__array_interface__": interface | {"version": 3}})()), -low

    def there(self, array: Any) -> Any:
        """The array on the device, with the memory around its elements."""
        if array is None or array.size == 0:
            return array
        memory, first = self.span(array)
        copied = self.torch.from_numpy(memory.copy()).to(self.device)
        self.kept.append(copied)
        return self.described(copied.data_ptr() + first, array), copied, memory

    def _run(self, function: Callable[..., None], problem: Any, given: list[Any], written: set[int]) -> None:
        pairs = [self.there(array) for array in given]
        function(problem, *(pair[0] if isinstance(pair, tuple) else pair for pair in pairs), self.place)
        for i in written:
            if isinstance(pairs[i], tuple):
                pairs[i][2][:] = pairs[i][1].cpu().numpy()
        self.kept.clear()

    def forward(self, problem: Any, x: Any, y: Any, indices: Any, place: Any) -> None:
        """As ``running.forward``, for arrays of the host."""
        from fastpool.cuda import running

        self._run(running.forward, problem, [x, y, indices], {1, 2})

    def backward(self, problem: Any, dy: Any, dx: Any, x: Any, indices: Any, place: Any) -> None:
        """As ``running.backward``, for arrays of the host."""
        from fastpool.cuda import running

        self._run(running.backward, problem, [dy, dx, x, indices], {1})


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Every problem of tests/cuda/matrix.py, in several processes: most of the time goes into compiling."""
    if options.shard is None and options.workers > 1:
        return shards(options)
    from tests.cuda import matrix as shared
    from tests.strategies import bits

    # in a dry run the CPU's memory stands for the GPU's, where torch is there to give it
    if not options.simulate or importlib.util.find_spec("torch"):
        shared.running = OnDevice(where(options).name)
    until = time.monotonic() + options.seconds["matrix"]
    number, count = options.shard or (0, 1)
    # far apart, so that those that a budget leaves room for are of all kinds
    cases = sorted(enumerate(shared.cases()), key=lambda pair: pair[0] * 7919 % 1009)[: options.few or None]
    passed, wrong, forms = 0, [], set()
    for _, case in cases[number::count]:
        if time.monotonic() > until:
            break
        try:
            expected = shared.expected_of(case)
            result, tasks = shared.run(case, expected)
            shared.check(case, expected, result)
            # the second time with as much work for a thread as large problems have
            with shared.in_strips():
                again, _ = shared.run(case, expected)
            assert (bits(result.array) == bits(again.array)).all(), "other bits the second time"
            if result.indices is not None:
                assert (result.indices == again.indices).all(), "other indices the second time"
            passed += 1
            forms |= {f"{task.role} {task.form}" for task in tasks}
        except Exception as error:
            wrong.append(f"{case.name}: {type(error).__name__}: {str(error)[:300]}")
    every = len(cases[number::count])
    return {"cases": every, "passed": passed, "left out": every - passed - len(wrong), "wrong": wrong, "forms": forms}


def shards(options: argparse.Namespace) -> dict[str, Any]:
    """The matrix in processes of its own, each with a part of it."""
    count = options.workers
    command = [sys.executable, sys.argv[0], "--only", "matrix", "--few", str(options.few)]
    command += ["--seconds", str(options.seconds["matrix"])] + ["--simulate"] * options.simulate
    started = [
        subprocess.Popen([*command, "--shard", f"{i}/{count}"], stdout=subprocess.PIPE, text=True) for i in range(count)
    ]
    total: dict[str, Any] = {"cases": 0, "passed": 0, "left out": 0, "wrong": [], "forms": set()}
    for i, process in enumerate(started):
        lines = process.communicate()[0].splitlines()
        found = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None
        if found is None:
            total["wrong"].append(f"process {i} ended with {process.returncode}: {lines[-3:]}")
            continue
        say(f"  process {i}: {found['passed']} of {found['cases']} passed")
        total = {key: total[key] | set(found[key]) if key == "forms" else total[key] + found[key] for key in total}
    return total


def told(found: dict[str, Any]) -> bool:
    """Prints what came of the matrix; whether all is well."""
    left = f", {found['left out']} left out for want of time" if found["left out"] else ""
    say(f"matrix: {found['passed']} of {found['cases']} passed, twice with the same bits{left}")
    say("  forms that ran:", ", ".join(sorted(found["forms"])))
    for line in found["wrong"][:40]:
        say("  WRONG", line)
    return bool(found["passed"]) and not found["wrong"]
