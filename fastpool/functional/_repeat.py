"""What was found out about the arguments of a call, kept for calls that are made alike.

Checking a call and bringing it to a Problem takes 18 of the 39 us of a small call; knowing it again, 3. Nearly all of
it depends on the arguments as they are written and on how the arrays lie in memory, but not on where: a call that was
accepted once is accepted again, unless its arrays now overlap. Only plain NumPy arrays are looked up; every other call,
and every call that is refused, goes the whole way.
"""

from __future__ import annotations

import marshal
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple, cast

import numpy as np

from fastpool.arrays import Kind, Outline
from fastpool.problem import Ints, Problem

MOST = 1024
"""Calls that are kept; then all are forgotten."""

_PLAIN = frozenset({int, bool, float, str, type(None)})


class Recipe(NamedTuple):
    """What the checks of a call have found: all but the arrays. A target is its outline and the axes that the caller
    does not see.
    """

    problem: Problem
    kind: Kind
    dtype: str
    targets: tuple[tuple[Outline, Ints], ...]
    reads_x: bool = False


def plain(values: Iterable[object]) -> bool:
    """Whether all values are Python's own, in tuples and lists, too: those of NumPy would be told by their bytes."""
    for value in values:
        kind = type(value)
        if kind not in _PLAIN and not (kind in (tuple, list) and plain(cast(Iterable[object], value))):
            return False
    return True


def put(kept: dict[Any, Any], key: Hashable, value: object) -> None:
    """Keeps one more; where there is no room, all others are forgotten."""
    if len(kept) >= MOST:
        kept.clear()
    kept[key] = value


def likeness(
    called: str, options: tuple[object, ...], others: tuple[object, ...], arrays: tuple[object, ...]
) -> Hashable:
    """What the outcome of a call's checks depends on, or None if that cannot be told at once.

    Parameters
    ----------
    called : str
        Name of the public function.
    options : tuple
        Its arguments besides the arrays.
    others : tuple
        Further arguments that are plain values.
    arrays : tuple
        Its arrays; one may also be None.
    """
    written: Any = (*options, *others)
    if not plain(written):
        return None
    # unlike a hash, this tells 1 from True and from 1.0, inside of tuples, too
    known: list[Hashable] = [called, marshal.dumps(written, 2)]
    for array in arrays:
        if type(array) is np.ndarray:
            known += (array.dtype, array.shape, array.strides, array.flags.num)
        elif array is None:
            known.append(None)
        else:
            return None
    return tuple(known)


class Recipes:
    """Recipes by likeness."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Recipe] = {}

    def find(self, key: Hashable) -> Recipe | None:
        """The recipe of a call like this one, if there was one."""
        return self._kept.get(key) if key is not None else None

    def keep(self, key: Hashable, recipe: Recipe) -> None:
        """Keeps what was found."""
        if key is None:
            return
        put(self._kept, key, recipe)


def apart(read: tuple[Any, ...], written: tuple[Any, ...]) -> bool:
    """Whether what is written surely shares no memory, from end to end, with what is read or also written.

    Arrays that are None are left out.
    """
    for place, array in enumerate(written):
        if array is not None:
            for other in (*read, *written[:place]):
                if other is not None and np.may_share_memory(array, other):
                    return False
    return True
