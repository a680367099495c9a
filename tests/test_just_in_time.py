"""Kernels compiled just in time: by the library's way where it leads, by Numba's where it does not."""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import itertools
import math
import platform
import sys

import llvmlite.binding as ll
import numba
import numpy as np
import pytest
from numba import njit, types
from numba.extending import register_jitable

import fastpool
from fastpool import library
from fastpool.kernels.cpu import engine
from fastpool.kernels.cpu.memory import SIGNATURE
from fastpool.kernels.native import just_in_time, objects

pytestmark = pytest.mark.skipif(just_in_time.level() is None, reason="Numba compiles on this system")


def compiled(function, cache_dir):
    return just_in_time.compile_function(function, SIGNATURE, just_in_time.level(), str(cache_dir))


def first_word(code, plan=0):
    """What a kernel that was given one word makes of it."""
    word = np.array([plan])
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)(word.ctypes.data)
    return int(word[0])


def make(change):
    change = register_jitable(change) if inspect.isfunction(change) else change

    def kernel(plan, bufs, work, begin, end):
        plan[0] = change(plan[0])

    return kernel


def plus_one(number):
    return number + 1


def test_the_level_is_that_of_the_library():
    owner = library.library()
    if owner is None:
        pytest.skip("the C library is not built")
    assert just_in_time.level().name in (owner.level, "base")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="levels of x86-64")
def test_a_lower_level_is_taken_where_it_is_named():
    assert just_in_time.level("v2").name == "v2"
    assert just_in_time.level("v9") == just_in_time.level()


def test_levels_are_told_by_what_a_processor_has(monkeypatch):
    has = dict.fromkeys((*just_in_time.NEEDED["v2"], *just_in_time.NEEDED["v4"]), True)
    monkeypatch.setattr(ll, "get_host_cpu_features", lambda: has)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert just_in_time.level.__wrapped__().name == "v2"
    has["popcnt"] = False
    assert just_in_time.level.__wrapped__() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    has["popcnt"] = True
    assert just_in_time.level.__wrapped__() is None


def test_code_is_kept_and_found_again(tmp_path):
    first, again = (compiled(make(plus_one), tmp_path) for _ in range(2))
    assert (first.cache_hits, again.cache_hits) == (False, True)
    assert first_word(first, 41) == first_word(again, 41) == 42
    assert len(list(tmp_path.rglob("*"))) == 2


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", b"no object file at all"])
def test_a_damaged_file_is_written_anew(damage, tmp_path):
    compiled(make(plus_one), tmp_path)
    (path,) = tmp_path.rglob("*.o")
    path.write_bytes(damage)
    code = compiled(make(plus_one), tmp_path)
    assert not code.cache_hits
    assert first_word(code, 1) == 2
    assert compiled(make(plus_one), tmp_path).cache_hits


