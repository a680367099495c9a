"""The cases that are timed, with their arrays on the GPU and the calls of each library."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial
from typing import Any

LARGE = 256 << 20
"""Bytes beyond which a case has nothing of a cache."""


def enlarged(text: str) -> str:
    """A problem's text with as large a batch as is needed."""
    from fastpool.bench.data import moved
    from fastpool.problem import Problem

    while moved(Problem.parse(text)) < 3 * LARGE // 2:
        text = re.sub(r"mb(\d+)", lambda match: f"mb{2 * int(match[1])}", text)
    return text


SMALL = {
    "max": "max2d_fwd_f32_first_mb1ic3_ih12oh6kh3sh2ph1",
    "mean, last": "mean2d_fwd_f32_last_mb1ic3_ih12oh6kh2sh2",
    "max, gradient": "max2d_bwd+tap_f32_first_mb1ic3_ih12oh6kh2sh2",
    "mean, gradient": "mean2d_bwd_f32_last_mb1ic3_ih12oh6kh2sh2",
    "max, indices": "max2d_fwd+plane_f32_first_mb1ic3_ih12oh6kh2sh2",
    "max, uint8": "max2d_fwd_u8_first_n12x12_ih12oh6kh2sh2",
}
"""Cases of a dry run."""


def cases_of(options: argparse.Namespace) -> dict[str, str]:
    """Problem texts by name: the networks' layers, and large ones of the same kinds; in a dry run small ones."""
    from fastpool.bench import networks

    if options.simulate:
        return SMALL

    cases = {name: text for name, text in networks.CASES.items() if name != "tiny"}
    large = {
        f"large: {name}": enlarged(networks.CASES[name]) for name in networks.JUDGE if "mb" in networks.CASES[name]
    }
    del large["large: tiny"]
    for name in ("image half", "image half, mean", "image half, uint8"):
        large[f"large: {name}"] = networks.CASES[name].replace("4096", "16384").replace("2048", "8192")
    chosen = large | {name: text for name, text in cases.items() if name in networks.JUDGE} | cases
    return dict(list(chosen.items())[: options.few or None])


class Case:
    """A problem with its arrays on the GPU, and the calls that are timed."""

    def __init__(self, text: str, device: str) -> None:
        import torch

        from fastpool.bench.data import arguments, moved, reads_x
        from fastpool.problem import DTYPES, Problem

        self.torch, self.problem, self.device = torch, Problem.parse(text), device
        self.moved, problem = moved(self.problem), self.problem
        self.dtype = getattr(torch, DTYPES[problem.dtype])
        self.x = self.made(problem.shape)
        if problem.nan == "ignore":
            self.x[torch.rand(problem.shape, device=self.device) < 0.1] = float("nan")
        self.options = arguments(problem)
        self.reads_x = reads_x(problem)
        self.dy = self.made(problem.out_shape) if problem.direction == "bwd" else None

    def made(self, shape: tuple[int, ...]) -> Any:
        """Random elements."""
        if self.dtype.is_floating_point:
            return (2 * self.torch.rand(shape, device=self.device) - 1).to(self.dtype)
        return self.torch.randint(0, 127, shape, device=self.device, dtype=self.torch.int32).to(self.dtype)

    def fastpool(self) -> Callable[[], Any]:
        """Fastpool's call into a result that is there."""
        import fastpool

        problem, options = self.problem, dict(self.options)
        if problem.direction == "fwd":
            call = partial(fastpool.pool, self.x, **options, return_indices=problem.indices or False)
            return partial(call, out=call())
        x = self.x if self.reads_x or problem.indices else problem.shape
        if problem.indices:
            pooled = fastpool.pool(self.x, **options, return_indices=problem.indices)
            options |= {"indices": pooled[1], "index_kind": problem.indices}
        call = partial(fastpool.pool_backward, self.dy, x, **options)
        return partial(call, out=call())

    def floor(self) -> Callable[[], Any]:
        """A copy of as many bytes, half of them read and half written."""
        source = self.torch.ones(max(self.moved // 2, 16), dtype=self.torch.uint8, device=self.device)
        return partial(self.torch.empty_like(source).copy_, source)

    def planes(self, tensor: Any, sizes: tuple[int, ...]) -> Any:
        """The tensor as (batch, channels, spatial...), without a copy."""
        from fastpool.bench.planes import Planes

        planes = Planes.of(self.problem)
        if planes.last:
            return tensor.reshape(planes.batch, *sizes, planes.channels).movedim(-1, 1)
        return tensor.reshape(planes.batch, planes.channels, *sizes)

    def eager(self) -> Callable[[], Any]:
        """Torch's call; ``Unsupported`` where it has none that computes the same."""
        from fastpool.bench import torch_peer
        from fastpool.bench.planes import need, need_plain, sizes

        problem = self.problem
        need_plain(problem)
        need(problem.pad_begin == problem.pad_end, "pads both sides alike")
        need(problem.op in ("max", "mean"), f"has no {problem.op} pooling that computes the same")
        pool = torch_peer._pool(problem)
        x = self.planes(self.x, sizes(problem))
        if self.dy is None:
            return partial(pool, x)
        return torch_peer._gradient(pool, x, self.planes(self.dy, problem.outputs))

    def compiled(self, eager: Any) -> Any:
        """What torch.compile makes of it: a function of its arguments, that compiles when it is first called."""
        from fastpool.bench.planes import need

        need(self.dy is None, "compiled: forward only")
        return self.torch.compile(eager.func, dynamic=False)

    def differs(self, ours: Any, theirs: Any) -> str:
        """Why fastpool's result is not torch's, or ""."""
        one, other = (value[0] if isinstance(value, tuple) else value for value in (ours, theirs))
        sizes = tuple(self.problem.shape[a] for a in self.problem.axes) if self.dy is not None else self.problem.outputs
        one = self.planes(one, sizes)
        if self.problem.op == "max" and self.dy is None:
            return "" if self.torch.equal(one, other) else "other elements than torch's"
        tolerance = {2: 2e-2, 4: 1e-4, 8: 1e-9}.get(one.element_size(), 0)
        close = self.torch.allclose(one, other, rtol=tolerance, atol=tolerance)
        return "" if close else "another result than torch's"
