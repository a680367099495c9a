"""Separable filters along one to three axes, with a stride, border rules, several bands from one reading; and their
gradient, which is the same kernel with other tables (``kernels.bands``).

Of each row that is written, the products along the first axis are added, these sums times the factors along the second,
and those along the last: entries of a table row from the first to the last, beginning with the first product. A zero
is written as +0, so that products with the zeros of a border, which one form has and another leaves out, do not show.

Arrays: what is read, what is written, the table of integers, the table of factors. A tile is a group of rows that are
written, with all their bands along the last axis.
"""

from __future__ import annotations

import math

from fastpool.kernels import bands as B
from fastpool.kernels import frame as F
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.family.access import VALUES, codes, reader, value_type, writer
from fastpool.kernels.cpu.memory import address, load_out, load_side, load_source, pointer, store_out, store_result
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.frame import lane_stride, offset, stride
from fastpool.kernels.reductions import pick


def _passes(dtype):
    """What is done along a line: ``gather`` products of memory, ``blend`` those of scratch, ``put`` a line to memory.

    The first two: ``to[at + i] = sum of factors[val + k] * x[base + ints[idx + k] (* unit) + step * i]``.
    """
    decode, encode = inlined(reader(dtype)), inlined(writer(dtype))
    wide = vectors.lanes(VALUES.get(dtype, dtype))
    value = value_type(dtype)
    zero, nan = value(0), value(math.nan)
    load, store = vectors.load, vectors.store

    def gather_one(to, at, x, base, step, ints, idx, factors, val, taps, count):
        if taps == 0:
            for i in range(count):
                store_out(to, at + i, zero)
        for k in range(taps):
            place, factor = base + load_side(ints, idx + k), load_side(factors, val + k)
            if k == 0:
                for i in range(count):
                    store_out(to, at + i, decode(load_source(x, place + i * step)) * factor)
            else:
                for i in range(count):
                    product = decode(load_source(x, place + i * step)) * factor
                    store_out(to, at + i, load_out(to, at + i) + product)

    def gather_wide(to, at, x, base, step, ints, idx, factors, val, taps, count):
        if step != 1 or count < wide or taps == 0:
            gather_one(to, at, x, base, step, ints, idx, factors, val, taps, count)
            return
        i = 0
        while i < count:
            place, factor = base + load_side(ints, idx), load_side(factors, val)
            if i + 4 * wide <= count:
                a = load(x, place + i) * factor
                b = load(x, place + i + wide) * factor
                c = load(x, place + i + 2 * wide) * factor
                d = load(x, place + i + 3 * wide) * factor
                for k in range(1, taps):
                    place, factor = base + load_side(ints, idx + k), load_side(factors, val + k)
                    a = a + load(x, place + i) * factor
                    b = b + load(x, place + i + wide) * factor
                    c = c + load(x, place + i + 2 * wide) * factor
                    d = d + load(x, place + i + 3 * wide) * factor
                store(to, at + i, a)
                store(to, at + i + wide, b)
                store(to, at + i + 2 * wide, c)
                store(to, at + i + 3 * wide, d)
                i += 4 * wide
            else:
                # the last vector may overlap the one before
                j = min(i, count - wide)
                a = load(x, place + j) * factor
                for k in range(1, taps):
                    place, factor = base + load_side(ints, idx + k), load_side(factors, val + k)
                    a = a + load(x, place + j) * factor
                store(to, at + j, a)
                i += wide

    def blend(to, at, line, base, unit, ints, idx, factors, val, taps, count):
        # in whole vectors, past the end of both
        if taps == 0:
            for i in range(count):
                store_out(to, at + i, zero)
            return
        i = 0
        while i < count:
            place, factor = base + load_side(ints, idx) * unit + i, load_side(factors, val)
            if i + 3 * wide < count:
                a = load(line, place) * factor
                b = load(line, place + wide) * factor
                c = load(line, place + 2 * wide) * factor
                d = load(line, place + 3 * wide) * factor
                for k in range(1, taps):
                    place, factor = base + load_side(ints, idx + k) * unit + i, load_side(factors, val + k)
                    a = a + load(line, place) * factor
                    b = b + load(line, place + wide) * factor
                    c = c + load(line, place + 2 * wide) * factor
                    d = d + load(line, place + 3 * wide) * factor
                store(to, at + i, a)
                store(to, at + i + wide, b)
                store(to, at + i + 2 * wide, c)
                store(to, at + i + 3 * wide, d)
                i += 4 * wide
            else:
                a = load(line, place) * factor
                for k in range(1, taps):
                    place, factor = base + load_side(ints, idx + k) * unit + i, load_side(factors, val + k)
                    a = a + load(line, place) * factor
                store(to, at + i, a)
                i += wide

    def put_one(y, at, step, line, first, count):
        for i in range(count):
            store_result(y, at + i * step, encode(load_out(line, first + i) + zero))

    def put_wide(y, at, step, line, first, count):
        if step != 1 or count < wide:
            put_one(y, at, step, line, first, count)
            return
        for i in range(0, count, wide):
            j = min(i, count - wide)
            v = load(line, first + j) + zero
            store(y, at + j, pick(v == v, v, nan))

    gather, put = (gather_wide, put_wide) if dtype in ("f32", "f64") else (gather_one, put_one)
    return inlined(gather, always=True), inlined(blend, always=True), inlined(put, always=True), wide


