"""Plans: the same from plain Python and compiled, never wrapped round, and complete."""

from __future__ import annotations

import ctypes
import functools
import inspect
import random
import types

import numba
import numpy as np
import pytest

from fastpool import choosing, dispatch, layout, planning, tiling
from fastpool import request as Q
from fastpool.build import MODULES, functions
from fastpool.kernels import plan as P
from fastpool.kernels import rows as T
from fastpool.kernels import table as tables
from fastpool.kernels.native import just_in_time
from fastpool.kernels.native.lower import Function, lower
from fastpool.kernels.registry import FORMS, ROLES
from fastpool.problem import Problem
from tests.problems import make

BLOCKS = {"spec", "plan", "request", "table", "found", "verdicts"}
PLANNED = [form for form in FORMS if form.family != "reference"]
# what one of these compiles, which takes most of their time, serves the others
together = pytest.mark.xdist_group("planning")
OPS = ("max", "min", "mean", "sum", "lp")
DTYPES = ("u8", "i16", "i64", "f16", "bf16", "f32", "f64", "c64", "b1")


def lowered(function: types.FunctionType, name: str):
    """How a planning function is compiled: blocks are pointers, all else integers."""
    for known in MODULES:
        for called in functions(known):
            if called not in _registered:
                numba.extending.register_jitable(called)
                _registered.add(called)
    block = numba.types.CPointer(numba.int64)
    arguments = [block if name in BLOCKS else numba.int64 for name in inspect.signature(function).parameters]
    # the compiler finds out what is returned
    return Function(name, function, numba.core.typing.signature(None, *arguments))


@functools.cache
def compiled(module: types.ModuleType, name: str):
    """A function of a planning module, compiled as those of the library are; arrays are given as where they begin."""
    function = getattr(module, name)
    if (level := just_in_time.level()) is None:
        return lowered(function, name) and numba.njit(function)
    address = just_in_time._load(just_in_time._compiled(function, lowered(function, name).signature, level))
    names = inspect.signature(function).parameters
    call = ctypes.CFUNCTYPE(ctypes.c_int64, *(ctypes.c_void_p if name in BLOCKS else ctypes.c_int64 for name in names))

    def run(*given):
        return call(address)(*(thing.ctypes.data if isinstance(thing, np.ndarray) else thing for thing in given))

    return run


_registered: set[types.FunctionType] = set()


def random_problem(rng: random.Random, sizes=(1, 2, 3, 7, 16, 31, 64, 129, 300)) -> Problem:
    """A problem that a public call might pass on: every window fits."""
    while True:
        rank = rng.randrange(1, 6)
        count = rng.randrange(1, min(rank, 4) + 1)
        shape = [rng.choice(sizes) for _ in range(rank)]
        axes = rng.sample(range(rank), count)
        if rng.random() < 0.5:
            axes = list(range(rank - count, rank))
        elif rng.random() < 0.5 and count < rank:
            axes = list(range(rank - count - 1, rank - 1))
        if rng.random() < 0.1 and count < rank:
            shape[next(axis for axis in range(rank) if axis not in axes)] = 0
        op = rng.choice(OPS)
        indices = rng.choice(("", "plane", "tensor", "tap")) if op in ("max", "min") else ""
        problem = make(
            op,
            shape,
            axes,
            [rng.choice((1, 2, 2, 3, 3, 5, 13, 64, 200)) for _ in axes],
            [rng.choice((1, 1, 2, 2, 3, 7, 100)) for _ in axes],
            [(rng.choice((0, 0, 1, 5)), rng.choice((0, 0, 1, 4))) for _ in axes],
            [rng.choice((1, 1, 1, 2, 3)) for _ in axes],
            direction=rng.choice(("fwd", "bwd")),
            dtype=rng.choice(DTYPES),
            ceil=rng.random() < 0.3,
            indices=indices,
            include_pad=rng.random() < 0.5,
            divisor=rng.choice((0, 0, 3)) if op == "mean" else 0,
            norm=rng.choice((1.0, 2.0, 2.5)) if op == "lp" else 2.0,
            nan=rng.choice(("propagate", "propagate", "ignore")),
            x_strides=strides(rng, shape),
        )
        if min(problem.outputs) > 0 and not problem.overflow():
            return problem


def strides(rng: random.Random, shape: list[int]) -> tuple[int, ...]:
    """C order, or dense in another order of the axes, some of them backwards."""
    if rng.random() < 0.5:
        return ()
    found = [0] * len(shape)
    step = rng.choice((1, 1, 2))
    for axis in rng.sample(range(len(shape)), len(shape)):
        found[axis] = rng.choice((1, 1, -1, 0)) * step
        step *= max(shape[axis], 1)
    return tuple(found)


