"""One row per bad call, and the arrays that the rows share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastpool

X = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
DY = np.ones((1, 1, 2, 2), np.float32)
INDICES = np.array([[[[0, 2], [8, 10]]]])


def result() -> np.ndarray:
    """An array that fits the result of pooling X by 2."""
    return np.full((1, 1, 2, 2), 77, np.float32)


def gradient() -> np.ndarray:
    """An array that fits X's gradient."""
    return np.full(X.shape, 77, np.float32)


def nothing() -> None:
    """No ``out``: the call has none, or the row gives its own."""


class Bad(NamedTuple):
    """A bad call: it is given ``out``, and must raise ``error`` with all the ``words``."""

    id: str
    error: type[Exception]
    words: tuple[str, ...]
    call: Callable[[Any], Any]
    out: Callable[[], Any] = result


def bad(
    name: str, error: type[Exception], words: str, function: str, *args: Any, out: Any = result, **kwargs: Any
) -> Bad:
    """A row; ``words`` are separated by ``|``."""

    def call(given: Any) -> Any:
        return getattr(fastpool, function)(*args, **kwargs, out=given)

    return Bad(name, error, tuple(words.split("|")), call, out)


V, T = ValueError, TypeError
