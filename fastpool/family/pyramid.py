"""Spatial pyramid pooling: a vector of one length for maps of any size, by four rules of the literature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, SupportsIndex, TypeAlias

import numpy as np

from fastpool import arguments
from fastpool.arguments import Options
from fastpool.arrays import Source
from fastpool.errors import shown
from fastpool.family import bin_gradients
from fastpool.family import boxes as B
from fastpool.family.binning import adaptive_range, bins_of
from fastpool.family.boxes import Boxes
from fastpool.family.calls import REALS, Call
from fastpool.family.ranks import IMPORTS, page
from fastpool.functional._types import A, Device, Layout
from fastpool.memory import Array
from fastpool.problem import Ints

__all__ = ["spatial_pyramid_pool", "spatial_pyramid_pool_backward"]

Levels: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
Rule: TypeAlias = Literal["adaptive", "paper", "caffe", "chainer"]
RULES = ("adaptive", "paper", "caffe", "chainer")
MOST_LEVELS = 16
"""Levels of a pyramid that is given by its height: the last has ``2**15`` bins along an axis."""


class Level(NamedTuple):
    """One level: its bins along both axes, and the window and padding that they are, if they are one."""

    bins: int
    boxes: Boxes
    window: Ints = ()
    padding: Ints = ()


class Pyramid(NamedTuple):
    """The levels of a call, where x's channels are, and the length of the result's vector."""

    levels: tuple[Level, ...]
    channel: int
    features: int
    op: str


def _bins(call: Call, rule: str, size: int, n: int) -> tuple[list[int], list[int], int, int]:
    """Begins and ends of the n bins of an axis, and the window and the padding that they are."""
    if rule == "adaptive":
        return *adaptive_range(size, n), 0, 0
    window = -(-size // n)
    stride, padding = window, 0
    if rule == "paper":
        stride = size // n
        many = (size - window) // stride + 1 if stride else 0
    elif rule == "caffe":
        padding = (window * n - size + 1) // 2
        many = -(-(size + 2 * padding - window) // window) + 1
        many -= (many - 1) * window >= size + padding
        many = 0 if padding >= window else many
    else:
        padding = (window * n - size) // 2
        many = (size + 2 * padding - 1) // window + 1
    begins = [max(0, o * stride - padding) for o in range(many)]
    ends = [min(size, o * stride - padding + window) for o in range(many)]
    if many != n or any(end <= begin for begin, end in zip(begins, ends, strict=True)):
        way_out = 'use rule="adaptive", which gives n bins of an axis of any size'
        given = f"level of {n} bins over an axis of {size} elements"
        raise call.value_error(given, f"rule {rule!r} does not give {n} bins that have elements", way_out)
    return begins, ends, window, padding


def _levels(call: Call, levels: object, rule: str) -> Ints:
    """The bins along an axis of each level."""
    given = f"levels={shown(levels)}"
    if rule in ("caffe", "chainer"):
        height = call.integer("levels", levels, 1, given)
        if height > MOST_LEVELS:
            raise call.value_error(given, f"the height of the pyramid must be at most {MOST_LEVELS}")
        return tuple(2**level for level in range(height))
    if not isinstance(levels, tuple | list) or not levels:
        rule_text = f"rule {rule!r} needs a tuple of the bins of each level"
        raise call.type_error(given, rule_text, "give such as (4, 2, 1)")
    return tuple(call.integer("levels", entry, 1, given) for entry in levels)


def _pyramid(call: Call, shape: Ints, levels: object, op: object, rule: object, layout: object) -> Pyramid:
    name = arguments.one_of(call.called, "op", op, ("max", "avg"))
    known = arguments.one_of(call.called, "rule", rule, RULES)
    if known == "chainer" and name != "max":
        raise call.value_error(f"op={name!r}", "Chainer's rule is max pooling alone", 'use another rule, or op="max"')
    axes = call.axes(layout, 2, shape)
    if len(shape) not in (3, 4):
        raise call.value_error(f"x of shape {shape}", "it needs three axes, or four with a batch", "reshape it")
    channel = next(axis for axis in reversed(range(len(shape))) if axis not in axes)
    found = []
    for n in _levels(call, levels, known):
        made = [_bins(call, known, shape[axis], n) for axis in axes]
        boxes = Boxes(axes, bins_of([(begins, ends) for begins, ends, _, _ in made]), (), layout)
        if known == "adaptive" and all(shape[axis] % n == 0 for axis in axes):
            boxes = boxes._replace(window=tuple(shape[axis] // n for axis in axes))
        window, padding = tuple(entry[2] for entry in made), tuple(entry[3] for entry in made)
        found.append(Level(n, boxes, window, padding) if known == "caffe" else Level(n, boxes))
    features = shape[channel] * sum(level.bins**2 for level in found)
    return Pyramid(tuple(found), channel, features, name)


def _parts(pyramid: Pyramid, vector: Array, shape: Ints) -> list[Array]:
    """The part of each level in the result, as an array of x's layout."""
    parts, at = [], 0
    channels = shape[pyramid.channel]
    for level in pyramid.levels:
        count = channels * level.bins**2
        part = vector[..., at : at + count]
        part = part.reshape(*part.shape[:-1], channels, level.bins, level.bins)
        parts.append(np.moveaxis(part, -3, pyramid.channel))
        at += count
    return parts


