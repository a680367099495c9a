"""Pooling on a GPU: the engine behind the public functions for arrays on a CUDA device, and functions for one's own
kernels, which ``@cuda.jit`` compiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastpool.cuda.window import (
        window_argmax,
        window_argmin,
        window_lp,
        window_max,
        window_mean,
        window_min,
        window_sum,
    )

__all__ = [
    "window_argmax",
    "window_argmin",
    "window_lp",
    "window_max",
    "window_mean",
    "window_min",
    "window_sum",
]


def __getattr__(name: str) -> Any:
    """The functions of a window, which need the compiler, when they are asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fastpool.cuda import window

    return getattr(window, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
