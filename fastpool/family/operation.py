"""A row of the table of operations."""

from __future__ import annotations

from typing import NamedTuple


class Operation(NamedTuple):
    """A row of the table of operations.

    Attributes
    ----------
    title : str
        What the literature calls it.
    module : str
        The module that has its functions, without ``fastpool.``.
    functions : tuple of str
        Names of its public functions. One that has a gradient is followed by ``<name>_backward``, not named here.
    definition, gradient : str
        In symbols: y, x, g = dy, W = taps of a window on the input, n = their number. Gradient "none" where there is
        none, with the reason.
    source : str
        Where the rule is from.
    dtypes, layouts : str
    where : str
        ``"CPU"``, ``"CPU, GPU"`` or ``"CPU, GPU, C"``.
    linear : bool
        Whether y is linear in x, so that a test of its adjoint holds.
    """

    title: str
    module: str
    functions: tuple[str, ...]
    definition: str
    gradient: str
    source: str
    dtypes: str = "floats"
    layouts: str = "first, last, any strides"
    where: str = "CPU"
    linear: bool = False


IN_RANKS = ("1d", "2d", "3d")


def in_ranks(name: str) -> tuple[str, ...]:
    """The names of a function over one, two and three spatial axes."""
    return tuple(name + rank for rank in IN_RANKS)
