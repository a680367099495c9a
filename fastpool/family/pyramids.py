"""An image pyramid: each level pooled from the one before it, while that is still in a cache."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

from fastpool import arguments, config
from fastpool.arguments import Options
from fastpool.axes import pooled_axes
from fastpool.family import chaining, windowed
from fastpool.family.calls import FLOATS, NUMBERS, Call
from fastpool.family.chaining import Chain
from fastpool.family.ranks import IMPORTS, page
from fastpool.functional._types import A, Device, Sizes
from fastpool.memory import Array
from fastpool.problem import Ints, Problem

__all__ = ["pyramid", "pyramid_backward"]

OPS = ("max", "min", "mean", "sum")
Word: TypeAlias = Literal["max", "min", "mean", "sum"]


def _problems(
    call: Call, dtype: str, shape: Ints, levels: object, op: object, window: object, axes: object, ceil: object
) -> list[Problem]:
    """The pooling of each level, from the one before it."""
    count = call.integer("levels", levels)
    word = arguments.one_of(call.called, "op", op, OPS)
    known = pooled_axes(call.called, "window", "", window, axes, len(shape))
    kernel = call.sizes("window", window, len(known))
    round_up = arguments.flag(call.called, "ceil_mode", ceil)
    found: list[Problem] = []
    for _ in range(count):
        # padding and not torch's ceil mode, by whose rule a window must fit into the axis once
        padding = tuple((0, -shape[axis] % step if round_up else 0) for axis, step in zip(known, kernel, strict=True))
        options = Options(kernel, padding=padding, axes=known, count_include_pad=False)
        found.append(call.windows(dtype, shape, options, "window", word))
        dtype, shape = found[-1].out_dtype, found[-1].out_shape
    return found


def _run(problems: list[Problem], x: Array, results: list[Array]) -> None:
    sources = [x, *results[:-1]]
    moved = x.nbytes + sum(y.nbytes for y in results)
    if moved <= chaining.CACHED_BYTES or config.engine() == "reference" or not results[-1].size:
        for problem, source, y in zip(problems, sources, results, strict=True):
            windowed.forward(problem, source, y)
        return
    pooled = problems[0].axes
    cuts = chaining.blocks(x, pooled, 2 * x.itemsize)
    # bands of the axis that steps farthest in memory, each the windows of some elements of the last level
    axis = max(pooled, key=lambda a: abs(x.strides[a]))
    step = problems[0].kernel[pooled.index(axis)]
    unit = step ** len(problems)
    block = dict(cuts)
    part = x.itemsize * math.prod(block.get(a, n) for a, n in enumerate(x.shape) if a != axis) * unit
    bands = x.shape[axis] // unit
    last = max(1, min(bands, chaining.CACHED_BYTES // (2 * part)))
    bands //= last
    covered = [bands * last * step ** (len(problems) - level) for level in range(len(problems) + 1)]
    if bands:
        sizes = [size // bands for size in covered]
        heads = [_between(array, axis, 0, end) for array, end in zip([x, *results], covered, strict=True)]
        whole = [p._replace(pad_end=_without(p, axis)) for p in problems]
        _chain(whole, heads, cuts, (axis, bands, sizes), moved)
    # what is left of each level: less than a band, and with ceil mode windows that are partly outside
    tails = [
        _between(array, axis, begin, array.shape[axis]) for array, begin in zip([x, *results], covered, strict=True)
    ]
    for problem, source, y in zip(problems, tails, tails[1:], strict=False):
        if y.size:
            place = problem.axes.index(axis)
            end = y.shape[axis] * problem.kernel[place] - source.shape[axis]
            ends = tuple(max(end, 0) if i == place else pad for i, pad in enumerate(problem.pad_end))
            windowed.forward(problem._replace(shape=source.shape, pad_end=ends), source, y)


def _without(problem: Problem, axis: int) -> Ints:
    """The end padding of a band: none along its axis."""
    return tuple(0 if a == axis else pad for a, pad in zip(problem.axes, problem.pad_end, strict=True))


def _between(array: Array, axis: int, begin: int, end: int) -> Array:
    kept: list[slice] = [slice(None)] * array.ndim
    kept[axis] = slice(begin, end)
    return array[tuple(kept)]


def _chain(
    problems: list[Problem],
    arrays: list[Array],
    cuts: list[tuple[int, int]],
    bands: tuple[int, int, list[int]],
    moved: int,
) -> None:
    """Pool whole bands, of which each level has as many: their axis, their number, and elements of a band by level."""
    axis, count, sizes = bands

    def build() -> chaining.Prepared:
        outer = [(a, arrays[0].shape[a] // block, block) for a, block in cuts]
        steps = [[*outer, (axis, count, size)] for size in sizes]
        chain = Chain(math.prod(parts for _, parts, _ in steps[0]))
        for level, problem in enumerate(problems):
            source, result = arrays[level], arrays[level + 1]
            part, to = chaining.first(source, steps[level]), chaining.first(result, steps[level + 1])
            own = chaining.placed(problem._replace(shape=part.shape), part, to)
            from_places = chaining.places(source, steps[level], level)
            chain.forward(own, from_places, chaining.places(result, steps[level + 1], level + 1))
        return chain.prepare()

    chaining.prepared(("pyramid", tuple(problems), axis), arrays, build).run(arrays, moved)


def pyramid(
    x: A,
    levels: int,
    op: Word = "mean",
    *,
    window: Sizes = 2,
    axes: int | tuple[int, ...] | None = None,
    ceil_mode: bool = False,
    out: Any = None,
    device: Device = None,
) -> tuple[A, ...]:
    """An image pyramid: ``levels`` arrays, each pooled from the one before it by windows that share nothing.

    Parameters
    ----------
    x : array
        Of any axes; real, and bool for ``"max"`` and ``"min"``.
    levels : int
        How many, at least 1; x itself is not counted.
    op : {"mean", "max", "min", "sum"}
        What a window gives.
    window : int or tuple of int
        Size of a window, and its stride.
    axes : int or tuple of int, optional
        Which axes are pooled; the last ones, as many as ``window`` has entries (all for an int), where it is left out.
    ceil_mode : bool
        Sizes are divided and rounded up, and the last window has what is left; else rounded down, and the rest of an
        axis is in no window.
    <outs>
    <device>

    Returns
    -------
    levels : tuple of array
        The largest first; also for one level. Dtypes are those of ``pool``: x's, but 64 bits for sums of integers.

    <raises>

    See Also
    --------
    pyramid_backward : its gradient.
    pool : one level.

    Notes
    -----
    Each level is what ``pool`` gives for the level before, to the bit: a level is rounded to its dtype before it is
    pooled again. A thread makes all levels of a band of rows while these are in its cache, so that x comes from memory
    once, and no level comes back.

    Examples
    --------
    <example>
    """
    call = Call("pyramid", device)
    source = call.take("x", x, ("b1", *NUMBERS))
    problems = _problems(call, source.dtype, source.data.shape, levels, op, window, axes, ceil_mode)
    alone = len(problems) == 1
    given = call.outs(out[0] if alone and isinstance(out, tuple) and len(out) == 1 else out, len(problems))
    results = [
        call.result(f"out[{i}]", problem.out_shape, problem.out_dtype, array, source.data).data
        for i, (problem, array) in enumerate(zip(problems, given, strict=True))
    ]
    _run(problems, source.data, results)
    return tuple(target.give() for target in call.targets)


def pyramid_backward(
    grad_output: tuple[A, ...],
    x: A,
    levels: int,
    op: Word = "mean",
    *,
    window: Sizes = 2,
    axes: int | tuple[int, ...] | None = None,
    ceil_mode: bool = False,
    out: A | None = None,
    device: Device = None,
) -> A:
    """Gradient of ``pyramid`` with respect to its input.

    Parameters
    ----------
    grad_output : tuple of array
        The gradient of each level, floating.
    x : array
        The forward's input.
    levels, op, window, axes, ceil_mode
        As in the forward.
    <out>
    <device>

    Returns
    -------
    dx : array
        Gradient with respect to x: from the last level up, that of a level's pooling, to which the level's own gradient
        has been added.

    <raises>

    See Also
    --------
    pyramid : the forward.

    Examples
    --------
    <example>
    """
    call = Call("pyramid_backward", device)
    source = call.take("x", x, FLOATS)
    problems = _problems(call, source.dtype, source.data.shape, levels, op, window, axes, ceil_mode)
    parts: object = grad_output
    if not isinstance(parts, tuple | list) or len(parts) != len(problems):
        raise call.type_error("grad_output", f"must be a tuple of {len(problems)}, the gradient of each level")
    grads = []
    for i, (problem, grad) in enumerate(zip(problems, parts, strict=True)):
        name = f"grad_output[{i}]"
        grads.append(call.take_like(name, grad, problem.out_shape, source.dtype, "the shape of its level").data)
    dx = call.result("out", source.data.shape, source.dtype, out, source.data)
    if dx.data.size:
        arrays = [source.data]
        if problems[0].op in arguments.SELECTING:
            for problem in problems[:-1]:
                arrays.append(windowed.like(problem, source.data))
                windowed.forward(problem, arrays[-2], arrays[-1])
        running = grads[-1]
        for level in reversed(range(len(problems))):
            known = arrays[level] if level < len(arrays) else None
            back = dx.data if level == 0 else windowed.like(problems[level], source.data, problems[level].shape)
            windowed.backward(problems[level], running, back, known)
            if level:
                running = windowed.like(problems[level], source.data, problems[level].shape)
                windowed.blend("add", source.dtype, (back, grads[level - 1], running), (source.data.ndim - 1,))
    given: A = call.give()
    return given


page(
    pyramid,
    "pyramid",
    example=f"""{IMPORTS}
>>> half, quarter = fastpool.pyramid(np.arange(16.0).reshape(4, 4), 2)
>>> half
array([[ 2.5,  4.5],
       [10.5, 12.5]])
>>> quarter
array([[7.5]])""",
)
page(
    pyramid_backward,
    "pyramid_backward",
    example=f"""{IMPORTS}
>>> g = np.ones((2, 2)), np.ones((1, 1))
>>> fastpool.pyramid_backward(g, np.zeros((4, 4)), 2)[0]
array([0.3125, 0.3125, 0.3125, 0.3125])""",
)
