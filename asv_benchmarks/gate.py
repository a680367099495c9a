"""Fails where a commit is slower than another one: by a tenth in the median, and not by chance.

    python asv_benchmarks/gate.py main                                        # HEAD beside main
    python asv_benchmarks/gate.py v0.1.0 main --cases "vgg 1" sppf
    python asv_benchmarks/gate.py --prebuilt OLD/bin/python NEW/bin/python

Both commits are built in environments of their own, under ``build/gate``, and each runs in a process of its own. They
take turns, round by round, so that whatever disturbs the machine hits both. A case is worse where the median over
rounds of head / base is 1.1 or more, and the signed-rank test gives chance less than 0.01 divided by the number of
cases. Where in memory a process lies can cost as much, and in each of its rounds: so what is worse is measured
again, by new processes in the other order, and has to be worse again. The exit code is 1 if a case is, or if head's
result is wrong; else 0.
"""

import argparse
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import fastpool
from fastpool.bench import measuring, networks, timing
from fastpool.bench.processes import Worker
from fastpool.problem import Problem

TREE = Path(__file__).resolve().parents[1]
BUILDS = TREE / "build" / "gate"

WORSE = 1.1
CHANCE = 0.01
ROUNDS = 25
BASE, HEAD = "base", "head"


class Finding(NamedTuple):
    """What was found of one case.

    Attributes
    ----------
    case : str
    base, head : float
        Median times, in seconds.
    ratio : float
        The median over rounds of head / base.
    chance : float
        The probability of such rounds if head were not slower.
    note : str
        Why there are no times.
    wrong : bool
        Whether that is head's fault.
    """

    case: str
    base: float = math.nan
    head: float = math.nan
    ratio: float = math.nan
    chance: float = 1.0
    note: str = ""
    wrong: bool = False

    @classmethod
    def of(cls, case, base, head):
        """The finding of the times of both, round by round."""
        ratio, chance = timing.ratio(head, base), timing.slower(head, base)
        return cls(case, statistics.median(base), statistics.median(head), ratio, chance)

    def fails(self, cases):
        """Whether the gate fails on it, as one of so many cases."""
        return self.wrong or (self.ratio >= WORSE and self.chance < CHANCE / cases)

    def line(self, cases):
        """A row of the table."""
        if self.note:
            return f"{self.case:<32} {self.note}"
        base, head = (f"{1e3 * seconds:.4g} ms" for seconds in (self.base, self.head))
        word = "WORSE" if self.fails(cases) else ""
        return f"{self.case:<32} {base:>10} {head:>10} {self.ratio:7.3f} {self.chance:8.2g}  {word}".rstrip()


HEADINGS = f"{'case':<32} {'base':>10} {'head':>10} {'ratio':>7} {'chance':>8}"


def judged(measure, cases):
    """Measure each case, those that fail once more, and print a row for each.

    Parameters
    ----------
    measure : callable
        Takes a case, and whether base and head are to change places, and returns a finding.
    cases : sequence of str

    Returns
    -------
    list of str
        The cases on which the gate fails.
    """
    failed = []
    for case in cases:
        finding = measure(case, False)
        if finding.fails(len(cases)):
            # the one of both that speaks less against head
            finding = min(finding, measure(case, True), key=lambda one: (one.fails(len(cases)), one.ratio))
        if finding.fails(len(cases)):
            failed.append(case)
        print(finding.line(len(cases)), flush=True)
    return failed


def measured(pythons, rounds, case, swapped):
    """The finding of one case, by new processes of both interpreters."""
    text = networks.CASES[case]
    order = (HEAD, BASE) if swapped else (BASE, HEAD)
    threads = fastpool.get_num_threads()
    workers = {name: Worker("fastpool", threads, pythons[name]) for name in order}
    try:
        for name, worker in workers.items():
            answer = worker.ask(do="prepare", problem=text)
            why = measuring.judged(Problem.parse(text), answer["errors"][""]) if answer["ok"] else answer["why"]
            if why:
                return Finding(case, note=f"{name}: {why}", wrong=name == HEAD)
        timers = {name: partial(worker.time, "") for name, worker in workers.items()}
        # all rounds of a slow one, too, or the test could not find it slower
        times = timing.interleaved(timers, rounds, patience=math.inf)
        return Finding.of(case, times[BASE], times[HEAD])
    finally:
        for worker in workers.values():
            worker.close()


def git(*words):
    """What git prints in this repository."""
    command = ["git", "-C", str(TREE), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def built(commit):
    """The interpreter of an environment in which a commit is installed, with its C library.

    An environment is kept; object files are shared with other builds, by their content.
    """
    folder = BUILDS / commit[:12]
    python, done = folder / "bin" / "python", folder / "built"
    if done.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    print(f"building {git('log', '-1', '--format=%h %s', commit)}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    objects = str(TREE / "build" / "objects")
    environment = {**os.environ, "FASTPOOL_BUILD_CAPI": "1", "FASTPOOL_BUILD_CACHE": objects}
    with tempfile.TemporaryDirectory() as name:
        tree = str(Path(name, "tree"))
        git("worktree", "add", "--detach", tree, commit)
        try:
            subprocess.run([str(python), "-m", "pip", "install", "-q", tree], env=environment, check=True)
        finally:
            git("worktree", "remove", "--force", tree)
    done.touch()
    return python


def fewest(cases):
    """How many rounds the test needs to find anything in one of so many cases."""
    return math.floor(math.log2(cases / CHANCE)) + 1


def main(words=None):
    """Compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", metavar="BASE", help="the commit to compare with")
    parser.add_argument("head", nargs="?", metavar="HEAD", default="HEAD", help="the commit that is judged: HEAD")
    parser.add_argument("--prebuilt", nargs=2, metavar="PYTHON", help="interpreters that have fastpool, not commits")
    parser.add_argument("--cases", nargs="+", default=[], metavar="CASE", help="names or parts of names in the table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds for each case: {ROUNDS}")
    given = parser.parse_args(words)
    if (given.base is None) == (given.prebuilt is None):
        parser.error("it compares a commit BASE, or two interpreters after --prebuilt; give one of both")
    try:
        cases = list(networks.select(tuple(given.cases), "quick"))
    except ValueError as error:
        parser.error(str(error))
    unknown = [case for case in cases if case not in networks.CASES]
    if unknown:
        parser.error(f"{unknown[0]!r} is not in the table of cases, fastpool/bench/networks.py; add it there")
    if given.rounds < fewest(len(cases)):
        parser.error(
            f"rounds={given.rounds} of {len(cases)} cases can be chance whatever they show; "
            f"make at least {fewest(len(cases))}"
        )
    if given.prebuilt:
        pythons = dict(zip((BASE, HEAD), given.prebuilt, strict=True))
    else:
        try:
            commits = [
                git("rev-parse", "--verify", "--quiet", f"{word}^{{commit}}") for word in (given.base, given.head)
            ]
        except subprocess.CalledProcessError as error:
            parser.error(f"{error.cmd[-1].removesuffix('^{commit}')!r} names no commit of this repository")
        pythons = dict(zip((BASE, HEAD), map(built, commits), strict=True))
    print(HEADINGS)
    failed = judged(partial(measured, pythons, given.rounds), cases)
    print(f"{len(failed)} of {len(cases)} cases failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
