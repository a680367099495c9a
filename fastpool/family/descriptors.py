"""VLAD, a descriptor made of local features, and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpool.arrays import Source
from fastpool.family import aggregation
from fastpool.family.aggregation import Share
from fastpool.family.local_features import WORDS, Kept, Task, give, gradient_of_sums, keep, targets_of
from fastpool.family.ranks import page
from fastpool.functional._types import A, Device, Layout

__all__ = ["vlad_pool", "vlad_pool_backward"]


def _forward(x: Any, centers: Any, assignment: Any, normalize: Any, layout: Any, out: Any, device: Any) -> Any:
    """The result, and what the gradient needs."""
    task = Task("vlad_pool", x, centers, normalize, layout, device)
    share = task.share(assignment)
    y = task.call.result("out", task.shape, task.x.dtype, out)
    rows = task.rows()
    share = share or Share(labels=aggregation.nearest(rows, task.table(task.centers)))
    kept = keep(task, rows, share)
    task.write(kept.done.result, y.data)
    return task.call.give(), kept


def _backward(
    grad: Any,
    x: Any,
    centers: Any,
    assignment: Any,
    normalize: Any,
    layout: Any,
    out: Any,
    device: Any,
    kept: Kept | None = None,
) -> Any:
    task = Task("vlad_pool_backward", x, centers, normalize, layout, device)
    share = task.share(assignment)
    dy = task.call.take_like("grad_output", grad, task.shape, task.x.dtype, "the shape of the forward's result")
    like: tuple[Source, ...] = (task.x, task.centers)
    if share is not None and share.weights is not None:
        like = (*like, Source(task.x.kind, task.x.dtype, task.call.inputs["assignment"]))
    targets = targets_of(task, out, like)
    rows = task.rows()
    table = task.table(task.centers)
    if kept is None:
        kept = keep(task, rows, share or Share(labels=aggregation.nearest(rows, table)))
    return give(task, aggregation.pulled(gradient_of_sums(task, dy, kept.done), rows, table, kept.share), targets)


def vlad_pool(
    x: A,
    centers: A,
    *,
    assignment: Any = "hard",
    normalize: Any = ("intra", "l2"),
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Vector of locally aggregated descriptors: residuals of the points, summed by centre.

    Parameters
    ----------
    <points>
    assignment : "hard" or array
        Which centre a point belongs to. ``"hard"``: the nearest, the first of several. Integers (int32, int64), of x's
        shape without channels: the number of its centre, -1 for none. Floating, of x's shape with K in place of C: a
        weight for each centre.
    <normalize>
    <layout>
    <out>
    <device>

    Returns
    -------
    y : array
        ``(N, K * C)``, or ``(K * C,)`` where the layout has no batch: centre by centre, the C channels of each.

    <raises>

    See Also
    --------
    vlad_pool_backward : its gradient.
    netvlad_pool : with weights that are learned.

    Notes
    -----
    With a_ik = 1 where point i belongs to centre k, else 0, or the given weights: ``V_k = sum_i a_ik (x_i - c_k)``,
    then the steps of ``normalize`` [1]_ [2]_. A sum of zero stays zero. A nearest centre is found by matrix products;
    centres that these cannot tell apart are compared by the sum of squares in float64. A point with a NaN belongs to
    the first centre.

    <blas>

    References
    ----------
    <vlad>

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> points = np.array([[[1.0, 2.0], [3.0, 0.0], [9.0, 9.0]]])
    >>> centers = np.array([[2.0, 2.0], [8.0, 8.0]])
    >>> fastpool.vlad_pool(points, centers, normalize=None, layout="channels_last")
    array([[ 0., -2.,  1.,  1.]])
    """
    given: A = _forward(x, centers, assignment, normalize, layout, out, device)[0]
    return given


def vlad_pool_backward(
    grad_output: A,
    x: A,
    centers: A,
    *,
    assignment: Any = "hard",
    normalize: Any = ("intra", "l2"),
    layout: Layout = "channels_first",
    out: Any = None,
    device: Device = None,
) -> Any:
    """Gradients of VLAD, of x and of the centres.

    Parameters
    ----------
    grad_output : array
        Gradient of the result, of its shape and dtype.
    <points>
    assignment, normalize
        As in the forward.
    <layout>
    <outs>
    <device>

    Returns
    -------
    dx : array
        Gradient with respect to x.
    dcenters : array
        With respect to the centres.
    dassignment : array
        With respect to the weights; only where ``assignment`` are weights.

    <raises>

    See Also
    --------
    vlad_pool : the forward.

    Notes
    -----
    ``dx_i = sum_k a_ik g_k``, ``dc_k = -sum_i a_ik g_k`` and ``da_ik = g_k . (x_i - c_k)``; the choice of the nearest
    centre has no gradient. Through a norm the gradient becomes ``(g - (g . v) v) / |V|``, and 0 where the norm is 0;
    through a signed root ``g / (2 sqrt|V|)``, and 0 where V is 0.

    <blas>

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> points = np.array([[[1.0, 2.0], [3.0, 0.0], [9.0, 9.0]]])
    >>> centers = np.array([[2.0, 2.0], [8.0, 8.0]])
    >>> dy = np.array([[1.0, 2.0, 3.0, 4.0]])
    >>> dx, dcenters = fastpool.vlad_pool_backward(dy, points, centers, normalize=None, layout="channels_last")
    >>> dx
    array([[[1., 2.],
            [1., 2.],
            [3., 4.]]])
    >>> dcenters
    array([[-2., -4.],
           [-3., -4.]])
    """
    return _backward(grad_output, x, centers, assignment, normalize, layout, out, device)


def _vjp(
    x: Any,
    centers: Any,
    *,
    assignment: Any = "hard",
    normalize: Any = ("intra", "l2"),
    layout: Any = "channels_first",
    out: Any = None,
    device: Any = None,
) -> tuple[Any, Callable[[Any], Any]]:
    """VLAD and its pullback: the nearest centre is not looked for again."""
    y, kept = _forward(x, centers, assignment, normalize, layout, out, device)

    def pullback(dy: Any) -> Any:
        return _backward(dy, x, centers, assignment, normalize, layout, None, device, kept)

    return y, pullback


VJPS = {"vlad_pool": _vjp}

for _function in (vlad_pool, vlad_pool_backward):
    page(_function, _function.__name__, **WORDS)
