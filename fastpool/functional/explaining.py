"""Which kernel a call would run, and why not each of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastpool.family import differentiate as family
from fastpool.functional import _call
from fastpool.functional._binding import FUNCTIONS, bind
from fastpool.functional._planned import Backward, Forward

if TYPE_CHECKING:
    from fastpool.explanation import Explanation
    from fastpool.family.differentiate import Told

__all__ = ["explain"]


def explain(fn: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Explanation | Told:
    """Tell which kernel a call would run, and why each other one was refused.

    The arguments are checked as in the call itself, but nothing is computed.

    Parameters
    ----------
    fn : function
        One of this package's pooling functions, forward or backward.
    x : array
        Its first argument; for a backward that is ``grad_output``.
    *args, **kwargs
        Its other arguments.

    Returns
    -------
    Explanation or Told
        ``str`` of it is a table with one line per registered kernel, the chosen one and the refused ones. On a
        GPU it tells the kernels' grids and blocks, and what the copies take that ``device`` asks for.

    Raises
    ------
    TypeError
        If ``fn`` is another function, or for the reasons of the call itself.
    ValueError
        For the reasons of the call itself.

    See Also
    --------
    show_config : versions, processor, threads and settings.

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> x = np.ones((8, 64, 112, 112), np.float32)
    >>> table = str(fastpool.explain(fastpool.max_pool2d, x, 3, stride=2, padding=1))
    >>> "max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1" in table
    True
    """
    from fastpool import dispatch

    module = family.module_of(fn)
    if module is not None:
        return family.explain(fn, (x, *args), kwargs)
    call = bind("explain", fn, FUNCTIONS, (x, *args), kwargs)
    plan: Forward | Backward
    if call.called.endswith("_backward"):
        plan = _call.plan_backward(
            call.called,
            options=call.options,
            out=call.out,
            device=call.device,
            **call.arrays,
        )
    else:
        plan = _call.plan_forward(call.called, options=call.options, out=call.out, device=call.device, **call.arrays)
    kind = plan.grad.kind if isinstance(plan, Backward) else plan.x.kind
    if kind.device is None and not plan.to:
        return dispatch.explain(plan.problem)
    return dispatch.explain_at(plan.problem, kind.device, plan.to, plan.given())
