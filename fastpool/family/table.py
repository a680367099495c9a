"""A filter along one axis as a list of products for each position that is written, see ``kernels.bands``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastpool.memory import Array

if TYPE_CHECKING:
    from fastpool.family.filtering import Filter


class Rows(NamedTuple):
    """Rows in the order of their bands, then positions.

    Attributes
    ----------
    band, position : array
        What each row writes.
    first : array
        The first entry of each row, and one past the last row's.
    read_band, read : array
        What each entry reads.
    factors : array
        What that is multiplied by, float64.
    """

    band: Array
    position: Array
    first: Array
    read_band: Array
    read: Array
    factors: Array

    def taken(self, order: Array) -> Rows:
        """The rows in another order."""
        counts = np.diff(self.first)[order]
        first = np.concatenate([[0], np.cumsum(counts)])
        entries = np.arange(first[-1]) - np.repeat(first[:-1] - self.first[:-1][order], counts)
        parts = (part[entries] for part in (self.read_band, self.read, self.factors))
        return Rows(self.band[order], self.position[order], first, *parts)


def border(rule: str, positions: Array, size: int) -> Array:
    """The element that stands at each position on a line without end; -1 where it is 0."""
    if rule == "zero":
        return np.where((positions >= 0) & (positions < size), positions, -1)
    if rule == "periodic":
        return positions % size
    if rule == "replicate":
        return np.clip(positions, 0, size - 1)
    # a reflection repeats after size - 1 steps there and as many back; the ends occur once
    period = max(1, 2 * (size - 1))
    folded = positions % period
    return np.where(folded < size, folded, period - folded)


def _entries(filter_: Filter, outputs: Array) -> tuple[Array, ...]:
    """Band, output, place on the line, element, factor of every product that is not with a zero of the border."""
    shape = (len(filter_.bands), outputs.size, filter_.taps)
    band, out, tap = (part.reshape(-1) for part in np.indices(shape))
    out = outputs[out]
    place = out * filter_.stride - filter_.before + tap
    element = border(filter_.rule, place, filter_.size)
    factors = np.array(filter_.bands)[band, tap]
    inside = element >= 0
    return band[inside], out[inside], place[inside], element[inside], factors[inside]


def rows_of(filter_: Filter) -> Rows:
    """Forward: taps from the first to the last."""
    band, out, _, element, factors = _entries(filter_, np.arange(filter_.outputs))
    bands, count = len(filter_.bands), filter_.outputs
    many = np.bincount(band * count + out, minlength=bands * count)
    row_band, position = (part.reshape(-1) for part in np.indices((bands, count)))
    first = np.concatenate([[0], np.cumsum(many)])
    return Rows(row_band, position, first, np.zeros_like(element), element, factors)


def _transposed(filter_: Filter, outputs: Array) -> tuple[Array, ...]:
    """Band, output, element, factor, whether the border rule brings it, of every product, in the order of the rows."""
    band, out, place, element, factors = _entries(filter_, outputs)
    beyond = place != element
    order = np.lexsort((out, band, np.where(beyond, place, 0), beyond, element))
    return band[order], out[order], element[order], factors[order], beyond[order]


def transposed_rows(filter_: Filter) -> Rows:
    """Transposed: bands in order, outputs from the first to the last; after these what the border rule brings, by place
    on the line, band, output.
    """
    band, out, element, factors = _transposed(filter_, np.arange(filter_.outputs))[:4]
    many = np.bincount(element, minlength=filter_.size)
    position = np.arange(filter_.size)
    first = np.concatenate([[0], np.cumsum(many)])
    return Rows(np.zeros_like(position), position, first, band, out, factors)


def brought(filter_: Filter) -> tuple[Array, Array, Array, Array]:
    """Transposed, what the border rule brings alone: element, band and output, factor, in the order of the rows."""
    start = np.arange(filter_.outputs) * filter_.stride - filter_.before
    near = (start < 0) | (start + filter_.taps > filter_.size)
    band, out, element, factors, beyond = _transposed(filter_, np.flatnonzero(near))
    return element[beyond], band[beyond], out[beyond], factors[beyond]
