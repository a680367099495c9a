"""What a caller wrote, checked and brought to a Problem.

Every argument has one normal form here: one entry per pooled axis, padding as a begin and an end, layout
words as axes, ``"same"`` as numbers. Arrays are not seen; only their shape and element type are.
"""

from __future__ import annotations

import math
import operator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastpool import own
from fastpool.axes import pooled_axes
from fastpool.errors import axes_text, listed, shown, type_error, type_name, value_error
from fastpool.problem import DTYPES, INDEX_KINDS, NAN_RULES, OPS, Ints, Problem
from fastpool.window import LIMIT, extent, same_padding

PADDINGS = ("valid", "same", "same_lower")

SELECTING = ("max", "min")
"""Operations whose result is one of the taps, so that it has an index."""

MOST_AXES = 26
"""Pooled axes that a problem's text form has letters for."""


class Options(NamedTuple):
    """The arguments of one call besides its arrays, as the caller wrote them."""

    kernel_size: object = None
    stride: object = None
    padding: object = 0
    dilation: object = 1
    ceil_mode: object = False
    layout: object = "channels_first"
    nan: object = "propagate"
    return_indices: object = False
    index_kind: object = "plane"
    count_include_pad: object = True
    divisor_override: object = None
    norm_type: object = 2.0
    op: object = None
    axes: object = None
    pooled: Operation | None = None  # what is pooled, where the function that is called is none of ``OPERATIONS``


class Operation(NamedTuple):
    """What a public function pools, and over which axes.

    ``op`` is empty where the caller says it. ``axes`` is the number of pooled axes, or ``"global"`` (every
    spatial axis, wholly) or ``"window"`` (those that the caller names).
    """

    op: str
    axes: int | str


_WORDS = {"max": "max", "min": "min", "avg": "mean", "sum": "sum", "lp": "lp"}

OPERATIONS = {
    **{f"{word}_pool{n}d": Operation(op, n) for word, op in _WORDS.items() for n in (1, 2, 3)},
    **{f"global_{word}_pool": Operation(op, "global") for word, op in _WORDS.items()},
    "pool": Operation("", "window"),
}
"""Every forward function by its name; a backward's is followed by ``_backward``."""


def operation(called: str) -> Operation:
    """The operation of a public function, forward or backward."""
    return OPERATIONS[called.removesuffix("_backward")]


def problem(called: str, direction: str, dtype: str, shape: Ints, options: Options, indices: str = "") -> Problem:
    """The Problem that a call asks for, all strides in C order.

    Parameters
    ----------
    called : str
        Name of the public function.
    direction : str
        ``"fwd"`` or ``"bwd"``.
    dtype : str
        Element type of x, a key of ``DTYPES``.
    shape : tuple of int
        Shape of x.
    options : Options
        The other arguments.
    indices : str
        Kind of the indices that are returned or given, or "".

    Raises
    ------
    TypeError, ValueError
        Whatever is wrong with an argument, in the form of ``fastpool.errors``.
    """
    op, place = options.pooled or operation(called)
    op = op or _op(called, options.op)
    check_dtype(called, op, direction, dtype)
    if indices and op not in SELECTING:
        name = "return_indices" if direction == "fwd" else "indices"
        raise value_error(called, name, f"{own.shown(op)} selects no element", "leave it out; max and min have indices")
    nan = one_of(called, "nan", options.nan, NAN_RULES)
    ceil = flag(called, "ceil_mode", options.ceil_mode)
    include_pad = flag(called, "count_include_pad", options.count_include_pad)
    divisor = _divisor(called, options.divisor_override, dtype) if op == "mean" else 0
    norm = _norm(called, options.norm_type) if op == "lp" else own.parameter(op, options.norm_type)
    own.check_nan(called, op, nan, dtype)
    axes = pooled_axes(called, place, options.layout, options.kernel_size, options.axes, len(shape))
    sizes = tuple(shape[axis] for axis in axes)
    _check_axes(called, axes, sizes)
    count = len(axes)
    if place == "global":
        kernel = stride = sizes
        dilation = (1,) * count
        begin = end = (0,) * count
    else:
        window = "window" if place == "window" else "kernel_size"
        kernel = _per_axis(called, window, options.kernel_size, count)
        stride = kernel if options.stride is None else _per_axis(called, "stride", options.stride, count)
        dilation = _per_axis(called, "dilation", options.dilation, count)
        given = options.padding
        if isinstance(given, str):
            begin, end = _named_padding(called, given, axes, sizes, kernel, stride, dilation)
            # "same" is made to measure: ceil mode finds no partial window to keep
            ceil = ceil and given == "valid"
        else:
            begin, end = padding(called, given, count)
    return _checked(
        called,
        op=op,
        direction=direction,
        dtype=dtype,
        shape=shape,
        axes=axes,
        kernel=kernel,
        stride=stride,
        pad_begin=begin,
        pad_end=end,
        dilation=dilation,
        ceil=ceil,
        indices=indices,
        include_pad=include_pad or not own.counts(op),
        divisor=divisor,
        norm=norm,
        # integers and bool have no NaN to ignore
        nan=nan if dtype[0] in "fbc" and dtype != "b1" else "propagate",
    )


