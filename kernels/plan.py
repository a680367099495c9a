"""The plan block: a flat block of int64 with named offsets, the one thing a kernel knows about its task.

The same block is written by plain Python, by Numba and by C, so a field is a number here, not an attribute::

    header | outer axis 0 | outer axis 1 | ... | spatial axis 0 | ... | last spatial axis
    HEADER   AXIS           AXIS                 AXIS                   AXIS

An axis record of an outer axis uses the first fields alone. "Output" is the side that a tile owns (y in forward, the
gradient of x in backward), "source" is what it reads; strides are in elements.
"""

from __future__ import annotations

# ---- header ----
TILES = 0  # tiles in all: outer x leading spatial outputs x blocks x lane blocks
OUTER = 1  # outer axes
LEAD = 2  # spatial axes before the last one
BLOCKS = 3  # blocks that the last spatial axis is cut into
BLOCK = 4  # outputs in a block
LANES = 5  # elements of the inner axis
LANE_BLOCKS = 6
LANE_BLOCK = 7  # elements of the inner axis that a tile handles
SOURCE_LANE = 8  # strides along the inner axis
OUTPUT_LANE = 9
AUX_LANE = 10
INDEX_LANE = 11  # what one step along the inner axis adds to a flat index
ROW = 12  # states in one scratch row
FOLD = 13  # 1: each output folds its own taps; 0: taps are doubled over the whole row
CHUNK = 14  # taps that a fold takes at a time, a power of two; elements of a stack's row of nothing
LEVELS = 15  # scratch row where a fold keeps its levels
STACK = 16  # state at which the fold's stack of chunks begins
STATE = 17  # byte offset in the workspace of the first state component
STATE2 = 18  # and of the second
PACK = 19  # byte offset of the packed source rows
WORK = 20  # bytes of workspace that one thread needs
DIVISOR = 21  # the divisor of a mean, or 0 to count taps
PARAM = 22  # the reduction's parameter, a float64 by its bits
DECODE = 23  # 1: indices are computed as taps and turned into flat indices afterwards
TAPS = 24  # taps of a window
BYTES = 25  # bytes that the task reads and writes
AUX_END = 26  # one past the last element of the third buffer, likewise
SPATIAL = 27  # spatial axes
INDEX_KIND = 28  # 0: flat in the plane; 1: flat in the array; 2: tap
TABLE = 29  # taps that have an entry in the workspace's tables of offsets, or 0 for none
DENSE = 30  # 1: flat indices are offsets in the output, and the first spatial axis has the largest unit;
#             of a stack: the rows of outputs that a tile writes follow one another;
#             of a gradient by taps: a tile is whole pairs of rows of windows that share nothing
INDEX_BYTES = 31  # bytes of an index in memory
COORDINATES = 32  # byte offset of the walk's coordinates
SHARES = 33  # 1: source elements are divided by their window's divisor when they are packed (gradient of a mean);
#              2: all windows have the same divisor, and it is the parameter;
#              3: to the share of the only window that is there others add 0
COUNTS = 34  # 1: results depend on the number of taps
BACKWARD = 35
INDEXED = 36
WINDOW = 37  # 1: a window whose numbers are compiled in
FAMILY = 38  # 0: rows, 1: lanes
REPEATABLE = 39  # 1: a tap may be combined twice
GROUP_AXIS = 40  # the axis, counted over outer and leading ones, along which a tile takes several rows; or -1
GROUP = 41  # rows that a tile takes, at most
SOURCE_END = 42  # one past the last element of the source; before all of them where a stride is negative
IN_PLACE = 43  # 1: taps are compared where gradients and indices lie, without scratch
HALVINGS = 44  # times that a row of scratch is taken apart into even and odd states, so that a stride is halved
RING = 45  # scratch row where blocks of taps are kept, of the smallest size first
COLUMN = 46  # scratch row where a window's taps along the leading axes are combined
STATE_BYTES = 47  # of the first state component
STATE2_BYTES = 48  # and of the second
STREAM = 49  # 1: the output is too large to be found in a cache afterwards: written around caches, or row by row
TAIL = 50  # rows of padding behind the last plane of a stack
PITCH = 51  # states from one row of a stack to the next
KEPT = 52  # 1: a stack holds one row of windows, which is made of what is kept from row to row
FIRST = 53  # taps along the first leading axis of a stack that are combined while it is copied
MARKS = 54  # byte offset of the marks of columns of a stack whose rows follow one another without padding, or 0
ROW_MARKS = 55  # and of the marks of rows, where planes follow one another in memory, too, or 0
PACK2 = 56  # byte offset of a tile's rows, where they are written around the caches
COVERED = 57  # 1: planes are small, and one window covers each of them
HEADER = 58

# ---- axis record ----
OUTPUT = 0  # coordinates on the output side
SOURCE_STRIDE = 1
OUTPUT_STRIDE = 2
AUX_STRIDE = 3
INDEX_UNIT = 4  # what one position adds to a flat index
SOURCE = 5  # positions on the source side
KERNEL = 6
WINDOW_STRIDE = 7
DILATION = 8
PAD = 9
HIGH = 10  # taps below it are counted by the divisor; those at or above LOW, too
LOW = 11
JUMP = 12  # what one tap adds to the index that a state carries
GCD = 13  # gcd(stride, dilation), for the windows that hold a position
STEP_TAPS = 14  # stride / gcd: from one tap that meets a position to the next
STEP_WINDOWS = 15  # dilation / gcd: and the windows between them
INVERSE = 16  # inverse of dilation / gcd modulo stride / gcd
FORWARD_SIZE = 17  # the forward's input size along the axis
WINDOWS = 18  # the forward's output size along the axis
STEPS = 19  # tiles along an outer or leading axis
BY = 20  # coordinates from one tile to the next
AXIS = 21

FAR = 2**62  # a place beyond all
WIDE = 4  # bytes of an element from which on vectors are taken apart by odd numbers: shorter ones take long
MOST_BLOCKS = 64  # entries of the table of blocks that a window of a stack is made of

# ---- tables of the rows of windows that hold a row of a gradient ----
WINDOW_ROW = 8  # numbers for each row
WINDOW_ROWS = 16  # rows of a table, at most; before them is a row about the table
WINDOW_TABLE = 8 * WINDOW_ROW * (WINDOW_ROWS + 1)  # bytes of a table
WINDOW_TABLES = 6  # tables of a tile
MOST_EDGES = 1 << 13  # windows of a row for which there is a table of those outside of it, at most
