"""The same bits, whatever the number of threads, the layout, the memory order, or the kernel that runs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fastpool
from fastpool import config, dispatch, jit, library, tiling
from fastpool.kernels import plan as P
from fastpool.kernels import registry
from fastpool.kernels.registry import FORMS
from fastpool.problem import Problem
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
    real_numbers,
    salt,
    same,
    storage,
    store,
    turn,
    turn_back,
    turned,
)

GEOMETRIES: dict[str, dict[str, Any]] = {
    # above the size from which several threads share the work, for every element type
    "k2s2": {"shape": (2, 40, 42, 46), "k": 2, "s": 2},
    "k3s2": {"shape": (3, 33, 41, 43), "k": 3, "s": 2, "p": 1},
    "k3s1": {"shape": (1, 35, 61, 67), "k": (2, 3), "s": 1, "p": [0, 1]},
    "other": {"shape": (2, 20, 61, 67), "k": (5, 13), "s": (2, 1), "p": [(2, 1), (5, 7)], "d": (2, 1), "ceil": True},
    "image": {"shape": (1, 1, 401, 403), "k": (7, 4), "s": (3, 2), "p": 1},
    "fold": {"shape": (2, 3, 150, 190), "k": (3, 90), "s": (2, 95)},
    "global": {"shape": (2, 400, 25, 27), "k": (25, 27), "s": 1},
    "line": {"shape": (2, 3, 30_000), "k": 6, "s": 4, "d": 3},
    "volume": {"shape": (2, 9, 20, 21, 22), "k": (3, 2, 3), "s": (2, 2, 1), "p": 1},
}

CASES = [
    ("max", "f32", {}),
    ("max", "u8", {}),
    ("mean", "f32", {"include_pad": False}),
    ("mean", "f64", {"nan": "ignore"}),
    ("mean", "i8", {}),
    ("sum", "f32", {}),
    ("max", "bf16", {}),
    ("min", "f32", {"nan": "ignore"}),
    ("mean", "f16", {}),
    ("lp", "f64", {"norm": 2.0}),
]

SLOW = [
    *(("max", dtype, {}) for dtype in ("f16", "f64", "i16", "i64", "u64", "b1")),
    *(("min", dtype, {}) for dtype in ("f32", "f64", "f16", "i32")),
    *(("mean", dtype, {}) for dtype in ("f32", "f64", "bf16", "u8", "i64")),
    *(("mean", dtype, {"nan": "ignore"}) for dtype in ("f32", "f16", "bf16")),
    *(("sum", dtype, {}) for dtype in ("f64", "f16", "bf16", "u8", "i32")),
    *(("lp", dtype, {"norm": norm}) for dtype in ("f32", "f64", "f16") for norm in (1.0, 2.0, 3.0)),
]


def parameters(many: int) -> list[Any]:
    """All cases, of which ``many`` are run by default, and CI runs those that are not exhaustive."""
    marked: list[tuple[Any, Any]] = [(case, ()) for case in CASES[:many]]
    marked += [(case, pytest.mark.slow) for case in CASES[many:]]
    marked += [(case, pytest.mark.exhaustive) for case in SLOW if case not in CASES]
    return [
        pytest.param(*case, id="-".join([case[0], case[1], *map(str, case[2].values())]), marks=marks)
        for case, marks in marked
    ]


class Asked:
    """A problem with data, in batch, channel, spatial... order."""

    def __init__(self, problem: Problem) -> None:
        rng = np.random.default_rng(problem.taps)
        self.problem = problem
        x = real_numbers(problem.dtype, problem.shape, rng)
        self.x = salt(problem.dtype, x, rng, 0.002)
        self.dy: Array | None = None
        self.indices: Array | None = None
        if problem.direction == "bwd":
            dy = real_numbers(problem.out_dtype, problem.out_shape, rng)
            self.dy = salt(problem.out_dtype, dy, rng, 0.002)
            if problem.indices:
                self.indices = pool(problem._replace(direction="fwd"), self.x).indices

    def run(self, layout: str = "first", read: str = "contiguous", write: str = "contiguous") -> Result:
        problem = turned(self.problem, layout)
        order = turn(layout, len(problem.shape))
        x = arrange(self.x.transpose(order), read)
        if self.dy is None:
            return pool(problem, x, write)
        dy = arrange(self.dy.transpose(order), read)
        indices = None if self.indices is None else arrange(self.indices.transpose(order), read)
        linear = problem.op in ("mean", "sum") and problem.nan == "propagate"
        return pull_back(problem, dy, None if linear or self.indices is not None else x, indices, write)


def check(asked: Asked, expected: Result, result: Result, layout: str) -> None:
    message = f"{result.problem} {result.kernels} against {expected.kernels}"
    same(bits(turn_back(result.array, layout)), bits(expected.array), message)
    if expected.indices is not None:
        same(turn_back(result.indices, layout), expected.indices, message)


def problems(op: str, dtype: str, options: dict[str, Any]) -> list[Problem]:
    directions = [("fwd", ""), ("bwd", "")]
    if op in ("max", "min"):
        directions = [("fwd", ""), ("fwd", "plane"), ("bwd", "plane")]
    found = []
    for (direction, kind), geometry in itertools.product(directions, GEOMETRIES.values()):
        fields = {"dtype": dtype, "direction": direction, "indices": kind} | options | geometry
        shape = fields.pop("shape")
        found.append(make(op, shape, range(2, len(shape)), **fields))
    return found


# by both engines, so that each case compiles all of its kernels, for up to a minute
@pytest.mark.parametrize(("op", "dtype", "options"), parameters(3))
def test_threads(op: str, dtype: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for problem, engine in itertools.product(problems(op, dtype, options), ("aot", "jit")):
        monkeypatch.setenv(config.ENGINE.name, engine)
        # one-byte elements are below the grain at these sizes; the library's is fixed
        grain = tiling.PARALLEL_BYTES if engine == "aot" else 1 << 15
        monkeypatch.setattr(jit, "GRAIN_BYTES", grain)
        asked = Asked(problem)
        with fastpool.threads(1):
            expected = asked.run()
            assert _parts(expected.problem) == [1] * len(expected.kernels)
        for count, layout in itertools.product((2, 3), LAYOUTS):
            with fastpool.threads(count):
                result = asked.run(layout)
                tasks = dispatch.explain(result.problem).tasks
                large = [task.plan[P.BYTES] >= grain for task in tasks]
                parts = _parts(result.problem)
                assert all(1 < found <= count for found, wanted in zip(parts, large, strict=True) if wanted)
                assert engine == "aot" or all(large), str(result.problem)
                plan = library.plan(result.problem) if engine == "aot" else None
                assert plan is None or plan.threads == max(parts), str(result.problem)
                check(asked, expected, result, layout)


def _parts(problem: Problem) -> list[int]:
    return [jit.parts(task.plan) for task in dispatch.explain(problem).tasks]


@pytest.mark.parametrize(("op", "dtype", "options"), parameters(5))
def test_layouts_and_memory(op: str, dtype: str, options: dict[str, Any]) -> None:
    places = [
        *((memory, "contiguous") for memory in MEMORIES[1:]),
        *(("contiguous", memory) for memory in ("strided", "negative", "fortran")),
        ("fortran", "fortran"),
    ]
    for problem in problems(op, dtype, options):
        asked = Asked(problem)
        expected = asked.run()
        for layout, (read, write) in itertools.product(LAYOUTS, places):
            check(asked, expected, asked.run(layout, read, write), layout)


# roles whose kernels may work on vectors, of sums and of selections
ROLES = (("forward", "gather"), ("forward",))


@pytest.mark.parametrize(("op", "dtype", "options"), parameters(5))
def test_kernels(op: str, dtype: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ran: set[str] = set()
    for problem in problems(op, dtype, options):
        asked = Asked(problem)
        monkeypatch.setenv(config.FORCE_KERNEL.name, "rows")
        expected = asked.run()
        for form in FORMS:
            if form.family == "reference" or (form.kernel and form.kernel != problem.kernel[-1]):
                continue
            monkeypatch.setenv(config.FORCE_KERNEL.name, form.name)
            for layout in ("first", "last"):
                result = asked.run(layout)
                check(asked, expected, result, layout)
                ran |= {kernel.split("__")[1] for kernel in result.kernels}
    selects = op in ("max", "min")
    served = {form.name for form in FORMS if form.family != "reference" and (selects or not form.match)}
    # vectors have no arithmetic for some types, and refuse windows that are not all divided alike
    fused = {form.name for form in FORMS if form.on_vectors}
    skip = options.get("nan") == "ignore"
    variants = [registry.variant(op, 2.0, dtype, role, skip) for role in ROLES[selects]]
    assert served - fused <= ran <= served
    able = any(v is not None and (v.vector is not None or v.across is not None) for v in variants)
    assert bool(ran & fused) == able


@pytest.mark.parametrize("op", ["max", pytest.param("min", marks=pytest.mark.exhaustive), "mean"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16", "f64"])
def test_one_nan(op: str, dtype: str) -> None:
    canonical = {"f16": 0x7E00, "bf16": 0x7FC0, "f32": 0x7FC00000, "f64": 0x7FF8 << 48}[dtype]
    negative = {"f16": 0xFE01, "bf16": 0xFFC1, "f32": 0xFFC00001, "f64": (0xFFF8 << 48) + 1}[dtype]
    x = store(dtype, np.ones((2, 40, 5, 40)))
    bits(x)[:, ::3, 1::2, ::7] = negative
    assert x.dtype == storage(dtype)
    for k in (2, 3, (5, 40)):
        problem = make(op, x.shape, (2, 3), k, dtype=dtype)
        for layout in LAYOUTS:
            result = pool(turned(problem, layout), arrange(x.transpose(turn(layout, 4)), "contiguous"))
            found = set(np.unique(bits(result.array)).tolist())
            assert found <= {canonical, int(bits(x)[0, 1, 0, 0])}
            assert canonical in found
