"""Writing around the caches, for outputs so large that they would not be found there: rows are made in a buffer."""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import (
    by_one_quarter,
    by_three_quarters,
    by_two_quarters,
    load,
    store,
    store_past_cache,
)

ENOUGH = 512
"""Bytes in the buffer from which on they are written. Few, so that they leave while the next rows are made: with a tile
of 64 KiB at a time 103 MB of gradients took 8.4 ms, with 2 KiB 6.3, so 5.8."""


def make_past_caches(dtype: str) -> Any:
    """The function that writes elements of that type from a buffer.

    Only whole, aligned vectors go around the caches. Rows written so one by one, each with its own ends, took 29 ms for
    103 MB, from a buffer 9.5.
    """
    lanes = vectors.lanes(dtype)
    size = vectors.BYTES // lanes
    enough = ENOUGH // size

    def make_run(joined: Any) -> Any:
        def run(y, d, buffer, begins, whole):
            """Vectors that begin within a vector of the buffer: two of them are joined."""
            at = begins - begins % lanes
            a = load(buffer, at)
            for e in range(begins, whole, lanes):
                at += lanes
                b = load(buffer, at)
                store_past_cache(y, d + e, joined(a, b))
                a = b

        return inlined(run)

    by_one, by_two, by_three = make_run(by_one_quarter), make_run(by_two_quarters), make_run(by_three_quarters)

    def write_past_caches(y, d, skew, buffer, begins, past, last):
        """Writes the elements ``begins .. past - 1`` of the buffer to those of the output from ``d + begins`` on.

        The place ``d`` of the output is element ``skew`` of a vector.
        Returns where in the buffer what is left over begins, and by how many elements it was moved there::

            begins        past      before       the head, element by element; vectors that are whole and aligned
            |..|....|....|..                     in the output; what is left over stays, or is written element by
            |..                     afterwards   element if it is the ``last`` time
        """
        if (past - begins < enough) & (not last):
            return begins, 0
        head = min((lanes - (skew + begins) % lanes) % lanes, past - begins)
        for e in range(begins, begins + head):
            y[d + e] = buffer[e]
        begins += head
        moved = (past - begins) // lanes * lanes
        whole = begins + moved
        # a load of parts of two vectors waits until both stores have come to the cache, that of a whole one does not:
        # 67 MB of gradients of which the output begins 16 bytes into a vector took 4.2 ms, with joined vectors 3.9
        within = begins % lanes * size * 4
        if within == vectors.BYTES:
            by_one(y, d, buffer, begins, whole)
        elif within == 2 * vectors.BYTES:
            by_two(y, d, buffer, begins, whole)
        elif within == 3 * vectors.BYTES:
            by_three(y, d, buffer, begins, whole)
        else:
            for e in range(begins, whole, lanes):
                store_past_cache(y, d + e, load(buffer, e))
        if last:
            for e in range(whole, past):
                y[d + e] = buffer[e]
        else:
            at = whole - whole % lanes
            store(buffer, at - moved, load(buffer, at))
            store(buffer, at - moved + lanes, load(buffer, at + lanes))
        return begins, moved

    return inlined(write_past_caches)
