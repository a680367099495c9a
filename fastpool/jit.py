"""A problem's kernels, planned in Python and compiled by Numba when they first run."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastpool import choosing, config, library, tiling
from fastpool import layout as S
from fastpool import request as Q
from fastpool.kernels import plan as P
from fastpool.kernels import registry
from fastpool.kernels import rows as T
from fastpool.kernels.registry import FORMS, ROLES, Form, Variant
from fastpool.kernels.table import table as table_now
from fastpool.library import Plan
from fastpool.own import is_own
from fastpool.problem import INDEX_KINDS, Problem

ADOPTED = ("forward", "weigh", "gather")
"""Roles whose kernels the C library runs in place of Numba's driver."""

GRAIN_BYTES = tiling.PARALLEL_BYTES


@dataclass(frozen=True)
class Task:
    """One kernel over one plan. ``kind`` is that of its indices, or ""; ``verdicts`` has an entry for each form, up to
    the one that was taken.
    """

    problem: Problem
    role: str
    kind: str
    form: Form
    variant: Variant | None
    plan: Any
    verdicts: tuple[int, ...]

    @functools.cached_property
    def loaded(self) -> tuple[Any, Any, int, int, int]:
        """(engine, kernel, address of the plan, bytes of workspace, tiles), compiled when first asked for."""
        # here, so that importing fastpool does not wait for a compiler
        from fastpool.kernels.cpu import engine

        if self.variant is None:
            raise AssertionError(f"{self.problem}: the reference is called elsewhere")
        try:
            kernel = engine.compile_kernel(
                self.variant, self.form.walk(self.role), config.cache_dir(), config.cpu_level()
            )
        except Exception as error:
            from fastpool import making

            told = making.refused(self.variant, error)
            if told is None:
                raise
            raise told from error
        return engine, kernel, _address(self.plan), int(self.plan[P.WORK]), int(self.plan[P.TILES])

    @property
    def name(self) -> str:
        """The kernel's full name."""
        return f"{self.variant.name}__{self.form.name}" if self.variant is not None else "reference"


@functools.lru_cache(maxsize=4096)
def _task(problem: Problem, role: str, kind: str, forced: str, generation: int) -> Task:
    """The task of a role; ``kind`` is the kind of indices, ``forced`` a form's name or ""."""
    table = table_now()
    names = [form.name for form in FORMS]
    request = Q.request_of(problem, table, names.index(forced) if forced in names else -1)
    number = INDEX_KINDS.index(kind) if kind else Q.NO_INDICES
    rank, pooled = request[Q.RANK] + request[Q.COMPLEX], request[Q.POOLED]
    spec = [0] * (S.SPEC + rank * S.ARRAY_AXIS + pooled * S.POOLED_AXIS)
    plan = [0] * (P.HEADER + (rank + 1) * P.AXIS)
    verdicts = [0] * len(FORMS)
    taken = choosing.choose(request, table, ROLES.index(role), number, spec, plan, verdicts)
    seen = tuple(verdicts[: taken + 1])
    if FORMS[taken].family == "reference":
        return Task(problem, role, kind, FORMS[taken], None, None, seen)
    row = choosing.row_for(request, table, taken, ROLES.index(role), number)
    block = np.array(plan, np.int64)
    block.flags.writeable = False
    return Task(problem, role, kind, FORMS[taken], table.variants[table[row + T.NUMBER]], block, seen)


def parts(plan: Any) -> int:
    """How many threads share the tiles of a plan."""
    if plan[P.BYTES] < GRAIN_BYTES:
        return 1
    return int(max(1, min(config.get_num_threads(), plan[P.TILES])))


def _address(array: np.ndarray | None) -> int:
    return 0 if array is None else int(array.__array_interface__["data"][0])


