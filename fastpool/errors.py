"""The one form of an error text: what was called, the values, the rule, the way out."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 80
"""Characters of a value that an error shows."""


def message(called: str, given: str, rule: str, way_out: str = "") -> str:
    """An error text in one line.

    Examples
    --------
    >>> message("max_pool2d", "stride=0", "every entry must be at least 1", "leave it out for kernel_size")
    'max_pool2d: stride=0: every entry must be at least 1; leave it out for kernel_size'
    """
    text = f"{called}: {given}: {rule}"
    return f"{text}; {way_out}" if way_out else text


def value_error(called: str, given: str, rule: str, way_out: str = "") -> ValueError:
    """A ValueError with such a text."""
    return ValueError(message(called, given, rule, way_out))


def type_error(called: str, given: str, rule: str, way_out: str = "") -> TypeError:
    """A TypeError with such a text."""
    return TypeError(message(called, given, rule, way_out))


def shown(value: object) -> str:
    """A value as it is written, on one line and not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def type_name(value: object) -> str:
    """The type of a value, with its module unless it is a builtin."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def listed(words: Iterable[str]) -> str:
    """Words in quotes, separated by commas."""
    return ", ".join(repr(word) for word in words)


def axes_text(count: int) -> str:
    """A number of axes in words."""
    return f"{count} axis" if count == 1 else f"{count} axes"
