"""From a user's reduction to one that kernels are made of."""

from __future__ import annotations

import threading
import types
from typing import Any

import numpy as np

from fastpool import own
from fastpool.errors import type_error
from fastpool.kernels import digests, registry, rows
from fastpool.kernels.elements import HALVES, SCALARS
from fastpool.kernels.reductions import Reduction
from fastpool.kernels.registry import Variant
from fastpool.own import Function, arity
from fastpool.tracing import calm, on_vectors

_lock = threading.Lock()
_made: dict[str, Reduction] = {}


def key(name: str, functions: dict[str, Function], *rest: Any) -> str:
    """A name that changes when what a reduction does changes, and only then: two of one name are told apart by it."""
    whole = tuple(sorted(functions.items())), rest
    # in letters: a Problem's text goes on with a number
    digest = digests.digest_of(whole)[:12].translate(str.maketrans(own.HEXADECIMAL, own.LETTERS))
    return f"{name}_{digest}"


def know(op: str) -> None:
    """Makes a user's reduction one of the registry's, if it is not.

    There is room for a number of them, and a notebook may define more: the one that was added first makes room. What
    was compiled for it is kept.
    """
    if op in registry.REDUCTIONS or op not in own.known:
        return
    with _lock:
        if op in registry.REDUCTIONS:
            return
        if len(registry.REDUCTIONS) >= rows.MOST:
            registry.remove_reduction(next(name for name in registry.REDUCTIONS if name in own.known))
        if op not in _made:
            _made[op] = _make(own.known[op])
        registry.add_reduction(_made[op])


def _copy(function: Function, name: str) -> Any:
    """The same function under a name that holds for this kernel alone, see ``engine.name_by_content``; and without the
    name of the file, which is another one each time a cell of a notebook runs.
    """
    code = function.__code__.replace(co_filename="<reduction>")
    copy = types.FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)
    copy.__qualname__ = f"<reduction>.{name}"
    return copy


def _make(reduction: own.Reduction) -> Reduction:
    functions = {name: _copy(function, name) for name, function in reduction.functions.items()}
    return Reduction(
        reduction.key,
        reduction.kinds,
        reduction.identity,
        _with_parameter(functions["lift"], 1),
        functions["combine"],
        _lower(functions["lower"]),
        reduction.state,
        counted=reduction.counted,
        repeatable=reduction.repeatable,
        pull=_pull(functions["pull"]) if reduction.has_gradient else None,
        push=_with_parameter(functions["push"], 2) if "push" in functions else None,
        # a gradient without the state is worked out by one with it, too: it takes a pass more
        pull_reads_state=True,
        push_reads_x="push" in functions,
        untyped=True,
        vectors=_vectors(reduction),
        # states are watched as they are lifted, which must not have hidden a NaN
        calm=calm(reduction.functions["combine"]) if _keeps_x(reduction) else None,
    )


def _keeps_x(reduction: own.Reduction) -> bool:
    """Whether a tap's state is the tap, and that of no tap a number."""
    lift = on_vectors("lift", reduction.functions["lift"], "x, p", ("vector",))
    plain = lift is not None and lift.__code__.co_code == _tap.__code__.co_code
    return plain and reduction.identity[0] == reduction.identity[0]


def _tap(x: Any, p: Any) -> Any:
    return x


def _vectors(reduction: own.Reduction) -> tuple[Any, Any, Any] | None:
    """Its functions on vectors, if all of them can be made so."""
    if len(reduction.state) == 2:
        return None
    of_one = ("vector",)
    lift = on_vectors("lift", reduction.functions["lift"], "x, p", of_one)
    combine = on_vectors("combine", reduction.functions["combine"], "a, b", of_one * 2)
    lower = on_vectors("lower", reduction.functions["lower"], "s, count, inside, p", ("vector", "count"))
    return (lift, combine, lower) if lift and combine and lower else None


def _with_parameter(function: Any, needed: int) -> Any:
    """``lift(x, p)`` or ``push(a, x, p)`` by a function that may leave out the last ones."""
    given = arity(function)
    if needed == 1:
        return function if given == 2 else lambda x, p: function(x)
    if given == 3:
        return function
    return (lambda a, x, p: function(a, x)) if given == 2 else (lambda a, x, p: function(a))


def _lower(function: Any) -> Any:
    """``lower(s, count, inside, p)``."""
    given = arity(function)
    if given == 1:
        return lambda s, count, inside, p: function(s)
    if given == 2:
        return lambda s, count, inside, p: function(s, count)
    return lambda s, count, inside, p: function(s, count, p)


def _pull(function: Any) -> Any:
    """``pull(g, s, count, inside, p)``."""
    given = arity(function)
    if given == 1:
        return lambda g, s, count, inside, p: function(g)
    if given == 2:
        return lambda g, s, count, inside, p: function(g, s)
    if given == 3:
        return lambda g, s, count, inside, p: function(g, s, count)
    return lambda g, s, count, inside, p: function(g, s, count, p)


def refused(variant: Variant, error: Exception) -> TypeError | None:
    """What to tell of a kernel that could not be compiled: which function of the user's it was, and why; or None."""
    reduction = own.known.get(variant.reduction.name)
    if reduction is None:
        return None
    import numba

    number, double = numba.from_dtype(np.dtype(SCALARS[variant.state[0]])), numba.float64
    state = number if len(reduction.state) == 1 else numba.types.UniTuple(number, 2)
    count = numba.int64 if len(variant.state) == 2 else number
    given = {
        "lift": (number, double),
        "combine": (state, state),
        "lower": (state, count, double),
        "pull": (number, state, count, double),
        "push": (number, number, double),
    }
    for name, function in reduction.functions.items():
        signature = given[name][: arity(function)]
        try:
            numba.njit(error_model="numpy")(function).compile(signature)
        except Exception as found:
            dtype = "float32" if variant.source in HALVES else str(number)
            return type_error(
                f"reduction {reduction.name}",
                f"{name} for states of {dtype}",
                f"Numba cannot compile it: {_first_lines(found)}",
                "use numbers, if, for and the functions of math",
            )
    rule = f"Numba cannot compile its kernel: {_first_lines(error)}"
    return type_error(f"reduction {reduction.name}", "its functions", rule, "each must give states as identity is one")


def _first_lines(error: Exception) -> str:
    """What a compiler says, without where it says so: on one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Failed in", "File", "During:", "^"))]
    text = " ".join(told)
    return text if len(text) <= 300 else text[:297] + "..."
