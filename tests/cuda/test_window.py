"""One window in a kernel of one's own gives what the public functions give: in the simulator, and as machine code."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import cuda

import fastpool.cuda
from fastpool.cuda import running
from fastpool.cuda import window as public
from fastpool.cuda.place import Place
from fastpool.problem import Problem
from tests.kernel_cases import ASKS, Expected, problem_of
from tests.strategies import Result, arrange, bits, random_geometry, real_numbers, storage, whole_numbers

ROOT = Path(__file__).resolve().parent.parent.parent

HERE = Place(0, 0, lambda shape, dtype: np.empty(shape, dtype))

FUNCTIONS = {
    "max": fastpool.cuda.window_max,
    "min": fastpool.cuda.window_min,
    "sum": fastpool.cuda.window_sum,
    "mean": fastpool.cuda.window_mean,
    "lp": fastpool.cuda.window_lp,
}
PLACES = {"max": fastpool.cuda.window_argmax, "min": fastpool.cuda.window_argmin}

WINDOWED = [ask for ask in ASKS if ask.role in ("forward", "index")]


def geometry(rng: np.random.Generator, rank: int) -> dict[str, object]:
    """A window and a small array, with three outputs along an axis at most."""
    found = random_geometry(rng, rank)
    extents = [(k - 1) * d + 1 for k, d in zip(found["kernel"], found["dilation"], strict=True)]
    sizes = [
        max(1, extent - lo - hi + int(rng.integers(0, 2 * stride + 1)))
        for extent, lo, hi, stride in zip(extents, found["pad_begin"], found["pad_end"], found["stride"], strict=True)
    ]
    return found | {"sizes": tuple(sizes), "ceil": False}


def pooled(problem: Problem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(results, places), each window by a thread of its own that calls the function of a window."""
    rank = len(problem.axes)
    y = np.zeros(problem.out_shape[2:], x.dtype if problem.out_dtype == problem.dtype else storage(problem.out_dtype))
    where = np.zeros(y.shape, np.int64)
    function = (PLACES if problem.indices else FUNCTIONS)[problem.op]
    first, step = problem.pad_begin, problem.stride
    kernel, dilation, nan = problem.kernel, problem.dilation, problem.nan
    norm, include_pad, divisor = problem.norm, problem.include_pad, problem.divisor or None

    @cuda.jit
    def run(x, y, where):
        at = cuda.grid(rank)
        at = at if rank > 1 else (at,)
        origin = tuple(o * s - lo for o, s, lo in zip(at, step, first, strict=True))
        if problem.indices:
            y[at], where[at] = function(x, origin, kernel, dilation, nan)
        elif problem.op == "lp":
            y[at] = function(x, norm, origin, kernel, dilation, nan)
        elif problem.op == "mean":
            y[at] = function(x, origin, kernel, dilation, include_pad, divisor, nan)
        else:
            y[at] = function(x, origin, kernel, dilation, nan)

    run[y.shape, (1,) * rank](x, y, where)
    return y, where


def native(dtype: str, stored: np.ndarray) -> np.ndarray:
    """An array in storage form as one that a caller has."""
    if dtype != "bf16":
        return stored
    return stored.view(pytest.importorskip("ml_dtypes").bfloat16)


@pytest.mark.parametrize("ask", WINDOWED, ids=lambda ask: ask.name)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_windows_are_those_of_the_reference(ask, rank):
    if ask.op in ("sum", "mean") and ask.dtype == "b1":
        pytest.skip("there is no such pooling")
    rng = np.random.default_rng([rank, *ask.name.encode()])
    for exact in (True, False):
        found = geometry(rng, rank)
        pads = list(zip(found["pad_begin"], found["pad_end"], strict=True))
        options = {"include_pad": bool(rng.integers(2)), "divisor": int(rng.choice([0, 0, 3]))}
        problem = problem_of(
            ask, (1, 1, *found["sizes"]), found["kernel"], s=found["stride"], p=pads, d=found["dilation"], **options
        )
        expected = Expected(problem, whole_numbers if exact else real_numbers, seed=rank, specials=0.1)
        memory = "fortran" if exact else "contiguous"
        x = native(ask.dtype, arrange(expected.x[0, 0], memory))
        y, where = pooled(problem, x)
        stored = y.view(storage(problem.out_dtype)).reshape(problem.out_shape)
        places = where.reshape(problem.out_shape) if problem.indices else None
        result = Result(problem, (), stored, places)
        # the same bits as the kernel of whole arrays, and right
        whole = np.empty(problem.out_shape, storage(problem.out_dtype))
        at = np.empty(problem.out_shape, np.int64) if problem.indices else None
        running.forward(problem, np.ascontiguousarray(expected.x), whole, at, HERE)
        np.testing.assert_array_equal(bits(stored), bits(whole), str(problem))
        if exact or ask.op in PLACES or ask.dtype[0] in "iu":
            expected.check(result)
        else:
            expected.check_ulps(result)
        if places is not None:
            np.testing.assert_array_equal(places, expected.indices, str(problem))


