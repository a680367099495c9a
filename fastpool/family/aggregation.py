"""Local features summed by centre: the steps of VLAD and NetVLAD on rows of points, and their gradients.

Rows are (images, points, channels), dense, in float32 or float64. Matrix products are NumPy's, so their order of
summation is that of its BLAS; what is between them and x, in any layout, are programs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastpool.family import tasks
from fastpool.family.framing import Frame
from fastpool.kernels.programs import Program
from fastpool.memory import Array
from fastpool.problem import DTYPES, Ints
from fastpool.reference.family import descriptors as reference

BLOCK, PIECE, WORK = 32, 64, 8 * 32 * 33
"""As in ``kernels.cpu.family.describe``: points, and channels, of a tile; bytes of workspace."""

PRODUCTS = 1 << 22
"""Products of points and centres that are held at a time, where labels alone are wanted."""

LEAST = {"f32": 2.0**-100, "f64": 2.0**-900}
"""Of NetVLAD's weights those that are not 0, before they are divided by their sum, which is at least 1. Smaller ones do
not reach the last digit of a sum, and numbers near the end of the range are slow in every product."""

STEPS = ("sqrt", "intra", "l2")
"""What may be done to the sums, in this order."""


def value_type(dtype: str) -> str:
    """The type that elements are computed in."""
    return "f64" if dtype == "f64" else "f32"


def _name(rows: Array) -> str:
    return "f64" if rows.dtype == np.float64 else "f32"


def _three_axes(data: Array, axes: Ints, channel: int, copy: bool | None) -> Array:
    """The array as (images, points, channels); a copy where no strides do it, an error where ``copy`` is False."""
    batch = [axis for axis in range(data.ndim) if axis not in axes and axis != channel]
    shape = (
        math.prod(data.shape[axis] for axis in batch),
        math.prod(data.shape[axis] for axis in axes),
        data.shape[channel],
    )
    return data.transpose(*batch, *axes, channel).reshape(shape, copy=copy)


def _move(role: str, dtype: str, x: Array, rows: Array) -> None:
    frame = Frame((x,), (0, 1, 2), lanes=False)
    tiles = x.shape[0] * -(-x.shape[1] // BLOCK) if x.size else 0

    def oracle() -> None:
        if role == "pack":
            rows[...] = reference.decode(dtype, x)
        else:
            x[...] = reference.encode(dtype, rows)

    tasks.run(Program("describe", (role, dtype)), frame.plan, (x, rows), tiles, WORK, oracle=oracle)


def to_rows(data: Array, dtype: str, axes: Ints, channel: int) -> Array:
    """Rows of an array in the caller's layout: the array itself where it is so already."""
    x = _three_axes(data, axes, channel, None)
    if dtype in ("f32", "f64") and x.flags.c_contiguous:
        return x
    rows = np.empty(x.shape, DTYPES[value_type(dtype)])
    _move("pack", dtype, x, rows)
    return rows


def from_rows(rows: Array, data: Array, dtype: str, axes: Ints, channel: int) -> None:
    """Write rows to an array in the caller's layout, rounded to its elements."""
    try:
        x = _three_axes(data, axes, channel, False)
    except ValueError:
        x = np.empty(rows.shape, data.dtype)
        _move("unpack", dtype, x, rows)
        batch = [axis for axis in range(data.ndim) if axis not in axes and axis != channel]
        turned = data.transpose(*batch, *axes, channel)
        if not tasks.tell("numpy.copyto, rows to an array whose axes do not merge"):
            turned[...] = x.reshape(turned.shape)
        return
    _move("unpack", dtype, x, rows)


