"""Printing while something runs."""

from __future__ import annotations


def say(*words: object, sep: str = " ") -> None:
    """Prints at once."""
    print(*words, sep=sep, flush=True)
