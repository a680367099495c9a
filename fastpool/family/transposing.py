"""The transpose of any linear pooling: what takes a gradient of the result to that of the input, without an input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastpool import functional
from fastpool.arguments import OPERATIONS
from fastpool.errors import shown, type_error, value_error
from fastpool.family import differentiate, operations

__all__ = ["transpose"]

LINEAR = ("mean", "sum")
"""Operations of windows that are linear."""


def transpose(fn: Callable[..., Any], shape: tuple[int, ...], *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    """The transpose of a linear pooling of arrays of a shape.

    Parameters
    ----------
    fn : function
        A linear pooling of this package: mean, sum, sub-sampling, unpooling with given indices, upsampling and the
        others that ``docs/operations.md`` calls linear.
    shape : tuple of int
        The shape of what it pools.
    *args, **kwargs
        The other arguments of ``fn``, but ``out``.

    Returns
    -------
    transposed : function
        ``transposed(y)`` is P^T y, an array of that shape, where P is what ``fn`` does: for every x of that shape
        ``sum(y * fn(x, *args, **kwargs)) == sum(x * transposed(y))``, but for rounding. It is the function's
        backward with the shape for its x.

    Raises
    ------
    TypeError
        If ``fn`` is no function of this package, or ``shape`` no tuple of integers.
    ValueError
        If ``fn`` with these arguments is not linear. Other arguments are checked when the transpose is called.

    See Also
    --------
    vjp : the gradient at an array, for functions that are not linear too.

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> spread = fastpool.transpose(fastpool.avg_pool2d, (2, 4), 2)
    >>> spread(np.array([[4.0, 8.0]]))
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]])
    """
    name = str(getattr(fn, "__name__", ""))
    module = differentiate.module_of(fn)
    if module is not None:
        linear = any(name in row.functions and row.linear for row in operations.OPERATIONS)
        backward = getattr(module, f"{name}_backward", None)
    else:
        if name not in OPERATIONS or getattr(functional, name, None) is not fn:
            raise type_error("transpose", f"fn={shown(fn)}", "it is no pooling function of this package")
        op = OPERATIONS[name].op or (args[1] if len(args) > 1 else kwargs.get("op", "max"))
        linear = op in LINEAR and kwargs.get("nan", "propagate") == "propagate"
        backward = getattr(functional, f"{name}_backward")
    if not linear or backward is None:
        way_out = "fastpool.vjp gives the gradient at an array"
        raise value_error("transpose", f"fn={name}", "it is not linear with these arguments", way_out)
    if not isinstance(shape, tuple):
        raise type_error("transpose", f"shape={shown(shape)}", "must be a tuple of integers", "give x.shape")
    if "out" in kwargs:
        raise value_error("transpose", "out", "the transpose has results of its own", "leave it out")
    whole = tuple(shape)

    def transposed(y: Any) -> Any:
        return backward(y, whole, *args, **kwargs)

    return transposed
