"""The GPU's kernels in the simulator: the same bodies, each access checked, against the reference."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from fastpool.cuda import forms, planning, running, sharing
from fastpool.cuda.asked import reciprocal
from fastpool.problem import Problem
from tests.cuda.matrix import SIMULATOR, Case, cases, check, expected_of, in_strips, is_forward, run
from tests.problems import make
from tests.strategies import bits, real_numbers, storage

CASES = tuple(cases())


def forms_of(case: Case) -> set[str]:
    """Names of the forms that a case's tasks have."""
    return {task.form for task in planning.tasks(case.problem)}


@pytest.mark.parametrize("case", [case for case in CASES if is_forward(case)], ids=lambda case: case.name)
def test_kernels_give_the_answer_of_the_reference(case: Case) -> None:
    expected = expected_of(case)
    result, _ = run(case, expected)
    check(case, expected, result)


STRIPPED = [case for case in CASES if {"rows_hot", "rows_loose", "lanes_hot", "points_hot"} & forms_of(case)][::2]


@pytest.mark.parametrize("case", STRIPPED, ids=lambda case: case.name)
def test_threads_that_make_more_give_the_same_answer(case: Case) -> None:
    expected = expected_of(case)
    with in_strips():
        result, _ = run(case, expected)
    check(case, expected, result)


def test_there_are_enough_cases_and_every_form_is_among_them() -> None:
    used = collections.Counter()
    for case in CASES:
        if case.memory == "contiguous":
            used.update((task.role, task.form) for task in planning.tasks(case.problem))
    assert len(CASES) >= 200
    dtypes = {case.problem.dtype for case in CASES}
    assert len(dtypes) == 13, dtypes
    # windows in chunks, and strips with lanes, are too large for a case; they have tests of their own
    missing = {name for name, _ in forms.FORMS} - {form for _, form in used} - {"chunks", "lane_strips"}
    assert not missing, missing


@pytest.mark.parametrize("form", [name for name, _ in forms.FORMS])
@pytest.mark.parametrize("op", ["max", "mean"])
def test_every_form_gives_the_same_bits(monkeypatch, op: str, form: str) -> None:
    """A form that is forced gives what the general one gives, on reals, whose sums are rounded."""
    problems = [
        make(op, (1, 2, 6, 16), (2, 3), 3, 2, 1),
        make(op, (1, 6, 16, 8), (1, 2), 3, 1, 1),
        make(op, (2, 1, 6, 7), (2, 3), (6, 7)),
    ]
    rng = np.random.default_rng(1)
    for problem in problems:
        x = rng.standard_normal(problem.shape, np.float32)
        answers = []
        for forced in (form, "general"):
            monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", f"cuda_{forced}")
            y = np.empty(problem.out_shape, np.float32)
            running.forward(problem, x, y, None, SIMULATOR.place)
            answers.append(y)
        np.testing.assert_array_equal(bits(answers[0]), bits(answers[1]), str(problem))


def test_a_form_that_is_not_there_cannot_be_forced(monkeypatch) -> None:
    monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", "cuda_rows_k9")
    with pytest.raises(ValueError, match=r"'cuda_rows_k9': no kernel form has this name; known: cuda_unrolled_lanes, "):
        planning.tasks(make("max", (1, 2, 6, 16), (2, 3), 2))


