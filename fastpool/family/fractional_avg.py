"""The mean of TensorFlow's fractional regions, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpool import arguments
from fastpool.family import boxes as B
from fastpool.family import fractions
from fastpool.family.boxes import Boxes
from fastpool.family.calls import FLOATS, Call
from fastpool.family.fractional import Ratios
from fastpool.family.ranks import IMPORTS, page, words
from fastpool.functional._types import A, Device, Layout, Sizes
from fastpool.memory import Array
from fastpool.problem import Ints

__all__ = ["fractional_avg_pool2d", "fractional_avg_pool2d_backward"]


def _boxes(call: Call, shape: Ints, layout: object, asked: tuple[Any, ...]) -> tuple[Boxes, tuple[Array, ...]]:
    output_size, ratio, pseudo_random, overlapping, sequences, seed = asked
    axes = call.axes(layout, 2, shape)
    pseudo = arguments.flag(call.called, "pseudo_random", pseudo_random)
    wide = arguments.flag(call.called, "overlapping", overlapping)
    sizes = tuple(shape[axis] for axis in axes)
    found = fractions.regions(call, sizes, output_size, ratio, sequences, pseudo, seed)
    return Boxes(axes, fractions.tensorflow_bins(found, wide)), found


def fractional_avg_pool2d(
    x: A,
    output_size: Sizes | None = None,
    *,
    pooling_ratio: Ratios | None = None,
    pseudo_random: bool = False,
    overlapping: bool = False,
    sequences: Any = None,
    return_sequences: bool = False,
    seed: int | None = None,
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> Any:
    """Mean of each of so many regions over two spatial axes, whose sizes vary by one: fractional average pooling.

    Parameters
    ----------
    x : array
        Shape ``(..., H, W)``, or as ``layout`` says. Floating; halves are added in float32.
    output_size : int or tuple of int, optional
        Regions along each spatial axis.
    pooling_ratio : float or tuple of float, optional
        Instead: at least 1 along H and W; there are ``floor(size / pooling_ratio)`` regions.
    pseudo_random, overlapping : bool
        Boundaries from one draw, not of shuffled steps; regions hold the element at their end, too.
    sequences : pair of sequences of int, optional
        Boundaries of rows and of columns, as they were returned, instead of a draw.
    return_sequences : bool
        Whether these are returned, behind y.
    seed : int, optional
        Draws the same for the same seed. Without, each call draws anew.
    <layout>
    <out>
    <device>

    Returns
    -------
    y : array
        An element for each region; dtype and kind of array are those of x.
    rows, columns : numpy.ndarray
        Only with ``return_sequences``: int64, from 0 to the size of the axis.

    <raises>

    See Also
    --------
    fractional_avg_pool2d_backward : its gradient.
    fractional_max_pool2d : the largest of each, and the rule.

    Notes
    -----
    The rule is that of [1]_. Elements are added along H, then W, along each in binary blocks, and divided once.

    References
    ----------
    .. [1] TensorFlow, ``tf.nn.fractional_avg_pool``.

    Examples
    --------
    <example>
    """
    call = Call("fractional_avg_pool2d", device)
    source = call.take("x", x, FLOATS)
    wanted = arguments.flag(call.called, "return_sequences", return_sequences)
    asked = (output_size, pooling_ratio, pseudo_random, overlapping, sequences, seed)
    boxes, found = _boxes(call, source.data.shape, layout, asked)
    y = B.mean(call, source, boxes, out)
    return (y, *found) if wanted else y


def fractional_avg_pool2d_backward(
    grad_output: A,
    x_or_shape: Any,
    output_size: Sizes | None = None,
    *,
    pooling_ratio: Ratios | None = None,
    pseudo_random: bool = False,
    overlapping: bool = False,
    sequences: Any = None,
    seed: int | None = None,
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Gradient of fractional average pooling: each element receives its share from the regions it is in.

    Parameters
    ----------
    grad_output : array
        Gradient of the result, floating.
    x_or_shape : array or tuple of int
        The forward's x, or its shape.
    output_size, pooling_ratio, pseudo_random, overlapping, sequences, seed
        As in the forward, whose draw they must repeat: sequences or seed is needed.
    <layout>
    <out>
    <device>

    Returns
    -------
    dx : array
        Gradient with respect to x: x's shape, grad_output's dtype and kind of array.

    <raises>

    See Also
    --------
    fractional_avg_pool2d : the forward.

    Examples
    --------
    <example>
    """
    call = Call("fractional_avg_pool2d_backward", device)
    grad = call.take("grad_output", grad_output, FLOATS)
    shape = call.shape_of("x_or_shape", x_or_shape)
    if sequences is None and seed is None:
        raise call.value_error("neither sequences nor seed", "the regions of the forward are needed", "give one")
    asked = (output_size, pooling_ratio, pseudo_random, overlapping, sequences, seed)
    boxes, _ = _boxes(call, shape, layout, asked)
    dx: A = B.mean_gradient(call, grad, boxes, shape, out)
    return dx


page(
    fractional_avg_pool2d,
    "fractional_avg_pool2d",
    **words(2),
    example=f"""{IMPORTS}
>>> x = np.array([[20.0, 5.0, 16.0, 3.0, 7.0]])
>>> fastpool.fractional_avg_pool2d(x, sequences=([0, 1], [0, 2, 5]))
array([[12.5       ,  8.66666667]])""",
)
page(
    fractional_avg_pool2d_backward,
    "fractional_avg_pool2d_backward",
    **words(2),
    example=f"""{IMPORTS}
>>> fastpool.fractional_avg_pool2d_backward(np.ones((1, 2)), (1, 5), sequences=([0, 1], [0, 2, 4]))
Traceback (most recent call last):
ValueError: fractional_avg_pool2d_backward: column_sequence=[0, 2, 4]: must grow from 0 to 5, the size of its axis
>>> fastpool.fractional_avg_pool2d_backward(np.ones((1, 2)), (1, 4), sequences=([0, 1], [0, 2, 4]))
array([[0.5, 0.5, 0.5, 0.5]])""",
)


def _vjp(
    x: Any,
    output_size: Any = None,
    *,
    layout: Any = "channels_first",
    out: Any = None,
    device: Any = None,
    **given: Any,
) -> tuple[Any, Callable[[Any], Any]]:
    wanted = given.pop("return_sequences", False)
    found = fractional_avg_pool2d(x, output_size, layout=layout, out=out, device=device, return_sequences=True, **given)
    y, sequences = found[0], found[1:]
    overlapping = given.get("overlapping", False)
    shape = tuple(x.shape)

    def pullback(dy: Any) -> Any:
        return fractional_avg_pool2d_backward(
            dy, shape, sequences=sequences, overlapping=overlapping, layout=layout, device=device
        )

    return (found if wanted else y), pullback


VJPS = {"fractional_avg_pool2d": _vjp}
"""The gradient keeps the shape of x and the boundaries."""
