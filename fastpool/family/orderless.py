"""Multi-scale orderless pooling: one descriptor of an image from features of its patches at several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastpool import arrays
from fastpool.errors import shown, type_name
from fastpool.family import aggregation
from fastpool.family.aggregation import Share
from fastpool.family.calls import NUMBERS, REALS, Call
from fastpool.family.local_features import WORDS, steps_of
from fastpool.family.ranks import page
from fastpool.functional._types import A, Device, Layout
from fastpool.memory import Array
from fastpool.problem import DTYPES, Ints

__all__ = ["mop_pool"]

Projection = Callable[[Array], Any] | Array | None


class _Level(NamedTuple):
    """A patch size, and what is done to the features of its patches."""

    size: int
    centers: Array
    project: Projection
    reduce: Projection


class _Patches:
    """Patches of an image as views, in batches of the caller's kind of array."""

    def __init__(self, call: Call, image: object, layout: object, stride: object, batch: object) -> None:
        self.call = call
        self.source = call.take("image", image, ("b1", *NUMBERS))
        shape = self.source.data.shape
        if len(shape) not in (2, 3):
            raise call.value_error(
                f"image of shape {shape}", "it has two axes, or three with channels", "give one image"
            )
        self.axes: Ints = call.axes(layout, 2, shape)
        self.stride = call.integer("stride", stride)
        self.batch = call.integer("batch", batch)

    def check(self, size: int) -> None:
        """Refuse patches that do not fit."""
        height, width = (self.source.data.shape[axis] for axis in self.axes)
        if size > min(height, width):
            rule = f"the image has {height} x {width}"
            raise self.call.value_error(
                f"a patch of {size} x {size}", rule, "leave the level out, or enlarge the image"
            )

    def batches(self, size: int) -> Iterator[Any]:
        """Those of a size, row by row; 0 stands for the whole image."""
        kind, dtype, data = self.source
        if size == 0:
            yield kind.give(data[None], dtype)
            return
        # other kinds of arrays than NumPy's take no memory that is read-only
        windows = np.lib.stride_tricks.sliding_window_view(
            data, (size, size), self.axes, writeable=kind.name != "numpy.ndarray" and data.flags.writeable
        )
        order = [*self.axes, *(axis for axis in range(data.ndim) if axis not in self.axes)]
        grid = windows.transpose(*order, data.ndim, data.ndim + 1)[:: self.stride, :: self.stride]
        if data.ndim == 3:
            channel = next(axis for axis in range(3) if axis not in self.axes)
            grid = np.moveaxis(grid, 2, 2 + channel)
        for row in grid:
            for begin in range(0, len(row), self.batch):
                yield kind.give(row[begin : begin + self.batch], dtype)


def _rows(call: Call, given: str, found: Any, count: int | None, dtype: str = "") -> Array:
    """What a function of the caller returned, as an array (count, D)."""
    source = arrays.take(call.called, given, found)
    allowed = (dtype,) if dtype else REALS
    if source.dtype not in allowed:
        known = " or ".join(DTYPES[entry] for entry in allowed)
        raise call.type_error(f"{given} of dtype {DTYPES[source.dtype]}", f"it must be {known}", "convert it")
    shape = source.data.shape
    if len(shape) != 2 or (count is not None and shape[0] != count) or shape[1] == 0:
        rule = "there must be one row of features a patch" if count is not None else "it must have two axes"
        raise call.value_error(f"{given} of shape {shape}", rule, "return an array (patches, features)")
    return source.data


def _projected(call: Call, name: str, how: Projection, rows: Array, dtype: str) -> Array:
    if how is None:
        return rows
    if callable(how):
        return _rows(call, f"what {name} returned", how(rows), len(rows), dtype)
    if how.shape[0] != rows.shape[1]:
        raise call.value_error(f"{name} of shape {how.shape}", f"there are {rows.shape[1]} features", "give (D, D')")
    return rows @ how


def _per_level(call: Call, name: str, given: Any, count: int) -> Sequence[Any]:
    """One for each level of patches, from one for all or a tuple."""
    entries = given if isinstance(given, tuple | list) else (given,) * count
    if len(entries) != count:
        rule = f"{len(entries)} entries for {count} sizes of patches"
        raise call.value_error(f"{name} of {type_name(given)}", rule, "give one for all, or a tuple")
    return [
        entry if entry is None or callable(entry) else _rows(call, f"{name}[{i}]", entry, None)
        for i, entry in enumerate(entries)
    ]


def _levels(call: Call, patches: _Patches, levels: Any, centers: Any, project: Any, reduce: Any) -> list[_Level]:
    given = f"levels={shown(levels)}"
    if not isinstance(levels, tuple | list) or not levels:
        raise call.type_error(given, "it must be a tuple with a level at least", "such as (None, 128, 64)")
    sizes = [0 if size is None else call.integer("levels", size, 1, given) for size in levels]
    many = sum(size > 0 for size in sizes)
    each = iter(
        list(
            zip(
                _per_level(call, "centers", centers, many),
                _per_level(call, "project", project, many),
                _per_level(call, "reduce", reduce, many),
                strict=True,
            )
        )
    )
    found = []
    for size in sizes:
        patches.check(size)
        table, before, after = (np.empty((0, 0)), None, None) if size == 0 else next(each)
        if size and (table is None or callable(table) or len(table) == 0):
            raise call.type_error("centers", "each size of patches needs an array of them", "give (K, D)")
        found.append(_Level(size, table, before, after))
    return found