def _pooled(shape: Ints, pyramid: Pyramid) -> Ints:
    return (shape[0], pyramid.features) if len(shape) == 4 else (pyramid.features,)


def _mean_problem(level: Level, dtype: str, shape: Ints, backward: bool = False) -> Any:
    """Caffe's mean of a level: what hangs over is counted in the divisor, as padding."""
    options = Options(
        level.window, level.window, tuple((p, p) for p in level.padding), ceil_mode=True, layout=level.boxes.layout
    )
    return arguments.problem("avg_pool2d", "bwd" if backward else "fwd", dtype, shape, options)


def _forward(
    x: Any, levels: Any, op: Any, rule: Any, layout: Any, out: Any, device: Any, keep: bool
) -> tuple[Any, Source, Pyramid, list[Array]]:
    call = Call("spatial_pyramid_pool", device)
    source = call.take("x", x, B.LARGEST if op == "max" else REALS)
    data, dtype = source.data, source.dtype
    pyramid = _pyramid(call, data.shape, levels, op, rule, layout)
    shape = _pooled(data.shape, pyramid)
    y = call.result("out", (*shape, 1, 1) if rule == "chainer" else shape, dtype, out)
    vector = y.data[..., 0, 0] if rule == "chainer" else y.data
    taps: list[Array] = []
    parts = _parts(pyramid, vector, data.shape)
    done: dict[int, Array] = {}
    # a level whose bins are made of those of a finer one is read from it: finer ones first
    order = sorted(range(len(parts)), key=lambda i: -pyramid.levels[i].bins)
    for i in range(len(parts)) if keep or op == "avg" else order:
        level, part = pyramid.levels[i], parts[i]
        boxes = level.boxes
        if op == "avg":
            if level.window:
                B.windows(_mean_problem(level, dtype, data.shape), data, part, None)
            else:
                B.mean_of(dtype, data, part, boxes)
        elif keep:
            found = call.scratch(part.shape, B.index_type(boxes, "tap"), data)
            B.select(source, part, found, boxes, "propagate", "tap")
            taps.append(found)
        else:
            finer = min((n for n in done if n % level.bins == 0), default=0) if rule == "adaptive" else 0
            read = source
            if finer:
                read = source._replace(data=done[finer])
                ratio = finer // level.bins
                nested = [([o * ratio for o in range(level.bins)], [(o + 1) * ratio for o in range(level.bins)])] * 2
                boxes = Boxes(boxes.axes, bins_of(nested), (), boxes.layout)
            B.select(read, part, None, boxes, "propagate", "")
            done[level.bins] = part
    return call.give(), source, pyramid, taps


def _gradient(
    called: str,
    grad: Any,
    shape: Ints,
    dtype: str,
    pyramid: Pyramid,
    taps: list[Array],
    rule: str,
    out: Any,
    device: Any,
) -> Any:
    call = Call(called, device)
    given = call.take_like(
        "grad_output", grad, _expected(shape, pyramid, rule), dtype, "the shape of the forward's result"
    )
    dx = call.result("out", shape, dtype, out)
    vector = given.data[..., 0, 0] if rule == "chainer" else given.data
    more = call.scratch(shape, dtype, dx.data)
    for i, (level, part) in enumerate(zip(pyramid.levels, _parts(pyramid, vector, shape), strict=True)):
        target = more if i else dx.data
        if pyramid.op == "max":
            bin_gradients.scatter(dtype, target, part, taps[i], level.boxes.axes, level.boxes.bins, "tap")
        elif level.window:
            B.windows_gradient(_mean_problem(level, dtype, shape, True), target, part, None)
        else:
            B.mean_gradient_of(dtype, target, part, level.boxes)
        if i:
            np.add(dx.data, more, out=dx.data)
    return call.give()


