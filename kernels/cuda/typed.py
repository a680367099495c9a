"""Device functions for kernels that others write: Numba is told what they are for the types that they are given."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba.core.errors import TypingError
from numba.cuda import types
from numba.cuda.extending import intrinsic

from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device

try:
    from numba.cuda.extending import overload
except ImportError:
    # inside Numba itself, where nothing is connected
    from numba.extending import overload


@intrinsic
def bits_of_half(typing_context, v):
    """The bits of a float16 or bfloat16."""

    def generate(context, builder, signature, arguments):
        return arguments[0]

    return types.uint16(v), generate


@functools.cache
def half_of_bits(dtype):
    """``half(bits)``: the float16 or bfloat16 of these bits."""
    kind = types.float16 if dtype == "f16" else types.bfloat16

    @intrinsic
    def half(typing_context, bits):
        def generate(context, builder, signature, arguments):
            return arguments[0]

        return kind(types.uint16), generate

    return half


_NAMES = {
    "bool": "b1",
    **{f"{sign}int{bits}": f"{sign or 'i'}{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"f{bits}" for bits in (16, 32, 64)},
    **{f"complex{bits}": f"c{bits}" for bits in (64, 128)},
}


def _short(dtype: Any) -> str:
    return "bf16" if dtype == types.bfloat16 else _NAMES.get(str(dtype), str(dtype))


def _spread_number(v, fill):
    return np.int64(v), np.int64(v), np.int64(v)


def _one(v, fill):
    return np.int64(v), np.int64(fill), np.int64(fill)


def _two(v, fill):
    return np.int64(v), np.int64(v), np.int64(fill)


def _one_of(v, fill):
    return np.int64(v[0]), np.int64(fill), np.int64(fill)


def _two_of(v, fill):
    return np.int64(v[0]), np.int64(v[1]), np.int64(fill)


def _three_of(v, fill):
    return np.int64(v[0]), np.int64(v[1]), np.int64(v[2])


_SPREAD = {1: _one, 2: _two, 3: _spread_number}
_TAKEN = {1: _one_of, 2: _two_of, 3: _three_of}


def _spread(what: str, name: str, kind: Any, rank: int) -> Any:
    """What makes three numbers of a number or a tuple of a type."""
    if isinstance(kind, types.BaseTuple):
        if len(kind) == rank and all(isinstance(part, types.Integer) for part in kind):
            return device(_TAKEN[rank])
    elif name != "origin" or rank == 1:
        if isinstance(_plain(kind), (types.Integer, int)):
            return device(_SPREAD[rank])
    raise TypingError(
        f"{what}: {name} is of type {kind}, of an array with {rank} axes: it must be a tuple of {rank} integers"
        f"{'' if name == 'origin' and rank > 1 else ', or one integer'}; give one for each axis"
    )


def _plain(kind: Any) -> Any:
    """The type of an argument, or the value of one that is left out."""
    return kind.value if isinstance(kind, types.Omitted) else kind


def _word(what: str, kind: Any) -> str:
    """The word that a string constant is."""
    kind = _plain(kind)
    word = kind if isinstance(kind, str) else getattr(kind, "literal_value", None)
    if word not in ("propagate", "ignore"):
        raise TypingError(f'{what}: nan is {kind}: it must be the constant "propagate" or "ignore"; write one of them')
    return str(word)


class _Typed:
    """What is known of a call from the types of its arguments."""

    def __init__(self, window: Any, op: str, index: bool, x: Any, geometry: tuple[Any, ...], nan: Any) -> None:
        what = f"window_{'arg' if index else ''}{op}"
        if not isinstance(x, types.Array):
            raise TypingError(f"{what}: x is of type {x}: it must be an array; pass the array, not an element")
        self.rank, self.dtype = x.ndim, _short(x.dtype)
        self.skip = _word(what, nan) == "ignore"
        self._window = functools.partial(window, what, op, index)
        names = ("origin", "kernel_size", "dilation")
        # first, so that an error of the array's type is told first
        self.of()
        self.spreads = [_spread(what, name, kind, self.rank) for name, kind in zip(names, geometry, strict=True)]

    def of(self, norm: float = 2.0, part: str = "") -> Any:
        """The window for a part of the array's elements."""
        try:
            return self._window(norm, self.dtype, self.rank, self.skip, part)
        except TypeError as error:
            raise TypingError(str(error)) from None

    def call(self, norm: float = 2.0, part: str = "") -> Any:
        """``call(x, origin, kernel_size, dilation, divisor, include_pad, p)``: (result, flat index)."""
        made, (first, second, third) = self.of(norm, part), self.spreads
        run, (real, integer), size = made.run, made.types, made.stack

        def call(x, origin, kernel_size, dilation, divisor, include_pad, p):
            values, counts = cuda.local.array(size, real), cuda.local.array(size, integer)
            places = first(origin, 0), second(kernel_size, 1), third(dilation, 1)
            return run(x, places[0], places[1], places[2], divisor, include_pad, p, values, counts)

        return device(call)

    def calls(self) -> Any:
        """The same for elements of any type, complex ones by their parts, with the operation's own parameter."""
        if self.dtype not in ("c64", "c128"):
            call, p = self.call(), self.of().parameter

            def whole(x, origin, kernel_size, dilation, divisor, include_pad):
                return call(x, origin, kernel_size, dilation, divisor, include_pad, p)

            return device(whole)
        real, imaginary, p = self.call(part="real"), self.call(part="imag"), self.of().parameter
        scalar = np.complex64 if self.dtype == "c64" else np.complex128

        def parts(x, origin, kernel_size, dilation, divisor, include_pad):
            a = real(x, origin, kernel_size, dilation, divisor, include_pad, p)[0]
            b = imaginary(x, origin, kernel_size, dilation, divisor, include_pad, p)[0]
            return scalar(complex(a, b)), np.int64(-1)

        return device(parts)


