"""Numbers of its own of a program that looks at windows tap by tap, behind the frame: offsets from ``plan[OWN]``.

For each of the three spatial axes kernel, stride, dilation and begin padding; then what follows. A tile is a block of
outputs: ``COLUMNS`` neighbours along the last spatial axis times ``PART`` lanes, of one row of ``PLANES`` planes.
"""

from __future__ import annotations

KERNEL, STRIDE, DILATION, PADDING = range(4)
AXIS = 4  # numbers of an axis

COLUMNS = 12
PART = 13
BLOCKS = 14  # blocks of columns in a row
LANE_BLOCKS = 15
ROW = 16  # elements of a row of scratch
METHOD = 17
SKIP = 18  # NaN is left out
MEAN = 19  # two neighbours are averaged, whatever the weight
TABLE = 20  # where, from the beginning of these numbers: for 0, 1, 2, ... taps the lower rank, the upper, its weight
PAIRS = 21  # where the exchanges begin
EXCHANGES = 22  # how many there are
PLANES = 23  # planes of a block, one outer number behind the other: more than 1 where a block has whole rows
END = 24

NETWORK, SEARCH, SQUARE = range(3)
"""How elements are selected: by exchanges, bit by bit, or by sorted columns of three."""

ROWS = 4  # rows of scratch, of the size of an element, besides those of taps
COUNTS = 5  # and of 32-bit integers


def first_tap(origin, dilation):
    """The first tap at or above 0 of a window that begins at ``origin``; it may be none of the window's."""
    return 0 if origin >= 0 else (dilation - 1 - origin) // dilation


def past_tap(origin, size, kernel, dilation):
    """The tap behind the last one of a window that lies below ``size``."""
    if origin + (kernel - 1) * dilation < size:
        return kernel
    if origin >= size:
        return 0
    return (size - 1 - origin) // dilation + 1
