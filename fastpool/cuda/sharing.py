"""Forms of the GPU in which threads share their work: tiles, blocks that share a window, and blocks that share one too.

As in ``forms``, each gives a kernel with its numbers, or the reason why it does not take a task.
"""

from __future__ import annotations

from typing import NamedTuple

from fastpool.cuda.asked import (
    DECODES,
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
from fastpool.kernels.cuda.blocks import SHARED
from fastpool.kernels.cuda.columns import is_free
from fastpool.kernels.cuda.tiles import ACROSS, DOWN, capacity
from fastpool.kernels.registry import Variant

BLOCK_THREADS = 256

SHARED_TAPS = 32
"""Threads share windows of so many taps or more."""

LARGE_TAPS = 1 << 15
"""Blocks share windows of so many taps or more, of which there are few: one block has a small part of the bandwidth."""

FEW_WINDOWS = 512
ENOUGH_THREADS = 1 << 17

TILE_TAPS = 8
"""Windows share a tile from so many taps on for each position that they are apart."""

MOST_HALO = 16.0
"""Elements that a tile may read for each of its windows, at most."""

FEW_TAPS = "shares a window among threads: here it has too few taps, or there are many windows"
DILATED = "counts taps of windows without dilation"
MANY_COLUMNS = "keeps the states of all columns of a window in shared memory: there are too many"
TWICE = "combines taps twice"
APART = "is for windows of many taps close together along up to two axes, the last one of neighbours"
TOO_LARGE = "keeps a tile of the input in shared memory: windows are too large"
TWO_STATES = "leaves states of one number, of windows over two axes or more"
NOT_ALONE = "is for windows that are alone along their axes"


def tiles(asked: Asked) -> Taken | str:
    """A tile of the input in shared memory, for large windows close together."""
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
    # equal taps are told apart by their place in the tile
    if variant.role == "index" and axes[1] and plan[axes[1] + P.JUMP] < plan[axes[2] + P.JUMP]:
        return DECODES
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
    n[N.TILE1], n[N.TILE2] = high, wide
    blocks_in_all = threads // outputs[1] * across1
    return Taken("tiles", (), blocks_in_all, tuple(n), block=ACROSS, rows=DOWN, each=1)


def _power(n: int, most: int) -> int:
    """The least power of two that is not below ``n``, or ``most``."""
    return min(1 << max(n - 1, 0).bit_length(), most)


def _window_alone(asked: Asked) -> tuple[list[int], bool] | str:
    """(the plan of a window that threads share, whether neighbouring threads take lanes), or why they do not."""
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
    return FEW_TAPS if sizes[0] * sizes[1] * sizes[2] < SHARED_TAPS else (plan, neighbours)


class _Block(NamedTuple):
    """How a block is divided: lanes and columns of a window, windows; columns along axis 2 at a time."""

    lanes: int
    columns: int
    windows: int
    wide: int


def _divided(variant: Variant, lanes_in_all: int, along1: int, along2: int) -> _Block | str:
    """The division of a block for windows of ``along1`` times ``along2`` columns."""
    lanes = _power(lanes_in_all, 32)
    columns = _power(along1 * along2, BLOCK_THREADS // lanes)
    windows = max(1, BLOCK_THREADS // (lanes * columns))
    wide = _power(along2, SHARED)
    if not is_free(variant):
        while along1 * wide * lanes > SHARED and wide > 1:
            wide //= 2
        if along1 * wide * lanes > SHARED:
            return MANY_COLUMNS
        while windows > 1 and along1 * min(wide, along2) * lanes * windows > SHARED:
            windows //= 2
    return _Block(lanes, columns, windows, wide)


def _folded_first(plan: list[int]) -> list[int]:
    """The axes of a window in the order in which a block combines them.

    The first one that has taps is folded by each thread, unless it is the only one.
    """
    axes = axes_of(plan)
    with_taps = [at for at in axes if at and plan[at + P.KERNEL] > 1]
    others = [at for at in axes if at not in with_taps]
    if len(with_taps) < 2:
        return [*others, *with_taps]
    return [with_taps[0], *others, *with_taps[1:]]


def _block(variant: Variant, found: _Block, windows: int, n: list[int], states: bool) -> Taken | str:
    """The kernel of a block with these numbers."""
    if windows * found.lanes * found.columns > NARROW - 1024:
        return NOT_NARROW
    n[N.TILE2] = found.wide
    threads = found.lanes * found.columns * found.windows
    arguments = (found.lanes, found.columns, states) if states else (found.lanes, found.columns)
    return Taken("blocks", arguments, windows, tuple(n), block=threads, each=found.windows)


def blocks(asked: Asked) -> Taken | str:
    """Threads of a block share a window: for windows of many taps that are few."""
    alone = _window_alone(asked)
    if isinstance(alone, str):
        return alone
    plan, neighbours = alone
    axes = _folded_first(plan)
    along1, along2 = (plan[at + P.KERNEL] if at else 1 for at in axes[1:])
    found = _divided(asked.variant, plan[P.LANES] if neighbours else 1, along1, along2)
    if isinstance(found, str):
        return found
    windows, numbers = numbers_of(plan, -(-plan[P.LANES] // found.lanes), 0, axes)
    return _block(asked.variant, found, windows, list(numbers), False)


def _counted(plan: list[int], axes: list[int]) -> int:
    """Taps that a divisor counts of windows that are alone along their axes, without dilation."""
    count = 1
    for at in axes:
        if at:
            first = -plan[at + P.PAD]
            count *= max(0, min(first + plan[at + P.KERNEL], plan[at + P.HIGH]) - max(first, plan[at + P.LOW]))
    return count


def chunks(asked: Asked) -> Taken | str:
    """Two launches for few windows that are too large for a block each, and alone along their axes.

    The first combines parts of each column, the second what they leave.
    """
    variant = asked.variant
    alone = _window_alone(asked)
    if isinstance(alone, str):
        return alone
    plan, neighbours = alone
    axes = _folded_first(plan)
    if len(variant.state) != 1 or variant.role != "forward" or axes[0] == 0:
        return TWO_STATES
    if any(at and plan[at + P.OUTPUT] != 1 for at in axes):
        return NOT_ALONE
    taps, along1, along2 = (plan[at + P.KERNEL] if at else 1 for at in axes)
    lanes = plan[P.LANES] if neighbours else 1
    windows = 1
    for a in range(plan[P.OUTER]):
        windows *= plan[P.HEADER + a * P.AXIS + P.OUTPUT]
    neighbours_in_all = along1 * along2 * lanes * max(windows, 1)
    # whole chunks are as many as it takes to have enough threads, of eight taps at least
    size = 8
    while taps // (2 * size) * neighbours_in_all >= ENOUGH_THREADS:
        size *= 2
    whole, tails = taps // size, (taps % size).bit_count()
    if windows * lanes > FEW_WINDOWS or whole < 4 or taps * along1 * along2 < LARGE_TAPS:
        return FEW_TAPS
    entries, columns = whole + tails, along1 * along2
    found = _divided(variant, lanes, along1, along2)
    if isinstance(found, str):
        return found
    threads, numbers = numbers_of(plan, lanes, 0, axes)
    n = list(numbers)
    for name, many in (("OUTPUTS2", columns), ("OUTPUTS1", entries)):
        n[getattr(N, name)] = many
        n[getattr(N, f"{name}_BY")], n[getattr(N, f"{name}_SHIFT")] = reciprocal(many)
    n[N.TILE1] = size
    threads *= columns * entries
    n[N.COUNT] = threads
    if threads > NARROW - 1024:
        return NOT_NARROW
    windows, numbers = numbers_of(plan, -(-lanes // found.lanes), 0, axes)
    m = list(numbers)
    m[N.SIZE0 : N.SIZE2 + 1] = entries, along1, along2
    m[N.PAD0 : N.PAD2 + 1] = 0, 0, 0
    m[N.STEP0 : N.STEP2 + 1] = columns * lanes, along2 * lanes, lanes
    m[N.DILATION0 : N.DILATION2 + 1] = 1, 1, 1
    m[N.STEP_LANE], m[N.STEP_NEAR] = 1, entries * columns * lanes
    m[N.STEP_FAR] = m[N.NEAR] * m[N.STEP_NEAR]
    m[N.KERNEL0], m[N.TILE1] = whole, tails
    if variant.reduction.counted and m[N.DIVISOR] == 0:
        m[N.DIVISOR] = _counted(plan, axes)
        if m[N.DIVISOR] == 0:
            return NOT_ALONE
    last = _block(variant, found, windows, m, True)
    if isinstance(last, str):
        return last
    return Taken("chunks", (), threads, tuple(n), then=last, leaves=threads)
