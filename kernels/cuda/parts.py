"""What a variant does with one element or one state, as functions of the device; the kernels are made of these.

They are built from the same plain functions as the parts of CPU kernels (see ``reductions`` and ``derived``), so a
reduction is defined once.
"""

from __future__ import annotations

import functools
import math
import struct
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels import reductions as R
from fastpool.kernels.cuda.memory import DECODE, ENCODE, SCALARS, largest, multiply, plain
from fastpool.kernels.cuda.package import device
from fastpool.kernels.elements import HALVES
from fastpool.kernels.reductions import Function
from fastpool.kernels.registry import Variant


class Parts(NamedTuple):
    """The parts of a variant. A state is a number or a pair; ``p`` is the reduction's parameter, as a value.

    nothing()                                      the state of no tap
    leaf(v, divisor, p)                            the state of a tap of element ``v``
    combine(a, b)                                  two blocks of taps
    moved(s, amount)                               the state of taps whose numbers are larger by ``amount``
    finish(s, count, inside, given, p)             the element that is written, from a state; ``given`` is the element
                                                   of ``aux`` that the role reads
    place(s, index)                                the index that is written beside it; ``index`` is that of tap 0
    """

    nothing: Any
    leaf: Any
    combine: Any
    moved: Any
    finish: Any
    place: Any


def needed(function: Function | None) -> Function:
    """A function that a reduction has, since there is a variant with it."""
    assert function is not None
    return function


def shares(variant: Variant) -> bool:
    """Whether source elements are divided before they are added: a mean's gradient, as its window divides."""
    return variant.role == "gather" and variant.reduction.counted


def parameter_type(variant: Variant) -> Any:
    """The type of the parameter."""
    return SCALARS[variant.state[0]] if variant.reduction.keyed else np.float64


def parameter(variant: Variant, bits: int) -> Any:
    """The reduction's parameter from its word in a plan."""
    real = parameter_type(variant)
    number = struct.unpack("<d", struct.pack("<q", bits))[0]
    if not variant.reduction.keyed:
        return real(number)
    if variant.source in HALVES:
        # the mask of integer keys, where the states are numbers all the same
        return real(1 + 2 * bits)
    return real(number if variant.state[0][0] == "f" else bits)


@functools.cache
def with_parameter(variant: Variant, bits: int) -> Variant:
    """A selection with its parameter compiled in: of its keys nothing is left but a sign, or inverted bits.

    Those of 16-bit floats are numbers here: to convert an element and to combine it takes an instruction each, its
    integer key eight.
    """
    if variant.half and variant.role == "forward":
        lowest = replace(R.MAX, identity=(-math.inf,))
        variant = replace(variant, reduction=lowest, source=variant.half, output=variant.half, state=("f32",))
    reduction = variant.reduction
    if not reduction.keyed:
        return variant
    constant = parameter(variant, bits)
    key, element = reduction.lift, reduction.lower

    def lift(x, p):
        return key(x, constant)

    def lower(s, count, inside, p):
        return element(s, count, inside, constant)

    # masks of integers have their last bit for the smallest alone
    largest_first = constant == 1 if variant.state[0][0] == "f" else constant & 1 == 0
    name = variant.name if largest_first else variant.name.replace("max", "min", 1)
    return replace(variant, name=name, reduction=replace(reduction, lift=lift, lower=lower))


def count_of(variant: Variant) -> Any:
    """The type in which ``finish`` takes a divisor: an integer with pairs, which count taps themselves."""
    return np.int64 if len(variant.state) == 2 else SCALARS[variant.state[0]]


def absent(variant: Variant) -> Any:
    """The element that changes no state, which may stand for a tap beside the input; None if there is none.

    A tap of a selection with an index does not replace one that is as large, so the lowest element does here, too.
    """
    reduction, dtype = variant.reduction, variant.source
    floats = dtype in HALVES or dtype[0] == "f"
    if not reduction.select:
        known = reduction.combine is R.add and reduction.lift in (R.value, R.square)
        return SCALARS[dtype](0) if known and len(variant.state) == 1 else None
    if reduction.follow is None and len(variant.state) == 2:
        number = math.nan
    else:
        first = SCALARS[variant.state[0]](reduction.identity[0])
        s = (first, 0) if len(variant.state) == 2 else first
        number = reduction.lower(s, 1, 1, None)
    if not floats:
        return SCALARS[dtype](number)
    bits = np.float16(number).view(np.uint16) if dtype == "f16" else np.float32(number).view(np.uint32) >> 16
    return np.uint16(bits) if dtype in HALVES else SCALARS[dtype](number)


