"""The way of a call that pools boxes of bins: the largest element or the mean, forward and backward.

Bins that are windows of one size, as far apart, are given to the kernels of windows where these are faster: the order
of summation, and so every bit, is the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastpool import arguments, dispatch
from fastpool.arguments import Options
from fastpool.arrays import Source
from fastpool.errors import shown
from fastpool.family import bin_gradients, binning, known_tasks, tasks
from fastpool.family.binning import Bins, adaptive_bins
from fastpool.family.calls import FLOATS, NUMBERS, Call
from fastpool.family.framing import lane_axis
from fastpool.family.known_tasks import FLAG, RESULT, Asked, Stage
from fastpool.family.tasks import Task
from fastpool.memory import Array, element_strides
from fastpool.problem import DTYPES, Ints, Problem

LARGEST = ("b1", *NUMBERS)
"""Element types whose largest is found."""

SHORT = 16
"""Windows of up to so many taps along each axis are left to the kernels of windows, in the forward direction."""
SHORT_LANES = 4
"""The same where lanes are dense."""
SHORT_GRADIENT = 4
"""The same for gradients."""


class Boxes(NamedTuple):
    """What a call pools.

    Attributes
    ----------
    axes : tuple of int
        The spatial axes.
    bins : Bins
    window : tuple of int
        Taps along each axis where bins are windows side by side; else ().
    layout : object
        As the caller wrote it.
    """

    axes: Ints
    bins: Bins
    window: Ints = ()
    layout: object = "channels_first"

    def pooled(self, shape: Ints) -> Ints:
        """The shape of the result."""
        sizes = list(shape)
        for axis, count in zip(self.axes, self.bins.counts[-len(self.axes) :], strict=True):
            sizes[axis] = count
        return tuple(sizes)

    def short(self, longest: int) -> bool:
        """Whether they are windows of up to so many taps along each axis."""
        return bool(self.window) and max(self.window) <= longest

    def problem(self, word: str, dtype: str, shape: Ints, nan: str, kind: str, backward: bool = False) -> Problem:
        """The same as a pooling by windows."""
        return _problem(word, self.axes, self.window, self.layout, dtype, shape, nan, kind, backward)


@functools.lru_cache(maxsize=512)
def _problem(
    word: str,
    axes: Ints,
    window: Ints,
    layout: object,
    dtype: str,
    shape: Ints,
    nan: str,
    kind: str,
    backward: bool,
) -> Problem:
    options = Options(window, layout=layout, nan=nan)
    name = f"{word}_pool{len(axes)}d"
    return arguments.problem(name, "bwd" if backward else "fwd", dtype, shape, options, kind)


@functools.lru_cache(maxsize=512)
def _adaptive(axes: Ints, sizes: Ints, counts: Ints, layout: object) -> Boxes:
    window: Ints = ()
    if all(many and size % many == 0 for many, size in zip(counts, sizes, strict=True)):
        window = tuple(size // many for many, size in zip(counts, sizes, strict=True))
    return Boxes(axes, adaptive_bins(sizes, counts), window, layout)


def adaptive_boxes(call: Call, output_size: object, layout: object, count: int, shape: Ints) -> Boxes:
    """The boxes of adaptive pooling; a None of ``output_size`` leaves its axis as it is."""
    axes = call.axes(layout, count, shape)
    entries = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * count
    if len(entries) != count:
        rule = f"{len(entries)} entries for {count} spatial axes"
        raise call.value_error(f"output_size={shown(output_size)}", rule, "give an int, or one for each axis")
    given = f"output_size={shown(output_size)}"
    sizes = tuple(shape[axis] for axis in axes)
    counts = tuple(
        size if entry is None else call.integer("output_size", entry, 0, given)
        for entry, size in zip(entries, sizes, strict=True)
    )
    pooled = list(shape)
    for axis, many in zip(axes, counts, strict=True):
        pooled[axis] = many
    call.check_size(tuple(pooled))
    return _adaptive(axes, sizes, counts, layout)


class Kept(NamedTuple):
    """What a gradient of the largest needs."""

    dtype: str
    x: Array
    """An array like x without its elements: its shape and strides."""
    boxes: Boxes
    kind: str
    indices: Array
    all: bool = True
    """Whether every box that has elements has an index."""


def like(x: Array) -> Array:
    """An array of the same shape and strides, without elements of its own."""
    found: Array = np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), x.shape, x.strides, writeable=False)
    return found


def windows(problem: Problem, x: Array, y: Array, indices: Array | None) -> None:
    """Pool by the kernels of windows."""
    places = [() if array is None else element_strides(array) for array in (x, y, indices)]
    problem = problem._replace(x_strides=places[0], y_strides=places[1], index_strides=places[2])
    if y.size and not tasks.tell(f"windows of {problem.kernel} taps: {problem.op}"):
        dispatch.forward(problem, x, y, indices)


def windows_gradient(problem: Problem, dx: Array, dy: Array, indices: Array | None) -> str:
    """Their gradient; what is wrong with the indices, or ""."""
    places = [() if array is None else element_strides(array) for array in (dx, dy, indices)]
    problem = problem._replace(x_strides=places[0], y_strides=places[1], index_strides=places[2])
    if dx.size and not tasks.tell(f"windows of {problem.kernel} taps: gradient of {problem.op}"):
        return dispatch.backward(problem, dy, dx, None, indices)
    return ""


def mean(call: Call, x: Source, boxes: Boxes, out: object, asked: Asked | None = None) -> Any:
    """The mean of every box; ``asked`` is the call as it was made, where it may be known again."""
    y = call.result("out", boxes.pooled(x.data.shape), x.dtype, out, x.data)
    known_tasks.keep(asked, known_tasks.read_first(mean_of(x.dtype, x.data, y.data, boxes)), call)
    return call.give()


def by_windows(x: Array, boxes: Boxes) -> bool:
    """Whether boxes are left to the kernels of windows, in the forward direction."""
    return boxes.short(SHORT) and (boxes.short(SHORT_LANES) or lane_axis(x, boxes.axes) < 0)


def mean_of(dtype: str, x: Array, y: Array, boxes: Boxes) -> Task | None:
    """Write the mean of every box; gives the task that did, if one did."""
    if by_windows(x, boxes):
        windows(boxes.problem("avg", dtype, x.shape, "propagate", ""), x, y, None)
        return None
    return _done(binning.reducing("mean", dtype, x, y, boxes.axes, boxes.bins), x, y)


def _done(task: Task | None, *arrays: Array) -> Task | None:
    """A task that has been run."""
    if task is not None:
        task.run(*arrays)
    return task


def mean_gradient(
    call: Call,
    grad: Source,
    boxes: Boxes,
    shape: Ints,
    out: object,
    order: Array | None = None,
    asked: Asked | None = None,
) -> Any:
    """Its gradient, for x of that shape; ``order`` is an array whose order in memory it has, ``asked`` is as above."""
    call.check_shape("grad_output", grad.data, boxes.pooled(shape), "the shape of the forward's result")
    dx = call.result("out", shape, grad.dtype, out, grad.data if order is None else order)
    known_tasks.keep(asked, known_tasks.written_first(mean_gradient_of(grad.dtype, dx.data, grad.data, boxes)), call)
    return call.give()


def mean_gradient_of(dtype: str, dx: Array, dy: Array, boxes: Boxes) -> Task | None:
    """Write the gradient of the mean of every box; gives the task that did, if one did."""
    if boxes.short(1):
        # each element is a box: its gradient is that of the result
        windows(boxes.problem("avg", dtype, dy.shape, "propagate", ""), dy, dx, None)
    elif boxes.short(SHORT_GRADIENT):
        windows_gradient(boxes.problem("avg", dtype, dx.shape, "propagate", "", backward=True), dx, dy, None)
    else:
        return _done(binning.sharing("mean", dtype, dx, dy, boxes.axes, boxes.bins), dx, dy)
    return None


def index_type(boxes: Boxes, kind: str) -> str:
    """The element type of indices of a kind."""
    return binning.tap_type(boxes.bins) if kind == "tap" else "i64"


def select(x: Source, y: Array, indices: Array | None, boxes: Boxes, nan: str, kind: str) -> Task | None:
    """Write the largest of every box, and its index where there is an array for it; gives the task that did, if one
    did.
    """
    if by_windows(x.data, boxes):
        problem = boxes.problem("max", x.dtype, x.data.shape, nan, kind)
        windows(problem, x.data, y, indices)
        return None
    reduction, places = "max" if nan == "propagate" else "maxnum", (boxes.axes, boxes.bins)
    if indices is None:
        return _done(binning.reducing(reduction, x.dtype, x.data, y, *places), x.data, y)
    return _done(binning.selecting(reduction, x.dtype, x.data, y, indices, *places, kind), x.data, y, indices)


def largest(
    call: Call,
    x: Source,
    boxes: Boxes,
    return_indices: object,
    out: object,
    nan: object,
    keep: bool = False,
    asked: Asked | None = None,
) -> tuple[Any, Kept | None]:
    """The largest of every box, with indices where they are asked for; and what its gradient needs, where it is to be
    kept. ``asked`` is as for ``mean``, and None where that is kept.
    """
    kind = arguments.index_kind(call.called, "return_indices", return_indices)
    rule = arguments.one_of(call.called, "nan", nan, ("propagate", "ignore"))
    shape = boxes.pooled(x.data.shape)
    outs = call.outs(out, 2 if kind else 1)
    y = call.result("out[0]" if kind else "out", shape, x.dtype, outs[0], x.data)
    record = kind or ("tap" if keep else "")
    indices: Array | None = None
    if kind:
        indices = call.result("out[1]", shape, index_type(boxes, kind), outs[1], x.data).data
    elif keep:
        indices = call.scratch(shape, index_type(boxes, record), x.data)
    task = select(x, y.data, indices, boxes, rule, record)
    known_tasks.keep(asked, known_tasks.read_first(task, len(call.targets)), call)
    kept = (
        Kept(x.dtype, like(x.data), boxes, record, indices, rule == "propagate")
        if keep and indices is not None
        else None
    )
    return call.give(), kept


def _copies(kept: Kept) -> bool:
    """Whether the gradient is that of the result, element by element."""
    return kept.all and kept.boxes.short(1) and kept.dtype in FLOATS


def gradient_by_windows(boxes: Boxes, dtype: str, arrays: tuple[Array, ...], kind: str) -> bool:
    """Whether a gradient, from indices of a kind, is left to the kernels of windows, which check these themselves;
    ``arrays`` are the gradients and the indices.

    Not planes that are one run of memory: 4096 of 14 x 14 took 1.6 ms there, and 0.7 as boxes.
    """
    return boxes.short(SHORT_GRADIENT) and not bin_gradients.in_runs(dtype, arrays, boxes.axes, boxes.bins, kind)


def _from_indices(call: Call, grad: Array, dx: Array, kept: Kept) -> str:
    boxes = kept.boxes
    if _copies(kept):
        mean_gradient_of(kept.dtype, dx, grad, boxes)
        return ""
    if gradient_by_windows(boxes, kept.dtype, (dx, grad, kept.indices), kept.kind):
        problem = boxes.problem("max", kept.dtype, dx.shape, "propagate", kept.kind, backward=True)
        return windows_gradient(problem, dx, grad, kept.indices)
    bin_gradients.scatter(kept.dtype, dx, grad, kept.indices, boxes.axes, boxes.bins, kept.kind)
    return ""


def largest_pullback(called: str, kept: Kept) -> Callable[[Any], Any]:
    """The function from the gradient of the result to that of x."""

    def pullback(dy: Any) -> Any:
        call = Call(called)
        shape = kept.boxes.pooled(kept.x.shape)
        grad = call.take_like("grad_output", dy, shape, kept.dtype, "the shape of the forward's result")
        dx = call.result("out", kept.x.shape, kept.dtype, None, kept.x)
        _from_indices(call, grad.data, dx.data, kept)
        return call.give()

    return pullback


def largest_gradient(
    call: Call,
    grad_output: object,
    x: Source,
    boxes: Boxes,
    indices: object,
    index_kind: object,
    out: object,
    nan: object,
    asked: Asked | None = None,
) -> Any:
    """The gradient of the largest: from indices, or from x; ``asked`` is as for ``mean``."""
    kind = arguments.index_kind(call.called, "index_kind", index_kind)
    rule = arguments.one_of(call.called, "nan", nan, ("propagate", "ignore"))
    shape = boxes.pooled(x.data.shape)
    grad = call.take_like("grad_output", grad_output, shape, x.dtype, "the shape of the forward's result")
    if indices is None:
        dx = call.result("out", x.data.shape, x.dtype, out, x.data)
        found = call.scratch(shape, index_type(boxes, "tap"), x.data)
        values = call.scratch(shape, x.dtype, x.data)
        select(x, values, found, boxes, rule, "tap")
        kept = Kept(x.dtype, like(x.data), boxes, "tap", found, rule == "propagate")
    else:
        given = call.take("indices", indices, tuple(DTYPES))
        wanted = index_type(boxes, kind)
        if given.dtype != wanted:
            rule_text = f"they must have dtype {DTYPES[wanted]}"
            known = f"indices of dtype {DTYPES[given.dtype]}, index_kind={kind!r}"
            raise call.type_error(known, rule_text, "give those that the forward returned, and its kind of indices")
        call.check_shape("indices", given.data, shape, "the shape of the forward's result")
        dx = call.result("out", x.data.shape, x.dtype, out, x.data)
        arrays = dx.data, grad.data, given.data
        by_windows = not boxes.short(1) and gradient_by_windows(boxes, x.dtype, arrays, kind)
        none, places = rule == "ignore", (boxes.axes, boxes.bins, kind)
        if by_windows:
            # the kernels of windows look at the indices themselves, before they write, but let -1 pass
            good = none or not bin_gradients.names_none(given.data)
        else:
            good = bin_gradients.check(x.data.shape, given.data, *places, none)
        if not good:
            raise call.value_error(
                "indices", "an index names no element of its bin", "give those that the forward returned"
            )
        kept = Kept(x.dtype, like(x.data), boxes, kind, given.data, rule == "propagate")
        same = x.data is asked.reads[1] and grad.data is grad_output and given.data is indices if asked else False
        if same and given.data.size and not by_windows:
            stages = [Stage(bin_gradients.checking(x.data.shape, given.data, *places, none), (2, FLAG))]
            if not _copies(kept):
                write = bin_gradients.writing(x.dtype, dx.data, grad.data, given.data, *places)
                stages.append(Stage(write, (RESULT, 0, 2)))
            elif x.dtype in ("f32", "f64"):
                stages += known_tasks.written_first(binning.sharing("mean", x.dtype, dx.data, grad.data, *places[:2]))
            known_tasks.keep(asked if len(stages) == 2 else None, tuple(stages), call)
    wrong = _from_indices(call, grad.data, dx.data, kept)
    if wrong:
        raise call.value_error("indices", wrong, "give those that the forward returned")
    return call.give()
