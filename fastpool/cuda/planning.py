"""Plans for the GPU: which form runs a task, on how many threads, with which numbers.

The axes and the header of a plan are those of the CPU (see ``fastpool.planning.begin_plan``); what is added is the
choice of a form, and the numbers that its kernel takes in place of the plan.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastpool import choosing, config
from fastpool import layout as S
from fastpool import request as Q
from fastpool.kernels import plan as P
from fastpool.kernels import registry
from fastpool.kernels import rows as T
from fastpool.kernels.registry import FORMS, ROLES, Variant
from fastpool.kernels.table import table as table_now
from fastpool.own import is_own
from fastpool.planning import begin_plan
from fastpool.problem import INDEX_KINDS, Problem


@dataclass(frozen=True)
class Task:
    """One kernel of a problem: ``kernel`` with ``numbers``, on ``grid`` blocks of ``block`` threads.

    ``plan`` is the block that the kernel reads from memory, or None; ``p`` the reduction's parameter. ``verdicts`` are
    pairs (form, why it was not taken, or ""). ``left``: how many states of which type it leaves for the next one.
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
    left: tuple[int, str] | None = None

    @property
    def name(self) -> str:
        """The kernel's full name."""
        return str(self.kernel.name)


def lacks(problem: Problem) -> str:
    """Why a problem has no kernel on the GPU, or ""."""
    if problem.dtype in ("fld", "cld"):
        return "a GPU has no long double"
    return "" if tasks(problem) else "there is no kernel for this operation on this element type"


def tasks(problem: Problem, aligned: bool = True) -> tuple[Task, ...]:
    """The tasks of a problem, in the order in which they run; none where there is no kernel for it.

    ``aligned``: all arrays begin at a multiple of 16 bytes, so that they may be read in vectors.

    Indices that a caller gives are not checked: an index that names no tap of its own window sends its gradient
    nowhere, and an error could not be raised without waiting for the device.
    """
    if is_own(problem.op):
        from fastpool import making

        making.know(problem.op)
    return _tasks(problem, aligned, config.forced_kernel(), registry.generation())


@functools.lru_cache(maxsize=4096)
def _tasks(problem: Problem, aligned: bool, forced: str, generation: int) -> tuple[Task, ...]:
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
        made += _steps(problem, request, table, row, role, kind, aligned)
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


def _forced(names: list[str]) -> str:
    """The form that is to be tried first, or ""."""
    forced = config.forced_kernel()
    if not forced.startswith(config.ON_GPU):
        return ""
    name = forced.removeprefix(config.ON_GPU)
    if name not in names:
        known = ", ".join(config.ON_GPU + form for form in names)
        raise ValueError(f"FASTPOOL_FORCE_KERNEL={forced!r}: no kernel form has this name; known: {known}")
    return name


def _steps(
    problem: Problem, request: list[int], table: Any, row: int, role: int, kind: int, aligned: bool
) -> list[Task]:
    """The kernels that do a role, one after the other."""
    from fastpool.cuda import forms
    from fastpool.cuda.asked import Asked, Taken
    from fastpool.kernels.cuda import engine
    from fastpool.kernels.cuda.memory import NAMES
    from fastpool.kernels.cuda.parts import parameter, with_parameter

    variant = table.variants[table[row + T.NUMBER]]
    plans = {family: base_plan(request, table, row, role, kind, family) for family in ("rows", "lanes")}
    variant = with_parameter(variant, plans["rows"][P.PARAM])
    asked = Asked(variant, plans, aligned)
    verdicts: list[tuple[str, str]] = []
    wanted = _forced([form for form, _ in forms.FORMS])
    attempts = sorted(forms.FORMS, key=lambda form: form[0] != wanted)
    for name, attempt in attempts:
        taken = attempt(asked)
        verdicts.append((name, taken if isinstance(taken, str) else ""))
        if not isinstance(taken, str):
            break
    assert not isinstance(taken, str), verdicts
    made = []
    step: Taken | None = taken
    while step is not None:
        left = (step.leaves, NAMES[variant.state[0]]) if step.leaves else None
        made.append(
            Task(
                problem,
                ROLES[role],
                "" if kind < 0 else INDEX_KINDS[kind],
                name,
                variant,
                engine.kernel(step.make, variant, *step.arguments),
                -(-step.threads // step.each),
                (step.block, step.rows),
                parameter(variant, plans["rows"][P.PARAM]),
                step.numbers,
                None if step.plan is None else np.array(step.plan, np.int64),
                tuple(verdicts),
                left,
            )
        )
        step = step.then
    return made
