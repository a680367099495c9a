"""The public functions as Numba's compiler sees them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.errors import TypingError
from numba.extending import overload
from numba.np.numpy_support import from_dtype

from fastpool.config import get_num_threads, set_num_threads
from fastpool.errors import type_error, value_error
from fastpool.functional import vjp
from fastpool.functional._binding import FUNCTIONS
from fastpool.njit import reductions, symbols
from fastpool.njit.given import constant, entries, is_array, is_integer, is_none, types
from fastpool.njit.helpers import HELPERS, choose_threads, make_known, thread_count
from fastpool.njit.record import CURRENT
from fastpool.njit.writing import Call
from fastpool.problem import DTYPES


def _numpy_name(dtype: str) -> str:
    return f"np.{np.dtype(DTYPES[dtype]).type.__name__}"


class Result:
    """An array that a call writes: the caller's, or a new one."""

    def __init__(self, call: Call, name: str, dtype: str, axes: list[int], given: Any, written: str) -> None:
        self.call, self.name, self.dtype, self.axes = call, name, dtype, axes
        self.given = None if is_none(given) else given
        self.written = written

    def make(self, like: Any, sizes: list[str], inputs: dict[str, str]) -> Any:
        """The lines that make it or check it; returns its type. ``inputs`` are names that it must not overlap."""
        lines, name = self.call.lines, self.name
        if self.given is None:
            turned = like is not None and like.layout == "F" and len(sizes) > 1
            words = ", ".join([*(reversed(sizes) if turned else sizes), ""])
            lines.add(f"{name} = np.empty(({words}), {_numpy_name(self.dtype)}){'.T' if turned else ''}")
            return types.Array(from_dtype(np.dtype(DTYPES[self.dtype])), len(sizes), "F" if turned else "C")
        found = self.given
        if not is_array(found) or not found.mutable or found.ndim != len(sizes):
            rule = f"it must be an array of {len(sizes)} axes that can be written"
            raise type_error(self.call.called, f"{self.written} of type {found}", rule, "or leave it out")
        if self.call.dtype_of(self.written, found) != self.dtype:
            rule = f"the result has the dtype {DTYPES[self.dtype]}"
            raise type_error(self.call.called, f"{self.written} of dtype {found.dtype}", rule, "give such an array")
        self.call.need_aligned(self.written, found)
        lines.add(f"{name} = {self.written}")
        wrong = " or ".join(f"{name}.shape[{i}] != {size}" for i, size in enumerate(sizes))
        if wrong:
            lines.refuse(wrong, self.written, "it must have the shape of the result", "or leave it out")
        if found.layout not in ("C", "F"):
            rule = "its elements must lie apart from each other"
            lines.refuse(f"repeats({name})", self.written, rule, "give an array that does not repeat elements")
        for other_name, array in inputs.items():
            rule = f"it must not lie in the memory of {other_name}, from its first element to its last"
            lines.refuse(f"meet({name}, {array})", self.written, rule, "give another array, or leave it out")
        return found


def _shape(call: Call) -> None:
    call.lines.add("shape = new_shape()")
    call.call("shape_of(spec, shape)")
    call.check_status()


def _check_taps(call: Call, bits: int) -> None:
    """Refuse indices of a type that is not the one for the number of taps, which is known not to overflow by now."""
    kernel = [f"spec[{CURRENT.entry('kernel', i)}]" for i in range(len(call.axes))]
    least = f" or taps < {2 ** (bits // 2)}" if bits > 8 else ""
    call.lines.add(f"taps = {' * '.join(kernel)}")
    call.lines.refuse(
        f"taps >= {2**bits}{least}" if bits < 64 else "taps < 2**32",
        "return_indices='tap'" if not call.backward else "indices",
        f"uint{bits} is not the smallest type that holds the number of a tap and one value more",
        "inside @njit give out=(y, indices) with indices of that type, or use 'plane'",
    )


def _kept(call: Call) -> list[int]:
    """The axes of x that the result has."""
    keep = call.place != "global" or constant(call.called, "keepdims", call.given.get("keepdims", True))
    return [axis for axis in range(call.rank) if keep or str(axis) not in call.axes]


def forward(call: Call) -> None:
    """Write the lines of a forward."""
    call.write_spec()
    call.need_aligned("x", call.x)
    call.write_strides("x", call.x, "x_strides")
    _shape(call)
    axes = _kept(call)
    sizes = [f"shape[{axis}]" for axis in axes]
    out = call.given["out"]
    asked = bool(call.kind)
    pair: Any = entries(out) if asked else None
    if asked and not is_none(out) and (pair is None or len(pair) != 2):
        raise type_error(call.called, f"out of type {out}", "with return_indices there are two results", "give a pair")
    given = pair or (out, None)
    y = Result(call, "y", call.problem.out_dtype, axes, given[0], "out[0]" if asked else "out")
    made = y.make(call.x, sizes, {"x": "x"})
    call.write_strides("y", made, "y_strides", axes)
    if asked:
        dtype = "i64"
        if call.kind == "tap":
            dtype = "u8" if pair is None else call.dtype_of("out[1]", pair[1])
            if dtype[0] != "u":
                rule = "numbers of taps are of an unsigned type"
                raise type_error(call.called, f"out[1] of dtype {pair[1].dtype}", rule, "give such an array")
            _check_taps(call, int(dtype[1:]))
        indices = Result(call, "found", dtype, axes, given[1], "out[1]")
        made = indices.make(call.x, sizes, {"x": "x", "out[0]": "y"})
        call.write_strides("found", made, "index_strides", axes)
    call.run("x", "", "found" if asked else "", "y")
    call.lines.add("return (y, found)" if asked else "return y")


