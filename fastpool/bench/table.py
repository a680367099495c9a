"""A report as tables, for a terminal of 120 columns and for Markdown."""

from __future__ import annotations

import math
from textwrap import fill
from typing import NamedTuple

from fastpool.bench import timing
from fastpool.bench.family import MARK
from fastpool.bench.report import Report
from fastpool.bench.rows import Row

WIDEST = 29
"""Characters of a case's name in a terminal."""
COLUMNS = 120


class Table(NamedTuple):
    """A header and rows of words; the columns of ``left`` are aligned to the left."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left: tuple[int, ...] = (0,)

    def text(self) -> str:
        """Aligned columns."""
        rows = [tuple(shortened(row[0]) if i == 0 else word for i, word in enumerate(row)) for row in self.rows]
        widths = [max(len(row[i]) for row in (self.header, *rows)) for i in range(len(self.header))]
        lines = []
        for row in (self.header, *rows):
            words = (
                word.ljust(width) if i in self.left else word.rjust(width)
                for i, (word, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  ".join(words).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """A Markdown table."""
        rule = tuple("---" if i in self.left else "---:" for i in range(len(self.header)))
        return "\n".join("| " + " | ".join(row) + " |" for row in (self.header, rule, *self.rows))


def shortened(name: str) -> str:
    """A name that a terminal has room for.

    Examples
    --------
    >>> shortened("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1")
    'max2d_fwd_f32_first_mb8ic6...'
    """
    return name if len(name) <= WIDEST else name[: WIDEST - 3] + "..."


def duration(seconds: float | None) -> str:
    """A time in words, to three digits.

    Examples
    --------
    >>> duration(0.001234), duration(4.5e-7), duration(2.0), duration(None)
    ('1.23 ms', '0.45 us', '2.00 s', '-')
    """
    if seconds is None:
        return "-"
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * scale:
            return f"{_three(seconds / scale)} {unit}"
    return f"{_three(seconds / 1e-6)} us"


def times(value: float | None) -> str:
    """A ratio in words.

    Examples
    --------
    >>> times(0.987), times(12.345), times(1234.0), times(None)
    ('0.99x', '12.3x', '1234x', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{_three(value)}x"


def _three(value: float) -> str:
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def _error(row: Row, name: str | None) -> str:
    if name is None:
        return "-"
    if name in row.wrong:
        return "WRONG"
    error = row.errors.get(name)
    return "-" if error is None else f"{error:.2g}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def speeds(report: Report) -> Table:
    """Speed and error of each case, of fastpool and of its fastest peer."""
    header: tuple[str, ...] = ("case", "time", "allocates", "GB/s", "of floor", "error")
    if report.peers:
        header += ("best peer", "its time", "its error", "ratio")
    rows = [_speed(row, bool(report.peers)) for row in report.rows]
    floors = [value for row in report.rows if (value := row.of_floor) is not None]
    mean: tuple[str, ...] = ("geometric mean", "", "", "", _number(timing.geometric_mean(floors), 2), "")
    if report.peers:
        mean += ("", "", "", times(timing.geometric_mean(best(report))))
    if len(rows) > 1:
        rows.append(mean)
    return Table(header, rows, (0, 6) if report.peers else (0,))


def _speed(row: Row, beside: bool) -> tuple[str, ...]:
    rate = row.rate()
    ours = duration(row.seconds())
    if "fastpool" in row.wrong or "fastpool" in row.failed:
        ours = "WRONG" if "fastpool" in row.wrong else "failed"
    words = (
        row.case,
        ours,
        "WRONG" if "fastpool call" in row.wrong else duration(row.seconds("fastpool call")),
        _number(rate and rate / 1e9, 1),
        _number(row.of_floor, 2),
        _error(row, "fastpool"),
    )
    if not beside:
        return words
    peer = row.best
    return (
        *words,
        peer or "-",
        duration(row.seconds(peer)) if peer else "-",
        _error(row, peer),
        times(row.ahead(peer)) if peer else "-",
    )


def beside(report: Report) -> Table:
    """How far fastpool is ahead of each peer."""
    header = ("case", *report.peers)
    rows = []
    for row in report.rows:
        ratios = ("WRONG" if name in row.wrong else times(row.ahead(name)) for name in report.peers)
        rows.append((row.case, *ratios))
    if len(rows) > 1:
        means = (timing.geometric_mean(ahead(report, name)) for name in report.peers)
        rows.append(("geometric mean", *(times(mean) for mean in means)))
    return Table(header, rows)


def problems(report: Report) -> Table:
    """What each name stands for."""
    told = [row for row in report.rows if not row.problem.startswith(MARK)]
    return Table(("case", "problem"), [(row.case, f"`{row.problem}`") for row in told], (0, 1))


def ahead(report: Report, name: str) -> list[float]:
    """Ratios to one peer, of the cases that it has."""
    return [value for row in report.rows if (value := row.ahead(name)) is not None]


def best(report: Report) -> list[float]:
    """Ratios to the fastest peer of each case."""
    return [value for row in report.rows if row.best and (value := row.ahead(row.best)) is not None]


def summary(report: Report) -> list[str]:
    """Geometric means in words: how far ahead, in how many cases, and in how many behind."""
    lines = []
    several = [("the best peer", best(report))] if len(report.peers) > 1 else []
    for what, values in (*several, *((name, ahead(report, name)) for name in report.peers)):
        if values:
            behind = sum(value < 1 for value in values)
            lines.append(
                f"{what}: {times(timing.geometric_mean(values))} over {_cases(len(values))}, "
                f"behind in {behind}, lowest {times(min(values))}"
            )
    return lines


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def remarks(report: Report) -> list[str]:
    """What was wrong and what failed, a line for each."""
    lines = []
    for row in report.rows:
        lines += [f"WRONG: {name} on {row.case}: {why}" for name, why in row.wrong.items()]
    for row in report.rows:
        lines += [f"not timed: {name} on {row.case}: {why}" for name, why in row.failed.items()]
    return lines


def heading(report: Report) -> list[str]:
    """What it was measured on, and what the columns mean: two paragraphs."""
    machine, versions = report.machine, report.versions
    engine = " ".join(machine[key] for key in ("engine", "level") if key in machine)
    processor = ", ".join(machine[key] for key in ("processor", "caches", "system") if key in machine)
    threads = "1 thread" if report.threads == 1 else f"{report.threads} threads"
    named = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "fastpool")
    return [
        f"fastpool {versions.get('fastpool', '')} ({engine}), {threads}; {processor}; {named}.",
        f"Times are medians over {report.rounds} rounds of a round's fastest call, into a result that is there "
        "already, or (allocates) into a new one. Of floor: the time to copy as many bytes, divided by fastpool's. "
        "Ratio: the other's time divided by fastpool's. Errors: the largest one found, against wider arithmetic, in "
        "units in the last place for floats, as a difference for integers.",
    ]


def text(report: Report) -> str:
    """Everything for a terminal."""
    parts = ["\n".join(fill(paragraph, COLUMNS) for paragraph in heading(report)), speeds(report).text()]
    if len(report.peers) > 1:
        parts.append("Ratio to each peer:\n\n" + beside(report).text())
    if report.peers:
        parts.append("\n".join(f"fastpool ahead of {line}" for line in summary(report)))
    if remarks(report):
        parts.append("\n".join(line[:COLUMNS] for line in remarks(report)))
    return "\n\n".join(parts)


def markdown(report: Report) -> str:
    """Everything for a page."""
    parts = [*heading(report), speeds(report).markdown()]
    if len(report.peers) > 1:
        parts += ["Ratio to each peer:", beside(report).markdown()]
    if report.peers:
        parts.append("\n".join(f"- Ahead of {line}." for line in summary(report)))
    if remarks(report):
        parts.append("\n".join(f"- {line}" for line in remarks(report)))
    stands_for = problems(report)
    if stands_for.rows:
        parts += ["What each name stands for:", stands_for.markdown()]
    return "\n\n".join(parts)
