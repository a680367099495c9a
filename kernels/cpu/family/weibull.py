"""The shape of the Weibull distribution fitted to each window, by Newton's method on the logarithms of its taps.

With f = ln max(x, eps), it is the c > 0 at which ``sum f e^{c f} / sum e^{c f} - 1/c - mean f`` is 0. This grows with
c, so that there is one at most, and none where all taps are equal: then c is infinite. Plan, buffers and tiles are
those of ``statistics``; the logarithms of a tile's taps stand in the workspace, tap by tap.

Order: taps in row-major order, one after the other. Each output stops by itself.
"""

from __future__ import annotations

import math

import numpy as np

from fastpool.kernels import frame as F
from fastpool.kernels import statistic_plan as W
from fastpool.kernels.cpu.family.fields import (
    KEPT,
    MADE,
    NUMBERS,
    RESULT,
    SOURCE,
    VALUES,
    barrier,
    load_one,
    load_state,
    store_one,
    store_state,
)
from fastpool.kernels.cpu.memory import CODES, address, as_float, pointer
from fastpool.kernels.frame import lane_stride, offset, size, stride

F64 = CODES["f64"]
STEPS = 60
"""Steps at most; from the start, that of moments, it takes five or so."""
NEAR = 1e-9
"""The relative step after which there is no other: the next one would be about its square."""
INFINITY, NAN = np.float64(math.inf), np.float64(math.nan)


