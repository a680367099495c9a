"""Whether a request makes sense, and the sizes of its result: what callers without Python are checked by.

Integer arithmetic in the subset that Numba compiles. Python's callers are checked by ``arguments``, which can say more.
"""

from __future__ import annotations

from fastpool import request as Q
from fastpool.kernels import rows as T
from fastpool.layout import Block, Numbers
from fastpool.window import LIMIT, OVERFLOW, add_sizes, extent, multiply_sizes, output_size

STATUS = (
    ("OK", "success"),
    ("INVALID_ARGUMENT", "a pointer is null that must not be"),
    ("INVALID_SPEC", "the spec is not one: its struct_size is none that this version knows; use fastpool_spec_init"),
    ("INVALID_OPERATION", "the operation, direction, element type, kind of indices, or an option is none of the known"),
    (
        "INVALID_RANK",
        "the number of axes is not one of 1 to FASTPOOL_MAX_RANK, or that of pooled axes not one of those",
    ),
    ("INVALID_AXIS", "a pooled axis does not exist, or is named twice"),
    ("INVALID_SIZE", "a size is negative, or that of a pooled axis is 0"),
    ("INVALID_WINDOW", "a kernel size, stride or dilation is below 1, or a padding is negative"),
    ("WINDOW_TOO_LARGE", "a window does not fit into the padded input"),
    ("OVERFLOW", "a size, or the reach of the strides, passes 2**63 - 1 bytes"),
    ("UNSUPPORTED", "no kernel of the library does this; the Python package may"),
    ("INVALID_INDICES", "an index names no tap of its own window that lies on the input"),
    ("WORKSPACE_TOO_SMALL", "the workspace has fewer bytes than fastpool_workspace_size says"),
    ("INVALID_RANGE", "the stage or the range of tiles is not one of the plan's"),
    ("OUT_OF_MEMORY", "memory for a plan or a workspace could not be allocated"),
)
"""The statuses of the C library by number, and what they mean."""

(
    OK,
    INVALID_ARGUMENT,
    INVALID_SPEC,
    INVALID_OPERATION,
    INVALID_RANK,
    INVALID_AXIS,
    INVALID_SIZE,
    INVALID_WINDOW,
    WINDOW_TOO_LARGE,
    TOO_LARGE,
    UNSUPPORTED,
    INVALID_INDICES,
    WORKSPACE_TOO_SMALL,
    INVALID_RANGE,
    OUT_OF_MEMORY,
) = range(len(STATUS))

ELEMENT = 16
"""Bytes of the largest element: sizes are checked as if all were so large."""

INFINITY = 0x7FF0000000000000
"""Bits of a float64 from which on it is no number."""

U8 = T.DTYPES.index("u8")
U64 = T.DTYPES.index("u64")
BOOL = T.DTYPES.index("b1")
HALF = T.DTYPES.index("f16")
F32 = T.DTYPES.index("f32")
MEAN, LP = T.OPS.index("mean"), T.OPS.index("lp")


def measure(request: Block) -> int:
    """Checks a request, and fills in the sizes of y; returns a status."""
    status = _check_words(request)
    if status != OK:
        return status
    status = _measure_windows(request)
    if status != OK:
        return status
    return _check_reach(request)


def _check_words(request: Numbers) -> int:
    op, dtype, kind = request[Q.OP], request[Q.DTYPE], request[Q.INDEX_KIND]
    if op < 0 or op >= len(T.OPS) or dtype < 0 or dtype >= len(T.DTYPES) or kind < Q.NO_INDICES or kind > 2:
        return INVALID_OPERATION
    selects = op < MEAN
    floats = dtype >= HALF
    if (kind != Q.NO_INDICES and not selects) or (request[Q.COMPLEX] != 0 and (dtype < F32 or selects or op >= LP)):
        return INVALID_OPERATION
    if (op >= LP and not floats) or (dtype == BOOL and (not selects or request[Q.BACKWARD] != 0)):
        return INVALID_OPERATION
    if request[Q.DIVISOR] != 0 and (op != MEAN or (request[Q.DIVISOR] < 0 and U8 <= dtype <= U64)):
        return INVALID_OPERATION
    if op == LP and not 0 < request[Q.NORM] < INFINITY:
        return INVALID_OPERATION
    return OK


