"""Results of a maximum and a mean put together, element by element, and what their gradients are made of.

A frame and no numbers of its own. All arrays have the sizes of the results. A tile is one row, with all its lanes.

"add": a, b, y: y = a + b
"mix": a, b, w, y: y = w a + (1 - w) b
   A window without a tap, whose maximum is minus infinity and whose mean is 0, gives 0.
"part": g, w, a, b: a = w g, b = (1 - w) g
"weigh": a, b, g, t: t = the sum of g (a - b) over the spatial axes, in float64, of which t has one element; windows
without a tap give nothing. A tile is a plane, with all its lanes. Columns first, from the top; then along the last
axis, from left to right.
"""

from __future__ import annotations

import math

from numpy import float64

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import codes, reader, value_type, writer
from fastpool.kernels.cpu.memory import OUT, RESULT, SOURCE, address, load, pointer, store
from fastpool.kernels.frame import lane_stride, offset, row_at, size, stride

WIDE = codes("f64")


def make(digest, role, dtype):
    """The kernel of a role for one element type."""
    code, value, read, write = codes(dtype), value_type(dtype), reader(dtype), writer(dtype)
    weight_code = codes("f64" if dtype == "f64" else "f32")
    one, zero, lowest = value(1), value(0), value(-math.inf)

    def add(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        a, b, y = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], code)
        lanes, count = plan[F.LANES], size(plan, 0, 2)
        la, lb, ly = lane_stride(plan, 0), lane_stride(plan, 1), lane_stride(plan, 2)
        sa, sb, sy = stride(plan, 0, 2), stride(plan, 1, 2), stride(plan, 2, 2)
        for tile in range(begin, end):
            at_a, at_b, at_y = row_at(plan, 0, tile), row_at(plan, 1, tile), row_at(plan, 2, tile)
            for _ in range(lanes):
                for i in range(count):
                    total = read(load(a, at_a + i * sa, SOURCE)) + read(load(b, at_b + i * sb, SOURCE))
                    store(y, at_y + i * sy, write(total), RESULT)
                at_a, at_b, at_y = at_a + la, at_b + lb, at_y + ly

    def mix(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        a, b, w, y = (
            pointer(bufs[0], code),
            pointer(bufs[1], code),
            pointer(bufs[2], weight_code),
            pointer(bufs[3], code),
        )
        lanes, count = plan[F.LANES], size(plan, 0, 2)
        la, lb, lw, ly = lane_stride(plan, 0), lane_stride(plan, 1), lane_stride(plan, 2), lane_stride(plan, 3)
        sa, sb, sw, sy = stride(plan, 0, 2), stride(plan, 1, 2), stride(plan, 2, 2), stride(plan, 3, 2)
        for tile in range(begin, end):
            at_a, at_b = row_at(plan, 0, tile), row_at(plan, 1, tile)
            at_w, at_y = row_at(plan, 2, tile), row_at(plan, 3, tile)
            for i in range(count):
                for lane in range(lanes):
                    share = load(w, at_w + i * sw + lane * lw, SOURCE)
                    most = read(load(a, at_a + i * sa + lane * la, SOURCE))
                    mean = read(load(b, at_b + i * sb + lane * lb, SOURCE))
                    most = mean if (most == lowest) & (mean == zero) else most
                    store(y, at_y + i * sy + lane * ly, write(share * most + (one - share) * mean), RESULT)

    def part(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        g, w, a, b = (
            pointer(bufs[0], code),
            pointer(bufs[1], weight_code),
            pointer(bufs[2], code),
            pointer(bufs[3], code),
        )
        lanes, count = plan[F.LANES], size(plan, 0, 2)
        lg, lw, la, lb = lane_stride(plan, 0), lane_stride(plan, 1), lane_stride(plan, 2), lane_stride(plan, 3)
        sg, sw, sa, sb = stride(plan, 0, 2), stride(plan, 1, 2), stride(plan, 2, 2), stride(plan, 3, 2)
        for tile in range(begin, end):
            at_g, at_w = row_at(plan, 0, tile), row_at(plan, 1, tile)
            at_a, at_b = row_at(plan, 2, tile), row_at(plan, 3, tile)
            for i in range(count):
                for lane in range(lanes):
                    share = load(w, at_w + i * sw + lane * lw, SOURCE)
                    given = read(load(g, at_g + i * sg + lane * lg, SOURCE))
                    store(a, at_a + i * sa + lane * la, write(share * given), RESULT)
                    store(b, at_b + i * sb + lane * lb, write((one - share) * given), OUT)

    def weigh(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        a, b, g, t = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], code), pointer(bufs[3], WIDE)
        lanes, count = plan[F.LANES], size(plan, 0, 2)
        la, lb, lg, lt = lane_stride(plan, 0), lane_stride(plan, 1), lane_stride(plan, 2), lane_stride(plan, 3)
        sa, sb, sg = stride(plan, 0, 2), stride(plan, 1, 2), stride(plan, 2, 2)
        columns = pointer(address(work), WIDE)
        rows = size(plan, 0, 0) * size(plan, 0, 1)
        for number in range(begin, end):
            for i in range(count * lanes):
                store(columns, i, 0.0, OUT)
            for row in range(rows):
                at_a, at_b = row_at(plan, 0, number * rows + row), row_at(plan, 1, number * rows + row)
                at_g = row_at(plan, 2, number * rows + row)
                for i in range(count):
                    for lane in range(lanes):
                        most = read(load(a, at_a + i * sa + lane * la, SOURCE))
                        mean = read(load(b, at_b + i * sb + lane * lb, SOURCE))
                        most = mean if (most == lowest) & (mean == zero) else most
                        given = read(load(g, at_g + i * sg + lane * lg, SOURCE))
                        term = float64(given) * (float64(most) - float64(mean))
                        store(columns, i * lanes + lane, load(columns, i * lanes + lane, OUT) + term, OUT)
            to = offset(plan, 3, number)
            for lane in range(lanes):
                total = 0.0
                for i in range(count):
                    total += load(columns, i * lanes + lane, OUT)
                store(t, to + lane * lt, total, RESULT)

    return {"add": add, "mix": mix, "part": part, "weigh": weigh}[role]
