"""Instructions of the GPU: loads and stores of global memory, vectors, halves, and integers that stay narrow.

Numba computes with integers in 64 bits, which a GPU has to put together; LLVM narrows sums and products again where
their result is cast to 32 bits, but not quotients.
"""

from __future__ import annotations

import functools

from llvmlite import ir
from numba.cuda import types
from numba.cuda.extending import intrinsic

_GLOBAL = 1
_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)


def _place(context, builder, pointer, index, index_type, pointee):
    """The address of an element as one of global memory: loads of generic addresses would look where they lead."""
    wide = builder.gep(pointer, [context.cast(builder, index, index_type, types.int64)])
    return builder.addrspacecast(wide, pointee.as_pointer(_GLOBAL))


@intrinsic
def load(typing_context, p, i):
    """Element ``i`` of a pointer."""

    def generate(context, builder, signature, arguments):
        element = context.get_value_type(p.dtype)
        place = _place(context, builder, *arguments, signature.args[1], element)
        return builder.load(place, align=p.dtype.bitwidth // 8)

    return p.dtype(p, i), generate


@intrinsic
def store(typing_context, p, i, value):
    """Writes element ``i`` of a pointer."""

    def generate(context, builder, signature, arguments):
        element = context.get_value_type(p.dtype)
        place = _place(context, builder, *arguments[:2], signature.args[1], element)
        builder.store(
            context.cast(builder, arguments[2], signature.args[2], p.dtype), place, align=p.dtype.bitwidth // 8
        )
        return context.get_dummy_value()

    return types.void(p, i, value), generate


def _element(context, builder, array_type, array, at):
    """The address of an element of a thread's own array."""
    made = context.make_array(array_type)(context, builder, array)
    return builder.gep(made.data, [at])


@functools.cache
def vector_load(count):
    """``load_vector(array, at, p, i)``: reads ``count`` neighbouring elements into a thread's array from ``at`` on.

    Element ``i`` must lie at a multiple of the vector's size, or of 16 bytes: larger ones are read in pieces.
    """

    @intrinsic
    def load_vector(typing_context, array, at, p, i):
        size = p.dtype.bitwidth // 8
        piece = min(count, max(16 // size, 1))

        def generate(context, builder, signature, arguments):
            vector = ir.VectorType(context.get_value_type(p.dtype), piece)
            start = context.cast(builder, arguments[1], signature.args[1], types.int64)
            place = _place(context, builder, arguments[2], arguments[3], signature.args[3], vector)
            for k in range(count // piece):
                value = builder.load(builder.gep(place, [_I64(k)]), align=piece * size)
                for j in range(piece):
                    to = _element(context, builder, array, arguments[0], builder.add(start, _I64(k * piece + j)))
                    builder.store(builder.extract_element(value, _I32(j)), to)
            return context.get_dummy_value()

        return types.void(array, at, p, i), generate

    return load_vector


@functools.cache
def vector_store(count):
    """``store_vector(p, i, array)``: writes the first ``count`` elements of a thread's array to neighbouring ones."""

    @intrinsic
    def store_vector(typing_context, p, i, array):
        size = p.dtype.bitwidth // 8
        piece = min(count, max(16 // size, 1))

        def generate(context, builder, signature, arguments):
            vector = ir.VectorType(context.get_value_type(p.dtype), piece)
            place = _place(context, builder, arguments[0], arguments[1], signature.args[1], vector)
            for k in range(count // piece):
                value = ir.Constant(vector, ir.Undefined)
                for j in range(piece):
                    one = builder.load(_element(context, builder, array, arguments[2], _I64(k * piece + j)))
                    value = builder.insert_element(value, one, _I32(j))
                builder.store(value, builder.gep(place, [_I64(k)]), align=piece * size)
            return context.get_dummy_value()

        return types.void(p, i, array), generate

    return store_vector


@intrinsic
def divide(typing_context, a, b):
    """The quotient of two integers of one type that are not negative, rounded down."""

    def generate(context, builder, signature, arguments):
        return builder.udiv(*arguments)

    return a(a, a), generate


@intrinsic
def scaled(typing_context, n, factor, shift):
    """The quotient of a number below 2**31 by one of which ``planning.reciprocal`` has made a factor and a shift."""

    def generate(context, builder, signature, arguments):
        number, times, places = (builder.zext(value, _I64) for value in arguments)
        return builder.trunc(builder.lshr(builder.mul(number, times), places), _I32)

    return types.int32(types.int32, types.int32, types.int32), generate


def _assembly(text, result, operand, constraints):
    def generate(context, builder, signature, arguments):
        return builder.call(ir.InlineAsm(ir.FunctionType(result, [operand]), text, constraints), arguments)

    return generate


@intrinsic
def from_float16(typing_context, bits):
    """The float32 that the bits of a float16 stand for."""
    return types.float32(types.uint16), _assembly("cvt.f32.f16 $0, $1;", ir.FloatType(), _I16, "=f,h")


@intrinsic
def as_float16(typing_context, value):
    """The bits of the float16 nearest to a float32."""
    return types.uint16(types.float32), _assembly("cvt.rn.f16.f32 $0, $1;", _I16, ir.FloatType(), "=h,f")


@intrinsic
def from_bfloat16(typing_context, bits):
    """The float32 that the bits of a bfloat16 stand for."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(builder.shl(builder.zext(arguments[0], _I32), _I32(16)), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def as_bfloat16(typing_context, value):
    """The bits of the bfloat16 nearest to a float32."""
    return types.uint16(types.float32), _assembly("cvt.rn.bf16.f32 $0, $1;", _I16, ir.FloatType(), "=h,f")


@intrinsic
def multiply(typing_context, a, b):
    """The rounded product of two float64, which no addition is fused with."""

    def generate(context, builder, signature, arguments):
        kind = ir.DoubleType()
        call = ir.InlineAsm(ir.FunctionType(kind, [kind, kind]), "mul.rn.f64 $0, $1, $2;", "=d,d,d")
        return builder.call(call, arguments)

    return types.float64(types.float64, types.float64), generate
