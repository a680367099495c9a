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
from dataclasses import dataclass
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
    calm : function
        What ``combine`` gives where no tap is NaN, if that is less.
    on_vectors : bool
        Its functions work on vectors of elements, too: they choose by ``pick``.
    keyed : bool
        ``p`` has the type of the state's first component, and turns elements into keys and back.
    untyped : bool
        Its functions may be given, and may give, numbers of other types than its states have.
    vectors : tuple of functions
        ``lift``, ``combine`` and ``lower`` of vectors of floats, where these are others.
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
    calm: Function | None = None
    on_vectors: bool = False
    untyped: bool = False
    vectors: tuple[Function, Function, Function] | None = None


def pick(chosen, a, b):
    """``a`` where ``chosen``, else ``b``: what a function uses that also works on vectors, element by element."""
    return a if chosen else b


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
    return pick((a > b) | (a != a), a, b)


def larger_of_numbers(a, b):
    return pick(a > b, a, b)


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
    calm=larger_of_numbers,
    on_vectors=True,
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
    on_vectors=True,
)
SUM = Reduction("sum", "iu", (0,), value, add, first_state, wide_result=True, pull=pass_gradient, push=keep_gradient)
MEAN = Reduction(
    "mean",
    "fc",
    (0,),
    value,
    add,
    quotient,
    counted=True,
    pull=share_gradient,
    push=keep_gradient,
    on_vectors=True,
)
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
