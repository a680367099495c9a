"""Separable filters by the definition: the axis is padded, every output is a sum over its taps, axis after axis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

Array = Any

MODES = {"reflect": "reflect", "replicate": "edge", "zero": "constant", "periodic": "wrap"}
"""Border rules by the names of ``np.pad``."""


class Filter(Protocol):
    """What is done along one axis, see ``fastpool.family.filtering``."""

    @property
    def size(self) -> int:
        """Elements along the axis."""
        ...

    @property
    def bands(self) -> tuple[tuple[float, ...], ...]:
        """The filters."""
        ...

    @property
    def stride(self) -> int:
        """Elements from one output to the next."""
        ...

    @property
    def before(self) -> int:
        """Elements that the first output sees before the first."""
        ...

    @property
    def outputs(self) -> int:
        """Their number."""
        ...

    @property
    def rule(self) -> str:
        """What is outside."""
        ...


def matrix(filter_: Filter, band: int) -> Array:
    """The filter along an axis as a matrix: a row for each output, a column for each element."""
    taps = filter_.bands[band]
    after = max(0, (filter_.outputs - 1) * filter_.stride + len(taps) - filter_.before - filter_.size)
    # column i of the padded identity says which element stands there
    line: Array = np.pad(np.eye(filter_.size), ((filter_.before, after), (0, 0)), mode=MODES[filter_.rule])  # type: ignore[call-overload]
    rows = []
    for o in range(filter_.outputs):
        row = np.zeros(filter_.size)
        for u, tap in enumerate(taps):
            row += tap * line[o * filter_.stride + u]
        rows.append(row)
    return np.stack(rows)


def along(x: Array, matrix_: Array, axis: int) -> Array:
    """The product with a matrix along an axis."""
    return np.moveaxis(np.tensordot(matrix_, x, (1, axis)), 0, axis)


def forward(x: Array, y: Array, axes: Sequence[int], places: Sequence[int], filters: Sequence[Filter]) -> None:
    """Write the bands of x to y, which has an axis of them in front where there are several."""
    many = len(filters[0].bands)
    for number, chosen in enumerate(itertools.product(range(many), repeat=len(axes))):
        found = x.astype(np.float64)
        for axis, filter_, band in zip(axes, filters, chosen, strict=True):
            found = along(found, matrix(filter_, band), axis)
        (y[number] if many > 1 else y)[...] = found + 0.0


def transposed(dy: Array, dx: Array, axes: Sequence[int], places: Sequence[int], filters: Sequence[Filter]) -> None:
    """Write the gradient of x."""
    many = len(filters[0].bands)
    total = np.zeros(dx.shape)
    for number, chosen in enumerate(itertools.product(range(many), repeat=len(axes))):
        found = (dy[number] if many > 1 else dy).astype(np.float64)
        for axis, filter_, band in zip(axes, filters, chosen, strict=True):
            found = along(found, matrix(filter_, band).T, axis)
        total += found
    dx[...] = total + 0.0
