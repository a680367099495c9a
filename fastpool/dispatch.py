"""From a Problem to a result: which engine runs it.

The engines are the C library (``aot``), kernels compiled by Numba (``jit``), and plain NumPy (``reference``). Only the
one that runs is imported: with the library a first call takes a few milliseconds, the import of Numba alone takes 200.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from fastpool import config, library
from fastpool.problem import Problem

if TYPE_CHECKING:
    from fastpool.explanation import Explanation


def forced_form() -> str:
    """The form that is to be tried first, or "".

    Raises
    ------
    ValueError
        If no form has the name that the environment gives.
    """
    forced = config.forced_kernel()
    if not forced:
        return ""
    from fastpool.kernels.registry import FORMS

    if forced not in {form.name for form in FORMS}:
        raise ValueError(
            f"FASTPOOL_FORCE_KERNEL={forced!r}: no kernel form has this name; "
            f"known: {', '.join(form.name for form in FORMS)}"
        )
    return forced


def _engine(problem: Problem) -> tuple[str, str, library.Plan | None]:
    """The engine of a problem, the form that is to be tried first, and the plan where the engine is the C library."""
    forced, engine = forced_form(), config.engine()
    if "reference" in (forced, engine):
        return "reference", "reference", None
    plan = library.plan(problem, forced) if engine != "jit" else None
    if plan is not None:
        return "aot", forced, plan
    from fastpool import jit

    return ("reference" if jit.tasks(problem, forced)[0].variant is None else "jit"), forced, None


def _told_engine(problem: Problem) -> tuple[str, str, library.Plan | None]:
    """The same, told on standard error where the environment asks for it."""
    if config.verbose_dispatch():
        print(f"fastpool: {explain(problem)}", file=sys.stderr)
    return _engine(problem)


def explain(problem: Problem) -> Explanation:
    """Which kernels a problem gets, and why each other one was refused. Runs nothing."""
    from fastpool import jit
    from fastpool.explanation import Explanation

    engine, forced, _ = _engine(problem)
    return Explanation(problem, engine, jit.tasks(problem, forced))


def forward(problem: Problem, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
    """Writes the result of a forward problem into ``y`` and, where asked, ``indices``."""
    engine, forced, plan = _told_engine(problem)
    if plan is not None:
        plan.forward(x, y, indices)
    elif engine == "reference":
        from fastpool import reference

        result, found = reference.forward(problem, x)
        y[...] = result
        if indices is not None:
            indices[...] = found
    else:
        from fastpool import jit

        jit.forward(problem, forced, x, y, indices)


def backward(problem: Problem, dy: np.ndarray, dx: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None) -> str:
    """Writes the gradient of a backward problem into ``dx``, every element of it, and returns ""; or says what is wrong
    with the indices.

    ``x`` is the forward's input where the gradient reads it.
    """
    engine, forced, plan = _told_engine(problem)
    if plan is not None:
        return "" if plan.backward(dy, x, indices, dx) else _wrong(problem)
    from fastpool import jit

    if indices is not None and jit.has_wrong_indices(problem, forced, indices):
        return _wrong(problem)
    if engine == "reference":
        from fastpool import reference

        dx[...] = reference.backward(problem, dy, x, indices)
    else:
        jit.backward(problem, forced, dy, dx, x, indices)
    return ""


def _wrong(problem: Problem) -> str:
    return f"an index names no tap of its own window that lies on the input (window {problem.kernel})"
