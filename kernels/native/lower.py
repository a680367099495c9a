"""From Python functions to LLVM modules that know no Python: the front half of compiling.

Numba types and lowers a function; what comes out has no reference counts, no exceptions and no symbol of the
interpreter, and does not depend on the processor.
"""

from __future__ import annotations

import weakref
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
from numba.core.registry import CPUDispatcher, cpu_target

from fastpool.kernels.native.numba_speed import Lowering, hurried

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


_twins: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def _twin(dispatcher: Any) -> Any:
    """What a compiled function is called as where it is only lowered: itself, with versions of its own.

    A function that Numba has compiled keeps a version for each type of arguments, and gives it to all that call it.
    Those made here cannot be run, and those that can are optimised for this processor: neither may take the other's.
    """
    if type(dispatcher) is not CPUDispatcher:
        return dispatcher
    twin = _twins.get(dispatcher)
    if twin is None:
        own = dispatcher.py_func.__module__.startswith("fastpool.")
        pipeline = Lowering if own else dispatcher._compiler.pipeline_class
        twin = CPUDispatcher(dispatcher.py_func, dispatcher.locals, dispatcher.targetoptions, pipeline)
        _twins[dispatcher] = twin
    return twin


@contextmanager
def _lowering_only(base: Any) -> Iterator[None]:
    """While it lasts, Numba leaves what it lowers as it is, and makes nothing of it that could be run.

    It would optimise every function once by itself and once more inside each that calls it, for the processor of this
    machine, and compile it and a wrapper for it. The back half does that once, with everything inlined: the library
    got smaller by a third, and lowering takes half of the time.
    """
    known = config.OPT, config.LOOP_VECTORIZE, base._internal_codegen, types.Dispatcher.dispatcher
    config.OPT, config.LOOP_VECTORIZE = type(config.OPT)(0), 0
    base._internal_codegen = _Codegen("inner", BASELINE)
    # Numba tells functions apart by the built-in function that runs each: the method of a list is one of its own
    base.get_executable = lambda library, fndesc, env: [].append
    base.create_cfunc_wrapper = base.create_cpython_wrapper = _nothing
    types.Dispatcher.dispatcher = property(lambda kind: _twin(kind._get_object()))
    try:
        yield
    finally:
        config.OPT, config.LOOP_VECTORIZE, base._internal_codegen, types.Dispatcher.dispatcher = known
        del base.get_executable, base.create_cfunc_wrapper, base.create_cpython_wrapper


class Function(NamedTuple):
    """A function to lower: under which name, from what, with which Numba signature."""

    name: str
    function: Any
    signature: Any


def lower(name: str, functions: Iterable[Function]) -> bytes:
    """LLVM bitcode of a module that has each function under its name, by the conventions of C; all else is internal."""
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
        pipeline_class=Lowering,
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
