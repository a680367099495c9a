"""Builds the wheel of a commit for asv, with the C library in it.

asv calls this with its environment's Python, in the commit's own tree::

    wheel.py SOURCE WHEELS SECONDS.json

Object files are kept between builds in the folder that ``FASTPOOL_BUILD_CACHE`` names, by their content, so that
commits share those of kernels that are alike. Without it everything is compiled, which takes minutes, and the report
says how many seconds.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main(source, wheels, report):
    """Build the wheel of a tree into a folder, and write the report if nothing was there before."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check"]
    kept = os.environ.get("FASTPOOL_BUILD_CACHE")
    with tempfile.TemporaryDirectory() as empty:
        # a wheel without the library would be measured as a slow one
        environment = {**os.environ, "FASTPOOL_BUILD_CAPI": "1", "FASTPOOL_BUILD_CACHE": kept or empty}
        start = time.perf_counter()
        subprocess.run([*command, "-o", wheels, source], env=environment, check=True)
        seconds = time.perf_counter() - start
    if not kept:
        Path(report).parent.mkdir(parents=True, exist_ok=True)
        Path(report).write_text(json.dumps({"seconds": round(seconds, 2)}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
