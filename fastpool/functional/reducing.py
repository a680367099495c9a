"""Users' own reductions: from a class with a handful of functions to something that ``pool`` takes."""

from __future__ import annotations

import dis
import inspect
import math
import types
from typing import Any

from fastpool import own
from fastpool.errors import listed, shown, type_error, type_name, value_error
from fastpool.own import Function, Reduction

__all__ = ["reduction"]

NEEDED = {"lift": 1, "combine": 2, "lower": 1, "pull": 1, "push": 1}
"""The functions of a definition, and how many arguments each takes at least."""

ARGUMENTS = {
    "lift": ("x", "p"),
    "combine": ("a", "b"),
    "lower": ("s", "count", "p"),
    "pull": ("g", "s", "count", "p"),
    "push": ("a", "x", "p"),
}
"""All the arguments that a function may take."""

VALUES = ("identity", "state", "dtypes", "parameter", "repeatable")
"""What else a definition may say."""

SAMPLES = (0.5, 0.25, 0.75)
"""Values of taps that a definition is tried with."""

CLOSE = 1e-5


def reduction(definition: type[Any]) -> Reduction:
    """Make a reduction of a class with a handful of scalar functions, for ``pool`` to move over any array.

    A window's result is made from *states*: one number, or a pair of numbers. ``lift`` makes the state of one
    element, ``combine`` that of two neighbouring groups of elements, ``lower`` the result. Numba compiles them into
    the kernels that run the built-in operations: any rank, axes, strides, padding, and number of threads.

    Parameters
    ----------
    definition : class
        Its attributes are the definition. The functions get no ``self``; arguments at the end that a function has
        no need of are left out.

        ``identity`` : number or pair of numbers
            The state of no element; ``combine`` with it changes nothing. Padding counts as that.
        ``combine(a, b)``
            The state of the elements of ``a`` followed by those of ``b``. It must be associative, up to rounding.
        ``lift(x, p)``
            The state of one element. Left out: the element itself.
        ``lower(s, count, p)``
            The result. ``count`` is what a mean would divide by, so ``count_include_pad`` decides about padding.
            Left out: the state itself.
        ``pull(g, s, count, p)``, ``push(a, x, p)``
            The gradient: each window, with gradient ``g`` and state ``s``, gives ``pull`` to all its elements; an
            element ``x`` that received ``a`` in all has the gradient ``push``, left out: ``a``. Without ``pull``
            there is no gradient.
        ``state`` : {"double", "wide", "same"}
            Type of a state's numbers, and of those that the functions get. ``"double"``, the default: float64.
            ``"wide"``: float32 for floats of up to 32 bits, 64 bits for integers; ``"same"``: as the elements.
        ``dtypes`` : tuple of str
            Elements that it takes: ``"float"``, the default, ``"integer"`` and ``"bool"``.
        ``parameter`` : float
            The number ``p`` that the functions get, where no other is given: ``op(3.0)`` is ``op`` with 3.0.
        ``repeatable`` : bool
            An element may be combined twice, and in any order, without changing the result, as for a maximum. Large
            windows are then faster.

    Returns
    -------
    Reduction
        Given as ``op`` to ``pool``, ``pool_backward``, ``vjp`` and ``explain``; also inside ``@njit``.

    Raises
    ------
    TypeError
        If the definition lacks something, has something that is not known, or a function with other arguments.
    ValueError
        If its name is taken, or its functions contradict its identity or each other.

    See Also
    --------
    pool : moves it over an array.

    Notes
    -----
    The functions are compiled at the first call, for each element type. They compute with numbers alone, must not
    raise, and divide and take logarithms as hardware does: by 0 gives inf or nan. A definition of the same name does
    not touch those that were made before.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> import fastpool
    >>> @fastpool.reduction
    ... class log_sum_exp:
    ...     identity = 0.0
    ...
    ...     def lift(x):
    ...         return math.exp(x)
    ...
    ...     def combine(a, b):
    ...         return a + b
    ...
    ...     def lower(s):
    ...         return math.log(s)
    ...
    ...     def pull(g, s):
    ...         return g / s
    ...
    ...     def push(a, x):
    ...         return a * math.exp(x)
    >>> x = np.array([[0.0, 1.0], [2.0, 3.0]])
    >>> y, pullback = fastpool.vjp(fastpool.pool, x, (2, 2), log_sum_exp)
    >>> y.round(4)
    array([[3.4402]])
    >>> pullback(np.ones((1, 1))).round(4)
    array([[0.0321, 0.0871],
           [0.2369, 0.6439]])
    """
    from fastpool import making

    if not inspect.isclass(definition):
        rule = "it must be a class with the functions of the reduction"
        raise type_error(
            "reduction", f"{shown(definition)} ({type_name(definition)})", rule, "write @reduction over it"
        )
    name = definition.__name__
    called = f"reduction {name}"
    if name in own.RESERVED:
        raise value_error(called, f"name {name!r}", "it is taken by a built-in operation", "choose another name")
    if not (name.isascii() and len(name) <= own.LONGEST_NAME):
        raise value_error(called, "name", f"it must be at most {own.LONGEST_NAME} ASCII characters", "shorten it")
    given: dict[str, Any] = {}
    for part in reversed(definition.__mro__[:-1]):
        given |= {word: value for word, value in vars(part).items() if not word.startswith("__")}
    unknown = [word for word in given if word not in NEEDED and word not in VALUES and not word.startswith("_")]
    if unknown:
        known = listed([*NEEDED, *VALUES])
        raise type_error(called, f"attribute {unknown[0]!r}", "it is none of a reduction's", f"known: {known}")
    parameter = checked_parameter(called, given["parameter"]) if "parameter" in given else None
    identity = _identity(called, given)
    functions = {word: _function(called, word, given[word], parameter) for word in NEEDED if word in given}
    _complete(called, functions, len(identity))
    state = _word(called, "state", given.get("state", "double"), own.STATES)
    kinds = _kinds(called, given.get("dtypes", ("float",)))
    repeatable = given.get("repeatable", False)
    if not isinstance(repeatable, bool):
        raise type_error(called, f"repeatable={shown(repeatable)}", "must be True or False", "leave it out for False")
    states = (state,) * len(identity)
    key = making.key(name, functions, identity, state, kinds, repeatable)
    made = Reduction(name, key, functions, identity, states, kinds, parameter, repeatable, definition.__doc__)
    _try(called, made)
    own.known[key] = made
    return made


