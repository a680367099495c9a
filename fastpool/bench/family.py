"""Cases of the operations beyond windows of one size: each beside the library that has it, with its error.

A case is not a problem's text: it is a name behind ``MARK``, and knows what each implementation calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, NoReturn

from fastpool.bench.data import Array, Prepared
from fastpool.bench.planes import Unsupported
from fastpool.problem import Problem

MARK = "family: "
"""What the text of such a case begins with."""

BUILT_IN = "built-in"
"""The mode of fastpool that stands among the peers: the built-in operation beside a user's, in one process. In two,
of one kernel's code, one took up to 1.2 times as long as the other, by the pages that each had got.
"""

Results = tuple[Array, ...]


class Case(NamedTuple):
    """One case.

    Attributes
    ----------
    moved : int
        Bytes that it has to read and write.
    implementations : dict
        By the name of an implementation, what prepares its call.
    error : callable
        The largest error of a result, in units in the last place of the largest number of its window.
    allowed : float
        The largest error that rounding explains.
    """

    moved: int
    implementations: dict[str, Callable[[], Prepared]]
    error: Callable[[Results], float]
    allowed: float = 0.0

    def modes(self, name: str) -> dict[str, Prepared]:
        """What an implementation can be timed at, by mode, as ``worker.prepared``."""
        from fastpool.bench import floor

        if name == "floor":
            return {"": floor.copy_of(self.moved)}
        found = {
            mode.removeprefix(name).lstrip(): make()
            for mode, make in self.implementations.items()
            if mode == name or mode.startswith(name + " ")
        }
        if not found:
            raise Unsupported("has no such operation")
        return found


MODULES = ("family_torch", "family_others", "family_own")
"""Where the cases are: each module has ``CASES``, functions without arguments by name."""


@functools.cache
def _modules() -> dict[str, Callable[[], Case]]:
    found: dict[str, Callable[[], Case]] = {}
    for module in MODULES:
        found |= import_module(f"fastpool.bench.{module}").CASES
    return found


def case(text: str) -> Case:
    """The case that a text names."""
    return _modules()[text.removeprefix(MARK)]()


TEXTS = {name: MARK + name for name in _modules()}
"""Texts of the cases by name."""


def prepare_none(problem: Problem) -> NoReturn:
    """No problem of windows is for these peers.

    Raises
    ------
    Unsupported
        Always.
    """
    raise Unsupported("has cases of its own alone")
