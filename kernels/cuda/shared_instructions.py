"""Instructions of the GPU on arrays in shared memory, at a place and a constant.

Sums of 32 bits may wrap, so that the compiler does not take them apart: an address is made of each. Of two distances it
makes one address, and instructions that have the constant in them. Negative ones, which Numba counts from the end, are
not told apart.
"""

from __future__ import annotations

import functools

from llvmlite import ir
from numba.cuda import types
from numba.cuda.extending import intrinsic

from fastpool.kernels.cuda.instructions import element_place

_I32, _I64 = ir.IntType(32), ir.IntType(64)

_SHARED = 3


def _shared_place(context, builder, array_type, array, arguments, kinds, pointee):
    """The address of element ``i + j`` of an array in shared memory.

    A place and a constant: sums of 32 bits, which may wrap, are not taken apart by the compiler.
    """
    made = context.make_array(array_type)(context, builder, array)
    place = made.data
    for index, kind in zip(arguments, kinds, strict=True):
        place = builder.gep(place, [context.cast(builder, index, kind, types.int64)])
    return builder.addrspacecast(place, pointee.as_pointer(_SHARED))


@intrinsic
def shared_get(typing_context, shared, i, j):
    """Element ``i + j`` of an array in shared memory; ``j`` is a constant."""

    def generate(context, builder, signature, arguments):
        element = context.get_value_type(shared.dtype)
        place = _shared_place(context, builder, shared, arguments[0], arguments[1:], signature.args[1:], element)
        return builder.load(place)

    return shared.dtype(shared, i, j), generate


@intrinsic
def shared_put(typing_context, shared, i, j, value):
    """Writes element ``i + j`` of an array in shared memory; ``j`` is a constant."""

    def generate(context, builder, signature, arguments):
        element = context.get_value_type(shared.dtype)
        place = _shared_place(context, builder, shared, arguments[0], arguments[1:3], signature.args[1:3], element)
        builder.store(context.cast(builder, arguments[3], signature.args[3], shared.dtype), place)
        return context.get_dummy_value()

    return types.void(shared, i, j, value), generate


@functools.cache
def shared_load(count):
    """``load_shared(array, at, shared, i, j)``: reads ``count`` neighbours from ``i + j`` on, as one vector.

    They are of an array in shared memory, and ``j`` is a constant. Element ``i`` must lie at a multiple of the vector's
    size, or of 16 bytes. To be called by the kernel itself, which has made the array.
    """

    @intrinsic
    def load_shared(typing_context, array, at, shared, i, j):
        size = shared.dtype.bitwidth // 8
        piece = min(count, max(16 // size, 1))

        def generate(context, builder, signature, arguments):
            # Numba aligns the array as its elements are
            for made in builder.module.global_values:
                if getattr(made, "addrspace", 0) == _SHARED:
                    made.align = 16
            kinds = signature.args
            vector = ir.VectorType(context.get_value_type(shared.dtype), piece)
            start = context.cast(builder, arguments[1], kinds[1], types.int64)
            place = _shared_place(context, builder, shared, arguments[2], arguments[3:], kinds[3:], vector)
            for k in range(count // piece):
                value = builder.load(builder.gep(place, [_I64(k)]), align=min(16, piece * size))
                for v in range(piece):
                    to = element_place(
                        context, builder, kinds[0], arguments[0], builder.add(start, _I64(k * piece + v))
                    )
                    builder.store(builder.extract_element(value, _I32(v)), to)
            return context.get_dummy_value()

        return types.void(array, at, shared, i, j), generate

    return load_shared
