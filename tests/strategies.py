"""What the kernel tests share: random geometry and data, arrays in any memory order, running one problem."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastpool import dispatch
from fastpool.memory import element_strides
from fastpool.problem import DTYPES, Problem

Array = np.ndarray

MEMORIES = ("contiguous", "strided", "negative", "read-only", "fortran")
"""How an array can lie in memory, see ``arrange``."""

LAYOUTS = ("first", "last", "permuted")
"""Where the pooled axes of an array with batch and channel axes are, see ``turn``."""

_DIGITS = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}
_SMALLEST = {"f16": -24, "bf16": -133, "f32": -149, "f64": -1074}


def storage(dtype: str) -> np.dtype:
    """The NumPy type that holds elements of this short name."""
    return np.dtype(np.uint16 if dtype == "bf16" else DTYPES[dtype])


def store(dtype: str, values: Any) -> Array:
    """Values in storage form; those for bfloat16 must be representable."""
    values = np.asarray(values)
    if dtype != "bf16":
        return values.astype(DTYPES[dtype])
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def value(dtype: str, stored: Array) -> Array:
    """Values of an array in storage form, bfloat16 as float32."""
    if dtype != "bf16":
        return stored
    return (stored.astype(np.uint32) << 16).view(np.float32)


def bits(array: Array) -> Array:
    """The bits of each element, so that NaNs can be compared, and zeros told apart by their sign."""
    return np.ascontiguousarray(array).view(f"u{min(array.itemsize, 8)}")


def same(found: Array, expected: Array, told: str = "") -> None:
    """Fails where integers differ. NumPy's assertion looks for NaN first: a fifth of the time of some tests."""
    if not np.array_equal(found, expected):
        np.testing.assert_array_equal(found, expected, told)


def ulp(dtype: str, size: Array) -> Array:
    """Distance from ``size`` to the next larger number of the type."""
    _, exponent = np.frexp(np.abs(size).astype(np.longdouble))
    smallest = _SMALLEST[dtype]
    return np.ldexp(np.longdouble(1), np.maximum(exponent - _DIGITS[dtype], smallest))


def whole_numbers(dtype: str, shape: Sequence[int], rng: np.random.Generator, unit: int = 1) -> Array:
    """Integer-valued data with ties: small multiples of ``unit`` for floats, the whole range for integers."""
    if dtype == "b1":
        return rng.random(shape) < 0.3
    if dtype[0] in "iu":
        info = np.iinfo(DTYPES[dtype])
        anything = rng.integers(info.min, info.max, shape, DTYPES[dtype], endpoint=True)
        extremes = rng.choice(np.array([info.min, info.max, 0, 1], DTYPES[dtype]), shape)
        return np.where(rng.random(shape) < 0.5, anything, extremes)
    return store(dtype, unit * rng.integers(-6, 7, shape))


