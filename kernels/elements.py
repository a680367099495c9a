"""Element types as numbers: the integers behind floats, and the constructors of values."""

from __future__ import annotations

from typing import Any

import numpy as np

HALVES = ("f16", "bf16")
"""Types of 16-bit floats."""

BITS = {
    "f16": ("i16", 16, 0x7C00, 0x7E00),
    "bf16": ("i16", 16, 0x7F80, 0x7FC0),
    "f32": ("i32", 32, 0x7F800000, 0x7FC00000),
    "f64": ("i64", 64, 0x7FF0000000000000, 0x7FF8000000000000),
}
"""For each type of floats the integers of their size, how many bits that is, and those of infinity and NaN."""

SCALARS: dict[str, Any] = {
    "u8": np.uint8,
    "u16": np.uint16,
    "u32": np.uint32,
    "u64": np.uint64,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "f32": np.float32,
    "f64": np.float64,
}
"""The constructor of a value of each type that a state may have."""
