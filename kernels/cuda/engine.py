"""Compiles, keeps and launches the GPU's kernels.

A kernel takes addresses and numbers alone: ``(source, output, aux, p, numbers)``, and before these the plan where it
lies in memory. Its arguments are packed once, for each plan; a launch writes the addresses.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.back_beside import Beside, Run, make_beside, make_run
from fastpool.kernels.cuda.back_lanes import make_lanes_gather, make_lanes_scatter
from fastpool.kernels.cuda.back_lanes_hot import make_lanes_hot_gather, make_lanes_hot_scatter
from fastpool.kernels.cuda.back_rows import make_rows_gather
from fastpool.kernels.cuda.back_scatter import make_rows_scatter
from fastpool.kernels.cuda.back_strips import Tile
from fastpool.kernels.cuda.blocks import make_blocks
from fastpool.kernels.cuda.chunks import make_chunks
from fastpool.kernels.cuda.general import make_general, make_general_scatter
from fastpool.kernels.cuda.lanes import make_lanes
from fastpool.kernels.cuda.lanes_hot import make_lanes_hot
from fastpool.kernels.cuda.memory import NAMES
from fastpool.kernels.cuda.pairs import make_pairs
from fastpool.kernels.cuda.parts import parameter_type
from fastpool.kernels.cuda.planes import Plane, make_lane_planes, make_planes
from fastpool.kernels.cuda.rows import make_rows
from fastpool.kernels.cuda.rows_select import make_rows_select
from fastpool.kernels.cuda.runs import make_runs
from fastpool.kernels.cuda.shared import make_shared
from fastpool.kernels.cuda.sliding import LaneStrip, Segment, make_lane_strips, make_strips
from fastpool.kernels.cuda.strips import Strip
from fastpool.kernels.cuda.tiles import make_tiles
from fastpool.kernels.cuda.unrolled import make_unrolled
from fastpool.kernels.registry import Variant


class Kernel(NamedTuple):
    """A kernel as a plain function of the device, and the types of what it takes.

    ``pointers`` are element types by NumPy's names; ``real`` the type of the parameter; ``numbers`` how many integers
    follow, of 64 bits, as one tuple.
    """

    name: str
    function: Any
    pointers: tuple[str, ...]
    real: str
    numbers: int


@functools.cache
def kernel(make: str, variant: Variant, *arguments: Any) -> Kernel:
    """The kernel of a variant in one form: ``make`` names its maker, ``arguments`` are what that takes besides."""
    source, output, aux = (NAMES[dtype] for dtype in (variant.source, variant.output, variant.aux))
    if make == "chunks":
        output = NAMES[variant.state[0]]
    elif make == "blocks" and arguments[2:] == (True,):
        source = NAMES[variant.state[0]]
    types = (source, output, aux)
    real = np.dtype(parameter_type(variant)).name
    name = "_".join([f"{variant.name}__{make}", *_words(make, arguments)])
    if make == "general":
        number = np.int64 if arguments[0] else np.int32
        maker = make_general_scatter if variant.role == "scatter" else make_general
        return Kernel(name, maker(variant, number), ("int64", *types), real, 1)
    maker = _MAKERS[make][_way(make, variant)]
    return Kernel(name, maker(variant, *arguments), types, real, N.NUMBERS)


def _way(make: str, variant: Variant) -> str:
    """Which of a form's makers has a variant's kernel."""
    if variant.role in ("gather", "scatter"):
        return variant.role
    return "select" if make == "rows" and variant.reduction.select else "forward"


def _words(make: str, arguments: tuple[Any, ...]) -> list[str]:
    """What makes a kernel different from others of its form, for its name."""
    words = []
    if make == "pairs":
        sizes, many, way, shift, there = arguments
        words = ["k" + "x".join(map(str, sizes)), f"w{many}", way.replace(".", ""), f"by{1 << shift}" * (shift > 0)]
        return [*filter(None, words), "".join(map(str, map(int, there)))]
    if make in ("unrolled", "shared", "runs"):
        sizes, vector, many, *rest = arguments
        words = [
            "k" + ("x".join(map(str, sizes)) if isinstance(sizes, tuple) else str(sizes)),
            f"v{vector}",
            f"n{many}",
        ]
        words += ["".join(map(str, map(int, word))) if isinstance(word, tuple) else str(int(word)) for word in rest]
        return words
    for argument in arguments:
        if isinstance(argument, Strip | Tile | Plane | Segment | LaneStrip | Beside | Run):
            words.append(argument.word)
        elif isinstance(argument, bool):
            words += [{"blocks": "states", "rows": "loose"}.get(make, "wide")] * argument
        else:
            words.append(f"v{argument}" if len(words) < 2 else f"p{argument}" if argument >= 0 else "loose")
    return words


_MAKERS: dict[str, dict[str, Any]] = {
    "blocks": {"forward": make_blocks},
    "chunks": {"forward": make_chunks},
    "pairs": {"forward": make_pairs},
    "unrolled": {"forward": make_unrolled},
    "shared": {"forward": make_shared},
    "runs": {"forward": make_runs},
    "tiles": {"forward": make_tiles},
    "rows": {
        "forward": make_rows,
        "select": make_rows_select,
        "gather": make_rows_gather,
        "scatter": make_rows_scatter,
    },
    "lanes_hot": {"forward": make_lanes_hot, "gather": make_lanes_hot_gather, "scatter": make_lanes_hot_scatter},
    "planes": {"forward": make_planes},
    "lane_strips": {"forward": make_lane_strips},
    "strips": {"forward": make_strips},
    "lane_planes": {"forward": make_lane_planes},
    "run": {"gather": make_run},
    "beside": {"gather": make_beside},
    "lanes": {"forward": make_lanes, "gather": make_lanes_gather, "scatter": make_lanes_scatter},
}
