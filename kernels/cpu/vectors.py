"""What kernels do with explicit vectors, see ``vector_code``.

Functions inside of others, of which a kernel is made, are written into the key that the disk cache finds it by. These
are written there by name; what the compiler is told to generate would be, too, but it is another one in each process.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import reductions as R
from fastpool.kernels.cpu import shuffle_code
from fastpool.kernels.cpu import vector_code as code

BYTES = code.BYTES
lanes = code.lanes


def set_bytes(size: int) -> None:
    """Vectors have so many bytes in all that this process makes from now on; nothing may have been made before."""
    global BYTES
    BYTES = code.BYTES = size


KNOWN: tuple[Any, ...] = (R.pick,)
"""Functions that Numba knows by what stands here and in ``vector_code``, for scalars and vectors."""


def _known(function: Any) -> Any:
    global KNOWN
    KNOWN += (function,)
    # a vector that is passed to a function goes through memory
    return register_jitable(forceinline=True)(function)


@_known
def load(p, i):
    """The elements from ``i`` on."""
    return code.load(p, i)


@_known
def store(p, i, value):
    """Writes the elements from ``i`` on."""
    return code.store(p, i, value)


@_known
def load_eight(p, i):
    """A short vector: the eight elements from ``i`` on."""
    return code.load_eight(p, i)


@_known
def load_halves(p, i, j):
    """Half a vector of the elements from ``i`` on, and behind it half a one of those from ``j`` on."""
    return shuffle_code.load_halves(p, i, j)


@_known
def integers(v, value):
    """The integer in all lanes of a vector like ``v``, of integers of the size of its elements."""
    return code.integers(v, value)


@_known
def store_as(p, i, numbers):
    """Writes a vector of integers from element ``i`` on, as integers of the pointer's type."""
    return code.store_as(p, i, numbers)


@_known
def store_counted(p, i, numbers, start, step):
    """As ``store_as``, after adding ``start + step * lane``."""
    return code.store_counted(p, i, numbers, start, step)


@_known
def load_beside(p, i, v):
    """As many elements from ``i`` on as the vector ``v`` has."""
    return code.load_beside(p, i, v)


@_known
def lanes_past(a, low):
    """The number of each lane less ``low``, at most the number of lanes, for a vector like ``a``: integers."""
    return code.lanes_past(a, low)


@_known
def between(a, low, high, other):
    """The vector where ``low <= lane < high``, elsewhere ``other``."""
    return code.between(a, low, high, other)


@_known
def store_past_cache(p, i, value):
    """Writes the elements from ``i`` on, whose address is a multiple of the vector's size, around the caches."""
    return code.store_past_cache(p, i, value)


@_known
def fence():
    """What was written, around the caches, too, is seen by others before what is written from here on."""
    return code.fence()


@_known
def prefetch(p, i):
    """Asks for the cache line of element ``i``, which need not exist."""
    return code.prefetch(p, i)


@_known
def prefetch_to_second(p, i):
    """Asks for the cache line of element ``i``, which need not exist, to be brought to the second-level cache alone."""
    return code.prefetch_to_second(p, i)


@_known
def prefetch_to_write(p, i):
    """The same, of an element that is written."""
    return code.prefetch_to_write(p, i)


@_known
def signed(a, p):
    """``a * p`` for a vector of floats and a factor 1 or -1: in one cycle instead of four."""
    return code.signed(a, p)


@_known
def either_nan(a, b):
    """Where either of two vectors of floats is NaN: marks, which are integers, all bits of which are set there."""
    return code.either_nan(a, b)


@_known
def larger_unsigned(a, b):
    """The larger of each two integers, taken as numbers without a sign."""
    return code.larger_unsigned(a, b)


@_known
def marked(a, chosen):
    """Truth values, of lanes of a vector like ``a``, as marks."""
    return code.marked(a, chosen)


@_known
def none(a):
    """Marks of no lane, for a vector."""
    return code.none(a)


@_known
def any_of(marks):
    """Whether any lane is marked."""
    return code.any_of(marks)


@_known
def everywhere(p, value):
    """The value in all lanes of a vector of what the pointer points to."""
    return code.everywhere(p, value)


@_known
def even(a, b):
    """Of two vectors, one behind the other, every other lane from the first on."""
    return shuffle_code.even(a, b)


@_known
def odd(a, b):
    """Of two vectors, one behind the other, every other lane from the second on."""
    return shuffle_code.odd(a, b)


@_known
def shifted(a, b):
    """Of two vectors, one behind the other, all lanes from the second on, as many as a vector has."""
    return shuffle_code.shifted(a, b)


@_known
def shifted_twice(a, b):
    """Of two vectors, one behind the other, all lanes from the third on, as many as a vector has."""
    return shuffle_code.shifted_twice(a, b)


@_known
def by_all_but_one(a, b):
    """Of two vectors, one behind the other, the last lane of the first one and as many as there is room for behind."""
    return shuffle_code.by_all_but_one(a, b)


@_known
def by_one_quarter(a, b):
    """Of two vectors, one behind the other, as many lanes as a vector has, from a quarter of one on."""
    return shuffle_code.by_one_quarter(a, b)


@_known
def by_two_quarters(a, b):
    """Of two vectors, one behind the other, as many lanes as a vector has, from half of one on."""
    return shuffle_code.by_two_quarters(a, b)


@_known
def by_three_quarters(a, b):
    """Of two vectors, one behind the other, as many lanes as a vector has, from three quarters of one on."""
    return shuffle_code.by_three_quarters(a, b)


@_known
def taken_apart(vectors):
    """Of a tuple of vectors, one behind the other, as many: every so many-th lane from the first on, the second, ..."""
    return shuffle_code.taken_apart(vectors)


@_known
def even_and_odd(a, b):
    """Even lanes of the first vector, and then odd lanes of the second one."""
    return shuffle_code.even_and_odd(a, b)


@_known
def woven_low(a, b):
    """Lanes of both vectors in turn, from the first on."""
    return shuffle_code.woven_low(a, b)


@_known
def woven_high(a, b):
    """Lanes of both vectors in turn, from the middle on."""
    return shuffle_code.woven_high(a, b)
