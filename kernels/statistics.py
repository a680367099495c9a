"""Statistics of a window's taps: each one a few scalar functions over a state of one to five numbers.

Windows move, kernels combine, and a statistic says how, on *states*, tuples of numbers of one float type::

    identity                      the state of no tap
    lift(x, p)                    the state of one tap of value x
    combine(a, b)                 of two neighbouring blocks of taps, a before b; associative up to rounding
    lower(s, n, p)                the result, of n taps on the input
    pull(g, s, n, p)              what a window with gradient g keeps for its taps: a tuple of ``kept`` numbers
    slope(c, x, p)                the gradient that a tap of value x gets from a window that kept c
    parameter_slope(g, s, n, p)   what the window adds to the gradient of p[0]

``p`` is a pair of parameters. The functions are plain Python in the subset that the CPU and GPU compilers share: every
number has the type ``real``, and exponential and logarithm are those of the target (``Maths``). A state with a NaN tap
lowers to NaN, and its taps' slopes are NaN. No compiler is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from fastpool.kernels.statistic_counts import all_true, any_true, count_numbers
from fastpool.kernels.statistic_states import Maths, Statistic, without_nan

SINGLE = ("logsumexp", "soft", "entropy", "power")
"""Statistics whose states are float32 for elements of up to 32 bits. Those of all others are float64."""


def real_of(name: str, dtype: str) -> str:
    """The type of a statistic's states for elements of a type."""
    return "f32" if name in SINGLE and dtype in ("f16", "bf16", "f32") else "f64"


def _log_sum_exp(m: Maths) -> Statistic:
    """(1/r) ln sum e^{r x}, with p[1] of the mean, for r = p[0]; state: largest r x, sum of e^{r x - largest}."""
    real, exp, log = m.real, m.exp, m.log
    zero, one = real(0), real(1)

    def lift(x, p):
        return (x * p[0], one)

    def combine(a, b):
        # one exponential: the other is 1. Equal infinities have no difference
        t = exp(-abs(a[0] - b[0])) if a[0] != b[0] else one
        above = a[0] >= b[0]
        return (a[0] if above else b[0], a[1] + b[1] * t if above else a[1] * t + b[1])

    def lower(s, n, p):
        total = s[1] / n if (p[1] != zero) & (n > zero) else s[1]
        return (s[0] + log(total)) / p[0]

    def pull(g, s, n, p):
        return (s[0], g / s[1])

    def slope(c, x, p):
        v = x * p[0]
        return c[1] * (exp(v - c[0]) if v != c[0] else one)

    return Statistic((-math.inf, 0.0), lift, combine, lower, pull, slope, kept=2)


def _softmax(m: Maths, entropy: bool) -> Statistic:
    """Of w = softmax x: sum w x, or the entropy -sum w ln w.

    State: largest x, sum of e^d, sum of d e^d, where d = x - largest, so that large x cost no digits.
    """
    real, exp, log = m.real, m.exp, m.log
    zero, one = real(0), real(1)

    def lift(x, p):
        return (x, one, zero)

    def combine(a, b):
        d = -abs(a[0] - b[0]) if a[0] != b[0] else zero
        t = exp(d)
        above = a[0] >= b[0]
        weight, moment = (b[1] if above else a[1]), (b[2] if above else a[2])
        # without the condition, 0 times infinity where a state has no tap
        moved = t * (moment + d * weight) if t > zero else zero
        return (
            a[0] if above else b[0],
            (a[1] if above else b[1]) + weight * t,
            (a[2] if above else b[2]) + moved,
        )

    def lower_mean(s, n, p):
        return s[0] + s[2] / s[1] if s[1] != zero else zero

    def lower_entropy(s, n, p):
        return log(s[1]) - s[2] / s[1] if s[1] != zero else zero

    def pull(g, s, n, p):
        return (s[0], g / s[1], s[2] / s[1])

    def slope_mean(c, x, p):
        d = x - c[0] if x != c[0] else zero
        return c[1] * exp(d) * (one + (d - c[2]))

    def slope_entropy(c, x, p):
        d = x - c[0] if x != c[0] else zero
        return c[1] * exp(d) * (c[2] - d)

    lower, slope = (lower_entropy, slope_entropy) if entropy else (lower_mean, slope_mean)
    return Statistic((-math.inf, 0.0, 0.0), lift, combine, lower, pull, slope, kept=3)


