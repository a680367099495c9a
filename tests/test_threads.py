"""Calls from many threads, from pools and from forked children, on every threading layer that Numba loads.

Each scenario runs in a process of its own: a wrong lock shows as a hang, a wrong pool as a signal.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastpool
from fastpool import library
from tests import processes

LAYERS = ("omp", "tbb", "workqueue", "aot")
"""Numba's threading layers, each with kernels compiled just in time; and the C library."""

THREADS = 4
CALLERS = 8

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def data(seed: int) -> np.ndarray:
    """Half a MiB, large enough for a parallel call. Every value is different, and so small that sums are exact."""
    values = np.random.default_rng(seed).permutation(2 * 256 * 256)
    return values.reshape(2, 256, 256).astype(np.float32)


def tiles(x: np.ndarray) -> np.ndarray:
    """The windows of a 2 x 2 pooling as axes 2 and 4."""
    return x.reshape(2, 128, 2, 128, 2)


def spread(y: np.ndarray) -> np.ndarray:
    return y.repeat(2, axis=1).repeat(2, axis=2)


def check(seed: int, rounds: int = 1) -> int:
    """Pools forward and backward and compares with NumPy; returns the seed."""
    x = data(seed)
    top = tiles(x).max((2, 4))
    mean = tiles(x).sum((2, 4)) / 4
    for _ in range(rounds):
        y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
        np.testing.assert_array_equal(y, top)
        found = np.take_along_axis(x.reshape(2, -1), indices.reshape(2, -1), 1)
        np.testing.assert_array_equal(found.reshape(top.shape), top)
        np.testing.assert_array_equal(fastpool.max_pool2d(x, 2), top)
        np.testing.assert_array_equal(fastpool.avg_pool2d(x, 2), mean)
        dx = fastpool.max_pool2d_backward(y, x, 2, indices=indices)
        np.testing.assert_array_equal(dx, np.where(x == spread(top), x, 0))
        np.testing.assert_array_equal(fastpool.avg_pool2d_backward(mean, x, 2), spread(mean) / 4)
    return seed


def check_layer(layer: str) -> None:
    """The calls before this one were parallel, and on the layer that was asked for."""
    if layer == "aot":
        assert fastpool.explain(fastpool.max_pool2d, data(0), 2).engine == "aot"
        return
    from fastpool.kernels.cpu import engine

    assert engine.threading_layer() == layer


def scenario_threads(layer: str) -> None:
    """Eight threads at once, from the very first call on."""
    start = threading.Barrier(CALLERS)
    done = []

    def work(seed: int) -> None:
        start.wait()
        done.append(check(seed, rounds=5))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(CALLERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(done) == list(range(CALLERS))
    check_layer(layer)


def scenario_executor(layer: str) -> None:
    """Calls in the workers of a pool, while the main thread calls too."""
    with ThreadPoolExecutor(CALLERS) as pool:
        results = pool.map(check, range(2 * CALLERS))
        check(99, rounds=5)
        assert list(results) == list(range(2 * CALLERS))
    check_layer(layer)


def in_child(seed: int) -> None:
    """What a forked child does: the parent's kernels, one that the parent never loaded, and threads of its own."""
    check(seed)
    np.testing.assert_array_equal(fastpool.min_pool2d(data(seed), 2), tiles(data(seed)).min((2, 4)))
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(check, (seed, seed + 1))) == [seed, seed + 1]


def scenario_fork(layer: str) -> None:
    """os.fork after parallel calls; the parent goes on calling meanwhile and afterwards."""
    check(0)
    check_layer(layer)
    children = []
    for seed in range(2):
        child = os.fork()
        if child == 0:
            # a child that fails must not go on as a second test run
            code = 1
            try:
                in_child(seed)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    check(1)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    check(2)


def scenario_multiprocessing(layer: str) -> None:
    """A pool and a process of the fork context, after parallel calls."""
    check(0)
    check_layer(layer)
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        assert pool.map(check, range(4)) == list(range(4))
    process = context.Process(target=in_child, args=(5,))
    process.start()
    process.join()
    assert process.exitcode == 0
    check(1)


def scenario_beside_numba(layer: str) -> None:
    """Calls in a thread while a parallel function of the user's own runs in another."""
    import numba

    @numba.njit(parallel=True, nogil=True)
    def total(values, rounds):
        found = 0.0
        for _ in range(rounds):
            for i in numba.prange(values.size):
                found += values[i]
        return found

    values = np.ones(1 << 20)
    assert total(values, 1) == values.size
    stop = threading.Event()
    results = []

    def theirs() -> None:
        while not stop.is_set():
            results.append(total(values, 20))

    other = threading.Thread(target=theirs)
    other.start()
    try:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(check, range(16))) == list(range(16))
        check(16, rounds=8)
    finally:
        stop.set()
        other.join()
    assert len(results) > 1
    assert set(results) == {20.0 * values.size}
    check_layer(layer)


def scenario_inside_prange(layer: str) -> None:
    """Calls from the body of a parallel loop, by way of object mode."""
    import numba

    check(0)

    @numba.njit(parallel=True)
    def calls(done):
        for i in numba.prange(done.size):
            with numba.objmode():
                done[i] = check(i) + 1

    done = np.zeros(CALLERS, np.int64)
    calls(done)
    np.testing.assert_array_equal(done, np.arange(CALLERS) + 1)
    check_layer(layer)


