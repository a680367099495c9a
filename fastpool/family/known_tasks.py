"""Calls whose work is one or two tasks, known again: these were planned with the first of such calls.

A call like one that was accepted before, of plain NumPy arrays that lie in memory as those did, is checked by nothing
but whether its arrays overlap, and by its first task where that looks at indices. What is wrong with one goes the whole
way, and is refused there. The front door takes most of them, see ``kernels/c_abi/door.c``: a small call of adaptive
pooling takes 3 us through it, 17 by ``run``, and 90 the whole way.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from fastpool import config, library
from fastpool.arrays import Outline
from fastpool.family import tasks
from fastpool.family.calls import Call
from fastpool.family.tasks import Task
from fastpool.functional._repeat import apart, likeness, put

RESULT, FLAG = 3, 5
"""Arrays by number, as the front door has them: from 0 those that are read, from RESULT those that are written, and an
int64 that is 0 unless a task finds something wrong."""


class Asked(NamedTuple):
    """A call as it was made: ``called`` is always the same object; ``reads`` are its arrays, and ``outs`` the caller's
    for results, or None for each.
    """

    called: str
    options: tuple[object, ...]
    device: object
    reads: tuple[Any, ...]
    outs: tuple[Any, ...]

    @property
    def key(self) -> Hashable:
        """What it is like, or None where it is not looked up."""
        return likeness(self.called, self.options, (self.device,), (*self.reads, *self.outs))


class Stage(NamedTuple):
    """A task, and the numbers of the arrays that it is run with."""

    task: Task
    arrays: tuple[int, ...]


class Known(NamedTuple):
    """What a call was found to be: its stages, and the results that are made where the caller gives none."""

    stages: tuple[Stage, ...]
    outlines: tuple[Outline, ...]


_known: dict[Hashable, Known] = {}

_run_known: Any = None
"""The front door's function, once it knows a call."""


def ahead(called: str, options: tuple[object, ...], device: object, reads: Any, out: Any) -> Any:
    """The results of a call that the front door knows, or None; ``reads`` is an array, or a tuple of them."""
    if _run_known is None or tasks.telling():
        return None
    return _run_known(called, options, device, True, reads, out)


def again(
    called: str, options: tuple[object, ...], device: object, reads: tuple[Any, ...], out: Any
) -> tuple[Any, Asked]:
    """(the result of a call that is known, or None; the call as it was made), for calls with one result."""
    answer, asked = ahead(called, options, device, reads, out), Asked(called, options, device, reads, (out,))
    return run(asked) if answer is None else answer, asked


def read_first(task: Task | None, results: int = 1) -> tuple[Stage, ...]:
    """The stage of a task that is run with what is read and then the results."""
    return () if task is None else (Stage(task, (0, *range(RESULT, RESULT + results))),)


def written_first(task: Task | None) -> tuple[Stage, ...]:
    """The stage of a task that is run with its result and then what is read, as gradients are."""
    return () if task is None else (Stage(task, (RESULT, 0)),)


def keep(asked: Asked | None, stages: tuple[Stage, ...], call: Call) -> None:
    """Keep an accepted call; ``asked`` is None where what is read are not the caller's arrays as they are."""
    if asked is None or not stages or tasks.telling():
        return
    if all(target.given is None or target.data is target.given for target in call.targets):
        key = asked.key
        if key is not None:
            put(_known, key, Known(stages, tuple(target.outline for target in call.targets)))
            _show_door(asked, stages, [target.data for target in call.targets])


def run(asked: Asked) -> Any:
    """The results of a call that is known, one array or a tuple, or None: the oracles go the whole way."""
    key = asked.key if config.engine() != "reference" else None
    known = _known.get(key) if key is not None else None
    if known is None or tasks.telling() or not apart(asked.reads, asked.outs):
        return None
    made = [
        outline.kind.empty(outline.shape, outline.dtype, outline.order) if out is None else out
        for out, outline in zip(asked.outs, known.outlines, strict=True)
    ]
    flag = np.zeros(1, np.int64)
    arrays = {**dict(enumerate(asked.reads)), **dict(enumerate(made, RESULT)), FLAG: flag}
    for task, numbers in known.stages:
        task.run(*[arrays[number] for number in numbers])
        if flag[0]:
            return None
    return made[0] if len(made) == 1 else tuple(made)


def _show_door(asked: Asked, stages: tuple[Stage, ...], made: list[Any]) -> None:
    """Make a call known to the front door, if there is one; it makes new results in row-major order alone."""
    global _run_known
    door = library.door()
    given = asked.outs[0] is not None
    in_order = all(type(array) is np.ndarray and array.flags.c_contiguous for array in made)
    known = [(*task.numbers, arrays, task.places) for task, arrays in stages if task.numbers]
    if door is None or len(known) != len(stages) or not (in_order or given):
        return
    reads, outs, results = (group[0] if len(group) == 1 else group for group in (asked.reads, asked.outs, tuple(made)))
    out = outs if given else None
    door.learn(asked.called, asked.options, asked.device, True, reads, out, stages, tuple(known), results)
    _run_known = door.run
