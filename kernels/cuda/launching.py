"""A launch as one function of machine code that Python calls directly: a builtin, compiled by Numba's own compiler.

Written in Python, a launch is four calls: to write the addresses, to ask which device is current, to call the driver,
and its own; through ctypes they take 1.2 us. Through cffi each number alone takes 0.1 us. As a builtin it takes 0.2 us,
and needs no block of arguments for each thread, since it copies them to its stack.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir

WRONG_DEVICE = -1
"""The status of a launch whose device is not the current one; any other is the driver's."""

_NAME = "fastpool_launch"
_FASTCALL = 0x80
_WORDS = 13
"""Words of a block before the slots: two functions, handle, device, first address, size, seven of the structure."""


def block(
    functions: tuple[int, int],
    handle: int,
    device: int,
    at: int,
    grid: tuple[int, int, int],
    threads: tuple[int, int, int],
    slots: bytes,
) -> bytes:
    """What a launch reads: the addresses of cuCtxGetDevice and cuLaunchKernelEx, the kernel, its device, the slot of
    the first of three addresses, the slots' bytes, CUlaunchConfig, and the slots.
    """
    head = struct.pack("=6Q", *functions, handle, device, at, len(slots))
    return head + struct.pack("=7I4xQQQ", *grid, *threads, 0, 0, 0, 0) + slots


def launcher(block: bytes, failed: Callable[..., object]) -> Any:
    """``launch(source, output, aux, stream)``; where its status is not 0, what ``failed(status, source, output, aux,
    stream)`` returns or raises. Other threads may run meanwhile, and launch the same.
    """
    return _new()(ctypes.addressof(_method()), (block, failed), None)


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    )


@functools.cache
def _method() -> _Method:
    return _Method(b"launch", _engine().get_function_address(_NAME), _FASTCALL, None)


@functools.cache
def _new() -> Any:
    """Python's function that makes a builtin of a method's definition."""
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return kind(("PyCFunction_NewEx", ctypes.pythonapi))


@functools.cache
def _engine() -> Any:
    """What was compiled, which lives as long as the process."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    module = binding.parse_assembly(str(_module()))
    module.verify()
    machine = binding.Target.from_default_triple().create_target_machine(opt=2)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


_BYTE, _NUMBER, _WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_TEXT, _PLACE = _BYTE.as_pointer(), _WORD.as_pointer()


def _python(build: Any, name: str, result: Any, arguments: list[Any], given: list[Any], more: bool = False) -> Any:
    """Calls a function of Python's own."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    function = ir.FunctionType(result, arguments, var_arg=more).as_pointer()
    return build.call(build.inttoptr(_WORD(address), function), given)


def _module() -> ir.Module:
    """The builtin: objects are words here, as are the pointers in a block."""
    module = ir.Module(name=_NAME)
    module.triple = binding.get_default_triple()
    function = ir.Function(module, ir.FunctionType(_WORD, [_WORD, _PLACE, _WORD]), _NAME)
    own, given, count = function.args
    build = ir.IRBuilder(function.append_basic_block())

    # the arguments
    with build.if_then(build.icmp_signed("!=", count, _WORD(4))):
        _python(build, "PyErr_BadArgument", _NUMBER, [], [])
        build.ret(_WORD(0))
    numbers = [
        _python(build, "PyLong_AsUnsignedLongLong", _WORD, [_WORD], [build.load(build.gep(given, [_WORD(i)]))])
        for i in range(4)
    ]
    with build.if_then(build.icmp_signed("!=", _python(build, "PyErr_Occurred", _WORD, [], []), _WORD(0))):
        build.ret(_WORD(0))

    # the launch, without the interpreter's lock: a full queue makes it wait, maybe for a function of Python's
    start = _python(build, "PyTuple_GetItem", _WORD, [_WORD, _WORD], [own, _WORD(0)])
    start = _python(build, "PyBytes_AsString", _WORD, [_WORD], [start])
    state = _python(build, "PyEval_SaveThread", _WORD, [], [])
    status = build.call(_launch(module), [start, *numbers])
    _python(build, "PyEval_RestoreThread", ir.VoidType(), [_WORD], [state])

    with build.if_then(build.icmp_signed("!=", status, _NUMBER(0)), likely=False):
        failed = _python(build, "PyTuple_GetItem", _WORD, [_WORD, _WORD], [own, _WORD(1)])
        form = ir.GlobalVariable(module, ir.ArrayType(_BYTE, 6), "form")
        form.initializer = ir.Constant(form.value_type, bytearray(b"iKKKK\0"))
        form.linkage, form.global_constant = "internal", True
        call = [failed, build.bitcast(form, _TEXT), status, *numbers]
        build.ret(_python(build, "PyObject_CallFunction", _WORD, [_WORD, _TEXT], call, more=True))
    # None, with a reference of its own where it is counted
    nothing = _WORD(id(None))
    _python(build, "Py_IncRef", ir.VoidType(), [_WORD], [nothing])
    build.ret(nothing)
    return module


def _launch(module: ir.Module) -> ir.Function:
    """(a block's address, source, output, aux, stream) -> status"""
    function = ir.Function(module, ir.FunctionType(_NUMBER, [_WORD] * 5), _NAME + "_queue")
    function.linkage = "internal"
    start, *addresses, stream = function.args
    copy = module.declare_intrinsic("llvm.memcpy", [_TEXT, _TEXT, _WORD])
    build = ir.IRBuilder(function.append_basic_block())
    head = build.inttoptr(start, _PLACE)

    def read(at: int) -> Any:
        return build.load(build.gep(head, [_WORD(at)]))

    def write(memory: Any, at: Any, value: Any) -> None:
        build.store(value, build.gep(memory, [at]))

    # whether the device is the current one
    now = build.alloca(_NUMBER)
    build.store(_NUMBER(-1), now)
    where = build.inttoptr(read(0), ir.FunctionType(_NUMBER, [_NUMBER.as_pointer()]).as_pointer())
    unknown = build.icmp_signed("!=", build.call(where, [now]), _NUMBER(0))
    other = build.icmp_signed("!=", build.sext(build.load(now), _WORD), read(3))
    with build.if_then(build.or_(unknown, other), likely=False):
        build.ret(_NUMBER(WRONG_DEVICE))

    # the slots, with three addresses
    size = read(5)
    slots = build.alloca(_WORD, build.udiv(size, _WORD(8)))
    kept = build.inttoptr(build.add(start, _WORD(8 * _WORDS)), _TEXT)
    build.call(copy, [build.bitcast(slots, _TEXT), kept, size, ir.IntType(1)(0)])
    for i, address in enumerate(addresses):
        write(slots, build.add(read(4), _WORD(i)), address)

    # CUlaunchConfig, with the stream
    config = build.alloca(_WORD, _WORD(7))
    for i in range(7):
        write(config, _WORD(i), stream if i == 4 else read(6 + i))

    # CU_LAUNCH_PARAM_BUFFER_POINTER, ..._BUFFER_SIZE, ..._END
    extra = build.alloca(_WORD, _WORD(5))
    length = build.add(start, _WORD(8 * 5))
    for i, value in enumerate((_WORD(1), build.ptrtoint(slots, _WORD), _WORD(2), length, _WORD(0))):
        write(extra, _WORD(i), value)
    call = build.inttoptr(read(1), ir.FunctionType(_NUMBER, [_PLACE, _WORD, _PLACE, _PLACE]).as_pointer())
    build.ret(build.call(call, [config, read(2), ir.Constant(_PLACE, None), extra]))
    return function
