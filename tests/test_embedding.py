"""The C library as others use it: programs in four languages, built against the files of an installed wheel."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastpool
from fastpool import c_flags, library
from fastpool.__main__ import main
from tests.packages import LIBRARY, run

pytestmark = [
    # the wheel is built once for all of them
    pytest.mark.xdist_group("wheel"),
    pytest.mark.skipif(not LIBRARY, reason=f"no C library: {library.missing()}"),
]

ROOT = Path(__file__).resolve().parent.parent
K = 4


def tool(*names: str) -> str:
    """The first of these programs that is there."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{' or '.join(names)} is not installed")


COMPILERS = {
    "c": ("gcc", "clang", "cc"),
    "cpp": ("g++", "clang++", "c++"),
    "fortran": ("gfortran",),
    "rust": ("rustc",),
}
SOURCES = {"c": "pool_image.c", "cpp": "dilate.cpp", "fortran": "average.f90"}
PROGRAMS = {"c": "pool_image", "cpp": "dilate", "fortran": "average", "rust": "shrink"}
STRICT = {
    "c": ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"),
    "cpp": ("-std=c++14", "-pedantic", "-Wall", "-Wextra", "-Werror"),
    "fortran": ("-Wall", "-Wextra", "-Werror", "-fcheck=all"),
}


def shrunk_by_max(image: np.ndarray) -> np.ndarray:
    return fastpool.pool(image, K, "max", axes=(0, 1))


def dilated(image: np.ndarray) -> np.ndarray:
    return fastpool.pool(image, K, "max", axes=(0, 1), stride=1, padding="same")


def averaged(image: np.ndarray) -> np.ndarray:
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    # Fortran rounds to the nearest integer, halves upwards; a half is exact in 64 bits
    rounded = np.floor(fastpool.avg_pool2d(planes, K).astype(np.float64) + 0.5)
    return rounded.astype(np.uint8).transpose(1, 2, 0)


def shrunk_by_mean(image: np.ndarray) -> np.ndarray:
    return fastpool.pool(image, K, "mean", axes=(0, 1), ceil_mode=True)


EXPECTED = {"c": shrunk_by_max, "cpp": dilated, "fortran": averaged, "rust": shrunk_by_mean}


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's folder where the wheel was installed."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", folder, wheel)
    run(*pip, cwd=folder)
    return folder / "fastpool"


def pkg_config(package: Path, *options: str) -> list[str]:
    """What pkg-config says, as a shell reads it."""
    command = (tool("pkg-config", "pkgconf"), *options, "fastpool")
    return shlex.split(run(*command, cwd=package, PKG_CONFIG_PATH=str(package / "lib" / "pkgconfig")))


def with_pkg_config(language: str, package: Path, folder: Path) -> Path:
    """Builds an example with pkg-config; returns the program."""
    compiler = tool(*COMPILERS[language])
    source = folder / language
    shutil.copytree(ROOT / "examples" / language, source)
    if language == "rust":
        tool("pkg-config")
        environment = {"PKG_CONFIG_PATH": str(package / "lib" / "pkgconfig"), "CARGO_TARGET_DIR": str(folder / "made")}
        run(tool("cargo"), "build", "-q", "--release", "--offline", "--locked", cwd=source, **environment)
        return folder / "made" / "release" / PROGRAMS[language]
    program = folder / PROGRAMS[language]
    flags = pkg_config(package, "--cflags", "--libs")
    run(compiler, *STRICT[language], SOURCES[language], *flags, "-o", program, cwd=source)
    return program


def with_cmake(language: str, package: Path, folder: Path) -> Path:
    """Builds an example with CMake; returns the program."""
    tool(*COMPILERS[language])
    source, made = ROOT / "examples" / language, folder / "made"
    where = f"-Dfastpool_DIR={package / 'lib' / 'cmake' / 'fastpool'}"
    run(tool("cmake"), "-S", source, "-B", made, where, cwd=folder)
    run(tool("cmake"), "--build", made, cwd=folder)
    return made / PROGRAMS[language]


