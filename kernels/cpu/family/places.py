"""Places of elements in their planes: from blocks in scratch to arrays of indices, and back."""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.state import inlined

INTEGERS = {"f32": "i32", "f64": "i64"}
"""The integers as long as a value."""


def make_give_places(value: str) -> Any:
    """``give(array, first, channel, count, row, rows, column, columns, block, base, more, step)``: writes indices.

    That of a place is ``base + more * lane + step * place``; -1 stays.
    """
    lanes = vectors.lanes(value)

    def give(array, first, channel, count, row, rows, column, columns, block, base, more, step):
        if channel == 1:
            for r in range(rows):
                for c in range(columns):
                    at, e = first + r * row + c * column, (r * columns + c) * lanes
                    for lane in range(count):
                        place = int(block[e + lane])
                        array[at + lane] = base + more * lane + step * place if place >= 0 else -1
            return
        for lane in range(count):
            for r in range(rows):
                at, e = first + lane * channel + r * row, r * columns * lanes + lane
                for c in range(columns):
                    place = int(block[e + c * lanes])
                    array[at + c * column] = base + more * lane + step * place if place >= 0 else -1

    return inlined(give)
