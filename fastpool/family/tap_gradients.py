"""Gradients with respect to the taps of a pair of filters that is used along two axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastpool.family import tasks
from fastpool.family.filtering import Filter
from fastpool.family.framing import Frame
from fastpool.family.table import border
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import Ints

BANDS = 4


def _places(filter_: Filter, step: int) -> Array:
    """Where each output's taps lie in memory; -1 for a zero of the border."""
    first = np.arange(filter_.outputs)[:, None] * filter_.stride - filter_.before
    found = border(filter_.rule, first + np.arange(filter_.taps), filter_.size)
    return np.where(found < 0, -1, found * step)


def tap_sums(x: Array, grads: Array, axes: Ints, filters: Sequence[Filter], dtype: str) -> Array:
    """``sums[u, v, b]``: what tap u of the first axis and v of the second saw, times the gradient of band b.

    Added over every plane by the kernel ``tap_sums``, over planes in row-major order of the other axes.
    """
    taps = filters[0].taps
    many = BANDS * taps * taps
    own = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    own[axes[1]] = many
    sums = np.zeros(own)
    if x.size and grads.size:
        frame = Frame((x, grads[0], sums), axes)
        if min(frame.steps[0]) < 0:
            # a negative place in memory is a zero of the border
            x = np.ascontiguousarray(x)
            frame = Frame((x, grads[0], sums), axes)
        rows, columns = (_places(f, frame.steps[0][a]) for f, a in zip(filters, (1, 2), strict=True))
        places = np.concatenate([rows.reshape(-1), columns.T.reshape(-1)]).astype(np.int64)
        plan = [*frame.plan, taps, grads.strides[0] // grads.itemsize]
        tasks.run(Program("tap_sums", (dtype,)), plan, (x, grads, sums, places), frame.outer)
    planes = np.ascontiguousarray(np.moveaxis(sums, axes[1], -1)).reshape(-1, many)
    total: Array = np.add.reduce(planes, axis=0).reshape(taps, taps, BANDS)
    return total


def pair_gradients(sums: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """The gradients of both filters, in float64; bands are LL, LH, HL, HH."""
    pair = np.stack([low, high]).astype(np.float64)
    found = np.zeros_like(pair)
    for first in (0, 1):
        for second in (0, 1):
            own = sums[:, :, 2 * first + second]
            for u in range(len(low)):
                for v in range(len(low)):
                    found[first, u] += own[u, v] * pair[second, v]
                    found[second, v] += own[u, v] * pair[first, u]
    return found[0], found[1]