def _run(task: Task, source: np.ndarray | None, output: np.ndarray, aux: np.ndarray | None) -> None:
    engine, kernel, plan, stride, tiles = task.loaded
    if tiles == 0:
        return
    shares = parts(task.plan)
    work = np.empty(shares * stride + 64, np.uint8)
    start = -(-_address(work) // 64) * 64
    bufs = np.array([_address(source), _address(output), _address(aux), kernel.passes], np.int64)
    engine.run(kernel, plan, _address(bufs), start, stride, tiles, shares, config.cache_dir)


@functools.lru_cache(maxsize=4096)
def _tasks(problem: Problem, forced: str, generation: int) -> tuple[Task, ...]:
    """The tasks of a problem, in the order in which they run, but for the check of indices; ``generation`` is that of
    the reductions.
    """
    table = table_now()
    found = [0] * (2 * choosing.MOST_TASKS)
    count = choosing.tasks_of(Q.request_of(problem, table), table, found)
    kinds = ("", *INDEX_KINDS)
    wanted = [(ROLES[found[2 * i]], kinds[found[2 * i + 1] + 1]) for i in range(count)]
    tasks = [_task(problem, role, kind, forced, generation) for role, kind in wanted if role != "check"]
    # a problem is the reference's as a whole or not at all
    if any(task.variant is None for task in tasks):
        tasks = [task for task in tasks if task.variant is None][:1]
    return tuple(tasks)


def tasks(problem: Problem, forced: str) -> tuple[Task, ...]:
    """The tasks of a problem, with the reductions that are known now; ``forced`` is a form's name or ""."""
    if is_own(problem.op):
        from fastpool import making

        making.know(problem.op)
    return _tasks(problem, forced, registry.generation())


SHARED = 8
"""Bytes of a window's share of a gradient, at most."""


@functools.lru_cache(maxsize=4096)
def _adopted(problem: Problem, generation: int) -> Plan | None:
    steps = tasks(problem, "")
    if problem.indices or any(step.variant is None or step.role not in ADOPTED for step in steps):
        return None
    stages = []
    for step in steps:
        _, kernel, _, _, _ = step.loaded
        stages.append((kernel.address, kernel.passes, ROLES.index(step.role), step.plan))
    return library.plan_of(problem, stages, SHARED * math.prod(problem.out_shape) if len(steps) == 2 else 0)


def adopted(problem: Problem) -> Plan | None:
    """The C library's plan of the kernels that are compiled here, or None where it has none.

    Its threads and its front door cost less than those of Numba: a call of an own reduction on (4, 64, 56, 56) took 195
    us in one thread, 40 of them in Python, where the built-in one took 139.
    """
    return _adopted(problem, registry.generation())


def forward(problem: Problem, forced: str, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
    """Writes y, and the indices if there are any."""
    (task,) = tasks(problem, forced)
    _run(task, x, y, indices)


def backward(
    problem: Problem, forced: str, dy: np.ndarray, dx: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None
) -> None:
    """Writes dx; the indices have been checked."""
    steps = tasks(problem, forced)
    last = steps[-1]
    shape = last.problem.out_shape
    if len(steps) == 1:
        _run(last, dy, dx, indices if last.role == "scatter" else x)
    elif last.role == "scatter":
        y = np.empty(shape, dx.dtype)
        taps = np.empty(shape, np.int64 if steps[0].kind == "plane" else np.uint8)
        _run(steps[0], x, y, taps)
        _run(last, dy, dx, taps)
    else:
        shares = np.empty(shape, np.dtype("f" + str(registry.SIZES[steps[0].variant.output])))  # type: ignore[union-attr]
        _run(steps[0], x, shares, dy)
        _run(last, shares, dx, x)


def has_wrong_indices(problem: Problem, forced: str, indices: np.ndarray) -> bool:
    """Whether one of the indices names no tap of its own window on the input, and does not say "no tap" either."""
    forced = "" if forced == "reference" else forced
    task = _task(problem, "check", problem.indices, forced, registry.generation())
    if task.variant is None or indices.size == 0:
        return False
    flag = np.zeros(1, np.int64)
    _run(task, None, flag, indices)
    return bool(flag[0])
