"""From arrays in the caller's layout to a program's frame, see ``fastpool.kernels.frame``."""

from __future__ import annotations

from collections.abc import Sequence

from fastpool.kernels import frame as F
from fastpool.memory import Array
from fastpool.problem import Ints


def _strides(array: Array, axes: Sequence[int]) -> list[int]:
    return [array.strides[axis] // array.itemsize for axis in axes]


def merged(sizes: list[int], strides: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Outer axes of which one continues the next, in every array, made one; and none of one element."""
    axes = [axis for axis, size in enumerate(sizes) if size != 1]
    merged: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis in axes:
        if merged and all(own[-1] == given[axis] * sizes[axis] for own, given in zip(steps, strides, strict=True)):
            merged[-1] *= sizes[axis]
            for own, given in zip(steps, strides, strict=True):
                own[-1] = given[axis]
        else:
            merged.append(sizes[axis])
            for own, given in zip(steps, strides, strict=True):
                own.append(given[axis])
    return merged, steps


def window_numbers(kernel: Ints, stride: Ints, dilation: Ints, padding: Ints) -> list[int]:
    """These of three axes, as programs over windows have them; an axis that is missing has one tap."""
    numbers = [1, 1, 1, 0] * (F.SPATIAL - len(kernel))
    for axis in zip(kernel, stride, dilation, padding, strict=True):
        numbers += axis
    return numbers


class Frame:
    """Where the arrays of a call lie: ``plan``, to which a program's own numbers are added, ``outer``, ``lanes``, and
    ``lane``, the axis of these, or -1; of each array ``steps``, its strides along three spatial axes, ``lane_steps``,
    that along the lanes, and ``outer_steps``, those along the outer axes.

    Parameters
    ----------
    arrays : sequence of array
        In the caller's layout and in storage form, all of the same rank; other axes than ``axes`` have the same sizes
        in all of them (a stride of 0 is allowed). The first decides which axis the lanes run along.
    axes : tuple of int
        The one to three spatial axes.
    lanes : bool
        Whether lanes may be used; without, every other axis is an outer one.
    lane : int, optional
        The axis that lanes run along, dense or not, instead of the one that is found.
    """

    def __init__(self, arrays: Sequence[Array], axes: Ints, lanes: bool = True, lane: int | None = None) -> None:
        first = arrays[0]
        others = [axis for axis in range(first.ndim) if axis not in axes]
        if lane is None:
            lane = lane_axis(first, axes) if lanes else -1
        self.lane = lane
        outer = [axis for axis in others if axis != lane]
        sizes, strides = merged([first.shape[axis] for axis in outer], [_strides(a, outer) for a in arrays])
        self.lanes = first.shape[lane] if lane >= 0 else 1
        self.outer = 1
        for size in sizes:
            self.outer *= size
        plan = [len(sizes), len(arrays), self.lanes, 0, *sizes]
        self.steps: list[Ints] = []
        self.lane_steps = [_strides(array, [lane])[0] if lane >= 0 else 0 for array in arrays]
        self.outer_steps = strides
        missing = F.SPATIAL - len(axes)
        for array, steps in zip(arrays, strides, strict=True):
            plan += [1] * missing + [array.shape[axis] for axis in axes]
            self.steps.append((*[0] * missing, *_strides(array, axes)))
            plan += self.steps[-1]
            plan += [*(_strides(array, [lane]) if lane >= 0 else [0]), *steps]
        plan[F.OWN] = len(plan)
        self.plan = plan


def lane_axis(array: Array, axes: Ints) -> int:
    """The axis whose elements lie closest together, where that is not the last spatial one; or -1."""
    candidates = [axis for axis in range(array.ndim) if axis not in axes and array.shape[axis] > 1]
    if not candidates:
        return -1
    best = min(candidates, key=lambda axis: abs(array.strides[axis]))
    last = axes[-1]
    if array.shape[last] > 1 and abs(array.strides[last]) <= abs(array.strides[best]):
        return -1
    return best if abs(array.strides[best]) == array.itemsize else -1
