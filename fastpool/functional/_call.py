"""The way of every call: arrays in, arguments to a Problem, checks, memory for the result, dispatch, arrays
out.

Everything that can be refused is refused before dispatch runs, so that nothing is written by a call that
fails.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np

from fastpool import arguments, arrays, own
from fastpool.arguments import SELECTING, Options
from fastpool.arrays import Kind, Outline, Source
from fastpool.errors import type_error, type_name, value_error
from fastpool.functional import _queued
from fastpool.functional._planned import Backward, Forward, Target
from fastpool.functional._repeat import Recipe, Recipes, apart, likeness
from fastpool.host_arrays import stored
from fastpool.memory import Array, element_strides, memory_order
from fastpool.problem import DTYPES, Ints, Problem

A = TypeVar("A")


_known = Recipes()

_run_known: Any = None
"""The front door's function, once it knows a call."""


def forward(called: str, x: A, options: tuple[Any, ...], out: A | None, device: object, keepdims: bool = True) -> A:
    """Run the public function ``called``; with indices the result is a pair of arrays, whatever its type
    says.

    ``options`` are those of ``Options``, in its order; the last ones that the function does not have may be left out.
    (A plain tuple is made in a tenth of the time.)
    """
    answer: A | None = None
    if type(x) is not np.ndarray:
        answer = _queued.forward(called, x, options, out, device, keepdims)
    elif _run_known is not None:
        answer = _run_known(called, options, device, keepdims, x, out)
    if answer is not None:
        return answer
    outs: tuple[Any, ...] = out if type(out) is tuple else (out,)
    key = likeness(called, options, (device, keepdims, type(out) is tuple), (x, *outs))
    known = _known.find(key)
    own = True
    if known is not None and apart((x,), outs):
        source = Source(known.kind, known.dtype, stored(cast(Array, x), known.dtype))
        outs += (None,) * (len(known.targets) - len(outs))
        pairs = zip(known.targets, outs, strict=True)
        targets = [
            Target(outline, dropped, array, None if array is None else stored(array, outline.dtype))
            for (outline, dropped), array in pairs
        ]
        call = Forward(known.problem, source, targets[0], targets[1] if len(targets) == 2 else None)
    else:
        call = plan_forward(called, x, Options(*options), out, device, keepdims)
        own = not call.to and arrays.holds(call.x.data, x)
        if own:
            found = [target for target in (call.y, call.indices) if target is not None]
            shapes = tuple((target.outline, target.dropped) for target in found)
            _known.keep(key, Recipe(call.problem, call.x.kind, call.x.dtype, shapes))
    call.run()
    if call.x.kind.device is not None:
        _queued.keep_forward(called, x, options, out, device, keepdims, call)
    y: A = call.y.give()
    if call.indices is None:
        if key is not None and own:
            _show_door(call.problem, (called, options, device, keepdims, x, out), y)
        return y
    pair: Any = (y, call.indices.give())
    if key is not None and own:
        _show_door(call.problem, (called, options, device, keepdims, x, out), pair)
    return pair if out is None else out


def _show_door(problem: Problem, arguments: tuple[object, ...], y: Any) -> None:
    """Makes an accepted call of plain arrays known to the front door of small calls, if there is one."""
    global _run_known
    from fastpool import dispatch, library

    door, plan = library.door(), dispatch.plan_in_library(problem)
    made = y if type(y) is tuple else (y,)
    in_order = all(array.flags.c_contiguous for array in made)
    if door is not None and plan is not None and (arguments[-1] is not None or in_order):
        door.learn(*arguments, plan, plan.address, y)
        _run_known = door.run


