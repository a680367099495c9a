"""A problem as a flat block of integers: what planning starts from, in Python and in the C library.

::

    request    header | one record per array axis | one record per pooled axis, in the order in which taps are numbered
               REQUEST  AXIS_SIZE                   WINDOW_SIZE

Strides are in elements, always given. In backward, x and y stand for their gradients, and AUX_STEP is the stride of
the forward's x where the gradient reads it.
"""

from __future__ import annotations

import struct

from fastpool.kernels.rows import DTYPES, PARTS
from fastpool.kernels.table import Table
from fastpool.layout import AXIS as AXIS
from fastpool.layout import DILATION as DILATION
from fastpool.layout import KERNEL as KERNEL
from fastpool.layout import PAD_BEGIN as PAD_BEGIN
from fastpool.layout import PAD_END as PAD_END
from fastpool.layout import STRIDE as STRIDE
from fastpool.layout import TAP_UNIT
from fastpool.problem import INDEX_KINDS, Ints, Problem

# ---- header ----
OP = 0  # as in kernels.rows, or -1: none of its operations
DTYPE = 1  # element type of x, as in kernels.table; of the parts of complex elements; or -1: none of them
COMPLEX = 2
BACKWARD = 3
INDEX_KIND = 4  # NO_INDICES, or 0 plane, 1 tensor, 2 tap: returned in forward, given in backward
SKIP_NAN = 5
INCLUDE_PAD = 6
DIVISOR = 7
NORM = 8  # a float64 by its bits
CEIL = 9
FORCED = 10  # a form that is tried before all others, by its number, or -1
RANK = 11
POOLED = 12
REQUEST = 13

# ---- record of an array axis ----
X_SIZE = 0
Y_SIZE = 1
X_STEP = 2
Y_STEP = 3
INDEX_STEP = 4
AUX_STEP = 5
AXIS_SIZE = 6

# ---- record of a pooled axis: as in a spec, without the last field ----
WINDOW_SIZE = TAP_UNIT

NO_INDICES = -1


def c_order(shape: Ints) -> Ints:
    """Strides of an array in C order."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def request_of(problem: Problem, table: Table, forced: int = -1) -> list[int]:
    """The request block of a problem."""
    dtype = PARTS.get(problem.dtype, problem.dtype)
    request = [
        table.op(problem.op, problem.norm),
        DTYPES.index(dtype) if dtype in DTYPES else -1,
        int(problem.dtype in PARTS),
        int(problem.direction == "bwd"),
        INDEX_KINDS.index(problem.indices) if problem.indices else NO_INDICES,
        int(problem.nan == "ignore"),
        int(problem.include_pad),
        problem.divisor,
        struct.unpack("<q", struct.pack("<d", problem.norm))[0],
        int(problem.ceil),
        forced,
        len(problem.shape),
        len(problem.axes),
    ]
    x_order, y_order = c_order(problem.shape), c_order(problem.out_shape)
    records = (
        problem.shape,
        problem.out_shape,
        problem.x_strides or x_order,
        problem.y_strides or y_order,
        problem.index_strides or y_order,
        problem.aux_strides or x_order,
    )
    for record in zip(*records, strict=True):
        request += record
    windows = (problem.axes, problem.kernel, problem.stride, problem.dilation, problem.pad_begin, problem.pad_end)
    for record in zip(*windows, strict=True):
        request += record
    return request