def specs(problem: Problem, forced: bool):
    """(form, role, spec) for every form and role that has arithmetic for the problem."""
    table = tables.table()
    request = Q.request_of(problem, table)
    kind = request[Q.INDEX_KIND]
    for number, role in enumerate(ROLES):
        if (role in ("index", "scatter", "check")) != bool(problem.indices):
            continue
        row = choosing.row_of(request, table, number, kind)
        for place, form in enumerate(PLANNED):
            if row != 0 and role in form.roles:
                spec = new_spec(request)
                choosing.write_spec(request, table, row, place, number, kind, forced, spec)
                yield form, role, spec


def new_spec(request: list[int]) -> list[int]:
    rank = request[Q.RANK] + request[Q.COMPLEX]
    return [0] * (layout.SPEC + rank * layout.ARRAY_AXIS + request[Q.POOLED] * layout.POOLED_AXIS)


def block(spec: list[int]) -> int:
    return P.HEADER + (spec[layout.RANK] + 1) * P.AXIS


def planned(spec: list[int]) -> tuple[list[int], int]:
    plan = [0] * block(spec)
    planning.make_plan(spec, plan)
    return plan, planning.refusal(spec, plan)


def compiled_plan(spec: list[int]) -> tuple[list[int], int]:
    numbers = np.array(spec, np.int64)
    plan = np.full(block(spec), -7, np.int64)
    plan[P.HEADER :] = 0
    compiled(planning, "make_plan")(numbers, plan)
    return plan.tolist(), compiled(planning, "refusal")(numbers, plan)


@together
def test_compiled_plans_equal_those_of_python():
    rng = random.Random(0)
    seen = set()
    for _ in range(600):
        problem = random_problem(rng)
        for form, role, spec in specs(problem, rng.random() < 0.5):
            assert compiled_plan(spec) == planned(spec), (str(problem), form.name, role)
            seen.add((form.name, role))
    assert seen == {(form.name, role) for form in PLANNED for role in form.roles}


@together
def test_compiled_choices_equal_those_of_python():
    """The whole way from a request to its tasks, over the table as a block of plain integers."""
    rng = random.Random(4)
    table = tables.table()
    numbers = np.array(table.dump(), np.int64)
    taken = set()
    asked = [(random_problem(rng), rng.choice((-1, -1, *range(T.COUNT + 1)))) for _ in range(1000)]
    for problem, forced in [*asked, *((Problem.parse(text), -1) for text, _ in TYPICAL)]:
        request = Q.request_of(problem, table, forced)
        found, compiled_found = [0] * 4, np.zeros(4, np.int64)
        count = choosing.tasks_of(request, table, found)
        assert compiled(choosing, "tasks_of")(np.array(request), numbers, compiled_found) == count
        assert compiled_found.tolist() == found
        for role, kind in zip(found[: 2 * count : 2], found[1 : 2 * count : 2], strict=True):
            spec, verdicts = new_spec(request), [0] * len(FORMS)
            plan = [0] * (P.HEADER + (request[Q.RANK] + request[Q.COMPLEX] + 1) * P.AXIS)
            form = choosing.choose(request, table, role, kind, spec, plan, verdicts)
            blocks = [np.zeros(len(numbers), np.int64) for numbers in (spec, plan, verdicts)]
            assert compiled(choosing, "choose")(np.array(request), numbers, role, kind, *blocks) == form, str(problem)
            assert [numbers.tolist() for numbers in blocks] == [spec, plan, verdicts], str(problem)
            row = choosing.row_for(request, table, form, role, kind) if form < T.COUNT else 0
            there = compiled(choosing, "row_for")(np.array(request), numbers, form, role, kind) if row else 0
            assert (row == 0) == (there == 0)
            if row != 0:
                assert [table[row + i] for i in range(T.ROW)] == numbers[there : there + T.ROW].tolist()
            taken.add(FORMS[form].name)
    assert taken == {form.name for form in FORMS}


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_function_compiles(module):
    """Also those that no plan in this file happens to call."""
    assert lower("every", [lowered(function, f"every_{function.__name__}") for function in functions(module)])


