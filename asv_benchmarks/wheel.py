"""Builds the wheel of a commit for asv, with the C library in it, and keeps how long that took.

asv calls this with its environment's Python, in the commit's own tree::

    wheel.py SOURCE WHEELS SECONDS.json

Nothing is taken from an earlier build, so that the time is that of all kernels.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main(source, wheels, report):
    """Build the wheel of a tree into a folder, and write the report."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check"]
    with tempfile.TemporaryDirectory() as objects:
        # a wheel without the library would be measured as a slow one
        environment = {**os.environ, "FASTPOOL_BUILD_CAPI": "1", "FASTPOOL_BUILD_CACHE": objects}
        start = time.perf_counter()
        subprocess.run([*command, "-o", wheels, source], env=environment, check=True)
        seconds = time.perf_counter() - start
    Path(report).parent.mkdir(parents=True, exist_ok=True)
    Path(report).write_text(json.dumps({"seconds": round(seconds, 2)}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
