"""Gradient of max unpooling where indices count in planes and lie in their elements' own windows: by gathering.

Each element takes what its index names. Elements of one index can only be those of windows that share an element, some
few windows apart; so an index is compared with those that far behind it, and the last of equal ones keeps its element.
That two indices of one plane are equal is all that counts: where a window has no such neighbour, because its row ends,
the comparison with what lies there instead cannot find more than is true. An index outside of its own window is
reported in the fourth buffer; the result is then to be made anew by ``unpool``.

Arrays and numbers are those of ``unpool``, all windows lie in the plane, and the smaller array and the indices are
dense. A tile is so many rows of windows of one plane, or so many planes. Further numbers: windows in a tile at most,
tiles in a plane's depth, planes in a tile, and after each of their counts, which are multiples of 4: where the rows of
a window's taps begin, from its origin; how far behind a window those come that share elements with it, in rising
order; the origin of each window of a tile, from that of the first; and where in y the plane of each begins.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import codes, value_type
from fastpool.kernels.cpu.family.unpool_places import WINDOWS, within
from fastpool.kernels.cpu.memory import (
    address,
    load_out,
    load_second,
    load_side,
    load_source,
    pointer,
    store_out,
    store_result,
)
from fastpool.kernels.frame import offset, size, stride

MOST, TILES, PLANES, ROWS = range(WINDOWS + 9, WINDOWS + 13)


@register_jitable
def four(plan, at):
    """Four numbers of the plan."""
    return plan[at], plan[at + 1], plan[at + 2], plan[at + 3]


@register_jitable
def count_near(indices, at, count, first, origins, per_origin, taps, r0, r1, r2, r3):
    """How many of a run of indices are in four rows of taps; ``first`` is the index of the first window's origin."""
    found = 0
    for i in range(count):
        away = load_source(indices, at + i) - first - load_side(origins, i * per_origin)
        found += within(away - r0, taps) | within(away - r1, taps) | within(away - r2, taps) | within(away - r3, taps)
    return found


