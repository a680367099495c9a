"""Builds a Problem in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastpool.problem import Problem

PerAxis = int | Sequence[int]


def make(
    op: str,
    shape: Sequence[int],
    axes: PerAxis,
    k: PerAxis,
    s: PerAxis | None = None,
    p: int | Sequence[int | tuple[int, int]] = 0,
    d: PerAxis = 1,
    **options: Any,
) -> Problem:
    """The Problem of pooling ``shape`` over ``axes``; forward and float32 unless ``options`` say otherwise.

    Kernel size ``k``, stride ``s`` (default: ``k``), padding ``p`` and dilation ``d``: an int holds for every
    axis; a padding can also be a list with an int or a ``(lo, hi)`` pair per axis. Axes may be negative.
    ``options`` are Problem's other fields.
    """
    axes = tuple(axis % len(shape) for axis in ([axes] if isinstance(axes, int) else axes))

    def per_axis(value: PerAxis) -> tuple[int, ...]:
        return (value,) * len(axes) if isinstance(value, int) else tuple(value)

    pads = [p] * len(axes) if isinstance(p, int) else p
    pairs = [(pad, pad) if isinstance(pad, int) else pad for pad in pads]
    return Problem(
        op=op,
        direction=options.pop("direction", "fwd"),
        dtype=options.pop("dtype", "f32"),
        shape=tuple(shape),
        axes=axes,
        kernel=per_axis(k),
        stride=per_axis(k if s is None else s),
        pad_begin=tuple(lo for lo, _ in pairs),
        pad_end=tuple(hi for _, hi in pairs),
        dilation=per_axis(d),
        **options,
    )
