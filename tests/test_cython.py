"""Callers that take the library's functions from capsules, or give compiled code to SciPy."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastpool
from fastpool import capsules, library
from fastpool.kernels.c_abi.cython import prototypes

pytestmark = pytest.mark.skipif(library.library() is None, reason=f"no C library: {library.missing()}")


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Any:
    """The example, compiled."""
    pytest.importorskip("Cython")
    include = sysconfig.get_paths()["include"]
    if not shutil.which("gcc") or not Path(include, "Python.h").exists():
        pytest.skip("there is no C compiler, or the headers of Python are missing")
    folder = tmp_path_factory.mktemp("cython")
    source, made = folder / "pooled.c", folder / "pooled.so"
    env = {**os.environ, "PYTHONPATH": str(Path(fastpool.__file__).parent.parent)}
    pyx = repository / "examples" / "cython" / "pooled.pyx"
    subprocess.run([sys.executable, "-m", "cython", str(pyx), "-o", str(source)], env=env, check=True)
    flags = ["-O1", "-fPIC", "-shared", "-I", include, "-I", str(fastpool.get_include())]
    subprocess.run(["gcc", *flags, str(source), "-o", str(made)], check=True)
    spec = importlib.util.spec_from_file_location("pooled", made)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cython_calls_the_library(pooled: Any) -> None:
    frames = np.random.default_rng(0).random((5, 31, 44), np.float32)
    for k in (1, 2, 5, 31):
        np.testing.assert_array_equal(pooled.brightest(frames, k), fastpool.max_pool2d(frames, k))
    with pytest.raises(ValueError, match="a window does not fit"):
        pooled.brightest(frames, 32)


def test_there_is_a_capsule_for_each_function() -> None:
    exported = (Path(capsules.__file__).parent / "kernels" / "c_abi" / "exports.txt").read_text(encoding="utf-8")
    assert sorted(capsules.__pyx_capi__) == sorted(exported.split())


def test_numba_takes_them_too() -> None:
    from numba.extending import get_cython_function_address

    address = get_cython_function_address("fastpool.capsules", "fastpool_output_size")
    call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(address)
    assert call(112, 3, 2, 1) == 56


def test_scipy_calls_what_numba_compiles() -> None:
    """The program of docs/embedding.md: a filter of SciPy whose inner function is compiled, and pools."""
    ndimage = pytest.importorskip("scipy.ndimage")
    from numba import carray, cfunc, types
    from scipy import LowLevelCallable

    from fastpool import njit

    njit.init()
    pointer = types.CPointer(types.float64)

    @cfunc(types.intc(pointer, types.intp, pointer, types.intp, types.voidptr))
    def dilate(line, length, result, results, data):
        fastpool.max_pool1d(carray(line, (length,)), length - results + 1, stride=1, out=carray(result, (results,)))
        return 1

    image = np.random.default_rng(1).random((40, 50))
    found = ndimage.generic_filter1d(image, LowLevelCallable(dilate.ctypes), 7)
    np.testing.assert_array_equal(found, ndimage.maximum_filter1d(image, 7))


def test_prototypes() -> None:
    header = """/* FASTPOOL_API int in_a_comment(void); */
FASTPOOL_API const char *text(fastpool_status status);
FASTPOOL_API int64_t size(const double *const x, fastpool_plan **plan,
                          int n);
FASTPOOL_API void nothing(void);
"""
    assert {name: found.signature for name, found in prototypes(header).items()} == {
        "text": "char *(fastpool_status)",
        "size": "int64_t (double *, fastpool_plan **, int)",
        "nothing": "void (void)",
    }
    for wrong in ("unsigned char *x", "const struct a *b", "double v[4]", "void (*f)(int)"):
        with pytest.raises(ValueError, match="is not a type of one word"):
            prototypes(f"FASTPOOL_API void f({wrong});\n")
