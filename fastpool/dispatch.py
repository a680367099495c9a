"""From a Problem to a result: which engine runs it.

The engines are the C library (``aot``), kernels compiled by Numba (``jit``), and plain NumPy (``reference``); and two
ways to these that other callers take, to be tested and timed like them (``c``, ``njit``). Only the one that runs is
imported: with the library a first call takes a few milliseconds, the import of Numba alone takes 200.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fastpool import config, library, own
from fastpool.problem import Problem

if TYPE_CHECKING:
    from fastpool.cuda.place import Place
    from fastpool.explanation import Explanation


def forced_form() -> str:
    """The form that is to be tried first, or "".

    Raises
    ------
    ValueError
        If no form has the name that the environment gives.
    """
    forced = config.forced_kernel()
    # those of the GPU are known where they are planned
    if not forced or forced.startswith(config.ON_GPU):
        return ""
    from fastpool.kernels.registry import FORMS

    if forced not in {form.name for form in FORMS}:
        raise ValueError(
            f"FASTPOOL_FORCE_KERNEL={forced!r}: no kernel form has this name; "
            f"known: {', '.join(form.name for form in FORMS)}"
        )
    return forced


class Runner(Protocol):
    """A problem that an engine has taken."""

    def forward(self, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
        """Writes y, and the indices if there are any."""

    def backward(self, dy: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None, dx: np.ndarray) -> bool:
        """Writes dx, unless an index is wrong; returns whether it did."""


_ORDER = {"": ("aot",), "aot": ("aot",), "c": ("c", "aot"), "njit": ("njit", "aot"), "jit": ()}
"""Which engines are tried for one that was asked for; what they cannot do, ``jit`` or ``reference`` does."""


def _taken(problem: Problem, engine: str, forced: str) -> Runner | None:
    if engine == "c":
        return library.once(problem, forced)
    if engine == "njit":
        from fastpool.njit import engine as njit

        return njit.compiled(problem)
    return library.plan(problem, forced)


def _engine(problem: Problem, inside: bool = False) -> tuple[str, str, Runner | None]:
    """The engine of a problem, the form that is to be tried first, and what the engine runs if it plans by itself.

    ``inside``: called by compiled code, which cannot be the engine again.
    """
    forced, wanted = forced_form(), config.engine()
    if inside and wanted == "njit":
        wanted = ""
    if "reference" in (forced, wanted):
        return "reference", "reference", None
    for engine in _ORDER[wanted]:
        runner = _taken(problem, engine, forced)
        if runner is not None:
            return engine, forced, runner
    from fastpool import jit

    if jit.tasks(problem, forced)[0].variant is None:
        return "reference", forced, None
    return (
        "jit",
        forced,
        (_Adopted(problem) if wanted in ("", "aot") and not forced and own.is_own(problem.op) else None),
    )


class _Adopted:
    """A problem of a user's reduction: kernels compiled here, run by the C library where there is one."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def forward(self, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None) -> None:
        """Writes y."""
        from fastpool import jit

        plan = jit.adopted(self._problem)
        if plan is not None:
            plan.forward(x, y, indices)
        else:
            jit.forward(self._problem, "", x, y, indices)

    def backward(self, dy: np.ndarray, x: np.ndarray | None, indices: np.ndarray | None, dx: np.ndarray) -> bool:
        """Writes dx."""
        from fastpool import jit

        plan = jit.adopted(self._problem)
        if plan is not None:
            return plan.backward(dy, x, indices, dx)
        jit.backward(self._problem, "", dy, dx, x, indices)
        return True


def plan_in_library(problem: Problem) -> library.Plan | None:
    """The C library's plan of a problem that has been run, or None: its front door may run it again."""
    if not own.is_own(problem.op):
        return library.plan(problem)
    from fastpool import jit

    return jit.adopted(problem) if config.engine() in ("", "aot") and not forced_form() else None


def _told_engine(problem: Problem, inside: bool) -> tuple[str, str, Runner | None]:
    """What ``_engine`` finds, told on standard error where the environment asks for it."""
    if config.verbose_dispatch():
        print(f"fastpool: {explain(problem, inside)}", file=sys.stderr)
    return _engine(problem, inside)


def explain(problem: Problem, inside: bool = False) -> Explanation:
    """Which kernels a problem gets, and why each other one was refused. Runs nothing. ``inside``: in compiled code."""
    from fastpool import jit
    from fastpool.explanation import Explanation

    engine, forced, _ = _engine(problem, inside)
    return Explanation(problem, engine, jit.tasks(problem, forced))


