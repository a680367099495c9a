"""What the pages of functions over regions of interest share."""

from __future__ import annotations

IMAGES = """x : array
    Images, shape ``(N, C, H, W)``, or ``(N, H, W, C)`` for channels last; floating."""
WHERE = """boxes : array
    Regions, shape ``(K, 4)``: x1, y1, x2, y2 of each, where x counts columns; float32 or float64. Coordinates are
    finite, x2 not below x1 nor y2 below y1, and scaled at most ``2**24`` in magnitude (float64: ``2**31``). NumPy's,
    or of x's kind of array; positions are computed in its dtype.
batch_indices : array
    The image of each region, shape ``(K,)``, integers from 0 to ``N - 1``. NumPy's, or of x's kind of array."""
LAYOUT = """layout : str
    ``"channels_first"`` or ``"NCHW"``: images, channels, rows, columns. ``"channels_last"`` or ``"NHWC"``: channels
    are the last axis."""
WORDS = {"images": IMAGES, "where": WHERE, "layout": LAYOUT}
