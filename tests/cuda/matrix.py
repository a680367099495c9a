"""The problems that the GPU's kernels are held against: every role and element type, and every form.

A case is a problem with the arrays' order in memory. ``run`` answers it on the device that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastpool.cuda import along, planning, running
from fastpool.cuda.place import Place
from fastpool.kernels.registry import Ask
from fastpool.memory import element_strides
from fastpool.problem import Problem
from tests.kernel_cases import ASKS, ULPS, Expected, problem_of
from tests.strategies import (
    Array,
    Blank,
    Result,
    arrange,
    real_numbers,
    storage,
    turned,
    whole_numbers,
)

WINDOWS: tuple[tuple[tuple[int, ...], Any, dict[str, Any]], ...] = (
    # in vectors along rows, or across lanes, where the window's numbers are compiled in
    ((1, 2, 4, 16), 2, {}),
    ((1, 8, 6, 16), 3, {"s": 2, "p": 1}),
    ((1, 8, 4, 16), 3, {"s": 1, "p": 1}),
    ((2, 1, 4, 4, 16), 2, {}),
    ((1, 8, 2, 4, 8), 3, {"s": 2, "p": 1}),
    ((2, 3, 32), 3, {"s": 2, "p": 1}),
    # the same, in rows that are no whole vectors, or with padding that is not counted
    ((1, 3, 7, 9), 3, {"s": 2, "p": 1, "include_pad": False, "ceil": True}),
    ((1, 3, 5, 7), 2, {"ceil": True}),
    ((1, 2, 5, 9), 2, {"s": 1, "p": [(0, 1), (0, 1)]}),
    # any numbers
    ((1, 4, 7, 9), (5, 4), {"s": (1, 2), "p": [2, 1], "d": (1, 2)}),
    ((1, 2, 6, 8), (3, 5), {"s": (2, 3), "p": [(2, 1), (3, 2)], "d": (2, 1), "ceil": True}),
    ((1, 2, 3, 4, 4), (2, 3, 2), {"s": (1, 2, 3), "p": [0, 1, (0, 1)]}),
    ((1, 3, 11, 12), (4, 3), {"s": (5, 4), "p": 1}),
    # many taps: shared by a block, or close together
    ((2, 3, 6, 7), (6, 7), {}),
    ((1, 1, 3, 50), (3, 41), {"s": (1, 3), "p": [1, 0]}),
    ((1, 1, 9, 20), 5, {"s": 1, "p": 2, "d": (1, 2)}),
    # inside of the input, with their numbers compiled in: a thread each, or columns and runs that threads share
    ((2, 3, 40), 4, {}),
    ((1, 3, 9, 16), 4, {}),
    ((2, 12, 7, 7), 7, {}),
    ((1, 9, 11, 30), 5, {}),
    ((1, 10, 5, 26), (5, 26), {}),
    ((2, 9, 75), 37, {}),
    ((1, 2, 4, 5, 6), (2, 5, 3), {}),
    # one position apart in small planes: in vectors, whole rows, with lanes; rows longer than their outputs
    ((2, 8, 6, 8), 5, {"s": 1, "p": 2}),
    ((2, 8, 5, 5), (3, 5), {"s": 1, "p": (1, 2)}),
    ((2, 8, 5, 9), (2, 6), {"s": 1, "p": [(1, 0), (0, 2)]}),
    # in strips of larger ones
    ((1, 2, 10, 37), (5, 4), {"s": 1, "p": [(2, 1), (0, 3)]}),
    # four pooled axes
    ((1, 2, 2, 3, 2, 3), (2, 2, 2, 3), {"s": 1}),
)

SPECIAL = 15
"""Windows from here on have forms of their own."""

LAYOUTS = ("first", "last", "permuted")
MEMORIES = ("contiguous", "strided", "negative")


class Case(NamedTuple):
    """A problem, and how its arrays lie in memory."""

    ask: Ask
    problem: Problem
    memory: str
    seed: int

    @property
    def name(self) -> str:
        """What tells it from others."""
        return f"{self.problem}-{self.memory}"


def cases(asks: Sequence[Ask] = ASKS, each: int = 2) -> Iterator[Case]:
    """``each`` cases for every ask, so that all windows, layouts and memories come up among those of each role."""
    number = 0
    for ask in asks:
        if ask.role in ("check", "weigh"):
            continue
        for _ in range(each):
            shape, k, options = WINDOWS[number % len(WINDOWS)]
            # windows in whole vectors want memory in order
            memory = "contiguous" if number % 4 else MEMORIES[1 + number // 4 % 2]
            layout = LAYOUTS[number // 3 % 3]
            kinds = ("plane", "tap", "tensor")
            problem = problem_of(ask, shape, k, **options)
            if problem.indices:
                problem = problem._replace(indices=kinds[number // 2 % 3])
            yield Case(ask, turned(problem, layout), memory, number)
            number += 1
    # forms for windows of few kinds may have come up for none of the operations that they do
    for ask in asks:
        if ask.name in ("max_forward_f32", "mean_forward_f32"):
            for shape, k, options in WINDOWS[SPECIAL:]:
                for layout in ("first", "last"):
                    yield Case(ask, turned(problem_of(ask, shape, k, **options), layout), "contiguous", number)
                    number += 1


def is_forward(case: Case) -> bool:
    """Whether a case is no gradient."""
    return case.problem.direction == "fwd"


class Device(NamedTuple):
    """Where cases run: how an array gets there and back, and the place."""

    put: Callable[[Array], Array]
    get: Callable[[Array], Array]
    place: Place


def host_place() -> Place:
    """The simulator's place: its memory is the host's."""
    return Place(0, 0, lambda shape, dtype: np.empty(shape, dtype))


SIMULATOR = Device(lambda array: array, lambda array: array, host_place())


def run(case: Case, expected: Expected, device: Device = SIMULATOR) -> tuple[Result, tuple[planning.Task, ...]]:
    """The GPU's answer to a case, and the tasks that it took."""
    problem = case.problem
    x = arrange(expected.x, case.memory)
    if expected.dy is None:
        y = Blank(problem.out_shape, storage(problem.out_dtype), case.memory)
        found = Blank(problem.out_shape, storage(problem.index_dtype), case.memory) if problem.indices else None
        problem = problem._replace(
            x_strides=element_strides(x),
            y_strides=element_strides(y.array),
            index_strides=() if found is None else element_strides(found.array),
        )
        running.forward(problem, x, y.array, None if found is None else found.array, device.place)
        y.check()
        if found is not None:
            found.check()
        tasks = planning.tasks(problem)
        indices = None if found is None else found.array
        return Result(problem, tuple(task.name for task in tasks), y.array, indices), tasks
    dy = arrange(expected.dy, case.memory)
    indices = None if expected.indices is None else arrange(expected.indices, case.memory)
    reads_x = problem.op == "lp" or problem.nan == "ignore" or (problem.op in ("max", "min") and not problem.indices)
    dx = Blank(problem.shape, storage(problem.dtype), case.memory)
    problem = problem._replace(
        x_strides=element_strides(dx.array),
        y_strides=element_strides(dy),
        index_strides=() if indices is None else element_strides(indices),
        aux_strides=element_strides(x) if reads_x else (),
    )
    running.backward(problem, dy, dx.array, x if reads_x else None, indices, device.place)
    dx.check()
    tasks = planning.tasks(problem)
    return Result(problem, tuple(task.name for task in tasks), dx.array), tasks


