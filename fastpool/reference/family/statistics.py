"""Statistics of windows straight from their definitions, in long double: every window's taps are gathered first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastpool.problem import Problem

Array = np.ndarray[Any, Any]


def gathered(x: Array, asked: Problem) -> tuple[Array, Array]:
    """The taps of every window, along a last axis that is added, and which of them lie on the input."""
    taps = x
    inside = np.ones((1,) * x.ndim, bool)
    kernels: list[int] = []
    for axis, window in zip(asked.axes, asked.windows, strict=True):
        outputs = np.arange(window.output)[:, None] * window.stride - window.pad_begin
        positions = outputs + np.arange(window.kernel)[None, :] * window.dilation
        there = (positions >= 0) & (positions < window.size)
        picked = np.take(taps, np.clip(positions, 0, window.size - 1).ravel(), axis)
        spread = picked.shape[:axis] + positions.shape + picked.shape[axis + 1 :]
        taps = np.moveaxis(picked.reshape(spread), axis + 1, -1)
        sizes = [1] * (x.ndim + len(kernels) + 1)
        sizes[axis], sizes[-1] = positions.shape
        inside = inside[..., None] & there.reshape(sizes)
        kernels.append(window.kernel)
    shape = (*taps.shape[: x.ndim], -1)
    return taps.reshape(shape), np.broadcast_to(inside, taps.shape).reshape(shape)


def pooled(name: str, x: Array, asked: Problem, parameters: tuple[float, float], p: Array | None = None) -> Any:
    """The statistic of that name of each window."""
    taps, inside = gathered(x, asked)
    values = taps if name in ("any", "all", "count") else taps.astype(np.longdouble)
    skip = asked.nan == "ignore" and name not in ("any", "all", "count")
    if skip:
        inside = inside & ~np.isnan(values)
        values = np.where(inside, values, 1)
    first: Any = np.longdouble(parameters[0]) if p is None else np.asarray(p, np.longdouble)[..., None]
    with np.errstate(all="ignore"):
        y = _STATISTICS[name](values, inside, first, np.longdouble(parameters[1]))
    return np.where(inside.any(-1), y, np.nan) if skip else y


def _sum(values: Array, inside: Array) -> Any:
    return np.where(inside, values, 0).sum(-1)


def _log_sum_exp(x: Array, inside: Array, r: Any, mean: Any) -> Any:
    v = np.where(inside, r * x, -np.inf)
    top = v.max(-1, keepdims=True)
    total = np.where(v == top, 1, np.exp(v - top)) * inside
    total = total.sum(-1)
    if mean:
        total = np.where(inside.any(-1), total / inside.sum(-1), total)
    return (top[..., 0] + np.log(total)) / r


def _weights(x: Array, inside: Array) -> Any:
    v = np.where(inside, x, -np.inf)
    e = np.where(inside, np.exp(v - v.max(-1, keepdims=True)), 0)
    return e / e.sum(-1, keepdims=True)


def _soft(x: Array, inside: Array, first: Any, second: Any) -> Any:
    w = _weights(x, inside)
    return np.where(inside.any(-1), np.where(w != 0, w * x, 0).sum(-1), 0)


def _entropy_of(w: Array) -> Any:
    return -np.where(w != 0, w * np.log(w), 0).sum(-1)


def _entropy(x: Array, inside: Array, first: Any, second: Any) -> Any:
    return np.where(inside.any(-1), _entropy_of(_weights(x, inside)), 0)


def _shares(x: Array, inside: Array, first: Any, second: Any) -> Any:
    v = np.where(inside, np.maximum(x, 0), 0)
    total = v.sum(-1, keepdims=True)
    return np.where(total[..., 0] != 0, _entropy_of(v / total), 0)


def _power(x: Array, inside: Array, p: Any, least: Any) -> Any:
    v = np.maximum(x, least) ** p
    root = 1 / (p[..., 0] if np.ndim(p) else p)
    return np.where(inside.any(-1), (_sum(v, inside) / inside.sum(-1)) ** root, 0)


def _product(x: Array, inside: Array, first: Any, second: Any) -> Any:
    return np.where(inside, x, 1).prod(-1)


def _variance(x: Array, inside: Array, ddof: Any, root: Any) -> Any:
    n = inside.sum(-1)
    d = x - (_sum(x, inside) / n)[..., None]
    v = np.where(n > ddof, _sum(d * d, inside) / (n - ddof), np.nan)
    return np.sqrt(v) if root else v


def _gamma(x: Array, inside: Array, least: Any, shape: Any) -> Any:
    v, n = np.maximum(x, least), inside.sum(-1)
    total, logs, both = _sum(v, inside), _sum(np.log(v), inside), _sum(v * np.log(v), inside)
    b = n * both - logs * total
    return n * total / b if shape else b / n**2


def _weibull(x: Array, inside: Array, least: Any, second: Any) -> Any:
    f = np.where(inside, np.log(np.maximum(x, least)), -np.inf)
    n = inside.sum(-1)
    mean = _sum(f, inside) / n
    top = f.max(-1, keepdims=True)
    low, high = np.full(n.shape, 1e-12, np.longdouble), np.full(n.shape, 1e12, np.longdouble)
    for _ in range(200):
        c = np.sqrt(low * high)
        w = np.where(inside, np.exp(c[..., None] * (f - top)), 0)
        below = _sum(w * np.where(inside, f, 0), inside) / w.sum(-1) - 1 / c - mean < 0
        low, high = np.where(below, c, low), np.where(below, high, c)
    equal = (np.where(inside, f, np.inf).min(-1) == top[..., 0]) & (n > 0)
    return np.where(equal, np.inf, np.where(np.isfinite(mean), low, np.nan))


def _any(x: Array, inside: Array, first: Any, second: Any) -> Any:
    return (inside & (x != 0)).any(-1)


def _all(x: Array, inside: Array, first: Any, second: Any) -> Any:
    return (~inside | (x != 0)).all(-1)


def _count(x: Array, inside: Array, first: Any, second: Any) -> Any:
    return (inside & (x == x)).sum(-1)


_STATISTICS: dict[str, Callable[..., Any]] = {
    "logsumexp": _log_sum_exp,
    "soft": _soft,
    "entropy": _entropy,
    "shares": _shares,
    "power": _power,
    "cubes": _power,
    "product": _product,
    "variance": _variance,
    "gamma": _gamma,
    "weibull": _weibull,
    "any": _any,
    "all": _all,
    "count": _count,
}
