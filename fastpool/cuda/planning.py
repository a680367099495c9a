"""Plans for the GPU: which form runs a task, on how many threads, with which numbers.

The axes and the header of a plan are those of the CPU (see ``fastpool.planning.begin_plan``); what is added is the
choice of a form, and the numbers that its kernel takes in place of the plan.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastpool import choosing
from fastpool import layout as S
from fastpool import request as Q
from fastpool.kernels import plan as P
from fastpool.kernels import registry
from fastpool.kernels import rows as T
from fastpool.kernels.registry import FORMS, ROLES, Variant
from fastpool.kernels.table import table as table_now
from fastpool.planning import begin_plan
from fastpool.problem import INDEX_KINDS, Problem

NARROW = 2**31 - 1
"""The largest offset, or number of elements, that a kernel computes in 32 bits."""


@dataclass(frozen=True)
class Task:
    """One kernel of a problem: ``kernel`` with ``numbers``, on ``grid`` blocks of ``block`` threads.

    ``plan`` is the block that the kernel reads from memory, or None; ``p`` the reduction's parameter. ``verdicts`` are
    pairs (form, why it was not taken, or "").
    """

    problem: Problem
    role: str
    kind: str
    form: str
    variant: Variant
    kernel: Any
    grid: int
    block: tuple[int, int]
    p: Any
    numbers: tuple[int, ...]
    plan: np.ndarray | None
    verdicts: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The kernel's full name."""
        return str(self.kernel.name)


def lacks(problem: Problem) -> str:
    """Why a problem has no kernel on the GPU, or ""."""
    if problem.dtype in ("fld", "cld"):
        return "a GPU has no long double"
    return "" if tasks(problem) else "there is no kernel for this element type with NaN left out"


def tasks(problem: Problem) -> tuple[Task, ...]:
    """The tasks of a problem, in the order in which they run; none where there is no kernel for it.

    Indices that a caller gives are not checked: an index that names no tap of its own window sends its gradient
    nowhere, and an error could not be raised without waiting for the device.
    """
    return _tasks(problem, registry.generation())


@functools.lru_cache(maxsize=4096)
def _tasks(problem: Problem, generation: int) -> tuple[Task, ...]:
    table = table_now()
    request = Q.request_of(problem, table)
    found = [0] * (2 * choosing.MOST_TASKS)
    count = choosing.tasks_of(request, table, found)
    made = []
    for number in range(count):
        role, kind = found[2 * number], found[2 * number + 1]
        if role == S.CHECK:
            continue
        row = choosing.row_of(request, table, role, kind)
        if row == 0:
            return ()
        made.append(_task(problem, request, table, table.variants[table[row + T.NUMBER]], row, role, kind))
    return tuple(made)


def base_plan(request: list[int], table: Any, row: int, role: int, kind: int, family: str) -> list[int]:
    """The axes and the header of a task's plan, with lanes or without."""
    rank, pooled = request[Q.RANK] + request[Q.COMPLEX], request[Q.POOLED]
    spec = [0] * (S.SPEC + rank * S.ARRAY_AXIS + pooled * S.POOLED_AXIS)
    plan = [0] * (P.HEADER + (rank + 1) * P.AXIS)
    form = next(number for number, form in enumerate(FORMS) if form.name == family)
    choosing.write_spec(request, table, row, form, role, kind, False, spec)
    begin_plan(spec, plan)
    return plan


def reach(plan: list[int], field: int) -> int:
    """How far from the first element an offset of that stride can lead, padding included."""
    total = 0
    for a in range(plan[P.OUTER] + plan[P.SPATIAL]):
        at = P.HEADER + a * P.AXIS
        size = max(plan[at + P.OUTPUT], plan[at + P.SOURCE])
        if a >= plan[P.OUTER]:
            extent = (plan[at + P.KERNEL] - 1) * plan[at + P.DILATION]
            size = max(size, plan[at + P.WINDOWS] * plan[at + P.WINDOW_STRIDE] + extent) + plan[at + P.PAD]
        total += size * abs(plan[at + field])
    return total


def elements(plan: list[int]) -> int:
    """Elements of the output."""
    count = plan[P.LANES]
    for a in range(plan[P.OUTER] + plan[P.SPATIAL]):
        count *= plan[P.HEADER + a * P.AXIS + P.OUTPUT]
    return count


def _task(problem: Problem, request: list[int], table: Any, variant: Variant, row: int, role: int, kind: int) -> Task:
    from fastpool.kernels.cuda import engine
    from fastpool.kernels.cuda.parts import parameter

    plan = base_plan(request, table, row, role, kind, "rows")
    count = elements(plan)
    far = [reach(plan, field) for field in (P.SOURCE_STRIDE, P.OUTPUT_STRIDE, P.AUX_STRIDE, P.INDEX_UNIT)]
    wide = max(count + engine.THREADS, plan[P.TAPS], *far) > NARROW
    return Task(
        problem,
        ROLES[role],
        "" if kind < 0 else INDEX_KINDS[kind],
        "general",
        variant,
        engine.general_kernel(variant, wide),
        -(-count // engine.THREADS),
        (engine.THREADS, 1),
        parameter(variant, plan[P.PARAM]),
        (count,),
        np.array(plan, np.int64),
        (("general", ""),),
    )