def test_plans_of_one_problem_agree():
    """Every form produces as many outputs; tiles cover them, and the workspace is one that can be had."""
    rng = random.Random(1)
    for _ in range(400):
        problem = random_problem(rng)
        outputs: dict[str, set[int]] = {}
        for form, role, spec in specs(problem, True):
            plan, code = planned(spec)
            if code != tiling.ACCEPTED:
                continue
            what = (str(problem), form.name, role)
            outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
            assert spatial >= 1, what
            axes = [P.HEADER + a * P.AXIS for a in range(outer + spatial)]
            total = plan[P.LANES]
            for at in axes:
                total *= plan[at + P.OUTPUT]
            outputs.setdefault(role, set()).add(total)
            empty = 0 in problem.shape
            assert (plan[P.TILES] == 0) == empty, what
            if empty:
                continue
            assert plan[P.TILES] >= 1, what
            # the blocks of the last axis, the lane blocks and the grouped rows cover what they cut
            cut = axes[outer] if role == "scatter" else axes[-1]
            covers(plan[P.BLOCK], plan[P.BLOCKS], plan[cut + P.OUTPUT], what)
            covers(plan[P.LANE_BLOCK], plan[P.LANE_BLOCKS], plan[P.LANES], what)
            stepped = axes[:outer] if role == "scatter" else axes[:-1]
            tiles = plan[P.BLOCKS] * plan[P.LANE_BLOCKS]
            for at in stepped:
                covers(plan[at + P.BY], plan[at + P.STEPS], plan[at + P.OUTPUT], what)
                tiles *= plan[at + P.STEPS]
            assert plan[P.TILES] == tiles, what
            assert plan[P.WORK] % 64 == 0, what
            assert 0 < plan[P.WORK] < 2**26, what
        for role, counts in outputs.items():
            scale = 2 if problem.dtype == "c64" else 1
            side = problem.shape if role in ("gather", "scatter") else problem.out_shape
            assert counts == {scale * int(np.prod(side))}, (str(problem), role)


def covers(step: int, steps: int, size: int, what: object) -> None:
    """``steps`` blocks of ``step`` hold ``size``, and none of them is empty."""
    assert step >= 1, what
    assert (steps - 1) * step < size <= steps * step, what


HUGE = (1, 2, 5, 1000, 2**15, 2**20 + 1, 2**31, 2**33 + 7, 2**45, 2**58)


def huge_problem(rng: random.Random) -> Problem:
    """A problem as large as the sizes of x and y in bytes allow, whatever its windows are."""
    while True:
        rank = rng.randrange(1, 4)
        count = rng.randrange(1, rank + 1)
        shape = [rng.choice(HUGE) for _ in range(rank)]
        axes = rng.sample(range(rank), count)
        op = rng.choice(OPS)
        problem = make(
            op,
            shape,
            axes,
            [rng.choice((1, 2, 3, 2**10, shape[axis])) for axis in axes],
            [rng.choice((1, 2, 3, 2**10, 2**33, 2**61, shape[axis])) for axis in axes],
            [(rng.choice((0, 1, 2**10, 2**33, 2**58)), rng.choice((0, 1, 2**33))) for _ in axes],
            [rng.choice((1, 2, 2**10, 2**33, 2**60)) for _ in axes],
            direction=rng.choice(("fwd", "bwd")),
            dtype=rng.choice(("u8", "f32", "f64", "i64")),
            indices=rng.choice(("", "plane", "tap", "tensor")) if op in ("max", "min") else "",
        )
        if not problem.overflow() and min(problem.outputs) > 0:
            return problem


@together
def test_no_plan_of_an_accepted_problem_passes_64_bits():
    """Python's integers grow where compiled ones would wrap round."""
    rng = random.Random(2)
    wrong = []
    for _ in range(1500):
        problem = huge_problem(rng)
        for form, role, spec in specs(problem, False):
            plan, _ = planned(spec)
            if any(not -(2**63) <= number < 2**63 for number in plan + spec):
                wrong.append(f"{problem} {form.name} {role}")
            elif compiled_plan(spec)[0] != plan:
                wrong.append(f"{problem} {form.name} {role}: another plan when compiled")
    assert not wrong, f"{len(wrong)} plans, such as {min(wrong, key=len)}"


def test_gcd_and_inverse():
    import math

    for a in range(1, 40):
        for b in range(1, 40):
            assert layout.gcd(a, b) == math.gcd(a, b)
            if math.gcd(a, b) == 1:
                assert layout.inverse(a, b) == (pow(a, -1, b) if b > 1 else 0)


