"""Max unpooling: every element is put where its index says, zero elsewhere; and its gradient.

Arrays: the larger one (y, or its gradient), the smaller one (x, or its gradient), the indices, and one that is not in
memory: its strides are the units of indices, so that its offset is the index of a plane's first element.

A tile is a band of one plane of the larger array, with all its lanes: positions along one axis, the first spatial one
that there is. It looks at those elements of the smaller array whose windows reach into the band. An index elsewhere
in its window is another band's; one outside of its window, or of the plane, is reported in the fourth buffer: with
several bands the result is then to be made anew with one. ``place`` goes through a plane's elements in row-major
order, so that of equal indices the last one stays, and ``take`` backward, so that the first one that it meets is it.

Numbers of its own: axis of the bands, positions in a band, bands, where the first band would begin (0 or below), units
of an index per position, whether y is one run in memory, whether indices can be equal; and for each of the three
spatial axes kernel size, stride and begin padding. Workspace: ``TABLE`` numbers, and for ``take`` a byte per position.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import codes, value_type
from fastpool.kernels.cpu.family.unpool_places import (
    AXIS,
    BANDS,
    DENSE,
    EMPTY,
    EQUAL,
    TABLE,
    UNIT,
    WINDOWS,
    astray,
    band_of,
    fill_table,
    guess_flat,
    guess_tap,
    locate_flat,
    make_locate_tap,
    one_run,
    place_of,
    ranges,
    reach,
    row_origin,
    run_steps,
    within,
)
from fastpool.kernels.cpu.memory import (
    RESULT,
    SIDE,
    SOURCE,
    address,
    load,
    load_source,
    pointer,
    store,
    store_result,
)
from fastpool.kernels.frame import lane_stride, offset, size, stride


@register_jitable
def put(
    y, to, to_each, step, x, from_x, x_step, indices, from_index, index_step, many, base, start, count, low, reached
):  # fmt: skip
    """Puts a run of elements where flat indices say, if that is in the band, ``count`` positions from ``start``.

    Gives whether one of them is outside of its window's rows, ``reached`` positions from ``low``.
    """
    astray = False
    if (x_step == 1) & (index_step == 1):
        for i in range(many):
            position = load_source(indices, from_index + i) - base
            if within(position - start, count):
                store_result(y, to + i * to_each + position * step, load_source(x, from_x + i))
            else:
                astray |= (position + base != EMPTY) & (not within(position - low, reached))
    else:
        for i in range(many):
            position = load_source(indices, from_index + i * index_step) - base
            if within(position - start, count):
                store_result(y, to + i * to_each + position * step, load_source(x, from_x + i * x_step))
            else:
                astray |= (position + base != EMPTY) & (not within(position - low, reached))
    return astray


def make(digest, role, index, bits):
    """The kernel for indices of a type, "flat" for int64 in planes or tensors, or that of the tap's number.

    Role "place" writes the larger array, "take" the smaller, "check" neither. Elements are of so many bits.
    """
    code, index_code = codes(f"u{bits}"), codes("i64" if index == "flat" else index)
    flag, number_code = codes("u8"), codes("i64")
    locate = locate_flat if index == "flat" else make_locate_tap(2 ** int(index[1:]) - 1)
    guess, short = guess_flat if index == "flat" else guess_tap, index in ("flat", "u8")
    empty = EMPTY if index == "flat" else 2 ** int(index[1:]) - 1
    kind, flat = value_type(f"u{bits}"), index == "flat"

    def place(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        y, x, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        wrong, table = pointer(bufs[3], flag), pointer(address(work), number_code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        axis, bands, unit, dense = plan[own + AXIS], plan[own + BANDS], plan[own + UNIT], plan[own + DENSE] != 0
        rows, columns, step = size(plan, 0, 1), size(plan, 0, 2), stride(plan, 0, 2)
        weight = (rows * columns, columns, 1)[axis]
        to_lane = lane_stride(plan, 0)
        filled = dense & (step == lanes) & ((lanes == 1) | (to_lane == 1))
        taps, along = fill_table(plan, own, table), lanes == 1
        v_step, v_pad = plan[own + WINDOWS + 7], plan[own + WINDOWS + 8]
        to_each, base_each = (0, 0) if along else (to_lane, lane_stride(plan, 3))
        window_each = v_step if along else 0
        x_depth, x_row, x_column = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2)
        index_depth, index_row, index_column = stride(plan, 2, 0), stride(plan, 2, 1), stride(plan, 2, 2)
        # windows that are inside along the last axis; indices that need no division
        inside = (v_pad == 0) & ((size(plan, 1, 2) - 1) * v_step + plan[own + WINDOWS + 6] <= columns)
        simple = short & dense & ((unit == 1) if flat else inside)
        # where no coordinate is asked for, a plane is one row
        single = flat & (bands == 1) & one_run(plan, 1) & one_run(plan, 2)
        # where all windows of a row reach into the same bands, and all lanes count from the same element
        plain = flat & simple & (base_each == 0) & ((bands == 1) | (axis != 2))
        for tile in range(begin, end):
            number = tile // bands
            low, high, first, last = band_of(plan, own, tile - number * bands)
            start, stop = low * weight, high * weight
            to, base = offset(plan, 0, number), offset(plan, 3, number)
            if filled:
                for i in range(to + start * lanes, to + stop * lanes):
                    store(y, i, 0, RESULT)
            else:
                for position in range(start, stop):
                    at = to + place_of(plan, position)
                    for lane in range(lanes):
                        store(y, at + lane * to_lane, 0, RESULT)
            d_first, d_last, h_first, h_last, w_first, w_last = ranges(plan, axis, first, last)
            if single:
                d_last, h_last, w_last = 1, 1, d_last * h_last * w_last
            x_plane = offset(plan, 1, number) + w_first * x_column
            index_plane = offset(plan, 2, number) + w_first * index_column
            runs, x_run, many, x_step = run_steps(plan, 1, lanes, w_last - w_first)
            _, index_run, _, index_step = run_steps(plan, 2, lanes, w_last - w_first)
            for d in range(d_first, d_last):
                for h in range(h_first, h_last):
                    x_at = x_plane + d * x_depth + h * x_row
                    index_at = index_plane + d * index_depth + h * index_row
                    row = row_origin(plan, own, d, h)
                    quick = simple & (flat | (row >= 0))
                    reach_begin, reach_end = 0, size(plan, 0, axis)
                    if bands > 1:
                        reach_begin, reach_end = reach(plan, own, (d, h, 0)[axis])
                    for run in range(runs):
                        from_x, from_index = x_at + run * x_run, index_at + run * index_run
                        if plain:
                            away = put(
                                y, to, to_each, step, x, from_x, x_step, indices, from_index, index_step, many,
                                base, start, stop - start, reach_begin * weight, (reach_end - reach_begin) * weight,
                            )  # fmt: skip
                            if away:
                                store(wrong, 0, 1, SIDE)
                            continue
                        window = row + (w_first + run) * v_step
                        for i in range(many):
                            found = load(indices, from_index + i * index_step, SOURCE)
                            if quick:
                                position = guess(table, found, base + i * base_each, window + i * window_each)
                                at = position * step
                            else:
                                v = (w_first + (i if along else run)) * v_step - v_pad
                                first = base + i * base_each
                                position = locate(plan, own, table, found, first, unit, row, v, taps, d, h)
                                at = position * step if dense else place_of(plan, position)
                            if (position >= start) & (position < stop):
                                element = load(x, from_x + i * x_step, SOURCE)
                                store(y, to + i * to_each + at, element, RESULT)
                            else:
                                w = w_first + (i if along else run)
                                first, v = base + i * base_each, w * v_step - v_pad
                                position = locate(plan, own, table, found, first, unit, row, v, taps, d, h)
                                if astray(plan, own, axis, weight, position, (d, h, w)[axis]):
                                    store(wrong, 0, 1, SIDE)

    def take(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        y, x, indices = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], index_code)
        wrong, table = pointer(bufs[3], flag), pointer(address(work), number_code)
        taken = pointer(address(work) + 8 * TABLE, flag)
        own, lanes = plan[F.OWN], plan[F.LANES]
        axis, bands, unit, dense = plan[own + AXIS], plan[own + BANDS], plan[own + UNIT], plan[own + DENSE] != 0
        rows, columns, step = size(plan, 0, 1), size(plan, 0, 2), stride(plan, 0, 2)
        weight = (rows * columns, columns, 1)[axis]
        taps, along, equal = fill_table(plan, own, table), lanes == 1, plan[own + EQUAL] != 0
        from_each, base_each = (0, 0) if along else (lane_stride(plan, 0), lane_stride(plan, 3))
        mark_each = 0 if along else 1
        v_step, v_pad = plan[own + WINDOWS + 7], plan[own + WINDOWS + 8]
        window_each = v_step if along else 0
        x_depth, x_row, x_column = stride(plan, 1, 0), stride(plan, 1, 1), stride(plan, 1, 2)
        index_depth, index_row, index_column = stride(plan, 2, 0), stride(plan, 2, 1), stride(plan, 2, 2)
        # windows that are inside along the last axis; indices that need no division
        inside = (v_pad == 0) & ((size(plan, 1, 2) - 1) * v_step + plan[own + WINDOWS + 6] <= columns)
        simple = short & dense & ((unit == 1) if flat else inside)
        # where no coordinate is asked for, a plane is one row
        single = flat & (bands == 1) & one_run(plan, 1) & one_run(plan, 2)
        for tile in range(begin, end):
            number = tile // bands
            low, high, first, last = band_of(plan, own, tile - number * bands)
            start, stop = low * weight, high * weight
            source, base = offset(plan, 0, number), offset(plan, 3, number)
            if equal:
                for i in range((stop - start) * lanes):
                    store(taken, i, 0, SIDE)
            d_first, d_last, h_first, h_last, w_first, w_last = ranges(plan, axis, first, last)
            if single:
                d_last, h_last, w_last = 1, 1, d_last * h_last * w_last
            x_plane = offset(plan, 1, number) + w_first * x_column
            index_plane = offset(plan, 2, number) + w_first * index_column
            runs, x_run, many, x_step = run_steps(plan, 1, lanes, w_last - w_first)
            _, index_run, _, index_step = run_steps(plan, 2, lanes, w_last - w_first)
            for d in range(d_last - 1, d_first - 1, -1):
                for h in range(h_last - 1, h_first - 1, -1):
                    x_at = x_plane + d * x_depth + h * x_row
                    index_at = index_plane + d * index_depth + h * index_row
                    row = row_origin(plan, own, d, h)
                    quick = simple & (flat | (row >= 0))
                    for run in range(runs - 1, -1, -1):
                        to_x, from_index = x_at + run * x_run, index_at + run * index_run
                        window = row + (w_first + run) * v_step
                        for i in range(many - 1, -1, -1):
                            found = load(indices, from_index + i * index_step, SOURCE)
                            if quick:
                                position = guess(table, found, base + i * base_each, window + i * window_each)
                                at = position * step
                            else:
                                v = (w_first + (i if along else run)) * v_step - v_pad
                                first = base + i * base_each
                                position = locate(plan, own, table, found, first, unit, row, v, taps, d, h)
                                at = position * step if dense else place_of(plan, position)
                            if (position >= start) & (position < stop):
                                element = load(y, source + i * from_each + at, SOURCE)
                                if equal:
                                    mark = (position - start) * lanes + i * mark_each
                                    known = load(taken, mark, SIDE)
                                    store(taken, mark, 1, SIDE)
                                    element = element if known == 0 else kind(0)
                                store(x, to_x + i * x_step, element, RESULT)
                            else:
                                w = w_first + (i if along else run)
                                first, v = base + i * base_each, w * v_step - v_pad
                                position = locate(plan, own, table, found, first, unit, row, v, taps, d, h)
                                if position == EMPTY:
                                    # one band writes it, that in which the window begins
                                    reach_begin, _ = reach(plan, own, (d, h, w)[axis])
                                    if (reach_begin >= low) & (reach_begin < high):
                                        store(x, to_x + i * x_step, 0, RESULT)
                                elif astray(plan, own, axis, weight, position, (d, h, w)[axis]):
                                    store(wrong, 0, 1, SIDE)

    def check(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        indices, wrong = pointer(bufs[2], index_code), pointer(bufs[3], flag)
        table = pointer(address(work), number_code)
        own, lanes, unit = plan[F.OWN], plan[F.LANES], plan[plan[F.OWN] + UNIT]
        elements = size(plan, 0, 0) * size(plan, 0, 1) * size(plan, 0, 2)
        base_lane = lane_stride(plan, 3)
        runs, index_run, many, index_step = run_steps(plan, 2, lanes, size(plan, 1, 2))
        taps, along = fill_table(plan, own, table), lanes == 1
        v_step, v_pad = plan[own + WINDOWS + 7], plan[own + WINDOWS + 8]
        inside = (v_pad == 0) & ((size(plan, 1, 2) - 1) * v_step + plan[own + WINDOWS + 6] <= size(plan, 0, 2))
        bad = 0
        for number in range(begin, end):
            base, index_plane = offset(plan, 3, number), offset(plan, 2, number)
            for d in range(size(plan, 1, 0)):
                for h in range(size(plan, 1, 1)):
                    at, row = index_plane + d * stride(plan, 2, 0) + h * stride(plan, 2, 1), row_origin(plan, own, d, h)
                    for run in range(runs):
                        if flat & (unit == 1) & (index_step == 1) & (base_lane == 0):
                            for i in range(many):
                                found = load(indices, at + run * index_run + i, SOURCE)
                                position = found - base
                                bad |= ((position < 0) | (position >= elements)) & (found != EMPTY)
                            continue
                        if (not flat) & inside & (row >= 0) & (index_step == 1):
                            for i in range(many):
                                found = load(indices, at + run * index_run + i, SOURCE)
                                bad |= (found >= taps) & (found != empty)
                            continue
                        for i in range(many):
                            w, lane = (i, 0) if along else (run, i)
                            found = load(indices, at + run * index_run + i * index_step, SOURCE)
                            from_base, v = base + lane * base_lane, w * v_step - v_pad
                            position = locate(plan, own, table, found, from_base, unit, row, v, taps, d, h)
                            bad |= (position < EMPTY) | (position >= elements)
        if bad != 0:
            store(wrong, 0, 1, SIDE)

    return {"place": place, "take": take, "check": check}[role]
