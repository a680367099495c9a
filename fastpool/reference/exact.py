"""Numbers: element types, exact sums, and rounding to a type once."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fastpool.problem import DTYPES

Array = npt.NDArray[Any]
Real = float | np.longdouble

PARTS = {"c64": "f32", "c128": "f64", "cld": "fld"}
"""The type of a complex type's real and imaginary part."""


def working_dtype(dtype: str) -> np.dtype[Any]:
    """The NumPy type to compute with: the type itself, and float32 for bfloat16, which it contains."""
    return np.dtype("float32" if dtype == "bf16" else DTYPES[dtype])


def decode(dtype: str, stored: Array) -> Array:
    """From storage form to the working type. Exact."""
    if dtype == "bf16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored


def encode(dtype: str, values: Array) -> Array:
    """From the working type, holding only values of ``dtype``, to storage form; NaNs become canonical."""
    if dtype in PARTS:
        parts = values.view(values.real.dtype)
        parts[np.isnan(parts)] = np.nan
    elif not is_exact(dtype):
        values[np.isnan(values)] = np.nan
    if dtype == "bf16":
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values


def is_exact(dtype: str) -> bool:
    """Whether the type is bool or an integer."""
    return dtype[0] == "i" or dtype[0] == "u" or dtype == "b1"


def missing(dtype: str, nan: str, planes: Array) -> Array:
    """Which elements are no value: with ``nan="ignore"`` the NaNs, complex ones being NaN in either part."""
    if nan == "ignore" and not is_exact(dtype):
        return np.isnan(planes)
    return np.zeros(planes.shape, np.bool_)


def divided_sum(dtype: str, values: Array, divisor: int) -> Any:
    """The sum of ``values`` divided once by ``divisor``, as an element of ``dtype``."""
    if is_exact(dtype):
        wide = dtype[0] + "64"
        return _wrap(dtype, _truncate(_wrap(wide, sum(values.tolist())), divisor))
    return rounded_sum(dtype, values, np.full(values.shape, divisor))


def rounded_sum(dtype: str, values: Array, divisors: Array | None = None) -> Any:
    """The sum of the values, or of ``values[i] / divisors[i]``, as an element of ``dtype``.

    Of floats exact and rounded once; of integers each quotient is truncated toward zero, and the sum wraps.
    (A sum that wraps in 64 bits and is then cut to fewer is the same as one that wraps in fewer.)
    """
    if divisors is None:
        divisors = np.ones(values.shape, np.int64)
    if is_exact(dtype):
        quotients = map(_truncate, values.tolist(), divisors.tolist())
        return _wrap(dtype, sum(quotients))
    if dtype in PARTS:
        parts = [rounded_sum(PARTS[dtype], part, divisors) for part in (values.real, values.imag)]
        return np.array(parts, working_dtype(PARTS[dtype])).view(working_dtype(dtype))[0]
    finite = np.isfinite(values)
    if not finite.all():
        pairs = zip(values[~finite].tolist(), divisors[~finite].tolist(), strict=True)
        return sum(float(value) / divisor for value, divisor in pairs)
    by_divisor: dict[int, list[Real]] = defaultdict(list)
    for value, divisor in zip(values.tolist(), divisors.tolist(), strict=True):
        by_divisor[divisor].append(value)
    total = sum((exact_sum(group) / divisor for divisor, group in by_divisor.items()), Fraction())
    return nearest(dtype, total)


def exact_sum(values: list[Real]) -> Fraction:
    """The sum of finite floats or longdoubles, without any rounding."""
    if not any(isinstance(value, np.longdouble) for value in values):
        total, rest = Fraction(), [float(value) for value in values]
        try:
            # fsum is the sum rounded once; what the rounding cost is summed in the next turn
            while part := math.fsum(rest):
                total += Fraction(part)
                rest.append(-part)
            return total
        except OverflowError:
            pass
    ratios = [value.as_integer_ratio() for value in values]
    # denominators are powers of two: the largest is a multiple of each
    common = max((denominator for _, denominator in ratios), default=1)
    return Fraction(sum(numerator * (common // denominator) for numerator, denominator in ratios), common)


def nearest(dtype: str, value: Fraction) -> Real:
    """The float of type ``dtype`` nearest to ``value``, ties to even (infinity too, as in IEEE 754)."""
    digits, smallest, limit = _format(dtype)
    length = value.numerator.bit_length() - value.denominator.bit_length()
    # mantissa * 2**exponent; this exponent leaves the mantissa `digits` bits or one more
    exponent = max(length - digits, smallest)
    mantissa = _scaled(value, exponent)
    if mantissa.bit_length() > digits:
        exponent += 1
        mantissa = _scaled(value, exponent)
    if mantissa.bit_length() + exponent > limit:
        rounded: Real = math.inf
    elif dtype == "fld":
        rounded = np.ldexp(np.longdouble(mantissa), exponent)
    else:
        rounded = math.ldexp(mantissa, exponent)
    return -rounded if value < 0 else rounded


def to_longdouble(values: Array) -> Array:
    """The same values in longdouble. A signalling NaN is no reason for a warning."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.longdouble)


def round_longdouble(dtype: str, values: Array) -> Array:
    """An array of longdouble, each rounded once to ``dtype``, in the working type."""
    rounded = np.empty(values.shape, working_dtype(dtype))
    for place, value in np.ndenumerate(values):
        exact = np.isfinite(value)
        rounded[place] = nearest(dtype, Fraction(*value.as_integer_ratio())) if exact else value
    return rounded


@cache
def _format(dtype: str) -> tuple[int, int, int]:
    """Bits of the mantissa; exponents of the smallest positive number and of the first power too large."""
    info = np.finfo(working_dtype(dtype))
    digits = 8 if dtype == "bf16" else info.nmant + 1
    return digits, int(info.minexp) - (digits - 1), int(info.maxexp)


def _scaled(value: Fraction, exponent: int) -> int:
    """``abs(value) / 2**exponent`` as the nearest integer, ties to even."""
    numerator = abs(value.numerator) << max(-exponent, 0)
    denominator = value.denominator << max(exponent, 0)
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest + quotient % 2 > denominator)


def _truncate(value: int, divisor: int) -> int:
    """The quotient, rounded toward zero."""
    quotient = abs(value) // abs(divisor)
    return quotient if (value < 0) == (divisor < 0) else -quotient


def _wrap(dtype: str, value: int) -> int:
    """The value that ``dtype`` holds after an overflow; as bool, whether it is not 0."""
    if dtype == "b1":
        return int(value != 0)
    bits = int(dtype[1:])
    lowest = -(1 << (bits - 1)) if dtype[0] == "i" else 0
    return (value - lowest) % (1 << bits) + lowest