def make(digest, form, dtype):
    """The kernel for elements of a type: form "rows" of elements that are neighbours, or "lanes"."""
    return (_rows if form == "rows" else _lanes)(digest, dtype)


def _filled(dtype, gather, wide):
    """The line of one segment: products along the first two axes."""
    load, store = vectors.load, vectors.store

    def fill(line, at, x, base, step, plan, ints, factors, depth_row, height_row, count):
        own = plan[F.OWN]
        rows, out = plan[own + B.HEIGHT], plan[own + B.HEIGHT_OUT]
        first = load_side(ints, out + rows + height_row)
        taps = load_side(ints, out + rows + height_row + 1) - first
        places, values = out + 2 * rows + 1 + first, plan[own + B.HEIGHT_FACTORS] + first
        if plan[own + B.FILTERED_DEPTH] == 0:
            gather(line, at, x, base, step, ints, places, factors, values, taps, count)
            return
        rows, out = plan[own + B.DEPTH], plan[own + B.DEPTH_OUT]
        first = load_side(ints, out + rows + depth_row)
        deep = load_side(ints, out + rows + depth_row + 1) - first
        deep_places, deep_values = out + 2 * rows + 1 + first, plan[own + B.DEPTH_FACTORS] + first
        second = plan[own + B.SECOND]
        if taps == 0:
            gather(line, at, x, base, step, ints, places, factors, values, taps, count)
        for k in range(taps):
            start = base + load_side(ints, places + k)
            gather(line, second, x, start, step, ints, deep_places, factors, deep_values, deep, count)
            factor = load_side(factors, values + k)
            for i in range(0, count, wide):
                product = load(line, second + i) * factor
                store(line, at + i, product if k == 0 else load(line, at + i) + product)

    return inlined(fill, always=True)


