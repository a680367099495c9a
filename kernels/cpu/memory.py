"""Memory as kernels see it: typed pointers, element codes, and how an element becomes a value and back.

Numba has no half types on the CPU, so float16 and bfloat16 travel as their 16 bits and are widened to float32 here,
by integer arithmetic that every CPU level vectorises (the conversion instructions exist from x86-64-v3 on only, and
without them LLVM calls a routine that the process may not have).
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

TYPES = {
    "b1": types.uint8,
    "i8": types.int8,
    "i16": types.int16,
    "i32": types.int32,
    "i64": types.int64,
    "u8": types.uint8,
    "u16": types.uint16,
    "u32": types.uint32,
    "u64": types.uint64,
    "f16": types.uint16,
    "bf16": types.uint16,
    "f32": types.float32,
    "f64": types.float64,
}
CODES = {name: code for code, name in enumerate(TYPES)}
"""A number for each element type, because a kernel's closure may capture numbers only."""
SIZES = {name: type_.bitwidth // 8 for name, type_ in TYPES.items()}
_WORD = ir.IntType(64)
_BY_CODE = dict(enumerate(TYPES.values()))

SCALARS = {name: getattr(np, type_.name) for name, type_ in TYPES.items() if name not in ("b1", "f16", "bf16")} | {
    "b1": np.uint8
}
"""The constructor of a value of each type that a state may have."""

SIGNATURE = types.void(
    types.CPointer(types.int64),
    types.CPointer(types.int64),
    types.CPointer(types.int64),
    types.int64,
    types.int64,
)
"""(plan, bufs, work, begin, end): the one signature that all kernels share."""
PASSES = types.void(types.CPointer(types.int64))
"""That of passes, which a walk calls with what it has put into its words."""


@intrinsic(prefer_literal=True)
def pointer(typing_context, address, code):
    """The address as a pointer to elements of the type with that code (a compile-time constant)."""
    if not isinstance(code, types.IntegerLiteral):
        return None

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(_BY_CODE[code.literal_value])(address, code), generate


@intrinsic
def _pointer_like(typing_context, address, p):
    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return p(address, p), generate


_TAGS = ("first", "second", "out", "source", "result", "side")
FIRST, SECOND, OUT, SOURCE, RESULT, SIDE = range(len(_TAGS))
"""What an access touches: the first or second operand or the output of a pass over states; the source; what is written;
the third buffer. Accesses with different tags never meet in memory, which spares every loop a check at run time (and
the compiler the second, scalar version of it)."""


def _mark(builder, instruction, tag):
    module = builder.module
    domain = module.add_metadata(["fastpool"])
    scopes = [module.add_metadata([f"fastpool.{name}", domain]) for name in _TAGS]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[tag]]))
    others = [scope for i, scope in enumerate(scopes) if i != tag]
    instruction.set_metadata("noalias", module.add_metadata(others))