def forward(problem: Problem, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None, inside: bool = False) -> None:
    """Writes the result of a forward problem into ``y`` and, where asked, ``indices``.

    ``inside``: called by compiled code.
    """
    engine, forced, runner = _told_engine(problem, inside)
    if runner is not None:
        runner.forward(x, y, indices)
    elif engine == "reference":
        from fastpool import reference

        result, found = reference.forward(problem, x)
        y[...] = result
        if indices is not None:
            indices[...] = found
    else:
        from fastpool import jit

        jit.forward(problem, forced, x, y, indices)


def backward(
    problem: Problem,
    dy: np.ndarray,
    dx: np.ndarray,
    x: np.ndarray | None,
    indices: np.ndarray | None,
    inside: bool = False,
) -> str:
    """Writes the gradient of a backward problem into ``dx``, every element of it, and returns ""; or says what is wrong
    with the indices.

    ``x`` is the forward's input where the gradient reads it. ``inside``: called by compiled code.
    """
    engine, forced, runner = _told_engine(problem, inside)
    if runner is not None:
        return "" if runner.backward(dy, x, indices, dx) else _wrong(problem)
    from fastpool import jit

    if indices is not None and jit.has_wrong_indices(problem, forced, indices):
        return _wrong(problem)
    if engine == "reference":
        from fastpool import reference

        dx[...] = reference.backward(problem, dy, x, indices)
    else:
        jit.backward(problem, forced, dy, dx, x, indices)
    return ""


def forward_at(
    problem: Problem, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None, place: Place | None, to: str
) -> None:
    """The same for arrays that lie at a place on a GPU, or are computed on another device than theirs, or both.

    On their own GPU the work is queued and not waited for. ``to`` is the other device, or "".
    """
    _tell_at(problem, place, to, (x, y, indices))
    if place is None:
        from fastpool.cuda import copying

        copying.forward_there(problem, x, y, indices, int(to.partition(":")[2]))
    elif to:
        from fastpool.cuda import copying

        copying.forward_here(problem, x, y, indices, place)
    else:
        from fastpool.cuda import memory, running

        with memory.joined(place.device, place.stream, (x,), (y, indices)):
            running.forward(problem, x, y, indices, place)


def backward_at(
    problem: Problem,
    dy: np.ndarray,
    dx: np.ndarray,
    x: np.ndarray | None,
    indices: np.ndarray | None,
    place: Place | None,
    to: str,
) -> str:
    """The same for arrays that lie at a place on a GPU, or are computed on another device than theirs, or both.

    A GPU does not check indices: what names no tap of its window gives its gradient to nobody.
    """
    _tell_at(problem, place, to, (dy, dx, x, indices))
    if place is None:
        from fastpool.cuda import copying

        copying.backward_there(problem, dy, dx, x, indices, int(to.partition(":")[2]))
    elif to:
        from fastpool.cuda import copying

        return _wrong(problem) if copying.backward_here(problem, dy, dx, x, indices, place) else ""
    else:
        from fastpool.cuda import memory, running

        with memory.joined(place.device, place.stream, (dy, x, indices), (dx,)):
            running.backward(problem, dy, dx, x, indices, place)
    return ""


def _tell_at(problem: Problem, place: Place | None, to: str, arrays: tuple[np.ndarray | None, ...]) -> None:
    if config.verbose_dispatch():
        device = None if place is None else place.device
        print(f"fastpool: {explain_at(problem, device, to, arrays)}", file=sys.stderr)


def explain_at(problem: Problem, device: int | None, to: str, arrays: tuple[np.ndarray | None, ...]) -> Explanation:
    """Which kernels a problem gets on a GPU, or on another device than its arrays', and what the copies cost.

    ``device`` is the GPU on which the arrays lie, or None; ``to`` the other device, or "". ``arrays`` are those that
    there are already; those that a call makes are aligned.
    """
    from fastpool.cuda import explanation

    if to == "cpu":
        return explanation.with_copies_here(explain(problem))
    if device is None:
        return explanation.with_copies_there(problem, int(to.partition(":")[2]))
    return explanation.on_device(problem, device, arrays)


def _wrong(problem: Problem) -> str:
    return f"an index names no tap of its own window that lies on the input (window {problem.kernel})"
