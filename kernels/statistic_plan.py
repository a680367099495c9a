"""The plan of the programs of statistics: places of the numbers that follow the frame, and what they may say."""

from __future__ import annotations

KERNEL, STRIDE, DILATION, PADDING = range(4)
"""Numbers of the program's own, of each of the three spatial axes."""
PARAMETERS = 12
LANES = 14
"""Lanes of a block; the last block may have fewer, and then unused places."""
LANE_BLOCKS = 15
COLUMNS = 16
"""Outputs, or of the gradient elements of x, that a tile has along the last axis."""
BLOCKS = 17
FORM = 18
PHASES = 19
"""A row in the workspace has its positions by their remainder from this number, and then in order."""
PHASE = 20
"""Positions of one remainder."""
EMIT = 21
"""1 where windows keep what their taps' gradients need, 0 where they are lowered to the result."""
OUTPUTS = 22
"""Outputs along each of the axes; of the gradient alone."""
PITCH = 25
"""Numbers of one array of the workspace, a multiple of 16."""

APART, DOUBLED, ALONE = range(3)
"""Forms: windows of few taps along the last axis, whose columns stand by remainder; of many, built by doubling; and
one output at a time, in columns of its own taps."""
FEW = 8
"""Most taps along the last axis that are combined one after the other."""
MANY = 128
"""Most columns of one output; tap j stands in column j modulo this."""
