"""These tests run in Numba's simulator, which has to be chosen before Numba is imported: tests/test_cuda.py does it."""

import os

import pytest

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"


def pytest_collection_modifyitems(items):
    if not SIMULATED:
        for item in items:
            if item.path.parent.name == "cuda":
                item.add_marker(pytest.mark.skip(reason="run by tests/test_cuda.py, in Numba's simulator of a GPU"))
