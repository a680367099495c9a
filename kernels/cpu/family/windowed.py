"""What the programs of statistics share: the parts of one statistic, for one element type, made known to Numba."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels import digests, statistics
from fastpool.kernels.cpu.elementary import EXP, LOG
from fastpool.kernels.cpu.family.access import codes, reader, writer
from fastpool.kernels.cpu.family.fields import NUMBERS, load_one
from fastpool.kernels.cpu.memory import CODES
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.statistic_states import Maths
from fastpool.kernels.taps import taps_below, taps_between

NARROW = ("f16", "bf16", "f32")
"""Floats of up to 32 bits."""


class Parts(NamedTuple):
    """A statistic for one element type: functions that loops call, and types."""

    code: int
    real: Any
    exp: Any
    log: Any
    real_code: int
    size: int
    kept: int
    nothing: Any
    lift: Any
    combine: Any
    lower: Any
    pull: Any
    slope: Any
    change: Any
    parameters: Any
    read: Any
    write: Any
    output_code: int


def make_parts(name: str, dtype: str, skip: bool) -> Parts:
    """The parts of a statistic for one element type; with ``skip`` NaN taps do not count."""
    wide = statistics.real_of(name, dtype)
    real = np.float32 if wide == "f32" else np.float64
    statistic = statistics.make(name, Maths(real, EXP[real], LOG[real], dtype in NARROW), skip)
    identity = tuple(real(number) for number in statistic.identity)
    lift_value, decode = statistic.lift, reader(dtype)
    output = statistic.output or dtype
    pull, slope, change = statistic.pull, statistic.slope, statistic.parameter_slope
    if dtype in ("f16", "bf16", "f32", "f64"):

        def read(v):
            return real(decode(v))

    else:
        read = decode
    if statistic.by_channel:

        def parameters(p, e, fixed):
            return (load_number(p, e), fixed[1])

    else:

        def parameters(p, e, fixed):
            return fixed

    def lift(v, p):
        return lift_value(read(v), p)

    def nothing():
        return identity

    def none(g, s, n, p):
        return (g,)

    def no_slope(c, x, p):
        return x

    def no_change(g, s, n, p):
        return g

    return Parts(
        codes(dtype),
        real,
        EXP[real],
        LOG[real],
        CODES[wide],
        len(identity),
        statistic.kept,
        wholly(nothing),
        wholly(lift),
        wholly(statistic.combine),
        wholly(statistic.lower),
        wholly(pull or none),
        wholly(slope or no_slope),
        wholly(change or no_change),
        wholly(parameters),
        wholly(read),
        writer(output),
        codes(output),
    )


def wholly(function: Any) -> Any:
    """The function, made known to Numba with all that it uses, each inlined however long it is."""
    for used in digests.reached(function):
        inlined(used, always=True)
    return function


def load_number(p, e):
    return load_one(p, e, NUMBERS)


for _function in (load_number, taps_below, taps_between):
    inlined(_function)