def make(digest, bits):
    """The kernel for elements of so many bits."""
    code, index_code, flag = codes(f"u{bits}"), codes("i64"), codes("u8")
    kind = value_type(f"u{bits}")

    @register_jitable
    def fetch(y, y_at, step, elements, x, x_at, indices, at, count, base, first, origins, starts, taps, r0, r1, r2, r3):
        """What a run of indices names, 0 for none; and how many name none, or are in four rows of taps."""
        zero = kind(0)
        found = 0
        for i in range(count):
            given = load_source(indices, at + i)
            position = given - base
            inside = within(position, elements)
            away = given - first - load_side(origins, i)
            near = within(away - r0, taps) | within(away - r1, taps)
            near = near | within(away - r2, taps) | within(away - r3, taps)
            found += near | (given == -1)
            element = load_second(y, y_at + load_side(starts, i) + (position if inside else 0) * step)
            store_out(x, x_at + i, element if inside else zero)
        return found

    @register_jitable
    def fetch_lanes(y, y_at, step, elements, x, x_at, indices, at, count, base, first, taps, r0, r1, r2, r3):
        """As ``fetch``, for the lanes of one window."""
        zero = kind(0)
        found = 0
        for i in range(count):
            given = load_source(indices, at + i)
            position = given - base
            inside = within(position, elements)
            away = given - first
            near = within(away - r0, taps) | within(away - r1, taps)
            near = near | within(away - r2, taps) | within(away - r3, taps)
            found += near | (given == -1)
            element = load_second(y, y_at + i + (position if inside else 0) * step)
            store_out(x, x_at + i, element if inside else zero)
        return found

    @register_jitable
    def drop(x, x_at, indices, at, begin, end, o0, o1, o2, o3):
        """Zero for the elements of a run whose index comes again so far behind."""
        zero = kind(0)
        for i in range(begin, end):
            given = load_source(indices, at + i)
            again = (given == load_source(indices, at + i + o0)) | (given == load_source(indices, at + i + o1))
            again = again | (given == load_source(indices, at + i + o2)) | (given == load_source(indices, at + i + o3))
            element = load_out(x, x_at + i)
            store_out(x, x_at + i, zero if again else element)

    def kernel(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        y, x, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        wrong = pointer(bufs[3], flag)
        own, lanes = plan[F.OWN], plan[F.LANES]
        at = own + WINDOWS
        d_step, h_step, taps = plan[at + 1], plan[at + 4], plan[at + 6]
        elements, step = size(plan, 0, 0) * size(plan, 0, 1) * size(plan, 0, 2), stride(plan, 0, 2)
        line, layer = size(plan, 0, 2), size(plan, 0, 1) * size(plan, 0, 2)
        deep, high, wide = size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        windows = deep * high * wide
        most, tiles, planes = plan[own + MOST], plan[own + TILES], plan[own + PLANES]
        rows, many_rows = own + ROWS + 1, plan[own + ROWS]
        behind = rows + many_rows + 1
        many_behind = plan[behind - 1]
        table = behind + many_behind
        origins = pointer(address(plan) + 8 * table, index_code)
        starts = pointer(address(plan) + 8 * (table + most), index_code)
        outer = 1
        for i in range(plan[F.OUTER]):
            outer *= plan[F.SIZES + i]
        for tile in range(begin, end):
            number, first, count, last_plane = tile * planes, 0, 0, 1
            d, h = 0, 0
            if planes > 1:
                last_plane = min(planes, outer - number)
                count = last_plane * windows
            else:
                number = tile // (deep * tiles)
                rest = tile - number * deep * tiles
                d = rest // tiles
                h = (rest - d * tiles) * (most // wide)
                count = min(most, (high - h) * wide)
                first = (d * high + h) * wide
            base, y_at = offset(plan, 3, number), offset(plan, 0, number)
            x_at, index_at = offset(plan, 1, number) + first * lanes, offset(plan, 2, number) + first * lanes
            origin = base + d * d_step * layer + h * h_step * line
            found = 0
            if lanes == 1:
                r0, r1, r2, r3 = four(plan, rows)
                found += fetch(
                    y, y_at, step, elements, x, x_at, indices, index_at, count, base, origin, origins, starts, taps,
                    r0, r1, r2, r3,
                )  # fmt: skip
                for i in range(4, many_rows, 4):
                    r0, r1, r2, r3 = four(plan, rows + i)
                    found += count_near(indices, index_at, count, origin, origins, 1, taps, r0, r1, r2, r3)
                for plane in range(last_plane):
                    from_x, from_index = x_at + plane * windows, index_at + plane * windows
                    part = windows if planes > 1 else count
                    for i in range(0, many_behind, 4):
                        o0, o1, o2, o3 = four(plan, behind + i)
                        # those that have all four behind them, and then those that have some
                        done = max(0, min(part, windows - first - o3))
                        drop(x, from_x, indices, from_index, 0, done, o0, o1, o2, o3)
                        for j in range(3):
                            o = plan[behind + i + j]
                            drop(x, from_x, indices, from_index, done, min(part, windows - first - o), o, o, o, o)
            else:
                for w in range(count):
                    to_x, from_index = x_at + w * lanes, index_at + w * lanes
                    from_origin = origin + load_side(origins, w)
                    r0, r1, r2, r3 = four(plan, rows)
                    found += fetch_lanes(
                        y, y_at, step, elements, x, to_x, indices, from_index, lanes, base, from_origin, taps,
                        r0, r1, r2, r3,
                    )  # fmt: skip
                    for i in range(4, many_rows, 4):
                        r0, r1, r2, r3 = four(plan, rows + i)
                        found += count_near(indices, from_index, lanes, from_origin, origins, 0, taps, r0, r1, r2, r3)
                    left = windows - first - w
                    for i in range(0, many_behind, 4):
                        o0, o1, o2, o3 = four(plan, behind + i)
                        if o3 < left:
                            o0, o1, o2, o3 = o0 * lanes, o1 * lanes, o2 * lanes, o3 * lanes
                            drop(x, to_x, indices, from_index, 0, lanes, o0, o1, o2, o3)
                            continue
                        for j in range(3):
                            o = plan[behind + i + j]
                            if o < left:
                                o *= lanes
                                drop(x, to_x, indices, from_index, 0, lanes, o, o, o, o)
            if found != count * lanes:
                store_result(wrong, 0, 1)

    return kernel
