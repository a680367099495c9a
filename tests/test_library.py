"""The C library: what it exports and needs, what it says to bad specs, and that ranges give what whole runs give."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpool
from fastpool import library, measuring
from fastpool.problem import Problem
from tests.problems import make
from tests.test_planning import huge_problem, random_problem

pytestmark = pytest.mark.skipif(library.library() is None, reason=f"no C library: {library.missing()}")

MOST_BYTES = 15 * 2**20


@pytest.fixture(scope="module")
def c() -> Any:
    found = library.library()
    assert found is not None
    return found


def output(*command: object) -> str:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout


def test_it_exports_its_interface_alone(repository: Path) -> None:
    names = [line.split()[-1] for line in output("nm", "-D", "--defined-only", fastpool.get_library()).splitlines()]
    listed = (repository / "kernels" / "c_abi" / "exports.txt").read_text().split()
    assert sorted(names) == sorted(listed)
    header = (fastpool.get_include() / "fastpool.h").read_text()
    assert all(f"{name}(" in header for name in listed)


def test_it_knows_no_python() -> None:
    assert "python" not in output("ldd", fastpool.get_library()).lower()
    undefined = output("nm", "-D", "--undefined-only", fastpool.get_library())
    assert not [word for word in undefined.split() if word.startswith(("Py", "_Py", "numba", "NRT"))]
    assert fastpool.get_library().stat().st_size <= MOST_BYTES


IN_MEMORY = """
import os, sys
import numpy as np
import fastpool

def absent():
    # the bytes of the library's constants, and those of them that are in memory
    size = resident = 0
    with open("/proc/self/smaps") as parts:
        for line in parts:
            words = line.split()
            if len(words) > 4:
                mine = words[1] == "r--p" and "libfastpool" in line
            elif mine and words[0] in ("Size:", "Rss:"):
                size += int(words[1]) * (words[0] == "Size:")
                resident += int(words[1]) * (words[0] == "Rss:")
    assert size > 0
    return size - resident

fastpool.max_pool2d(np.zeros((1, 8, 8), np.float32), 2)
print(absent(), flush=True)
child = os.fork()
if child == 0:
    print(absent(), flush=True)
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not tell what is in memory")
def test_its_constants_are_in_memory() -> None:
    assert output(sys.executable, "-c", IN_MEMORY).split() == ["0", "0"]


def test_it_was_built_from_these_sources() -> None:
    pytest.importorskip("numba")
    from fastpool.build import plans
    from fastpool.kernels.c_abi.build import made_from

    built = (fastpool.get_library().parent / "sources.txt").read_text()
    command = "python -m fastpool build fastpool --cache build/objects --python"
    assert built == made_from(plans()), f"sources have changed since the library was built: run {command}"


def test_versions_and_texts(c: Any) -> None:
    assert c.text(c.lib.fastpool_version()) == fastpool.__version__
    assert fastpool.get_library().name == f"libfastpool.so.{c.lib.fastpool_abi()}"
    for status, (name, text) in enumerate(measuring.STATUS):
        assert getattr(c.lib, f"FASTPOOL_{name}") == status
        assert c.text(c.lib.fastpool_status_text(status)) == text
    for status in (len(measuring.STATUS), 2**31 - 1):
        assert c.text(c.lib.fastpool_status_text(status)) == "unknown status"


def filled(c: Any, problem: Problem) -> Any:
    spec = c.spec(problem)
    assert spec is not None
    return spec


def status_of(c: Any, spec: Any) -> int:
    made = c.ffi.new("fastpool_plan **")
    status = c.lib.fastpool_plan_create(spec, made)
    assert (made[0] != c.ffi.NULL) == (status == 0)
    c.lib.fastpool_plan_destroy(made[0])
    return int(status)


GOOD = make("max", (2, 3, 8, 9), (2, 3), 3, 2, 1)

