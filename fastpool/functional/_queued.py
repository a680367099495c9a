"""Repeated calls on arrays on a GPU: what was found for a call is used again for one that is made alike.

The checks of a call, its Problem, its kernel and the grid are found once. A call that is known again asks the arrays
for their shape and place, has the result made, packs the addresses and launches. What must be told apart is the same as
for arrays of NumPy (see ``_repeat``).
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from fastpool import arrays, config
from fastpool.functional._planned import Backward, Forward, Target
from fastpool.functional._repeat import MOST, plain

if TYPE_CHECKING:
    from fastpool.arguments import Options
    from fastpool.device_lanes import Form, Lane
    from fastpool.problem import Problem

_lanes: dict[type, Lane] = {}
"""By type of array; filled by the first call with one."""

_known: dict[Hashable, Any] = {}


def _written(options: Options) -> Hashable:
    """The options in a form that tells 1 from True and from 1.0, or None where that takes too long."""
    types = tuple(map(type, options))
    if tuple not in types and list not in types:
        return (*options, types)
    # inside of tuples types are told by the bytes
    values: Any = (*options,)
    return marshal.dumps(values, 2) if plain(values) else None


def _key(called: str, options: Options, others: tuple[object, ...], given: tuple[Any, ...], kind: type) -> Hashable:
    """What the outcome of a call's checks depends on, or None. All arrays must be of one type; None stays None."""
    lane = _lanes[kind]
    seen: list[Hashable] = [called, _written(options), others]
    if seen[1] is None:
        return None
    for array in given:
        if array is None:
            seen.append(None)
        elif type(array) is kind:
            look = lane.look(array)
            if look is None:
                return None
            seen.append(look)
        else:
            return None
    return tuple(seen)


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
    """A call that was accepted: its arrays are those that it reads, and then those that it writes."""

    def __init__(self, lane: Lane, kind: Any, problem: Problem, read: list[Form | None], targets: list[Target]) -> None:
        self.lane = lane
        self.problem = problem
        self.kind = kind
        self.read = read
        self.results = [_Result(lane, kind, target) for target in targets]
        self.queues: dict[bool, Callable[[int, int, int, int], None] | None] = {}

    def run(self, source: int, output: int, aux: int) -> bool:
        """Queues the one kernel of a call, for arrays at these addresses; whether there is only one."""
        # vectors need addresses of their size
        aligned = not (source | output | aux) & 15
        try:
            queue = self.queues[aligned]
        except KeyError:
            from fastpool.cuda import running

            queue = self.queues[aligned] = running.ready(self.problem, self.kind.device, aligned)
        if queue is None:
            return False
        queue(source, output, aux, self.lane.stream(self.kind.device))
        return True

    def apart(self, read: tuple[Any, ...], written: tuple[Any, ...]) -> bool:
        """Whether what is written lies apart, from end to end, from what is read or also written."""
        address = self.lane.address
        spans = [
            (address(array) + form.low, address(array) + form.high)
            for array, form in zip(read, self.read, strict=True)
            if array is not None and form is not None
        ]
        for array, result in zip(written, self.results, strict=True):
            low, high = address(array) + result.form.low, address(array) + result.form.high
            if any(low < end and begin < high for begin, end in spans):
                return False
            spans.append((low, high))
        return True


def forward(called: str, x: Any, options: Options, out: Any, device: object, keepdims: object) -> Any:
    """The result of a call that is known; None for any other."""
    kind = type(x)
    lane = _lanes.get(kind)
    if lane is None or config.asks_for_a_kernel():
        return None
    outs = out if type(out) is tuple else (out,)
    key = _key(called, options, (device, keepdims, type(keepdims), len(outs)), (x, *outs), kind)
    try:
        known = _known.get(key)
    except TypeError:
        return None
    if known is None:
        return None
    if out is None:
        made = tuple([result.make() for result in known.results])
    elif known.apart((x,), outs):
        made = outs
    else:
        return None
    address = lane.address
    if not known.run(address(x), address(made[0]), address(made[1]) if len(made) > 1 else 0):
        from fastpool import dispatch

        data = [result.form.at(address(array), array) for result, array in zip(known.results, made, strict=True)]
        x_data = known.read[0].at(address(x), x)
        dispatch.forward_at(known.problem, x_data, data[0], data[1] if len(data) > 1 else None, known.kind.place(), "")
    if out is None:
        return made if len(made) > 1 else made[0]
    for array in outs:
        lane.wrote(array)
    return out


