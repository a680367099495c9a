"""Log-sum-exp, softmax-weighted mean and entropies of windows, and their gradients."""

from __future__ import annotations

from typing import Any

from fastpool import arguments
from fastpool.family.calls import Call
from fastpool.family.statistic_calls import Chosen
from fastpool.family.statistic_pages import Kind, Option, global_statistic, ranked_statistic

__all__ = [
    "entropy_pool1d",
    "entropy_pool1d_backward",
    "entropy_pool2d",
    "entropy_pool2d_backward",
    "entropy_pool3d",
    "entropy_pool3d_backward",
    "global_entropy_pool",
    "global_entropy_pool_backward",
    "global_logsumexp_pool",
    "global_logsumexp_pool_backward",
    "logsumexp_pool1d",
    "logsumexp_pool1d_backward",
    "logsumexp_pool2d",
    "logsumexp_pool2d_backward",
    "logsumexp_pool3d",
    "logsumexp_pool3d_backward",
    "soft_pool1d",
    "soft_pool1d_backward",
    "soft_pool2d",
    "soft_pool2d_backward",
    "soft_pool3d",
    "soft_pool3d_backward",
]

FORMS = {"softmax": "entropy", "normalized": "shares"}


def _log_sum_exp(call: Call, given: dict[str, Any]) -> Chosen:
    r = call.number("sharpness", given["sharpness"])
    if r == 0:
        raise call.value_error("sharpness=0", "must not be 0, where it would be a mean", "use average pooling")
    return Chosen("logsumexp", (r, float(arguments.flag(call.called, "mean", given["mean"]))))


def _soft(call: Call, given: dict[str, Any]) -> Chosen:
    return Chosen("soft")


def _entropy(call: Call, given: dict[str, Any]) -> Chosen:
    return Chosen(FORMS[arguments.one_of(call.called, "form", given["form"], tuple(FORMS))])


LOG_SUM_EXP = Kind(
    "logsumexp",
    "Smooth maximum, the scaled logarithm of the mean of exponentials,",
    _log_sum_exp,
    """``y = (1/r) ln mean e^{r x}``, r the sharpness [1]_: the mean for r near 0, the maximum for large r, the
    minimum for large -r. With ``mean=False`` a sum: torch's ``logsumexp``. No exponential overflows. A window without
    taps gives ``-inf / r``. The gradient of a tap is its share in the sum of exponentials.

    .. [1] Pinheiro and Collobert, "From image-level to pixel-level labeling with convolutional networks", 2015.""",
    (
        "1.6201, 7.325 ",
        "0.2689, 0.7311, 0.018 , 0.982 ",
        "6.6352",
        "9.000e-04, 2.400e-03, 1.790e-02, 9.788e-01",
    ),
    (
        Option("sharpness", 1.0, "sharpness : float\n    The number r, finite and not 0."),
        Option("mean", True, "mean : bool\n    Whether the sum of exponentials is divided by the number of taps."),
    ),
)
SOFT = Kind(
    "soft",
    "Mean with softmax weights",
    _soft,
    """``y = sum w x`` with ``w = e^x / sum e^x`` over the window's taps [1]_; 0 for a window without taps. The gradient
    of a tap is ``w (1 + x - y)``, which the weights are part of (some other implementations leave them out).

    .. [1] Stergiou et al., "Refining activation downsampling with SoftPool", 2021.""",
    (
        "1.7311, 7.9281",
        " 0.0723,  0.9277, -0.0527,  1.0527",
        "",
        "",
    ),
)
ENTROPY = Kind(
    "entropy",
    "Shannon entropy",
    _entropy,
    """``y = -sum q ln q`` over the window's taps, where q is their softmax, ``e^x / sum e^x``, or with
    ``form="normalized"`` their share, ``v / sum v`` with ``v = max(x, 0)``. 0 for a window without taps, and where
    all v are 0. The gradient of a tap is ``-q (ln q + y)``; of a share ``-(ln q + y) / sum v``, and 0 where x is not
    above 0. Texture networks pool whole maps by it, in place of their mean.""",
    (
        "0.5822, 0.0901",
        " 0.1966, -0.1966,  0.0707, -0.0707",
        "0.114",
        " 0.0062,  0.0143,  0.07  , -0.0905",
    ),
    (Option("form", "softmax", 'form : {"softmax", "normalized"}\n    How taps become probabilities.'),),
)

(
    logsumexp_pool1d,
    logsumexp_pool1d_backward,
    logsumexp_pool2d,
    logsumexp_pool2d_backward,
    logsumexp_pool3d,
    logsumexp_pool3d_backward,
) = ranked_statistic(LOG_SUM_EXP)
global_logsumexp_pool, global_logsumexp_pool_backward = global_statistic(LOG_SUM_EXP)
(
    soft_pool1d,
    soft_pool1d_backward,
    soft_pool2d,
    soft_pool2d_backward,
    soft_pool3d,
    soft_pool3d_backward,
) = ranked_statistic(SOFT)
(
    entropy_pool1d,
    entropy_pool1d_backward,
    entropy_pool2d,
    entropy_pool2d_backward,
    entropy_pool3d,
    entropy_pool3d_backward,
) = ranked_statistic(ENTROPY)
global_entropy_pool, global_entropy_pool_backward = global_statistic(ENTROPY)