def _measure_windows(request: Block) -> int:
    for p in range(request[Q.POOLED]):
        at = Q.REQUEST + request[Q.RANK] * Q.AXIS_SIZE + p * Q.WINDOW_SIZE
        if request[at + Q.AXIS] < 0 or request[at + Q.AXIS] >= request[Q.RANK]:
            return INVALID_AXIS
        for other in range(p):
            if request[at + Q.AXIS] == request[at + (other - p) * Q.WINDOW_SIZE + Q.AXIS]:
                return INVALID_AXIS
        if request[at + Q.KERNEL] < 1 or request[at + Q.STRIDE] < 1 or request[at + Q.DILATION] < 1:
            return INVALID_WINDOW
        if request[at + Q.PAD_BEGIN] < 0 or request[at + Q.PAD_END] < 0:
            return INVALID_WINDOW
    for axis in range(request[Q.RANK]):
        at = Q.REQUEST + axis * Q.AXIS_SIZE
        if request[at + Q.X_SIZE] < 0:
            return INVALID_SIZE
        request[at + Q.Y_SIZE] = request[at + Q.X_SIZE]
    taps = 1
    for p in range(request[Q.POOLED]):
        at = Q.REQUEST + request[Q.RANK] * Q.AXIS_SIZE + p * Q.WINDOW_SIZE
        record = Q.REQUEST + request[at + Q.AXIS] * Q.AXIS_SIZE
        size, kernel, dilation = request[record + Q.X_SIZE], request[at + Q.KERNEL], request[at + Q.DILATION]
        if size == 0:
            return INVALID_SIZE
        outputs = output_size(
            size,
            kernel,
            request[at + Q.STRIDE],
            dilation,
            request[at + Q.PAD_BEGIN],
            request[at + Q.PAD_END],
            request[Q.CEIL],
        )
        taps = multiply_sizes(taps, kernel)
        if outputs == OVERFLOW or taps == OVERFLOW or extent(kernel, dilation) == OVERFLOW:
            return TOO_LARGE
        if outputs == 0:
            return WINDOW_TOO_LARGE
        request[record + Q.Y_SIZE] = outputs
    return OK


def _check_reach(request: Numbers) -> int:
    """Bytes of x, of x with its padding, and of y; and how far the strides of each array reach."""
    x, y, padded = ELEMENT, ELEMENT, ELEMENT
    for axis in range(request[Q.RANK]):
        at = Q.REQUEST + axis * Q.AXIS_SIZE
        size = request[at + Q.X_SIZE]
        if size == 0:
            # nothing is read or written
            return OK
        x, y = multiply_sizes(x, size), multiply_sizes(y, request[at + Q.Y_SIZE])
        for p in range(request[Q.POOLED]):
            window = Q.REQUEST + request[Q.RANK] * Q.AXIS_SIZE + p * Q.WINDOW_SIZE
            if request[window + Q.AXIS] == axis:
                size = add_sizes(add_sizes(size, request[window + Q.PAD_BEGIN]), request[window + Q.PAD_END])
        padded = multiply_sizes(padded, size)
    if x == OVERFLOW or y == OVERFLOW or padded == OVERFLOW:
        return TOO_LARGE
    for field in range(Q.X_STEP, Q.AXIS_SIZE):
        reach = ELEMENT
        for axis in range(request[Q.RANK]):
            at = Q.REQUEST + axis * Q.AXIS_SIZE
            of_x = field in (Q.X_STEP, Q.AUX_STEP)
            size = request[at + Q.X_SIZE] if of_x else request[at + Q.Y_SIZE]
            step = request[at + field]
            if step < -LIMIT:
                return TOO_LARGE
            reach = add_sizes(reach, multiply_sizes(ELEMENT * (size - 1), abs(step)))
        if reach == OVERFLOW:
            return TOO_LARGE
    return OK
