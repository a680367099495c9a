"""How many of a window's taps lie where: the two integer functions that planning and kernels share."""

from __future__ import annotations


def taps_below(origin: int, limit: int, kernel: int, dilation: int) -> int:
    """How many of a window's taps, the first one standing at ``origin``, lie below ``limit``."""
    if origin >= limit:
        return 0
    count = (limit - origin - 1) // dilation + 1
    if count > kernel:
        return kernel
    return count


def taps_between(origin: int, low: int, high: int, kernel: int, dilation: int) -> int:
    """How many of a window's taps lie in ``low <= position < high``."""
    return taps_below(origin, high, kernel, dilation) - taps_below(origin, low, kernel, dilation)
