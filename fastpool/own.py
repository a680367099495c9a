"""Reductions that users define: what is known about each, and which there are.

Nothing here computes. ``functional.reducing`` checks a definition, ``making`` turns it into kernels, and
``reference.own`` is its oracle.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from fastpool.errors import listed, type_error, type_name, value_error
from fastpool.errors import shown as shown_value
from fastpool.problem import DTYPES, OPS

Function = Callable[..., Any]

NO_PARAMETER = 2.0
"""The parameter of a reduction that has none: that of a Problem which names none."""

KINDS = {"float": "f", "integer": "iu", "bool": "b"}
"""Words for element types, and the kinds of these."""

RESERVED = (*OPS, "l1", "l2")
"""Names that a reduction cannot have."""

LONGEST_NAME = 60

HEXADECIMAL, LETTERS = "0123456789abcdef", "ghijklmnopabcdef"

STATES = ("double", "wide", "same")
"""Types that the numbers of a state may have."""


class Reduction:
    """A reduction that a user defined; what ``@fastpool.reduction`` makes of a class.

    ``fastpool.pool``, ``pool_backward`` and ``vjp`` take it as ``op``, also inside ``@njit``. Called with a number, it
    gives the same reduction with that parameter; nothing is compiled again for it.

    Attributes
    ----------
    name : str
        Name of the class.
    parameter : float or None
        The number that its functions receive as their last argument, if it has one.
    """

    def __init__(
        self,
        name: str,
        key: str,
        functions: dict[str, Function],
        identity: tuple[Any, ...],
        state: tuple[str, ...],
        kinds: str,
        parameter: float | None,
        repeatable: bool,
        page: str | None,
    ) -> None:
        self.name = name
        self.key = key
        self.functions = functions
        self.identity = identity
        self.state = state
        self.kinds = kinds
        self.parameter = parameter
        self.repeatable = repeatable
        self.__doc__ = page
        self.__name__ = name

    @property
    def norm(self) -> float:
        """The parameter, as a Problem has it."""
        return NO_PARAMETER if self.parameter is None else self.parameter

    @property
    def number(self) -> int:
        """The key as a number: equal for two definitions that do the same, in any process."""
        return int(self.key.rpartition("_")[2].translate(str.maketrans(LETTERS, HEXADECIMAL)), 16)

    @property
    def counted(self) -> bool:
        """Whether a function asks for the divisor."""
        lower, pull = self.functions["lower"], self.functions.get("pull")
        return arity(lower) > 1 or (pull is not None and arity(pull) > 2)

    @property
    def has_gradient(self) -> bool:
        """Whether there is a rule for the gradient."""
        return "pull" in self.functions

    def __call__(self, parameter: float) -> Reduction:
        """The same reduction with another parameter."""
        from fastpool.functional.reducing import checked_parameter

        if self.parameter is None:
            raise TypeError(
                f"{self.name}: {self.name}({parameter!r}): it has no parameter; "
                f"give the class an attribute 'parameter', the number that holds where no other is given"
            )
        number = checked_parameter(self.name, parameter)
        fields = (self.functions, self.identity, self.state, self.kinds, number, self.repeatable, self.__doc__)
        return Reduction(self.name, self.key, *fields)

    def __repr__(self) -> str:
        given = "" if self.parameter is None else f"({self.parameter!r})"
        return f"<fastpool.reduction {self.name}{given}>"


known: dict[str, Reduction] = {}
"""Every reduction that was defined in this process, by its key; of those that do the same the last."""


def arity(function: Function) -> int:
    """How many arguments a function takes."""
    count: int = function.__code__.co_argcount
    return count


def named(op: object, norm: object) -> tuple[object, object]:
    """An operation by its name, and its exponent or parameter: plain values, of which calls are known again."""
    if isinstance(op, Reduction):
        return op.key, op.norm
    return op, norm


def key_of(called: str, op: object) -> str:
    """The key that an operation was given by, or "" for another word."""
    if isinstance(op, str):
        return op if op in known else ""
    given = f"op={shown_value(op)} ({type_name(op)})"
    way_out = "put @fastpool.reduction over the class" if isinstance(op, type) else f"known words: {listed(OPS)}"
    raise type_error(called, given, "must be a word, or a reduction", way_out)


def parameter(op: str, given: object) -> float:
    """The parameter of an operation, as a Problem has it."""
    return float(given) if is_own(op) else NO_PARAMETER  # type: ignore[arg-type]


def counts(op: str) -> bool:
    """Whether an operation reads the divisor."""
    return op == "mean" or (is_own(op) and known[op].counted)


def is_own(op: str) -> bool:
    """Whether an operation is a user's reduction."""
    return op not in OPS


def shown(op: str) -> str:
    """The name of an operation, as its user knows it."""
    return known[op].name if op in known else op


def by_number(number: int, name: int) -> Reduction | None:
    """The reduction that compiled code names; where that was edited since, the one that has its name now."""
    found = None
    for reduction in known.values():
        if reduction.number == number:
            return reduction
        if number_of(reduction.name) == name:
            found = reduction
    return found


def number_of(name: str) -> int:
    """A number for a name, the same in any process."""
    return zlib.crc32(name.encode())


def check_dtype(called: str, op: str, direction: str, dtype: str) -> None:
    """Refuse an element type that a user's reduction does not take, and a gradient that it does not have."""
    reduction = known[op]
    given = f"x of dtype {DTYPES[dtype]}"
    if dtype in ("fld", "cld"):
        raise type_error(called, given, "own reductions take no long double", "give x.astype(np.float64)")
    kind = "b" if dtype == "b1" else "f" if dtype == "bf16" else dtype[0]
    if kind not in reduction.kinds:
        words = [word for word, kinds in KINDS.items() if kinds in reduction.kinds]
        way_out = "pool its real and imaginary part" if kind == "c" else "convert x, or let dtypes name it"
        raise type_error(called, given, f"reduction {reduction.name} takes {' and '.join(words)}", way_out)
    if direction == "bwd":
        if not reduction.has_gradient:
            rule = f"reduction {reduction.name} has no rule for its gradient"
            raise type_error(
                called, f"op={reduction.name}", rule, "give the class a function pull(g, s), see reduction"
            )
        if kind != "f":
            raise type_error(called, given, "gradients of own reductions are those of floats", "convert x first")


def check_nan(called: str, op: str, nan: str, dtype: str) -> None:
    """Refuse to leave out NaN where nothing counts the values."""
    if nan == "ignore" and dtype in ("f16", "bf16", "f32", "f64") and is_own(op) and len(known[op].state) == 2:
        rule = f"reduction {shown(op)} has pairs as states, which leave no room for the number of values"
        raise value_error(called, "nan='ignore'", rule, "let lift give the identity where x != x")
