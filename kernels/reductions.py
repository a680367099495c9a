"""What is pooled: each reduction as a few scalar functions, written once for every target.

A pooling moves a window over an array and reduces its taps. A reduction says how, on *states*:

``lift(x, p)``
    the state of one tap of value ``x``
``combine(a, b)``
    the state of two neighbouring blocks of taps, ``a`` before ``b``; associative up to rounding
``identity``
    the state of no tap, one entry per component: a number, ``"lowest"`` or ``"highest"`` of x's type
``lower(s, count, inside, p)``
    the result, from the state, the divisor, and the number of taps that lie on the input
``pull(g, s, count, inside, p)``, ``push(a, x, p)``
    the gradient of a reduction whose states add up: an output with gradient ``g`` sends ``pull`` to each of its
    taps, and a tap of value ``x`` that received ``a`` in all has gradient ``push``; where ``push`` reads x and no
    window holds the tap, ``a`` is -0.0, and is never -0.0 otherwise

``p`` is the reduction's parameter: a float64, or of the state's type. States are one scalar, or a pair. The functions
are plain Python in the subset that the CPU and GPU compilers share; this module imports nothing of the project.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True)
class Reduction:
    """One reduction: its functions, the types of its states, and what is known about it.

    Attributes
    ----------
    name : str
    kinds : str
        Kinds of element that it takes: ``b`` bool, ``i`` signed, ``u`` unsigned, ``f`` float, ``c`` complex (each
        part on its own).
    state : tuple of str
        Type of each component: ``"same"`` as x (halves: float32), ``"wide"`` (64-bit integers; float32 for floats
        of up to 32 bits), ``"double"`` (float64), ``"count"`` (an integer that can count the taps).
    counted : bool
        ``lower`` or ``pull`` reads the divisor.
    select : bool
        The result is one of the taps, so that it has an index and its gradient goes to that tap.
    repeatable : bool
        A tap may be combined twice without changing the state, and the order of combining does not matter.
    wide_result : bool
        Integers give a 64-bit result.
    pull_reads_state, push_reads_x : bool
        Whether the gradient's two functions need more than the gradient.
    follow : function
        What ``combine`` gives where ``b`` is one tap behind those of ``a`` and all of them are there, if that is less.
    keyed : bool
        ``p`` has the type of the state's first component, and turns elements into keys and back.
    """

    name: str
    kinds: str
    identity: tuple[Any, ...]
    lift: Function
    combine: Function
    lower: Function
    state: tuple[str, ...] = ("wide",)
    counted: bool = False
    select: bool = False
    repeatable: bool = False
    wide_result: bool = False
    pull: Function | None = None
    push: Function | None = None
    pull_reads_state: bool = False
    push_reads_x: bool = False
    follow: Function | None = None
    keyed: bool = False


def value(x, p):
    return x


def positive_zero(x, p):
    return x + 0.0


def add(a, b):
    return a + b


def first_state(s, count, inside, p):
    return s


# One loop finds the largest and the smallest, of numbers with a sign and without: among keys, which are the elements
# times -1, or with some bits inverted. In memory-bound loops the multiplication is not seen.
def key_of_float(x, p):
    return x * p


def float_of_key(s, count, inside, p):
    return s * p


def key_of_integer(x, p):
    return x ^ p


def integer_of_key(s, count, inside, p):
    return s ^ p


def larger(a, b):
    return a if (a > b) | (a != a) else b


def larger_number(a, b):
    return a if (a > b) | (b != b) else b


def quotient(s, count, inside, p):
    return s / count if count != 0 else s


def truncated_quotient(s, count, inside, p):
    # the processor traps when it divides the lowest integer by -1
    if (count == 0) | (count == -1):
        return s if count == 0 else -s
    q = s // count
    # // rounds down; one more where that went past zero
    return q + 1 if (q * count != s) & ((s < 0) != (count < 0)) else q


def unsigned_quotient(s, count, inside, p):
    return s // count if count != 0 else s


def pass_gradient(g, s, count, inside, p):
    return g


def share_gradient(g, s, count, inside, p):
    return g / count if count != 0 else g


def share_gradient_truncated(g, s, count, inside, p):
    return truncated_quotient(g, count, inside, p)


def share_gradient_unsigned(g, s, count, inside, p):
    return g // count if count != 0 else g


def keep_gradient(a, x, p):
    return a


# x * 1.0 is x in float64, on every target: float(x) leaves a float32 as it is where Numba compiles it
def magnitude(x, p):
    return abs(x * 1.0)


def square(x, p):
    return (x * 1.0) * (x * 1.0)


def power(x, p):
    return abs(x * 1.0) ** p


def square_root(s, count, inside, p):
    return math.sqrt(s)


def root(s, count, inside, p):
    y = s ** (1.0 / p)
    # 1 / p is rounded, which costs up to log(s) ulp: one Newton step takes them back
    r = y**p
    return y - y * ((r - s) / (p * s)) if (s > 0) & (r < math.inf) & (s < math.inf) else y


def pull_square_root(g, s, count, inside, p):
    return g / math.sqrt(s) if s > 0 else s * 0.0


def pull_root(g, s, count, inside, p):
    return g * root(s, count, inside, p) ** (1.0 - p) if s > 0 else s * 0.0


def in_no_window(a):
    return (a == 0) & (math.copysign(1.0, a) < 0)


def push_sign(a, x, p):
    if in_no_window(a):
        return 0.0
    return a if x > 0 else (-a if x < 0 else (x * 1.0))


def push_square(a, x, p):
    return a * (x * 1.0) if (x != 0) & (not in_no_window(a)) else 0.0


def push_power(a, x, p):
    if (x == 0) | in_no_window(a):
        return 0.0
    slope = a * abs(x * 1.0) ** (p - 1.0)
    return -slope if x < 0 else slope


MAX = Reduction(
    "max",
    "f",
    ("lowest",),
    key_of_float,
    larger,
    float_of_key,
    ("same",),
    select=True,
    repeatable=True,
    keyed=True,
)
INTEGER_MAX = Reduction(
    "max",
    "biu",
    ("lowest",),
    key_of_integer,
    larger,
    integer_of_key,
    ("same",),
    select=True,
    repeatable=True,
    keyed=True,
)
SUM = Reduction("sum", "iu", (0,), value, add, first_state, wide_result=True, pull=pass_gradient, push=keep_gradient)
MEAN = Reduction("mean", "fc", (0,), value, add, quotient, counted=True, pull=share_gradient, push=keep_gradient)
SIGNED_MEAN = Reduction(
    "mean",
    "i",
    (0,),
    value,
    add,
    truncated_quotient,
    counted=True,
    pull=share_gradient_truncated,
    push=keep_gradient,
)
UNSIGNED_MEAN = Reduction(
    "mean",
    "u",
    (0,),
    value,
    add,
    unsigned_quotient,
    counted=True,
    pull=share_gradient_unsigned,
    push=keep_gradient,
)
LP = Reduction(
    "lp",
    "f",
    (0,),
    power,
    add,
    root,
    ("double",),
    pull=pull_root,
    push=push_power,
    pull_reads_state=True,
    push_reads_x=True,
)
L1 = Reduction(
    "l1", "f", (0,), magnitude, add, first_state, ("double",), pull=pass_gradient, push=push_sign, push_reads_x=True
)
L2 = Reduction(
    "l2",
    "f",
    (0,),
    square,
    add,
    square_root,
    ("double",),
    pull=pull_square_root,
    push=push_square,
    pull_reads_state=True,
    push_reads_x=True,
)


def takes_larger(a, i, b, j):
    """Whether the tap (b, j) replaces (a, i): larger, or equal and earlier; of NaN the last."""
    return (b > a) | ((b == a) & (j < i)) | ((b != b) & ((a == a) | (j > i)))


def with_index(reduction: Reduction, real: Any, integer: Any, none: int, skip_nan: bool) -> Reduction:
    """The same selection on pairs (value, index of the tap in its block); ``none`` is an index beyond all.

    ``real`` and ``integer`` are the types of the components. With ``skip_nan`` a NaN tap counts as no tap.
    """
    key, element = reduction.lift, reduction.lower
    nothing = reduction.identity[0]

    def lift(x, p):
        return (real(key(x, p)), integer(0))

    def lift_numbers(x, p):
        return (real(key(x, p)), integer(0)) if x == x else (real(nothing), integer(none))

    def combine(a, b):
        t = takes_larger(a[0], a[1], b[0], b[1])
        return (b[0] if t else a[0], b[1] if t else a[1])

    def follow(a, b):
        t = (b[0] > a[0]) | (b[0] != b[0])
        return (b[0] if t else a[0], b[1] if t else a[1])

    def lower(s, count, inside, p):
        return real(element(s[0], count, inside, p))

    def lower_numbers(s, count, inside, p):
        return real(element(s[0], count, inside, p)) if s[1] < none else real(math.nan)

    return Reduction(
        reduction.name,
        reduction.kinds,
        (nothing, none),
        lift_numbers if skip_nan else lift,
        combine,
        lower_numbers if skip_nan else lower,
        ("same", "count"),
        select=True,
        follow=None if skip_nan else follow,
        repeatable=True,
        keyed=True,
    )


def of_type(reduction: Reduction, real: Any) -> Reduction:
    """The same selection with keys of the type ``real``: the compiler would widen those of small integers."""
    key, element = reduction.lift, reduction.lower

    def lift(x, p):
        return real(key(x, p))

    def lower(s, count, inside, p):
        return real(element(s, count, inside, p))

    return replace(reduction, lift=lift, lower=lower)


def of_halves(reduction: Reduction, real: Any, infinity: int, nan: int) -> Reduction:
    """A selection among 16-bit floats by integer keys, in the order of the numbers they stand for: 4 times as fast.

    ``real`` is the type of the bits, with a sign, ``infinity`` and ``nan`` are the bits of these. NaN has the largest
    key, and comes out as ``nan``.
    """

    def lift(x, p):
        key = real(x ^ ((x >> 15) & 0x7FFF)) ^ p
        return real(key) if (x & 0x7FFF) <= infinity else real(0x7FFF)

    def lower(s, count, inside, p):
        key = s ^ p
        x = real(key ^ ((key >> 15) & 0x7FFF))
        return x if (x & 0x7FFF) <= infinity else real(nan)

    return replace(reduction, lift=lift, lower=lower, identity=(-1 - infinity,))


def numbers_only(reduction: Reduction) -> Reduction:
    """The same selection with NaN left out: it stands for no tap."""
    return replace(reduction, identity=(math.nan,), combine=larger_number)


def without_nan(reduction: Reduction, real: Any, integer: Any) -> Reduction:
    """The same reduction with NaN left out, on pairs (state, number of taps that are not NaN).

    ``real`` and ``integer`` are the types of the components. The divisor loses the NaN taps, unless it is fixed,
    which a negative ``inside`` tells; with no value at all the result is NaN.
    """
    lift_value, combine_values, lower_value = reduction.lift, reduction.combine, reduction.lower
    pull_value, push_value = reduction.pull, reduction.push
    nothing = reduction.identity[0]

    def lift(x, p):
        return (real(lift_value(x, p)), integer(1)) if x == x else (real(nothing), integer(0))

    def combine(a, b):
        return (combine_values(a[0], b[0]), integer(a[1] + b[1]))

    def lower(s, count, inside, p):
        divisor = count if inside < 0 else count - (inside - s[1])
        return lower_value(s[0], real(divisor), inside, p) if s[1] > 0 else real(math.nan)

    def pull(g, s, count, inside, p):
        divisor = count if inside < 0 else count - (inside - s[1])
        return pull_value(g, s[0], real(divisor), inside, p) if s[1] > 0 else real(0)

    def push(a, x, p):
        return push_value(a, x, p) if x == x else real(0)

    return Reduction(
        reduction.name,
        reduction.kinds,
        (nothing, 0),
        lift,
        combine,
        lower,
        (*reduction.state, "count"),
        counted=True,
        select=reduction.select,
        pull=pull,
        push=push,
        pull_reads_state=reduction.counted or reduction.pull_reads_state,
        push_reads_x=True,
    )