def _rows(digest, dtype):
    gather, blend, put, wide = _passes(dtype)
    fill = _filled(dtype, gather, wide)
    code, value_code = codes(dtype), codes(VALUES.get(dtype, dtype))
    integers = codes("i64")
    zero = value_type(dtype)(0)
    load, store, even, odd = vectors.load, vectors.store, vectors.even, vectors.odd
    woven_low, woven_high = vectors.woven_low, vectors.woven_high

    def rows(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        ints, factors = pointer(bufs[2], integers), pointer(bufs[3], value_code)
        line = pointer(address(work), value_code)
        own = plan[F.OWN]
        depths, heights, group = plan[own + B.DEPTH], plan[own + B.HEIGHT], plan[own + B.GROUP]
        blocks = (heights + group - 1) // group
        segments, segment_at, count = plan[own + B.SEGMENTS], plan[own + B.SEGMENT_AT], plan[own + B.COUNT]
        lines, line_at, line_count = plan[own + B.LINES], plan[own + B.LINE_AT], plan[own + B.LINE_COUNT]
        split, extent, spread = plan[own + B.SPLIT], plan[own + B.EXTENT], plan[own + B.SPREAD]
        third, fourth, fifth = plan[own + B.THIRD], plan[own + B.FOURTH], plan[own + B.FIFTH]
        out, width = plan[own + B.WIDTH_OUT], lines * spread
        copies, copies_at = plan[own + B.COPIES], plan[own + B.COPIES_AT]
        zeros, zeros_at = plan[own + B.ZEROS], plan[own + B.ZEROS_AT]
        extras, extras_at = plan[own + B.EXTRAS], plan[own + B.EXTRAS_AT]
        values, extra_values = plan[own + B.WIDTH_FACTORS], plan[own + B.EXTRAS_FACTORS]
        step, to_step = stride(plan, 0, 2), stride(plan, 1, 2)
        for tile in range(begin, end):
            block, rest = tile % blocks, tile // blocks
            depth, number = rest % depths, rest // depths
            source = offset(plan, 0, number)
            target = offset(plan, 1, number) + load_side(ints, plan[own + B.DEPTH_OUT] + depth)
            for row in range(block * group, min(heights, (block + 1) * group)):
                to = target + load_side(ints, plan[own + B.HEIGHT_OUT] + row)
                for s in range(segments):
                    at = load_side(ints, segment_at + 2 * s)
                    base = source + load_side(ints, segment_at + 2 * s + 1)
                    fill(line, at, x, base, step, plan, ints, factors, depth, row, count)
                if spread == 0:
                    # the last axis is left as it is
                    put(y, to, to_step, line, 0, count)
                    continue
                for k in range(zeros):
                    store_out(line, load_side(ints, zeros_at + k), zero)
                for k in range(0, 2 * copies, 2):
                    element = load_out(line, load_side(ints, copies_at + k + 1))
                    store_out(line, load_side(ints, copies_at + k), element)
                if split == 2:
                    for i in range(0, extent, wide):
                        a, b = load(line, 2 * i), load(line, 2 * i + wide)
                        store(line, third + i, even(a, b))
                        store(line, third + extent + i, odd(a, b))
                elif split > 1:
                    for phase in range(split):
                        for i in range(extent):
                            store_out(line, third + phase * extent + i, load_out(line, i * split + phase))
                for s in range(lines):
                    for phase in range(spread):
                        r = s * spread + phase
                        many, first = load_side(ints, out + r), load_side(ints, out + width + r)
                        taps = load_side(ints, out + width + r + 1) - first
                        place = fifth if spread == 1 else fourth + phase * extent
                        begins = third if split > 1 else 0
                        entries = out + 2 * width + 1 + first
                        blend(line, place, line, begins, 1, ints, entries, factors, values + first, taps, many)
                    if spread == 2:
                        for i in range(0, extent, wide):
                            a, b = load(line, fourth + i), load(line, fourth + extent + i)
                            store(line, fifth + 2 * i, woven_low(a, b))
                            store(line, fifth + 2 * i + wide, woven_high(a, b))
                    elif spread > 2:
                        for phase in range(spread):
                            for i in range(load_side(ints, out + s * spread + phase)):
                                store_out(line, fifth + phase + i * spread, load_out(line, fourth + phase * extent + i))
                    for k in range(extras):
                        place = fifth + load_side(ints, extras_at + 2 * k)
                        product = load_out(line, load_side(ints, extras_at + 2 * k + 1))
                        product = product * load_side(factors, extra_values + k)
                        store_out(line, place, load_out(line, place) + product)
                    put(y, to + load_side(ints, line_at + s), to_step, line, fifth, line_count)

    return rows


def _lanes(digest, dtype):
    gather, blend, put, wide = _passes(dtype)
    fill = _filled(dtype, gather, wide)
    code, value_code = codes(dtype), codes(VALUES.get(dtype, dtype))
    integers = codes("i64")

    def lanes(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        ints, factors = pointer(bufs[2], integers), pointer(bufs[3], value_code)
        line = pointer(address(work), value_code)
        own, all_lanes = plan[F.OWN], plan[F.LANES]
        depths, heights, group = plan[own + B.DEPTH], plan[own + B.HEIGHT], plan[own + B.GROUP]
        blocks = (heights + group - 1) // group
        segments, segment_at, count = plan[own + B.SEGMENTS], plan[own + B.SEGMENT_AT], plan[own + B.COUNT]
        lines, line_at, line_count = plan[own + B.LINES], plan[own + B.LINE_AT], plan[own + B.LINE_COUNT]
        out, values, width = plan[own + B.WIDTH_OUT], plan[own + B.WIDTH_FACTORS], lines * line_count
        fifth, chunk = plan[own + B.FIFTH], plan[own + B.CHUNK]
        from_lane, to_lane = lane_stride(plan, 0), lane_stride(plan, 1)
        step, to_step = stride(plan, 0, 2), stride(plan, 1, 2)
        # a row of positions with all their lanes is one run of memory
        from_whole = chunk == all_lanes and from_lane == 1 and step == all_lanes
        to_whole = chunk == all_lanes and to_lane == 1 and to_step == all_lanes
        for tile in range(begin, end):
            block, rest = tile % blocks, tile // blocks
            depth, number = rest % depths, rest // depths
            source = offset(plan, 0, number)
            target = offset(plan, 1, number) + load_side(ints, plan[own + B.DEPTH_OUT] + depth)
            for row in range(block * group, min(heights, (block + 1) * group)):
                for lane in range(0, all_lanes, chunk):
                    many = min(chunk, all_lanes - lane)
                    to = target + load_side(ints, plan[own + B.HEIGHT_OUT] + row) + lane * to_lane
                    for s in range(segments):
                        at = load_side(ints, segment_at + 2 * s) * many
                        base = source + load_side(ints, segment_at + 2 * s + 1) + lane * from_lane
                        pieces, size = (1, count * many) if from_whole else (count, many)
                        for i in range(pieces):
                            start = base + i * step
                            fill(line, at + i * many, x, start, from_lane, plan, ints, factors, depth, row, size)
                    for s in range(lines):
                        for i in range(line_count):
                            r = s * line_count + i
                            first = load_side(ints, out + width + r)
                            taps = load_side(ints, out + width + r + 1) - first
                            entries, place = out + 2 * width + 1 + first, fifth + i * many
                            blend(line, place, line, 0, many, ints, entries, factors, values + first, taps, many)
                        at = to + load_side(ints, line_at + s)
                        if to_whole:
                            put(y, at, 1, line, fifth, line_count * many)
                        else:
                            for i in range(line_count):
                                put(y, at + i * to_step, to_lane, line, fifth + i * many, many)

    return lanes
