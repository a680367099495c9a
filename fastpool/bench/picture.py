"""What the pictures have in common: plain axes, colours, and files that are the same for the same figures."""

from __future__ import annotations

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
