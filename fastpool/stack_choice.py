"""Whether small planes are stacked, see ``stacking``, or there is a kernel that takes less time.

Integer arithmetic in the subset that Numba compiles, as in ``planning``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool.fusing import MOST_TAPS, numbered, planes_go_on, planes_inside, squares, taps_in_one_plane
from fastpool.kernels import plan as P
from fastpool.layout import Block
from fastpool.tiling import (
    ACCEPTED,
    DIVISORS,
    LONG_ROWS,
    NOT_CONTIGUOUS,
    NOT_STACKED,
    VECTOR_BYTES,
    last_axis,
)

PLANE_BYTES = 1536
"""Bytes that a tile reads, where windows share nothing, from which on it takes less time without scratch."""


def _small_window(plan: Block) -> bool:
    """Whether there is a kernel that needs no scratch for the window, see ``fusing``."""
    last = last_axis(plan)
    kernel, stride = plan[last + P.KERNEL], plan[last + P.WINDOW_STRIDE]
    for a in range(plan[P.LEAD]):
        if plan[last - (a + 1) * P.AXIS + P.KERNEL] > MOST_TAPS:
            return False
    if plan[last + P.DILATION] != 1 or kernel < 2 or kernel > 3:
        return False
    return stride == 2 or kernel == 3


def _dense_windows(plan: Block) -> bool:
    """Whether most windows are asked for: those between them are made, too."""
    for a in range(plan[P.LEAD] + 1):
        at = last_axis(plan) - a * P.AXIS
        if plan[at + P.WINDOW_STRIDE] > 2 or 2 * plan[at + P.OUTPUT] * plan[at + P.WINDOW_STRIDE] < plan[at + P.SOURCE]:
            return False
    return True


def _better(spec: Block, plan: Block) -> bool:
    """Whether stacking takes less time than what else there is."""
    last = last_axis(plan)
    kernel, stride = plan[last + P.KERNEL], plan[last + P.WINDOW_STRIDE]
    if not _dense_windows(plan):
        return False
    row = plan[last + P.SOURCE] * spec[S.SOURCE_BYTES]
    if _small_window(plan) and kernel == 2 and plan[P.LEAD] > 0 and planes_inside(plan):
        # without scratch, planes that one tile cannot go on over begin anew: 2x2, float32, 13 wide 0.64 and 0.41 ms, 21
        # wide 0.31 and 0.33; 2x2x2, 15 wide 0.47 and 0.29, 28 wide 0.26 and 0.27; bytes, 27 wide 0.95 and 0.57, 57 wide
        # 0.30 and 0.35
        near = last - P.AXIS
        if plan[P.LEAD] == 1:
            return not planes_go_on(plan) and row * plan[near + P.SOURCE] < PLANE_BYTES
        return row * plan[near + P.SOURCE] * plan[near - P.AXIS + P.KERNEL] < 4 * PLANE_BYTES
    if _small_window(plan):
        # float32 planes, without scratch and so: 2x2 at stride 2, 56 wide 1.07 and 0.93 ms, 112 wide 0.83 and 0.94;
        # 3x3 at stride 1, 112 wide 1.7 and 1.5; 3x3x3 at stride 2, 112 wide 0.40 and 0.38; 2x2x2, 64 wide 1.9 and 2.1
        planes = plan[P.LEAD] == 1
        if stride == 1:
            most = 16 if planes else 64
        else:
            most = 3 if planes or kernel == 2 else 7
        return plan[P.LEAD] > 0 and row < (most + 1) * VECTOR_BYTES
    if row < 4 * VECTOR_BYTES:
        return True
    if spec[S.REPEATABLE] != 0:
        return stride == 1 or kernel >= 8
    # sums of many blocks need as many copies: 31x31 of 1024 x 1024 1.8 ms and 2.0, 13x13 of 224 x 224 2.5 and 1.8
    return stride == 1 and plan[P.LEAD] > 0 and plan[P.LEVELS] <= 2


def _taps_everywhere(plan: Block) -> bool:
    """Whether every window has a tap on the input."""
    for a in range(plan[P.SPATIAL]):
        at = last_axis(plan) - a * P.AXIS
        dilation, size = plan[at + P.DILATION], plan[at + P.SOURCE]
        before = plan[at + P.PAD]
        if before > (plan[at + P.KERNEL] - 1) * dilation or (before > 0 and size < dilation):
            return False
        if (plan[at + P.OUTPUT] - 1) * plan[at + P.WINDOW_STRIDE] - before >= size:
            return False
    return True


def _better_indexed(spec: Block, plan: Block) -> bool:
    """Whether stacking takes less time than what else there is, where indices are asked for."""
    last = last_axis(plan)
    if not _dense_windows(plan):
        return False
    # rows of three outputs are written one by one: 2x2 at stride 2, 7 wide 0.87 of the speed, but bytes 1.46
    if plan[P.TAPS] <= 4 and plan[last + P.OUTPUT] < 4 and spec[S.SOURCE_BYTES] >= 4:
        return False
    if not _small_window(plan):
        # against sweeps, float32: 5x5 7 wide 2.6 times as fast, 224 wide 2.5; 13x13 3.2 and 2.2; 2x2 at stride 1 14
        # wide 1.8 and 224 wide 1.09
        return True
    if taps_in_one_plane(plan):
        return False
    # against what needs no scratch: 3x3 of a vector of outputs at least takes 0.6 to 0.95 of the time by columns
    if squares(plan) and plan[last + P.OUTPUT] * spec[S.SOURCE_BYTES] >= VECTOR_BYTES:
        return False
    # float32: 2x2 at stride 2, 28 wide 1.87 and 56 wide 0.86; 3x3x3, 56 wide 2.5
    most = 3
    if plan[last + P.KERNEL] == 3:
        most = 5 if plan[last + P.WINDOW_STRIDE] == 2 else 7
        if plan[last + P.WINDOW_STRIDE] == 1 and plan[P.LEAD] > 1:
            most = 64
    return plan[last + P.SOURCE] * spec[S.SOURCE_BYTES] < most * VECTOR_BYTES


def _index_refusal(spec: Block, plan: Block) -> int:
    """The rest of why the planned task is not done so, where indices are asked for; or ACCEPTED."""
    if plan[P.LEAD] == 0 or not numbered(spec, plan) or not _taps_everywhere(plan):
        return NOT_STACKED
    last = last_axis(plan)
    if plan[last + P.AUX_STRIDE] != 1 and plan[last + P.OUTPUT] > 1:
        return NOT_CONTIGUOUS
    return ACCEPTED if spec[S.FORCED] != 0 or _better_indexed(spec, plan) else LONG_ROWS


def stacked_refusal(spec: Block, plan: Block) -> int:
    """Why the planned task is not done so, or ACCEPTED."""
    last = last_axis(plan)
    if plan[last + P.SOURCE_STRIDE] != 1 and plan[last + P.SOURCE] > 1:
        return NOT_STACKED
    if plan[last + P.OUTPUT_STRIDE] != 1 and plan[last + P.OUTPUT] > 1:
        return NOT_CONTIGUOUS
    if spec[S.ROLE] == S.INDEX:
        return _index_refusal(spec, plan)
    if spec[S.COUNTED] != 0 and plan[P.DIVISOR] == 0:
        return DIVISORS
    return ACCEPTED if spec[S.FORCED] != 0 or plan[P.COVERED] != 0 or _better(spec, plan) else LONG_ROWS