def backward(call: Call) -> None:
    """Write the lines of a backward."""
    grad, source = call.grad, call.x
    reads = call.reads_x()
    if reads and source is None:
        rule = "the gradient depends on the elements of x"
        raise type_error(call.called, "x given by its shape", rule, "give the array x")
    axes = list(range(call.rank))
    if call.place == "global" and grad.ndim == call.rank - len(call.axes):
        axes = [axis for axis in axes if str(axis) not in call.axes]
    if grad.ndim != len(axes):
        rule = "it must have the shape of the forward's result"
        raise value_error(call.called, f"grad_output of {grad.ndim} axes", rule, "give the forward's own arguments")
    if call.dtype_of("grad_output", grad) != call.problem.out_dtype:
        rule = f"it must have the dtype of the forward's result, {DTYPES[call.problem.out_dtype]}"
        raise type_error(call.called, f"grad_output of dtype {grad.dtype}", rule, "convert it first")
    call.write_spec()
    inputs = {"grad_output": "grad_output"}
    call.need_aligned("grad_output", grad)
    call.write_strides("grad_output", grad, "y_strides", axes)
    if source is not None:
        inputs["x"] = call.source_name
    if reads:
        call.need_aligned(call.source_name, source)
        call.write_strides(call.source_name, source, "input_strides")
    indices: Any = call.given["indices"] if call.kind else None
    if call.kind:
        dtype = call.dtype_of("indices", indices)
        if indices.ndim != len(axes) or (dtype[0] != "u" if call.kind == "tap" else dtype != "i64"):
            rule = "they must have the shape and dtype of the forward's"
            raise type_error(call.called, f"indices of type {indices}", rule, "give the forward's own")
        call.need_aligned("indices", indices)
        call.write_strides("indices", indices, "index_strides", axes)
        inputs["indices"] = "indices"
    _shape(call)
    if call.kind == "tap":
        _check_taps(call, int(dtype[1:]))
    for name in ["grad_output"] + ["indices"] * bool(call.kind):
        wrong = " or ".join(f"{name}.shape[{at}] != shape[{axis}]" for at, axis in enumerate(axes))
        if wrong:
            call.lines.refuse(wrong, name, "it must have the shape of the forward's result", "give the same arguments")
    sizes = [f"np.int64({call.size(axis)})" for axis in range(call.rank)]
    dx = Result(call, "dx", call.dtype, list(range(call.rank)), call.given["out"], "out")
    like = source if source is not None else (grad if grad.ndim == call.rank else None)
    made = dx.make(like, sizes, inputs)
    call.write_strides("dx", made, "x_strides")
    call.run(call.source_name if reads else "", "grad_output", "indices" if call.kind else "", "dx")
    call.lines.add("return dx")


def _implementation(called: str, defaults: dict[str, Any], given: dict[str, Any]) -> Any:
    symbols.limit_threads()
    try:
        call = Call(called, given, HELPERS)
        (backward if call.backward else forward)(call)
    except (TypeError, ValueError) as error:
        raise TypingError(f"{type(error).__name__}: {error}") from None
    return call.lines.function(defaults)


def _overload(called: str, function: Callable[..., Any]) -> None:
    """Registers one function: what Numba calls must have its parameters, by name."""
    parameters = inspect.signature(function).parameters
    defaults = {name: found.default for name, found in parameters.items() if found.default is not found.empty}
    words = [name if name not in defaults else f"{name}={defaults[name]!r}" for name in parameters]
    names = {"implementation": _implementation, "called": called, "defaults": defaults}
    given = ", ".join(f"{name!r}: {name}" for name in parameters)
    text = f"def {called}({', '.join(words)}):\n    return implementation(called, defaults, {{{given}}})"
    exec(compile(text, f"<fastpool.{called}, types>", "exec"), names)
    overload(function, prefer_literal=True)(names[called])


def register() -> None:
    """Registers all public functions that compute."""
    make_known()
    reductions.register()
    for called, function in FUNCTIONS.items():
        _overload(called, function)

    @overload(get_num_threads)
    def get_threads():  # type: ignore[no-untyped-def]
        return lambda: np.int64(thread_count())

    @overload(set_num_threads)
    def set_threads(n):  # type: ignore[no-untyped-def]
        if not is_integer(n):
            raise TypingError(
                f"TypeError: set_num_threads: n of type {n}: it must be an integer; convert it with int()"
            )

        def choose(n):  # type: ignore[no-untyped-def]
            if n < 1 or n > 2147483647:
                raise ValueError("set_num_threads: n: the number of threads must be at least 1; try 1")
            choose_threads(n)

        return choose

    @overload(vjp)
    def no_vjp(fn, x, *arguments):  # type: ignore[no-untyped-def]
        raise TypingError(
            "TypeError: vjp: it returns a function, which @njit cannot; "
            "call the forward with return_indices='tap', and the backward with indices"
        )
