"""The form of the GPU for windows of two neighbours, of integers of 8 or 16 bits: two of them in a word's halves.

As in ``forms``, it gives a kernel with its numbers, or the reason why it does not take a task.
"""

from __future__ import annotations

import numpy as np

from fastpool.cuda.asked import NARROW, NOT_NARROW, Asked, Taken, axes_of, numbers_of, window_of
from fastpool.cuda.unrolled import LARGE, NOT_BESIDE, inside_refusal, merged, present, rows_beside, strides_of
from fastpool.kernels import plan as P
from fastpool.kernels import reductions as R
from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import SCALARS
from fastpool.kernels.registry import SIZES

NO_PAIRS = "is for two neighbours along a row: max and min of 8 and 16 bits, means of unsigned bytes by a power of two"
APART = "reads and writes whole, aligned words of a row"

MOST_ROWS = 16
"""Rows of taps that a thread combines."""


def _way(asked: Asked, taps: int) -> tuple[str, int]:
    """(the instruction that combines two pairs, or "mean"; the exponent of a mean's divisor), or ("", 0)."""
    variant, reduction, plan = asked.variant, asked.variant.reduction, asked.plans["rows"]
    if variant.role != "forward" or len(variant.state) != 1 or variant.output != variant.source:
        return "", 0
    if reduction.keyed and reduction.combine is R.larger and variant.source in ("i8", "i16"):
        limits = np.iinfo(SCALARS[variant.source])
        # elements are keys of the largest first, of integers with a sign, by the mask 0
        ways = {0: "max.s16x2", -1: "min.s16x2", int(limits.min): "max.u16x2", int(limits.max): "min.u16x2"}
        return ways.get(plan[P.PARAM], ""), 0
    divisor = plan[P.DIVISOR] or taps
    # a byte of a half's sum, and its divisor, in 16 bits
    if reduction.lower is R.unsigned_quotient and variant.source == "u8" and 0 < divisor <= 256:
        return ("mean", divisor.bit_length() - 1) if divisor & (divisor - 1) == 0 else ("", 0)
    return "", 0


def pairs(asked: Asked) -> Taken | str:
    """Some outputs of a row for each thread, from words of two or four elements."""
    plan, variant = asked.plans["rows"], asked.variant
    refusal = inside_refusal(asked, plan)
    if refusal:
        return refusal
    if not rows_beside(plan, 1):
        return NOT_BESIDE
    sizes, _, _ = window_of(plan)
    way, shift = _way(asked, sizes[0] * sizes[1] * sizes[2])
    if sizes[2] != 2 or not way:
        return NO_PAIRS
    if sizes[0] * sizes[1] > MOST_ROWS:
        return LARGE
    last = axes_of(plan)[2]
    axes = [P.HEADER + a * P.AXIS for a in range(plan[P.OUTER] + plan[P.SPATIAL])]
    writes = [plan[at + P.OUTPUT_STRIDE] for at in axes if at != last]
    windows = plan[last + P.OUTPUT]
    if not asked.aligned or plan[last + P.OUTPUT_STRIDE] != 1:
        return APART
    for words in (4, 2):
        outputs = words * 2 // SIZES[variant.source]
        reads = all(step % (2 * outputs) == 0 for step in strides_of(variant, plan))
        if reads and all(many % outputs == 0 for many in (windows, *writes)):
            break
    else:
        return APART
    threads, numbers = numbers_of(plan, windows // outputs, None)
    if threads > NARROW - 1024:
        return NOT_NARROW
    n = list(numbers)
    merged(asked, n, windows, 2 * windows)
    return Taken("pairs", (sizes, words, way, shift, present(n)), n[N.COUNT], tuple(n))
