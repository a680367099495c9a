"""The gradient of a mean or sum over windows that share no element: each output's gradient, spread over its window.

The gradients of a row of windows are shared out once, and a row of the gradient of x is made of them in scratch, the
line; all rows that these windows hold are copies of it::

    gradients of y   g0 g1 g2 ...                      shares     s0 s1 s2 ...
    line             s0 s0 s0 s1 s1 s1 s2 s2 s2 ...    copied to as many rows as a window has

An element of the line is written as a whole vector, and what is too much of it by the next one. Where there are lanes
enough for a vector there is no line: they are copied from the shares. Nor is there for windows of two in rows of a
vector of them or more, of floats that vectors can divide: both halves of each vector are woven and written to all rows.
Reads ``bufs[0]`` (the gradient of y), writes ``bufs[1]`` (that of x), 0 where no window is. Each element is one share
or 0: nothing is added.
"""

from __future__ import annotations

import math
from typing import Any

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import CODES, DECODE, ENCODE, SCALARS, address, load_source, pointer, store_out
from fastpool.kernels.cpu.past_caches import make_past_caches
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import everywhere, fence, load, store, woven_high, woven_low
from fastpool.kernels.cpu.walk import advance, counted, interior, offset, seek
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER
_INT64 = CODES["i64"]


@register_jitable
def window_of(plan, axis, position):
    """(the last window that begins up to a position, how far the position is behind its beginning)."""
    place, stride = position + plan[axis + P.PAD], plan[axis + P.WINDOW_STRIDE]
    w = place // stride
    return w, place - w * stride


