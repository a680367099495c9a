"""Windows that are compiled in and lie inside of the input: bit for bit what the general form gives, on reals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpool.cuda import planning, running
from tests.cuda.matrix import SIMULATOR
from tests.problems import make
from tests.strategies import bits, real_numbers, storage

WINDOWS: tuple[tuple[str, str, str, tuple[int, ...], Any, Any, Any, dict[str, Any]], ...] = (
    ("unrolled_rows", "mean", "f32", (4, 5, 40), 2, 4, 4, {}),
    ("unrolled_rows", "mean", "f32", (2, 3, 9, 40), (2, 3), 4, 4, {"nan": "ignore"}),
    ("unrolled_rows", "mean", "f16", (1, 3, 8, 8), (2, 3), 8, 8, {"divisor": 3}),
    ("unrolled_rows", "sum", "i16", (1, 3, 9, 40), (2, 3), 4, 4, {}),
    ("unrolled_lanes", "mean", "f32", (4, 40, 6), 1, 4, 4, {}),
    ("unrolled_lanes", "mean", "bf16", (1, 7, 9, 16), (1, 2), (5, 3), (2, 3), {}),
    # a plane, with groups of columns, and with windows side by side in pieces of rows and a last one that is not whole
    ("shared_rows", "mean", "f32", (3, 5, 7, 7), (2, 3), 7, 7, {}),
    ("shared_rows", "mean", "f64", (1, 2, 9, 27), (2, 3), (9, 27), 1, {"nan": "ignore"}),
    ("shared_rows", "max", "f32", (1, 2, 6, 26), (2, 3), (6, 26), 1, {"indices": "plane"}),
    ("shared_rows", "mean", "f32", (1, 1, 11, 640), (2, 3), (10, 91), (10, 91), {}),
    ("shared_rows", "mean", "u8", (9, 40, 3), (0, 1), 8, 8, {}),
    ("shared_rows", "lp", "f32", (2, 3, 4, 5, 6), (2, 3, 4), (4, 5, 6), 1, {"norm": 3.0}),
    ("shared_lanes", "mean", "f32", (1, 7, 7, 20), (1, 2), 7, 7, {"divisor": 3}),
    ("shared_lanes", "mean", "bf16", (1, 9, 14, 34), (1, 2), (5, 7), (4, 6), {}),
    ("shared_lanes", "min", "f16", (1, 5, 26, 12), (1, 2), (5, 26), 1, {"nan": "ignore"}),
    # groups of taps, and groups of groups
    ("runs", "mean", "f32", (2, 3, 75), 2, 37, 37, {}),
    ("runs", "mean", "f32", (2, 1, 398), 2, 398, 398, {"nan": "ignore"}),
    ("runs", "mean", "f64", (1, 1, 1621), 2, 1621, 1, {}),
    ("runs", "max", "f32", (1, 2, 200), 2, 200, 1, {"indices": "plane"}),
    ("runs", "mean", "f32", (1, 207, 20), 1, 203, 2, {}),
    ("runs", "sum", "i8", (1, 45, 3, 9), 1, 41, 4, {}),
)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: "-".join(map(str, window)).replace(" ", ""))
def test_the_same_bits(monkeypatch, window) -> None:
    form, op, dtype, shape, axes, k, s, options = window
    problem = make(op, shape, axes, k, s, dtype=dtype, **options)
    x = real_numbers(dtype, shape, np.random.default_rng(1))
    answers = []
    for forced in ("", "cuda_general"):
        monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", forced)
        assert planning.tasks(problem)[0].form == (forced.removeprefix("cuda_") or form)
        y = np.empty(problem.out_shape, storage(problem.out_dtype))
        indices = np.empty(problem.out_shape, storage(problem.index_dtype)) if problem.indices else None
        running.forward(problem, x, y, indices, SIMULATOR.place)
        answers.append((y, indices))
    np.testing.assert_array_equal(bits(answers[0][0]), bits(answers[1][0]))
    if problem.indices:
        np.testing.assert_array_equal(answers[0][1], answers[1][1])


@pytest.mark.parametrize(
    ("shape", "axes", "k", "s", "p"),
    [((1, 2, 9, 40), (2, 3), 4, 4, 1), ((1, 9, 9, 16), (1, 2), 4, 4, 1), ((1, 2, 50), 2, 40, 40, 3)],
)
def test_windows_that_stick_out_are_left_to_others(shape, axes, k, s, p) -> None:
    (task,) = planning.tasks(make("mean", shape, axes, k, s, p))
    refusals = dict(task.verdicts)
    for form in {"unrolled_lanes", "unrolled_rows", "shared_lanes", "shared_rows", "runs"} & refusals.keys():
        assert refusals[form], form
    assert task.form not in ("unrolled_lanes", "unrolled_rows", "shared_lanes", "shared_rows", "runs")


def test_threads_of_a_block_do_not_depend_on_every_batch() -> None:
    """They are compiled in: there is a kernel for some sizes of batches, not for each."""
    names = {planning.tasks(make("mean", (batch, 64, 7, 7), (2, 3), 7))[0].name for batch in range(2, 300)}
    assert len(names) < 8
