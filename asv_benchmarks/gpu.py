"""All that needs a GPU: tests on the device, times beside torch's and a copy's, calls from several threads.

python asv_benchmarks/gpu.py                        all parts, in about eight minutes on an H100
python asv_benchmarks/gpu.py --only matrix,time     some of: matrix, kinds, tiny, threads, time
python asv_benchmarks/gpu.py --json gpu.json        writes what was found, too
python asv_benchmarks/gpu.py --sanitize             small cases under compute-sanitizer's memory checker
python asv_benchmarks/gpu.py --simulate --few 5     a dry run: tests in Numba's simulator, the rest on the CPU

It runs from a source checkout, without a build: PyTorch, numba and numba-cuda have to be there. A part that
fails does not stop the others; the exit code says whether one did.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
import types
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "asv_benchmarks")]

# the tests' problems are told which of them are slow, which is of no account here
if importlib.util.find_spec("pytest") is None:
    sys.modules["pytest"] = types.ModuleType("pytest")

from gpu_parts import calls, matrix, times  # noqa: E402
from gpu_parts.say import say  # noqa: E402

PARTS = {"matrix": 180, "kinds": 30, "tiny": 20, "threads": 40, "time": 210}
"""Seconds that each part may take, when it is asked for all of them."""

PACKAGES = ("numpy", "numba", "numba-cuda", "numba-cuda-mlir", "torch", "cupy-cuda13x", "cupy-cuda12x", "jax", "triton")


def machine() -> dict[str, str]:
    """The GPU, its driver, and versions."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.mem", "--format=csv,noheader"]
    if shutil.which(asked[0]):
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        found["GPU"] = said.splitlines()[0] if said else "nvidia-smi knows none"
    return found


RUN = {"matrix": matrix.run, "time": times.run, "tiny": calls.tiny, "threads": calls.threads, "kinds": calls.kinds}
TOLD = {
    "matrix": matrix.told,
    "time": times.told,
    "tiny": calls.tiny_told,
    "threads": calls.threads_told,
    "kinds": calls.kinds_told,
}


def sanitize(options: argparse.Namespace) -> int:
    """The matrix's first cases under the memory checker."""
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(tool).exists():
        say("sanitize: compute-sanitizer is not installed")
        return 2
    command = [tool, "--tool", "memcheck", "--error-exitcode", "9", sys.executable, __file__]
    command += ["--only", "matrix", "--workers", "1", "--few", str(options.few or 60)]
    return subprocess.run(command, check=False).returncode


def arguments(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    parser.add_argument("--seconds", type=float, help="that one part may take, instead of its own")
    parser.add_argument("--few", type=int, default=0, help="cases of a part; all of them if left out")
    parser.add_argument("--rounds", type=int, default=7, help="of timing")
    parser.add_argument("--compile", action="store_true", help="time torch.compile of the judge's cases, too")
    parser.add_argument("--workers", type=int, default=min(16, os.cpu_count() or 1), help="processes of the matrix")
    parser.add_argument(
        "--simulate", action="store_true", help="without a GPU: tests in Numba's simulator, small cases on the CPU"
    )
    parser.add_argument("--sanitize", action="store_true", help="the matrix under compute-sanitizer")
    parser.add_argument("--json", type=Path, help="a file to write")
    parser.add_argument("--shard", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"--only {','.join(sorted(unknown))}: the parts are {', '.join(PARTS)}")
    if options.simulate:
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
    options.seconds = {part: options.seconds or limit for part, limit in PARTS.items()}
    options.shard = tuple(map(int, options.shard.split("/"))) if options.shard else None
    return options


def plain(value: Any) -> Any:
    """What JSON has no form for."""
    return sorted(value) if isinstance(value, set) else asdict(value)


def main(words: list[str] | None = None) -> int:
    """Run the parts; returns 0 if all went well."""
    options = arguments(words)
    if options.sanitize:
        return sanitize(options)
    if options.shard:
        print(json.dumps(RUN[options.only[0]](options), default=plain))
        return 0
    found: dict[str, Any] = {"machine": machine()}
    for name, value in found["machine"].items():
        say(f"{name}: {value}")
    failed = []
    for part in options.only:
        say(f"\n== {part}")
        begun = time.monotonic()
        try:
            found[part] = RUN[part](options)
            well = TOLD[part](found[part])
        except Exception:
            traceback.print_exc()
            well = False
        failed += [] if well else [part]
        say(f"{part}: {'well' if well else 'FAILED'} in {time.monotonic() - begun:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(found, default=plain, indent=1) + "\n", encoding="utf-8")
    say(f"\nfailed: {', '.join(failed) or 'nothing'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
