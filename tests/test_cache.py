"""Compiled kernels on disk: found by the next process, never stale, and not needed.

The package is copied, so that a test starts with an empty cache and may change what it copied.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
from numba.core import serialize

from fastpool.kernels import digests, reductions, registry
from fastpool.kernels.cpu import engine

# what fills an empty cache takes half a minute, and is shared
pytestmark = pytest.mark.xdist_group("cache")

CALLS = """
import sys
import numpy as np
import fastpool

assert "numba" not in sys.modules, "import fastpool imports numba"
x = np.arange(512 * 512, dtype=np.float32).reshape(512, 512)
with fastpool.threads(2):
    y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(y, x[1::2, 1::2])
    np.testing.assert_array_equal(indices, np.arange(x.size).reshape(x.shape)[1::2, 1::2])
    dx = fastpool.max_pool2d_backward(y, x, 2, indices=indices)
    np.testing.assert_array_equal(dx[1::2, 1::2], y)
    assert np.count_nonzero(dx) == y.size
    # along channels taps are compared
    z = x.reshape(1, 64, 64, 64)
    v, taps = fastpool.max_pool2d(z, 2, layout="channels_last", return_indices="tap")
    dz = fastpool.max_pool2d_backward(v, z, 2, layout="channels_last", indices=taps, index_kind="tap")
    np.testing.assert_array_equal(dz[:, 1::2, 1::2], v)
"""

ONE_CALL = """
import numpy as np
import fastpool

x = np.arange(512 * 512, dtype=np.float32).reshape(512, 512)
with fastpool.threads(2):
    y = fastpool.max_pool2d(x, 2)
"""

# the kernels that compile fastest
SCATTER = """
import numpy as np
import fastpool

grad = np.arange(512 * 512, dtype=np.float32).reshape(512, 512)
taps = np.full((512, 512), 3, np.uint8)
with fastpool.threads(2):
    y = fastpool.max_pool2d_backward(grad, np.empty((1024, 1024), np.float32), 2, indices=taps, index_kind="tap")
np.testing.assert_array_equal(y[1::2, 1::2], grad)
y = y[1:, 3:]
"""

REPORT = """
import json
from fastpool.kernels.cpu import engine

report = {f"{variant.name} {walk}": kernel.from_cache for (variant, walk), kernel in engine._kernels.items()}
report["driver"] = all(sum(driver.stats.cache_hits.values()) == 1 for driver in engine._driver)
print(json.dumps({"file": engine.__file__, "first": float(y.flat[0]), "from cache": report}))
"""

OWN_REDUCTION = """
import sys
import numpy as np
from fastpool import dispatch
from fastpool.kernels import registry
from fastpool.problem import Problem

sys.path.insert(0, sys.argv[1])
import own

registry.add_reduction(own.REDUCTION)
problem = Problem("own", "fwd", "f32", (4,), (0,), (2,), (2,), (0,), (0,), (1,))
y = np.empty(2, np.float32)
dispatch.forward(problem, np.array([1, 2, 3, 4], np.float32), y, None)
"""

OWN_SOURCE = """
from fastpool.kernels import reductions as R

def lift(x, p):
    return {lift}

