"""Builds the sdist, the wheel from the sdist, and an editable install, each seen from a clean environment."""

import json
import os
import sys
import sysconfig
import tarfile
import tomllib
import zipfile

import pytest

from tests.packages import BUILD, LIBRARY, run

LOOK = """
import importlib.util, json, pathlib, sys
leaked = importlib.util.find_spec("kernels")
sys.path.append(sys.argv[1])  # numpy and numba, which the clean environment borrows
import fastpool, fastpool.kernels, numpy
y = fastpool.max_pool2d(numpy.arange(16, dtype=numpy.float32).reshape(4, 4), 2)
print(json.dumps({
    "leaked": leaked is not None,
    "fastpool": str(pathlib.Path(fastpool.__file__).parent),
    "kernels": str(pathlib.Path(fastpool.kernels.__file__).parent),
    "y": y.tolist(),
    "library": fastpool.show_config("dicts")["C library"]["built"],
}))
"""


# the wheel is built once for all of them
pytestmark = pytest.mark.xdist_group("wheel")


@pytest.fixture
def clean(tmp_path):
    """A new virtual environment, a function that installs into it, and one that looks at it."""
    home = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=tmp_path)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    borrowed = sysconfig.get_paths()["purelib"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def install(*what):
        command = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "-q",
            "--no-index",
            "--no-deps",
        ]
        # --no-build-isolation makes the build use this environment's setuptools
        run(*command, "--no-build-isolation", *what, cwd=elsewhere, PYTHONPATH=borrowed, **BUILD)

    def look(**environment):
        # a path of the caller's environment would make the repository's own folders importable
        return json.loads(run(python, "-c", LOOK, borrowed, cwd=elsewhere, PYTHONPATH="", **environment))

    return home, install, look


def test_wheel_from_sdist(clean, wheel):
    home, install, look = clean
    install(wheel)
    seen = look()
    assert not seen["leaked"]
    assert seen["kernels"] == seen["fastpool"] + os.sep + "kernels"
    assert seen["kernels"].startswith(str(home))
    assert not os.path.islink(seen["kernels"])
    assert seen["y"] == [[5.0, 7.0], [13.0, 15.0]]
    assert seen["library"] == LIBRARY


def test_editable(clean, tree):
    _, install, look = clean
    install("-e", tree)
    # the wheel's test compiles a kernel, this one need not wait for it
    seen = look(FASTPOOL_FORCE_KERNEL="reference")
    assert not seen["leaked"]
    assert seen["fastpool"] == str(tree / "fastpool")
    assert os.path.realpath(seen["kernels"]) == str(tree / "kernels")
    assert seen["y"] == [[5.0, 7.0], [13.0, 15.0]]


def test_contents(sdist, wheel, tree):
    """The wheel holds every module once and nothing else; the sdist also holds what the tests need."""
    modules = {
        path.relative_to(tree).as_posix()
        for root in ("fastpool", "kernels")
        for path in (tree / root).rglob("*.py")
        if (tree / "fastpool" / "kernels") not in path.parents and path.name != "_capi.py"
    }
    expected = {name if name.startswith("fastpool/") else f"fastpool/{name}" for name in modules}
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert "License-Expression: BSD-3-Clause" in archive.read(metadata).decode()
    assert len(names) == len(set(names))
    expected |= {"fastpool/py.typed"}
    expected |= {
        f"fastpool/kernels/c_abi/{path.name}"
        for path in (tree / "kernels" / "c_abi").glob("*.*")
        if path.suffix != ".py"
    }
    made = {f"fastpool/lib/{name}" for name in ("libfastpool.so", "libfastpool.so.1", "libfastpool.a", "sources.txt")}
    made |= {f"fastpool/include/{name}" for name in ("fastpool.h", "fastpool_dlpack.h")}
    made |= {f"fastpool/lib/cmake/fastpool/fastpoolConfig{name}.cmake" for name in ("", "Version")}
    made |= {"fastpool/lib/pkgconfig/fastpool.pc", "fastpool/_capi.py", "fastpool/capsules.pxd"}
    door = {"fastpool/_door.abi3.so"}
    notes = {"fastpool/lib/missing.txt", "fastpool/lib/pkgconfig/missing.txt"}
    assert set(names) - door == expected | (made if LIBRARY else notes)

    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    tests = {path.relative_to(tree).as_posix() for path in (tree / "tests").glob("*.py")}
    assert modules | tests | {"README.md", "LICENSE", "CHANGELOG.md", "docs/environment.md"} <= packed
    assert not {name for name in packed if name.startswith("fastpool/kernels")}


def test_packages_list_equals_the_tree(repository):
    listed = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = []
    for root, name in (("fastpool", "fastpool"), ("kernels", "fastpool.kernels")):
        for path in sorted((repository / root).rglob("*.py")):
            words = path.parent.relative_to(repository / root).parts
            if words[:1] != ("kernels",):
                found.append(".".join((name, *words)))
                assert (path.parent / "__init__.py").exists(), f"{path.parent} has no __init__.py"
    assert listed == sorted(set(found))


@pytest.mark.skipif(os.name == "nt", reason="a clone on Windows may lack symbolic links")
def test_symlink_for_tools(repository):
    assert os.readlink(repository / "fastpool" / "kernels") == "../kernels"
