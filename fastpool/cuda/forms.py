"""The forms that a kernel on the GPU may have, best first, and what each of them refuses.

A form looks at a task's two plans, one with lanes and one without, and gives a kernel with its numbers, or the reason
why it does not take the task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastpool import layout as S
from fastpool.kernels import plan as P
from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.registry import SIZES, Variant

NARROW = 2**31 - 1
"""The largest offset, or number of threads, that a kernel computes in 32 bits."""

WINDOWS = ((2, 2), (3, 2), (3, 1))
"""Kernel sizes and strides that are compiled in; leading axes may also have (1, 1)."""

VECTOR_BYTES = 16

BLOCK_THREADS = 256
SHARED_STATES = 2048
SHARED_TAPS = 32

MOST_ORDERED = 15

MOST_STATES = 16
"""States of a row that a thread holds: with twice as many it needs 96 registers, and there are half as many threads."""

OTHER_WINDOW = "is for windows of 2 taps 2 apart, or 3 taps 2 or 1 apart, along each axis"
MANY_AXES = "is for up to three pooled and two other axes"
NOT_NARROW = "computes places inside of an image in 32 bits"
NOT_IN_VECTORS = "reads and writes whole, aligned vectors along rows, as long as their outputs times the stride"
NO_LANES = "is for lanes that are neighbours in memory, in whole, aligned vectors"
FEW_TAPS = "shares a window among threads: here it has too few taps, or there are many windows"
DILATED = "counts taps of windows without dilation"
MANY_COLUMNS = "keeps the states of all columns of a window in shared memory: there are too many"
DECODES = "gives indices whose order is that of the taps"
SHARING = "makes gradients of windows that share no element"
ORDERED = "adds up to 15 taps along an axis, counted ones without dilation"
NO_ROLE = "has no kernel for this role"


@dataclass(frozen=True)
class Asked:
    """A task that is to be planned: its variant, and its plans by family.

    ``aligned``: all arrays begin at a multiple of 16 bytes.
    """

    variant: Variant
    plans: dict[str, list[int]]
    aligned: bool


class Taken(NamedTuple):
    """A kernel of the engine by the arguments that make it, its threads, and its numbers.

    A block of ``block`` threads does the work of ``each`` of the ``threads``: windows, where a block shares one.
    """

    make: str
    arguments: tuple[Any, ...]
    threads: int
    numbers: tuple[int, ...]
    plan: list[int] | None = None
    block: int = 256
    each: int = 256


Attempt = Callable[[Asked], "Taken | str"]


def reciprocal(divisor: int) -> tuple[int, int]:
    """(factor, shift) with ``n // divisor == n * factor >> shift`` for ``n`` below 2**31.

    The factor is the next integer above ``2**shift / divisor``: its error, below ``divisor <= 2**(shift - 31)``, times
    ``n`` stays below ``2**shift``.
    """
    shift = 31 + (divisor - 1).bit_length()
    return -(-(1 << shift) // divisor), shift


def axes_of(plan: list[int]) -> list[int]:
    """Where the records of three spatial axes lie, the last one last; 0 for those that are missing."""
    spatial = plan[P.SPATIAL]
    first = P.HEADER + plan[P.OUTER] * P.AXIS
    return [0] * (3 - spatial) + [first + a * P.AXIS for a in range(spatial)]


def window_of(plan: list[int]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel sizes, strides and dilations of three axes."""
    axes = axes_of(plan)
    fields = ((P.KERNEL, 1), (P.WINDOW_STRIDE, 1), (P.DILATION, 1))
    sizes, strides, dilations = (tuple(plan[at + field] if at else 1 for at in axes) for field, _ in fields)
    # one tap, or one window, has no distance to another
    strides = tuple(
        1 if at and plan[at + P.WINDOWS] == 1 == k else s for at, k, s in zip(axes, sizes, strides, strict=True)
    )
    return sizes, strides, tuple(d if k > 1 else 1 for d, k in zip(dilations, sizes, strict=True))


def _extent(plan: list[int], field: int) -> int:
    """How far an offset inside of an image, its padding included, can lead."""
    total = 0
    for at in axes_of(plan):
        if at:
            reach = (plan[at + P.KERNEL] - 1) * plan[at + P.DILATION] + plan[at + P.WINDOWS] * plan[
                at + P.WINDOW_STRIDE
            ]
            size = max(plan[at + P.OUTPUT], plan[at + P.SOURCE], plan[at + P.FORWARD_SIZE], reach)
            total += (size + plan[at + P.PAD]) * max(abs(plan[at + field]), 1)
    return total


