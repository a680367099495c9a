"""Forward max pooling of rows with indices, by small windows: in explicit vectors, without scratch.

A vector of outputs takes its taps in row-major order, and with each the number by which an index is told::

    row of taps   a0 a1 a2 a3 ...     tap 0  a0 a2 ...   tap 1  a1 a3 ...   [tap 2  a2 a4 ...]
    largest       v                   of two equal taps the first stays, so that one comparison decides
    number        n                   first tap of the row + tap * jump

Reads ``bufs[0]``, writes ``bufs[1]`` and the indices ``bufs[2]``. Rows of taps outside of the input are left out, and
the last vector of a row begins earlier, and makes some outputs again, so that nothing is written beside the row. At its
ends windows of three taps take the middle one first, which is there, and the others where they are; windows of two,
and those at the ends of the array, are made one by one.
"""

from __future__ import annotations

import math
from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import FAR
from fastpool.kernels.cpu.index_columns import make_columns, make_squares_of_two, windows_of_two
from fastpool.kernels.cpu.memory import CODES, SCALARS, address, pointer, pointer_like
from fastpool.kernels.cpu.numbered_taps import Taps, edges, make_taps
from fastpool.kernels.cpu.parts import make_parameter
from fastpool.kernels.cpu.row_tables import follows, index_of_row, owns_taps, rows_of_taps
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_put_either, put_one
from fastpool.kernels.cpu.vectors import any_of, everywhere, integers, lanes_past, none, prefetch_to_second, store
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER
_UINT8, _INT64 = CODES["u8"], CODES["i64"]


def make_row(variant: Variant, taps: Taps, put: Any) -> Any:
    """The function that writes a row of outputs, and returns whether a tap was NaN, if that is watched."""
    lanes = vectors.lanes(variant.source)
    ahead = FAR * lanes // vectors.BYTES
    two_apart, of_row, take, lower = taps

    # each row of taps by itself, so that their comparisons do not wait for each other
    def of_two(table, many, q, jump, p, bad, spare):
        """Windows of two taps."""
        number = table[1]
        x = pointer_like(table[0], spare)
        prefetch_to_second(x, q + ahead)
        prefetch_to_second(x, q + lanes + ahead)
        s, t, bad = two_apart(x, q, p, bad)
        s, n = take(s, integers(s, number), t, integers(s, number + jump))
        for i in range(1, many):
            number = table[2 * i + 1]
            x = pointer_like(table[2 * i], spare)
            prefetch_to_second(x, q + ahead)
            prefetch_to_second(x, q + lanes + ahead)
            t, b, bad = two_apart(x, q, p, bad)
            t, m = take(t, integers(t, number), b, integers(t, number + jump))
            s, n = take(s, n, t, m)
        return s, n, bad

    def make_of_three(of_row: Any, step: int) -> Any:
        def of_three(table, many, q, first, third, jump, p, bad, spare):
            """Windows of three taps, of which the middle one is there."""
            like = everywhere(spare, 0)
            s, n = like, integers(like, 0)
            for i in range(many):
                x = pointer_like(table[2 * i], spare)
                prefetch_to_second(x, q + ahead)
                if step == 2:
                    prefetch_to_second(x, q + lanes + ahead)
                t, m, bad = of_row(x, q, first, third, table[2 * i + 1], jump, p, bad)
                if i == 0:
                    s, n = t, m
                else:
                    s, n = take(s, n, t, m)
            return s, n, bad

        return inlined(of_three, always=True)

    of_two = inlined(of_two, always=True)
    near, twos = make_of_three(of_row[0], 1), make_of_three(of_row[1], 2)

    def row_of_two(table, many, low, past, pad, y, d, indices, i, index, unit, jump, p, spare):
        bad = none(everywhere(spare, 0))
        o = low
        while o < past:
            o = min(o, past - lanes)
            q = 2 * o - pad
            s, n, bad = of_two(table, many, q, jump, p, bad, spare)
            store(y, d + o, lower(s, p))
            put(indices, i + o, n, index + q * unit, 2 * unit)
            o += lanes
        return any_of(bad)

    def row(
        kernel, stride, table, many, low, past, inside, pad, width, y, d, indices, i, index, unit, jump, p, spare
    ):  # fmt: skip
        if kernel == 2:
            return row_of_two(table, many, low, past, pad, y, d, indices, i, index, unit, jump, p, spare)
        like = everywhere(spare, 0)
        bad = none(like)
        o = low
        while o < past:
            o = min(o, past - lanes)
            q = o * stride - pad
            # truth values that are chosen between are packed, so numbers are
            begins, ends = 0, lanes
            if not inside and (q < 0) | (q + (lanes - 1) * stride + 3 > width):
                begins, ends = edges(q, stride, width)
            first, third = lanes_past(like, begins), lanes_past(like, ends)
            if stride == 2:
                s, n, bad = twos(table, many, q, first, third, jump, p, bad, spare)
            else:
                s, n, bad = near(table, many, q, first, third, jump, p, bad, spare)
            store(y, d + o, lower(s, p))
            put(indices, i + o, n, index + q * unit, stride * unit)
            o += lanes
        return any_of(bad)

    inlined(row_of_two)
    return inlined(row)


