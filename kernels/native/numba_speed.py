"""What Numba does more often than one that only lowers needs it, done once: what it lowers to is the same.

Typing and lowering are nearly half of a build, spread over thousands of functions of Numba. To resolve calls takes up
to a third of that. Keeping sizes of types, and finding an instruction's variables faster, saved nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hurried(typing: Any) -> Iterator[None]:
    """While it lasts, Numba types faster; ``typing`` is the context of its typing."""
    typing.resolve_function_type = _resolved_once(typing.resolve_function_type)
    try:
        yield
    finally:
        del typing.resolve_function_type


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
