"""Records commits in ``results/``, or runs each recorded benchmark once to see that it works.

    python asv_benchmarks/record.py                      # HEAD
    python asv_benchmarks/record.py v0.1.0 main~3 main   # these
    python asv_benchmarks/record.py --once               # nothing is recorded, and this interpreter's fastpool runs

asv builds each commit in an environment of its own and measures it with the benchmarks of the working tree. A commit
that has results is left as it is, so after an interruption the same command goes on.
"""

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastpool.bench.machine import processor

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"

MACHINE = "bench-2core"
"""Not the name of a host, so that graphs go on where a machine is replaced by one of the same kind."""

RECORDED = (
    r"^networks\.(Forward|Backward|Images)\.",
    # the compiler of jit takes longer than all the rest
    r"^engines\.(Engines|Calls)\..*\('(default|aot|c|njit)'",
    r"^engines\.(Compiled|C)\.",
    r"^ratios\.(Floor|Torch)\.",
    r"^memory\.",
    r"^startup\.",
)
"""The benchmarks that a commit is recorded with, in minutes; the others are run by name."""

CHOSEN = [word for pattern in RECORDED for word in ("--bench", pattern)]


def main(words=None):
    """Record, or run once; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs="*", metavar="COMMIT", default=["HEAD"], help="what to record: HEAD")
    parser.add_argument("--machine", default=MACHINE, help=f"the name that results are kept under: {MACHINE}")
    parser.add_argument("--again", action="store_true", help="measure commits that have results, too")
    parser.add_argument("--from-scratch", action="store_true", help="compile all kernels, and record how long it takes")
    parser.add_argument("--once", action="store_true", help="run each recorded benchmark once, record nothing")
    given = parser.parse_args(words)
    if given.once:
        return once()
    try:
        commits = [git("rev-parse", "--verify", "--quiet", f"{word}^{{commit}}") for word in given.commits]
    except subprocess.CalledProcessError as error:
        parser.error(f"{error.cmd[-1].removesuffix('^{commit}')!r} names no commit of this repository")
    try:
        describe(given.machine, Path.home())
    except ValueError as error:
        parser.error(str(error))
    environment = {"FASTPOOL_BUILD_CACHE": "" if given.from_scratch else str(HERE.parent / "build" / "objects")}
    failed = []
    for commit in commits:
        if results(commit, given.machine) and not given.again:
            print(f"{commit[:8]}: has results")
        elif not record(commit, given.machine, environment):
            failed.append(commit)
    for commit in failed:
        print(f"{commit[:8]}: not everything could be measured, see above", file=sys.stderr)
    return 1 if failed else 0


def git(*words):
    """What git prints in this repository."""
    command = ["git", "-C", str(HERE), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def asv(*words, **environment):
    """Run asv in this folder; returns its exit code."""
    return subprocess.run([sys.executable, "-m", "asv", *words], cwd=HERE, env={**os.environ, **environment}).returncode


def describe(machine, home):
    """Tell asv what this machine is, in the file of the home folder where it looks; nothing says which one it is.

    The command ``asv machine`` keeps of a description only what differs from its own findings.

    Raises
    ------
    ValueError
        If the name belongs to a machine with another processor.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    known = {
        "machine": machine,
        "os": platform.system(),
        "arch": platform.machine(),
        "cpu": processor(),
        "num_cpu": str(os.cpu_count()),
        "ram": f"{memory:.0f} GiB",
    }
    path = RESULTS / machine / "machine.json"
    recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else known
    if (recorded["cpu"], recorded["num_cpu"]) != (known["cpu"], known["num_cpu"]):
        raise ValueError(
            f"the results of {machine} are of {recorded['num_cpu']} x {recorded['cpu']}, this machine has "
            f"{known['num_cpu']} x {known['cpu']}: times of two machines make no history; choose another --machine"
        )
    path = Path(home, ".asv-machine.json")
    machines = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"version": 1}
    path.write_text(json.dumps(machines | {machine: known}, indent=4), encoding="utf-8")


def results(commit, machine):
    """Files with a commit's results."""
    return sorted((RESULTS / machine).glob(f"{commit[:8]}-*.json"))


def record(commit, machine, environment):
    """Record one commit; returns whether all benchmarks have results, or were skipped."""
    name = git("log", "-1", "--format=%h %s", commit)
    print(f"{name}: measured now", flush=True)
    start = time.monotonic()
    words = ("run", f"{commit}^!", "--machine", machine, "--no-pull", "--show-stderr")
    code = asv(*words, *CHOSEN, **environment)
    print(f"{name}: {time.monotonic() - start:.0f} s")
    found = results(commit, machine)
    # where nothing was built asv writes results that are empty; the next run is to try again
    for path in [path for path in found if not measured(path)]:
        path.unlink()
        code = code or 1
    for path in [*results(commit, machine), RESULTS / machine / "machine.json", RESULTS / "benchmarks.json"]:
        if path.exists():
            check_neutral(path)
    return code == 0 and bool(found)


def measured(path):
    """Whether a file of asv has a figure."""
    rows = json.loads(path.read_text(encoding="utf-8"))["results"].values()
    return any(value is not None for row in rows if row for value in row[0] or ())


def check_neutral(path):
    """Refuse to keep a file that names a path or the host of this machine.

    Raises
    ------
    RuntimeError
        If it does.
    """
    text = path.read_text(encoding="utf-8")
    for word in (str(HERE.parent), str(Path.home()), sys.prefix, socket.gethostname()):
        if len(word) > 1 and word in text:
            raise RuntimeError(f"{path.name} names {word!r}: what is committed must not tell which machine it is from")


def once():
    """Let asv check all benchmarks, and run each recorded one once with this interpreter; returns the exit code."""
    with tempfile.TemporaryDirectory() as name:
        # asv describes the machine beside the results, too, and nothing of that is to stay
        describe("once", name)
        settings = json.loads((HERE / "asv.conf.json").read_text(encoding="utf-8"))
        settings |= {"repo": str(HERE.parent), "benchmark_dir": str(HERE / "benchmarks")}
        settings |= {folder: str(Path(name, folder)) for folder in ("env_dir", "results_dir", "html_dir")}
        path = Path(name, "asv.conf.json")
        path.write_text(json.dumps(settings), encoding="utf-8")
        environment = {"HOME": name, "FASTPOOL_BENCHMARKS_ROUNDS": "1"}
        where = ("--config", str(path), "-E", f"existing:{sys.executable}")
        words = ("--quick", "--dry-run", "--show-stderr", "--machine", "once")
        return asv("check", *where, **environment) or asv("run", *where, *words, *CHOSEN, **environment)


if __name__ == "__main__":
    sys.exit(main())