def _share_entropy(m: Maths) -> Statistic:
    """-sum q ln q of the shares q = v / sum v, v = max(x, 0); state: sum v, sum v ln v."""
    real, log = m.real, m.log
    zero = real(0)

    def lift(x, p):
        # of NaN, NaN
        v = zero if x <= zero else x
        return (v, v * log(v) if v != zero else zero)

    def combine(a, b):
        return (a[0] + b[0], a[1] + b[1])

    def lower(s, n, p):
        return log(s[0]) - s[1] / s[0] if s[0] != zero else zero

    def pull(g, s, n, p):
        return (g / s[0], s[1] / s[0])

    def slope(c, x, p):
        return zero if x <= zero else c[0] * (c[1] - log(x))

    return Statistic((0.0, 0.0), lift, combine, lower, pull, slope, kept=2)


def _power_mean(m: Maths) -> Statistic:
    """(mean v^p)^{1/p}, v = max(x, p[1]), p = p[0]: the mean of e^{p ln v}, whatever their size.

    State: largest p ln v, sum of w = e^{p ln v - largest}, sum of w ln v, the latter for the gradient of p.
    """
    real, exp, log = m.real, m.exp, m.log
    zero, one, lowest = real(0), real(1), real(-math.inf)

    def lift(x, p):
        f = log(p[1] if x < p[1] else x)
        return (p[0] * f, one, zero if f == lowest else f)

    def combine(a, b):
        t = exp(-abs(a[0] - b[0])) if a[0] != b[0] else one
        above = a[0] >= b[0]
        return (
            a[0] if above else b[0],
            a[1] + b[1] * t if above else a[1] * t + b[1],
            a[2] + b[2] * t if above else a[2] * t + b[2],
        )

    def lower(s, n, p):
        return exp((s[0] + log(s[1] / n)) / p[0]) if n > zero else zero

    def pull(g, s, n, p):
        y = exp((s[0] + log(s[1] / n)) / p[0])
        # where all taps are 0
        return (s[0], zero if s[0] == lowest else g * y / s[1])

    def slope(c, x, p):
        change = exp((p[0] - one) * log(x) - c[0]) if x > zero else zero
        return zero if x < p[1] else c[1] * change

    def parameter_slope(g, s, n, p):
        f = (s[0] + log(s[1] / n)) / p[0]
        change = exp(f) * (s[2] / s[1] - f) / p[0]
        return g * change if (s[1] != zero) & (s[0] != lowest) else zero

    return Statistic((-math.inf, 0.0, 0.0), lift, combine, lower, pull, slope, parameter_slope, kept=2, by_channel=True)


def _cube_mean(m: Maths) -> Statistic:
    """The power mean for p = 3 of elements whose cubes are numbers; state: sum of cubes."""
    real, exp, log = m.real, m.exp, m.log
    zero, third = real(0), real(1 / 3)

    def lift(x, p):
        v = p[1] if x < p[1] else x
        return (v * v * v,)

    def combine(a, b):
        return (a[0] + b[0],)

    def lower(s, n, p):
        return exp(log(s[0] / n) * third) if n > zero else zero

    return Statistic((0.0,), lift, combine, lower)


def _product(m: Maths) -> Statistic:
    """Product; state: product of all but zeros, scaled into 2^-300 .. 2^300, by how many 2^300, number of zeros."""
    real = m.real
    zero, one = real(0), real(1)
    high, low = real(2.0**300), real(2.0**-300)

    def shrink(v, e):
        big, small = abs(v) > high, (abs(v) < low) & (v != zero)
        return (v * low if big else (v * high if small else v), e + one if big else (e - one if small else e))

    # no loops: inside of others, they would be all that is made of vectors
    def once(v, e):
        up, down = e > zero, e < zero
        return (v * high if up else (v * low if down else v), e - one if up else (e + one if down else e))

    def grow_narrow(v, e):
        v, e = once(v, e)
        v, e = once(v, e)
        return v

    def grow_wide(v, e):
        v, e = once(v, e)
        v, e = once(v, e)
        v, e = once(v, e)
        v, e = once(v, e)
        v, e = once(v, e)
        return v

    def lift_narrow(x, p):
        nothing = x == zero
        return (one if nothing else x, zero, one if nothing else zero)

    def lift_wide(x, p):
        nothing = x == zero
        v, e = shrink(one if nothing else x, zero)
        v, e = shrink(v, e)
        v, e = shrink(v, e)
        return (v, e, one if nothing else zero)

    grow, lift = (grow_narrow, lift_narrow) if m.narrow else (grow_wide, lift_wide)

    def combine(a, b):
        v, e = shrink(a[0] * b[0], a[1] + b[1])
        return (v, e, a[2] + b[2])

    def lower(s, n, p):
        v = grow(s[0], s[1])
        return v * zero if s[2] > zero else v

    def pull(g, s, n, p):
        return (g, s[0], s[1], s[2])

    def slope(c, x, p):
        s = lift(x, p)
        # without this tap
        zeros = c[3] - s[2]
        v = grow(c[1] / s[0], c[2] - s[1])
        return c[0] * v if zeros == zero else c[0] * (v * zero)

    return Statistic((1.0, 0.0, 0.0), lift, combine, lower, pull, slope, kept=4)


