"""The gradient of a selection: each output's gradient goes to the one tap that was taken.

A tile owns a band of the first spatial axis of one plane (all of the other spatial axes; in the lanes family a block
of the inner axis). It clears its band, visits in row-major order the windows that touch it, and adds what falls into
the band, so every element is summed in the order of its windows, however the work is cut.

Reads ``bufs[0]`` (the gradient of y) and ``bufs[2]`` (indices, already checked), writes ``bufs[1]`` (the gradient of
x). float16 and bfloat16 are summed in a float32 band in the workspace.

``c``, the integers of the workspace, after the coordinates of ``walk``::

    window coordinates | strides of the band (one per spatial axis) | offset of each tap | first coordinate of each tap
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu.memory import (
    CODES,
    DECODE,
    ENCODE,
    address,
    load_out,
    load_second,
    load_side,
    load_source,
    pointer,
    store_out,
)
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER


@register_jitable
def step(plan, c, field, begin, end):
    """Moves the window coordinates (all but the last axis) one on, the first axis within ``begin .. end - 1``."""
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    w = outer + 2
    a = spatial - 2
    while a >= 0:
        c[w + a] += 1
        limit = end if a == 0 else plan[_HEADER + (outer + a) * _AXIS + field]
        if c[w + a] < limit:
            return
        c[w + a] = begin if a == 0 else 0
        a -= 1


@register_jitable
def start(plan, c, field, begin, end):
    """Sets the window coordinates to the first, and returns how many there are (all but the last axis)."""
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    w = outer + 2
    many = 1
    for a in range(spatial - 1):
        c[w + a] = begin if a == 0 else 0
        many *= end - begin if a == 0 else plan[_HEADER + (outer + a) * _AXIS + field]
    return many


@register_jitable
def tables(plan, c):
    """Fills the tables: for each tap its offset in the band from the window's origin, and along the first axis."""
    outer, spatial, taps = plan[P.OUTER], plan[P.SPATIAL], plan[P.TABLE]
    strides = outer + 2 + spatial
    table = strides + spatial
    for tap in range(taps):
        total = 0
        for a in range(spatial):
            axis = _HEADER + (outer + a) * _AXIS
            moved = tap // plan[axis + P.JUMP] % plan[axis + P.KERNEL] * plan[axis + P.DILATION]
            total += moved * c[strides + a]
            if a == 0:
                c[table + taps + tap] = moved
        c[table + tap] = total


@register_jitable
def place(plan, c, index, last_window, flat_base):
    """(coordinate along the first axis, offset in the band from position 0) of the element that an index names."""
    outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
    w = outer + 2
    strides = w + spatial
    first = 0
    total = 0
    for a in range(spatial):
        axis = _HEADER + (outer + a) * _AXIS
        if plan[P.INDEX_KIND] == 2:
            o = last_window if a == spatial - 1 else c[w + a]
            moved = index // plan[axis + P.JUMP] % plan[axis + P.KERNEL] * plan[axis + P.DILATION]
            position = o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD] + moved
        else:
            position = (index - flat_base) // plan[axis + P.INDEX_UNIT] % plan[axis + P.FORWARD_SIZE]
        if a == 0:
            first = position
        total += position * c[strides + a]
    return first, total


