"""The public functions inside other people's ``@njit`` code.

Numba calls ``init`` by the entry point ``numba_extensions`` when the first function is decorated in a process.
"""

from __future__ import annotations

import threading

_done: list[bool] = []
_lock = threading.Lock()


def init() -> None:
    """Makes the public functions known to Numba's compiler, and the symbols that they call to its linker."""
    with _lock:
        if _done:
            return
        from fastpool.njit import overloads, symbols

        # first: cached code needs them, whatever becomes of the rest
        symbols.register()
        overloads.register()
        _done.append(True)
