"""What ``explain`` tells of a call on a GPU, and of copies to another device."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fastpool.cuda import devices
from fastpool.cuda.copying import price
from fastpool.cuda.planning import tasks
from fastpool.cuda.running import aligned
from fastpool.explanation import Explanation
from fastpool.problem import DTYPES, Ints, Problem


@dataclasses.dataclass(frozen=True)
class DeviceExplanation(Explanation):
    """Which kernels a call uses on a GPU. ``tasks`` are those of ``fastpool.cuda.planning``."""

    device: int = 0

    @property
    def engine_text(self) -> str:
        """What the engine is."""
        if devices.simulated():
            return "cuda: Numba's simulator"
        return f"cuda: compiled by Numba for device {self.device} when first called, queued on the caller's stream"

    def task_lines(self) -> list[str]:
        """The kernels, and the forms that were refused."""
        lines = []
        for task in self.tasks:
            lines.append(f"{task.role:8s} {task.name}")
            lines.append(f"         {_sizes(task.grid)} blocks of {_sizes(task.block)} threads")
            lines += [f"  {form:15s} {verdict or 'taken'}" for form, verdict in task.verdicts]
        return lines


def _sizes(sizes: Any) -> str:
    return " x ".join(map(str, sizes)) if isinstance(sizes, tuple) else str(sizes)


def on_device(problem: Problem, device: int, arrays: tuple[np.ndarray | None, ...]) -> DeviceExplanation:
    """What is computed on a GPU, from arrays that lie there."""
    return DeviceExplanation(problem, "cuda", tasks(problem, aligned(*arrays)), device=device)


def with_copies_there(problem: Problem, device: int) -> DeviceExplanation:
    """What is computed on a GPU from arrays of the host."""
    # the copies have no gaps, and keep the order of the axes where the arrays have none either
    closed: Any = {name: _without_gaps(problem, name) for name in _STRIDES}
    problem = problem._replace(**closed)
    return DeviceExplanation(problem, "cuda", tasks(problem), _price(problem), device)


def with_copies_here(explanation: Explanation) -> Explanation:
    """What the host computes from arrays on a GPU."""
    return dataclasses.replace(explanation, copies=_price(explanation.problem))


_STRIDES = ("x_strides", "y_strides", "index_strides", "aux_strides")


def _without_gaps(problem: Problem, name: str) -> Ints:
    strides: Ints = getattr(problem, name)
    shape = problem.shape if name in ("x_strides", "aux_strides") else problem.out_shape
    return strides if sum((size - 1) * step for size, step in zip(shape, strides, strict=False)) == _last(shape) else ()


def _last(shape: Ints) -> int:
    return int(np.prod(shape, dtype=np.int64)) - 1


def _price(problem: Problem) -> str:
    """The bytes that go over the link, and the time that they are estimated to take."""
    x, y = _bytes(problem.dtype, problem.shape), _bytes(problem.out_dtype, problem.out_shape)
    indices = _bytes(problem.index_dtype, problem.out_shape) if problem.indices else 0
    if problem.direction == "fwd":
        return price(x, y + indices)
    return price(y + indices + (x if problem.reads_x else 0), x)


def _bytes(dtype: str, shape: Ints) -> int:
    item = 2 if dtype == "bf16" else np.dtype(DTYPES[dtype]).itemsize
    return item * int(np.prod(shape, dtype=np.int64))
