"""A picture of a report: the rate at which each case moves its bytes, and that of a copy as the roof above them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastpool.bench.picture import GREY, INK, OURS, PEER, ROOF, apart, plain_axes, save
from fastpool.bench.report import Report
from fastpool.bench.rows import Row
from fastpool.bench.table import duration, shortened

SIZE = (11.5, 7.6)
FONT = 7.8
COLUMN = 12.5
"""Points from one name to the next at least."""
LEAST = 1 << 16
"""Bytes below which the cost of a call is all there is, which has nothing to do with memory."""


def draw(report: Report, path: Path) -> None:
    """Draw a report's cases under the roof and write the picture.

    Parameters
    ----------
    report : Report
    path : Path
        Its suffix chooses the format.
    """
    save(picture(report), path)


def picture(report: Report) -> Any:
    """The figure. Each case has a column of its own, at its bytes, or beside others that have as many."""
    timed = sorted((row for row in report.rows if row.rate() is not None), key=lambda row: row.moved)
    rows = [row for row in timed if row.moved >= LEAST] or timed
    figure, axes = plain_axes(report, "Pooling beside the speed of memory", SIZE)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("bytes to move: x, y and indices, each once; cases of like size stand side by side", color=INK)
    if rows:
        _limits(axes, rows)
        places = _columns(axes, figure, [row.moved for row in rows])
        _roof(axes, rows, places)
        _marks(axes, rows, places)
        _names(axes, rows, places)
    _ticks(axes)
    small = [f"{row.case} ({duration(row.seconds())} a call)" for row in timed if row not in rows]
    if small:
        figure.text(0.975, 0.912, f"not drawn, too small: {', '.join(small)}", size=9, color=GREY, ha="right")
    # beside the title, where there are no marks
    figure.legend(
        loc="upper right",
        bbox_to_anchor=(0.98, 0.985),
        ncols=3,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
        columnspacing=1.4,
    )
    return figure


def _rates(row: Row) -> list[float]:
    """The rates that are drawn of a row."""
    names = ["fastpool", "floor", *([row.best] if row.best else [])]
    return [rate for name in names if (rate := row.rate(name)) is not None]


def _limits(axes: Any, rows: Sequence[Row]) -> None:
    """Room around the marks, and below them for the names."""
    moved = [row.moved for row in rows]
    rates = [rate for row in rows for rate in _rates(row)]
    low, high = math.log10(min(rates)), math.log10(max(rates))
    longest = max(len(shortened(row.case)) for row in rows)
    # the names' part of the height
    part = longest * FONT * 0.56 / (SIZE[1] * 72 * 0.8) + 0.04
    axes.set_ylim(10 ** (low - (high - low + 0.3) * part / (1 - part) - 0.08), 10 ** (high + 0.22))
    axes.set_xlim(min(moved) / 1.6, max(moved) * 1.6)


def _columns(axes: Any, figure: Any, moved: Sequence[int]) -> list[float]:
    """Where the columns stand: at their bytes, but so far from each other that names have room."""
    wanted = [float(axes.transData.transform((value, 1.0))[0]) for value in moved]
    placed = apart(wanted, COLUMN * figure.dpi / 72)
    return [float(axes.transData.inverted().transform((x, 0.0))[0]) for x in placed]


def _roof(axes: Any, rows: Sequence[Row], places: Sequence[float]) -> None:
    """The copy's rate, the same for all cases of one size."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if (rate := row.rate("floor")) is not None:
            found.setdefault(row.moved, []).append(rate)
    points = [
        (x, statistics.median(found[row.moved])) for row, x in zip(rows, places, strict=True) if row.moved in found
    ]
    if not points:
        return
    left, right = axes.get_xlim()
    x = [left, *(place for place, _ in points), right]
    y = [points[0][1], *(rate for _, rate in points), points[-1][1]]
    axes.plot(x, y, color=ROOF, linewidth=1.8, zorder=3, label="a copy of as many bytes")
    axes.fill_between(x, y, axes.get_ylim()[1], color=ROOF, alpha=0.06, linewidth=0, zorder=0)


def _marks(axes: Any, rows: Sequence[Row], places: Sequence[float]) -> None:
    beside = [(x, row.rate(row.best), row.rate()) for row, x in zip(rows, places, strict=True) if row.best]
    for x, theirs, ours in beside:
        axes.plot([x, x], [theirs, ours], color="#b9cbe6", linewidth=3.2, zorder=2, solid_capstyle="butt")
    axes.scatter(
        places,
        [row.rate() for row in rows],
        s=38,
        color=OURS,
        edgecolors="white",
        linewidths=0.7,
        zorder=5,
        label="fastpool",
    )
    if beside:
        axes.scatter(
            [x for x, _, _ in beside],
            [rate for _, rate, _ in beside],
            s=28,
            facecolors="white",
            edgecolors=PEER,
            linewidths=1.5,
            zorder=4,
            label="the fastest peer",
        )


def _names(axes: Any, rows: Sequence[Row], places: Sequence[float]) -> None:
    """Each name stands at the foot of its column, and a line leads up to the lowest mark."""
    bottom = axes.get_ylim()[0]
    for row, x in zip(rows, places, strict=True):
        lowest = min(_rates(row))
        axes.plot([x, x], [bottom, lowest], color="#e3e3e3", linewidth=0.7, zorder=1)
        axes.annotate(
            shortened(row.case),
            (x, bottom),
            (0, 5),
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="bottom",
            size=FONT,
            color=INK,
            zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )


def _ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis, unit in ((axes.xaxis, ""), (axes.yaxis, "/s")):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _, unit=unit: size_text(value) + unit))
    axes.xaxis.grid(False)


def size_text(value: float) -> str:
    """A number of bytes in words.

    Examples
    --------
    >>> size_text(2e7)
    '20 MB'
    """
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if value >= 10**power * 0.9999:
            return f"{value / 10**power:g} {unit}"
    return f"{value:g} B"
