from pathlib import Path

import pytest

from fastpool import config


@pytest.fixture(scope="session")
def repository():
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def clean_threads(monkeypatch):
    """No thread setting from outside the test, and none left behind."""
    monkeypatch.delenv("FASTPOOL_NUM_THREADS", raising=False)
    monkeypatch.setattr(config, "_chosen", None)
    config._at_start.cache_clear()
    yield
    config._at_start.cache_clear()
