"""Gradients of windows that share no element, in the simulator: bit for bit what the general form and points give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpool.cuda import beside, planning, running
from fastpool.memory import element_strides
from tests.cuda.matrix import SIMULATOR
from tests.problems import make
from tests.strategies import Blank, arrange, bits, real_numbers, salt, storage

ROWS, LANES = (2, 3), (1, 2)

WINDOWS: tuple[tuple[str, str, str, tuple[int, ...], Any, Any, Any, Any, dict[str, Any]], ...] = (
    # whole images, one after the other: whole vectors or not, several images in a vector, any divisor
    ("run", "mean", "f32", (2, 6, 7, 7), ROWS, 7, 7, 0, {}),
    ("run", "mean", "f32", (1, 5, 3, 7), ROWS, (3, 7), 1, 0, {}),
    ("run", "mean", "f16", (3, 5, 3, 3), ROWS, 3, 3, 0, {"divisor": 5}),
    ("run", "mean", "bf16", (2, 3, 5), 2, 5, 5, 0, {}),
    ("run", "mean", "f64", (2, 3, 5), 2, 9, 4, 2, {"include_pad": False}),
    ("run", "sum", "f32", (3, 5, 4, 3), ROWS, (4, 3), 1, 0, {}),
    ("run", "sum", "u8", (3, 5, 4, 3), ROWS, (4, 3), 1, 0, {}),
    ("run", "mean", "i8", (3, 3, 4, 5), ROWS, (4, 5), 1, 0, {}),
    ("run", "mean", "f32", (1, 3, 2, 3, 5), (2, 3, 4), (2, 3, 5), 1, 0, {"divisor": 10}),
    # rows: a vector in one window, in windows that begin with it, in windows that do not
    ("beside_rows", "mean", "f32", (1, 2, 16, 24), ROWS, 8, 8, 0, {}),
    ("beside_rows", "mean", "f32", (1, 3, 12, 16), ROWS, 4, 4, 0, {}),
    ("beside_rows", "mean", "f16", (2, 2, 8, 16), ROWS, 4, 4, 0, {}),
    ("beside_rows", "mean", "f32", (1, 2, 10, 20), ROWS, 5, 5, 0, {}),
    ("beside_rows", "mean", "bf16", (1, 2, 9, 24), ROWS, 3, 3, 0, {}),
    ("beside_rows", "mean", "f32", (1, 2, 27, 25), ROWS, (13, 5), (13, 5), 0, {}),
    # padding, gaps, elements behind the last window, divisors of their own
    ("beside_rows", "mean", "f32", (1, 2, 9, 16), ROWS, 4, 4, 1, {"include_pad": False}),
    ("beside_rows", "mean", "f32", (1, 2, 11, 16), ROWS, (3, 2), (5, 3), [(1, 1), (0, 1)], {}),
    ("beside_rows", "mean", "f64", (1, 2, 11, 16), ROWS, 3, (19, 4), 0, {"ceil": True}),
    ("beside_rows", "mean", "f32", (1, 2, 11, 18), ROWS, 4, 5, [(2, 1), (2, 2)], {"ceil": True, "include_pad": False}),
    ("beside_rows", "sum", "f32", (1, 2, 10, 17), ROWS, (3, 5), (4, 6), 1, {}),
    ("beside_rows", "mean", "u8", (1, 2, 10, 32), ROWS, 5, 5, 0, {}),
    ("beside_rows", "mean", "i16", (2, 3, 8, 4, 6), (2, 3, 4), (2, 3, 3), (3, 3, 4), (0, 1, 1), {}),
    ("beside_rows", "mean", "f32", (2, 1, 4, 32), ROWS, (4, 32), 1, 0, {}),
    ("beside_rows", "mean", "f32", (4, 3, 40), 2, 4, 4, 0, {}),
    # lanes
    ("beside_lanes", "mean", "f32", (2, 7, 7, 8), LANES, 7, 7, 0, {}),
    ("beside_lanes", "mean", "f16", (1, 9, 13, 16), LANES, (4, 5), (4, 6), 1, {}),
    ("beside_lanes", "mean", "f32", (1, 12, 8, 3), LANES, 4, 4, 0, {}),
    ("beside_lanes", "sum", "i32", (2, 3, 11, 5, 4), (1, 2, 3), (2, 3, 2), (2, 5, 3), 0, {"ceil": True}),
    ("beside_lanes", "mean", "f32", (1, 10, 7, 4), LANES, 5, 5, 2, {"include_pad": False}),
)


def gradient(problem, dy, memory="contiguous"):
    """A gradient, in memory of its own."""
    dx = Blank(problem.shape, storage(problem.dtype), memory)
    dy = arrange(dy, memory)
    problem = problem._replace(x_strides=element_strides(dx.array), y_strides=element_strides(dy))
    running.backward(problem, dy, dx.array, None, None, SIMULATOR.place)
    dx.check()
    return dx.array, planning.tasks(problem)[0]


@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: "-".join(map(str, window)).replace(" ", ""))
def test_the_same_bits(monkeypatch, window, strips) -> None:
    form, op, dtype, shape, axes, k, s, p, options = window
    monkeypatch.setattr(beside, "ENOUGH_THREADS", 0 if strips else 1 << 16)
    planning._tasks.cache_clear()
    problem = make(op, shape, axes, k, s, p, dtype=dtype, direction="bwd", **options)
    rng = np.random.default_rng(1)
    dy = salt(dtype, real_numbers(problem.out_dtype, problem.out_shape, rng), rng, 0.1)
    answers = []
    for forced in ("", "cuda_general", "cuda_points"):
        monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", forced)
        dx, task = gradient(problem, dy)
        # points do not know that one window shares nothing, whatever its stride
        refused = forced == "cuda_points" and task.verdicts[0][1]
        assert task.form == (form if refused or not forced else forced.removeprefix("cuda_"))
        answers.append(dx)
    for other in answers[1:]:
        np.testing.assert_array_equal(bits(answers[0]), bits(other))
    planning._tasks.cache_clear()


@pytest.mark.parametrize("memory", ["strided", "negative"])
@pytest.mark.parametrize(("shape", "axes", "k", "s"), [((2, 3, 7, 7), ROWS, 7, 7), ((1, 9, 8, 6), LANES, 4, 5)])
def test_any_memory(monkeypatch, memory, shape, axes, k, s) -> None:
    problem = make("mean", shape, axes, k, s, direction="bwd")
    dy = real_numbers("f32", problem.out_shape, np.random.default_rng(2))
    found, task = gradient(problem, dy, memory)
    assert task.form in ("beside_rows", "beside_lanes")
    monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", "cuda_general")
    np.testing.assert_array_equal(bits(found), bits(gradient(problem, dy, memory)[0]))


@pytest.mark.parametrize(
    ("op", "k", "s", "options"),
    [("mean", 5, 4, {}), ("mean", 3, 6, {"d": 2}), ("lp", 4, 4, {"norm": 2.0}), ("mean", 4, 4, {"nan": "ignore"})],
)
def test_other_gradients_are_refused_with_a_reason(op, k, s, options) -> None:
    problem = make(op, (1, 2, 20, 20), ROWS, k, s, direction="bwd", **options)
    verdicts = dict(planning.tasks(problem)[-1].verdicts)
    assert all(verdicts[form] for form in ("run", "beside_lanes", "beside_rows"))


@pytest.mark.parametrize(
    ("form", "shape", "axes", "k"), [("run", (2, 3, 7, 7), ROWS, 7), ("beside_rows", (1, 2, 8, 16), ROWS, 4)]
)
def test_memory_that_no_vector_begins_at(form, shape, axes, k) -> None:
    problem = make("mean", shape, axes, k, direction="bwd")
    dy = real_numbers("f32", problem.out_shape, np.random.default_rng(3))
    expected, _ = gradient(problem, dy)
    size = int(np.prod(shape))
    dx = np.empty(size + 8, np.float32)
    first = 1 + -(dx.ctypes.data // 4) % 4
    dx = dx[first : first + size].reshape(shape)
    (task,) = planning.tasks(problem, aligned=False)
    assert task.form == form
    running.backward(problem, dy, dx, None, None, SIMULATOR.place)
    np.testing.assert_array_equal(bits(dx), bits(expected))
