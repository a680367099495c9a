"""The C library from many Python threads, beside torch's OpenMP threads, and in children forked after both ran.

Each scenario runs in a process of its own, which ends with its children if it hangs. The C programs are in ``test_c``.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastpool
from fastpool import library
from tests import beside_torch, processes
from tests.test_threads import check, data, tiles

pytestmark = pytest.mark.skipif(library.library() is None, reason=f"no C library: {library.missing()}")

CALLERS = 16


def scenario_shared() -> None:
    """Sixteen threads, the same problem and so the same plan, but each its own arrays."""
    start = threading.Barrier(CALLERS)

    def work(seed: int) -> int:
        start.wait()
        return check(seed, rounds=10)

    with ThreadPoolExecutor(CALLERS) as pool:
        assert list(pool.map(work, range(CALLERS))) == list(range(CALLERS))


def pool_in_torch(seed: int) -> None:
    """A torch call that uses its threads, and is right."""
    import torch

    x = data(seed)
    theirs = torch.nn.functional.max_pool2d(torch.from_numpy(x), 2)
    np.testing.assert_array_equal(theirs.numpy(), tiles(x).max((2, 4)))


def in_child() -> None:
    """Ends a forked child, with 0 if its calls are right."""
    code = 1
    try:
        check(7, rounds=3)
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(check, (8, 9))) == [8, 9]
        code = 0
    finally:
        # a child that fails must not go on as a second test run
        os._exit(code)


def scenario_turns(torch_first: bool) -> None:
    """In turn with torch, from one thread and from several, then in a forked child."""
    import torch

    torch.set_num_threads(2)
    fastpool.set_num_threads(2)
    for seed in range(20):
        calls = (pool_in_torch, check) if torch_first else (check, pool_in_torch)
        for call in calls:
            call(seed)
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit((check, pool_in_torch)[i % 2], i) for i in range(24)]
        for future in done:
            future.result()
    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            in_child()
        check(1)
        pool_in_torch(1)
        assert os.waitpid(child, 0)[1] == 0
    check(2, rounds=3)


def run(call: str, repository: Path) -> None:
    code = f"import tests.test_c_threads as t; t.{call}"
    environment = {**os.environ, "FASTPOOL_ENGINE": "aot", "FASTPOOL_NUM_THREADS": "2"}
    processes.run(code, repository, environment, call)


def test_sixteen_threads_share_a_plan(repository: Path) -> None:
    run("scenario_shared()", repository)


@pytest.mark.parametrize("torch_first", [True, False])
def test_turns_with_torch(torch_first: bool, repository: Path) -> None:
    pytest.importorskip("torch")
    run(f"scenario_turns({torch_first})", repository)


@pytest.mark.exhaustive
@pytest.mark.parametrize("size", beside_torch.SHAPES)
def test_time_beside_torch(size: str) -> None:
    """Not slower than with as much time between calls, but for noise: 1.2 is meant, 1.5 is what fails.

    Apart from the tests that CI runs, where other processes compute at the same time.
    """
    pytest.importorskip("torch")
    times = beside_torch.medians(size, rounds=3, modes=("torch", "apart"))
    ratio = times["torch"] / times["apart"]
    print(f"{size}: {times['torch']:.0f} us beside torch, {times['apart']:.0f} us apart: {ratio:.2f}")
    assert ratio < 1.5