Builder = Callable[[str, Path, Path], Path]
WAYS = [with_pkg_config, with_cmake]


def write_image(path: Path, pixels: np.ndarray) -> None:
    height, width, channels = pixels.shape
    kind = 6 if channels == 3 else 5
    path.write_bytes(f"P{kind}\n# with a comment\n{width} {height}\n255\n".encode() + pixels.tobytes())


def read_image(path: Path) -> np.ndarray:
    kind, size, most, pixels = path.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert most == b"255"
    return np.frombuffer(pixels, np.uint8).reshape(height, width, {b"P5": 1, b"P6": 3}[kind])


def check(program: Path, language: str, folder: Path) -> None:
    """Runs a program on a grey and a coloured image; no variable tells the loader where the library is."""
    rng = np.random.default_rng(7)
    quiet = {"LD_LIBRARY_PATH": "", "PKG_CONFIG_PATH": ""}
    for channels in (1, 3):
        pixels = rng.integers(0, 256, (37, 53, channels), np.uint8)
        # what looks like white space or a comment is a pixel like any other after the header
        pixels[0, :3, 0] = list(b"\n# ")
        write_image(folder / "in.ppm", pixels)
        run(program, folder / "in.ppm", folder / "out.ppm", K, cwd=folder, **quiet)
        np.testing.assert_array_equal(read_image(folder / "out.ppm"), EXPECTED[language](pixels))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("language", EXPECTED)
def test_examples(language: str, way: Builder, installed: Path, tmp_path: Path) -> None:
    program = way(language, installed, tmp_path)
    check(program, language, tmp_path)
    linked = run("ldd", program, cwd=tmp_path)
    found = re.search(r"libfastpool\.so\.\d+ => (\S+)", linked)
    assert found
    assert Path(found[1]).resolve() == (installed / "lib" / fastpool.get_library().name).resolve()


