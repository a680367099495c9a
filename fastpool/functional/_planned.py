"""A call that has passed its checks: where its results go, and how it is run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool import arrays
from fastpool.arrays import Outline, Source
from fastpool.errors import value_error
from fastpool.memory import Array, element_strides, overlap, overlaps_itself, strides_in_order
from fastpool.problem import Ints, Problem


class Target:
    """Where a result goes: the caller's array, or one that is made when it is first needed.

    ``dropped`` are the axes of length 1 that the caller does not see.
    """

    def __init__(self, outline: Outline, dropped: Ints = (), given: object = None, data: Array | None = None) -> None:
        self.outline = outline
        self.dropped = dropped
        self.given = given
        self._data = np.expand_dims(data, dropped) if data is not None and dropped else data

    @classmethod
    def checked(cls, called: str, name: str, outline: Outline, given: object = None, dropped: Ints = ()) -> Target:
        """The target of a call, if it can hold the result."""
        if given is None:
            arrays.check_holds(called, outline)
            return cls(outline, dropped)
        seen = tuple(size for axis, size in enumerate(outline.shape) if axis not in dropped)
        data = arrays.take_out(called, name, given, outline._replace(shape=seen))
        if overlaps_itself(data):
            raise value_error(
                called,
                f"{name} of shape {data.shape} with strides of {data.strides} bytes",
                "two of its elements share memory",
                "give an array that does not repeat elements",
            )
        return cls(outline, dropped, given, data)

    @property
    def strides(self) -> Ints:
        """Strides in elements, in the normal form of a Problem."""
        if self._data is None:
            return strides_in_order(self.outline.shape, self.outline.order)
        return element_strides(self._data)

    @property
    def data(self) -> Array:
        """The memory, in storage form."""
        if self._data is None:
            outline = self.outline
            self._data = outline.kind.empty(outline.shape, outline.dtype, outline.order)
        return self._data

    def give(self) -> Any:
        """The caller's own array, or a new one of the caller's kind."""
        kind = self.outline.kind
        if self.given is not None:
            kind.wrote(self.given)
            return self.given
        data = self.data.squeeze(self.dropped) if self.dropped else self.data
        return kind.give(data, self.outline.dtype)

    def refuse_overlap(self, called: str, name: str, inputs: dict[str, Array]) -> None:
        """Refuse a caller's array that shares memory with one of the inputs."""
        if self.given is None:
            return
        for other, data in inputs.items():
            if overlap(self.data, data):
                raise value_error(
                    called,
                    f"{name} overlaps {other}",
                    "the result must not share memory with what is read",
                    f"give another array, or leave {name} out",
                )


class Forward(NamedTuple):
    """A forward call that has passed every check. Nothing is written before ``run``.

    ``to`` is the device that computes, where that is not the arrays' own.
    """

    problem: Problem
    x: Source
    y: Target
    indices: Target | None
    to: str = ""

    def given(self) -> tuple[Array | None, ...]:
        """The caller's arrays."""
        return self.x.data, *[
            target.data for target in (self.y, self.indices) if target is not None and target.given is not None
        ]

    def run(self) -> None:
        """Compute y, and the indices if there are any."""
        if 0 not in self.problem.out_shape:
            from fastpool import dispatch

            place = self.x.kind.place()
            indices = None if self.indices is None else self.indices.data
            if place is None and not self.to:
                dispatch.forward(self.problem, self.x.data, self.y.data, indices)
            else:
                dispatch.forward_at(self.problem, self.x.data, self.y.data, indices, place, self.to)


class Backward(NamedTuple):
    """A backward call that has passed every check but that of the indices' range. Nothing is written before
    ``run``. ``to`` is the device that computes, where that is not the arrays' own.
    """

    called: str
    problem: Problem
    grad: Source
    dx: Target
    x: Array | None
    indices: Array | None
    to: str = ""

    def given(self) -> tuple[Array | None, ...]:
        """The caller's arrays."""
        return self.grad.data, self.x, self.indices, None if self.dx.given is None else self.dx.data

    def run(self) -> None:
        """Compute dx."""
        if 0 not in self.problem.shape:
            from fastpool import dispatch

            place = self.grad.kind.place()
            arrays = (self.grad.data, self.dx.data, self.x, self.indices)
            if place is None and not self.to:
                wrong = dispatch.backward(self.problem, *arrays)
            else:
                wrong = dispatch.backward_at(self.problem, *arrays, place, self.to)
            if wrong:
                raise value_error(self.called, "indices", wrong, "give those that the forward returned")