def _variance(m: Maths) -> Statistic:
    """Variance, sum (x - mean)^2 / (n - p[0]), with p[1] its root.

    State: number, mean, sum of squares about it (Chan, Golub and LeVeque 1979).
    """
    real = m.real
    zero, one, two, nan = real(0), real(1), real(2), real(math.nan)

    def lift(x, p):
        return (one, x, zero)

    def combine(a, b):
        n = a[0] + b[0]
        share = b[0] / n if n > zero else zero
        d = b[1] - a[1]
        return (n, a[1] + d * share, a[2] + (b[2] + d * d * (a[0] * share)))

    def lower(s, n, p):
        free = s[0] - p[0]
        v = s[2] / free if free > zero else nan
        return real(math.sqrt(v)) if p[1] != zero else v

    def pull(g, s, n, p):
        free = s[0] - p[0]
        root = real(math.sqrt(s[2] / free))
        scale = (g / (root * free) if s[2] != zero else zero) if p[1] != zero else two * g / free
        return (s[1], scale if free > zero else nan)

    def slope(c, x, p):
        return c[1] * (x - c[0])

    return Statistic((0.0, 0.0, 0.0), lift, combine, lower, pull, slope, kept=2)


def _gamma(m: Maths) -> Statistic:
    """Gamma distribution by Ye and Chen 2017, v = max(x, p[0]): the scale theta, with p[1] the shape k.

    theta is the covariance of v and ln v, k the mean over theta. State: number, mean of v, of ln v, co-moment.
    """
    real, log = m.real, m.log
    zero, one, nan = real(0), real(1), real(math.nan)

    def lift(x, p):
        v = p[0] if x < p[0] else x
        return (one, v, log(v), zero)

    def combine(a, b):
        n = a[0] + b[0]
        share = b[0] / n if n > zero else zero
        d, e = b[1] - a[1], b[2] - a[2]
        return (n, a[1] + d * share, a[2] + e * share, a[3] + (b[3] + d * e * (a[0] * share)))

    def lower(s, n, p):
        theta = s[3] / s[0] if s[0] > zero else nan
        return s[1] / theta if p[1] != zero else theta

    def pull(g, s, n, p):
        theta = s[3] / s[0]
        # of a window of equal taps, k is infinite and has no gradient
        of_shape = p[1] != zero
        even, odd = g / (s[0] * theta), g * s[1] / (s[0] * theta * theta)
        some = theta > zero
        first = (even if some else zero) if of_shape else zero
        second = (-odd if some else zero) if of_shape else g / s[0]
        return (first, second if theta == theta else nan, one - s[2], s[1])

    def slope(c, x, p):
        return zero if x < p[0] else c[0] + c[1] * (log(x) + c[2] - c[3] / x)

    return Statistic((0.0, 0.0, 0.0, 0.0), lift, combine, lower, pull, slope, kept=4)


def _weibull(m: Maths) -> Statistic:
    """Shape of the Weibull distribution, v = max(x, p[0]): only its slope, as no state of taps gives the result.

    Kept are the shape c, ln of the sum of v^c, what multiplies the derivative of the equation for c, the mean of ln v
    with weights v^c, and 1 / n.
    """
    real, exp, log = m.real, m.exp, m.log
    zero, one = real(0), real(1)

    def lift(x, p):
        return (x,)

    def combine(a, b):
        return a

    def lower(s, n, p):
        return s[0]

    def pull(g, s, n, p):
        return (g, g, g, g, g)

    def slope(c, x, p):
        f = log(x)
        share = exp(c[0] * f - c[1]) * (one + c[0] * (f - c[3]))
        return zero if x < p[0] else c[2] * (share - c[4]) / x

    return Statistic((0.0,), lift, combine, lower, pull, slope, kept=5)


_MAKERS: dict[str, Callable[[Maths], Statistic]] = {
    "logsumexp": _log_sum_exp,
    "soft": lambda m: _softmax(m, False),
    "entropy": lambda m: _softmax(m, True),
    "shares": _share_entropy,
    "power": _power_mean,
    "cubes": _cube_mean,
    "product": _product,
    "variance": _variance,
    "gamma": _gamma,
    "weibull": _weibull,
    "any": any_true,
    "all": all_true,
    "count": count_numbers,
}

NAMES = tuple(_MAKERS)


def make(name: str, maths: Maths, skip_nan: bool = False) -> Statistic:
    """The statistic of that name for a target, or that of the taps that are not NaN."""
    made = _MAKERS[name](maths)
    return without_nan(made, maths) if skip_nan else made