@pytest.mark.parametrize("language", EXPECTED)
def test_examples_refuse(language: str, installed: Path, tmp_path: Path) -> None:
    """What is no image, ends early, or is smaller than a block leaves nothing behind."""
    program = with_pkg_config(language, installed, tmp_path)
    files = {
        "none.ppm": None,
        "empty.ppm": b"",
        "text.ppm": b"P3\n2 2\n255\n1 2 3 4",
        "deep.pgm": b"P5\n4 4\n65535\n" + bytes(32),
        "huge.pgm": b"P5\n99999999999 99999999999\n255\n" + bytes(32),
        "negative.pgm": b"P5\n-4 -4\n255\n" + bytes(32),
        "short.pgm": b"P5\n5 5\n255\n" + bytes(24),
        "small.pgm": b"P5\n3 3\n255\n" + bytes(9),
    }
    for name, content in files.items():
        # its windows are larger than the image, but not than the image with padding
        if name == "small.pgm" and language == "cpp":
            continue
        if content is not None:
            (tmp_path / name).write_bytes(content)
        command = [program, tmp_path / name, tmp_path / "out.ppm", str(K)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, (name, done)
        assert name in done.stderr or name == "small.pgm", (name, done)
        assert not (tmp_path / "out.ppm").exists(), name


@pytest.mark.parametrize("way", WAYS)
def test_the_folder_can_be_moved(way: Builder, installed: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved here" / "fastpool"
    shutil.copytree(installed, moved)
    program = way("c", moved, tmp_path)
    check(program, "c", tmp_path)
    assert str(moved).encode() in program.read_bytes().replace(b"/lib/pkgconfig/../../", b"/")
    assert str(installed).encode() not in program.read_bytes()


def needs_no_library(program: Path, folder: Path) -> None:
    check(program, "c", folder)
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    assert "fastpool" not in done.stdout


def config(package: Path, *options: str) -> str:
    """What ``python -m fastpool config`` prints in that installation."""
    return run(sys.executable, "-m", "fastpool", "config", *options, cwd=package.parent, PYTHONPATH=str(package.parent))


def test_static_with_the_command(installed: Path, tmp_path: Path) -> None:
    flags = shlex.split(config(installed, "--cflags", "--libs", "--static"))
    source = ROOT / "examples" / "c" / "pool_image.c"
    run(tool(*COMPILERS["c"]), source, *flags, "-o", tmp_path / "program", cwd=tmp_path)
    needs_no_library(tmp_path / "program", tmp_path)


def test_static_with_pkg_config(installed: Path, tmp_path: Path) -> None:
    """All that a program needs in one file, libc and OpenMP with it."""
    compiler = tool(*COMPILERS["c"])
    (tmp_path / "empty.c").write_text("int main(void) { return 0; }\n")
    possible = subprocess.run(
        [compiler, "-static", "-fopenmp", "empty.c", "-o", "empty"], cwd=tmp_path, capture_output=True, check=False
    )
    if possible.returncode:
        pytest.skip("there is no static libc or OpenMP")
    flags = pkg_config(installed, "--static", "--cflags", "--libs")
    source = ROOT / "examples" / "c" / "pool_image.c"
    run(compiler, "-static", source, *flags, "-o", tmp_path / "program", cwd=tmp_path)
    needs_no_library(tmp_path / "program", tmp_path)


def test_static_with_cmake(installed: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "examples" / "c", source)
    lists = source / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace("PRIVATE fastpool::fastpool)", "PRIVATE fastpool::fastpool_static)"))
    made = tmp_path / "made"
    run(tool("cmake"), "-S", source, "-B", made, f"-DCMAKE_PREFIX_PATH={installed}", cwd=tmp_path)
    run(tool("cmake"), "--build", made, cwd=tmp_path)
    needs_no_library(made / "pool_image", tmp_path)


def test_config_says_what_pkg_config_says(installed: Path) -> None:
    lib, include = installed / "lib", installed / "include"
    assert config(installed, "--cflags", "--libs") == f"-I{include} -L{lib} -lfastpool -Wl,-rpath,{lib}\n"
    assert config(installed, *(f"--{name}" for name in c_flags.OPTIONS)).splitlines()[:-1] == [
        fastpool.__version__,
        *map(str, (include, lib, lib / "pkgconfig", lib / "cmake" / "fastpool")),
    ]
    words = pkg_config(installed, "--cflags", "--libs")
    assert [word.replace("/lib/pkgconfig/../../", "/") for word in words] == shlex.split(
        config(installed, "--cflags", "--libs")
    )
    assert pkg_config(installed, "--modversion") == [fastpool.__version__]
    private = pkg_config(installed, "--static", "--libs")[3:]
    assert shlex.split(config(installed, "--libs", "--static")) == [str(lib / "libfastpool.a"), *private]


def test_config_without_the_library(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "INCLUDE", str(tmp_path))
    monkeypatch.setattr(library, "missing", lambda: "gcc failed:\n  line 1\n")
    assert main(["config", "--cflags"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "fastpool config: get_include: fastpool.h: the C library is not there: gcc failed: line 1; "
        "install with a C compiler (gcc or clang) at hand, or call the Python functions\n"
    )


def test_config_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--static"]) == 2
    assert capsys.readouterr().err.startswith("fastpool config: no option: at least one is needed; ask for --version, ")


ENTRY_POINTS = """
import importlib.metadata, importlib.resources, json
pkg_config, = importlib.metadata.entry_points(group="pkg_config", name="fastpool")
root, = importlib.metadata.entry_points(group="cmake.root", name="fastpool")
print(json.dumps([str(importlib.resources.files(pkg_config.value)), str(importlib.resources.files(root.load()))]))
"""


def test_entry_points(installed: Path) -> None:
    """As the pkgconf package and scikit-build-core read them."""
    printed = run(sys.executable, "-c", ENTRY_POINTS, cwd=installed.parent, PYTHONPATH=str(installed.parent))
    folder, root = json.loads(printed)
    # a folder without __init__.py is shown with its kind around it
    assert str(installed / "lib" / "pkgconfig") in folder
    assert (installed / "lib" / "pkgconfig" / "fastpool.pc").exists()
    assert Path(root) == installed


VERSIONS = {
    "": True,
    "0": True,
    "0.1": True,
    "0.1.0": True,
    "0.1.0 EXACT": True,
    "0.0": False,
    "0.1.1": False,
    "0.2": False,
    "1": False,
    "1.1": False,
    "0.0...0.9": True,
    "0.0...<0.1": False,
    "0.0...0.1.0": True,
    "0.2...1": False,
}


def test_versions_that_cmake_takes(installed: Path, tmp_path: Path) -> None:
    assert fastpool.__version__ == "0.1.0", "the requests above are about this version"
    lines = ["cmake_minimum_required(VERSION 3.19)", "project(versions LANGUAGES NONE)"]
    for number, version in enumerate(VERSIONS):
        lines.append(f"find_package(fastpool {version} CONFIG QUIET PATHS {installed} NO_DEFAULT_PATH)")
        lines.append(f'message("{number} ${{fastpool_FOUND}}")')
        lines.append("unset(fastpool_DIR CACHE)")
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines))
    command = [tool("cmake"), "-S", tmp_path, "-B", tmp_path / "made"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [line.split()[1] == "1" for line in done.stderr.splitlines()]
    assert dict(zip(VERSIONS, found, strict=True)) == VERSIONS


def test_cmake_says_what_is_missing(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "fastpool"
    shutil.copytree(installed, broken, ignore=shutil.ignore_patterns("libfastpool.a", "kernels"))
    where = f"-Dfastpool_DIR={broken / 'lib' / 'cmake' / 'fastpool'}"
    command = [tool("cmake"), "-S", ROOT / "examples" / "c", "-B", tmp_path / "made", where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "lib/libfastpool.a is missing" in " ".join(done.stderr.split())


def test_program_of_the_readme(installed: Path, tmp_path: Path) -> None:
    """The program and the first command are what the README says, word for word."""
    tool("cc")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```c\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (command,) = re.findall(r"^cc pool\.c .*", text, re.MULTILINE)
    (tmp_path / "pool.c").write_text(program)
    # not a link: one that leads out of an environment starts a Python without its packages
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    run("bash", "-euo", "pipefail", "-c", command, cwd=tmp_path, PATH=path, PYTHONPATH=str(installed.parent))
    (printed,) = re.findall(r"/\* prints (.*?) \*/", program)
    assert run(tmp_path / "pool", cwd=tmp_path) == printed + "\n"


def torch_header() -> Path:
    # found without being imported, which takes seconds
    spec = importlib.util.find_spec("torch")
    header = Path(spec.origin).parent / "include" / "ATen" / "dlpack.h" if spec and spec.origin else None
    if header is None or not header.exists():
        pytest.skip("torch is not installed, or brings no dlpack.h")
    return header


@pytest.mark.parametrize("header", ["minimal", "torch"])
@pytest.mark.parametrize("language", ["c", "cpp"])
def test_dlpack(language: str, header: str, installed: Path, tmp_path: Path) -> None:
    compiler = tool(*COMPILERS[language])
    source = tmp_path / ("dlpack." + language)
    shutil.copy(ROOT / "tests" / "embedding" / "dlpack.c", source)
    defined = [f'-DDLPACK_HEADER="{torch_header()}"'] if header == "torch" else []
    flags = shlex.split(config(installed, "--cflags", "--libs"))
    run(compiler, *STRICT[language], *defined, source, *flags, "-o", tmp_path / "program", cwd=tmp_path)
    run(tmp_path / "program", cwd=tmp_path)


def test_dlpack_wants_a_header(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "alone.c").write_text("#include <fastpool_dlpack.h>\n")
    command = [tool(*COMPILERS["c"]), f"-I{installed / 'include'}", "-c", "alone.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "include dlpack.h before it" in done.stderr
