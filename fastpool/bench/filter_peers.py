"""The same problem in scikit-image and in SciPy, which have a part of it each: blocks, and filters at stride 1."""

from __future__ import annotations

import math

import numpy as np

from fastpool.bench.data import Prepared, inputs, numpy_dtype
from fastpool.bench.planes import need
from fastpool.problem import Ints, Problem

BLOCKS = {"max": np.max, "min": np.min, "mean": np.mean, "sum": np.sum}
LARGEST = 1 << 25
"""Elements beyond which ``block_reduce`` takes minutes for all rounds."""


def _window(problem: Problem) -> Ints:
    """The window along every axis of the array."""
    window = [1] * len(problem.shape)
    for axis, k in zip(problem.axes, problem.kernel, strict=True):
        window[axis] = k
    return tuple(window)


def _need_forward(problem: Problem) -> None:
    need(problem.direction == "fwd", "has no gradient")
    need(not problem.indices, "has no indices")
    need(set(problem.dilation) == {1}, "has no dilation")
    need(not problem.divisor, "has no divisor_override")


def prepare_skimage(problem: Problem) -> Prepared:
    """The call of scikit-image's ``block_reduce``.

    Parameters
    ----------
    problem : Problem

    Raises
    ------
    Unsupported
        Unless windows lie side by side and fill the array.
    """
    from skimage.measure import block_reduce

    _need_forward(problem)
    need(problem.op in BLOCKS, f"has no {problem.op} pooling that computes the same")
    need(problem.kernel == problem.stride, "has windows side by side alone")
    need(not any(problem.pad_begin + problem.pad_end), "has no padding")
    whole = all(
        o * k == problem.shape[a] for a, k, o in zip(problem.axes, problem.kernel, problem.outputs, strict=True)
    )
    need(whole, "fills partial windows with zeros")
    need(math.prod(problem.shape) <= LARGEST, "takes seconds")
    function = BLOCKS[problem.op]
    if problem.nan == "ignore":
        need(problem.op == "mean", "does not ignore NaN")
        function = np.nanmean
    x, window = inputs(problem).x, _window(problem)

    def call() -> np.ndarray:
        return np.asarray(block_reduce(x, window, function))

    return Prepared(call, (call().astype(numpy_dtype(problem.out_dtype)),))


def prepare_scipy(problem: Problem) -> Prepared:
    """The call of ``scipy.ndimage``: ``maximum_filter``, ``minimum_filter`` or ``uniform_filter``.

    Parameters
    ----------
    problem : Problem

    Raises
    ------
    Unsupported
        Unless windows have an odd size, move by 1, and the result is as large as the input.
    """
    from scipy import ndimage

    _need_forward(problem)
    need(problem.nan == "propagate", "does not ignore NaN")
    need(set(problem.stride) == {1}, "has stride 1 alone")
    half = tuple(k // 2 for k in problem.kernel)
    odd = all(k % 2 for k in problem.kernel)
    need(odd and problem.pad_begin == half == problem.pad_end, "has results as large as the input alone")
    filters = {"max": ndimage.maximum_filter, "min": ndimage.minimum_filter, "mean": ndimage.uniform_filter}
    need(problem.op in filters, f"has no {problem.op} pooling that computes the same")
    need(problem.op != "mean" or problem.include_pad, "counts the padding in means")
    function = filters[problem.op]
    # at the edge the nearest element is a tap already, so it leaves an extremum alone; a mean counts zeros
    mode = "constant" if problem.op == "mean" else "nearest"
    x, window = inputs(problem).x, _window(problem)
    y = np.empty_like(x)

    def call() -> object:
        return function(x, size=window, output=y, mode=mode)

    call()
    return Prepared(call, (y,))
