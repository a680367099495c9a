"""The operations of the family: which there are, where their functions are, and what the table in the docs says.

``vjp``, the lazy attributes of ``fastpool``, ``docs/operations.md`` and the tests iterate this list. Nothing here
computes, or imports the modules that do.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastpool.family.listed import descriptors, filters, inverse, mixtures, regions, statistics
from fastpool.family.operation import IN_RANKS as IN_RANKS
from fastpool.family.operation import Operation as Operation
from fastpool.family.operation import in_ranks as in_ranks

OPERATIONS: tuple[Operation, ...] = (
    *regions.ROWS,
    *statistics.ROWS,
    *filters.ROWS,
    *inverse.ROWS,
    *mixtures.ROWS,
    *descriptors.ROWS,
)
"""Those of ``fastpool.family``; the windows' own are listed with them in the docs."""


def modules() -> dict[str, str]:
    """The module of each public function of the family, backward ones included, by the function's name."""
    found = {}
    for operation in OPERATIONS:
        for name in operation.functions:
            found[name] = operation.module
            if not operation.gradient.startswith("none"):
                found[f"{name}_backward"] = operation.module
    return found


def names() -> Iterator[str]:
    """Names of the public functions of the family."""
    return iter(modules())
