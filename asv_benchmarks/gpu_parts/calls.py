"""What a call costs the host, calls from several threads, and arrays of several libraries."""

from __future__ import annotations

import argparse
import threading
import time
from typing import Any

from gpu_parts.say import say
from gpu_parts.where import where


def tiny(options: argparse.Namespace) -> dict[str, Any]:
    """Microseconds of the host for a call with nothing to do."""
    import statistics

    import torch

    import fastpool

    device, cuda = where(options)
    x = torch.rand(1, 1, 8, 8, device=device)
    out = fastpool.max_pool2d(x, 2)
    calls = {
        "fastpool": lambda: fastpool.max_pool2d(x, 2),
        "fastpool, out": lambda: fastpool.max_pool2d(x, 2, out=out),
        "torch": lambda: torch.nn.functional.max_pool2d(x, 2),
    }
    found: dict[str, list[float]] = {name: [] for name in calls}
    rounds, count = (2, 10) if options.simulate else (20, 200)
    for _ in range(rounds):
        for name, call in calls.items():
            cuda.synchronize()
            begun = time.perf_counter()
            for _ in range(count):
                call()
            found[name].append((time.perf_counter() - begun) / count * 1e6)
            cuda.synchronize()
    return {name: round(statistics.median(values), 2) for name, values in found.items()}


def tiny_told(found: dict[str, Any]) -> bool:
    """Prints them; slower than torch is no failure of the script."""
    say("a tiny call, microseconds of the host:", ", ".join(f"{name} {value}" for name, value in found.items()))
    return True


def threads(options: argparse.Namespace) -> dict[str, Any]:
    """A thousand calls from four threads on two streams."""
    import torch

    import fastpool

    device, cuda = where(options)
    shape, count = ((1, 1, 8, 8), 5) if options.simulate else ((4, 16, 56, 56), 250)
    streams = [cuda.Stream() for _ in range(2)]
    inputs = [torch.rand(shape, device=device) for _ in range(4)]
    wanted = [torch.nn.functional.max_pool2d(x, 3, 2, 1) for x in inputs]
    cuda.synchronize()
    wrong = [0] * 4
    errors: list[str] = []

    def work(i: int, calls: int) -> None:
        try:
            with cuda.stream(streams[i % 2]):
                for _ in range(calls):
                    y = fastpool.max_pool2d(inputs[i], 3, 2, 1)
                    wrong[i] += int(not torch.equal(y, wanted[i]))
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    def all_of_them(calls: int) -> int:
        started = [threading.Thread(target=work, args=(i, calls)) for i in range(4)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        cuda.synchronize()
        return int(cuda.mem_get_info()[0])

    before = all_of_them(count // 5)
    held = cuda.memory_allocated()
    after = all_of_them(count)
    return {
        "calls": 4 * count,
        "wrong": sum(wrong),
        "errors": errors,
        "device memory": before - after,
        "allocated": cuda.memory_allocated() - held,
    }


def threads_told(found: dict[str, Any]) -> bool:
    """Prints it; whether answers were right and memory did not grow."""
    say(
        f"threads: {found['calls']} calls, {found['wrong']} wrong, {found['device memory']} bytes of the device and "
        f"{found['allocated']} of torch's more than before",
        *found["errors"],
    )
    return not found["wrong"] and not found["errors"] and found["device memory"] <= 0 and found["allocated"] <= 0


def kinds(options: argparse.Namespace) -> dict[str, str]:
    """Arrays of each library that is there, results that are there already, and a captured graph: what is wrong."""
    import numpy as np

    x = np.random.default_rng(5).random((2, 3, 8, 8), np.float32)
    wanted = x.reshape(2, 3, 4, 2, 4, 2).max((3, 5))
    found = {}
    for name, check in {"NumPy, device": _numpy, "torch": _torch, "CuPy": _cupy, "JAX": _jax, "Numba": _numba}.items():
        try:
            found[name] = check(options, x, wanted)
        except ModuleNotFoundError as error:
            found[name] = f"left out: {error}"
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error)[:300]}"
    return found


def _judged(given: Any, result: Any, values: Any, wanted: Any) -> str:
    """What is wrong with a result and its values on the host, or ""."""
    if type(given) is not type(result):
        return f"of {type(given)} came {type(result)}"
    return "" if (values == wanted).all() else "wrong values"


def _numpy(options: argparse.Namespace, x: Any, wanted: Any) -> str:
    import fastpool

    y = fastpool.max_pool2d(x, 2, device="cpu" if options.simulate else "cuda")
    return _judged(x, y, y, wanted)


def _torch(options: argparse.Namespace, x: Any, wanted: Any) -> str:
    import torch

    import fastpool

    device, cuda = where(options)
    given = torch.from_numpy(x.copy()).to(device)
    y = fastpool.max_pool2d(given, 2)
    wrong = _judged(given, y, y.cpu().numpy(), wanted)
    if wrong or y.device != given.device or options.simulate:
        return wrong or ("" if y.device == given.device else f"the result is on {y.device}")
    graph = cuda.CUDAGraph()
    out = torch.empty_like(y)
    fastpool.max_pool2d(given, 2, out=out)
    cuda.synchronize()
    with cuda.graph(graph):
        fastpool.max_pool2d(given, 2, out=out)
    given.mul_(-1)
    graph.replay()
    cuda.synchronize()
    return "" if torch.equal(out, torch.nn.functional.max_pool2d(given, 2)) else "wrong values of a captured graph"


def _cupy(options: argparse.Namespace, x: Any, wanted: Any) -> str:
    import cupy

    import fastpool

    given = cupy.asarray(x)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        y = fastpool.max_pool2d(given, 2)
        values = cupy.asnumpy(y)
    return _judged(given, y, values, wanted)


def _jax(options: argparse.Namespace, x: Any, wanted: Any) -> str:
    import jax
    import numpy as np

    import fastpool

    given = jax.device_put(x)
    y = fastpool.max_pool2d(given, 2)
    return _judged(given, y, np.asarray(y), wanted)


def _numba(options: argparse.Namespace, x: Any, wanted: Any) -> str:
    from numba import cuda

    import fastpool

    if options.simulate:
        return "left out: a dry run"
    given = cuda.to_device(x)
    y = fastpool.max_pool2d(given, 2)
    return _judged(given, y, y.copy_to_host(), wanted)


def kinds_told(found: dict[str, str]) -> bool:
    """Prints them; whether none is wrong."""
    for name, wrong in found.items():
        say(f"  {name}: {wrong or 'right'}")
    return all(not wrong or wrong.startswith("left out") for wrong in found.values())
