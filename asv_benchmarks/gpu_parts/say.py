"""Printing while something runs."""

from __future__ import annotations


def say(*words: object) -> None:
    """Prints at once."""
    print(*words, flush=True)
