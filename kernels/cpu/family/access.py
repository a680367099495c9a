"""What programs share: the frame's functions for compiled code, and elements read and written as values."""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.memory import CODES, DECODE, ENCODE, SCALARS

for _function in (F.array_at, F.size, F.stride, F.lane_stride, F.offset, F.row_at):
    register_jitable(_function)

VALUES = {"f16": "f32", "bf16": "f32", "b1": "u8"}
"""Type of the values that are computed with, where it is not the elements' own."""


def codes(dtype: str) -> int:
    """The code of an element type, for ``pointer``."""
    return CODES[dtype]


def value_type(dtype: str):
    """The constructor of the values that elements of a type are computed as."""
    return SCALARS[VALUES.get(dtype, dtype)]


def reader(dtype: str):
    """From an element to its value."""
    return DECODE[dtype]


def writer(dtype: str):
    """From a value to an element; NaN becomes the canonical one."""
    return ENCODE[dtype]
