"""LDW pooling: a learnable wavelet, the bands of which are weighed by their energies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastpool.family import filtering, tasks
from fastpool.family.calls import REALS, Call
from fastpool.family.ranks import IMPORTS, page, words
from fastpool.family.tap_gradients import pair_gradients, tap_sums
from fastpool.family.transforming import filters_of, halved
from fastpool.family.weighing import BANDS, Given, Parts, canonical, combine, parts_of, spread, total
from fastpool.functional._types import A, Device, Layout
from fastpool.memory import Array
from fastpool.problem import Ints

__all__ = ["ldw_constraint", "ldw_pool2d", "ldw_pool2d_backward"]


def _take(
    call: Call, x: object, low: object, weight: object, bias: object, mode: object, padding: object, layout: object
) -> Given:
    source = call.take("x", x, REALS)
    axes = call.axes(layout, 2, source.data.shape)
    taken = call.take("low", low, (source.dtype,)).data
    matrix = call.take_like("weight", weight, (BANDS, BANDS), source.dtype, "a row for each band's weight").data
    added = call.take_like("bias", bias, (BANDS,), source.dtype, "a number for each band").data
    if mode not in ("sum", "concat"):
        error = call.value_error if isinstance(mode, str) else call.type_error
        raise error(f"mode={mode!r}", 'it must be "sum" or "concat"')
    taps = filtering.taps_of(call, "low", taken)
    if len(taps) % 2:
        raise call.value_error(f"low with {len(taps)} taps", "its number of taps must be even", "put a 0 at one end")
    rule = filtering.rule_of(call, padding)
    pair = (taps, tuple(float(tap) for tap in _tied(taken)))
    filters = filters_of(call, source.data.shape, axes, pair, rule)
    return Given(source.data, source.dtype, axes, taken, matrix, added, filters)


def _tied(low: Array) -> Array:
    """The high-pass filter: ``g[u] = (-1)^u h[m - 1 - u]``."""
    high = low[::-1].copy()
    high[1::2] *= -1
    return high


def _lead(given: Given) -> Ints:
    return tuple(size for axis, size in enumerate(given.x.shape) if axis not in given.axes)


def _forward(called: str, asked: tuple[Any, ...], mode: str, return_parts: object, out: object, device: object) -> Any:
    call = Call(called, device)
    given = _take(call, *asked)
    if not isinstance(return_parts, bool | np.bool_):
        raise call.type_error(f"return_parts={return_parts!r}", "it must be True or False")
    shape, lead = halved(given.x.shape, given.axes), _lead(given)
    outs = call.outs(out, 4 if return_parts else 1)
    ahead = () if mode == "sum" else (BANDS,)
    y = call.result("out", (*ahead, *shape), given.dtype, outs[0], given.x, len(ahead))
    if return_parts:
        bands = call.result("out[1]", (BANDS, *shape), given.dtype, outs[1], given.x, 1)
        energies, weights = (call.result(f"out[{i}]", (BANDS, *lead), given.dtype, outs[i]) for i in (2, 3))
    parts = parts_of(given)
    if tasks.telling():
        return call.give(), given, parts
    combine(parts, y.data, shape, given.axes, mode)
    canonical(y.data)
    if return_parts:
        bands.data[...] = parts.bands
        energies.data[...] = parts.energies.reshape(BANDS, *lead)
        weights.data[...] = parts.weights.reshape(BANDS, *lead)
    return call.give(), given, parts


@np.errstate(all="ignore")
def _gradients(call: Call, grad: Array, given: Given, kept: Parts | None, mode: str, outs: tuple[Any, ...]) -> Any:
    """dx, dlow, dweight, dbias."""
    shape = halved(given.x.shape, given.axes)
    dx = call.result("out[0]", given.x.shape, given.dtype, outs[0], given.x)
    dlow = call.result("out[1]", given.low.shape, given.dtype, outs[1])
    dweight = call.result("out[2]", (BANDS, BANDS), given.dtype, outs[2])
    dbias = call.result("out[3]", (BANDS,), given.dtype, outs[3])
    parts = parts_of(given) if kept is None else kept
    seen = tuple(grad) if mode == "concat" else (grad,) * BANDS
    product = np.empty_like(parts.bands[0])
    weights, energies = parts.weights, parts.energies
    products = (np.multiply(*pair, out=product) for pair in zip(parts.bands, seen, strict=True))
    by_weight = np.stack([total(both, given.axes) for both in products])
    mean = np.zeros_like(by_weight[0])
    for band in range(BANDS):
        mean += weights[band] * by_weight[band]
    by_score = weights * (by_weight - mean)
    by_energy = np.zeros_like(energies)
    for band in range(BANDS):
        for other in range(BANDS):
            by_energy[other] += given.weight[band, other] * by_score[band]
    by_band = np.empty_like(parts.bands)
    for band in range(BANDS):
        np.multiply(seen[band], spread(weights[band], shape, given.axes), out=by_band[band])
        own = spread(2 * by_energy[band], shape, given.axes)
        by_band[band] += np.multiply(parts.bands[band], own, out=product)
    filtering.apply(by_band, dx.data, given.axes, given.filters, given.dtype, transposed=True)
    sums = tap_sums(given.x, by_band, given.axes, given.filters, given.dtype)
    low, high = pair_gradients(sums, given.low, _tied(given.low))
    signs = np.where(np.arange(len(high)) % 2, -1.0, 1.0)
    dlow.data[...] = low + (signs * high)[::-1]
    exact = by_score.astype(np.float64)
    for band in range(BANDS):
        dbias.data[band] = exact[band].sum()
        for other in range(BANDS):
            dweight.data[band, other] = (exact[band] * energies[other]).sum()
    for result in (dlow, dweight, dbias):
        canonical(result.data)
    return call.give()


def _check_grad(call: Call, grad: object, given: Given, mode: str) -> Array:
    shape = halved(given.x.shape, given.axes)
    shape = shape if mode == "sum" else (BANDS, *shape)
    return call.take_like("grad_output", grad, shape, given.dtype, "the shape of the forward's result").data


def ldw_pool2d(
    x: A,
    low: A,
    weight: A,
    bias: A,
    *,
    mode: str = "sum",
    padding: str = "periodic",
    return_parts: bool = False,
    layout: Layout = "channels_first",
    out: Any = None,
    device: Device = None,
) -> Any:
    """LDW pooling over two spatial axes: a learnable wavelet's four bands, weighed by what their energies say.

    Parameters
    ----------
    x : array
        Shape ``<shape>``, or as ``layout`` says. float32 or float64.
    low : array
        Taps of the low-pass filter h, an even number m of them, of x's dtype and kind of array.
    weight, bias : array
        The layer that makes scores of energies: shapes (4, 4) and (4,), of x's dtype and kind of array.
    mode : {"sum", "concat"}
        The sum of the weighed bands, or the weighed bands on a new first axis.
    padding : {"periodic", "reflect", "replicate", "zero"}
        What x is outside, as in ``wavelet_pool2d``.
    return_parts : bool
        Whether bands, energies and weights are returned, too.
    <layout>
    <outs>
    <device>

    Returns
    -------
    y : array
        ``ceil(size / 2)`` elements along each spatial axis, with ``"concat"`` four times on a new first axis; dtype and
        kind of array are those of x.
    bands : array
        With ``return_parts``: LL, LH, HL, HH on a first axis, as ``wavelet_pool2d`` gives them.
    energies, weights : array
        With ``return_parts``: of each band, on the first axis, and each plane of x.

    <raises>

    See Also
    --------
    ldw_pool2d_backward : its gradients.
    ldw_constraint : what makes the filter a wavelet.

    Notes
    -----
    The high-pass filter is ``g[u] = (-1)^u h[m - 1 - u]``; bands are those of ``wavelet_pool2d`` with the pair (h, g)
    [1]_. Energies are the sums of squares over each plane, ``e_b = sum y_b^2``; weights are
    ``softmax_b(sum_c weight[b, c] e_c + bias[b])`` of each plane, and the result is ``sum_b w_b y_b``.

    References
    ----------
    .. [1] Wang et al., "LDW-Pooling: Learnable Discrete Wavelet Pooling", 2021.

    Examples
    --------
    <example>
    """
    asked = (x, low, weight, bias, mode, padding, layout)
    return _forward("ldw_pool2d", asked, mode, return_parts, out, device)[0]


def ldw_pool2d_backward(
    grad_output: A,
    x: A,
    low: A,
    weight: A,
    bias: A,
    *,
    mode: str = "sum",
    padding: str = "periodic",
    layout: Layout = "channels_first",
    out: Any = None,
    device: Device = None,
) -> Any:
    """Gradients of LDW pooling over two spatial axes, with respect to x and to all that is learnt.

    Parameters
    ----------
    grad_output : array
        Gradient of y, of x's dtype.
    x, low, weight, bias, mode, padding
        As in the forward.
    <layout>
    <outs>
    <device>

    Returns
    -------
    dx, dlow, dweight, dbias : array
        Gradients, each with the shape of what it is the gradient of.

    <raises>

    See Also
    --------
    ldw_pool2d : the forward. ``vjp`` of it keeps the bands, and does not compute them again.

    Notes
    -----
    Sums over a plane that ``dlow`` is made of are added in float64 in row-major order, then those of the planes.

    Examples
    --------
    <example>
    """
    call = Call("ldw_pool2d_backward", device)
    given = _take(call, x, low, weight, bias, mode, padding, layout)
    grad = _check_grad(call, grad_output, given, mode)
    return _gradients(call, grad, given, None, mode, call.outs(out, 4))


def _vjp(
    x: Any,
    low: Any,
    weight: Any,
    bias: Any,
    *,
    mode: str = "sum",
    padding: str = "periodic",
    return_parts: bool = False,
    layout: Layout = "channels_first",
    out: Any = None,
    device: Device = None,
) -> tuple[Any, Callable[[Any], Any]]:
    """The result and the function from the gradient of y to those of x, low, weight and bias."""
    asked = (x, low, weight, bias, mode, padding, layout)
    y, given, parts = _forward("ldw_pool2d", asked, mode, return_parts, out, device)

    def pullback(dy: Any) -> Any:
        call = Call("ldw_pool2d_backward", device)
        call.take("x", x, REALS)
        return _gradients(call, _check_grad(call, dy, given, mode), given, parts, mode, (None,) * 4)

    return y, pullback


VJPS = {"ldw_pool2d": _vjp}


def ldw_constraint(low: A) -> tuple[float, A]:
    """How far a filter is from a low-pass filter of an orthogonal wavelet, and the gradient of that.

    Parameters
    ----------
    low : array
        Taps of the filter h, an even number of them; float32 or float64.

    Returns
    -------
    loss : float
        ``(sum h - sqrt 2)^2 + (sum h^2 - 1)^2 + sum over j > 0 of (sum_u h[u] h[u + 2 j])^2``.
    dlow : array
        Its gradient: shape, dtype and kind of array of ``low``.

    <raises>

    See Also
    --------
    ldw_pool2d : what the filter is for.

    Notes
    -----
    The loss is added to that of a network, and is 0 for the filter of an orthogonal wavelet alone [1]_.

    References
    ----------
    .. [1] Wang et al., "LDW-Pooling: Learnable Discrete Wavelet Pooling", 2021.

    Examples
    --------
    <example>
    """
    call = Call("ldw_constraint")
    source = call.take("low", low, REALS)
    taps = np.array(filtering.taps_of(call, "low", source.data))
    if taps.size % 2:
        raise call.value_error(f"low with {taps.size} taps", "its number of taps must be even", "put a 0 at one end")
    result = call.result("dlow", (taps.size,), source.dtype)
    short = float(np.sum(taps)) - 2**0.5
    loss, found = short * short, np.full(taps.size, 2 * short)
    for shift in range(0, taps.size, 2):
        ahead, behind = taps[shift:], taps[: taps.size - shift]
        far = float(np.sum(ahead * behind)) - (shift == 0)
        loss += far * far
        found[: taps.size - shift] += 2 * far * ahead
        found[shift:] += 2 * far * behind
    result.data[...] = found
    return loss, call.give()


_EXAMPLES: dict[Callable[..., Any], str] = {
    ldw_pool2d: """
>>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
>>> haar = np.array([1.0, 1.0]) / 2**0.5
>>> y, bands, energies, weights = fastpool.ldw_pool2d(x, haar, np.zeros((4, 4)), np.zeros(4), return_parts=True)
>>> bands.reshape(4).round(3)
array([ 5., -1., -2.,  0.])
>>> weights
array([0.25, 0.25, 0.25, 0.25])
>>> y.round(3)
array([[0.5]])""",
    ldw_pool2d_backward: """
>>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
>>> haar = np.array([1.0, 1.0]) / 2**0.5
>>> dx, dlow, dweight, dbias = fastpool.ldw_pool2d_backward(
...     np.ones((1, 1)), x, haar, np.zeros((4, 4)), np.zeros(4)
... )
>>> dx.round(3)
array([[0.5, 0. ],
       [0. , 0. ]])""",
    ldw_constraint: """
>>> loss, dlow = fastpool.ldw_constraint(np.array([1.0, 0.0]))
>>> round(loss, 3), dlow.round(3)
(0.172, array([-0.828, -0.828]))""",
}
for _function, _example in _EXAMPLES.items():
    page(_function, _function.__name__, **words(2), example=f"{IMPORTS}{_example}")