@pytest.mark.parametrize("threads", [300, 2000])
@pytest.mark.parametrize(
    ("op", "dtype", "shape", "axes", "padding"),
    [
        ("mean", "f32", (2, 77, 13), (1, 2), 0),
        ("mean", "f32", (77, 13, 3), (0, 1), 0),
        ("max", "f32", (2, 61, 7), (1, 2), 0),
        ("sum", "i8", (1, 70, 9), (1, 2), 0),
        ("lp", "f64", (37, 4, 5), (0, 1, 2), 0),
        ("mean", "f16", (45, 11), (0, 1), [(2, 1), 3]),
        ("min", "f16", (45, 11), (0, 1), 0),
    ],
)
def test_windows_in_chunks_give_the_same_bits(monkeypatch, op, dtype, shape, axes, padding, threads) -> None:
    monkeypatch.setattr(sharing, "LARGE_TAPS", 256)
    monkeypatch.setattr(sharing, "ENOUGH_THREADS", threads)
    pads = [(0, 0)] * len(axes) if padding == 0 else [(p, p) if isinstance(p, int) else p for p in padding]
    kernel = tuple(shape[axis] + lo + hi for axis, (lo, hi) in zip(axes, pads, strict=True))
    problem = make(op, shape, axes, kernel, 1, padding, dtype=dtype, norm=3.0)
    x = real_numbers(dtype, shape, np.random.default_rng(threads))
    answers = []
    for forced in ("chunks", "general"):
        monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", f"cuda_{forced}")
        planning._tasks.cache_clear()
        assert planning.tasks(problem)[0].form == forced
        y = np.empty(problem.out_shape, storage(problem.out_dtype))
        running.forward(problem, x, y, None, SIMULATOR.place)
        answers.append(y)
    planning._tasks.cache_clear()
    np.testing.assert_array_equal(bits(answers[0]), bits(answers[1]))


def test_arrays_that_are_not_aligned_are_read_one_by_one() -> None:
    problem = make("max", (1, 2, 4, 16), (2, 3), 2)
    memory = np.arange(1 + np.prod(problem.shape), dtype=np.float32)
    x = memory[1:].reshape(problem.shape)
    assert [task.name for task in planning.tasks(problem)] == ["max_forward_f32__unrolled_k1x2x2_v4_n4_0_0_101010"]
    assert [task.name for task in planning.tasks(problem, False)] == [
        "max_forward_f32__unrolled_k1x2x2_v1_n1_0_0_101010"
    ]
    y = np.empty(problem.out_shape, np.float32)
    running.forward(problem, x, y, None, SIMULATOR.place)
    np.testing.assert_array_equal(y, x.reshape(1, 2, 2, 2, 8, 2).max((3, 5)))


@pytest.mark.parametrize("kind", ["plane", "tensor", "tap"])
def test_wrong_indices_write_nothing_but_the_gradient(kind: str) -> None:
    """Indices are not checked on the GPU: one that names no tap of its window sends its gradient nowhere."""
    problem = make("max", (1, 1, 4, 8), (2, 3), 2, direction="bwd", indices=kind)
    dy = np.ones(problem.out_shape, np.float32)
    indices = np.full(
        problem.out_shape,
        200 if kind == "tap" else 10**9,
        problem.index_dtype.replace("i64", "int64").replace("u8", "uint8"),
    )
    dx = np.full(problem.shape, 7, np.float32)
    running.backward(problem, dy, dx, None, indices, SIMULATOR.place)
    assert not dx.any()


@pytest.mark.parametrize(
    ("divisor", "limit"), [(d, 2**31) for d in (1, 2, 3, 5, 7, 49, 56, 112, 2**20 + 7, 2**30, 2**31 - 1)]
)
def test_quotients_by_products_are_exact(divisor: int, limit: int) -> None:

    factor, shift = reciprocal(divisor)
    assert 0 < factor < 2**32
    rng = np.random.default_rng(divisor)
    numbers = {0, 1, divisor - 1, divisor, divisor + 1, limit - 1, *map(int, rng.integers(0, limit, 2000))}
    numbers |= {n // divisor * divisor - 1 for n in numbers if n >= divisor}
    for n in numbers:
        if 0 <= n < limit:
            assert (2 * n * factor >> 32) >> shift == n // divisor, n


def test_a_large_problem_is_planned_in_64_bits() -> None:
    problem: Problem = make("max", (40, 64, 1024, 1024), (2, 3), 2)
    (task,) = planning.tasks(problem)
    # the place of an image is computed in 64 bits anyway
    assert task.form == "unrolled_rows"
    far: Problem = make("max", (1, 4, 40000, 60000), (2, 3), 2)
    (task,) = planning.tasks(far)
    assert task.name.endswith("general_wide")
