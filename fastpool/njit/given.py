"""What a call inside ``@njit`` was given, as far as types tell: constants by their value, all else by its type."""

from __future__ import annotations

from typing import Any

from numba.core import types as numba_types

from fastpool.errors import type_error

types: Any = numba_types
"""Numba's types, which its own annotations know only in part."""


def is_constant(given: Any) -> bool:
    """Whether the value is known when the call is compiled."""
    return isinstance(given, types.Omitted | types.NoneType | types.Literal) or not isinstance(given, types.Type)


def value(given: Any) -> Any:
    """The value of a constant."""
    if isinstance(given, types.Omitted):
        return given.value
    if isinstance(given, types.NoneType):
        return None
    return given.literal_value if isinstance(given, types.Literal) else given


def constant(called: str, name: str, given: Any) -> Any:
    """The value of an argument that decides about the type of the result, or about the kernel."""
    if not is_constant(given):
        rule = f"inside @njit it must be a constant, not a value of type {given}"
        raise type_error(called, name, rule, "write it out in the call")
    return value(given)


def is_none(given: Any) -> bool:
    """Whether None was given, or left in its place."""
    return is_constant(given) and value(given) is None


def is_integer(given: Any) -> bool:
    """Whether an integer was given, which a bool is not."""
    if isinstance(given, types.Literal | types.Omitted) or not isinstance(given, types.Type):
        return isinstance(value(given), int) and not isinstance(value(given), bool)
    return isinstance(given, types.Integer)


def is_number(given: Any) -> bool:
    """Whether a real number was given."""
    return is_integer(given) or isinstance(given, types.Float) or isinstance(value(given), float)


def is_flag(given: Any) -> bool:
    """Whether True or False was given, or a value that is one of the two."""
    return isinstance(given, types.Boolean) or (is_constant(given) and isinstance(value(given), bool))


def entries(given: Any) -> tuple[Any, ...] | None:
    """The entries of a tuple, or None if it is none."""
    if isinstance(given, types.BaseTuple):
        return tuple(given)
    return given if isinstance(given, tuple) else None


def is_array(given: Any) -> bool:
    """Whether an array was given."""
    return isinstance(given, types.Array)
