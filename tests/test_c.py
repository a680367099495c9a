"""The C interface from C: the programs in ``tests/c``, plain, under sanitizers, and under valgrind.

Their expected values come from a loop over windows and taps in ``tests/c/naive.c``. With sanitizers, ``fastpool.c`` is
compiled again; the kernels, which no C compiler made, are those of the installed library. What kernels read and write
is watched by valgrind, and in plain runs by pages around every array that may not be touched.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

import fastpool
from fastpool import library

pytestmark = [
    pytest.mark.skipif(library.library() is None, reason=f"no C library: {library.missing()}"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
    pytest.mark.xdist_group("c"),
]

HERE = Path(__file__).resolve().parent / "c"
COMMON = ("memory", "naive", "cases")
PLAIN = ("-O1", "-g", "-fopenmp")
ADDRESS = (*PLAIN, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD = ("-O1", "-g", "-fsanitize=thread")
"""Without OpenMP, whose threads wait for each other in ways that ThreadSanitizer does not see."""

VALGRIND = (
    "valgrind",
    "--quiet",
    "--error-exitcode=9",
    "--leak-check=full",
    # what is still reachable or possibly lost are threads, and the stacks that glibc keeps for new ones
    "--show-leak-kinds=definite,indirect",
    "--errors-for-leak-kinds=definite,indirect",
)
TIMEOUT = 240


def run(*command: object, **environment: str) -> str:
    """Runs a command, whose output is the reason if it fails."""
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "FASTPOOL_CPU_LEVEL")
    known = {name: value for name, value in os.environ.items() if name not in names}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, env={**known, **environment}, timeout=TIMEOUT)
    assert done.returncode == 0, f"{' '.join(words[:8])}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-5000:]}"
    return done.stdout


def works(folder: Path, flags: tuple[str, ...]) -> bool:
    """Whether a program that is compiled with these flags runs here."""
    source, program = folder / "empty.c", folder / "empty"
    source.write_text("int main(void) { return 0; }\n")
    built = subprocess.run(["gcc", *flags, source, "-o", program], capture_output=True)
    return built.returncode == 0 and subprocess.run([program], capture_output=True).returncode == 0


class Programs:
    """Builds the programs: each source once with each set of flags."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def compiled(self, source: Path, flags: tuple[str, ...], *more: object) -> Path:
        name = "".join(word for word in "".join(flags) if word.isalnum())
        target = self.folder / f"{source.stem}_{name}.o"
        if not target.exists():
            words = ("-std=c11", "-D_GNU_SOURCE", *flags, "-I", fastpool.get_include(), *more)
            run("gcc", *words, "-c", source, "-o", target)
        return target

    def tables(self) -> Path:
        """The folder of what ``fastpool.c`` includes."""
        path = self.folder / "fastpool_tables.h"
        if not path.exists():
            pytest.importorskip("numba")
            from fastpool.build import interface
            from fastpool.kernels.c_abi.tables import library_tables
            from fastpool.kernels.native.objects import LEVELS
            from fastpool.kernels.table import Table

            table = Table()
            table.dump()
            path.write_text(library_tables(table, interface(), LEVELS[platform.machine()]))
        return self.folder

    def program(self, name: str, flags: tuple[str, ...] = PLAIN) -> Path:
        """The program, linked to the library as it is installed, or with its C compiled by these flags."""
        target = self.folder / f"{name}_{abs(hash(flags))}"
        if target.exists():
            return target
        objects = [self.compiled(HERE / f"{stem}.c", flags, "-Wall", "-Wextra", "-Werror") for stem in (*COMMON, name)]
        if flags != PLAIN:
            if not works(self.folder, flags):
                pytest.skip(f"no program runs here that gcc compiles with {flags[-1]}")
            from fastpool.kernels.c_abi import tables

            objects.append(self.compiled(tables.HERE / "fastpool.c", flags, "-I", self.tables()))
        archive = fastpool.get_library().parent / "libfastpool.a"
        run("gcc", *flags, *objects, archive, "-lm", "-lpthread", "-o", target)
        return target


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return Programs(tmp_path_factory.mktemp("c"))


def number_of_cases(printed: str) -> int:
    return int(printed.split()[0])


def test_every_operation(programs: Programs) -> None:
    assert number_of_cases(run(programs.program("operations"), 7, OMP_NUM_THREADS="2")) > 800


@pytest.mark.exhaustive
@pytest.mark.parametrize("level", ["v2", "v3", "v4"])
def test_every_operation_and_window(programs: Programs, level: str) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("levels are those of x86-64")
    run(programs.program("operations"), 1, OMP_NUM_THREADS="2", FASTPOOL_CPU_LEVEL=level)


def test_errors(programs: Programs) -> None:
    run(programs.program("errors"))


def test_random_specs(programs: Programs) -> None:
    """100,000 specs: sound ones are held against the loop; wild ones are refused, or planned and dropped."""
    printed = run(programs.program("fuzz"), 100_000, 1)
    assert int(printed.partition("sound: ")[2].split()[0]) > 20_000
    assert int(printed.partition("wild: ")[2].split()[0]) > 10_000


@pytest.mark.exhaustive
def test_more_random_specs(programs: Programs) -> None:
    run(programs.program("fuzz"), 3_000_000, 10_000_000)


@pytest.mark.parametrize(
    "command", [("errors", "malloc"), ("operations", "16", "malloc"), ("fuzz", "100000", "5000000", "malloc")]
)
def test_under_address_and_undefined_sanitizer(programs: Programs, command: tuple[str, ...]) -> None:
    run(programs.program(command[0], ADDRESS), *command[1:], OMP_NUM_THREADS="2")


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize(
    "command", [("errors", "malloc"), ("operations", "211", "malloc"), ("fuzz", "1500", "1", "malloc")]
)
def test_under_valgrind(programs: Programs, command: tuple[str, ...], threads: str) -> None:
    run(*VALGRIND, programs.program(command[0]), *command[1:], OMP_NUM_THREADS=threads)


@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
@pytest.mark.parametrize("command", [("operations", "17", "malloc"), ("fuzz", "40000", "7", "malloc")])
def test_longer_under_valgrind(programs: Programs, command: tuple[str, ...]) -> None:
    run(*VALGRIND, programs.program(command[0]), *command[1:], OMP_NUM_THREADS="2")


@pytest.mark.parametrize("policy", ["active", "passive"])
def test_sixteen_threads_share_a_plan(programs: Programs, policy: str) -> None:
    for threads in ("1", "2", "5"):
        run(programs.program("threads"), "share", 40, OMP_NUM_THREADS=threads, OMP_WAIT_POLICY=policy)


def test_sixteen_threads_under_thread_sanitizer(programs: Programs) -> None:
    run(programs.program("threads", THREAD), "share", 10)


@pytest.mark.parametrize("policy", ["active", "passive"])
def test_inside_a_parallel_region(programs: Programs, policy: str) -> None:
    run(programs.program("threads"), "region", 30, OMP_WAIT_POLICY=policy)
    # nested regions would start threads of their own
    run(programs.program("threads"), "region", 10, OMP_MAX_ACTIVE_LEVELS="4", OMP_WAIT_POLICY=policy)


@pytest.mark.parametrize("policy", ["active", "passive"])
def test_in_a_forked_child(programs: Programs, policy: str) -> None:
    run(programs.program("threads"), "fork", 10, OMP_NUM_THREADS="2", OMP_WAIT_POLICY=policy)
