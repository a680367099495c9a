"""Forms of the GPU for gradients of means and sums whose windows share no element.

As in ``forms``, each gives a kernel with its numbers, or the reason why it does not take a task.
"""

from __future__ import annotations

from fastpool.cuda.along import EMPTY, one_count
from fastpool.cuda.asked import (
    NARROW,
    NO_ROLE,
    NOT_NARROW,
    Asked,
    Taken,
    axes_of,
    common_refusal,
    numbers_of,
    window_of,
)
from fastpool.cuda.unrolled import NO_NEIGHBOURS, merged, present, set_size, threads_of
from fastpool.kernels import plan as P
from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.back_beside import Beside, Run
from fastpool.kernels.cuda.memory import VECTOR_BYTES
from fastpool.kernels.cuda.parts import shares
from fastpool.kernels.registry import SIZES

SHARING = "makes gradients of windows that share no element, which x itself does not enter"
NOT_WHOLE = "is for windows that are whole images, one after the other in memory"

MOST_ROWS = 8
"""Elements of a strip: a share and a thread's place take as long as about twenty stores."""

ENOUGH_THREADS = 1 << 16
"""Threads that write at the speed of memory: a strip does not leave fewer."""

MOST_WINDOWS = 4
"""Windows of a row that a vector may lie in."""

LONG_ROW = 128
"""Bytes of a row from which on strips are better than a run: the threads of a warp write whole lines of memory."""


def _refusal(asked: Asked, plan: list[int]) -> str:
    """Why none of these forms takes a plan, or ""."""
    variant = asked.variant
    if variant.role != "gather":
        return NO_ROLE
    refusal = common_refusal(asked, plan)
    if refusal:
        return refusal
    sizes, strides, dilations = window_of(plan)
    alone = [not at or plan[at + P.WINDOWS] == 1 for at in axes_of(plan)]
    apart = all(one or k <= s for one, k, s in zip(alone, sizes, strides, strict=True))
    if variant.reduction.push_reads_x or not apart or dilations != (1, 1, 1):
        return SHARING
    if any(at and (plan[at + P.SOURCE] == 0 or plan[at + P.PAD] < 0) for at in axes_of(plan)):
        return EMPTY
    return ""


def _covered(plan: list[int], at: int) -> bool:
    """Whether every position along an axis is in a window."""
    if not at:
        return True
    windows, kernel = plan[at + P.WINDOWS], plan[at + P.KERNEL]
    stride = plan[at + P.WINDOW_STRIDE]
    reach = (windows - 1) * stride + kernel - plan[at + P.PAD]
    return reach >= plan[at + P.OUTPUT] and (windows == 1 or kernel >= stride)


