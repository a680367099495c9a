"""setuptools' build backend, which also asks for the compiler of the kernels where a C compiler can link them."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

from setuptools import build_meta as _setuptools
from setuptools.build_meta import *  # noqa: F403

NEEDED = ["numba==0.68.1", "numpy>=2.3", "cffi>=1.17"]
"""Numba exactly: the build uses parts of it that are not public."""


def _needed() -> list[str]:
    wanted = os.environ.get("FASTPOOL_BUILD_CAPI", "")
    compilers = (os.environ.get("CC") or "gcc", "gcc", "clang", "cc")
    possible = sys.platform == "linux" and any(map(shutil.which, compilers))
    return NEEDED if wanted != "0" and possible else []


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What building a wheel needs."""
    return [*_setuptools.get_requires_for_build_wheel(config_settings), *_needed()]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """What an editable installation needs."""
    return [*_setuptools.get_requires_for_build_editable(config_settings), *_needed()]
