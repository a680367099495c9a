"""The forms that a kernel on the GPU may have, best first, and what each of them refuses.

A form looks at a task's two plans, one with lanes and one without, and gives a kernel with its numbers, or the reason
why it does not take the task.
"""

from __future__ import annotations

from collections.abc import Callable

from fastpool import layout as S
from fastpool.cuda.asked import (
    NARROW,
    NOT_NARROW,
    Asked,
    Taken,
    axes_of,
    common_refusal,
    extent,
    hot_window,
    lane_vector,
    numbers_of,
    reciprocal,
    row_vector,
    window_of,
)
from fastpool.kernels import plan as P
from fastpool.kernels.cuda import numbers as N

Attempt = Callable[[Asked], "Taken | str"]

BLOCK_THREADS = 256
SHARED_STATES = 2048
SHARED_TAPS = 32

TILE_TAPS = 8
"""Windows share a tile from so many taps on for each position that they are apart."""

MOST_HALO = 16.0
"""Elements that a tile may read for each of its windows, at most."""

MOST_ORDERED = 15

OTHER_WINDOW = "is for windows of 2 taps 2 apart, or 3 taps 2 or 1 apart, along each axis"
NOT_IN_VECTORS = "reads and writes whole, aligned vectors along rows, as long as their outputs times the stride"
NO_LANES = "is for lanes that are neighbours in memory, in whole, aligned vectors"
FEW_TAPS = "shares a window among threads: here it has too few taps, or there are many windows"
DILATED = "counts taps of windows without dilation"
MANY_COLUMNS = "keeps the states of all columns of a window in shared memory: there are too many"
TWICE = "combines taps twice"
APART = "is for windows of many taps close together along up to two axes, the last one of neighbours"
TOO_LARGE = "keeps a tile of the input in shared memory: windows are too large"
SHARING = "makes gradients of windows that share no element"
ORDERED = "adds up to 15 taps along an axis, counted ones without dilation"
NO_ROLE = "has no kernel for this role"

FORWARD = ("forward", "index")
BACKWARD = ("gather", "scatter")


