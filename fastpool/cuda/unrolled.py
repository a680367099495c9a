"""Forms of the GPU for windows that are compiled in, whatever their numbers, and lie inside of the input.

As in ``forms``, each gives a kernel with its numbers, or the reason why it does not take a task. They take apart a
thread's number without quotients for coordinates that are not there.
"""

from __future__ import annotations

from typing import Any

from fastpool.cuda.along import rows
from fastpool.cuda.asked import (
    FORWARD,
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
from fastpool.kernels.cuda.runs import GROUP
from fastpool.kernels.registry import SIZES, Variant

THREADS = 256
"""Threads of a block, about."""

MOST_THREADS = 512

MOST_TAPS = 64
"""Taps that a thread combines for an output of its own; FEW_TAPS are not shared among threads."""

MOST_COLUMN = 256
"""Taps of a column, which a thread combines; and LEAST_COLUMN: of fewer, a thread reads too little for its work."""

LEAST_COLUMN = 4
MOST_COLUMNS = 256

SHARED_TAPS = 32
"""Threads share windows of so many taps or more, as in ``sharing``."""

FEW_LANES = 8
"""Lanes that are so few are read as parts of a row."""

FEW_TAPS = 32
ENOUGH_THREADS = 1 << 15
"""Threads that take a whole window each where there are so many, which is 248 on each processor of an H200."""

ENOUGH_BLOCKS = 264
"""Two for each processor of an H200."""

SHARED_BYTES = 48 << 10
"""Memory that a block may share without asking the driver for more."""

# 2x2x2 of 604 MB on an H200: rows_hot 137.9 us, this form 141.4
DEEP = "leaves to rows_hot what that does along three axes"

WIDEST_WINDOW = 32
"""Bytes of a row in a window that a thread reads alone: beyond, its neighbours' loads lie too far apart."""

OUTSIDE = "is for windows that lie inside of the input"
LARGE = "is for windows of few taps, which one thread combines"
NO_COLUMNS = "is for columns of some taps, and of fewer than one thread may combine"
SHARED_BETTER = "leaves few windows of many taps, and few lanes, to threads that share a window"
TOO_LARGE = "keeps the states of a window's columns, or groups, in shared memory: there are too many"
NOT_ONE_AXIS = "is for windows of many taps along one axis"
NO_NEIGHBOURS = "is for lanes that are neighbours in memory"
NOT_BESIDE = "is for windows side by side along a row, whose elements are neighbours in memory"
APART = "reads vectors of a row: here rows are no whole ones"

COORDINATES = ("VECTORS", "OUTPUTS2", "OUTPUTS1", "OUTPUTS0", "NEAR", "FAR")


def _inside(plan: list[int]) -> bool:
    """Whether every tap of every window lies on the input, and is counted."""
    for at in axes_of(plan):
        if at:
            reach = (plan[at + P.OUTPUT] - 1) * plan[at + P.WINDOW_STRIDE]
            reach += (plan[at + P.KERNEL] - 1) * plan[at + P.DILATION] + 1
            if plan[at + P.PAD] != 0 or reach > min(plan[at + P.SOURCE], plan[at + P.HIGH]) or plan[at + P.LOW] > 0:
                return False
    return True


def inside_refusal(asked: Asked, plan: list[int]) -> str:
    """Why none of these forms takes a plan, or ""."""
    if asked.variant.role not in FORWARD:
        return NO_ROLE
    refusal = common_refusal(asked, plan)
    if refusal:
        return refusal
    for a in range(plan[P.OUTER]):
        at = P.HEADER + a * P.AXIS
        if max(abs(plan[at + field]) for field in (P.SOURCE_STRIDE, P.OUTPUT_STRIDE, P.AUX_STRIDE)) > NARROW:
            return NOT_NARROW
    return "" if _inside(plan) else OUTSIDE


def set_size(n: list[int], name: str, size: int) -> None:
    """Sets the size of a coordinate, and what stands for its quotient."""
    at = getattr(N, name)
    n[at] = size
    n[at + 1], n[at + 2] = reciprocal(max(size, 1))


def merged(asked: Asked, n: list[int], outputs: int, elements: int) -> None:
    """Makes the outer axes one where they are one run of memory, and a row's vectors, where rows are.

    A row has ``outputs`` outputs of ``elements`` elements; of none where it is a coordinate of its own.
    """
    if asked.variant.role == "index":
        return
    far = n[N.COUNT] // max(threads_of(n), 1)
    near = n[N.NEAR]
    if far > 1 and n[N.STEP_FAR] == near * n[N.STEP_NEAR] and n[N.OUT_FAR] == near * n[N.OUT_NEAR]:
        set_size(n, "NEAR", near * far)
        far = 1
    alone = n[N.OUTPUTS0] == n[N.OUTPUTS1] == far == 1 and elements > 0
    if alone and n[N.STEP_NEAR] == elements and n[N.OUT_NEAR] == outputs:
        set_size(n, "VECTORS", n[N.VECTORS] * n[N.NEAR])
        set_size(n, "NEAR", 1)


def threads_of(n: list[int]) -> int:
    """The product of all coordinates but the last, far one."""
    count = 1
    for name in COORDINATES[:-1]:
        count *= n[getattr(N, name)]
    return count


def present(n: list[int]) -> tuple[bool, ...]:
    """Which coordinates have more than one position."""
    return (*(n[getattr(N, name)] > 1 for name in COORDINATES[:-1]), n[N.COUNT] > threads_of(n))


def strides_of(variant: Variant, plan: list[int]) -> tuple[int, ...]:
    """Every stride of the source but those along the last axis, and along lanes."""
    axes = [P.HEADER + a * P.AXIS for a in range(plan[P.OUTER] + plan[P.SPATIAL])]
    return tuple(plan[at + P.SOURCE_STRIDE] for at in axes if at != axes_of(plan)[2])


def _vector(asked: Asked, bytes_: int, *multiples: int) -> int:
    """Elements of the source that are read at a time, of ``bytes_`` at most: a power of two that divides all."""
    vector = max(bytes_ // SIZES[asked.variant.source], 1) if asked.aligned else 1
    while any(many % vector for many in multiples):
        vector //= 2
    return vector


def _made(n: list[int]) -> tuple[bool, tuple[bool, ...]]:
    """The last arguments of a kernel: whether it is given its divisor, and which coordinates there are."""
    return n[N.DIVISOR] != 0, present(n)


def unrolled_lanes(asked: Asked) -> Taken | str:
    """Some lanes of a window for each thread."""
    plan, variant = asked.plans["lanes"], asked.variant
    refusal = inside_refusal(asked, plan)
    if refusal:
        return refusal
    fields = (P.SOURCE_LANE, P.OUTPUT_LANE, *((P.AUX_LANE,) if variant.role == "index" else ()))
    if any(plan[field] != 1 for field in fields) or plan[P.LANES] < 2:
        return NO_NEIGHBOURS
    sizes, _, _ = window_of(plan)
    taps = sizes[0] * sizes[1] * sizes[2]
    if taps > MOST_TAPS:
        return LARGE
    if plan[P.LANES] <= FEW_LANES and sizes[0] * sizes[1] >= LEAST_COLUMN and rows_beside(plan, plan[P.LANES]):
        return SHARED_BETTER
    last = axes_of(plan)[2]
    multiples = [plan[P.LANES], plan[last + P.SOURCE_STRIDE], *strides_of(variant, plan)]
    for field in (P.OUTPUT_STRIDE, *((P.AUX_STRIDE,) if variant.role == "index" else ())):
        multiples += [plan[P.HEADER + a * P.AXIS + field] for a in range(plan[P.OUTER] + plan[P.SPATIAL])]
    # with many taps a thread has enough loads under way, with few it takes whole vectors
    vector = _vector(asked, 16 if taps <= 9 else 4, *multiples)
    while vector * max(SIZES[variant.output], SIZES[variant.aux] if variant.role == "index" else 1) > 64:
        vector //= 2
    threads, numbers = numbers_of(plan, plan[P.LANES] // vector, 1)
    if threads < ENOUGH_THREADS and taps >= FEW_TAPS and sizes[2] > 1:
        return SHARED_BETTER
    if threads > NARROW - 1024:
        return NOT_NARROW
    n = list(numbers)
    merged(asked, n, 0, 0)
    return Taken("unrolled", (sizes, vector, vector, True, *_made(n)), threads, tuple(n))


def rows_beside(plan: list[int], lanes: int) -> bool:
    """Whether windows lie side by side along rows of neighbours in memory, of ``lanes`` for each position."""
    at = axes_of(plan)[2]
    if plan[at + P.DILATION] != 1 and plan[at + P.KERNEL] > 1:
        return False
    beside = plan[at + P.WINDOW_STRIDE] == plan[at + P.KERNEL] or plan[at + P.OUTPUT] == 1
    return beside and plan[at + P.SOURCE_STRIDE] == lanes


def unrolled_rows(asked: Asked) -> Taken | str:
    """Some windows side by side along a row for each thread."""
    plan, variant = asked.plans["rows"], asked.variant
    refusal = inside_refusal(asked, plan)
    if refusal:
        return refusal
    if not rows_beside(plan, 1):
        return NOT_BESIDE
    sizes, _, _ = window_of(plan)
    if sizes[0] > 1 and not isinstance(rows(asked), str):
        return DEEP
    last, wide = axes_of(plan)[2], sizes[2] * SIZES[variant.source]
    if sizes[0] * sizes[1] * sizes[2] > MOST_TAPS or (wide > WIDEST_WINDOW and sizes[0] * sizes[1] >= LEAST_COLUMN):
        return LARGE
    windows = plan[last + P.OUTPUT]
    fields = [P.OUTPUT_STRIDE, *([P.AUX_STRIDE] if variant.role == "index" else [])]
    strides = [*strides_of(variant, plan)]
    best = (0, 0)
    for outputs in (1, 2, 4, 8):
        if windows % outputs or outputs * wide > (64 if sizes[0] * sizes[1] < LEAST_COLUMN else 32):
            break
        writes = [plan[P.HEADER + a * P.AXIS + f] for a in range(plan[P.OUTER] + plan[P.SPATIAL] - 1) for f in fields]
        together = all(plan[last + f] == 1 for f in fields) and all(w % outputs == 0 for w in writes)
        if outputs > 1 and not (together and asked.aligned):
            break
        vector = _vector(asked, 16, outputs * sizes[2], *strides)
        read = vector * SIZES[variant.source]
        # two loads of whole vectors, or one
        if (min(read, 16), outputs * wide <= 32) > (best[0], best[1] == 0):
            best = (read, outputs)
    read, outputs = best
    vector = max(read // SIZES[variant.source], 1)
    few = sizes[0] * sizes[1] < LEAST_COLUMN and wide <= WIDEST_WINDOW
    if read < min(wide, 8) and not few:
        return APART
    threads, numbers = numbers_of(plan, windows // outputs, None)
    if threads > NARROW - 1024:
        return NOT_NARROW
    n = list(numbers)
    whole_rows = n[N.OUT2] == 1 or windows == 1
    merged(asked, n, windows if whole_rows else 0, windows * sizes[2] if whole_rows else 0)
    return Taken("unrolled", (sizes, vector, outputs, False, *_made(n)), threads, tuple(n))


def _units(per: int, count: int) -> int:
    """Units of a block, of ``per`` threads each, of ``count`` in all: full blocks, or a power of two of units.

    They are compiled in, and a kernel for each batch would be too many.
    """
    full, enough = max(THREADS // per, 1), max(count // ENOUGH_BLOCKS, 1)
    return full if enough >= full else 1 << enough.bit_length() - 1


def _state_bytes(variant: Variant) -> int:
    """Bytes of a state in shared memory."""
    return sum(SIZES[dtype] for dtype in variant.state)


def _shared(
    asked: Asked, plan: list[int], n: list[int], sizes: Any, vector: int, elements: int, lanes: int, across: bool
) -> Taken | str:
    """The kernel of columns, from its numbers."""
    count, per = n[N.COUNT], elements // vector
    units = _units(per, count)
    if count * per > NARROW - 1024:
        return NOT_NARROW
    if units * elements * _state_bytes(asked.variant) > SHARED_BYTES:
        return TOO_LARGE
    axes = axes_of(plan)
    alone = all(at == 0 or plan[at + P.OUTPUT] == 1 for at in axes) and not (across and plan[P.LANES] != lanes)
    one_run = n[N.STEP1] == sizes[2] * lanes or sizes[1] == 1
    one_run = one_run and (n[N.STEP0] == sizes[1] * sizes[2] * lanes or sizes[0] == 1)
    whole = alone and one_run and n[N.STEP2] == lanes and n[N.DILATION0] == n[N.DILATION1] == n[N.DILATION2] == 1
    merged(asked, n, 0, 0)
    last = axes[2]
    ragged = plan[P.LANES] % lanes != 0 if across else plan[last + P.OUTPUT] % (elements // sizes[2] // lanes) != 0
    arguments = (sizes, vector, units, elements, lanes, across, whole, ragged, *_made(n))
    return Taken("shared", arguments, count, tuple(n), block=units * per, each=units)


def shared_lanes(asked: Asked) -> Taken | str:
    """Columns of a window for threads that share it, where neighbours in memory are lanes."""
    plan, variant = asked.plans["lanes"], asked.variant
    refusal = inside_refusal(asked, plan)
    if refusal:
        return refusal
    if plan[P.SOURCE_LANE] != 1 or plan[P.LANES] <= FEW_LANES:
        return NO_NEIGHBOURS
    sizes, _, _ = window_of(plan)
    if not LEAST_COLUMN <= sizes[0] * sizes[1] <= MOST_COLUMN or not 1 < sizes[2] <= MOST_COLUMNS:
        return NO_COLUMNS
    last = axes_of(plan)[2]
    # 32 bytes of neighbours are what memory gives at least; as many as are read together by a warp are 128
    lanes = 64 // SIZES[variant.source]
    while lanes * sizes[2] * SIZES[variant.source] > 4 * MOST_THREADS and lanes * SIZES[variant.source] > 16:
        lanes //= 2
    lanes = min(lanes, 1 << (plan[P.LANES] - 1).bit_length())
    vector = _vector(asked, 4, lanes, plan[P.LANES], plan[last + P.SOURCE_STRIDE], *strides_of(variant, plan))
    elements = sizes[2] * lanes
    if elements // vector > 2 * MOST_THREADS:
        return NO_COLUMNS
    _, numbers = numbers_of(plan, -(-plan[P.LANES] // lanes), 1)
    return _shared(asked, plan, list(numbers), sizes, vector, elements, lanes, True)


def shared_rows(asked: Asked) -> Taken | str:
    """Columns of windows side by side for threads that share them, where neighbours in memory are columns."""
    across, variant = asked.plans["lanes"], asked.variant
    few = across[P.SOURCE_LANE] == 1 and 1 < across[P.LANES] <= FEW_LANES
    plan = across if few else asked.plans["rows"]
    refusal = inside_refusal(asked, plan)
    if refusal:
        return refusal
    lanes = plan[P.LANES] if few else 1
    if not rows_beside(plan, lanes):
        return NOT_BESIDE
    sizes, _, _ = window_of(plan)
    column = sizes[0] * sizes[1]
    if not LEAST_COLUMN <= column <= MOST_COLUMN or sizes[2] > MOST_COLUMNS:
        return NO_COLUMNS
    last = axes_of(plan)[2]
    windows, one = plan[last + P.OUTPUT], sizes[2] * lanes
    # a short column leaves a thread too little to do for one word
    vector = _vector(asked, 8 if column <= 16 and windows > 1 else 4, windows * one, *strides_of(variant, plan))
    # pieces of whole windows, and of whole vectors, or the whole row
    piece, row = 1, windows * one
    while piece * one % vector:
        piece *= 2
    room = THREADS * vector
    pieces = 1 if row <= room else -(-row // max(room // (piece * one) * piece * one, piece * one))
    least = -(-windows // pieces)
    each = -(-least // piece) * piece
    pieces = -(-windows // each)
    elements = each * one
    if elements // vector > MOST_THREADS:
        return NO_COLUMNS
    _, numbers = numbers_of(plan, pieces, None)
    return _shared(asked, plan, list(numbers), sizes, vector, elements, lanes, False)


def runs(asked: Asked) -> Taken | str:
    """Windows of many taps along one axis, whose taps threads share: neighbours in memory, or across lanes."""
    plan, variant = asked.plans["lanes"], asked.variant
    across = plan[P.SOURCE_LANE] == 1 and plan[P.LANES] > FEW_LANES
    if not across:
        plan = asked.plans["rows"]
    refusal = inside_refusal(asked, plan)
    if refusal:
        return refusal
    sizes, _, dilations = window_of(plan)
    taps, last = sizes[2], axes_of(plan)[2]
    if sizes[0] * sizes[1] != 1 or taps < SHARED_TAPS:
        return NOT_ONE_AXIS
    if not across and (plan[last + P.SOURCE_STRIDE] != 1 or dilations[2] != 1):
        return NOT_BESIDE
    entries = taps // GROUP + taps % GROUP
    lanes = 64 // SIZES[variant.source] if across else 1
    while lanes * entries > MOST_THREADS and lanes * SIZES[variant.source] > 32:
        lanes //= 2
    if lanes * entries > MOST_THREADS:
        return NO_COLUMNS
    strides = strides_of(variant, plan)
    vector = 1 if across else min(_vector(asked, 16, plan[last + P.WINDOW_STRIDE], *strides), GROUP)
    windows = plan[last + P.OUTPUT]
    _, numbers = numbers_of(plan, -(-plan[P.LANES] // lanes) if across else windows, 1 if across else None)
    n = list(numbers)
    if not across:
        # windows are a coordinate of their own
        set_size(n, "OUTPUTS2", windows)
        set_size(n, "VECTORS", 1)
        n[N.LANES] = 1
    units = _units(lanes * entries, n[N.COUNT])
    if n[N.COUNT] * lanes * entries > NARROW - 1024:
        return NOT_NARROW
    if units * lanes * taps * _state_bytes(variant) > SHARED_BYTES:
        return TOO_LARGE
    merged(asked, n, 0, 0)
    return Taken(
        "runs",
        (taps, vector, units, lanes, *_made(n)),
        n[N.COUNT],
        tuple(n),
        block=units * lanes * entries,
        each=units,
    )
