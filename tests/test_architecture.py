"""Which module may import which, and how long a file may be, read from the sources."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 400
LONGER: dict[str, int] = {}
"""Files that may have more lines, because their one subject needs them."""


def sources() -> dict[str, Path]:
    """Path of each module by its name."""
    found = {}
    for folder, package in (("fastpool", "fastpool"), ("kernels", "fastpool.kernels")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            words = path.relative_to(ROOT / folder).with_suffix("").parts
            # made by the build
            if words[-1] == "_capi":
                continue
            # not through the symbolic link
            if folder == "fastpool" and words[0] == "kernels":
                continue
            if words[-1] == "__init__":
                words = words[:-1]
            found[".".join((package, *words))] = path
    return found


MODULES = sources()


def imports(name: str, tree: ast.AST) -> set[str]:
    """What a module imports, anywhere in it: full names, ``from a import b`` as ``a.b`` where that is a module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found


TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
IMPORTS = {name: imports(name, tree) for name, tree in TREES.items()}


def inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def test_there_is_something_to_look_at():
    assert len(MODULES) > 40
    assert "fastpool.kernels.cpu.engine" in MODULES
    assert "fastpool.kernels.registry" in IMPORTS["fastpool.jit"]
    assert "fastpool.kernels.cpu.engine" in IMPORTS["fastpool.jit"]


def test_kernels_import_nothing_of_the_package_around_them():
    for name, imported in IMPORTS.items():
        if inside(name, "fastpool.kernels"):
            wrong = {other for other in imported if inside(other, "fastpool")}
            wrong = {other for other in wrong if not inside(other, "fastpool.kernels")}
            assert not wrong, f"{name} imports {wrong}"


def test_cpu_and_cuda_do_not_know_each_other():
    for name, imported in IMPORTS.items():
        for one, other in (("cpu", "cuda"), ("cuda", "cpu")):
            if inside(name, f"fastpool.kernels.{one}"):
                assert not any(inside(found, f"fastpool.kernels.{other}") for found in imported), name


def test_the_common_part_of_kernels_knows_no_device():
    """The registry and the reductions serve every device, and need no compiler."""
    for name, imported in IMPORTS.items():
        if inside(name, "fastpool.kernels") and not inside(
            name, *(f"fastpool.kernels.{device}" for device in ("cpu", "cuda", "native", "c_abi"))
        ):
            for found in imported:
                assert not inside(found, "fastpool.kernels.cpu", "fastpool.kernels.cuda", "numba", "llvmlite"), name


def test_reductions_import_nothing_of_the_project():
    assert not any(inside(found, "fastpool", "numba", "numpy") for found in IMPORTS["fastpool.kernels.reductions"])


def test_the_oracle_shares_no_arithmetic_with_kernels():
    for name, imported in IMPORTS.items():
        if inside(name, "fastpool.reference"):
            known = ("fastpool.reference", "fastpool.problem", "fastpool.window", "fastpool.own")
            wrong = {found for found in imported if inside(found, "fastpool") and not inside(found, *known)}
            assert not wrong, f"{name} imports {wrong}"


def test_only_engines_and_planning_know_kernels():
    """The public layer goes through dispatch; sizes share two functions with kernels; the rest is for looking at."""
    allowed = {
        "fastpool.dispatch",
        "fastpool.explanation",
        "fastpool.jit",
        "fastpool.library",
        "fastpool.making",
        "fastpool.build",
        "fastpool.capsules",
        "fastpool.choosing",
        "fastpool.measuring",
        "fastpool.request",
        "fastpool.planning",
        "fastpool.covering",
        "fastpool.fusing",
        "fastpool.sliding",
        "fastpool.spreading",
        "fastpool.stack_choice",
        "fastpool.stacking",
        "fastpool.scattering",
        "fastpool.selecting",
        "fastpool.tiling",
        "fastpool.tracing",
        "fastpool.layout",
        "fastpool.window",
        "fastpool.diagnostics",
        "fastpool.njit.helpers",
        "fastpool.njit.twins",
        "fastpool.__main__",
    }
    for name, imported in IMPORTS.items():
        # the engine of the GPU, and the family, which plans its own programs
        if inside(name, "fastpool.cuda", "fastpool.family"):
            continue
        if not inside(name, "fastpool.kernels") and any(inside(found, "fastpool.kernels") for found in imported):
            assert name in allowed, name


def test_other_libraries_are_looked_for_where_arrays_are_known():
    """A library that has made an array is found among the loaded ones; elsewhere nobody asks which these are."""
    readers = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "modules" and ast.unparse(node.value) == "sys"
    }
    known = {"fastpool.arrays", "fastpool.host_arrays", "fastpool.device_arrays"}
    assert {name for name in readers if not inside(name, "fastpool.bench", "fastpool.demo")} == known


def test_what_a_gpu_needs_is_loaded_when_an_array_on_one_comes():
    """The kinds of arrays on a GPU and its engine are imported inside of functions, from outside of them."""
    late = ("fastpool.cuda", "fastpool.device_arrays", "fastpool.device_lanes")
    for name, tree in TREES.items():
        if inside(name, *late):
            continue
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert not any(inside(found, *late) for found in imports(name, ast.Module([node], []))), name


def test_nobody_imports_kernels_by_the_name_of_the_folder():
    paths = [
        path for folder in ("tests", "examples", "asv_benchmarks", "docs") for path in (ROOT / folder).rglob("*.py")
    ]
    trees = {str(path): ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    assert len(trees) > 10
    for name, tree in {**TREES, **trees}.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not any(inside(alias.name, "kernels") for alias in node.names), name
            elif isinstance(node, ast.ImportFrom) and node.module:
                assert not inside(node.module, "kernels"), name


def test_the_environment_is_read_in_config_alone():
    words = {"environ", "environb", "getenv", "getenvb", "putenv"}
    readers = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in words)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and words & {a.name for a in node.names})
    }
    # neither the build nor a benchmark that starts processes is part of a call
    assert readers == {"fastpool.config", "fastpool.kernels.c_abi.build", "fastpool.bench.processes"}


def test_the_compiler_is_imported_by_device_kernels_alone():
    """Elsewhere inside a function at most, so that ``import fastpool`` does not wait for it."""
    for name, tree in TREES.items():
        compiled = [f"fastpool.kernels.{name}" for name in ("cpu", "cuda", "native", "c_abi")]
        if inside(name, *compiled, "fastpool.build", "fastpool.njit"):
            continue
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                slow = ("numba", "torch", "fastpool.njit")
                heavy = {found for found in imports(name, ast.Module([node], [])) if inside(found, *slow)}
                assert not heavy, f"{name} imports {heavy}"


def test_imports_at_the_top_form_no_circle():
    top = {
        name: {
            found
            for node in ast.iter_child_nodes(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for found in imports(name, ast.Module([node], []))
            if found in MODULES and found not in name
        }
        for name, tree in TREES.items()
    }
    left = dict(top)
    while left:
        free = {name for name, needs in left.items() if not needs & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("name", MODULES)
def test_no_file_is_long(name):
    path = MODULES[name]
    lines = len(path.read_text(encoding="utf-8").splitlines())
    key = path.relative_to(ROOT).as_posix()
    assert lines <= LONGER.get(key, LONGEST), f"{key} has {lines} lines: one subject to a file"


def test_exceptions_for_long_files_are_needed():
    for key in LONGER:
        assert len((ROOT / key).read_text(encoding="utf-8").splitlines()) > LONGEST, key


def test_the_link_for_tools_is_relative():
    assert os.path.realpath(ROOT / "fastpool" / "kernels") == str(ROOT / "kernels")
