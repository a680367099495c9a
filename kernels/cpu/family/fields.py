"""States in a thread's workspace: one array for each of their numbers, so that a loop over states is one over vectors.

``load_state(p, pitch, e, size, field)`` gives the tuple of ``size`` numbers at ``p[e]``, ``p[pitch + e]``, ...
A *field* is a place of the workspace. Accesses of different fields, and of different numbers of a state, are marked
as such that never meet, which spares every loop its checks at run time. Where a loop reads what another one has
written by another name, ``barrier()`` stands between them.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

MOST = 5
"""Numbers in the largest state."""
KEPT, MADE, ROW, NUMBERS, VALUES, RESULT, SOURCE = range(7)
"""Fields: two of states, one read and the other written; a row of elements; parameters and numbers of taps; values on
their way; what is written; the arrays of the call."""
_FIELDS = 7


def _mark(builder, instruction, field, number):
    module = builder.module
    domain = module.add_metadata(["fastpool.family"])
    scopes = [module.add_metadata([f"fastpool.family.{i}", domain]) for i in range(_FIELDS * MOST)]
    own = field * MOST + number
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[own]]))
    instruction.set_metadata("noalias", module.add_metadata([s for i, s in enumerate(scopes) if i != own]))


def _literal(*arguments):
    return all(isinstance(argument, types.IntegerLiteral) for argument in arguments)


def _place(builder, p, pitch, e, number):
    return builder.gep(p, [builder.add(e, builder.mul(pitch, ir.IntType(64)(number)))])


@intrinsic(prefer_literal=True)
def load_state(typing_context, p, pitch, e, size, field):
    """The state number ``e``."""
    if not _literal(size, field):
        return None
    count, where = size.literal_value, field.literal_value
    state = types.UniTuple(p.dtype, count)

    def generate(context, builder, signature, arguments):
        parts = []
        for number in range(count):
            part = builder.load(_place(builder, *arguments[:3], number), align=p.dtype.bitwidth // 8)
            _mark(builder, part, where, number)
            parts.append(part)
        return context.make_tuple(builder, state, parts)

    return state(p, types.int64, types.int64, size, field), generate


@intrinsic(prefer_literal=True)
def store_state(typing_context, p, pitch, e, state, field):
    """Writes the state number ``e``."""
    if not _literal(field) or not isinstance(state, types.BaseTuple):
        return None
    where = field.literal_value

    def generate(context, builder, signature, arguments):
        given = signature.args[3]
        for number, part in enumerate(cgutils.unpack_tuple(builder, arguments[3], len(given))):
            value = context.cast(builder, part, given[number], p.dtype)
            written = builder.store(value, _place(builder, *arguments[:3], number), align=p.dtype.bitwidth // 8)
            _mark(builder, written, where, number)
        return context.get_dummy_value()

    return types.void(p, types.int64, types.int64, state, field), generate


@intrinsic(prefer_literal=True)
def load_one(typing_context, p, e, field):
    """The element ``e`` of an array in a field."""
    if not _literal(field):
        return None
    where = field.literal_value

    def generate(context, builder, signature, arguments):
        value = builder.load(builder.gep(arguments[0], [arguments[1]]), align=p.dtype.bitwidth // 8)
        _mark(builder, value, where, 0)
        return value

    return p.dtype(p, types.int64, field), generate


@intrinsic(prefer_literal=True)
def store_one(typing_context, p, e, value, field):
    """Writes the element ``e`` of an array in a field."""
    if not _literal(field):
        return None
    where = field.literal_value

    def generate(context, builder, signature, arguments):
        converted = context.cast(builder, arguments[2], signature.args[2], p.dtype)
        written = builder.store(converted, builder.gep(arguments[0], [arguments[1]]), align=p.dtype.bitwidth // 8)
        _mark(builder, written, where, 0)
        return context.get_dummy_value()

    return types.void(p, types.int64, value, field), generate


@intrinsic
def barrier(typing_context):
    """No access moves across this; no instruction is generated for it."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst", "singlethread")
        return context.get_dummy_value()

    return types.void(), generate
