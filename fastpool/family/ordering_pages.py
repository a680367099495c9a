"""What the pages of order statistics share."""

from __future__ import annotations

_KERNEL = """kernel_size : int or tuple of int
    Taps of a window along each spatial axis, at least 1."""
_OTHERS = """stride : int or tuple of int, optional
    From one window to the next; left out, the kernel size.
padding : int, tuple of int, tuple of pairs, or str
    Places before and behind the input that a window may lie on: one number for both, a ``(begin, end)`` pair for
    each axis, ``"valid"`` for none, ``"same"`` for ``ceil(size / stride)`` windows, an odd place at the end, or
    ``"same_lower"``, at the beginning. Padding is no tap: a window at the border has fewer.
dilation : int or tuple of int
    From one tap to the next.
ceil_mode : bool
    Keep a last window that lies on the input in part."""

WORDS = {
    "windows": f"x : array\n    Shape ``<shape>``, or as ``layout`` says: floats or integers.\n{_KERNEL}\n{_OTHERS}",
    "labels": f"x : array\n    Shape ``<shape>``, or as ``layout`` says: integers or bool.\n{_KERNEL}\n{_OTHERS}",
    "taps": f"{_KERNEL}\n{_OTHERS}",
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
