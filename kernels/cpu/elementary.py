"""Exponential and logarithm by arithmetic alone, so that loops over them become loops over vectors.

A call of the C library's is not vectorised, and differs in its last bits from system to system; these give the same
bits on every one. Errors are below 1 unit in the last place. Infinities, zeros and NaN come out as in C; results of
``exp`` that would be denormal are 0, as processors take a hundred cycles for one of these.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from fastpool.kernels.cpu.state import inlined

_FORMS = {32: (ir.FloatType(), 23, 127, 0x3F3504F3), 64: (ir.DoubleType(), 52, 1023, 0x3FE6A09E667F3BCD)}
"""By bits of a float: its type, bits of its fraction, bias of its exponent, and the bits of sqrt(1/2)."""


@intrinsic
def _power_of_two(typing_context, t):
    """``2**t`` for a float that is an integer, between the exponents of normal numbers."""

    def generate(context, builder, signature, arguments):
        real, fraction, bias, _ = _FORMS[t.bitwidth]
        word = ir.IntType(t.bitwidth)
        # the sum has the exponent in its lowest bits
        moved = builder.fadd(arguments[0], ir.Constant(real, float(3 << (fraction - 1)) + bias))
        return builder.bitcast(builder.shl(builder.bitcast(moved, word), word(fraction)), real)

    return t(t), generate


def _above_half_root(builder, value, bits):
    """The bits of a float, with those of 1 less sqrt(1/2) added: its exponent changes at sqrt(1/2)."""
    _, fraction, bias, root = _FORMS[bits]
    word = ir.IntType(bits)
    return builder.add(builder.bitcast(value, word), word((bias << fraction) - root))


@intrinsic
def _exponent(typing_context, x):
    """The exponent ``e`` of ``x = m * 2**e`` with m from sqrt(1/2) to sqrt(2), as a float; x is normal and above 0."""

    def generate(context, builder, signature, arguments):
        real, fraction, bias, _ = _FORMS[x.bitwidth]
        word = ir.IntType(x.bitwidth)
        number = builder.lshr(_above_half_root(builder, arguments[0], x.bitwidth), word(fraction))
        magic = float(2 << (fraction - 1))
        in_low_bits = builder.or_(number, word((bias + fraction) << fraction))
        return builder.fsub(builder.bitcast(in_low_bits, real), ir.Constant(real, magic + bias))

    return x(x), generate


@intrinsic
def _mantissa(typing_context, x):
    """The ``m`` of ``x = m * 2**e``, see ``_exponent``."""

    def generate(context, builder, signature, arguments):
        real, fraction, _, root = _FORMS[x.bitwidth]
        word = ir.IntType(x.bitwidth)
        low = builder.and_(_above_half_root(builder, arguments[0], x.bitwidth), word((1 << fraction) - 1))
        return builder.bitcast(builder.add(low, word(root)), real)

    return x(x), generate


_F32, _F64 = np.float32, np.float64
_ROUND32, _ROUND64 = _F32(3 << 22), _F64(3 << 51)
_LOG2E32, _LOG2E64 = _F32(1 / math.log(2)), _F64(1 / math.log(2))
# ln 2 as a number of few bits, so that a product with an exponent is exact, and the rest
_HIGH32, _HIGH64 = _F32(355 / 512), _F64(math.ldexp(math.floor(math.ldexp(math.log(2), 32)), -32))
_LOW32, _LOW64 = _F32(-2.1219444005469057e-4), _F64(1.9082149292705877e-10)
_HALF32, _HALF64 = _F32(0.5), _F64(0.5)
_ZERO32, _ZERO64, _ONE32, _ONE64 = _F32(0), _F64(0), _F32(1), _F64(1)
_TWO32, _TWO64 = _F32(2), _F64(2)
_LEAST32, _MOST32, _LEAST64, _MOST64 = _F32(-87), _F32(89), _F64(-708), _F64(710)
_NORMAL32, _NORMAL64 = _F32(2.0**-126), _F64(2.0**-1022)
_UP32, _UP64, _BITS32, _BITS64 = _F32(2.0**24), _F64(2.0**54), _F32(24), _F64(54)
_INFINITY32, _INFINITY64, _NAN32, _NAN64 = _F32(math.inf), _F64(math.inf), _F32(math.nan), _F64(math.nan)
# 1 / n! of the exponential, 2 / (2 n + 1) of the logarithm's series in ((x - 1) / (x + 1))**2
_E2, _E3, _E4, _E5, _E6, _E7 = (_F32(1 / math.factorial(n)) for n in range(2, 8))
_D3, _D4, _D5, _D6, _D7, _D8, _D9, _D10, _D11, _D12, _D13 = (_F64(1 / math.factorial(n)) for n in range(3, 14))
_L1, _L2, _L3, _L4, _L5 = (_F32(2 / (2 * n + 1)) for n in range(1, 6))
_M1, _M2, _M3, _M4, _M5, _M6, _M7, _M8, _M9, _M10, _M11 = (_F64(2 / (2 * n + 1)) for n in range(1, 12))


def exp32(x):
    least = x < _LEAST32
    x = _MOST32 if x > _MOST32 else x
    x = _LEAST32 if least else x
    t = (x * _LOG2E32 + _ROUND32) - _ROUND32
    r = (x - t * _HIGH32) - t * _LOW32
    y = _E5 + r * (_E6 + r * _E7)
    y = _E2 + r * (_E3 + r * (_E4 + r * y))
    y = _ONE32 + (r + (r * r) * y)
    # by two factors, as 2**t alone may be infinite
    half = (t * _HALF32 + _ROUND32) - _ROUND32
    y = y * _power_of_two(half) * _power_of_two(t - half)
    return _ZERO32 if least else y


def exp64(x):
    least = x < _LEAST64
    x = _MOST64 if x > _MOST64 else x
    x = _LEAST64 if least else x
    t = (x * _LOG2E64 + _ROUND64) - _ROUND64
    r = (x - t * _HIGH64) - t * _LOW64
    y = _D9 + r * (_D10 + r * (_D11 + r * (_D12 + r * _D13)))
    y = _D3 + r * (_D4 + r * (_D5 + r * (_D6 + r * (_D7 + r * (_D8 + r * y)))))
    y = _ONE64 + (r + (r * r) * (_HALF64 + r * y))
    half = (t * _HALF64 + _ROUND64) - _ROUND64
    y = y * _power_of_two(half) * _power_of_two(t - half)
    return _ZERO64 if least else y


def log32(x):
    tiny = x < _NORMAL32
    v = x * _UP32 if tiny else x
    e = _exponent(v) - (_BITS32 if tiny else _ZERO32)
    f = _mantissa(v) - _ONE32
    s = f / (_TWO32 + f)
    z = s * s
    tail = z * (_L1 + z * (_L2 + z * (_L3 + z * (_L4 + z * _L5))))
    y = e * _HIGH32 + (f - (s * (f - tail) - e * _LOW32))
    y = x if x == _INFINITY32 else y
    y = -_INFINITY32 if x == _ZERO32 else y
    return y if x >= _ZERO32 else _NAN32


def log64(x):
    tiny = x < _NORMAL64
    v = x * _UP64 if tiny else x
    e = _exponent(v) - (_BITS64 if tiny else _ZERO64)
    f = _mantissa(v) - _ONE64
    s = f / (_TWO64 + f)
    z = s * s
    tail = _M6 + z * (_M7 + z * (_M8 + z * (_M9 + z * (_M10 + z * _M11))))
    tail = z * (_M1 + z * (_M2 + z * (_M3 + z * (_M4 + z * (_M5 + z * tail)))))
    y = e * _HIGH64 + (f - (s * (f - tail) - e * _LOW64))
    y = x if x == _INFINITY64 else y
    y = -_INFINITY64 if x == _ZERO64 else y
    return y if x >= _ZERO64 else _NAN64


for _function in (exp32, exp64, log32, log64):
    # calls of functions of this length would stay calls, and no loop over them be one over vectors
    inlined(_function, always=True)

EXP: dict[type, Any] = {_F32: exp32, _F64: exp64}
"""The exponential of each float type."""
LOG: dict[type, Any] = {_F32: log32, _F64: log64}
"""The natural logarithm."""
