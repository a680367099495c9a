"""Adaptive pooling, unpooling and blurs beside torch, forward and backward, on layers of networks that have them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import fastpool
from fastpool.bench.data import Array, Prepared, values
from fastpool.bench.family import Case, Results
from fastpool.problem import Ints

FEW = 3
"""Planes that are looked at for errors."""


def units(results: Array, expected: Array) -> float:
    """The largest error in units in the last place of the largest magnitude expected; infinite where shapes differ."""
    if results.shape != expected.shape or not np.isfinite(results).all():
        return float("inf")
    largest = float(np.max(np.abs(expected))) or 1.0
    return float(np.max(np.abs(results - expected)) / np.spacing(np.float32(largest)))


def tensor(array: Array, last: bool) -> Any:
    """A torch tensor (N, C, ...) of an array in the caller's layout, in torch's memory format of that layout."""
    import torch

    torch.set_num_threads(fastpool.get_num_threads())
    found = torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1) if last else array))
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return found.contiguous(memory_format=formats[found.dim()]) if last and found.dim() in formats else found


def back(found: Any, last: bool) -> Array:
    """A tensor in the caller's layout."""
    array: Array = found.detach().contiguous().numpy()
    return np.moveaxis(array, 1, -1) if last else array


def in_torch(function: Callable[[Any], Any], given: Array, last: bool) -> Prepared:
    """A call of torch's, without gradients."""
    import torch

    x = tensor(given, last)
    call = torch.no_grad()(lambda: function(x))
    return Prepared(call, (back(call(), last),))


def gradient_in_torch(function: Callable[[Any], Any], given: Array, dy: Array, last: bool) -> Prepared:
    """Torch's gradient alone: the forward pass has been made."""
    import torch

    x = tensor(given, last).requires_grad_(True)
    y = function(x)
    g = tensor(dy, last)

    def call() -> Any:
        return torch.autograd.grad(y, x, g, retain_graph=True)[0]

    return Prepared(call, (back(call(), last),))


def ours(function: Callable[..., Any], *given: Any, **options: Any) -> Prepared:
    """A call of fastpool's, into a result that is there already."""
    y = function(*given, **options)
    return Prepared(lambda: function(*given, **options, out=y), (y,))


def placed(shape: Ints, last: bool) -> Array:
    """Numbers of that shape (N, C, ...), in the caller's layout."""
    return values("f32", (shape[0], *shape[2:], shape[1]) if last else shape)


