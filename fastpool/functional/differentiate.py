"""A pooling and its gradient in one: the vector-Jacobian product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpool.arguments import check_dtype
from fastpool.arrays import Outline, Source
from fastpool.family import differentiate as family
from fastpool.functional import _call
from fastpool.functional._binding import FORWARD, bind

__all__ = ["vjp"]


def vjp(fn: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Pool, and prepare the gradient (vector-Jacobian product).

    What is kept for the gradient is the smallest thing that will do. Max and min: the number of the selected
    tap in its window (one byte per result up to 255 taps), or the indices that the call returns. Mean and
    sum: x's shape. Lp, and mean and sum with ``nan="ignore"``: x itself, not a copy.

    Parameters
    ----------
    fn : function
        One of this package's forward functions, such as ``fastpool.max_pool2d``.
    x : array
        The array to pool.
    *args, **kwargs
        The other arguments of ``fn``.

    Returns
    -------
    y : array, or pair of arrays
        What ``fn(x, *args, **kwargs)`` returns.
    pullback : function
        ``pullback(dy)`` is the gradient with respect to x, for the gradient ``dy`` with respect to the
        result. It can be called any number of times. x, where it is kept, and returned indices must not be
        written to in between.

    Raises
    ------
    TypeError
        If ``fn`` is another function, or for the reasons of the call itself, or if x is bool, which has no
        gradient.
    ValueError
        For the reasons of the call itself.

    Notes
    -----
    The gradient's rules are those of the backward function, such as ``max_pool2d_backward``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.array([[1.0, 2.0], [4.0, 3.0]])
    >>> y, pullback = fastpool.vjp(fastpool.max_pool2d, x, 2)
    >>> y
    array([[4.]])
    >>> pullback(np.array([[10.0]]))
    array([[ 0.,  0.],
           [10.,  0.]])
    """
    module = family.module_of(fn)
    if module is not None:
        return family.vjp(fn, module, x, args, kwargs)
    call = bind("vjp", fn, FORWARD, (x, *args), kwargs)
    called = f"{call.called}_backward"
    plan = _call.plan_forward(
        call.called, options=call.options, out=call.out, device=call.device, record="tap", **call.arrays
    )
    kept: Outline | Source = plan.x.outline
    options = call.options
    indices = None
    if plan.indices is not None:
        kind = plan.problem.indices
        options = options._replace(index_kind=kind)
        indices = Source(plan.x.kind, plan.problem.index_dtype, plan.indices.data)
    elif plan.problem.reads_x:
        kept = plan.x
    check_dtype(called, plan.problem.op, "bwd", plan.problem.dtype)
    plan.run()
    result = plan.y.give()
    if call.options.return_indices and plan.indices is not None:
        pair = (result, plan.indices.give())
        result = pair if call.out is None else call.out

    def pullback(dy: Any) -> Any:
        return _call.backward(called, dy, kept, options, None, call.device, indices)

    return result, pullback
