"""The forms that a kernel on the GPU may have, best first, and what each of them refuses.

A form looks at a task's two plans, one with lanes and one without, and gives a kernel with its numbers, or the reason
why it does not take the task.
"""

from __future__ import annotations

from collections.abc import Callable

from fastpool.cuda.along import OTHER_WINDOW, across, back_across, rows, rows_loose
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
    extent,
    hot_window,
    lane_vector,
    numbers_of,
    window_of,
)
from fastpool.cuda.beside import beside_lanes, beside_rows, run
from fastpool.cuda.close import lane_planes, lane_strips, planes, strips
from fastpool.cuda.pairs import pairs
from fastpool.cuda.sharing import blocks, chunks, tiles
from fastpool.cuda.unrolled import runs, shared_lanes, shared_rows, unrolled_lanes, unrolled_rows
from fastpool.kernels import plan as P

Attempt = Callable[[Asked], "Taken | str"]


MOST_ORDERED = 15

NO_LANES = "is for lanes that are neighbours in memory, in whole, aligned vectors"
SHARING = "makes gradients of windows that share no element"
ORDERED = "adds up to 15 taps along an axis, counted ones without dilation"


def _lanes(asked: Asked, hot: bool, vectors: bool) -> Taken | str:
    variant = asked.variant
    if variant.role not in (*FORWARD, *BACKWARD):
        return NO_ROLE
    plan = asked.plans["lanes"]
    if not vectors and plan[P.SOURCE_LANE] != 1:
        plan = asked.plans["rows"]
    refusal = common_refusal(asked, plan)
    if refusal:
        return refusal
    window = hot_window(plan) if hot else None
    if hot and window is None:
        return OTHER_WINDOW
    pair = len(variant.state) == 2 and variant.role != "index"
    if not hot and variant.role in BACKWARD:
        sizes, strides, dilations = window_of(plan)
        if any(k > s for k, s in zip(sizes, strides, strict=True)) or dilations != (1, 1, 1):
            return SHARING
    free = variant.reduction.repeatable or (variant.state[0][0] in "iu" and not pair)
    if not hot and variant.role in FORWARD and not free and max(window_of(plan)[0]) > MOST_ORDERED:
        return ORDERED
    if not hot and variant.reduction.counted and variant.role in FORWARD and window_of(plan)[2] != (1, 1, 1):
        return ORDERED
    vector = lane_vector(asked, plan, 16 if hot or free else 4) if vectors else 1
    if vector == 0:
        return NO_LANES
    if hot:
        taken = (across if variant.role in FORWARD else back_across)(asked, plan, vector)
        if not isinstance(taken, str):
            return taken
    last = axes_of(plan)[2]
    threads, numbers = numbers_of(plan, plan[P.LANES] // vector, plan[last + P.OUTPUT])
    if threads > NARROW - 1024:
        return NOT_NARROW
    return Taken("lanes", (window, vector), threads, numbers)


def lanes_hot(asked: Asked) -> Taken | str:
    """Vectors of lanes, for windows that are compiled in."""
    return _lanes(asked, True, True)


def points_hot(asked: Asked) -> Taken | str:
    """An output for each thread, for windows that are compiled in."""
    return _lanes(asked, True, False)


def lanes(asked: Asked) -> Taken | str:
    """Vectors of lanes, for any window."""
    return _lanes(asked, False, True)


def points(asked: Asked) -> Taken | str:
    """An output for each thread, for any window."""
    return _lanes(asked, False, False)


def reach(plan: list[int], field: int) -> int:
    """How far from the first element an offset of that stride can lead, padding included."""
    total = extent(plan, field)
    for a in range(plan[P.OUTER]):
        at = P.HEADER + a * P.AXIS
        total += plan[at + P.OUTPUT] * abs(plan[at + field])
    return total


def general(asked: Asked) -> Taken | str:
    """Any window over any layout, from a plan in memory."""
    plan = asked.plans["rows"]
    count = 1
    for a in range(plan[P.OUTER] + plan[P.SPATIAL]):
        count *= plan[P.HEADER + a * P.AXIS + P.OUTPUT]
    fields = (P.SOURCE_STRIDE, P.OUTPUT_STRIDE, P.AUX_STRIDE, P.INDEX_UNIT)
    wide = max(count + 1024, plan[P.TAPS], *(reach(plan, field) for field in fields)) > NARROW
    return Taken("general", (wide,), count, (count,), plan)


FORMS: tuple[tuple[str, Attempt], ...] = (
    ("unrolled_lanes", unrolled_lanes),
    ("pairs", pairs),
    ("unrolled_rows", unrolled_rows),
    ("rows_hot", rows),
    ("lanes_hot", lanes_hot),
    ("rows_loose", rows_loose),
    ("points_hot", points_hot),
    ("planes", planes),
    ("lane_planes", lane_planes),
    ("lane_strips", lane_strips),
    ("strips", strips),
    ("tiles", tiles),
    ("shared_lanes", shared_lanes),
    ("shared_rows", shared_rows),
    ("runs", runs),
    ("chunks", chunks),
    ("blocks", blocks),
    ("run", run),
    ("beside_lanes", beside_lanes),
    ("beside_rows", beside_rows),
    ("lanes", lanes),
    ("points", points),
    ("general", general),
)
"""The forms by name, best first."""
