"""Windows of programs that look at every tap: sizes from a caller's arguments, and the numbers of the plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from fastpool.arguments import Options
from fastpool.family.calls import Call
from fastpool.family.framing import Frame, window_numbers
from fastpool.kernels import frame as F
from fastpool.kernels import windows_plan as W
from fastpool.kernels.elements import HALVES
from fastpool.memory import Array
from fastpool.problem import Ints
from fastpool.tiling import ENOUGH_TILES
from fastpool.window import Window, multiply_sizes

SCRATCH_BYTES = 1 << 15
"""What the taps of a block may take: they are to stay in the first cache, with what is made of them."""
PADDED_TAPS = 4096
MOST_TAPS = 1 << 31
"""Taps beyond which no window is looked at tap by tap: no machine has the scratch."""


PLANS_KEPT, MOST_KEPT = 256, 20_000
"""Plans that are kept, and the numbers of the longest one."""


class Windows(NamedTuple):
    """The windows of a call: the spatial axes, a ``Window`` for each, and the shape of the result."""

    axes: Ints
    along: tuple[Window, ...]
    shape: Ints

    @property
    def taps(self) -> int:
        """Taps of a window that lies on the input wholly."""
        found = 1
        for window in self.along:
            found = multiply_sizes(found, window.kernel)
        return found


def windows(call: Call, count: int, shape: Ints, options: Options, dtype: str) -> Windows:
    """The windows over so many axes that a caller asks for, on an array of that shape."""
    problem = call.windows(dtype, shape, options, count)
    asked = Windows(problem.axes, problem.windows, problem.out_shape)
    # NaN are counted in integers of an element's size
    most = 2**15 - 1 if dtype in HALVES else MOST_TAPS
    if not 0 < asked.taps <= most:
        rule = f"a window has at most {most} taps"
        raise call.value_error(f"kernel_size={problem.kernel}", rule, "use a smaller kernel size")
    return asked


def turned(asked: Windows, x: Array) -> Windows:
    """The same windows, the axis whose elements are next to each other in memory the last one: for what does not ask
    in which order taps come.
    """
    order = sorted(range(len(asked.axes)), key=lambda i: -abs(x.strides[asked.axes[i]]))
    if order == [*range(len(order))]:
        return asked
    return Windows(tuple(asked.axes[i] for i in order), tuple(asked.along[i] for i in order), asked.shape)


Plan = tuple[Array, int, int]
"""Numbers, tiles, and bytes of workspace."""
_plans: dict[Hashable, Plan] = {}


def kept(kind: Hashable, asked: Windows, x: Array, y: Array, make: Callable[[], Plan]) -> Plan:
    """The plan of a kind of call with these windows, made when arrays first lie like that."""
    key = (kind, asked, x.shape, x.strides, y.strides)
    found = _plans.get(key)
    if found is None:
        found = make()
        if found[0].size > MOST_KEPT:
            return found
        if len(_plans) >= PLANS_KEPT:
            _plans.clear()
        _plans[key] = found
    return found


def planned(
    frame: Frame,
    asked: Windows,
    itemsize: int,
    method: int,
    table: Array,
    exchanges: Sequence[int],
    skip: bool = False,
    mean: bool = False,
) -> Plan:
    """The plan, how many tiles there are, and the bytes of workspace that one takes.

    ``frame`` is that of x and the result; ``table`` and ``exchanges`` are what ``windows_plan`` says.
    """
    taps = asked.taps
    numbers_of = zip(*[(w.kernel, w.stride, w.dilation, w.pad_begin) for w in asked.along], strict=True)
    own = window_numbers(*numbers_of)
    last = asked.along[-1]
    # elements of a block: whole vectors, as many as the first cache holds, and not more than there are
    rows = 10 if method == W.SQUARE else taps + W.ROWS
    most = max(64, min(1024, SCRATCH_BYTES // (rows * itemsize) // 64 * 64))
    part = min(frame.lanes, most)
    columns = min(last.output, max(1, most // part))
    blocks, lane_blocks = -(-last.output // columns), -(-frame.lanes // part)
    # sorted columns reach beyond the windows
    wide = columns * part + (2 * last.dilation * part if method == W.SQUARE else 0)
    lines = math.prod(window.output for window in asked.along[:-1])
    planes = 1
    if blocks == lane_blocks == 1 and frame.plan[F.OUTER] == 1:
        # short rows: those of several planes together, as long as there are tiles for all threads
        planes = max(1, min(frame.outer, most // wide, frame.outer * lines // ENOUGH_TILES))
    row = planes * wide
    if taps <= PADDED_TAPS:
        # rows a page apart would meet in the same places of the first cache
        row = -(-row // 16) * 16 + 16
    own += [columns, part, blocks, lane_blocks, row, method, int(skip), int(mean)]
    own += [W.END, W.END + table.size, len(exchanges) // 3, planes]
    tiles = -(-frame.outer // planes) * blocks * lane_blocks * lines
    work = (taps + W.ROWS) * row * itemsize + W.COUNTS * row * 4 + 64
    numbers = np.array([*frame.plan, *own], np.int64)
    return np.concatenate([numbers, table.reshape(-1), np.array(exchanges, np.int64)]), tiles, work
