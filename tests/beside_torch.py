"""Time of a fastpool call alone in a process, and taking turns with torch, whose threads are OpenMP's too.

    python tests/beside_torch.py                a table of medians, in microseconds, over processes that take turns
    python tests/beside_torch.py MODE SIZE GAP  the length of a turn, and the times of one process

Modes: ``alone``, one call after another; ``apart``, with as much time between calls (GAP seconds, in Python) as torch's
call takes, because threads fall asleep meanwhile and caches are filled by others; ``ours``, in turn with a fastpool
call on other arrays; ``caches``, in turn with a copy by NumPy, in one thread, of as many bytes as torch's call moves;
``copying``, in turn with such copies for as long as torch's call takes; and ``torch``, in turn with torch's
``max_pool2d`` on other arrays. ``single`` and ``single_apart`` are ``alone`` and ``apart`` in one thread, without
torch: no pool of threads runs, so what a pause costs there is caches that went cold.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

SHAPES = {"small": (4, 16, 64, 64), "large": (8, 64, 112, 112), "huge": (16, 64, 224, 224)}
"""1 MiB, 24.5 MiB and 196 MiB of float32. What a call alone finds in caches is cold beside torch; the last one finds
nothing there in either case, unless the last cache is larger.
"""

MODES = ("torch", "alone", "apart", "caches", "copying", "ours", "single", "single_apart")
SECONDS = 1.0


def sample(mode: str, size: str, gap: float) -> list[float]:
    """The median length of a turn, and then the times of single calls, in microseconds."""
    import numpy as np

    import fastpool

    rng = np.random.default_rng(0)
    x, other = (rng.normal(size=SHAPES[size]).astype(np.float32) for _ in range(2))
    out, result = (fastpool.max_pool2d(x, 3, 2, 1) for _ in range(2))
    if mode == "torch":
        import torch

        torch.set_num_threads(fastpool.get_num_threads())
        theirs = torch.from_numpy(other)

    # torch reads x, and writes y and its indices of 8 bytes
    moved = np.zeros((x.nbytes + out.nbytes + 2 * out.nbytes) // 2, np.uint8)
    copied = np.zeros_like(moved)

    def turn() -> None:
        if mode == "torch":
            torch.nn.functional.max_pool2d(theirs, 3, 2, 1)
        elif mode == "ours":
            fastpool.max_pool2d(other, 3, 2, 1, out=result)
        elif mode == "caches":
            np.copyto(copied, moved)
        elif mode == "copying":
            stop = time.perf_counter() + gap
            while time.perf_counter() < stop:
                np.copyto(copied, moved)
        elif mode in ("apart", "single_apart"):
            stop = time.perf_counter() + gap
            while time.perf_counter() < stop:
                pass

    if mode.startswith("single"):
        fastpool.set_num_threads(1)
    gaps, times = [], []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        turn()
        start = time.perf_counter()
        fastpool.max_pool2d(x, 3, 2, 1, out=out)
        times.append((time.perf_counter() - start) * 1e6)
        gaps.append((start - begin) * 1e6)
    return [statistics.median(gaps), *times[len(times) // 5 :]]


def medians(size: str, rounds: int = 5, modes: tuple[str, ...] = MODES) -> dict[str, float]:
    """For each mode the median over processes, which take turns, of the median time of a call."""
    found: dict[str, list[float]] = {mode: [] for mode in modes}
    gap = 0.0
    for _ in range(rounds):
        for mode in modes:
            command = [sys.executable, os.path.abspath(__file__), mode, size, str(gap)]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            length, *times = map(float, printed.split())
            if mode == "torch":
                gap = length * 1e-6
            found[mode].append(statistics.median(times))
    return {mode: statistics.median(times) for mode, times in found.items()}


def main() -> None:
    if len(sys.argv) > 3:
        print(*(f"{value:.2f}" for value in sample(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
        return
    for size in SHAPES:
        times = medians(size)
        single, single_apart = times.pop("single"), times.pop("single_apart")
        words = (f"{mode} {value:.0f} us ({times['torch'] / value:.2f})" for mode, value in times.items())
        print(f"{size}: time, and time beside torch over it:", *words)
        cost = single_apart / single
        print(f"{size}: one thread, alone {single:.0f} us, apart {single_apart:.0f} us; apart over alone {cost:.2f}")


if __name__ == "__main__":
    main()
