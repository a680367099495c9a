"""The registry as one block of integers, for planning code that is also compiled: what can be asked for, and by whom
it is done. ``rows`` says where things lie in it.

The block is filled in as it is read, so that what a user adds is in it, and nothing is built that is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from fastpool.kernels import registry
from fastpool.kernels.registry import FORMS, ROLES, SIZES, Variant
from fastpool.kernels.rows import (
    ACROSS_LANES,
    ALONG_ROWS,
    ASKS,
    DTYPES,
    ENTRIES,
    FORM,
    IN_STACKS,
    INDEX_TYPES,
    OPERATIONS,
    OPS,
    ROW,
    ROWS,
)


class Table:
    """The block, as a sequence that is read by position.

    ``ops`` are the names behind the numbers of operations, ``variants`` those behind the numbers of rows.
    """

    def __init__(self) -> None:
        added = [name for name in registry.REDUCTIONS if name not in OPS]
        self.ops = (*OPS, *added)
        self.variants: list[Variant] = []
        self._known: dict[int, int] = {}
        self._rows: dict[Variant, int] = {}

    def op(self, name: str, norm: float) -> int:
        """The number of an operation, or -1: Lp with exponent 1 or 2 has numbers of its own."""
        if name == "lp" and norm in (1.0, 2.0):
            name = "l1" if norm == 1.0 else "l2"
        return self.ops.index(name) if name in self.ops else -1

    def __getitem__(self, at: int) -> int:
        found = self._known.get(at)
        if found is None:
            found = self._known[at] = self._find(at)
        return found

    def _find(self, at: int) -> int:
        if at < OPERATIONS:
            return _form(at)
        if at < ENTRIES:
            op, rest = divmod(at - OPERATIONS, 2 * len(DTYPES))
            if op >= len(self.ops):
                return 0
            dtype, which = DTYPES[rest // 2], rest % 2
            known = registry.fixed_divisor if which else registry.parameter
            return known(self.ops[op], dtype)
        return self._entry(at - ENTRIES)

    def _entry(self, at: int) -> int:
        at, wide = divmod(at, 2)
        at, index = divmod(at, len(INDEX_TYPES))
        at, skip = divmod(at, 2)
        at, role = divmod(at, len(ROLES))
        op, dtype = divmod(at, len(DTYPES))
        if op >= len(self.ops):
            return 0
        variant = registry.variant(
            self.ops[op], 0.0, DTYPES[dtype], ROLES[role], bool(skip), INDEX_TYPES[index], bool(wide)
        )
        if variant is None:
            return 0
        return self._row(variant)

    def _row(self, variant: Variant) -> int:
        """Where the row of a variant is, which is added if it is not there."""
        if variant not in self._rows:
            keys = self._row(variant.keys) if variant.keys is not None else 0
            at = self._rows[variant] = ROWS + len(self.variants) * ROW
            numbers = (*_row(variant, len(self.variants)), keys - at if keys else 0)
            self._known.update(enumerate(numbers, at))
            self.variants.append(variant)
        return self._rows[variant]

    def dump(self, keep: Callable[[Variant], bool] = lambda variant: True) -> list[int]:
        """The whole block, without the room for operations that are not there, and without what is not kept."""
        end = ENTRIES + len(self.ops) * ASKS
        entries = [self[at] for at in range(ENTRIES, end)]
        entries = [at if at and keep(self.variants[self[at]]) else 0 for at in entries]
        rows = [self[at] for at in range(ROWS, ROWS + len(self.variants) * ROW)]
        return [self[at] for at in range(ENTRIES)] + [at and at - ROWS + end for at in entries] + rows


def _form(at: int) -> int:
    form = FORMS[at // FORM]
    roles = sum(1 << ROLES.index(role) for role in form.roles)
    fused = form.fused * (ACROSS_LANES if form.family == "lanes" else ALONG_ROWS)
    walks = (form.match, fused, form.slide, form.stacked)
    numbers = (form.family == "lanes", form.kernel, form.stride, roles, *walks)
    return int(numbers[at % FORM])


def _row(variant: Variant, number: int) -> tuple[int, ...]:
    reduction = variant.reduction
    sizes = [SIZES[dtype] for dtype in (variant.source, variant.output, variant.aux, variant.state[0])]
    return (
        number,
        *sizes,
        SIZES[variant.state[1]] if len(variant.state) == 2 else 0,
        int(reduction.counted),
        int(reduction.repeatable),
        int(variant.source[0] in "iu" and variant.output[0] in "iu"),
        int(variant.source == variant.state[0]),
        int(reduction.push_reads_x),
        int(reduction.pull_reads_state),
        (variant.vector is not None) * ALONG_ROWS
        + any(form.fused and form.family == "lanes" and form.serves(variant) for form in FORMS) * ACROSS_LANES
        + any(form.stacked and form.serves(variant) for form in FORMS) * IN_STACKS,
    )


_tables: dict[int, Table] = {}


def table() -> Table:
    """The table of the reductions that are known now."""
    generation = registry.generation()
    if generation not in _tables:
        _tables.clear()
        _tables[generation] = Table()
    return _tables[generation]
