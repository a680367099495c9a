"""The gradient of a mean or sum over windows that share no element: each output's gradient, spread over its window.

In explicit vectors, without scratch; windows of two taps along the rows::

    gradients of y   g0 g1 g2 ...      shared out     s0 s1 s2 ...      a row   s0 s0 s1 s1 s2 s2 ...

The rows that a window holds are all written from one reading of its gradients. Reads ``bufs[0]`` (the gradient of y),
writes ``bufs[1]`` (that of x), 0 where no window is. The last vectors of a row begin earlier, and are in part written
again.
"""

from __future__ import annotations

import math
from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import CODES, SCALARS, address, pointer
from fastpool.kernels.cpu.past_caches import make_past_caches
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import between, everywhere, fence, load, prefetch, store, woven_high, woven_low
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]

AHEAD = 1024
"""Bytes of gradients that are asked for ahead of a load."""


def make_fused_gather(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    reduction = variant.vector
    assert reduction is not None
    code = CODES[variant.source]
    lanes = vectors.lanes(variant.source)
    ahead = AHEAD * lanes // vectors.BYTES
    real = SCALARS[variant.source]
    nan = real(math.nan)
    pull = inlined(reduction.pull)
    write_past_caches = make_past_caches(variant.source)

    def share(g, divisor):
        """What each tap gets of a vector of gradients."""
        v = pull(g, g, divisor, 1, divisor)
        return pick(v == v, v, nan)

    share = inlined(share)

    def windows(g, at, w, width, divisor, spare):
        """The shares of the windows ``w`` and up, 0 where there is none."""
        if (w >= 0) & (w + lanes <= width):
            prefetch(g, at + w + ahead)
            return share(load(g, at + w), divisor)
        first, past = max(-w, 0), min(width - w, lanes)
        store(spare, 0, everywhere(spare, 0))
        for e in range(first, past):
            spare[e] = g[at + w + e]
        return between(share(load(spare, 0), divisor), first, past, real(0))

    windows = inlined(windows, always=True)

    def one(g, at, w, width, divisor):
        """The share of window ``w``."""
        if (w < 0) | (w >= width):
            return real(0)
        v = real(pull(g[at + w], g[at + w], divisor, 1, divisor))
        return v if v == v else nan

    one = inlined(one)

    def rows(g, at, y, d, pitch, many, outputs, place, width, divisor, spare):
        """The same row ``many`` times, ``pitch`` apart; ``place`` is that of its first element in the padded row."""
        x = 0
        while x < outputs:
            # begins at an even element, so that windows stay whole
            x = min(x, max(outputs - 2 * lanes, 0) // 2 * 2)
            if x + 2 * lanes <= outputs:
                w = (place + x) // 2
                a = windows(g, at, w, width, divisor, spare)
                b = a
                if place % 2 != 0:
                    b = windows(g, at, w + 1, width, divisor, spare)
                low, high = woven_low(a, b), woven_high(a, b)
                for r in range(many):
                    store(y, d + r * pitch + x, low)
                    store(y, d + r * pitch + x + lanes, high)
                x += 2 * lanes
                if x + 1 == outputs:
                    break
            else:
                break
        while x < outputs:
            v = one(g, at, (place + x) // 2, width, divisor)
            for r in range(many):
                y[d + r * pitch + x] = v
            x += 1

    def nothing(y, d, outputs):
        for x in range(outputs):
            y[d + x] = 0

    rows, nothing = inlined(rows), inlined(nothing)

    def fused_gather(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some rows of the gradient of x, or a part of one."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        spare = pointer(address(work) + plan[P.PACK], code)
        buffer = pointer(address(spare) + vectors.BYTES, code)
        g, y = pointer(bufs[0], code), pointer(bufs[1], code)
        divisor = real(plan[P.DIVISOR])
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        axes = outer + lead
        last = _HEADER + axes * _AXIS
        width = plan[last + P.SOURCE]
        group, stream = plan[P.GROUP_AXIS], plan[P.STREAM] != 0
        axis = _HEADER + max(group, 0) * _AXIS
        seek(plan, c, begin)
        for _ in range(begin, end):
            column = c[axes] * plan[P.BLOCK]
            outputs = min(plan[P.BLOCK], plan[last + P.OUTPUT] - column)
            first, stop = 0, 1
            if group >= 0:
                first = c[group]
                stop = min(first + plan[P.GROUP], plan[axis + P.OUTPUT])
            d = column + offset(plan, c, axes, P.OUTPUT_STRIDE)
            to, at, pitch = y, d, plan[axis + P.OUTPUT_STRIDE]
            if stream:
                to, at, pitch = buffer, 0, outputs
            skew = (bufs[1] // (vectors.BYTES // lanes) + d) % lanes
            begins = at
            # the gradients of the windows that hold the row along the axes before the last leading one
            source, held = offset(plan, c, outer, P.SOURCE_STRIDE), True
            for a in range(outer, axes - 1):
                before = _HEADER + a * _AXIS
                position = c[a] + plan[before + P.PAD]
                w = position // plan[before + P.WINDOW_STRIDE]
                source += w * plan[before + P.SOURCE_STRIDE]
                held = held & (position % plan[before + P.WINDOW_STRIDE] < plan[before + P.KERNEL])
                held = held & (w < plan[before + P.SOURCE])
            r = first
            while r < stop:
                row, many, there = source, 1, held
                if lead > 0:
                    position = r + plan[axis + P.PAD]
                    w, phase = position // plan[axis + P.WINDOW_STRIDE], position % plan[axis + P.WINDOW_STRIDE]
                    row += w * plan[axis + P.SOURCE_STRIDE]
                    there = there & (phase < plan[axis + P.KERNEL]) & (w < plan[axis + P.SOURCE])
                    if there:
                        many = min(plan[axis + P.KERNEL] - phase, stop - r)
                elif group >= 0:
                    row += (r - first) * plan[axis + P.SOURCE_STRIDE]
                if there:
                    rows(g, row, to, at, pitch, many, outputs, column + plan[last + P.PAD], width, divisor, spare)
                else:
                    nothing(to, at, outputs)
                at += many * pitch
                r += many
                if stream:
                    begins, moved = write_past_caches(y, d, skew, buffer, begins, at, r == stop)
                    d, at = d + moved, at - moved
            advance(plan, c)
        if stream:
            fence()

    return fused_gather
