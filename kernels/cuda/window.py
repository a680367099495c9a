r"""One window of an array, for kernels that others write: what ``fastpool.cuda.window_max`` and its kin run.

A thread visits the taps with the first axis fastest and combines blocks of 1, 2, 4, ... taps as they are completed,
which is the order of summation. Blocks of up to four taps are kept in registers, larger ones on a stack that a window
of fewer than eight taps along an axis never touches.

An array has three axes here; those that it lacks have one element.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels import registry
from fastpool.kernels.cuda.memory import SCALARS
from fastpool.kernels.cuda.package import NAME, SIMULATED, builtin, device
from fastpool.kernels.cuda.parts import Parts, make_parts, parameter
from fastpool.kernels.cuda.thread import make_states
from fastpool.kernels.elements import HALVES
from fastpool.kernels.registry import Variant

LEVELS = 29
"""Blocks on the stack of one axis at most, whose window has fewer than 2**32 taps."""


class Window(NamedTuple):
    """One operation on arrays of one type.

    ``run(x, origin, kernel, dilation, divisor, include_pad, p, values, counts)`` is (result, flat index or -1):
    ``origin``, ``kernel`` and ``dilation`` have three numbers, ``values`` and ``counts`` are the stack's arrays, of
    ``stack`` elements of ``types``. ``fixed`` is the divisor of a sum, or 0.
    """

    run: Any
    parameter: Any
    types: tuple[Any, Any]
    stack: int
    fixed: int


def make_carried(variant: Variant, parts: Parts) -> tuple[Any, Any]:
    """(carried, folded): a block more, and all of them when the last one is there.

    carried(j, s, ones, twos, fours, values, counts, base)   the blocks (ones, twos, fours) with tap ``j``, which is s
    folded(k, ones, twos, fours, values, counts, base)       the state of ``k`` taps
    """
    nothing, combine = parts.nothing, parts.combine
    get, put = make_states(variant)

    def carried(j, s, ones, twos, fours, values, counts, base):
        if j & 1 == 0:
            return s, twos, fours
        s = combine(ones, s)
        if j & 2 == 0:
            return ones, s, fours
        s = combine(twos, s)
        if j & 4 == 0:
            return ones, twos, s
        s = combine(fours, s)
        level, ends = base, j >> 3
        while ends & 1 != 0:
            s = combine(get(values, counts, level), s)
            level += 1
            ends >>= 1
        put(values, counts, level, s)
        return ones, twos, fours

    def folded(k, ones, twos, fours, values, counts, base):
        s, begun = nothing(), False
        if k >= 8:
            for back in range(LEVELS):
                level = LEVELS - 1 - back
                if (k >> 3) >> level & 1 != 0:
                    block = get(values, counts, base + level)
                    s = combine(s, block) if begun else block
                    begun = True
        if k & 4 != 0:
            s = combine(s, fours) if begun else fours
            begun = True
        if k & 2 != 0:
            s = combine(s, twos) if begun else twos
            begun = True
        if k & 1 != 0:
            s = combine(s, ones) if begun else ones
        return s

    return device(carried), device(folded)


def make_walk(variant: Variant, parts: Parts, rank: int, element: Any) -> Any:
    """``walk(x, origin, kernel, dilation, p, values, counts)``: (state, taps on the array).

    ``element(x, i, j, k)`` is an element as it lies in the memory of kernels.
    """
    nothing, leaf, combine, moved = parts.nothing, parts.leaf, parts.combine, parts.moved
    sizes = device(SIZES[rank])
    numbered = variant.role == "index"

    def repeatable(x, origin, kernel, dilation, p, values, counts):
        n0, n1, n2 = sizes(x)
        state, inside = nothing(), 0
        for c in range(kernel[2]):
            k = origin[2] + c * dilation[2]
            if (k >= 0) & (k < n2):
                for b in range(kernel[1]):
                    j = origin[1] + b * dilation[1]
                    if (j >= 0) & (j < n1):
                        for a in range(kernel[0]):
                            i = origin[0] + a * dilation[0]
                            if (i >= 0) & (i < n0):
                                s = leaf(element(x, i, j, k), 1, p)
                                if numbered:
                                    s = moved(s, (i * n1 + j) * n2 + k)
                                state = combine(state, s)
                                inside += 1
        return state, inside

    if variant.reduction.repeatable:
        return device(repeatable)
    carried, folded = make_carried(variant, parts)

    def walk(x, origin, kernel, dilation, p, values, counts):
        n0, n1, n2 = sizes(x)
        inside = 0
        none = nothing()
        ones2, twos2, fours2 = none, none, none
        for c in range(kernel[2]):
            k = origin[2] + c * dilation[2]
            ones1, twos1, fours1 = none, none, none
            for b in range(kernel[1]):
                j = origin[1] + b * dilation[1]
                on = (k >= 0) & (k < n2) & (j >= 0) & (j < n1)
                ones0, twos0, fours0 = none, none, none
                for a in range(kernel[0]):
                    i = origin[0] + a * dilation[0]
                    s = none
                    if on & (i >= 0) & (i < n0):
                        s = leaf(element(x, i, j, k), 1, p)
                        inside += 1
                    ones0, twos0, fours0 = carried(a, s, ones0, twos0, fours0, values, counts, 0)
                s = folded(kernel[0], ones0, twos0, fours0, values, counts, 0)
                ones1, twos1, fours1 = carried(b, s, ones1, twos1, fours1, values, counts, LEVELS)
            s = folded(kernel[1], ones1, twos1, fours1, values, counts, LEVELS)
            ones2, twos2, fours2 = carried(c, s, ones2, twos2, fours2, values, counts, 2 * LEVELS)
        return folded(kernel[2], ones2, twos2, fours2, values, counts, 2 * LEVELS), inside

    return device(walk)


def sizes1(x):
    return x.shape[0], 1, 1


def sizes2(x):
    return x.shape[0], x.shape[1], 1


def sizes3(x):
    return x.shape[0], x.shape[1], x.shape[2]


SIZES = {1: sizes1, 2: sizes2, 3: sizes3}


# numbers without a sign: Numba would look for negative ones, which count from the end
def at1(x, i, j, k):
    return x[np.uint64(i)]


def at2(x, i, j, k):
    return x[np.uint64(i), np.uint64(j)]


def at3(x, i, j, k):
    return x[np.uint64(i), np.uint64(j), np.uint64(k)]


AT = {1: at1, 2: at2, 3: at3}


def real_part(v):
    return v.real


def imaginary_part(v):
    return v.imag


def same(v):
    return v


PARTS = {"": same, "real": real_part, "imag": imaginary_part}


def is_set(v):
    return v != 0


def make_element(variant: Variant, rank: int, dtype: str, part: str) -> Any:
    """``element(x, i, j, k)``: an element of the caller's array, or a part of it, as it lies in memory."""
    at, taken = device(AT[rank]), device(PARTS[part])
    memory = SCALARS[variant.source]
    if dtype in HALVES:
        bits = _twins.bits_of_half

        def of_half(x, i, j, k):
            return memory(bits(at(x, i, j, k)))

        return device(of_half)

    def element(x, i, j, k):
        return memory(taken(at(x, i, j, k)))

    return device(element)


