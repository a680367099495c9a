"""A reduction is a definition: log-sum-exp in a few lines, with no kernel written for it."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpool import config, dispatch
from fastpool.kernels import registry
from fastpool.kernels.reductions import Reduction, add, first_state
from fastpool.problem import Problem
from tests.problems import make
from tests.strategies import LAYOUTS, Array, arrange, pool, pull_back, turn, turn_back, turned


def exponential(x, p):
    return math.exp(float(x))


def logarithm(s, count, inside, p):
    return math.log(s)


def divide_gradient(g, s, count, inside, p):
    return g / s


def times_exponential(a, x, p):
    return a * math.exp(float(x))


LOG_SUM_EXP = Reduction(
    "lse",
    "f",
    (0,),
    exponential,
    add,
    logarithm,
    ("double",),
    pull=divide_gradient,
    push=times_exponential,
    pull_reads_state=True,
    push_reads_x=True,
)


def largest_and_one(x, p):
    return (float(x), 1.0)


def add_to_larger(a, b):
    low, high = (a, b) if a[0] < b[0] else (b, a)
    return (high[0], high[1] + low[1] * math.exp(low[0] - high[0]) if low[1] > 0 else high[1])


def largest_plus_logarithm(s, count, inside, p):
    return s[0] + math.log(s[1])


STABLE = Reduction(
    "stable_lse",
    "f",
    ("lowest", 0),
    largest_and_one,
    add_to_larger,
    largest_plus_logarithm,
    ("double", "double"),
)

GEOMETRIES: tuple[dict[str, Any], ...] = (
    {"shape": (2, 3, 40), "k": 3, "s": 2, "p": 1},
    {"shape": (2, 3, 9, 11), "k": (3, 2), "s": (2, 1), "p": 1, "d": (1, 2)},
    {"shape": (1, 2, 5, 6, 7), "k": (2, 3, 2), "s": 2, "ceil": True},
    {"shape": (1, 20, 2, 300), "k": (2, 150), "s": 1},
    {"shape": (2, 2, 30, 50), "k": (30, 50)},
)


@pytest.fixture(autouse=True)
def known_reductions() -> Iterator[None]:
    """What a test adds is gone after it."""
    known = set(registry.REDUCTIONS)
    yield
    for name in set(registry.REDUCTIONS) - known:
        registry.remove_reduction(name)


def problems(op: str, dtype: str) -> Iterator[Problem]:
    for geometry in GEOMETRIES:
        options = dict(geometry)
        shape = options.pop("shape")
        yield make(op, shape, range(2, len(shape)), dtype=dtype, **options)


def windows(problem: Problem, x: Array) -> Array:
    """Every window as a row of its taps, -inf for the missing ones: (batch, channel, outputs..., taps)."""
    rank = len(problem.axes)
    ends = [
        (lo, hi + s * k * d)
        for lo, hi, s, k, d in zip(
            problem.pad_begin, problem.pad_end, problem.stride, problem.kernel, problem.dilation, strict=True
        )
    ]
    padded = np.pad(x, [(0, 0), (0, 0), *ends], constant_values=-np.inf)
    spans = [(k - 1) * d + 1 for k, d in zip(problem.kernel, problem.dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, problem.axes)
    starts = [slice(None, s * o, s) for s, o in zip(problem.stride, problem.outputs, strict=True)]
    taps = [slice(None, None, d) for d in problem.dilation]
    view = view[(slice(None), slice(None), *starts, *taps)]
    return view.reshape(*view.shape[: 2 + rank], -1)


def lying(array: Array, layout: str, memory: str) -> Array:
    return arrange(array.transpose(turn(layout, array.ndim)), memory)


@pytest.mark.parametrize("dtype", ["f64", pytest.param("f32", marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("reduction", [LOG_SUM_EXP, STABLE], ids=lambda reduction: reduction.name)
def test_log_sum_exp(reduction: Reduction, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    special = pytest.importorskip("scipy.special")
    registry.add_reduction(reduction)
    rng = np.random.default_rng(0)
    # a sum of exponentials overflows where the stable form does not
    offset = 2000.0 if reduction is STABLE else 0.0
    for problem in problems(reduction.name, dtype):
        x = (3 * rng.normal(size=problem.shape) + offset).astype(problem.dtype.replace("f", "float"))
        expected = special.logsumexp(windows(problem, x.astype(np.float64)), axis=-1)
        for form in ("rows", "lanes", ""):
            monkeypatch.setenv(config.FORCE_KERNEL.name, form)
            for layout in LAYOUTS:
                for memory in ("contiguous", "strided", "negative"):
                    result = pool(turned(problem, layout), lying(x, layout, memory), memory)
                    assert result.kernels[0].startswith(f"{reduction.name}_forward_{dtype}__{form}")
                    y = turn_back(result.array, layout)
                    # logsumexp rounds as often as taps are added
                    rounding = np.finfo(x.dtype).eps + problem.taps * np.finfo(np.float64).eps
                    np.testing.assert_allclose(y, expected, rtol=rounding, atol=rounding)


def test_gradient_of_log_sum_exp(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    registry.add_reduction(LOG_SUM_EXP)
    rng = np.random.default_rng(0)
    for forward in problems("lse", "f64"):
        problem = forward._replace(direction="bwd")
        x, dy = rng.normal(size=problem.shape), rng.normal(size=problem.out_shape)
        # each tap's place in x, so that torch sums what its windows give to an element
        places = windows(forward, np.arange(x.size, dtype=np.float64).reshape(x.shape))
        found = torch.tensor(np.where(np.isfinite(places), places, x.size).astype(np.int64))
        leaf = torch.tensor(x, requires_grad=True)
        padded = torch.cat([leaf.flatten(), torch.tensor([-math.inf], dtype=torch.float64)])
        torch.logsumexp(padded[found], -1).backward(torch.tensor(dy))
        for form in ("rows", "lanes", ""):
            monkeypatch.setenv(config.FORCE_KERNEL.name, form)
            for layout in LAYOUTS:
                for memory in ("contiguous", "strided", "negative"):
                    arrays = [lying(array, layout, memory) for array in (dy, x)]
                    result = pull_back(turned(problem, layout), *arrays, memory=memory)
                    assert len(result.kernels) == 2
                    actual = turn_back(result.array, layout)
                    np.testing.assert_allclose(actual, leaf.grad.numpy(), rtol=1e-13, atol=1e-13)


def test_a_name_is_given_once() -> None:
    registry.add_reduction(LOG_SUM_EXP)
    with pytest.raises(ValueError, match=r"'lse' is taken; known: max, min.*choose another name"):
        registry.add_reduction(LOG_SUM_EXP)


def test_an_added_reduction_is_found_after_it_was_missed() -> None:
    problem = make("lse", (6,), 0, 4, dtype="f64")
    assert dispatch.explain(problem).kernels == ("reference",)
    registry.add_reduction(LOG_SUM_EXP)
    assert dispatch.explain(problem).kernels == ("lse_forward_f64__rows",)
    registry.remove_reduction("lse")
    assert dispatch.explain(problem).kernels == ("reference",)


def test_an_edited_reduction_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.CACHE_DIR.name, str(tmp_path))
    x = np.arange(8.0)

    def lift_by(factor: float) -> Any:
        def lift(x, p):
            return x * factor

        return lift

    def value_now(lift: Any) -> list[float]:
        registry.add_reduction(Reduction("edited", "f", (0,), lift, add, first_state))
        y = pool(make("edited", x.shape, 0, 4, dtype="f64"), x).array.tolist()
        registry.remove_reduction("edited")
        return y

    # another captured number, and another function
    assert value_now(lift_by(1.0)) == [6.0, 22.0]
    assert value_now(lift_by(2.0)) == [12.0, 44.0]
    assert value_now(lambda x, p: x * x) == [14.0, 126.0]


SCRIPT = """
import numpy as np
from fastpool.kernels import registry
from fastpool.kernels.cpu import engine
from fastpool.kernels.reductions import Reduction, add, first_state
from tests.problems import make
from tests.strategies import pool


def weight(x):
    return x * FACTOR


def lift(x, p):
    return weight(x)


registry.add_reduction(Reduction("edited", "f", (0,), lift, add, first_state))
result = pool(make("edited", (8,), 0, 4, dtype="f64"), np.arange(8.0))
print(*result.array, [kernel.from_cache for kernel in engine._kernels.values()])
"""


@pytest.mark.slow
def test_an_edited_file_is_compiled_again(tmp_path: Path, repository: Path) -> None:
    """Three processes that share a cache: the second one has another source, the third the second's."""
    script = tmp_path / "edited.py"

    def run(factor: str) -> str:
        script.write_text(SCRIPT.replace("FACTOR", factor))
        environment = {"FASTPOOL_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(repository)}
        command = [sys.executable, "-W", "error", str(script)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run("1.0") == "6.0 22.0 [False]"
    assert run("2.0") == "12.0 44.0 [False]"
    assert run("2.0") == "12.0 44.0 [True]"
