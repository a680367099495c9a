"""States in scratch memory: one component or two, kept in an array each, so that a loop over states is a loop over
vectors. ``t`` is the pointer, or the pair of pointers; a state is addressed by its number.

``first`` and ``second`` read the operands of a pass, ``put`` writes its output, which lies elsewhere, and ``replace``
writes over the first operand.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import digests
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import FIRST, OUT, SECOND, deinterleave, load, store

_known: set[Any] = set(vectors.KNOWN)


def inlined(function: Any, always: bool = False) -> Any:
    """The plain function, made known to Numba together with the plain functions that it captures or calls.

    They are inlined before types are inferred: compiled one by one and inlined by LLVM, a kernel's small functions
    took 12 s of compilation, against 1 s. With ``always`` LLVM inlines the function itself however long it is: vectors
    would go through memory.
    """
    for used in digests.reached(function):
        if used not in _known:
            _known.add(used)
            register_jitable(forceinline=True)(used) if always and used is function else register_jitable(used)
    return function


@inlined
def first_single(t, e):
    return load(t, e, FIRST)


@inlined
def second_single(t, e):
    return load(t, e, SECOND)


@inlined
def put_single(t, e, s):
    store(t, e, s, OUT)


@inlined
def replace_single(t, e, s):
    store(t, e, s, FIRST)


@inlined
def split_single(t, a, even, odd, count):
    deinterleave(t, a, even, odd, count)


@inlined
def bind_single(first, second):
    return first


@inlined
def base_single(t):
    return t


@inlined
def base_pair(t):
    return t[0]


@inlined
def first_pair(t, e):
    return (load(t[0], e, FIRST), load(t[1], e, FIRST))


@inlined
def second_pair(t, e):
    return (load(t[0], e, SECOND), load(t[1], e, SECOND))


@inlined
def put_pair(t, e, s):
    store(t[0], e, s[0], OUT)
    store(t[1], e, s[1], OUT)


@inlined
def replace_pair(t, e, s):
    store(t[0], e, s[0], FIRST)
    store(t[1], e, s[1], FIRST)


@inlined
def split_pair(t, a, even, odd, count):
    deinterleave(t[0], a, even, odd, count)
    deinterleave(t[1], a, even, odd, count)


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
