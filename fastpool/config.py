"""Environment variables and thread settings, read here alone.

``VARIABLES`` is the one table of what the environment can say; ``docs/environment.md`` is printed from it.
Variables are read when they are asked for, so a change takes effect at the next call, except where the table
says otherwise.
"""

from __future__ import annotations

import operator
import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import NamedTuple

from fastpool.errors import listed, message, shown, type_name


class Variable(NamedTuple):
    """One environment variable: its name, its values in words, its default in words, and what it does."""

    name: str
    values: str
    default: str
    meaning: str

    def read(self) -> str:
        """The text that is set, without surrounding blanks; "" when unset."""
        return os.environ.get(self.name, "").strip() if _key(self.name) in _environment else ""


NUM_THREADS = Variable(
    "FASTPOOL_NUM_THREADS",
    "an integer, at least 1",
    "the number of CPUs that the process may run on",
    "How many threads a call uses until `set_num_threads` or `threads` says otherwise. Read once.",
)
VERBOSE = Variable(
    "FASTPOOL_VERBOSE",
    "`dispatch`",
    "unset: silent",
    "`dispatch` prints a line to standard error for every call: the problem as text, and its kernel.",
)
FORCE_KERNEL = Variable(
    "FASTPOOL_FORCE_KERNEL",
    "the name of a kernel form, see [kernels](kernels.md); `cuda_` and a form of the GPU, see [GPUs](cuda.md)",
    "unset: the first form of the list that accepts the problem",
    "Tries this form before all others, which do what it cannot. An unknown name is an error.",
)
ON_GPU = "cuda_"
"""What the names of the GPU's forms begin with in that variable."""

ENGINE = Variable(
    "FASTPOOL_ENGINE",
    "`aot`, `c`, `njit`, `jit` or `reference`",
    "unset: `aot` where the C library was built and has the kernels, else `jit`, else `reference`",
    "Tries this engine before all others, which do what it cannot: kernels compiled ahead of time (`aot`), just in "
    "time (`jit`), or plain NumPy (`reference`). `c` and `njit` go the way of other callers: through a single call of "
    "the C library, which plans each time, and through the functions inside `@njit`.",
)
CPU_LEVEL = Variable(
    "FASTPOOL_CPU_LEVEL",
    "`v2`, `v3` or `v4`",
    "unset: the highest that the processor has",
    "The level of x86-64 whose kernels the C library runs, and that others are compiled for just in time, if the "
    "processor has it. The library reads it once, by itself.",
)
CACHE_DIR = Variable(
    "FASTPOOL_CACHE_DIR",
    "a folder",
    "unset: where Numba puts it (`NUMBA_CACHE_DIR`, else beside the sources, else the user's cache folder)",
    "Where compiled kernels are kept between processes. The folder is made if it is missing.",
)

VARIABLES = (NUM_THREADS, VERBOSE, FORCE_KERNEL, ENGINE, CPU_LEVEL, CACHE_DIR)

# The mapping behind os.environ, where there is one: to look for a name there takes 15 ns, and 570 through os.environ.
_environment = getattr(os.environ, "_data", os.environ)


@cache
def _key(name: str) -> str | bytes:
    return name if _environment is os.environ else os.environ.encodekey(name)


SPEAKS = (_environment, _key(VERBOSE.name), _key(FORCE_KERNEL.name))
"""A mapping, and what is in it where calls are to be told, or kernels to be chosen, so that each call has to look."""

VERBOSE_VALUES = ("", "dispatch")
ENGINES = ("aot", "c", "njit", "jit", "reference")

_chosen = array("q", [0])
"""The number of threads that the process has chosen, or 0; in a place that compiled code can read."""

_in_context: ContextVar[int | None] = ContextVar("fastpool_threads", default=None)


