"""Lines of code that are put together, and what they raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastpool import measuring
from fastpool.njit.twins import FAILED, INTERRUPTED

ERRORS = {
    measuring.INVALID_OPERATION: ("arguments", "one of them is not known", "see the function's own page"),
    measuring.INVALID_WINDOW: ("window", "its sizes must be at least 1, paddings at least 0", "use other sizes"),
    measuring.INVALID_AXIS: ("axes", "an axis is named twice, or does not exist", "name each pooled axis once"),
    measuring.INVALID_SIZE: ("x", "a pooled axis must have at least one element", "only the other axes may be empty"),
    measuring.WINDOW_TOO_LARGE: (
        "kernel_size",
        "the window must fit into the padded axis",
        "use a smaller kernel size or more padding; ceil_mode does not help",
    ),
    measuring.TOO_LARGE: ("sizes", "one of them passes 2**63 - 1", "pool in parts, or use smaller sizes"),
    measuring.INVALID_INDICES: (
        "indices",
        "an index names no tap of its own window that lies on the input",
        "give those that the forward returned",
    ),
}
"""What is told of a status that a run may end with: what was given, the rule, the way out."""


class Lines:
    """The lines of one function, and the objects that they name."""

    def __init__(self, called: str, parameters: tuple[str, ...]) -> None:
        self.called = called
        self.parameters = parameters
        self.names: dict[str, Any] = {"np": np}
        self._lines: list[str] = []
        self._indent = ""

    def add(self, *lines: str) -> None:
        """Append lines."""
        self._lines += [self._indent + line for line in lines]

    @contextmanager
    def indented(self) -> Iterator[None]:
        """What is appended inside belongs to the statement before."""
        self._indent += "    "
        yield
        self._indent = self._indent[4:]

    def refuse(self, condition: str, given: str, rule: str, way_out: str, error: str = "ValueError") -> None:
        """Raise an error where a condition holds when the code runs."""
        self.add(f"if {condition}:", f"    raise {error}({f'{self.called}: {given}: {rule}; {way_out}'!r})")

    def function(self, defaults: dict[str, Any]) -> Any:
        """The function, with parameters as the public one has them."""
        words = [name if name not in defaults else f"{name}={defaults[name]!r}" for name in self.parameters]
        text = f"def {self.called}({', '.join(words)}):\n" + "\n".join(f"    {line}" for line in self._lines)
        exec(compile(text, f"<fastpool.{self.called} in @njit>", "exec"), self.names)
        return self.names[self.called]


_failing: dict[str, Any] = {}


def failing(called: str) -> Any:
    """The function that raises what a status tells about a public function."""
    if called not in _failing:
        from numba.extending import register_jitable

        lines = Lines(called, ("status",))
        for status, told in ERRORS.items():
            lines.refuse(f"status == {status}", *told)
        out_of_memory = ("memory", "there is not enough for the workspace", "pool in parts")
        lines.refuse(f"status == {measuring.OUT_OF_MEMORY}", *out_of_memory, error="MemoryError")
        lines.refuse(f"status == {INTERRUPTED}", "call", "it was interrupted", "call again", error="RuntimeError")
        lines.refuse(f"status == {FAILED}", "call", "an engine failed", "see standard error", error="RuntimeError")
        lines.add(f"raise RuntimeError({f'{called}: the library gave a status that it should not'!r})")
        _failing[called] = register_jitable(lines.function({}))
    return _failing[called]
