"""Windows of two neighbours, two in a word's halves: bit for bit what the general form and single elements give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpool.cuda import planning, running
from tests.cuda.matrix import SIMULATOR
from tests.problems import make
from tests.strategies import bits, storage

ROWS = (2, 3)

SHAPES: tuple[tuple[tuple[int, ...], Any, Any, Any, dict[str, Any]], ...] = (
    ((3, 4, 32), 2, 2, 2, {}),
    ((1, 3, 6, 48), ROWS, 2, 2, {}),
    # words of two, gaps between rows, rows apart
    ((2, 2, 7, 24), ROWS, (3, 2), (2, 2), {}),
    ((1, 2, 11, 16), ROWS, (2, 2), (5, 2), {"d": (3, 1)}),
    ((2, 1, 5, 4, 16), (2, 3, 4), 2, (3, 2, 2), {}),
    ((1, 1, 8, 2, 32), (2, 3, 4), (8, 2, 2), 2, {}),
)


def extremes(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Every bit pattern, with many equal ones and the ends of the range."""
    rng = np.random.default_rng(3)
    limits = np.iinfo(storage(dtype))
    x = rng.integers(limits.min, limits.max, shape, storage(dtype), endpoint=True)
    few = np.array([limits.min, limits.max, 0, 1, limits.max // 2, limits.max // 2 + 1]).astype(storage(dtype))
    return np.where(rng.random(shape) < 0.4, rng.choice(few, shape), x)


def same_bits(monkeypatch, problem, others=("cuda_general", "cuda_unrolled_rows")) -> None:
    x = extremes(problem.dtype, problem.shape)
    answers = []
    for forced in ("", *others):
        monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", forced)
        assert planning.tasks(problem)[0].form == (forced.removeprefix("cuda_") or "pairs")
        y = np.empty(problem.out_shape, storage(problem.out_dtype))
        running.forward(problem, x, y, None, SIMULATOR.place)
        answers.append(y)
    for other in answers[1:]:
        np.testing.assert_array_equal(bits(answers[0]), bits(other))


@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize("dtype", ["i8", "u8", "i16", "u16"])
@pytest.mark.parametrize(("shape", "axes", "k", "s", "options"), SHAPES)
def test_selections(monkeypatch, op, dtype, shape, axes, k, s, options) -> None:
    same_bits(monkeypatch, make(op, shape, axes, k, s, dtype=dtype, **options))


@pytest.mark.parametrize(
    ("shape", "axes", "k", "s", "options"),
    [
        ((3, 4, 32), 2, 2, 2, {}),
        ((1, 3, 6, 48), ROWS, 2, 2, {}),
        ((2, 1, 5, 4, 16), (2, 3, 4), 2, (3, 2, 2), {}),
        ((1, 2, 6, 16), ROWS, (3, 2), 2, {"divisor": 2}),
        ((1, 2, 6, 16), ROWS, (3, 2), 2, {"divisor": 256}),
        ((1, 2, 6, 16), ROWS, (3, 2), 2, {"divisor": 1}),
        ((1, 2, 32, 16), ROWS, (16, 2), 2, {}),
    ],
)
def test_means(monkeypatch, shape, axes, k, s, options) -> None:
    same_bits(monkeypatch, make("mean", shape, axes, k, s, dtype="u8", **options))


@pytest.mark.parametrize(
    ("op", "dtype", "shape", "k", "options"),
    [
        ("max", "i32", (1, 2, 6, 16), 2, {}),
        # a byte that is not 0 is True, and 1 is written
        ("max", "b1", (1, 2, 6, 16), 2, {}),
        ("max", "f16", (1, 2, 6, 16), 2, {}),
        ("max", "u8", (1, 2, 6, 20), 2, {"p": 1}),
        ("max", "u8", (1, 2, 6, 14), 2, {}),
        ("max", "u8", (1, 2, 6, 32), (2, 4), {}),
        ("max", "u8", (1, 2, 40, 32), (20, 2), {}),
        ("max", "u8", (1, 2, 6, 32), 2, {"indices": "plane"}),
        ("mean", "u8", (1, 2, 6, 32), (3, 2), {}),
        ("mean", "u8", (1, 2, 6, 32), 2, {"divisor": 512}),
        ("mean", "i8", (1, 2, 6, 32), 2, {}),
        ("sum", "u8", (1, 2, 6, 32), 2, {}),
    ],
)
def test_others_are_refused_with_a_reason(op, dtype, shape, k, options) -> None:
    (task,) = planning.tasks(make(op, shape, ROWS, k, dtype=dtype, **options))
    assert task.form != "pairs"
    assert dict(task.verdicts).get("pairs", "taken before")