def keep_forward(
    called: str, x: Any, options: Options, out: Any, device: object, keepdims: object, call: Forward
) -> None:
    """Keeps what was found for a call whose arrays are on a GPU."""
    if call.to or 0 in call.problem.out_shape or not _open(x, call.x.kind):
        return
    outs = out if type(out) is tuple else (out,)
    key = _key(called, options, (device, keepdims, type(keepdims), len(outs)), (x, *outs), type(x))
    if key is None:
        return
    from fastpool.device_lanes import Form

    targets = [target for target in (call.y, call.indices) if target is not None]
    _keep(key, _Known(_lanes[type(x)], call.x.kind, call.problem, [Form.of(call.x.data)], targets))


def backward(called: str, grad: Any, x: Any, options: Options, out: Any, device: object, indices: Any) -> Any:
    """The gradient of a call that is known; None for any other."""
    kind = type(grad)
    lane = _lanes.get(kind)
    if lane is None or config.asks_for_a_kernel():
        return None
    shape, array = (x, None) if type(x) is tuple else (None, x)
    key = _key(called, options, _shape_key(device, shape), (grad, array, indices, out), kind)
    try:
        known = _known.get(key)
    except TypeError:
        return None
    if known is None:
        return None
    dx = out
    if out is None:
        dx = known.results[0].make()
    elif not known.apart((grad, array, indices), (out,)):
        return None
    address = lane.address
    x_used = array if known.problem.reads_x else None
    aux = indices if indices is not None else x_used
    if not known.run(address(grad), address(dx), 0 if aux is None else address(aux)):
        from fastpool import dispatch

        data: Any = [
            None if given is None else form.at(address(given), given)
            for form, given in zip(known.read, (grad, x_used, indices), strict=True)
        ]
        written = known.results[0].form.at(address(dx), dx)
        dispatch.backward_at(known.problem, data[0], written, data[1], data[2], known.kind.place(), "")
    if out is not None:
        lane.wrote(out)
    return dx


def keep_backward(
    called: str, grad: Any, x: Any, options: Options, out: Any, device: object, indices: Any, call: Backward
) -> None:
    """Keeps what was found for a call whose arrays are on a GPU."""
    if call.to or 0 in call.problem.shape or not _open(grad, call.grad.kind):
        return
    shape, array = (x, None) if type(x) is tuple else (None, x)
    key = _key(called, options, _shape_key(device, shape), (grad, array, indices, out), type(grad))
    if key is None:
        return
    from fastpool.device_lanes import Form

    # where it is not read, what is written must lie apart from it all the same
    x_form = None if array is None else Form.of(arrays.take(called, "x", array).data)
    read = [Form.of(call.grad.data), x_form, None if call.indices is None else Form.of(call.indices)]
    _keep(key, _Known(_lanes[type(grad)], call.grad.kind, call.problem, read, [call.dx]))


def _shape_key(device: object, shape: Any) -> tuple[object, ...]:
    return (device, shape, None if shape is None else tuple(map(type, shape)))


def _open(array: Any, kind: Any) -> bool:
    """Opens the lane of an array's type, if its kind has one."""
    if type(array) not in _lanes:
        from fastpool.device_lanes import lane_of

        lane = lane_of(kind)
        if lane is None:
            return False
        _lanes[type(array)] = lane
    return True


def _keep(key: Hashable, known: Any) -> None:
    if len(_known) >= MOST:
        _known.clear()
    try:
        _known[key] = known
    except TypeError:
        # an option that cannot be looked up
        return
