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


def _plan_across(asked: Asked, vectors: bool) -> list[int] | str:
    """The plan of a form across lanes, or why there is none."""
    if asked.variant.role not in (*FORWARD, *BACKWARD):
        return NO_ROLE
    plan = asked.plans["lanes"]
    if not vectors and plan[P.SOURCE_LANE] != 1:
        plan = asked.plans["rows"]
    return common_refusal(asked, plan) or plan


def _hot(asked: Asked, vectors: bool) -> Taken | str:
    plan = _plan_across(asked, vectors)
    if isinstance(plan, str):
        return plan
    if hot_window(plan) is None:
        return OTHER_WINDOW
    vector = lane_vector(asked, plan, 16) if vectors else 1
    if vector == 0:
        return NO_LANES
    return (across if asked.variant.role in FORWARD else back_across)(asked, plan, vector)


def _lanes(asked: Asked, vectors: bool) -> Taken | str:
    plan = _plan_across(asked, vectors)
    if isinstance(plan, str):
        return plan
    variant = asked.variant
    sizes, strides, dilations = window_of(plan)
    dilated = dilations != (1, 1, 1)
    pair = len(variant.state) == 2 and variant.role != "index"
    free = variant.reduction.repeatable or (variant.state[0][0] in "iu" and not pair)
    if variant.role in BACKWARD:
        if dilated or any(k > s for k, s in zip(sizes, strides, strict=True)):
            return SHARING
    elif (not free and max(sizes) > MOST_ORDERED) or (variant.reduction.counted and dilated):
        return ORDERED
    vector = lane_vector(asked, plan, 16 if free else 4) if vectors else 1
    if vector == 0:
        return NO_LANES
    threads, numbers = numbers_of(plan, plan[P.LANES] // vector, plan[axes_of(plan)[2] + P.OUTPUT])
    if threads > NARROW - 1024:
        return NOT_NARROW
    return Taken("lanes", (vector,), threads, numbers)


def lanes_hot(asked: Asked) -> Taken | str:
    """Vectors of lanes, for windows that are compiled in."""
    return _hot(asked, True)


def points_hot(asked: Asked) -> Taken | str:
    """An output for each thread, for windows that are compiled in."""
    return _hot(asked, False)


def lanes(asked: Asked) -> Taken | str:
    """Vectors of lanes, for any window."""
    return _lanes(asked, True)


def points(asked: Asked) -> Taken | str:
    """An output for each thread, for any window."""
    return _lanes(asked, False)


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
