"""Bad calls whose fault lies in an array: x, ``out``, the gradient, the indices."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastpool
from tests.bad_input import DY, INDICES, Bad, T, V, X, bad, gradient, nothing, result


def read_only() -> np.ndarray:
    y = result()
    y.flags.writeable = False
    return y


def repeating() -> np.ndarray:
    return np.lib.stride_tricks.as_strided(np.full(2, 77, np.float32), (1, 1, 2, 2), (0, 0, 0, 4))


def unaligned() -> np.ndarray:
    return np.frombuffer(bytearray(17), np.uint8)[1:].view(np.float32).reshape(1, 1, 2, 2)


class OnAccelerator:
    """An array that says it lies on a device of a kind that is not known."""

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("the device is asked first")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 8, 1


class CudaInterface:
    """An array of a library that knows __cuda_array_interface__ alone."""

    __cuda_array_interface__ = {"shape": (1, 1, 4, 4)}  # noqa: RUF012


def from_library(module: str, name: str = "Array") -> Any:
    """An object of a class that another library could have defined."""
    return type(name, (), {"__module__": module})()


OVERLAPPING = np.arange(32, dtype=np.float32)

# One call after another, in the order of the arguments: as a table it is read faster than one value per line.
# fmt: off
TABLE = [
    # kinds of array
    bad("list", T, r"x is a list|np.asarray\(x\)", "max_pool2d", X.tolist(), 2),
    bad("tuple", T, r"x is a tuple|np.asarray\(x\)", "max_pool2d", tuple(X), 2),
    bad("number", T, r"x is a float|np.asarray\(\[x\]\)", "max_pool2d", 1.0, 2),
    bad("numpy scalar", T, r"x is a numpy.float32|at least one axis", "max_pool2d", X[0, 0, 0, 0], 2),
    bad("0-d", V, "x with no axes|at least one axis", "pool", np.array(1, np.float32), 1),
    bad("None", T, "x is a NoneType|numpy.ndarray, torch.Tensor", "max_pool2d", None, 2),
    bad("text", T, "x is a str|numpy.ndarray, torch.Tensor", "max_pool2d", "image.png", 2),
    bad("bytes", T, "x is a bytes|numpy.ndarray", "max_pool1d", b"abcd", 2),
    bad("dask", T, "x is a dask.array.core.Array|map_overlap|map_blocks",
        "max_pool2d", from_library("dask.array.core"), 2),
    bad("pandas", T, r"x is a pandas.core.frame.DataFrame|x.to_numpy\(\)",
        "max_pool2d", from_library("pandas.core.frame", "DataFrame"), 2),
    bad("xarray", T, "x is a xarray|x.data|xarray.apply_ufunc",
        "max_pool2d", from_library("xarray.core.dataarray", "DataArray"), 2),
    bad("polars", T, r"x is a polars|x.to_numpy\(\)",
        "max_pool1d", from_library("polars.series", "Series"), 2),
    bad("unknown kind", T, "x is a acme.Tensor|known kinds are numpy.ndarray, torch.Tensor",
        "max_pool2d", from_library("acme", "Tensor"), 2),
    bad("masked array", T, r"x.filled\(value\)|nan='ignore'", "max_pool2d", np.ma.masked_array(X), 2),
    bad("matrix", T, r"numpy.matrix|np.asarray\(x\)", "max_pool2d", X[0, 0].view(np.matrix), 2),
    bad("record array", T, r"recarray|x\['name'\]", "max_pool1d", np.rec.array([(1.0,), (2.0,)]), 2),
    bad("ndarray subclass", T, r"subclass of numpy.ndarray|np.asarray\(x\)",
        "max_pool2d", X.view(type("Quantity", (np.ndarray,), {})), 2),
    bad("on another device", V, "OnAccelerator|device Metal:1|copy it to one of these",
        "max_pool2d", OnAccelerator(), 2),
    bad("on a GPU, half described", T, "CudaInterface|lacks one of shape, typestr, data and version",
        "max_pool2d", CudaInterface(), 2),
    # element types
    bad("byte order", T, r"dtype >f4|machine's order|newbyteorder", "max_pool2d", X.astype(">f4"), 2),
    bad("object", T, "dtype object|must be one of bool, int8|np.float64", "max_pool2d", X.astype(object), 2),
    bad("byte strings", T, "S4|must be one of", "max_pool2d", X.astype("S4"), 2),
    bad("strings", T, "dtype <U4|must be one of", "max_pool2d", X.astype("U4"), 2),
    bad("dates", T, r"datetime64\[s\]|x.view\(np.int64\)", "max_pool2d", X.astype("M8[s]"), 2),
    bad("time spans", T, r"timedelta64\[s\]|x.view\(np.int64\)", "sum_pool2d", X.astype("m8[s]"), 2),
    bad("structured", T, r"'<f4'|x\['name'\]", "max_pool2d", X.astype([("r", "f4"), ("g", "f4")]), 2),
    bad("bool sum", T, "x of dtype bool|max and min alone|np.uint8", "sum_pool2d", X > 3, 2),
    bad("bool mean", T, "x of dtype bool|max and min alone", "global_avg_pool", X > 3),
    bad("complex max", T, "x of dtype complex64|max needs an order", "max_pool2d", X.astype(np.complex64), 2),
    bad("complex lp", T, "x of dtype complex128|lp takes floats", "lp_pool2d", X.astype(np.complex128), 2, 2),
    bad("integer lp", T, "x of dtype int16|lp takes floats|np.float32",
        "lp_pool2d", X.astype(np.int16), 2, 2),
    # out
    bad("out of wrong shape", V, r"out of shape \(1, 1, 3, 3\)|\(1, 1, 2, 2\)",
        "max_pool2d", X, 2, out=lambda: np.full((1, 1, 3, 3), 77, np.float32)),
    bad("out of wrong rank", V, r"out of shape \(2, 2\)|\(1, 1, 2, 2\)",
        "avg_pool2d", X, 2, out=lambda: np.full((2, 2), 77, np.float32)),
    bad("out of wrong dtype", T, "out of dtype float64|the result has dtype float32",
        "max_pool2d", X, 2, out=lambda: result().astype(np.float64)),
    bad("out of x's dtype for a sum", T, "out of dtype int8|dtype int64",
        "sum_pool2d", X.astype(np.int8), 2, out=lambda: result().astype(np.int8)),
    bad("out read-only", V, "out: it is read-only", "max_pool2d", X, 2, out=read_only),
    bad("out repeats elements", V, "out of shape .* strides|share memory", "max_pool2d", X, 2, out=repeating),
    bad("out unaligned", V, "out with strides|aligned", "max_pool2d", X, 2, out=unaligned),
    bad("out is x", V, "out overlaps x",
        "max_pool2d", OVERLAPPING[:16].reshape(1, 1, 4, 4), 1,
        out=lambda: OVERLAPPING[:16].reshape(1, 1, 4, 4)),
    bad("out overlaps x", V, "out overlaps x",
        "max_pool2d", OVERLAPPING[:16].reshape(1, 1, 4, 4), 2,
        out=lambda: OVERLAPPING[15:19].reshape(1, 1, 2, 2)),
    bad("out in x's gaps undecided", V, "out overlaps x",
        "pool", OVERLAPPING[:25:2], 1, out=lambda: OVERLAPPING[24::-2]),
    bad("out is a list", T, "out is a list", "max_pool2d", X, 2, out=list),
    bad("out without indices is a pair", T, "out is a tuple of 2|there is one result",
        "max_pool2d", X, 2, out=lambda: (result(), result())),
    bad("out with indices is one array", T, r"out is a numpy.ndarray|pair \(y, indices\)",
        "max_pool2d", X, 2, return_indices=True),
    bad("out pair lacks one", T, r"out\[1\]=None",
        "max_pool2d", X, 2, return_indices=True, out=lambda: (result(), None)),
    bad("out indices of wrong dtype", T, r"out\[1\] of dtype int64|dtype uint8",
        "max_pool2d", X, 2, return_indices="tap", out=lambda: (result(), np.full((1, 1, 2, 2), 77))),
    bad("out indices of wrong shape", V, r"out\[1\] of shape \(1, 1, 2\)",
        "max_pool2d", X, 2, return_indices=True, out=lambda: (result(), np.full((1, 1, 2), 77))),
    bad("out wrong in y alone", T, r"out\[0\] of dtype int64",
        "max_pool2d", X, 2, return_indices=True,
        out=lambda: (np.full((1, 1, 2, 2), 77), np.full((1, 1, 2, 2), 77))),
    bad("out of the gradient, wrong shape", V, r"out of shape \(1, 1, 2, 2\)|\(1, 1, 4, 4\)",
        "max_pool2d_backward", DY, X, 2),
    bad("out is grad_output", V, "out overlaps grad_output",
        "avg_pool2d_backward", DY, DY, 1, out=lambda: DY),
    # backward
    bad("gradient of wrong shape", V, r"grad_output of shape \(1, 1, 2, 2\)|\(1, 1, 3, 3\)",
        "max_pool2d_backward", DY, X, 2, 1, out=gradient),
    bad("gradient of wrong rank, global", V, r"grad_output of shape \(1, 1, 1\)|\(1, 1, 1, 1\)",
        "global_avg_pool_backward", DY[..., 0, :1], X, out=gradient),
    bad("gradient of wrong dtype", T, "grad_output of dtype float64|float32 for x of dtype float32",
        "max_pool2d_backward", DY.astype(np.float64), X, 2, out=gradient),
    bad("gradient of a sum of integers", T, "grad_output of dtype int16|int64 for x of dtype int16",
        "sum_pool2d_backward", DY.astype(np.int16), X.astype(np.int16), 2, out=nothing),
    bad("gradient of bool", T, "x of dtype bool|no gradient",
        "max_pool2d_backward", DY > 0, X > 3, 2, out=nothing),
    bad("gradient is a list", T, "grad_output is a list",
        "avg_pool2d_backward", DY.tolist(), X, 2, out=gradient),
    bad("max gradient from a shape", T, r"x given by its shape \(1, 1, 4, 4\)|without indices",
        "max_pool2d_backward", DY, X.shape, 2, out=gradient),
    bad("lp gradient from a shape", T, "x given by its shape|gradient of lp",
        "lp_pool2d_backward", DY, X.shape, 2, 2, out=gradient),
    bad("gradient from a shape, NaN ignored", T, "x given by its shape|NaN is ignored",
        "avg_pool2d_backward", DY, X.shape, 2, nan="ignore", out=gradient),
    bad("shape negative", V, r"x_or_shape=\(1, 1, -4, 4\)|at least 0",
        "avg_pool2d_backward", DY, (1, 1, -4, 4), 2, out=gradient),
    bad("shape float", T, "x_or_shape=|integer, not float",
        "avg_pool2d_backward", DY, (1, 1, 4.0, 4), 2, out=gradient),
    bad("shape empty", V, r"x_or_shape=\(\)|at least one axis", "pool_backward", DY, (), 2, out=gradient),
    bad("shape is a list", T, "x is a list", "avg_pool2d_backward", DY, [1, 1, 4, 4], 2, out=gradient),
    bad("indices of wrong shape", V, r"indices of shape \(1, 1, 2, 1\)|\(1, 1, 2, 2\)",
        "max_pool2d_backward", DY, X, 2, indices=INDICES[..., :1], out=gradient),
    bad("indices of wrong dtype", T, "indices of dtype int32, index_kind='plane'|int64",
        "max_pool2d_backward", DY, X, 2, indices=INDICES.astype(np.int32), out=gradient),
    bad("taps of wrong dtype", T, "indices of dtype int64, index_kind='tap'|uint8",
        "max_pool2d_backward", DY, X, 2, indices=INDICES, index_kind="tap", out=gradient),
    bad("index too large", V, "indices: an index names no tap of its own window",
        "max_pool2d_backward", DY, X, 2, indices=INDICES + 6, out=gradient),
    bad("index below -1", V, "indices: an index names no tap of its own window",
        "max_pool2d_backward", DY, X, 2, indices=INDICES - 2, out=gradient),
    bad("tensor index too large", V, "indices: an index names no tap of its own window",
        "min_pool2d_backward", DY, X, 2, indices=INDICES + 6, index_kind="tensor", out=gradient),
    bad("tap too large", V, "indices: an index names no tap of its own window",
        "max_pool2d_backward", DY, X, 2, indices=np.full((1, 1, 2, 2), 4, np.uint8), index_kind="tap",
        out=gradient),
    bad("indices a list", T, "indices is a list",
        "max_pool2d_backward", DY, X, 2, indices=INDICES.tolist(), out=gradient),
    bad("index_kind unknown", V, "index_kind='flat'|'plane', 'tensor', 'tap'",
        "max_pool2d_backward", DY, X, 2, index_kind="flat", out=gradient),
    bad("index_kind no word", T, "index_kind=True|must be a word",
        "max_pool2d_backward", DY, X, 2, index_kind=True, out=gradient),
    bad("indices of a mean", V, "indices|mean selects no element",
        "pool_backward", DY, X, (2, 2), "mean", indices=INDICES, out=gradient),
]
# fmt: on

# functions that take a function, and have no out of their own
TABLE += [
    Bad(name, T, tuple(words.split("|")), lambda _, call=call: call(), nothing)
    for name, words, call in [
        (
            "vjp of another function",
            "vjp: fn=|one of fastpool's|fastpool.max_pool2d",
            lambda: fastpool.vjp(np.max, X),
        ),
        ("vjp of a backward", "vjp: fn=", lambda: fastpool.vjp(fastpool.max_pool2d_backward, DY, X, 2)),
        (
            "vjp without window",
            "vjp: arguments: missing a required argument: 'kernel_size'",
            lambda: fastpool.vjp(fastpool.max_pool2d, X),
        ),
        ("vjp of bool", "x of dtype bool|no gradient", lambda: fastpool.vjp(fastpool.max_pool2d, X > 3, 2)),
        (
            "pullback of another dtype",
            "grad_output of dtype float64",
            lambda: fastpool.vjp(fastpool.max_pool2d, X, 2)[1](DY.astype(float)),
        ),
        (
            "explain another function",
            "explain: fn=|fastpool.max_pool2d_backward",
            lambda: fastpool.explain(len, X),
        ),
        (
            "explain a bad call",
            "max_pool2d: kernel_size=2.0",
            lambda: fastpool.explain(fastpool.max_pool2d, X, 2.0),
        ),
    ]
]
