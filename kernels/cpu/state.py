"""States in scratch memory: one component or two, kept in an array each, so that a loop over states is a loop over
vectors. ``t`` is the pointer, or the pair of pointers; a state is addressed by its number."""

from __future__ import annotations

import types
from typing import Any

from numba.extending import register_jitable

_known: set[Any] = set()


def inlined(function: Any) -> Any:
    """The plain function, made known to Numba together with the plain functions that it captures or calls.

    They are inlined before types are inferred: compiled one by one and inlined by LLVM, a kernel's small functions
    took 12 s of compilation, against 1 s.
    """
    if function not in _known and isinstance(function, types.FunctionType):
        _known.add(function)
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        names = [function.__globals__.get(name) for name in function.__code__.co_names]
        for used in cells + names:
            if isinstance(used, types.FunctionType):
                inlined(used)
        register_jitable(function)
    return function


@inlined
def get_single(t, e):
    return t[e]


@inlined
def put_single(t, e, s):
    t[e] = s


@inlined
def bind_single(first, second):
    return first


@inlined
def get_pair(t, e):
    return (t[0][e], t[1][e])


@inlined
def put_pair(t, e, s):
    t[0][e] = s[0]
    t[1][e] = s[1]


@inlined
def bind_pair(first, second):
    return (first, second)


@inlined
def shift_none(s, amount):
    return s


def make_shift(integer: Any) -> Any:
    """The shift of states that carry a tap index, of type ``integer``: a later place in a block adds to it."""

    def shift(s, amount):
        return (s[0], integer(s[1] + amount))

    return inlined(shift)
