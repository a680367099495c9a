"""Calling compiled code by its address, from inside compiled code, and sharing tiles among threads."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD = ir.IntType(64)
_WORDS = _WORD.as_pointer()


@intrinsic
def call_kernel(typing_context, kernel, plan, bufs, work, begin, end):
    """Calls the kernel at that address; all arguments are integers."""

    def generate(context, builder, signature, arguments):
        shape = ir.FunctionType(ir.VoidType(), [_WORDS, _WORDS, _WORDS, _WORD, _WORD])
        pointers = [builder.inttoptr(argument, _WORDS) for argument in arguments[1:4]]
        builder.call(builder.inttoptr(arguments[0], shape.as_pointer()), [*pointers, *arguments[4:]])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


@intrinsic
def call_status(typing_context, function, words):
    """What the C function at that address returns, an int, for arguments that are integers and pointers: a tuple."""

    def generate(context, builder, signature, arguments):
        given = cgutils.unpack_tuple(builder, arguments[1], signature.args[1].count)
        shape = ir.FunctionType(ir.IntType(32), [_WORD] * len(given))
        return builder.call(builder.inttoptr(arguments[0], shape.as_pointer()), given)

    return types.int32(types.int64, words), generate


@intrinsic
def call_pass(typing_context, passes, words):
    """Calls the pass function at that address with its words."""

    def generate(context, builder, signature, arguments):
        shape = ir.FunctionType(ir.VoidType(), [_WORDS])
        builder.call(builder.inttoptr(arguments[0], shape.as_pointer()), [arguments[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.CPointer(types.int64)), generate


@intrinsic
def claim(typing_context, counter, many):
    """Adds to the integer at that address, atomically, and returns what it was."""

    def generate(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], _WORDS)
        return builder.atomic_rmw("add", place, arguments[1], "monotonic")

    return types.int64(types.int64, types.int64), generate
