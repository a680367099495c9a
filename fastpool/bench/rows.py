"""What was measured of one case, and what follows from it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from fastpool.bench import timing

OWN = ("floor", "fastpool", "fastpool call")
"""Names in a row that are no peers: the copy, the call into a given result, and the call that allocates one."""


@dataclass
class Row:
    """One case.

    Attributes
    ----------
    case, problem : str
        Its name and its text.
    moved : int
        Bytes that it has to read and write.
    times : dict of list of float
        By implementation, the fastest call of each round, in seconds.
    errors : dict of float
        By implementation, the largest error, in units in the last place for floats.
    wrong, failed, unsupported : dict of str
        By implementation, why it was not timed.
    """

    case: str
    problem: str
    moved: int
    times: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unsupported: dict[str, str] = field(default_factory=dict)

    @property
    def peers(self) -> list[str]:
        """Names of the peers that were timed."""
        return [name for name in self.times if name not in OWN]

    def seconds(self, name: str = "fastpool") -> float | None:
        """Median over rounds of a round's fastest call, or None if there is none."""
        times = self.times.get(name)
        return statistics.median(times) if times else None

    def rate(self, name: str = "fastpool") -> float | None:
        """Bytes per second."""
        seconds = self.seconds(name)
        return self.moved / seconds if seconds else None

    def ahead(self, name: str) -> float | None:
        """Median over rounds of another's time divided by fastpool's: above 1, fastpool is ahead."""
        ours, theirs = self.times.get("fastpool"), self.times.get(name)
        return timing.ratio(theirs, ours) if ours and theirs else None

    @property
    def of_floor(self) -> float | None:
        """The copy's time divided by fastpool's: 1 at the speed of memory, above it where data stay in a cache."""
        return self.ahead("floor")

    @property
    def best(self) -> str | None:
        """Name of the peer that fastpool is least ahead of, or where fastpool has no time the fastest one."""
        found = [(self.ahead(name) or self.seconds(name) or 0.0, name) for name in self.peers]
        return min(found)[1] if found else None
