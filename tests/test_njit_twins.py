"""What stands behind the symbols of compiled code: numbers of threads, and twins of the library's functions."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import fastpool
from fastpool import measuring
from fastpool.njit import record, twins

THREADS = """
import numpy as np
import numba
import fastpool
import fastpool.njit
fastpool.njit.init()

@numba.njit
def read():
    return fastpool.get_num_threads()

@numba.njit
def write(n):
    fastpool.set_num_threads(n)

found = [int(read())]
write(3)
found += [int(read()), fastpool.get_num_threads()]
fastpool.set_num_threads(5)
found += [int(read()), fastpool.get_num_threads()]
print(*found)
"""


@pytest.mark.parametrize(("layer", "printed"), [("omp", "4 3 3 5 5"), ("workqueue", "1 1 3 1 5")])
def test_threads(layer: str, printed: str) -> None:
    """With other layers than OpenMP's, it cannot be told whether a call is inside a loop."""
    env = {**os.environ, "NUMBA_THREADING_LAYER": layer, "FASTPOOL_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", THREADS], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == printed


INTERRUPTED = """
import os
import signal
import threading
import time
import numpy as np
import numba
import fastpool
import fastpool.njit
fastpool.njit.init()

@numba.njit
def wrong(dy, x, n):
    found = 0
    for _ in range(n):
        dx = fastpool.max_pool2d_backward(dy, x, 2, out=np.full_like(x, -7))
        found += dx.sum() != dy.size
    return found

x = np.arange(4096, dtype=np.int16).reshape(64, 64)
dy = np.ones((32, 32), np.int16)
assert wrong(dy, x, 3) == 0

# a process that was started in the background may be told to ignore it
signal.signal(signal.SIGINT, signal.default_int_handler)
over = threading.Event()

def interrupt():
    # again and again: one that comes while an object is finalised is lost
    while not over.wait(0.2):
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    try:
        print("not interrupted:", wrong(dy, x, 1_000_000), "results are wrong")
    except RuntimeError as error:
        print(error)
        time.sleep(10)
except KeyboardInterrupt:
    over.set()
    print("stopped")
"""


def test_an_interrupt_ends_a_call_of_a_twin() -> None:
    """Gradients of integers are done by the engines of Python, which handles signals only there."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "stopped"


def test_twins_of_another_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that was compiled for an interface whose specs began otherwise."""
    now = record.CURRENT
    other = now._replace(words=("struct_size", *now.words[:0:-1]), arrays=now.arrays[::-1])
    monkeypatch.setitem(record.RECORDS, 7, other)
    twin = twins.make(7)
    block = np.zeros(other.size, np.int64)
    words = block.view(np.int32)
    given = {"dtype": twins.NUMBERED.index("i16"), "indices": -1, "include_pad": 1, "rank": 2, "pooled": 1}
    for name, value in given.items():
        words[other.word(name)] = value
    for name, values in {"shape": (3, 8), "axes": (1,), "kernel": (2,), "stride": (2,), "dilation": (1,)}.items():
        block[other.entry(name) : other.entry(name) + len(values)] = values
    block.view(np.float64)[other.norm] = 2
    x, y, shape = (
        np.random.default_rng(0).integers(-99, 99, (3, 8), np.int16),
        np.zeros((3, 4), np.int16),
        np.zeros(2, np.int64),
    )
    pointers = [array.ctypes.data for array in (block, x, y, shape)]
    assert twins._SHAPE_OF(twin.shape_of)(pointers[0], pointers[3]) == 0
    assert shape.tolist() == [3, 4]
    words[other.word(record.MARK)] = 0
    assert twins._RUN(twin.run)(pointers[0], pointers[1], None, None, pointers[2], 1) == 0
    assert words[other.word(record.MARK)] == 1
    np.testing.assert_array_equal(y, fastpool.max_pool1d(x, 2))
    block[other.entry("kernel")] = 0
    assert twins._SHAPE_OF(twin.shape_of)(pointers[0], pointers[3]) == measuring.INVALID_WINDOW
