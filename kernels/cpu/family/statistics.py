"""Statistics of windows, and what their gradients need of each window.

Arrays: x, then y or the gradient of y, then p[0] by channel where there is one (float64, of x's form, with strides of
0). Buffers: these, and for the gradient the numbers that windows keep, one dense array behind the other, as
*outer number, block of lanes, three spatial axes, lane*. A tile is a row of outputs, or a part of one, of a block of
lanes.

Order: the taps of one column (one position along the last axis) in row-major order of the other two axes, and then
the columns of a window: up to ``FEW`` from left to right, more in binary blocks of 1, 2, 4, ... columns, those that
their number has bits of, the smallest first, each the combination of two halves. Of more than ``MANY`` columns, those
with one remainder modulo ``MANY`` are one. Taps that are not on the input count as no tap.
"""

from __future__ import annotations

from fastpool.kernels import frame as F
from fastpool.kernels import statistic_plan as W
from fastpool.kernels.cpu.family.fields import (
    KEPT,
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
    store_state,
)
from fastpool.kernels.cpu.family.gradients import make_push
from fastpool.kernels.cpu.family.weibull import make_shape
from fastpool.kernels.cpu.family.windowed import make_parts
from fastpool.kernels.cpu.memory import CODES, address, as_float, pointer
from fastpool.kernels.frame import lane_stride, offset, size, stride
from fastpool.kernels.taps import taps_between

F64 = CODES["f64"]


def make(digest, name, role, dtype, rule=""):
    """The kernel of a statistic: role "windows" reduces them, "push" sends their gradients to x."""
    parts = make_parts(name, dtype, rule == "skipna")
    if (name, role) == ("weibull", "windows"):
        return make_shape(digest, parts, int(rule == "skipna"))
    return make_windows(digest, parts) if role == "windows" else make_push(digest, parts)


