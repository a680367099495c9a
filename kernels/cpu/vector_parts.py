"""What a variant does with one vector of elements: the functions that kernels of explicit vectors are made of."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from numba.extending import register_jitable

from fastpool.kernels.cpu.memory import SCALARS
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import either_nan, signed, store_as, store_counted
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant, numbers_places


class VectorParts(NamedTuple):
    """The parts of a variant; ``p`` is the reduction's parameter.

    lift(v, p)              states from elements
    lower(s, divisor, p)    results from states
    canonical(v)            the same with every NaN the one canonical NaN, for floats
    """

    lift: Any
    lower: Any
    canonical: Any


def make_vector_parts(variant: Variant) -> VectorParts:
    """The parts of a variant whose reduction works on vectors, as plain Python functions that Numba knows."""
    reduction = variant.vector
    assert reduction is not None
    floats = variant.source[0] == "f"
    lift_one, lower_one = inlined(reduction.lift), inlined(reduction.lower)
    if floats and reduction.keyed:

        def lift(v, p):
            return signed(v, p)

        def lower(s, divisor, p):
            return signed(s, p)

    else:

        def lift(v, p):
            return lift_one(v, p)

        def lower(s, divisor, p):
            return lower_one(s, divisor, 1, p)

    if floats:
        nan = SCALARS[variant.source](math.nan)

        def canonical(v):
            return pick(v == v, v, nan)

    else:

        def canonical(v):
            return v

    return VectorParts(inlined(lift), inlined(lower), inlined(canonical))


def make_watch(watches: bool) -> Any:
    """``watch(bad, a, b)``: where NaN was seen, in two vectors more, if it is looked for."""
    if watches:

        def watch(bad, a, b):
            return bad | either_nan(a, b)

    else:

        def watch(bad, a, b):
            return bad

    return inlined(watch)


def make_put_indices(dtype: str) -> Any:
    """``put(indices, i, numbers, index, step)``: writes those from ``i`` on, of one byte or of eight.

    Of one byte they are the numbers of taps; of eight ``index + step * lane`` is added.
    """
    if dtype == "u8":

        def put(indices, i, numbers, index, step):
            store_as(indices, i, numbers)

    else:

        def put(indices, i, numbers, index, step):
            store_counted(indices, i, numbers, index, step)

    return inlined(put)


def make_put_either(dtype: str) -> Any:
    """``put(indices, i, numbers, index, step)``, where ``indices`` are (as bytes, of eight bytes, whether they have
    eight): as ``make_put_indices``, whichever they are. Elements too short to number places by have none of eight.
    """
    put_taps, put_places = make_put_indices("u8"), make_put_indices("i64")
    if not numbers_places(dtype):

        def put(indices, i, numbers, index, step):
            put_taps(indices[0], i, numbers, index, step)

    else:

        def put(indices, i, numbers, index, step):
            if indices[2]:
                put_places(indices[1], i, numbers, index, step)
            else:
                put_taps(indices[0], i, numbers, index, step)

    return inlined(put)


@register_jitable
def put_one(indices, i, index):
    """Writes one index, of either type."""
    if indices[2]:
        indices[1][i] = index
    else:
        indices[0][i] = index