def run(asked: Asked) -> Taken | str:
    """A vector of images that are windows, one after the other in memory."""
    plan = asked.plans["rows"]
    refusal = _refusal(asked, plan)
    if refusal:
        return refusal
    axes = axes_of(plan)
    size, divisor = 1, 1
    for at in reversed(axes):
        if at:
            if plan[at + P.OUTPUT] > 1 and plan[at + P.OUTPUT_STRIDE] != size:
                return NOT_WHOLE
            if plan[at + P.WINDOWS] != 1 or not _covered(plan, at):
                return NOT_WHOLE
            size *= plan[at + P.OUTPUT]
            first = -plan[at + P.PAD]
            divisor *= min(first + plan[at + P.KERNEL], plan[at + P.HIGH]) - max(first, plan[at + P.LOW])
    threads, numbers = numbers_of(plan, 1, None)
    n = list(numbers)
    merged(asked, n, 0, 0)
    images = n[N.NEAR]
    total = images * size
    far = threads // max(n[N.OUTPUTS0] * n[N.OUTPUTS1] * images, 1)
    if far != 1 or (images > 1 and n[N.OUT_NEAR] != size) or n[N.STEP_NEAR] * images > NARROW or n[N.STEP_NEAR] < 0:
        return NOT_WHOLE
    row, element = plan[axes[2] + P.OUTPUT], SIZES[asked.variant.output]
    vector = max(VECTOR_BYTES // element, 1) if asked.aligned else 1
    while vector > 1 and (vector - 2) // size + 2 > MOST_WINDOWS:
        vector //= 2
    if row * element >= LONG_ROW and row % vector == 0:
        return NOT_WHOLE
    if total > NARROW - 1024 * vector:
        return NOT_NARROW
    n[N.LANES] = total
    n[N.COUNT] = threads = -(-total // vector)
    divides = shares(asked.variant)
    divisor = (plan[P.DIVISOR] or divisor) if divides else 0
    if divides and divisor == 0:
        return EMPTY
    return Taken("run", (Run(size, vector, divisor, total % vector != 0),), threads, tuple(n))


def beside_lanes(asked: Asked) -> Taken | str:
    """Vectors of lanes, in several rows of elements."""
    plan = asked.plans["lanes"]
    if plan[P.SOURCE_LANE] != 1 or plan[P.OUTPUT_LANE] != 1 or plan[P.LANES] < 2:
        return NO_NEIGHBOURS
    return _beside(asked, plan, True)


def beside_rows(asked: Asked) -> Taken | str:
    """Vectors along rows, in several rows of elements."""
    return _beside(asked, asked.plans["rows"], False)


def _vector(asked: Asked, plan: list[int], across: bool) -> int:
    """Elements that are written together: lanes, or of a row where they are neighbours."""
    axes = axes_of(plan)
    last = axes[2]
    if not asked.aligned or (not across and plan[last + P.OUTPUT_STRIDE] != 1):
        return 1
    every = [P.HEADER + a * P.AXIS for a in range(plan[P.OUTER] + plan[P.SPATIAL])]
    multiples = [plan[P.LANES] if across else plan[last + P.OUTPUT]]
    multiples += [plan[at + P.OUTPUT_STRIDE] for at in every if across or at != last]
    if across:
        multiples += [plan[at + P.SOURCE_STRIDE] for at in every]
    widest = max(SIZES[asked.variant.output], SIZES[asked.variant.source] if across else 1)
    vector = max(VECTOR_BYTES // widest, 1)
    stride = plan[last + P.WINDOW_STRIDE]
    while any(many % vector for many in multiples) or (
        not across and vector > 1 and (vector - 2) // stride + 2 > MOST_WINDOWS
    ):
        vector //= 2
    return vector


def _beside(asked: Asked, plan: list[int], across: bool) -> Taken | str:
    """The kernel of strips."""
    refusal = _refusal(asked, plan)
    if refusal:
        return refusal
    variant, axes = asked.variant, axes_of(plan)
    vector = _vector(asked, plan, across)
    _, true_strides, _ = window_of(plan)
    several = [at != 0 and plan[at + P.WINDOWS] > 1 for at in axes]
    s0, s1, s2 = (s if many else 0 for many, s in zip(several, true_strides, strict=True))
    last = axes[2]
    pad2 = plan[last + P.PAD]
    if across or s2 == 0:
        windows, begins = 1, s2 == 0
    elif s2 % vector == 0 and pad2 % vector == 0:
        windows, begins = 1, False
    elif vector % s2 == 0 and pad2 % s2 == 0:
        windows, begins = vector // s2, True
    else:
        windows, begins = (vector - 2) // s2 + 2, False
    count = 1 if across else plan[last + P.OUTPUT] // vector
    vectors, outputs = (plan[P.LANES] // vector, plan[last + P.OUTPUT]) if across else (count, None)
    threads, numbers = numbers_of(plan, vectors, outputs)
    n = list(numbers)
    n[N.WINDOWS1] = rows = n[N.OUTPUTS1]
    padded = rows + n[N.PAD1]
    in_window = s1 or max(padded, 1)
    others = threads // max(rows, 1)
    # as long as leaves enough threads, and of one length as far as that goes
    strips = next(
        (
            m
            for m in range(-(-in_window // MOST_ROWS), in_window)
            if others * -(-padded // in_window) * m >= ENOUGH_THREADS
        ),
        in_window,
    )
    strip = -(-in_window // strips)
    strips = -(-in_window // strip)
    if s1 == 0:
        set_size(n, "OUTPUTS1", strips)
        exact = n[N.PAD1] == 0 and strips * strip == rows
    else:
        set_size(n, "OUTPUTS1", -(-padded // in_window) * strips)
        exact = n[N.PAD1] == 0 and padded % in_window == 0
    n[N.COUNT] = threads = others * n[N.OUTPUTS1]
    if threads > NARROW - 1024:
        return NOT_NARROW
    divisor = (plan[P.DIVISOR] or one_count(plan)) if shares(variant) else 0
    merged(asked, n, 0, 0)
    assert threads == 0 or threads % threads_of(n) == 0
    covered0, covered1, covered2 = (_covered(plan, at) for at in axes)
    covered = (covered0, covered1, covered2)
    made = Beside((s0, s1, s2), covered, vector, across, windows, begins, strip, strips, exact, divisor, present(n))
    return Taken("beside", (made,), threads, tuple(n))
