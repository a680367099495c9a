"""The gradient of max pooling by taps, of rows and small windows: each row written once, in explicit vectors.

A row of the gradient of x is made a vector for each phase of the stride at a time, from the windows that hold it::

    windows       w0 w1 w2 w3 ...      gradients of y, and the tap that each window took
    phase 0       g0 g1 g2 g3 ...      g where the tap is the one that stands on this element, elsewhere 0; one addition
    phase 1       g0 g1 g2 g3 ...      for each window that holds it, in the order of windows
    row           00 10 01 11 02 12 ...

Reads ``bufs[0]`` (the gradient of y) and ``bufs[2]`` (taps, already checked), writes ``bufs[1]`` (the gradient of x).
Nothing is cleared first, and no element is read back. Adding 0 for a window that took another tap changes nothing: a
sum that began with 0 is never -0. At the ends of a row vectors take in what lies beside it, which is replaced
afterwards, and write into the next row, which is written later. Neighbouring rows that share windows are made
together, see ``scatter_pairs``.
"""

from __future__ import annotations

import math
from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import AHEAD
from fastpool.kernels.cpu.memory import CODES, SCALARS, address, pointer
from fastpool.kernels.cpu.past_caches import make_past_caches
from fastpool.kernels.cpu.row_tables import (
    KEPT,
    NOT_TAKEN,
    ROW,
    TABLE,
    move_rows,
    owns_windows,
    put_row,
    put_rows,
    renew,
)
from fastpool.kernels.cpu.scatter_pairs import make_pairs
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import (
    between,
    everywhere,
    fence,
    load,
    load_beside,
    prefetch,
    store,
    woven_high,
    woven_low,
)
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]

PIECE = 1024
"""Bytes of a long row after which what was made is written around the caches: 537 MB of audio took 47 ms, in rows of
32 KiB 55."""


