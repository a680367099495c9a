"""The operations beyond windows of one size, and own reductions, beside the library that has each of them.

As in ``ratios``, what is compared takes turns, each library in a process of its own. Below 1 fastpool is faster.
"""

import os

import fastpool
from benchmarks.calls import WrongResultError
from fastpool.bench import family, timing
from fastpool.bench.measuring import Session
from fastpool.bench.peers import FAMILY, installed

MEASURED = (
    "adaptive mean 7",
    "adaptive mean 7, last",
    "adaptive max 10x9",
    "adaptive mean 7, gradient",
    "unpool, segnet",
    "unpool, segnet, gradient",
    "upsample",
    "blur 4",
    "roi align 7",
    "roi pool 7",
    "median 3x3",
    "median 5x5",
    "own maximum",
    "own maximum, 7x7",
    "own mean",
    "own norm",
)

ROUNDS = int(os.environ.get("FASTPOOL_BENCHMARKS_ROUNDS", "7"))
"""Rounds of each case; one of them finds out whether everything works."""


class Family:
    """Measures all cases beside the libraries that are installed, once; the benchmarks below read what was found."""

    params = (MEASURED,)
    param_names = ("case",)
    version = "1"
    timeout = 60
    unit = "times as long (lower is better)"

    def setup_cache(self):
        found = {}
        with Session(installed(FAMILY), fastpool.get_num_threads()) as session:
            for case in MEASURED:
                row = session.measure(case, family.TEXTS[case], ROUNDS)
                found[case] = {"times": row.times, "wrong": row.wrong, "failed": row.failed}
        return found

    setup_cache.timeout = 900

    def setup(self, found, case):
        self.times = found[case]["times"]
        for words, kind in ((found[case]["wrong"], WrongResultError), (found[case]["failed"], RuntimeError)):
            if "fastpool" in words:
                raise kind(f"{case}: fastpool: {words['fastpool']}")

    def _ratio(self, names):
        ratios = [timing.ratio(self.times["fastpool"], self.times[name]) for name in names if name in self.times]
        if not ratios:
            raise NotImplementedError("no library that has it is installed")
        return float(f"{max(ratios):.4g}")

    def track_ratio_best_peer(self, found, case):
        return self._ratio(FAMILY)

    def track_floor_ratio(self, found, case):
        return self._ratio(("floor",))
