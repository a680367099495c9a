"""Forward pooling of rows by small windows, in one sweep over memory and without scratch: explicit vectors.

Windows of two or three taps along each axis, at stride 1 or 2 along the last one (and of three to eight along the only
one, as far apart, see ``fused_apart``). A row of outputs is made a vector at
a time, from the rows of its taps::

    rows of taps    a0 a1 a2 a3 ...        column   c0 c1 c2 c3 ...    c = a . b . d, as leading axes go
                    b0 b1 b2 b3 ...        even     c0 c2 ...
                    d0 d1 d2 d3 ...        odd      c1 c3 ...          output   even . odd [. even, one lane on]

Taps are combined along the first spatial axis, then the next. Reads ``bufs[0]``, writes ``bufs[1]``. A row outside the
input is read from a row of scratch that holds what counts for nothing. At the ends of a row vectors take in what lies
beside it, which is replaced afterwards, and write into the next row, which is written later; only at the ends of the
array, and of a tile, elements are copied one by one.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import FAR_BYTES
from fastpool.kernels.cpu.fused_apart import make_apart
from fastpool.kernels.cpu.fused_inside import make_column, make_finish, make_inside, rows_inside
from fastpool.kernels.cpu.memory import CODES, SCALARS, address, pointer, pointer_like
from fastpool.kernels.cpu.parts import make_parameter
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_vector_parts, make_watch
from fastpool.kernels.cpu.vectors import (
    any_of,
    between,
    by_all_but_one,
    even,
    everywhere,
    fence,
    load,
    none,
    odd,
    shifted,
    shifted_twice,
    store,
    store_past_cache,
)
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]


@register_jitable
def rows_of_taps(plan, c, table, x, blank, size, low, high):
    """Writes the addresses of the rows that the current output row needs, the first leading axis fastest.

    ``x`` is the address of the first element, ``blank`` that of the row that counts for nothing, ``low`` and ``high``
    the places along a row between which vectors are loaded. Returns whether memory from ``low`` to ``high`` is the
    array's own for all of them.
    """
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    first = _HEADER + outer * _AXIS
    second = first + _AXIS
    at = offset(plan, c, outer, P.SOURCE_STRIDE)
    if lead == 0:
        table[0] = x + at * size
        return (at + low >= 0) & (at + high <= plan[P.SOURCE_END])
    many, step, limit = plan[first + P.KERNEL], plan[first + P.DILATION], plan[first + P.SOURCE]
    start = c[outer] * plan[first + P.WINDOW_STRIDE] - plan[first + P.PAD]
    pitch = plan[first + P.SOURCE_STRIDE]
    more = 1 if lead == 1 else plan[second + P.KERNEL]
    own = True
    for j in range(more):
        here = at + start * pitch
        inside = True
        if lead > 1:
            place = c[outer + 1] * plan[second + P.WINDOW_STRIDE] - plan[second + P.PAD] + j * plan[second + P.DILATION]
            inside = (place >= 0) & (place < plan[second + P.SOURCE])
            here += place * plan[second + P.SOURCE_STRIDE]
        for i in range(many):
            place = start + i * step
            there = inside & (place >= 0) & (place < limit)
            table[j * many + i] = x + here * size if there else blank
            own = own & ((not there) | ((here + low >= 0) & (here + high <= plan[P.SOURCE_END])))
            here += step * pitch
    return own


@register_jitable
def followed(plan, table, x, row, axis, high, size):
    """Whether output row ``row`` and the one before it have all rows of their taps, in memory that is the array's."""
    start = (row - 1) * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
    reach = (plan[axis + P.KERNEL] - 1) * plan[axis + P.DILATION] + plan[axis + P.WINDOW_STRIDE]
    if (start < 0) | (start + reach >= plan[axis + P.SOURCE]) | (plan[axis + P.SOURCE_STRIDE] < 0):
        return False
    here = (table[plan[axis + P.KERNEL] - 1] - x) // size + plan[axis + P.WINDOW_STRIDE] * plan[axis + P.SOURCE_STRIDE]
    return here + high <= plan[P.SOURCE_END]


