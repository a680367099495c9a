"""Mode pooling over one, two or three spatial axes: the most frequent label of every window."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

from fastpool import arguments
from fastpool.arguments import Options
from fastpool.family import tapped, tasks
from fastpool.family.calls import NUMBERS, Call
from fastpool.family.framing import Frame
from fastpool.family.ordering_pages import WORDS
from fastpool.family.ranks import ranked
from fastpool.family.tapped import Windows
from fastpool.functional._types import A, Device, Layout, Padding, Sizes
from fastpool.kernels import networks
from fastpool.kernels import windows_plan as W
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.reference.family import ordering as reference

__all__ = ["mode_pool1d", "mode_pool2d", "mode_pool3d"]

Ties: TypeAlias = Literal["smallest", "first"]
TIES = ("smallest", "first")
LABELS = ("b1", *(dtype for dtype in NUMBERS if dtype[0] in "iu"))
FEW_COUNTED, MOST_SORTED = 16, 1024
"""Between these numbers of taps sorting takes less than comparing every two."""


@lru_cache(maxsize=16)
def _exchanges(taps: int) -> tuple[int, ...]:
    return tuple(number for pair in networks.selecting(taps, tuple(range(taps))) for number in pair)


def _run(dtype: str, ties: str, asked: Windows, x: Array, y: Array) -> None:
    def make() -> tapped.Plan:
        windows = tapped.turned(asked, x) if ties == "smallest" else asked
        sort = ties == "smallest" and FEW_COUNTED < asked.taps <= MOST_SORTED
        method, pairs = (W.NETWORK, _exchanges(asked.taps)) if sort else (W.SEARCH, ())
        return tapped.planned(Frame((x, y), windows.axes), windows, x.itemsize, method, np.empty(0, np.int64), pairs)

    plan, tiles, work = tapped.kept(("mode", dtype, ties), asked, x, y, make)
    # the sign of a label matters only where labels are compared by size
    kind = "u8" if dtype == "b1" else dtype if ties == "smallest" else f"u{dtype[1:]}"

    def oracle() -> None:
        reference.majority(x, y, asked.axes, asked.along, ties == "first")

    tasks.run(Program("mode", (ties, kind)), plan, (x, y), tiles if y.size else 0, work, oracle=oracle)


def _forward(
    called: str,
    count: int,
    x: Any,
    windows: Options,
    ties: object,
    out: Any,
    device: Any,
) -> Any:
    call = Call(called, device)
    source = call.take("x", x, LABELS)
    chosen = arguments.one_of(called, "ties", ties, TIES)
    asked = tapped.windows(call, count, source.data.shape, windows, source.dtype)
    y = call.result("out", asked.shape, source.dtype, out, source.data)
    _run(source.dtype, chosen, asked, source.data, y.data)
    return call.give()


def _pool(n: int) -> Callable[..., Any]:
    def pool(
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        ties: Ties = "smallest",
        layout: Layout = "channels_first",
        out: A | None = None,
        device: Device = None,
    ) -> A:
        """Most frequent label of every window over <axes>: mode, or majority, pooling.

        Parameters
        ----------
        <labels>
        ties : {"smallest", "first"}
            Of equally frequent labels the smallest, as ``scipy.stats.mode``, or that of the first tap in row-major
            order that has one of them.
        <layout>
        <out>
        <device>

        Returns
        -------
        y : array
            dtype and kind of array are those of x. A window without taps gives 0.

        <raises>

        See Also
        --------
        median_pool<n>d : for values that have an order.

        Notes
        -----
        Taps are elements on the input alone. A label is an integer as any other one, 0 included. This is how a
        segmentation is made smaller, in connectomics by windows of 2x2x1 and 2x2x2 [1]_. There is no gradient.

        References
        ----------
        .. [1] Silversmith et al., "Igneous: Distributed dense 3D segmentation meshing, neuron skeletonization, and
           hierarchical downsampling", 2022.

        Examples
        --------
        <example>
        """
        windows = Options(kernel_size, stride, padding, dilation, ceil_mode, layout)
        found: A = _forward(f"mode_pool{n}d", n, x, windows, ties, out, device)
        return found

    return pool


mode_pool1d, mode_pool2d, mode_pool3d = ranked(
    _pool,
    "mode_pool{n}d",
    {
        1: """
        >>> fastpool.mode_pool1d(np.array([3, 3, 1, 2, 1, 2], np.uint8), 3)
        array([3, 2], dtype=uint8)
        """,
        2: """
        >>> x = np.array([[7, 7, 5, 4], [3, 7, 4, 5]], np.uint32)
        >>> fastpool.mode_pool2d(x, 2)
        array([[7, 4]], dtype=uint32)
        """,
        3: """
        >>> x = np.array([[[1, 2], [2, 9]], [[9, 9], [2, 9]]], np.uint64)
        >>> fastpool.mode_pool3d(x, 2)
        array([[[9]]], dtype=uint64)
        """,
    },
    **WORDS,
)