BAD = {
    "INVALID_SPEC": [{"struct_size": 8}, {"struct_size": 0}, {"struct_size": 2**32 - 1}],
    "INVALID_OPERATION": [
        *({"operation": op} for op in (-1, 5, 2**31 - 1)),
        *({"dtype": dtype} for dtype in (-1, 15, 13)),
        *({name: 2} for name in ("direction", "skip_nan", "include_pad", "ceil_mode")),
        {"indices": 3},
        {"indices": -2},
        {"operation": 2, "indices": 0},
        {"operation": 4, "dtype": 5},
        {"operation": 4, "norm": 0.0},
        {"operation": 4, "norm": float("nan")},
        {"operation": 4, "norm": float("inf")},
        {"divisor": 3},
        {"operation": 2, "dtype": 6, "divisor": -3},
        {"dtype": 0, "direction": 1},
        {"strided": 16},
        {"form": -1},
        {"form": 99},
    ],
    "INVALID_RANK": [{"rank": 0}, {"rank": 17}, {"rank": -5}, {"pooled": 0}, {"pooled": 5}],
    "INVALID_AXIS": [{"axes": [2, 2]}, {"axes": [-1, 2]}, {"axes": [4, 2]}],
    "INVALID_SIZE": [{"shape": [2, 3, -8, 9]}, {"shape": [2, 3, 0, 9]}, {"shape": [-(2**63), 3, 8, 9]}],
    "INVALID_WINDOW": [
        *({name: [0, 1]} for name in ("kernel", "stride", "dilation")),
        *({name: [1, -1]} for name in ("pad_begin", "pad_end")),
    ],
    "WINDOW_TOO_LARGE": [{"kernel": [11, 3]}, {"dilation": [5, 1]}],
    "OVERFLOW": [
        {"shape": [2**40, 2**30, 8, 9]},
        {"kernel": [2**62, 3], "dilation": [4, 1]},
        {"pad_begin": [2**62, 1], "pad_end": [2**62, 1]},
        {"strided": 1, "x_strides": [2**61, 1, 1, 1]},
        {"strided": 2, "y_strides": [-(2**63), 1, 1, 1]},
    ],
    "UNSUPPORTED": [{"kernel": [16, 17], "pad_begin": [9, 9], "pad_end": [9, 9], "indices": 2}],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_specs(c: Any, name: str) -> None:
    for changes in BAD[name]:
        spec = filled(c, GOOD)
        for field, value in changes.items():
            if isinstance(value, list):
                getattr(spec, field)[0 : len(value)] = value
            else:
                setattr(spec, field, value)
        assert status_of(c, spec) == getattr(c.lib, f"FASTPOOL_{name}"), changes


def test_null_pointers_and_ranges(c: Any) -> None:
    lib, null = c.lib, c.ffi.NULL
    made = c.ffi.new("fastpool_plan **")
    spec = filled(c, GOOD)
    assert lib.fastpool_spec_init(null, 1) == lib.FASTPOOL_INVALID_ARGUMENT
    assert lib.fastpool_spec_init(spec, 4) == lib.FASTPOOL_INVALID_SPEC
    assert lib.fastpool_plan_create(null, made) == lib.FASTPOOL_INVALID_ARGUMENT
    assert lib.fastpool_plan_create(spec, null) == lib.FASTPOOL_INVALID_ARGUMENT
    assert lib.fastpool_plan_create(spec, made) == 0
    plan = c.ffi.gc(made[0], lib.fastpool_plan_destroy)
    x = np.zeros(GOOD.shape, np.float32)
    y = np.full(GOOD.out_shape, 7, np.float32)
    work = np.empty(lib.fastpool_workspace_size(plan, 2), np.uint8)
    px, py, pw = (c.ffi.cast("void *", array.ctypes.data) for array in (x, y, work))
    for arguments in ((null, py, pw), (px, null, pw), (px, py, null)):
        found = lib.fastpool_forward(plan, arguments[0], arguments[1], null, arguments[2], work.nbytes, 1)
        assert found == lib.FASTPOOL_INVALID_ARGUMENT
    assert lib.fastpool_forward(null, px, py, null, pw, work.nbytes, 1) == lib.FASTPOOL_INVALID_ARGUMENT
    assert lib.fastpool_forward(plan, px, py, null, pw, 63, 1) == lib.FASTPOOL_WORKSPACE_TOO_SMALL
    assert lib.fastpool_backward(plan, px, null, null, py, pw, work.nbytes, 1) == lib.FASTPOOL_INVALID_ARGUMENT
    tiles = lib.fastpool_tiles(plan, 0)
    for begin, end in ((-1, 1), (0, tiles + 1), (2, 1), (2**62, 2**62 + 1)):
        assert lib.fastpool_forward_range(plan, begin, end, px, py, null, pw) == lib.FASTPOOL_INVALID_RANGE
    assert (y == 7).all()
    for function in ("stages", "reads_input", "scratch_size", "shared_size"):
        assert getattr(lib, f"fastpool_{function}")(null) == 0
    lib.fastpool_plan_destroy(null)


def test_sizes_are_those_of_python(c: Any) -> None:
    rng = random.Random(0)
    for number in range(3000):
        problem = (random_problem if number % 3 else huge_problem)(rng)
        spec, made = filled(c, problem), c.ffi.new("fastpool_plan **")
        status = c.lib.fastpool_plan_create(spec, made)
        assert status in (0, c.lib.FASTPOOL_UNSUPPORTED, c.lib.FASTPOOL_INVALID_OPERATION), str(problem)
        if status == 0:
            shape = c.ffi.new("int64_t[16]")
            c.lib.fastpool_output_shape(made[0], shape)
            assert tuple(shape)[: len(problem.shape)] == problem.out_shape
            c.lib.fastpool_plan_destroy(made[0])


def test_random_specs_end_well(c: Any) -> None:
    """100,000 specs of random numbers, most of them nonsense: a status each time, a plan where it is OK."""
    rng = random.Random(1)
    lib, ffi = c.lib, c.ffi
    size = ffi.sizeof("fastpool_spec")
    spec, made = ffi.new("fastpool_spec *"), ffi.new("fastpool_plan **")
    numbers = (0, 1, 1, 2, 3, 5, 8, 17, -1, -7, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
    integers = ("operation", "direction", "dtype", "indices", "skip_nan", "include_pad", "ceil_mode", "strided", "form")
    arrays = ("shape", "x_strides", "y_strides", "index_strides", "input_strides", "axes", "kernel", "stride")
    arrays += ("dilation", "pad_begin", "pad_end")
    counts: dict[int, int] = {}
    for _ in range(100_000):
        lib.fastpool_spec_init(spec, size)
        spec.rank = rng.randrange(1, 5) if rng.random() < 0.9 else rng.randrange(-3, 20)
        spec.pooled = rng.randrange(1, 4) if rng.random() < 0.9 else rng.randrange(-3, 20)
        spec.shape[0:5] = [rng.randrange(1, 20) for _ in range(5)]
        spec.axes[0:4] = rng.sample(range(4), 4)
        spec.kernel[0:4] = [rng.randrange(1, 5) for _ in range(4)]
        spec.dtype, spec.operation = rng.randrange(13), rng.randrange(5)
        for _ in range(rng.randrange(4)):
            if rng.random() < 0.3:
                setattr(spec, rng.choice(integers), rng.choice((0, 1, 2, 3, 4, 7, -1, 100, 2**31 - 1)))
            else:
                getattr(spec, rng.choice(arrays))[rng.randrange(5)] = rng.choice(numbers)
        status = lib.fastpool_plan_create(spec, made)
        counts[status] = counts.get(status, 0) + 1
        if status == 0:
            assert lib.fastpool_workspace_size(made[0], 2) > 0
            lib.fastpool_plan_destroy(made[0])
    assert counts[0] > 10_000
    assert len(counts) >= 8


@pytest.mark.parametrize("text", ["max", "max+indices", "mean", "lp"])
def test_ranges_give_what_whole_runs_give(c: Any, text: str) -> None:
    lib, ffi = c.lib, c.ffi
    rng = np.random.default_rng(0)
    op = text.partition("+")[0]
    shape = (3, 5, 40, 30)
    kind = "plane" if "indices" in text else ""
    forward = make(op, shape, (2, 3), 3, 2, 1, norm=3.0 if op == "lp" else 2.0, indices=kind)
    backward = make(op, shape, (2, 3), 3, 2, 1, norm=forward.norm, direction="bwd", indices=kind)
    x, dy = rng.normal(size=shape).astype(np.float32), rng.normal(size=forward.out_shape).astype(np.float32)

    def pointer(array: np.ndarray | None) -> Any:
        return ffi.NULL if array is None else ffi.cast("void *", array.ctypes.data)

    def made(problem: Problem) -> Any:
        plan = ffi.new("fastpool_plan **")
        assert lib.fastpool_plan_create(filled(c, problem), plan) == 0
        return ffi.gc(plan[0], lib.fastpool_plan_destroy)

    y, indices = np.empty(forward.out_shape, np.float32), np.empty(forward.out_shape, np.int64) if kind else None
    whole = library.plan(forward)
    assert whole is not None
    whole.forward(x, y, indices)
    plan, again = made(forward), np.empty_like(y)
    found = np.empty_like(indices) if indices is not None else None
    scratch = np.empty(lib.fastpool_scratch_size(plan), np.uint8)
    for tile in reversed(range(lib.fastpool_tiles(plan, 0))):
        arrays = map(pointer, (x, again, found, scratch))
        assert lib.fastpool_forward_range(plan, tile, tile + 1, *arrays) == 0
    np.testing.assert_array_equal(again, y)
    if found is not None:
        np.testing.assert_array_equal(found, indices)

    dx, again = np.empty_like(x), np.empty_like(x)
    whole = library.plan(backward)
    assert whole is not None
    assert whole.backward(dy, x, indices, dx)
    plan = made(backward)
    shared = np.empty(lib.fastpool_shared_size(plan), np.uint8)
    scratch = np.empty(lib.fastpool_scratch_size(plan), np.uint8)
    assert lib.fastpool_shared_init(plan, pointer(shared)) == 0
    for stage in range(lib.fastpool_stages(plan)):
        for tile in reversed(range(lib.fastpool_tiles(plan, stage))):
            arrays = map(pointer, (dy, x, indices, again, shared, scratch))
            assert lib.fastpool_backward_range(plan, stage, tile, tile + 1, *arrays) == 0
        assert lib.fastpool_shared_status(plan, pointer(shared)) == 0
    np.testing.assert_array_equal(again, dx)


def test_one_call_helpers(c: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 9, 10)).astype(np.float32)
    image = rng.integers(0, 256, (2, 9, 10, 3)).astype(np.uint8)
    high, wide = (c.lib.fastpool_output_size(n, 3, 2, 1) for n in (9, 10))
    for name, function, array, layout in (
        ("max_pool2d_f32", fastpool.max_pool2d, x, "NCHW"),
        ("avg_pool2d_f32", fastpool.avg_pool2d, x, "NCHW"),
        ("max_pool2d_u8", fastpool.max_pool2d, image, "NHWC"),
        ("avg_pool2d_u8", fastpool.avg_pool2d, image, "NHWC"),
    ):
        expected = function(array, 3, 2, 1, layout=layout)
        y = np.empty_like(expected)
        assert (high, wide) == (expected.shape[2:] if layout == "NCHW" else expected.shape[1:3])
        call = getattr(c.lib, f"fastpool_{name}")
        kind = "float *" if array.dtype == np.float32 else "uint8_t *"
        pointers = [c.ffi.cast(kind, a.ctypes.data) for a in (array, y)]
        assert call(*pointers, *array.shape, 3, 2, 1, 2) == 0
        np.testing.assert_array_equal(y, expected)
        assert call(*pointers, *array.shape, 30, 2, 1, 2) == c.lib.FASTPOOL_WINDOW_TOO_LARGE


def test_it_is_a_library_for_others_too() -> None:
    plain = ctypes.CDLL(str(fastpool.get_library()))
    assert plain.fastpool_abi() == int(fastpool.get_library().suffix[1:])


_PARTS = """
import json, sys
import llvmlite.binding as llvm
from fastpool.kernels import registry
from fastpool.kernels.c_abi import loops
variant = registry.variant("max", 2.0, sys.argv[1], "forward")
def types(bitcode):
    functions = llvm.parse_bitcode(bitcode).functions
    return {f.name: str(f.global_value_type) for f in functions if f.name.startswith("fastpool_part_")}
print(json.dumps([types(loops.lower_loops(variant.state)), types(loops.lower_parts(variant))]))
"""


@pytest.mark.parametrize("dtype", ["i8", "i32", "f32"])
def test_parts_have_the_types_that_the_loops_call(dtype: str, repository: Path) -> None:
    """A call of other types is right by luck, is not inlined, and keeps the loop around it from being vectorised."""
    env = {**os.environ, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", _PARTS, dtype]
    printed = subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True, check=True).stdout
    called, made = json.loads(printed)
    assert called
    assert called == made


_LOWERED = """
import hashlib, platform, sys
from fastpool.build import plans
from fastpool.kernels.c_abi import compile
from fastpool.kernels.native import objects
from fastpool.kernels.table import Table
table = Table()
table.dump()
compile._shared = (table.variants, plans())
jobs = {job.name: job for job in compile.jobs(table.variants)}
for name in sys.argv[1:]:
    simple = objects.simplify(compile._lower(jobs[name]))
object_file = objects.emit(simple, objects.LEVELS[platform.machine()][0])
print(simple.content.hex(), hashlib.sha256(object_file).hexdigest())
"""


@pytest.mark.slow
def test_a_process_compiles_the_same_bytes_whatever_it_compiled_before(repository: Path) -> None:
    def lowered(seed: str, *names: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(repository), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", _LOWERED, *names]
        return subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True, check=True).stdout

    assert lowered("1", "scatter_f64_u8") == lowered("2", "check_u8", "scatter_f64_u8")