def index_kind(called: str, name: str, value: object) -> str:
    """The kind of indices that ``return_indices`` or ``index_kind`` asks for, or ""."""
    if name == "return_indices":
        if isinstance(value, bool | np.bool_):
            return "plane" if value else ""
        if not isinstance(value, str):
            raise type_error(
                called,
                f"{name}={shown(value)} ({type_name(value)})",
                f"must be False, True or one of {listed(INDEX_KINDS)}",
                "True means 'plane'",
            )
    return one_of(called, name, value, INDEX_KINDS)


def device(called: str, value: object) -> str:
    """The device that a caller asks for: "" for where the array is, ``"cpu"``, or ``"cuda"`` with or without a
    number.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise type_error(
            called,
            f"device={shown(value)} ({type_name(value)})",
            "must be None or a word",
            "leave it out to stay where the array is",
        )
    word, colon, number = value.partition(":")
    if value == "cpu" or (word == "cuda" and (number.isascii() and number.isdigit() if colon else True)):
        return value
    raise value_error(called, f"device={value!r}", "unknown device", f"known: {listed(['cpu', 'cuda', 'cuda:0'])}, ...")


def shape_of(called: str, name: str, shape: tuple[object, ...]) -> Ints:
    """A shape that stands for an array: a tuple of sizes, none negative."""
    sizes = tuple([_integer(called, f"{name}={shown(shape)}", size, 0) for size in shape])
    if not sizes:
        raise value_error(called, f"{name}=()", "an array without axes cannot be pooled", "give at least one axis")
    return sizes


@lru_cache(maxsize=1024)
def _checked(called: str, **fields: object) -> Problem:
    """The Problem of normal arguments, if its sizes make sense."""
    asked = Problem(**fields)  # type: ignore[arg-type]
    too_large = asked.overflow()
    if too_large:
        raise value_error(
            called,
            f"shape {asked.shape}, kernel size {asked.kernel}, stride {asked.stride}, dilation {asked.dilation}",
            f"{too_large} passes 2**63 - 1",
            "pool in parts, or use smaller sizes",
        )
    for axis, window in zip(asked.axes, asked.windows, strict=True):
        if window.output < 1:
            raise value_error(
                called,
                f"kernel size {window.kernel} with dilation {window.dilation} on axis {axis} "
                f"of size {window.size} with padding ({window.pad_begin}, {window.pad_end})",
                f"the window spans {extent(window.kernel, window.dilation)} elements and must fit into "
                f"the {window.size + window.pad_begin + window.pad_end} of the padded axis",
                "use a smaller kernel size or more padding; ceil_mode does not help",
            )
    return asked


def _op(called: str, value: object) -> str:
    return own.key_of(called, value) or one_of(called, "op", value, OPS)


def check_dtype(called: str, op: str, direction: str, dtype: str) -> None:
    """Refuse an element type that an operation, or its gradient, does not take."""
    if own.is_own(op):
        own.check_dtype(called, op, direction, dtype)
        return
    given = f"x of dtype {DTYPES[dtype]}"
    if dtype[0] == "c" and op not in ("sum", "mean"):
        rule = f"{op} needs an order, which complex numbers lack" if op != "lp" else "lp takes floats"
        raise type_error(called, given, rule, "pool abs(x), or x.real and x.imag")
    if dtype == "b1":
        if op not in ("max", "min"):
            raise type_error(called, given, "bool is pooled by max and min alone", "give x.astype(np.uint8)")
        if direction == "bwd":
            raise type_error(called, given, "bool has no gradient", "pool x.astype(np.float32) instead")
    if op == "lp" and dtype[0] in "iu":
        raise type_error(called, given, "lp takes floats", "give x.astype(np.float32)")


def one_of(called: str, name: str, value: object, known: tuple[str, ...]) -> str:
    """One of the known words; an error for anything else."""
    if not isinstance(value, str):
        raise type_error(
            called, f"{name}={shown(value)} ({type_name(value)})", "must be a word", f"known: {listed(known)}"
        )
    if value not in known:
        raise value_error(called, f"{name}={value!r}", "unknown word", f"known: {listed(known)}")
    return value


def flag(called: str, name: str, value: object) -> bool:
    """True or False, of Python or NumPy; an error for anything else, numbers included."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise type_error(
        called,
        f"{name}={shown(value)} ({type_name(value)})",
        "must be True or False",
        "pass it by name if it stands in another argument's place",
    )


_WAYS_OUT = {0: "to cut elements off slice x", 1: "to leave an axis alone use 1"}


