"""The bins of fractional pooling: torch's, for each plane its own, and TensorFlow's, the same for all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastpool.errors import shown
from fastpool.family.binning import Bins, bins_of
from fastpool.family.calls import Call
from fastpool.memory import Array
from fastpool.problem import Ints


def output_counts(call: Call, output_size: object, output_ratio: object, sizes: Ints) -> Ints:
    """How many bins there are along each axis, from their number or from a ratio below 1."""
    if (output_size is None) == (output_ratio is None):
        given = f"output_size={shown(output_size)}, output_ratio={shown(output_ratio)}"
        raise call.value_error(given, "exactly one of them says how many bins there are", "give one")
    if output_size is not None:
        return call.sizes("output_size", output_size, len(sizes))
    entries = output_ratio if isinstance(output_ratio, tuple | list) else (output_ratio,) * len(sizes)
    if len(entries) != len(sizes):
        rule = f"{len(entries)} entries for {len(sizes)} spatial axes"
        raise call.value_error(f"output_ratio={shown(output_ratio)}", rule, "give a number, or one for each axis")
    counts = []
    for entry, size in zip(entries, sizes, strict=True):
        ratio = call.number("output_ratio", entry, 0.0, 1.0)
        if not 0 < ratio < 1 or int(size * ratio) < 1:
            rule = f"it must be between 0 and 1, and leave an element of {size}"
            raise call.value_error(f"output_ratio={entry!r}", rule)
        counts.append(int(size * ratio))
    return tuple(counts)


def samples_of(call: Call, samples: Any, seed: object, planes: int, axes: int) -> Array:
    """A number from 0 to 1 for each plane and axis: those given, or drawn."""
    if samples is None:
        return generator(call, seed).random((planes, axes))
    if seed is not None:
        raise call.value_error(f"samples and seed={shown(seed)}", "one of them says what is drawn", "give one")
    found = call.take("samples", samples, ("f16", "f32", "f64")).data
    if found.ndim == 0 or found.shape[-1] != axes or found.size != planes * axes:
        rule = f"there must be {axes} for each of {planes} planes"
        raise call.value_error(f"samples of shape {found.shape}", rule, f"give an array (N, C, {axes})")
    if not ((found >= 0) & (found <= 1)).all():
        raise call.value_error("samples", "every one must be between 0 and 1")
    return found.reshape(planes, axes)


def generator(call: Call, seed: object) -> np.random.Generator:
    """Draws that are the same for the same seed."""
    return np.random.default_rng(None if seed is None else call.integer("seed", seed, 0))


def torch_bins(call: Call, samples: Array, sizes: Ints, counts: Ints, kernel: Ints) -> Bins:
    """torch's: windows of ``kernel`` elements whose steps vary, in the arithmetic of the type of ``samples``."""
    ranges = []
    value = samples.dtype.type
    for axis, (size, count, taps) in enumerate(zip(sizes, counts, kernel, strict=True)):
        if count + taps - 1 > size:
            given = f"kernel size {taps}, output size {count} on an axis of {size} elements"
            rule = "kernel size + output size - 1 must not pass the axis"
            raise call.value_error(given, rule, "ask for less, or use a smaller kernel size")
        # of two axes the last has the first number
        u = samples[:, len(sizes) - 1 - axis if len(sizes) == 2 else axis, None]
        starts = np.full((samples.shape[0], count), size - taps, np.int64)
        if count > 1:
            alpha = value(size - taps) / value(count - 1)
            o = np.arange(count - 1).astype(samples.dtype)
            starts[:, :-1] = ((o + u) * alpha).astype(np.int64) - (u * alpha).astype(np.int64)
        # a half of many elements rounds past the end
        starts = np.minimum(np.maximum.accumulate(starts, axis=1), size - taps)
        ranges.append((starts, starts + taps))
    return bins_of(ranges)


def draw_sequence(size: int, count: int, pseudo_random: bool, rng: np.random.Generator) -> Array:
    """TensorFlow's boundaries of ``count`` regions of an axis: 0, ..., size."""
    least = size // count
    if not pseudo_random:
        steps = np.full(count, least, np.int64)
        steps[: size % count] += 1
        return np.concatenate([[0], np.cumsum(rng.permutation(steps))])
    alpha = size / count
    # larger draws would make the first region too long, or the last too short
    u = rng.random() * min((least + 2) / alpha - 1, (size + 1 - least) / alpha - (count - 1))
    inner = [math.ceil(alpha * (i + u)) - 1 for i in range(1, count)]
    return np.array([0, *inner, size], np.int64)


def given_sequence(call: Call, name: str, sequence: object, size: int) -> Array:
    """Boundaries that a caller gives, checked."""
    try:
        found = np.asarray(sequence)
    except (TypeError, ValueError):
        raise call.type_error(f"{name}={shown(sequence)}", "must be a sequence of integers") from None
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise call.type_error(f"{name}={shown(sequence)}", "must be a sequence of integers")
    steps = np.diff(found.astype(np.int64))
    if found.size < 2 or found[0] != 0 or found[-1] != size or (steps < 1).any():
        raise call.value_error(f"{name}={shown(sequence)}", f"must grow from 0 to {size}, the size of its axis")
    return found.astype(np.int64)


def tensorflow_bins(sequences: tuple[Array, ...], overlapping: bool) -> Bins:
    """Regions between boundaries; ``overlapping`` ones hold the element at their end, too."""
    return bins_of([(s[:-1], np.minimum(s[1:] + overlapping, s[-1])) for s in sequences])


def regions(
    call: Call,
    sizes: Ints,
    output_size: object,
    pooling_ratio: object,
    sequences: object,
    pseudo_random: bool,
    seed: object,
) -> tuple[Array, ...]:
    """The boundaries along each axis: those given, or drawn."""
    if sequences is not None:
        if output_size is not None or pooling_ratio is not None or seed is not None:
            raise call.value_error("sequences and more", "they say all that is drawn", "leave size, ratio and seed out")
        if not isinstance(sequences, tuple | list) or len(sequences) != len(sizes):
            raise call.type_error(f"sequences={shown(sequences)}", f"must be {len(sizes)} sequences of boundaries")
        names = ("row_sequence", "column_sequence")
        return tuple(
            given_sequence(call, name, sequence, size)
            for name, sequence, size in zip(names, sequences, sizes, strict=True)
        )
    if (output_size is None) == (pooling_ratio is None):
        given = f"output_size={shown(output_size)}, pooling_ratio={shown(pooling_ratio)}"
        raise call.value_error(given, "exactly one of them says how many regions there are", "give one")
    if output_size is None:
        ratios = pooling_ratio if isinstance(pooling_ratio, tuple | list) else (pooling_ratio,) * len(sizes)
        if len(ratios) != len(sizes):
            rule = f"{len(ratios)} entries for {len(sizes)} spatial axes"
            raise call.value_error(f"pooling_ratio={shown(pooling_ratio)}", rule, "leave out those of N and C")
        counts = tuple(
            int(size // call.number("pooling_ratio", ratio, 1.0)) for size, ratio in zip(sizes, ratios, strict=True)
        )
    else:
        counts = call.sizes("output_size", output_size, len(sizes))
    for size, count in zip(sizes, counts, strict=True):
        if not 1 <= count <= size:
            raise call.value_error(f"{count} regions of an axis of {size} elements", "each must have one at least")
    rng = generator(call, seed)
    return tuple(draw_sequence(size, count, pseudo_random, rng) for size, count in zip(sizes, counts, strict=True))
