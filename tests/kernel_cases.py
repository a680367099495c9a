"""The registry as test cases: which problems ask for which variant, and what the reference says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from fastpool import reference
from fastpool.kernels import registry
from fastpool.kernels.registry import FORMS, Ask, Form
from fastpool.problem import Problem
from tests.problems import make
from tests.strategies import (
    Array,
    Result,
    arrange,
    bits,
    pool,
    pull_back,
    salt,
    store,
    turn,
    turn_back,
    turned,
    ulp,
    value,
)

Data = Callable[..., Array]

ASKS = tuple(registry.asks())

SELECTED = {
    *(f"max_forward_{dtype}" for dtype in ("b1", "i8", "u8", "i64", "f16", "bf16", "f32", "f64")),
    *(f"mean_forward_{dtype}" for dtype in ("i8", "u64", "f16", "bf16", "f32", "f64")),
    *(f"min_forward_{dtype}" for dtype in ("b1", "i8", "u8", "u64")),
    *(f"sum_forward_{dtype}" for dtype in ("u8", "i64", "f32", "f64")),
    *(f"max_index_{dtype}" for dtype in ("u8", "bf16", "f32", "f64")),
    *(f"max_scatter_{dtype}" for dtype in ("i8", "f16", "f32", "f64")),
    "max_check_f32",
    *(f"mean_gather_{dtype}" for dtype in ("i8", "f16", "f32", "f64")),
    *("sum_gather_u8", "sum_gather_f32", "sum_gather_f64", "min_forward_f32", "min_index_i8"),
    *(f"{op}_{role}_f64" for op in ("l2", "lp") for role in ("forward", "weigh", "gather")),
    *(
        "l1_forward_f64",
        "l1_gather_f64",
        "l2_forward_f32",
        "max_forward_f32_skipna",
        "max_index_f32_skipna",
    ),
    *(f"mean_{role}_f64_skipna" for role in ("forward", "weigh", "gather")),
}
"""Names of the asks of the default set: every operation, role and width. A variant takes seconds to compile."""

ULPS = 4


def marked(asks: Sequence[Ask]) -> list[Any]:
    """The asks as parameters, those beyond the selection in the exhaustive set.

    Those that one variant serves form a group, so that it is compiled by one process of several.
    """
    parameters = []
    for ask in asks:
        group = pytest.mark.xdist_group(ask.variant.name)
        marks = [group] + [pytest.mark.exhaustive] * (ask.name not in SELECTED)
        parameters.append(pytest.param(ask, id=ask.name, marks=marks))
    return parameters


def problem_of(ask: Ask, shape: Sequence[int], k: Any, **options: Any) -> Problem:
    """A problem that asks so, the spatial axes last; only a mean has a divisor."""
    op, norm = {"l1": ("lp", 1.0), "l2": ("lp", 2.0), "lp": ("lp", 3.0)}.get(ask.op, (ask.op, 2.0))
    if op != "mean":
        options.pop("divisor", None)
        options.pop("include_pad", None)
    options |= {
        "norm": norm,
        "direction": "bwd" if ask.role in ("weigh", "gather", "scatter") else "fwd",
        "dtype": ask.dtype,
        "indices": "plane" if ask.role in ("index", "scatter", "check") else "",
        "nan": "ignore" if ask.skip_nan else "propagate",
    }
    return make(op, shape, range(2, len(shape)), k, **options)


def forms(ask: Ask, problem: Problem) -> Iterator[Form]:
    """The forms that have this role and this window."""
    for form in FORMS:
        if form.serves(ask.variant) and form.family != "reference":
            window = (problem.kernel[-1], problem.stride[-1], problem.dilation[-1])
            if form.kernel == 0 or window == (form.kernel, form.stride, 1):
                yield form


def is_exact(problem: Problem) -> bool:
    """Whether integer-valued data gives an answer that is rounded once at most."""
    if problem.op == "mean" and problem.nan == "ignore":
        # the numbers of taps that are left have no common multiple in 16 bits
        return problem.dtype not in ("f16", "bf16")
    return problem.op != "lp" or problem.norm == 1.0 or (problem.norm == 2.0 and problem.direction == "fwd")


def _widened(problem: Problem) -> Problem:
    """The same problem in a type in which the reference's rounding does not matter."""
    return problem._replace(dtype="fld" if problem.dtype == "f64" else "f64")


