"""Where things lie in a ``fastpool_spec``, as a block of int64: what compiled code fills in before it calls.

::

    0 .. 5    twelve int32: WORDS          8 .. 183   ARRAYS, MAX_RANK int64 each
    6, 7      the divisor; the norm

The layout is a part of the binary interface: it is compiled into the user's cached code, which calls symbols with the
number of that interface in their names. ``tests/test_njit.py`` compares it with the header.
"""

from __future__ import annotations

ABI = 1
"""The binary interface whose layout this is."""

MAX_RANK = 16

WORDS = (
    "struct_size",
    "operation",
    "direction",
    "dtype",
    "indices",
    "skip_nan",
    "include_pad",
    "ceil_mode",
    "strided",
    "rank",
    "pooled",
    "form",
)
"""Positions in the block as int32."""

DIVISOR = 6
NORM = 7

_FIRST = 8
ARRAYS = (
    "shape",
    "x_strides",
    "y_strides",
    "index_strides",
    "input_strides",
    "axes",
    "kernel",
    "stride",
    "dilation",
    "pad_begin",
    "pad_end",
)
STRIDES = ARRAYS[1:5]
"""Those which bits of the word ``strided`` say to be given, from the lowest."""

SIZE = _FIRST + len(ARRAYS) * MAX_RANK


def word(name: str) -> int:
    """Position of a word, counted in int32."""
    return WORDS.index(name)


def entry(name: str, at: int = 0) -> int:
    """Position of an array's entry, counted in int64."""
    return _FIRST + ARRAYS.index(name) * MAX_RANK + at
