"""The functions inside ``@njit`` as an engine for calls from Python, so that tests and benchmarks can go their way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

import fastpool
from fastpool import dispatch
from fastpool import njit as door
from fastpool.memory import Array
from fastpool.njit.record import MAX_RANK
from fastpool.problem import OPS, Problem

_WINDOW = "window, {op!r}, axes={axes}, stride=stride, padding=padding, dilation=dilation, ceil_mode={ceil}"


class Compiled:
    """A problem that is run by compiled code."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        given = problem.indices
        options = [_WINDOW.format(op=problem.op, axes=problem.axes, ceil=problem.ceil), f"nan={problem.nan!r}"]
        if problem.op == "mean":
            options += [f"count_include_pad={problem.include_pad}", f"divisor_override={problem.divisor or None}"]
        if problem.op == "lp":
            options.append(f"norm_type={problem.norm!r}")
        if problem.direction == "fwd":
            out = f"return_indices={given!r}, out=(y, indices)" if given else "out=y"
            self._parameters, called = "x, y, indices", f"pool(x, {{}}, {out})"
        else:
            found = f", indices=indices, index_kind={given!r}" if given else ""
            self._parameters, called = "dy, x, indices, dx", f"pool_backward(dy, x, {{}}{found}, out=dx)"
        self._call = _function(self._parameters, called.format(", ".join(options)))
        pads = tuple(zip(problem.pad_begin, problem.pad_end, strict=True))
        self._window = (problem.kernel, problem.stride, pads, problem.dilation)

    def forward(self, x: Array, y: Array, indices: Array | None) -> None:
        """Writes y, and the indices if there are any."""
        if np.may_share_memory(x, y) or (indices is not None and np.may_share_memory(x, indices)):
            # compiled code refuses arrays that lie between each other
            dispatch.forward(self._problem, x, y, indices, inside=True)
        else:
            self._call(x, y, indices, *self._window)

    def backward(self, dy: Array, x: Array | None, indices: Array | None, dx: Array) -> bool:
        """Writes dx, unless an index is wrong; returns whether it did."""
        if any(array is not None and np.may_share_memory(dx, array) for array in (dy, x, indices)):
            return not dispatch.backward(self._problem, dy, dx, x, indices, inside=True)
        try:
            self._call(dy, self._problem.shape if x is None else x, indices, dx, *self._window)
        except ValueError as error:
            if "names no tap" not in str(error):
                raise
            return False
        return True


@functools.lru_cache(maxsize=4096)
def _function(parameters: str, called: str) -> Callable[..., Any]:
    scope: dict[str, Any] = {"fastpool": fastpool}
    exec(f"def call({parameters}, window, stride, padding, dilation):\n    fastpool.{called}", scope)
    return njit(nogil=True)(scope["call"])  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=4096)
def compiled(problem: Problem) -> Compiled | None:
    """A problem for compiled code, or None where Numba has no arrays of its element type."""
    door.init()
    if problem.dtype in ("f16", "bf16", "fld", "cld") or problem.op not in OPS or len(problem.shape) > MAX_RANK:
        return None
    return Compiled(problem)
