"""Variance, standard deviation and product of windows, and their gradients."""

from __future__ import annotations

from typing import Any

from fastpool.family.calls import Call
from fastpool.family.statistic_calls import Chosen
from fastpool.family.statistic_pages import Kind, Option, global_statistic, ranked_statistic

__all__ = [
    "global_std_pool",
    "global_std_pool_backward",
    "global_var_pool",
    "global_var_pool_backward",
    "prod_pool1d",
    "prod_pool1d_backward",
    "prod_pool2d",
    "prod_pool2d_backward",
    "prod_pool3d",
    "prod_pool3d_backward",
    "std_pool1d",
    "std_pool1d_backward",
    "std_pool2d",
    "std_pool2d_backward",
    "std_pool3d",
    "std_pool3d_backward",
    "var_pool1d",
    "var_pool1d_backward",
    "var_pool2d",
    "var_pool2d_backward",
    "var_pool3d",
    "var_pool3d_backward",
]


def _variance(call: Call, given: dict[str, Any]) -> Chosen:
    return Chosen("variance", (float(call.integer("ddof", given["ddof"], 0)), 0.0))


def _deviation(call: Call, given: dict[str, Any]) -> Chosen:
    return Chosen("variance", (float(call.integer("ddof", given["ddof"], 0)), 1.0))


def _product(call: Call, given: dict[str, Any]) -> Chosen:
    return Chosen("product")


DDOF = Option(
    "ddof", 0, "ddof : int\n    What is taken off the number of taps to divide by: 0, or 1 for an unbiased variance."
)
VARIANCE = Kind(
    "var",
    "Variance",
    _variance,
    """``y = sum (x - mean)^2 / (n - ddof)`` over the n taps of the window on x, NaN where ``n <= ddof``. Blocks of taps
    are merged by their number, mean and sum of squares about it [1]_, in float64: no digits are lost where the mean is
    large. The gradient of a tap is ``2 (x - mean) / (n - ddof)``.

    .. [1] Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
       sample variances", 1979.""",
    (
        "0.25, 4.  ",
        "-0.5,  0.5, -2. ,  2. ",
        "7.1875",
        "-1.375, -0.875,  0.125,  2.125",
    ),
    (DDOF,),
)
DEVIATION = Kind(
    "std",
    "Standard deviation",
    _deviation,
    """The root of the variance, see ``var_pool2d``. The gradient of a tap is ``(x - mean) / (y (n - ddof))``, and 0
    where y is 0.""",
    (
        "0.5, 2. ",
        "-0.5,  0.5, -0.5,  0.5",
        "2.681",
        "-0.2564, -0.1632,  0.0233,  0.3963",
    ),
    (DDOF,),
)
PRODUCT = Kind(
    "prod",
    "Product",
    _product,
    """``y = prod x``, 1 for a window without taps. Products are carried in float64 with an exponent of their own, so
    that neither the order of the taps nor a denormal factor costs digits, and zeros are counted apart. The gradient of
    a tap is the product of all others, also where taps are 0.""",
    (
        " 2., 32.",
        "2., 1., 8., 4.",
        "",
        "",
    ),
)

(
    var_pool1d,
    var_pool1d_backward,
    var_pool2d,
    var_pool2d_backward,
    var_pool3d,
    var_pool3d_backward,
) = ranked_statistic(VARIANCE)
global_var_pool, global_var_pool_backward = global_statistic(VARIANCE)
(
    std_pool1d,
    std_pool1d_backward,
    std_pool2d,
    std_pool2d_backward,
    std_pool3d,
    std_pool3d_backward,
) = ranked_statistic(DEVIATION)
global_std_pool, global_std_pool_backward = global_statistic(DEVIATION)
(
    prod_pool1d,
    prod_pool1d_backward,
    prod_pool2d,
    prod_pool2d_backward,
    prod_pool3d,
    prod_pool3d_backward,
) = ranked_statistic(PRODUCT)