@intrinsic(prefer_literal=True)
def load(typing_context, p, i, tag):
    """Element ``i`` of a pointer, by an access with that tag."""
    if not isinstance(tag, types.IntegerLiteral):
        return None
    number = tag.literal_value

    def generate(context, builder, signature, arguments):
        place = builder.gep(arguments[0], [context.cast(builder, arguments[1], signature.args[1], types.int64)])
        value = builder.load(place, align=signature.return_type.bitwidth // 8)
        _mark(builder, value, number)
        return value

    return p.dtype(p, i, tag), generate


@intrinsic(prefer_literal=True)
def store(typing_context, p, i, value, tag):
    """Writes element ``i`` of a pointer, by an access with that tag."""
    if not isinstance(tag, types.IntegerLiteral):
        return None
    number = tag.literal_value
    element = p.dtype

    def generate(context, builder, signature, arguments):
        place = builder.gep(arguments[0], [context.cast(builder, arguments[1], signature.args[1], types.int64)])
        converted = context.cast(builder, arguments[2], signature.args[2], element)
        written = builder.store(converted, place, align=element.bitwidth // 8)
        _mark(builder, written, number)
        return context.get_dummy_value()

    return types.void(p, i, value, tag), generate


# A closure that Numba's disk cache is to find again may call these, but not the intrinsics themselves: captured by
# value, an intrinsic is another one in every process.
@register_jitable
def load_source(p, i):
    return load(p, i, SOURCE)


@intrinsic
def deinterleave(typing_context, p, a, even, odd, count):
    """Copies elements ``a, a + 2, ...`` to ``even`` and up, ``a + 1, a + 3, ...`` to ``odd`` and up: ``count`` each.

    In whole vectors of 64 bytes: reads and writes up to that much more. LLVM makes gathers of such a loop from AVX-512
    on, which take 3 times as long.
    """

    def generate(context, builder, signature, arguments):
        base, first, to_even, to_odd, many = arguments
        element = base.type.pointee
        lanes = 64 // (signature.args[0].dtype.bitwidth // 8)
        vector = ir.VectorType(element, lanes)
        index = ir.VectorType(ir.IntType(32), lanes)

        def at(place):
            return builder.bitcast(builder.gep(base, [place]), vector.as_pointer())

        with cgutils.for_range_slice(builder, _WORD(0), many, _WORD(lanes), _WORD) as (done, _):
            place = builder.add(first, builder.shl(done, _WORD(1)))
            low = builder.load(at(place), align=1)
            high = builder.load(at(builder.add(place, _WORD(lanes))), align=1)
            for to, offset in ((to_even, 0), (to_odd, 1)):
                chosen = ir.Constant(index, [2 * i + offset for i in range(lanes)])
                half = builder.shuffle_vector(low, high, chosen)
                builder.store(half, at(builder.add(to, done)), align=1)
        return context.get_dummy_value()

    return types.void(p, types.int64, types.int64, types.int64, types.int64), generate


@register_jitable
def split_pairs(p, a, even, odd, count):
    deinterleave(p, a, even, odd, count)


@register_jitable
def load_second(p, i):
    return load(p, i, SECOND)


@register_jitable
def load_side(p, i):
    return load(p, i, SIDE)


@register_jitable
def load_out(p, i):
    return load(p, i, OUT)


@register_jitable
def address(p):
    """The pointer as an integer."""
    return _address(p)


@register_jitable
def pointer_like(address, p):
    """The address as a pointer of the type of another one."""
    return _pointer_like(address, p)


@register_jitable
def as_float(bits):
    return float_of_bits(bits)


@register_jitable
def store_out(p, i, value):
    store(p, i, value, OUT)


@register_jitable
def store_result(p, i, value):
    store(p, i, value, RESULT)


@register_jitable
def store_source(p, i, value):
    store(p, i, value, SOURCE)


@register_jitable
def store_side(p, i, value):
    store(p, i, value, SIDE)


@intrinsic
def _address(typing_context, p):
    def generate(context, builder, signature, arguments):
        return builder.ptrtoint(arguments[0], ir.IntType(64))

    return types.int64(p), generate


@intrinsic
def float_of_bits(typing_context, bits):
    """An int64 as the float64 of the same bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@intrinsic
def _widen_float16(typing_context, bits):
    def generate(context, builder, signature, arguments):
        i32, f32 = ir.IntType(32), ir.FloatType()
        b = builder.zext(arguments[0], i32)
        m = builder.and_(b, i32(0x7FFF))
        sign = builder.shl(builder.and_(b, i32(0x8000)), i32(16))
        shifted = builder.shl(m, i32(13))
        normal = builder.add(shifted, i32(112 << 23))
        special = builder.add(shifted, i32(224 << 23))
        scaled = builder.fmul(builder.uitofp(m, f32), ir.Constant(f32, 2.0**-24))
        subnormal = builder.bitcast(scaled, i32)
        wide = builder.select(builder.icmp_unsigned(">=", m, i32(0x7C00)), special, normal)
        wide = builder.select(builder.icmp_unsigned("<", m, i32(0x400)), subnormal, wide)
        return builder.bitcast(builder.or_(wide, sign), f32)

    return types.float32(types.uint16), generate


@intrinsic
def _narrow_float16(typing_context, value):
    def generate(context, builder, signature, arguments):
        i32, f32, i16 = ir.IntType(32), ir.FloatType(), ir.IntType(16)
        b = builder.bitcast(arguments[0], i32)
        a = builder.and_(b, i32(0x7FFFFFFF))
        sign = builder.and_(builder.lshr(b, i32(16)), i32(0x8000))
        odd = builder.and_(builder.lshr(a, i32(13)), i32(1))
        rounded = builder.add(builder.add(a, i32(0xFFF)), odd)
        normal = builder.lshr(builder.sub(rounded, i32(112 << 23)), i32(13))
        # adding 0.5 leaves a multiple of 2**-24 in the low bits, rounded by the addition itself
        aligned = builder.fadd(builder.bitcast(a, f32), ir.Constant(f32, 0.5))
        subnormal = builder.sub(builder.bitcast(aligned, i32), i32(0x3F000000))
        half = builder.select(builder.icmp_unsigned("<", a, i32(0x38800000)), subnormal, normal)
        half = builder.select(builder.icmp_unsigned(">=", a, i32(0x47800000)), i32(0x7C00), half)
        half = builder.or_(half, sign)
        half = builder.select(builder.icmp_unsigned(">", a, i32(0x7F800000)), i32(0x7E00), half)
        return builder.trunc(half, i16)

    return types.uint16(types.float32), generate


@intrinsic
def _widen_bfloat16(typing_context, bits):
    def generate(context, builder, signature, arguments):
        i32 = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.zext(arguments[0], i32), i32(16)), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def _narrow_bfloat16(typing_context, value):
    def generate(context, builder, signature, arguments):
        i32, i16 = ir.IntType(32), ir.IntType(16)
        b = builder.bitcast(arguments[0], i32)
        odd = builder.and_(builder.lshr(b, i32(16)), i32(1))
        rounded = builder.lshr(builder.add(builder.add(b, i32(0x7FFF)), odd), i32(16))
        nan = builder.icmp_unsigned(">", builder.and_(b, i32(0x7FFFFFFF)), i32(0x7F800000))
        return builder.trunc(builder.select(nan, i32(0x7FC0), rounded), i16)

    return types.uint16(types.float32), generate


_NAN32 = np.float32(math.nan)
_NAN64 = np.float64(math.nan)


def plain(v):
    return v


def decode_float16(v):
    return _widen_float16(v)


def decode_bfloat16(v):
    return _widen_bfloat16(v)


def encode_float16(v):
    return _narrow_float16(np.float32(v))


def encode_bfloat16(v):
    return _narrow_bfloat16(np.float32(v))


def encode_float32(v):
    w = np.float32(v)
    return w if w == w else _NAN32


def encode_float64(v):
    w = np.float64(v)
    return w if w == w else _NAN64


DECODE = dict.fromkeys(TYPES, plain) | {"f16": decode_float16, "bf16": decode_bfloat16}
"""Element to value, by element type."""


def encode_bool(v):
    # a gradient of True and True is True
    return np.uint8(v != 0)


ENCODE = dict.fromkeys(TYPES, plain) | {
    "b1": encode_bool,
    "f16": encode_float16,
    "bf16": encode_bfloat16,
    "f32": encode_float32,
    "f64": encode_float64,
}
"""Value to element; every NaN becomes the one canonical quiet NaN, so that results do not depend on luck."""

for _function in {*DECODE.values(), *ENCODE.values()}:
    register_jitable(_function)
