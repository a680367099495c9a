"""Any axes and strides become three groups: outer axes, spatial axes, and one inner axis (the lanes).

The functions write the axis records of a plan block from a *spec*, a flat block of integers that says what is asked.
They are integer arithmetic in the subset that Numba compiles, so that callers without Python plan with the same code.

::

    spec    header | one record per array axis | one record per pooled axis
            SPEC     ARRAY_AXIS                  POOLED_AXIS
"""

from __future__ import annotations

from typing import Protocol

from fastpool.kernels import plan as P
from fastpool.kernels.taps import gcd


class Numbers(Protocol):
    """A flat block of int64 that is read: a list in Python, an array or a pointer where the code is compiled."""

    def __getitem__(self, i: int, /) -> int: ...


class Block(Numbers, Protocol):
    """One that is also written."""

    def __setitem__(self, i: int, value: int, /) -> None: ...


# ---- spec header ----
ROLE = 0
FAMILY = 1  # 0 rows, 1 lanes
RANK = 2
POOLED = 3
INCLUDE_PAD = 4
DIVISOR = 5
INDEX_KIND = 6  # 0 plane, 1 tensor, 2 tap
PARAM = 7
SOURCE_BYTES = 8
OUTPUT_BYTES = 9
AUX_BYTES = 10  # 0 where there is no third buffer
STATE_BYTES = 11
STATE2_BYTES = 12  # 0 for states of one component
ORDER_FREE = 13  # 1: the axes may be reduced in any order
FORM_KERNEL = 14
FORM_STRIDE = 15
COUNTED = 16
FORCED = 17  # 1: a form is refused only if it cannot do the task
REPEATABLE = 18
SOURCE_IS_STATE = 19  # 1: source elements are states as they are
MATCH = 20  # 1: the index of each window is compared with each of its taps
FUSED = 21  # explicit vectors, without scratch: 1 along rows, 2 across lanes
SLIDE = 22  # 1: rows of blocks of taps are kept from one row of outputs to the next
STACKED = 23  # 1: planes are stacked in scratch
SPEC = 24

# ---- record of an array axis ----
X_SIZE = 0
Y_SIZE = 1
SOURCE_STEP = 2
OUTPUT_STEP = 3
AUX_STEP = 4
UNIT = 5
ARRAY_AXIS = 6

# ---- record of a pooled axis, in the caller's order ----
AXIS = 0
KERNEL = 1
STRIDE = 2
DILATION = 3
PAD_BEGIN = 4
PAD_END = 5
TAP_UNIT = 6
POOLED_AXIS = 7

FORWARD, INDEX, WEIGH, GATHER, SCATTER, CHECK = range(6)
"""Roles by number, in the order of ``registry.ROLES``."""

LOWEST = -(2**63)
"""The sign bit of a float64, as the int64 that adds it."""

_MERGED = (P.SOURCE_STRIDE, P.OUTPUT_STRIDE, P.AUX_STRIDE, P.INDEX_UNIT)


def inverse(a: int, modulus: int) -> int:
    """The inverse of ``a`` modulo ``modulus``, which has no common factor with it; 0 for modulus 1."""
    if modulus == 1:
        return 0
    r0, r1 = modulus, a % modulus
    t0, t1 = 0, 1
    while r1 != 0:
        q = r0 // r1
        r0, r1 = r1, r0 - q * r1
        t0, t1 = t1, t0 - q * t1
    return t0 % modulus


def float_bits(n: int) -> int:
    """The bits of the float64 nearest to an integer below 2**63 in size, ties to even."""
    if n == 0:
        return 0
    size = abs(n)
    exponent = 0
    while size >> exponent > 1:
        exponent += 1
    if exponent <= 52:
        mantissa = size << (52 - exponent)
    else:
        drop = exponent - 52
        mantissa = size >> drop
        rest = size - (mantissa << drop)
        half = 1 << (drop - 1)
        if rest > half or (rest == half and mantissa & 1 != 0):
            mantissa += 1
    # a mantissa that rounded up to 2**53 carries into the exponent by itself
    bits = ((exponent + 1022) << 52) + mantissa
    return bits if n > 0 else bits + LOWEST


