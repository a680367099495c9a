"""Times of cases by events of the device: fastpool, torch, and a copy of as many bytes, in turns."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gpu_parts.say import say
from gpu_parts.where import where

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

    def compiled(self, eager: Any) -> Callable[[], Any]:
        """What torch.compile makes of it."""
        from fastpool.bench.planes import need

        need(self.dy is None, "compiled: forward only")
        self.torch._dynamo.reset()
        return partial(self.torch.compile(eager.func, dynamic=False), *eager.args)

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


def device_timer(cuda: Any, call: Callable[[], Any], target: float = 1.5e-3) -> Callable[[], float]:
    """Seconds of one call on the device, over as many as take ``target``.

    The device is kept busy until the calls have been queued, so that they are not timed by how fast the host is.
    """
    events = [cuda.Event(enable_timing=True) for _ in range(2)]

    def timed(count: int, busy: int) -> float:
        cuda._sleep(busy)
        events[0].record()
        for _ in range(count):
            call()
        events[1].record()
        cuda.synchronize()
        return float(events[0].elapsed_time(events[1])) / 1e3 / count

    begun = time.perf_counter()
    for _ in range(3):
        call()
    host = (time.perf_counter() - begun) / 3
    cuda.synchronize()
    count = max(3, min(200, int(target / max(timed(5, 1_000_000), 1e-7))))
    busy = int(min(host * count * 1.5, 0.02) * 2e9) + 100_000
    return lambda: timed(count, busy)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The table of cases."""
    from fastpool.bench.rows import Row
    from fastpool.bench.table import duration
    from fastpool.bench.table import times as ratio

    device, cuda = where(options)
    until = time.monotonic() + options.seconds["time"]
    rows, left = [], []
    for name, text in cases_of(options).items():
        if time.monotonic() > until:
            left.append(name)
            continue
        case = Case(text, device)
        row = Row(name, text, case.moved)
        calls: dict[str, Callable[[], Any]] = {"floor": case.floor()}
        for peer, make in (("fastpool", case.fastpool), ("torch", case.eager)):
            try:
                made = make()
                made()
                cuda.synchronize()
                calls[peer] = made
            except Exception as error:
                told = row.failed if peer == "fastpool" else row.unsupported
                told[peer] = f"{type(error).__name__}: {str(error)[:300]}"
        if options.compile and "torch" in calls:
            try:
                calls["torch.compile"] = case.compiled(calls["torch"])
                calls["torch.compile"]()
            except Exception as error:
                row.unsupported["torch.compile"] = str(error)[:200]
        if "fastpool" in calls and "torch" in calls:
            wrong = case.differs(calls["fastpool"](), calls["torch"]())
            row.wrong |= {"fastpool": wrong} if wrong else {}
        timers = {peer: device_timer(cuda, call) for peer, call in calls.items()}
        row.times = {peer: [] for peer in timers}
        for _ in range(options.rounds):
            for peer, timer in timers.items():
                row.times[peer].append(float(f"{timer():.4g}"))
        rows.append(row)
        said = [f"{peer} {ratio(row.ahead(peer))}" for peer in timers if peer not in ("fastpool",)]
        say(f"  {name}: {duration(row.seconds())}", *said, *row.failed.values(), *row.wrong.values())
        del case, calls, timers
        cuda.empty_cache()
    return {"rows": rows, "left out": left, "rounds": options.rounds}


def told(found: dict[str, Any]) -> bool:
    """Prints the table and what follows from it."""
    from fastpool.bench.table import Table, duration
    from fastpool.bench.table import times as ratio
    from fastpool.bench.timing import geometric_mean

    header = ("case", "MB", "time", "GB/s", "of floor", "torch", "ratio", "torch.compile", "ratio")
    lines = []
    for row in found["rows"]:
        rate = row.rate()
        lines.append(
            (
                row.case,
                f"{row.moved / 1e6:.0f}",
                "WRONG" if row.wrong else "failed" if row.failed.get("fastpool") else duration(row.seconds()),
                f"{rate / 1e9:.0f}" if rate else "-",
                ratio(row.of_floor),
                duration(row.seconds("torch")),
                ratio(row.ahead("torch")),
                duration(row.seconds("torch.compile")),
                ratio(row.ahead("torch.compile")),
            )
        )
    say("\n" + Table(header, lines).text() + "\n")
    for what, rows in (
        ("all cases", found["rows"]),
        ("above 256 MB", [row for row in found["rows"] if row.moved > LARGE]),
    ):
        for peer in ("floor", "torch", "torch.compile"):
            ahead = {row.case: value for row in rows if (value := row.ahead(peer)) is not None}
            if ahead:
                mean, behind = geometric_mean(ahead.values()), [case for case, value in ahead.items() if value < 1]
                least = min(ahead, key=ahead.__getitem__)
                say(
                    f"{what}, {peer}: {ratio(mean)} over {len(ahead)}, behind in {len(behind)}, "
                    f"lowest {ratio(ahead[least])} ({least})"
                )
    slow = [row.case for row in found["rows"] if row.moved > LARGE and (row.of_floor or 0) < 0.85]
    say(f"below 0.85 of the copy above 256 MB: {', '.join(slow) or 'none'}")
    if found["left out"]:
        say(f"left out for want of time: {', '.join(found['left out'])}")
    say("Times are medians over rounds, of calls that the device has queued; ratio: the other's time by fastpool's.")
    return bool(found["rows"]) and not any(row.wrong or row.failed for row in found["rows"])