def _make_decode(variant: Variant, dtype: str) -> Any:
    """Element of the source or of ``aux`` to value; one as wide as the states where these are wider than all."""
    decode = device(DECODE[dtype])
    if variant.state[0] != "f64" or dtype == "f64":
        return decode

    def widened(v):
        return np.float64(decode(v))

    return device(widened)


def _make_finish(variant: Variant) -> Any:
    """``finish``, by role::

    forward, index   y = lower(state)
    weigh            the share of the output's gradient that each tap of the window receives
    gather           the gradient of x
    """
    reduction = variant.reduction
    real = SCALARS[variant.state[0]]
    pair = len(variant.state) == 2
    encode = device(ENCODE[variant.output])
    decode = _make_decode(variant, variant.aux)
    # pairs count taps themselves and take the divisor as an integer
    number = device(plain) if pair else real
    if variant.role in ("forward", "index"):
        lower = device(reduction.lower)

        def finish(s, count, inside, given, p):
            return encode(lower(s, number(count), inside, p))

    elif variant.role == "weigh":
        pull = device(needed(reduction.pull))

        def finish(s, count, inside, given, p):
            return encode(pull(real(decode(given)), s, number(count), inside, p))

    elif reduction.push_reads_x:
        push = device(needed(reduction.push))

        def finish(s, count, inside, given, p):
            return encode(push(s, decode(given), p))

    else:

        def finish(s, count, inside, given, p):
            return encode(s)

    return finish


def _make_place(variant: Variant) -> Any:
    if variant.role != "index":

        def no_place(s, index):
            return index

        return no_place
    none, integer = variant.reduction.identity[1], SCALARS[variant.aux]

    def place(s, index):
        return integer(np.int64(index + s[1]) if s[1] < none else np.int64(-1))

    return place


def rounded_square(x, p):
    # the compiler would fuse the product with the sum that it is added to
    return multiply(x * 1.0, x * 1.0)


_LIFTS = {R.square: rounded_square}
"""What stands for a reduction's function here, where it would be compiled to other bits."""

_COMBINES = {(R.larger, "f32"): largest}
"""What stands for it by the type of its states, where there is an instruction for it: by ``pick`` it takes three."""


def make_parts(variant: Variant) -> Parts:
    """The parts of a variant, as functions of the device."""
    reduction = variant.reduction
    real, integer = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]
    pair = len(variant.state) == 2
    first, second = real(reduction.identity[0]), integer(reduction.identity[-1])
    decode = _make_decode(variant, variant.source)
    lift = device(_LIFTS.get(reduction.lift, reduction.lift))

    def nothing_pair():
        return (first, second)

    def nothing_single():
        return first

    if shares(variant):
        pull = device(needed(reduction.pull))

        def leaf(v, divisor, p):
            g = real(decode(v))
            return real(lift(real(pull(g, g, real(divisor), 1, p)), p))

    elif pair:

        def leaf(v, divisor, p):
            return lift(decode(v), p)

    else:

        def leaf(v, divisor, p):
            return real(lift(decode(v), p))

    combine_values = _COMBINES.get((reduction.combine, variant.state[0]))
    if combine_values is None or pair:
        combine_values = device(reduction.combine)

    def combine_pair(a, b):
        return combine_values(a, b)

    def combine_single(a, b):
        return real(combine_values(a, b))

    def moved_pair(s, amount):
        return (s[0], integer(s[1] + amount))

    def moved_single(s, amount):
        return s

    numbered = variant.role == "index"
    made = (
        nothing_pair if pair else nothing_single,
        leaf,
        combine_pair if pair else combine_single,
        moved_pair if numbered else moved_single,
        _make_finish(variant),
        _make_place(variant),
    )
    return Parts(*map(device, made))
