"""What ``explain`` tells: the kernels of a call, and why the others do not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastpool import tiling
from fastpool.jit import parts
from fastpool.kernels import plan as P
from fastpool.kernels.registry import FORMS
from fastpool.problem import Problem

_ENGINES = {
    "aot": "aot: compiled ahead of time, in the C library",
    "c": "c: compiled ahead of time, in the C library, planned by it for each call",
    "njit": "njit: called from code that Numba has compiled",
    "jit": "jit: compiled by Numba when first called",
    "reference": "reference: plain NumPy",
}


@dataclass(frozen=True)
class Explanation:
    """Which kernels a call uses, and why each other one was refused. ``str`` gives the table."""

    problem: Problem
    engine: str
    tasks: tuple[Any, ...]
    copies: str = ""

    @property
    def kernels(self) -> tuple[str, ...]:
        """The names of the kernels that run, in order."""
        return tuple(task.name for task in self.tasks)

    def __str__(self) -> str:
        lines = [f"problem  {self.problem}", f"engine   {self.engine_text}"]
        if self.copies:
            lines.append(f"copies   {self.copies}")
        return "\n".join([*lines, *self.task_lines()])

    @property
    def engine_text(self) -> str:
        """What the engine is."""
        return _ENGINES[self.engine]

    def task_lines(self) -> list[str]:
        """The kernels, and the forms that were refused."""
        lines = []
        for task in self.tasks:
            lines.append(f"{task.role:8s} {task.name}")
            if task.variant is not None:
                tiles, work = int(task.plan[P.TILES]), int(task.plan[P.WORK])
                lines.append(
                    f"         {tiles} tiles on {parts(task.plan)} threads, {work} bytes of workspace for each"
                )
            for form, code in zip(FORMS, task.verdicts, strict=False):
                if task.role in form.roles:
                    verdict = tiling.REASONS[code] if form is not task.form else "taken"
                    lines.append(f"  {form.name:15s} {verdict}")
            rest = [form for form in FORMS[len(task.verdicts) :] if task.role in form.roles]
            lines += [f"  {form.name:15s} comes later" for form in rest]
        return lines