def test_a_disk_that_fails_is_only_slower(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert first_word(compiled(make(plus_one), file / "below"), 1) == 2
    folder = tmp_path / "cache"
    compiled(make(plus_one), folder)
    (path,) = folder.rglob("*.o")
    path.unlink()
    # no file of that name can be made
    path.mkdir()
    assert first_word(compiled(make(plus_one), folder), 1) == 2
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("first", ["run", "lowered"])
def test_what_kernels_call_can_be_run_and_compiled_into_others(first, tmp_path):
    """What is only lowered cannot be run; what can be run is of another processor's level."""
    folders = itertools.count()

    @njit
    def inner(number):
        return number * 3

    @njit
    def shared(number):
        return inner(number) + 1

    @njit
    def other(number):
        return shared(number) * 2

    def lowered():
        # into a folder of its own: what is found on the disk is not lowered
        assert first_word(compiled(make(shared), tmp_path / str(next(folders))), 5) == 16

    def run():
        assert shared(5) == 16
        assert other(5) == 32
        assert other(5.0) == 32.0

    for step in (run, lowered, run) if first == "run" else (lowered, run, lowered):
        step()
    assert len(shared.overloads) == 2
    assert types.Dispatcher(shared).dispatcher is shared


def test_a_function_of_libm_and_one_of_numba_are_found(tmp_path):
    def by_libm(number):
        return np.int64(1000 * math.cos(float(number)))

    def by_numba(number):
        return np.int64(1000 * math.frexp(number + 3.0)[0])

    assert [first_word(compiled(make(change), tmp_path), 0) for change in (by_libm, by_numba)] == [1000, 750]


ADDRESS = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(abs)


def with_an_address(number):
    return ADDRESS(number)


def with_the_interpreter(number):
    print(number)
    return number


missing = types.ExternalFunction("fastpool_no_such_function", types.int64(types.int64))


def with_a_missing_symbol(number):
    return missing(number)


def with_an_array(number):
    return np.zeros(3, np.int64)[number]


@pytest.mark.parametrize("change", [with_an_address, with_the_interpreter, with_a_missing_symbol, with_an_array])
def test_what_it_cannot_do_is_left_to_numba(change, tmp_path, capfd):
    assert compiled(make(change), tmp_path) is None
    assert not list(tmp_path.rglob("*.o"))
    # the linker tells nobody of its own
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("why", ["no level", "an address"])
def test_numba_compiles_what_is_left_to_it(why, monkeypatch, tmp_path):
    if why == "no level":
        monkeypatch.setattr(just_in_time, "level", lambda wanted: None)
    change = plus_one if why == "no level" else with_an_address
    # Numba says why it keeps no address
    told = contextlib.nullcontext() if why == "no level" else pytest.warns(numba.errors.NumbaWarning, match="ctypes")
    with told:
        code = engine._compile(SIGNATURE, make(change), "left", str(tmp_path), "")
    assert isinstance(code, numba.core.ccallback.CFunc)
    assert first_word(code, -7) == (-6 if why == "no level" else 7)


def test_nothing_is_lowered_while_numba_compiles(tmp_path):
    with numba.core.compiler_lock.global_compiler_lock:
        assert compiled(make(plus_one), tmp_path) is None


LOOP = """
define void @loop(ptr %x, i64 %n, i64 %pitch) {
entry:
  br label %body
body:
  %i = phi i64 [0, %entry], [%next, %body]
  %o = mul i64 %i, %pitch
  %p = getelementptr float, ptr %x, i64 %o
  store float 1.0, ptr %p
  %q = getelementptr i8, ptr %p, i64 40
  store float 2.0, ptr %q
  %next = add i64 %i, 1
  %end = icmp eq i64 %next, %n
  br i1 %end, label %done, label %body
done:
  ret void
}
"""


def test_options_of_the_compiler_do_not_last(tmp_path):
    """They hold for all that LLVM does in a process, and others use it, too."""

    def assembly():
        machine = ll.Target.from_default_triple().create_target_machine(opt=3)
        return machine.emit_assembly(ll.parse_assembly(LOOP))

    objects.prepare()
    before = assembly()
    compiled(make(plus_one), tmp_path)
    assert assembly() == before
    with objects._options():
        assert assembly() != before


@pytest.mark.slow
def test_a_mean_of_ones_own_is_the_code_of_the_built_in_one(known_reductions):
    """Byte for byte: it takes no longer."""

    @fastpool.reduction
    class Mean:
        identity = 0.0
        state = "wide"

        def combine(a, b):  # noqa: N805
            return a + b

        def lower(s, count):  # noqa: N805
            return s / count if count != 0 else s

    def code(op):
        task = fastpool.explain(fastpool.pool, np.zeros((2, 64, 64), np.float32), 2, op=op).tasks[0]
        assert task.form.fused
        kernel = engine.WHOLE[task.form.walk(task.role)](task.variant, 0)
        kernel.__name__ = "kernel"
        image = just_in_time._compiled(kernel, SIGNATURE, just_in_time.level())
        return {section.name(): section.data() for section in ll.ObjectFileRef.from_data(image).sections()}[b".text"]

    assert len(code("mean")) > 1000
    assert code(Mean) == code("mean")
