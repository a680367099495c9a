"""What the gradients along rows have in common: a thread's tile of elements, and the windows that hold them.

A thread makes ``vector`` neighbouring elements of each of ``strip`` times the stride rows, so that it knows when it is
compiled which taps of which windows they are. It reads, of each row of windows that holds some of them, the gradients
of all windows that do: a whole vector, and a few beside it::

    kernel 3, stride 2, padding 1       elements   8   9  10  11        windows 4 and 5 are the vector
                                        windows    4  4 5  5  5 6       window 6 stands beside it

Tiles are counted from where the padding begins. For a window beside all others the nearest one is read, in place of
which stands what it is worth: nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.means import Divisor
from fastpool.kernels.cuda.package import device
from fastpool.kernels.cuda.strips import Window

_INT, _ZERO, _ONE = np.int32, np.int32(0), np.int32(1)


def windows_of(kernel: int, stride: int) -> int:
    """Windows that hold one position, at most."""
    return (kernel - 1) // stride + 1


class Tile(NamedTuple):
    """What a gradient along rows is made for.

    Attributes
    ----------
    window : Window
    vector : int
        Elements of a row that a thread makes, a multiple of the stride.
    left : int
        Padding before a row.
    loose : bool
        Whether rows may be of any length; they are then read and written element by element.
    strip : int
        Windows along axis 1 that begin in a tile.
    deep : bool
        Whether there is an axis 0.
    outer : int
        Outer axes, of which there is at least one: 1 or 2.
    fixed : Divisor
        What is known of the windows' divisors.
    jumps : tuple of int
        What one step along each axis adds to a tap's number, for indices that are such numbers.
    """

    window: Window
    vector: int
    left: int
    loose: bool
    strip: int = 1
    deep: bool = True
    outer: int = 2
    fixed: Divisor = Divisor.OWN
    jumps: tuple[int, ...] = ()

    @property
    def word(self) -> str:
        """What tells it from others, for a kernel's name."""
        pairs = zip(*self.window, strict=True)
        shape = "".join(f"k{k}s{s}" for k, s in pairs if (k, s) != (1, 1))
        axes = "deep" * self.deep + "far" * (self.outer > 1) + ("", "one", "power", "known")[self.fixed]
        axes += "j" * bool(self.jumps) + "_".join(map(str, self.jumps))
        words = [shape, f"v{self.vector}", f"p{self.left}", "loose" * self.loose, f"r{self.strip}", axes]
        return "_".join(filter(None, words))

    @property
    def holders(self) -> tuple[int, int, int]:
        """Windows that hold one position of each axis, at most."""
        (k0, k1, k2), (s0, s1, s2) = self.window
        return windows_of(k0, s0), windows_of(k1, s1), windows_of(k2, s2)

    @property
    def slabs(self) -> int:
        """Elements of a tile along axis 0."""
        return self.window[1][0]

    @property
    def rows(self) -> int:
        """Elements of a tile along axis 1."""
        return self.strip * self.window[1][1]

    @property
    def first(self) -> int:
        """The first window of a row that is read, from that of the vector on."""
        return self.left // self.window[1][2] - self.holders[2] + 1

    @property
    def columns(self) -> int:
        """Windows of a row that are read."""
        return (self.vector - 1 + self.left) // self.window[1][2] - self.first + 1

    @property
    def main(self) -> int:
        """Those of the vector."""
        return self.vector // self.window[1][2]

    def taps(self, axis: int, b: int) -> list[tuple[int, int]]:
        """Pairs (element of the tile, tap) along an axis for the ``b``-th row of windows that is read."""
        kernel, stride = self.window[0][axis], self.window[1][axis]
        back = (self.holders[axis] - 1 - b) * stride
        many = (self.slabs, self.rows, self.window[1][2])[axis]
        return [(a, a + back) for a in range(many) if 0 <= a + back < kernel]

    def steps(self, axis: int) -> int:
        """Rows of windows that are read along axis 0 or 1."""
        return self.holders[axis] + (0 if axis == 0 else self.strip - 1)


def make_placed(axis: int) -> Any:
    """``placed(o, n)``: (the nearest window along an axis, whether it is this one)."""
    size = (N.SIZE0, N.SIZE1, N.SIZE2)[axis]

    def placed(o, n):
        return min(max(o, _ZERO), _INT(_INT(n[size]) - _ONE)), (o >= 0) & (o < _INT(n[size]))

    return device(placed)