def _integer(called: str, given: str, value: object, least: int) -> int:
    """One size: an integer, neither bool nor float, between ``least`` and ``2**63 - 1``."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise type_error(
            called, given, f"every entry must be an integer, not {type_name(value)}", "convert it with int()"
        ) from None
    if number < least:
        raise value_error(called, given, f"every entry must be at least {least}", _WAYS_OUT[least])
    if number > LIMIT:
        raise value_error(called, given, "an entry passes 2**63 - 1", "use smaller sizes")
    return number


def _per_axis(called: str, name: str, value: object, count: int) -> Ints:
    if type(value) is int and 0 < value <= LIMIT:
        return (value,) * count
    given = f"{name}={shown(value)}"
    if not isinstance(value, tuple | list):
        return (_integer(called, given, value, 1),) * count
    _check_length(called, given, len(value), count, "an int, or a tuple with one int per pooled axis")
    return tuple([_integer(called, given, entry, 1) for entry in value])


def _check_length(called: str, given: str, length: int, count: int, forms: str) -> None:
    if length != count:
        raise value_error(called, given, f"{length} entries for {axes_text(count)} to pool", f"give {forms}")


def padding(called: str, value: object, count: int) -> tuple[Ints, Ints]:
    """Begin and end of the padding of each pooled axis, from one number, one per axis, or pairs."""
    if type(value) is int and 0 <= value <= LIMIT:
        return (value,) * count, (value,) * count
    given = f"padding={shown(value)}"
    if not isinstance(value, tuple | list):
        pad = _integer(called, given, value, 0)
        return (pad,) * count, (pad,) * count
    forms = "an int, one int per pooled axis, or one (begin, end) pair per pooled axis"
    if count == 1:
        forms += ", here ((begin, end),)"
    _check_length(called, given, len(value), count, forms)
    pairs = [entry if isinstance(entry, tuple | list) else (entry, entry) for entry in value]
    for pair in pairs:
        if len(pair) != 2:
            raise value_error(called, given, f"{shown(pair)} is not a (begin, end) pair", f"give {forms}")
    begin, end = zip(*pairs, strict=True)
    return (
        tuple([_integer(called, given, pad, 0) for pad in begin]),
        tuple([_integer(called, given, pad, 0) for pad in end]),
    )


def _named_padding(
    called: str, word: str, axes: Ints, sizes: Ints, kernel: Ints, stride: Ints, dilation: Ints
) -> tuple[Ints, Ints]:
    """No padding, or that for an output of ``ceil(size / stride)``, the odd element at the end or the
    beginning.
    """
    one_of(called, "padding", word, PADDINGS)
    if word == "valid":
        return (0,) * len(axes), (0,) * len(axes)
    less, more = [], []
    for axis, *numbers in zip(axes, sizes, kernel, stride, dilation, strict=True):
        total = same_padding(*numbers)
        if total < 0:
            raise value_error(
                called,
                f"padding={word!r}",
                f"the padding that axis {axis} needs passes 2**63 - 1",
                "use a smaller kernel size or dilation",
            )
        less.append(total // 2)
        more.append(total - total // 2)
    begin, end = (less, more) if word == "same" else (more, less)
    return tuple(begin), tuple(end)


def _check_axes(called: str, axes: Ints, sizes: Ints) -> None:
    if len(axes) > MOST_AXES:
        raise value_error(called, f"{len(axes)} pooled axes", f"at most {MOST_AXES} can be pooled", "pool in two calls")
    for axis, size in zip(axes, sizes, strict=True):
        if size == 0:
            raise value_error(
                called,
                f"axis {axis} of size 0",
                "a pooled axis must have at least one element",
                "only the other axes may be empty",
            )


def _divisor(called: str, value: object, dtype: str) -> int:
    if value is None:
        return 0
    given = f"divisor_override={shown(value)}"
    try:
        if isinstance(value, bool):
            raise TypeError
        divisor = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise type_error(
            called,
            given,
            f"must be None or an integer, not {type_name(value)}",
            "for another factor scale the result of sum pooling",
        ) from None
    if divisor == 0:
        raise value_error(called, given, "must not be 0", "leave it out to divide by the taps")
    if abs(divisor) > LIMIT:
        raise value_error(called, given, "passes 2**63 - 1", "use a smaller divisor")
    if divisor < 0 and dtype[0] == "u":
        raise value_error(
            called,
            f"{given} with x of dtype {DTYPES[dtype]}",
            "the mean would be negative, which the dtype cannot hold",
            "give x.astype(np.int64)",
        )
    return divisor


def _norm(called: str, value: object) -> float:
    given = f"norm_type={shown(value)}"
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise type_error(called, given, f"must be a number, not {type_name(value)}", "2 is the Euclidean norm")
    norm = float(value)
    if not 0 < norm < math.inf:
        raise value_error(
            called, given, "must be a finite number above 0", "for the largest magnitude pool abs(x) with max"
        )
    return norm
