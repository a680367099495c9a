"""Rows of windows that share no element, three to eight taps of each, for ``fused``: as many vectors as a window has
taps are read for a vector of outputs, and taken apart into first taps, second taps, and so on.

Of even numbers of taps pairs are combined first, which are binary blocks of two::

    four taps    a0 a1 a2 a3 b0 b1 b2 b3 ...    pairs    a01 a23 b01 b23 ...    windows    a01.a23 b01.b23 ...

Taps are combined in binary blocks, as everywhere. No window reaches beyond its row.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import AHEAD
from fastpool.kernels.cpu.fused_inside import make_finish
from fastpool.kernels.cpu.memory import address
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_vector_parts
from fastpool.kernels.cpu.vectors import even, load, odd, prefetch, store, store_past_cache, taken_apart
from fastpool.kernels.registry import Variant


def make_window(variant: Variant, combine: Any) -> Any:
    """``window(x, i, kernel, p)``: the windows of ``kernel`` taps that follow one another from element ``i`` on."""
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    ahead = AHEAD // size
    lift, _, _ = make_vector_parts(variant)
    combine = inlined(combine)

    def taps(x, i, p):
        prefetch(x, i + ahead)
        return lift(load(x, i), p)

    taps = inlined(taps, always=True)

    def halved(a, b):
        return combine(even(a, b), odd(a, b))

    halved = inlined(halved, always=True)

    def two(x, i, p):
        return halved(taps(x, i, p), taps(x, i + lanes, p))

    two = inlined(two, always=True)

    def four(x, i, p):
        return halved(two(x, i, p), two(x, i + 2 * lanes, p))

    four = inlined(four, always=True)

    def eight(x, i, p):
        return halved(four(x, i, p), four(x, i + 4 * lanes, p))

    eight = inlined(eight, always=True)

    def of_three(a, b, c):
        t = taken_apart((a, b, c))
        return combine(combine(t[0], t[1]), t[2])

    of_three = inlined(of_three, always=True)

    def five(x, i, p):
        a, b, c = taps(x, i, p), taps(x, i + lanes, p), taps(x, i + 2 * lanes, p)
        t = taken_apart((a, b, c, taps(x, i + 3 * lanes, p), taps(x, i + 4 * lanes, p)))
        return combine(combine(combine(t[0], t[1]), combine(t[2], t[3])), t[4])

    five = inlined(five, always=True)

    def seven(x, i, p):
        a, b, c = taps(x, i, p), taps(x, i + lanes, p), taps(x, i + 2 * lanes, p)
        d, e, f = taps(x, i + 3 * lanes, p), taps(x, i + 4 * lanes, p), taps(x, i + 5 * lanes, p)
        t = taken_apart((a, b, c, d, e, f, taps(x, i + 6 * lanes, p)))
        four = combine(combine(t[0], t[1]), combine(t[2], t[3]))
        return combine(combine(four, combine(t[4], t[5])), t[6])

    seven = inlined(seven, always=True)

    if size < P.WIDE:

        def window(x, i, kernel, p):
            return four(x, i, p) if kernel == 4 else eight(x, i, p)

    else:

        def window(x, i, kernel, p):
            if kernel == 3:
                return of_three(taps(x, i, p), taps(x, i + lanes, p), taps(x, i + 2 * lanes, p))
            if kernel == 4:
                return four(x, i, p)
            if kernel == 5:
                return five(x, i, p)
            if kernel == 6:
                return of_three(two(x, i, p), two(x, i + 2 * lanes, p), two(x, i + 4 * lanes, p))
            return seven(x, i, p) if kernel == 7 else eight(x, i, p)

    return inlined(window, always=True)


def make_apart(variant: Variant) -> Any:
    """The function of a row, or of a part of one, of outputs."""
    assert variant.vector is not None
    lanes = vectors.lanes(variant.source)
    size = vectors.BYTES // lanes
    window = make_window(variant, variant.vector.combine)
    finish = make_finish(variant, False)

    def apart(x, q, y, d, outputs, stream, kernel, divisor, p, spare):
        """``outputs`` from element ``d`` on, whose windows begin at element ``q``; a row has more than a vector.

        The last vector begins earlier, so that it ends with the row. Around the caches whole vectors are written.
        """
        head = 0
        if stream:
            head = (lanes - (address(y) // size + d) % lanes) % lanes
        o = 0
        while o < outputs:
            at = min(o, outputs - lanes)
            v = finish(window(x, q + kernel * at, kernel, p), divisor, p)
            if (not stream) & (at >= 0):
                store(y, d + at, v)
                o += lanes
            elif stream & (o >= head) & (o == at):
                store_past_cache(y, d + o, v)
                o += lanes
            else:
                past = head if (o < head) & (head < outputs) else outputs
                store(spare, 0, v)
                for e in range(o, past):
                    y[d + e] = spare[e - at]
                o = past

    return inlined(apart)