def _swap(plan: Block, a: int, b: int) -> None:
    for i in range(P.AXIS):
        plan[a + i], plan[b + i] = plan[b + i], plan[a + i]


def _move(plan: Block, source: int, output: int) -> None:
    for i in range(P.AXIS):
        plan[output + i] = plan[source + i]


def _write_axis(spec: Block, plan: Block, record: int, at: int, backward: bool) -> None:
    """The record of one array axis as an outer axis."""
    for i in range(P.AXIS):
        plan[at + i] = 0
    plan[at + P.OUTPUT] = spec[record + X_SIZE] if backward else spec[record + Y_SIZE]
    plan[at + P.SOURCE] = spec[record + Y_SIZE] if backward else spec[record + X_SIZE]
    plan[at + P.SOURCE_STRIDE] = spec[record + SOURCE_STEP]
    plan[at + P.OUTPUT_STRIDE] = spec[record + OUTPUT_STEP]
    plan[at + P.AUX_STRIDE] = spec[record + AUX_STEP]
    plan[at + P.INDEX_UNIT] = spec[record + UNIT]


def _write_window(spec: Block, plan: Block, record: int, pooled: int, at: int) -> None:
    """The window fields of a spatial axis."""
    stride, dilation = spec[pooled + STRIDE], spec[pooled + DILATION]
    size = spec[record + X_SIZE]
    common = gcd(stride, dilation)
    plan[at + P.KERNEL] = spec[pooled + KERNEL]
    plan[at + P.WINDOW_STRIDE] = stride
    plan[at + P.DILATION] = dilation
    plan[at + P.PAD] = spec[pooled + PAD_BEGIN]
    plan[at + P.FORWARD_SIZE] = size
    plan[at + P.WINDOWS] = spec[record + Y_SIZE]
    include = spec[INCLUDE_PAD] != 0
    plan[at + P.LOW] = -spec[pooled + PAD_BEGIN] if include else 0
    plan[at + P.HIGH] = size + spec[pooled + PAD_END] if include else size
    plan[at + P.GCD] = common
    plan[at + P.STEP_TAPS] = stride // common
    plan[at + P.STEP_WINDOWS] = dilation // common
    plan[at + P.INVERSE] = inverse(dilation // common, stride // common)
    by_tap = spec[INDEX_KIND] == 2 or plan[P.DECODE] != 0
    plan[at + P.JUMP] = spec[pooled + TAP_UNIT] if by_tap else dilation * spec[record + UNIT]


def _untouched(spec: Block, record: int, pooled: int) -> bool:
    """Whether the window leaves the axis as it is."""
    return (
        spec[pooled + KERNEL] == 1
        and spec[pooled + STRIDE] == 1
        and spec[pooled + PAD_BEGIN] == 0
        and spec[record + X_SIZE] == spec[record + Y_SIZE]
    )


def _merge_outer(plan: Block, count: int) -> int:
    """Sorts the outer axes by output stride, merges those that are one axis for every buffer; returns their number."""
    at = P.HEADER
    for i in range(1, count):
        j = i
        while j > 0:
            b = at + j * P.AXIS
            a = b - P.AXIS
            if abs(plan[a + P.OUTPUT_STRIDE]) >= abs(plan[b + P.OUTPUT_STRIDE]):
                break
            _swap(plan, a, b)
            j -= 1
    kept = 0
    for i in range(count):
        b = at + i * P.AXIS
        a = at + (kept - 1) * P.AXIS
        fits = kept > 0
        if fits:
            for field in _MERGED:
                if plan[a + field] != plan[b + field] * plan[b + P.OUTPUT]:
                    fits = False
        if fits:
            output, source = plan[a + P.OUTPUT], plan[a + P.SOURCE]
            _move(plan, b, a)
            plan[a + P.OUTPUT] = output * plan[b + P.OUTPUT]
            plan[a + P.SOURCE] = source * plan[b + P.SOURCE]
        else:
            _move(plan, b, at + kept * P.AXIS)
            kept += 1
    return kept


def _take_lanes(plan: Block, outer: int) -> int:
    """Makes one outer axis the lanes: a contiguous one, else the one with the smallest step; returns how many stay."""
    plan[P.LANES] = 1
    plan[P.SOURCE_LANE] = 1
    plan[P.OUTPUT_LANE] = 1
    plan[P.AUX_LANE] = 1
    plan[P.INDEX_LANE] = 0
    if outer == 0:
        return 0
    best = P.HEADER
    for a in range(1, outer):
        at = P.HEADER + a * P.AXIS
        step, known = abs(plan[at + P.SOURCE_STRIDE]), abs(plan[best + P.SOURCE_STRIDE])
        if known == 0 or (step != 0 and step < known):
            best = at
    plan[P.LANES] = plan[best + P.OUTPUT]
    plan[P.SOURCE_LANE] = plan[best + P.SOURCE_STRIDE]
    plan[P.OUTPUT_LANE] = plan[best + P.OUTPUT_STRIDE]
    plan[P.AUX_LANE] = plan[best + P.AUX_STRIDE]
    plan[P.INDEX_LANE] = plan[best + P.INDEX_UNIT]
    at = best
    while at < P.HEADER + (outer - 1) * P.AXIS:
        _move(plan, at + P.AXIS, at)
        at += P.AXIS
    return outer - 1


def canonical(spec: Block, plan: Block) -> None:
    """Writes the axis records of a plan and the header fields OUTER, SPATIAL and those of the lanes.

    Outer axes come first, sorted and merged where every buffer allows it; then the spatial axes in the caller's
    order, which is the order of summation, or by stride where the order does not matter. Axes of size 1 and windows
    of one tap that change nothing disappear.
    """
    rank, pooled = spec[RANK], spec[POOLED]
    windows = SPEC + rank * ARRAY_AXIS
    backward = spec[ROLE] == GATHER or spec[ROLE] == SCATTER
    # one pooled axis at least stays spatial
    keep = pooled - 1
    for p in range(pooled):
        at = windows + p * POOLED_AXIS
        if not _untouched(spec, SPEC + spec[at + AXIS] * ARRAY_AXIS, at):
            keep = -1
    outer = 0
    for axis in range(rank):
        record = SPEC + axis * ARRAY_AXIS
        is_outer = True
        for p in range(pooled):
            at = windows + p * POOLED_AXIS
            if spec[at + AXIS] == axis:
                is_outer = p != keep and _untouched(spec, record, at)
        if is_outer and spec[record + X_SIZE] != 1:
            _write_axis(spec, plan, record, P.HEADER + outer * P.AXIS, backward)
            outer += 1
    outer = _merge_outer(plan, outer)
    if spec[FAMILY] == 1:
        outer = _take_lanes(plan, outer)
    else:
        plan[P.LANES] = 1
        plan[P.SOURCE_LANE] = plan[P.OUTPUT_LANE] = plan[P.AUX_LANE] = 1
        plan[P.INDEX_LANE] = 0
    spatial = 0
    for p in range(pooled):
        at = windows + p * POOLED_AXIS
        record = SPEC + spec[at + AXIS] * ARRAY_AXIS
        if p == keep or not _untouched(spec, record, at):
            to = P.HEADER + (outer + spatial) * P.AXIS
            _write_axis(spec, plan, record, to, backward)
            _write_window(spec, plan, record, at, to)
            spatial += 1
    if spec[ORDER_FREE] != 0:
        for i in range(1, spatial):
            j = i
            while j > 0:
                b = P.HEADER + (outer + j) * P.AXIS
                a = b - P.AXIS
                if abs(plan[a + P.SOURCE_STRIDE]) >= abs(plan[b + P.SOURCE_STRIDE]):
                    break
                _swap(plan, a, b)
                j -= 1
    plan[P.OUTER] = outer
    plan[P.SPATIAL] = spatial
