"""Instructions of the GPU: loads and stores of global memory, vectors, halves, and integers that stay narrow.

Numba computes with integers in 64 bits, which a GPU has to put together; LLVM narrows sums and products again where
their result is cast to 32 bits, but not quotients.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from llvmlite import ir
from numba.cuda import types
from numba.cuda.extending import intrinsic

try:
    from numba.cuda.core.targetconfig import ConfigStack
# versions before numba-cuda 0.18 have Numba's
except ImportError:
    from numba.core.targetconfig import ConfigStack

_GLOBAL = 1
_LEAST, _MOST = np.float32(1e-30), np.float32(1e30)
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


def element_place(context, builder, array_type, array, at):
    """The address of an element of a thread's own array."""
    made = context.make_array(array_type)(context, builder, array)
    return builder.gep(made.data, [at])


def _words(size):
    """What a vector of so many bytes is loaded as."""
    return ir.VectorType(_I32, size // 4) if size >= 4 else ir.IntType(8 * size)


def _load_words(builder, place, size):
    """Loads a vector as words of 32 bits, by an instruction that stays whole.

    Of elements below 32 bits LLVM makes several loads, half or a quarter as wide.
    """
    many = size // 4
    if many < 2:
        return builder.load(place, align=size)
    names = ", ".join(f"${i}" for i in range(many))
    text = f"ld.global.v{many}.b32 {{{names}}}, [${many}];"
    kind = ir.FunctionType(ir.LiteralStructType([_I32] * many), [place.type])
    loaded = builder.call(ir.InlineAsm(kind, text, ",".join(["=r"] * many + ["l"])), [place])
    words = ir.Constant(ir.VectorType(_I32, many), ir.Undefined)
    for i in range(many):
        words = builder.insert_element(words, builder.extract_value(loaded, i), _I32(i))
    return words


def _store_words(builder, words, place, size):
    """Stores a vector of words, likewise."""
    many = size // 4
    if many < 2:
        builder.store(words, place, align=size)
        return
    names = ", ".join(f"${i + 1}" for i in range(many))
    text = f"st.global.v{many}.b32 [$0], {{{names}}};"
    kind = ir.FunctionType(ir.VoidType(), [place.type, *[_I32] * many])
    parts = [builder.extract_element(words, _I32(i)) for i in range(many)]
    builder.call(ir.InlineAsm(kind, text, ",".join(["l"] + ["r"] * many + ["~{memory}"]), True), [place, *parts])


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
            place = _place(context, builder, arguments[2], arguments[3], signature.args[3], _words(piece * size))
            for k in range(count // piece):
                words = _load_words(builder, builder.gep(place, [_I64(k)]), piece * size)
                value = builder.bitcast(words, vector)
                for j in range(piece):
                    to = element_place(context, builder, array, arguments[0], builder.add(start, _I64(k * piece + j)))
                    builder.store(builder.extract_element(value, _I32(j)), to)
            return context.get_dummy_value()

        return types.void(array, at, p, i), generate

    return load_vector


@intrinsic
def load_or(typing_context, p, i, there, other):
    """Element ``i`` of a pointer where it is ``there``, else ``other``; without a branch."""
    size = p.dtype.bitwidth // 8
    letter, bits = {1: ("h", 16), 2: ("h", 16), 4: ("r", 32), 8: ("l", 64)}[size]
    kind = ir.IntType(bits)

    def generate(context, builder, signature, arguments):
        element = context.get_value_type(p.dtype)
        place = _place(context, builder, arguments[0], arguments[1], signature.args[1], element)
        raw = ir.IntType(8 * size)
        fill = builder.bitcast(context.cast(builder, arguments[3], signature.args[3], p.dtype), raw)
        fill = builder.zext(fill, kind) if size == 1 else fill
        word = "u8" if size == 1 else f"b{8 * size}"
        text = f"{{{{ .reg .pred q; setp.ne.b32 q, $2, 0; @q ld.global.{word} $0, [$1]; }}}}"
        function = ir.FunctionType(kind, [place.type, _I32, kind])
        asked = [place, builder.zext(arguments[2], _I32), fill]
        loaded = builder.call(ir.InlineAsm(function, text, f"={letter},l,r,0"), asked)
        loaded = builder.trunc(loaded, raw) if size == 1 else loaded
        return builder.bitcast(loaded, element)

    return p.dtype(p, i, there, other), generate


@functools.cache
def vector_store(count):
    """``store_vector(p, i, array)``: writes the first ``count`` elements of a thread's array to neighbouring ones."""

    @intrinsic
    def store_vector(typing_context, p, i, array):
        size = p.dtype.bitwidth // 8
        piece = min(count, max(16 // size, 1))

        def generate(context, builder, signature, arguments):
            vector = ir.VectorType(context.get_value_type(p.dtype), piece)
            words = _words(piece * size)
            place = _place(context, builder, arguments[0], arguments[1], signature.args[1], words)
            for k in range(count // piece):
                value = ir.Constant(vector, ir.Undefined)
                for j in range(piece):
                    one = builder.load(element_place(context, builder, array, arguments[2], _I64(k * piece + j)))
                    value = builder.insert_element(value, one, _I32(j))
                _store_words(builder, builder.bitcast(value, words), builder.gep(place, [_I64(k)]), piece * size)
            return context.get_dummy_value()

        return types.void(p, i, array), generate

    return store_vector


def _row_place(context, builder, arguments, kinds, pointee):
    """The address of element ``i + r * step``, in bytes: a product of 32 bits and a sum, which are one instruction."""
    pointer, index, row, step = arguments
    place = builder.gep(pointer, [context.cast(builder, index, kinds[1], types.int64)])
    size = kinds[0].dtype.bitwidth // 8
    words = builder.mul(step, _I32(size))
    by = builder.mul(builder.sext(row, _I64), builder.sext(words, _I64))
    place = builder.gep(builder.bitcast(place, ir.IntType(8).as_pointer()), [by])
    return builder.addrspacecast(builder.bitcast(place, pointee.as_pointer()), pointee.as_pointer(_GLOBAL))


@intrinsic
def load_row(typing_context, p, i, r, step):
    """Element ``i + r * step`` of a pointer, where a step has less than 2**31 bytes."""

    def generate(context, builder, signature, arguments):
        element = context.get_value_type(p.dtype)
        return builder.load(_row_place(context, builder, arguments, signature.args, element))

    return p.dtype(p, i, types.int32, types.int32), generate


@intrinsic
def behind(typing_context, p, i):
    """The pointer to element ``i`` of a pointer: a place that further ones count from."""

    def generate(context, builder, signature, arguments):
        return builder.gep(arguments[0], [context.cast(builder, arguments[1], signature.args[1], types.int64)])

    return p(p, i), generate


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
        number, times, places = arguments
        twice = builder.zext(builder.add(number, number), _I64)
        high = builder.lshr(builder.mul(twice, builder.zext(times, _I64)), _I64(32))
        return builder.lshr(builder.trunc(high, _I32), places)

    return types.int32(types.int32, types.int32, types.int32), generate


@intrinsic
def product(typing_context, a, b):
    """The product of two integers of 32 bits, in 64 bits.

    By its own instruction: of a product of two numbers that were cast, three are made.
    """

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(_I64, [_I32, _I32])
        return builder.call(ir.InlineAsm(kind, "mul.wide.s32 $0, $1, $2;", "=l,r,r"), arguments)

    return types.int64(types.int32, types.int32), generate


@intrinsic
def ahead(typing_context, p, i):
    """A pointer's element ``i`` as the first one of another pointer.

    From an index of 32 bits it is one instruction. Elements at constant distances behind it cost none, while LLVM,
    which does not see through it, would add up indices in 64 bits for each of them.
    """
    size = p.dtype.bitwidth // 8

    def generate(context, builder, signature, arguments):
        pointer, index = arguments
        if i != types.int32:
            wide_index = context.cast(builder, index, i, types.int64)
            return builder.gep(pointer, [wide_index])
        kind = ir.FunctionType(_I64, [_I32, _I64])
        text = f"mad.wide.s32 $0, $1, {size}, $2;"
        place = builder.call(ir.InlineAsm(kind, text, "=l,r,l"), [index, builder.ptrtoint(pointer, _I64)])
        return builder.inttoptr(place, pointer.type)

    return p(p, i), generate


@intrinsic
def largest(typing_context, a, b):
    """The larger of two float32, or NaN where one of them is: of +0 and -0 either."""

    def generate(context, builder, signature, arguments):
        if _capability() >= (8, 0):
            kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 2)
            return builder.call(ir.InlineAsm(kind, "max.NaN.f32 $0, $1, $2;", "=f,f,f"), arguments)
        first, second = arguments
        takes = builder.or_(builder.fcmp_ordered(">", first, second), builder.fcmp_unordered("uno", first, first))
        return builder.select(takes, first, second)

    return types.float32(types.float32, types.float32), generate


def _capability():
    """The compute capability that is compiled for."""
    flags = ConfigStack.top_or_none()
    return tuple(getattr(flags, "compute_capability", None) or (0, 0))


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


@intrinsic
def from_bits(typing_context, bits):
    """The float64 that the bits of an integer stand for."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@intrinsic
def fma(typing_context, a, b, c):
    """The sum of a product and a float32, rounded once."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 3)
        return builder.call(ir.InlineAsm(kind, "fma.rn.f32 $0, $1, $2, $3;", "=f,f,f,f"), arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


def corrected(s, d, r):
    """The quotient of a float32 by a small integer ``d``, rounded as IEEE 754 says, where ``r`` is 1 / d, rounded.

    A product and one correction, whose bits are those of the quotient: for the divisors of ``parts.KNOWN`` they were
    compared for all fractions of s. Where it is ``doubtful`` a quotient has to be made.
    """
    q = s * r
    return s if s == 0 else fma(fma(-q, d, s), r, q)


def doubtful(s, q):
    """Whether ``q``, which ``corrected`` made of ``s``, may have lost bits: very small, very large or no number."""
    return (s != 0) & (not ((abs(q) > _LEAST) & (abs(q) < _MOST)))


def exponential(value):
    """The exponential of a float32 or float64."""
    return math.exp(value)


def logarithm(value):
    """The natural logarithm of a float32 or float64."""
    return math.log(value)
