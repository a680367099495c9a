"""The oracle: every pooling that a Problem can ask for, in plain NumPy, slow and exact.

It says what the answer is. Every kernel is tested against it, it is the last entry of every kernel list, and
it is the kernel of last resort for element types that no other kernel takes (longdouble, clongdouble).

Everything happens on a matrix. The array is turned so that a row holds one plane, the pooled axes in the
order of ``problem.axes``, and the rows run over the other axes. A window is then a list of columns, in tap
order, the same in every row:

- ``geometry``: array to matrix and back, the columns of each window.
- ``exact``: element types, exact sums, rounding.
- ``extrema``: max and min. ``linear``: sum and mean. ``norm``: Lp. ``own``: reductions of users. Each has a forward
  and a backward.

The rules are those of DESIGN.md, and where that is silent those of PyTorch:

- Padding is never a value. A window without a tap on the input gives the identity of max or min (for
  integers the type's smallest or largest value), 0 for mean, sum and Lp, and the index -1, or for taps the
  largest value of the index type. No gradient passes through it.
- Max and min: the first tap that holds the extremum wins. NaN propagates, and the last NaN wins.
- Every NaN comes out as the one canonical quiet NaN of the type, with the sign bit clear.
- Sums and means of floats are the exact sum or quotient rounded once, to nearest, ties to even, and so are
  all gradients. An exact zero is +0.
- Sums of integers wrap in 64 bits. A mean of integers divides that sum, truncating toward zero. In backward
  each quotient is truncated, and their sum wraps.
- Complex numbers are summed part by part.
- A user's reduction is what its functions say, in the types of its states and in the kernels' order.
- With ``nan="ignore"`` a NaN is no value: it is in neither sum nor divisor and gets no gradient. A window
  without any value gives NaN (complex: in both parts) and the index of an empty window. A complex number is
  NaN if either part is. Integers and bool have no NaN: for them the option changes nothing.
"""

from __future__ import annotations

import numpy as np

from fastpool.own import is_own
from fastpool.problem import DTYPES, Problem
from fastpool.reference import extrema, linear, norm, own
from fastpool.reference.exact import Array, decode, encode
from fastpool.reference.geometry import from_planes, to_planes

__all__ = ["backward", "forward"]


def forward(problem: Problem, x: Array) -> tuple[Array, Array | None]:
    """Pool ``x``.

    Parameters
    ----------
    problem : Problem
        What to compute. Its strides are not read: the arrays have their own.
    x : ndarray
        Shape ``problem.shape``, in storage form: bfloat16 as its bits in uint16, every other type as it is.

    Returns
    -------
    y : ndarray
        Shape ``problem.out_shape``, element type ``problem.out_dtype`` in storage form, in C order.
    indices : ndarray or None
        Shape of y, element type ``problem.index_dtype``, in C order; None if ``problem.indices`` is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastpool.problem import Problem
    >>> problem = Problem.parse("max1d_fwd+plane_f32_first_n5_iw5ow2kw3sw2")
    >>> forward(problem, np.array([3, 1, 3, 0, 5], np.float32))
    (array([3., 5.], dtype=float32), array([0, 4]))
    """
    planes = to_planes(decode(problem.dtype, x), problem.axes)
    indices = None
    if problem.op in ("max", "min"):
        y, found = extrema.forward(problem, planes)
        if problem.indices:
            found = found.astype(DTYPES[problem.index_dtype])
            indices = from_planes(found, problem.out_shape, problem.axes)
    elif problem.op == "lp":
        y = norm.forward(problem, planes)
    elif is_own(problem.op):
        y = own.forward(problem, planes)
    else:
        y = linear.forward(problem, planes)
    return from_planes(encode(problem.out_dtype, y), problem.out_shape, problem.axes), indices


def backward(problem: Problem, dy: Array, x: Array | None, indices: Array | None) -> Array:
    """The gradient of ``x``, from the gradient of the pooled array.

    Parameters
    ----------
    problem : Problem
        What to compute; ``problem.shape`` is the shape of x.
    dy : ndarray
        Gradient of y: shape ``problem.out_shape``, element type ``problem.out_dtype`` in storage form.
    x : ndarray or None
        The forward's input in storage form; needed for Lp, for max and min without indices, and for mean and
        sum of floats with ``nan="ignore"``.
    indices : ndarray or None
        For max and min, the forward's indices, of the kind ``problem.indices``; None to find them in x again.

    Returns
    -------
    dx : ndarray
        Shape ``problem.shape``, element type ``problem.dtype`` in storage form, in C order.

    Raises
    ------
    TypeError
        If an array that the gradient needs is None.

    Examples
    --------
    >>> import numpy as np
    >>> from fastpool.problem import Problem
    >>> problem = Problem.parse("max1d_bwd_f32_first_n5_iw5ow2kw3sw2")
    >>> backward(problem, np.array([1, 2], np.float32), np.array([3, 1, 3, 0, 5], np.float32), None)
    array([1., 0., 0., 0., 2.], dtype=float32)
    """
    gradient = to_planes(decode(problem.out_dtype, dy), problem.axes)
    planes = None if x is None else to_planes(decode(problem.dtype, x), problem.axes)
    if problem.op in ("max", "min"):
        found = None if indices is None else to_planes(np.asarray(indices), problem.axes)
        dx = extrema.backward(problem, gradient, planes, found)
    elif problem.op == "lp":
        dx = norm.backward(problem, gradient, planes)
    elif is_own(problem.op):
        dx = own.backward(problem, gradient, planes)
    else:
        dx = linear.backward(problem, gradient, planes)
    return from_planes(encode(problem.dtype, dx), problem.shape, problem.axes)