REDUCTION = R.Reduction("own", "f", (0,), lift, R.add, R.first_state)
"""


def copy_package(repository, folder):
    """The package in a folder of its own, with no cache; kernels/ as an installation has it, no symbolic link."""
    ignored = shutil.ignore_patterns("__pycache__", "kernels")
    shutil.copytree(repository / "fastpool", folder / "fastpool", ignore=ignored)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(repository / "kernels", folder / "fastpool" / "kernels", ignore=ignored)
    return folder


def start(code, package, *arguments, **environment):
    env = {name: text for name, text in os.environ.items() if not name.startswith(("FASTPOOL_", "NUMBA_"))}
    # the first process compiles the sources of Python, later ones read its bytecode
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env.update({"FASTPOOL_ENGINE": "jit", **{name: str(value) for name, value in environment.items()}})
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=package, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, package):
    """What the process reports, once it has ended well."""
    printed, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-4000:]
    report = json.loads(printed)
    assert report["file"].startswith(str(package))
    return report


def run(code, package, *arguments, **environment):
    return finish(start(code + REPORT, package, *arguments, **environment), package)


def files(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def warm(repository, tmp_path_factory):
    """(copy of the package, cache folder that one process has filled, what that process reports)."""
    package = copy_package(repository, tmp_path_factory.mktemp("package"))
    cache = tmp_path_factory.mktemp("cache") / "new"
    report = run(CALLS, package, FASTPOOL_CACHE_DIR=cache)
    return package, cache, report


def test_the_second_and_third_process_compile_nothing(warm):
    package, cache, first = warm
    assert len(first["from cache"]) == 7
    assert not any(first["from cache"].values())
    filled = files(cache)
    # two walks, passes for two of one and one of the other, two checks and a scatter, and Numba's index of the driver
    assert [len([path for path in filled if path.suffix == suffix]) for suffix in (".o", ".nbi")] == [8, 1]
    for _ in range(2):
        report = run(CALLS, package, FASTPOOL_CACHE_DIR=cache)
        assert report["from cache"] == dict.fromkeys(first["from cache"], True)
        assert files(cache) == filled


@pytest.mark.parametrize("walk", [walk for walk in engine.WHOLE if "fused" in walk])
def test_what_a_kernel_is_found_by_is_the_same_in_each_process(walk):
    """Where Numba compiles: it gives an intrinsic another number in each process, which is part of the key where a
    closure captures it.
    """
    role = walk.removeprefix("fused_") if walk != "fused" else "forward"
    found = registry.variant("mean" if role == "gather" else "max", 2.0, "f32", role, index="u8")
    kernel = engine.WHOLE[walk](found, 0)
    engine.name_by_content(kernel)
    key = serialize.dumps(tuple(cell.cell_contents for cell in kernel.__closure__))
    assert b"_Intrinsic" not in key


@pytest.mark.parametrize("role", ["forward", "index"])
@pytest.mark.parametrize("dtype", ["f32", "f16", "u8"])
def test_what_a_pass_of_lanes_is_found_by_is_the_same_in_each_process(dtype, role):
    found = registry.variant("max", 2.0, dtype, role, index="i64")
    for part in (engine.SPLIT["fused_lanes"][0](0), engine.SPLIT["fused_lanes"][1](found, 0)):
        engine.name_by_content(part)
        assert b"_Intrinsic" not in serialize.dumps(tuple(cell.cell_contents for cell in part.__closure__))


def test_nothing_is_written_beside_the_sources_when_a_folder_is_named(warm):
    package = warm[0]
    assert not [path for path in files(package) if path.suffix in (".o", ".nbi", ".nbc")]


def test_an_edited_reduction_is_not_served_as_it_was(warm, tmp_path):
    package, cache, _ = warm

    def pooled(lift):
        (tmp_path / "own.py").write_text(OWN_SOURCE.format(lift=lift))
        # else Python takes the bytecode of a file that was as long in the same second
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        report = run(OWN_REDUCTION, package, tmp_path, FASTPOOL_CACHE_DIR=cache)
        return report["first"], report["from cache"]["own_forward_f32 sweep"]

    assert pooled("x * x") == (5.0, False)
    assert pooled("x * x") == (5.0, True)
    assert pooled("x + x") == (6.0, False)
    assert pooled("x * x") == (5.0, True)


def test_it_works_where_nothing_can_be_written(repository, tmp_path):
    """No folder can be made below a file, not even by root."""
    package = copy_package(repository, tmp_path / "package")
    file = tmp_path / "file"
    file.touch()
    for folder in (package / "fastpool" / "kernels").rglob("."):
        (folder / "__pycache__").touch()
    places = ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "USERPROFILE", "NUMBA_CACHE_DIR", "FASTPOOL_CACHE_DIR")
    before = files(package / "fastpool" / "kernels")
    report = run(SCATTER, package, **dict.fromkeys(places, file / "below"))
    assert report["first"] == 1.0
    assert len(report["from cache"]) == 3
    assert not any(report["from cache"].values())
    assert files(package / "fastpool" / "kernels") == before


@pytest.mark.parametrize("fails", ["load_index", "save"])
def test_a_disk_that_fails_is_only_slower(fails, monkeypatch, tmp_path):
    from numba import cfunc, types
    from numba.core.caching import IndexDataCacheFile

    from fastpool.kernels.cpu import engine

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def twice(x):
        return 2 * x

    monkeypatch.setattr(IndexDataCacheFile, "_" + fails if fails == "load_index" else fails, fail)

    def decorator(cache):
        return cfunc(types.int64(types.int64), cache=cache)

    assert engine._decorate(decorator, twice, str(tmp_path / "new")).ctypes(21) == 42


def reduction(source: str, **names):
    """The sum of ``lift``, as a module with this text and these other names defines it."""
    module = types.ModuleType("own")
    module.__dict__.update(names)
    exec(source, module.__dict__)
    return dataclasses.replace(reductions.SUM, name="own", lift=module.lift)


def own_module(source: str):
    module = types.ModuleType("helpers")
    exec(source, module.__dict__)
    return module


MADE = "def make(c):\n    def lift(x, p): return x * c\n    return lift\nlift = make({0})"
EDITS = {
    "body": "def lift(x, p): return x {0} x",
    "constant": "def lift(x, p): return x * {0}",
    "global": "C = {0}\ndef lift(x, p): return x * C",
    "closure": MADE,
    "default": "def lift(x, p, c={0}): return x * c",
    "called": "def f(x): return x * {0}\ndef lift(x, p): return f(x)",
    "called by what is called": "def g(x): return x * {0}\ndef f(x): return g(x)\ndef lift(x, p): return f(x)",
    "inner": "def lift(x, p):\n    def f(x): return x * {0}\n    return f(x)",
    "enumeration": "import enum\nclass E(enum.IntEnum): C = {0}\ndef lift(x, p): return x * E.C",
    "intrinsic": (
        "from numba.extending import intrinsic\n@intrinsic\ndef f(typing, x):\n"
        "    return x(x), lambda context, builder, signature, values: builder.fmul(values[0], {0})\n"
        "def lift(x, p): return f(x)"
    ),
}


@pytest.mark.parametrize("where", EDITS)
def test_the_digest_sees_an_edit(where):
    one, other = {"body": ("+", "-"), "enumeration": (2, 3)}.get(where, (2.0, 3.0))
    before, again, after = (digests.digest(reduction(EDITS[where].format(c))) for c in (one, one, other))
    assert before == again
    assert before != after


def test_the_digest_sees_an_edit_of_another_module():
    source = "def lift(x, p): return helpers.f(x)"
    found = [digests.digest(reduction(source, helpers=own_module(f"def f(x): return x * {c}"))) for c in (2, 2, 3)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_digests_are_the_same_in_every_process(repository):
    code = (
        "from fastpool.kernels import digests, registry\n"
        "for v in registry.variants(): print(v.name, digests.digest(v.reduction))\n"
    )
    printed = set()
    for seed in ("0", "1", "2"):
        process = start(code, repository, PYTHONHASHSEED=seed)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        printed.add(output)
    assert len(printed) == 1
    digests = dict(line.split() for line in printed.pop().splitlines())
    assert len(digests) > 100
    # same functions, another element type: it is the identity that tells them apart
    assert digests["max_forward_i8"] != digests["max_forward_i16"]


def test_the_digest_covers_every_source(repository, tmp_path):
    package = copy_package(repository, tmp_path)
    code = (
        "import pathlib\n"
        "from fastpool.kernels import digests, registry\n"
        "print(registry.__file__)\n"
        "seen = {digests.sources_digest()}\n"
        "folder = pathlib.Path(registry.__file__).parent\n"
        "paths = sorted(path for path in folder.rglob('*.py') if path.parent.name not in ('c_abi', 'cuda'))\n"
        "for path in paths:\n"
        "    path.write_text(path.read_text() + '# more')\n"
        "    digests.sources_digest.cache_clear()\n"
        "    seen.add(digests.sources_digest())\n"
        "print(len(paths), len(seen))\n"
    )
    output, errors = start(code, package).communicate(timeout=300)
    place, counts = output.splitlines()
    assert errors == ""
    assert place.startswith(str(package))
    paths, seen = map(int, counts.split())
    assert paths > 15
    assert seen == paths + 1


@pytest.mark.slow
def test_an_edited_kernel_source_is_not_served_as_it_was(repository, tmp_path):
    package = copy_package(repository, tmp_path / "package")
    cache = tmp_path / "cache"
    assert run(ONE_CALL, package, FASTPOOL_CACHE_DIR=cache)["first"] == 513.0
    path = package / "fastpool" / "kernels" / "reductions.py"
    text = path.read_text()
    edited = text.replace("pick(a > b, a, b)", "pick(a > b, b, a)")
    assert edited != text
    path.write_text(edited)
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
    report = run(ONE_CALL, package, FASTPOOL_CACHE_DIR=cache)
    assert report["first"] == 0.0
    assert report["from cache"]["max_forward_f32 fused"] is False


@pytest.mark.slow
def test_processes_that_start_together_on_an_empty_cache(repository, tmp_path):
    package = copy_package(repository, tmp_path / "package")
    cache = tmp_path / "cache"
    started = [start(SCATTER + REPORT, package, FASTPOOL_CACHE_DIR=cache) for _ in range(3)]
    for process in started:
        finish(process, package)
    # what the race left behind is whole
    run(SCATTER, package, FASTPOOL_CACHE_DIR=cache)


def test_kernels_are_compiled_once_in_a_process():
    from fastpool.kernels.cpu import engine

    variant = registry.variant("max", 2.0, "f32", "forward")
    assert engine.compile_kernel(variant) is engine.compile_kernel(variant)
    kernel = engine.compile_kernel(variant)
    assert np.all(np.array([kernel.address, kernel.passes]) != 0)
