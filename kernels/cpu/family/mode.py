"""Majorities: the most frequent label of every window.

Arrays: x and the result. Its own numbers are those of ``windows_plan``; a tile is a block of outputs. Labels are
counted by comparing each tap with all that follow it, in all windows of the block at a time: the first tap with a
label finds its whole number. Many taps, where the smallest of equally frequent labels is asked for and no tap is
missing, are sorted by a network instead, so that equal labels are neighbours. A window without taps gives 0.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels import windows_plan as W
from fastpool.kernels.cpu.family.access import codes
from fastpool.kernels.cpu.family.order_block import exchange, make_gather_all
from fastpool.kernels.cpu.family.order_put import make_put
from fastpool.kernels.cpu.family.order_windows import among, columns_inside, laid, outer_of, places, taps_of
from fastpool.kernels.cpu.memory import SCALARS, SIZES, address, load_out, load_side, pointer, store_out, store_side
from fastpool.kernels.frame import lane_stride, offset, size, stride

AXIS, DILATION, KERNEL, STRIDE = W.AXIS, W.DILATION, W.KERNEL, W.STRIDE
PAIRS, EXCHANGES, METHOD, NETWORK = W.PAIRS, W.EXCHANGES, W.METHOD, W.NETWORK
FEW = 100
"""Taps that can be counted in an integer of any size."""


def _make_count(first):
    @register_jitable
    def count(p, row, taps, best, side, found, most, many):
        """The label of each window to row ``best``, by comparing all pairs of taps."""
        for e in range(many):
            store_side(side, most + e, -1)
        for i in range(taps):
            q = i * row
            for e in range(many):
                store_side(side, found + e, 0)
            for j in range(i + 1, taps):
                r = j * row
                for e in range(many):
                    equal = load_out(p, q + e) == load_out(p, r + e)
                    store_side(side, found + e, load_side(side, found + e) + equal)
            for e in range(many):
                number, known = load_side(side, found + e), load_side(side, most + e)
                label, chosen = load_out(p, q + e), load_out(p, best + e)
                if first:
                    better = number > known
                else:
                    better = number > known or (number == known and label < chosen)
                store_out(p, best + e, label if better else chosen)
                store_side(side, most + e, number if better else known)

    return count


@register_jitable
def runs(p, row, taps, best, side, found, most, many):
    """The same from sorted taps: the longest run of equal ones, the first of equally long ones."""
    for e in range(many):
        store_side(side, found + e, 1)
        store_side(side, most + e, 1)
        store_out(p, best + e, load_out(p, e))
    for i in range(1, taps):
        q = i * row
        for e in range(many):
            label, chosen = load_out(p, q + e), load_out(p, best + e)
            number = load_side(side, found + e) + 1 if label == load_out(p, q - row + e) else 1
            known = load_side(side, most + e)
            store_side(side, found + e, number)
            store_side(side, most + e, number if number > known else known)
            store_out(p, best + e, label if number > known else chosen)


def _make_count_few(first, make):
    """The functions for 4 and 8 taps, which are all at hand at a time: a count is of the taps that follow."""

    @register_jitable
    def same(v, w):
        return make(v == w)

    @register_jitable
    def either(v, n, best, most):
        if first:
            better = n > most
        else:
            better = n > most or (n == most and v < best)
        return (v if better else best), (n if better else most)

    @register_jitable
    def of_four(a, b, c, d):
        best, most = a, make(same(a, b) + same(a, c) + same(a, d))
        best, most = either(b, make(same(b, c) + same(b, d)), best, most)
        best, most = either(c, same(c, d), best, most)
        return either(d, make(0), best, most)

    @register_jitable
    def in_all(v, a, b, c, d):
        return make(same(v, a) + same(v, b) + same(v, c) + same(v, d))

    @register_jitable
    def count_four(p, row, to, many):
        for e in range(many):
            taps = load_out(p, e), load_out(p, row + e), load_out(p, 2 * row + e), load_out(p, 3 * row + e)
            best, _ = of_four(*taps)
            store_out(p, to + e, best)

    @register_jitable
    def count_eight(p, row, to, many):
        for e in range(many):
            a, b, c, d = load_out(p, e), load_out(p, row + e), load_out(p, 2 * row + e), load_out(p, 3 * row + e)
            q = 4 * row + e
            f, g, h, i = load_out(p, q), load_out(p, q + row), load_out(p, q + 2 * row), load_out(p, q + 3 * row)
            best, most = a, make(same(a, b) + same(a, c) + same(a, d) + in_all(a, f, g, h, i))
            best, most = either(b, make(same(b, c) + same(b, d) + in_all(b, f, g, h, i)), best, most)
            best, most = either(c, make(same(c, d) + in_all(c, f, g, h, i)), best, most)
            best, most = either(d, in_all(d, f, g, h, i), best, most)
            best, most = either(f, make(same(f, g) + same(f, h) + same(f, i)), best, most)
            best, most = either(g, make(same(g, h) + same(g, i)), best, most)
            best, most = either(h, same(h, i), best, most)
            best, most = either(i, make(0), best, most)
            store_out(p, to + e, best)

    return count_four, count_eight


def make(digest, role, dtype):
    """The kernel for a role, which label of equally frequent ones: "smallest" or "first"; and an element type."""
    code, count_code, few_code = codes(dtype), codes("i32"), codes(f"i{8 * SIZES[dtype]}")
    bytes_of_label = SIZES[dtype]
    gather_all, (put, put_empty), count_all = make_gather_all(dtype), make_put(dtype), _make_count(role == "first")
    count_four, count_eight = _make_count_few(role == "first", SCALARS[f"i{8 * SIZES[dtype]}"])

    def kernel(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        own = plan[F.OWN]
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        lanes, count, rows, row = plan[F.LANES], size(plan, 1, 2), size(plan, 1, 1), plan[own + W.ROW]
        last = own + 2 * AXIS
        taps, apart = plan[own + KERNEL] * plan[own + AXIS + KERNEL] * plan[last + KERNEL], plan[last + DILATION]
        x_step, x_lane = stride(plan, 0, 2), lane_stride(plan, 0)
        y_step, y_lane = stride(plan, 1, 2), lane_stride(plan, 1)
        step = plan[last + STRIDE] * x_step
        d_step = plan[own + DILATION] * stride(plan, 0, 0)
        h_step = plan[own + AXIS + DILATION] * stride(plan, 0, 1)
        steps = d_step, h_step, apart * x_step, 0, 0, x_step
        place = address(work)
        p, wide, few = pointer(place, code), pointer(place, count_code), pointer(place, few_code)
        best, spare = taps * row, (taps + 3) * row
        counts = (taps + W.ROWS) * row * bytes_of_label // 4 + 1
        blocks, parts = plan[own + W.BLOCKS], plan[own + W.LANE_BLOCKS]
        first, past = columns_inside(plan, own)
        many_planes = plan[own + W.PLANES]
        outer, x_plane, y_plane = outer_of(plan)
        for tile in range(begin, end):
            block, part, h, d, number = places(tile, blocks, parts, rows, size(plan, 1, 0))
            number *= many_planes
            planes = min(many_planes, outer - number) if many_planes > 1 else 1
            lane = part * plan[own + W.PART]
            width = min(plan[own + W.PART], lanes - lane)
            start, stop, inside, outside = among(block, plan[own + W.COLUMNS], count, first, past)
            target = offset(plan, 1, number) + d * stride(plan, 1, 0) + h * stride(plan, 1, 1) + lane * y_lane
            d_from, d_to, d_origin = taps_of(plan, own, 0, d)
            h_from, h_to, h_origin = taps_of(plan, own, 1, h)
            source = offset(plan, 0, number) + lane * x_lane + d_origin * stride(plan, 0, 0)
            source += h_origin * stride(plan, 0, 1)
            o = start
            while o < stop:
                # the windows with all taps along the row go together, the others by themselves
                columns = outside - inside if o == inside and inside < outside else 1
                w_from, w_to, w_origin = taps_of(plan, own, 2, o)
                box = d_from, d_to, h_from, h_to, w_from, w_to
                n, elements = (d_to - d_from) * (h_to - h_from) * (w_to - w_from), planes * columns * width
                at, to = source + w_origin * x_step, target + o * y_step
                here = laid(planes, x_plane, columns, step, width, x_lane)
                there = laid(planes, y_plane, columns, y_step, width, y_lane)
                o += columns
                if n == 0:
                    put_empty(y, to, there)
                    continue
                gather_all(x, at, box, steps, here, p, row, spare, few, 0)
                if n == taps and plan[own + METHOD] == NETWORK:
                    exchange(plan, own + plan[own + PAIRS], plan[own + EXCHANGES], p, row, elements)
                    runs(p, row, n, best, wide, counts, counts + row, elements)
                elif n == 4:
                    count_four(p, row, best, elements)
                elif n == 8:
                    count_eight(p, row, best, elements)
                elif n <= FEW:
                    count_all(p, row, n, best, few, best + row, best + 2 * row, elements)
                else:
                    count_all(p, row, n, best, wide, counts, counts + row, elements)
                put(p, best, there[2] * there[4], y, to, there)

    return kernel