def make_scatter(variant: Variant, digest: int) -> Any:
    """The Python function of one scatter kernel, ready to be compiled."""
    source_code, output_code, aux_code = CODES[variant.source], CODES[variant.output], CODES[variant.aux]
    band_code, int64_code = CODES[variant.state[0]], CODES["i64"]
    halves = variant.output in ("f16", "bf16")
    decode, encode = DECODE[variant.source], ENCODE[variant.output]
    # inf - inf is a NaN with a sign on some processors
    canonical = ENCODE[variant.state[0]]

    def clear(plan, c, band, base, begin, end, lanes, lane_stride):
        """Zeroes the band: positions ``begin .. end - 1`` of the first axis, all of the others."""
        outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
        w = outer + 2
        strides = w + spatial
        last = _HEADER + (outer + spatial - 1) * _AXIS
        low = begin if spatial == 1 else 0
        high = end if spatial == 1 else plan[last + P.OUTPUT]
        stride = c[strides + spatial - 1]
        # one run where the band is one: row by row, gradients of 56 x 56 to 112 x 112 planes took 7 to 20 percent more
        whole, size = (lanes == 1) & (stride == 1) & (spatial > 1), high
        for b in range(1, spatial):
            a = spatial - 1 - b
            whole = whole & (c[strides + a] == size)
            if a > 0:
                size *= plan[_HEADER + (outer + a) * _AXIS + P.OUTPUT]
        if whole:
            at = base + begin * c[strides]
            for i in range((end - begin) * c[strides]):
                band[at + i] = 0
            return
        for _ in range(start(plan, c, P.OUTPUT, begin, end)):
            at = base
            for a in range(spatial - 1):
                at += c[w + a] * c[strides + a]
            if lanes == 1 and stride == 1:
                for i in range(low, high):
                    band[at + i] = 0
            elif lane_stride == 1:
                for i in range(low, high):
                    for e in range(lanes):
                        band[at + i * stride + e] = 0
            else:
                for i in range(low, high):
                    for e in range(lanes):
                        band[at + i * stride + e * lane_stride] = 0
            step(plan, c, P.OUTPUT, begin, end)

    def copy_out(plan, c, band, base, y, d, begin, end, lanes, lane_stride):
        """Rounds the band of float32 sums into the output."""
        outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
        w = outer + 2
        strides = w + spatial
        last = _HEADER + (outer + spatial - 1) * _AXIS
        low = begin if spatial == 1 else 0
        high = end if spatial == 1 else plan[last + P.OUTPUT]
        for _ in range(start(plan, c, P.OUTPUT, begin, end)):
            at, to = base, d
            for a in range(spatial - 1):
                at += c[w + a] * c[strides + a]
                to += c[w + a] * plan[_HEADER + (outer + a) * _AXIS + P.OUTPUT_STRIDE]
            for i in range(low, high):
                for e in range(lanes):
                    v = band[at + i * c[strides + spatial - 1] + e * lane_stride]
                    y[to + i * plan[last + P.OUTPUT_STRIDE] + e * plan[P.OUTPUT_LANE]] = encode(v)
            step(plan, c, P.OUTPUT, begin, end)

    def add_row(g, indices, band, table, entries, ga, gstep, ia, istep, to, along, many):
        """Adds a row of windows by their taps; a function of its own, so that its few values stay in registers."""
        for _ in range(many):
            index = np.int64(load_side(indices, ia))
            if (index >= 0) & (index < entries):
                here = to + load_second(table, index)
                store_out(band, here, canonical(load_out(band, here) + decode(load_source(g, ga))))
            ia += istep
            ga += gstep
            to += along

    def add_rows(g, indices, band, table, entries, ga, ia, to, along, many, g_next, i_next, next_plane):
        """The same for one row of two planes: about 5 percent less time than one after the other."""
        for k in range(many):
            index = np.int64(load_side(indices, ia + k))
            other = np.int64(load_side(indices, ia + i_next + k))
            if (index >= 0) & (index < entries):
                here = to + load_second(table, index)
                store_out(band, here, canonical(load_out(band, here) + decode(load_source(g, ga + k))))
            if (other >= 0) & (other < entries):
                here = to + next_plane + load_second(table, other)
                store_out(band, here, canonical(load_out(band, here) + decode(load_source(g, ga + g_next + k))))
            to += along

    clear, copy_out, add_row, add_rows = map(register_jitable, (clear, copy_out, add_row, add_rows))

    def kernel(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        g = pointer(bufs[0], source_code)
        y = pointer(bufs[1], output_code)
        indices = pointer(bufs[2], aux_code)
        scratch = pointer(address(work) + plan[P.STATE], band_code)
        c = work
        outer, spatial = plan[P.OUTER], plan[P.SPATIAL]
        w = outer + 2
        strides = w + spatial
        table = strides + spatial
        first = _HEADER + outer * _AXIS
        last = _HEADER + (outer + spatial - 1) * _AXIS
        window, pad = plan[first + P.WINDOW_STRIDE], plan[first + P.PAD]
        reach = (plan[first + P.KERNEL] - 1) * plan[first + P.DILATION]
        taps, entries, by_tap = plan[P.TAPS], plan[P.TABLE], plan[P.INDEX_KIND] == 2
        gstep, xstep = plan[last + P.SOURCE_STRIDE], plan[last + P.AUX_STRIDE]
        lane_stride, aux_lane, source_lane = plan[P.OUTPUT_LANE], plan[P.AUX_LANE], plan[P.SOURCE_LANE]
        if halves:
            lane_stride = 1
            dense = plan[P.LANE_BLOCK]
            for i in range(spatial):
                a = spatial - 1 - i
                c[strides + a] = dense
                dense *= plan[_HEADER + (outer + a) * _AXIS + P.OUTPUT]
        else:
            for a in range(spatial):
                c[strides + a] = plan[_HEADER + (outer + a) * _AXIS + P.OUTPUT_STRIDE]
        tables(plan, c)
        group = _HEADER + (outer - 1) * _AXIS
        next_plane = plan[group + P.OUTPUT_STRIDE] if plan[P.GROUP] == 2 else 0
        seek(plan, c, begin)
        for _ in range(begin, end):
            first_lane, lanes = 0, 1
            if plan[P.FAMILY] != 0:
                first_lane = c[outer + 1] * plan[P.LANE_BLOCK]
                lanes = min(plan[P.LANE_BLOCK], plan[P.LANES] - first_lane)
            g_at = offset(plan, c, outer, P.SOURCE_STRIDE) + first_lane * plan[P.SOURCE_LANE]
            d = offset(plan, c, outer, P.OUTPUT_STRIDE) + first_lane * plan[P.OUTPUT_LANE]
            i_at = offset(plan, c, outer, P.AUX_STRIDE) + first_lane * plan[P.AUX_LANE]
            flat = offset(plan, c, outer, P.INDEX_UNIT) + first_lane * plan[P.INDEX_LANE]
            low = c[outer] * plan[P.BLOCK]
            high = min(low + plan[P.BLOCK], plan[first + P.OUTPUT])
            if halves:
                band = scratch
                base = -low * c[strides]
            else:
                band = y
                base = d
            planes = 1
            if plan[P.GROUP] == 2:
                planes = min(2, plan[group + P.OUTPUT] - c[outer - 1])
            clear(plan, c, band, base, low, high, lanes, lane_stride)
            if planes == 2:
                clear(plan, c, band, base + next_plane, low, high, lanes, lane_stride)
            o_low = max(0, -((reach - low - pad) // window))
            o_high = max(o_low, min(plan[first + P.SOURCE], (high - 1 + pad) // window + 1))
            k_low, k_high = 0, plan[last + P.SOURCE]
            if spatial == 1:
                k_low, k_high = o_low, o_high
            direct = (plan[P.DENSE] != 0) & (not halves)
            flat_low, flat_high = low * plan[first + P.INDEX_UNIT], high * plan[first + P.INDEX_UNIT]
            for _ in range(start(plan, c, P.SOURCE, o_low, o_high)):
                ga, ia, origin = g_at, i_at, base
                for a in range(spatial - 1):
                    axis = _HEADER + (outer + a) * _AXIS
                    ga += c[w + a] * plan[axis + P.SOURCE_STRIDE]
                    ia += c[w + a] * plan[axis + P.AUX_STRIDE]
                    at = c[w + a] * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
                    origin += at * c[strides + a]
                row_first = c[w] * window - pad
                # a row of windows that cannot reach beyond the band needs no test of each tap
                whole = (row_first >= low) | (low == 0)
                whole = whole & ((row_first + reach < high) | (high == plan[first + P.OUTPUT]))
                if by_tap & (entries > 0) & whole & (spatial > 1):
                    along = plan[last + P.WINDOW_STRIDE] * c[strides + spatial - 1]
                    to = origin - plan[last + P.PAD] * c[strides + spatial - 1]
                    offsets = pointer(address(work) + 8 * table, int64_code)
                    if planes == 2:
                        g_next, i_next = plan[group + P.SOURCE_STRIDE], plan[group + P.AUX_STRIDE]
                        add_rows(
                            g, indices, band, offsets, entries, ga, ia, to, along, k_high, g_next, i_next, next_plane
                        )
                    elif lanes == 1:
                        add_row(g, indices, band, offsets, entries, ga, gstep, ia, xstep, to, along, k_high)
                    else:
                        for k in range(k_high):
                            add_row(
                                g, indices, band, offsets, entries, ga + k * gstep, source_lane, ia + k * xstep,
                                aux_lane, to + k * along, lane_stride, lanes,
                            )  # fmt: skip
                elif (not by_tap) & direct & (lanes == 1):
                    for k in range(k_low, k_high):
                        index = np.int64(indices[ia + k * xstep])
                        moved = index - flat
                        if (index >= 0) & (moved >= flat_low) & (moved < flat_high):
                            band[base + moved] = canonical(band[base + moved] + decode(g[ga + k * gstep]))
                else:
                    for k in range(k_low, k_high):
                        if spatial == 1:
                            row_first = k * window - pad
                        at = k * plan[last + P.WINDOW_STRIDE] - plan[last + P.PAD]
                        to = origin + at * c[strides + spatial - 1]
                        for e in range(lanes):
                            index = np.int64(indices[ia + k * xstep + e * aux_lane])
                            here = e * lane_stride
                            taken = False
                            if index >= 0:
                                if by_tap & (entries > 0):
                                    if index < entries:
                                        position = row_first + c[table + entries + index]
                                        taken = (position >= low) & (position < high)
                                        here += to + c[table + index]
                                elif by_tap:
                                    if index < taps:
                                        position, moved = place(plan, c, index, k, 0)
                                        taken = (position >= low) & (position < high)
                                        here += base + moved
                                elif direct:
                                    moved = index - flat - e * plan[P.INDEX_LANE]
                                    taken = (moved >= flat_low) & (moved < flat_high)
                                    here += base + moved
                                else:
                                    lane = flat + e * plan[P.INDEX_LANE]
                                    position, moved = place(plan, c, index, k, lane)
                                    taken = (position >= low) & (position < high)
                                    here += base + moved
                            if taken:
                                band[here] = canonical(band[here] + decode(g[ga + k * gstep + e * source_lane]))
                step(plan, c, P.SOURCE, o_low, o_high)
            if halves:
                copy_out(plan, c, band, base, y, d, low, high, lanes, lane_stride)
            advance(plan, c)

    return kernel
