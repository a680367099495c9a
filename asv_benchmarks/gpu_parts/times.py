"""Times of cases by events of the device: fastpool, torch, and a copy of as many bytes, in turns.

Compiling takes most of the time, so several processes prepare a part of the cases each, at once; then one after the
other times its own, with the device for itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gpu_parts.cases import LARGE, Case, cases_of
from gpu_parts.say import say
from gpu_parts.where import where

PROCESSES = 16
"""Processes that prepare cases, at most."""

PREPARING = 0.6
"""Of the seconds of this part, those until which cases are prepared."""


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


def unlimited(torch: Any) -> None:
    """Lets torch.compile keep a function for each case."""
    for name in ("recompile_limit", "accumulated_recompile_limit", "cache_size_limit", "accumulated_cache_size_limit"):
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, 1 << 16)


def calls_of(case: Case, row: Any, cuda: Any, compiling: bool, kept: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """The calls of a case by name, each made once; why others are not among them is written to its row."""
    calls: dict[str, Callable[[], Any]] = {"floor": case.floor()}
    makers: dict[str, Callable[[], Any]] = {"fastpool": case.fastpool, "torch": case.eager}

    def compiled() -> Any:
        if row.case not in kept:
            kept[row.case] = case.compiled(calls["torch"])
        # typing: of a forward, eager is a partial
        return partial(kept[row.case], *calls["torch"].args)  # type: ignore[attr-defined]

    if compiling:
        makers["torch.compile"] = compiled
    for peer, make in makers.items():
        if peer == "torch.compile" and "torch" not in calls:
            continue
        try:
            made = make()
            made()
            cuda.synchronize()
            calls[peer] = made
        except Exception as error:
            told = row.failed if peer == "fastpool" else row.unsupported
            told[peer] = f"{type(error).__name__}: {str(error)[:300]}"
    return calls


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The table of cases."""
    if options.shard is None and options.workers > 1:
        return shards(options)
    import torch

    from fastpool.bench import networks
    from fastpool.bench.rows import Row
    from fastpool.bench.table import times as ratio

    device, cuda = where(options)
    begun = time.monotonic()
    number, count = options.shard or (0, 1)
    rows, left, kept = [], [], {}
    compiling = set(networks.JUDGE) | {f"large: {name}" for name in networks.JUDGE} if options.compile else set()
    if options.compile:
        unlimited(torch)
    for name, text in list(cases_of(options).items())[number::count]:
        if time.monotonic() - begun > PREPARING * options.seconds["time"]:
            left.append(name)
            continue
        case = Case(text, device)
        row = Row(name, text, case.moved)
        calls = calls_of(case, row, cuda, options.compile and (options.simulate or name in compiling), kept)
        if "fastpool" in calls and "torch" in calls:
            wrong = case.differs(calls["fastpool"](), calls["torch"]())
            row.wrong |= {"fastpool": wrong} if wrong else {}
        rows.append(row)
        del case, calls
        cuda.empty_cache()
    if options.shard:
        say("ready")
        given = float(sys.stdin.readline())
        begun = time.monotonic() - options.seconds["time"] + given
    timed = []
    for row in rows:
        if time.monotonic() - begun > options.seconds["time"]:
            left.append(row.case)
            continue
        case = Case(row.problem, device)
        timers = {
            peer: device_timer(cuda, call) for peer, call in calls_of(case, row, cuda, row.case in kept, kept).items()
        }
        row.times = {peer: [] for peer in timers}
        for _ in range(options.rounds):
            for peer, timer in timers.items():
                row.times[peer].append(float(f"{timer():.4g}"))
        timed.append(row)
        said = [f"{peer} {ratio(row.ahead(peer))}" for peer in timers if peer != "fastpool"]
        say(f"  {row.case}:", *said, *row.failed.values(), *row.wrong.values())
        del case, timers
        cuda.empty_cache()
    return {"rows": timed, "left out": left, "rounds": options.rounds}


def shards(options: argparse.Namespace) -> dict[str, Any]:
    """The cases in processes of their own, each with a part of them."""
    from fastpool.bench.rows import Row

    begun = time.monotonic()
    count = min(PROCESSES, options.workers)
    command = [sys.executable, sys.argv[0], "--only", "time", "--few", str(options.few)]
    command += ["--seconds", str(options.seconds["time"]), "--rounds", str(options.rounds)]
    command += ["--compile"] * options.compile + ["--simulate"] * options.simulate
    # processes enough are here: each would start as many again for compiling
    environment = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen([*command, "--shard", f"{i}/{count}"], stdin=pipe, stdout=pipe, text=True, env=environment)
        for i in range(count)
    ]
    total: dict[str, Any] = {"rows": [], "left out": [], "rounds": options.rounds, "failed": []}
    for process in started:
        while (line := process.stdout.readline()) and line != "ready\n":
            say(line.rstrip())
    say(f"  prepared by {count} processes in {time.monotonic() - begun:.0f} s")
    for i, process in enumerate(started):
        seconds = (begun + options.seconds["time"] - time.monotonic()) / (count - i)
        lines = process.communicate(f"{max(seconds, 1)}\n")[0].splitlines()
        say(*(line for line in lines if not line.startswith("{")), sep="\n")
        if not lines or not lines[-1].startswith("{"):
            total["failed"].append(f"process {i} ended with {process.returncode}")
            continue
        found = json.loads(lines[-1])
        total["rows"] += [Row(**row) for row in found["rows"]]
        total["left out"] += found["left out"]
    return total


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
    for line in found.get("failed", ()):
        say("  FAILED", line)
    say("Times are medians over rounds, of calls that the device has queued; ratio: the other's time by fastpool's.")
    failed = found.get("failed") or any(row.wrong or row.failed for row in found["rows"])
    return bool(found["rows"]) and not failed