def make_result(variant: Variant, dtype: str) -> Any:
    """``result(v)``: what lies in memory as a value of the caller's type."""
    if dtype in HALVES:
        half = _twins.half_of_bits(dtype)

        def as_half(v):
            return half(np.uint16(v))

        return device(as_half)
    if dtype == "b1":
        return device(is_set)
    scalar = SCALARS[registry.result_dtype(variant.reduction, dtype)]

    def result(v):
        return scalar(v)

    return device(result)


@functools.cache
def window(
    what: str, op: str, index: bool, norm: float, dtype: str, rank: int, skip_nan: bool, part: str = ""
) -> Window:
    """An operation on arrays of that rank and type; ``what`` is how the caller calls it.

    Raises
    ------
    TypeError
        If there is none.
    """
    if rank not in SIZES:
        raise TypeError(f"{what}: x has {rank} axes: windows have 1, 2 or 3; pass x[n, c] where x has more")
    given = registry.variant(op, norm, COMPLEX.get(dtype, dtype), "index" if index else "forward", skip_nan, long=True)
    if given is None or (dtype in COMPLEX and op not in ("sum", "mean")):
        raise TypeError(f"{what}: x has elements of type {dtype}, of which there is no {op}; convert them first")
    dtype = COMPLEX.get(dtype, dtype)
    variant: Variant = given
    parts = make_parts(variant)
    walk = make_walk(variant, parts, rank, make_element(variant, rank, dtype, part))
    result = make_result(variant, dtype)
    finish, place = parts.finish, parts.place
    numbered = variant.role == "index"

    def run(x, origin, kernel, dilation, divisor, include_pad, p, values, counts):
        state, inside = walk(x, origin, kernel, dilation, p, values, counts)
        taps, on_input = inside, inside
        if divisor != 0:
            taps, on_input = divisor, -1
        elif include_pad:
            taps = kernel[0] * kernel[1] * kernel[2]
        where = np.int64(-1)
        if numbered:
            where = place(state, np.int64(0))
        return result(finish(state, taps, on_input, 0, p)), where

    value = parameter(variant, registry.parameter(op, dtype, norm))
    types = (SCALARS[variant.state[0]], SCALARS[variant.state[-1]])
    stack = 1 if variant.reduction.repeatable else 3 * LEVELS
    return Window(device(run), value, types, stack, registry.fixed_divisor(op, dtype))


COMPLEX = {"c64": "f32", "c128": "f64"}
"""Types of the parts of complex numbers."""

_twins: Any = importlib.import_module(f"fastpool.kernels.cuda.{'untyped' if SIMULATED or builtin() else 'typed'}")


def connect(op: str, index: bool, public: Any) -> None:
    """Makes a public function one that kernels can call."""
    _twins.connect(window, op, index, public)


def call(op: str, index: bool, *arguments: Any, **options: Any) -> Any:
    """(result, flat index or -1) in the simulator.

    Raises
    ------
    TypeError
        Outside of kernels, if there is no simulator; or if an argument is not what it must be.
    """
    if not SIMULATED:
        name = f"window_{'arg' if index else ''}{op}"
        raise TypeError(
            f"fastpool.cuda.{name}: called on the host: it is a function of the device; call it in a kernel that "
            f"{NAME} compiles, or fastpool.pool for a whole array"
        )
    return _twins.call(window, op, index, *arguments, **options)