def spatial_pyramid_pool(
    x: A,
    levels: Levels,
    op: Literal["max", "avg"] = "max",
    *,
    rule: Rule = "adaptive",
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Pools maps of any size into a vector of one length: n x n bins at each level, laid end to end.

    Parameters
    ----------
    x : array
        ``(N, C, H, W)`` or ``(C, H, W)``, or as ``layout`` says. Bool, integer or floating for max, float32 or float64
        for avg.
    levels : tuple of int, or int
        Rules ``"adaptive"`` and ``"paper"``: bins n along an axis of each level, in the order in which they are laid.
        ``"caffe"`` and ``"chainer"``: the height h of the pyramid, whose levels have 1, 2, ..., ``2**(h - 1)`` bins.
    op : str
        ``"max"`` or ``"avg"``.
    rule : str
        Which elements of an axis of a are in bin o of n. ``"adaptive"``:
        ``floor(o a / n) ... ceil((o + 1) a / n) - 1``, for axes of any size. ``"paper"``: windows of ``ceil(a / n)``
        elements, ``floor(a / n)`` apart. ``"caffe"``: windows of k = ``ceil(a / n)``, side by side, with
        ``(k n - a + 1) // 2`` elements of padding, which averages count. ``"chainer"``: the same with
        ``(k n - a) // 2``; max alone. All but the first give an error where that is not n bins.
    layout : str
        ``"channels_first"``, ``"channels_last"``, or letters such as ``"NHWC"``. The result is the same.
    <out>
    <device>

    Returns
    -------
    y : array
        ``(N, F)``, or ``(F,)`` for one map, F being C times the sum of n * n: level after level, in each channel after
        channel, in each row after row. Chainer's is ``(N, F, 1, 1)``.

    <raises>

    See Also
    --------
    spatial_pyramid_pool_backward : its gradient.
    adaptive_max_pool2d : one level, not flattened.

    Notes
    -----
    The first rule is that of [1]_ for images of any size, the second that of its networks for one size. A maximum of a
    level whose bins are made of a finer level's is taken from there.

    References
    ----------
    .. [1] He et al., "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition", 2014.
    .. [2] Caffe, ``SPPLayer``; Chainer, ``spatial_pyramid_pooling_2d``. The rules are as [2]_ has them.

    Examples
    --------
    <example>
    """
    y: A = _forward(x, levels, op, rule, layout, out, device, False)[0]
    return y


def spatial_pyramid_pool_backward(
    grad_output: A,
    x: Any,
    levels: Levels,
    op: Literal["max", "avg"] = "max",
    *,
    rule: Rule = "adaptive",
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Gradient of spatial pyramid pooling: the gradients of its levels, added level after level.

    Parameters
    ----------
    grad_output : array
        Gradient of the result, float32 or float64.
    x : array, or tuple of int
        The forward's input; for averages its shape will do.
    levels, op, rule
        As in the forward.
    layout : str
        As in the forward.
    <out>
    <device>

    Returns
    -------
    dx : array
        Gradient with respect to x: its shape, grad_output's dtype and kind of array.

    <raises>

    See Also
    --------
    spatial_pyramid_pool : the forward.

    Examples
    --------
    <example>
    """
    call = Call("spatial_pyramid_pool_backward", device)
    grad = call.take("grad_output", grad_output, REALS)
    taps: list[Array] = []
    if op == "max":
        source = call.take("x", x, (grad.dtype,))
        shape = source.data.shape
        pyramid = _pyramid(call, shape, levels, op, rule, layout)
        # checked before the largest elements are looked for
        call.check_shape("grad_output", grad.data, _expected(shape, pyramid, rule), "the shape of the forward's result")
        taps = _forward(x, levels, op, rule, layout, None, device, True)[3]
    else:
        shape = call.shape_of("x", x)
        pyramid = _pyramid(call, shape, levels, op, rule, layout)
    dx: A = _gradient(call.called, grad_output, shape, grad.dtype, pyramid, taps, rule, out, device)
    return dx


def _expected(shape: Ints, pyramid: Pyramid, rule: str) -> Ints:
    pooled = _pooled(shape, pyramid)
    return (*pooled, 1, 1) if rule == "chainer" else pooled


page(
    spatial_pyramid_pool,
    "spatial_pyramid_pool",
    example=f"""{IMPORTS}
>>> x = np.arange(12.0).reshape(1, 3, 4)
>>> fastpool.spatial_pyramid_pool(x, (2, 1))
array([ 5.,  7.,  9., 11., 11.])
>>> fastpool.spatial_pyramid_pool(np.ones((2, 8, 13, 9), np.float32), 3, rule="caffe").shape
(2, 168)""",
)
page(
    spatial_pyramid_pool_backward,
    "spatial_pyramid_pool_backward",
    example=f"""{IMPORTS}
>>> fastpool.spatial_pyramid_pool_backward(np.ones(5), (1, 2, 2), (2, 1), "avg")
array([[[1.25, 1.25],
        [1.25, 1.25]]])""",
)


def _vjp(
    x: Any,
    levels: Any,
    op: Any = "max",
    *,
    rule: Any = "adaptive",
    layout: Any = "channels_first",
    out: Any = None,
    device: Any = None,
) -> tuple[Any, Callable[[Any], Any]]:
    y, source, pyramid, taps = _forward(x, levels, op, rule, layout, out, device, op == "max")
    shape, dtype = source.data.shape, source.dtype

    def pullback(dy: Any) -> Any:
        return _gradient("spatial_pyramid_pool_backward", dy, shape, dtype, pyramid, taps, rule, None, device)

    return y, pullback


VJPS = {"spatial_pyramid_pool": _vjp}
"""The gradient keeps the number of each largest element in its bin, or the shape of x."""
