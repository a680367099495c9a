"""Instructions of the GPU for two 16-bit integers in a word, and for the four bytes of one."""

from __future__ import annotations

import functools

from llvmlite import ir
from numba.cuda import types
from numba.cuda.extending import intrinsic

from fastpool.kernels.cuda.instructions import (
    _I32,
    _capability,
    _load_words,
    _place,
    _store_words,
    _words,
    element_place,
)

_PAIR = ir.VectorType(ir.IntType(16), 2)
_ORDERS = {
    "max.s16x2": (">", "icmp_signed"),
    "max.u16x2": (">", "icmp_unsigned"),
    "min.s16x2": ("<", "icmp_signed"),
    "min.u16x2": ("<", "icmp_unsigned"),
}


@functools.cache
def pairwise(name):
    """``best(a, b)``: the larger or smaller of each half of two words, by ``max.s16x2`` and its like."""

    @intrinsic
    def best(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            if _capability() >= (9, 0):
                kind = ir.FunctionType(_I32, [_I32, _I32])
                return builder.call(ir.InlineAsm(kind, f"{name} $0, $1, $2;", "=r,r,r"), arguments)
            sign, compare = _ORDERS[name]
            first, second = (builder.bitcast(word, _PAIR) for word in arguments)
            better = getattr(builder, compare)(sign, first, second)
            return builder.bitcast(builder.select(better, first, second), _I32)

        return types.uint32(types.uint32, types.uint32), generate

    return best


@functools.cache
def picked(selector):
    """``pick(a, b)``: the four bytes of two words that a selector's digits name, the last digit's first."""

    @intrinsic
    def pick(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            kind = ir.FunctionType(_I32, [_I32, _I32])
            return builder.call(ir.InlineAsm(kind, f"prmt.b32 $0, $1, $2, {selector};", "=r,r,r"), arguments)

        return types.uint32(types.uint32, types.uint32), generate

    return pick


@functools.cache
def words_load(count):
    """``load_words(array, p, i)``: reads ``count`` words into a thread's array, from element ``i`` on."""

    @intrinsic
    def load_words(typing_context, array, p, i):
        def generate(context, builder, signature, arguments):
            place = _place(context, builder, *arguments[1:], signature.args[2], _words(4 * count))
            words = _load_words(builder, place, 4 * count)
            for j in range(count):
                to = element_place(context, builder, array, arguments[0], ir.IntType(64)(j))
                builder.store(builder.extract_element(words, _I32(j)), to)
            return context.get_dummy_value()

        return types.void(array, p, i), generate

    return load_words


@functools.cache
def words_store(count):
    """``store_words(p, i, array)``: writes the first ``count`` words of a thread's array, from element ``i`` on."""

    @intrinsic
    def store_words(typing_context, p, i, array):
        def generate(context, builder, signature, arguments):
            place = _place(context, builder, *arguments[:2], signature.args[1], _words(4 * count))
            words = ir.Constant(ir.VectorType(_I32, count), ir.Undefined)
            for j in range(count):
                one = builder.load(element_place(context, builder, array, arguments[2], ir.IntType(64)(j)))
                words = builder.insert_element(words, one, _I32(j))
            _store_words(builder, words, place, 4 * count)
            return context.get_dummy_value()

        return types.void(p, i, array), generate

    return store_words
