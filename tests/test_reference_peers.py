"""The oracle against torch, SciPy and scikit-image, where they are right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastpool.problem import Problem
from fastpool.reference import backward, forward
from tests.oracle import same
from tests.problems import make

NAN, INF = math.nan, math.inf


def torch_problems(op: str, count: int) -> list[Problem]:
    rng = np.random.default_rng(len(op))
    problems: list[Problem] = []
    while len(problems) < count:
        rank = int(rng.integers(1, 4))
        k = rng.integers(1, 5, rank)
        # torch's average refuses an input smaller than the window
        size = rng.integers(1, 8, rank) + (0 if op == "max" else k - 1)
        d = rng.integers(1, 3, rank) if op == "max" else np.ones(rank, int)
        options: dict[str, Any] = {"dtype": "f64", "ceil": bool(rng.integers(2))}
        if op == "max":
            options["indices"] = "plane"
        else:
            options["include_pad"] = bool(rng.integers(2))
            options["divisor"] = int(rng.choice([0, 0, 3, -2])) if rank > 1 else 0
        geometry = [[int(n) for n in part] for part in (k, rng.integers(1, 4, rank), rng.integers(0, k // 2 + 1), d)]
        problem = make(op, (2, 3, *map(int, size)), range(2, 2 + rank), *geometry, **options)
        # torch refuses empty results, and gives wrong indices for windows without a tap
        taps = [w.taps_inside(o) for w in problem.windows for o in range(max(w.output, 0))]
        if min(problem.outputs) > 0 and min(taps) > 0:
            problems.append(problem)
    return problems


@pytest.mark.parametrize("problem", torch_problems("max", 60), ids=str)
def test_max_equals_torch(problem: Problem) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(problem.taps)
    x = rng.integers(-3, 4, problem.shape).astype(np.float64)
    x[rng.random(x.shape) < 0.05] = NAN
    x[rng.random(x.shape) < 0.2] = -INF
    y, indices = forward(problem, x)
    leaf = torch.tensor(x, requires_grad=True)
    pooled = getattr(torch.nn.functional, f"max_pool{len(problem.axes)}d")
    expected, expected_indices = pooled(
        leaf,
        problem.kernel,
        problem.stride,
        problem.pad_begin,
        problem.dilation,
        problem.ceil,
        return_indices=True,
    )
    same(y, expected.detach().numpy())
    assert indices is not None
    same(indices, expected_indices.numpy())
    dy = rng.integers(-9, 10, y.shape).astype(np.float64)
    expected.backward(torch.tensor(dy))
    same(backward(problem, dy, None, indices), leaf.grad.numpy())
    same(backward(problem, dy, x, None), leaf.grad.numpy())


@pytest.mark.parametrize("problem", torch_problems("mean", 60), ids=str)
def test_mean_equals_torch(problem: Problem) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(problem.taps)
    x = rng.integers(-99, 100, problem.shape).astype(np.float64)
    y, _ = forward(problem, x)
    leaf = torch.tensor(x, requires_grad=True)
    count = len(problem.axes)
    override = {"divisor_override": problem.divisor or None} if count > 1 else {}
    pooled = getattr(torch.nn.functional, f"avg_pool{count}d")
    expected = pooled(
        leaf, problem.kernel, problem.stride, problem.pad_begin, problem.ceil, problem.include_pad, **override
    )
    same(y, expected.detach().numpy())
    dy = rng.integers(-9, 10, y.shape).astype(np.float64)
    expected.backward(torch.tensor(dy))
    # torch rounds each of at most prod(kernel) quotients, and each of their sums
    rounding = 2 * problem.taps * 9 * np.finfo(np.float64).eps
    np.testing.assert_allclose(backward(problem, dy, None, None), leaf.grad.numpy(), rtol=0, atol=rounding)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 0.5])
def test_lp_equals_torch_vector_norm(p: float) -> None:
    torch = pytest.importorskip("torch")
    problem = make("lp", (2, 7, 6), (1, 2), (3, 2), (2, 1), dtype="f64", norm=p)
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=problem.shape), rng.normal(size=problem.out_shape)
    leaf = torch.tensor(x, requires_grad=True)
    windows = leaf.unfold(1, 3, 2).unfold(2, 2, 1).flatten(3)
    expected = (windows.abs() ** p).sum(-1) ** (1 / p)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(forward(problem, x)[0], expected.detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(backward(problem, dy, x, None), leaf.grad.numpy(), rtol=1e-13)


@pytest.mark.parametrize("op", ["max", "min", "mean", "sum"])
def test_equals_block_reduce(op: str) -> None:
    measure = pytest.importorskip("skimage.measure")
    image = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype(np.float64)
    expected = measure.block_reduce(image, (4, 3, 1), getattr(np, op))
    problem = make(op, image.shape, (0, 1), (4, 3), dtype="f64")
    same(forward(problem, image)[0], expected)


@pytest.mark.parametrize(("op", "edge"), [("max", -INF), ("min", INF)])
def test_equals_rank_filters(op: str, edge: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
    expected = getattr(ndimage, f"{op}imum_filter")(image, (3, 5), mode="constant", cval=edge)
    same(forward(make(op, image.shape, (0, 1), (3, 5), 1, (1, 2)), image)[0], expected)
