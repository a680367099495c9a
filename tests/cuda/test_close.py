"""Windows one position apart on the GPU, in the simulator: whole planes and strips, against the general form."""

from __future__ import annotations

import numpy as np
import pytest

from fastpool.cuda import planning, running
from fastpool.kernels.cuda.running import combinations
from fastpool.problem import Problem
from tests.cuda.matrix import SIMULATOR
from tests.problems import make
from tests.strategies import bits, real_numbers, storage

ROWS, LANES = (2, 3), (1, 2)

PROBLEMS = (
    ("planes", (1, 3, 6, 8), ROWS, 5, 2, "f32"),
    ("planes", (2, 3, 6, 8), ROWS, 5, 2, "f16"),
    ("planes", (1, 3, 6, 8), ROWS, 5, 2, "f64"),
    ("planes", (1, 13, 6, 8), ROWS, 5, 2, "u8"),
    # rows that are no vectors, which a thread combines whole; shorter and longer outputs
    ("planes", (1, 3, 7, 7), ROWS, (7, 5), [(3, 3), (2, 2)], "f32"),
    ("planes", (1, 9, 7, 6), ROWS, (7, 5), [(1, 3), (0, 0)], "f32"),
    ("planes", (1, 3, 5, 5), ROWS, 5, [(4, 4), (4, 3)], "f32"),
    ("planes", (1, 2, 6, 6), ROWS, 11, 5, "bf16"),
    ("lane_planes", (2, 6, 5, 16), LANES, 5, 2, "f32"),
    ("lane_planes", (1, 7, 7, 8), LANES, (7, 5), [(3, 1), (0, 2)], "f32"),
    ("strips", (1, 2, 34, 9), ROWS, (5, 4), [(4, 4), (3, 3)], "f32"),
    ("strips", (1, 1, 7, 37), ROWS, (4, 5), [(0, 2), (1, 0)], "f64"),
    ("strips", (2, 2, 3, 34, 5), (3, 4), (4, 3), 0, "i16"),
    ("lane_strips", (1, 34, 3, 8), LANES, (5, 3), [(1, 3), (0, 2)], "f32"),
)


def special(problem: Problem) -> np.ndarray:
    """Numbers, with NaN and infinities among them."""
    rng = np.random.default_rng(7)
    x = real_numbers(problem.dtype, problem.shape, rng)
    if problem.dtype in ("f32", "f64"):
        x.flat[rng.integers(0, x.size, 1 + x.size // 40)] = np.nan
        x.flat[rng.integers(0, x.size, 1 + x.size // 10)] = -np.inf
    return x


@pytest.mark.parametrize("op", ["max", "min"])
@pytest.mark.parametrize(("form", "shape", "axes", "kernel", "padding", "dtype"), PROBLEMS)
def test_close_windows_give_the_same_bits(monkeypatch, op, form, shape, axes, kernel, padding, dtype) -> None:
    problem = make(op, shape, axes, kernel, 1, padding, dtype=dtype)
    x = special(problem)
    answers = []
    for forced in ("", "cuda_general"):
        monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", forced)
        assert planning.tasks(problem)[0].form == (form if not forced else "general")
        y = np.empty(problem.out_shape, storage(problem.out_dtype))
        running.forward(problem, x, y, None, SIMULATOR.place)
        answers.append(y)
    np.testing.assert_array_equal(bits(answers[0]), bits(answers[1]))


@pytest.mark.parametrize(
    ("shape", "axes", "kernel", "stride", "padding", "options"),
    [
        ((1, 2, 6, 8), ROWS, 5, 1, 2, {"indices": "plane"}),
        ((1, 2, 9, 9), ROWS, 5, 2, 2, {}),
        ((1, 2, 9, 9), ROWS, (5, 3), 1, 0, {"d": 2}),
        # not a tap of the first window, or of the last one, inside
        ((1, 2, 40, 4), ROWS, 5, 1, [(2, 2), (5, 0)], {}),
        ((1, 2, 40, 4), ROWS, 5, 1, [(2, 2), (0, 5)], {}),
        ((1, 1, 40, 80), ROWS, (3, 41), 1, 0, {}),
    ],
)
def test_other_windows_are_refused_with_a_reason(shape, axes, kernel, stride, padding, options) -> None:
    problem = make("max", shape, axes, kernel, stride, padding, **options)
    (task,) = planning.tasks(problem)
    verdicts = dict(task.verdicts)
    assert all(verdicts[form] for form in ("planes", "lane_planes", "strips", "lane_strips"))


@pytest.mark.parametrize("kernel", [1, 2, 5, 13, 31])
def test_an_output_takes_up_to_three_combinations(kernel: int) -> None:
    for outputs in (kernel, 2 * kernel, 7 * kernel):
        assert combinations(kernel, outputs) <= 3 * outputs
