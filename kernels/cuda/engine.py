"""Compiles, keeps and launches the GPU's kernels.

A kernel takes addresses and numbers alone: ``(source, output, aux, p, numbers)``, and before these the plan where it
lies in memory. Its arguments are packed once, for each plan; a launch writes the addresses.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels.cuda.general import make_general, make_general_scatter
from fastpool.kernels.cuda.memory import NAMES
from fastpool.kernels.cuda.parts import parameter_type
from fastpool.kernels.registry import Variant

THREADS = 256
"""Threads of a block, where a kernel does not ask for another number."""


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
def general_kernel(variant: Variant, wide: bool) -> Kernel:
    """The kernel of a variant that takes any window."""
    number = np.int64 if wide else np.int32
    make = make_general_scatter if variant.role == "scatter" else make_general
    types = ("int64", *(NAMES[dtype] for dtype in (variant.source, variant.output, variant.aux)))
    real = np.dtype(parameter_type(variant)).name
    name = f"{variant.name}__general{'_wide' if wide else ''}"
    return Kernel(name, make(variant, number), types, real, 1)
