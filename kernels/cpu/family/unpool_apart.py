"""Max unpooling of windows that lie in the plane and share no element, and its gradient: by comparing, in order.

A row of windows is a few rows of the larger array, one for each row of taps, which are written, or read, from
their first element to their last: an element where the index is the one of that place, and zero elsewhere. That takes
vectors, and no second look at what was written. An index that is of no tap of its own window is reported in the fourth
buffer; the result is then to be made anew by ``unpool``, which takes it for what it is.

Arrays and numbers are those of ``unpool``. A tile is some rows of windows of one plane: BAND of them, BANDS in a plane.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import codes, value_type
from fastpool.kernels.cpu.family.unpool_places import BAND, BANDS, UNIT, WINDOWS
from fastpool.kernels.cpu.memory import load_side, load_source, pointer, store_out, store_result, store_side
from fastpool.kernels.frame import lane_stride, offset, size, stride


@register_jitable
def expect_flat(first, per_window, window):
    """The index of a tap: that of window 0, and how much it grows from window to window."""
    return first + window * per_window


def make_expect_tap(kind):
    @register_jitable
    def expect_tap(first, per_window, window):
        return kind(first)

    return expect_tap


@register_jitable
def count_empty(indices, at, step, count):
    """How many indices in a run are -1."""
    found = 0
    if step == 1:
        for i in range(count):
            found += load_source(indices, at + i) == -1
    else:
        for i in range(count):
            found += load_source(indices, at + i * step) == -1
    return found


@register_jitable
def zero_run(p, at, step, count):
    """Writes zeros, ``step`` elements apart."""
    if step == 1:
        for i in range(count):
            store_result(p, at + i, 0)
    else:
        for i in range(count):
            store_result(p, at + i * step, 0)


@register_jitable
def zero_row(plan, p, at, first, last):
    """Writes zeros to some columns of a row of the larger array, with all their lanes."""
    lanes, step, lane_step = plan[F.LANES], stride(plan, 0, 2), lane_stride(plan, 0)
    if (step == lanes) & ((lanes == 1) | (lane_step == 1)):
        zero_run(p, at + first * lanes, 1, (last - first) * lanes)
    elif lanes == 1:
        zero_run(p, at + first * step, step, last - first)
    else:
        for i in range(first, last):
            zero_run(p, at + i * step, lane_step, lanes)


def make(digest, role, index, bits):
    """The kernel for indices of a type, "flat" or that of a tap's number, and elements of so many bits.

    Role "place" writes the larger array, "take" the smaller.
    """
    code, index_code, flag = codes(f"u{bits}"), codes("i64" if index == "flat" else index), codes("u8")
    kind = value_type(f"u{bits}")
    flat, placing = index == "flat", role == "place"
    expect = expect_flat if flat else make_expect_tap(value_type(index))
    empty = -1 if flat else 2 ** int(index[1:]) - 1

    @register_jitable
    def quads(y, y_at, y_row, x, x_at, indices, index_at, count, first, below, unit, grows, fresh):
        """A row of windows of 2 x 2 taps at a stride of 2, where the elements of every row lie side by side.

        ``first`` and ``below`` are the indices of the first window's taps of column 0, ``fresh`` says that nothing has
        been taken for these windows yet. Gives how many indices are a tap's here, or where fresh, of an empty window.
        """
        zero = kind(0)
        found = 0
        for w in range(count):
            given = load_source(indices, index_at + w)
            a, b = given == expect(first, grows, w), given == expect(first + unit, grows, w)
            c, d = given == expect(below, grows, w), given == expect(below + unit, grows, w)
            if placing:
                element = load_source(x, x_at + w)
                store_result(y, y_at + 2 * w, element if a else zero)
                store_result(y, y_at + 2 * w + 1, element if b else zero)
                store_out(y, y_at + y_row + 2 * w, element if c else zero)
                store_out(y, y_at + y_row + 2 * w + 1, element if d else zero)
            else:
                up_left, up_right = load_source(y, y_at + 2 * w), load_source(y, y_at + 2 * w + 1)
                left, right = load_source(y, y_at + y_row + 2 * w), load_source(y, y_at + y_row + 2 * w + 1)
                before = zero if fresh else load_side(x, x_at + w)
                lower = left if c else (right if d else before)
                store_side(x, x_at + w, up_left if a else (up_right if b else lower))
            if flat:
                found += a | b | c | d | (fresh & (given == empty))
        return found

    @register_jitable
    def lane_quads(y, y_at, y_row, y_next, x, x_at, indices, index_at, count, first, below, unit, grows, fresh):
        """As ``quads``, for the lanes of one window; ``y_next`` is from one column of y to the next."""
        zero = kind(0)
        found = 0
        for i in range(count):
            given = load_source(indices, index_at + i)
            a, b = given == expect(first, grows, i), given == expect(first + unit, grows, i)
            c, d = given == expect(below, grows, i), given == expect(below + unit, grows, i)
            if placing:
                element = load_source(x, x_at + i)
                store_result(y, y_at + i, element if a else zero)
                store_result(y, y_at + y_next + i, element if b else zero)
                store_out(y, y_at + y_row + i, element if c else zero)
                store_out(y, y_at + y_row + y_next + i, element if d else zero)
            else:
                up_left, up_right = load_source(y, y_at + i), load_source(y, y_at + y_next + i)
                left, right = load_source(y, y_at + y_row + i), load_source(y, y_at + y_row + y_next + i)
                before = zero if fresh else load_side(x, x_at + i)
                lower = left if c else (right if d else before)
                store_side(x, x_at + i, up_left if a else (up_right if b else lower))
            if flat:
                found += a | b | c | d | (fresh & (given == empty))
        return found

    @register_jitable
    def each(y, y_at, y_step, x, x_at, x_step, indices, index_at, index_step, count, first, grows):
        """One tap of a run of windows, or of the lanes of one window; the matches."""
        zero = kind(0)
        found = 0
        if (y_step == 1) & (x_step == 1) & (index_step == 1):
            for i in range(count):
                match = load_source(indices, index_at + i) == expect(first, grows, i)
                if placing:
                    element = load_source(x, x_at + i)
                    store_result(y, y_at + i, element if match else zero)
                else:
                    element, before = load_source(y, y_at + i), load_side(x, x_at + i)
                    store_side(x, x_at + i, element if match else before)
                if flat:
                    found += match
        else:
            for i in range(count):
                match = load_source(indices, index_at + i * index_step) == expect(first, grows, i)
                if placing:
                    element = load_source(x, x_at + i * x_step)
                    store_result(y, y_at + i * y_step, element if match else zero)
                elif match:
                    store_side(x, x_at + i * x_step, load_source(y, y_at + i * y_step))
                if flat:
                    found += match
        return found

    @register_jitable
    def too_large(indices, at, step, count, taps):
        """Whether a run has the number of a tap that there is not."""
        found = 0
        if step == 1:
            for i in range(count):
                index = load_source(indices, at + i)
                found |= (index >= taps) & (index != empty)
        else:
            for i in range(count):
                index = load_source(indices, at + i * step)
                found |= (index >= taps) & (index != empty)
        return found

    def kernel(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        y, x, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        wrong = pointer(bufs[3], flag)
        own, lanes = plan[F.OWN], plan[F.LANES]
        band, bands, unit = plan[own + BAND], plan[own + BANDS], plan[own + UNIT]
        at = own + WINDOWS
        d_taps, d_step, h_taps, h_step = plan[at], plan[at + 1], plan[at + 3], plan[at + 4]
        w_taps, w_step = plan[at + 6], plan[at + 7]
        rows, columns = size(plan, 0, 1), size(plan, 0, 2)
        deep, high, wide = size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        y_row = stride(plan, 0, 1)
        y_step, x_step, index_step = stride(plan, 0, 2), stride(plan, 1, 2), stride(plan, 2, 2)
        y_lane, x_lane, index_lane, base_lane = (
            lane_stride(plan, 0),
            lane_stride(plan, 1),
            lane_stride(plan, 2),
            lane_stride(plan, 3),
        )
        four = (h_taps == 2) & (h_step == 2) & (w_taps == 2) & (w_step == 2)
        if lanes == 1:
            four = four & (y_step == 1) & (x_step == 1) & (index_step == 1)
        else:
            four = four & (y_lane == 1) & (x_lane == 1) & (index_lane == 1)
        grows = w_step * unit if flat else 0
        covered = (wide - 1) * w_step + w_taps
        taps = d_taps * h_taps * w_taps
        for tile in range(begin, end):
            plane = tile // bands
            row_first = (tile - plane * bands) * band
            row_last = min(row_first + band, deep * high)
            base, y_plane = offset(plan, 3, plane), offset(plan, 0, plane)
            x_plane, index_plane = offset(plan, 1, plane), offset(plan, 2, plane)
            found = 0
            for row in range(row_first, row_last):
                d = row // high
                h = row - d * high
                x_at = x_plane + d * stride(plan, 1, 0) + h * stride(plan, 1, 1)
                index_at = index_plane + d * stride(plan, 2, 0) + h * stride(plan, 2, 1)
                runs, run, x_run, index_run = 1, wide, x_step, index_step
                if lanes > 1:
                    runs, run, x_run, index_run = wide, lanes, x_lane, index_lane
                for i in range(runs):
                    if not flat:
                        if too_large(indices, index_at + i * index_step, index_run, run, taps):
                            store_side(wrong, 0, 1)
                    elif not four:
                        found += count_empty(indices, index_at + i * index_step, index_run, run)
                    if not placing and not four:
                        for j in range(run):
                            store_side(x, x_at + i * x_step + j * x_run, 0)
                # rows of the larger array that no tap is in are zeros
                d_stop = d * d_step + d_taps
                h_stop = h * h_step + h_taps
                if placing:
                    d_stop = size(plan, 0, 0) if d == deep - 1 else (d + 1) * d_step
                    h_stop = rows if h == high - 1 else (h + 1) * h_step
                for z in range(d * d_step, d_stop):
                    inside = z - d * d_step < d_taps
                    u_first = h * h_step
                    y_at = y_plane + z * stride(plan, 0, 0) + u_first * y_row
                    if four and inside:
                        first, below = base + (z * rows + u_first) * columns * unit, columns * unit
                        if not flat:
                            first, below = (z - d * d_step) * 4, 2
                        fresh = z == d * d_step
                        if lanes == 1:
                            found += quads(
                                y,
                                y_at,
                                y_row,
                                x,
                                x_at,
                                indices,
                                index_at,
                                wide,
                                first,
                                first + below,
                                unit,
                                grows,
                                fresh,
                            )
                        else:
                            for w in range(wide):
                                found += lane_quads(
                                    y,
                                    y_at + 2 * w * y_step,
                                    y_row,
                                    y_step,
                                    x,
                                    x_at + w * x_step,
                                    indices,
                                    index_at + w * index_step,
                                    lanes,
                                    first + w * grows,
                                    first + w * grows + below,
                                    unit,
                                    base_lane,
                                    fresh,
                                )
                        if placing:
                            zero_row(plan, y, y_at, covered, columns)
                            zero_row(plan, y, y_at + y_row, covered, columns)
                        u_first += 2
                        y_at += 2 * y_row
                    for u in range(u_first, h_stop):
                        tapped = inside & (u - h * h_step < h_taps)
                        if placing:
                            # columns between windows and behind them, or all of a row between windows
                            zero_row(plan, y, y_at, covered if tapped & (w_step == w_taps) else 0, columns)
                        if tapped:
                            first = base + (z * rows + u) * columns * unit
                            if not flat:
                                first = ((z - d * d_step) * h_taps + u - h * h_step) * w_taps
                            for i in range(runs):
                                for tap in range(w_taps):
                                    found += each(
                                        y,
                                        y_at + (i * w_step + tap) * y_step,
                                        w_step * y_step if lanes == 1 else y_lane,
                                        x,
                                        x_at + i * x_step,
                                        x_run,
                                        indices,
                                        index_at + i * index_step,
                                        index_run,
                                        run,
                                        first + i * grows + tap * unit,
                                        grows if lanes == 1 else base_lane,
                                    )
                        y_at += y_row
            if flat and found != (row_last - row_first) * wide * lanes:
                store_side(wrong, 0, 1)

    return kernel
