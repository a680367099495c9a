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
from fastpool.kernels.cpu.memory import CODES, SCALARS, address, pointer, pointer_like
from fastpool.kernels.cpu.parts import make_parameter
from fastpool.kernels.cpu.row_tables import follows, index_of_row, owns_taps, rows_of_taps
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_put_indices, make_watch
from fastpool.kernels.cpu.vectors import (
    any_of,
    even,
    even_and_odd,
    everywhere,
    integers,
    lanes_between,
    load,
    none,
    odd,
    prefetch,
    signed,
    store,
)
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]

AHEAD = 1024
"""Bytes that are asked for ahead of a load, as in ``fused``."""


def make_fused_index(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    reduction = variant.vector
    assert reduction is not None
    code, index_code = CODES[variant.source], CODES[variant.aux]
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    ahead = AHEAD // size
    real = SCALARS[variant.source]
    identity = reduction.identity[0]
    parameter = make_parameter(variant)
    floats = variant.source[0] == "f"
    nan = real(math.nan) if floats else real(0)
    lift_one, lower_one = inlined(reduction.lift), inlined(reduction.lower)

    if floats:

        def lift(x, p):
            return signed(x, p)

        def lower(s, p):
            v = signed(s, p)
            return pick(v == v, v, nan)

    else:

        def lift(x, p):
            return lift_one(x, p)

        def lower(s, p):
            return lower_one(s, real(1), 1, p)

    lift, lower = inlined(lift), inlined(lower)

    put_indices = make_put_indices(variant.aux)

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

    def make_row(calm: bool) -> Any:
        """A row of outputs, in vectors; with ``calm`` as if no tap were NaN, and it returns whether one was."""
        watches = calm and floats

        def take(s, n, t, number):
            chosen = t > s if calm or not floats else (t > s) | (t != t)
            return pick(chosen, t, s), pick(chosen, number, n)

        take, watch = inlined(take), make_watch(watches)

        def two_apart(x, q, p, bad):
            """Taps 0 and 1 of windows that are two apart."""
            prefetch(x, q + ahead)
            a, b = load(x, q), load(x, q + lanes)
            bad = watch(bad, a, b)
            a, b = lift(a, p), lift(b, p)
            return even(a, b), odd(a, b), bad

        def third(x, q, p, bad):
            """Tap 2 of windows that are two apart."""
            # the last one is the last element of the row, beyond which nothing may be read
            a, b = load(x, q + 2), load(x, q + 1 + lanes)
            return lift(even_and_odd(a, b), p), watch(bad, b, b)

        def one_apart(x, q, p, bad):
            """A tap of windows that are neighbours."""
            a = load(x, q)
            return lift(a, p), watch(bad, a, a)

        two_apart, third, one_apart = map(_always, (two_apart, third, one_apart))

        # each row of taps by itself, so that their comparisons do not wait for each other
        def by_two(table, many, q, p, jump, bad, spare):
            s, t, bad = two_apart(pointer_like(table[0], spare), q, p, bad)
            s, n = take(s, integers(s, table[1]), t, table[1] + jump)
            for i in range(1, many):
                number = table[2 * i + 1]
                t, b, bad = two_apart(pointer_like(table[2 * i], spare), q, p, bad)
                t, m = take(t, integers(t, number), b, number + jump)
                s, n = take(s, n, t, m)
            return s, n, bad

        def by_two_of_three(table, many, q, p, jump, bad, spare):
            x = pointer_like(table[0], spare)
            s, t, bad = two_apart(x, q, p, bad)
            s, n = take(s, integers(s, table[1]), t, table[1] + jump)
            t, bad = third(x, q, p, bad)
            s, n = take(s, n, t, table[1] + 2 * jump)
            for i in range(1, many):
                number = table[2 * i + 1]
                x = pointer_like(table[2 * i], spare)
                t, b, bad = two_apart(x, q, p, bad)
                t, m = take(t, integers(t, number), b, number + jump)
                b, bad = third(x, q, p, bad)
                t, m = take(t, m, b, number + 2 * jump)
                s, n = take(s, n, t, m)
            return s, n, bad

        def by_one(table, many, q, p, jump, bad, spare):
            x = pointer_like(table[0], spare)
            prefetch(x, q + ahead)
            s, bad = one_apart(x, q, p, bad)
            n = integers(s, table[1])
            t, bad = one_apart(x, q + 1, p, bad)
            s, n = take(s, n, t, table[1] + jump)
            t, bad = one_apart(x, q + 2, p, bad)
            s, n = take(s, n, t, table[1] + 2 * jump)
            for i in range(1, many):
                number = table[2 * i + 1]
                x = pointer_like(table[2 * i], spare)
                prefetch(x, q + ahead)
                t, bad = one_apart(x, q, p, bad)
                b, bad = one_apart(x, q + 1, p, bad)
                t, m = take(t, integers(t, number), b, number + jump)
                b, bad = one_apart(x, q + 2, p, bad)
                t, m = take(t, m, b, number + 2 * jump)
                s, n = take(s, n, t, m)
            return s, n, bad

        by_two, by_two_of_three, by_one = map(_always, (by_two, by_two_of_three, by_one))

        def kept(q, j, stride, width, like):
            """Which lanes have their tap ``j`` on the row, where the first one's window begins at place ``q``."""
            return lanes_between(like, -((q + j) // stride), -((q + j - width) // stride))

        def take_first(s, n, t, number, there):
            """As ``take``, for a tap that comes before the one that is held, where it is there."""
            chosen = there & ((t >= s) if calm or not floats else ((t >= s) | ((t != t) & (s == s))))
            return pick(chosen, t, s), pick(chosen, number, n)

        def take_there(s, n, t, number, there):
            """As ``take``, where the tap is there."""
            chosen = there & ((t > s) if calm or not floats else ((t > s) | (t != t)))
            return pick(chosen, t, s), pick(chosen, number, n)

        take_first, take_there = inlined(take_first), inlined(take_there)

        def three_taps(x, q, stride, p, bad):
            if stride == 2:
                a, b, bad = two_apart(x, q, p, bad)
                t, bad = third(x, q, p, bad)
                return a, b, t, bad
            a, bad = one_apart(x, q, p, bad)
            b, bad = one_apart(x, q + 1, p, bad)
            t, bad = one_apart(x, q + 2, p, bad)
            return a, b, t, bad

        three_taps = _always(three_taps)

        def at_end(table, many, q, stride, width, p, jump, bad, spare):
            """Windows of three taps, of which the middle one is there, at the ends of a row."""
            like = everywhere(spare, 0)
            first, third = kept(q, 0, stride, width, like), kept(q, 2, stride, width, like)
            a, s, t, bad = three_taps(pointer_like(table[0], spare), q, stride, p, bad)
            s, n = take_first(s, integers(s, table[1] + jump), a, table[1], first)
            s, n = take_there(s, n, t, table[1] + 2 * jump, third)
            for i in range(1, many):
                number = table[2 * i + 1]
                a, b, t, bad = three_taps(pointer_like(table[2 * i], spare), q, stride, p, bad)
                s, n = take_there(s, n, a, number, first)
                s, n = take(s, n, b, number + jump)
                s, n = take_there(s, n, t, number + 2 * jump, third)
            return s, n, bad

        kept, at_end = inlined(kept), _always(at_end)

        def make_outputs(window: Any, stride: int) -> Any:
            def outputs(
                table, many, low, past, inside, pad, width, y, d, indices, i, index, unit, jump, p, spare
            ):  # fmt: skip
                bad = none(everywhere(spare, 0))
                o = low
                while o < past:
                    o = min(o, past - lanes)
                    q = o * stride - pad
                    if inside or (q >= 0) & (q + (lanes - 1) * stride + 3 <= width):
                        s, n, bad = window(table, many, q, p, jump, bad, spare)
                    else:
                        s, n, bad = at_end(table, many, q, stride, width, p, jump, bad, spare)
                    store(y, d + o, lower(s, p))
                    put_indices(indices, i + o, n, index + q * unit, stride * unit)
                    o += lanes
                return any_of(bad)

            return inlined(outputs)

        rows = make_outputs(by_two, 2), make_outputs(by_two_of_three, 2), make_outputs(by_one, 1)
        two, three, near = rows

        def row(
            table, many, low, past, inside, pad, width, y, d, indices, i, index, unit, jump, p, spare, kernel, stride
        ):  # fmt: skip
            if kernel == 2:
                return two(
                    table, many, low, past, True, pad, width, y, d, indices, i, index, unit, jump, p, spare
                )  # fmt: skip
            if stride == 2:
                return three(
                    table, many, low, past, inside, pad, width, y, d, indices, i, index, unit, jump, p, spare
                )  # fmt: skip
            return near(
                table, many, low, past, inside, pad, width, y, d, indices, i, index, unit, jump, p, spare
            )  # fmt: skip

        return inlined(row)

    last_row = make_row(False)
    first_row = make_row(True) if floats else last_row

    def fused_index(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some rows of outputs, or a part of one."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        table = pointer(address(work) + plan[P.STATE], _INT64)
        spare = pointer(address(work) + plan[P.PACK], code)
        y, indices = pointer(bufs[1], code), pointer(bufs[2], index_code)
        p = parameter(plan[P.PARAM])
        axes = plan[P.OUTER] + plan[P.LEAD]
        last = _HEADER + axes * _AXIS
        width, kernel, stride = plan[last + P.SOURCE], plan[last + P.KERNEL], plan[last + P.WINDOW_STRIDE]
        pad, jump, unit = plan[last + P.PAD], plan[last + P.JUMP], plan[last + P.INDEX_UNIT]
        group, lead = plan[P.GROUP_AXIS], plan[P.LEAD]
        axis = _HEADER + max(group, 0) * _AXIS
        step = plan[axis + P.WINDOW_STRIDE] * plan[axis + P.SOURCE_STRIDE] * size
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
            many, whole = 0, False
            for r in range(first, stop):
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
                left, right = low, past
                if middle and owns_taps(plan, table, many, bufs[0] // size, size, reads, reads_to):
                    left, right = begins, ends
                if (many == 0) | (right - left < lanes):
                    left = right = begins
                else:
                    seen = first_row(
                        table, many, left, right, not middle, pad, width, y, d, indices, i, index, unit, jump, p, spare,
                        kernel, stride,
                    )  # fmt: skip
                    if floats and seen:
                        last_row(
                            table, many, left, right, not middle, pad, width, y, d, indices, i, index, unit, jump, p,
                            spare, kernel, stride,
                        )  # fmt: skip
                for side in range(2):
                    for o in range(begins if side == 0 else right, left if side == 0 else ends):
                        s, number = output(table, many, o * stride - pad, width, kernel, jump, p, spare)
                        v = real(lower_one(s, real(1), 1, p))
                        y[d + o] = v if v == v else nan
                        indices[i + o] = index + (o * stride - pad) * unit + number if number >= 0 else -1
                d += plan[axis + P.OUTPUT_STRIDE]
                i += plan[axis + P.AUX_STRIDE]
            if group >= 0:
                c[group] = first
            advance(plan, c)

    return fused_index


def _always(function: Any) -> Any:
    return inlined(function, always=True)
