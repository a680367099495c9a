"""Loops that many variants share, lowered once for each type of state with calls of the variant's parts left open."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as ll
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastpool.kernels.cpu.memory import PASSES, TYPES
from fastpool.kernels.cpu.parts import Parts, make_parts, shares
from fastpool.kernels.cpu.passes import make_loops
from fastpool.kernels.native.lower import Function, lower
from fastpool.kernels.registry import Variant

_PARTS = {name: "fastpool_part_" + name for name in Parts._fields}

# functions that the loops call are also linked in this process, where nobody calls them
for _name in _PARTS.values():
    ll.add_symbol(_name, 1)


def state_type(state: tuple[str, ...]) -> Any:
    """The Numba type of a state."""
    numbers = [TYPES[dtype] for dtype in state]
    return numbers[0] if len(numbers) == 1 else types.Tuple(numbers)


def _call_open(name: str, result: Any, states: tuple[int, ...] = ()) -> Any:
    """Code for a call of a part that is not there yet; integers are passed as they are in the words.

    ``states`` are the positions of states, which are passed as they are: a call whose types are not those of the part
    is not inlined, and no loop around it is vectorised (max of bytes took 20 times as long).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, kinds = [], []
        for position, (value, kind) in enumerate(zip(arguments, signature.args, strict=True)):
            if isinstance(kind, types.Integer) and position not in states:
                value, kind = context.cast(builder, value, kind, types.int64), types.int64
            values.append(value)
            kinds.append(context.get_value_type(kind))
        returned = ir.VoidType() if result == types.void else context.get_value_type(result)
        function = builder.module.globals.get(_PARTS[name])
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(returned, kinds), _PARTS[name])
        value = builder.call(function, values)
        return context.get_dummy_value() if result == types.void else value

    return generate


def open_parts(state: tuple[str, ...]) -> Parts:
    """Parts that call functions of fixed names, to be put in later."""
    number = state_type(state)

    @intrinsic
    def nothing(typing_context):
        return number(), _call_open("nothing", number)

    @intrinsic
    def leaf(typing_context, x, u, p):
        return number(x, u, p), _call_open("leaf", number)

    @intrinsic
    def join(typing_context, a, b, amount):
        return number(number, number, amount), _call_open("join", number, (0, 1))

    @intrinsic
    def follow(typing_context, a, b, amount):
        return number(number, number, amount), _call_open("follow", number, (0, 1))

    @intrinsic
    def pack(typing_context, rows, o, x, u, divisor, p):
        return types.void(rows, o, x, u, divisor, p), _call_open("pack", types.void)

    @intrinsic
    def write(typing_context, y, aux, d, i, s, count, inside, index, p):
        return types.void(y, aux, d, i, number, count, inside, index, p), _call_open("write", types.void, (4,))

    @intrinsic
    def blocks(typing_context):
        return types.int64(), _call_open("blocks", types.int64)

    @intrinsic
    def leaf_block(typing_context, t, o, x, u, p):
        return types.void(t, o, x, u, p), _call_open("leaf_block", types.void)

    @intrinsic
    def eight_block(typing_context, t, o, x, u, c, p):
        return types.void(t, o, x, u, c, p), _call_open("eight_block", types.void)

    @intrinsic
    def write_block(typing_context, y, d, t, a, b, two, count, inside, p):
        return types.void(y, d, t, a, b, two, count, inside, p), _call_open("write_block", types.void)

    return Parts(nothing, leaf, join, follow, pack, write, blocks, leaf_block, eight_block, write_block)


def lower_loops(state: tuple[str, ...]) -> bytes:
    """The loops of all variants whose states are of that type, under the name "loops"."""
    # pointers are all alike once types are gone
    loops = make_loops(open_parts(state), state, ("u8", "u8", "u8", "u8"), 0)
    loops.__name__ = loops.__qualname__ = "loops_" + "_".join(state)
    return lower("loops_" + "_".join(state), [Function("loops", loops, PASSES)])


def lower_parts(variant: Variant) -> bytes:
    """The parts of a variant, under the names that the loops call."""
    parts = make_parts(variant)
    number, word = state_type(variant.state), types.int64
    rows = variant.state[0] if shares(variant) else variant.source
    source, output, aux, packed, states = (
        types.CPointer(TYPES[dtype]) for dtype in (variant.source, variant.output, variant.aux, rows, variant.state[0])
    )
    signatures = Parts(
        nothing=number(),
        leaf=number(packed, word, word),
        join=number(number, number, word),
        follow=number(number, number, word),
        pack=types.void(packed, word, source, word, word, word),
        write=types.void(output, aux, word, word, number, word, word, word, word),
        blocks=word(),
        leaf_block=types.void(states, word, packed, word, word),
        eight_block=types.void(states, word, packed, word, word, word),
        write_block=types.void(output, word, states, word, word, types.boolean, word, word, word),
    )
    return lower(
        variant.name,
        [Function(_PARTS[name], getattr(parts, name), getattr(signatures, name)) for name in Parts._fields],
    )


def fill(loops: bytes, parts: bytes, name: str) -> bytes:
    """The loops with a variant's parts in them, as a module whose one function has that name."""
    module = ll.parse_bitcode(loops)
    module.link_in(ll.parse_bitcode(parts))
    for function in module.functions:
        if function.name in _PARTS.values():
            function.linkage = ll.Linkage.internal
            function.add_function_attribute("alwaysinline")
    module.get_function("loops").name = name
    return bytes(module.as_bitcode())
