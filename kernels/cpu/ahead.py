"""How far ahead of a load kernels ask for memory.

Processors foresee a few rows that are read from their beginning to their end, not many at once, nor those that are
read again. What lies ahead can be asked for by the first-level cache, which has room for few requests at a time, or by
the second-level one alone::

    512 planes of 224 x 224, windows of 2x2: milliseconds       1 KiB   2 KiB   4 KiB ahead      without 5.4
    two threads                                first level       5.5     5.5     5.3
                                               second level      5.2     4.6     4.7
                and written around caches      second level      4.9     3.9     3.9
    one thread                                 second level      9.0     8.6     7.7              without 9.9
"""

from __future__ import annotations

AHEAD = 1024
"""Bytes that are asked for ahead of a load by the first-level cache."""

FAR = 4096
"""The same by the second-level cache."""

FAR_BYTES = 1 << 24
"""Bytes that are read and written in all from which on the second-level cache is asked. 16 planes of 224 x 224, 4 MB,
took 57 us on one thread so, by the first level 52; 64 of them the same by both."""
