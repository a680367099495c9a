"""From Python functions to LLVM modules that know no Python: the front half of compiling ahead of time.

Numba types and lowers a function; what comes out has no reference counts, no exceptions and no symbol of the
interpreter, and does not depend on the processor. Loops that many variants share are lowered once for each type of
state, with calls of the variant's parts left open; ``fill`` puts the parts of a variant into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import llvmlite.binding as ll
from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.codegen import AOTCodeLibrary, AOTCPUCodegen
from numba.core.compiler import Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from fastpool.kernels.c_abi.numba_speed import hurried
from fastpool.kernels.cpu.engine import PASSES
from fastpool.kernels.cpu.memory import TYPES
from fastpool.kernels.cpu.parts import Parts, make_parts, shares
from fastpool.kernels.cpu.passes import make_loops
from fastpool.kernels.registry import Variant

BASELINE = "x86-64"
"""What the front half is told of the processor; the back half knows which one it is."""


class _Library(AOTCodeLibrary):
    """The functions of one module, without those that they call: ``lower`` links each of them once.

    Numba would put all that a function calls into its library, and that again into the library of whoever calls it.
    """

    def add_llvm_module(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout
        self._final_module.link_in(ll_module)

    def finalize(self) -> None:
        self._finalized = True

    def all_linked(self) -> list[Any]:
        """The libraries that this one needs, and those that they need."""
        found: dict[Any, None] = {}
        waiting = list(self._linking_libraries)
        while waiting:
            library = waiting.pop()
            if library not in found:
                found[library] = None
                waiting.extend(library._linking_libraries)
        return list(found)


class _Codegen(AOTCPUCodegen):
    _library_class = _Library

    def _customize_tm_features(self) -> str:
        return ""


def _flags() -> Flags:
    flags = Flags()
    flags.no_compile = True
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    # an allocation is an error of the compilation, not of the process that runs it
    flags.nrt = False
    flags.error_model = "numpy"
    flags.boundscheck = False
    flags.noalias = True
    flags.enable_pyobject = False
    return flags


def _nothing(*arguments: Any, **options: Any) -> None:
    """Stands in for what a function needs that is called from the interpreter."""


@contextmanager
def _lowering_only(base: Any) -> Iterator[None]:
    """While it lasts, Numba leaves what it lowers as it is, and makes nothing of it that could be run.

    It would optimise every function once by itself and once more inside each that calls it, for the processor of this
    machine, and compile it and a wrapper for it. The back half does that once, with everything inlined: the library
    got smaller by a third, and lowering takes half of the time.
    """
    known = config.OPT, config.LOOP_VECTORIZE, base._internal_codegen
    config.OPT, config.LOOP_VECTORIZE = type(config.OPT)(0), 0
    base._internal_codegen = _Codegen("inner", BASELINE)
    # Numba tells functions apart by the built-in function that runs each: the method of a list is one of its own
    base.get_executable = lambda library, fndesc, env: [].append
    base.create_cfunc_wrapper = base.create_cpython_wrapper = _nothing
    try:
        yield
    finally:
        config.OPT, config.LOOP_VECTORIZE, base._internal_codegen = known
        del base.get_executable, base.create_cfunc_wrapper, base.create_cpython_wrapper


class Function(NamedTuple):
    """A function to lower: under which name, from what, with which Numba signature."""

    name: str
    function: Any
    signature: Any


def lower(name: str, functions: Iterable[Function]) -> bytes:
    """LLVM bitcode of a module that has each function under its name, by the conventions of C; all else is internal.

    Whatever the functions call can no longer be compiled to be run in the same process.
    """
    functions = tuple(functions)
    base = cpu_target.target_context
    typing = cpu_target.typing_context
    with global_compiler_lock, _lowering_only(base), hurried(typing):
        base.refresh()
        typing.refresh()
        context = base.subtarget(_internal_codegen=_Codegen(name, BASELINE), aot_mode=True)
        library = context.codegen().create_library(name)
        for function in functions:
            _lower_one(context, library, function)
        module = library._final_module
        for other in library.all_linked():
            module.link_in(other._get_module_for_linking(), preserve=True)
        keep = {function.name for function in functions}
        for function in module.functions:
            if not function.is_declaration and function.name not in keep:
                function.linkage = ll.Linkage.internal
        for variable in module.global_variables:
            if variable.name.startswith("_ZN08NumbaEnv"):
                variable.linkage = ll.Linkage.internal
        return bytes(module.as_bitcode())


def _lower_one(context: Any, library: Any, function: Function) -> None:
    """Compiles a function into a library, behind a wrapper of its name that takes and returns plain values."""
    signature = function.signature
    result = compile_extra(
        cpu_target.typing_context,
        context,
        function.function,
        signature.args,
        signature.return_type,
        _flags(),
        locals={},
        library=library,
    ).fndesc
    module = context.create_module("c_" + function.name)
    convention = context.call_conv
    inner = ir.Function(module, convention.get_function_type(result.restype, result.argtypes), result.llvm_func_name)
    returned = ir.VoidType() if result.restype == types.void else context.get_value_type(result.restype)
    outer = ir.Function(
        module, ir.FunctionType(returned, [context.get_value_type(t) for t in result.argtypes]), function.name
    )
    builder = ir.IRBuilder(outer.append_basic_block("entry"))
    _, value = convention.call_function(
        builder, inner, result.restype, result.argtypes, outer.args, attrs=("alwaysinline",)
    )
    if result.restype == types.void:
        builder.ret_void()
    else:
        builder.ret(value)
    library.add_ir_module(module)


# ---- loops with parts left open ----

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
