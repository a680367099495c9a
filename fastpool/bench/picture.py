"""What the pictures have in common: plain axes, colours, and files that are the same for the same figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastpool.bench.report import Report

INK, GREY = "#1a1a1a", "#6b6b6b"
OURS, PEER, ROOF = "#1f5fbf", "#d9822b", "#b8442a"


def plain_axes(report: Report, title: str, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure with one pair of axes, and below its title what was measured on."""
    # not pyplot: no window, and no state that the caller may be using
    from matplotlib.figure import Figure

    figure = Figure(size)
    axes = figure.add_axes((0.075, 0.09, 0.9, 0.8))
    threads = "1 thread" if report.threads == 1 else f"{report.threads} threads"
    where = f"{threads}, {report.machine.get('processor', '')}, fastpool {report.versions.get('fastpool', '')}"
    figure.text(0.075, 0.945, title, size=14, weight="bold", color=INK)
    figure.text(0.075, 0.912, where, size=9, color=GREY)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=9, which="both")
    axes.set_axisbelow(True)
    axes.grid(True, color="#ededed", linewidth=0.8)
    return figure, axes


def save(figure: Any, path: Path) -> None:
    """Write a figure; without a date and with fixed names inside, so that it changes when a figure does."""
    import matplotlib as mpl

    undated: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with mpl.rc_context({"svg.hashsalt": "fastpool"}):
        figure.savefig(path, dpi=160, metadata=undated.get(path.suffix), facecolor="white")


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Places as near to the wanted ones, in rising order, as a gap between neighbours allows.

    Examples
    --------
    >>> apart([0.0, 10.0, 10.0, 10.0], 2.0)
    [0.0, 8.0, 10.0, 12.0]
    """
    # without the gaps the places must not fall: neighbours that would are merged at their mean
    groups: list[list[float]] = []
    for i, value in enumerate(wanted):
        groups.append([value - i * gap])
        while len(groups) > 1 and statistics.fmean(groups[-2]) > statistics.fmean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    level = [mean for group in groups for mean in [statistics.fmean(group)] * len(group)]
    return [value + i * gap for i, value in enumerate(level)]
