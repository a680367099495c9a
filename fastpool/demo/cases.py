"""What the demo computes: each pooling by fastpool and by another library, with times and the difference."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import ndimage
from skimage import data
from skimage.measure import block_reduce

import fastpool

Pixels = NDArray[Any]

BUDGET = 0.3
"""Seconds that the repetitions of one case may take once each side ran three times."""


@dataclass(frozen=True)
class Case:
    """One pooling of one photograph.

    ``exact`` is given where fastpool averages floats: its values are held against that, to 4 units in the
    last place. Elsewhere they must equal those of the other library.
    """

    title: str
    other_name: str
    ours: Callable[[], Pixels]
    other: Callable[[], Pixels]
    exact: Callable[[], Pixels] | None = None


@dataclass(frozen=True)
class Result:
    """What came out of a case; times are in seconds."""

    title: str
    other_name: str
    pixels: Pixels
    first: float
    ours: float
    other: float
    difference: float
    agrees: bool


def photograph(image: Path | None) -> tuple[str, Pixels]:
    """Name and pixels, (height, width, 3) of uint8, of the image file or of scikit-image's astronaut."""
    if image is None:
        return "astronaut", np.ascontiguousarray(data.astronaut()[..., :3])
    with Image.open(image) as opened:
        if opened.mode[0] in "IF":
            raise ValueError(
                f"image={str(image)!r} has mode {opened.mode}: the demo shows 8-bit images; convert it first"
            )
        upright = ImageOps.exif_transpose(opened)
        return image.name, np.asarray(upright.convert("RGB"))


def block_size(pixels: Pixels) -> int:
    """Edge of the pooled blocks: about 64 of them across, so that they can be seen on the sheet."""
    return max(2, round(int(min(pixels.shape[:2])) / 64))


def cases(pixels: Pixels) -> list[Case]:
    """The poolings of one photograph, (height, width, 3), uint8 or float32."""
    k = block_size(pixels)
    large = 2 * k - 1
    height, width = (size - size % k for size in pixels.shape[:2])
    whole = pixels[:height, :width]
    dtype = pixels.dtype
    real = dtype.kind == "f"

    def pool(op: Literal["max", "mean", "min"]) -> Callable[[], Pixels]:
        return lambda: fastpool.pool(pixels, (k, k), op, axes=(0, 1))

    def blocks(function: Callable[..., Pixels], **options: Any) -> Callable[[], Pixels]:
        # the mean of integers is a float here; back in integers it is truncated, as fastpool's is
        return lambda: block_reduce(whole, (k, k, 1), function, func_kwargs=options).astype(dtype)

    def mean(**options: Any) -> Callable[[], Pixels]:
        return lambda: pixels.mean(axis=(0, 1), **options).astype(dtype)

    in_float64 = {"dtype": np.float64}
    return [
        Case(f"max {k} x {k}", "skimage block_reduce", pool("max"), blocks(np.max)),
        Case(
            f"average {k} x {k}",
            "skimage block_reduce",
            pool("mean"),
            blocks(np.mean),
            blocks(np.mean, **in_float64) if real else None,
        ),
        Case(f"min {k} x {k}", "skimage block_reduce", pool("min"), blocks(np.min)),
        Case(
            f"dilation {large} x {large}",
            "scipy maximum_filter",
            lambda: fastpool.pool(pixels, (large, large), "max", axes=(0, 1), stride=1, padding="same"),
            lambda: ndimage.maximum_filter(pixels, (large, large, 1)),
        ),
        Case(
            "global average",
            "numpy mean",
            lambda: fastpool.global_avg_pool(pixels, layout="HWC"),
            mean(),
            mean(**in_float64) if real else None,
        ),
    ]


def measure_all(name: str, pixels: Pixels) -> list[tuple[Pixels, list[Result]]]:
    """Run every case in uint8 and in float32, printing a line for each; each photograph with its results."""
    height, width, _ = pixels.shape
    threads = fastpool.get_num_threads()
    print(f"{name}: {height} x {width} pixels, 3 channels; fastpool runs on {threads} threads.")
    print("Times in ms, the fastest of several calls; the first call also compiles, or loads what an earlier")
    print("run compiled. ratio = time of the other way / time of fastpool.")
    print(
        f"{'operation':<18} {'dtype':<8} {'input':<16} {'result':<16} {'first':>8} {'fastpool':>9}  "
        f"{'other way':<21} {'time':>9} {'ratio':>7}  largest difference"
    )
    measured = []
    for photo in (pixels, pixels.astype(np.float32) / np.float32(255)):
        results = []
        for case in cases(photo):
            result = measure(case)
            results.append(result)
            print(
                f"{result.title:<18} {photo.dtype!s:<8} {photo.shape!s:<16} {result.pixels.shape!s:<16} "
                f"{result.first * 1e3:8.1f} {result.ours * 1e3:9.3f}  "
                f"{result.other_name:<21} {result.other * 1e3:9.3f} {result.other / result.ours:6.1f}x  "
                f"{result.difference:.2g}{'' if result.agrees else '  DIFFERS'}",
                flush=True,
            )
        measured.append((photo, results))
    return measured


def measure(case: Case) -> Result:
    """Time both ways in turns and compare the values."""
    first, pixels = timed(case.ours)
    exact = (case.exact or case.other)()
    difference = np.abs(pixels.astype(np.float64) - exact.astype(np.float64))
    allowed = 4.0 * np.spacing(exact) if case.exact else 0.0
    ours: list[float] = []
    other: list[float] = []
    start = time.perf_counter()
    while len(ours) < 3 or (time.perf_counter() - start < BUDGET and len(ours) < 500):
        ours.append(timed(case.ours)[0])
        other.append(timed(case.other)[0])
    return Result(
        title=case.title,
        other_name=case.other_name,
        pixels=pixels,
        first=first,
        ours=min(ours),
        other=min(other),
        difference=float(difference.max()),
        agrees=bool(np.all(difference <= allowed)),
    )


def timed(call: Callable[[], Pixels]) -> tuple[float, Pixels]:
    """Seconds that one call takes, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result
