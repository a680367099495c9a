"""The gradient of a statistic: each window sends a slope to each of its taps, from the numbers that it has kept.

Arrays: x, its gradient, then p[0] by channel where there is one; buffers: these, and the windows' numbers, see
``statistics``. A tile is a row of x's gradient, or a part of one, of a block of lanes.

Order: an element gets the slopes of the windows that hold it in row-major order of the first two axes, and along the
last one from the last window to the first, from 0 on.
"""

from __future__ import annotations

from fastpool.kernels import frame as F
from fastpool.kernels import statistic_plan as W
from fastpool.kernels.cpu.family.fields import (
    MADE,
    NUMBERS,
    RESULT,
    ROW,
    SOURCE,
    VALUES,
    barrier,
    load_one,
    load_state,
    store_one,
)
from fastpool.kernels.cpu.memory import CODES, address, as_float, pointer
from fastpool.kernels.frame import lane_stride, offset, size, stride

F64 = CODES["f64"]


def make_push(digest, parts):
    """The kernel that makes the gradient of x from what windows have kept."""
    code, real, real_code, many = parts.code, parts.real, parts.real_code, parts.kept
    slope, parameters, read, write = parts.slope, parts.parameters, parts.read, parts.write

    def push(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        own = plan[F.OWN]
        k0, s0, d0, a0 = plan[own], plan[own + 1], plan[own + 2], plan[own + 3]
        k1, s1, d1, a1 = plan[own + 4], plan[own + 5], plan[own + 6], plan[own + 7]
        k2, s2, d2, a2 = plan[own + 8], plan[own + 9], plan[own + 10], plan[own + 11]
        fixed = (real(as_float(plan[own + W.PARAMETERS])), real(as_float(plan[own + W.PARAMETERS + 1])))
        width, lane_blocks, columns, blocks = (
            plan[own + W.LANES],
            plan[own + W.LANE_BLOCKS],
            plan[own + W.COLUMNS],
            plan[own + W.BLOCKS],
        )
        form, phases, phase, pitch = plan[own + W.FORM], plan[own + W.PHASES], plan[own + W.PHASE], plan[own + W.PITCH]
        outs_d, outs_h, outs_w = plan[own + W.OUTPUTS], plan[own + W.OUTPUTS + 1], plan[own + W.OUTPUTS + 2]
        by_channel = plan[F.ARRAYS] > 2
        x, dx, p0 = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], F64)
        coefficients = pointer(bufs[3], real_code)
        base = address(work)
        sums = pointer(base, real_code)
        channel = pointer(base + 8 * pitch, real_code)
        packed = pointer(base + 16 * pitch, code)
        depth, height, wide = size(plan, 0, 0), size(plan, 0, 1), size(plan, 0, 2)
        x_d, x_h, x_w, x_l = stride(plan, 0, 0), stride(plan, 0, 1), stride(plan, 0, 2), lane_stride(plan, 0)
        y_d, y_h, y_w, y_l = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2), lane_stride(plan, 1)
        full = phases * phase * width
        outer = 1
        for i in range(plan[F.OUTER]):
            outer *= plan[F.SIZES + i]
        windows = outer * lane_blocks * outs_d * outs_h * outs_w * width
        for e in range(pitch):
            store_one(packed, e, 0, ROW)
        for tile in range(begin, end):
            block, rest = tile % blocks, tile // blocks
            h, rest = rest % height, rest // height
            d, rest = rest % depth, rest // depth
            lane_block, number = rest % lane_blocks, rest // lane_blocks
            first_lane = lane_block * width
            lanes = min(width, plan[F.LANES] - first_lane)
            first = block * columns
            last = min(wide, first + columns)
            # positions from here on count the padding
            low_u, high_u = first + a2, last + a2
            origin = low_u // phases
            source = offset(plan, 0, number) + first_lane * x_l + d * x_d + h * x_h
            if by_channel:
                at = offset(plan, 2, number) + first_lane * lane_stride(plan, 2)
                for e in range(lanes):
                    store_one(channel, e, load_one(p0, at + e * lane_stride(plan, 2), SOURCE), NUMBERS)
                for e in range(lanes, width):
                    store_one(channel, e, 1, NUMBERS)
                barrier()
                for e in range(width, full):
                    store_one(channel, e, load_one(channel, e - width, NUMBERS), NUMBERS)
            for f in range(phases):
                low = max(0, (low_u - f + phases - 1) // phases - origin)
                high = (high_u - f + phases - 1) // phases - origin
                if width == 1:
                    a = source + (origin * phases + f - a2) * x_w
                    for q in range(low, high):
                        store_one(packed, f * phase + q, load_one(x, a + q * phases * x_w, SOURCE), ROW)
                    continue
                for q in range(low, high):
                    a = source + ((origin + q) * phases + f - a2) * x_w
                    b = (f * phase + q) * width
                    if x_l == 1:
                        for e in range(lanes):
                            store_one(packed, b + e, load_one(x, a + e, SOURCE), ROW)
                    else:
                        for e in range(lanes):
                            store_one(packed, b + e, load_one(x, a + e * x_l, SOURCE), ROW)
            for e in range(full):
                store_one(sums, e, 0, MADE)
            barrier()
            for o_d in range(max(0, (d + a0 - (k0 - 1) * d0 + s0 - 1) // s0), min(outs_d, (d + a0) // s0 + 1)):
                if (d + a0 - o_d * s0) % d0 != 0:
                    continue
                for o_h in range(max(0, (h + a1 - (k1 - 1) * d1 + s1 - 1) // s1), min(outs_h, (h + a1) // s1 + 1)):
                    if (h + a1 - o_h * s1) % d1 != 0:
                        continue
                    row = (((number * lane_blocks + lane_block) * outs_d + o_d) * outs_h + o_h) * outs_w * width
                    if form == W.ALONE:
                        # few windows of many neighbouring taps, one lane
                        low_o = max(0, (low_u - (k2 - 1) + s2 - 1) // s2)
                        for back in range(max(0, min(outs_w, (high_u - 1) // s2 + 1) - low_o)):
                            o = min(outs_w, (high_u - 1) // s2 + 1) - 1 - back
                            c = load_state(coefficients, windows, row + o, many, VALUES)
                            low, high = max(low_u, o * s2) - low_u, min(high_u, o * s2 + k2) - low_u
                            for e in range(low, high):
                                v = slope(c, read(load_one(packed, e, ROW)), parameters(channel, e, fixed))
                                store_one(sums, e, load_one(sums, e, MADE) + v, MADE)
                    else:
                        for j in range(k2):
                            t = j * d2
                            low_o = max(0, (low_u - t + s2 - 1) // s2)
                            high_o = min(outs_w, (high_u - t + s2 - 1) // s2)
                            f, q = t % phases, low_o + t // phases - origin
                            a, b = (f * phase + q) * width, row + low_o * width
                            for e in range((high_o - low_o) * width):
                                c = load_state(coefficients, windows, b + e, many, VALUES)
                                v = slope(c, read(load_one(packed, a + e, ROW)), parameters(channel, a + e, fixed))
                                store_one(sums, a + e, load_one(sums, a + e, MADE) + v, MADE)
            barrier()
            target = offset(plan, 1, number) + first_lane * y_l + d * y_d + h * y_h
            for f in range(phases):
                low = max(0, (low_u - f + phases - 1) // phases - origin)
                high = (high_u - f + phases - 1) // phases - origin
                if width == 1:
                    a = target + (origin * phases + f - a2) * y_w
                    for q in range(low, high):
                        v = write(load_one(sums, f * phase + q, MADE))
                        store_one(dx, a + q * phases * y_w, v, RESULT)
                    continue
                for q in range(low, high):
                    a = target + ((origin + q) * phases + f - a2) * y_w
                    b = (f * phase + q) * width
                    if y_l == 1:
                        for e in range(lanes):
                            store_one(dx, a + e, write(load_one(sums, b + e, MADE)), RESULT)
                    else:
                        for e in range(lanes):
                            store_one(dx, a + e * y_l, write(load_one(sums, b + e, MADE)), RESULT)
            barrier()

    return push
