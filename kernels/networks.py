"""Networks of compare-exchanges: pairs of places, and for each pair which of its two results is wanted.

An exchange of places (i, j), i < j, leaves the smaller element at i and the larger one at j. A network does the same
exchanges whatever the elements are, so that many windows go through it at a time, one in each lane of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

SMALLER, LARGER, BOTH = 1, 2, 3
"""What an exchange has to write."""


def sorting(count: int) -> Iterator[tuple[int, int]]:
    """The exchanges that sort so many elements: Batcher's odd-even merge sort (Knuth, volume 3, algorithm 5.2.2M)."""
    top = 1 << max((count - 1).bit_length() - 1, 0)
    p = top if count > 1 else 0
    while p > 0:
        q, r, distance = top, 0, p
        while True:
            for i in range(count - distance):
                if i & p == r:
                    yield i, i + distance
            if q == p:
                break
            distance, q, r = q - p, q >> 1, p
        p >>= 1


@lru_cache(maxsize=64)
def selecting(count: int, wanted: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """The exchanges (i, j, what to write) after which those places hold what they would if all were sorted.

    Exchanges, and halves of them, that no wanted place depends on are left out.
    """
    needed = set(wanted)
    kept = []
    for i, j in reversed(tuple(sorting(count))):
        write = (SMALLER if i in needed else 0) + (LARGER if j in needed else 0)
        if write:
            kept.append((i, j, write))
            needed |= {i, j}
    return tuple(reversed(kept))