def _bins(size: int, output: int) -> list[slice]:
    return [slice(o * size // output, -(-(o + 1) * size // output)) for o in range(output)]


def _adaptive(op: str, shape: Ints, output: Ints, last: bool = False, backward: bool = False) -> Case:
    from importlib import import_module

    x = placed(shape, last)
    pooled = (shape[0], *output, shape[1]) if last else (*shape[:2], *output)
    dy = values("f32", pooled, 8)
    name = f"adaptive_{op}_pool{len(output)}d"
    options = {"layout": "channels_last" if last else "channels_first"}
    first = np.moveaxis(x, -1, 1)[:FEW] if last else x[:FEW]

    def torch_function(t: Any) -> Any:
        return getattr(import_module("torch.nn.functional"), name)(t, output)

    def reduced() -> Array:
        y = first.astype(np.float64)
        for axis, (size, count) in enumerate(zip(shape[2:], output, strict=True), 2):
            moved = np.moveaxis(y, axis, 0)
            parts = [moved[bin_].max(0) if op == "max" else moved[bin_].mean(0) for bin_ in _bins(size, count)]
            y = np.moveaxis(np.stack(parts), 0, axis)
        return y

    def spread() -> Array:
        grads = (np.moveaxis(dy, -1, 1) if last else dy)[:FEW].astype(np.float64)
        dx = np.zeros(first.shape)
        for place in np.ndindex(*output):
            inside = (..., *(_bins(size, n)[o] for size, n, o in zip(shape[2:], output, place, strict=True)))
            g = grads[(..., *place)][..., None]
            taps = first[inside].reshape(*first.shape[:2], -1)
            if op == "max":
                shares = np.zeros(taps.shape)
                np.put_along_axis(shares, taps.argmax(-1)[..., None], g, -1)
            else:
                shares = np.broadcast_to(g / taps.shape[-1], taps.shape)
            dx[inside] += shares.reshape(dx[inside].shape)
        return dx

    def error(results: Results) -> float:
        found = np.moveaxis(results[0], -1, 1) if last else results[0]
        return units(found[:FEW], spread() if backward else reduced())

    def forward_call() -> Prepared:
        return ours(getattr(fastpool, name), x, output, **options)

    def backward_call() -> Prepared:
        function = getattr(fastpool, name + "_backward")
        if op == "avg":
            return ours(function, dy, x.shape, output, **options)
        taps = getattr(fastpool, name)(x, output, "tap", **options)[1]
        return ours(function, dy, x, output, indices=taps, index_kind="tap", **options)

    moved = x.nbytes + dy.nbytes
    if backward:
        theirs = {"torch": lambda: gradient_in_torch(torch_function, x, dy, last)}
        # an element is in a few bins
        return Case(moved, {"fastpool": backward_call, **theirs}, error, 4.0)
    taps = math.prod(-(-size // count) + 1 for size, count in zip(shape[2:], output, strict=True))
    # as errors.allowed: those of a sum's additions add up as a random walk does
    allowed = 4.0 + 2.0 * math.sqrt(taps)
    return Case(moved, {"fastpool": forward_call, "torch": lambda: in_torch(torch_function, x, last)}, error, allowed)


def _unpool(shape: Ints, kernel: int, last: bool = False, backward: bool = False) -> Case:
    from importlib import import_module

    count = len(shape) - 2
    large = placed((*shape[:2], *(kernel * n for n in shape[2:])), last)
    options: Any = {"layout": "channels_last" if last else "channels_first"}
    pool = getattr(fastpool, f"max_pool{count}d")
    pooled, indices = pool(large, kernel, return_indices=True, **options)
    unpool = getattr(fastpool, f"max_unpool{count}d")

    def torch_function(t: Any) -> Any:
        return getattr(import_module("torch.nn.functional"), f"max_unpool{count}d")(t, tensor(indices, last), kernel)

    def error(results: Results) -> float:
        # pooled again, what was put back is found where it was
        if backward:
            again, _ = pool(large, kernel, return_indices=True, **options)
            return 0.0 if np.array_equal(results[0], again) else float("inf")
        planes = np.moveaxis(results[0], -1, 1) if last else results[0]
        flat = planes.reshape(*planes.shape[:2], -1)
        at, want = (np.moveaxis(a, -1, 1) if last else a for a in (indices, pooled))
        taken = np.take_along_axis(flat, at.reshape(*flat.shape[:2], -1), 2)
        right = np.array_equal(taken, want.reshape(taken.shape)) and np.count_nonzero(flat) == np.count_nonzero(want)
        return 0.0 if right else float("inf")

    moved = large.nbytes + pooled.nbytes + indices.nbytes
    if backward:
        # the gradient of the large array is the large array itself, so that what is gathered is what was pooled
        grad = getattr(fastpool, f"max_unpool{count}d_backward")
        return Case(
            moved,
            {
                "fastpool": lambda: ours(grad, large, pooled, indices, kernel, **options),
                "torch": lambda: gradient_in_torch(torch_function, pooled, large, last),
            },
            error,
        )
    return Case(
        moved,
        {
            "fastpool": lambda: ours(unpool, pooled, indices, kernel, **options),
            "torch": lambda: in_torch(torch_function, pooled, last),
        },
        error,
    )


def _upsample(shape: Ints, last: bool = False) -> Case:
    x = placed(shape, last)
    options = {"layout": "channels_last" if last else "channels_first"}
    axes = (1, 2) if last else (2, 3)

    def torch_function(t: Any) -> Any:
        from torch.nn import functional

        return functional.interpolate(t, scale_factor=2, mode="nearest")

    def error(results: Results) -> float:
        expected = x.repeat(2, axes[0]).repeat(2, axes[1])
        return 0.0 if np.array_equal(results[0], expected) else float("inf")

    return Case(
        5 * x.nbytes,
        {
            "fastpool": lambda: ours(fastpool.upsample_nearest2d, x, 2, **options),
            "torch": lambda: in_torch(torch_function, x, last),
        },
        error,
    )


def _blur(shape: Ints, taps: int, last: bool = False) -> Case:
    x = placed(shape, last)
    options = {"layout": "channels_last" if last else "channels_first"}
    row = {3: (1, 2, 1), 4: (1, 3, 3, 1)}[taps]
    weights = np.outer(row, row) / sum(row) ** 2
    lo, hi = (taps - 1) // 2, taps // 2

    def torch_function(t: Any) -> Any:
        import torch
        from torch.nn import functional

        kernel = torch.from_numpy(weights.astype(np.float32)).expand(t.shape[1], 1, taps, taps)
        padded = functional.pad(t, (lo, hi, lo, hi), mode="reflect")
        return functional.conv2d(padded, kernel, stride=2, groups=t.shape[1])

    def error(results: Results) -> float:
        first = (np.moveaxis(x, -1, 1) if last else x)[:1].astype(np.float64)
        padded = np.pad(first, ((0, 0), (0, 0), (lo, hi), (lo, hi)), "reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (taps, taps), (2, 3))[:, :, ::2, ::2]
        found = np.moveaxis(results[0], -1, 1) if last else results[0]
        return units(found[:1], (windows * weights).sum((-2, -1)))

    return Case(
        x.nbytes * 5 // 4,
        {
            "fastpool": lambda: ours(fastpool.blur_pool2d, x, taps, 2, **options),
            "torch": lambda: in_torch(torch_function, x, last),
        },
        error,
        4.0 + 2.0 * taps,
    )


_VGG, _PSPNET, _SEGNET = (8, 512, 14, 14), (1, 2048, 60, 60), (4, 64, 180, 240)
_TINY, _SMALL, _ALEXNET, _LIGHT = (1, 8, 5, 5), (2, 96, 14, 14), (1, 256, 13, 13), (4, 64, 60, 60)

CASES: dict[str, Callable[[], Case]] = {
    "adaptive mean 7, vgg": lambda: _adaptive("avg", _VGG, (7, 7)),
    "adaptive mean 7": lambda: _adaptive("avg", (8, 256, 56, 60), (7, 7)),
    "adaptive mean 7, last": lambda: _adaptive("avg", (8, 256, 56, 60), (7, 7), True),
    "adaptive mean 7, gradient": lambda: _adaptive("avg", (8, 256, 56, 60), (7, 7), False, True),
    "adaptive mean 6, pspnet": lambda: _adaptive("avg", _PSPNET, (6, 6)),
    "adaptive mean 2, pspnet, last": lambda: _adaptive("avg", _PSPNET, (2, 2), True),
    "adaptive mean, 3d": lambda: _adaptive("avg", (2, 64, 16, 28, 30), (4, 9, 9)),
    "adaptive max 10x9": lambda: _adaptive("max", (2, 64, 224, 224), (10, 9)),
    "adaptive max 10x9, last": lambda: _adaptive("max", (2, 64, 224, 224), (10, 9), True),
    "adaptive max 10x9, gradient": lambda: _adaptive("max", (2, 64, 224, 224), (10, 9), False, True),
    "adaptive mean 3, tiny": lambda: _adaptive("avg", _TINY, (3, 3)),
    "adaptive mean 3, tiny, last": lambda: _adaptive("avg", _TINY, (3, 3), True),
    "adaptive mean 5, small": lambda: _adaptive("avg", _SMALL, (5, 5)),
    "adaptive mean 5, small, last": lambda: _adaptive("avg", _SMALL, (5, 5), True),
    "adaptive mean 5, small, gradient": lambda: _adaptive("avg", _SMALL, (5, 5), False, True),
    "adaptive mean 5, small, gradient, last": lambda: _adaptive("avg", _SMALL, (5, 5), True, True),
    "adaptive max 6, alexnet": lambda: _adaptive("max", _ALEXNET, (6, 6)),
    "adaptive max 6, alexnet, last": lambda: _adaptive("max", _ALEXNET, (6, 6), True),
    "adaptive mean 6, light, last": lambda: _adaptive("avg", _LIGHT, (6, 6), True),
    "adaptive mean 6, light, gradient, last": lambda: _adaptive("avg", _LIGHT, (6, 6), True, True),
    "adaptive max 6, light, gradient": lambda: _adaptive("max", _LIGHT, (6, 6), False, True),
    "adaptive max 6, light, gradient, last": lambda: _adaptive("max", _LIGHT, (6, 6), True, True),
    "unpool, segnet": lambda: _unpool(_SEGNET, 2),
    "unpool, segnet, last": lambda: _unpool(_SEGNET, 2, True),
    "unpool, segnet, gradient": lambda: _unpool(_SEGNET, 2, False, True),
    "unpool 7 to 14": lambda: _unpool((8, 512, 7, 7), 2),
    "unpool, 3d": lambda: _unpool((2, 32, 32, 32, 32), 2),
    "upsample": lambda: _upsample((8, 64, 56, 56)),
    "upsample, last": lambda: _upsample((8, 64, 56, 56), True),
    "blur 4": lambda: _blur((8, 64, 112, 112), 4),
    "blur 3, last": lambda: _blur((8, 64, 112, 112), 3, True),
}
