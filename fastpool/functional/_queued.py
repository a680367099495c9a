"""Repeated calls on arrays on a GPU: what was found for a call is used again for one that is made alike.

The checks of a call, its Problem, its kernel and the grid are found once. A call that is known again asks the arrays
for their shape and place, has the result made, packs the addresses and launches. What must be told apart is the same as
for arrays of NumPy (see ``_repeat``).

Each step here is counted. Options are looked up as bytes, which tell 1 from True and from 1.0, inside of tuples, too;
to compare their types takes longer, and to look at each of them. What is not Python's own is not kept, and no bytes of
what was kept are equal to those of anything else. Names are looked up as they are, since nothing else is equal to them
and since they take as long as all else to be made bytes (0.2 us).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from marshal import dumps
from typing import TYPE_CHECKING, Any

from fastpool import arrays, config
from fastpool.arguments import Options
from fastpool.arrays import Outline, Source
from fastpool.functional._planned import Backward, Forward, Target
from fastpool.functional._repeat import MOST, plain

if TYPE_CHECKING:
    from fastpool.device_lanes import Form, Lane
    from fastpool.problem import Problem

Values = tuple[Any, ...]

_lanes: dict[type, Lane] = {}
"""By type of array; filled by the first call with one."""

_known: dict[Hashable, _Known] = {}
"""By all that the outcome of a call's checks depends on."""

_environment, _VERBOSE, _FORCE_KERNEL = config.SPEAKS

_LAYOUT, _NAN = Options._fields.index("layout"), Options._fields.index("nan")
_AFTER = _NAN + 1

_LOOKED_AT = (Outline, Source)
"""Tuples that are no shape."""