_overload = functools.partial(overload, jit_options={"forceinline": True}, prefer_literal=True)


def connect(window: Any, op: str, index: bool, public: Any) -> None:
    """Tells Numba what a public function is in a kernel; ``window(what, op, index, norm, dtype, rank, skip, part)``."""
    make = {"lp": _connect_lp, "mean": _connect_mean}.get(op, _connect_plain)
    make(functools.partial(_Typed, window, op, index), public, index)


def _connect_plain(typed: Any, public: Any, index: bool) -> None:
    @_overload(public)
    def known(x, origin, kernel_size, dilation=1, nan="propagate"):
        about = typed(x, (origin, kernel_size, dilation), nan)
        call, divisor = about.calls(), about.of().fixed

        def alone(x, origin, kernel_size, dilation=1, nan="propagate"):
            return call(x, origin, kernel_size, dilation, divisor, True)[0]

        def both(x, origin, kernel_size, dilation=1, nan="propagate"):
            return call(x, origin, kernel_size, dilation, divisor, True)

        return both if index else alone


def _connect_mean(typed: Any, public: Any, index: bool) -> None:
    @_overload(public)
    def known(x, origin, kernel_size, dilation=1, count_include_pad=True, divisor_override=None, nan="propagate"):
        call = typed(x, (origin, kernel_size, dilation), nan).calls()

        def counted(x, origin, kernel_size, dilation=1, count_include_pad=True, divisor_override=None, nan="propagate"):
            return call(x, origin, kernel_size, dilation, 0, count_include_pad)[0]

        def fixed(x, origin, kernel_size, dilation=1, count_include_pad=True, divisor_override=None, nan="propagate"):
            return call(x, origin, kernel_size, dilation, np.int64(divisor_override), count_include_pad)[0]

        left_out = divisor_override is None or _plain(divisor_override) in (None, types.none)
        return counted if left_out else fixed


def _connect_lp(typed: Any, public: Any, index: bool) -> None:
    @_overload(public)
    def known(x, norm_type, origin, kernel_size, dilation=1, nan="propagate"):
        about = typed(x, (origin, kernel_size, dilation), nan)
        one, two, any_other = (about.call(norm) for norm in (1.0, 2.0, 3.0))

        def chosen(x, norm_type, origin, kernel_size, dilation=1, nan="propagate"):
            p = np.float64(norm_type)
            if p == 1.0:
                return one(x, origin, kernel_size, dilation, 0, True, p)[0]
            if p == 2.0:
                return two(x, origin, kernel_size, dilation, 0, True, p)[0]
            return any_other(x, origin, kernel_size, dilation, 0, True, p)[0]

        return chosen
