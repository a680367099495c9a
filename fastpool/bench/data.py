"""Arrays for a problem, always the same ones, and the call that pools them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastpool
from fastpool.problem import DTYPES, Ints, Problem

Array = np.ndarray[Any, np.dtype[Any]]


class Inputs(NamedTuple):
    """What a problem is given: its input, and in backward the gradient of its result."""

    x: Array
    dy: Array | None


class Prepared(NamedTuple):
    """A call without arguments, and what it computes.

    Attributes
    ----------
    call : callable
        Does all the work that is timed.
    results : tuple of ndarray
        The result, in the problem's shape, and where they are asked for its indices.
    """

    call: Callable[[], object]
    results: tuple[Array, ...]


def numpy_dtype(short: str) -> np.dtype[Any]:
    """The NumPy type of a short name.

    Raises
    ------
    ModuleNotFoundError
        If it is bfloat16 and ml_dtypes is not installed.
    """
    if short == "bf16":
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "bench: dtype='bf16': NumPy has no bfloat16 of its own, and ml_dtypes is not installed; "
                'install it with: pip install "fastpool[bf16]"'
            ) from None
        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(DTYPES[short])


def values(dtype: str, shape: Ints, seed: int = 7) -> Array:
    """Numbers of both signs: floats below 1 in magnitude, integers of up to 32 bits.

    Parameters
    ----------
    dtype : str
        A short name of an element type.
    shape : tuple of int
    seed : int
        The same seed gives the same numbers on every machine.
    """
    rng = np.random.default_rng(seed)
    kind = numpy_dtype(dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, shape, np.uint8).astype(kind)
    if kind.kind in "iu":
        # sums of a window stay exact in float64, which errors are found with
        few = np.iinfo(kind if kind.itemsize <= 4 else f"{kind.kind}4")
        return rng.integers(few.min, few.max, shape, kind, endpoint=True)
    parts: Array = rng.random((2 if kind.kind == "c" else 1, *shape), np.float32)
    parts *= 2
    parts -= 1
    if kind.kind == "c":
        return np.asarray(parts[0] + 1j * parts[1], kind)
    return np.asarray(parts[0], kind)


def inputs(problem: Problem) -> Inputs:
    """The arrays of a problem, in the strides that it names; a tenth of x is NaN where NaN is ignored."""
    x = values(problem.dtype, problem.shape)
    if problem.nan == "ignore" and x.dtype.kind not in "biu":
        x[np.random.default_rng(9).random(x.shape, np.float32) < 0.1] = np.nan
    if problem.direction == "fwd":
        return Inputs(placed(x, problem.x_strides), None)
    dy = values(problem.out_dtype, problem.out_shape, seed=8)
    return Inputs(placed(x, problem.aux_strides), placed(dy, problem.y_strides))


def placed(array: Array, strides: Ints) -> Array:
    """The same values in memory of these strides, in elements; the array itself where there are none."""
    if not strides:
        return array
    reach = [(n - 1) * step for n, step in zip(array.shape, strides, strict=True)]
    if array.size == 0:
        reach = []
    start = -sum(min(far, 0) for far in reach)
    memory = np.zeros(start + sum(max(far, 0) for far in reach) + 1, array.dtype)
    in_bytes = [step * array.itemsize for step in strides]
    view = np.lib.stride_tricks.as_strided(memory[start:], array.shape, in_bytes)
    view[...] = array
    return view


def arguments(problem: Problem) -> dict[str, Any]:
    """How ``fastpool.pool`` and ``fastpool.pool_backward`` are called for a problem, without its arrays.

    Examples
    --------
    >>> arguments(Problem.parse("mean1d_fwd_f32_first_n6_iw6ow3kw2sw2"))["op"]
    'mean'
    """
    return {
        "window": problem.kernel,
        "op": problem.op,
        "axes": problem.axes,
        "stride": problem.stride,
        "padding": tuple(zip(problem.pad_begin, problem.pad_end, strict=True)),
        "dilation": problem.dilation,
        "ceil_mode": problem.ceil,
        "count_include_pad": problem.include_pad,
        "divisor_override": problem.divisor or None,
        "norm_type": problem.norm,
        "nan": problem.nan,
    }


def reads_x(problem: Problem) -> bool:
    """Whether the gradient of a problem needs the forward's input, and not its shape alone."""
    if problem.op in ("max", "min"):
        return not problem.indices
    return problem.op == "lp" or (problem.nan == "ignore" and numpy_dtype(problem.dtype).kind not in "biu")


def prepare_serial(problem: Problem) -> Prepared:
    """Fastpool's call for a problem, in one thread."""
    fastpool.set_num_threads(1)
    return prepare(problem)


def prepare(problem: Problem, out: bool = True, given: Inputs | None = None) -> Prepared:
    """Fastpool's call for a problem.

    Parameters
    ----------
    problem : Problem
    out : bool
        Whether the call writes into a result that is there already, or allocates its own.
    given : Inputs, optional
        The arrays; those of ``inputs`` if left out.

    Returns
    -------
    Prepared
        Its call has been made once.
    """
    given = given or inputs(problem)
    options = arguments(problem)
    if problem.direction == "bwd":
        return _gradient(problem, given, options, out)
    options["return_indices"] = problem.indices or False
    first: Any = fastpool.pool(given.x, **options)
    results = first if isinstance(first, tuple) else (first,)
    if out:
        results = tuple(
            placed(array, strides)
            for array, strides in zip(results, (problem.y_strides, problem.index_strides), strict=False)
        )
        options["out"] = results if problem.indices else results[0]

    def call() -> object:
        return fastpool.pool(given.x, **options)

    call()
    return Prepared(call, results)


def _gradient(problem: Problem, given: Inputs, options: dict[str, Any], out: bool) -> Prepared:
    assert given.dy is not None
    x: Any = given.x if reads_x(problem) else problem.shape
    if problem.indices:
        pooled: Any = fastpool.pool(given.x, **(options | {"return_indices": problem.indices}))
        indices = placed(pooled[1], problem.index_strides)
        options |= {"indices": indices, "index_kind": problem.indices}
        x = given.x
    result = placed(fastpool.pool_backward(given.dy, x, **options), problem.x_strides)
    if out:
        options["out"] = result

    def call() -> object:
        return fastpool.pool_backward(given.dy, x, **options)

    call()
    return Prepared(call, (result,))


def moved(problem: Problem) -> int:
    """Bytes that a problem has to read and write, each once: x, y and the indices, or their gradients.

    Examples
    --------
    >>> moved(Problem.parse("max1d_fwd+tap_f32_first_n8_iw8ow4kw2sw2"))
    52
    """
    x = math.prod(problem.shape) * numpy_dtype(problem.dtype).itemsize
    y = math.prod(problem.out_shape) * numpy_dtype(problem.out_dtype).itemsize
    indices = math.prod(problem.out_shape) * numpy_dtype(problem.index_dtype).itemsize if problem.indices else 0
    # the gradient is written as large as x; where it also reads x, that is read
    again = x if problem.direction == "bwd" and reads_x(problem) else 0
    return x + y + indices + again
