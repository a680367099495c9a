"""Forms of the GPU that go along rows: a thread makes neighbouring outputs of several rows.

As in ``forms``, each gives a kernel with its numbers, or the reason why it does not take a task.
"""

from __future__ import annotations

from fastpool.cuda.asked import (
    BACKWARD,
    FORWARD,
    NARROW,
    NO_ROLE,
    NOT_NARROW,
    Asked,
    Taken,
    axes_of,
    common_refusal,
    has_aux,
    hot_window,
    numbers_of,
    reciprocal,
    row_vector,
)
from fastpool.kernels import plan as P
from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.back_strips import Tile
from fastpool.kernels.cuda.means import Divisor, divisor_of
from fastpool.kernels.cuda.parts import absent, shares
from fastpool.kernels.cuda.strips import Strip
from fastpool.kernels.registry import SIZES, Variant

OTHER_WINDOW = "is for windows of 2 or 3 taps that are 2 or 1 apart, along each axis"
NOT_IN_VECTORS = "reads and writes whole, aligned vectors along rows, as long as their outputs times the stride"
EMPTY = "reads something"
NOT_IN_ROWS = "is for rows of neighbours"
NOT_INSIDE = "selects among windows that all have a tap inside, whose taps are numbered in their order"

STRIPS = (1, 2, 4, 8)
"""Rows of outputs that a thread may make."""

MOST_KEPT = 32
"""States of a strip that a thread holds."""

MOST = {"rows": (1, 2), "loose": (4, 8), "lanes": (2, 4), "points": (4, 8), "back": (1, 1), "back loose": (2, 4)}
"""Rows of outputs that a thread makes, at most: of windows further apart than one position, and of others.

On an H200, in shares of a copy's speed, with 1, 2, 4 and 8 rows: max 3/2 in vectors 1.03, 1.02, 0.96; by points 0.73,
0.97, 1.02, 1.00; with lanes 0.96, 1.00; max 3/1 in vectors 0.90, 0.92, 0.90; by points 0.30, 0.49, 0.74, 0.80; the
gradient of max 2/2 in vectors 0.94, 0.91.
"""

ENOUGH = 1 << 17
"""Threads that keep a GPU busy: a strip does not leave fewer."""

MOST_PITCH = 1 << 16
"""Elements that rows are apart, at most, where that is compiled in: a load reaches 8 MiB from its address."""

STEADY = 4
"""What a thread does once takes as long as this many rows of taps."""


def _inside(plan: list[int]) -> bool:
    """Whether every window has a tap inside, and taps are numbered in the order of a row after the other."""
    before = None
    for at in axes_of(plan):
        if not at:
            continue
        if plan[at + P.PAD] >= plan[at + P.KERNEL] or (
            (plan[at + P.OUTPUT] - 1) * plan[at + P.WINDOW_STRIDE] - plan[at + P.PAD] >= plan[at + P.SOURCE]
        ):
            return False
        if plan[at + P.KERNEL] > 1:
            if before is not None and plan[at + P.JUMP] * plan[at + P.KERNEL] > before:
                return False
            before = plan[at + P.JUMP]
    return True


def one_count(plan: list[int]) -> int:
    """How many taps the divisor of a window counts where that is one number for all of them, else 0."""
    count = 1
    for at in axes_of(plan):
        if at:
            last = (plan[at + P.WINDOWS] - 1) * plan[at + P.WINDOW_STRIDE] - plan[at + P.PAD]
            if plan[at + P.LOW] > -plan[at + P.PAD] or last + plan[at + P.KERNEL] > plan[at + P.HIGH]:
                return 0
            count *= plan[at + P.KERNEL]
    return count


def _whole(plan: list[int], at: int, outputs: int) -> bool:
    """Whether all taps of so many windows along an axis lie inside."""
    if not at:
        return True
    last = (outputs - 1) * plan[at + P.WINDOW_STRIDE] - plan[at + P.PAD] + plan[at + P.KERNEL]
    return plan[at + P.PAD] <= 0 and last <= plan[at + P.SOURCE]


