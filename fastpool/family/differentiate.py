"""``vjp`` and ``explain`` of the functions of the family."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from fastpool.errors import type_error
from fastpool.family import operations, tasks


def module_of(fn: object) -> Any:
    """The module of a public function of the family, or None for anything else."""
    name = getattr(fn, "__name__", "")
    module = operations.modules().get(name)
    if module is None:
        return None
    found = import_module(f"fastpool.{module}")
    return found if getattr(found, name, None) is fn else None


def vjp(fn: Callable[..., Any], module: Any, x: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The result and its pullback.

    A module may have a dict ``VJPS`` of functions ``(x, *args, **kwargs) -> (y, pullback)``, for those of its functions
    whose gradient needs less than x, or gives more than that of x. Of the others x is kept, and the backward function
    is called with what the forward was called with.
    """
    name = fn.__name__
    own = getattr(module, "VJPS", {}).get(name)
    if own is not None:
        found: tuple[Any, Any] = own(x, *args, **kwargs)
        return found
    backward = getattr(module, f"{name}_backward", None)
    if backward is None:
        raise type_error("vjp", f"fn={name}", "it has no gradient", "see docs/operations.md for those that have one")
    y = fn(x, *args, **kwargs)
    rest = {key: value for key, value in kwargs.items() if key not in ("out", "return_indices")}

    def pullback(dy: Any) -> Any:
        return backward(dy, x, *args, **rest)

    return y, pullback


class Told:
    """Which programs a call runs, by which engine; ``str`` of it has a line for each."""

    def __init__(self, called: str, lines: list[str]) -> None:
        self.called = called
        self.programs = tuple(lines)

    def __str__(self) -> str:
        return "\n".join([f"{self.called} on the CPU", *(f"  {line}" for line in self.programs)])


def explain(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Told:
    """What a call would run. Its arguments are checked, nothing is computed."""
    with tasks.explaining() as lines:
        fn(*args, **kwargs)
    return Told(fn.__name__, list(lines))