def rows(asked: Asked) -> Taken | str:
    """Vectors along rows, for windows that are compiled in."""
    if asked.variant.role not in (*FORWARD, *BACKWARD):
        return NO_ROLE
    plan = asked.plans["rows"]
    refusal = common_refusal(asked, plan)
    if refusal:
        return refusal
    window = hot_window(plan)
    if window is None:
        return OTHER_WINDOW
    vector = row_vector(asked, plan, window, asked.variant.role in BACKWARD)
    if vector == 0:
        return NOT_IN_VECTORS
    last = axes_of(plan)[2]
    threads, numbers = numbers_of(plan, plan[last + P.OUTPUT] // vector, None)
    return Taken("rows", (window, vector, plan[last + P.PAD]), threads, numbers)


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


def tiles(asked: Asked) -> Taken | str:
    """A tile of the input in shared memory, for large windows close together."""
    from fastpool.kernels.cuda.tiles import ACROSS, DOWN, capacity

    variant = asked.variant
    if variant.role not in FORWARD:
        return NO_ROLE
    if not variant.reduction.repeatable:
        return TWICE
    plan = asked.plans["rows"]
    refusal = common_refusal(asked, plan)
    if refusal:
        return refusal
    sizes, strides, dilations = window_of(plan)
    if sizes[0] != 1 or sizes[1] * sizes[2] < TILE_TAPS * strides[1] * strides[2]:
        return APART
    axes = axes_of(plan)
    if plan[axes[2] + P.SOURCE_STRIDE] != 1:
        return APART
    outputs = [plan[at + P.OUTPUT] if at else 1 for at in axes]
    room, best = capacity(variant), (MOST_HALO, 0, 0)
    for high in (1, 4, 8, 16, 32):
        for wide in (16, 32, 64, 128, 256, 512, 1024):
            tile = (min(high, outputs[1]), min(wide, outputs[2]))
            spans = [
                (many - 1) * strides[i] + (sizes[i] - 1) * dilations[i] + 1
                for i, many in zip((1, 2), tile, strict=True)
            ]
            states = spans[0] * spans[1]
            # elements read for each window of the tile
            cost = states / (tile[0] * tile[1])
            if states <= room and cost < best[0]:
                best = (cost, *tile)
    _, high, wide = best
    if high == 0:
        return TOO_LARGE
    threads, numbers = numbers_of(plan, -(-outputs[2] // wide), None)
    n = list(numbers)
    across1 = -(-outputs[1] // high)
    n[N.OUTPUTS1] = across1
    n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT] = reciprocal(across1)
    n[N.TILE1], n[N.TILE2], n[N.WINDOWS1], n[N.WINDOWS2] = high, wide, outputs[1], outputs[2]
    blocks_in_all = threads // outputs[1] * across1
    return Taken("tiles", (), blocks_in_all, tuple(n), block=ACROSS, rows=DOWN, each=1)


def _power(n: int, most: int) -> int:
    """The least power of two that is not below ``n``, or ``most``."""
    return min(1 << max(n - 1, 0).bit_length(), most)


def blocks(asked: Asked) -> Taken | str:
    """Threads of a block share a window: for windows of many taps that are few."""
    variant = asked.variant
    if variant.role not in FORWARD:
        return NO_ROLE
    across = asked.plans["lanes"]
    neighbours = across[P.SOURCE_LANE] == 1 and across[P.LANES] > 1
    plan = across if neighbours else asked.plans["rows"]
    refusal = common_refusal(asked, plan)
    if refusal:
        return refusal
    sizes, _, dilations = window_of(plan)
    if variant.reduction.counted and dilations != (1, 1, 1):
        return DILATED
    taps = sizes[0] * sizes[1] * sizes[2]
    if taps < SHARED_TAPS:
        return FEW_TAPS
    # the first axis that has taps is folded by each thread: an axis in front of all others if it is missing
    free = variant.reduction.repeatable or variant.state[0][0] in "iu"
    lanes = _power(plan[P.LANES], 32) if neighbours else 1
    order = [i for i in range(3) if sizes[i] > 1]
    columns_all = 1
    for i in order[1:]:
        columns_all *= sizes[i]
    if len(order) == 1:
        columns_all = sizes[order[0]]
    columns = _power(columns_all, BLOCK_THREADS // lanes)
    windows = max(1, BLOCK_THREADS // (lanes * columns))
    axes = _folded_first(plan, order)
    along1, along2 = (plan[at + P.KERNEL] if at else 1 for at in axes[1:])
    # the columns of a window that are in shared memory at a time: a power of two along axis 2
    wide = _power(along2, SHARED_STATES)
    if not free:
        while along1 * wide * lanes > SHARED_STATES and wide > 1:
            wide //= 2
        if along1 * wide * lanes > SHARED_STATES:
            return MANY_COLUMNS
        while windows > 1 and along1 * min(wide, along2) * lanes * windows > SHARED_STATES:
            windows //= 2
    last = axes_of(plan)[2]
    threads, numbers = numbers_of(plan, -(-plan[P.LANES] // lanes), plan[last + P.OUTPUT], axes)
    if threads * lanes * columns > NARROW - 1024:
        return NOT_NARROW
    n = list(numbers)
    n[N.TILE2] = wide
    return Taken("blocks", (lanes, columns), threads, tuple(n), block=lanes * columns * windows, each=windows)


def _folded_first(plan: list[int], order: list[int]) -> list[int]:
    """The axes of a window in the order in which a block combines them.

    The first one that has taps is folded by a thread, unless it is the only one.
    """
    axes = axes_of(plan)
    with_taps = [axes[i] for i in order]
    others = [axes[i] for i in range(3) if i not in order]
    if len(with_taps) == 1:
        return [*others, *with_taps]
    return [with_taps[0], *others, *with_taps[1:]]


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
    ("rows_hot", rows),
    ("lanes_hot", lanes_hot),
    ("points_hot", points_hot),
    ("tiles", tiles),
    ("blocks", blocks),
    ("lanes", lanes),
    ("points", points),
    ("general", general),
)
"""The forms by name, best first."""

ROLES = {"forward": S.FORWARD, "index": S.INDEX, "weigh": S.WEIGH, "gather": S.GATHER, "scatter": S.SCATTER}
