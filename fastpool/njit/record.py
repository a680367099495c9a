"""Where things lie in a ``fastpool_spec``, as a block of int64: what compiled code fills in before it calls.

::

    0 .. 5    twelve int32: the words      8 .. 183   the arrays, MAX_RANK int64 each
    6, 7      the divisor; the norm

The layout is a part of the binary interface: it is compiled into the user's cached code, which calls symbols with the
number of that interface in their names. ``tests/test_njit.py`` compares it with the header.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_RANK = 16


class Record(NamedTuple):
    """The layout of one binary interface: the words by their position as int32, and the arrays in their order."""

    words: tuple[str, ...]
    arrays: tuple[str, ...]

    def word(self, name: str) -> int:
        """Position of a word, counted in int32."""
        return self.words.index(name)

    @property
    def divisor(self) -> int:
        """Position of the divisor, counted in int64."""
        return len(self.words) // 2

    @property
    def norm(self) -> int:
        """Position of the norm."""
        return self.divisor + 1

    def entry(self, name: str, at: int = 0) -> int:
        """Position of an array's entry."""
        return self.norm + 1 + self.arrays.index(name) * MAX_RANK + at

    @property
    def size(self) -> int:
        """Number of int64 in all."""
        return self.norm + 1 + len(self.arrays) * MAX_RANK


STRIDES = ("x_strides", "y_strides", "index_strides", "input_strides")
"""Those which bits of the word ``strided`` say to be given, from the lowest."""

RECORDS = {
    1: Record(
        words=(
            "struct_size",
            "operation",
            "direction",
            "dtype",
            "indices",
            "skip_nan",
            "include_pad",
            "ceil_mode",
            "strided",
            "rank",
            "pooled",
            "form",
        ),
        arrays=("shape", *STRIDES, "axes", "kernel", "stride", "dilation", "pad_begin", "pad_end"),
    )
}
"""Every layout that cached code may have been compiled for, by the number of its interface; none is ever removed."""

ABI = max(RECORDS)
"""The interface that code is compiled for."""

CURRENT = RECORDS[ABI]

MARK = "form"
"""The word that a twin sets to 1 when it has run to its end. For the library it is the form, of which 0 is any."""