def set_num_threads(n: int) -> None:
    """Set how many threads a call uses, for the whole process.

    Parameters
    ----------
    n : int
        Number of threads, at least 1.

    Raises
    ------
    TypeError
        If ``n`` is not an integer.
    ValueError
        If ``n`` is below 1.

    See Also
    --------
    threads : the same for a block of code, in one thread or task only.

    Examples
    --------
    >>> before = get_num_threads()
    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(before)
    """
    _chosen[0] = _thread_count(n, "set_num_threads", f"n={shown(n)}")


def get_num_threads() -> int:
    """How many threads a call made here uses.

    Returns
    -------
    int
        That of the innermost ``threads`` block, else what ``set_num_threads`` set, else
        ``FASTPOOL_NUM_THREADS`` as it was when first needed, else the number of CPUs that the process may
        run on.

    Raises
    ------
    ValueError
        If it comes to ``FASTPOOL_NUM_THREADS`` and that is not an integer of at least 1.
    """
    here = _in_context.get()
    if here is not None:
        return here
    # 0 is no number of threads
    return _chosen[0] or _at_start()


def chosen_threads_address() -> int:
    """Where the number of threads that ``set_num_threads`` set lies, as an int64; 0 while it was not called."""
    return _chosen.buffer_info()[0]


def threads_at_start() -> int:
    """How many threads a call uses until the process chooses, also where the environment cannot be read."""
    try:
        return _at_start()
    except ValueError:
        return available_cpus()


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Use ``n`` threads per call inside a ``with`` block.

    The setting belongs to the current thread or asyncio task. Other threads do not see it, even when they are
    started inside the block.

    Parameters
    ----------
    n : int
        Number of threads, at least 1.

    Raises
    ------
    TypeError
        If ``n`` is not an integer.
    ValueError
        If ``n`` is below 1.

    Examples
    --------
    >>> with threads(1):
    ...     get_num_threads()
    1
    """
    token = _in_context.set(_thread_count(n, "threads", f"n={shown(n)}"))
    try:
        yield
    finally:
        _in_context.reset(token)


def verbose_dispatch() -> bool:
    """Whether every call says which kernel runs it.

    Raises
    ------
    ValueError
        If ``FASTPOOL_VERBOSE`` has a value that the table lacks.
    """
    value = VERBOSE.read()
    if value not in VERBOSE_VALUES:
        rule = f"the value must be one of {listed(VERBOSE_VALUES)}"
        raise ValueError(message("environment", f"{VERBOSE.name}={value!r}", rule, "unset it to be silent"))
    return value == "dispatch"


def forced_kernel() -> str:
    """The kernel that ``FASTPOOL_FORCE_KERNEL`` names, or ""; whether it exists is for dispatch to check."""
    return FORCE_KERNEL.read()


def engine() -> str:
    """The engine that ``FASTPOOL_ENGINE`` names, or "".

    Raises
    ------
    ValueError
        If it is none of the engines.
    """
    value = ENGINE.read()
    if value and value not in ENGINES:
        rule = f"the value must be one of {listed(ENGINES)}"
        raise ValueError(message("environment", f"{ENGINE.name}={value!r}", rule, "unset it for the fastest there is"))
    return value


def cache_dir() -> str:
    """The folder that ``FASTPOOL_CACHE_DIR`` names for compiled kernels, or "" for Numba's own choice."""
    return CACHE_DIR.read()


def cpu_level() -> str:
    """The level of instructions that ``FASTPOOL_CPU_LEVEL`` names, or ""."""
    return CPU_LEVEL.read()


def available_cpus() -> int:
    """Number of CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _at_start() -> int:
    text = NUM_THREADS.read()
    if not text:
        return available_cpus()
    try:
        n = int(text)
    except ValueError:
        n = 0
    return _thread_count(n, "environment", f"{NUM_THREADS.name}={text!r}")


def _thread_count(n: int, called: str, given: str) -> int:
    rule = "the number of threads must be an integer of at least 1"
    way_out = f"this process may run on {available_cpus()} CPUs"
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(message(called, f"{given} ({type_name(n)})", rule, way_out))
    count = operator.index(n)
    if count < 1:
        raise ValueError(message(called, given, rule, way_out))
    # an int of C
    return min(count, 2**31 - 1)
