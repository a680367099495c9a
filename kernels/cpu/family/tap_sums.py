"""Gradients of filters over two axes: products of what a tap saw with the gradient of four bands, added over a plane.

``sums[u, v, b] = sum over o, p of x[row(o, u), column(p, v)] * g[b, o, p]``, in float64, o before p, from the first to
the last; a tap on a zero of the border adds nothing.

Arrays: x; g without the axis of its bands; the sums, one row of ``4 * taps * taps`` elements along the last spatial
axis for each plane. A fourth pointer has places in memory: of rows for each output and tap, of columns for each tap and
output, -1 for a zero. Numbers of its own: taps, step from band to band of g. A tile is a plane, with all its lanes.
"""

from __future__ import annotations

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import codes
from fastpool.kernels.cpu.memory import RESULT, SIDE, SOURCE, load, pointer, store
from fastpool.kernels.frame import lane_stride, offset, size, stride

BANDS = 4


def make(digest, dtype):
    """The kernel for elements of a floating type."""
    code, total, integers = codes(dtype), codes("f64"), codes("i64")

    def tap_sums(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, g = pointer(bufs[0], code), pointer(bufs[1], code)
        sums, places = pointer(bufs[2], total), pointer(bufs[3], integers)
        own, lanes = plan[F.OWN], plan[F.LANES]
        taps, band = plan[own], plan[own + 1]
        rows, columns = size(plan, 1, 1), size(plan, 1, 2)
        row_step, step = stride(plan, 1, 1), stride(plan, 1, 2)
        x_lane, g_lane, sum_lane = lane_stride(plan, 0), lane_stride(plan, 1), lane_stride(plan, 2)
        sum_step = stride(plan, 2, 2)
        across = rows * taps
        for tile in range(begin, end):
            from_x, from_g, to = offset(plan, 0, tile), offset(plan, 1, tile), offset(plan, 2, tile)
            for i in range(BANDS * taps * taps):
                for lane in range(lanes):
                    store(sums, to + i * sum_step + lane * sum_lane, 0.0, RESULT)
            for o in range(rows):
                for u in range(taps):
                    row = load(places, o * taps + u, SIDE)
                    if row < 0:
                        continue
                    for v in range(taps):
                        at = to + (u * taps + v) * BANDS * sum_step
                        column = across + v * columns
                        if lanes == 1:
                            a, b = load(sums, at, RESULT), load(sums, at + sum_step, RESULT)
                            c, d = load(sums, at + 2 * sum_step, RESULT), load(sums, at + 3 * sum_step, RESULT)
                            for p in range(columns):
                                place = load(places, column + p, SIDE)
                                if place >= 0:
                                    element = float(load(x, from_x + row + place, SOURCE))
                                    seen = from_g + o * row_step + p * step
                                    a += element * load(g, seen, SOURCE)
                                    b += element * load(g, seen + band, SOURCE)
                                    c += element * load(g, seen + 2 * band, SOURCE)
                                    d += element * load(g, seen + 3 * band, SOURCE)
                            store(sums, at, a, RESULT)
                            store(sums, at + sum_step, b, RESULT)
                            store(sums, at + 2 * sum_step, c, RESULT)
                            store(sums, at + 3 * sum_step, d, RESULT)
                            continue
                        for p in range(columns):
                            place = load(places, column + p, SIDE)
                            if place < 0:
                                continue
                            for k in range(BANDS):
                                seen, start = from_g + o * row_step + p * step + k * band, from_x + row + place
                                for lane in range(lanes):
                                    element = float(load(x, start + lane * x_lane, SOURCE))
                                    product = element * load(g, seen + lane * g_lane, SOURCE)
                                    sum_at = at + k * sum_step + lane * sum_lane
                                    store(sums, sum_at, load(sums, sum_at, RESULT) + product, RESULT)

    return tap_sums
