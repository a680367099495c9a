"""Where a call on a GPU runs: its device, the caller's stream, and the caller's own memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastpool.problem import Ints


class Place(NamedTuple):
    """A device by its number, a stream of it by its handle, and how to get memory there.

    ``empty(shape, dtype)`` is an array in C order in the caller's library's memory, in storage form; it may be reused
    by the library as soon as nothing refers to it, in the order of the stream.
    """

    device: int
    stream: int
    empty: Callable[[Ints, str], np.ndarray]