def make_fused_gather(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    reduction = variant.vector
    assert reduction is not None
    code = CODES[variant.source]
    lanes_of_vector = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes_of_vector
    real = SCALARS[variant.state[0]]
    decode, encode = DECODE[variant.source], ENCODE[variant.output]
    pull = inlined(reduction.pull)
    write_past_caches = make_past_caches(variant.source)

    def share(g, divisor, other):
        """What each tap of a window gets of its gradient; ``other`` is what the others give."""
        v = real(decode(g))
        return encode(pull(v, v, divisor, 1, divisor) + other)

    share = inlined(share)

    def share_out(g, at, step, fine, many, lanes, divisor, other, shares, to):
        """The shares of ``many`` windows with all their lanes, from place ``to`` on."""
        if (fine == 1) & (step == lanes):
            for e in range(many * lanes):
                store_out(shares, to + e, share(load_source(g, at + e), divisor, other))
        else:
            for o in range(many):
                for e in range(lanes):
                    u = at + o * step + e * fine
                    store_out(shares, to + o * lanes + e, share(load_source(g, u), divisor, other))

    share_out = inlined(share_out)

    def doubled(source, at, to, count):
        """Each of ``count`` elements twice; up to a vector more is read, and two more are written."""
        for e in range(0, count, lanes_of_vector):
            v = load(source, at + e)
            store(to, 2 * e, woven_low(v, v))
            store(to, 2 * e + lanes_of_vector, woven_high(v, v))

    def make_line(shares, line, twice, place, outputs, w, past, kernel, stride, lanes):
        """The line of the places ``place`` and up, which begins with window ``w``; there are none from ``past`` on."""
        whole = (kernel == stride) & (place == w * stride) & (place + outputs <= past * stride) & (lanes == 1)
        if whole & (kernel == 2):
            doubled(shares, 0, line, (outputs + 1) // 2)
            return
        if whole & (kernel == 4):
            doubled(shares, 0, twice, (outputs + 3) // 4)
            doubled(twice, 0, line, (outputs + 1) // 2)
            return
        zero = everywhere(line, 0)
        at, x, ends = 0, 0, outputs * lanes
        step = lanes if lanes > 1 else lanes_of_vector
        begins, long, every = (w * stride - place) * lanes, kernel * lanes, stride * lanes
        for _ in range(w, past):
            x, until = max(begins, 0), min(begins + long, ends)
            v = load(shares, at) if lanes > 1 else everywhere(line, shares[at])
            while True:
                store(line, x, v)
                x += step
                if x >= until:
                    break
            begins += every
            if long < every:
                x, until = max(until, 0), min(begins, ends)
                while x < until:
                    store(line, x, zero)
                    x += lanes_of_vector
            at += lanes
        for x in range(max(begins, 0), ends, lanes_of_vector):
            store(line, x, zero)

    def put(source, at, y, d, count, end):
        """Copies elements; what lies behind them, up to ``end``, will be written afterwards. Places may be negative."""
        x = 0
        while x + lanes_of_vector <= count:
            store(y, d + x, load(source, at + x))
            x += lanes_of_vector
        if x < count:
            if d + x + lanes_of_vector <= end:
                store(y, d + x, load(source, at + x))
            elif count >= lanes_of_vector:
                store(y, d + count - lanes_of_vector, load(source, at + count - lanes_of_vector))
            else:
                for e in range(x, count):
                    y[d + e] = source[at + e]

    doubled, make_line, put = inlined(doubled), inlined(make_line), inlined(put)

    def rows_of_twos(g, at, y, d, pitch, many, windows, divisor, other):
        """``many`` rows, ``pitch`` apart, of windows of two, a vector of them or more; the last one begins earlier."""
        for k in range(0, windows, lanes_of_vector):
            w = min(k, windows - lanes_of_vector)
            v = load(g, at + w)
            v = pull(v, v, divisor, 1, divisor) + other
            v = pick(v == v, v, nan)
            a, b = woven_low(v, v), woven_high(v, v)
            to = d + 2 * w
            for _ in range(many):
                store(y, to, a)
                store(y, to + lanes_of_vector, b)
                to += pitch

    by_twos = variant.source == variant.state[0] and variant.source[0] == "f"
    nan = real(math.nan) if by_twos else real(0)
    if not by_twos:

        def rows_of_twos(g, at, y, d, pitch, many, windows, divisor, other):
            return

    rows_of_twos = inlined(rows_of_twos)

    def put_lanes(shares, zeros, y, d, step, place, outputs, w, past, kernel, stride, lanes):
        """A row, whose positions are ``step`` apart, from the shares of window ``w`` and those behind it."""
        x, at = 0, 0
        begins = w * stride - place
        while x < outputs:
            until = min(begins + kernel, outputs) if w < past else x
            while x < until:
                put(shares, at, y, d + x * step, lanes, -P.FAR)
                x += 1
            begins += stride
            until = min(begins, outputs) if w < past else outputs
            while x < until:
                put(zeros, 0, y, d + x * step, lanes, -P.FAR)
                x += 1
            at += lanes
            w += 1

    put_lanes = inlined(put_lanes)

    def fused_gather(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some rows of the gradient of x, or a part of them."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        shares = pointer(address(work) + plan[P.STATE2], code)
        line = pointer(address(work) + plan[P.PACK], code)
        twice = pointer(address(work) + plan[P.PACK2], code)
        buffer = pointer(address(work) + plan[P.ROW], code)
        g, y = pointer(bufs[0], code), pointer(bufs[1], code)
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        axes = outer + lead
        last = _HEADER + axes * _AXIS
        pad, stride, step = plan[last + P.PAD], plan[last + P.WINDOW_STRIDE], plan[last + P.OUTPUT_STRIDE]
        kernel = min(plan[last + P.KERNEL], stride)
        source_step, source_lane = plan[last + P.SOURCE_STRIDE], plan[P.SOURCE_LANE]
        low, high = interior(plan, last)
        divisor = plan[P.DIVISOR]
        # x + -0.0 is x; x + 0.0 is, too, but for -0.0
        other = real(0.0) if plan[P.SHARES] == 3 else real(-0.0)
        group, stream, together = plan[P.GROUP_AXIS], plan[P.STREAM] != 0, plan[P.DENSE] != 0
        axis = _HEADER + max(group, 0) * _AXIS
        for e in range(plan[P.LANE_BLOCK] if not together else 0):
            line[e] = 0
        seek(plan, c, begin)
        for _ in range(begin, end):
            lane = c[axes + 1] * plan[P.LANE_BLOCK]
            lanes = min(plan[P.LANE_BLOCK], plan[P.LANES] - lane)
            column = c[axes] * plan[P.BLOCK]
            outputs = min(plan[P.BLOCK], plan[last + P.OUTPUT] - column)
            place = column + pad
            w = place // stride
            past = min((place + outputs - 1) // stride + 1, plan[last + P.SOURCE])
            first, stop = 0, 1
            if group >= 0:
                first = c[group]
                stop = min(first + plan[P.GROUP], plan[axis + P.OUTPUT])
            d = lane + column * step + offset(plan, c, axes, P.OUTPUT_STRIDE)
            to, at, pitch = y, d, plan[axis + P.OUTPUT_STRIDE]
            if stream:
                to, at, pitch = buffer, 0, outputs * lanes
            # rows that follow one another may be written with what lies behind them
            ends = at + (stop - first) * pitch if pitch == outputs * lanes else -P.FAR
            skew = (bufs[1] // size + d) % lanes_of_vector
            written = at
            # the gradients of the windows that hold the row along the axes before the last leading one
            source, held, taps = lane * source_lane + w * source_step + offset(plan, c, outer, P.SOURCE_STRIDE), True, 1
            for a in range(outer, axes - 1):
                before = _HEADER + a * _AXIS
                o, phase = window_of(plan, before, c[a])
                source += o * plan[before + P.SOURCE_STRIDE]
                held = held & (phase < plan[before + P.KERNEL]) & (o < plan[before + P.SOURCE])
                taps *= counted(plan, before, o) if divisor == 0 else 1
            # where each window gives two elements of a row no line is needed: 8 x 256 planes of 56 x 56 took 1.5 ms
            # with it, and 0.8 without
            twos = by_twos & together & (lanes == 1) & (kernel == 2) & (stride == 2) & (source_step == 1)
            twos = twos & (divisor != 0) & (place == 2 * w) & (outputs == 2 * (past - w))
            twos = twos & (past - w >= lanes_of_vector)
            down, phase = 0, 0
            if lead > 0:
                down, phase = window_of(plan, axis, first)
            r = first
            while r < stop:
                # rows that are the same
                row, many, there, number = source, 1, held, divisor
                if lead > 0:
                    row += down * plan[axis + P.SOURCE_STRIDE]
                    there = there & (phase < plan[axis + P.KERNEL]) & (down < plan[axis + P.SOURCE])
                    many = plan[axis + P.KERNEL] if phase < plan[axis + P.KERNEL] else plan[axis + P.WINDOW_STRIDE]
                    many = min(many - phase, stop - r)
                elif group >= 0:
                    row += (r - first) * plan[axis + P.SOURCE_STRIDE]
                o = past if twos else w
                while there & (o < past):
                    # windows inside the borders have the same divisor
                    run = past - o
                    if divisor == 0:
                        run = min(run, high - o) if (o >= low) & (o < high) else 1
                        number = taps * counted(plan, last, o) * (counted(plan, axis, down) if lead > 0 else 1)
                    before = o - w
                    share_out(
                        g, row + before * source_step, source_step, source_lane, run, lanes, real(number), other,
                        shares, before * lanes,
                    )  # fmt: skip
                    o += run
                known = past if there else w
                if there & twos:
                    rows_of_twos(g, row, to, at, pitch, many, past - w, real(divisor), other)
                    at += many * pitch
                elif together:
                    make_line(shares, line, twice, place, outputs, w, known, kernel, stride, lanes)
                    for _ in range(many):
                        put(line, 0, to, at, outputs * lanes, ends)
                        at += pitch
                else:
                    for _ in range(many):
                        put_lanes(
                            shares, line, to, at, lanes if stream else step, place, outputs, w, known, kernel, stride,
                            lanes,
                        )  # fmt: skip
                        at += pitch
                r += many
                phase += many
                if (lead > 0) & (phase >= plan[axis + P.WINDOW_STRIDE]):
                    down, phase = down + 1, 0
                if stream:
                    written, moved = write_past_caches(y, d, skew, buffer, written, at, r == stop)
                    d, at, ends = d + moved, at - moved, ends - moved
            advance(plan, c)
        if stream:
            fence()

    return fused_gather
