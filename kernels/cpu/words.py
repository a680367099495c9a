"""The words through which a kernel's walk tells its passes what to do: the integer part of the workspace.

A walk (``sweep``) knows where rows lie and in which order they are combined, but no element type; a pass is one loop
over typed memory. The walk writes the words and calls the pass function by its address. That splits the work of the
compiler, too: the walks are compiled once, and what is compiled for each reduction and element type is a few loops.
"""

from __future__ import annotations

# ---- fixed during a call of a kernel: addresses, and the reduction's parameter by its bits ----
X = 0
Y = 1
AUX = 2
STATES = 3
STATES2 = 4
ROWS = 5
PARAM = 6

# ---- a group of rows, fixed while it is worked on ----
ROWS_COUNT = 7
PITCH = 8  # states from a row of scratch to the next
X_GROUP = 9  # elements from a source row to the next
D_GROUP = 10  # the same for the output,
I_GROUP = 11  # the third buffer,
INDEX_GROUP = 12  # and flat indices
LANES = 13

# ---- what a pass reads ----
SOURCE = 14  # address of the rows that are lifted: X or ROWS
SOURCE_PITCH = 15  # elements from one of them to the next
A = 16  # operands and output, as numbers of states (or elements, where a pass reads memory)
B = 17
C = 18
OUT = 19
COUNT = 20
STEP = 21  # between operands of a row; or from one row of scratch to the next
LANE_STEP = 22
AMOUNT = 23  # what the tap index of operand B gains
TWO = 24  # 1: an output is A combined with B; how many blocks of eight rows there are;
#          or whether much is read, so that what lies ahead is asked for
KERNEL = 25  # taps of a window that is compiled in
D = 26  # first output element, and the step to the next, along the outputs and along the lanes
D_STEP = 27
D_LANE = 28
I = 29  # the same for the third buffer
I_STEP = 30
I_LANE = 31
INDEX = 32  # the same for flat indices
INDEX_STEP = 33
INDEX_LANE = 34
DIVISOR = 35
INSIDE = 36
FIRST = 37  # the source position where a row begins
SOURCE_END = 38  # one past the last element of SOURCE that may be read, or 0
OP = 39  # number of the pass
WORDS = 40

# ---- passes ----
FILL, MERGE, JOIN, LEAF, PAIR, TRIPLE, FOUR, SEVEN, EIGHTS, PACK, HALVE, COPY, EMIT_ROWS, EMIT_LANES = range(14)
EMIT_WINDOW_ROWS, EMIT_WINDOW_LANES, EMIT_SEVEN, EMIT_SPLIT, EMIT_SPREAD, SPLIT = range(14, 20)
MATCH_NONE, MATCH_ONE, MATCH_TWO, MATCH_MORE, MATCH_PACK, MATCH_WRITE = range(6)
MATCH_LANES = 6
