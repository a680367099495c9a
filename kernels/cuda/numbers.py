"""What a kernel with a plan of its own is told: the places of a tuple of integers.

A thread's number is taken apart, the fastest coordinate first: a vector of lanes or of outputs in a row, the spatial
axes from the last to the first (three, those that are missing have one position), and two outer axes, near and far.
Quotients are products here: BY and SHIFT stand for a divisor, see ``fastpool.cuda.planning.reciprocal``.
"""

from __future__ import annotations

(
    COUNT,  # threads that have something to do
    VECTORS,
    VECTORS_BY,
    VECTORS_SHIFT,
    OUTPUTS2,
    OUTPUTS2_BY,
    OUTPUTS2_SHIFT,
    OUTPUTS1,
    OUTPUTS1_BY,
    OUTPUTS1_SHIFT,
    OUTPUTS0,
    OUTPUTS0_BY,
    OUTPUTS0_SHIFT,
    NEAR,
    NEAR_BY,
    NEAR_SHIFT,
    # of each spatial axis: elements, padding and windows of the source side, and strides in elements
    SIZE0,
    SIZE1,
    SIZE2,
    PAD0,
    PAD1,
    PAD2,
    STEP0,
    STEP1,
    STEP2,
    OUT0,
    OUT1,
    OUT2,
    AUX0,
    AUX1,
    AUX2,
    # the window, where it is not compiled in
    KERNEL0,
    KERNEL1,
    KERNEL2,
    STRIDE0,
    STRIDE1,
    STRIDE2,
    DILATION0,
    DILATION1,
    DILATION2,
    # taps from LOW to HIGH are counted by a divisor; what one tap, and one position, adds to an index
    LOW0,
    LOW1,
    LOW2,
    HIGH0,
    HIGH1,
    HIGH2,
    JUMP0,
    JUMP1,
    JUMP2,
    UNIT0,
    UNIT1,
    UNIT2,
    # the outer axes and the lanes
    STEP_NEAR,
    STEP_FAR,
    OUT_NEAR,
    OUT_FAR,
    AUX_NEAR,
    AUX_FAR,
    UNIT_NEAR,
    UNIT_FAR,
    STEP_LANE,
    OUT_LANE,
    AUX_LANE,
    UNIT_LANE,
    LANES,
    DIVISOR,  # that of all windows, or 0
    FORWARD0,  # elements of the forward's input
    FORWARD1,
    FORWARD2,
    TILE1,  # windows of a tile along axes 1 and 2; and outputs in all
    TILE2,
    WINDOWS1,
    WINDOWS2,
    NUMBERS,
) = range(74)
