"""Calls whose input and output are parts of larger arrays: what lies around is not to be read, nor written."""

from __future__ import annotations

import numpy as np

import fastpool
from fastpool import config

BEHIND = 77


def data(shape, dtype, rng, nan=False, largest=True):
    """A part of a larger array. Its other elements are the largest that there are, or the smallest, so that a max, or a
    min, of any of them is seen.
    """
    around = tuple(size + 2 for size in shape)
    inner = tuple(slice(1, -1) for _ in shape)
    if dtype[0] in "iu":
        ends = np.iinfo(dtype)
        place = np.full(around, ends.max if largest else ends.min, dtype)
        place[inner] = rng.integers(1, 100, shape)
    else:
        place = np.full(around, np.inf if largest else -np.inf, dtype)
        place[inner] = rng.standard_normal(shape)
        if nan:
            place[inner][rng.random(shape) < 0.01] = np.nan
    return place[inner]


def otherwise(monkeypatch, name, *arguments, **options):
    """What a call gives by the reference; for means, exact there, by a sweep, which sums in the same order."""
    with monkeypatch.context() as patch:
        if name.startswith("avg"):
            patch.setenv(config.FORCE_KERNEL.name, "rows")
        else:
            patch.setenv("FASTPOOL_ENGINE", "reference")
        return getattr(fastpool, name)(*arguments, **options)


def check(monkeypatch, name, x, *window, **options):
    """Compares a call with ``otherwise``, and what lies around its output with what was there."""
    expected = otherwise(monkeypatch, name, x, *window, **options)
    place = np.full(expected.size + 130, BEHIND, expected.dtype)
    out = place[5 : 5 + expected.size].reshape(expected.shape)
    getattr(fastpool, name)(x, *window, **options, out=out)
    assert out.tobytes() == expected.tobytes(), (x.shape, x.strides, window, options)
    assert (place[:5] == BEHIND).all()
    assert (place[5 + expected.size :] == BEHIND).all()
