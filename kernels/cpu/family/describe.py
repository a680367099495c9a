"""Descriptors: local features laid out as rows of points, nearest centres, residuals summed by centre.

The matrix products between these steps are a library's. Points are *rows*: images x points x channels, dense, in the
type that is computed with. The frame has the three of them as its spatial axes, no outer ones and no lanes. Roles:

``pack``    arrays: x in any strides, rows. Values of the elements. A tile is ``BLOCK`` points of an image.
``unpack``  the other way, rounded to elements; NaN becomes the canonical one. The same tiles.
``nearest`` arrays: products x . c (points, centres), rows of points, centres, labels (int64), |c|^2 (float64). Own
            numbers: points, centres, channels. A tile is ``BLOCK`` points.
``gather``  arrays: rows, centres, labels, sums (images, centres, channels). Own numbers: images, points, centres,
            channels. A tile is ``PIECE`` channels of an image's sums.

**Nearest.** Squared distances are |c|^2 - 2 x . c, up to |x|^2. A product has an error that depends on the library, so
centres that are not further than the nearest by more than that error are compared by the sum of (x - c)^2 in float64,
channels in order; the first of the smallest wins. So the label does not depend on the library's order of summation.
Distances that are not numbers never win: a point with NaN has label 0.

**Gather.** Sums of x - c, points in order. A label below 0 is in none.
"""

from __future__ import annotations

import math

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import VALUES, codes, reader, value_type, writer
from fastpool.kernels.cpu.memory import FIRST, RESULT, SECOND, SIDE, SOURCE, address, load, pointer, store
from fastpool.kernels.frame import size, stride

BLOCK = 32
PIECE = 64
PITCH = BLOCK + 1  # of a row of the scratch: rows do not meet in a cache set
WORK = 8 * BLOCK * PITCH
"""Bytes of workspace."""

DOUBLE_EPSILON = 2.0**-52
EPSILON = {"f32": 2.0**-23, "f64": DOUBLE_EPSILON}


def make(digest, role, dtype):
    """The kernel of a role, for elements of x; those of ``nearest`` and ``gather`` are values: f32 or f64."""
    if role == "nearest":
        return _nearest(digest, dtype)
    return _gather(digest, dtype) if role == "gather" else _move(digest, role, dtype)


