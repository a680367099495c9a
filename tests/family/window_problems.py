"""Random windows for the operations that take kernel size, stride, padding, dilation and ceil mode."""

from __future__ import annotations

from typing import Any

import numpy as np


def arguments(rng: np.random.Generator, spatial: int, largest: int = 8) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of an x of few planes, and arguments whose windows fit into it."""
    while True:
        sizes = tuple(int(n) for n in rng.integers(1, largest + 1, spatial))
        kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, most, spatial)) for most in (5, 4, 3))
        padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (spatial, 2)))
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        if all(span <= n + sum(pad) for span, n, pad in zip(spans, sizes, padding, strict=True)):
            break
    given = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return (int(rng.integers(1, 3)), int(rng.integers(1, 4)), *sizes), {**given, "ceil_mode": bool(rng.random() < 0.3)}
