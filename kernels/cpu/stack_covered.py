"""Forward pooling of small planes that one window covers, see ``stacked``.

A vector holds a row of two planes, or of one where half a vector is too short, and rows are combined as they are read.
Then lanes are, of as many vectors as belong to a vector of outputs, in binary blocks as everywhere::

    rows of three     a0 a1 a2 .   b0 b1 b2 .     c0 c1 c2 .   d0 d1 d2 .        . is what lies beside a row
    last taps         a2 b2 c2 d2                                                taken first: no block holds them
    blocks of two     a01 . b01 .  c01 . d01 .
    windows           a01.a2  b01.b2  c01.c2  d01.d2

What lies beside a row is combined, too, and never taken.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.ahead import FAR
from fastpool.kernels.cpu.memory import address, pointer_like
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_vector_parts
from fastpool.kernels.cpu.vectors import even, load, load_halves, odd, prefetch_to_second, store
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER


def make_down(combine: Any, lift: Any, read: Any) -> Any:
    """``down(z, i, j, step, high, p)``: what ``high`` rows combine to that are ``step`` apart, below 16 of them.

    ``read(z, i, j)`` is a vector of the rows that begin at the elements ``i`` and ``j``.
    """

    def one(z, i, j, p):
        return lift(read(z, i, j), p)

    one = inlined(one, always=True)

    def two(z, i, j, step, p):
        return combine(one(z, i, j, p), one(z, i + step, j + step, p))

    two = inlined(two, always=True)

    def four(z, i, j, step, p):
        return combine(two(z, i, j, step, p), two(z, i + 2 * step, j + 2 * step, step, p))

    four = inlined(four, always=True)

    def eight(z, i, j, step, p):
        return combine(four(z, i, j, step, p), four(z, i + 4 * step, j + 4 * step, step, p))

    eight = inlined(eight, always=True)

    def below_four(s, done, z, i, j, step, high, p):
        """Joins the blocks of two rows and of one behind the ``done`` rows of ``s``, if there are any."""
        if high & 2 != 0:
            t = two(z, i + done * step, j + done * step, step, p)
            s = combine(s, t) if done > 0 else t
            done += 2
        if high & 1 != 0:
            t = one(z, i + done * step, j + done * step, p)
            s = combine(s, t) if done > 0 else t
        return s

    below_four = inlined(below_four, always=True)

    def down(z, i, j, step, high, p):
        if high >= 8:
            s = eight(z, i, j, step, p)
            if high & 4 != 0:
                s = combine(s, four(z, i + 8 * step, j + 8 * step, step, p))
            return below_four(s, high & 12, z, i, j, step, high, p)
        if high >= 4:
            return below_four(four(z, i, j, step, p), 4, z, i, j, step, high, p)
        return below_four(one(z, i, j, p), 0, z, i, j, step, high, p)

    return inlined(down)


def make_across(lanes: int, combine: Any) -> Any:
    """``across(t, many, width)``: of ``many`` vectors of planes, ``many`` lanes each, the vector of their windows.

    Of a plane the first ``width`` lanes are taps. Writes the ``2 * many + 8`` vectors from the first one on.
    """

    def taken(t, to, many, lane):
        """That lane of each plane; half of the vectors, from place ``to`` of ``t`` on, are written on the way."""
        a = 0
        while many > 1:
            many //= 2
            if lane & 1 != 0:
                for i in range(many):
                    store(t, to + i * lanes, odd(load(t, a + 2 * i * lanes), load(t, a + (2 * i + 1) * lanes)))
            else:
                for i in range(many):
                    store(t, to + i * lanes, even(load(t, a + 2 * i * lanes), load(t, a + (2 * i + 1) * lanes)))
            a = to
            lane >>= 1
        return load(t, a)

    taken = inlined(taken)

    def across(t, many, width):
        last, spare = many * lanes, (many + 8) * lanes
        kept = 0
        while many > 1:
            if width & 1 != 0:
                # of what is left without a partner, smaller blocks come later
                store(t, last + kept * lanes, taken(t, spare, many, width - 1))
                kept += 1
            width >>= 1
            if width == 0:
                break
            many //= 2
            for i in range(many):
                a, b = load(t, 2 * i * lanes), load(t, (2 * i + 1) * lanes)
                store(t, i * lanes, combine(even(a, b), odd(a, b)))
        if width == 0:
            kept -= 1
            s = load(t, last + kept * lanes)
        else:
            s = load(t, 0)
        while kept > 0:
            kept -= 1
            s = combine(s, load(t, last + kept * lanes))
        return s

    return inlined(across)


def make_covered(variant: Variant) -> Any:
    """The function that runs the tiles of planes that one window covers."""
    assert variant.vector is not None
    lanes = vectors.lanes(variant.source)
    half = lanes // 2
    size = vectors.BYTES // lanes
    ahead = FAR // size
    lift, lower, canonical = make_vector_parts(variant)
    combine = inlined(variant.vector.combine)

    def whole_vector(z, i, j):
        return load(z, i)

    def two_halves(z, i, j):
        return load_halves(z, i, j)

    of_one = make_down(combine, lift, inlined(whole_vector, always=True))
    of_two = make_down(combine, lift, inlined(two_halves, always=True))
    across = make_across(lanes, combine)

    def copied(z, x, at, apart, step, high, width, pitch, planes):
        """Copies planes, element by element, into rows of ``pitch`` places."""
        for g in range(planes):
            for r in range(high):
                for o in range(width):
                    z[(g * high + r) * pitch + o] = x[at + g * apart + r * step + o]

    copied = inlined(copied)

    def covered(plan, c, begin, end, t, x, y, spare, divisor, p):
        """Runs the tiles ``begin .. end - 1``: a tile is some planes."""
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        last = _HEADER + (outer + lead) * _AXIS
        near, at_group = last - _AXIS, _HEADER + (outer - 1) * _AXIS
        width, high, step = plan[last + P.KERNEL], 1, 0
        if lead > 0:
            high, step = plan[near + P.KERNEL], plan[near + P.SOURCE_STRIDE]
        apart, apart_out = plan[at_group + P.SOURCE_STRIDE], plan[at_group + P.OUTPUT_STRIDE]
        many = half if width <= half else lanes
        copy = pointer_like(address(t) + (2 * many + 8) * lanes * size, x)
        seek(plan, c, begin)
        for _ in range(begin, end):
            at, d = offset(plan, c, outer, P.SOURCE_STRIDE), offset(plan, c, outer, P.OUTPUT_STRIDE)
            planes = min(plan[at_group + P.BY], plan[at_group + P.OUTPUT] - c[outer - 1])
            done = 0
            while done < planes:
                # the last vector begins earlier, so that it ends with the tile
                first = max(min(done, planes - lanes), 0)
                here = min(planes - first, lanes)
                i = at + first * apart
                z, down, far = x, step, apart
                reach = max(i, i + (here - 1) * apart) + max((high - 1) * step, 0) + many
                if (here < lanes) | (reach > plan[P.SOURCE_END]):
                    copied(copy, x, i, apart, step, high, width, many, here)
                    z, down, far, i = copy, many, high * many, 0
                if many < lanes:
                    for g in range(many):
                        prefetch_to_second(z, i + ahead)
                        prefetch_to_second(z, i + far + ahead)
                        store(t, g * lanes, of_two(z, i, i + far, down, high, p))
                        i += 2 * far
                else:
                    for g in range(many):
                        prefetch_to_second(z, i + ahead)
                        store(t, g * lanes, of_one(z, i, i, down, high, p))
                        i += far
                v = canonical(lower(across(t, many, width), divisor, p))
                if (apart_out == 1) & (here == lanes):
                    store(y, d + first, v)
                else:
                    store(spare, 0, v)
                    for e in range(here):
                        y[d + (first + e) * apart_out] = spare[e]
                done = first + lanes
            advance(plan, c)

    return inlined(covered)
