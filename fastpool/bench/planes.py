"""A problem in the form that other libraries take: batch, channels, then the spatial axes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastpool.bench.data import Array
from fastpool.problem import Ints, Problem


class Unsupported(Exception):  # noqa: N818
    """A library cannot do a problem, or does something else there; the text says why."""


class Planes(NamedTuple):
    """How a problem's axes are grouped.

    Attributes
    ----------
    batch, channels : int
    last : bool
        Whether the array has its channels last.
    """

    batch: int
    channels: int
    last: bool

    @classmethod
    def of(cls, problem: Problem) -> Planes:
        """Those of a problem.

        Raises
        ------
        Unsupported
            If its pooled axes are neither the last ones nor the ones before the last, or the array is not dense.

        Examples
        --------
        >>> Planes.of(Problem.parse("max1d_fwd_f32_last_mb2ic3_iw6ow3kw2sw2"))
        Planes(batch=2, channels=3, last=True)
        """
        strides = (problem.x_strides, problem.y_strides, problem.index_strides, problem.aux_strides)
        if any(strides):
            raise Unsupported("takes dense arrays")
        spatial = len(problem.axes)
        if problem.layout == "first":
            outer = problem.shape[:-spatial]
            return cls(math.prod(outer[:-1]), outer[-1] if outer else 1, False)
        if problem.layout == "last":
            return cls(math.prod(problem.shape[: -spatial - 1]), problem.shape[-1], True)
        raise Unsupported(f"pools the last axes, or those before the channels, not {problem.axes}")

    def view(self, array: Array, sizes: Ints) -> Array:
        """An array of the problem as (batch, channels, spatial...), without a copy."""
        if self.last:
            return np.moveaxis(array.reshape(self.batch, *sizes, self.channels), -1, 1)
        return array.reshape(self.batch, self.channels, *sizes)

    def back(self, array: Array, shape: Ints) -> Array:
        """An array (batch, channels, spatial...) in the problem's own shape."""
        return (np.moveaxis(array, 1, -1) if self.last else array).reshape(shape)


def sizes(problem: Problem) -> Ints:
    """Sizes of the pooled axes."""
    return tuple(problem.shape[axis] for axis in problem.axes)


def is_global(problem: Problem) -> bool:
    """Whether one window covers each plane, so that libraries have a reduction for it."""
    whole = problem.kernel == sizes(problem) and set(problem.outputs) == {1}
    return (
        whole and not any(problem.pad_begin + problem.pad_end) and not problem.divisor and set(problem.dilation) == {1}
    )


def need(holds: bool, otherwise: str) -> None:
    """Raise ``Unsupported`` with a reason unless something holds."""
    if not holds:
        raise Unsupported(otherwise)


def need_plain(problem: Problem) -> None:
    """Refuse what no library has: NaN left out, a divisor of one's own, more than three axes."""
    need(problem.nan == "propagate", "does not ignore NaN")
    need(not problem.divisor, "has no divisor_override")
    need(len(problem.axes) <= 3, "pools up to three axes")