def make_windows(digest, parts):
    code, real, real_code, many = parts.code, parts.real, parts.real_code, parts.size
    kept, nothing, lift, combine, lower = parts.kept, parts.nothing, parts.lift, parts.combine, parts.lower
    pull, change, parameters, read, write = parts.pull, parts.change, parts.parameters, parts.read, parts.write
    output_code = parts.output_code

    def windows(plan, bufs, work, begin, end):
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
        emit = plan[own + W.EMIT]
        by_channel = plan[F.ARRAYS] > 2
        x, y, p0 = pointer(bufs[0], code), pointer(bufs[1], output_code), pointer(bufs[2], F64)
        gradients = pointer(bufs[1], code)
        coefficients = pointer(bufs[3], real_code)
        base = address(work)
        bytes_each = pitch * 8
        states = pointer(base, real_code)
        spare = pointer(base + many * bytes_each, real_code)
        result = pointer(base + 2 * many * bytes_each, real_code)
        numbers = pointer(base + 3 * many * bytes_each, real_code)
        values = pointer(base + (3 * many + 1) * bytes_each, real_code)
        channel = pointer(base + (3 * many + 2) * bytes_each, real_code)
        packed = pointer(base + (3 * many + 3) * bytes_each, code)
        depth, height, wide = size(plan, 0, 0), size(plan, 0, 1), size(plan, 0, 2)
        outs_d, outs_h, outs_w = size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        x_d, x_h, x_w, x_l = stride(plan, 0, 0), stride(plan, 0, 1), stride(plan, 0, 2), lane_stride(plan, 0)
        y_d, y_h, y_w, y_l = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2), lane_stride(plan, 1)
        # where the columns of a row in the workspace stand: q * between + phase
        between = s2 if form == W.APART else (1 if form == W.DOUBLED else d2)
        chunks = (k2 + W.MANY - 1) // W.MANY if form == W.ALONE else 1
        full = phases * phase * width
        whole = (x_w == width) & ((x_l == 1) | (width == 1)) & (phases == 1) & (between == 1)
        for e in range(pitch):
            store_one(packed, e, 0, ROW)
        counted = -1
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
            u = o * s2 - a2
            source = offset(plan, 0, number) + first_lane * x_l
            if by_channel:
                at = offset(plan, 2, number) + first_lane * lane_stride(plan, 2)
                for e in range(lanes):
                    store_one(channel, e, load_one(p0, at + e * lane_stride(plan, 2), SOURCE), NUMBERS)
                for e in range(lanes, width):
                    store_one(channel, e, 1, NUMBERS)
                barrier()
                for e in range(width, max(full, room)):
                    store_one(channel, e, load_one(channel, e - width, NUMBERS), NUMBERS)
            barrier()

            # columns: the taps of each, in row-major order
            empty = True
            for i in range(k0):
                source_d = d * s0 - a0 + i * d0
                if (source_d < 0) | (source_d >= depth):
                    continue
                for j in range(k1):
                    source_h = h * s1 - a1 + j * d1
                    if (source_h < 0) | (source_h >= height):
                        continue
                    for chunk in range(chunks):
                        start = u + chunk * W.MANY * d2 if form == W.ALONE else u
                        most = min(phase, k2 - chunk * W.MANY) if form == W.ALONE else phase
                        row = source + source_d * x_d + source_h * x_h
                        low, high = 0, most
                        for f in range(phases):
                            at = start + f
                            low = min(most, max(0, -(at // between)))
                            high = min(most, max(low, (wide - at + between - 1) // between))
                            if whole & (lanes == width):
                                continue
                            if width == 1:
                                for q in range(low, high):
                                    v = load_one(x, row + (at + q * between) * x_w, SOURCE)
                                    store_one(packed, f * phase + q, v, ROW)
                            elif x_l == 1:
                                for q in range(low, high):
                                    a, b = row + (at + q * between) * x_w, (f * phase + q) * width
                                    for e in range(lanes):
                                        store_one(packed, b + e, load_one(x, a + e, SOURCE), ROW)
                            else:
                                for q in range(low, high):
                                    a, b = row + (at + q * between) * x_w, (f * phase + q) * width
                                    for e in range(lanes):
                                        store_one(packed, b + e, load_one(x, a + e * x_l, SOURCE), ROW)
                        # with phases the places of what is not there are overwritten below
                        low, high = (low * width, high * width) if phases == 1 else (0, full)
                        if whole & (lanes == width):
                            taps = pointer(bufs[0], code)
                            shift = row + start * x_w
                        else:
                            taps, shift = packed, 0
                        barrier()
                        if empty & (low == 0) & (high == full):
                            for e in range(full):
                                s = lift(load_one(taps, shift + e, ROW), parameters(channel, e, fixed))
                                store_state(states, pitch, e, s, KEPT)
                        else:
                            if empty:
                                for e in range(full):
                                    store_state(states, pitch, e, nothing(), KEPT)
                            for e in range(low, high):
                                s = lift(load_one(taps, shift + e, ROW), parameters(channel, e, fixed))
                                s = combine(load_state(states, pitch, e, many, KEPT), s)
                                store_state(states, pitch, e, s, KEPT)
                        barrier()
                        empty = False
            if empty:
                for e in range(full):
                    store_state(states, pitch, e, nothing(), KEPT)
            elif phases > 1:
                for f in range(phases):
                    at = u + f
                    low = min(phase, max(0, -(at // between)))
                    high = min(phase, max(low, (wide - at + between - 1) // between))
                    for e in range(f * phase * width, (f * phase + low) * width):
                        store_state(states, pitch, e, nothing(), KEPT)
                    for e in range((f * phase + high) * width, (f + 1) * phase * width):
                        store_state(states, pitch, e, nothing(), KEPT)
            barrier()

            # windows: their columns
            if (form == W.APART) | ((form == W.ALONE) & (k2 <= W.FEW)):
                for j in range(k2):
                    t = j * d2
                    a = ((t % s2 * phase + t // s2) if form == W.APART else j) * width
                    if j == 0:
                        for e in range(room):
                            store_state(result, pitch, e, load_state(states, pitch, a + e, many, KEPT), MADE)
                    else:
                        for e in range(room):
                            s = load_state(result, pitch, e, many, MADE)
                            s = combine(s, load_state(states, pitch, a + e, many, KEPT))
                            store_state(result, pitch, e, s, MADE)
            elif form == W.DOUBLED:
                here, there = states, spare
                taps_made, t, m = 0, full, 1
                while True:
                    if k2 & m:
                        for k in range(outputs):
                            a = (k * s2 + taps_made * d2) * width
                            for e in range(width):
                                s = load_state(here, pitch, a + e, many, KEPT)
                                if taps_made > 0:
                                    s = combine(load_state(result, pitch, k * width + e, many, VALUES), s)
                                store_state(result, pitch, k * width + e, s, VALUES)
                        taps_made += m
                    if 2 * m > k2:
                        break
                    jump = m * d2 * width
                    t -= jump
                    for e in range(t):
                        s = load_state(here, pitch, e, many, KEPT)
                        s = combine(s, load_state(here, pitch, e + jump, many, KEPT))
                        store_state(there, pitch, e, s, MADE)
                    barrier()
                    here, there = there, here
                    m *= 2
            else:
                here, there = states, spare
                taps_made, m = 0, min(k2, W.MANY)
                while m > 0:
                    a = 0
                    if m & 1:
                        for e in range(width):
                            s = load_state(here, pitch, e, many, KEPT)
                            if taps_made > 0:
                                s = combine(load_state(result, pitch, e, many, VALUES), s)
                            store_state(result, pitch, e, s, VALUES)
                        taps_made = 1
                        a = width
                    m //= 2
                    if width == 1:
                        for k in range(m):
                            s = load_state(here, pitch, a + 2 * k, many, KEPT)
                            s = combine(s, load_state(here, pitch, a + 2 * k + 1, many, KEPT))
                            store_state(there, pitch, k, s, MADE)
                    else:
                        for k in range(m):
                            b = a + 2 * k * width
                            for e in range(width):
                                s = load_state(here, pitch, b + e, many, KEPT)
                                s = combine(s, load_state(here, pitch, b + width + e, many, KEPT))
                                store_state(there, pitch, k * width + e, s, MADE)
                    barrier()
                    here, there = there, here
            barrier()

            # results
            if counted != block:
                for k in range(outputs):
                    n = taps_between((o + k) * s2 - a2, 0, wide, k2, d2)
                    for e in range(width):
                        store_one(numbers, k * width + e, n, NUMBERS)
                counted = block
            rows = taps_between(d * s0 - a0, 0, depth, k0, d0) * taps_between(h * s1 - a1, 0, height, k1, d1)
            rows = real(rows)
            target = offset(plan, 1, number) + first_lane * y_l + d * y_d + h * y_h + o * y_w
            barrier()
            if emit == 0:
                for e in range(room):
                    s = load_state(result, pitch, e, many, MADE)
                    n = load_one(numbers, e, NUMBERS) * rows
                    store_one(values, e, lower(s, n, parameters(channel, e, fixed)), VALUES)
                barrier()
                if (width == 1) & (y_w == 1):
                    for k in range(outputs):
                        store_one(y, target + k, write(load_one(values, k, VALUES)), RESULT)
                elif (y_l == 1) | (width == 1):
                    for k in range(outputs):
                        for e in range(lanes):
                            v = load_one(values, k * width + e, VALUES)
                            store_one(y, target + k * y_w + e, write(v), RESULT)
                else:
                    for k in range(outputs):
                        for e in range(lanes):
                            v = load_one(values, k * width + e, VALUES)
                            store_one(y, target + k * y_w + e * y_l, write(v), RESULT)
            elif kept > 0:
                for k in range(outputs):
                    for e in range(lanes):
                        g = read(load_one(gradients, target + k * y_w + e * y_l, SOURCE))
                        store_one(values, k * width + e, g, VALUES)
                    for e in range(lanes, width):
                        store_one(values, k * width + e, 0, VALUES)
                barrier()
                all_windows = plan[own + W.OUTPUTS]
                a = ((((number * lane_blocks + lane_block) * outs_d + d) * outs_h + h) * outs_w + o) * width
                for e in range(room):
                    s = load_state(result, pitch, e, many, MADE)
                    n = load_one(numbers, e, NUMBERS) * rows
                    g, p = load_one(values, e, VALUES), parameters(channel, e, fixed)
                    store_state(coefficients, all_windows, a + e, pull(g, s, n, p), RESULT)
                if by_channel:
                    for e in range(room):
                        s = load_state(result, pitch, e, many, MADE)
                        n = load_one(numbers, e, NUMBERS) * rows
                        g, p = load_one(values, e, VALUES), parameters(channel, e, fixed)
                        store_one(coefficients, kept * all_windows + a + e, change(g, s, n, p), RESULT)
            barrier()

    return windows
