"""Measures cases: every implementation in a process of its own, in turns, with its error beside its speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

from fastpool.bench import errors, family, timing
from fastpool.bench.data import moved
from fastpool.bench.processes import Worker
from fastpool.bench.rows import Row
from fastpool.problem import Problem

OURS, FLOOR = "fastpool", "floor"


class Session:
    """The processes of several implementations; a context manager.

    Parameters
    ----------
    peers : iterable of str
        Names of peers, all of them installed.
    threads : int
        How many threads each implementation may use.

    Examples
    --------
    >>> text = "max1d_fwd_f32_first_n8_iw8ow4kw2sw2"
    >>> with Session([], threads=1) as session:
    ...     row = session.measure("eight", text, rounds=1)
    >>> sorted(row.times), row.errors["fastpool"]
    (['fastpool', 'fastpool call', 'floor'], 0.0)
    """

    def __init__(self, peers: Iterable[str], threads: int) -> None:
        self.threads = threads
        names = (FLOOR, OURS, *peers)
        self._built_in = family.BUILT_IN in names
        self._workers = [Worker(name, threads) for name in names if name != family.BUILT_IN]

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    def measure(
        self,
        case: str,
        text: str,
        rounds: int,
        until: float = math.inf,
        progress: Callable[[str], None] | None = None,
    ) -> Row:
        """Measure one case.

        Parameters
        ----------
        case : str
            Its name.
        text : str
            The problem's text.
        rounds : int
            At most.
        until : float
            The reading of ``time.perf_counter`` by which it should be done.
        progress : callable, optional
            Is told the name of each implementation before it is prepared.

        Returns
        -------
        Row
            Without times of an implementation that cannot do the case, or whose result is wrong.

        Raises
        ------
        ValueError
            If the text is no problem.
        """
        judge, row = _judge(case, text)
        timers: dict[str, timing.Timer] = {}
        for worker in self._workers:
            if progress is not None:
                progress(worker.name)
            answer = worker.ask(do="prepare", problem=text)
            if not answer["ok"]:
                (row.unsupported if answer["unsupported"] else row.failed)[worker.name] = answer["why"]
                continue
            for mode in answer["modes"]:
                name = f"{worker.name} {mode}".rstrip()
                if mode == family.BUILT_IN:
                    if not self._built_in:
                        continue
                    name = mode
                if mode in answer["errors"]:
                    wrong = judge(answer["errors"][mode])
                    if wrong:
                        row.wrong[name] = wrong
                        continue
                    row.errors[name] = float(f"{answer['errors'][mode]:.3g}")
                timers[name] = partial(worker.time, mode)
        if progress is not None:
            progress("")
        # no more digits repeat, and what is printed now is what a file keeps
        for name, times in timing.interleaved(timers, rounds, until=until).items():
            row.times[name] = [float(f"{seconds:.4g}") for seconds in times]
        return row


def _judge(case: str, text: str) -> tuple[Callable[[float], str], Row]:
    """What says of an error why it is wrong, or ""; and the row of a case."""
    if text.startswith(family.MARK):
        found = family.case(text)
        return partial(_judged, found.allowed), Row(case, text, found.moved)
    problem = Problem.parse(text)
    return partial(judged, problem), Row(case, text, moved(problem))


def judged(problem: Problem, error: float) -> str:
    """Why a result with this error is wrong, or ""."""
    return _judged(errors.allowed(problem), error)


def _judged(limit: float, error: float) -> str:
    if error <= limit:
        return ""
    if math.isinf(error):
        return "a value that is not finite, a shape or an index differs"
    return f"an error of {error:.3g}, and rounding explains {limit:.3g}"
