"""Outputs of lanes that are written around the caches: in whole vectors of memory, wherever the output begins."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fastpool
from fastpool import config, dispatch
from fastpool.kernels import plan as P
from tests.around import around_caches
from tests.surrounded import BEHIND, data, otherwise

LAST = {"layout": "channels_last"}
WINDOWS = [((3, 3), (2, 2), (1, 1)), ((2, 2), (2, 2), (0, 0)), ((3, 3), (1, 1), (1, 1)), ((1, 4), (1, 3), (0, 2))]


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "bfloat16"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), WINDOWS)
def test_lanes_around_caches(dtype, kernel, stride, padding, monkeypatch):
    monkeypatch.setenv(config.ENGINE.name, "jit")
    around_caches(monkeypatch)
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    rng = np.random.default_rng(3)
    for channels in (64, 65, 100, 257):
        whole = data((2, 9, 40, channels), "float32" if dtype == "bfloat16" else dtype, rng)
        x = whole.astype(kind) if dtype == "bfloat16" else whole
        told = fastpool.explain(fastpool.max_pool2d, x, kernel, stride, padding, **LAST)
        assert told.kernels[0].endswith("__lanes_fused")
        (task,) = dispatch.explain(told.problem).tasks
        assert task.plan[P.STREAM] == 1
        expected = otherwise(monkeypatch, "max_pool2d", x, kernel, stride, padding, **LAST)
        # elements of the output before a vector of memory, the last ones not of a quarter of one
        for skew in (0, 16 // kind.itemsize, 3, 61):
            place = np.full(expected.size + 200, BEHIND, kind)
            first = -place.ctypes.data % 64 // kind.itemsize + 64 + skew
            out = place[first : first + expected.size].reshape(expected.shape)
            fastpool.max_pool2d(x, kernel, stride, padding, **LAST, out=out)
            assert out.tobytes() == expected.tobytes(), (channels, skew)
            assert (place[:first] == BEHIND).all()
            assert (place[first + expected.size :] == BEHIND).all()
