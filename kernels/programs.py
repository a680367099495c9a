"""The kernels of the pooling family beyond windows of one size: what there is, by name. Nothing here needs a compiler.

A *program* is a kernel that is planned by its own function in ``fastpool.family``, not by the planner of windows: bins
of unequal sizes, regions of interest, switches that are put back. It has the signature of all kernels of the CPU,
``(plan, bufs, work, begin, end)``, and its plan is a frame (``frame.py``) followed by numbers of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Program(NamedTuple):
    """A kernel of the family: the module of ``kernels.cpu.family`` that makes it, and the words it is made for.

    The module's ``make(digest, *words)`` gives the kernel; ``digest`` is a number for the kernel to capture.
    """

    module: str
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """The kernel's name: what it does and for which elements, and behind the double underscore its module."""
        return f"{'_'.join(self.words)}__{self.module}"


AHEAD: dict[str, tuple[tuple[str, ...], ...]] = {
    "bin_check": (("i64",), ("u8",)),
    "bin_index": (
        ("max", "f32", "i64", "i32"),
        ("max", "f32", "u8", "i32"),
    ),
    "bin_match": (("f32", "i64"), ("f32", "u8")),
    "bin_scatter": (("f32", "i64"), ("f32", "u8")),
    "bin_share": (("mean", "f32"), ("mean", "f64")),
    "bins": (("max", "f32"), ("max", "f64"), ("mean", "f32"), ("mean", "f64")),
    "blend": (("add", "f32"), ("mix", "f32"), ("part", "f32"), ("weigh", "f32")),
    "chain": (("run",), ("copy",)),
    "describe": (("pack", "f32"), ("unpack", "f32"), ("nearest", "f32"), ("gather", "f32")),
    "deviate": (("forward", "f32"), ("backward", "f32")),
    "filtering": (("rows", "f32"), ("lanes", "f32")),
    "order": (("select", "f32"),),
    "roi_align": (("avg", "f32"),),
    "roi_max": (("max", "f32"), ("index", "f32")),
    "roi_scatter": (("check", "i64"), ("plain", "f32")),
    "roi_spread": (("f32",),),
    "roi_table": (("avg", "f32", "f32"),),
    "statistics": (
        ("any", "windows", "b1"),
        ("all", "windows", "b1"),
        ("count", "windows", "f32"),
    ),
    "subsample": (("pick", "16"), ("pick", "32"), ("pick", "64"), ("place", "16"), ("place", "32"), ("place", "64")),
    "tap_sums": (("f32",),),
    "unpool": (
        ("check", "flat", "8"),
        ("check", "u8", "8"),
        ("place", "flat", "32"),
        ("take", "flat", "32"),
        ("place", "u8", "32"),
        ("take", "u8", "32"),
    ),
    "unpool_apart": (("place", "flat", "32"), ("place", "u8", "32"), ("take", "u8", "32")),
    "unpool_check": (("flat",),),
    "unpool_gather": (("32",),),
    "upsample": (("copy", "8"), ("copy", "32"), ("copy", "64"), ("fold", "f32")),
}
"""Words of the programs that are compiled ahead of time, into the C library, by module: those called most. Each
costs two to six seconds of processor time when the library is built, for which three minutes were promised; all others
are compiled at their first call.
"""


def ahead() -> Iterator[Program]:
    """Every program that is compiled ahead of time."""
    return (Program(module, words) for module, many in AHEAD.items() for words in many)
