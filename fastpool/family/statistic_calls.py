"""The way of a call that pools by a statistic, see ``fastpool.kernels.statistics``: forward, and its gradient."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastpool.arguments import Options
from fastpool.arrays import Source
from fastpool.axes import channel_axis
from fastpool.errors import shown, type_name
from fastpool.family import windowing
from fastpool.family.calls import FLOATS, NUMBERS, Call
from fastpool.functional._planned import Target
from fastpool.kernels import statistics
from fastpool.kernels.statistic_states import Maths, Statistic
from fastpool.memory import Array
from fastpool.problem import Ints, Problem
from fastpool.reference.family import statistics as reference

if TYPE_CHECKING:
    from fastpool.cuda.statistics import Asked as OnGpu

CUBE = 3.0
"""The exponent of a power mean that has a way of its own."""
EVERY = ("b1", *NUMBERS)
"""Element types of statistics that need no arithmetic of floats."""


class Chosen(NamedTuple):
    """What a call pools by: the statistic, its pair of parameters, and the first of them where it is by channel.

    ``learns`` says whether that one has a gradient.
    """

    statistic: str
    parameters: tuple[float, float] = (0.0, 0.0)
    by_channel: object = None
    learns: bool = False


Choice = Callable[[Call, dict[str, Any]], Chosen]
"""From the keyword arguments of a function, checked, to what it pools by."""


@functools.cache
def known(statistic: str, skip: bool = False) -> Statistic:
    """A statistic as plain Python has it, for the number of its states."""
    return statistics.make(statistic, Maths(float, math.exp, math.log), skip)


def _dtypes(statistic: str) -> tuple[str, ...]:
    return EVERY if statistic in ("any", "all", "count") else FLOATS


def _channel(call: Call, layout: object, asked: Problem) -> int:
    """The axis of channels, for a parameter with an element for each."""
    axis = channel_axis(str(layout), asked.axes, len(asked.shape))
    if axis < 0:
        rule = f"x of shape {asked.shape} with layout={layout!r} has no axis of channels"
        raise call.value_error("p with an element for each channel", rule, "give a number")
    return axis


class Power(NamedTuple):
    """The parameter by channel: its values along x's axes, its channel axis or -1, and the array that came in."""

    values: Array
    axis: int
    source: Source | None


def _power(call: Call, p: object, layout: object, asked: Problem) -> Power:
    """The exponent of each channel, with x's axes; a number holds for all."""
    shape = [1 if axis in asked.axes else size for axis, size in enumerate(asked.shape)]
    rule = "must be a finite number, not 0"
    if isinstance(p, bool | np.bool_):
        raise call.type_error(f"p={p}", f"must be a number, not {type_name(p)}")
    if isinstance(p, int | float | np.integer | np.floating):
        value = float(p)
        if not math.isfinite(value) or value == 0:
            raise call.value_error(f"p={shown(p)}", rule)
        return Power(np.broadcast_to(np.float64(value), shape), -1, None)
    source = call.take("p", p, ("f32", "f64"))
    if source.kind.device is not None:
        raise call.type_error("p as an array on a GPU", "its elements would have to be waited for", "give a number")
    values = np.array(source.data, np.float64)
    if values.size == 1 and values.ndim < 2:
        axis, spread = -1, values.reshape((1,) * len(shape))
    else:
        axis = _channel(call, layout, asked)
        call.check_shape("p", source.data, (asked.shape[axis],), "an element for each channel")
        spread = values.reshape([size if at == axis else 1 for at, size in enumerate(shape)])
    if not np.isfinite(values).all() or (values == 0).any():
        raise call.value_error(f"p={shown(values.tolist())}", f"every element {rule}")
    return Power(np.broadcast_to(spread, shape), axis, source)


class Taken(NamedTuple):
    """A call that has been looked at: its x, what it pools by, the windows, and p."""

    source: Source
    chosen: Chosen
    asked: Problem
    power: Power | None

    @property
    def skip(self) -> bool:
        """Whether NaN taps do not count."""
        return self.asked.nan == "ignore"

    @property
    def size(self) -> int:
        """Numbers in a state."""
        return len(known(self.chosen.statistic, self.skip).identity)


def _is_cube(p: object) -> bool:
    return isinstance(p, int | float | np.floating) and not isinstance(p, bool) and p == CUBE


