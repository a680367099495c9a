"""Explicit vectors: lanes of several vectors in another order, see ``vector_code``."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastpool.kernels.cpu.vector_code import of_pointer

_INT32 = ir.IntType(32)


def _order(lanes: Any) -> Any:
    places = list(lanes)
    return ir.Constant(ir.VectorType(_INT32, len(places)), places)


def _shuffle(order: Any) -> Any:
    """A function of two vectors, one behind the other, that takes the lanes ``order(number of lanes)``."""

    @intrinsic
    def shuffle(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            return builder.shuffle_vector(*arguments, _order(order(a.lanes)))

        return a(a, b), generate

    return shuffle


even = _shuffle(lambda count: range(0, 2 * count, 2))
odd = _shuffle(lambda count: range(1, 2 * count, 2))
shifted = _shuffle(lambda count: range(1, count + 1))
shifted_twice = _shuffle(lambda count: range(2, count + 2))
by_all_but_one = _shuffle(lambda count: range(count - 1, 2 * count - 1))
by_one_quarter = _shuffle(lambda count: range(count // 4, count // 4 + count))
by_two_quarters = _shuffle(lambda count: range(count // 2, count // 2 + count))
by_three_quarters = _shuffle(lambda count: range(count // 4 * 3, count // 4 * 3 + count))
even_and_odd = _shuffle(lambda count: [*range(0, count, 2), *range(count + 1, 2 * count, 2)])
woven_low = _shuffle(lambda count: [i // 2 + i % 2 * count for i in range(count)])
woven_high = _shuffle(lambda count: [i // 2 + i % 2 * count for i in range(count, 2 * count)])


@intrinsic
def load_halves(typing_context, p, i, j):
    """Half a vector of the elements from ``i`` on, and behind it half a one of those from ``j`` on."""
    kind = of_pointer(p)

    def generate(context, builder, signature, arguments):
        pointer, *places = arguments
        shape = ir.VectorType(context.get_value_type(p.dtype), kind.lanes // 2)
        halves = [builder.bitcast(builder.gep(pointer, [place]), shape.as_pointer()) for place in places]
        halves = [builder.load(half, align=p.dtype.bitwidth // 8) for half in halves]
        return builder.shuffle_vector(*halves, _order(range(kind.lanes)))

    return kind(p, types.int64, types.int64), generate


@intrinsic
def taken_apart(typing_context, vectors):
    """Of a tuple of vectors, one behind the other, as many: every so many-th lane from the first on, the second, ..."""

    def generate(context, builder, signature, arguments):
        many, count = vectors.count, vectors.dtype.lanes
        sources = cgutils.unpack_tuple(builder, arguments[0], many)
        taken = []
        for first in range(many):
            places = [divmod(first + many * lane, count) for lane in range(count)]
            made = sources[0]
            for number in range(1, many):
                # lanes that were taken before stay, or come from the first vector; those that follow may be any
                chosen = [
                    count + place if source == number else place if source == 0 and number == 1 else lane
                    for lane, (source, place) in enumerate(places)
                ]
                made = builder.shuffle_vector(made, sources[number], _order(chosen))
            taken.append(made)
        return context.make_tuple(builder, signature.return_type, taken)

    return vectors(vectors), generate