def common_refusal(asked: Asked, plan: list[int]) -> str:
    """Why no kernel that is told numbers takes a plan, or ""."""
    if plan[P.SPATIAL] > 3 or plan[P.OUTER] > 2:
        return MANY_AXES
    if plan[P.DECODE] != 0:
        return DECODES
    fields = (P.SOURCE_STRIDE, P.OUTPUT_STRIDE, P.AUX_STRIDE, P.JUMP)
    if max(_extent(plan, field) for field in fields) > NARROW or plan[P.TAPS] > NARROW:
        return NOT_NARROW
    if plan[P.LANES] > NARROW:
        return NOT_NARROW
    return ""


_AXIS_FIELDS = (
    ("SIZE", P.SOURCE, 1),
    ("PAD", P.PAD, 0),
    ("STEP", P.SOURCE_STRIDE, 0),
    ("OUT", P.OUTPUT_STRIDE, 0),
    ("AUX", P.AUX_STRIDE, 0),
    ("KERNEL", P.KERNEL, 1),
    ("STRIDE", P.WINDOW_STRIDE, 1),
    ("DILATION", P.DILATION, 1),
    ("LOW", P.LOW, 0),
    ("HIGH", P.HIGH, 1),
    ("JUMP", P.JUMP, 0),
    ("UNIT", P.INDEX_UNIT, 0),
    ("FORWARD", P.FORWARD_SIZE, 1),
)
_OUTER_FIELDS = (
    ("STEP", P.SOURCE_STRIDE),
    ("OUT", P.OUTPUT_STRIDE),
    ("AUX", P.AUX_STRIDE),
    ("UNIT", P.INDEX_UNIT),
)


def numbers_of(
    plan: list[int], vectors: int, outputs: int | None, axes: list[int] | None = None
) -> tuple[int, tuple[int, ...]]:
    """(threads, the numbers of a kernel), for ``vectors`` along the fastest coordinate.

    ``outputs`` along the last axis are a coordinate of their own, unless it is None. ``axes`` are the three axes in
    another order.
    """
    n = [0] * N.NUMBERS
    axes = axes_of(plan) if axes is None else axes
    for number, at in enumerate(axes):
        for name, field, missing in _AXIS_FIELDS:
            n[getattr(N, f"{name}{number}")] = plan[at + field] if at else missing
    near, far = 1, 1
    for a in range(plan[P.OUTER]):
        at, last = P.HEADER + a * P.AXIS, a == plan[P.OUTER] - 1
        if last:
            near = plan[at + P.OUTPUT]
        else:
            far = plan[at + P.OUTPUT]
        for name, field in _OUTER_FIELDS:
            n[getattr(N, f"{name}_{'NEAR' if last else 'FAR'}")] = plan[at + field]
    lanes = (P.SOURCE_LANE, P.OUTPUT_LANE, P.AUX_LANE, P.INDEX_LANE)
    for name, field in zip(("STEP", "OUT", "AUX", "UNIT"), lanes, strict=True):
        n[getattr(N, f"{name}_LANE")] = plan[field]
    n[N.LANES] = plan[P.LANES]
    n[N.DIVISOR] = plan[P.DIVISOR]
    if outputs is not None:
        outputs = plan[axes[2] + P.OUTPUT] if axes[2] else 1
    sizes = {"VECTORS": vectors, "OUTPUTS2": 1 if outputs is None else outputs, "NEAR": near}
    sizes |= {f"OUTPUTS{i}": plan[axes[i] + P.OUTPUT] if axes[i] else 1 for i in (0, 1)}
    threads = far
    for name, size in sizes.items():
        n[getattr(N, name)] = size
        n[getattr(N, f"{name}_BY")], n[getattr(N, f"{name}_SHIFT")] = reciprocal(max(size, 1))
        threads *= size
    n[N.COUNT] = threads
    return threads, tuple(n)


def hot_window(plan: list[int]) -> Any:
    """The window's (kernel sizes, strides) where they are compiled in, or None."""
    sizes, strides, dilations = window_of(plan)
    pairs = list(zip(sizes, strides, strict=True))
    fits = pairs[2] in WINDOWS and all(pair in ((1, 1), *WINDOWS) for pair in pairs[:2])
    return (sizes, strides) if fits and dilations == (1, 1, 1) else None