@pytest.mark.parametrize("kernel", [7, 8, 15, 16, 29, 64, 100])
def test_many_taps_are_added_in_order(kernel):
    """Blocks of eight taps and more are kept on a stack."""
    (ask,) = [ask for ask in ASKS if ask.name == "sum_forward_f32"]
    problem = problem_of(ask, (1, 1, kernel + 2, 9), (kernel, 9), s=(1, 1), p=[(3, 0), (0, 0)])
    x = real_numbers("f32", problem.shape, np.random.default_rng(kernel))
    whole = np.empty(problem.out_shape, np.float32)
    running.forward(problem, x, whole, None, HERE)
    np.testing.assert_array_equal(bits(pooled(problem, x[0, 0])[0]), bits(whole[0, 0]))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_numbers(dtype):
    rng = np.random.default_rng(3)
    x = (rng.integers(-9, 9, (5, 6)) + 1j * rng.integers(-9, 9, (5, 6))).astype(dtype)
    y = np.zeros((2, 3), dtype)

    @cuda.jit
    def run(x, y):
        j = cuda.grid(2)[1]
        y[0, j] = fastpool.cuda.window_sum(x, (1, j), (4, 2))
        y[1, j] = fastpool.cuda.window_mean(x, (1, j), (4, 2), count_include_pad=False)

    run[(1, 3), (1, 1)](x, y)
    sums = np.array([x[1:5, j : j + 2].sum() for j in range(3)])
    np.testing.assert_array_equal(y, [sums, sums / 8])


def test_one_integer_holds_for_every_axis():
    x = np.arange(60.0).reshape(3, 4, 5)
    y = np.zeros(4)

    @cuda.jit
    def run(x, y):
        y[0] = fastpool.cuda.window_max(x, (0, 0, 0), 2, 2)
        y[1] = fastpool.cuda.window_max(x[0, 0], -1, 3)
        y[2] = fastpool.cuda.window_max(x[1], (7, 7), 2)
        # a part of an array, in any strides: index 0 is the last column here
        y[3] = fastpool.cuda.window_argmax(x[0, ::2, ::-1], (0, -1), 2)[1]

    run[1, 1](x, y)
    assert y.tolist() == [52.0, 1.0, -np.inf, 5.0]


@pytest.mark.parametrize("name", ["window_max", "window_argmax", "window_mean"])
def test_the_examples_run(name, capsys):
    test = doctest.DocTestParser().get_doctest(getattr(public, name).__doc__, {}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda x: fastpool.cuda.window_max(x, 0, 3), "origin=0, of an array with 2 axes"),
        (lambda x: fastpool.cuda.window_max(x, (0, 0), (3,)), r"kernel_size=\(3,\), of an array with 2 axes"),
        (lambda x: fastpool.cuda.window_max(x, (0, 0), 3, nan="skip"), "nan='skip'"),
        (lambda x: fastpool.cuda.window_max(x.reshape(2, 2, 1, 1), (0, 0), 3), "x has 4 axes"),
        (lambda x: fastpool.cuda.window_lp(x.astype(int), 2, (0, 0), 3), "elements of type i64, of which there is no"),
        (lambda x: fastpool.cuda.window_max(x.astype(complex), (0, 0), 3), "elements of type c128"),
        (lambda x: fastpool.cuda.window_sum(x.astype(bool), (0, 0), 3), "elements of type b1"),
    ],
)
def test_what_cannot_be_is_told(call, told):
    with pytest.raises(TypeError, match=told):
        call(np.zeros((2, 2)))


