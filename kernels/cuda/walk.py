"""Which windows a position lies in, and how many taps a divisor counts, as the CPU's walk has it.

Functions of the device over a plan block in global memory; ``make_walk`` gives them for indices of 32 or 64 bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastpool.kernels import plan as P
from fastpool.kernels.cuda.memory import divide, load
from fastpool.kernels.cuda.package import device


class Walk(NamedTuple):
    """The functions of a width.

    read(plan, at)                      a number of the plan
    counted(plan, axis, o)              taps of window ``o`` along an axis that the divisor counts
    inside(plan, axis, o)               those that lie on the input
    windows(plan, axis, i)              (first window, number of windows, step) of those that hold position ``i``
    """

    read: Any
    counted: Any
    inside: Any
    windows: Any


def make_walk(number: Any) -> Walk:
    """The walk in integers of type ``number``."""

    def read(plan, at):
        return number(load(plan, at))

    read = device(read)

    def below(origin, limit, kernel, dilation):
        if origin >= limit:
            return number(0)
        count = number(divide(number(limit - origin - 1), dilation) + 1)
        return min(count, kernel)

    below = device(below)

    def between(plan, axis, o, low, high):
        origin = number(o * read(plan, axis + P.WINDOW_STRIDE) - read(plan, axis + P.PAD))
        kernel, dilation = read(plan, axis + P.KERNEL), read(plan, axis + P.DILATION)
        return number(below(origin, high, kernel, dilation) - below(origin, low, kernel, dilation))

    between = device(between)

    def counted(plan, axis, o):
        return between(plan, axis, o, read(plan, axis + P.LOW), read(plan, axis + P.HIGH))

    def inside(plan, axis, o):
        return between(plan, axis, o, number(0), read(plan, axis + P.FORWARD_SIZE))

    def windows(plan, axis, i):
        stride = read(plan, axis + P.WINDOW_STRIDE)
        shifted = number(i + read(plan, axis + P.PAD))
        phase = number(shifted - divide(shifted, stride) * stride)
        common, every = read(plan, axis + P.GCD), read(plan, axis + P.STEP_TAPS)
        turns = divide(phase, common)
        whole = number(turns * read(plan, axis + P.INVERSE))
        j = number(whole - divide(whole, every) * every)
        kernel = read(plan, axis + P.KERNEL)
        if (number(turns * common) != phase) | (j >= kernel):
            return number(0), number(0), number(1)
        count = number(divide(number(kernel - 1 - j), every) + 1)
        last = number(j + (count - 1) * every)
        # exact: the difference is a multiple of the stride; it may be negative
        ahead = number(shifted - last * read(plan, axis + P.DILATION))
        first = divide(ahead, stride) if ahead >= 0 else number(-divide(number(-ahead), stride))
        return first, count, read(plan, axis + P.STEP_WINDOWS)

    return Walk(read, device(counted), device(inside), device(windows))
