"""Order statistics of windows, forward and backward: which ranks of how many taps, and how they are selected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fastpool.arguments import Options
from fastpool.family import tapped, tasks
from fastpool.family.calls import FLOATS, NUMBERS, Call
from fastpool.family.framing import Frame
from fastpool.family.tapped import Windows
from fastpool.kernels import networks
from fastpool.kernels import windows_plan as W
from fastpool.kernels.programs import Program
from fastpool.memory import Array, empty_in_order, memory_order
from fastpool.reference.family import ordering as reference

MOST_EXCHANGED = 256
"""Taps of a window beyond which ranks are found bit by bit: a network would have more exchanges than that has steps."""
MOST_EXCHANGED_OF_BYTES = 48


class Rule(NamedTuple):
    """Which element of so many taps is meant: ``of(n)`` gives the lower rank, the upper one and its weight.

    Attributes
    ----------
    kind : str
        ``"quantile"`` or ``"rank"``.
    number : float
        The quantile, from 0 to 1, or the rank.
    method : str
        Of a quantile that falls between two ranks: one of NumPy's, or ``"mean"``, half of the sum of both.
    """

    kind: str
    number: float
    method: str = ""

    def of(self, taps: int) -> tuple[int, int, float]:
        """The two ranks and the weight of the upper one, of at least one tap."""
        if self.kind == "rank":
            rank = int(self.number)
            rank = min(rank, taps - 1) if rank >= 0 else max(taps + rank, 0)
            return rank, rank, 0.0
        place = (taps - 1) * self.number
        low, high = math.floor(place), math.ceil(place)
        if self.method in ("lower", "higher", "nearest"):
            # round() takes the even one of two that are equally near, as NumPy does
            rank = {"lower": low, "higher": high, "nearest": round(place)}[self.method]
            return rank, rank, 0.0
        if low == high:
            return low, low, 0.0
        return low, high, place - low if self.method == "linear" else 0.5


def _ranks(rule: Rule, taps: int) -> Array:
    """The table of the plan: ``rule.of(n)`` of each number of taps from 0 on, the weight by its bits."""
    last = np.maximum(np.arange(taps + 1) - 1, 0)
    weight = np.zeros(taps + 1)
    if rule.kind == "rank":
        rank = int(rule.number)
        low = high = np.minimum(rank, last) if rank >= 0 else np.maximum(last + (rank + 1), 0)
    else:
        place = last * rule.number
        low, high = np.floor(place).astype(np.int64), np.ceil(place).astype(np.int64)
        if rule.method in ("lower", "higher", "nearest"):
            low = high = {"lower": low, "higher": high, "nearest": np.rint(place).astype(np.int64)}[rule.method]
        else:
            weight = np.where(low < high, place - low if rule.method == "linear" else 0.5, 0.0)
    return np.stack([low, high, weight.view(np.int64)], 1)


def _method(asked: Windows, rule: Rule, dtype: str, role: str) -> int:
    """How ranks are selected in windows that lie on the input wholly."""
    taps, (low, high, _) = asked.taps, rule.of(asked.taps)
    wide = [window for window in asked.along if window.kernel > 1]
    if role == "select" and len(asked.along) > 1 and low == high == 4 and [w.kernel for w in wide] == [3, 3]:
        along = asked.along[-2:]
        if [w.kernel for w in along] == [3, 3] and along[1].stride == 1 and along[1].dilation <= 64:
            return W.SQUARE
    few = MOST_EXCHANGED_OF_BYTES if dtype in ("i8", "u8") else MOST_EXCHANGED
    return W.NETWORK if taps <= few else W.SEARCH


@lru_cache(maxsize=128)
def _exchanges(taps: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(number for pair in networks.selecting(taps, (low, high)) for number in pair)


def _run(
    role: str,
    dtype: str,
    rule: Rule,
    asked: Windows,
    skip: bool,
    arrays: Sequence[Array],
    oracle: Callable[[], None] | None = None,
) -> None:
    x, y = arrays[:2]

    def make() -> tapped.Plan:
        windows = tapped.turned(asked, x) if role == "select" else asked
        method = _method(windows, rule, dtype, role)
        low, high, _ = rule.of(windows.taps)
        # where NaN is left out, sorted columns are for blocks without
        exchanged = method == W.NETWORK or (method == W.SQUARE and skip)
        pairs = _exchanges(windows.taps, low, high) if exchanged else ()
        table, frame = _ranks(rule, windows.taps), Frame((x, y), windows.axes)
        return tapped.planned(frame, windows, x.itemsize, method, table, pairs, skip, rule.method == "mean")

    plan, tiles, work = tapped.kept((role, dtype, rule, skip), asked, x, y, make)
    tasks.run(Program("order", (role, dtype)), plan, arrays, tiles if y.size else 0, work, oracle=oracle)


def forward(
    called: str, count: int, rule: Callable[[Call], Rule], x: Any, given: Options, out: Any, device: Any
) -> Any:
    """The result of a public function; ``rule`` checks the arguments that it is made of."""
    call = Call(called, device)
    source = call.take("x", x, NUMBERS)
    wanted = rule(call)
    asked, skip = _asked(call, count, source.data.shape, source.dtype, given)
    y = call.result("out", asked.shape, source.dtype, out, source.data)

    def oracle() -> None:
        mean = wanted.method == "mean"
        reference.forward(source.data, y.data, asked.axes, asked.along, wanted.of, mean, skip)

    simple = source.dtype != "bf16"
    skip = skip and source.dtype in FLOATS
    _run("select", source.dtype, wanted, asked, skip, (source.data, y.data), oracle if simple else None)
    return call.give()


def _asked(call: Call, count: int, shape: tuple[int, ...], dtype: str, given: Options) -> tuple[Windows, bool]:
    return tapped.windows(call, count, shape, given, dtype), given.nan == "ignore"


def backward(
    called: str, count: int, rule: Callable[[Call], Rule], grad: Any, x: Any, given: Options, out: Any, device: Any
) -> Any:
    """The gradient: that of each output to the taps it was made of, by their weights."""
    call = Call(called, device)
    dy = call.take("grad_output", grad)
    source = call.take("x", x, (dy.dtype,))
    wanted = rule(call)
    asked, skip = _asked(call, count, source.data.shape, source.dtype, given)
    call.check_shape("grad_output", dy.data, asked.shape, "the shape of the forward's result")
    dx = call.result("out", source.data.shape, dy.dtype, out, source.data)
    order = memory_order(source.data)
    lower, upper, weight = (empty_in_order(asked.shape, dtype, order) for dtype in ("i32", "i32", "f64"))
    _run("locate", dy.dtype, wanted, asked, skip, (source.data, lower, upper, weight))
    _scatter(dy.dtype, asked, dx.data, dy.data, lower, upper, weight)
    return call.give()


def _scatter(dtype: str, asked: Windows, dx: Array, dy: Array, lower: Array, upper: Array, weight: Array) -> None:
    frame = Frame((dx, dy, lower, upper, weight), asked.axes)
    missing = 3 - len(asked.axes)
    own = [1, 0] * missing + [number for window in asked.along for number in (window.stride, window.pad_begin)]
    plane = math.prod(window.size for window in asked.along)
    width = 4 if dtype != "f64" else 8
    part = min(frame.lanes, max(1, (1 << 18) // (plane * width)))
    parts = -(-frame.lanes // part)
    places = np.zeros((1,), np.int64)
    step = plane
    for window in asked.along:
        step //= window.size
        places = (places[:, None] + np.arange(window.kernel) * (window.dilation * step)).reshape(-1)
    plan = [*frame.plan, *own, part, parts, *places.tolist()]
    arrays = (dx, dy, lower, upper, weight)
    program = Program("order_scatter", (dtype,))
    tasks.run(program, plan, arrays, frame.outer * parts if dx.size else 0, plane * part * width)
