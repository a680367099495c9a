"""Order statistics of windows: the elements of one or two neighbouring ranks among the taps, mixed.

Arrays: x and the result. Its own numbers are those of ``windows_plan``; a tile is a block of outputs. Where all taps of
the windows are on the input, the ranks are selected by a network of exchanges (or, of 3x3 windows a step of 1 apart, by
sorted columns), and windows of few taps of which NaN are left out are sorted one by one; elsewhere, and in windows of
many taps, ranks are found bit by bit. A selected element is the same whatever way; zeros come out as +0.

Role "locate" writes instead of the result which tap has the lower rank, which one the upper, and the weight of that,
to three arrays that lie as the frame's second. Of equal taps it is the first; no tap is -1; of a window with NaN that
is not left out it is the first NaN.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels import windows_plan as W
from fastpool.kernels.cpu.family.access import codes
from fastpool.kernels.cpu.family.order_block import exchange, make_gather_all, make_search, sort_one
from fastpool.kernels.cpu.family.order_keys import keys
from fastpool.kernels.cpu.family.order_put import find, make_finish, make_put, mark_nan, put_taps
from fastpool.kernels.cpu.family.order_square import make_combine, make_sort
from fastpool.kernels.cpu.family.order_windows import (
    among,
    columns_inside,
    copy_columns,
    laid,
    outer_of,
    places,
    taps_of,
)
from fastpool.kernels.cpu.memory import (
    SIZES,
    address,
    load_out,
    load_side,
    load_source,
    pointer,
    store_out,
    store_side,
)
from fastpool.kernels.elements import HALVES
from fastpool.kernels.frame import lane_stride, offset, size, stride

AXIS, DILATION, KERNEL, STRIDE = W.AXIS, W.DILATION, W.KERNEL, W.STRIDE
SKIP, TABLE, PAIRS, EXCHANGES, METHOD = W.SKIP, W.TABLE, W.PAIRS, W.EXCHANGES, W.METHOD
SEARCH, SQUARE = W.SEARCH, W.SQUARE

FEW = 32
"""Taps of a window by itself that are sorted one by one."""


def _make_choose(dtype):
    search, behind = make_search(dtype)

    @register_jitable
    def choose(plan, own, n, network, varied, p, row, a, b, side, nan, wide, counts, count):
        """Selects the ranks; the rows where they are. ``wide`` has counts, ranks and numbers of taps."""
        table = own + plan[own + TABLE]
        low, high = plan[table + 3 * n], plan[table + 3 * n + 1]
        if network and not varied:
            exchange(plan, own + plan[own + PAIRS], plan[own + EXCHANGES], p, row, count)
            return low * row, high * row
        if count == 1 and n <= FEW and not varied:
            sort_one(p, 0, row, n)
            return low * row, high * row
        ranks, many = counts + row, counts + 2 * row
        if varied and network and n <= FEW:
            # the windows with NaN one by one, then all by exchanges, which leave what is sorted
            for e in range(count):
                missing = load_side(side, nan + e)
                taps = n - missing
                store_side(wide, many + e, taps)
                if missing > 0:
                    sort_one(p, e, row, n)
                    store_out(p, a + e, load_out(p, plan[table + 3 * taps] * row + e))
                    store_out(p, b + e, load_out(p, plan[table + 3 * taps + 1] * row + e))
            exchange(plan, own + plan[own + PAIRS], plan[own + EXCHANGES], p, row, count)
            for e in range(count):
                whole = load_side(side, nan + e) == 0
                store_out(p, a + e, load_out(p, low * row + e) if whole else load_out(p, a + e))
                store_out(p, b + e, load_out(p, high * row + e) if whole else load_out(p, b + e))
            return a, b
        for e in range(count):
            store_side(wide, many + e, n)
            store_side(wide, ranks + e, low)
        if varied:
            for e in range(count):
                taps = n - load_side(side, nan + e)
                store_side(wide, many + e, taps)
                store_side(wide, ranks + e, plan[table + 3 * taps])
        search(p, row, n, a, wide, counts, ranks, count)
        if not varied and low == high:
            return a, a
        for e in range(count):
            store_side(wide, ranks + e, plan[table + 3 * load_side(wide, many + e) + 1])
        behind(p, row, n, a, b, wide, counts, ranks, count)
        return a, b

    return choose


def _make_square(dtype):
    sort_copied, sort_there, combine = make_sort(dtype, load_out), make_sort(dtype, load_source), make_combine(dtype)
    floating = keys(dtype).floating

    @register_jitable
    def square(x, at, line, block, apart, p, row, a, side, nan):
        """Medians of 3x3 windows, to row ``a``; whether there is a NaN. Rows 0 to 2 are copies, if any are needed.

        Planes are as far apart as columns were copied: between them are windows of two planes, which nobody reads.
        """
        planes, beyond, columns, step, width, lane = block
        pitch, worst = (columns + 2 * apart) * width, 0
        elements = (planes - 1) * pitch + columns * width
        low, mid, high, bad, count = 3 * row, 4 * row, 5 * row, 6 * row, planes * pitch
        if planes == 1 and step == width and (width == 1 or lane == 1):
            sort_there(x, at, at + line, at + 2 * line, p, low, mid, high, side, bad, count)
        else:
            for r in range(planes):
                for i in range(3):
                    from_here, to = at + r * beyond + i * line, i * row + r * pitch
                    copy_columns(x, from_here, columns + 2 * apart, step, width, lane, p, to)
            sort_copied(p, 0, row, 2 * row, p, low, mid, high, side, bad, count)
        combine(p, low, mid, high, apart * width, a, side, bad, nan, elements)
        if floating:
            for e in range(elements):
                worst = max(worst, load_side(side, nan + e))
        return worst

    return square


def make(digest, role, dtype):
    """The kernel for a role, "select" or "locate", and an element type."""
    known = keys(dtype)
    code, key_code, count_code, weight_code = codes(dtype), known.code, codes("i32"), codes("f64")
    # columns are compared as what they are, without a detour through keys
    square_code = key_code if dtype in HALVES else code
    bytes_of_key, halves, largest = SIZES[dtype], dtype in HALVES, known.type(known.largest)
    gather_all, choose, square = make_gather_all(dtype), _make_choose(dtype), _make_square(dtype)
    finish, (put, put_empty) = make_finish(dtype), make_put(dtype)
    locating, selecting = role == "locate", role == "select"

    @register_jitable
    def locate(x, block, p, row, rows, side, low, high, wide, lower, wrong):
        """Which taps the selected elements are: the first that are equal."""
        at, box, steps, shape = block
        a, b, nan, spare = rows
        count = shape[0] * shape[2] * shape[4]
        for e in range(count):
            one, other = load_out(p, low + e), load_out(p, high + e)
            store_out(p, a + e, one)
            store_out(p, b + e, other)
        if wrong:
            mark_nan(p, a, b, side, nan, largest, count)
        # exchanges have moved the taps
        gather_all(x, at, box, steps, shape, p, row, spare, side, nan)
        for e in range(2 * row):
            store_side(wide, lower + e, -1)
        lines, across = box[3] - box[2], box[5] - box[4]
        taps = (box[1] - box[0]) * lines * across
        for i in range(taps):
            t = taps - 1 - i
            place = (box[0] + t // (lines * across)) * steps[3] + (box[2] + t // across % lines) * steps[4]
            number = place + box[4] + t % across
            find(p, row, t, number, a, wide, lower, count)
            find(p, row, t, number, b, wide, lower + row, count)

    def kernel(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        own = plan[F.OWN]
        x, xs, y = pointer(bufs[0], key_code), pointer(bufs[0], square_code), pointer(bufs[1], code)
        lanes, count, rows, row = plan[F.LANES], size(plan, 1, 2), size(plan, 1, 1), plan[own + W.ROW]
        last = own + 2 * AXIS
        across, lines = plan[last + KERNEL], plan[own + AXIS + KERNEL]
        taps, apart = plan[own + KERNEL] * lines * across, plan[last + DILATION]
        x_step, x_lane = stride(plan, 0, 2), lane_stride(plan, 0)
        y_step, y_lane = stride(plan, 1, 2), lane_stride(plan, 1)
        step = plan[last + STRIDE] * x_step
        d_step = plan[own + DILATION] * stride(plan, 0, 0)
        h_step = plan[own + AXIS + DILATION] * stride(plan, 0, 1)
        steps = d_step, h_step, apart * x_step, lines * across, across, x_step
        # rows of scratch: of taps, of two results, of how many are NaN; then of 32-bit integers
        place = address(work)
        p, ps, q = pointer(place, key_code), pointer(place, square_code), pointer(place, code)
        side, wide = pointer(place, key_code), pointer(place, count_code)
        a, b, nan, spare = taps * row, (taps + 1) * row, (taps + 2) * row, (taps + 3) * row
        counts = (taps + W.ROWS) * row * bytes_of_key // 4 + 1
        many = counts + 2 * row
        table, method = own + plan[own + TABLE], plan[own + METHOD]
        skip, mean = plan[own + SKIP] != 0, plan[own + W.MEAN] != 0
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
                pitch = there[2] * there[4]
                o += columns
                varied, as_keys, worst, low, high = False, True, 0, a, a
                squared = False
                # a condition by itself is known to the compiler, which then leaves out what is behind it
                if selecting:
                    if n == taps and method == SQUARE:
                        lines_of_x = planes, x_plane, columns, step, width, x_lane
                        worst = square(xs, at, h_step, lines_of_x, apart, ps, row, a, side, nan)
                        as_keys = halves
                        varied = skip and worst > 0
                        squared = not varied
                if n > 0 and not squared:
                    worst = gather_all(x, at, box, steps, here, p, row, spare, side, nan)
                    varied, as_keys = skip and worst > 0, True
                    network = n == taps and method != SEARCH
                    low, high = choose(plan, own, n, network, varied, p, row, a, b, side, nan, wide, counts, elements)
                if locating:
                    lower, upper = pointer(bufs[1], count_code), pointer(bufs[2], count_code)
                    weights, wrong, found = pointer(bufs[3], weight_code), worst > 0 and not varied, many + row
                    if n > 0:
                        locate(
                            x, (at, box, steps, here), p, row, (a, b, nan, spare), side, low, high, wide, found, wrong
                        )
                    put_taps(plan, table, n, varied, wide, many, found, found + row, lower, upper, weights, to, there)
                elif n == 0:
                    put_empty(y, to, there)
                else:
                    if squared:
                        there = planes, y_plane, columns, y_step, width, y_lane
                        pitch = (columns + 2 * apart) * width
                        elements = planes * pitch
                    finish(
                        plan, table, n, p, q, low, high, as_keys, varied, worst, side, nan, wide, many, mean, elements
                    )
                    put(q, low, pitch, y, to, there)

    return kernel
