"""Where things lie in the registry's table: the offsets that planning reads it by.

::

    forms       | own numbers of operations                    | entries                        | rows
    FORM each     (parameter, divisor) per operation and dtype   1 per ask: where its row is, or 0    ROW per variant

An entry is found by operation, element type, role, NaN rule, type of the indices and width of counts.
"""

from __future__ import annotations

from fastpool.kernels.registry import FORMS, ROLES, SIZES

OPS = ("max", "min", "mean", "sum", "lp", "l1", "l2")
"""Operations by number; those that are added come behind."""

DTYPES = tuple(SIZES)
PARTS = {"c64": "f32", "c128": "f64"}
"""Complex element types, which are handled as two of their parts each."""

INDEX_TYPES = ("i64", "u8", "u16", "u32", "u64")

# ---- record of a form ----
FAMILY = 0  # 0 rows, 1 lanes
KERNEL = 1
STRIDE = 2
ROLE_BITS = 3
MATCH = 4
FUSED = 5  # ALONG_ROWS or ACROSS_LANES
SLIDE = 6
STACKED = 7
FORM = 8

ALONG_ROWS, ACROSS_LANES, IN_STACKS = 1, 2, 4
"""Ways of explicit vectors."""

_DTYPES, _ROLES, _INDEX_TYPES = len(DTYPES), len(ROLES), len(INDEX_TYPES)

COUNT = len(FORMS) - 1
"""Forms that are kernels: all but the reference."""

OPERATIONS = COUNT * FORM
"""Where the numbers of operations begin; each has a parameter and a divisor for each element type."""

MOST = 64
"""Operations that there is room for."""

ENTRIES = OPERATIONS + MOST * _DTYPES * 2
ASKS = _DTYPES * _ROLES * 2 * _INDEX_TYPES * 2
"""Entries of an operation."""

ROWS = ENTRIES + MOST * ASKS

# ---- record of a variant ----
NUMBER = 0
SOURCE_BYTES = 1
OUTPUT_BYTES = 2
AUX_BYTES = 3
STATE_BYTES = 4
STATE2_BYTES = 5  # 0 for states of one component
COUNTED = 6
REPEATABLE = 7
INTEGERS = 8  # 1: sums are exact in any order
SOURCE_IS_STATE = 9  # 1: source elements are states as they are
READS_X = 10  # 1: the gradient of an element depends on the element
READS_STATE = 11  # 1: a gradient depends on the result, so that a weigh comes first
VECTOR = 12  # the ways in which there are kernels of explicit vectors, added up
KEYS = 13  # how far from here the row of the variant by integer keys is, or 0
ROW = 14


def entry(op: int, dtype: int, role: int, skip: int, index: int, wide: int) -> int:
    """Where the entry of an ask lies."""
    at = ((op * _DTYPES + dtype) * _ROLES + role) * 2 + skip
    return ENTRIES + (at * _INDEX_TYPES + index) * 2 + wide


def own_numbers(op: int, dtype: int) -> int:
    """Where the parameter of an operation for an element type lies, and behind it the divisor."""
    return OPERATIONS + (op * _DTYPES + dtype) * 2