COMPILED = """
import json, sys
from fastpool.kernels.cuda import assembly, package
if package.builtin() or assembly.tools() is None:
    print(json.dumps("numba-cuda, nvidia-cuda-nvcc or nvidia-cuda-nvdisasm is not installed"))
    sys.exit()
from numba import cuda
from numba.cuda import types
import fastpool.cuda as F
from fastpool.cuda.window import window_max


def selected(x, y, where):
    i, j = cuda.grid(2)
    if i < y.shape[0] and j < y.shape[1]:
        y[i, j] = window_max(x, (2 * i - 1, 2 * j - 1), (3, 3))


def placed(x, y, where):
    i, j = cuda.grid(2)
    if i < y.shape[0] and j < y.shape[1]:
        y[i, j], where[i, j] = F.window_argmin(x, (2 * i - 1, 2 * j - 1), 3, 2, "ignore")


def added(x, y, where):
    i, j = cuda.grid(2)
    if i < y.shape[0] and j < y.shape[1]:
        y[i, j] = F.window_sum(x, (2 * i, 2 * j), (2, 2))


def averaged(x, y, where):
    i, j = cuda.grid(2)
    if i < y.shape[0] and j < y.shape[1]:
        y[i, j] = F.window_mean(x, (2 * i - 1, 2 * j - 1), (3, 3), count_include_pad=False)


def normed(x, y, where):
    i, j = cuda.grid(2)
    if i < y.shape[0] and j < y.shape[1]:
        y[i, j] = F.window_lp(x, 2, (2 * i - 1, 2 * j - 1), (3, 3))


def any_size(x, y, where):
    i = cuda.grid(1)
    if i < y.shape[0]:
        y[i, 0] = F.window_mean(x, (0, i), (where[0, 0], where[0, 1]), divisor_override=where[1, 1])


def wrong(x, y, where):
    y[0, 0] = F.window_max(x, 0, 3)


found = {}


def compiled(function, dtype, capability):
    result = dtype
    if function is added and isinstance(dtype, types.Integer):
        result = types.int64 if dtype.signed else types.uint64
    arrays = [types.Array(kind, 2, "C") for kind in (dtype, result, types.int64)]
    text = package.compile_function(function, types.void(*arrays), capability)
    facts = assembly.facts_of(text, capability)
    found[f"{function.__name__} {dtype} {capability[0]}{capability[1]}"] = facts._asdict()


integers = [getattr(types, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)]
floats = [types.float16, types.bfloat16, types.float32, types.float64]
for dtype in (types.boolean, *integers[::3], *floats):
    compiled(selected, dtype, (9, 0))
for function in (placed, added, averaged):
    for dtype in (types.float16, types.float32, types.uint8):
        compiled(function, dtype, (9, 0))
compiled(added, types.complex64, (9, 0))
compiled(normed, types.bfloat16, (9, 0))
for capability in ((8, 0), (10, 0)):
    for function in (selected, averaged):
        compiled(function, types.float32, capability)
compiled(any_size, types.float32, (9, 0))
try:
    compiled(wrong, types.float32, (9, 0))
except Exception as error:
    found["error"] = str(error)
print(json.dumps(found))
"""


def test_windows_compile_for_devices():
    """Constant windows need no memory of their own, whatever the type; a wrong call is told when it is compiled."""
    pytest.importorskip("numba_cuda", reason="numba-cuda, which compiles kernels, is not installed")
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0", "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-c", COMPILED], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    if isinstance(found, str):
        pytest.skip(found)
    assert "origin is of type" in found.pop("error")
    assert found.pop("any_size float32 90")["local"] > 0
    assert len(found) > 20
    for name, facts in found.items():
        assert facts["local"] == 0, name
        assert facts["registers"] <= 64, name
        # a mean of integers is a quotient of them
        assert facts["divisions"] == 0 or name.startswith("averaged uint8"), name
