"""Calls that have been checked: what asv times is right, or fails.

The table of cases, their arrays and the calls are those of ``fastpool.bench``, taken from the working tree: the
fastpool that is measured may be older than they are. Modules import this one before anything of ``fastpool.bench``, as
the order of the alphabet has it.
"""

import functools
import os
import runpy
from pathlib import Path

from fastpool import dispatch
from fastpool.problem import Problem

# a thread that spins while it waits takes the time of those who work; read when the library is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

TREE = Path(__file__).resolve().parents[2]
BENCH = TREE / "fastpool" / "bench"
attach = runpy.run_path(str(BENCH / "worker.py"))["attach"]
attach("fastpool.bench", BENCH)

from fastpool.bench import data, errors, measuring, networks  # noqa: E402

CASES = networks.CASES

LAYOUTS = ("first", "last")
"""Channels first, channels last."""

ENGINE, FORM = "FASTPOOL_ENGINE", "FASTPOOL_FORCE_KERNEL"


class WrongResultError(AssertionError):
    """A benchmark would have timed a call that computes something else."""


def text_in(case, layout):
    """A case of the table, which has its channels first, in this layout."""
    return CASES[case].replace("_first_", f"_{layout}_")


def checked(text):
    """A prepared call of a problem, whose result is right.

    asv calls ``setup`` before each sample, so what was checked is kept: with an engine and a kernel each.

    Raises
    ------
    WrongResultError
        If its error is larger than rounding explains.
    """
    return _checked(text, os.environ.get(ENGINE), os.environ.get(FORM))


@functools.cache
def _checked(text, engine, form):
    problem = Problem.parse(text)
    given = data.inputs(problem)
    prepared = data.prepare(problem, given=given)
    wrong = measuring.judged(problem, errors.largest(problem, given, prepared.results))
    if wrong:
        raise WrongResultError(f"{text} (engine {engine or 'any'}, kernel {form or 'any'}): {wrong}")
    return prepared


class Checked:
    """What benchmarks of prepared calls have in common: the problem is the text that ``text`` makes of parameters."""

    version = "1"
    timeout = 300
    rounds = 2
    repeat = (5, 20, 0.5)
    warmup_time = 0.05

    def text(self, *parameters):
        raise NotImplementedError

    def setup(self, *parameters):
        self.prepared = checked(self.text(*parameters))


class WithEngine(Checked):
    """Runs on the engine and the kernel form that ``engine`` and ``form`` say, and is skipped without them."""

    engine = ""
    form = ""

    def setup(self, *parameters):
        wanted = {name: value for name, value in ((ENGINE, self.engine), (FORM, self.form)) if value}
        self.before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            self.need(self.text(*parameters))
            super().setup(*parameters)
        except BaseException:
            self.teardown()
            raise

    def need(self, text):
        """Raise ``NotImplementedError``, which asv takes for a skip, where the engine cannot do the problem."""
        if self.engine and not runs_on(text, self.engine):
            raise NotImplementedError(f"{self.engine} cannot do {text} here")

    def teardown(self, *_):
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@functools.cache
def runs_on(text, engine):
    """Whether the engine that the environment asks for takes a problem."""
    return dispatch.explain(Problem.parse(text)).engine == engine
