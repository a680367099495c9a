"""A function of numbers as one of vectors of numbers: run once with terms in place of numbers, and written down.

Where the function branches by a comparison, both ways are run, and the vector's elements chosen from both. Only
arithmetic and comparisons of the arguments are followed, which have the same bits for a vector: a number that is
written in the function would make a float32 a float64. Everything else is not traced.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels.reductions import pick
from fastpool.own import Function

MOST_WAYS = 8
LONGEST = 400


class _NotTracedError(Exception):
    """The function does what vectors cannot."""


class _DecisionError(Exception):
    """A decision comes that was not made yet."""

    def __init__(self, truth: _Term) -> None:
        self.truth = truth


class _Term:
    """A part of what is written: of a ``vector``, a ``count``, or whether something holds for one of these."""

    def __init__(self, text: str, kind: str, ways: list[bool], at: list[int]) -> None:
        self.text, self.kind, self.ways, self.at = text, kind, ways, at

    def _with(self, sign: str, other: Any, turned: bool = False) -> _Term:
        kinds = {self.kind, getattr(other, "kind", "")}
        if not isinstance(other, _Term) or "vector" not in kinds or not kinds <= {"vector", "count"}:
            raise _NotTracedError
        left, right = (other, self) if turned else (self, other)
        return _Term(f"({left.text} {sign} {right.text})", "vector", self.ways, self.at)

    def _compared(self, sign: str, other: Any) -> _Term:
        if self.kind == "count" and type(other) is int:
            return _Term(f"({self.text} {sign} {other})", "count holds", self.ways, self.at)
        if not isinstance(other, _Term) or (self.kind, other.kind) != ("vector", "vector"):
            raise _NotTracedError
        return _Term(f"({self.text} {sign} {other.text})", "vector holds", self.ways, self.at)

    def _joined(self, sign: str, other: Any) -> Any:
        if isinstance(other, bool):
            return self if other == (sign == "&") else other
        if not isinstance(other, _Term) or (self.kind, other.kind) != ("vector holds", "vector holds"):
            raise _NotTracedError
        return _Term(f"({self.text} {sign} {other.text})", "vector holds", self.ways, self.at)

    def __add__(self, other: Any) -> _Term:
        return self._with("+", other)

    def __sub__(self, other: Any) -> _Term:
        return self._with("-", other)

    def __mul__(self, other: Any) -> _Term:
        return self._with("*", other)

    def __truediv__(self, other: Any) -> _Term:
        return self._with("/", other)

    def __gt__(self, other: Any) -> _Term:
        return self._compared(">", other)

    def __lt__(self, other: Any) -> _Term:
        return self._compared("<", other)

    def __ge__(self, other: Any) -> _Term:
        return self._compared(">=", other)

    def __le__(self, other: Any) -> _Term:
        return self._compared("<=", other)

    def __eq__(self, other: Any) -> Any:
        return True if self._is(other) else self._compared("==", other)

    def __ne__(self, other: Any) -> Any:
        return False if self._is(other) else self._compared("!=", other)

    def _is(self, other: Any) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Any) -> Any:
        return self._joined("|", other)

    def __and__(self, other: Any) -> Any:
        return self._joined("&", other)

    __ror__, __rand__ = __or__, __and__

    def __bool__(self) -> bool:
        if not self.kind.endswith("holds"):
            raise _NotTracedError
        if self.at[0] == len(self.ways):
            raise _DecisionError(self)
        self.at[0] += 1
        return self.ways[self.at[0] - 1]


class _Calm(_Term):
    """A term of which nothing is NaN, so that each number equals itself."""

    def _is(self, other: Any) -> bool:
        return isinstance(other, _Term) and self.kind == other.kind == "vector" and self.text == other.text


def _written(
    function: Function, names: tuple[str, ...], kinds: tuple[str, ...], ways: list[bool], term: type[_Term] = _Term
) -> str:
    """What the function gives after these decisions."""
    if len(ways) > MOST_WAYS:
        raise _NotTracedError
    at = [0]
    terms = [term(name, kind, ways, at) for name, kind in zip(names, kinds, strict=True)]
    try:
        result = function(*terms)
    except _DecisionError as way:
        held, other = (_written(function, names, kinds, [*ways, taken], term) for taken in (True, False))
        if way.truth.kind == "count holds":
            return f"({held} if {way.truth.text} else {other})"
        return f"pick({way.truth.text}, {held}, {other})"
    if not isinstance(result, _Term) or result.kind != "vector":
        raise _NotTracedError
    return result.text


def on_vectors(name: str, function: Function, parameters: str, kinds: tuple[str, ...]) -> Function | None:
    """The function of vectors ``name(parameters)``, or None. The first parameters have the ``kinds``, the rest are left
    out by the function.
    """
    code = function.__code__
    if code.co_names or code.co_freevars or code.co_argcount > len(kinds):
        return None
    names = tuple(parameters.split(", "))[: code.co_argcount]
    try:
        text = _written(function, names, kinds[: len(names)], [])
    except Exception:
        return None
    return None if len(text) > LONGEST else _made(name, parameters, text)


def calm(function: Function) -> Function | None:
    """What ``combine(a, b)`` gives where neither is NaN, if it gives one of the two, and that is less; or None."""
    code = function.__code__
    if code.co_names or code.co_freevars or code.co_argcount != 2:
        return None
    try:
        all_of_it, less = (_written(function, ("a", "b"), ("vector",) * 2, [], term) for term in (_Term, _Calm))
    except Exception:
        return None
    # arithmetic could make a NaN of others
    if any(sign in less for sign in "+-*/") or len(less) >= len(all_of_it):
        return None
    return _made("calm", "a, b", less)


def _made(name: str, parameters: str, text: str) -> Function:
    scope: dict[str, Any] = {"pick": pick, "__name__": __name__}
    exec(compile(f"def {name}({parameters}):\n    return {text}", "<reduction>", "exec"), scope)
    made: Function = scope[name]
    made.__qualname__ = f"<reduction>.{name}"
    return made
