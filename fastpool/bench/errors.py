"""How far a result is from the exact one, over a part of it that takes little time.

The exact one is computed tap by tap in float64, or in long double for results of 64 bits. Errors of floats are in units
in the last place: those of the result for max, min and Lp, those of the same pooling of magnitudes for sums, means and
gradients, whose own results may cancel to almost nothing. Errors of integers are differences.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastpool.bench.data import Array, Inputs, numpy_dtype
from fastpool.problem import Ints, Problem

LIMIT = 1 << 21
"""Taps that are looked at."""

_LONG = np.finfo(np.longdouble)
FRACTION = {"f16": 10, "bf16": 7, "f32": 23, "f64": 52, "fld": _LONG.nmant, "c64": 23, "c128": 52, "cld": _LONG.nmant}
"""Bits after the point of an element type."""
SMALLEST = dict.fromkeys(("f64", "c128"), -1074) | {"f16": -24, "bf16": -133, "f32": -149, "c64": -149}
SMALLEST |= dict.fromkeys(("fld", "cld"), int(_LONG.minexp) - int(_LONG.nmant))
"""Exponent of the smallest number above 0."""


class Part(NamedTuple):
    """A part of a result, as it should be.

    Attributes
    ----------
    where : tuple of ndarray
        What picks it out of the result.
    values : ndarray
        Its exact values.
    magnitudes : ndarray
        The values whose last places errors are counted in.
    indices : ndarray or None
        Its indices where the problem has some.
    """

    where: tuple[Array, ...]
    values: Array
    magnitudes: Array
    indices: Array | None


class Taps(NamedTuple):
    """The taps of some windows: one axis for each axis of y, and the last one for the taps."""

    places: tuple[Array, ...]
    inside: Array
    counted: Array


def largest(problem: Problem, given: Inputs, results: tuple[Array, ...]) -> float:
    """The largest error of a result, infinite if an index is wrong.

    Parameters
    ----------
    problem : Problem
    given : Inputs
        The arrays that were pooled.
    results : tuple of ndarray
        The result, and where the problem asks for them its indices; without these they are not looked at.

    Returns
    -------
    float
        In units in the last place for floats, as a difference for integers.
    """
    part = exact(problem, given)
    if results[0].shape != (problem.out_shape if problem.direction == "fwd" else problem.shape):
        return math.inf
    found = results[0][part.where].astype(part.values.dtype)
    with np.errstate(invalid="ignore"):
        errors: Array = np.abs(found - part.values) / unit(problem, part.magnitudes)
    alike = (found == part.values) | (np.isnan(found) & np.isnan(part.values))
    errors = np.where(alike, 0.0, np.where(np.isnan(errors), np.inf, errors))
    if problem.direction == "fwd" and part.indices is not None and len(results) > 1:
        if not np.array_equal(results[1][part.where], part.indices):
            return math.inf
    return float(errors.max(initial=0.0))


def allowed(problem: Problem) -> float:
    """The largest error that rounding can explain; a result with a larger one is wrong.

    The errors of a sum's additions add up as a random walk does. A mean of integers may be rounded either way.
    """
    if problem.op in ("max", "min") and problem.direction == "fwd":
        return 0.0
    if numpy_dtype(problem.dtype).kind in "biu":
        return 1.0 if problem.op == "mean" else 0.0
    return 4.0 + 2.0 * math.sqrt(problem.taps)


def unit(problem: Problem, magnitudes: Array) -> Array:
    """One unit in the last place of each magnitude, 1 for integers."""
    dtype = problem.out_dtype if problem.direction == "fwd" else problem.dtype
    if dtype not in FRACTION:
        return np.ones_like(magnitudes)
    exponents = np.frexp(magnitudes)[1] - 1 - FRACTION[dtype]
    units: Array = np.ldexp(np.ones_like(magnitudes), np.maximum(exponents, SMALLEST[dtype]))
    return units


def exact(problem: Problem, given: Inputs) -> Part:
    """A part of the exact result."""
    return _gradient(problem, given) if problem.direction == "bwd" else _pooled(problem, given)


def _wide(problem: Problem) -> Any:
    kind = numpy_dtype(problem.out_dtype)
    if kind.kind == "c":
        return np.complex128 if kind.itemsize == 8 else np.clongdouble
    return np.float64 if (kind.kind == "f" and kind.itemsize <= 4) or problem.dtype == "bf16" else np.longdouble


def _spread(n: int, count: int) -> Array:
    """Up to ``count`` of n places, the first and the last among them."""
    if count >= n:
        return np.arange(n)
    found: Array = np.unique(np.linspace(0, n - 1, max(count, 1)).astype(np.int64))
    return found


def _taps(problem: Problem, picks: list[Array]) -> Taps:
    """The taps of the windows that are picked along each axis of y."""
    rank, count = len(problem.shape), len(problem.axes)
    places: list[Array] = []
    inside = counted = np.ones((1,) * (rank + count), bool)
    for axis, pick in enumerate(picks):
        shape = [1] * (rank + count)
        shape[axis] = len(pick)
        place = pick
        if axis in problem.axes:
            i = problem.axes.index(axis)
            steps = np.arange(problem.kernel[i]) * problem.dilation[i]
            place = pick[:, None] * problem.stride[i] - problem.pad_begin[i] + steps
            shape[rank + i] = problem.kernel[i]
            n = problem.shape[axis]
            inside = inside & ((place >= 0) & (place < n)).reshape(shape)
            counted = counted & (place < n + problem.pad_end[i]).reshape(shape)
            place = place.clip(0, n - 1)
        places.append(place.reshape(shape))
    whole = (*(len(pick) for pick in picks), *problem.kernel)
    flat = (*whole[:rank], problem.taps)
    return Taps(
        tuple(np.broadcast_to(place, whole).reshape(flat) for place in places),
        np.broadcast_to(inside, whole).reshape(flat),
        np.broadcast_to(counted, whole).reshape(flat),
    )


def _pooled(problem: Problem, given: Inputs) -> Part:
    each = int(max(LIMIT // problem.taps, 1) ** (1 / len(problem.shape)))
    picks = [_spread(n, each) for n in problem.out_shape]
    taps = _taps(problem, picks)
    values, magnitudes, chosen = _reduced(problem, given.x[taps.places], taps)
    indices = _indices(problem, taps, chosen) if problem.indices else None
    return Part(tuple(np.ix_(*picks)), values, magnitudes, indices)


def _divisor(problem: Problem, taps: Taps, used: Array) -> Array:
    if problem.divisor:
        return np.full(used.shape[:-1], problem.divisor)
    counts = (taps.counted if problem.include_pad else taps.inside).sum(-1)
    # a NaN that is ignored is no value, whatever the rule for padding
    return np.asarray(counts - (taps.inside & ~used).sum(-1))


def _reduced(problem: Problem, x: Array, taps: Taps) -> tuple[Array, Array, Array]:
    """The pooled windows, the magnitudes that errors are counted in, and for max and min the taps that they chose."""
    x = x.astype(_wide(problem))
    used = taps.inside & ~np.isnan(x) if problem.nan == "ignore" else taps.inside
    none = np.zeros(0, np.int64)
    if problem.op in ("max", "min"):
        sign = 1 if problem.op == "max" else -1
        chosen = np.where(used, sign * x, -np.inf).argmax(-1)
        y = np.take_along_axis(x, chosen[..., None], -1)[..., 0]
        empty = ~used.any(-1)
        kind = numpy_dtype(problem.dtype)
        least = -sign * np.inf
        if kind.kind in "iu":
            least = np.iinfo(kind).min if sign > 0 else np.iinfo(kind).max
        y = np.where(empty, np.nan if problem.nan == "ignore" else least, y)
        return y, np.abs(y), np.where(empty, -1, chosen)
    if problem.op == "lp":
        # a third in float64 would be off in long double
        p = np.longdouble(problem.norm)
        sizes = np.where(used, np.abs(x), 0)
        y = sizes.max(-1) if math.isinf(p) else (sizes**p).sum(-1) ** (1 / p)
        return y, y, none
    total, magnitude = np.where(used, x, 0).sum(-1), np.where(used, np.abs(x), 0).sum(-1)
    if problem.op == "mean":
        total, magnitude = _divided(problem, total, magnitude, _divisor(problem, taps, used))
    if problem.nan == "ignore":
        total = np.where(used.any(-1), total, np.nan)
    return total, magnitude, none


def _divided(problem: Problem, total: Array, magnitude: Array, divisor: Array) -> tuple[Array, Array]:
    safe = np.where(divisor == 0, 1, divisor)
    y = np.where(divisor == 0, 0, total / safe)
    # integers are truncated toward zero
    return (np.trunc(y) if numpy_dtype(problem.dtype).kind in "iu" else y), magnitude / np.abs(safe)


def _indices(problem: Problem, taps: Taps, chosen: Array) -> Array:
    """The chosen taps as indices of the problem's kind."""
    if problem.indices == "tap":
        return np.where(chosen < 0, problem.tap_limit, chosen)
    axes: Ints = problem.axes if problem.indices == "plane" else tuple(range(len(problem.shape)))
    flat = np.zeros(chosen.shape, np.int64)
    for axis in axes:
        place = np.take_along_axis(taps.places[axis], np.maximum(chosen, 0)[..., None], -1)[..., 0]
        flat = flat * problem.shape[axis] + place
    return np.where(chosen < 0, -1, flat)


