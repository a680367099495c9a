"""The one list of kernels: tests, benchmarks, docs tables, the C table and explain() all iterate it.

A kernel is a *form*, how it walks over memory, and a *variant*, what its passes do there: one reduction, in one role,
for one element type. Every form works with every variant of its roles. Nothing here needs a compiler.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from fastpool.kernels import derived as D
from fastpool.kernels import reductions as R
from fastpool.kernels.elements import BITS, HALVES, SCALARS
from fastpool.kernels.forms import FORMS as FORMS
from fastpool.kernels.forms import ROLES as ROLES
from fastpool.kernels.forms import Form as Form

REDUCTIONS: dict[str, tuple[R.Reduction, ...]] = {
    "max": (R.MAX, R.INTEGER_MAX),
    "min": (R.MAX, R.INTEGER_MAX),
    "mean": (R.MEAN, R.SIGNED_MEAN, R.UNSIGNED_MEAN),
    "sum": (R.SUM, R.MEAN),
    "lp": (R.LP,),
    "l1": (R.L1,),
    "l2": (R.L2,),
}
"""Definitions by name; a name has one definition for each kind of element. The smallest is the largest of keys in the
opposite order, see ``parameter``; a sum of floats is a mean whose divisor is 1."""

_changes: list[str] = []

SIZES = {
    "b1": 1,
    "i8": 1,
    "i16": 2,
    "i32": 4,
    "i64": 8,
    "u8": 1,
    "u16": 2,
    "u32": 4,
    "u64": 8,
    "f16": 2,
    "bf16": 2,
    "f32": 4,
    "f64": 8,
}
"""Bytes of each element type that kernels handle. Complex elements are handled as two floats."""


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
    """The typed part of a kernel: a reduction in a role, for an element type. There is one object for each.

    ``source``, ``output`` and ``aux`` are the types behind ``bufs[0]``, ``bufs[1]`` and ``bufs[2]``; ``state`` has the
    type of each component of a state. ``vector`` is the reduction on vectors of elements along a row, where it has no
    other states, ``across`` a selection on vectors of lanes; ``half`` the type of 16-bit floats that it compares by
    their bits, or ""; ``keys`` the variant that does the same by integer keys, for forms that combine much for each
    element they read.
    """

    name: str
    reduction: R.Reduction
    role: str
    source: str
    output: str
    aux: str
    state: tuple[str, ...]
    vector: R.Reduction | None = None
    across: R.Reduction | None = None
    half: str = ""
    keys: Variant | None = None


def kind(dtype: str) -> str:
    """b, i, u, f or c."""
    return "f" if dtype == "bf16" else dtype[0]


def add_reduction(reduction: R.Reduction) -> None:
    """Makes a reduction known by its name, beside the ones that are there.

    Raises
    ------
    ValueError
        If the name is taken.
    """
    if reduction.name in REDUCTIONS:
        raise ValueError(
            f"add_reduction: {reduction.name!r} is taken; known: {', '.join(REDUCTIONS)}; choose another name"
        )
    REDUCTIONS[reduction.name] = (reduction,)
    _changes.append(reduction.name)


def remove_reduction(name: str) -> None:
    """Forgets a reduction that ``add_reduction`` made known."""
    del REDUCTIONS[name]
    _changes.append(name)


def generation() -> int:
    """A number that changes with ``REDUCTIONS``; what is cached by a reduction's name is cached with it."""
    return len(_changes)


def definition(op: str, dtype: str, norm: float = 2.0) -> R.Reduction | None:
    """The reduction of that name for elements of that type; Lp with exponent 1 or 2 has definitions of its own."""
    if op == "lp" and norm in (1.0, 2.0):
        op = "l1" if norm == 1.0 else "l2"
    for reduction in REDUCTIONS.get(op, ()):
        if kind(dtype) in reduction.kinds:
            return reduction
    return None


def fixed_divisor(op: str, dtype: str) -> int:
    """The divisor that an operation has by itself, or 0."""
    base = definition(op, dtype)
    return int(op == "sum" and base is not None and base.counted)


def result_dtype(reduction: R.Reduction, dtype: str) -> str:
    """Element type of the forward's result."""
    return kind(dtype) + "64" if reduction.wide_result and kind(dtype) in "iu" else dtype


def _state_dtype(word: str, dtype: str, long: bool) -> str:
    if word == "count":
        return "i64" if long else "i32"
    if word == "double":
        return "f64"
    if dtype == "b1":
        return "u8"
    if kind(dtype) in "iu":
        return dtype if word == "same" else kind(dtype) + "64"
    return "f64" if dtype == "f64" else "f32"


