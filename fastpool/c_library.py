"""Where the C library and its header are, for those who compile and link against them."""

from __future__ import annotations

from pathlib import Path

from fastpool.errors import message


def get_include() -> Path:
    """The folder that holds ``fastpool.h``.

    Returns
    -------
    Path
        For a C compiler's ``-I``.

    Raises
    ------
    RuntimeError
        In this version, which has no C library.

    Examples
    --------
    >>> get_include()
    Traceback (most recent call last):
    RuntimeError: get_include: fastpool.h: this version has no C library; call the Python functions
    """
    raise RuntimeError(_missing("get_include", "fastpool.h"))


def get_library() -> Path:
    """The path of ``libfastpool`` itself.

    Returns
    -------
    Path
        For a linker, or for ``ctypes`` and other foreign function interfaces.

    Raises
    ------
    RuntimeError
        In this version, which has no C library.

    Examples
    --------
    >>> get_library()
    Traceback (most recent call last):
    RuntimeError: get_library: libfastpool: this version has no C library; call the Python functions
    """
    raise RuntimeError(_missing("get_library", "libfastpool"))


def _missing(called: str, what: str) -> str:
    return message(called, what, "this version has no C library", "call the Python functions")
