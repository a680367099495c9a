"""A run's figures as data: written to JSON, and read again for tables, pictures and ``docs/performance.md``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastpool.bench.peers import PEERS
from fastpool.bench.rows import OWN, Row

FORMAT = 1


@dataclass
class Report:
    """What was measured.

    Attributes
    ----------
    machine, versions : dict of str
        What it was measured on and with.
    threads, rounds : int
    rows : list of Row
    """

    machine: dict[str, str]
    versions: dict[str, str]
    threads: int
    rounds: int
    rows: list[Row] = field(default_factory=list)

    @property
    def peers(self) -> list[str]:
        """Names of the peers that were timed, or wrong, in any case."""
        found = {name for row in self.rows for name in (*row.peers, *row.wrong) if name not in OWN}
        return [name for name in PEERS if name in found]

    def to_json(self) -> str:
        """The report as JSON, a line for each row."""
        head: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        rows = [_short(row) for row in head.pop("rows")]
        lines = ",\n".join("  " + json.dumps(row, allow_nan=False) for row in rows)
        return json.dumps(head, indent=1)[:-2] + ',\n "rows": [\n' + lines + "\n ]\n}\n"

    def write(self, path: Path) -> None:
        """Write it to a file."""
        path.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def from_json(cls, text: str) -> Report:
        """The report that ``to_json`` wrote.

        Raises
        ------
        ValueError
            If it is of another format.
        """
        found = json.loads(text)
        written = found.pop("format", None)
        if written != FORMAT:
            raise ValueError(
                f"bench: format={written!r}: this version reads format {FORMAT}; "
                "measure again with: python -m fastpool bench --json FILE"
            )
        return cls(**{**found, "rows": [Row(**row) for row in found["rows"]]})


def _short(row: dict[str, Any]) -> dict[str, Any]:
    # what has nothing to say is left out
    return {name: value for name, value in row.items() if value or name in ("case", "problem", "moved")}
