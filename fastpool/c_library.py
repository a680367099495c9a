"""Where the C library and its header are, for those who compile and link against them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastpool import library
from fastpool.errors import message

if TYPE_CHECKING:
    from pathlib import Path


def get_include() -> Path:
    """The folder that holds ``fastpool.h``.

    Returns
    -------
    Path
        For a C compiler's ``-I``.

    Raises
    ------
    RuntimeError
        Where the library was not built; ``show_config()`` says why.

    See Also
    --------
    get_library : the library to link with.

    Examples
    --------
    >>> from fastpool import library
    >>> library.library() is None or (get_include() / "fastpool.h").exists()
    True
    """
    return _built("get_include", "fastpool.h", os.path.join(library.INCLUDE, "fastpool.h")).parent


def get_library() -> Path:
    """The path of ``libfastpool`` itself.

    Returns
    -------
    Path
        For a linker, or for ``ctypes`` and other foreign function interfaces. The folder also holds the static
        library, ``libfastpool.a``.

    Raises
    ------
    RuntimeError
        Where the library was not built; ``show_config()`` says why.

    See Also
    --------
    get_include : the folder of its header.

    Examples
    --------
    >>> from fastpool import library
    >>> library.library() is None or get_library().name.startswith("libfastpool.so.")
    True
    """
    return _built("get_library", "libfastpool", library.path_of_library())


def _built(called: str, what: str, path: str) -> Path:
    # not above: it takes longer to import than the rest of this package
    from pathlib import Path

    if not os.path.exists(path):
        way_out = "install with a C compiler (gcc or clang) at hand, or call the Python functions"
        # where a compiler failed, the reason is what it said, in many lines
        why = " ".join(library.missing().split())
        raise RuntimeError(message(called, what, f"the C library is not there: {why}", way_out))
    return Path(path)
