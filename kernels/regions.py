"""Numbers of the programs that pool regions of interest: fields of their tables, the same where they are planned.

Arrays of a frame lie over the axes (image or region, row, column), and their outer axis is the channels. A *block* is
as many channels as a vector has elements.
"""

from __future__ import annotations

GROUP = 7
"""Numbers of a group of regions, which share what is brought from memory: the image, the rectangle that holds all of
them, and the first of the group in the order of regions and the one behind its last."""
IMAGE, TOP, ROWS, LEFT, COLUMNS, FIRST, PAST = range(GROUP)

HEAD = 10
"""Numbers of a region whose positions are sampled: where its taps along rows and along columns begin, and its own rows;
samples of a bin along each; how many rows it has; and the rectangle of its taps, ends not included."""
TAPS_Y, TAPS_X, ROWS_AT, GRID_Y, GRID_X, DISTINCT, FROM_Y, TO_Y, FROM_X, TO_X = range(HEAD)

# own numbers of a plan
BLOCKS = 0  # blocks of channels
BIN_ROWS = 1
BIN_COLUMNS = 2
STREAMED = 3  # 1 where rows are brought one by one
SPARE = 4  # bytes of the workspace before each part: for transposing,
STATES = 5  # for states,
RESULTS = 6  # for a block of results,
SECOND_RESULTS = 7  # for the second one,
BLOCK = 8  # for the block of the image
INDEX_STEP = 9  # an index is its place in the plane times this,
INDEX_CHANNEL = 10  # and this for each channel before,
INDEX_IMAGE = 11  # and this for each image
BAND = 12  # rows of a band
BANDS = 13
TOGETHER = 14  # blocks of channels that a tile does side by side, where these lie together in memory
OWN_NUMBERS = 15
