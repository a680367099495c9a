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

# ---- what a pass reads ----
SOURCE = 7  # address of the rows that are lifted: X or ROWS
A = 8  # operands and output, as numbers of states (or elements, where a pass reads memory)
B = 9
C = 10
OUT = 11
COUNT = 12
SEGMENTS = 13  # a row in memory: that many segments of LENGTH elements, STEP apart
LENGTH = 14
STEP = 15
LANES = 16
LANE_STEP = 17
AMOUNT = 18  # what the tap index of operand B gains
TWO = 19  # 1: an output is A combined with B
D = 20  # first output element, and the step to the next, along the outputs and along the lanes
D_STEP = 21
D_LANE = 22
I = 23  # the same for the third buffer
I_STEP = 24
I_LANE = 25
INDEX = 26  # the same for flat indices
INDEX_STEP = 27
INDEX_LANE = 28
DIVISOR = 29
INSIDE = 30
LEAD = 31  # the leading axes' share of a divisor; 0 where the divisor is fixed
FIRST = 32  # the window at the first position of a row that is packed
PLAN_AXIS = 33  # address of the plan's record of the last axis
WORDS = 34

# ---- passes ----
FILL, MERGE, JOIN, LEAF, PAIR, TRIPLE, PACK, HALVE, COPY, EMIT_ROWS, EMIT_LANES = range(11)
EMIT_WINDOW_ROWS, EMIT_WINDOW_LANES = 11, 12
