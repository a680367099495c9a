"""NetVLAD, a descriptor made of local features by centres that are learned, and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpool.family import aggregation
from fastpool.family.aggregation import Share
from fastpool.family.local_features import WORDS, Kept, Task, give, gradient_of_sums, keep, targets_of
from fastpool.family.ranks import page
from fastpool.functional._types import A, Device, Layout
from fastpool.memory import Array

__all__ = ["netvlad_pool", "netvlad_pool_backward"]


class _Soft(Task):
    """A call of NetVLAD."""

    def __init__(self, called: str, x: Any, centers: Any, weight: Any, bias: Any, *rest: Any):
        super().__init__(called, x, centers, *rest)
        of = "the shape of centers"
        self.weight = self.call.take_like("weight", weight, self.centers.data.shape, self.x.dtype, of)
        self.bias = self.call.take_like("bias", bias, (self.count,), self.x.dtype, "an entry per centre")

    def kept(self, rows: Array) -> Kept:
        weights = aggregation.soft_weights(rows, self.table(self.weight), self.table(self.bias))
        return keep(self, rows, Share(weights=weights))


def _forward(
    x: Any, centers: Any, weight: Any, bias: Any, normalize: Any, layout: Any, out: Any, device: Any
) -> tuple[Any, Kept]:
    """The result, and what the gradient needs."""
    task = _Soft("netvlad_pool", x, centers, weight, bias, normalize, layout, device)
    y = task.call.result("out", task.shape, task.x.dtype, out)
    kept = task.kept(task.rows())
    task.write(kept.done.result, y.data)
    return task.call.give(), kept


def _backward(
    grad: Any,
    x: Any,
    centers: Any,
    weight: Any,
    bias: Any,
    normalize: Any,
    layout: Any,
    out: Any,
    device: Any,
    kept: Kept | None = None,
) -> Any:
    task = _Soft("netvlad_pool_backward", x, centers, weight, bias, normalize, layout, device)
    dy = task.call.take_like("grad_output", grad, task.shape, task.x.dtype, "the shape of the forward's result")
    targets = targets_of(task, out, (task.x, task.centers, task.weight, task.bias))
    rows = task.rows()
    kept = kept or task.kept(rows)
    sums = gradient_of_sums(task, dy, kept.done)
    table, soft = task.table(task.centers), task.table(task.weight)
    return give(task, aggregation.pulled(sums, rows, table, kept.share, soft), targets)


def netvlad_pool(
    x: A,
    centers: A,
    weight: A,
    bias: A,
    *,
    normalize: Any = ("intra", "l2"),
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """VLAD whose assignment is a softmax over the centres, so that all of it can be learned.

    Parameters
    ----------
    <points>
    weight : array
        ``(K, C)``: a direction for each centre.
    bias : array
        ``(K,)``. With ``weight = 2 a c_k`` and ``bias = -a |c_k|**2`` the assignment is the softmax of
        ``-a |x_i - c_k|**2``, which is ``vlad_pool``'s where ``a`` is large.
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
    netvlad_pool_backward : its gradient.
    vlad_pool : with the nearest centre alone.

    Notes
    -----
    ``V_k = sum_i a_ik (x_i - c_k)`` with ``a_i = softmax_k(w_k . x_i + b_k)``, then the steps of ``normalize`` [1]_.
    A weight below ``2**-100`` of a point's largest (in float64 ``2**-900``) is 0.

    <blas>

    References
    ----------
    <netvlad>

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> points = np.array([[[1.0, 2.0], [3.0, 0.0], [9.0, 9.0]]])
    >>> centers = np.array([[2.0, 2.0], [8.0, 8.0]])
    >>> weight, bias = 20 * centers, -10 * (centers**2).sum(axis=1)
    >>> fastpool.netvlad_pool(points, centers, weight, bias, normalize=None, layout="channels_last").round(6)
    array([[ 0., -2.,  1.,  1.]])
    """
    given: A = _forward(x, centers, weight, bias, normalize, layout, out, device)[0]
    return given


def netvlad_pool_backward(
    grad_output: A,
    x: A,
    centers: A,
    weight: A,
    bias: A,
    *,
    normalize: Any = ("intra", "l2"),
    layout: Layout = "channels_first",
    out: Any = None,
    device: Device = None,
) -> tuple[A, A, A, A]:
    """Gradients of NetVLAD, of x and of all that is learned.

    Parameters
    ----------
    grad_output : array
        Gradient of the result, of its shape and dtype.
    <points>
    weight, bias
        As in the forward.
    normalize
        As in the forward.
    <layout>
    <outs>
    <device>

    Returns
    -------
    dx, dcenters, dweight, dbias : array
        Gradients, each of the shape of what it is the gradient of.

    <raises>

    See Also
    --------
    netvlad_pool : the forward.

    Notes
    -----
    With ``da_ik = g_k . (x_i - c_k)`` and ``ds_ik = a_ik (da_ik - sum_j a_ij da_ij)``: ``dx_i = sum_k a_ik g_k + ds_ik
    w_k``, ``dc_k = -sum_i a_ik g_k``, ``dw_k = sum_i ds_ik x_i``, ``db_k = sum_i ds_ik``. Norms as in
    ``vlad_pool_backward``.

    <blas>

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x, centers = np.array([[[1.0, 3.0]]]), np.array([[2.0], [8.0]])
    >>> weight, bias = np.zeros((2, 1)), np.zeros(2)
    >>> grads = fastpool.netvlad_pool_backward(np.ones((1, 2)), x, centers, weight, bias, normalize=None)
    >>> [grad.tolist() for grad in grads]
    [[[[1.0, 1.0]]], [[-1.0], [-1.0]], [[6.0], [-6.0]], [3.0, -3.0]]
    """
    given: tuple[A, A, A, A]
    given = _backward(grad_output, x, centers, weight, bias, normalize, layout, out, device)
    return given


def _vjp(
    x: Any,
    centers: Any,
    weight: Any,
    bias: Any,
    *,
    normalize: Any = ("intra", "l2"),
    layout: Any = "channels_first",
    out: Any = None,
    device: Any = None,
) -> tuple[Any, Callable[[Any], Any]]:
    """NetVLAD and its pullback: the weights of the points, and the sums, are kept."""
    y, kept = _forward(x, centers, weight, bias, normalize, layout, out, device)

    def pullback(dy: Any) -> Any:
        return _backward(dy, x, centers, weight, bias, normalize, layout, None, device, kept)

    return y, pullback


VJPS = {"netvlad_pool": _vjp}

for _function in (netvlad_pool, netvlad_pool_backward):
    page(_function, _function.__name__, **WORDS)
