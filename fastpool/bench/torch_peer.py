"""The same problem in torch: in the problem's memory format, in the other one, or compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastpool
from fastpool.bench.data import Array, Prepared, inputs, moved
from fastpool.bench.planes import Planes, is_global, need, need_plain, sizes
from fastpool.problem import Problem

LEAST = 1 << 13
"""Bytes below which a compiled call is its guards alone."""


def prepare(problem: Problem, other: bool = False, compiled: bool = False) -> Prepared:
    """Torch's call for a problem.

    Parameters
    ----------
    problem : Problem
    other : bool
        Use the memory format that the problem does not have; its result has the same values.
    compiled : bool
        Let ``torch.compile`` write the kernel, forward only.

    Returns
    -------
    Prepared
        Indices, where they are asked for, are torch's only kind; they are compared where the problem asks for it.

    Raises
    ------
    Unsupported
        If torch has no such pooling.
    """
    import torch

    planes = Planes.of(problem)
    count = len(problem.axes)
    need_plain(problem)
    need(problem.pad_begin == problem.pad_end, "pads both sides alike")
    need(problem.op in ("max", "mean"), f"has no {problem.op} pooling that computes the same")
    channels_last = planes.last != other
    need(not channels_last or count > 1, "has no channels-last format in one dimension")
    if compiled:
        need(problem.direction == "fwd", "compiled: forward only")
        need(moved(problem) >= LEAST, "compiled: nothing to gain")
    torch.set_num_threads(fastpool.get_num_threads())
    given = inputs(problem)

    def tensor(array: Array, spatial: tuple[int, ...]) -> Any:
        view = planes.view(array, spatial)
        # torch takes bfloat16 from NumPy by its bits alone
        bits = view.view(np.int16) if problem.dtype == "bf16" else view
        found = torch.from_numpy(np.ascontiguousarray(bits))
        if problem.dtype == "bf16":
            found = found.view(torch.bfloat16)
        if channels_last:
            return found.contiguous(memory_format=torch.channels_last if count == 2 else torch.channels_last_3d)
        return found

    pool = _pool(problem)
    x = tensor(given.x, sizes(problem))
    if problem.direction == "bwd":
        call = _gradient(pool, x, tensor(_dy(given.dy), problem.outputs))
    else:
        call = torch.no_grad()(lambda: pool(x))
    if compiled:
        call = torch.compile(call, dynamic=False)
    return Prepared(call, _results(problem, planes, call()))


def _dy(dy: Array | None) -> Array:
    assert dy is not None
    return dy


def _pool(problem: Problem) -> Callable[[Any], Any]:
    from torch.nn import functional

    count = len(problem.axes)
    if is_global(problem) and problem.op == "mean":
        dims = tuple(range(2, 2 + count))
        return lambda x: x.mean(dims, keepdim=True)
    options: dict[str, Any] = {"stride": problem.stride, "padding": problem.pad_begin, "ceil_mode": problem.ceil}
    if problem.op == "max":
        options |= {"dilation": problem.dilation}
        if problem.indices and problem.direction == "fwd":
            options["return_indices"] = True
    else:
        need(set(problem.dilation) == {1}, "has no dilation in means")
        options["count_include_pad"] = problem.include_pad
    function = getattr(functional, f"{'max' if problem.op == 'max' else 'avg'}_pool{count}d")
    return lambda x: function(x, problem.kernel, **options)


def _gradient(pool: Callable[[Any], Any], x: Any, dy: Any) -> Callable[[], Any]:
    """The gradient alone: the forward pass, with the indices that torch keeps, has been made."""
    import torch

    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_(True)
    y = pool(leaf)
    return lambda: torch.autograd.grad(y, leaf, dy, retain_graph=True)[0]


def _results(problem: Problem, planes: Planes, given: Any) -> tuple[Array, ...]:
    shape = problem.shape if problem.direction == "bwd" else problem.out_shape
    # indices of another kind than torch's are not compared
    pair = given if isinstance(given, tuple) else (given,)
    wanted = pair if problem.indices == "plane" else pair[:1]
    found = [array.detach().contiguous() for array in wanted]
    if problem.dtype == "bf16":
        found[0] = found[0].float()
    return tuple(planes.back(array.numpy(), shape) for array in found)