@register_jitable
def block_of(plan, block, outputs, lanes, skew):
    """The first output of a block of a row, and the one past the last.

    Where they are written around the caches, blocks are cut at whole vectors of memory, in which the row begins at
    element ``skew``: what goes through the caches between them holds up all other writing. 268 MB of audio, 16 bytes
    into a vector, took 27 ms in blocks that ended within vectors.
    """
    first = block * plan[P.BLOCK]
    past = min(first + plan[P.BLOCK], outputs)
    if (plan[P.STREAM] != 0) & (plan[P.BLOCKS] > 1):
        head = (lanes - skew % lanes) % lanes
        first = min(first + head, outputs) if first > 0 else 0
        past = min(past + head, outputs)
    return first, past


def make_fused(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    reduction = variant.vector
    assert reduction is not None
    code = CODES[variant.source]
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    real = SCALARS[variant.source]
    identity = reduction.identity[0]
    lower_one = inlined(reduction.lower)
    parameter = make_parameter(variant)
    lift, _, _ = make_vector_parts(variant)

    def make_row(combine: Any, watches: bool, aligned: bool = True) -> Any:
        """The function of a row of outputs; with ``watches`` it returns whether it saw NaN, else False. If it is not
        ``aligned``, it does without ``behind_padding``.
        """

        def end_of_row(x, q, width, spare, other):
            """The elements at the places ``q`` and up, ``other`` outside the row."""
            for e in range(lanes):
                spare[e] = x[q + e] if (q + e >= 0) & (q + e < width) else other
            return load(spare, 0)

        column, finish = make_column(variant, combine, watches), make_finish(variant, watches)
        combine, watch, end_of_row = inlined(combine), make_watch(watches), inlined(end_of_row)

        def column_at_end(table, many, more, far, q, width, p, spare, other):
            """As ``column``, where vectors would reach into memory that is not the array's."""
            s = everywhere(spare, 0)
            bad = none(s)
            for j in range(more):
                t = s
                for i in range(many):
                    x = end_of_row(pointer_like(table[j * many + i], spare), q, width, spare, other)
                    bad = watch(bad, x, x)
                    t = combine(t, lift(x, p)) if i > 0 else lift(x, p)
                s = combine(s, t) if j > 0 else t
            return s, bad

        column_at_end = inlined(column_at_end)

        def any_column(table, many, more, far, q, width, own, p, spare, other, nothing):
            """As ``column``, at the ends of a row, too, where ``nothing`` lies outside."""
            if q >= width:
                s = everywhere(spare, nothing)
                return s, none(s)
            if (q >= 0) & (q + lanes <= width):
                return column(table, many, more, far, q, p, spare)
            if not own:
                return column_at_end(table, many, more, far, q, width, p, spare, other)
            s, bad = column(table, many, more, far, q, p, spare)
            # NaN beside the row is seen, too: that costs time, and is rare
            return between(s, -q, width - q, nothing), bad

        any_column = inlined(any_column, always=True)

        def write(y, at, left, end, stream, s, divisor, p, spare):
            """Writes a vector of outputs, of which ``left`` are asked for; up to ``end`` others will be written."""
            v = finish(s, divisor, p)
            if stream & (left >= lanes):
                store_past_cache(y, at, v)
            elif (left >= lanes) | (at + lanes <= end):
                store(y, at, v)
            else:
                store(spare, 0, v)
                for e in range(left):
                    y[at + e] = spare[e]

        write = inlined(write, always=True)

        def behind_padding(
            table, many, more, far, y, d, end, stream, outputs, width, own, stride, p, spare, other, nothing, divisor
        ):
            """A row of windows of three taps, the first of which begins a place before it; returns where NaN was seen.

            Vectors begin where the row does: a place before it, each would lie on two lines of the cache. A window's
            first tap is from the vector before::

                stride 2     before . . . x1 | x0 x1 x2 x3 ...     even x0 x2 ..., odd x1 x3 ..., odd from before on
                stride 1     before . . . x0 | x0 x1 x2 x3 ...     itself, a place later, and from before on
            """
            before = everywhere(spare, nothing)
            if stride == 2:
                bad = none(before)
                for o in range(0, outputs, lanes):
                    if 2 * (o + lanes) <= width:
                        a, bad_a = column(table, many, more, far, 2 * o, p, spare)
                        b, bad_b = column(table, many, more, far, 2 * o + lanes, p, spare)
                    else:
                        q = 2 * o
                        a, bad_a = any_column(table, many, more, far, q, width, own, p, spare, other, nothing)
                        b, bad_b = any_column(table, many, more, far, q + lanes, width, own, p, spare, other, nothing)
                    bad = bad | bad_a | bad_b
                    c = odd(a, b)
                    s = combine(combine(by_all_but_one(before, c), even(a, b)), c)
                    write(y, d + o, outputs - o, end, stream, s, divisor, p, spare)
                    before = c
            else:
                a, bad = any_column(table, many, more, far, 0, width, own, p, spare, other, nothing)
                for o in range(0, outputs, lanes):
                    b, bad_b = any_column(table, many, more, far, o + lanes, width, own, p, spare, other, nothing)
                    bad = bad | bad_b
                    s = combine(combine(by_all_but_one(before, a), a), shifted(a, b))
                    write(y, d + o, outputs - o, end, stream, s, divisor, p, spare)
                    before = a
                    a = b
            return bad

        if not aligned:

            def behind_padding(
                table, many, more, far, y, d, end, stream, outputs, width, own, stride, p, spare, other, nothing,
                divisor,
            ):  # fmt: skip
                return none(everywhere(spare, 0))

        behind_padding = inlined(behind_padding, always=True)

        def row(
            table, many, more, far, y, d, end, stream, q, outputs, width, own, kernel, stride, p, spare, other, nothing,
            divisor,
        ):  # fmt: skip
            """One row of outputs, the first one at ``d``, whose window begins at place ``q``."""
            bad = none(everywhere(spare, 0))
            if kernel == 2:
                for o in range(0, outputs, lanes):
                    at = q + 2 * o
                    a, bad_a = any_column(table, many, more, far, at, width, own, p, spare, other, nothing)
                    b, bad_b = any_column(table, many, more, far, at + lanes, width, own, p, spare, other, nothing)
                    bad = bad | bad_a | bad_b
                    write(y, d + o, outputs - o, end, stream, combine(even(a, b), odd(a, b)), divisor, p, spare)
            elif aligned and q == -1:
                bad = behind_padding(
                    table, many, more, far, y, d, end, stream, outputs, width, own, stride, p, spare, other, nothing,
                    divisor,
                )  # fmt: skip
            elif stride == 2:
                a, bad = any_column(table, many, more, far, q, width, own, p, spare, other, nothing)
                for o in range(0, outputs, lanes):
                    at = q + 2 * o + lanes
                    if (at >= 0) & (at + 2 * lanes <= width):
                        b, bad_b = column(table, many, more, far, at, p, spare)
                        c, bad_c = column(table, many, more, far, at + lanes, p, spare)
                    else:
                        b, bad_b = any_column(table, many, more, far, at, width, own, p, spare, other, nothing)
                        c, bad_c = any_column(table, many, more, far, at + lanes, width, own, p, spare, other, nothing)
                    bad = bad | bad_b | bad_c
                    e = even(a, b)
                    s = combine(combine(e, odd(a, b)), shifted(e, c))
                    write(y, d + o, outputs - o, end, stream, s, divisor, p, spare)
                    a = c
            else:
                a, bad = any_column(table, many, more, far, q, width, own, p, spare, other, nothing)
                for o in range(0, outputs, lanes):
                    b, bad_b = any_column(table, many, more, far, q + o + lanes, width, own, p, spare, other, nothing)
                    bad = bad | bad_b
                    s = combine(combine(a, shifted(a, b)), shifted_twice(a, b))
                    write(y, d + o, outputs - o, end, stream, s, divisor, p, spare)
                    a = b
            return any_of(bad)

        return inlined(row)

    # most rows hold no NaN: they are made without regard to it, and again where one was seen
    watches = reduction.calm is not None
    last_row = make_row(reduction.combine, False, not watches)
    first_row = make_row(reduction.calm, True) if watches else last_row
    apart = make_apart(variant)
    inside = make_inside(variant, reduction.calm if watches else reduction.combine, watches)

    def fused(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some rows of outputs, or a part of one."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        table = pointer(address(work) + plan[P.STATE], _INT64)
        spare = pointer(address(work) + plan[P.PACK], code)
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        p = parameter(plan[P.PARAM])
        divisor = real(plan[P.DIVISOR])
        outer, axes = plan[P.OUTER], plan[P.OUTER] + plan[P.LEAD]
        last = _HEADER + axes * _AXIS
        width, kernel, stride = plan[last + P.SOURCE], plan[last + P.KERNEL], plan[last + P.WINDOW_STRIDE]
        many = plan[_HEADER + outer * _AXIS + P.KERNEL] if plan[P.LEAD] > 0 else 1
        more = plan[_HEADER + (outer + 1) * _AXIS + P.KERNEL] if plan[P.LEAD] > 1 else 1
        far = plan[P.BYTES] >= FAR_BYTES
        nothing = real(identity)
        other = real(lower_one(nothing, real(1), 1, p))
        for e in range(plan[P.ROW]):
            spare[e] = other
        blank = address(work) + plan[P.PACK] + (lanes + plan[last + P.PAD]) * size
        group = plan[P.GROUP_AXIS]
        axis = _HEADER + max(group, 0) * _AXIS
        down, step = plan[axis + P.OUTPUT_STRIDE], plan[axis + P.SOURCE_STRIDE]
        if plan[P.LEAD] > 0:
            step *= plan[axis + P.WINDOW_STRIDE]
        dense = (group >= 0) & (plan[P.BLOCKS] == 1) & (plan[axis + P.OUTPUT_STRIDE] == plan[last + P.OUTPUT])
        seek(plan, c, begin)
        for _ in range(begin, end):
            first, stop = 0, 1
            if group >= 0:
                first = c[group]
                stop = min(first + plan[P.GROUP], plan[axis + P.OUTPUT])
            row_start = offset(plan, c, axes, P.OUTPUT_STRIDE)
            o, past = block_of(plan, c[axes], plan[last + P.OUTPUT], lanes, bufs[1] // size + row_start)
            outputs, d = past - o, row_start + o
            q = o * stride - plan[last + P.PAD]
            high = q + ((outputs + lanes - 1) // lanes * stride + 1) * lanes
            until = d + (stop - first) * plan[last + P.OUTPUT]
            whole = (kernel == 2) & (q >= 0) & (q + 2 * outputs <= width) & (outputs > 0)
            if outputs < lanes:
                # rows are written with what lies behind them, which is written afterwards
                whole = whole & dense & (plan[P.STREAM] == 0)
            if stride > 2:
                begin_of_rows = offset(plan, c, outer, P.SOURCE_STRIDE) + q
                for _ in range(first, stop):
                    apart(x, begin_of_rows, y, d, outputs, plan[P.STREAM] != 0, kernel, divisor, p, spare)
                    begin_of_rows += step
                    d += down
                advance(plan, c)
                continue
            own = False
            r = first
            while r < stop:
                if group >= 0:
                    c[group] = r
                # where all rows were there, and the next ones are, they are a step further
                if own & (plan[P.LEAD] == 1) and followed(plan, table, bufs[0], r, axis, high, size):
                    for i in range(many):
                        table[i] += step * size
                else:
                    own = rows_of_taps(plan, c, table, bufs[0], blank, size, q, high)
                count = 0
                if whole:
                    count = rows_inside(plan, c, r, stop)
                    if outputs < lanes:
                        count = min(count, (until - lanes - d) // outputs + 1)
                        at = (table[many * more - 1] - bufs[0]) // size + q + 2 * lanes
                        while (count > 0) & (at + (count - 1) * step > plan[P.SOURCE_END]):
                            count -= 1
                if count > 0:
                    told = (table, many, more, far, y, d, down, count, plan[P.STREAM] != 0, q, step, outputs)
                    if not inside(*told, divisor, p, spare):
                        d += count * down
                        r += count
                        own = False
                        continue
                # before whole vectors can be written around the caches, some outputs up to a multiple of their size
                head = 0
                if plan[P.STREAM] != 0:
                    head = min((lanes - (bufs[1] // size + d) % lanes) % lanes, outputs)
                done = 0
                while done < outputs:
                    here, stream = outputs - done, plan[P.STREAM] != 0
                    if done < head:
                        here, stream = head, False
                    at, place, ends = d + done, q + done * stride, until if dense else d + outputs
                    seen = first_row(
                        table, many, more, far, y, at, ends, stream, place, here, width, own, kernel, stride, p, spare,
                        other, nothing, divisor,
                    )  # fmt: skip
                    if watches and seen:
                        last_row(
                            table, many, more, far, y, at, ends, stream, place, here, width, own, kernel, stride, p,
                            spare, other, nothing, divisor,
                        )  # fmt: skip
                    done += here
                d += down
                r += 1
            if group >= 0:
                c[group] = first
            advance(plan, c)
        if plan[P.STREAM] != 0:
            fence()

    return fused
