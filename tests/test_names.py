"""Functions that the linker could take for each other have names of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fastpool.kernels import digests, registry
from fastpool.kernels.cpu import engine
from fastpool.kernels.cpu.match_passes import make_match_passes
from fastpool.kernels.cpu.passes import make_passes

MAKERS = {**engine.WHOLE, "sweep": make_passes, "match": make_match_passes}


def test_functions_of_one_name_do_the_same() -> None:
    contents: dict[tuple[str, str], set[str]] = {}
    plain: dict[str, set[str]] = {}
    for variant in registry.variants():
        walks = {form.walk(variant.role) for form in registry.FORMS if form.serves(variant)}
        for walk in walks & set(MAKERS):
            kernel = MAKERS[walk](variant, 0)
            kernel.__qualname__ = variant.name
            engine.name_by_content(kernel)
            for function in digests.reached(kernel):
                if function is not kernel:
                    key = (function.__module__, function.__qualname__)
                    contents.setdefault(key, set()).add(digests.content(function))
                    if "<" in function.__qualname__:
                        plain.setdefault(function.__qualname__.rpartition("_")[0], set()).add(function.__qualname__)
    assert {name: found for name, found in contents.items() if len(found) > 1} == {}
    # without the digests there would be many
    assert max(map(len, plain.values())) > 20


# Two kernels whose loop over seven rows has the same name but for Numba's number: with NaN left out, and without.
# "compile" puts one into the disk cache, its functions numbered from a given number on, and prints the number of that
# loop; "run" takes both from the cache and prints how many of seven taps, one of them NaN, the other one counts.
SCRIPT = """
import itertools
import re
import sys
import numpy as np
from numba.core.bytecode import FunctionIdentity
from fastpool.kernels import digests, registry
from fastpool.kernels.cpu import engine, words as W
from fastpool.kernels.cpu.memory import PASSES
from fastpool.kernels.cpu.passes import make_passes

cache, named, task, number = sys.argv[1:]
if named == "plain":
    engine.name_by_content = lambda function: None


def compiled(skip):
    variant = registry.variant("lp", 3.0, "f16", "weigh", skip)
    return engine.compile_by_numba(PASSES, make_passes(variant, 0), variant.name, cache)


if task != "run":
    for _ in range(int(number)):
        next(FunctionIdentity._unique_ids)
    passes = compiled(task == "skipna")
    print(re.search(r"seven_rows\\w*?B\\d+v(\\d+)B", passes.inspect_llvm())[1])
else:
    skipping, passes = compiled(True), compiled(False)
    assert skipping.cache_hits == passes.cache_hits == 1
    x = np.ones(7, np.float16)
    x[3] = np.nan
    states = np.zeros(8)
    words = np.zeros(W.WORDS, np.int64)
    words[[W.STATES, W.SOURCE]] = states.ctypes.data, x.ctypes.data
    words[[W.ROWS_COUNT, W.PITCH, W.COUNT, W.C, W.OP]] = 1, 1, 1, 1, W.SEVEN
    words[W.PARAM] = np.float64(3.0).view(np.int64)
    passes.ctypes(words.ctypes.data_as(passes.ctypes.argtypes[0]))
    print(states[0])
"""


@pytest.mark.exhaustive
def test_the_linker_takes_no_function_for_another(tmp_path) -> None:
    def script(cache: str, named: str, task: str, number: int = 0) -> str:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / cache), named, task, str(number)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    ahead = int(script("apart", "plain", "skipna")) - int(script("apart", "plain", "propagate"))
    found = {}
    for named in ("plain", "by content"):
        assert script(named, named, "propagate", ahead) == script(named, named, "skipna")
        found[named] = script(named, named, "run")
    # seven taps of 1, one of which is NaN; the first is what went wrong without names of their own
    assert found == {"plain": "6.0", "by content": "nan"}