def _strip(way: str, outputs: int, kernel: int, stride: int, others: int, kept: int) -> int:
    """Rows of outputs that take the least work, of those that leave enough threads and keep few states each."""
    most = MOST[way][stride == 1]
    strips = [r for r in STRIPS if r <= most and r * kept <= MOST_KEPT and -(-outputs // r) * others >= ENOUGH]
    return min({1, *strips}, key=lambda r: -(-outputs // r) * ((r - 1) * stride + kernel + STEADY))


def _loose_vector(variant: Variant, stride: int) -> int:
    """Outputs of a row that a thread makes element by element: few, so that its neighbours' are near.

    On an H200 max 3/2 took 0.71 of a copy's speed with 4, and 1.02 with 1; of bytes 0.62 with 4, and 0.53 with 1.
    """
    if SIZES[variant.source] == 1:
        return 4
    return 2 if stride == 1 and len(variant.state) == 1 else 1


def _forward(asked: Asked, plan: list[int], vector: int, left: int) -> Taken | str:
    """The kernel of a forward of ``vector`` outputs of a row each."""
    variant, window = asked.variant, hot_window(plan)
    (_, k1, k2), (_, s1, s2) = window
    select = variant.reduction.select
    if select and not _inside(plan):
        return NOT_INSIDE
    axes = axes_of(plan)
    threads, numbers = numbers_of(plan, -(-plan[axes[2] + P.OUTPUT] // vector), None)
    n = list(numbers)
    outputs0, outputs, rows2 = n[N.OUTPUTS0], n[N.OUTPUTS1], n[N.VECTORS] * vector
    kept = len(variant.state) * (vector if select else (vector - 1) * s2 + k2)
    strip = _strip("loose" if left < 0 else "rows", outputs, k1, s1, threads // max(outputs, 1), kept)
    strips = -(-outputs // strip)
    n[N.OUTPUTS1] = strips
    n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT] = reciprocal(max(strips, 1))
    n[N.COUNT] = threads = threads // max(outputs, 1) * strips
    if threads > NARROW - 1024:
        return NOT_NARROW
    outer = 1 if threads in (0, strips * n[N.VECTORS] * n[N.OUTPUTS0] * n[N.NEAR]) else 2
    deep = axes[0] != 0 and (n[N.OUTPUTS0] > 1 or n[N.SIZE0] > 1 or n[N.KERNEL0] > 1)
    fixed = Divisor.OWN
    if variant.reduction.counted and variant.role == "forward":
        # where NaN is left out, taps are counted anyway
        n[N.DIVISOR] = n[N.DIVISOR] or (one_count(plan) if len(variant.state) == 1 else 0)
        fixed = divisor_of(n[N.DIVISOR])
    whole = (_whole(plan, axes[0], outputs0), _whole(plan, axes[1], strips * strip), _whole(plan, axes[2], rows2))
    pitch = plan[axes[1] + P.SOURCE_STRIDE] if left < 0 and axes[1] and not deep and threads >= ENOUGH else 0
    # indices look at each tap beside the input
    pitch = pitch if 0 < pitch <= MOST_PITCH and len(variant.state) == 1 and absent(variant) is not None else 0
    made = Strip(window, vector, left, strip, deep, outer, fixed, whole, pitch)
    return Taken("rows", (made,), threads, tuple(n))


def across(asked: Asked, plan: list[int], vector: int) -> Taken | str:
    """The kernel of a forward of ``vector`` lanes of several outputs along axis 1 each."""
    variant, window, axes = asked.variant, hot_window(plan), axes_of(plan)
    if (variant.reduction.select and not _inside(plan)) or any(at and plan[at + P.SOURCE] == 0 for at in axes):
        return NOT_INSIDE
    threads, numbers = numbers_of(plan, plan[P.LANES] // vector, plan[axes[2] + P.OUTPUT])
    n = list(numbers)
    outputs = max(n[N.OUTPUTS1], 1)
    kept = vector * len(variant.state) * (1 if variant.reduction.select else 2)
    way = "lanes" if vector > 1 else "points"
    strip = _strip(way, outputs, window[0][1], window[1][1], threads // outputs, kept)
    strips = -(-outputs // strip)
    n[N.OUTPUTS1] = strips
    n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT] = reciprocal(strips)
    n[N.COUNT] = threads = threads // outputs * strips
    if threads > NARROW - 1024:
        return NOT_NARROW
    fixed = Divisor.OWN
    if variant.reduction.counted and variant.role == "forward":
        # where NaN is left out, taps are counted anyway
        n[N.DIVISOR] = n[N.DIVISOR] or (one_count(plan) if len(variant.state) == 1 else 0)
        fixed = divisor_of(n[N.DIVISOR])
    whole0, whole1, whole2 = (
        _whole(plan, at, many) for at, many in zip(axes, (n[N.OUTPUTS0], strips * strip, n[N.OUTPUTS2]), strict=True)
    )
    made = Strip(window, vector, 0, strip, True, 2, fixed, (whole0, whole1, whole2))
    return Taken("lanes_hot", (made,), threads, tuple(n))


def back_across(asked: Asked, plan: list[int], vector: int) -> Taken | str:
    """The kernel of a gradient of ``vector`` lanes of a tile of elements each."""
    if any(at and plan[at + P.SOURCE] == 0 for at in axes_of(plan)):
        return EMPTY
    return _tiled(asked, plan, vector, plan[P.LANES] // vector, lanes=True)


def _backward(asked: Asked, plan: list[int], vector: int, loose: bool) -> Taken | str:
    """The kernel of a gradient of ``vector`` elements of a row each."""
    return _tiled(asked, plan, vector, -(-plan[axes_of(plan)[2] + P.OUTPUT] // vector), loose=loose)


def _tiled(
    asked: Asked, plan: list[int], vector: int, vectors: int, loose: bool = False, lanes: bool = False
) -> Taken | str:
    variant, window, axes = asked.variant, hot_window(plan), axes_of(plan)
    _, (s0, s1, s2) = window
    last = axes[2]
    threads, numbers = numbers_of(plan, vectors, plan[last + P.OUTPUT] if lanes else None)
    n = list(numbers)
    far = threads // max(n[N.VECTORS] * n[N.OUTPUTS0] * n[N.OUTPUTS1] * n[N.OUTPUTS2] * n[N.NEAR], 1)
    deep = axes[0] != 0 and (n[N.OUTPUTS0] > 1 or n[N.SIZE0] > 1 or n[N.KERNEL0] > 1)
    fixed = Divisor.OWN
    if shares(variant):
        n[N.DIVISOR] = n[N.DIVISOR] or one_count(plan)
        fixed = divisor_of(n[N.DIVISOR])
    by_tap = variant.role == "scatter" and variant.aux == "u8"
    jumps = tuple(plan[at + P.JUMP] if at else 0 for at in axes) if by_tap else ()
    outer = 1 if (far == 1 or threads == 0) and not lanes else 2
    made = Tile(window, vector, 0 if lanes else plan[last + P.PAD], loose, 1, deep, outer, fixed, jumps)
    along = s2 * vector if lanes else vector if variant.role == "scatter" else made.columns
    kept = made.slabs * s1 * along
    n[N.TILE1] = n[N.OUTPUTS0]
    if deep:
        n[N.OUTPUTS0] = -(-(n[N.OUTPUTS0] + n[N.PAD0]) // s0)
    if lanes:
        n[N.OUTPUTS2] = -(-(n[N.OUTPUTS2] + n[N.PAD2]) // s2)
    padded = n[N.OUTPUTS1] + n[N.PAD1]
    others = n[N.VECTORS] * n[N.OUTPUTS2] * n[N.OUTPUTS0] * n[N.NEAR] * far
    way = "back loose" if loose or (lanes and vector == 1) else "back"
    strip = _strip(way, -(-padded // s1), window[0][1], s1, others, kept)
    made = made._replace(strip=strip)
    n[N.OUTPUTS1] = -(-padded // (strip * s1)) if n[N.OUTPUTS1] else 0
    for name in ("OUTPUTS0", "OUTPUTS1", "OUTPUTS2"):
        n[getattr(N, f"{name}_BY")], n[getattr(N, f"{name}_SHIFT")] = reciprocal(max(n[getattr(N, name)], 1))
    n[N.COUNT] = threads = others * n[N.OUTPUTS1] if threads else 0
    if threads > NARROW - 1024:
        return NOT_NARROW
    return Taken("lanes_hot" if lanes else "rows", (made,), threads, tuple(n))


def _hot_plan(asked: Asked) -> list[int] | str:
    """The plan without lanes of a window that is compiled in, or why there is none."""
    if asked.variant.role not in (*FORWARD, *BACKWARD):
        return NO_ROLE
    plan = asked.plans["rows"]
    refusal = common_refusal(asked, plan)
    if refusal:
        return refusal
    if hot_window(plan) is None:
        return OTHER_WINDOW
    return EMPTY if any(at and plan[at + P.SOURCE] == 0 for at in axes_of(plan)) else plan


def rows(asked: Asked) -> Taken | str:
    """Vectors along rows, for windows that are compiled in."""
    plan = _hot_plan(asked)
    if isinstance(plan, str):
        return plan
    vector = row_vector(asked, plan, hot_window(plan), asked.variant.role in BACKWARD)
    if vector == 0:
        return NOT_IN_VECTORS
    if asked.variant.role in FORWARD:
        return _forward(asked, plan, vector, plan[axes_of(plan)[2] + P.PAD])
    return _backward(asked, plan, vector, False)


def rows_loose(asked: Asked) -> Taken | str:
    """Some outputs of a row for each thread, for windows that are compiled in and rows of any length."""
    plan, variant = _hot_plan(asked), asked.variant
    if isinstance(plan, str):
        return plan
    last, stride = axes_of(plan)[2], hot_window(plan)[1][2]
    fields = (P.SOURCE_STRIDE, P.OUTPUT_STRIDE, *((P.AUX_STRIDE,) if has_aux(variant) else ()))
    backward = variant.role in BACKWARD
    if any(plan[last + field] != 1 for field in fields) or (backward and plan[last + P.PAD] > 1):
        return NOT_IN_ROWS
    if backward:
        return _backward(asked, plan, stride, True)
    return _forward(asked, plan, _loose_vector(variant, stride), -1)
