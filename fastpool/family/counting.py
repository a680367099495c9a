"""Whether any or all elements of windows are true, and how many are numbers."""

from __future__ import annotations

from typing import Any

from fastpool.family.calls import Call
from fastpool.family.statistic_calls import Chosen
from fastpool.family.statistic_pages import Kind, ranked_statistic

__all__ = [
    "all_pool1d",
    "all_pool2d",
    "all_pool3d",
    "any_pool1d",
    "any_pool2d",
    "any_pool3d",
    "count_pool1d",
    "count_pool2d",
    "count_pool3d",
]


def _any(call: Call, given: dict[str, Any]) -> Chosen:
    return Chosen("any")


def _all(call: Call, given: dict[str, Any]) -> Chosen:
    return Chosen("all")


def _count(call: Call, given: dict[str, Any]) -> Chosen:
    return Chosen("count")


ANY = Kind(
    "any",
    "Whether any element is true,",
    _any,
    "True where any tap on x is not 0; NaN is not 0, as in NumPy. False for a window without taps.",
    (
        " True, False",
        "",
        "",
        "",
    ),
    dtypes="any element type but complex",
    nan=False,
    gradient="",
    result="bool",
    array="np.array([True, False, False, False])",
)
ALL = Kind(
    "all",
    "Whether all elements are true,",
    _all,
    "True where no tap on x is 0; NaN is not 0, as in NumPy. True for a window without taps.",
    (
        "False, False",
        "",
        "",
        "",
    ),
    dtypes="any element type but complex",
    nan=False,
    gradient="",
    result="bool",
    array="np.array([True, False, False, False])",
)
COUNT = Kind(
    "count",
    "Number of elements that are not NaN",
    _count,
    "Taps on x that are not NaN. Padding does not count.",
    (
        "2, 2",
        "",
        "",
        "",
    ),
    dtypes="any element type but complex",
    nan=False,
    gradient="",
    result="int64",
)

any_pool1d, any_pool2d, any_pool3d = ranked_statistic(ANY)
all_pool1d, all_pool2d, all_pool3d = ranked_statistic(ALL)
count_pool1d, count_pool2d, count_pool3d = ranked_statistic(COUNT)
