"""How an array's axes lie in memory: strides in elements, the order of the axes, new arrays, overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.problem import DTYPES, Ints

Array = np.ndarray[Any, np.dtype[Any]]

OVERLAP_WORK = 10_000
"""Steps spent on whether two arrays share an element, before they count as sharing one."""


def element_strides(data: Array) -> Ints:
    """Strides in elements, in the normal form of a Problem."""
    if data.flags.c_contiguous:
        return ()
    return normal_strides(data.shape, tuple([stride // data.itemsize for stride in data.strides]))


def normal_strides(shape: Ints, strides: Ints) -> Ints:
    """Strides in elements, () for C order. Those of axes with one element are made regular."""
    normal = list(strides)
    dense = step = 1
    contiguous = True
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            normal[axis] = step
        elif normal[axis] != dense:
            contiguous = False
        dense *= shape[axis]
        step = normal[axis] * shape[axis]
    return () if contiguous or 0 in shape else tuple(normal)


def memory_order(data: Array) -> Ints:
    """The axes of a dense array from the outermost to the innermost in memory.

    () stands for C order, and also for arrays that are not dense in any order of their axes.
    """
    if data.flags.c_contiguous:
        return ()
    order = sorted(range(data.ndim), key=lambda axis: -data.strides[axis])
    step = data.itemsize
    for axis in reversed(order):
        if data.shape[axis] != 1:
            if data.strides[axis] != step:
                return ()
            step *= data.shape[axis]
    return tuple(order)


def strides_in_order(shape: Ints, order: Ints) -> Ints:
    """Strides of a dense array with its axes in the given order, in the normal form of a Problem."""
    if not order:
        return ()
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return normal_strides(shape, tuple(strides))


def empty_in_order(shape: Ints, dtype: str, order: Ints) -> Array:
    """A new array, in storage form, dense with its axes in the given order."""
    element = np.dtype(np.uint16 if dtype == "bf16" else DTYPES[dtype])
    if not order:
        return np.empty(shape, element)
    return np.empty([shape[axis] for axis in order], element).transpose(np.argsort(order))


def overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share an element, or might."""
    try:
        return np.shares_memory(a, b, max_work=OVERLAP_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def overlaps_itself(data: Array) -> bool:
    """Whether two elements share memory, or might: every axis must step over all that smaller steps reach."""
    if data.flags.c_contiguous or data.size == 0:
        return False
    reach = data.itemsize
    for step, size in sorted((abs(step), size) for step, size in zip(data.strides, data.shape, strict=True)):
        if size > 1:
            if step < reach:
                return True
            reach += step * (size - 1)
    return False
