"""Fractional pooling by torch's rule and by TensorFlow's, and its gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from fastpool.family import boxes as B
from fastpool.family.fractional_calls import backward, forward
from fastpool.family.ranks import IMPORTS, page, words
from fastpool.functional._types import A, Device, IndexKind, Layout, NanRule, Sizes

__all__ = [
    "fractional_max_pool2d",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d",
    "fractional_max_pool3d_backward",
]

Ratios: TypeAlias = float | Sequence[float]
Rule: TypeAlias = Literal["torch", "tensorflow"]


def _names(given: dict[str, Any]) -> dict[str, Any]:
    """What says where the bins are, of a function's arguments."""
    return {name: given[name] for name in (*TORCH, *TENSORFLOW) if name in given}


TORCH = ("kernel_size", "output_size", "output_ratio", "samples", "seed")
TENSORFLOW = ("rule", "pooling_ratio", "pseudo_random", "overlapping", "sequences", "return_sequences")


def fractional_max_pool2d(
    x: A,
    kernel_size: Sizes | None,
    output_size: Sizes | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool | IndexKind = False,
    *,
    samples: Any = None,
    seed: int | None = None,
    rule: Rule = "torch",
    pooling_ratio: Ratios | None = None,
    pseudo_random: bool = False,
    overlapping: bool = False,
    sequences: Any = None,
    return_sequences: bool = False,
    layout: Layout = "channels_first",
    out: Any = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> Any:
    """Largest element of each of so many windows over two spatial axes, whose steps vary: fractional max pooling.

    Parameters
    ----------
    x : array
        Shape ``(..., H, W)``, or as ``layout`` says. Bool, integer or floating.
    kernel_size : int or tuple of int
        Elements of a window along each axis; None with TensorFlow's rule.
    output_size : int or tuple of int, optional
        Elements of the result along each spatial axis.
    output_ratio : float or tuple of float, optional
        Instead, with torch's rule: their share of x's, between 0 and 1.
    return_indices : bool or str
        True or ``"plane"``, ``"tensor"`` or ``"tap"``, as in adaptive max pooling.
    samples : array, optional
        A number from 0 to 1 for each plane and axis, ``(N, C, 2)``, as torch's ``_random_samples``: the first is for
        W, the second for H.
    seed : int, optional
        Draws what is drawn, the same for the same seed. Without, each call draws anew.
    rule : str
        ``"torch"``: windows of ``kernel_size``, other ones in each plane. ``"tensorflow"``: regions side by side, the
        same in all planes.
    pooling_ratio : float or tuple of float, optional
        TensorFlow's, along H and W, at least 1: there are ``floor(size / pooling_ratio)`` regions.
    pseudo_random, overlapping : bool
        TensorFlow's: boundaries from one draw, not of shuffled steps; regions hold the element at their end, too.
    sequences : pair of sequences of int, optional
        TensorFlow's boundaries of rows and of columns, as they were returned, instead of a draw.
    return_sequences : bool
        Whether these are returned, behind the other results.
    <layout>
    <outs>
    nan : str
        ``"propagate"``, or ``"ignore"`` NaN, as in adaptive max pooling.
    <device>

    Returns
    -------
    y : array
        ``output_size`` elements along the spatial axes; dtype and kind of array are those of x.
    indices : array
        Only with ``return_indices``.
    rows, columns : numpy.ndarray
        Only with ``return_sequences``: int64, from 0 to the size of the axis.

    <raises>

    See Also
    --------
    fractional_max_pool2d_backward : its gradient.
    fractional_avg_pool2d : the mean of TensorFlow's regions.

    Notes
    -----
    Of n elements, m windows of k and a sample u, window o begins at ``floor((o + u) a) - floor(u a)`` with
    a = (n - k) / (m - 1), and the last ends with the axis [1]_, in the arithmetic of the type of the samples, as torch
    has it; with a seed in float64. TensorFlow's steps are ``floor(n / m)`` or one more, shuffled, or by one draw
    ``ceil(n / m (o + u))`` [2]_. Its own generator is another: to have its regions, give their sequences.

    References
    ----------
    .. [1] PyTorch, ``fractional_max_pool2d``; Graham, "Fractional Max-Pooling", 2014.
    .. [2] TensorFlow, ``tf.nn.fractional_max_pool``.

    Examples
    --------
    <example>
    """
    return forward(2, x, return_indices, layout, out, nan, device, False, _names(locals()))[0]


def fractional_max_pool3d(
    x: A,
    kernel_size: Sizes,
    output_size: Sizes | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool | IndexKind = False,
    *,
    samples: Any = None,
    seed: int | None = None,
    layout: Layout = "channels_first",
    out: Any = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> Any:
    """Largest element of each of so many windows over three spatial axes, whose steps vary.

    Parameters
    ----------
    x : array
        Shape ``(..., D, H, W)``, or as ``layout`` says. Bool, integer or floating.
    kernel_size : int or tuple of int
        Elements of a window along each axis.
    output_size : int or tuple of int, optional
        Elements of the result along each spatial axis.
    output_ratio : float or tuple of float, optional
        Instead: their share of x's, between 0 and 1.
    return_indices : bool or str
        True or ``"plane"``, ``"tensor"`` or ``"tap"``, as in adaptive max pooling.
    samples : array, optional
        A number from 0 to 1 for each plane and axis, ``(N, C, 3)``, as torch's ``_random_samples``: for D, H and W.
    seed : int, optional
        Draws them, the same for the same seed. Without, each call draws anew.
    <layout>
    <outs>
    nan : str
        ``"propagate"``, or ``"ignore"`` NaN, as in adaptive max pooling.
    <device>

    Returns
    -------
    y : array
        ``output_size`` elements along the spatial axes; dtype and kind of array are those of x.
    indices : array
        Only with ``return_indices``.

    <raises>

    See Also
    --------
    fractional_max_pool3d_backward : its gradient.
    fractional_max_pool2d : the rule.

    Examples
    --------
    <example>
    """
    return forward(3, x, return_indices, layout, out, nan, device, False, _names(locals()))[0]


def fractional_max_pool2d_backward(
    grad_output: A,
    x: A,
    kernel_size: Sizes | None = None,
    output_size: Sizes | None = None,
    output_ratio: Ratios | None = None,
    *,
    indices: A | None = None,
    index_kind: IndexKind = "plane",
    samples: Any = None,
    seed: int | None = None,
    rule: Rule = "torch",
    pooling_ratio: Ratios | None = None,
    pseudo_random: bool = False,
    overlapping: bool = False,
    sequences: Any = None,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of fractional max pooling over two spatial axes: the largest of each window receives its gradient.

    Parameters
    ----------
    grad_output : array
        Gradient of the result, of x's dtype.
    x : array
        The forward's input; not bool.
    kernel_size, output_size, output_ratio
        As in the forward. Indices of the kind ``"plane"`` or ``"tensor"`` need nothing of what says where windows are.
    indices : array, optional
        What the forward returned; without, the largest elements are looked for again.
    index_kind : str
        What they count, as ``return_indices`` of the forward said.
    samples, seed, rule, pooling_ratio, pseudo_random, overlapping, sequences
        As in the forward, whose draw they must repeat.
    <layout>
    <out>
    nan : str
        As in the forward.
    <device>

    Returns
    -------
    dx : array
        Gradient with respect to x, of its shape, dtype and kind of array.

    <raises>

    See Also
    --------
    fractional_max_pool2d : the forward.

    Examples
    --------
    <example>
    """
    asked = _names(locals())
    result: A = backward(2, grad_output, x, indices, index_kind, layout, out, nan, device, asked)
    return result


def fractional_max_pool3d_backward(
    grad_output: A,
    x: A,
    kernel_size: Sizes | None = None,
    output_size: Sizes | None = None,
    output_ratio: Ratios | None = None,
    *,
    indices: A | None = None,
    index_kind: IndexKind = "plane",
    samples: Any = None,
    seed: int | None = None,
    layout: Layout = "channels_first",
    out: A | None = None,
    nan: NanRule = "propagate",
    device: Device = None,
) -> A:
    """Gradient of fractional max pooling over three spatial axes.

    Parameters
    ----------
    grad_output : array
        Gradient of the result, of x's dtype.
    x : array
        The forward's input; not bool.
    kernel_size, output_size, output_ratio, samples, seed
        As in the forward. Indices of the kind ``"plane"`` or ``"tensor"`` need none of them.
    indices : array, optional
        What the forward returned; without, the largest elements are looked for again.
    index_kind : str
        What they count, as ``return_indices`` of the forward said.
    <layout>
    <out>
    nan : str
        As in the forward.
    <device>

    Returns
    -------
    dx : array
        Gradient with respect to x, of its shape, dtype and kind of array.

    <raises>

    See Also
    --------
    fractional_max_pool3d : the forward.

    Examples
    --------
    <example>
    """
    asked = _names(locals())
    result: A = backward(3, grad_output, x, indices, index_kind, layout, out, nan, device, asked)
    return result


for _function, _n, _example in (
    (
        fractional_max_pool2d,
        2,
        """>>> x = np.arange(49.0).reshape(1, 1, 7, 7)
>>> fastpool.fractional_max_pool2d(x, 2, 3, samples=np.full((1, 1, 2), 0.3))[0, 0]
array([[ 8., 11., 13.],
       [29., 32., 34.],
       [43., 46., 48.]])
>>> y, rows, columns = fastpool.fractional_max_pool2d(
...     x, None, rule="tensorflow", sequences=([0, 2, 4, 7], [0, 3, 5, 7]), return_sequences=True)
>>> y[0, 0]
array([[ 9., 11., 13.],
       [23., 25., 27.],
       [44., 46., 48.]])""",
    ),
    (
        fractional_max_pool3d,
        3,
        """>>> x = np.arange(27).reshape(3, 3, 3)
>>> fastpool.fractional_max_pool3d(x, 2, 2, seed=1)
array([[[13, 14],
        [16, 17]],
<BLANKLINE>
       [[22, 23],
        [25, 26]]])""",
    ),
    (
        fractional_max_pool2d_backward,
        2,
        """>>> x = np.arange(9.0).reshape(3, 3)
>>> y, indices = fastpool.fractional_max_pool2d(x, 2, 2, return_indices=True, seed=1)
>>> fastpool.fractional_max_pool2d_backward(np.ones_like(y), x, indices=indices)
array([[0., 0., 0.],
       [0., 1., 1.],
       [0., 1., 1.]])""",
    ),
    (
        fractional_max_pool3d_backward,
        3,
        """>>> x = np.arange(8.0).reshape(2, 2, 2)
>>> fastpool.fractional_max_pool3d_backward(np.ones((1, 1, 1)), x, 2, 1, seed=1).ravel()
array([0., 0., 0., 0., 0., 0., 0., 1.])""",
    ),
):
    page(_function, _function.__name__, **{**words(_n), "example": f"{IMPORTS}\n{_example}"})


def _vjp(n: int) -> Callable[..., Any]:
    def vjp(
        x: Any,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: Any = False,
        *,
        layout: Any = "channels_first",
        out: Any = None,
        nan: Any = "propagate",
        device: Any = None,
        **given: Any,
    ) -> tuple[Any, Callable[[Any], Any]]:
        asked = {"samples": None, "seed": None, "pooling_ratio": None, "sequences": None, **given}
        asked = {"pseudo_random": False, "overlapping": False, **asked}
        asked |= {"kernel_size": kernel_size, "output_size": output_size, "output_ratio": output_ratio}
        y, kept = forward(n, x, return_indices, layout, out, nan, device, True, asked)
        assert kept is not None
        return y, B.largest_pullback(f"fractional_max_pool{n}d_backward", kept)

    return vjp


VJPS = {f"fractional_max_pool{n}d": _vjp(n) for n in (2, 3)}
"""The gradient keeps the number of the largest element in its window, and where the windows are."""
