"""The public functions inside other people's ``@njit`` code.

Numba calls ``init`` by the entry point ``numba_extensions`` when the first function is decorated in a process.
"""

from __future__ import annotations

_done: list[bool] = []


def init() -> None:
    """Makes the public functions known to Numba's compiler, and the symbols that they call to its linker."""
    if _done:
        return
    _done.append(True)
    from fastpool.njit import overloads, symbols

    symbols.register()
    overloads.register()
