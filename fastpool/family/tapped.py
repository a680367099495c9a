"""Windows of programs that look at every tap: sizes from a caller's arguments, and the numbers of the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastpool import arguments
from fastpool.family.calls import Call
from fastpool.family.framing import Frame
from fastpool.kernels import frame as F
from fastpool.kernels import windows_plan as W
from fastpool.problem import Ints
from fastpool.window import Window, extent, multiply_sizes

SCRATCH_BYTES = 1 << 15
"""What the taps of a block may take: they are to stay in the first cache, with what is made of them."""
MOST_SCRATCH = 1 << 36
"""Bytes of scratch beyond which a window has too many taps."""


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


def windows(
    call: Call,
    axes: Ints,
    shape: Ints,
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: object,
) -> Windows:
    """The windows that a caller asks for, on an array of that shape."""
    called, count = call.called, len(axes)
    sizes = tuple(shape[axis] for axis in axes)
    kernel = call.sizes("kernel_size", kernel_size, count)
    step = kernel if stride is None else call.sizes("stride", stride, count)
    spread = call.sizes("dilation", dilation, count)
    ceil = arguments.flag(called, "ceil_mode", ceil_mode)
    if isinstance(padding, str):
        begin, end = arguments._named_padding(called, padding, axes, sizes, kernel, step, spread)
        ceil = ceil and padding == "valid"
    else:
        begin, end = arguments._padding(called, padding, count)
    along = tuple(Window(*numbers, ceil=ceil) for numbers in zip(sizes, kernel, step, spread, begin, end, strict=True))
    result = list(shape)
    for axis, window in zip(axes, along, strict=True):
        found = window.output
        if found < 1:
            given = f"kernel size {window.kernel} with dilation {window.dilation} on axis {axis} of size {window.size}"
            span = extent(window.kernel, window.dilation)
            if found < 0 or span < 0:
                raise call.value_error(given, "its windows pass 2**63 - 1 elements", "use smaller sizes")
            room = window.size + window.pad_begin + window.pad_end
            rule = f"the window spans {span} elements and must fit into the {room} of the padded axis"
            raise call.value_error(given, rule, "use a smaller kernel size or more padding")
        result[axis] = found
    asked = Windows(axes, along, tuple(result))
    if not 0 < asked.taps <= MOST_SCRATCH:
        raise call.value_error(f"kernel_size={kernel}", "a window has too many taps", "use a smaller kernel size")
    return asked


def planned(
    frame: Frame,
    asked: Windows,
    itemsize: int,
    method: int,
    table: Sequence[int],
    exchanges: Sequence[int],
    skip: bool = False,
    mean: bool = False,
) -> tuple[list[int], int, int]:
    """The plan, how many tiles there are, and the bytes of workspace that one takes.

    ``frame`` is that of x and the result; ``table`` and ``exchanges`` are what ``windows_plan`` says.
    """
    taps = asked.taps
    own = [1, 1, 1, 0] * (F.SPATIAL - len(asked.axes))
    for window in asked.along:
        own += [window.kernel, window.stride, window.dilation, window.pad_begin]
    last = asked.along[-1]
    # elements of a block: whole vectors, as many as the first cache holds, and not more than there are
    rows = 10 if method == W.SQUARE else taps + W.ROWS
    most = max(64, min(1024, SCRATCH_BYTES // (rows * itemsize) // 64 * 64))
    part = min(frame.lanes, most)
    columns = min(last.output, max(1, most // part))
    blocks, lane_blocks = -(-last.output // columns), -(-frame.lanes // part)
    # sorted columns reach beyond the windows
    row = columns * part + (2 * last.dilation * part if method == W.SQUARE else 0)
    row = -(-row // 16) * 16
    own += [columns, part, blocks, lane_blocks, row, method, int(skip), int(mean)]
    own += [W.END, W.END + len(table), len(exchanges) // 3, *table, *exchanges]
    tiles = frame.outer * blocks * lane_blocks
    for window in asked.along[:-1]:
        tiles *= window.output
    work = (taps + W.ROWS) * row * itemsize + W.COUNTS * row * 4 + 64
    return [*frame.plan, *own], tiles, work
