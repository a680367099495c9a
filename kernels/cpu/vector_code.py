"""Explicit vectors: a Numba type for ``BYTES`` bytes of elements, on which the functions of a reduction work as on one.

For loops that LLVM vectorises badly, or not at all: rows of fewer elements than a few vectors, elements at a stride of
2. Where the processor's vectors are shorter, LLVM takes several for each. Operators on vectors are those of Python,
element by element; a comparison gives a vector of truth values, for ``reductions.pick`` to choose by.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, overload, register_model

from fastpool.kernels import reductions as R
from fastpool.kernels.cpu.memory import TYPES

BYTES = 64
"""Bytes of a vector, unless ``vectors.set_bytes`` said otherwise."""

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


class Vector(types.Type):
    """A vector of ``lanes`` elements of a Numba type."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"vector({dtype} x {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        element = ir.IntType(1) if kind.dtype == types.boolean else manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, kind.lanes))


def lanes(dtype: str) -> int:
    """Elements of that type in a vector."""
    return BYTES * 8 // int(TYPES[dtype].bitwidth)


def of_pointer(pointer: Any) -> Vector:
    """The vector of what a pointer points to."""
    return Vector(pointer.dtype, BYTES * 8 // pointer.dtype.bitwidth)


def _address(builder: Any, pointer: Any, place: Any, vector: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [place]), vector.as_pointer())


def _constants(vector: Any, values: Any) -> Any:
    return ir.Constant(vector, list(values))


