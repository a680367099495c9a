"""``python -m fastpool bench``: measures cases, shows progress, prints tables, writes JSON and pictures."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import fastpool
from fastpool.bench import machine, networks, peers, table
from fastpool.bench.measuring import Session
from fastpool.bench.report import Report
from fastpool.bench.rows import Row

SECONDS = 30.0
"""How long a run takes that nothing is said about."""
ROUNDS = 7


def run(
    words: Iterable[str] = (),
    chosen: str = "quick",
    windows: bool = False,
    rounds: int | None = None,
    threads: int | None = None,
    peer_names: str | None = None,
    json_file: Path | None = None,
    plot_file: Path | None = None,
    markdown: bool = False,
) -> bool:
    """Measure, and print what was found.

    Parameters
    ----------
    words : iterable of str
        Names of cases, parts of names, or problem texts; none of them for a set.
    chosen : str
        The set: ``"quick"``, ``"judge"``, ``"all"`` or ``"family"``.
    windows : bool
        Measure the sweep of window sizes instead.
    rounds : int, optional
        How many; if left out 7, or in the quick set as many as half a minute allows.
    threads : int, optional
        How many each implementation may use; those of fastpool if left out.
    peer_names : str, optional
        See ``fastpool.bench.peers.chosen``.
    json_file, plot_file : Path, optional
        Where the figures and a picture of them go.
    markdown : bool
        Print Markdown.

    Returns
    -------
    bool
        Whether every result of fastpool was right.

    Raises
    ------
    ValueError
        If an argument makes no sense.
    ModuleNotFoundError
        If a peer that was named, or matplotlib, is missing.
    OSError
        If a file cannot be written.
    """
    words = tuple(words)
    threads = fastpool.get_num_threads() if threads is None else threads
    for name, value in (("rounds", rounds), ("threads", threads)):
        if value is not None and value < 1:
            raise ValueError(f"bench: {name}={value}: it must be at least 1")
    if windows and words:
        raise ValueError(f"bench: windows, with the cases {', '.join(words)}: the sweep has its own; leave one away")
    cases = networks.windows() if windows else networks.select(words, chosen)
    # others take minutes for windows of 100 by 100
    usual = ["scipy"] if windows else peers.FAMILY if chosen == "family" else ()
    names = peers.installed(usual) if usual and peer_names is None else peers.chosen(peer_names or "default")
    for path in (json_file, plot_file):
        if path is not None:
            check(path)
    if plot_file is not None:
        check_plot(plot_file)

    short = rounds is None and not words and not windows and chosen == "quick"
    end = time.perf_counter() + SECONDS if short else math.inf
    report = Report(machine.describe(), machine.versions(names), threads, rounds or ROUNDS)
    report.rows += measure(cases, names, threads, report.rounds, end)
    report.rounds = max((len(row.times.get("fastpool", ())) for row in report.rows), default=0)
    print(table.markdown(report) if markdown else table.text(report))
    if json_file is not None:
        report.write(json_file)
    if plot_file is not None:
        draw(report, plot_file, windows)
    return not any("fastpool" in {*row.wrong, *row.failed} or "fastpool call" in row.wrong for row in report.rows)


def measure(cases: Mapping[str, str], names: list[str], threads: int, rounds: int, end: float) -> list[Row]:
    """Measure cases one after the other, and say on standard error how far it is."""
    rows: list[Row] = []
    with Session(names, threads) as session:
        for i, (case, text) in enumerate(cases.items()):
            where = f"[{i + 1:{len(str(len(cases)))}}/{len(cases)}] {table.shortened(case)}"
            now = time.perf_counter()
            until = now + max(end - now, 0.0) / (len(cases) - i)
            row = session.measure(case, text, rounds, until, partial(_tell, where))
            rows.append(row)
            _clear()
            print(f"{where:<{table.WIDEST + 10}} {one_line(row)}", file=sys.stderr, flush=True)
    return rows


def one_line(row: Row) -> str:
    """What was found of one case, in short."""
    for found, word in ((row.wrong, "WRONG"), (row.failed, "failed")):
        if "fastpool" in found:
            return f"{word}: {found['fastpool']}"
    rate = row.rate() or 0.0
    words = f"{table.duration(row.seconds()):>8}  {rate / 1e9:6.1f} GB/s"
    if row.best:
        words += f"  {table.times(row.ahead(row.best)):>6} of {row.best}"
    wrong = [name for name in row.wrong if name != "fastpool"]
    return words + (f"  WRONG: {', '.join(wrong)}" if wrong else "")


def _tell(where: str, name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{where}: {name or 'timing'} ...", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)


def check(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is measured.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"bench: {str(path)!r}: the folder does not exist; make it first")


def check_plot(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before anything is measured.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    ValueError
        If the suffix names no format that it writes.
    """
    if find_spec("matplotlib") is None:
        raise ModuleNotFoundError(
            f"bench: plot={str(path)!r}: matplotlib is not installed, and draws the picture; "
            'install it with: pip install "fastpool[bench]"'
        )
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"bench: plot={str(path)!r}: the suffix must be .png, .svg or .pdf; use .png")


def draw(report: Report, path: Path, windows: bool) -> None:
    """Draw the picture of a report."""
    from fastpool.bench import roofline, sweep

    (sweep if windows else roofline).draw(report, path)
