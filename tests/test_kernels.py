"""Every kernel of the registry against the reference: each form, variant, layout and memory order.

A kernel is forced by name, and that it ran is read from dispatch. Integer-valued data must agree bit for bit;
the gradient of Lp, and Lp with other exponents than 1 and 2, within some ulp.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from fastpool import config, dispatch, jit, reference, selecting
from fastpool.kernels import plan, registry
from fastpool.kernels import table as tables
from fastpool.kernels.registry import FORMS, Ask, Form
from fastpool.memory import element_strides
from fastpool.problem import DTYPES, Problem
from fastpool.reference.geometry import windows
from tests.kernel_cases import ASKS, SELECTED, Expected, forms, marked, problem_of
from tests.problems import make
from tests.strategies import (
    LAYOUTS,
    MEMORIES,
    Array,
    Result,
    arrange,
    bits,
    pool,
    pull_back,
    salt,
    turn,
    turned,
    whole_numbers,
)

COMPUTING = [ask for ask in ASKS if ask.role != "check"]
CHECKING = [ask for ask in ASKS if ask.role == "check"]

WINDOWS: tuple[tuple[tuple[int, ...], Any, dict[str, Any]], ...] = (
    ((2, 3, 4, 6), 2, {}),
    ((2, 3, 5, 7), 3, {"s": 2, "p": 1}),
    ((2, 3, 4, 5), (2, 3), {"s": 1, "p": [(0, 1), (1, 1)], "divisor": 3}),
    (
        (2, 3, 6, 8),
        (3, 5),
        {"s": (2, 3), "p": [(2, 1), (3, 2)], "d": (2, 1), "ceil": True, "include_pad": False},
    ),
    ((2, 3, 11), 6, {"s": 1, "p": [(4, 6)], "d": 2}),
    ((2, 2, 3, 4, 4), (2, 3, 2), {"s": (1, 2, 3), "p": [0, 1, (0, 1)]}),
)
"""(shape, kernel size, other options). The first three are windows that have forms of their own."""

WIDE = (
    ((2, 1, 3, 333), 2, {"s": 2, "p": [0, 1]}),
    ((1, 2, 3, 300), 3, {"s": 2, "p": 1}),
    ((2, 1, 3, 150), 3, {"s": 1}),
    ((1, 333, 2, 5), 2, {"s": 2}),
    ((1, 300, 3, 4), 3, {"s": 2, "p": 1}),
    ((1, 100, 3, 4), 3, {"s": 1}),
    ((1, 2, 3, 200), (2, 4), {"s": (1, 1), "p": [1, 3], "d": (1, 2)}),
    ((2, 3, 300), 4, {"s": 4}),
)
"""Long rows and many channels: vector loops, their ends, and blocks of both."""

LONG = (
    ((1, 2, 1, 400), (1, 65), {"s": (1, 90)}),
    ((1, 2, 2, 300), (2, 129), {"s": (1, 150), "p": [0, 20], "d": (1, 2)}),
    ((1, 2, 1, 4100), (1, 4097), {"s": 1}),
    ((1, 2, 2, 2600), (2, 1300), {"s": (2, 1300), "p": [0, 3]}),
    ((1, 2, 150, 70), (150, 70), {}),
    ((1, 2, 5, 150), (3, 100), {"s": (2, 1)}),
)
"""Windows that each output folds for itself, global ones, and a long one whose outputs share taps."""

PLACES = (
    *((memory, "contiguous") for memory in MEMORIES),
    ("fortran", "fortran"),
    ("strided", "strided"),
    ("contiguous", "negative"),
)
"""(memory of what is read, memory of what is written)."""


def whole(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Integer-valued data that stays integer when it is divided by the number of taps of a small window."""
    return whole_numbers(dtype, shape, rng, 72 if dtype in ("f16", "bf16") else 27720)


