"""The numbers that programs of bins read behind the frame. Bins themselves are a table in memory, see
``cpu/family/bin_parts.py``.
"""

from __future__ import annotations

PITCH = 0  # elements from the table of one plane to the next; 0 where all have the same
ROWS = 1  # rows of what is written that make a tile, counted over the first two axes
LANES = 2  # lanes that make a tile
SLOT = 3  # elements of scratch that a row takes
LONGEST = 4  # elements of the longest bin along the last axis
WOVEN = 5  # 1 where a row of scratch holds all lanes of all elements of a row, 0 where it holds those of one element
FLAT = 6  # 1 where indices count the elements of an array, 0 where they count the taps of a bin
NONE = 7  # 1 where the index of a bin that has elements may say that there is none
LINE = 8  # which row of scratch a row of the result is put together in; of others, see there
WHOLE = 9  # planes that a tile takes as one run of memory, or 0
SHORT = 10  # 1 where bins along the last two axes are short, or few hold an element: see there

PACKED = 8
"""Rows of scratch for rows of x whose elements do not lie side by side."""

MOST = 4
"""Elements of short bins along an axis at most, and of bins that hold an element half as many."""

NEIGHBOURS = 8
"""Elements of a row that are reduced side by side at most, where their lanes are."""
