"""The gradient of the mean, or the sum, of each box of bins: an element receives its share from every box it is in.

Reads ``bufs[1]`` (gradients of results) and four tables, writes ``bufs[0]``. Elements that follow each other along an
axis and are held by the same bins are a *run*. ``bufs[2]`` has the runs, ``bufs[3]`` which bins hold each, ``bufs[4]``
the bins (see ``bin_parts``). Arrays of the frame: gradient of x, that of the results, and one that is not there, with
as many elements along each axis as there are runs.

A gradient is divided by the elements of its box; the shares are added along the first spatial axis, then the next, each
in binary blocks. What is written is the same in all elements of a run, and is computed once. A tile is some runs over
the first two axes, with some lanes.

Where no element is in more than two bins of an axis (``SHORT``), shares are computed once for each row of results, and
``bufs[5]`` says where each element along the last axis finds its own: at ``o`` where it is in bin ``o`` alone, at
``bins + o`` where it is in the next one, too, and at ``2 * bins - 1`` where it is in none.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from fastpool.kernels import bin_plan as P
from fastpool.kernels import frame as F
from fastpool.kernels import reductions as R
from fastpool.kernels.cpu.family import bin_parts as B
from fastpool.kernels.cpu.family.access import codes, reader, value_type, writer
from fastpool.kernels.cpu.memory import (
    address,
    load_out,
    load_side,
    load_source,
    pointer,
    store_out,
    store_result,
)
from fastpool.kernels.frame import lane_stride, offset, size, stride


def make(digest, reduction, dtype):
    """The kernel for "mean" or "sum" and a type of gradients."""
    code, state, table_code = codes(dtype), codes(B.state_type(dtype)), codes("i64")
    decode, encode, value = reader(dtype), writer(dtype), value_type(dtype)
    exact = B.EXACT
    settle, close = B.make_settle(R.add)
    double, block = B.make_doubling(R.add)
    divided = 1 if reduction == "mean" else 0

    @register_jitable
    def part(g, taps):
        if not divided:
            return g
        return g / value(taps) if taps < exact else value(g / np.float64(taps))

    @register_jitable
    def lift(dy, at, step, fine, table, widths, wide, lanes, taps, s, to):
        """The shares of a row of ``wide`` results with all their lanes; ``widths`` is where the bins' begins are."""
        if (lanes == 1) & (step == 1):
            for o in range(wide):
                width = load_side(table, widths + wide + o) - load_side(table, widths + o)
                store_out(s, to + o, part(decode(load_source(dy, at + o)), taps * width))
        else:
            for o in range(wide):
                width = load_side(table, widths + wide + o) - load_side(table, widths + o)
                lift_lanes(dy, at + o * step, fine, lanes, taps * width, s, to + o * lanes)

    @register_jitable
    def widths_of(table, widths, wide, s, to):
        """How wide bins are, as numbers of states, into a row of scratch; gives the widest."""
        most = np.int64(0)
        for o in range(wide):
            width = load_side(table, widths + wide + o) - load_side(table, widths + o)
            store_out(s, to + o, width)
            most = max(most, width)
        return most

    @register_jitable
    def lift_row(dy, at, wide, taps, s, widths, to):
        """The shares of a row of results that lie side by side, whose divisors are exact as products of states."""
        if divided:
            for o in range(wide):
                store_out(s, to + o, decode(load_source(dy, at + o)) / (value(taps) * load_out(s, widths + o)))
        else:
            for o in range(wide):
                store_out(s, to + o, decode(load_source(dy, at + o)))

    @register_jitable
    def add(s, to, a, b, count):
        """A row of states, the sum of two."""
        for e in range(count):
            store_out(s, to + e, load_out(s, a + e) + load_out(s, b + e))

    @register_jitable
    def write(dx, to, step, fine, wide, lanes, s, at):
        """A row of states to memory."""
        if (fine == 1) & (step == lanes) | (lanes == 1) & (step == 1):
            for e in range(wide * lanes):
                store_result(dx, to + e, encode(load_out(s, at + e)))
        else:
            for o in range(wide):
                for e in range(lanes):
                    store_result(dx, to + o * step + e * fine, encode(load_out(s, at + o * lanes + e)))

    @register_jitable
    def pick(dx, to, sh, step, fine, kh, wide, lanes, s, row, line, places):
        """``kh`` rows of elements, each from the states of its bin or of its two."""
        if lanes == 1:
            for i in range(wide):
                store_out(s, line + i, load_out(s, row + load_side(places, i)))
            for j in range(kh):
                write(dx, to + j * sh, step, fine, wide, 1, s, line)
            return
        for j in range(kh):
            for i in range(wide):
                here, at = row + load_side(places, i) * lanes, to + j * sh + i * step
                if fine == 1:
                    for e in range(lanes):
                        store_result(dx, at + e, encode(load_out(s, here + e)))
                else:
                    for e in range(lanes):
                        store_result(dx, at + e * fine, encode(load_out(s, here + e)))

    @register_jitable
    def lift_lanes(dy, at, fine, lanes, taps, s, to):
        if fine == 1:
            for e in range(lanes):
                store_out(s, to + e, part(decode(load_source(dy, at + e)), taps))
        else:
            for e in range(lanes):
                store_out(s, to + e, part(decode(load_source(dy, at + e * fine)), taps))

    @register_jitable
    def spread(dx, to, sd, sh, step, fine, kd, kh, kw, lanes, s):
        """The lanes of one element to all elements of a run."""
        for i in range(kd):
            for j in range(kh):
                for o in range(kw):
                    at = to + i * sd + j * sh + o * step
                    if fine == 1:
                        for e in range(lanes):
                            store_result(dx, at + e, encode(load_out(s, e)))
                    else:
                        for e in range(lanes):
                            store_result(dx, at + e * fine, encode(load_out(s, e)))

    def bin_share(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        dx, dy, s = pointer(bufs[0], code), pointer(bufs[1], code), pointer(address(work), state)
        runs, held, bins = pointer(bufs[2], table_code), pointer(bufs[3], table_code), pointer(bufs[4], table_code)
        places = pointer(bufs[5], table_code)
        own, lanes, slot = plan[F.OWN], plan[F.LANES], plan[plan[F.OWN] + P.SLOT]
        woven, longest = plan[own + P.WOVEN] != 0, plan[own + P.LONGEST]
        sd, sh, sw = stride(plan, 0, 0), stride(plan, 0, 1), stride(plan, 0, 2)
        x_lane, y_lane, y_step = lane_stride(plan, 0), lane_stride(plan, 1), stride(plan, 1, 2)
        yd, yh = stride(plan, 1, 0), stride(plan, 1, 1)
        wide, bins_d, bins_h, columns = size(plan, 0, 2), size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        deep, high, across = size(plan, 2, 0), size(plan, 2, 1), size(plan, 2, 2)
        many_rows, many_lanes, line = plan[own + P.ROWS], plan[own + P.LANES], plan[own + P.LINE] * slot
        at_d, at_h, at_w = B.lists(plan, 0, 2)
        bin_d, bin_h, bin_w = B.lists(plan, 0, 1)
        short, widths = plan[own + P.SHORT] != 0, line + slot
        most = widths_of(bins, bin_w, columns, s, widths) if short else 0
        for tile in range(begin, end):
            rest, lane, last_lane = B.share(tile, lanes, many_lanes)
            number, first, last = B.share(rest, deep * high, many_rows)
            count = last_lane - lane
            base = offset(plan, 0, number) + lane * x_lane
            base_y = offset(plan, 1, number) + lane * y_lane
            if short:
                # Three rows of states: of two neighbouring bins along the second axis, and of their sum. Behind the
                # states of its bins each has those of pairs of neighbours, and then what is in no bin.
                row_states = columns * count
                for place in range(3):
                    for e in range(count):
                        store_out(s, 2 * place * slot + 2 * row_states - count + e, 0)
                lifted = -1
                for row in range(first, last):
                    h, kh = B.bin_of(runs, at_h, high, row)
                    o, k = B.bin_of(held, at_h, high, row)
                    for oh in range(max(o, lifted + 1), o + k):
                        here, taps = 2 * (oh & 1) * slot, B.bin_of(bins, bin_h, bins_h, oh)[1]
                        at = base_y + oh * yh
                        if (lanes == 1) & (y_step == 1) & (taps * most < exact):
                            lift_row(dy, at, columns, taps, s, widths, here)
                        else:
                            lift(dy, at, y_step, y_lane, bins, bin_w, columns, count, taps, s, here)
                        add(s, here + row_states, here, here + count, row_states - count)
                        lifted = oh
                    here = 2 * (o & 1) * slot
                    if k == 2:
                        here = 4 * slot
                        add(s, here, 2 * (o & 1) * slot, 2 * (o + 1 & 1) * slot, row_states)
                        add(s, here + row_states, here, here + count, row_states - count)
                    if k == 0:
                        for e in range(2 * row_states):
                            store_out(s, here + e, 0)
                        lifted = -1
                    pick(dx, base + h * sh, sh, sw, x_lane, kh, wide, count, s, here, line, places)
                continue
            for row in range(first, last):
                rd, rh = row // high, row % high
                d, kd = B.bin_of(runs, at_d, deep, rd)
                h, kh = B.bin_of(runs, at_h, high, rh)
                d_from, d_many = B.bin_of(held, at_d, deep, rd)
                h_from, h_many = B.bin_of(held, at_h, high, rh)
                to = base + d * sd + h * sh
                # woven: all bins of the row at once, then its runs; else the lanes of one run after the other
                parts = 1 if woven else across
                for rw in range(parts):
                    o_from, o_many = 0, 1
                    if not woven:
                        o_from, o_many = B.bin_of(held, at_w, across, rw)
                    row_states = columns * count if woven else count
                    some = (d_many > 0) & (h_many > 0) & (o_many > 0)
                    outer = 0
                    for o in range(o_from, o_from + o_many if some else o_from):
                        taps_w = B.bin_of(bins, bin_w, columns, o)[1]
                        middle = outer
                        for oh in range(h_from, h_from + h_many):
                            taps_h = B.bin_of(bins, bin_h, bins_h, oh)[1]
                            inner = middle
                            for od in range(d_from, d_from + d_many):
                                taps = taps_h * B.bin_of(bins, bin_d, bins_d, od)[1]
                                at = base_y + od * yd + oh * yh
                                if woven:
                                    lift(dy, at, y_step, y_lane, bins, bin_w, columns, count, taps, s, inner * slot)
                                else:
                                    lift_lanes(dy, at + o * y_step, y_lane, count, taps * taps_w, s, inner * slot)
                                depth = inner - middle + 1
                                inner = middle + settle(s, middle * slot, slot, depth, od - d_from, row_states)
                            close(s, middle * slot, slot, inner - middle, row_states)
                            depth = middle - outer + 1
                            middle = outer + settle(s, outer * slot, slot, depth, oh - h_from, row_states)
                        close(s, outer * slot, slot, middle - outer, row_states)
                        outer = settle(s, 0, slot, outer + 1, o - o_from, row_states)
                    close(s, 0, slot, outer, row_states)
                    if woven:
                        if some:
                            double(s, 0, slot, row_states, longest, count)
                        for run in range(across):
                            w, kw = B.bin_of(runs, at_w, across, run)
                            o, k = B.bin_of(held, at_w, across, run)
                            for e in range(count):
                                g = value(0)
                                if some & (k > 0):
                                    g = block(s, 0, slot, o * count + e, k, count)
                                for i in range(w, w + kw):
                                    store_out(s, line + i * count + e, g)
                        for i in range(kd):
                            for j in range(kh):
                                write(dx, to + i * sd + j * sh, sw, x_lane, wide, count, s, line)
                    else:
                        if not some:
                            for e in range(count):
                                store_out(s, e, 0)
                        w, kw = B.bin_of(runs, at_w, across, rw)
                        spread(dx, to + w * sw, sd, sh, sw, x_lane, kd, kh, kw, count, s)

    return bin_share
