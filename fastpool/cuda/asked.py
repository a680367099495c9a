"""A task as a form of the GPU looks at it: its axes, its window, the vectors that its arrays allow, its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from fastpool.kernels import plan as P
from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import VECTOR_BYTES
from fastpool.kernels.registry import SIZES, Variant

NARROW = 2**31 - 1
"""The largest offset, or number of threads, that a kernel computes in 32 bits."""

WINDOWS = ((2, 2), (3, 2), (3, 1), (2, 1))
"""Kernel sizes and strides that are compiled in; leading axes may also have (1, 1)."""

MOST_STATES = 16
"""States of a row that a thread holds: with twice as many it needs 96 registers, and there are half as many threads."""

MANY_AXES = "is for up to three pooled and two other axes"
NOT_NARROW = "computes places inside of an image in 32 bits"
DECODES = "gives indices whose order is that of the taps"


NO_ROLE = "has no kernel for this role"

FORWARD = ("forward", "index")
BACKWARD = ("gather", "scatter")


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

    A block of ``block`` threads, in ``rows`` rows, does the work of ``each`` of the ``threads``: windows, where threads
    share one. A kernel that ``leaves`` so many states in a workspace has another behind it.
    """

    make: str
    arguments: tuple[Any, ...]
    threads: int
    numbers: tuple[int, ...]
    plan: list[int] | None = None
    block: int = 256
    each: int = 256
    rows: int = 1
    then: Taken | None = None
    leaves: int = 0


def reciprocal(divisor: int) -> tuple[int, int]:
    """(factor, shift) with ``n // divisor == 2 * n * factor >> 32 >> shift`` for ``n`` below 2**31.

    The factor is the next integer above ``2**(31 + shift) / divisor``, and below 2**32: its error, below
    ``divisor <= 2**shift``, times ``n`` stays below ``2**(31 + shift)``.
    """
    shift = (divisor - 1).bit_length()
    return -(-(1 << 31 + shift) // divisor), shift


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


def extent(plan: list[int], field: int) -> int:
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
    if max(extent(plan, field) for field in fields) > NARROW or plan[P.TAPS] > NARROW:
        return NOT_NARROW
    outer = [P.HEADER + a * P.AXIS for a in range(plan[P.OUTER])]
    steps = [abs(plan[at + field]) for at in outer for field in (P.SOURCE_STRIDE, P.OUTPUT_STRIDE, P.AUX_STRIDE)]
    if max([plan[P.LANES], *steps]) > NARROW:
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
    n[N.WINDOWS1], n[N.WINDOWS2] = (plan[at + P.OUTPUT] if at else 1 for at in axes[1:])
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
