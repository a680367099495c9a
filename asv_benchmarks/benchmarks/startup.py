"""What a new process waits for, how large the library is, and how long it takes to build."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import fastpool
from fastpool import library

PROCESSES = 10

IMPORT = """
import time
import numpy
start = time.perf_counter()
import fastpool
print(time.perf_counter() - start)
"""

FIRST_CALL = """
import time
import numpy
import fastpool
x = numpy.ones((1, 1, 8, 8), numpy.float32)
start = time.perf_counter()
fastpool.max_pool2d(x, 2)
print(time.perf_counter() - start)
"""


def median_of_processes(code):
    """Median of what a number of new processes print, in seconds."""
    # a process that may not keep compiled modules would time Python's compiler
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    found = [
        float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        for _ in range(PROCESSES + 1)
    ]
    # the first one may compile modules
    return statistics.median(found[1:])


class Startup:
    """A process that has imported NumPy."""

    version = "1"
    timeout = 120
    unit = "s"

    def track_import(self):
        """Importing fastpool."""
        return median_of_processes(IMPORT)

    def track_first_call(self):
        """The first call after that, of the smallest pooling."""
        return median_of_processes(FIRST_CALL)


class Library:
    """The C library."""

    version = "1"
    unit = "bytes"

    def setup(self):
        if library.library() is None:
            raise NotImplementedError(library.missing())

    def track_size(self):
        """Size of the shared library."""
        return fastpool.get_library().stat().st_size


class Build:
    """The wheel that is measured: ``wheel.py`` kept the time, if it compiled everything; skipped where it did not."""

    version = "1"
    unit = "s"

    def setup(self):
        folder, commit = os.environ.get("ASV_ENV_DIR", ""), os.environ.get("ASV_COMMIT", "")
        path = Path(folder, "built", f"{commit}.json")
        if not (folder and commit and path.exists()):
            raise NotImplementedError("asv has not built what is measured, or not from scratch")
        self.seconds = json.loads(path.read_text(encoding="utf-8"))["seconds"]

    def track_build(self):
        """Building the wheel: compiling all kernels for each level of processors, on all CPUs."""
        return self.seconds
