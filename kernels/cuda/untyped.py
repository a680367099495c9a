"""The twin of ``typed`` for the simulator, where a function of the device is a function."""

from __future__ import annotations

from typing import Any

import numpy as np


def bits_of_half(v):
    """The bits of a float16 or bfloat16."""
    return v.view(np.uint16)


def half_of_bits(dtype):
    """``half(bits)``: the float16 or bfloat16 of these bits."""
    if dtype == "f16":
        return lambda bits: bits.view(np.float16)
    import ml_dtypes

    return lambda bits: bits.view(ml_dtypes.bfloat16)


def connect(window: Any, op: str, index: bool, public: Any) -> None:
    """Nothing is to be told: a call runs ``call``."""


def _spread(what: str, name: str, value: Any, rank: int, fill: int) -> tuple[np.int64, ...]:
    if isinstance(value, (tuple, list)) and len(value) == rank:
        given = list(value)
    elif isinstance(value, (int, np.integer)) and (name != "origin" or rank == 1):
        given = [value] * rank
    else:
        raise TypeError(f"{what}: {name}={value!r}, of an array with {rank} axes: give one integer for each axis")
    return tuple(np.int64(n) for n in [*given, *[fill] * (3 - rank)])


def _short(dtype: np.dtype) -> str:
    if dtype.name == "bfloat16":
        return "bf16"
    return "b1" if dtype.kind == "b" else f"{dtype.kind}{8 * dtype.itemsize}"


def call(
    window: Any,
    op: str,
    index: bool,
    x: Any,
    geometry: tuple[Any, Any, Any],
    nan: str,
    divisor: int | None = None,
    include_pad: bool = True,
    norm: float = 2.0,
) -> Any:
    """(result, flat index or -1), as a kernel has it."""
    what = f"window_{'arg' if index else ''}{op}"
    if nan not in ("propagate", "ignore"):
        raise TypeError(f'{what}: nan={nan!r}: it must be "propagate" or "ignore"; write one of them')
    rank, dtype = len(x.shape), _short(x.dtype)
    definition = norm if op != "lp" or norm in (1.0, 2.0) else 3.0
    names = ("origin", "kernel_size", "dilation")
    results = []
    for part in ("real", "imag") if dtype[0] == "c" else ("",):
        made = window(what, op, index, definition, dtype, rank, nan == "ignore", part)
        places = [
            _spread(what, name, value, rank, int(name != "origin")) for name, value in zip(names, geometry, strict=True)
        ]
        p = np.float64(norm) if op == "lp" else made.parameter
        stack = [np.zeros(made.stack, kind) for kind in made.types]
        with np.errstate(all="ignore"):
            results.append(made.run(x, *places, made.fixed if divisor is None else divisor, include_pad, p, *stack))
    if dtype[0] == "c":
        return x.dtype.type(complex(results[0][0], results[1][0])), np.int64(-1)
    return results[0]