def make_shape(digest, parts, skip):
    """The kernel for one element type; with ``skip`` NaN taps do not count."""
    code, exp, log, read, write, output_code = (
        parts.code,
        parts.exp,
        parts.log,
        parts.read,
        parts.write,
        parts.output_code,
    )

    def shape(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        own = plan[F.OWN]
        k0, s0, d0, a0 = plan[own], plan[own + 1], plan[own + 2], plan[own + 3]
        k1, s1, d1, a1 = plan[own + 4], plan[own + 5], plan[own + 6], plan[own + 7]
        k2, s2, d2, a2 = plan[own + 8], plan[own + 9], plan[own + 10], plan[own + 11]
        least = as_float(plan[own + W.PARAMETERS])
        width, lane_blocks, columns, blocks = (
            plan[own + W.LANES],
            plan[own + W.LANE_BLOCKS],
            plan[own + W.COLUMNS],
            plan[own + W.BLOCKS],
        )
        pitch, emit = plan[own + W.PITCH], plan[own + W.EMIT]
        x, y, gradients = pointer(bufs[0], code), pointer(bufs[1], output_code), pointer(bufs[1], code)
        kept = pointer(bufs[3], F64)
        base = address(work)
        # of each output: c, whether it moves; largest, mean and number of f; three sums
        shapes = pointer(base, F64)
        known = pointer(base + 16 * pitch, F64)
        sums = pointer(base + 40 * pitch, F64)
        logs = pointer(base + 64 * pitch, F64)
        depth, height, wide = size(plan, 0, 0), size(plan, 0, 1), size(plan, 0, 2)
        outs_d, outs_h, outs_w = size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        x_w, x_l = stride(plan, 0, 2), lane_stride(plan, 0)
        y_w, y_l = stride(plan, 1, 2), lane_stride(plan, 1)
        for tile in range(begin, end):
            block, rest = tile % blocks, tile // blocks
            h, rest = rest % outs_h, rest // outs_h
            d, rest = rest % outs_d, rest // outs_d
            lane_block, number = rest % lane_blocks, rest // lane_blocks
            first_lane = lane_block * width
            lanes = min(width, plan[F.LANES] - first_lane)
            o = block * columns
            outputs = min(columns, outs_w - o)
            room = outputs * width
            source = offset(plan, 0, number) + first_lane * x_l

            # the taps; 0 stands for none, and its logarithm is -inf
            taps = 0
            for i in range(k0):
                source_d = d * s0 - a0 + i * d0
                for j in range(k1):
                    source_h = h * s1 - a1 + j * d1
                    row = source + source_d * stride(plan, 0, 0) + source_h * stride(plan, 0, 1)
                    if (source_d < 0) | (source_d >= depth) | (source_h < 0) | (source_h >= height):
                        continue
                    for t in range(k2):
                        for k in range(outputs):
                            at, to = (o + k) * s2 - a2 + t * d2, taps * pitch + k * width
                            many = lanes if (at >= 0) & (at < wide) else 0
                            for e in range(many):
                                v = np.float64(read(load_one(x, row + at * x_w + e * x_l, SOURCE)))
                                v = least if v < least else v
                                if skip:
                                    v = v if v == v else 0.0
                                store_one(logs, to + e, v, KEPT)
                            for e in range(many, width):
                                store_one(logs, to + e, 0.0, KEPT)
                        taps += 1
            barrier()
            for e in range(room):
                store_state(known, pitch, e, (-INFINITY, 0.0, 0.0), NUMBERS)
            for t in range(taps):
                for e in range(room):
                    f = log(load_one(logs, t * pitch + e, KEPT))
                    s = load_state(known, pitch, e, 3, NUMBERS)
                    there = f != -INFINITY
                    top = f if f > s[0] else s[0]
                    store_one(logs, t * pitch + e, f, KEPT)
                    store_state(
                        known, pitch, e, (top, s[1] + (f if there else 0.0), s[2] + (1.0 if there else 0.0)), NUMBERS
                    )
            for e in range(room):
                s = load_state(known, pitch, e, 3, NUMBERS)
                store_state(known, pitch, e, (s[0], s[1] / s[2], s[2]), NUMBERS)
                store_state(sums, pitch, e, (0.0, 0.0, 0.0), MADE)
            for t in range(taps):
                for e in range(room):
                    f, s = load_one(logs, t * pitch + e, KEPT), load_state(known, pitch, e, 3, NUMBERS)
                    v = f - s[1] if f != -INFINITY else 0.0
                    store_one(sums, e, load_one(sums, e, MADE) + v * v, MADE)
            for e in range(room):
                s, v = load_state(known, pitch, e, 3, NUMBERS), load_one(sums, e, MADE)
                c = 1.2 / math.sqrt(v / s[2])
                # of equal taps, whose mean is rounded, or none
                moves = s[2] > 1
                store_state(
                    shapes, pitch, e, (c if moves else (INFINITY if s[2] > 0 else NAN), 1.0 if moves else 0.0), VALUES
                )

            still = False
            for _ in range(STEPS + 1):
                for e in range(room):
                    store_state(sums, pitch, e, (0.0, 0.0, 0.0), MADE)
                for t in range(taps):
                    for e in range(room):
                        top, c = load_one(known, e, NUMBERS), load_one(shapes, e, VALUES)
                        v = load_one(logs, t * pitch + e, KEPT) - top
                        w = exp(c * v)
                        v = v if v != -INFINITY else 0.0
                        s = load_state(sums, pitch, e, 3, MADE)
                        store_state(sums, pitch, e, (s[0] + w, s[1] + w * v, s[2] + w * v * v), MADE)
                moving = 0.0
                for e in range(room):
                    a, s = load_state(shapes, pitch, e, 2, VALUES), load_state(sums, pitch, e, 3, MADE)
                    n = load_state(known, pitch, e, 3, NUMBERS)
                    c, share = a[0], s[1] / s[0]
                    slope = s[2] / s[0] - share * share + 1.0 / (c * c)
                    new = c - (share + (n[0] - n[1]) - 1.0 / c) / slope
                    new = new if new > 0.0 else (c * 0.5 if new <= 0.0 else new)
                    new = new if (a[1] != 0.0) & (c != INFINITY) else c
                    far = 1.0 if (a[1] != 0.0) & (abs(new - c) > NEAR * c) else 0.0
                    moving = max(moving, far)
                    store_state(shapes, pitch, e, (new, far), VALUES)
                if (moving == 0.0) & ((emit == 0) | still):
                    break
                # once more for the sums at the shapes that were found
                still = moving == 0.0

            target = (
                offset(plan, 1, number) + first_lane * y_l + d * stride(plan, 1, 0) + h * stride(plan, 1, 1) + o * y_w
            )
            barrier()
            if emit == 0:
                for k in range(outputs):
                    for e in range(lanes):
                        v = write(load_one(shapes, k * width + e, VALUES))
                        store_one(y, target + k * y_w + e * y_l, v, RESULT)
            else:
                windows = plan[own + W.OUTPUTS]
                place = ((((number * lane_blocks + lane_block) * outs_d + d) * outs_h + h) * outs_w + o) * width
                for k in range(outputs):
                    for e in range(width):
                        g = 0.0
                        if e < lanes:
                            g = np.float64(read(load_one(gradients, target + k * y_w + e * y_l, SOURCE)))
                        b = k * width + e
                        c, s = load_one(shapes, b, VALUES), load_state(sums, pitch, b, 3, MADE)
                        n = load_state(known, pitch, b, 3, NUMBERS)
                        share = s[1] / s[0]
                        slope = s[2] / s[0] - share * share + 1.0 / (c * c)
                        row = (c, c * n[0] + log(s[0]), -g / slope, n[0] + share, 1.0 / n[2])
                        if (c == INFINITY) | (n[2] == 0):
                            row = (0.0, 0.0, 0.0, 0.0, 0.0)
                        store_state(kept, windows, place + b, row, RESULT)
            barrier()

    return shape