def _number(word: Any, dtype: str) -> Any:
    if word not in ("lowest", "highest"):
        return word
    if kind(dtype) == "f":
        return -math.inf if word == "lowest" else math.inf
    if dtype == "b1":
        return int(word == "highest")
    bits = 8 * SIZES[dtype]
    if kind(dtype) == "u":
        return 0 if word == "lowest" else 2**bits - 1
    return -(2 ** (bits - 1)) if word == "lowest" else 2 ** (bits - 1) - 1


def variant(
    op: str,
    norm: float,
    dtype: str,
    role: str,
    skip_nan: bool = False,
    index: str = "i64",
    long: bool = False,
) -> Variant | None:
    """The variant of that description, or None if there is none.

    ``index`` is the element type of indices; ``long`` asks for counts and indices of 64 bits inside the states.
    """
    base = definition(op, dtype, norm)
    if base is None or dtype not in SIZES:
        return None
    skip = skip_nan and kind(dtype) == "f"
    if base.select:
        # keys have a sign, whether elements do or not; which selection it was does not matter once there are indices
        dtype = dtype.replace("u", "i")
        if role == "check":
            base, dtype = R.MAX, "b1"
        skip, long = skip and role in ("forward", "index"), long and role == "index"
    return _variant(base, dtype, role, skip, index if role in ("index", "scatter", "check") else "", long)


@functools.cache
def _variant(base: R.Reduction, dtype: str, role: str, skip: bool, index: str, long: bool) -> Variant | None:
    if role in ("index", "scatter", "check"):
        return _selection(base, dtype, role, skip, index, long)
    return _value(base, dtype, role, skip, long)


def numbers_places(dtype: str) -> bool:
    """Whether numbers of taps, which vectors keep in as many bits as elements have, can be places of a plane."""
    return SIZES[dtype] >= 4


def _selection(base: R.Reduction, dtype: str, role: str, skip: bool, index: str, long: bool) -> Variant | None:
    if not base.select:
        return None
    if role == "check":
        return Variant(f"check_{index}", base, role, "b1", "i64", index, ("u8",))
    if role == "scatter":
        band = "f32" if dtype in ("f16", "bf16") else dtype
        vector = base if band == dtype and index == "u8" else None
        return Variant(f"scatter_{dtype}_{index}", base, role, dtype, dtype, index, (band,), vector)
    state = (_state_dtype("same", dtype, long), _state_dtype("count", dtype, long))
    resolved = dataclasses.replace(base, identity=(_number(base.identity[0], dtype),))
    none = 2**62 if long else 2**30
    reduction = D.with_index(resolved, SCALARS[state[0]], SCALARS[state[1]], none, skip)
    name = "_".join([base.name, role, dtype, index] + ["skipna"] * skip + ["long"] * long)
    numbered = index == "u8" or (index == "i64" and numbers_places(dtype))
    vector = resolved if state[0] == dtype and numbered and not skip and not long else None
    across = vector
    if index in ("u8", "i64") and not skip and not long:
        across = D.of_bits(base, *BITS[dtype][1:]) if dtype in HALVES else resolved
    return Variant(name, reduction, role, dtype, dtype, index, state, vector, across, dtype if dtype in HALVES else "")


