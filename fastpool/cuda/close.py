"""Forms of the GPU for windows one position apart whose numbers are compiled in: whole small planes, strips of others.

As in ``forms``, each gives a kernel with its numbers, or the reason why it does not take a task.
"""

from __future__ import annotations

from fastpool.cuda.asked import (
    NARROW,
    NO_ROLE,
    NOT_NARROW,
    Asked,
    Taken,
    axes_of,
    common_refusal,
    numbers_of,
    reciprocal,
    window_of,
)
from fastpool.kernels import plan as P
from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.planes import Plane
from fastpool.kernels.cuda.running import combinations
from fastpool.kernels.cuda.sliding import LaneStrip, Segment, piece_of
from fastpool.kernels.registry import SIZES, Variant

MOST_LINE = 32
"""Elements of a column, or of a row: a thread holds one."""

CLOSE_TAPS = 12
"""Taps of a window from which on it pays to combine along one axis, then the other."""

PLANE_BYTES = 28 << 10
"""Shared memory of a block, at most: a processor has room for six of them, or more."""

BLOCK = (96, 480)
"""Threads of a block, at least and at most."""

STRIP_BYTES, STRIP_THREADS = 40 << 10, 320
"""Shared memory and threads of a block with strips, at most."""

LANE_THREADS = 512
"""Threads of one whose strips have lanes, at most."""

TWICE = "takes taps in any order"
FAR_APART = "is for windows of 12 taps or more, one position apart along both axes of a plane"
NOT_SMALL = "is for planes of up to 32 elements along each axis"
SCATTERED = "is for planes that lie behind each other without gaps, and begin at a vector"
FEW_LANES = "is for channels that are neighbours in memory, and whole segments of 32 bytes"
LARGE = "is for windows of up to 32 taps along an axis"
NOT_IN_ROWS = "is for rows of neighbours"
NO_TAP = "is for windows with a tap inside of the input"


def _close(asked: Asked, plan: list[int]) -> str:
    """Why a task has no windows one position apart along two axes, or ""."""
    variant = asked.variant
    if variant.role != "forward":
        return NO_ROLE
    if not variant.reduction.repeatable or len(variant.state) != 1:
        return TWICE
    refusal = common_refusal(asked, plan)
    if refusal:
        return refusal
    sizes, strides, dilations = window_of(plan)
    axes = axes_of(plan)[1:]
    if sizes[0] != 1 or not all(axes) or sizes[1] * sizes[2] < CLOSE_TAPS or {*strides, *dilations} != {1}:
        return FAR_APART
    for at in axes:
        # the first window ends on the input, and the last one begins there
        if not (
            0 <= plan[at + P.PAD] < plan[at + P.KERNEL]
            and plan[at + P.OUTPUT] - 1 - plan[at + P.PAD] < plan[at + P.SOURCE]
        ):
            return NO_TAP
    return ""


def _plane(asked: Asked, plan: list[int]) -> Plane | str:
    """The plane of a task, of a block yet to be divided."""
    refusal = _close(asked, plan)
    if refusal:
        return refusal
    first, *axes = axes_of(plan)
    fields = (P.KERNEL, P.SOURCE, P.PAD, P.OUTPUT)
    (k1, h, pad1, out1), (k2, w, pad2, out2) = ([plan[at + field] for field in fields] for at in axes)
    if first or max(h, w, out1, out2) > MOST_LINE or min(h, w, out1, out2) < 1:
        return NOT_SMALL
    return Plane(k1, k2, h, w, pad1, pad2, out1, out2, 1, 1, 0)


def _are_behind(plan: list[int], field: int, rows: int, columns: int) -> bool:
    """Whether planes have no gaps in them, and none between them."""
    _, at1, at2 = axes_of(plan)
    step = rows * columns
    for a in reversed(range(plan[P.OUTER])):
        at = P.HEADER + a * P.AXIS
        if plan[at + P.OUTPUT] != 1 and plan[at + field] != step:
            return False
        step *= plan[at + P.OUTPUT]
    return plan[at2 + field] == 1 and (plan[at1 + field] == columns or rows == 1)


