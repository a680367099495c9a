import functools
import inspect
import shutil
import tarfile
from pathlib import Path

import pytest

from fastpool import config
from fastpool.kernels import registry
from tests.packages import build


@functools.cache
def asks_for_torch(function):
    return 'importorskip("torch")' in inspect.getsource(function)


def pytest_collection_modifyitems(items):
    """Mark what is skipped where torch is missing: ``-m torch`` runs these alone where it is not."""
    for item in items:
        if hasattr(item.module, "torch") or asks_for_torch(inspect.unwrap(item.function)):
            item.add_marker("torch")


@pytest.fixture(scope="session")
def repository():
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def known_reductions():
    """What an example makes known to the registry, which other tests and pages go through, is gone after it."""
    before = set(registry.REDUCTIONS)
    yield
    for name in set(registry.REDUCTIONS) - before:
        registry.remove_reduction(name)


@pytest.fixture
def clean_threads(monkeypatch):
    """No thread setting from outside the test, and none left behind."""
    monkeypatch.delenv("FASTPOOL_NUM_THREADS", raising=False)
    before, config._chosen[0] = config._chosen[0], 0
    config._at_start.cache_clear()
    yield
    config._chosen[0] = before
    config._at_start.cache_clear()


@pytest.fixture(scope="session")
def tree(repository, tmp_path_factory):
    """A copy of the repository without what git ignores."""
    copy = tmp_path_factory.mktemp("tree") / "fastpool"
    made = ("lib", "include", "_capi.py", "capsules.pxd", "_door.*")
    ignore = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "*.png", *made)
    shutil.copytree(repository, copy, symlinks=True, ignore=ignore)
    return copy


@pytest.fixture(scope="session")
def sdist(tree, tmp_path_factory):
    return build("sdist", tmp_path_factory.mktemp("sdist"), tree)


@pytest.fixture(scope="session")
def wheel(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    # Python 3.11 got filters with a bug-fix release; later versions warn when none is given
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, **safely)
    return build("wheel", tmp_path_factory.mktemp("wheel"), next(folder.iterdir()))
