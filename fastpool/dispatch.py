"""From a Problem to a result: which kernels run, and why the others do not.

A forward call is one task. A backward call is one or two: the gradient of a sum or mean is a *gather*; where the
gradient depends on the window's state (Lp, NaN left out of a mean) a *weigh* comes first, which writes the share that
each tap of a window receives; the gradient of a selection is a *scatter* by its indices, after an *index* pass where
the caller gave none.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastpool import config, planning, tiling
from fastpool import layout as S
from fastpool.kernels import plan as P
from fastpool.kernels import registry
from fastpool.kernels.registry import FORMS, ROLES, Form, Variant
from fastpool.problem import Ints, Problem

GRAIN_BYTES = tiling.PARALLEL_BYTES

_KINDS = {"plane": 0, "tensor": 1, "tap": 2}
_COMPLEX = {"c64": "f32", "c128": "f64"}


@dataclass(frozen=True)
class Task:
    """One kernel over one plan. ``verdicts`` has an entry for each form, up to the one that was taken."""

    problem: Problem
    role: str
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
    tasks: tuple[Task, ...]

    @property
    def kernels(self) -> tuple[str, ...]:
        """The names of the kernels that run, in order."""
        return tuple(task.name for task in self.tasks)

    def __str__(self) -> str:
        lines = [f"problem  {self.problem}"]
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


def _c_order(shape: Ints) -> Ints:
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _steps(problem: Problem, role: str, stored: bool) -> tuple[Ints, Ints, Ints]:
    """Element strides of the three buffers of a role; ``stored`` where the source is a workspace in C order."""
    x_order, y_order = _c_order(problem.shape), _c_order(problem.out_shape)
    x = problem.x_strides or x_order
    y = problem.y_strides or y_order
    indices = problem.index_strides or y_order
    aux = problem.aux_strides or x_order
    if role == "forward":
        return x, y, y
    if role == "index":
        return (x, y, indices) if problem.direction == "fwd" else (aux, y_order, y_order)
    if role == "weigh":
        return aux, y_order, y
    if role == "gather":
        return (y_order if stored else y), x, aux
    if role == "scatter":
        return y, x, (indices if problem.indices else y_order)
    return indices, indices, indices


def _units(problem: Problem, kind: str) -> tuple[Ints, Ints]:
    """(index units of the array's axes, tap units of the pooled axes)."""
    taps = _c_order(problem.kernel)
    if kind == "tensor":
        return _c_order(problem.shape), taps
    units = [0] * len(problem.shape)
    if kind == "plane":
        for axis, unit in zip(problem.axes, _c_order(tuple(problem.shape[a] for a in problem.axes)), strict=True):
            units[axis] = unit
    return tuple(units), taps


def _spec(problem: Problem, variant: Variant, form: Form, role: str, kind: str, forced: bool) -> list[int]:
    dtype = _COMPLEX.get(problem.dtype, problem.dtype)
    has_aux = role in ("index", "weigh", "scatter", "check") or (role == "gather" and variant.reduction.push_reads_x)
    stored = variant.reduction.pull_reads_state
    source, output, aux = _steps(problem, role, stored)
    if not has_aux:
        aux = output
    units, tap_units = _units(problem, kind)
    if role not in ("index", "scatter", "check"):
        units = (0,) * len(units)
    integers = variant.source[0] in "iu" and variant.output[0] in "iu"
    order_free = variant.reduction.repeatable or integers
    spec = [0] * S.SPEC
    spec[S.ROLE] = ROLES.index(role)
    spec[S.FAMILY] = int(form.family == "lanes")
    spec[S.RANK] = len(problem.shape)
    spec[S.POOLED] = len(problem.axes)
    spec[S.INCLUDE_PAD] = int(problem.include_pad)
    spec[S.DIVISOR] = problem.divisor or registry.fixed_divisor(problem.op, dtype)
    spec[S.INDEX_KIND] = _KINDS[kind]
    spec[S.PARAM] = registry.parameter(problem.op, dtype, problem.norm)
    spec[S.SOURCE_BYTES] = registry.SIZES[variant.source]
    spec[S.OUTPUT_BYTES] = registry.SIZES[variant.output]
    spec[S.AUX_BYTES] = registry.SIZES[variant.aux] if has_aux else 0
    spec[S.STATE_BYTES] = registry.SIZES[variant.state[0]]
    spec[S.STATE2_BYTES] = registry.SIZES[variant.state[1]] if len(variant.state) == 2 else 0
    # a scatter visits windows in the caller's order of axes, which may only change where ties cannot
    spec[S.ORDER_FREE] = int(order_free and role not in ("scatter", "check"))
    spec[S.FORM_KERNEL] = form.kernel
    spec[S.FORM_STRIDE] = form.stride
    spec[S.MATCH] = int(form.match)
    spec[S.COUNTED] = int(variant.reduction.counted)
    spec[S.FORCED] = int(forced)
    spec[S.REPEATABLE] = int(variant.reduction.repeatable)
    spec[S.SOURCE_IS_STATE] = int(variant.source == variant.state[0])
    scale = 2 if problem.dtype in _COMPLEX else 1
    for axis, (x_size, y_size) in enumerate(zip(problem.shape, problem.out_shape, strict=True)):
        steps = (source[axis] * scale, output[axis] * scale, aux[axis] * scale)
        spec += [x_size, y_size, *steps, units[axis]]
    if scale == 2:
        # the parts of a complex element are one more axis, pooled apart
        spec[S.RANK] += 1
        spec += [2, 2, 1, 1, 1, 0]
    for i, axis in enumerate(problem.axes):
        # steps that reach no second window, or no second tap, may be of any size: what is planned stays below 2**63
        padded = problem.shape[axis] + problem.pad_begin[i] + problem.pad_end[i]
        stride = min(problem.stride[i], max(padded, 1))
        dilation = problem.dilation[i] if problem.kernel[i] > 1 else 1
        geometry = (problem.kernel[i], stride, dilation, problem.pad_begin[i], problem.pad_end[i])
        spec += [axis, *geometry, tap_units[i]]
    return spec


@functools.lru_cache(maxsize=4096)
def _task(problem: Problem, role: str, kind: str, forced: str, generation: int) -> Task:
    """The task of a role; ``kind`` is the kind of indices, ``forced`` a form's name or ""."""
    dtype = _COMPLEX.get(problem.dtype, problem.dtype)
    index = Problem.index_dtype.fget(_as_kind(problem, kind)) if kind else "i64"  # type: ignore[attr-defined]
    long = problem.plane >= 2**30 or problem.taps >= 2**30 or (kind == "tensor" and _extent(problem) >= 2**30)
    verdicts: list[int] = []
    wanted = next((form for form in FORMS if form.name == forced), None)
    for attempt in (wanted,) if wanted else ():
        found = _try(problem, dtype, role, kind, index, long, attempt, True)
        if isinstance(found, tuple):
            skipped = tuple(tiling.NOT_FORCED for _ in FORMS[: FORMS.index(attempt)])
            return Task(problem, role, attempt, *found, (*skipped, tiling.ACCEPTED))
    for form in FORMS:
        found = _try(problem, dtype, role, kind, index, long, form, False)
        if isinstance(found, tuple):
            return Task(problem, role, form, *found, (*verdicts, tiling.ACCEPTED))
        verdicts.append(found)
    raise AssertionError("the reference takes every problem")


def _as_kind(problem: Problem, kind: str) -> Problem:
    fields = dict(problem.__dict__, indices=kind)
    return Problem(**{name: fields[name] for name in Problem.__dataclass_fields__})


def _extent(problem: Problem) -> int:
    """How far the flat indices of one window's taps lie apart, at most."""
    units = _c_order(problem.shape)
    return sum(
        (k - 1) * d * units[axis] for axis, k, d in zip(problem.axes, problem.kernel, problem.dilation, strict=True)
    )


def _try(
    problem: Problem, dtype: str, role: str, kind: str, index: str, long: bool, form: Form, forced: bool
) -> tuple[Variant | None, Any] | int:
    """(variant, plan) if the form takes the task, else the reason why not."""
    if form.family == "reference":
        return None, None
    if role not in form.roles:
        return tiling.NO_ROLE
    skip = problem.nan == "ignore"
    variant = registry.variant(problem.op, problem.norm, dtype, role, skip, index, long)
    if variant is None:
        return tiling.NO_ARITHMETIC
    spec = _spec(problem, variant, form, role, kind or "plane", forced)
    plan = [0] * (P.HEADER + (spec[S.RANK] + 1) * P.AXIS)
    planning.make_plan(spec, plan)
    code = planning.refusal(spec, plan)
    if code != tiling.ACCEPTED:
        return int(code)
    block = np.array(plan, np.int64)
    block.flags.writeable = False
    return variant, block


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
    """The tasks of a problem, in the order in which they run; ``generation`` is that of the reductions."""
    if problem.direction == "fwd":
        tasks = [_task(problem, "index" if problem.indices else "forward", problem.indices, forced, generation)]
    elif problem.op in ("max", "min"):
        tasks = [_task(problem, "scatter", problem.indices or "tap", forced, generation)]
        if not problem.indices:
            tasks.insert(0, _task(problem, "index", "tap", forced, generation))
    else:
        tasks = [_task(problem, "gather", "", forced, generation)]
        variant = tasks[0].variant
        if variant is not None and variant.reduction.pull_reads_state:
            tasks.insert(0, _task(problem, "weigh", "", forced, generation))
    # a problem is the reference's as a whole or not at all
    if any(task.variant is None for task in tasks):
        tasks = [task for task in tasks if task.variant is None][:1]
    return tuple(tasks)


def _planned(problem: Problem) -> tuple[Task, ...]:
    forced = config.forced_kernel()
    if forced and forced not in {form.name for form in FORMS}:
        raise ValueError(
            f"FASTPOOL_FORCE_KERNEL={forced!r}: no kernel form has this name; "
            f"known: {', '.join(form.name for form in FORMS)}"
        )
    tasks = _tasks(problem, forced, registry.generation())
    if config.verbose_dispatch():
        print(f"fastpool: {Explanation(problem, tasks)}", file=sys.stderr)
    return tasks


def explain(problem: Problem) -> Explanation:
    """Which kernels a problem gets, and why each other one was refused. Runs nothing."""
    return Explanation(problem, _planned(problem))


def forward(problem: Problem, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
    """Writes the result of a forward problem into ``y`` and, where asked, ``indices``."""
    (task,) = _planned(problem)
    if task.variant is None:
        from fastpool import reference

        result, found = reference.forward(problem, x)
        y[...] = result
        if indices is not None:
            indices[...] = found
        return
    _run(task, x, y, indices)


def backward(
    problem: Problem, dy: np.ndarray, dx: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None
) -> None:
    """Writes the gradient of a backward problem into ``dx``, every element of it.

    ``x`` is the forward's input where the gradient reads it; ``indices`` must have passed ``check_indices``.
    """
    tasks = _planned(problem)
    last = tasks[-1]
    if last.variant is None:
        from fastpool import reference

        dx[...] = reference.backward(problem, dy, x, indices)
        return
    if len(tasks) == 1:
        _run(last, dy, dx, indices if last.role == "scatter" else x)
    elif last.role == "scatter":
        y = np.empty(problem.out_shape, dx.dtype)
        taps = np.empty(problem.out_shape, np.dtype("u" + str(registry.SIZES[tasks[0].variant.aux])))  # type: ignore[union-attr]
        _run(tasks[0], x, y, taps)
        _run(last, dy, dx, taps)
    else:
        shares = np.empty(problem.out_shape, np.dtype("f" + str(registry.SIZES[tasks[0].variant.output])))  # type: ignore[union-attr]
        _run(tasks[0], x, shares, dy)
        _run(last, shares, dx, x)


def check_indices(problem: Problem, indices: np.ndarray) -> str:
    """What is wrong with indices that do not all name a tap of their own window on the input, or no tap; else ""."""
    task = _task(problem, "check", problem.indices, "", registry.generation())
    if task.variant is None or indices.size == 0:
        return ""
    flag = np.zeros(1, np.int64)
    _run(task, None, flag, indices)
    if flag[0] == 0:
        return ""
    return f"an index names no tap of its own window that lies on the input (window {problem.kernel})"
