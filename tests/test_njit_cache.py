"""A user's compiled program: kept by Numba's cache, and right whatever becomes of the library that it was made with."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpool
from tests.packages import LIBRARY, OBJECTS

pytestmark = pytest.mark.xdist_group("wheel")

PROGRAM = """
import json
import sys
import fastpool
sys.path.insert(0, sys.argv[1])
import star_finder
imported = "numba.cuda" in sys.modules
frames = star_finder.sky_with_stars(3, 100, 12)[0]
counts, places = star_finder.find(frames, 4, 12.0)
stats = star_finder.find.stats
owner = fastpool.library.library()
print(json.dumps({
    "counts": counts.tolist(),
    "places": places.tolist(),
    "hits": sum(stats.cache_hits.values()),
    "misses": sum(stats.cache_misses.values()),
    "abi": int(owner.lib.fastpool_abi()) if owner else 0,
    "package": fastpool.__file__,
    "cuda": imported,
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A folder of the user's, with the program, its cache, and packages to use."""
    made = tmp_path_factory.mktemp("user")
    shutil.copy(repository / "examples" / "star_finder.py", made)
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, folder: Path) -> Path:
    if not LIBRARY:
        pytest.skip("there is no library to be removed")
    site = folder / "with"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def remove_library(site: Path) -> Path:
    package = site / "fastpool"
    for path in [*(package / "lib").glob("libfastpool*"), package / "_capi.py", *package.glob("_door*")]:
        path.unlink()
    return site


@pytest.fixture(scope="module")
def without(installed: Path, folder: Path) -> Path:
    return remove_library(Path(shutil.copytree(installed, folder / "without")))


@pytest.fixture(scope="module")
def upgraded(without: Path, folder: Path) -> Path:
    """The package with a library of another binary interface, whose specs begin otherwise."""
    site = Path(shutil.copytree(without, folder / "upgraded"))
    header = site / "fastpool" / "kernels" / "c_abi" / "fastpool.h.in"
    text = header.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith(("    int32_t operation;", "    int32_t rank;"))]
    assert len(lines) == 2
    moved = text.replace(lines[0], "@first").replace(lines[1], lines[0]).replace("@first", lines[1])
    header.write_text(moved, encoding="utf-8")
    code = f"""
from pathlib import Path
from fastpool.kernels.c_abi import tables
tables.ABI = 2
from fastpool.build import build
build(Path({str(site / "fastpool")!r}), Path({str(OBJECTS)!r}), 1, True)
"""
    subprocess.run([sys.executable, "-c", code], cwd=site, env={**os.environ, "PYTHONPATH": str(site)}, check=True)
    return site


def run(folder: Path, site: Path, **environment: str) -> dict[str, Any]:
    """The program, with the package of a site."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FASTPOOL_", "NUMBA_"))}
    env |= {"PYTHONPATH": str(site), "NUMBA_CACHE_DIR": str(folder / "cache"), **environment}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr[-3000:]}"
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["package"].startswith(str(site))
    assert not found["cuda"]
    return found


@pytest.fixture(scope="module")
def first(folder: Path, installed: Path) -> dict[str, Any]:
    """What the first process finds, which compiles."""
    found = run(folder, installed)
    assert (found["hits"], found["misses"]) == (0, 1)
    assert found["abi"] == 1
    return found


def expected() -> tuple[list[int], list[list[int]]]:
    """The same by calls from Python."""
    scope = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "star_finder.py"))
    frames, _, light = scope["sky_with_stars"](3, 100, 12)
    dark = fastpool.min_pool2d(frames, 5, stride=1, padding="same")
    above = frames - fastpool.avg_pool2d(dark, 15, stride=1, padding=7, count_include_pad=False)
    peaks = fastpool.max_pool2d(above, 9, stride=1, padding=4)
    stars = (above == peaks) & (above > 12)
    assert stars.sum(axis=(1, 2)).tolist() == [len(light) - i for i in range(len(frames))]
    places = [
        np.unravel_index(np.argmax(np.where(mask, frame, 0)), mask.shape)
        for mask, frame in zip(stars, above, strict=True)
    ]
    return stars.sum(axis=(1, 2)).tolist(), [[int(n) for n in place] for place in places]


def test_the_program_is_right(first: dict[str, Any]) -> None:
    assert (first["counts"], first["places"]) == expected()


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_second_process_takes_it_from_the_cache(
    folder: Path, installed: Path, first: dict[str, Any], threads: str, layer: str
) -> None:
    again = run(folder, installed, NUMBA_NUM_THREADS=threads, NUMBA_THREADING_LAYER=layer)
    assert (again.pop("hits"), again.pop("misses")) == (1, 0)
    assert again == {name: value for name, value in first.items() if name not in ("hits", "misses")}


def test_a_wrong_word_in_the_environment_does_no_harm(folder: Path, installed: Path, first: dict[str, Any]) -> None:
    found = run(folder, installed, FASTPOOL_ENGINE="aott", FASTPOOL_NUM_THREADS="none")
    assert (found["hits"], found["counts"]) == (1, first["counts"])


@pytest.mark.parametrize("engine", ["reference", pytest.param("jit", marks=pytest.mark.slow)])
def test_it_outlives_the_library(folder: Path, without: Path, first: dict[str, Any], engine: str) -> None:
    found = run(folder, without, FASTPOOL_ENGINE=engine)
    assert (found["hits"], found["abi"]) == (1, 0)
    assert (found["counts"], found["places"]) == (first["counts"], first["places"])


def test_it_reads_no_spec_of_another_interface(folder: Path, upgraded: Path, first: dict[str, Any]) -> None:
    found = run(folder, upgraded)
    assert (found["hits"], found["abi"]) == (1, 2)
    assert (found["counts"], found["places"]) == (first["counts"], first["places"])
