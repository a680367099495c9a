"""The kernels that well-known networks spend their time in, whose machine code is looked at without a GPU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastpool.bench import networks
from fastpool.cuda.planning import Task, tasks
from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import VECTOR_BYTES
from fastpool.kernels.registry import SIZES
from fastpool.problem import Problem


class Hot(NamedTuple):
    """A task of a case, and how many bytes its form promises to load at a time, or 0 where it promises nothing."""

    case: str
    task: Task
    promised: int


def hot_kernels(cases: Sequence[str] = networks.JUDGE) -> Iterator[Hot]:
    """The kernels of cases by name, each of them once."""
    seen = set()
    for case in cases:
        for task in tasks(Problem.parse(networks.CASES[case])):
            if task.name not in seen:
                seen.add(task.name)
                yield Hot(case, task, promised(task))


def promised(task: Task) -> int:
    """Bytes that a thread loads at a time: a vector of neighbours in a row, or of lanes, as far as it reaches."""
    size, problem, n = SIZES[task.variant.source], task.problem, task.numbers
    if task.form == "rows_hot":
        backward = problem.direction == "bwd"
        width = (problem.shape if backward else problem.out_shape)[problem.axes[-1]]
        written, stride = width // n[N.VECTORS], problem.stride[-1]
        read = written // stride if backward else written * stride
        return min(VECTOR_BYTES, read * size)
    if task.form in ("pairs", "unrolled_rows"):
        outputs = math.prod(problem.out_shape) // n[N.COUNT]
        return math.gcd(VECTOR_BYTES, outputs * problem.kernel[-1] * size)
    if task.form in ("unrolled_lanes", "lanes_hot", "lanes"):
        return min(VECTOR_BYTES, n[N.LANES] // n[N.VECTORS] * size)
    return 0