def make_fused_index(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    reduction = variant.vector
    assert reduction is not None
    code = CODES[variant.source]
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    real = SCALARS[variant.source]
    identity = reduction.identity[0]
    parameter = make_parameter(variant)
    floats = variant.source[0] == "f"
    lift_one, lower_one = inlined(reduction.lift), inlined(reduction.lower)
    nan = real(math.nan) if floats else real(0)
    put = make_put_either(variant.source)

    def output(table, many, q, width, kernel, jump, p, spare):
        """(value, number) of one output, whose window begins at place ``q``; -1 for a window without taps."""
        s, number = real(identity), -1
        for i in range(many):
            x = pointer_like(table[2 * i], spare)
            for j in range(kernel):
                if (q + j >= 0) & (q + j < width):
                    t = real(lift_one(x[q + j], p))
                    if (number < 0) | (t > s) | (t != t):
                        s, number = t, table[2 * i + 1] + j * jump
        return s, number

    output = inlined(output)

    # as if no tap were NaN, and once more where one was
    taps = make_taps(variant, True)
    near, twos = make_columns(variant, taps, 1, put), make_columns(variant, taps, 2, put)
    pairs, many_of_two = make_squares_of_two(variant, taps, put), windows_of_two(lanes)
    first_row = last_row = make_row(variant, taps, put)
    if floats:
        last_row = make_row(variant, make_taps(variant, False), put)

    def rows_below(plan, at, step, low, high, first, stop, axis):
        """(first, stop) of those rows of outputs that ``index_columns`` may make: all three rows of their taps, but for
        one of padding, lie on the input, and places ``low`` to ``high`` of them in its memory.
        """
        stride, pad, end = plan[axis + P.WINDOW_STRIDE], plan[axis + P.PAD], plan[axis + P.SOURCE]
        first = max(first, (pad - 1 + stride - 1) // stride)
        stop = min(stop, (end - 2 + pad) // stride + 1)
        while first < stop:
            top, bottom = max(first * stride - pad, 0), min((stop - 1) * stride - pad + 2, end - 1)
            begins, past = at + min(top * step, bottom * step) + low, at + max(top * step, bottom * step) + high
            if (begins >= 0) & (past < plan[P.SOURCE_END]):
                break
            if (begins < 0) == (step > 0):
                first += 1
            else:
                stop -= 1
        return first, stop

    rows_below = inlined(rows_below)

    def fused_index(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some rows of outputs, or a part of one."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        table = pointer(address(work) + plan[P.STATE], _INT64)
        spare = pointer(address(work) + plan[P.PACK], code)
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        indices = pointer(bufs[2], _UINT8), pointer(bufs[2], _INT64), plan[P.INDEX_BYTES] > 1
        p = parameter(plan[P.PARAM])
        axes = plan[P.OUTER] + plan[P.LEAD]
        last = _HEADER + axes * _AXIS
        width, kernel, stride = plan[last + P.SOURCE], plan[last + P.KERNEL], plan[last + P.WINDOW_STRIDE]
        pad, jump, unit = plan[last + P.PAD], plan[last + P.JUMP], plan[last + P.INDEX_UNIT]
        group, lead = plan[P.GROUP_AXIS], plan[P.LEAD]
        axis = _HEADER + max(group, 0) * _AXIS
        step = plan[axis + P.WINDOW_STRIDE] * plan[axis + P.SOURCE_STRIDE] * size
        down, index_down = plan[axis + P.OUTPUT_STRIDE], plan[axis + P.AUX_STRIDE]
        square = (lead == 1) & (kernel == 3) & (plan[axis + P.KERNEL] == 3) & (plan[axis + P.DILATION] == 1)
        square = square & (plan[axis + P.WINDOW_STRIDE] == stride) & (plan[P.STREAM] == 0)
        apart = (lead == 1) & (kernel == 2) & (plan[axis + P.KERNEL] == 2) & (plan[axis + P.DILATION] == 1)
        apart = apart & (plan[axis + P.WINDOW_STRIDE] == 2) & (pad == 0) & (plan[axis + P.PAD] == 0)
        whole_rows = (plan[P.DENSE] != 0) & (plan[P.BLOCKS] == 1)
        rows = 1
        for a in range(plan[P.OUTER], axes):
            rows *= plan[_HEADER + a * _AXIS + P.KERNEL]
        seek(plan, c, begin)
        for _ in range(begin, end):
            begins = c[axes] * plan[P.BLOCK]
            ends = min(begins + plan[P.BLOCK], plan[last + P.OUTPUT])
            first, stop = 0, 1
            if group >= 0:
                first = c[group]
                stop = min(first + plan[P.GROUP], plan[axis + P.OUTPUT])
            d, i = offset(plan, c, axes, P.OUTPUT_STRIDE), offset(plan, c, axes, P.AUX_STRIDE)
            # outputs whose taps along the row all lie on it
            low = max(begins, min((pad + stride - 1) // stride, ends))
            past = max(low, min((width - kernel + pad) // stride + 1, ends))
            # those whose middle tap does, where vectors take in what lies beside the row
            middle = (kernel == 3) & (begins * stride + 1 >= pad) & ((ends - 1) * stride + 1 - pad < width)
            reads, reads_to = begins * stride - pad, (ends - 1) * stride - pad + 2
            made, made_to = stop, stop
            if square & middle & (ends - begins >= lanes):
                at, line = offset(plan, c, plan[P.OUTER], P.SOURCE_STRIDE), plan[axis + P.SOURCE_STRIDE]
                made, made_to = rows_below(plan, at, line, reads, reads_to, first, stop, axis)
                if made < made_to:
                    c[group] = made
                    told = (
                        x, at, line, made * stride - plan[axis + P.PAD], plan[axis + P.SOURCE], made_to - made,
                        begins, ends, pad, width, y, d + (made - first) * down, down, indices,
                        i + (made - first) * index_down, index_down, index_of_row(plan, c),
                        stride * plan[axis + P.INDEX_UNIT], unit, jump, plan[axis + P.JUMP], p, spare,
                    )  # fmt: skip
                    seen = twos(*told) if stride == 2 else near(*told)
                    if floats and seen:
                        # by rows, which know a NaN
                        made, made_to = stop, stop
            elif (
                apart & (past == ends) & (2 * stop <= plan[axis + P.SOURCE])
                & (whole_rows | (ends - begins >= many_of_two))
            ):  # fmt: skip
                line = plan[axis + P.SOURCE_STRIDE]
                at = offset(plan, c, plan[P.OUTER], P.SOURCE_STRIDE) + 2 * first * line
                to = stop
                if ends < many_of_two:
                    # a row is written over the beginning of those after it, and its vectors reach beyond it
                    to -= (many_of_two - 1) // ends
                    while (to > first) & (at + (2 * (to - first) - 1) * line + 2 * many_of_two > plan[P.SOURCE_END]):
                        to -= 1
                seen = pairs(
                    x, at, line, max(to - first, 0), begins, ends, y, d, down, indices, i, index_down,
                    index_of_row(plan, c), 2 * plan[axis + P.INDEX_UNIT], unit, jump, plan[axis + P.JUMP], p, spare,
                )  # fmt: skip
                if not (floats and seen):
                    made, made_to = first, max(to, first)
            many, whole = 0, False
            for r in range(first, stop):
                if (r >= made) & (r < made_to):
                    whole = False
                    continue
                if group >= 0:
                    c[group] = r
                whole = whole and follows(plan, r, axis)
                if whole:
                    for k in range(many):
                        table[2 * k] += step
                else:
                    many = rows_of_taps(plan, c, table, bufs[0], size)
                    whole = (lead > 0) & (many == rows)
                index = index_of_row(plan, c)
                to, put_at = d + (r - first) * down, i + (r - first) * index_down
                left, right = low, past
                if middle and owns_taps(plan, table, many, bufs[0] // size, size, reads, reads_to):
                    left, right = begins, ends
                if (many == 0) | (right - left < lanes):
                    left = right = begins
                else:
                    told = (
                        table, many, left, right, not middle, pad, width, y, to, indices, put_at, index, unit, jump, p,
                        spare,
                    )  # fmt: skip
                    seen = first_row(kernel, stride, *told)
                    if floats and seen:
                        last_row(kernel, stride, *told)
                for side in range(2):
                    for o in range(begins if side == 0 else right, left if side == 0 else ends):
                        s, number = output(table, many, o * stride - pad, width, kernel, jump, p, spare)
                        v = real(lower_one(s, real(1), 1, p))
                        y[to + o] = v if v == v else nan
                        put_one(indices, put_at + o, index + (o * stride - pad) * unit + number if number >= 0 else -1)
            if group >= 0:
                c[group] = first
            advance(plan, c)

    return fused_index
