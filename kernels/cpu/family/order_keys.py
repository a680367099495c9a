"""Elements as integers in the same order, which is how taps are compared where speed does not ask for more.

Floats become the signed integers of their size: -0 lies before +0, and NaN, whatever its sign, behind all others.
Integers and bool stay as they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba.extending import register_jitable

from fastpool.kernels.cpu.family.access import codes
from fastpool.kernels.cpu.memory import SCALARS
from fastpool.kernels.elements import BITS

UNSIGNED = {"b1": "u8", "u8": "u8", "u16": "u16", "u32": "u32", "u64": "u64"}


class Keys(NamedTuple):
    """The keys of an element type: their code for ``pointer``, constructor, bits, smallest and largest; ``of``, from
    the bits of an element to its key, and the same back; ``bad``, whether bits are those of a NaN.
    """

    code: int
    type: Any
    bits: int
    smallest: int
    largest: int
    floating: bool
    of: Any
    bad: Any


def _same(b):
    return b


def _never(b):
    return False


register_jitable(_same)
register_jitable(_never)


def keys(dtype: str) -> Keys:
    """The keys of an element type."""
    if dtype not in BITS:
        name = UNSIGNED.get(dtype, dtype)
        bits = int(name[1:])
        smallest, largest = (0, 2**bits - 1) if name in UNSIGNED else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return Keys(codes(name), SCALARS[name], bits, smallest, largest, False, _same, _never)
    name, bits, infinity, _ = BITS[dtype]
    make, shift, positive = SCALARS[name], bits - 1, 2 ** (bits - 1) - 1

    @register_jitable
    def of(b):
        return make(b ^ ((b >> shift) & positive))

    @register_jitable
    def bad(b):
        return (b & positive) > infinity

    return Keys(codes(name), make, bits, -positive - 1, positive, True, of, bad)