def _weights(rows: Array, centers: Array, nearest: int, sigma: float) -> Array:
    """Of each point for its nearest centres, by a Gaussian of the distance; their sum is 1."""
    squares = np.sum((rows[:, None].astype(np.float64) - centers) ** 2, axis=2)
    chosen = np.argsort(squares, axis=1, kind="stable")[:, :nearest]
    near = np.take_along_axis(squares, chosen, axis=1)
    power = np.exp((near[:, :1] - near) / (2 * sigma * sigma))
    weights = np.zeros(squares.shape)
    np.put_along_axis(weights, chosen, power / power.sum(axis=1, keepdims=True), axis=1)
    return weights.astype(rows.dtype)


def _unit(v: Array) -> Array:
    return aggregation.normalized(v.reshape(1, 1, -1), ("l2",)).result.reshape(-1)


def mop_pool(
    image: A,
    extract: Callable[[A], Any],
    centers: Any,
    *,
    levels: Sequence[int | None] = (None, 128, 64),
    stride: int = 32,
    project: Any = None,
    reduce: Any = None,
    nearest: int = 1,
    sigma: float = 10.0,
    normalize: Any = ("sqrt", "l2"),
    batch: int = 64,
    layout: Layout = "channels_first",
    out: A | None = None,
    device: Device = None,
) -> A:
    """Multi-scale orderless pooling (MOP-CNN): features of patches of several sizes, each size pooled by VLAD.

    Parameters
    ----------
    image : array
        One image, ``(C, H, W)`` or ``(H, W)``, or as ``layout`` says: ``"HWC"``.
    extract : function
        Called with a batch of patches, of the image's layout with a batch axis before, it returns their features:
        ``(patches, D)`` of float32 or float64, an array of any kind. Patches are views of the image, not copies, and
        must not be written to. It is called with patches of each size, and with the whole image.
    centers : array or tuple of array
        Centres ``(K, D)`` of the features, after ``project``: for every size of patches, or one each.
    levels : tuple of int or None
        Sizes of patches, in pixels; ``None`` is the whole image, whose features are taken as they are.
    stride : int
        Pixels from one patch to the next, down and across, from the corner on; those that do not fit are left out.
    project, reduce : array, function, or tuple of these; optional
        What the features of patches, and what their VLAD, are projected by: a matrix ``(D, D')``, or a function of rows
        such as the ``transform`` of a fitted PCA. For every size of patches, or one each.
    nearest : int
        Centres to which a feature belongs; those beyond K are none.
    sigma : float
        With several: the weights are a Gaussian of the distance with that deviation, divided by their sum.
    <normalize>
    batch : int
        Patches that are given to ``extract`` at once, at most; none of two rows of the image together.
    layout : str
        ``"channels_first"``: the last two axes are spatial. ``"channels_last"``: the two before the last. Or letters.
    <out>
    <device>

    Returns
    -------
    y : array
        What all levels give, one after the other, each divided by its L2 norm, and then all of it by its own; the
        features' dtype, the image's kind of array.

    <raises>

    See Also
    --------
    vlad_pool : how the features of one size become one.

    Notes
    -----
    As in [1]_, whose levels are the whole image and patches of 128 and 64 pixels, PCA to 500 features, 100 centres, the
    5 nearest with a deviation of 10, and PCA to 4096 numbers. How the levels are scaled against each other is not said
    there: here each has the same length. There is no gradient: the features are the caller's.

    References
    ----------
    .. [1] Gong et al., "Multi-scale Orderless Pooling of Deep Convolutional Activation Features", 2014.

    Examples
    --------
    >>> import numpy as np
    >>> import fastpool
    >>> image = np.arange(48 * 64.0).reshape(48, 64) % 7
    >>> def extract(patches):
    ...     return np.stack([patches.mean(axis=(1, 2)), patches.std(axis=(1, 2))], axis=1)
    >>> centers = np.array([[2.9, 2.0], [3.1, 2.0]])
    >>> y = fastpool.mop_pool(image, extract, centers, levels=(None, 32, 16), stride=8)
    >>> y.shape, float(np.linalg.norm(y).round(6))
    ((10,), 1.0)
    """
    call = Call("mop_pool", device)
    if not callable(extract):
        raise call.type_error(f"extract is a {type_name(extract)}", "it must be a function of patches")
    patches = _Patches(call, image, layout, stride, batch)
    steps = steps_of(call, normalize)
    count = call.integer("nearest", nearest)
    deviation = call.number("sigma", sigma, 1e-150)
    parts = []
    dtype = ""
    for size, table, before, after in _levels(call, patches, levels, centers, project, reduce):
        found = []
        for given in patches.batches(size):
            found.append(_rows(call, "what extract returned", extract(given), len(given), dtype))
            dtype = dtype or ("f64" if found[0].dtype == np.float64 else "f32")
        rows = np.concatenate(found)
        if size:
            rows = np.ascontiguousarray(_projected(call, "project", before, rows, dtype))
            if table.shape[1] != rows.shape[1] or table.dtype != rows.dtype:
                given = f"centers of shape {table.shape} and dtype {table.dtype}"
                rule = f"the features are {rows.shape[1]} numbers of dtype {rows.dtype}"
                raise call.value_error(given, rule, "give centres of these features")
            table = np.ascontiguousarray(table)
            if count == 1:
                share = Share(labels=aggregation.nearest(rows[None], table))
            else:
                share = Share(weights=_weights(rows, table, count, deviation)[None])
            pooled = aggregation.normalized(aggregation.sums(rows[None], table, share), steps).result
            rows = _projected(call, "reduce", after, pooled.reshape(1, -1), dtype)
        parts.append(_unit(rows[0]))
    whole = _unit(np.concatenate(parts))
    y = call.result("out", whole.shape, dtype, out)
    aggregation.from_rows(whole[None, None], y.data[None, None], dtype, (1,), 2)
    given_back: A = call.give()
    return given_back


page(mop_pool, "mop_pool", **WORDS)