def missing(layer: str) -> str:
    """Why Numba cannot use a threading layer here, or ""."""
    if layer == "aot":
        return library.missing()
    code = f"from numba.np.ufunc.parallel import _check_tbb_version_compatible as tbb\n{layer == 'tbb'} and tbb()\n"
    pool = {"omp": "omppool", "tbb": "tbbpool", "workqueue": "workqueue"}[layer]
    code += f"from numba.np.ufunc import {pool}"
    found = subprocess.run([sys.executable, "-c", code], env=environment(layer), capture_output=True, text=True)
    return found.stderr.strip().rpartition("\n")[2] if found.returncode else ""


def environment(layer: str) -> dict[str, str]:
    env = dict(os.environ, NUMBA_NUM_THREADS=str(THREADS), FASTPOOL_ENGINE="aot" if layer == "aot" else "jit")
    if layer != "aot":
        env["NUMBA_THREADING_LAYER"] = layer
    env["FASTPOOL_NUM_THREADS"] = str(THREADS)
    env.pop("FASTPOOL_FORCE_KERNEL", None)
    if layer == "tbb":
        # the wheel puts its library where the dynamic linker does not look
        places = [sysconfig.get_config_var("LIBDIR"), env.get("LD_LIBRARY_PATH")]
        env["LD_LIBRARY_PATH"] = os.pathsep.join([os.path.join(sys.prefix, "lib"), *filter(None, places)])
    return env


def run(scenario: str, layer: str, root: os.PathLike[str]) -> None:
    """Runs a scenario in a new process; its children end with it if it hangs."""
    code = f"import tests.test_threads as t; t.{scenario}({layer!r})"
    processes.run(code, root, environment(layer), f"{scenario} on {layer}")


@pytest.fixture(scope="module", params=LAYERS)
def layer(request):
    why = missing(request.param)
    if why:
        pytest.skip(f"{request.param} does not load here: {why}")
    return request.param


def test_eight_threads_call_at_once(layer, repository):
    run("scenario_threads", layer, repository)


def test_calls_in_a_thread_pool(layer, repository):
    run("scenario_executor", layer, repository)


@needs_fork
def test_calls_in_a_forked_child(layer, repository):
    run("scenario_fork", layer, repository)


@needs_fork
def test_calls_in_processes_of_the_fork_context(layer, repository):
    run("scenario_multiprocessing", layer, repository)


def test_calls_beside_a_parallel_function_of_the_user(layer, repository):
    run("scenario_beside_numba", layer, repository)


def test_calls_inside_a_parallel_loop(layer, repository):
    run("scenario_inside_prange", layer, repository)


def test_the_layer_that_a_system_always_has_is_tested():
    assert missing("workqueue") == ""


@pytest.fixture
def parts(monkeypatch, clean_threads):
    """The numbers of threads of the calls that follow."""
    from fastpool.kernels.cpu import engine

    monkeypatch.setenv("FASTPOOL_ENGINE", "jit")

    seen = []
    run = engine.run

    def record(kernel, plan, bufs, work, stride, tiles, parts, cache_dir=""):
        seen.append(parts)
        run(kernel, plan, bufs, work, stride, tiles, parts, cache_dir)

    monkeypatch.setattr(engine, "run", record)
    return seen


def pool_rows() -> None:
    """A call with many more tiles than threads."""
    np.testing.assert_array_equal(fastpool.max_pool2d(data(0), 2), tiles(data(0)).max((2, 4)))


def test_the_number_of_threads_is_respected(parts):
    fastpool.set_num_threads(3)
    pool_rows()
    with fastpool.threads(1):
        pool_rows()
        with fastpool.threads(2):
            pool_rows()
        # the block belongs to the thread that opened it
        with ThreadPoolExecutor(1) as pool:
            pool.submit(pool_rows).result()
    pool_rows()
    assert parts == [3, 1, 2, 3, 3]


def test_the_number_of_threads_from_the_environment(parts, monkeypatch):
    monkeypatch.setenv("FASTPOOL_NUM_THREADS", "2")
    pool_rows()
    assert parts == [2]


def test_one_thread_starts_no_pool(repository):
    code = (
        "import tests.test_threads as t\n"
        "from fastpool.kernels.cpu import engine\n"
        "with t.fastpool.threads(1): t.check(0)\n"
        "assert engine.threading_layer() == ''\n"
        "t.check(0)\n"
        "assert engine.threading_layer() != ''\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repository, env=environment("workqueue"), check=True)


def test_a_small_call_stays_in_its_thread(parts):
    fastpool.set_num_threads(4)
    x = np.arange(64, dtype=np.float32).reshape(8, 8)
    np.testing.assert_array_equal(fastpool.max_pool2d(x, 2), x[1::2, 1::2])
    assert parts == [1]


def test_one_image_uses_every_thread(parts):
    fastpool.set_num_threads(4)
    x = data(1).reshape(256, 512)
    np.testing.assert_array_equal(fastpool.max_pool2d(x, 2), x.reshape(128, 2, 256, 2).max((1, 3)))
    assert parts == [4]
