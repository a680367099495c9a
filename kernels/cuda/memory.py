"""Memory as GPU kernels see it: elements and vectors of them behind pointers, and how an element becomes a value.

Numba has its own half types, which call routines of a library: here float16 and bfloat16 travel as their 16 bits and
are converted by one instruction. Whatever is an instruction has a twin in plain Python, for the simulator.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from fastpool.kernels.cuda.package import SIMULATED

NAMES = {
    "b1": "uint8",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "f16": "uint16",
    "bf16": "uint16",
    "f32": "float32",
    "f64": "float64",
}
"""What each element type is in memory, by NumPy's names."""

SCALARS = {name: getattr(np, word) for name, word in NAMES.items()}
"""The constructor of a value of each type in memory."""

VECTOR_BYTES = 16
"""The most that one thread loads or stores at a time."""

_shared: Any = importlib.import_module(f"fastpool.kernels.cuda.{'simulated' if SIMULATED else 'shared_instructions'}")
_pairs: Any = importlib.import_module(f"fastpool.kernels.cuda.{'simulated' if SIMULATED else 'pair_instructions'}")
_twins: Any = importlib.import_module(f"fastpool.kernels.cuda.{'simulated' if SIMULATED else 'instructions'}")

ahead = _twins.ahead
as_bfloat16 = _twins.as_bfloat16
as_float16 = _twins.as_float16
corrected = _twins.corrected
behind = _twins.behind
divide = _twins.divide
doubtful = _twins.doubtful
exponential = _twins.exponential
from_bfloat16 = _twins.from_bfloat16
from_bits = _twins.from_bits
from_float16 = _twins.from_float16
largest = _twins.largest
load = _twins.load
load_or = _twins.load_or
load_row = _twins.load_row
logarithm = _twins.logarithm
multiply = _twins.multiply
pairwise = _pairs.pairwise
picked = _pairs.picked
product = _twins.product
scaled = _twins.scaled
shared_get = _shared.shared_get
shared_load = _shared.shared_load
shared_put = _shared.shared_put
store = _twins.store
vector_load = _twins.vector_load
vector_store = _twins.vector_store
words_load = _pairs.words_load
words_store = _pairs.words_store


def plain(v):
    return v


def encode_bool(v):
    # a gradient of True and True is True
    return np.uint8(v != 0)


_NAN32, _NAN64 = np.float32(math.nan), np.float64(math.nan)
_HALF_NAN, _BFLOAT_NAN = np.uint16(0x7E00), np.uint16(0x7FC0)


def encode_float32(v):
    w = np.float32(v)
    return w if w == w else _NAN32


def encode_float64(v):
    w = np.float64(v)
    return w if w == w else _NAN64


def encode_float16(v):
    w = np.float32(v)
    return as_float16(w) if w == w else _HALF_NAN


def encode_bfloat16(v):
    w = np.float32(v)
    return as_bfloat16(w) if w == w else _BFLOAT_NAN


def decode_float16(v):
    return from_float16(v)


def decode_bfloat16(v):
    return from_bfloat16(v)


DECODE = dict.fromkeys(NAMES, plain) | {"f16": decode_float16, "bf16": decode_bfloat16}
"""Element to value, by element type."""


def _narrowed(dtype):
    """A function that makes an element of integers that are as wide or wider."""
    element = SCALARS[dtype]

    def narrow(v):
        return element(v)

    return narrow


ENCODE = {dtype: _narrowed(dtype) for dtype in NAMES} | {
    "b1": encode_bool,
    "f16": encode_float16,
    "bf16": encode_bfloat16,
    "f32": encode_float32,
    "f64": encode_float64,
}
"""Value to element; every NaN becomes the one canonical quiet NaN."""
