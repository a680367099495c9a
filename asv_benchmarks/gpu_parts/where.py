"""The device that parts run on, and its clock; the CPU stands for it in a dry run."""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any, NamedTuple


class Where(NamedTuple):
    """A device by torch's name, and ``torch.cuda`` or what stands for it."""

    name: str
    cuda: Any


class _Event:
    """An event of the CPU's clock."""

    def __init__(self, enable_timing: bool = True) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, end: _Event) -> float:
        """Milliseconds."""
        return 1e3 * (end.at - self.at)


class _Cpu:
    """What parts use of ``torch.cuda``, where there is no GPU."""

    Event = _Event
    Stream = object

    def __getattr__(self, name: str) -> Any:
        answers = {"mem_get_info": (0, 0), "memory_allocated": 0, "stream": contextlib.nullcontext()}
        return lambda *_: answers.get(name)


def where(options: argparse.Namespace) -> Where:
    """The device of the options."""
    if options.simulate:
        return Where("cpu", _Cpu())
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("gpu.py: torch finds no GPU; --simulate needs none")
    return Where("cuda", torch.cuda)
