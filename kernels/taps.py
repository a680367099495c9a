"""Taps of a window by where they lie, and rows that are kept: integer functions that planning and kernels share."""

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


def gcd(a: int, b: int) -> int:
    """Greatest common divisor of two positive integers."""
    while b != 0:
        a, b = b, a % b
    return a


def levels_kept(kernel: int) -> int:
    """Sizes of blocks of taps, 1, 2, 4, ..., that are kept for windows of more than one tap.

    A window whose taps are a power of two is made of two blocks of half its size.
    """
    levels = 0
    while kernel - 1 >> levels > 0:
        levels += 1
    return levels


def slots_kept(kernel: int, dilation: int, level: int, overlaps: bool) -> int:
    """Rows of blocks of ``2**level`` taps that are needed at a time, where a window is made when its last row is there.

    With ``overlaps`` a window is two of the largest blocks, which may share taps; else it is binary blocks.
    """
    size = 1 << level
    lag = size * dilation if 2 * size <= kernel else 0
    if overlaps and 2 * size > kernel:
        lag = (kernel - size) * dilation
    if not overlaps and kernel & size != 0:
        # behind the larger blocks
        lag = max(lag, (kernel & (size - 1)) * dilation)
    return lag + 1


def extent(size: int, outputs: int, band: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """Places that an axis takes where planes are stacked, of which ``band`` outputs are made at a time.

    All of its elements, and the padding before them or behind them, whichever is more: that before a row or plane also
    stands behind the one before it. A band has just what its windows hold.
    """
    held = (band - 1) * stride + (kernel - 1) * dilation + 1
    if band < outputs:
        return held
    return size + max(padding, held - padding - size)


def written_by_bands(folded: int, marks: int, lead: int, stride: int, last_stride: int) -> bool:
    """Whether outputs of stacked planes are written while the planes are copied: rows without gaps (with ``marks``), of
    which ``folded`` are combined on the way, of windows a step of 2 apart along rows and of more than 1 across.

    Planes that are made as one, whose rows are a step of 1 apart, are not.
    """
    return folded > 1 and marks != 0 and lead == 1 and stride > 1 and last_stride == 2
