"""Runs the tasks of a problem on a GPU, on the caller's stream.

Arrays are in storage form: NumPy arrays whose memory lies on the device (in the simulator, on the host), of which
nothing but the address, the shape and the strides is used. Nothing waits for the device.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import numpy as np

from fastpool.cuda.place import Place
from fastpool.cuda.planning import tasks
from fastpool.kernels import registry
from fastpool.problem import Problem


class Step(Protocol):
    """A kernel with its plan and numbers: a task, or what else is run as one. It is one object for many calls."""

    @property
    def kernel(self) -> Any:
        """The kernel, see ``fastpool.kernels.cuda.engine``."""

    @property
    def grid(self) -> int:
        """Blocks."""

    @property
    def block(self) -> tuple[int, int]:
        """Threads of a block."""

    @property
    def p(self) -> Any:
        """The kernel's parameter."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The kernel's numbers."""

    @property
    def plan(self) -> np.ndarray | None:
        """What the kernel reads from memory."""


def forward(problem: Problem, x: np.ndarray, y: np.ndarray, indices: np.ndarray | None, place: Place) -> None:
    """Queues what writes y, and the indices if there are any."""
    first, *rest = tasks(problem, aligned(x, y, indices))
    if first.left is None:
        run(first, x, y, indices, place)
        return
    size, dtype = first.left
    states = place.empty((size,), dtype)
    run(first, x, states, None, place)
    run(rest[0], states, y, indices, place)


def backward(
    problem: Problem,
    dy: np.ndarray,
    dx: np.ndarray,
    x: np.ndarray | None,
    indices: np.ndarray | None,
    place: Place,
) -> None:
    """Queues what writes dx, every element of it."""
    steps = tasks(problem, aligned(dy, dx, x, indices))
    last = steps[-1]
    if len(steps) == 1:
        run(last, dy, dx, indices if last.role == "scatter" else x, place)
    elif last.role == "scatter":
        y = place.empty(problem.out_shape, dx.dtype.name)
        taps = place.empty(problem.out_shape, "int64" if steps[0].kind == "plane" else "uint8")
        run(steps[0], x, y, taps, place)
        run(last, dy, dx, taps, place)
    else:
        size = registry.SIZES[steps[0].variant.output]
        shares = place.empty(problem.out_shape, f"float{8 * size}")
        run(steps[0], x, shares, dy, place)
        run(last, shares, dx, x, place)


def ready(problem: Problem, device: int, aligned: bool) -> Any:
    """``queue(source, output, aux, stream)`` for a problem of one kernel, with addresses and the stream's handle, or
    None. The source is x or dy, the output y or dx, ``aux`` the indices or what else the kernel reads, or 0;
    ``aligned`` says whether all of them will be multiples of 16.
    """
    from fastpool.kernels.cuda import package

    steps = tasks(problem, aligned)
    if package.SIMULATED or len(steps) != 1 or steps[0].grid == 0:
        return None
    return _launch(steps[0], device).queue


def run(task: Step, source: np.ndarray | None, output: np.ndarray, aux: np.ndarray | None, place: Place) -> None:
    """Queues one kernel at a place."""
    from fastpool.kernels.cuda import package

    if task.grid == 0:
        return
    if package.SIMULATED:
        from fastpool.kernels.cuda import simulation

        first = () if task.plan is None else (task.plan,)
        arrays = (*first, source, output, aux)
        simulation.launch(task.kernel, task.grid, task.block, arrays, task.p, task.numbers)
        return
    _launch(task, place.device).queue(_address(source), _address(output), _address(aux), place.stream)


def aligned(*arrays: np.ndarray | None) -> bool:
    """Whether all arrays begin where vectors of 16 bytes may."""
    return not any(_address(array) % 16 for array in arrays)


def _address(array: np.ndarray | None) -> int:
    return 0 if array is None else int(array.__array_interface__["data"][0])


_launches: dict[tuple[int, int], Any] = {}


def _launch(task: Step, device: int) -> Any:
    """The launch of a task on a device."""
    key = (id(task), device)
    found = _launches.get(key)
    if found is not None:
        return found[0]
    from fastpool.kernels.cuda.driver import Launch

    first: tuple[int, ...] = ()
    memory = None
    if task.plan is not None:
        memory = _memory(device, task.plan.tobytes())
        first = (memory.address,)
    value = np.zeros(1, np.int64)
    value.view(np.uint8)[: np.dtype(task.kernel.real).itemsize] = np.frombuffer(
        np.dtype(task.kernel.real).type(task.p).tobytes(), np.uint8
    )
    rest = value.tobytes() + np.array(task.numbers, np.int64).tobytes()
    launch = Launch(task.kernel, device, task.grid, task.block, first, rest, memory)
    if len(_launches) >= 4096:
        _launches.clear()
    # the task stays while its number is a key
    _launches[key] = (launch, task)
    return launch


@functools.lru_cache(maxsize=1024)
def _memory(device: int, plan: bytes) -> Any:
    """A plan in a device's memory: one for all tasks that have it, whatever their numbers."""
    from fastpool.kernels.cuda.driver import Memory

    return Memory(device, plan)