def planes(asked: Asked) -> Taken | str:
    """Whole planes in shared memory, several for a block."""
    plan, variant = asked.plans["rows"], asked.variant
    plane = _plane(asked, plan)
    if isinstance(plane, str):
        return plane
    source = _are_behind(plan, P.SOURCE_STRIDE, plane.size1, plane.size2)
    if not (asked.aligned and source and _are_behind(plan, P.OUTPUT_STRIDE, plane.outputs1, plane.outputs2)):
        return SCATTERED
    size = max(SIZES[variant.state[0]], SIZES[variant.output])
    vector = max(1, min(4, 16 // size))
    plane = plane._replace(vector=0 if plane.outputs2 % vector or plane.pitch < plane.size2 else vector)
    best: tuple[float, Plane] | None = None
    for many in range(1, 65):
        divided = plane._replace(planes=many)
        # the block's first output begins at a vector
        if divided.states * SIZES[variant.state[0]] > PLANE_BYTES or divided.threads > BLOCK[1]:
            break
        if many * plane.outputs1 * plane.outputs2 % vector:
            continue
        fill = divided.threads / max(divided.block, BLOCK[0])
        if best is None or fill > best[0] + 0.04:
            best = fill, divided
    if best is None:
        return NOT_SMALL
    plane = best[1]
    _, numbers = numbers_of(plan, 1, None)
    n = list(numbers)
    count = 1
    for a in range(plan[P.OUTER]):
        count *= plan[P.HEADER + a * P.AXIS + P.OUTPUT]
    n[N.COUNT] = count
    return Taken("planes", (plane,), count, tuple(n), block=plane.block, each=plane.planes)


def lane_planes(asked: Asked) -> Taken | str:
    """Some lanes of a whole plane in shared memory."""
    plan, variant = asked.plans["lanes"], asked.variant
    plane = _plane(asked, plan)
    if isinstance(plane, str):
        return plane
    if plan[P.SOURCE_LANE] != 1 or plan[P.OUTPUT_LANE] != 1:
        return FEW_LANES
    steps = tuple(plan[at + field] for field in (P.SOURCE_STRIDE, P.OUTPUT_STRIDE) for at in axes_of(plan)[1:])
    for lanes in (32, 16, 8):
        divided = plane._replace(lanes=lanes, steps=steps)
        segment = lanes * SIZES[variant.source]
        small = divided.states * SIZES[variant.state[0]] <= PLANE_BYTES and divided.threads <= BLOCK[1]
        if small and segment >= 32 and plan[P.LANES] % lanes == 0:
            blocks, numbers = numbers_of(plan, plan[P.LANES] // lanes, None)
            blocks //= divided.outputs1
            if blocks > 1 << 30:
                return NOT_NARROW
            return Taken("lane_planes", (divided,), blocks, numbers, block=divided.block, each=1)
    return FEW_LANES


def _divided(k1: int, k2: int, high: int, wide: int, variant: Variant) -> Segment | None:
    """Strips for outputs that are ``high`` times ``wide``, by the instructions of an output."""
    piece, size = piece_of(variant), SIZES[variant.state[0]]
    best: tuple[float, Segment | None] = (float("inf"), None)
    for rows in sorted({-(-high // -(-high // most)) for most in range(8, MOST_LINE + 1)}):
        # rows that are read, and where from; rows that are written; what is the same for all
        column = 3 * (rows + k1 - 1) + combinations(k1, rows) + 7 * rows + 80
        for neighbours in range(8, MOST_LINE + 1, 4):
            row = combinations(k2, neighbours) + (2 * neighbours + k2) // piece
            for segments in range(1, min(-(-wide // neighbours), 32) + 1):
                one = Segment(k1, k2, rows, segments, neighbours, 1)
                many = min(
                    STRIP_BYTES // (rows * one.pitch(piece) * size),
                    STRIP_THREADS // max(one.columns, rows * segments),
                )
                if many < 1:
                    continue
                found = one._replace(strips=many)
                useful = many * high * wide / (-(-high // rows) * -(-wide // one.outputs))
                cost = (column + row) * found.block / useful
                if cost < best[0]:
                    best = cost, found
    return best[1]


def strips(asked: Asked) -> Taken | str:
    """Strips of planes in shared memory, a column for each thread."""
    plan, variant = asked.plans["rows"], asked.variant
    refusal = _close(asked, plan)
    if refusal:
        return refusal
    _, at1, at2 = axes_of(plan)
    k1, k2, high, wide = (plan[at + field] for field in (P.KERNEL, P.OUTPUT) for at in (at1, at2))
    if max(k1, k2) > MOST_LINE:
        return LARGE
    if plan[at2 + P.SOURCE_STRIDE] != 1 or plan[at2 + P.OUTPUT_STRIDE] != 1 or min(high, wide) < 1:
        return NOT_IN_ROWS
    steps = [(P.SOURCE_STRIDE, variant.source), (P.OUTPUT_STRIDE, variant.output)]
    if max(abs(plan[at1 + field]) * SIZES[dtype] for field, dtype in steps) > NARROW:
        return NOT_NARROW
    strip = _divided(k1, k2, high, wide, variant)
    if strip is None:
        return LARGE
    across1, across2 = -(-high // strip.rows), -(-wide // strip.outputs)
    threads, numbers = numbers_of(plan, across2, None)
    n = list(numbers)
    count = threads // high * across1
    n[N.OUTPUTS1], n[N.COUNT] = across1, count
    n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT] = reciprocal(across1)
    if count > NARROW - 1024:
        return NOT_NARROW
    return Taken("strips", (strip,), count, tuple(n), block=strip.block, each=strip.strips)


def lane_strips(asked: Asked) -> Taken | str:
    """Strips of some lanes in shared memory, a column of a lane for each thread."""
    plan, variant = asked.plans["lanes"], asked.variant
    refusal = _close(asked, plan)
    if refusal:
        return refusal
    _, at1, at2 = axes_of(plan)
    k1, k2, high, wide = (plan[at + field] for field in (P.KERNEL, P.OUTPUT) for at in (at1, at2))
    if max(k1, k2) > MOST_LINE:
        return LARGE
    if plan[P.SOURCE_LANE] != 1 or plan[P.OUTPUT_LANE] != 1 or min(high, wide) < 1:
        return FEW_LANES
    if abs(plan[at1 + P.SOURCE_STRIDE]) * SIZES[variant.source] > NARROW:
        return NOT_NARROW
    best: tuple[float, LaneStrip | None] = (float("inf"), None)
    for lanes in (32, 16, 8):
        if plan[P.LANES] % lanes or lanes * SIZES[variant.source] < 32:
            continue
        for rows in sorted({-(-high // -(-high // most)) for most in range(4, MOST_LINE + 1)}):
            column = 3 * (rows + k1 - 1) + combinations(k1, rows) + rows + 120
            for outputs in sorted({-(-wide // -(-wide // most)) for most in range(4, MOST_LINE + 1)}):
                strip = LaneStrip(k1, k2, rows, outputs, lanes)
                bytes_of_block = rows * strip.pitch * SIZES[variant.state[0]]
                if strip.block > LANE_THREADS or bytes_of_block > STRIP_BYTES:
                    continue
                row = combinations(k2, outputs) + k2 + 7 * outputs
                useful = lanes * high * wide / (-(-high // rows) * -(-wide // outputs))
                cost = (column + row) * strip.block / useful
                if cost < best[0]:
                    best = cost, strip
    strip_found = best[1]
    if strip_found is None:
        return FEW_LANES
    across1, across2 = -(-high // strip_found.rows), -(-wide // strip_found.outputs)
    threads, numbers = numbers_of(plan, plan[P.LANES] // strip_found.lanes, None)
    n = list(numbers)
    for name, many in (("OUTPUTS2", across2), ("OUTPUTS1", across1)):
        n[getattr(N, name)] = many
        n[getattr(N, f"{name}_BY")], n[getattr(N, f"{name}_SHIFT")] = reciprocal(many)
    count = threads // high * across1 * across2
    if count > NARROW - 1024:
        return NOT_NARROW
    return Taken("lane_strips", (strip_found,), count, tuple(n), block=strip_found.block, each=1)