def _take(
    call: Call,
    x: object,
    spatial: int | str,
    asked: Options,
    choice: Choice,
    given: dict[str, Any],
    backward: bool,
) -> Taken:
    chosen = choice(call, given)
    source = call.take("x", x, _dtypes(chosen.statistic))
    if source.kind.device is not None and chosen.statistic == windowing.NEWTON:
        rule = "this estimate is found step by step, on the CPU alone"
        raise call.value_error(f"x on {source.kind.where}", rule, "copy it there first")
    found = windowing.problem(call, spatial, asked, source.dtype, source.data.shape)
    power = None
    if chosen.statistic == "power" and not backward and _is_cube(chosen.by_channel) and source.dtype != "f64":
        # no logarithm of each tap; states are float64
        return Taken(source, Chosen("cubes", (CUBE, chosen.parameters[1])), found, None)
    if known(chosen.statistic).by_channel:
        power = _power(call, chosen.by_channel, asked.layout, found)
    return Taken(source, chosen, found, power)


def _on_gpu(taken: Taken) -> OnGpu:
    """What is pooled by on a GPU, where a parameter is a number."""
    chosen = taken.chosen
    first, second = chosen.parameters
    if taken.power is not None:
        first = float(chosen.by_channel)  # type: ignore[arg-type]
    kept = known(chosen.statistic, taken.skip).kept
    from fastpool.cuda.statistics import Asked

    return Asked(chosen.statistic, (first, second), taken.asked, kept)


def _dropped(asked: Problem, keepdims: bool) -> Ints:
    return tuple(size for axis, size in enumerate(asked.out_shape) if keepdims or axis not in asked.axes)


def forward(
    called: str,
    spatial: int | str,
    x: Any,
    asked: Options,
    choice: Choice,
    given: dict[str, Any],
    out: object,
    device: object,
    keepdims: bool = True,
) -> Any:
    """The statistic of each window."""
    call = Call(called, device, gpu=True)
    source, chosen, found, power = taken = _take(call, x, spatial, asked, choice, given, False)
    dtype = known(chosen.statistic).output or source.dtype
    y = call.result("out", _dropped(found, keepdims), dtype, out, source.data)
    result = y.data if keepdims else np.expand_dims(y.data, found.axes)
    place = call.place()
    if place is not None:
        from fastpool.cuda import statistics as on_gpu

        on_gpu.reduce(_on_gpu(taken), source.data, result, place)
        return call.give()
    values = None if power is None else power.values

    def oracle() -> None:
        answer = reference.pooled(chosen.statistic, source.data, found, chosen.parameters, values)
        result[...] = answer

    plain = oracle if source.dtype != "bf16" else None
    windowing.reduce(chosen.statistic, taken.size, found, source.data, result, chosen.parameters, values, plain)
    return call.give()


def backward(
    called: str,
    spatial: int | str,
    grad: Any,
    x: Any,
    asked: Options,
    choice: Choice,
    given: dict[str, Any],
    out: Any,
    device: object,
) -> Any:
    """The gradient of x, and that of p where the statistic has one for it."""
    call = Call(called, device, gpu=True)
    source, chosen, found, power = taken = _take(call, x, spatial, asked, choice, given, True)
    shape, dropped = found.out_shape, _dropped(found, False)
    g = call.take("grad_output", grad, (source.dtype,)).data
    if spatial == "global" and g.shape == dropped:
        g = np.expand_dims(g, found.axes)
    call.check_shape("grad_output", g, shape, "the shape of the forward's result")
    outs = call.outs(out, 1 if power is None or power.source is None else 2)
    dx = call.result("out", source.data.shape, source.dtype, outs[0], source.data)
    dp: Target | None = None
    if power is not None and power.source is not None:
        dp = call.result("out", power.source.data.shape, power.source.dtype, outs[1])
    statistic = known(chosen.statistic)
    real = np.float32 if statistics.real_of(chosen.statistic, source.dtype) == "f32" else np.float64
    place = call.place()
    if place is not None:
        from fastpool.cuda import statistics as on_gpu

        changes = on_gpu.differentiate(_on_gpu(taken), source.data, g, dx.data, real, place, chosen.learns)
    else:
        values = None if power is None else power.values
        arrays = (source.data, g, dx.data)
        changes = windowing.differentiate(
            chosen.statistic, taken.size, statistic.kept, found, *arrays, chosen.parameters, values, real
        )
    if power is None or not chosen.learns:
        return call.give()
    total = _summed(changes, found, power)
    if dp is None:
        return call.give(), float(total[0])
    dp.data[...] = total.reshape(dp.data.shape)
    return call.give()


def _summed(changes: Array | None, asked: Problem, power: Power) -> Array:
    """The gradient of p: for each channel the sum over windows, in one order whatever the layout."""
    channels = 1 if power.axis < 0 else asked.shape[power.axis]
    if changes is None:
        return np.zeros(channels)
    others = [axis for axis in range(len(asked.shape)) if axis not in asked.axes]
    if power.axis >= 0:
        changes = np.moveaxis(changes, others.index(power.axis), 0)
    total: Array = np.add.reduce(np.ascontiguousarray(changes, np.float64).reshape(channels, -1), axis=1)
    return total
