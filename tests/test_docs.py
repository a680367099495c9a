"""What is written runs: the examples in docstrings and pages, the generated pages, the links."""

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import pytest

import fastpool

MODULES = ["fastpool", *(found.name for found in pkgutil.walk_packages(fastpool.__path__, "fastpool."))]
ROOT = Path(__file__).resolve().parent.parent
PATTERNS = ("*.md", "docs/**/*.md", "kernels/**/*.md", "examples/**/*.md", "asv_benchmarks/**/*.md")
PAGES = sorted(path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in ROOT.glob(pattern))


# its examples are kernels, which run in the simulator: see tests/cuda/test_window.py
MODULES.remove("fastpool.cuda.window")


pytestmark = pytest.mark.usefixtures("known_reductions")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("page", PAGES)
def test_examples_in_pages(page):
    """The blocks of one page are one program."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    if page == "README.md":
        assert blocks
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page, page, 0)
    assert doctest.DocTestRunner().run(example).failed == 0


def test_generated_pages_are_fresh():
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    assert generate["stale"]() == [], "run python docs/generate.py"


@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target]
    for target in targets:
        assert ((ROOT / page).parent / target).exists(), target


def test_commands_of_the_readme():
    """One command for the demo and one for the tests; the extras that they name exist."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert [re.findall(r'"\.\[(\w+)\]"', command) for command in commands] == [["demo"], ["test"]]
    assert all(len(command.splitlines()) == 1 for command in commands)
