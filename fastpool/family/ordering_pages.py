"""What the pages of order statistics share."""

from __future__ import annotations

from fastpool.family.ranks import WINDOW

WORDS = {
    "windows": f"x : array\n    Shape ``<shape>``, or as ``layout`` says: floats or integers.\n{WINDOW}",
    "labels": f"x : array\n    Shape ``<shape>``, or as ``layout`` says: integers or bool.\n{WINDOW}",
    "taps": WINDOW,
    "nan": """nan : {"propagate", "ignore"}
    A window with a NaN gives NaN, or it is no tap.""",
    "rules": """The taps of a window are its elements on the input, and with ``nan="ignore"`` those that are no NaN. A
window without taps gives NaN, of integers 0. Zeros come out as +0. Ranks are positions in the order of the taps.""",
    "gradients": """grad_output : array
    Gradient of the result, floating.
x : array
    The forward's x, of the same dtype.
kernel_size, stride, padding, dilation, ceil_mode
    As in the forward.""",
    "asked": """kernel_size, stride, padding, dilation, ceil_mode
    As in the forward.""",
    "pull": """Of equal taps the first in row-major order receives the gradient (-0 counts as below +0), and of a window
with NaN that is not left out the first NaN. A tap's gradient is summed over its windows in row-major order.""",
}
"""For the docstrings of ``ranks.ranked``."""
