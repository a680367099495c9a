"""Times of calls that take turns, and what can be said of two of them.

A machine's speed drifts, and others use it, too. So everything that is compared is timed in rounds, each in its turn,
A B C A B C; a round's time is that of its fastest call, and two are compared round by round.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

Timer = Callable[[int], Sequence[float]]
"""Makes a number of calls and returns how many seconds each one took."""

BUDGET = 0.03
"""Seconds that one of them is given in each round."""
MOST = 2000
"""Calls in a round at most."""
FEWEST = 3
"""Rounds that are made however slow something is."""
PATIENCE = 1.5
"""Seconds in all rounds together after which a slow one is left alone, unless said otherwise."""


def timer(call: Callable[[], object]) -> Timer:
    """The timer of a call in this process."""

    def times(count: int) -> list[float]:
        found = []
        for _ in range(count):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
        return found

    return times


def repetitions(seconds: float, budget: float = BUDGET) -> int:
    """How many calls of this length a round makes: two at least, for the first one finds cold caches.

    Examples
    --------
    >>> repetitions(0.001), repetitions(1e-9), repetitions(10.0)
    (30, 2000, 1)
    """
    if seconds > 20 * budget:
        return 1
    return max(2, min(MOST, int(budget / max(seconds, 1e-9) + 0.5)))


def interleaved(
    timers: Mapping[str, Timer],
    rounds: int,
    budget: float = BUDGET,
    until: float = math.inf,
    patience: float = PATIENCE,
) -> dict[str, list[float]]:
    """Time several things in turns.

    Parameters
    ----------
    timers : mapping of str to callable
        What is timed, by name.
    rounds : int
    budget : float
        Seconds that each one is given in a round.
    until : float
        The reading of ``time.perf_counter`` after which no round begins, but three are made all the same.
    patience : float
        Seconds in all rounds together after which one is left alone.

    Returns
    -------
    dict of list of float
        The fastest call of each round, in seconds. One so slow that it would hold up the others has fewer rounds,
        the first ones, but three if there are as many.
    """
    counts = {name: repetitions(min(one(2)), budget) for name, one in timers.items()}
    times: dict[str, list[float]] = {name: [] for name in timers}
    spent = dict.fromkeys(timers, 0.0)
    for i in range(rounds):
        if i >= FEWEST and time.perf_counter() > until:
            break
        for name, one in timers.items():
            if i >= FEWEST and spent[name] > patience:
                continue
            found = one(counts[name])
            spent[name] += sum(found)
            times[name].append(min(found))
    return times


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours divided by theirs, round by round, for the rounds that both have."""
    return [one / other for one, other in zip(ours, theirs, strict=False)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours divided by theirs; below 1 where ours is faster.

    Examples
    --------
    >>> ratio([1.0, 2.0, 3.0], [2.0, 8.0, 3.0])
    0.5
    """
    return statistics.median(ratios(ours, theirs))


def paired_ratio(ours: Callable[[], object], peer: Callable[[], object], rounds: int = 25) -> float:
    """Time two calls of this process in turns.

    Parameters
    ----------
    ours, peer : callable
        They have been called before, so that nothing is left to be compiled.
    rounds : int

    Returns
    -------
    float
        The median over rounds of our time divided by the peer's.
    """
    times = interleaved({"ours": timer(ours), "peer": timer(peer)}, rounds)
    return ratio(times["ours"], times["peer"])


def slower(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How well chance explains that ours took longer: the exact one-sided signed-rank test of Wilcoxon.

    Rounds are pairs, and their ratios are what is tested, so a drift that hits both is no finding.

    Parameters
    ----------
    ours, theirs : sequence of float
        Times, round by round.

    Returns
    -------
    float
        The probability of ratios that are as large or larger if neither were slower; 1 without a pair that differs.

    Examples
    --------
    >>> slower([1.1, 1.2, 1.3, 1.4, 1.5], [1.0, 1.0, 1.0, 1.0, 1.0])
    0.03125
    """
    return signed_rank([math.log(value) for value in ratios(ours, theirs)])


def signed_rank(differences: Iterable[float]) -> float:
    """The exact one-sided p-value of Wilcoxon's signed-rank test, for a median above 0.

    Zeros are left out, and equal magnitudes share the mean of their ranks.

    Examples
    --------
    >>> signed_rank([1.0, 2.0, -3.0])
    0.625
    """
    ordered = sorted((value for value in differences if value != 0), key=abs)
    # ranks are doubled, so that a mean of two of them is an integer
    ranks: list[int] = []
    for _, alike in groupby(ordered, key=abs):
        size = len(list(alike))
        ranks += [2 * len(ranks) + size + 1] * size
    observed = sum(rank for rank, value in zip(ranks, ordered, strict=True) if value > 0)
    # ways to reach each sum of ranks, with every sign as likely as the other
    ways = [1] + [0] * sum(ranks)
    for rank in ranks:
        for total in range(len(ways) - 1, rank - 1, -1):
            ways[total] += ways[total - rank]
    return float(sum(ways[observed:]) / 2 ** len(ranks))


def geometric_mean(values: Iterable[float]) -> float:
    """The geometric mean, NaN of nothing.

    Examples
    --------
    >>> round(geometric_mean([0.5, 8.0]), 6)
    2.0
    """
    found = list(values)
    return statistics.geometric_mean(found) if found else math.nan