def make_fused_scatter(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    code, tap_code = CODES[variant.source], CODES[variant.aux]
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    real = SCALARS[variant.source]
    floats = variant.source[0] == "f"
    nan = real(math.nan) if floats else real(0)
    ahead, piece = AHEAD // size, PIECE // size

    def taken(s, v, took, wanted):
        """The sums, and the gradients of windows that took the tap which is looked for."""
        return pick(took == wanted, s + v, s)

    taken = inlined(taken)

    def read(g, t, table, row, w, width, own, spare, taps):
        """Gradients and taps of the windows ``w`` and up of a row of the table."""
        v = load(g, table[row] + w)
        prefetch(g, table[row] + w + ahead)
        return v, load_beside(t, table[row + 1] + w, v)

    def read_at_end(g, t, table, row, w, width, own, spare, taps):
        """The same, where windows are outside of the row: their taps are ``NOT_TAKEN``."""
        at, to = table[row] + w, table[row + 1] + w
        first, past = max(-w, 0), min(width - w, lanes)
        if own:
            v = load(g, at)
            return v, between(load_beside(t, to, v), first, past, NOT_TAKEN)
        store(taps, 0, everywhere(taps, NOT_TAKEN))
        for e in range(first, past):
            spare[e] = g[at + e]
            taps[e] = t[to + e]
        v = load(spare, 0)
        return v, load_beside(taps, 0, v)

    def make_sums(read: Any) -> tuple[Any, Any, Any]:
        """Sums of elements that windows hold, by how windows are read. ``w`` is the first window.

        ``apart`` for even and odd elements that one window holds, ``by_two`` for those that windows two apart hold,
        ``by_one`` for elements that three windows hold.
        """
        read = inlined(read, always=True)

        def apart_row(g, t, table, row, even, odd, w, width, own, spare, taps):
            v, took = read(g, t, table, row, w, width, own, spare, taps)
            return taken(even, v, took, table[row + 3]), taken(odd, v, took, table[row + 5])

        def by_two_row(g, t, table, row, even, odd, w, width, own, spare, taps):
            v, took = read(g, t, table, row, w, width, own, spare, taps)
            even, odd = taken(even, v, took, table[row + 3]), taken(odd, v, took, table[row + 5])
            v, took = read(g, t, table, row, w + 1, width, own, spare, taps)
            return taken(even, v, took, table[row + 4]), taken(odd, v, took, table[row + 6])

        def by_one_row(g, t, table, row, s, w, width, own, spare, taps):
            v, took = read(g, t, table, row, w, width, own, spare, taps)
            s = taken(s, v, took, table[row + 3])
            v, took = read(g, t, table, row, w + 1, width, own, spare, taps)
            s = taken(s, v, took, table[row + 4])
            v, took = read(g, t, table, row, w + 2, width, own, spare, taps)
            return taken(s, v, took, table[row + 5])

        apart_row, by_two_row = inlined(apart_row, always=True), inlined(by_two_row, always=True)
        by_one_row = inlined(by_one_row, always=True)

        def apart(g, t, table, many, w, width, own, spare, taps):
            even = everywhere(spare, 0)
            odd = even
            for i in range(many):
                even, odd = apart_row(g, t, table, ROW * (i + 1), even, odd, w, width, own, spare, taps)
            return even, odd

        def by_two(g, t, table, many, w, width, own, spare, taps):
            even = everywhere(spare, 0)
            odd = even
            for i in range(many):
                even, odd = by_two_row(g, t, table, ROW * (i + 1), even, odd, w, width, own, spare, taps)
            return even, odd

        def by_one(g, t, table, many, w, width, own, spare, taps):
            s = everywhere(spare, 0)
            for i in range(many):
                s = by_one_row(g, t, table, ROW * (i + 1), s, w, width, own, spare, taps)
            return s

        return inlined(apart, always=True), inlined(by_two, always=True), inlined(by_one, always=True)

    apart, by_two, by_one = make_sums(read)
    apart_at_end, by_two_at_end, by_one_at_end = make_sums(read_at_end)

    if floats:

        def canonical(s):
            # inf - inf is a NaN with a sign on some processors
            return pick(s == s, s, nan)

    else:

        def canonical(s):
            return s

    canonical = inlined(canonical)

    def write(y, at, left, end, s, spare):
        """Writes a vector, of which ``left`` elements are asked for; up to ``end`` others will be written."""
        v = canonical(s)
        if (left >= lanes) | (at + lanes <= end):
            store(y, at, v)
        else:
            store(spare, 0, v)
            for e in range(left):
                y[at + e] = spare[e]

    write = inlined(write, always=True)

    def make_row(sums: Any, sums_at_end: Any, extra: int) -> Any:
        """A row whose windows are two apart, the first two elements in ``w`` and up to ``extra`` windows after it.

        It is written from ``x`` on.
        """

        def inner(g, t, table, many, x, inside, y, d, w, width, own, spare, taps):
            """The vectors that begin at ``x`` up to ``inside``; returns where the next one does."""
            while x <= inside:
                even, odd = sums(g, t, table, many, w + x // 2, width, own, spare, taps)
                store(y, d + x, canonical(woven_low(even, odd)))
                store(y, d + x + lanes, canonical(woven_high(even, odd)))
                x += 2 * lanes
            return x

        inner = inlined(inner, always=True)

        def row(g, t, table, x, y, d, end, outputs, w, width, own, spare, taps):
            many = table[0]
            # vectors of which windows and elements are all there
            inside = min(2 * (width - extra - w - lanes), max(outputs, end - d) - 2 * lanes, outputs - 1)
            while x < outputs:
                if w + x // 2 >= 0:
                    x = inner(g, t, table, many, x, inside, y, d, w, width, own, spare, taps)
                if x < outputs:
                    even, odd = sums_at_end(g, t, table, many, w + x // 2, width, own, spare, taps)
                    write(y, d + x, outputs - x, end, woven_low(even, odd), spare)
                    write(y, d + x + lanes, outputs - x - lanes, end, woven_high(even, odd), spare)
                    x += 2 * lanes

        return inlined(row)

    row_apart, row_by_two = make_row(apart, apart_at_end, 0), make_row(by_two, by_two_at_end, 1)

    def inner_by_one(g, t, table, many, x, inside, y, d, w, width, own, spare, taps):
        """The vectors that begin at ``x`` up to ``inside``; returns where the next one does."""
        while x <= inside:
            store(y, d + x, canonical(by_one(g, t, table, many, w + x, width, own, spare, taps)))
            x += lanes
        return x

    inner_by_one = inlined(inner_by_one, always=True)

    def row_by_one(g, t, table, x, y, d, end, outputs, w, width, own, spare, taps):
        """A row whose first element the windows ``w`` to ``w + 2`` hold, from ``x`` on."""
        many = table[0]
        inside = min(width - 2 - w - lanes, max(outputs, end - d) - lanes, outputs - 1)
        while x < outputs:
            if w + x >= 0:
                if many == 3:
                    x = inner_by_one(g, t, table, 3, x, inside, y, d, w, width, own, spare, taps)
                else:
                    x = inner_by_one(g, t, table, many, x, inside, y, d, w, width, own, spare, taps)
            if x < outputs:
                s = by_one_at_end(g, t, table, many, w + x, width, own, spare, taps)
                write(y, d + x, outputs - x, end, s, spare)
                x += lanes

    row_by_one = inlined(row_by_one)

    write_past_caches = make_past_caches(variant.source)
    pairs_apart, tile_apart, pair_by_two = make_pairs(variant.source, taken, canonical, write_past_caches, ahead)

    def fused_scatter(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some rows of the gradient of x, or a part of one."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        tables = pointer(address(work) + plan[P.STATE], _INT64)
        spare = pointer(address(work) + plan[P.PACK], code)
        taps = pointer(address(spare) + vectors.BYTES, tap_code)
        # marks of the windows of a row, and of a vector of those beside it
        edges = pointer(address(spare) + 3 * vectors.BYTES, tap_code)
        buffer = pointer(address(work) + plan[P.PACK2], code)
        g, y, t = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], tap_code)
        source = pointer(address(tables) + KEPT * TABLE, _INT64)
        other = pointer(address(tables) + (KEPT + 1) * TABLE, _INT64)
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        axes = outer + lead
        far = _HEADER + outer * _AXIS
        last = _HEADER + axes * _AXIS
        width, kernel, stride = plan[last + P.SOURCE], plan[last + P.KERNEL], plan[last + P.WINDOW_STRIDE]
        group, stream = plan[P.GROUP_AXIS], plan[P.STREAM] != 0
        axis = _HEADER + max(group, 0) * _AXIS
        dense = (group >= 0) & (plan[P.BLOCKS] == 1) & (plan[axis + P.OUTPUT_STRIDE] == plan[last + P.OUTPUT])
        narrow = (stride == 2) & (kernel == 3) & (plan[P.BLOCKS] == 1) & (width <= P.MOST_EDGES)
        if narrow:
            for e in range(-vectors.BYTES, width + vectors.BYTES):
                edges[e] = 0 if (e >= 0) & (e < width) else NOT_TAKEN
        seek(plan, c, begin)
        for _ in range(begin, end):
            if plan[P.DENSE] != 0:
                tile_apart(plan, c, g, t, y, bufs[1], buffer, spare, taps)
                advance(plan, c)
                continue
            column = c[axes] * plan[P.BLOCK]
            outputs = min(plan[P.BLOCK], plan[last + P.OUTPUT] - column)
            first, stop = 0, 1
            if group >= 0:
                first = c[group]
                stop = min(first + plan[P.GROUP], plan[axis + P.OUTPUT])
            d = column + offset(plan, c, axes, P.OUTPUT_STRIDE)
            # in the buffer, or in the output itself
            rows, at, pitch = y, d, plan[axis + P.OUTPUT_STRIDE]
            ends = d + ((stop - first) * plan[last + P.OUTPUT] if dense else outputs)
            if stream:
                rows, at, pitch = buffer, 0, outputs
                ends = at + (stop - first) * outputs + 2 * lanes
            begins, skew = at, (bufs[1] // size + d) % lanes
            # the first window looked at, and the place of the first element in it
            place = column + plan[last + P.PAD]
            w = place - 2 if stride == 1 else place // 2
            if stride == 2 and kernel > 2 and place % 2 == 0:
                w -= 1
            place -= w * stride
            g_at, t_at = offset(plan, c, outer, P.SOURCE_STRIDE), offset(plan, c, outer, P.AUX_STRIDE)
            put_row(plan, source, 0, g_at, t_at, 0, place)
            source[0], source[1] = 1, 1
            if lead > 1:
                position, step = c[outer] + plan[far + P.PAD], plan[far + P.WINDOW_STRIDE]
                put_rows(plan, far, position // step, position % step, source, other, place)
                source, other = other, source
            # pairs of rows that share windows: those of which no other window holds either, and those with one more
            # row of windows for the upper one
            twice, shares = False, False
            if (lead > 0) & (stride == 2):
                two_apart = (plan[axis + P.WINDOW_STRIDE] == 2) & (plan[axis + P.DILATION] == 1)
                twice = two_apart & (plan[axis + P.KERNEL] == 2) & (kernel == 2) & (place == 0) & (w >= 0)
                shares = two_apart & (plan[axis + P.KERNEL] == 3) & (kernel + place > 2)
                shares = shares & narrow & (outputs % 2 == 0) & (outputs >= 2 * lanes)
            near, phase, table = 0, 0, source
            if lead > 0:
                near = (first + plan[axis + P.PAD]) // plan[axis + P.WINDOW_STRIDE]
                phase = (first + plan[axis + P.PAD]) % plan[axis + P.WINDOW_STRIDE]
                for i in range(KEPT):
                    tables[i * TABLE // 8 + 1] = 0
            r, shared = first, 0
            while r < stop:
                # what was written together with the row above
                x, shared, count = shared, 0, 0
                if x < outputs:
                    if lead > 0:
                        table = pointer(address(tables) + min(phase, KEPT - 1) * TABLE, _INT64)
                        renew(plan, axis, near, phase, source, table, place)
                    elif r > first:
                        move_rows(plan, axis, table, 1)
                    if twice & (phase == 0) & (r + 1 < stop) & (table[0] == 1):
                        x = shared = 2 * min(width - w, outputs // 2)
                        if x < 2 * lanes:
                            x = shared = 0
                if x < outputs:
                    past = w + (outputs + 2 * lanes) // stride + lanes + 1
                    own = (w >= 0) & (past <= width) or owns_windows(plan, table, w, past)
                    paired = shares & (phase == 0) & (r + 1 < stop) & (near < plan[axis + P.SOURCE])
                    if own & paired & (table[0] > 0) & (table[1] != 0):
                        below = pointer(address(tables) + TABLE, _INT64)
                        renew(plan, axis, near, 1, source, below, place)
                        pair_by_two(g, t, table, below, rows, at, pitch, outputs, w, edges, spare)
                        x, phase = outputs, 1
                        r, at = r + 1, at + pitch
                while x < outputs:
                    until = min(x + piece, outputs) if stream & (shared == 0) else outputs
                    if stride == 1:
                        row_by_one(g, t, table, x, rows, at, ends, until, w, width, own, spare, taps)
                    elif kernel == 2 and place == 0:
                        row_apart(g, t, table, x, rows, at, ends, until, w, width, own, spare, taps)
                    else:
                        row_by_two(g, t, table, x, rows, at, ends, until, w, width, own, spare, taps)
                    x = until
                    if x < outputs:
                        begins, moved = write_past_caches(y, d, skew, buffer, begins, at + x, False)
                        d, at, ends = d + moved, at - moved, ends - moved
                if shared > 0:
                    # last, because the rest of a row is written over the beginning of the next one
                    count = 1
                    if (shared == outputs) & (table[1] != 0):
                        count = min((stop - r) // 2, plan[axis + P.SOURCE] - near)
                    whole, far_away = shared == outputs, (P.FAR, P.FAR, P.FAR)
                    after, d, begins = pairs_apart(
                        g, t, (table[ROW] + w, table[ROW + 1] + w),
                        (plan[axis + P.SOURCE_STRIDE], plan[axis + P.AUX_STRIDE], 0, 0), 1, 0, 1, table[ROW + 3],
                        (0, table[ROW + 5] - table[ROW + 3], plan[axis + P.JUMP]), count, shared // 2, rows, at, pitch,
                        far_away, spare, taps, stream & whole, y, d, skew, begins,
                    )  # fmt: skip
                    if whole:
                        ends += after - at - 2 * count * pitch
                        shared, at = 0, after
                    else:
                        count = 0
                if count > 0:
                    move_rows(plan, axis, table, count - 1)
                    r, near = r + 2 * count, near + count
                else:
                    phase += 1
                    if lead > 0 and phase == plan[axis + P.WINDOW_STRIDE]:
                        near, phase = near + 1, 0
                    r, at = r + 1, at + pitch
                if stream:
                    if shared == 0:
                        begins, moved = write_past_caches(y, d, skew, buffer, begins, at, r == stop)
                        d, at, ends = d + moved, at - moved, ends - moved
                elif not dense:
                    ends = at + outputs
            advance(plan, c)
        if stream:
            fence()

    return fused_scatter
