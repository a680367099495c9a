"""How a task is cut: the small integer functions and limits that every plan is made with."""

from __future__ import annotations

from fastpool.kernels import plan as P
from fastpool.layout import Block

PARALLEL_BYTES = 1 << 17
"""A task that moves less stays in the calling thread: waking a second one costs as long as moving this much."""

VECTOR_BYTES = 64

ENOUGH_TILES = 16
"""A tile is made smaller than its scratch would allow where there were fewer: each thread is to have several."""

MOST_STATES = 1 << 44
"""States in a scratch row beyond which nothing is planned: no machine has the memory, and sizes stay below 2**63."""

BAND_BYTES = 1 << 18
"""What a scatter tile keeps warm: half of a typical second-level cache."""

ACCEPTED = 0
REASONS = (
    "accepted",
    "has no kernel for this role",
    "is for windows of its own size and stride along the last axis, without dilation",
    "writes rows whose elements are neighbours in memory",
    "vectors run better along the rows here: the last pooled axis is contiguous",
    "is for windows that share taps or are short; here each output folds its own",
    "has no arithmetic for this element type or reduction",
    "another kernel was forced",
    "needs more workspace than any machine has",
    "compares indices with every tap: the taps, or the strides, are too many here",
    "compares indices with every tap, in scratch: a scatter in place does less here",
    "is for small windows along up to three axes, read from rows whose elements are neighbours in memory",
    "divides all windows by the same number",
    "keeps blocks of taps from row to row: here that is more work, or has no rows",
    "writes whole vectors: rows are too short here",
    "stacks small planes whose rows are neighbours in memory, for windows a step of 1 or 2 apart along them",
    "stacks small planes: rows are long here, or have to be copied for too few taps",
    "is for windows along one axis, of 3 to 8 taps and as far apart (elements below 4 bytes: 4 or 8), without padding",
    "is for windows that share no element, without dilation",
)
(
    _,
    NO_ROLE,
    OTHER_WINDOW,
    NOT_CONTIGUOUS,
    ROWS_BETTER,
    FOLDS,
    NO_ARITHMETIC,
    NOT_FORCED,
    TOO_LARGE,
    NO_MATCH,
    SCATTERS,
    NOT_FUSED,
    DIVISORS,
    NOT_SLID,
    SHORT_ROWS,
    NOT_STACKED,
    LONG_ROWS,
    NOT_APART,
    NOT_SPREAD,
) = range(len(REASONS))


def bit_length(n: int) -> int:
    """Binary digits of a non-negative integer."""
    count = 0
    while n > 0:
        n >>= 1
        count += 1
    return count


def ceil_div(a: int, b: int) -> int:
    """``a / b``, rounded up."""
    return -((-a) // b)


def round_up(n: int, multiple: int) -> int:
    """The least multiple that is not below ``n``."""
    return ceil_div(n, multiple) * multiple


def last_axis(plan: Block) -> int:
    """Where the record of the last spatial axis begins."""
    return P.HEADER + (plan[P.OUTER] + plan[P.SPATIAL] - 1) * P.AXIS


def cut(size: int, block: int) -> tuple[int, int]:
    """(block, blocks): even blocks of at most about that size."""
    blocks = ceil_div(size, max(1, min(block, size)))
    block = ceil_div(size, max(1, blocks))
    return block, ceil_div(size, max(1, block))


def product(plan: Block, first: int, count: int, field: int) -> int:
    """The product of one field over ``count`` axes from axis ``first`` on."""
    total = 1
    for a in range(count):
        total *= plan[P.HEADER + (first + a) * P.AXIS + field]
    return total


def single_steps(plan: Block, axes: int) -> None:
    """Makes each coordinate of the first ``axes`` axes a tile of its own."""
    for a in range(axes):
        at = P.HEADER + a * P.AXIS
        plan[at + P.STEPS] = plan[at + P.OUTPUT]
        plan[at + P.BY] = 1


def source_end(plan: Block, stride: int) -> int:
    """One past the last element of what has that stride and the size of the source.

    Where a stride is negative, places are negative, too: it is before all of them.
    """
    end = 1
    for a in range(plan[P.OUTER] + plan[P.SPATIAL]):
        at = P.HEADER + a * P.AXIS
        size = plan[at + P.SOURCE]
        if plan[at + stride] < 0:
            return -P.FAR
        end += (size - 1) * plan[at + stride]
    lane = plan[P.SOURCE_LANE] if stride == P.SOURCE_STRIDE else plan[P.AUX_LANE]
    if lane < 0 or plan[P.LANES] < 1:
        return -P.FAR
    return end + (plan[P.LANES] - 1) * lane