def backward(
    called: str,
    grad_output: A,
    x: A | Ints,
    options: tuple[Any, ...],
    out: A | None,
    device: object,
    indices: A | None = None,
) -> A:
    """Run the public function ``called``, a backward. ``options`` as in ``forward``."""
    if type(grad_output) is not np.ndarray:
        answer: A | None = _queued.backward(called, grad_output, x, options, out, device, indices)
        if answer is not None:
            return answer
    shape, array = (x, None) if type(x) is tuple else (None, x)
    key = likeness(called, options, (device, shape), (grad_output, array, indices, out))
    known = _known.find(key)
    read: tuple[Any, ...] = (grad_output, array, indices)
    if known is not None and apart(read, (out,)):
        grad = Source(known.kind, known.dtype, cast(Array, grad_output))
        target = Target(*known.targets[0], out, cast("Array | None", out))
        x_data = cast(Array, array) if known.reads_x else None
        call = Backward(called, known.problem, grad, target, x_data, cast("Array | None", indices))
    else:
        call = plan_backward(called, grad_output, x, Options(*options), out, device, indices)
        if not call.to and call.grad.data is grad_output and (call.x is None or call.x is array):
            kind, dtype = call.grad.kind, call.grad.dtype
            targets = ((call.dx.outline, call.dx.dropped),)
            _known.keep(key, Recipe(call.problem, kind, dtype, targets, call.x is not None))
    call.run()
    if call.grad.kind.device is not None:
        _queued.keep_backward(called, grad_output, x, options, out, device, indices, call)
    dx: A = call.dx.give()
    return dx


def plan_forward(
    called: str,
    x: object,
    options: Options,
    out: object,
    device: object,
    keepdims: object = True,
    record: str = "",
) -> Forward:
    """Check a forward call.

    ``record`` is the kind of indices to compute where the caller asks for none and there are some.
    """
    asked = arguments.device(called, device)
    source = arrays.take(called, "x", x)
    kind = arguments.index_kind(called, "return_indices", options.return_indices)
    problem = arguments.problem(called, "fwd", source.dtype, source.data.shape, options, kind)
    if record and not kind and problem.op in SELECTING:
        problem = problem._replace(indices=record)
    dropped = () if arguments.flag(called, "keepdims", keepdims) else problem.axes
    y_out, indices_out = _outs(called, out, kind)
    y_name, indices_name = ("out[0]", "out[1]") if kind else ("out", "indices")
    order = memory_order(source.data)
    like = Outline(source.kind, problem.out_dtype, problem.out_shape, order)
    y = Target.checked(called, y_name, like, y_out, dropped)
    y.refuse_overlap(called, y_name, {"x": source.data})
    indices = None
    if problem.indices:
        like = Outline(source.kind, problem.index_dtype, problem.out_shape, order)
        indices = Target.checked(called, indices_name, like, indices_out, dropped)
        inputs = {"x": source.data} if y_out is None else {"x": source.data, y_name: y.data}
        indices.refuse_overlap(called, indices_name, inputs)
    problem = _placed(problem, element_strides(source.data), y.strides, () if indices is None else indices.strides, ())
    return Forward(problem, source, y, indices, _computing(called, "x", source.kind, asked, problem))


def plan_backward(
    called: str,
    grad_output: object,
    x: object,
    options: Options,
    out: object,
    device: object,
    indices: object = None,
) -> Backward:
    """Check a backward call.

    ``x`` is the forward's input, its shape, or its Outline. Arrays may also be Sources, looked at before.
    """
    asked = arguments.device(called, device)
    kind = arguments.index_kind(called, "index_kind", options.index_kind)
    grad = arrays.take(called, "grad_output", grad_output)
    x_data = None
    if isinstance(x, tuple) and not isinstance(x, Outline | Source):
        shape = arguments.shape_of(called, "x_or_shape", x)
        order = grad.outline.order if len(shape) == grad.data.ndim else ()
        like = Outline(grad.kind, grad.dtype, shape, order)
    else:
        if isinstance(x, Outline | Source):
            arrays.check_kind(called, "grad_output", grad_output, x.kind)
        else:
            x = arrays.take_same(called, "x", x, grad.kind)
        like, x_data = (x, None) if isinstance(x, Outline) else (x.outline, x.data)
    given = "" if indices is None else kind
    problem = arguments.problem(called, "bwd", like.dtype, like.shape, options, given)
    grad = _check_grad(called, grad, problem)
    index_data = None if indices is None else _check_indices(called, indices, problem, grad)
    inputs = {"grad_output": grad.data}
    if x_data is not None:
        inputs["x"] = x_data
    if index_data is not None:
        inputs["indices"] = index_data
    dx = Target.checked(called, "out", like, out)
    dx.refuse_overlap(called, "out", inputs)
    if not problem.reads_x:
        x_data = None
    elif x_data is None:
        raise type_error(
            called,
            f"x given by its shape {like.shape}",
            f"the gradient of {own.shown(problem.op)} {_why(problem)}",
            "give the array x",
        )
    problem = _placed(
        problem,
        dx.strides,
        element_strides(grad.data),
        () if index_data is None else element_strides(index_data),
        () if x_data is None else element_strides(x_data),
    )
    to = _computing(called, "grad_output", grad.kind, asked, problem)
    return Backward(called, problem, grad, dx, x_data, index_data, to)