def nearest(rows: Array, centers: Array) -> Array:
    """The number of the nearest centre of each point, the first of the nearest; int64 (images, points)."""
    images, points, channels = rows.shape
    labels = np.empty((images, points), np.int64)
    flat, found = rows.reshape(-1, channels), labels.reshape(-1)
    count = len(centers)
    with np.errstate(all="ignore"):
        squares = np.sum(np.square(centers, dtype=np.float64), axis=1)
    many = min(max(PRODUCTS // count, BLOCK), max(len(flat), 1))
    held = np.empty((many, count), rows.dtype)
    program = Program("describe", ("nearest", _name(rows)))
    for begin in range(0, len(flat), many):
        part, to = flat[begin : begin + many], found[begin : begin + many]
        products = held[: len(part)]
        if not tasks.tell("numpy.matmul, points x centres"):
            with np.errstate(all="ignore"):
                np.matmul(part, centers.T, out=products)

        def oracle(part: Array = part, to: Array = to) -> None:
            to[...] = reference.nearest(part, centers)

        frame = Frame((products[:, None],), (0, 1, 2), lanes=False)
        plan = [*frame.plan, len(part), count, channels]
        arrays = (products, part, centers, to, squares)
        tasks.run(program, plan, arrays, -(-len(part) // BLOCK), WORK, oracle=oracle)
    return labels


class Share(NamedTuple):
    """What each point gives to each centre: the one that its label names, or all with weights.

    Labels are int64 (images, points), -1 for none; weights (images, points, centres).
    """

    labels: Array | None = None
    weights: Array | None = None

    def totals(self, count: int) -> Array:
        """Weights of all points together: (images, centres), float64."""
        if self.weights is not None:
            found: Array = self.weights.sum(axis=1, dtype=np.float64)
            return found
        assert self.labels is not None
        totals = np.zeros((len(self.labels), count))
        for row, labels in zip(totals, self.labels, strict=True):
            row[:] = np.bincount(labels + 1, minlength=count + 1)[1:]
        return totals


def sums(rows: Array, centers: Array, share: Share) -> Array:
    """Residuals summed by centre: (images, centres, channels)."""
    images, points, channels = rows.shape
    count = len(centers)
    found = np.empty((images, count, channels), rows.dtype)
    if share.weights is not None:
        if not tasks.tell("numpy.matmul, weights x points"):
            with np.errstate(all="ignore"):
                np.matmul(share.weights.transpose(0, 2, 1), rows, out=found)
                found -= share.weights.sum(axis=1)[..., None] * centers
        return found
    labels = share.labels
    assert labels is not None

    def oracle() -> None:
        found[...] = reference.sums(rows, centers, labels)

    frame = Frame((rows,), (0, 1, 2), lanes=False)
    plan = [*frame.plan, images, points, count, channels]
    program = Program("describe", ("gather", _name(rows)))
    tiles = images * -(-channels // PIECE)
    tasks.run(program, plan, (rows, centers, labels, found), tiles, oracle=oracle)
    return found


class Normalized(NamedTuple):
    """Sums after the steps, and what the gradient through these needs."""

    result: Array
    trail: tuple[tuple[str, Array, Array | None], ...]

    def pull(self, grad: Array) -> Array:
        """From the gradient of the result to that of the sums."""
        with np.errstate(all="ignore"):
            for step, unit, length in reversed(self.trail):
                if length is None:
                    slope = 2 * np.abs(unit)
                    grad = np.where(slope == 0, 0, grad / slope).astype(grad.dtype)
                    continue
                axes = _AXES[step]
                grad = grad - np.sum(grad * unit, axis=axes, keepdims=True) * unit
                grad = np.where(length == 0, 0, grad / length).astype(grad.dtype)
        return grad


_AXES = {"intra": (2,), "l2": (1, 2)}


def normalized(found: Array, steps: tuple[str, ...]) -> Normalized:
    """The sums after the steps: zero stays zero, where there is no gradient either."""
    trail: list[tuple[str, Array, Array | None]] = []
    if tasks.tell(f"numpy, normalisation: {', '.join(steps) or 'none'}"):
        return Normalized(found, ())
    v = found
    with np.errstate(all="ignore"):
        for step in steps:
            if step == "sqrt":
                v = np.copysign(np.sqrt(np.abs(v)), v)
                trail.append((step, v, None))
                continue
            # divided by the largest first: squares would leave the range of float32 early
            largest = np.max(np.abs(v), axis=_AXES[step], keepdims=True)
            v = v / np.where(largest == 0, 1, largest)
            root = np.sqrt(np.sum(v * v, axis=_AXES[step], keepdims=True))
            v = v / np.where(root == 0, 1, root)
            trail.append((step, v, root * largest))
    return Normalized(v, tuple(trail))


def soft_weights(rows: Array, weight: Array, bias: Array) -> Array:
    """Softmax over centres of w . x + b: (images, points, centres)."""
    images, points, channels = rows.shape
    found = np.empty((images, points, len(weight)), rows.dtype)
    least = LEAST[_name(rows)]
    if tasks.tell("numpy.matmul, points x weight, and softmax"):
        return found
    with np.errstate(all="ignore"):
        np.matmul(rows.reshape(-1, channels), weight.T, out=found.reshape(-1, len(weight)))
        # image by image: what one step writes is in the cache for the next
        for part in found:
            part += bias
            part -= np.max(part, axis=1, keepdims=True)
            np.exp(part, out=part)
            np.multiply(part, part >= least, out=part)
            part /= np.sum(part, axis=1, keepdims=True)
    return found


class Gradients(NamedTuple):
    """Gradients of the rows and of the centres, and where they are asked for of the weights, or weight and bias."""

    rows: Array
    centers: Array
    others: tuple[Array, ...] = ()


def pulled(grad: Array, rows: Array, centers: Array, share: Share, soft: Array | None = None) -> Gradients:
    """From the gradient of the sums to those of what they are made of.

    ``soft`` is NetVLAD's weight: the weights of the share are then its softmax, and the others are the gradients of
    weight and bias.
    """
    made = np.empty_like(rows)
    if tasks.tell("numpy.matmul, gradients"):
        extra = (share.weights,) if share.weights is not None and soft is None else ()
        return Gradients(made, centers, extra if soft is None else (soft, soft[:, 0]))
    with np.errstate(all="ignore"):
        totals = share.totals(len(centers))
        d_centers = -np.einsum("nk,nkc->kc", totals, grad).astype(rows.dtype)
        weights = share.weights
        if weights is None:
            assert share.labels is not None
            for row, labels, of in zip(made, share.labels, grad, strict=True):
                np.take(of, labels, axis=0, out=row, mode="wrap")
                row[labels < 0] = 0
            return Gradients(made, d_centers)
        d_weights = np.matmul(rows, grad.transpose(0, 2, 1))
        d_weights -= np.einsum("nkc,kc->nk", grad, centers)[:, None]
        if soft is None:
            np.matmul(weights, grad, out=made)
            return Gradients(made, d_centers, (d_weights,))
        d_weight, d_bias = np.zeros_like(soft), np.zeros(len(soft), soft.dtype)
        for to, x, a, da, g in zip(made, rows, weights, d_weights, grad, strict=True):
            da -= np.sum(a * da, axis=1, keepdims=True)
            da *= a
            # one product of both ways from a point to the result
            np.matmul(np.concatenate([a, da], axis=1), np.concatenate([g, soft]), out=to)
            d_weight += np.matmul(da.T, x)
            d_bias += np.sum(da, axis=0)
        return Gradients(made, d_centers, (d_weight, d_bias))