def real_numbers(dtype: str, shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Random data with random signs and exponents; the whole range for integers."""
    if dtype == "b1" or dtype[0] in "iu":
        return whole_numbers(dtype, shape, rng)
    spread = 3 if dtype == "f16" else 12
    return store(dtype, np.ldexp(rng.normal(size=shape), rng.integers(-spread, spread + 1, shape)))


def salt(dtype: str, data: Array, rng: np.random.Generator, share: float, infinities: bool = True) -> Array:
    """The data with NaNs of any payload and sign, and infinities, at a share of the places."""
    if dtype == "b1" or dtype[0] in "iu":
        return data
    special = np.array([np.nan, np.inf, -np.inf] if infinities else [np.nan], np.float32)
    salted = np.where(rng.random(data.shape) < share, store(dtype, rng.choice(special, data.shape)), data)
    # other payloads, and the sign bit
    pattern = bits(salted)
    width = 8 * data.itemsize
    change = rng.integers(0, 4, data.shape).astype(pattern.dtype)
    change |= rng.integers(0, 2, data.shape).astype(pattern.dtype) << (width - 1)
    return (pattern ^ np.where(np.isnan(value(dtype, salted)), change, 0).astype(pattern.dtype)).view(data.dtype)


def _frame(shape: Sequence[int], memory: str) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    """(shape of the memory, the part of it that is the array)."""
    if memory == "strided":
        ends = {0, len(shape) - 1}
        sizes = tuple(2 * n + 1 if axis in ends else n + 2 for axis, n in enumerate(shape))
        return sizes, tuple(slice(1, 2 * n + 1, 2) if a in ends else slice(1, n + 1) for a, n in enumerate(shape))
    step = -1 if memory == "negative" else 1
    return tuple(shape), (slice(None, None, step),) * len(shape)


def arrange(array: Array, memory: str) -> Array:
    """The same array in other memory. What is read-only lies in pages that the process cannot write."""
    if memory == "read-only" and array.size:
        with tempfile.TemporaryFile() as file:
            file.write(array.tobytes())
            file.flush()
            pages = mmap.mmap(file.fileno(), array.nbytes, access=mmap.ACCESS_READ)
        return np.frombuffer(pages, array.dtype).reshape(array.shape)
    result = Blank(array.shape, array.dtype, memory).array
    result[...] = array
    return result


class Blank:
    """An array to be written, in the middle of memory that must stay as it is."""

    def __init__(self, shape: Sequence[int], dtype: np.dtype, memory: str = "contiguous") -> None:
        sizes, part = _frame(shape, memory)
        order = "F" if memory == "fortran" else "C"
        self.base = np.empty(sizes, dtype, order)
        self.base.view(np.uint8).fill(77) if self.base.size and order == "C" else self.base.fill(1)
        self.array = self.base[part]
        if self.array.size < self.base.size:
            self.around = np.ones(sizes, np.bool_)
            self.around[part] = False
            self.before = self.base[self.around]

    def check(self) -> None:
        """Only the array was written."""
        if self.array.size < self.base.size:
            same(bits(self.base[self.around]), bits(self.before))


@dataclass(frozen=True)
class Result:
    """What came of a problem, and the names of the kernels that ran."""

    problem: Problem
    kernels: tuple[str, ...]
    array: Array
    indices: Array | None = None


def pool(problem: Problem, x: Array, memory: str = "contiguous") -> Result:
    """Runs a forward problem on ``x`` as it lies in memory, into arrays of the given memory."""
    y = Blank(problem.out_shape, storage(problem.out_dtype), memory)
    found = Blank(problem.out_shape, storage(problem.index_dtype), memory) if problem.indices else None
    problem = problem._replace(
        x_strides=element_strides(x),
        y_strides=element_strides(y.array),
        index_strides=element_strides(found.array) if found is not None else (),
    )
    before = x.copy()
    dispatch.forward(problem, x, y.array, None if found is None else found.array)
    same(bits(x), bits(before))
    y.check()
    if found is not None:
        found.check()
    kernels = dispatch.explain(problem).kernels
    return Result(problem, kernels, y.array, None if found is None else found.array)


def pull_back(
    problem: Problem,
    dy: Array,
    x: Array | None = None,
    indices: Array | None = None,
    memory: str = "contiguous",
) -> Result:
    """Runs a backward problem; ``x`` and ``indices`` are those that the gradient reads."""
    dx = Blank(problem.shape, storage(problem.dtype), memory)
    problem = problem._replace(
        x_strides=element_strides(dx.array),
        y_strides=element_strides(dy),
        index_strides=() if indices is None else element_strides(indices),
        aux_strides=() if x is None else element_strides(x),
    )
    dispatch.backward(problem, dy, dx.array, x, indices)
    dx.check()
    return Result(problem, dispatch.explain(problem).kernels, dx.array)


def turn(layout: str, rank: int) -> tuple[int, ...]:
    """The order of the axes batch, channel, spatial... in a layout, to transpose with."""
    spatial = tuple(range(2, rank))
    if layout == "first":
        return (0, 1, *spatial)
    if layout == "last":
        return (0, *spatial, 1)
    return (spatial[-1], 1, 0, *spatial[:-1])


def turned(problem: Problem, layout: str) -> Problem:
    """The same problem, given for batch, channel, spatial..., on an array of that layout."""
    order = turn(layout, len(problem.shape))
    shape = tuple(problem.shape[axis] for axis in order)
    return problem._replace(shape=shape, axes=tuple(order.index(axis) for axis in problem.axes))


def turn_back(array: Array, layout: str) -> Array:
    """An array of a layout as batch, channel, spatial..."""
    return array.transpose(np.argsort(turn(layout, array.ndim)))


def random_geometry(rng: np.random.Generator, rank: int, dilated: bool = True) -> dict[str, Any]:
    """Sizes of one random window per pooled axis, with at least one output; fields of a Problem."""
    kernel = [int(k) for k in rng.integers(1, (12, 6, 4)[rank - 1], rank)]
    stride = [int(s) for s in rng.integers(1, 5, rank)]
    dilation = [int(d) if dilated else 1 for d in rng.choice([1, 1, 2, 3], rank)]
    pads = [(int(lo), int(hi)) for lo, hi in rng.integers(0, 4, (rank, 2))]
    sizes = []
    for k, d, (lo, hi) in zip(kernel, dilation, pads, strict=True):
        extent = (k - 1) * d + 1
        sizes.append(max(1, extent - lo - hi + int(rng.integers(0, (30, 12, 6)[rank - 1]))))
    return {
        "sizes": tuple(sizes),
        "kernel": tuple(kernel),
        "stride": tuple(stride),
        "pad_begin": tuple(lo for lo, _ in pads),
        "pad_end": tuple(hi for _, hi in pads),
        "dilation": tuple(dilation),
        "ceil": bool(rng.integers(2)),
    }


def random_problem(rng: np.random.Generator, op: str, rank: int, **options: Any) -> Problem:
    """A forward problem on an array (batch, channel, spatial...) with a random window."""
    geometry = random_geometry(rng, rank)
    shape = (*map(int, rng.integers(1, 4, 2)), *geometry.pop("sizes"))
    axes = tuple(range(2, 2 + rank))
    return Problem(op, "fwd", shape=shape, axes=axes, **geometry, **options)