def _spread(context: Any, builder: Any, kind: Any, value: Any, vector: Vector) -> Any:
    """A scalar in every lane; a vector as it is."""
    if isinstance(kind, Vector):
        return value
    if vector.dtype != types.boolean:
        value = context.cast(builder, value, kind, vector.dtype)
    shape = ir.VectorType(value.type, vector.lanes)
    single = builder.insert_element(ir.Constant(shape, ir.Undefined), value, _INT32(0))
    order = _constants(ir.VectorType(_INT32, vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(single, single, order)


@intrinsic
def load(typing_context, p, i):
    """The elements from ``i`` on."""
    kind = of_pointer(p)

    def generate(context, builder, signature, arguments):
        place = _address(builder, *arguments, context.get_value_type(kind))
        return builder.load(place, align=kind.dtype.bitwidth // 8)

    return kind(p, types.int64), generate


@intrinsic
def store(typing_context, p, i, value):
    """Writes the elements from ``i`` on."""

    def generate(context, builder, signature, arguments):
        place = _address(builder, arguments[0], arguments[1], arguments[2].type)
        builder.store(arguments[2], place, align=p.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(p, types.int64, value), generate


@intrinsic
def load_eight(typing_context, p, i):
    """A short vector: the eight elements from ``i`` on."""
    kind = Vector(p.dtype, 8)

    def generate(context, builder, signature, arguments):
        place = _address(builder, *arguments, context.get_value_type(kind))
        return builder.load(place, align=p.dtype.bitwidth // 8)

    return kind(p, types.int64), generate


@intrinsic
def integers(typing_context, v, value):
    """The integer in all lanes of a vector like ``v``, of integers of the size of its elements."""
    kind = Vector(types.Integer.from_bitwidth(v.dtype.bitwidth, True), v.lanes)

    def generate(context, builder, signature, arguments):
        return _spread(context, builder, signature.args[1], arguments[1], kind)

    return kind(v, types.int64), generate


def _as_elements(context: Any, builder: Any, numbers: Any, kind: Vector, element: Any) -> Any:
    """A vector of integers as integers of the type ``element``."""
    shape = ir.VectorType(context.get_value_type(element), kind.lanes)
    if element.bitwidth == kind.dtype.bitwidth:
        return numbers
    return (builder.trunc if element.bitwidth < kind.dtype.bitwidth else builder.sext)(numbers, shape)


@intrinsic
def store_as(typing_context, p, i, numbers):
    """Writes a vector of integers from element ``i`` on, as integers of the pointer's type."""

    def generate(context, builder, signature, arguments):
        values = _as_elements(context, builder, arguments[2], numbers, p.dtype)
        builder.store(values, _address(builder, *arguments[:2], values.type), align=p.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(p, types.int64, numbers), generate


@intrinsic
def store_counted(typing_context, p, i, numbers, start, step):
    """As ``store_as``, after adding ``start + step * lane``."""

    def generate(context, builder, signature, arguments):
        values = _as_elements(context, builder, arguments[2], numbers, p.dtype)
        kind = Vector(p.dtype, numbers.lanes)
        first, more = (_spread(context, builder, types.int64, value, kind) for value in arguments[3:])
        places = builder.mul(_constants(values.type, range(numbers.lanes)), more)
        values = builder.add(values, builder.add(first, places))
        builder.store(values, _address(builder, *arguments[:2], values.type), align=p.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(p, types.int64, numbers, types.int64, types.int64), generate


@intrinsic
def load_beside(typing_context, p, i, v):
    """As many elements from ``i`` on as the vector ``v`` has."""
    kind = Vector(p.dtype, v.lanes)

    def generate(context, builder, signature, arguments):
        place = _address(builder, *arguments[:2], context.get_value_type(kind))
        return builder.load(place, align=p.dtype.bitwidth // 8)

    return kind(p, types.int64, v), generate


def _numbers(context: Any, builder: Any, a: Vector, limit: Any) -> tuple[Any, Any]:
    """The number of each lane, and a limit that is cut so that it fits: vectors of integers as wide as the elements, so
    that a comparison gives what a selection takes.
    """
    kind, most = _marks(a), _INT64(a.lanes)
    limit = builder.select(builder.icmp_signed("<", limit, _INT64(0)), _INT64(0), limit)
    limit = builder.select(builder.icmp_signed(">", limit, most), most, limit)
    limit = context.cast(builder, limit, types.int64, kind.dtype)
    return _constants(context.get_value_type(kind), range(a.lanes)), _spread(context, builder, kind.dtype, limit, kind)


@intrinsic
def lanes_past(typing_context, a, low):
    """The number of each lane less ``low``, at most the number of lanes, for a vector like ``a``."""
    return _marks(a)(a, types.int64), lambda c, b, signature, arguments: b.sub(*_numbers(c, b, a, arguments[1]))


@intrinsic
def between(typing_context, a, low, high, other):
    """The vector where ``low <= lane < high``, elsewhere ``other``."""

    def generate(context, builder, signature, arguments):
        vector, first, past, value = arguments
        inside = builder.icmp_signed(">=", *_numbers(context, builder, a, first))
        inside = builder.and_(inside, builder.icmp_signed("<", *_numbers(context, builder, a, past)))
        return builder.select(inside, vector, _spread(context, builder, a.dtype, value, a))

    return a(a, types.int64, types.int64, a.dtype), generate


@intrinsic
def store_past_cache(typing_context, p, i, value):
    """Writes the elements from ``i`` on, whose address is a multiple of the vector's size, around the caches."""

    def generate(context, builder, signature, arguments):
        vector = arguments[2]
        place = _address(builder, arguments[0], arguments[1], vector.type)
        written = builder.store(vector, place, align=vector.type.count * p.dtype.bitwidth // 8)
        written.set_metadata("nontemporal", builder.module.add_metadata([_INT32(1)]))
        return context.get_dummy_value()

    return types.void(p, types.int64, value), generate


@intrinsic
def fence(typing_context):
    """What was written, around the caches, too, is seen by others before what is written from here on."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


def _make_prefetch(writes: int, near: int) -> Any:
    """The function that asks for the cache line of an element, which need not exist, to be read or written.

    ``near`` is 3 for the cache of the first level, 2 for that of the second.
    """

    @intrinsic
    def prefetch(typing_context, p, i):
        def generate(context, builder, signature, arguments):
            byte = ir.IntType(8).as_pointer()
            shape = ir.FunctionType(ir.VoidType(), (byte, _INT32, _INT32, _INT32))
            function = cgutils.get_or_insert_function(builder.module, shape, "llvm.prefetch.p0")
            at = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), byte)
            builder.call(function, [at, _INT32(writes), _INT32(near), _INT32(1)])
            return context.get_dummy_value()

        return types.void(p, types.int64), generate

    return prefetch


prefetch, prefetch_to_write, prefetch_to_second = _make_prefetch(0, 3), _make_prefetch(1, 3), _make_prefetch(0, 2)


@intrinsic
def signed(typing_context, a, p):
    """``a * p`` for a vector of floats and a factor 1 or -1: in one cycle instead of four."""

    def generate(context, builder, signature, arguments):
        bits = ir.IntType(a.dtype.bitwidth)
        shape = ir.VectorType(bits, a.lanes)
        factor = builder.bitcast(context.cast(builder, arguments[1], signature.args[1], a.dtype), bits)
        sign = builder.and_(factor, bits(1 << (a.dtype.bitwidth - 1)))
        kind = Vector(types.Integer.from_bitwidth(a.dtype.bitwidth, True), a.lanes)
        signs = _spread(context, builder, kind.dtype, sign, kind)
        value = builder.bitcast(builder.xor(builder.bitcast(arguments[0], shape), signs), arguments[0].type)
        # else LLVM chooses between bits instead of floats, by a comparison and a selection: no `max` comes of that
        name = f"llvm.arithmetic.fence.v{a.lanes}f{a.dtype.bitwidth}"
        same = ir.FunctionType(value.type, (value.type,))
        return builder.call(cgutils.get_or_insert_function(builder.module, same, name), (value,))

    return a(a, p), generate


def _marks(a: Vector) -> Vector:
    """What tells lanes of a vector apart for longer than an expression: integers of the size of its elements.

    Truth values are packed into bytes from one block of instructions to the next where a processor has no registers
    for them, and unpacked again: on AVX2 windows of 3x3 with indices took 1.5 to 2 times as long.
    """
    return Vector(types.Integer.from_bitwidth(a.dtype.bitwidth, True), a.lanes)


@intrinsic
def either_nan(typing_context, a, b):
    """Where either of two vectors of floats is NaN: integers, all bits of which are set there."""
    kind = _marks(a)

    def generate(context, builder, signature, arguments):
        return builder.sext(builder.fcmp_unordered("uno", *arguments), context.get_value_type(kind))

    return kind(a, b), generate


@intrinsic
def larger_unsigned(typing_context, a, b):
    """The larger of each two integers, taken as numbers without a sign."""
    return a(a, b), lambda context, builder, _, both: builder.select(builder.icmp_unsigned(">", *both), *both)


@intrinsic
def marked(typing_context, a, chosen):
    """Truth values, of lanes of a vector like ``a``, as marks."""
    kind = _marks(a)
    return kind(a, chosen), lambda context, builder, signature, arguments: builder.sext(
        arguments[1], context.get_value_type(kind)
    )


@intrinsic
def none(typing_context, a):
    """Marks as ``either_nan`` gives them, none set, for a vector."""
    kind = _marks(a)
    return kind(a), lambda context, builder, signature, arguments: ir.Constant(context.get_value_type(kind), None)


@intrinsic
def any_of(typing_context, marks):
    """Whether any lane of marks is set."""

    def generate(context, builder, signature, arguments):
        shape = arguments[0].type
        name = f"llvm.vector.reduce.or.v{marks.lanes}i{marks.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(shape.element, (shape,)), name)
        return builder.icmp_unsigned("!=", builder.call(function, arguments), shape.element(0))

    return types.boolean(marks), generate


@intrinsic(prefer_literal=True)
def everywhere(typing_context, p, value):
    """The value in all lanes of a vector of what the pointer points to."""
    kind = of_pointer(p)

    def generate(context, builder, signature, arguments):
        return _spread(context, builder, signature.args[1], arguments[1], kind)

    return kind(p, value), generate


@intrinsic
def _select(typing_context, chosen, a, b):
    kind = a if isinstance(a, Vector) else b
    if not isinstance(kind, Vector):
        return None

    def generate(context, builder, signature, arguments):
        both = [_spread(context, builder, t, v, kind) for t, v in zip(signature.args[1:], arguments[1:], strict=True)]
        return builder.select(arguments[0], *both)

    return kind(chosen, a, b), generate


@overload(R.pick)
def _pick(chosen, a, b):
    if isinstance(chosen, Vector):
        return lambda chosen, a, b: _select(chosen, a, b)
    return lambda chosen, a, b: a if chosen else b


def _teach(symbol: Any, of_floats: Any, of_integers: Any, compares: bool = False) -> None:
    """Makes a binary operator of Python known for vectors, and a vector with a scalar."""

    class Operation(AbstractTemplate):
        key = symbol

        def generic(self, arguments: Any, keywords: Any) -> Any:
            kinds = [kind for kind in arguments if isinstance(kind, Vector)]
            if len(arguments) != 2 or not kinds or of(kinds[0]) is None:
                return None
            result = Vector(types.boolean, kinds[0].lanes) if compares else kinds[0]
            return result(*arguments)

    def of(kind: Vector) -> Any:
        return of_floats if isinstance(kind.dtype, types.Float) else of_integers

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = next(kind for kind in signature.args if isinstance(kind, Vector))
        pairs = zip(signature.args, arguments, strict=True)
        return of(kind)(builder, *(_spread(context, builder, t, v, kind) for t, v in pairs))

    infer_global(symbol)(Operation)
    for kinds in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(symbol, *kinds)(generate)


_WORDS = {"gt": ">", "lt": "<", "eq": "==", "ne": "!=", "le": "<=", "ge": ">="}


def _compare(word: str) -> tuple[Any, Any, bool]:
    def of_floats(builder: Any, a: Any, b: Any) -> Any:
        return (builder.fcmp_unordered if word == "!=" else builder.fcmp_ordered)(word, a, b)

    return of_floats, lambda builder, a, b: builder.icmp_signed(word, a, b), True


_teach(operator.add, ir.IRBuilder.fadd, ir.IRBuilder.add)
_teach(operator.sub, ir.IRBuilder.fsub, ir.IRBuilder.sub)
_teach(operator.mul, ir.IRBuilder.fmul, ir.IRBuilder.mul)
_teach(operator.truediv, ir.IRBuilder.fdiv, None)
_teach(operator.and_, None, ir.IRBuilder.and_)
_teach(operator.or_, None, ir.IRBuilder.or_)
_teach(operator.xor, None, ir.IRBuilder.xor)
_teach(operator.rshift, None, ir.IRBuilder.ashr)
for _symbol in (operator.gt, operator.lt, operator.eq, operator.ne, operator.le, operator.ge):
    _teach(_symbol, *_compare(_WORDS[_symbol.__name__]))