class _Result:
    """A result of a known call: how it is made, and what it is like."""

    def __init__(self, lane: Lane, kind: Any, target: Target) -> None:
        from fastpool.device_lanes import Form, new_form

        outline = target.outline
        if target.given is None:
            self.form = new_form(outline.shape, outline.order, outline.dtype)
        else:
            self.form = Form.of(target.data)
        kept = [axis for axis in range(len(outline.shape)) if axis not in target.dropped]
        strides = [step // self.form.item.itemsize for step in self.form.strides]
        shape = tuple([outline.shape[axis] for axis in kept])
        self.make = lane.maker(kind, shape, tuple([strides[axis] for axis in kept]), outline.dtype)


class _Known:
    """A call that was accepted: its arrays are those that it reads, and then those that it writes.

    ``aligned`` and ``loose`` queue its one kernel, for arrays that all begin where vectors may and for any others; they
    are None where there are two kernels, and until they are needed. ``apart`` has for each array that is written and
    each that is read or written before it the distances between their addresses at which they would overlap.
    """

    def __init__(self, lane: Lane, kind: Any, problem: Problem, read: list[Form | None], targets: list[Target]) -> None:
        self.lane, self.address, self.stream = lane, lane.address, lane.stream
        self.problem = problem
        self.kind = kind
        self.device: int = kind.device
        self.read = read
        self.results = [_Result(lane, kind, target) for target in targets]
        self.make = self.results[0].make
        self.aligned: Callable[[int, int, int, int], None] | None = None
        self.loose: Callable[[int, int, int, int], None] | None = None
        self.looked = [False, False]
        self.pair = len(targets) > 1
        self.reads_x = problem.reads_x
        forms = [*read, *[result.form for result in self.results]]
        self.apart = [
            [
                None if other is None else (other.low - result.form.high, other.high - result.form.low)
                for other in forms[: len(read) + at]
            ]
            for at, result in enumerate(self.results)
        ]
        self.least, self.most = self.apart[0][0] or (0, 0)

    def queue(self, source: int, output: int, aux: int) -> bool:
        """Queues the one kernel of a call that finds none ready; whether there is only one."""
        loose = bool((source | output | aux) & 15)
        if not self.looked[loose]:
            from fastpool.cuda import running

            found = running.ready(self.problem, self.device, not loose)
            if loose:
                self.loose = found
            else:
                self.aligned = found
            self.looked[loose] = True
        queue = self.loose if loose else self.aligned
        if queue is None:
            return False
        queue(source, output, aux, self.stream(self.device))
        return True

    def overlap(self, read: tuple[Any, ...], written: tuple[Any, ...]) -> bool:
        """Whether what is written may overlap, from end to end, what is read or also written."""
        address = self.address
        others = list(read)
        for array, bounds in zip(written, self.apart, strict=True):
            place = address(array)
            for other, bound in zip(others, bounds, strict=True):
                if other is not None and bound is not None and bound[0] < place - address(other) < bound[1]:
                    return True
            others.append(array)
        return False


def forward(called: str, x: Any, options: Values, out: Any, device: Any, keepdims: Any) -> Any:
    """The result of a call that is known; None for any other."""
    kind = type(x)
    lane = _lanes.get(kind)
    if lane is None or _VERBOSE in _environment or _FORCE_KERNEL in _environment:
        return None
    look = lane.look
    try:
        told = dumps((options[:_LAYOUT], options[_AFTER:], device, keepdims), 2)
        layout, nan = options[_LAYOUT], options[_NAN]
        if out is None:
            known = _known.get((called, told, layout, nan, look(x)))
        elif type(out) is kind:
            known = _known.get((called, told, layout, nan, look(x), look(out)))
        else:
            known = _known.get((called, told, layout, nan, look(x), _look_at_pair(lane, kind, out)))
    except (TypeError, ValueError):
        # options that cannot be looked up
        return None
    if known is None:
        return None
    if known.pair:
        return _pair(known, x, out)
    address = known.address
    if out is None:
        y = known.make()
        source, output = address(x), address(y)
    else:
        y = out
        source, output = address(x), address(y)
        if known.least < output - source < known.most:
            return None
    queue = known.loose if (source | output) & 15 else known.aligned
    if queue is not None:
        queue(source, output, 0, known.stream(known.device))
    elif not known.queue(source, output, 0):
        _forward_steps(known, x, (y,))
    if out is not None:
        lane.wrote(out)
    return y


def _look_at_pair(lane: Lane, kind: type, out: Any) -> Hashable:
    """What is told of two arrays for results, or None, which no known call has."""
    if type(out) is not tuple or len(out) != 2 or type(out[0]) is not kind or type(out[1]) is not kind:
        return None
    first, second = lane.look(out[0]), lane.look(out[1])
    return None if first is None or second is None else (first, second)


def _pair(known: _Known, x: Any, out: Any) -> Any:
    """The two results of a known call."""
    lane = known.lane
    pair = out
    if out is None:
        first, second = known.results
        pair = (first.make(), second.make())
    elif known.overlap((x,), out):
        return None
    address = known.address
    y, indices = pair
    source, output, aux = address(x), address(y), address(indices)
    queue = known.loose if (source | output | aux) & 15 else known.aligned
    if queue is not None:
        queue(source, output, aux, known.stream(known.device))
    elif not known.queue(source, output, aux):
        _forward_steps(known, x, pair)
    if out is not None:
        lane.wrote(y)
        lane.wrote(indices)
    return pair


def _forward_steps(known: _Known, x: Any, written: tuple[Any, ...]) -> None:
    """Runs a known call of two kernels."""
    from fastpool import dispatch

    address = known.address
    data = [result.form.at(address(array), array) for result, array in zip(known.results, written, strict=True)]
    assert known.read[0] is not None
    x_data = known.read[0].at(address(x), x)
    dispatch.forward_at(known.problem, x_data, data[0], data[1] if len(data) > 1 else None, known.kind.place(), "")


def keep_forward(
    called: str, x: Any, options: Values, out: Any, device: object, keepdims: object, call: Forward
) -> None:
    """Keeps what was found for a call whose arrays are on a GPU."""
    if call.to or 0 in call.problem.out_shape or not _open(x, call.x.kind):
        return
    from fastpool.device_lanes import Form

    kind, lane = type(x), _lanes[type(x)]
    seen = [lane.look(x)]
    if out is not None:
        seen.append(lane.look(out) if type(out) is kind else _look_at_pair(lane, kind, out))
    targets = [target for target in (call.y, call.indices) if target is not None]
    known = _Known(lane, call.x.kind, call.problem, [Form.of(call.x.data)], targets)
    _keep(called, options, (device, keepdims), seen, known)


def _look_at_gradient(lane: Lane, grad: Any, x: Any, indices: Any, out: Any) -> tuple[Any, ...]:
    """What is told of the arrays of a backward; what has a None in it no known call has."""
    kind, look = type(grad), lane.look
    shape: Hashable = None
    if type(x) is kind:
        shape = look(x)
    elif isinstance(x, tuple) and not isinstance(x, _LOOKED_AT):
        shape = (x, *map(type, x))
    return (
        look(grad),
        shape,
        0 if indices is None else look(indices) if type(indices) is kind else None,
        0 if out is None else look(out) if type(out) is kind else None,
    )


def backward(called: str, grad: Any, x: Any, options: Values, out: Any, device: Any, indices: Any) -> Any:
    """The gradient of a call that is known; None for any other."""
    kind = type(grad)
    lane = _lanes.get(kind)
    if lane is None or _VERBOSE in _environment or _FORCE_KERNEL in _environment:
        return None
    try:
        told = dumps((options[:_LAYOUT], options[_AFTER:], device), 2)
        seen = _look_at_gradient(lane, grad, x, indices, out)
        known = _known.get((called, told, options[_LAYOUT], options[_NAN], *seen))
    except (TypeError, ValueError):
        # options, or entries of a shape, that cannot be looked up
        return None
    if known is None:
        return None
    array = x if type(x) is kind else None
    dx = out
    if out is None:
        dx = known.make()
    elif known.overlap((grad, array, indices), (out,)):
        return None
    address = known.address
    x_used = array if known.reads_x else None
    aux = indices if indices is not None else x_used
    source, output, third = address(grad), address(dx), 0 if aux is None else address(aux)
    queue = known.loose if (source | output | third) & 15 else known.aligned
    if queue is not None:
        queue(source, output, third, known.stream(known.device))
    elif not known.queue(source, output, third):
        from fastpool import dispatch

        data: Any = [
            None if form is None or given is None else form.at(address(given), given)
            for form, given in zip(known.read, (grad, x_used, indices), strict=True)
        ]
        written = known.results[0].form.at(output, dx)
        dispatch.backward_at(known.problem, data[0], written, data[1], data[2], known.kind.place(), "")
    if out is not None:
        lane.wrote(out)
    return dx


def keep_backward(
    called: str, grad: Any, x: Any, options: Values, out: Any, device: object, indices: Any, call: Backward
) -> None:
    """Keeps what was found for a call whose arrays are on a GPU."""
    if call.to or 0 in call.problem.shape or not _open(grad, call.grad.kind):
        return
    from fastpool.device_lanes import Form

    lane = _lanes[type(grad)]
    # where it is not read, what is written must lie apart from it all the same
    x_form = Form.of(arrays.take(called, "x", x).data) if type(x) is type(grad) else None
    read = [Form.of(call.grad.data), x_form, None if call.indices is None else Form.of(call.indices)]
    known = _Known(lane, call.grad.kind, call.problem, read, [call.dx])
    _keep(called, options, (device,), _look_at_gradient(lane, grad, x, indices, out), known)


def _open(array: Any, kind: Any) -> bool:
    """Opens the lane of an array's type, if its kind has one."""
    if type(array) not in _lanes:
        from fastpool.device_lanes import lane_of

        lane = lane_of(kind)
        if lane is None:
            return False
        _lanes[type(array)] = lane
    return True


def _keep(called: str, options: Values, others: Values, seen: Sequence[Hashable], known: _Known) -> None:
    """Keeps a call, unless its arrays or its options cannot be told at once."""
    if None not in seen and plain(options) and plain(others):
        with suppress(TypeError):
            if len(_known) >= MOST:
                _known.clear()
            told = dumps((options[:_LAYOUT], options[_AFTER:], *others), 2)
            _known[(called, told, options[_LAYOUT], options[_NAN], *seen)] = known
