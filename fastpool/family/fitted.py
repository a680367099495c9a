"""Generalised means, and distributions fitted to windows: Gamma and Weibull, and their gradients."""

from __future__ import annotations

from typing import Any

from fastpool import arguments
from fastpool.family.calls import Call
from fastpool.family.statistic_calls import Chosen
from fastpool.family.statistic_pages import Kind, Option, global_statistic, ranked_statistic

__all__ = [
    "gamma_pool1d",
    "gamma_pool1d_backward",
    "gamma_pool2d",
    "gamma_pool2d_backward",
    "gamma_pool3d",
    "gamma_pool3d_backward",
    "gem_pool1d",
    "gem_pool1d_backward",
    "gem_pool2d",
    "gem_pool2d_backward",
    "gem_pool3d",
    "gem_pool3d_backward",
    "global_gamma_pool",
    "global_gamma_pool_backward",
    "global_gem_pool",
    "global_gem_pool_backward",
    "global_weibull_pool",
    "global_weibull_pool_backward",
    "weibull_pool1d",
    "weibull_pool1d_backward",
    "weibull_pool2d",
    "weibull_pool2d_backward",
    "weibull_pool3d",
    "weibull_pool3d_backward",
]


def _gem(call: Call, given: dict[str, Any]) -> Chosen:
    return Chosen("power", (0.0, call.number("eps", given["eps"], 0.0)), given["p"], True)


def _gamma(call: Call, given: dict[str, Any]) -> Chosen:
    statistic = arguments.one_of(call.called, "statistic", given["statistic"], ("theta", "k"))
    return Chosen("gamma", (_least(call, given), float(statistic == "k")))


def _least(call: Call, given: dict[str, Any]) -> float:
    least = call.number("eps", given["eps"], 0.0)
    if least == 0:
        raise call.value_error("eps=0", "must be above 0, as the logarithm of 0 is infinite", "give a small number")
    return least


def _weibull(call: Call, given: dict[str, Any]) -> Chosen:
    statistic = arguments.one_of(call.called, "statistic", given["statistic"], ("scale", "shape"))
    shape = call.number("shape", given["shape"], 0.0)
    if shape == 0:
        raise call.value_error("shape=0", "must be above 0", "1 is the exponential distribution")
    least = _least(call, given)
    return Chosen("power", (0.0, least), shape) if statistic == "scale" else Chosen("weibull", (least, 0.0))


GEM = Kind(
    "gem",
    "Generalised mean",
    _gem,
    """``y = (mean v^p)^(1/p)`` with ``v = max(x, eps)`` [1]_: the mean for p = 1, the maximum for large p; 0 for a
    window without taps. It is computed as the exponential of a smooth maximum of ``p ln v``, so that no power
    overflows. The gradient of a tap is ``y v^(p-1) / sum v^p``, and 0 below eps; that of p is the sum over windows of
    ``y (sum v^p ln v / sum v^p - ln y) / p``, in one order whatever the layout.

    .. [1] Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation", 2018.""",
    (
        "1.651 , 6.6039",
        "0.1834, 0.7338, 0.1834, 0.7338",
        "5.2686",
        "0.009 , 0.036 , 0.1441, 0.5764",
    ),
    (
        Option(
            "p",
            3.0,
            """p : float or array
    The exponent, finite and not 0: a number, or an array of one element or one for each channel, float32 or
    float64, of x's kind. On a GPU it is a number.""",
        ),
        Option("eps", 1e-6, "eps : float\n    Elements below are taken as this, at least 0."),
    ),
    gradient="""dx : array
    Gradient with respect to x: its shape, dtype and kind of array.
dp : float or array
    Gradient with respect to p: a number for a number, else an array like p. ``out`` is then a pair. On a
    GPU the number is waited for.""",
)
GAMMA = Kind(
    "gamma",
    "Scale or shape of the Gamma distribution fitted to the elements",
    _gamma,
    """``theta`` is the scale, the covariance of v and ``ln v`` over the window, and ``k`` the shape, the mean of v over
    theta, with ``v = max(x, eps)``: the closed form of [1]_ (without its correction for few taps). NaN for a window
    without taps; where all taps are equal, theta is 0 and k infinite, without gradient.

    .. [1] Ye and Chen, "Closed-form estimators for the gamma distribution derived from likelihood equations", 2017.""",
    (
        "0.1733, 0.6931",
        "-0.4233,  0.2983, -0.4233,  0.2983",
        "1.9928",
        "-0.9474, -0.3054,  0.1023,  0.3927",
    ),
    (
        Option("statistic", "theta", 'statistic : {"theta", "k"}\n    The scale or the shape.'),
        Option("eps", 1e-6, "eps : float\n    Elements below are taken as this, above 0."),
    ),
)

WEIBULL = Kind(
    "weibull",
    "Scale or shape of the Weibull distribution fitted to the elements",
    _weibull,
    """The estimates of largest likelihood, with ``v = max(x, eps)``. The scale, for a shape c that is given, is
    ``(mean v^c)^(1/c)``, a generalised mean. The shape is the c at which
    ``sum v^c ln v / sum v^c - 1/c - mean ln v`` is 0, found by Newton's method to the last digits; infinite where all
    taps are equal, NaN for a window without taps. Its gradient follows from the derivatives of that equation.""",
    (
        "1.5, 6. ",
        "0.5, 0.5, 0.5, 0.5",
        "3.75",
        "0.25, 0.25, 0.25, 0.25",
    ),
    (
        Option(
            "statistic", "scale", 'statistic : {"scale", "shape"}\n    What is estimated; the shape on the CPU alone.'
        ),
        Option("shape", 1.0, "shape : float\n    The shape that the scale is estimated for, above 0."),
        Option("eps", 1e-6, "eps : float\n    Elements below are taken as this, above 0."),
    ),
)

(
    gem_pool1d,
    gem_pool1d_backward,
    gem_pool2d,
    gem_pool2d_backward,
    gem_pool3d,
    gem_pool3d_backward,
) = ranked_statistic(GEM)
global_gem_pool, global_gem_pool_backward = global_statistic(GEM)
(
    gamma_pool1d,
    gamma_pool1d_backward,
    gamma_pool2d,
    gamma_pool2d_backward,
    gamma_pool3d,
    gamma_pool3d_backward,
) = ranked_statistic(GAMMA)
global_gamma_pool, global_gamma_pool_backward = global_statistic(GAMMA)
(
    weibull_pool1d,
    weibull_pool1d_backward,
    weibull_pool2d,
    weibull_pool2d_backward,
    weibull_pool3d,
    weibull_pool3d_backward,
) = ranked_statistic(WEIBULL)
global_weibull_pool, global_weibull_pool_backward = global_statistic(WEIBULL)
