"""The gradient of selected elements: each output's goes to the two taps that its windows selected, by their weights.

Arrays: dx, dy, the lower tap, the upper tap (32-bit integers, -1 for none), the weight of the upper one (float64). Its
own numbers: stride and begin padding of each of the three spatial axes, lanes of a part, how many parts there are, and
for each tap how far it lies from its window's first one, in elements of a plane. A tile is a plane, or a part of its
lanes; it adds in the order of the windows, row by row, each its lower tap first, to sums that are in scratch until all
are there. Halves are summed in float32.
"""

from __future__ import annotations

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import VALUES, codes, reader, value_type, writer
from fastpool.kernels.cpu.memory import RESULT, SIDE, SOURCE, address, load, pointer, store
from fastpool.kernels.frame import lane_stride, offset, size, stride

STEPS, PART, PARTS, TAPS = 0, 6, 7, 8


def make(digest, dtype):
    """The kernel for an element type."""
    code, sum_code, tap_code, weight_code = codes(dtype), codes(VALUES.get(dtype, dtype)), codes("i32"), codes("f64")
    value, read, write = value_type(dtype), reader(dtype), writer(dtype)
    one = value(1)

    def scatter(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        own, sums = plan[F.OWN], pointer(address(work), sum_code)
        dx, dy = pointer(bufs[0], code), pointer(bufs[1], code)
        lower, upper, weights = pointer(bufs[2], tap_code), pointer(bufs[3], tap_code), pointer(bufs[4], weight_code)
        lanes, part, taps = plan[F.LANES], plan[own + PART], own + TAPS
        depth, height, width = size(plan, 0, 0), size(plan, 0, 1), size(plan, 0, 2)
        for tile in range(begin, end):
            number, lane = tile // plan[own + PARTS], tile % plan[own + PARTS] * part
            many = min(part, lanes - lane)
            for i in range(depth * height * width * many):
                store(sums, i, value(0), SIDE)
            starts = (
                offset(plan, 1, number) + lane * lane_stride(plan, 1),
                offset(plan, 2, number) + lane * lane_stride(plan, 2),
            )
            for d in range(size(plan, 1, 0)):
                for h in range(size(plan, 1, 1)):
                    line = (d * plan[own] - plan[own + 1]) * height + h * plan[own + 2] - plan[own + 3]
                    q = starts[0] + d * stride(plan, 1, 0) + h * stride(plan, 1, 1)
                    t = starts[1] + d * stride(plan, 2, 0) + h * stride(plan, 2, 1)
                    for o in range(size(plan, 1, 2)):
                        base = line * width + o * plan[own + 4] - plan[own + 5]
                        for e in range(many):
                            at = t + o * stride(plan, 2, 2) + e * lane_stride(plan, 2)
                            low = load(lower, at, SOURCE)
                            if low < 0:
                                continue
                            g = read(load(dy, q + o * stride(plan, 1, 2) + e * lane_stride(plan, 1), SOURCE))
                            w = value(load(weights, at, SOURCE))
                            to = (base + plan[taps + low]) * many + e
                            store(sums, to, load(sums, to, SIDE) + g * (one - w), SIDE)
                            if w != 0:
                                to = (base + plan[taps + load(upper, at, SOURCE)]) * many + e
                                store(sums, to, load(sums, to, SIDE) + g * w, SIDE)
            target = offset(plan, 0, number) + lane * lane_stride(plan, 0)
            i = 0
            for d in range(depth):
                for h in range(height):
                    line = target + d * stride(plan, 0, 0) + h * stride(plan, 0, 1)
                    for o in range(width):
                        for e in range(many):
                            at = line + o * stride(plan, 0, 2) + e * lane_stride(plan, 0)
                            store(dx, at, write(load(sums, i, SIDE)), RESULT)
                            i += 1

    return scatter