def _computing(called: str, name: str, kind: Kind, asked: str, problem: Problem) -> str:
    """The device that computes, if it is not that of the arrays; an error if it cannot."""
    if kind.device is None and asked in ("", "cpu"):
        return ""
    from fastpool.cuda import checking

    return checking.computing(called, f"{name} on {kind.where}", kind.device, asked, problem)


def _why(problem: Problem) -> str:
    if problem.op in SELECTING:
        return "without indices depends on the elements of x"
    return "depends on the elements of x" + (" where NaN is ignored" if problem.op in ("mean", "sum") else "")


@lru_cache(maxsize=1024)
def _placed(problem: Problem, x: Ints, y: Ints, indices: Ints, aux: Ints) -> Problem:
    """The same problem on arrays with these strides."""
    if not (x or y or indices or aux):
        return problem
    return problem._replace(x_strides=x, y_strides=y, index_strides=indices, aux_strides=aux)


def _outs(called: str, out: object, asked: str) -> tuple[object, object]:
    """The caller's arrays for y and for the indices."""
    if out is None or not asked:
        if isinstance(out, tuple):
            raise type_error(
                called,
                f"out is a tuple of {len(out)}",
                "without return_indices there is one result",
                "give one array",
            )
        return out, None
    if not isinstance(out, tuple) or len(out) != 2:
        given = f"out is a tuple of {len(out)}" if isinstance(out, tuple) else f"out is a {type_name(out)}"
        raise type_error(called, given, "with return_indices there are two results", "give a pair (y, indices)")
    for position, array in enumerate(out):
        if array is None:
            raise type_error(called, f"out[{position}]=None", "both results need an array", "or leave out out")
    return out


def _check_grad(called: str, grad: Source, problem: Problem) -> Source:
    """The gradient, checked, and with the pooled axes put back where they were dropped."""
    data = grad.data
    if arguments.operation(called).axes == "global" and data.ndim == len(problem.shape) - len(problem.axes):
        data = np.expand_dims(data, problem.axes)
    if data.shape != problem.out_shape:
        raise value_error(
            called,
            f"grad_output of shape {grad.data.shape}",
            f"it must have the shape of the forward's result, {problem.out_shape} for x of shape {problem.shape}",
            "give the forward's own arguments",
        )
    if grad.dtype != problem.out_dtype:
        raise type_error(
            called,
            f"grad_output of dtype {DTYPES[grad.dtype]}",
            f"it must have the dtype of the forward's result, {DTYPES[problem.out_dtype]} "
            f"for x of dtype {DTYPES[problem.dtype]}",
            "convert it first",
        )
    return grad._replace(data=data)


def _check_indices(called: str, indices: object, problem: Problem, grad: Source) -> Array:
    source = indices if isinstance(indices, Source) else arrays.take_same(called, "indices", indices, grad.kind)
    data = source.data
    if data.shape != problem.out_shape:
        raise value_error(
            called,
            f"indices of shape {source.data.shape}",
            f"they must have the shape of the forward's result, {problem.out_shape}",
            "give those that the forward returned",
        )
    if source.dtype != problem.index_dtype:
        raise type_error(
            called,
            f"indices of dtype {DTYPES[source.dtype]}, index_kind={problem.indices!r}",
            f"they must have dtype {DTYPES[problem.index_dtype]}",
            "give those that the forward returned, and its kind of indices as index_kind",
        )
    return data