def test_small_integer_functions():
    for n in range(300):
        assert tiling.bit_length(n) == n.bit_length()
        for m in (1, 2, 7, 64):
            assert tiling.ceil_div(n, m) == -(-n // m)
            assert tiling.round_up(n, m) == -(-n // m) * m
    assert tiling.bit_length(2**62) == 63


TYPICAL = (
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1", "max_forward_f32__rows_fused_k3s2"),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh56kh2sh2", "max_forward_f32__rows_fused_k2s2"),
    ("max2d_fwd_f32_first_mb8ic4_ih512oh510kh3sh1", "max_forward_f32__rows_fused_k3s1"),
    ("mean2d_fwd_f32_first_mb8ic256_ih56oh28kh2sh2", "mean_forward_f32__rows_fused_k2s2"),
    ("max2d_fwd_f32_first_mb8ic256_ih13oh6kh2sh2", "max_forward_f32__rows_stacked"),
    ("max3d_fwd_f32_first_mb8ic64_id14od7kd2sd2", "max_forward_f32__rows_stacked"),
    ("mean1d_fwd_f32_first_mb32ic64_iw65536ow16384kw4sw4", "mean_forward_f32__rows_apart"),
    ("max1d_fwd_u8_first_mb32ic64_iw6552ow2184kw3sw3", "max_forward_i8__rows"),
    ("mean2d_fwd_f32_first_mb32ic2048_ih7oh1kh7sh7", "mean_forward_f32__rows_stacked"),
    ("mean1d_fwd_f32_first_mb32ic2048_iw7ow1kw7sw7", "mean_forward_f32__rows_apart"),
    ("max2d_fwd_f32_first_mb8ic192_ih28oh28kh3sh1ph1", "max_forward_f32__rows_stacked"),
    ("max2d_fwd_f32_first_mb8ic256_ih20oh20kh5sh1ph2", "max_forward_f32__rows_stacked"),
    ("max2d_fwd_f16_first_mb8ic64_ih112oh56kh3sh2ph1", "max_forward_f16__rows_stacked"),
    ("max2d_fwd_f32_first_n2048x2048_ih2048oh2048kh31sh1ph15", "max_forward_f32__rows_stacked"),
    ("max2d_fwd_f32_first_mb8ic64_ih112oh33kh15sh3", "max_forward_f32_keys__rows_slide"),
    ("mean2d_fwd_f32_last_mb8ic64_ih112oh110kh3sh1", "mean_forward_f32__lanes_k3s1"),
    ("max2d_fwd_u8_last_mb8ic64_ih112oh100kh13sh1", "max_forward_i8__lanes_slide"),
    ("max2d_fwd_f32_last_mb8ic64_ih112oh56kh3sh2ph1", "max_forward_f32__lanes_fused"),
    ("max2d_fwd_f16_last_mb8ic64_ih112oh56kh3sh2ph1", "max_forward_f16__lanes_fused"),
    ("max2d_fwd_u8_last_mb8ic48_ih112oh56kh3sh2ph1", "max_forward_i8__lanes_k3s2"),
    ("max2d_fwd+tap_f32_last_mb8ic64_ih112oh106kh7sh1", "max_index_f32_u8__lanes_fused"),
    ("max2d_fwd+plane_u8_last_mb8ic64_ih112oh56kh2sh2", "max_index_i8_i64__lanes_fused"),
    ("max2d_fwd+tap_f32_last_mb8ic64_ih112oh104kh9sh1", "max_index_f32_u8__lanes_slide"),
    ("sum2d_fwd_f64_first_mb8ic64_ih112oh82kh31sh1", "mean_forward_f64__rows_slide"),
    ("max2d_bwd+plane_f32_first_mb8ic64_ih112oh56kh3sh2ph1", "scatter_f32_i64__rows"),
    ("max2d_bwd+plane_f16_first_mb8ic64_ih112oh56kh3sh2ph1", "scatter_f16_i64__rows_match"),
    ("max2d_bwd+tap_f32_last_mb8ic64_ih112oh56kh3sh2ph1", "scatter_f32_u8__lanes_match"),
    ("max1d_bwd+tap_f32_first_mb8ic64_iw112ow56kw3sw2pw1", "scatter_f32_u8__rows_fused_k3s2"),
    ("max1d_bwd+tap_f32_first_mb8ic64_iw64ow32kw3sw2pw1", "scatter_f32_u8__rows_match"),
    ("max2d_fwd+tap_f32_first_mb8ic64_ih112oh56kh3sh2ph1", "max_index_f32_u8__rows_fused_k3s2"),
    ("max2d_fwd+plane_f32_first_mb8ic64_ih6oh3kh2sh2", "max_index_f32_i64__rows_k2s2"),
    ("max2d_fwd+plane_f32_first_mb8ic64_ih12oh6kh2sh2", "max_index_f32_i64__rows_stacked"),
    ("max2d_fwd+tap_f32_first_mb8ic192_ih28oh28kh3sh1ph1", "max_index_f32_u8__rows_fused_k3s1"),
    ("max2d_fwd+tap_f32_first_mb8ic256_ih112oh112kh5sh1ph2", "max_index_f32_u8__rows_stacked"),
    ("max2d_fwd+tap_f32_first_mb8ic64_ih112oh112kh3sh1ph1", "max_index_f32_u8__rows_fused_k3s1"),
    ("max2d_bwd+plane_f32_last_mb8ic64_ih112oh4kh28sh28", "scatter_f32_i64__lanes"),
)
"""Problems, and the kernels that do them."""


@pytest.mark.parametrize(("problem", "kernel"), TYPICAL)
def test_the_kernel_for_a_typical_problem(problem, kernel):
    assert dispatch.explain(Problem.parse(problem)).kernels == (kernel,)
