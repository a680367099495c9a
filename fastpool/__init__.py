"""Pooling of any array: max, min, mean, sum and Lp, over any axes, forward and backward.

>>> import numpy as np
>>> import fastpool
>>> fastpool.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
array([[[[ 5.,  7.],
         [13., 15.]]]])
"""

from typing import Any

from fastpool._version import __version__
from fastpool.c_library import get_include, get_library
from fastpool.config import get_num_threads, set_num_threads, threads
from fastpool.diagnostics import show_config
from fastpool.functional import (
    avg_pool1d,
    avg_pool1d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    avg_pool3d,
    avg_pool3d_backward,
    explain,
    global_avg_pool,
    global_avg_pool_backward,
    global_lp_pool,
    global_lp_pool_backward,
    global_max_pool,
    global_max_pool_backward,
    global_min_pool,
    global_min_pool_backward,
    global_sum_pool,
    global_sum_pool_backward,
    lp_pool1d,
    lp_pool1d_backward,
    lp_pool2d,
    lp_pool2d_backward,
    lp_pool3d,
    lp_pool3d_backward,
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool3d,
    max_pool3d_backward,
    min_pool1d,
    min_pool1d_backward,
    min_pool2d,
    min_pool2d_backward,
    min_pool3d,
    min_pool3d_backward,
    pool,
    pool_backward,
    reduction,
    sum_pool1d,
    sum_pool1d_backward,
    sum_pool2d,
    sum_pool2d_backward,
    sum_pool3d,
    sum_pool3d_backward,
    vjp,
)
from fastpool.own import Reduction

__all__ = [
    "Reduction",
    "__version__",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "explain",
    "get_include",
    "get_library",
    "get_num_threads",
    "global_avg_pool",
    "global_avg_pool_backward",
    "global_lp_pool",
    "global_lp_pool_backward",
    "global_max_pool",
    "global_max_pool_backward",
    "global_min_pool",
    "global_min_pool_backward",
    "global_sum_pool",
    "global_sum_pool_backward",
    "lp_pool1d",
    "lp_pool1d_backward",
    "lp_pool2d",
    "lp_pool2d_backward",
    "lp_pool3d",
    "lp_pool3d_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "min_pool1d",
    "min_pool1d_backward",
    "min_pool2d",
    "min_pool2d_backward",
    "min_pool3d",
    "min_pool3d_backward",
    "pool",
    "pool_backward",
    "reduction",
    "set_num_threads",
    "show_config",
    "sum_pool1d",
    "sum_pool1d_backward",
    "sum_pool2d",
    "sum_pool2d_backward",
    "sum_pool3d",
    "sum_pool3d_backward",
    "threads",
    "vjp",
]


def __getattr__(name: str) -> Any:
    """The functions of the family: their modules are loaded when one of them is first asked for."""
    from importlib import import_module

    from fastpool.family import operations

    module = operations.modules().get(name)
    if module is None:
        raise AttributeError(f"module 'fastpool' has no attribute {name!r}")
    found = getattr(import_module(f"fastpool.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    from fastpool.family import operations

    return sorted({*globals(), *operations.names()})