def checked_parameter(called: str, value: object) -> float:
    """The parameter of a reduction as a number."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise type_error(called, f"parameter={shown(value)} ({type_name(value)})", "must be a number", "use float()")
    number = float(value)
    if not math.isfinite(number):
        raise value_error(called, f"parameter={shown(value)}", "must be finite", "use another number")
    return number


def _identity(called: str, given: dict[str, Any]) -> tuple[Any, ...]:
    if "identity" not in given:
        rule = "it must have one: the state of no element"
        raise type_error(called, "identity is missing", rule, "for a sum it is 0.0, for a product 1.0")
    value = given["identity"]
    numbers = value if isinstance(value, tuple) else (value,)
    if len(numbers) not in (1, 2) or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        rule = "a state is one number, or a pair of numbers"
        raise type_error(called, f"identity={shown(value)}", rule, "give int or float")
    return numbers


def _function(called: str, name: str, value: Any, parameter: float | None) -> Function:
    """A plain function, which takes a number of arguments that its place allows."""
    function = value.__func__ if isinstance(value, staticmethod) else getattr(value, "py_func", value)
    if not isinstance(function, types.FunctionType):
        given = f"{name}={shown(value)} ({type_name(value)})"
        raise type_error(called, given, "it must be a function written in Python", "write a def that calls it")
    known = ARGUMENTS[name] if parameter is not None or name == "combine" else ARGUMENTS[name][:-1]
    least, most = NEEDED[name], len(known)
    code = function.__code__
    plain = not code.co_kwonlyargcount and not code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    if not plain or not least <= code.co_argcount <= most or function.__defaults__:
        takes = str(least) if least == most else f"{least} to {most}"
        way_out = f"write def {name}({', '.join(known)}), leaving out arguments at the end"
        if least == most:
            way_out = f"write def {name}({', '.join(known)})"
        if parameter is None and name != "combine" and code.co_argcount == most + 1:
            way_out += "; for one more, p, give the class an attribute 'parameter'"
        rule = f"it takes {takes} argument{'s' if most > 1 else ''}, without defaults"
        raise type_error(called, f"{name}({', '.join(inspect.signature(function).parameters)})", rule, way_out)
    if any(found.opname == "RAISE_VARARGS" for found in dis.get_instructions(function)):
        raise type_error(called, name, "a kernel cannot raise an error", "return math.nan instead")
    return function


def _complete(called: str, functions: dict[str, Function], components: int) -> None:
    """Refuses a definition that lacks a function; puts in those that may be left out."""
    if "combine" not in functions:
        rule = "it must have one: how two groups of elements become one"
        raise type_error(called, "combine is missing", rule, "write def combine(a, b)")
    for name in ("lift", "lower"):
        if name not in functions:
            if components == 2:
                rule = "with pairs as states it must have one"
                arguments = ", ".join(ARGUMENTS[name][:-1])
                raise type_error(called, f"{name} is missing", rule, f"write def {name}({arguments})")
            functions[name] = _as_it_is
    if "push" in functions and "pull" not in functions:
        rule = "a gradient begins with it"
        raise type_error(called, "pull is missing", rule, "write def pull(g, s), or leave out push")


def _as_it_is(x: Any) -> Any:
    return x


def _word(called: str, name: str, value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise value_error(called, f"{name}={shown(value)}", "unknown word", f"known: {listed(known)}")
    return value


def _kinds(called: str, value: object) -> str:
    words = value if isinstance(value, tuple | list) else (value,)
    if not words:
        raise value_error(called, "dtypes=()", "it must take something", f"known: {listed(own.KINDS)}")
    return "".join(own.KINDS[_word(called, "dtypes", word, tuple(own.KINDS))] for word in words)


# ---- a definition is tried with a few numbers ----


def _try(called: str, made: Reduction) -> None:
    """Refuses a definition that contradicts itself. What cannot be told in plain Python is left to the compiler."""
    p = () if made.parameter is None else (made.parameter,)
    samples = SAMPLES if "f" in made.kinds else (1, 2, 3)
    lift, combine, lower = (made.functions[name] for name in ("lift", "combine", "lower"))
    identity = made.identity if len(made.identity) == 2 else made.identity[0]
    states = [_called(lift, *(x, *p)[: own.arity(lift)]) for x in samples]
    if any(state is _UNTOLD for state in states):
        return
    one, two, three = states
    _check_state(called, f"lift({samples[0]})", one, identity)
    if _called(combine, one, two) is _UNTOLD:
        return
    _check_state(called, f"combine({one}, {two})", _called(combine, one, two), identity)
    for name, state in (("s", one), ("identity", identity)):
        for left, right in ((identity, state), (state, identity)):
            result = _called(combine, left, right)
            if not _close(result, state):
                given = f"combine({shown(left)}, {shown(right)})={shown(result)}"
                rule = f"with the identity it must give {name}, here {shown(state)}"
                raise value_error(called, given, rule, "mend combine, or give another identity")
    first = _called(combine, _called(combine, one, two), three)
    second = _called(combine, one, _called(combine, two, three))
    if not _close(first, second):
        given = f"combine gives {shown(first)} and {shown(second)}"
        rule = "it must be associative: combine(combine(a, b), c) as combine(a, combine(b, c))"
        raise value_error(called, given, rule, "keep what the result needs in the state, and make the result in lower")
    twice = (_called(combine, one, one), one), (_called(combine, one, two), _called(combine, two, one))
    if made.repeatable and not all(_close(left, right) for left, right in twice):
        rule = "combine(a, a) must be a, and combine(a, b) must be combine(b, a)"
        raise value_error(called, "repeatable=True", rule, "leave it out")
    result = _called(lower, *(one, 1, *p)[: own.arity(lower)])
    if result is not _UNTOLD and not isinstance(result, int | float):
        given = f"lower gives {shown(result)} ({type_name(result)})"
        raise type_error(called, given, "a result is one number", "return a number")


_UNTOLD: Any = object()
"""The result of a function that raised: Python does so where a kernel goes on with inf or nan."""


def _called(function: Function, *arguments: Any) -> Any:
    if any(argument is _UNTOLD for argument in arguments):
        return _UNTOLD
    try:
        return function(*arguments)
    except Exception:
        return _UNTOLD


def _check_state(called: str, given: str, state: Any, identity: Any) -> None:
    pair = isinstance(identity, tuple)
    fits = isinstance(state, tuple) and len(state) == 2 if pair else isinstance(state, int | float)
    if not fits:
        rule = f"it must be a state as the identity is one, {'a pair of numbers' if pair else 'a number'}"
        raise type_error(called, f"{given}={shown(state)}", rule, f"the identity is {shown(identity)}; make them alike")


def _close(left: Any, right: Any) -> bool:
    """Whether two states are the same up to rounding, or cannot be told."""
    if left is _UNTOLD or right is _UNTOLD:
        return True
    if isinstance(left, tuple) or isinstance(right, tuple):
        return isinstance(left, tuple) and isinstance(right, tuple) and all(map(_close, left, right))
    return left == right or math.isclose(left, right, rel_tol=CLOSE, abs_tol=CLOSE)
