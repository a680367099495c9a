"""What Numba does more often than one that only lowers needs it, done once: what it lowers to is the same.

Typing and lowering are nearly half of a build, spread over thousands of functions of Numba. These few take up a third
of that, and can be replaced from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import ir


@contextmanager
def hurried(typing: Any, target: Any) -> Iterator[None]:
    """While it lasts, Numba types and lowers faster.

    Parameters
    ----------
    typing, target
        The contexts of Numba's typing and of its target.
    """
    list_variables = ir.Inst._rec_list_vars
    typing.resolve_function_type = _resolved_once(typing.resolve_function_type)
    target.get_abi_sizeof = _sized_once(target.get_abi_sizeof)
    ir.Inst._rec_list_vars = _variables
    try:
        yield
    finally:
        ir.Inst._rec_list_vars = list_variables
        del typing.resolve_function_type, target.get_abi_sizeof


def _resolved_once(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """What a call resolves to, kept for each type of function and arguments.

    Numba asks three times for each call, and looks for the sum of two integers among the universal functions of NumPy
    first. No function here calls itself, so nothing is resolved from a type that is known only in part.
    """
    known: dict[Any, Any] = {}

    def resolve_function_type(function: Any, arguments: Any, named: Any) -> Any:
        if named:
            return resolve(function, arguments, named)
        key = function, tuple(arguments)
        found = known.get(key)
        if found is None:
            found = resolve(function, arguments, named)
            if found is not None:
                known[key] = found
        return found

    return resolve_function_type


def _sized_once(sizeof: Callable[[Any], int]) -> Callable[[Any], int]:
    """The bytes of a type of LLVM, kept: Numba asks for each variable, and makes a module to find out."""
    known: dict[str, int] = {}

    def get_abi_sizeof(kind: Any) -> int:
        name = str(kind)
        if name not in known:
            known[name] = sizeof(kind)
        return known[name]

    return get_abi_sizeof


_PLAIN = frozenset({str, int, float, bool, type(None), ir.Loc, ir.Scope, type(len)})
"""Types of an instruction's fields that hold no variable."""


def _variables(self: Any, value: Any) -> list[Any]:
    """The variables in a field of an instruction; Numba asks for those of each nine times."""
    kind = type(value)
    if kind is ir.Var:
        return [value]
    if kind in _PLAIN:
        return []
    if kind is dict:
        value = value.values()
    elif kind is not tuple and kind is not list:
        return value.list_vars() if isinstance(value, ir.Inst) else []
    found = []
    for part in value:
        if type(part) not in _PLAIN:
            found += _variables(self, part)
    return found
