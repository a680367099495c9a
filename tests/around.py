"""Makes outputs of any size ones that are written around the caches."""

from __future__ import annotations

from fastpool import fusing

BOUNDS = ("STREAM_BYTES", "STREAM_OUTPUT", "STREAM_ROW", "STREAM_ROW_OF_TWO")


def around_caches(monkeypatch):
    """For planning in Python."""
    for bound in BOUNDS:
        monkeypatch.setattr(fusing, bound, 0)