@contextmanager
def in_strips() -> Iterator[None]:
    """Lets threads make as much as they can, however few are left: the problems here are small."""
    enough, along.ENOUGH = along.ENOUGH, 0
    planning._tasks.cache_clear()
    try:
        yield
    finally:
        along.ENOUGH = enough
        planning._tasks.cache_clear()


def is_selection(case: Case) -> bool:
    """Whether the answer consists of elements, or of sums of integers, which are exact in any order."""
    return case.problem.op in ("max", "min") or case.problem.dtype[0] in "iu" or case.problem.dtype == "b1"


def expected_of(case: Case) -> Expected:
    """The data of a case and the reference's answer."""
    if is_selection(case):
        # gradients of small integers, so that their sums are exact, too
        return Expected(case.problem, whole_numbers, case.seed, specials=0.02 if case.ask.role != "scatter" else 0)
    return Expected(case.problem, real_numbers, case.seed)


LP_ULPS = 8
"""For Lp: a power is good to about 2 ulp, and a gradient multiplies two of them by the sum of as many terms."""


def check(case: Case, expected: Expected, result: Result) -> None:
    """The same bits where the answer is exact, else within some ulp of the exact one."""
    if is_selection(case):
        expected.check(result)
    else:
        expected.check_ulps(result, LP_ULPS if case.problem.op == "lp" else ULPS)
