"""The gradient of the largest of each box of bins where lanes are many: every element asks the boxes that hold it.

Reads ``bufs[1]`` (gradients of results), ``bufs[2]`` (their indices) and three tables, as in ``bin_share``:
``bufs[3]`` the runs, ``bufs[4]`` which bins hold each, ``bufs[5]`` the bins. Writes ``bufs[0]``. Arrays of the frame:
gradient of x, that of the results, indices, one that is not there as in ``bin_index``, and one with an element for each
run.

An element compares its own index with those of its boxes, a vector of lanes at a time, and adds the gradients of those
that are equal in row-major order of the boxes: the bits are those of ``bin_scatter``. Nothing is written twice. A tile
is some runs over the first two axes, with some lanes.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import bin_plan as P
from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family import bin_parts as B
from fastpool.kernels.cpu.family.access import codes, reader, value_type, writer
from fastpool.kernels.cpu.memory import (
    SCALARS,
    address,
    load_out,
    load_side,
    load_source,
    pointer,
    store_out,
    store_result,
)
from fastpool.kernels.frame import lane_stride, offset, size, stride


def make(digest, dtype, index):
    """The kernel for a type of gradients and of indices."""
    code, state, table_code, index_code = (codes(name) for name in (dtype, B.state_type(dtype), "i64", index))
    decode, encode, value, integer = reader(dtype), writer(dtype), value_type(dtype), SCALARS[index]

    @register_jitable
    def given(dy, y, y_lane, indices, i, i_lane, own, step, e):
        """What a box sends to the element of that index, in lane ``e``."""
        g = decode(load_source(dy, y + e * y_lane))
        return g if load_side(indices, i + e * i_lane) == integer(own + e * step) else value(0)

    @register_jitable
    def only(dx, to, x_lane, dy, y, y_lane, indices, i, i_lane, own, step, count):
        if (x_lane == 1) & (y_lane == 1) & (i_lane == 1) & (step == 0):
            for e in range(count):
                store_result(dx, to + e, encode(value(0) + given(dy, y, 1, indices, i, 1, own, 0, e)))
        else:
            for e in range(count):
                g = value(0) + given(dy, y, y_lane, indices, i, i_lane, own, step, e)
                store_result(dx, to + e * x_lane, encode(g))

    @register_jitable
    def more(s, first, dy, y, y_lane, indices, i, i_lane, own, step, count):
        if first:
            for e in range(count):
                store_out(s, e, 0)
        if (y_lane == 1) & (i_lane == 1) & (step == 0):
            for e in range(count):
                store_out(s, e, load_out(s, e) + given(dy, y, 1, indices, i, 1, own, 0, e))
        else:
            for e in range(count):
                store_out(s, e, load_out(s, e) + given(dy, y, y_lane, indices, i, i_lane, own, step, e))

    @register_jitable
    def write(dx, to, x_lane, s, none, count):
        if none:
            for e in range(count):
                store_result(dx, to + e * x_lane, encode(value(0)))
        elif x_lane == 1:
            for e in range(count):
                store_result(dx, to + e, encode(load_out(s, e)))
        else:
            for e in range(count):
                store_result(dx, to + e * x_lane, encode(load_out(s, e)))

    def bin_match(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        dx, dy, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        runs, held, bins = pointer(bufs[3], table_code), pointer(bufs[4], table_code), pointer(bufs[5], table_code)
        s, own, lanes = pointer(address(work), state), plan[F.OWN], plan[F.LANES]
        flat, many_rows, many_lanes = plan[own + P.FLAT] != 0, plan[own + P.ROWS], plan[own + P.LANES]
        xd, xh, xw, x_lane = stride(plan, 0, 0), stride(plan, 0, 1), stride(plan, 0, 2), lane_stride(plan, 0)
        yd, yh, yw, y_lane = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2), lane_stride(plan, 1)
        i_deep, i_high, i_wide, i_lane = (
            stride(plan, 2, 0),
            stride(plan, 2, 1),
            stride(plan, 2, 2),
            lane_stride(plan, 2),
        )
        cd, ch, cw, cl = stride(plan, 3, 0), stride(plan, 3, 1), stride(plan, 3, 2), lane_stride(plan, 3)
        step = cl if flat else 0
        bins_h, bins_w = size(plan, 1, 1), size(plan, 1, 2)
        deep, high, across = size(plan, 4, 0), size(plan, 4, 1), size(plan, 4, 2)
        at_d, at_h, at_w = B.lists(plan, 0, 4)
        bin_d, bin_h, bin_w = B.lists(plan, 0, 1)
        for tile in range(begin, end):
            rest, lane, last_lane = B.share(tile, lanes, many_lanes)
            number, first, last = B.share(rest, deep * high, many_rows)
            count = last_lane - lane
            base = offset(plan, 0, number) + lane * x_lane
            base_y = offset(plan, 1, number) + lane * y_lane
            base_i = offset(plan, 2, number) + lane * i_lane
            home = offset(plan, 3, number) + lane * cl
            for row in range(first, last):
                rd, rh = row // high, row % high
                d, long_d = B.bin_of(runs, at_d, deep, rd)
                h, long_h = B.bin_of(runs, at_h, high, rh)
                from_d, many_d = B.bin_of(held, at_d, deep, rd)
                from_h, many_h = B.bin_of(held, at_h, high, rh)
                for place in range(long_d * long_h):
                    xi, xj = d + place // long_h, h + place % long_h
                    line = base + xi * xd + xj * xh
                    for run in range(across):
                        w, long_w = B.bin_of(runs, at_w, across, run)
                        from_w, many_w = B.bin_of(held, at_w, across, run)
                        boxes = many_d * many_h * many_w
                        for xk in range(w, w + long_w):
                            done = 0
                            for od in range(from_d, from_d + many_d):
                                b_d = load_side(bins, bin_d + od)
                                for oh in range(from_h, from_h + many_h):
                                    b_h, k_h = B.bin_of(bins, bin_h, bins_h, oh)
                                    for o in range(from_w, from_w + many_w):
                                        if flat:
                                            own_index = home + xi * cd + xj * ch + xk * cw
                                        else:
                                            b_w, k_w = B.bin_of(bins, bin_w, bins_w, o)
                                            own_index = ((xi - b_d) * k_h + xj - b_h) * k_w + xk - b_w
                                        y = base_y + od * yd + oh * yh + o * yw
                                        i = base_i + od * i_deep + oh * i_high + o * i_wide
                                        if boxes == 1:
                                            only(
                                                dx, line + xk * xw, x_lane, dy, y, y_lane, indices, i, i_lane,
                                                own_index, step, count,
                                            )  # fmt: skip
                                        else:
                                            more(
                                                s, done == 0, dy, y, y_lane, indices, i, i_lane, own_index, step, count
                                            )
                                        done += 1
                            if boxes != 1:
                                write(dx, line + xk * xw, x_lane, s, boxes == 0, count)

    return bin_match
