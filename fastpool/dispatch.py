"""From a Problem to a result: its tasks, their kernels, and why the others do not run."""

from __future__ import annotations

import functools
import sys
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
from fastpool.problem import INDEX_KINDS, Problem

_ENGINES = {
    "aot": "aot: compiled ahead of time, in the C library",
    "jit": "jit: compiled by Numba when first called",
    "reference": "reference: plain NumPy",
}

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
        kernel = engine.compile_kernel(self.variant, self.form.walk(self.role), config.cache_dir())
        return engine, kernel, _address(self.plan), int(self.plan[P.WORK]), int(self.plan[P.TILES])

    @property
    def name(self) -> str:
        """The kernel's full name."""
        return f"{self.variant.name}__{self.form.name}" if self.variant is not None else "reference"


@dataclass(frozen=True)
class Explanation:
    """Which kernels a call uses, and why each other one was refused. ``str`` gives the table."""

    problem: Problem
    engine: str
    tasks: tuple[Task, ...]

    @property
    def kernels(self) -> tuple[str, ...]:
        """The names of the kernels that run, in order."""
        return tuple(task.name for task in self.tasks)

    def __str__(self) -> str:
        lines = [f"problem  {self.problem}", f"engine   {_ENGINES[self.engine]}"]
        for task in self.tasks:
            lines.append(f"{task.role:8s} {task.name}")
            if task.variant is not None:
                tiles, work = int(task.plan[P.TILES]), int(task.plan[P.WORK])
                lines.append(
                    f"         {tiles} tiles on {_parts(task.plan)} threads, {work} bytes of workspace for each"
                )
            for form, code in zip(FORMS, task.verdicts, strict=False):
                if task.role in form.roles:
                    verdict = tiling.REASONS[code] if form is not task.form else "taken"
                    lines.append(f"  {form.name:12s} {verdict}")
            rest = [form for form in FORMS[len(task.verdicts) :] if task.role in form.roles]
            lines += [f"  {form.name:12s} comes later" for form in rest]
        return "\n".join(lines)


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
    row = choosing.row_of(request, table, ROLES.index(role), number)
    block = np.array(plan, np.int64)
    block.flags.writeable = False
    return Task(problem, role, kind, FORMS[taken], table.variants[table[row + T.NUMBER]], block, seen)


def _parts(plan: Any) -> int:
    if plan[P.BYTES] < GRAIN_BYTES:
        return 1
    return int(max(1, min(config.get_num_threads(), plan[P.TILES])))


def _address(array: np.ndarray | None) -> int:
    return 0 if array is None else int(array.__array_interface__["data"][0])


def _run(task: Task, source: np.ndarray | None, output: np.ndarray, aux: np.ndarray | None) -> None:
    engine, kernel, plan, stride, tiles = task.loaded
    if tiles == 0:
        return
    parts = _parts(task.plan)
    work = np.empty(parts * stride + 64, np.uint8)
    start = -(-_address(work) // 64) * 64
    bufs = np.array([_address(source), _address(output), _address(aux), kernel.passes], np.int64)
    engine.run(kernel, plan, _address(bufs), start, stride, tiles, parts, config.cache_dir)


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


def _forced() -> str:
    """The form that is to be tried first, or "".

    Raises
    ------
    ValueError
        If no form has the name that the environment gives.
    """
    forced = config.forced_kernel()
    if forced and forced not in {form.name for form in FORMS}:
        raise ValueError(
            f"FASTPOOL_FORCE_KERNEL={forced!r}: no kernel form has this name; "
            f"known: {', '.join(form.name for form in FORMS)}"
        )
    return forced


def _engine(problem: Problem) -> tuple[str, library.Plan | None]:
    """The engine of a problem, and its plan where that is the C library's."""
    forced, engine = _forced(), config.engine()
    if "reference" in (forced, engine):
        return "reference", None
    plan = library.plan(problem, forced) if engine != "jit" else None
    if plan is not None:
        return "aot", plan
    return ("reference" if _planned(problem)[0].variant is None else "jit"), None


def _told_engine(problem: Problem) -> tuple[str, library.Plan | None]:
    """The same, told on standard error where the environment asks for it."""
    if config.verbose_dispatch():
        print(f"fastpool: {explain(problem)}", file=sys.stderr)
    return _engine(problem)


def _planned(problem: Problem) -> tuple[Task, ...]:
    forced = "reference" if config.engine() == "reference" else _forced()
    return _tasks(problem, forced, registry.generation())


def explain(problem: Problem) -> Explanation:
    """Which kernels a problem gets, and why each other one was refused. Runs nothing."""
    return Explanation(problem, _engine(problem)[0], _planned(problem))


def forward(problem: Problem, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
    """Writes the result of a forward problem into ``y`` and, where asked, ``indices``."""
    engine, plan = _told_engine(problem)
    if plan is not None:
        plan.forward(x, y, indices)
    elif engine == "reference":
        from fastpool import reference

        result, found = reference.forward(problem, x)
        y[...] = result
        if indices is not None:
            indices[...] = found
    else:
        (task,) = _planned(problem)
        _run(task, x, y, indices)


def backward(problem: Problem, dy: np.ndarray, dx: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None) -> str:
    """Writes the gradient of a backward problem into ``dx``, every element of it, and returns ""; or says what is wrong
    with the indices.

    ``x`` is the forward's input where the gradient reads it.
    """
    engine, plan = _told_engine(problem)
    if plan is not None:
        return "" if plan.backward(dy, x, indices, dx) else _wrong(problem)
    if indices is not None:
        wrong = check_indices(problem, indices)
        if wrong:
            return wrong
    if engine == "reference":
        from fastpool import reference

        dx[...] = reference.backward(problem, dy, x, indices)
    else:
        _run_backward(_planned(problem), dy, dx, x, indices)
    return ""


def _run_backward(
    tasks: tuple[Task, ...], dy: np.ndarray, dx: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None
) -> None:
    last = tasks[-1]
    shape = last.problem.out_shape
    if len(tasks) == 1:
        _run(last, dy, dx, indices if last.role == "scatter" else x)
    elif last.role == "scatter":
        y = np.empty(shape, dx.dtype)
        taps = np.empty(shape, np.int64 if tasks[0].kind == "plane" else np.uint8)
        _run(tasks[0], x, y, taps)
        _run(last, dy, dx, taps)
    else:
        shares = np.empty(shape, np.dtype("f" + str(registry.SIZES[tasks[0].variant.output])))  # type: ignore[union-attr]
        _run(tasks[0], x, shares, dy)
        _run(last, shares, dx, x)


def check_indices(problem: Problem, indices: np.ndarray) -> str:
    """What is wrong with indices that do not all name a tap of their own window on the input, or no tap; else ""."""
    forced = _forced()
    forced = "" if forced == "reference" else forced
    task = _task(problem, "check", problem.indices, forced, registry.generation())
    if task.variant is None or indices.size == 0:
        return ""
    flag = np.zeros(1, np.int64)
    _run(task, None, flag, indices)
    return _wrong(problem) if flag[0] else ""


def _wrong(problem: Problem) -> str:
    return f"an index names no tap of its own window that lies on the input (window {problem.kernel})"