def _gradient(problem: Problem, given: Inputs) -> Part:
    """The gradient of a few whole planes: each window gives to the elements that it holds."""
    assert given.dy is not None
    windows = math.prod(problem.outputs) * problem.taps
    outer = len(problem.shape) - len(problem.axes)
    each = int(max(LIMIT // max(windows, 1), 1) ** (1 / outer)) if outer else 1
    picks = [np.arange(n) if axis in problem.axes else _spread(n, each) for axis, n in enumerate(problem.out_shape)]
    taps = _taps(problem, picks)
    dy = given.dy[np.ix_(*picks)].astype(_wide(problem))
    x = given.x[taps.places]
    shares = _shares(problem, x, taps, dy)
    shape = tuple(len(pick) if axis not in problem.axes else problem.shape[axis] for axis, pick in enumerate(picks))
    # places along the outer axes count what was picked
    order = [
        place if axis in problem.axes else np.searchsorted(picks[axis], place) for axis, place in enumerate(taps.places)
    ]
    where = np.broadcast_to(taps.inside, shares.shape)
    flat = np.ravel_multi_index(tuple(np.broadcast_to(o, shares.shape)[where] for o in order), shape)
    dx, magnitudes = np.zeros(math.prod(shape), shares.dtype), np.zeros(math.prod(shape), np.abs(shares[:0]).dtype)
    np.add.at(dx, flat, shares[where])
    np.add.at(magnitudes, flat, np.abs(shares[where]))
    index = np.ix_(*(np.arange(problem.shape[a]) if a in problem.axes else pick for a, pick in enumerate(picks)))
    return Part(tuple(index), dx.reshape(shape), magnitudes.reshape(shape), None)


def _shares(problem: Problem, x: Array, taps: Taps, dy: Array) -> Array:
    """What each window gives to each of its taps."""
    values, _, chosen = _reduced(problem, x, taps)
    if problem.op in ("max", "min"):
        return np.asarray((np.arange(problem.taps) == chosen[..., None]) * dy[..., None])
    wide = x.astype(_wide(problem))
    used = taps.inside & ~np.isnan(wide) if problem.nan == "ignore" else taps.inside
    if problem.op == "lp":
        p = np.longdouble(problem.norm)
        safe = np.where(values == 0, 1, values)[..., None]
        rate = np.sign(wide) * (np.abs(wide) / safe) ** (p - 1) * (values != 0)[..., None]
        return np.asarray(np.where(used, rate * dy[..., None], 0))
    if problem.op == "mean":
        dy, _ = _divided(problem, dy, np.abs(dy), _divisor(problem, taps, used))
    return np.asarray(np.where(used, dy[..., None], 0))