def _move(digest, role, dtype):
    element, value = codes(dtype), codes(VALUES.get(dtype, dtype))
    read, write = reader(dtype), writer(dtype)

    def pack(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, rows, scratch = pointer(bufs[0], element), pointer(bufs[1], value), pointer(address(work), value)
        points, channels = size(plan, 0, 1), size(plan, 0, 2)
        blocks = (points + BLOCK - 1) // BLOCK
        step, channel = stride(plan, 0, 1), stride(plan, 0, 2)
        for tile in range(begin, end):
            image, first = tile // blocks, tile % blocks * BLOCK
            count = min(BLOCK, points - first)
            source = image * stride(plan, 0, 0) + first * step
            target = (image * points + first) * channels
            if channel == 1:
                for p in range(count):
                    for c in range(channels):
                        store(rows, target + p * channels + c, read(load(x, source + p * step + c, SOURCE)), RESULT)
                continue
            for c0 in range(0, channels, BLOCK):
                many = min(BLOCK, channels - c0)
                for c in range(many):
                    at = source + (c0 + c) * channel
                    if step == 1:
                        for p in range(count):
                            store(scratch, c * PITCH + p, read(load(x, at + p, SOURCE)), SIDE)
                    else:
                        for p in range(count):
                            store(scratch, c * PITCH + p, read(load(x, at + p * step, SOURCE)), SIDE)
                for p in range(count):
                    for c in range(many):
                        store(rows, target + p * channels + c0 + c, load(scratch, c * PITCH + p, SIDE), RESULT)

    def unpack(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, rows, scratch = pointer(bufs[0], element), pointer(bufs[1], value), pointer(address(work), value)
        points, channels = size(plan, 0, 1), size(plan, 0, 2)
        blocks = (points + BLOCK - 1) // BLOCK
        step, channel = stride(plan, 0, 1), stride(plan, 0, 2)
        for tile in range(begin, end):
            image, first = tile // blocks, tile % blocks * BLOCK
            count = min(BLOCK, points - first)
            target = image * stride(plan, 0, 0) + first * step
            source = (image * points + first) * channels
            if channel == 1:
                for p in range(count):
                    for c in range(channels):
                        store(x, target + p * step + c, write(load(rows, source + p * channels + c, SOURCE)), RESULT)
                continue
            for c0 in range(0, channels, BLOCK):
                many = min(BLOCK, channels - c0)
                for p in range(count):
                    for c in range(many):
                        store(scratch, c * PITCH + p, load(rows, source + p * channels + c0 + c, SOURCE), SIDE)
                for c in range(many):
                    at = target + (c0 + c) * channel
                    if step == 1:
                        for p in range(count):
                            store(x, at + p, write(load(scratch, c * PITCH + p, SIDE)), RESULT)
                    else:
                        for p in range(count):
                            store(x, at + p * step, write(load(scratch, c * PITCH + p, SIDE)), RESULT)

    return pack if role == "pack" else unpack


def _nearest(digest, dtype):
    code, integer, double = codes(dtype), codes("i64"), codes("f64")
    epsilon = EPSILON[dtype]
    zero = value_type(dtype)(0)

    def nearest(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        products, rows = pointer(bufs[0], code), pointer(bufs[1], code)
        centers, labels = pointer(bufs[2], code), pointer(bufs[3], integer)
        squares, lanes = pointer(bufs[4], double), pointer(address(work), code)
        own = plan[F.OWN]
        points, count, channels = plan[own], plan[own + 1], plan[own + 2]
        longest = 0.0
        for k in range(count):
            longest = max(longest, load(squares, k, SECOND))
        for point in range(begin * BLOCK, min(points, end * BLOCK)):
            at, row = point * count, point * channels
            label, best, second = 0, load(squares, 0, SECOND) - 2.0 * load(products, at, FIRST), math.inf
            for k in range(1, count):
                distance = load(squares, k, SECOND) - 2.0 * load(products, at + k, FIRST)
                if distance < best:
                    label, best, second = k, distance, best
                elif distance < second:
                    second = distance
            for i in range(BLOCK):
                store(lanes, i, zero, SIDE)
            for c in range(0, channels, BLOCK):
                for i in range(min(BLOCK, channels - c)):
                    v = load(rows, row + c + i, SOURCE)
                    store(lanes, i, load(lanes, i, SIDE) + v * v, SIDE)
            total = 0.0
            for i in range(BLOCK):
                total += load(lanes, i, SIDE)
            # twice what the products of two centres may be wrong by, and what the sums in float64 may
            roundings = 4.0 * (channels + 4)
            limit = best + roundings * (
                epsilon * math.sqrt(total) * math.sqrt(longest) + DOUBLE_EPSILON * (total + longest)
            )
            if second <= limit:
                least = math.inf
                for k in range(count):
                    if load(squares, k, SECOND) - 2.0 * load(products, at + k, FIRST) <= limit:
                        total = 0.0
                        for c in range(channels):
                            v = float(load(rows, row + c, SOURCE)) - float(load(centers, k * channels + c, SECOND))
                            total += v * v
                        if total < least:
                            label, least = k, total
            store(labels, point, label, RESULT)

    return nearest


def _gather(digest, dtype):
    code, integer = codes(dtype), codes("i64")
    zero = value_type(dtype)(0)
    write = writer(dtype)

    def gather(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        rows, centers = pointer(bufs[0], code), pointer(bufs[1], code)
        labels, sums = pointer(bufs[2], integer), pointer(bufs[3], code)
        own = plan[F.OWN]
        points, count, channels = plan[own + 1], plan[own + 2], plan[own + 3]
        pieces = (channels + PIECE - 1) // PIECE
        for tile in range(begin, end):
            image, first = tile // pieces, tile % pieces * PIECE
            many = min(PIECE, channels - first)
            base = image * count * channels + first
            for k in range(count):
                for c in range(many):
                    store(sums, base + k * channels + c, zero, RESULT)
            for p in range(points):
                label = load(labels, image * points + p, SIDE)
                if label < 0:
                    continue
                to, at, of = base + label * channels, (image * points + p) * channels + first, label * channels + first
                for c in range(many):
                    residual = load(rows, at + c, SOURCE) - load(centers, of + c, SECOND)
                    store(sums, to + c, load(sums, to + c, RESULT) + residual, RESULT)
            for k in range(count):
                for c in range(many):
                    store(sums, base + k * channels + c, write(load(sums, base + k * channels + c, RESULT)), RESULT)

    return gather
