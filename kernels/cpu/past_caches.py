"""Writing around the caches, for outputs so large that they would not be found there: a tile is made in a buffer."""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import load, store_past_cache


def make_past_caches(dtype: str) -> Any:
    """The function that writes elements of that type from a buffer.

    Only whole, aligned vectors go around the caches, so an element has the same place in its vector in the buffer as
    in the output. Rows written so one by one, each with its own ends, took 29 ms for 103 MB, from a buffer 9.5.
    """
    lanes = vectors.lanes(dtype)

    def write_past_caches(y, d, buffer, begins, many):
        """Writes ``many`` elements of the buffer from ``begins`` on to those of the output from ``d`` on."""
        head = min((lanes - begins % lanes) % lanes, many)
        tail = (many - head) % lanes
        for e in range(head):
            y[d + e] = buffer[begins + e]
        for e in range(head, many - tail, lanes):
            store_past_cache(y, d + e, load(buffer, begins + e))
        for e in range(many - tail, many):
            y[d + e] = buffer[begins + e]

    return inlined(write_past_caches)
