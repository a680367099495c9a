"""What the GPU's kernels of statistics share: the parts of one statistic, and how states lie in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels import statistics
from fastpool.kernels.cuda.memory import DECODE, ENCODE, exponential, load, logarithm, store
from fastpool.kernels.cuda.package import device
from fastpool.kernels.statistic_states import Maths

FLOATS = ("f16", "bf16", "f32", "f64")
STACK = 8
"""Blocks of columns on the stack, at most: one of each size up to ``MANY``."""


class Parts(NamedTuple):
    """A statistic for one element type, as functions of the device; ``real`` is the type of its states' numbers."""

    real: Any
    size: int
    kept: int
    nothing: Any
    lift: Any
    combine: Any
    lower: Any
    pull: Any
    slope: Any
    change: Any
    read: Any
    write: Any
    output: str


def make_parts(name: str, dtype: str, skip: bool) -> Parts:
    """The parts of a statistic for one element type; with ``skip`` NaN taps do not count."""
    real = np.float32 if statistics.real_of(name, dtype) == "f32" else np.float64
    found = statistics.make(name, Maths(real, exponential, logarithm), skip)
    identity = tuple(real(number) for number in found.identity)
    lift_value, lower_state = found.lift, found.lower
    decode = device(DECODE[dtype])
    output = found.output or dtype
    encode = device(ENCODE[output])

    def read_float(v):
        return real(decode(v))

    read = read_float if dtype in FLOATS else DECODE[dtype]

    def nothing():
        return identity

    def lift(v, p):
        return lift_value(read(v), p)

    def lower(s, n, p):
        return encode(lower_state(s, n, p))

    def write(v):
        return encode(v)

    gradient = (found.pull, found.slope, found.parameter_slope)
    pull, slope, change = (None if function is None else device(function) for function in gradient)
    return Parts(
        real,
        len(identity),
        found.kept,
        device(nothing),
        device(lift),
        device(found.combine),
        device(lower),
        pull,
        slope,
        change,
        device(read),
        device(write),
        output,
    )


def _put1(p, i, apart, s):
    store(p, i, s[0])


def _put2(p, i, apart, s):
    store(p, i, s[0])
    store(p, i + apart, s[1])


def _put3(p, i, apart, s):
    store(p, i, s[0])
    store(p, i + apart, s[1])
    store(p, i + 2 * apart, s[2])


def _put4(p, i, apart, s):
    store(p, i, s[0])
    store(p, i + apart, s[1])
    store(p, i + 2 * apart, s[2])
    store(p, i + 3 * apart, s[3])


def _get1(p, i, apart):
    return (load(p, i),)


def _get2(p, i, apart):
    return (load(p, i), load(p, i + apart))


def _get3(p, i, apart):
    return (load(p, i), load(p, i + apart), load(p, i + 2 * apart))


def _get4(p, i, apart):
    return (load(p, i), load(p, i + apart), load(p, i + 2 * apart), load(p, i + 3 * apart))


PUT = {1: _put1, 2: _put2, 3: _put3, 4: _put4}
"""Writes the numbers that a window keeps, the first at i, the others each behind ``apart`` numbers more."""
GET = {1: _get1, 2: _get2, 3: _get3, 4: _get4}
"""Reads them."""


def _push1(stack, i, s):
    stack[i] = s[0]


def _push2(stack, i, s):
    stack[i], stack[i + STACK] = s[0], s[1]


def _push3(stack, i, s):
    stack[i], stack[i + STACK], stack[i + 2 * STACK] = s[0], s[1], s[2]


def _push4(stack, i, s):
    stack[i], stack[i + STACK], stack[i + 2 * STACK], stack[i + 3 * STACK] = s[0], s[1], s[2], s[3]


def _push5(stack, i, s):
    stack[i], stack[i + STACK], stack[i + 2 * STACK], stack[i + 3 * STACK] = s[0], s[1], s[2], s[3]
    stack[i + 4 * STACK] = s[4]


def _top1(stack, i):
    return (stack[i],)


def _top2(stack, i):
    return (stack[i], stack[i + STACK])


def _top3(stack, i):
    return (stack[i], stack[i + STACK], stack[i + 2 * STACK])


def _top4(stack, i):
    return (stack[i], stack[i + STACK], stack[i + 2 * STACK], stack[i + 3 * STACK])


def _top5(stack, i):
    return (stack[i], stack[i + STACK], stack[i + 2 * STACK], stack[i + 3 * STACK], stack[i + 4 * STACK])


PUSH = {1: _push1, 2: _push2, 3: _push3, 4: _push4, 5: _push5}
TOP = {1: _top1, 2: _top2, 3: _top3, 4: _top4, 5: _top5}
"""A thread's own array of states, one component behind the other."""