def small(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Integer-valued data whose sums are exact in any window."""
    return whole_numbers(dtype, shape, rng)


def cases(ask: Ask, windows: Any) -> list[Problem]:
    return [problem_of(ask, shape, k, **options) for shape, k, options in windows]


def kernels(ask: Ask) -> list[Form]:
    """The forms that a role has, the reference apart."""
    return [form for form in FORMS if form.serves(ask.variant) and form.family != "reference"]


def ran(result: Result, ask: Ask, form: Form) -> bool:
    """Whether the forced kernel ran. Some refuse memory without contiguous rows, many taps, or a single axis."""
    names = [name == f"{form.variant(ask.variant).name}__{form.name}" for name in result.kernels]
    many = form.match and result.problem.taps > selecting.MATCH_TAPS
    refuses = form.kernel != 0 or form.slide or form.on_vectors
    assert any(names) or refuses or many, (str(result.problem), result.kernels)
    return any(names)


@pytest.mark.parametrize("ask", marked(COMPUTING))
def test_layouts_and_memory(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    where = defaultdict(set)
    for seed, problem in enumerate(cases(ask, WINDOWS)):
        expected = Expected(problem, whole, seed, specials=0.04)
        for form in forms(ask, problem):
            monkeypatch.setenv(config.FORCE_KERNEL.name, form.name)
            for layout, (read, write) in itertools.product(LAYOUTS, PLACES):
                result = expected.run(layout, read, write)
                expected.check(result)
                if ran(result, ask, form):
                    where[form.name].add((layout, read))
    for form in kernels(ask):
        # those with a window compiled in write rows, or channels, that are neighbours in memory; vectors read them
        layouts, memories = LAYOUTS, MEMORIES
        if form.name in ("lanes_fused", "rows_apart", "lanes_apart"):
            # whole vectors, see below, or windows apart, see test_spread.py
            continue
        if form.kernel or form.stacked:
            layouts = ("first",) if form.family == "rows" else ("last",)
            memories = ("contiguous", "read-only")
            if ask.role != "weigh" and not form.on_vectors:
                memories += ("strided", "negative")
        assert where[form.name] >= set(itertools.product(layouts, memories)), form.name


MANY = (
    ((2, 70, 4, 6), 2, {}),
    ((1, 64, 5, 7), 3, {"s": 2, "p": 1}),
    ((1, 131, 4, 5), (2, 3), {"s": 1, "p": [(0, 1), (1, 1)]}),
    ((2, 65, 6, 8), (3, 5), {"s": (2, 3), "p": [(2, 1), (3, 2)], "d": (2, 1), "ceil": True}),
    ((1, 100, 11), 6, {"s": 1, "p": [(4, 6)], "d": 2}),
    ((1, 64, 2, 3), 2, {"s": 1, "p": [(3, 2), (2, 3)]}),
    ((1, 80, 3, 4, 4), (2, 3, 2), {"s": (1, 2, 3), "p": [0, 1, (0, 1)]}),
)
"""At least a vector of bytes: lanes that are taken by vectors. The last but one has windows without a tap."""


ACROSS = next(form for form in FORMS if form.name == "lanes_fused")


@pytest.mark.parametrize("ask", marked([ask for ask in COMPUTING if ACROSS.serves(ask.variant)]))
def test_vectors_of_lanes(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    form = ACROSS
    monkeypatch.setenv(config.FORCE_KERNEL.name, form.name)
    where = defaultdict(int)
    for seed, problem in enumerate(cases(ask, MANY)):
        expected = Expected(problem, whole, seed, specials=0.2)
        for read, write in PLACES:
            result = expected.run("last", read, write)
            expected.check(result)
            where[read] += ran(result, ask, form)
    # lanes have to be neighbours in memory
    assert where["read-only"] == len(MANY)


@pytest.mark.parametrize("ask", marked(COMPUTING))
def test_wide_arrays(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    count = defaultdict(int)
    for seed, problem in enumerate(cases(ask, WIDE)):
        expected = Expected(problem, whole, seed, specials=0.02)
        for form in forms(ask, problem):
            monkeypatch.setenv(config.FORCE_KERNEL.name, form.name)
            for layout in ("first", "last"):
                result = expected.run(layout)
                expected.check(result)
                count[form.name] += ran(result, ask, form)
    assert all(count[form.name] for form in kernels(ask))


@pytest.mark.parametrize("ask", marked(COMPUTING))
def test_long_windows(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    folded = set()
    for seed, problem in enumerate(cases(ask, LONG)):
        # the reference is slow where many elements meet many windows
        if problem.direction == "bwd" and math.prod(problem.shape) > 1500:
            continue
        expected = Expected(problem, small, seed)
        exact = problem.op != "mean" or problem.dtype[0] in "iu"
        for form in forms(ask, problem):
            monkeypatch.setenv(config.FORCE_KERNEL.name, form.name)
            for layout in LAYOUTS:
                result = expected.run(layout)
                assert ran(result, ask, form) or form.match or form.slide or form.on_vectors
                expected.check(result) if exact else expected.check_ulps(result)
                tasks = dispatch.explain(result.problem).tasks
                ours = [task for task in tasks if task.name.startswith(ask.variant.name + "__")]
                folded |= {int(task.plan[plan.FOLD]) for task in ours}
    assert folded == ({0} if ask.role in ("gather", "scatter") else {0, 1})


@pytest.mark.parametrize("ask", marked(COMPUTING))
@pytest.mark.parametrize("shape", [(0, 3, 7, 7), (2, 0, 7, 7)], ids=str)
def test_empty_arrays(ask: Ask, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for window in WINDOWS[:4]:
        problem = problem_of(ask, shape, window[1], **window[2])
        expected = Expected(problem, whole, 0)
        for form in forms(ask, problem):
            monkeypatch.setenv(config.FORCE_KERNEL.name, form.name)
            for layout in LAYOUTS:
                result = expected.run(layout)
                assert result.array.shape == (shape if problem.direction == "bwd" else problem.out_shape)


def invalid(problem: Problem, place: int) -> Array:
    """Indices that name no tap of the window of output ``place`` that lies on the input."""
    plane, output = divmod(place, math.prod(problem.outputs))
    taps = next(itertools.islice(windows(problem), output, None))
    if problem.indices == "tap":
        return np.setdiff1d(np.arange(problem.tap_limit), taps.numbers)
    first = plane * problem.plane if problem.indices == "tensor" else 0
    around = np.arange(-3, problem.plane + 3) + first
    known = np.append(taps.columns + first, -1)
    far = np.array([-(2**63), 2**63 - 1, 2**32 + known[0], -2])
    return np.setdiff1d(np.append(around, far), known)


@pytest.mark.parametrize("ask", marked(CHECKING))
@pytest.mark.parametrize("kind", ["plane", "tensor", "tap"])
@pytest.mark.parametrize("form", ["rows", "lanes", ""])
def test_check_of_indices(ask: Ask, kind: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.FORCE_KERNEL.name, form)
    rng = np.random.default_rng(1)
    for shape, k, options in WINDOWS:
        problem = problem_of(ask, shape, k, **options)._replace(indices=kind)
        indices = Expected(problem, whole, 1).indices
        assert indices is not None
        for layout, memory in itertools.product(LAYOUTS, MEMORIES):
            if kind != "tensor" or layout == "first":
                lying = arrange(indices.transpose(turn(layout, indices.ndim)), memory)
                placed = turned(problem, layout)._replace(index_strides=element_strides(lying))
                assert not has_wrong(placed, lying), str(placed)
        for place in rng.integers(0, indices.size, 20).tolist():
            wrong = indices.copy()
            for index in rng.choice(invalid(problem, place), 10):
                wrong.flat[place] = index
                assert has_wrong(problem, wrong), (str(problem), place, index)


def has_wrong(problem: Problem, indices: Array) -> bool:
    return jit.has_wrong_indices(problem, dispatch.forced_form(), indices)


@pytest.mark.parametrize("kind", ["plane", "tap"])
def test_check_of_many_channels(kind: str) -> None:
    """The last block of channels has a single one."""
    problem = make("max", (1, 9, 9, 3841), (1, 2), 3, 2, 1, indices=kind)
    _, indices = reference.forward(problem, whole("f32", problem.shape, np.random.default_rng(0)))
    assert not has_wrong(problem, indices)
    for place in ((0, 2, 2, 3840), (0, 2, 3, 3839), (0, 4, 4, 3840)):
        wrong = indices.copy()
        wrong[place] = 200 if kind == "tap" else problem.plane
        assert has_wrong(problem, wrong)


@pytest.mark.parametrize(
    ("dtype", "kind", "k"),
    [
        ("f32", "tensor", (2, 3)),
        ("f32", "tap", (2, 3)),
        *(pytest.param("f32", "tap", k, marks=pytest.mark.exhaustive) for k in [(15, 17), (16, 16), (256, 257)]),
        *(pytest.param(d, "tap", (2, 3), marks=pytest.mark.exhaustive) for d in registry.SIZES if d != "f32"),
    ],
)
def test_other_indices(dtype: str, kind: str, k: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    shape = (2, 3, k[0] + 2, k[1] + 4)
    for layout in LAYOUTS:
        problem = make("max", shape, (2, 3), k, 2, 1, dtype=dtype, indices=kind)
        order = turn(layout, 4)
        problem = turned(problem, layout)
        x = salt(dtype, whole(dtype, shape, rng), rng, 0.001).transpose(order)
        dy = whole(dtype, problem.out_shape, rng)
        y, indices = reference.forward(problem, x)
        back = problem._replace(direction="bwd")
        dx = reference.backward(back, dy, None, indices)
        for form in ("rows", "lanes"):
            monkeypatch.setenv(config.FORCE_KERNEL.name, form)
            result = pool(problem, x)
            assert result.kernels == (f"max_index_{dtype.replace('u', 'i')}_{problem.index_dtype}__{form}",)
            np.testing.assert_array_equal(bits(result.array), bits(y))
            np.testing.assert_array_equal(result.indices, indices)
            assert not has_wrong(back, indices)
            np.testing.assert_array_equal(bits(pull_back(back, dy, None, indices).array), bits(dx))
            # without indices the taps are found in x first
            np.testing.assert_array_equal(bits(pull_back(back._replace(indices=""), dy, x).array), bits(dx))


@pytest.mark.parametrize("shape", [(5, 7, 6, 9), (8, 8, 5, 4)], ids=str)
@pytest.mark.parametrize("kind", ["tap", "plane"])
def test_gradient_of_many_planes(shape: tuple[int, ...], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes are taken in pairs, or several side by side; the last ones may be fewer."""
    rng = np.random.default_rng(1)
    for k, s, p in ((3, 2, 1), (2, 2, 0), (3, 1, 1)):
        problem = make("max", shape, (2, 3), k, s, p, dtype="f32", indices=kind)
        x = salt("f32", whole("f32", shape, rng), rng, 0.01)
        dy = whole("f32", problem.out_shape, rng)
        _, indices = reference.forward(problem, x)
        back = problem._replace(direction="bwd")
        dx = reference.backward(back, dy, None, indices)
        for form in (form for form in FORMS if "scatter" in form.roles):
            # fused ones are for taps, and for their own window
            if form.fused and (kind != "tap" or (form.kernel, form.stride) != (k, s)):
                continue
            monkeypatch.setenv(config.FORCE_KERNEL.name, form.name)
            result = pull_back(back, dy, None, indices)
            assert form.family == "reference" or result.kernels[0].endswith("__" + form.name)
            np.testing.assert_array_equal(bits(result.array), bits(dx))


def test_gradient_over_four_axes() -> None:
    """More axes before the last one than rows of windows are looked up along."""
    rng = np.random.default_rng(2)
    problem = make("max", (4, 5, 6, 70), (0, 1, 2, 3), 2, 2, 0, dtype="f32", indices="tap")
    dy = whole("f32", problem.out_shape, rng)
    _, indices = reference.forward(problem, whole("f32", problem.shape, rng))
    back = problem._replace(direction="bwd")
    result = pull_back(back, dy, None, indices)
    np.testing.assert_array_equal(bits(result.array), bits(reference.backward(back, dy, None, indices)))


def test_indices_beyond_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    far = 2**28
    x = whole("f32", (2, 4, 5), np.random.default_rng(0))
    problem = make("max", x.shape, (1, 2), (3, 2), 1, [far, 0], (far, 1), indices="tensor")
    y, indices = reference.forward(problem, x)
    for form in ("rows", "lanes"):
        monkeypatch.setenv(config.FORCE_KERNEL.name, form)
        result = pool(problem, x)
        assert result.kernels == (f"max_index_f32_i64_long__{form}",)
        np.testing.assert_array_equal(bits(result.array), bits(y))
        np.testing.assert_array_equal(result.indices, indices)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "ask", [a for a in COMPUTING if a.variant.state[-1] == "i32" and len(a.variant.state) == 2], ids=lambda a: a.name
)
def test_states_of_64_bits(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    known = registry.variant
    monkeypatch.setenv(config.ENGINE.name, "jit")
    monkeypatch.setattr(registry, "variant", lambda *arguments: known(*arguments[:6], True))
    forget_plans()
    try:
        for seed, problem in enumerate(cases(ask, WINDOWS)):
            expected = Expected(problem, whole, seed, specials=0.04)
            for layout in LAYOUTS:
                result = expected.run(layout)
                assert "_long__" in result.kernels[0]
                expected.check(result)
    finally:
        forget_plans()


def forget_plans() -> None:
    tables._tables.clear()
    jit._task.cache_clear()
    jit._tasks.cache_clear()


@pytest.mark.parametrize("dtype", ["c64", "c128"])
def test_a_complex_number_is_nan_if_a_part_is(dtype: str) -> None:
    x = np.array([1 + 1j, complex(math.nan, 5), complex(3, math.nan), 4 - 2j, 6 + 0j, 2 + 2j], DTYPES[dtype])
    for op, expected in {"sum": [1 + 1j, 4 - 2j, 8 + 2j], "mean": [1 + 1j, 4 - 2j, 4 + 1j]}.items():
        problem = make(op, (6,), (0,), 2, 2, dtype=dtype, nan="ignore")
        np.testing.assert_array_equal(pool(problem, x).array, expected)
        dy = np.array([2 + 4j, 8 - 6j, 10 + 2j], DTYPES[dtype])
        dx = pull_back(problem._replace(direction="bwd"), dy, x).array
        shares = dy if op == "sum" else [2 + 4j, 8 - 6j, 5 + 1j]
        np.testing.assert_array_equal(dx, [shares[0], 0, 0, shares[1], shares[2], shares[2]])


def test_reference_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.FORCE_KERNEL.name, "reference")
    for name in ("max_index_f32", "max_scatter_f32", "mean_gather_f32", "l2_weigh_f64"):
        ask = next(ask for ask in ASKS if ask.name == name)
        for problem in cases(ask, WINDOWS):
            expected = Expected(problem, whole, 0)
            for layout, (read, write) in itertools.product(LAYOUTS, PLACES):
                result = expected.run(layout, read, write)
                assert result.kernels == ("reference",)
                np.testing.assert_array_equal(bits(result.array), bits(expected.array))


def test_selection_names_variants() -> None:
    assert {ask.name for ask in ASKS} >= SELECTED
    for field in ("role", "source", "output"):
        known = {getattr(ask.variant, field) for ask in ASKS}
        assert {getattr(ask.variant, field) for ask in ASKS if ask.name in SELECTED} >= known - {
            "i16",
            "i32",
            "u16",
            "u32",
        }
