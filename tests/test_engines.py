"""The engines give the same bits: kernels compiled ahead of time for each level of the processor, and just in time."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpool
from fastpool import config, dispatch, jit, library
from fastpool.kernels import registry
from tests.kernel_cases import ASKS, SELECTED
from tests.problems import make

pytestmark = pytest.mark.skipif(library.library() is None, reason=f"no C library: {library.missing()}")

REPOSITORY = Path(__file__).parent.parent
AHEAD = tuple(ask.name for ask in ASKS if registry.is_ahead(ask.variant))
CHUNKS = 4


def answers(names: Sequence[str], **environment: str) -> dict[str, str]:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), config.FORCE_KERNEL.name: "", **environment}
    command = [sys.executable, "-m", "tests.answers", *names]
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, str] = json.loads(done.stdout)
    assert set(found) == set(names)
    return found


@functools.cache
def ahead() -> dict[str, str]:
    return answers(AHEAD, FASTPOOL_ENGINE="aot")


def levels() -> list[str]:
    """The levels below the one that runs by itself, and that one."""
    found = library.library()
    known = ("v2", "v3", "v4")
    return list(known[: known.index(found.level) + 1]) if found and found.level in known else []


@pytest.mark.parametrize("level", ["v3", *(pytest.param(level, marks=pytest.mark.slow) for level in ("v2", "v4"))])
def test_every_level_gives_the_same_bits(level: str) -> None:
    if level not in levels():
        pytest.skip(f"this processor has no {level}")
    assert answers(AHEAD, FASTPOOL_ENGINE="aot", FASTPOOL_CPU_LEVEL=level) == ahead()


def chunks() -> list[Any]:
    """All that is compiled ahead, in parts that compile at the same time; CI runs half of what is selected."""
    found = []
    for kind, names in (("selected", set(AHEAD) & SELECTED), ("rest", set(AHEAD) - SELECTED)):
        for chunk in range(CHUNKS):
            marks = pytest.mark.exhaustive
            if kind == "selected" and chunk < CHUNKS // 2:
                marks = pytest.mark.slow
            found.append(pytest.param(sorted(names)[chunk::CHUNKS], id=f"{kind}-{chunk}", marks=marks))
    return found


@pytest.mark.parametrize("names", chunks())
def test_ahead_of_time_equals_just_in_time(names: list[str]) -> None:
    expected = ahead()
    assert answers(names, FASTPOOL_ENGINE="jit") == {name: expected[name] for name in names}


def test_single_calls_of_c_give_the_same_bits() -> None:
    assert answers(AHEAD, FASTPOOL_ENGINE="c") == ahead()


WITHOUT_HALVES = sorted(name for name in set(AHEAD) & SELECTED if "f16" not in name)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["mean_forward_f64"], id="some", marks=pytest.mark.slow),
        *(pytest.param([name], id=name, marks=pytest.mark.exhaustive) for name in WITHOUT_HALVES),
    ],
)
def test_calls_of_compiled_code_give_the_same_bits(names: list[str]) -> None:
    """Numba has no arrays of half precision."""
    expected = ahead()
    assert answers(names, FASTPOOL_ENGINE="njit") == {name: expected[name] for name in names}


def test_what_is_compiled_ahead_is_what_the_registry_says() -> None:
    for ask in ASKS:
        options = {"indices": "plane"} if ask.role in ("index", "scatter") else {}
        if ask.role == "check":
            continue
        op, norm = {"l1": ("lp", 1.0), "l2": ("lp", 2.0), "lp": ("lp", 3.0)}.get(ask.op, (ask.op, 2.0))
        direction = "fwd" if ask.role in ("forward", "index") else "bwd"
        problem = make(op, (2, 8, 8), (1, 2), 2, dtype=ask.dtype, norm=norm, direction=direction, **options)
        if ask.skip_nan:
            problem = make(
                op, (2, 8, 8), (1, 2), 2, dtype=ask.dtype, norm=norm, direction=direction, nan="ignore", **options
            )
        needed = [task.variant for task in jit.tasks(problem, "")]
        expected = "aot" if all(registry.is_ahead(variant) for variant in needed) else "jit"
        assert dispatch.explain(problem).engine == expected, ask.name


def test_engines_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    for engine in config.ENGINES:
        monkeypatch.setenv(config.ENGINE.name, engine)
        assert fastpool.explain(fastpool.max_pool2d, x, 2).engine == engine
        np.testing.assert_array_equal(fastpool.max_pool2d(x, 2), x[:, :, 1::2, 1::2])
    monkeypatch.setenv(config.ENGINE.name, "fast")
    with pytest.raises(ValueError, match=r"FASTPOOL_ENGINE='fast': the value must be one of"):
        fastpool.max_pool2d(x, 2)


def test_what_the_library_lacks_is_compiled_just_in_time() -> None:
    x = np.arange(2 * 20 * 20, dtype=np.int32).reshape(2, 20, 20)
    assert fastpool.explain(fastpool.max_pool2d_backward, x[:, ::2, ::2], x, 2).engine == "jit"
    assert fastpool.explain(fastpool.avg_pool2d, x.astype(np.longdouble), 2).engine == "reference"
    many = x.reshape((1,) * 17 + x.shape)
    assert fastpool.explain(fastpool.max_pool2d, many, 2).engine == "jit"


def test_a_call_imports_no_compiler(repository: Path) -> None:
    code = (
        "import sys, numpy, fastpool\n"
        "x = numpy.ones((1, 2, 8, 8), numpy.float32)\n"
        "y, i = fastpool.max_pool2d(x, 2, return_indices=True)\n"
        "fastpool.max_pool2d_backward(y, x, 2, indices=i)\n"
        "print('numba' in sys.modules, 'llvmlite' in sys.modules)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
