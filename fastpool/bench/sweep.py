"""A picture of the sweep of window sizes: how time grows with the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastpool.bench.picture import INK, OURS, PEER, ROOF, apart, plain_axes, save
from fastpool.bench.report import Report
from fastpool.problem import Problem

COLOURS = (PEER, "#3d8b5f", "#8a5fb0", "#5b9bb5", "#a0522d", "#808000", "#c06090", "#404040")


def draw(report: Report, path: Path) -> None:
    """Draw time over window size, a line for each implementation, and write the picture.

    Parameters
    ----------
    report : Report
        The sweep's.
    path : Path
        Its suffix chooses the format.
    """
    figure, axes = plain_axes(report, "Dilation of an image: time over window size", (9.0, 5.6))
    axes.set_xscale("log")
    axes.set_yscale("log")
    rows = [(Problem.parse(row.problem), row) for row in report.rows]
    shape = rows[0][0].shape if rows else ()
    axes.set_xlabel("window, in elements along each axis", size=10, color=INK)
    axes.set_ylabel(f"ms for {' x '.join(map(str, shape))} elements", size=10, color=INK)
    lines = {"fastpool": ("fastpool", OURS), "floor": ("copy", ROOF)}
    lines |= {name: (name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(report.peers)}
    ends: list[tuple[tuple[float, float], str, str]] = []
    for name, (label, colour) in lines.items():
        found = [(p.kernel[0], seconds * 1e3) for p, row in rows if (seconds := row.seconds(name)) is not None]
        if found:
            mark = "" if name == "floor" else "o"
            axes.plot(*zip(*found, strict=True), color=colour, marker=mark, markersize=5, linewidth=1.7)
            ends.append((found[-1], label, colour))
    _labels(axes, figure, ends)
    sizes = [problem.kernel[0] for problem, _ in rows]
    if sizes:
        axes.set_xticks(sizes, [str(k) for k in sizes])
        axes.set_xlim(min(sizes) / 1.15, max(sizes) * 1.9)
    axes.xaxis.set_minor_locator(_none())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    save(figure, path)


def _labels(axes: Any, figure: Any, ends: list[tuple[tuple[float, float], str, str]]) -> None:
    """A name at the end of each line, where no legend has to be looked up."""
    ends = sorted(ends, key=lambda end: end[0][1])
    heights = [float(axes.transData.transform(end)[1]) for end, _, _ in ends]
    for (end, label, colour), height, place in zip(ends, heights, apart(heights, 12 * figure.dpi / 72), strict=True):
        offset = (8, (place - height) * 72 / figure.dpi)
        axes.annotate(
            label, end, offset, textcoords="offset points", va="center", size=9.5, color=colour, weight="bold"
        )


def _none() -> object:
    from matplotlib.ticker import NullLocator

    return NullLocator()