def _divides(piece: int, plan: list[int], field: int, skipped: int) -> bool:
    """Whether all strides of one kind but that of the axis ``skipped`` are multiples of a vector."""
    axes = [P.HEADER + a * P.AXIS for a in range(plan[P.OUTER] + plan[P.SPATIAL])]
    return all(plan[at + field] % piece == 0 for at in axes if at != skipped)


def row_vector(asked: Asked, plan: list[int], window: Any, backward: bool) -> int:
    """Elements that a thread writes along a row, in whole vectors; 0 if it cannot.

    The longer side of a row, x's, must be its shorter one times the stride, and both whole vectors.
    """
    variant, last = asked.variant, axes_of(plan)[2]
    stride, pad = window[1][2], plan[last + P.PAD]
    long, short = (P.OUTPUT, P.SOURCE) if backward else (P.SOURCE, P.OUTPUT)
    fields = (P.SOURCE_STRIDE, P.OUTPUT_STRIDE, *((P.AUX_STRIDE,) if has_aux(variant) else ()))
    if not asked.aligned or any(plan[last + field] != 1 for field in fields) or pad > 1:
        return 0
    if plan[last + long] != plan[last + short] * stride:
        return 0
    for outputs in (16, 8, 4, 2):
        reads = outputs // stride if backward else outputs * stride
        states = reads * len(variant.state) if not backward else outputs
        if outputs * SIZES[variant.output] > VECTOR_BYTES or outputs % stride or states > MOST_STATES:
            continue
        whole = plan[last + P.OUTPUT] % outputs == 0 and plan[last + P.SOURCE] % reads == 0
        pieces = {P.SOURCE_STRIDE: (reads, variant.source), P.OUTPUT_STRIDE: (outputs, variant.output)}
        if has_aux(variant):
            # indices are read beside the source of a scatter, and written beside the output of a forward
            beside = reads if variant.role == "scatter" else outputs
            pieces[P.AUX_STRIDE] = (beside, variant.aux)
        fits = all(
            _divides(min(many, VECTOR_BYTES // SIZES[dtype]), plan, field, last)
            for field, (many, dtype) in pieces.items()
        )
        if whole and fits:
            return outputs
    return 0


def has_aux(variant: Variant) -> bool:
    """Whether a task has a third buffer."""
    reads_x = variant.role == "gather" and variant.reduction.push_reads_x
    return reads_x or variant.role in ("index", "weigh", "scatter")


def lane_vector(asked: Asked, plan: list[int], most: int) -> int:
    """Lanes that a thread takes, at most so many; 0 if they are no whole vectors."""
    variant = asked.variant
    lanes = [P.SOURCE_LANE, P.OUTPUT_LANE]
    kinds = [(P.SOURCE_STRIDE, variant.source), (P.OUTPUT_STRIDE, variant.output)]
    if has_aux(variant):
        lanes.append(P.AUX_LANE)
        kinds.append((P.AUX_STRIDE, variant.aux))
    if not asked.aligned or any(plan[lane] != 1 for lane in lanes):
        return 0
    widest = max(SIZES[variant.source], SIZES[variant.output])
    for many in (16, 8, 4, 2):
        if many > most or many * widest > VECTOR_BYTES or plan[P.LANES] % many:
            continue
        if all(_divides(min(many, VECTOR_BYTES // SIZES[dtype]), plan, field, -1) for field, dtype in kinds):
            return many
    return 0


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
    if not free and columns_all * lanes > SHARED_STATES:
        return MANY_COLUMNS
    windows = max(1, BLOCK_THREADS // (lanes * columns))
    while not free and windows > 1 and columns_all * lanes * windows > SHARED_STATES:
        windows //= 2
    axes = _folded_first(plan, order)
    last = axes_of(plan)[2]
    threads, numbers = numbers_of(plan, -(-plan[P.LANES] // lanes), plan[last + P.OUTPUT], axes)
    if threads * lanes * columns > NARROW - 1024:
        return NOT_NARROW
    return Taken("blocks", (lanes, columns), threads, numbers, block=lanes * columns * windows, each=windows)


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
    total = _extent(plan, field)
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
    ("blocks", blocks),
    ("lanes", lanes),
    ("points", points),
    ("general", general),
)
"""The forms by name, best first."""

ROLES = {"forward": S.FORWARD, "index": S.INDEX, "weigh": S.WEIGH, "gather": S.GATHER, "scatter": S.SCATTER}
