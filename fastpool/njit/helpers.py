"""What the lines of a call are made of: external functions, memory on the stack, numbers of threads."""

from __future__ import annotations

import inspect
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from fastpool import window
from fastpool.kernels import taps
from fastpool.njit import record, symbols
from fastpool.njit.given import types
from fastpool.njit.record import CURRENT

_BLOCK, _WORDS, _ADDRESS = types.CPointer(types.int64), types.CPointer(types.int32), types.int64
_RUN = types.int32(_BLOCK, *[_ADDRESS] * 4, types.int32)

shape_of = types.ExternalFunction(symbols.name("shape_of"), types.int32(_BLOCK, _BLOCK))
run = types.ExternalFunction(symbols.name("run"), _RUN)
other = types.ExternalFunction(symbols.name("other"), _RUN)


def _on_stack(size: int) -> Any:
    """An intrinsic that gives a block of zeros: on the stack, as it would take longer to allocate than to fill in."""

    @intrinsic
    def block(typing_context):  # type: ignore[no-untyped-def]
        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = cgutils.alloca_once(builder, ir.IntType(64), size)
            cgutils.memset(builder, place, ir.IntType(64)(8 * size), 0)
            return place

        return _BLOCK(), lower

    return block


@intrinsic
def as_words(typing_context, block):  # type: ignore[no-untyped-def]
    """A block seen as int32."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32).as_pointer())

    return _WORDS(block), lower


@intrinsic
def float_bits(typing_context, number):  # type: ignore[no-untyped-def]
    """The bits of a float64."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), lower


def _number(builder: Any, what: str) -> Any:
    """Where a number of ``symbols`` lies."""
    name = symbols.name(what)
    return builder.module.globals.get(name) or ir.GlobalVariable(builder.module, ir.IntType(64), name)


@intrinsic
def thread_count(typing_context):  # type: ignore[no-untyped-def]
    """How many threads a call may use."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        chosen, threads, limit = (builder.load(_number(builder, what)) for what in ("chosen", "threads", "limit"))
        wanted = builder.select(builder.icmp_signed("!=", chosen, chosen.type(0)), chosen, threads)
        found = builder.select(builder.icmp_signed("<", wanted, limit), wanted, limit)
        return builder.trunc(found, ir.IntType(32))

    return types.int32(), lower


@intrinsic
def mark_of_twins(typing_context):  # type: ignore[no-untyped-def]
    """What is in a spec's mark when a run has come to its end: 1 where it was a twin's."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.trunc(builder.load(_number(builder, "mark")), ir.IntType(32))

    return types.int32(), lower


@intrinsic
def choose_threads(typing_context, count):  # type: ignore[no-untyped-def]
    """Sets how many threads a call may use."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[0], _number(builder, "chosen"))
        return context.get_dummy_value()

    return types.none(types.int64), lower


@register_jitable
def ends(array):  # type: ignore[no-untyped-def]
    """The first byte of an array, and the first one behind it."""
    low = high = array.ctypes.data
    for axis in range(array.ndim):
        if array.shape[axis] == 0:
            return low, low
        reach = (array.shape[axis] - 1) * array.strides[axis]
        if reach > 0:
            high += reach
        else:
            low += reach
    return low, high + array.itemsize


@register_jitable
def meet(a, b):  # type: ignore[no-untyped-def]
    """Whether two arrays lie in the same memory, from end to end."""
    first, last = ends(a)
    begin, end = ends(b)
    return first < end and begin < last


@register_jitable
def repeats(array):  # type: ignore[no-untyped-def]
    """Whether elements of an array may share memory: an axis steps less far than the smaller ones reach."""
    reach = array.itemsize
    last = 0
    for _ in range(array.ndim):
        step = -1
        for axis in range(array.ndim):
            # the next longer stride; axes of the same one are caught by the reach
            size, stride = array.shape[axis], abs(array.strides[axis])
            if size > 1 and stride > last and (step < 0 or stride < step):
                step = stride
        if step < 0:
            break
        for axis in range(array.ndim):
            if array.shape[axis] > 1 and abs(array.strides[axis]) == step:
                if step < reach:
                    return True
                reach += (array.shape[axis] - 1) * step
        last = step
    for axis in range(array.ndim):
        if array.shape[axis] > 1 and array.strides[axis] == 0:
            return array.size > 0
    return False


HELPERS = {
    "shape_of": shape_of,
    "run": run,
    "other": other,
    "thread_count": thread_count,
    "new_spec": _on_stack(CURRENT.size),
    "new_shape": _on_stack(record.MAX_RANK),
    "as_words": as_words,
    "float_bits": float_bits,
    "same_padding": window.same_padding,
    "meet": meet,
    "repeats": repeats,
    "mark_of_twins": mark_of_twins,
}


def make_known() -> None:
    """Makes the arithmetic of sizes known to the compiler."""
    for module in (taps, window):
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                register_jitable(function)
