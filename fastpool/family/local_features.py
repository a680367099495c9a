"""Calls of VLAD and NetVLAD: what they have in common, from the arrays that come in to those that go out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.arrays import Source
from fastpool.axes import channel_axis
from fastpool.errors import listed, shown, type_name
from fastpool.family import aggregation
from fastpool.family.aggregation import STEPS, Normalized, Share
from fastpool.family.calls import Call
from fastpool.memory import Array
from fastpool.problem import Ints

WORDS = {
    "points": """x : array
    Local features: ``(N, C, spatial...)``, or as ``layout`` says. Every position is a point of C channels. Floating.
centers : array
    Centres, ``(K, C)``, of x's dtype and kind of array, such as k-means finds in the features of many images.""",
    "normalize": """normalize : tuple of str, str or None
    What is done to the sums, in this order whatever the order of the words: ``"sqrt"``, the signed square root;
    ``"intra"``, the sum of each centre divided by its L2 norm; ``"l2"``, all of them by theirs. ``None``: nothing.""",
    "layout": """layout : str
    ``"channels_first"``: the axes are batch, channels, and at least one spatial axis. ``"channels_last"``: batch,
    spatial, channels; so descriptors ``(N, P, C)`` are given. Letters such as ``"CHW"``, ``"NHWC"`` or ``"LC"`` name
    every axis.""",
    "outs": """out : tuple of arrays, optional
    Where to write, an array for each result, and then the objects that are returned: x's kind of array, with the shape
    and dtype of the results, writable, sharing no memory with an input or with each other.""",
    "blas": """Matrix products are NumPy's: they run on the threads of its BLAS, and have its order of summation. What
is summed by labels has one order, points in row-major order. float16 and bfloat16 are computed in float32.""",
    "vlad": """.. [1] Jegou et al., "Aggregating local descriptors into a compact image representation", 2010.
.. [2] Arandjelovic and Zisserman, "All about VLAD", 2013.""",
    "netvlad": """.. [1] Arandjelovic et al., "NetVLAD: CNN architecture for weakly supervised place
   recognition", 2016.""",
}


class Task:
    """One call: its arrays, checked, and where they go."""

    def __init__(self, called: str, x: object, centers: object, normalize: object, layout: object, device: object):
        self.call = Call(called, device)
        self.x = self.call.take("x", x)
        shape = self.x.data.shape
        self.axes = self.call.axes(layout, "global", shape)
        self.channel = _channel(self.call, layout, self.axes, len(shape))
        self.batch: Ints = tuple(n for i, n in enumerate(shape) if i not in self.axes and i != self.channel)
        self.channels = shape[self.channel]
        self.centers = self.call.take("centers", centers, (self.x.dtype,))
        known = self.centers.data.shape
        if len(known) != 2 or known[0] == 0 or known[1] != self.channels or self.channels == 0:
            rule = f"one centre at least, of the {self.channels} channels of x"
            raise self.call.value_error(f"centers of shape {known}", rule, "give an array (K, C)")
        self.count = known[0]
        self.steps = steps_of(self.call, normalize)
        self.shape = (*self.batch, self.count * self.channels)

    def rows(self) -> Array:
        """X as rows of points."""
        return aggregation.to_rows(self.x.data, self.x.dtype, self.axes, self.channel)

    def table(self, source: Source) -> Array:
        """An array (a, b), or (b,), of x's type as values, dense."""
        data = np.atleast_2d(source.data)
        table: Array = aggregation.to_rows(data, source.dtype, (0,), 1)[0]
        return table if source.data.ndim == 2 else table[0]

    def write(self, values: Array, data: Array) -> None:
        """Values to a result that is an array of as many elements, with the layout of its own axes."""
        shaped = values.reshape(1, -1, data.shape[-1])
        flat = np.atleast_2d(data)
        aggregation.from_rows(shaped, flat, self.x.dtype, tuple(range(flat.ndim - 1)), flat.ndim - 1)

    def share(self, assignment: object) -> Share | None:
        """What the caller says of which point belongs to which centre, checked; None for the nearest."""
        if isinstance(assignment, str):
            if assignment != "hard":
                given = f"assignment={shown(assignment)}"
                raise self.call.value_error(given, "unknown word", "'hard', integer labels, or weights")
            return None
        source = self.call.take("assignment", assignment, (self.x.dtype, "i32", "i64"))
        shape, many = self.x.data.shape, self.count
        if source.dtype == self.x.dtype:
            wanted = tuple(many if axis == self.channel else n for axis, n in enumerate(shape))
            self.call.check_shape("assignment", source.data, wanted, "x's shape with a weight per centre for channels")
            return Share(weights=aggregation.to_rows(source.data, source.dtype, self.axes, self.channel))
        wanted = tuple(n for axis, n in enumerate(shape) if axis != self.channel)
        self.call.check_shape("assignment", source.data, wanted, "x's shape without channels")
        labels = source.data.astype(np.int64).reshape(*(self.batch or (1,)), -1)
        if labels.size and not -1 <= labels.min() <= labels.max() < many:
            given = f"assignment from {labels.min()} to {labels.max()}"
            raise self.call.value_error(given, f"labels go from 0 to {many - 1}, and -1 for none")
        return Share(labels=labels)


def steps_of(call: Call, normalize: object) -> tuple[str, ...]:
    """The steps that were asked for, in their order."""
    if normalize is None:
        return ()
    given = (normalize,) if isinstance(normalize, str) else normalize
    if not isinstance(given, tuple | list):
        raise call.type_error(f"normalize is a {type_name(normalize)}", "it must be a tuple of words, or None")
    for word in given:
        if word not in STEPS:
            raise call.value_error(f"normalize={shown(normalize)}", "unknown word", f"known: {listed(STEPS)}")
    return tuple(step for step in STEPS if step in given)


def _channel(call: Call, layout: object, axes: Ints, rank: int) -> int:
    found = channel_axis(str(layout), axes, rank)
    if found < 0:
        raise call.value_error(f"layout={layout!r}", "x must have an axis of channels", "name it C")
    return found


class Kept(NamedTuple):
    """What a forward call has found that its gradient needs: no more than weights and sums."""

    share: Share
    done: Normalized


def keep(task: Task, rows: Array, share: Share) -> Kept:
    """The sums of a call, normalised."""
    found = aggregation.sums(rows, task.table(task.centers), share)
    return Kept(share, aggregation.normalized(found, task.steps))


def gradient_of_sums(task: Task, grad: Source, done: Normalized) -> Array:
    """From the gradient of the result to that of the sums."""
    return done.pull(aggregation.to_rows(grad.data.reshape(-1, task.count, task.channels), grad.dtype, (1,), 2))


def targets_of(task: Task, out: object, like: tuple[Source, ...]) -> tuple[Any, ...]:
    """Where gradients go, each of the shape of what it is the gradient of."""
    outs = task.call.outs(out, len(like))
    return tuple(
        task.call.result(f"out[{i}]", source.data.shape, source.dtype, given, source.data)
        for i, (source, given) in enumerate(zip(like, outs, strict=True))
    )


def give(task: Task, found: aggregation.Gradients, targets: tuple[Any, ...]) -> Any:
    """Write gradients, and give them."""
    for values, target in zip((found.rows, found.centers, *found.others), targets, strict=True):
        if values.ndim == 3:
            aggregation.from_rows(values, target.data, task.x.dtype, task.axes, task.channel)
        else:
            task.write(values, target.data)
    return task.call.give()
