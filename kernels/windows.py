"""Numbers of the programs over windows: where a window's taps lie, and how rows are laid out in the workspace.

After the frame, for each of the three spatial axes KERNEL, STRIDE, DILATION, PAD (before the axis), and then the
offsets below. Array 0 of the frame is on the side of x, and the last array on that of the windows.

**Packed rows.** A row of x is copied so that the taps number j of all windows are neighbours: the element at position
q of the padded row goes to ``(q % stride * PITCH + q // stride) * lanes``, and tap j of window o is found at
``(j * dilation % stride * PITCH + j * dilation // stride + o) * lanes``.
"""

from __future__ import annotations

KERNEL, STRIDE, DILATION, PAD = range(4)
AXIS = 4
LANE_BLOCK = 12  # lanes that are worked on at a time
PITCH = 13
PACKED = 14  # values of a packed row, a multiple of 16
WINDOWS = 15  # values of a row of windows, likewise
EXTRA = 16  # a role's own number


def tap_at(j, stride, dilation, pitch):
    """Where tap j of window 0 lies in a packed row, in positions."""
    return j * dilation % stride * pitch + j * dilation // stride


def first_window(j, stride, dilation, pad):
    """The first window whose tap j does not lie before the axis."""
    return max(0, -((j * dilation - pad) // stride))


def end_window(j, stride, dilation, pad, size, windows):
    """One past the last window whose tap j does not lie behind the axis."""
    return max(0, min(windows, (size - 1 + pad - j * dilation) // stride + 1))


def holder(position, j, stride, dilation, pad, windows):
    """The window whose tap j lies at a position; -1 for none."""
    from_first = position + pad - j * dilation
    if from_first < 0 or from_first % stride != 0 or from_first // stride >= windows:
        return -1
    return from_first // stride