def _value(base: R.Reduction, dtype: str, role: str, skip: bool, long: bool) -> Variant | None:
    if base is R.MAX and role == "forward" and dtype in HALVES and not skip:
        return _by_keys(base, dtype, f"{base.name}_{role}_{dtype}")
    if skip and len(base.state) == 2:
        # there is no room for the number of taps that are not NaN
        return None
    identity = tuple(_number(word, dtype) for word in base.identity)
    reduction = dataclasses.replace(base, identity=identity)
    vector: R.Reduction | None = reduction if base.on_vectors and role == "forward" and not skip and not long else None
    if base.vectors is not None and kind(dtype) == "f" and role == "forward" and not skip and not long:
        lift, combine, lower = base.vectors
        vector = dataclasses.replace(reduction, lift=lift, combine=combine, lower=lower)
    first = _state_dtype(base.state[0], dtype, long)
    if base.untyped:
        reduction = D.of_states(reduction, [SCALARS[_state_dtype(word, dtype, long)] for word in base.state])
    result = result_dtype(base, dtype)
    if base.select:
        reduction = D.of_type(D.numbers_only(reduction) if skip else reduction, SCALARS[first])
    elif skip:
        reduction = D.without_nan(reduction, SCALARS[first], SCALARS["i64" if long else "i32"])
    source, output, aux = dtype, result, "u8"
    if role in ("weigh", "gather"):
        if base.pull is None or (role == "weigh" and not reduction.pull_reads_state):
            return None
        if role == "weigh":
            output, aux = first, result
        else:
            source, output = (first if reduction.pull_reads_state else result), dtype
            aux = dtype if reduction.push_reads_x else "u8"
            reduction = dataclasses.replace(
                reduction,
                identity=(-0.0,) if base.push_reads_x else (0,),
                lift=R.positive_zero if base.push_reads_x else R.value,
                combine=R.add,
                lower=R.first_state,
                state=reduction.state[:1],
                counted=base.counted and not reduction.pull_reads_state,
                repeatable=False,
            )
    state = tuple(_state_dtype(word, dtype, long) for word in reduction.state)
    # the gradient of a mean or sum, where windows share no element
    if role == "gather" and kind(dtype) == "f" and not skip and not long and base.on_vectors:
        vector = None if reduction.pull_reads_state or base.push_reads_x else base
    elif state != (source,) or state != (output,):
        vector = None
    name = "_".join([base.name, role, dtype] + ["skipna"] * skip + ["long"] * long)
    keys = _by_keys(base, dtype, name + "_keys") if vector is not None and base is R.MAX else None
    across = vector if base.select else None
    return Variant(name, reduction, role, source, output, aux, state, vector, across, keys=keys)


@functools.cache
def _by_keys(base: R.Reduction, dtype: str, name: str) -> Variant:
    """The forward of a selection among floats by integer keys."""
    integer, *numbers = BITS[dtype]
    keys = D.of_bits(base, *numbers)
    typed = D.of_type(keys, SCALARS[integer])
    half = dtype if dtype in HALVES else ""
    return Variant(name, typed, "forward", integer, integer, "u8", (integer,), keys, keys if half else None, half)


def parameter(op: str, dtype: str, norm: float = 2.0) -> int:
    """The parameter of a reduction as an integer: a float64 by its bits, or the mask of integer keys.

    Keys are compared as signed numbers. A mask inverts the sign bit of elements that have no sign, and for the
    smallest all bits, so that the order is reversed; of a bool just the last one.
    """
    if op in ("max", "min"):
        if dtype in HALVES:
            return 0 if op == "max" else -1
        if kind(dtype) in "iu":
            mask = -(2 ** (8 * SIZES[dtype] - 1)) if kind(dtype) == "u" else 0
            return mask if op == "max" else ~mask
        if kind(dtype) == "b":
            return int(op == "min")
        norm = 1.0 if op == "max" else -1.0
    bits: int = struct.unpack("<q", struct.pack("<d", norm))[0]
    return bits


class Ask(NamedTuple):
    """What a problem may ask for: an operation in a role, for an element type; and the variant that does it."""

    op: str
    role: str
    dtype: str
    skip_nan: bool
    variant: Variant

    @property
    def name(self) -> str:
        """The operation and element type that are asked for, which a variant may serve under another name."""
        return "_".join([self.op, self.role, self.dtype] + ["skipna"] * self.skip_nan)


def asks() -> Iterator[Ask]:
    """Everything that can be asked for with the reductions that are known, with int64 indices."""
    for op, dtype, role, skip_nan in itertools.product(REDUCTIONS, SIZES, ROLES, (False, True)):
        found = variant(op, 3.0, dtype, role, skip_nan) if not skip_nan or kind(dtype) == "f" else None
        if found is not None and not (skip_nan and role in ("scatter", "check")):
            yield Ask(op, role, dtype, skip_nan, found)


def is_ahead(variant: Variant) -> bool:
    """Whether a variant is compiled ahead of time, into the C library: all but a few that nobody waits for.

    Left to the just-in-time compiler: gradients of integers; of Lp in half precision or with NaN left out; indices of
    16 and 32 bits (windows of more than 255 taps, by tap); counts of 64 bits; and reductions that a user adds.
    """
    if variant.reduction.name not in ("max", "mean", "sum", "lp", "l1", "l2") or variant.name.endswith("_long"):
        return False
    if variant.role in ("index", "scatter", "check") and variant.aux not in ("i64", "u8"):
        return False
    if variant.role in ("weigh", "gather") and variant.reduction.name in ("lp", "l1", "l2"):
        return variant.name.endswith(("_f32", "_f64"))
    return variant.role not in ("gather", "scatter") or kind(variant.output) == "f"


def variants() -> Iterator[Variant]:
    """Every variant for the reductions that are known, with int64 indices."""
    return iter(dict.fromkeys(ask.variant for ask in asks()))