class Expected:
    """A problem with data, and the reference's answer to it."""

    def __init__(self, problem: Problem, data: Data, seed: int, specials: float = 0) -> None:
        rng = np.random.default_rng(seed)
        self.problem = problem
        skips = problem.nan == "ignore"
        x = data(problem.dtype, problem.shape, rng)
        self.x = salt(problem.dtype, x, rng, 0.3 if skips else specials, infinities=not skips)
        self.dy: Array | None = None
        self.indices: Array | None = None
        if problem.direction == "bwd":
            dy = data(problem.out_dtype, problem.out_shape, rng)
            self.dy = salt(problem.out_dtype, dy, rng, specials)
            if problem.indices:
                _, self.indices = reference.forward(problem._replace(direction="fwd"), self.x)
            self.array = reference.backward(problem, self.dy, self.x, self.indices)
        else:
            self.array, self.indices = reference.forward(problem, self.x)

    def run(self, layout: str = "first", read: str = "contiguous", write: str = "contiguous") -> Result:
        """The kernels' answer on arrays of that layout and memory, its axes turned back."""
        problem = self.problem
        order = turn(layout, len(problem.shape))
        x = arrange(self.x.transpose(order), read)
        if self.dy is None:
            result = pool(turned(problem, layout), x, write)
            found = None if result.indices is None else turn_back(result.indices, layout)
            return Result(result.problem, result.kernels, turn_back(result.array, layout), found)
        dy = arrange(self.dy.transpose(order), read)
        indices = None if self.indices is None else arrange(self.indices.transpose(order), read)
        reads_x = problem.op == "lp" or problem.nan == "ignore"
        result = pull_back(turned(problem, layout), dy, x if reads_x else None, indices, write)
        return Result(result.problem, result.kernels, turn_back(result.array, layout))

    def check(self, result: Result) -> None:
        """The same bits where the answer is exact, else what ``check_ulps`` says."""
        if not is_exact(self.problem):
            self.check_ulps(result)
            return
        actual, expected = bits(result.array), bits(self.array)
        if self.problem.op == "lp":
            # the gradient at a negative element is -0 where no gradient arrives
            actual = np.where(value(self.problem.dtype, result.array) == 0, 0, actual)
        np.testing.assert_array_equal(actual, expected, str(result.problem))
        if result.indices is not None:
            np.testing.assert_array_equal(result.indices, self.indices, str(result.problem))

    def check_ulps(self, result: Result, most: int = ULPS) -> None:
        """Within some ulp of the exact answer, and every NaN canonical."""
        exact, unit = self.exact_and_ulp
        dtype = self.problem.dtype
        actual = value(dtype, result.array).astype(np.longdouble)
        nan = np.isnan(exact)
        canonical = bits(store(dtype, np.float32(np.nan)))
        assert np.all(bits(result.array)[nan] == canonical), str(result.problem)
        finite = np.isfinite(exact)
        np.testing.assert_array_equal(actual[~finite], exact[~finite], str(result.problem))
        worst = np.max(np.abs(actual[finite] - exact[finite]) / unit[finite], initial=0)
        assert worst <= most, f"{result.problem}: {worst} ulp"

    @cached_property
    def exact_and_ulp(self) -> tuple[Array, Array]:
        """The exact answer, and the size of an ulp.

        It is that of a window's mean absolute value, times the number of taps for sums; of the result for Lp.
        In backward it is that of the sum of the absolute values of an element's terms.
        """
        problem = _widened(self.problem)
        dtype = self.problem.dtype
        wide = np.longdouble if problem.dtype == "fld" else np.float64
        x = value(dtype, self.x).astype(wide)
        if self.dy is not None:
            dy = value(dtype, self.dy).astype(wide)
            exact = reference.backward(problem, dy, x, None)
            terms = reference.backward(problem._replace(divisor=abs(problem.divisor)), abs(dy), abs(x), None)
            return exact.astype(np.longdouble), ulp(dtype, terms)
        exact = reference.forward(problem, x)[0]
        if problem.op == "lp":
            return exact.astype(np.longdouble), ulp(dtype, exact)
        if problem.op == "mean":
            sizes = reference.forward(problem._replace(divisor=abs(problem.divisor)), abs(x))[0]
            return exact.astype(np.longdouble), ulp(dtype, sizes)
        sizes = reference.forward(problem._replace(op="mean", include_pad=False), abs(x))[0]
        taps = reference.forward(problem, np.where(np.isnan(x), x, 1))[0]
        # a window without a tap has the sum 0
        return exact.astype(np.longdouble), np.maximum(taps, 1) * ulp(dtype, sizes)
