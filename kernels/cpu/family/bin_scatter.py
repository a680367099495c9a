"""The gradient of the largest of each box of bins: what its index names receives the gradient of the box.

Reads ``bufs[1]`` (gradients of results), ``bufs[2]`` (their indices) and ``bufs[3]`` (the table of bins, see
``bin_parts``), writes ``bufs[0]``. Arrays of the frame: gradient of x, that of the results, indices, and one that is
not there, as in ``bin_index``; its rows are dense.

A tile is some rows of the gradient of x, over the first two axes, with some lanes. It adds the results whose boxes
reach into it, in row-major order, in scratch, and writes its rows once. An index that is the largest of an unsigned
type, or negative, names none.
"""

from __future__ import annotations

import numpy as np

from fastpool.kernels import bin_plan as P
from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family import bin_parts as B
from fastpool.kernels.cpu.family.access import codes, reader, writer
from fastpool.kernels.cpu.memory import (
    RESULT,
    SIDE,
    SOURCE,
    address,
    load,
    load_out,
    pointer,
    store,
    store_out,
)
from fastpool.kernels.frame import lane_stride, offset, size, stride


def make(digest, dtype, index):
    """The kernel for a type of gradients and of indices."""
    code, state, table_code, index_code = (codes(name) for name in (dtype, B.state_type(dtype), "i64", index))
    decode, encode = reader(dtype), writer(dtype)
    # an index of 64 bits is never that large
    absent = -1 if index in ("i64", "u64") else 2 ** int(index[1:]) - 1

    def bin_scatter(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        dx, dy, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        table, s = pointer(bufs[3], table_code), pointer(address(work), state)
        own, lanes = plan[F.OWN], plan[F.LANES]
        flat = plan[own + P.FLAT] != 0
        high, wide = size(plan, 0, 1), size(plan, 0, 2)
        step, y_step, i_step = stride(plan, 0, 2), stride(plan, 1, 2), stride(plan, 2, 2)
        x_lane, y_lane, i_lane = lane_stride(plan, 0), lane_stride(plan, 1), lane_stride(plan, 2)
        cw, cl = stride(plan, 3, 2), lane_stride(plan, 3)
        for tile in range(begin, end):
            rest, lane, last_lane = B.share(tile, lanes, plan[own + P.LANES])
            number, first, last = B.share(rest, size(plan, 0, 0) * high, plan[own + P.ROWS])
            count = last_lane - lane
            pitch = wide * count
            for e in range((last - first) * pitch):
                store_out(s, e, 0)
            base_y = offset(plan, 1, number) + lane * y_lane
            base_i = offset(plan, 2, number) + lane * i_lane
            home = offset(plan, 3, number) + lane * cl
            for od in range(size(plan, 1, 0)):
                d, d_end = B.begin_of(plan, table, number, 0, od, 1), B.end_of(plan, table, number, 0, od, 1)
                if (d_end <= d) | (d_end * high <= first) | (d * high >= last):
                    continue
                for oh in range(size(plan, 1, 1)):
                    h, h_end = B.begin_of(plan, table, number, 1, oh, 1), B.end_of(plan, table, number, 1, oh, 1)
                    if (h_end <= h) | ((d_end - 1) * high + h_end <= first) | (d * high + h >= last):
                        continue
                    kh = h_end - h
                    for o in range(size(plan, 1, 2)):
                        w = B.begin_of(plan, table, number, 2, o, 1)
                        kw = B.end_of(plan, table, number, 2, o, 1) - w
                        from_y = base_y + od * stride(plan, 1, 0) + oh * stride(plan, 1, 1) + o * y_step
                        from_i = base_i + od * stride(plan, 2, 0) + oh * stride(plan, 2, 1) + o * i_step
                        for e in range(count):
                            index_of = np.int64(load(indices, from_i + e * i_lane, SIDE))
                            if (index_of == absent) | (kw <= 0):
                                continue
                            if flat:
                                place = index_of - home - e * cl
                                if cw != 1:
                                    place //= cw
                                place -= first * wide
                            else:
                                row = index_of // kw
                                place = w + index_of - row * kw
                                deep = row // kh
                                row = (d + deep) * high + h + row - deep * kh
                                place += (row - first) * wide
                            if (place < 0) | (place >= (last - first) * wide):
                                continue
                            i = place * count + e
                            g = decode(load(dy, from_y + e * y_lane, SOURCE))
                            store_out(s, i, load_out(s, i) + g)
            for row in range(first, last):
                to = offset(plan, 0, number) + lane * x_lane
                to += row // high * stride(plan, 0, 0) + row % high * stride(plan, 0, 1)
                here = (row - first) * pitch
                if (step == count) & (x_lane == 1) | (count == 1) & (step == 1):
                    for e in range(pitch):
                        store(dx, to + e, encode(load_out(s, here + e)), RESULT)
                elif x_lane == 1:
                    for o in range(wide):
                        for e in range(count):
                            store(dx, to + o * step + e, encode(load_out(s, here + o * count + e)), RESULT)
                else:
                    for o in range(wide):
                        for e in range(count):
                            element = encode(load_out(s, here + o * count + e))
                            store(dx, to + o * step + e * x_lane, element, RESULT)

    return bin_scatter
