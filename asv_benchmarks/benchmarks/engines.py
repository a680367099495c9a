"""The ways in: the engines behind a call in Python, a loop that Numba has compiled, a program in C."""

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import fastpool
from benchmarks.calls import CASES, WithEngine, WrongResultError
from fastpool import library

ENGINES = ("aot", "c", "njit", "jit")
"""See ``FASTPOOL_ENGINE``: ``c`` goes through one call of C, ``njit`` through the functions inside ``@njit``."""

CALLS = 1000


class Engines(WithEngine):
    """The same pooling on each engine."""

    params = (ENGINES, ("resnet stem", "resnet stem, gradient", "photograph"))
    param_names = ("engine", "case")

    def text(self, engine, case):
        return CASES[case]

    def setup(self, engine, case):
        self.engine = engine
        super().setup(engine, case)

    def time_pool(self, engine, case):
        self.prepared.call()


class Calls(WithEngine):
    """What calls cost where there is nothing to do; asv times one call of this, so it makes many.

    Without an engine that is asked for, a call that is made again goes through a door that knows it.
    """

    params = (("default", *ENGINES),)
    param_names = ("engine",)

    def text(self, engine):
        return CASES["tiny"]

    def setup(self, engine):
        self.engine = "" if engine == "default" else engine
        super().setup(engine)

    def time_1000_calls(self, engine):
        call = self.prepared.call
        for _ in range(CALLS):
            call()


@functools.cache
def compiled():
    """A loop of calls inside ``@njit``, as a user writes it."""
    from numba import njit

    @njit
    def pooled(x, calls):
        total = 0.0
        for _ in range(calls):
            total += fastpool.max_pool2d(x, 2)[0, 0, 1, 1]
        return total

    return pooled


class Compiled:
    """The same inside ``@njit``, where each call allocates its result."""

    version = "1"
    timeout = 300
    rounds = 1
    repeat = (5, 20, 0.5)
    warmup_time = 0.05

    def setup(self):
        self.x = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
        found = compiled()(self.x, 3)
        if found != 3 * 27:
            raise WrongResultError(f"three calls inside @njit give {found}, not {3 * 27}")

    def time_1000_calls(self):
        compiled()(self.x, CALLS)


@functools.cache
def program():
    """The program in C, compiled and linked with the library; the folder goes with the process."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if library.library() is None or compiler is None:
        raise NotImplementedError(library.missing() or "there is no C compiler")
    folder = tempfile.TemporaryDirectory()
    target = Path(folder.name) / "calls"
    source = Path(__file__).with_name("calls.c")
    shared = Path(fastpool.get_library())
    options = ["-O2", f"-I{fastpool.get_include()}", str(shared), f"-Wl,-rpath,{shared.parent}"]
    subprocess.run([compiler, str(source), "-o", str(target), *options], check=True, capture_output=True)
    return folder, target


class C:
    """The same from C, through one call that plans each time, and through a plan that is kept."""

    params = (("run", "plan"),)
    param_names = ("function",)
    version = "1"
    timeout = 300
    unit = "s"

    def setup(self, function):
        self.path = program()[1]

    def track_1000_calls(self, function):
        done = subprocess.run([str(self.path), function, str(CALLS)], check=True, capture_output=True, text=True)
        return float(done.stdout)
