"""Indices of planes that are stacked in scratch, where padding could be taken for a tap: it has the identity, too."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool import config

STACKED = "rows_stacked"
WINDOWS = (
    (3, 1, 1, 1),
    (3, 2, 1, 1),
    ((3, 5), (2, 1), ((1, 1), (4, 3)), 1),
    (7, 1, 3, 1),
    ((2, 3), (1, 2), ((2, 0), (3, 3)), 2),
    (13, 1, 6, 1),
)


@pytest.mark.parametrize(
    ("dtype", "kind"), [("float32", "tap"), ("float32", "plane"), ("float32", "tensor"), ("int16", "tap")]
)
@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("window", WINDOWS)
def test_padding_is_never_taken(window, op, dtype, kind, monkeypatch):
    kernel, stride, padding, dilation = window
    rng = np.random.default_rng(0)
    low, high = (-np.inf, np.inf) if dtype == "float32" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    nothing = low if op == "max" else high
    for share in (1.0, 0.95, 0.5):
        x = np.where(rng.random((5, 3, 15, 15)) < share, nothing, rng.integers(0, 3, (5, 3, 15, 15))).astype(dtype)
        if dtype == "float32" and share == 0.5:
            x[rng.random(x.shape) < 0.05] = np.nan
        found = {}
        for form in (STACKED, "reference"):
            monkeypatch.setenv(config.FORCE_KERNEL.name, form)
            arguments = {"op": op, "axes": (2, 3), "stride": stride, "padding": padding, "dilation": dilation}
            arguments["return_indices"] = kind
            found[form] = fastpool.pool(x, kernel, **arguments)
            if form == STACKED:
                (name,) = fastpool.explain(fastpool.pool, x, kernel, **arguments).kernels
                assert name.endswith(form)
        np.testing.assert_array_equal(found[STACKED][0], found["reference"][0])
        np.testing.assert_array_equal(found[STACKED][1], found["reference"][1])
