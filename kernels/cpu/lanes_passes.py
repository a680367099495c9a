"""The pass of ``fused_lanes``: the outputs of a run, from its list of taps, by vectors of lanes.

``fused_lanes_pass(w)`` makes two vectors at a time, of neighbouring outputs, so that what a tap costs is shared; where
one output is left, of that one. The last vector of an output begins earlier, and makes some lanes again, so that
nothing is written beside them. Reads the taps that the words ``A`` and ``KERNEL`` tell; writes outputs and indices.
"""

from __future__ import annotations

import math
from typing import Any

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.ahead import FAR
from fastpool.kernels.cpu.memory import CODES, SCALARS, as_float, pointer, pointer_like
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import (
    any_of,
    either_nan,
    integers,
    larger_unsigned,
    load,
    marked,
    none,
    prefetch_to_second,
    signed,
    store,
    store_as,
    store_counted,
)
from fastpool.kernels.elements import BITS
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant

_INT64, _INT8 = CODES["i64"], CODES["i8"]

MANY, MANY_TAPS = 8, 16
"""Vectors of lanes, and taps, from which on one vector more is made, so that all but two begin where vectors of memory
do: a load from two lines of the cache costs as much as two. 5x5 windows of 256 lanes took 0.73 ms instead of 0.62, 3x3
windows of 192 no longer than so."""


def make_fused_lanes_passes(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's pass. ``digest`` stands for the sources that it was made from."""
    reduction = variant.across
    assert reduction is not None
    half = variant.half
    source = BITS[half][0] if half else variant.source
    code, aux_code = CODES[source], CODES[variant.aux]
    lanes = vectors.lanes(source)
    size = vectors.BYTES // lanes
    real = SCALARS[source]
    identity = reduction.identity[0]
    floats, indexed = source[0] == "f", variant.role == "index"
    may_fail = floats or (indexed and half != "")
    # bytes cannot hold what an index gains by a tap: they number taps, which are looked up
    looked_up = indexed and variant.aux == "i64" and lanes == vectors.BYTES
    lower_one = inlined(reduction.lower)

    if floats:

        def parameter(bits):
            return real(as_float(bits))

    else:

        def parameter(bits):
            return real(bits)

    parameter = inlined(parameter)

    if not indexed:

        def put_indices(indices, i, numbers, index, step, table, spare):
            return

    elif variant.aux == "u8":

        def put_indices(indices, i, numbers, index, step, table, spare):
            store_as(indices, i, numbers)

    elif looked_up:

        def put_indices(indices, i, numbers, index, step, table, spare):
            store(spare, 0, numbers)
            for e in range(lanes):
                indices[i + e] = index + e * step + table[2 * spare[e] + 1]

    else:

        def put_indices(indices, i, numbers, index, step, table, spare):
            store_counted(indices, i, numbers, index, step)

    put_indices = inlined(put_indices)
    if half:
        first_pair, last_pair = make_half_pairs(variant, indexed)
    else:
        first_pair, last_pair = (make_pair(variant, real, looked_up, careful) for careful in (False, True))

    def fused_lanes_pass(w):
        """Makes the outputs of a run."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        table = pointer(w[W.A], _INT64)
        x, y, indices = pointer(w[W.X], code), pointer(w[W.Y], code), pointer(w[W.AUX], aux_code)
        spare = pointer(w[W.ROWS], _INT8)
        p = parameter(w[W.PARAM])
        count, taps, many, last = w[W.COUNT], w[W.KERNEL], w[W.LANES], w[W.LANES] - lanes
        first_ones, far = w[W.AMOUNT], w[W.TWO] != 0
        at, d, i, index = 0, w[W.D], w[W.I], w[W.INDEX]
        lane = w[W.INDEX_LANE]
        if taps == 0:
            nothing = lower_one(real(identity), real(1), 1, p)
            for o in range(count):
                for e in range(many):
                    y[d + o * w[W.D_STEP] + e] = nothing
                    if indexed:
                        indices[i + o * w[W.I_STEP] + e] = -1
            return
        # vectors that lie on one line of the cache, but for the first one and the last
        begins = 0
        if (taps >= MANY_TAPS) & (many >= MANY * lanes) & (w[W.STEP] % lanes == 0):
            begins = -(table[0] // size % lanes)
        for o in range(0, count, 2):
            both = o + 1 < count
            for e in range(begins, many, lanes if both else 2 * lanes):
                a = max(min(e, last), 0)
                to_x = to_d = to_i = min(e + lanes, last) - a
                to_index = to_x * lane
                if both:
                    to_x, to_d, to_i, to_index = w[W.STEP], w[W.D_STEP], w[W.I_STEP], w[W.INDEX_STEP]
                alone = first_ones if both else taps
                s, n, t, m, bad = first_pair(table, taps, alone, far, at + a, at + a + to_x, p, x)
                if may_fail:
                    if any_of(bad):
                        s, n, t, m, bad = last_pair(table, taps, alone, far, at + a, at + a + to_x, p, x)
                store(y, d + a, s)
                store(y, d + a + to_d, t)
                put_indices(indices, i + a, n, index + a * lane, lane, table, spare)
                put_indices(indices, i + a + to_i, m, index + a * lane + to_index, lane, table, spare)
            at += 2 * w[W.STEP]
            d += 2 * w[W.D_STEP]
            i += 2 * w[W.I_STEP]
            index += 2 * w[W.INDEX_STEP]

    return fused_lanes_pass


def elements_ahead(variant: Variant) -> int:
    """How many elements lie ahead of a load that are asked for."""
    return FAR * vectors.lanes(BITS[variant.half][0] if variant.half else variant.source) // vectors.BYTES


def make_pair(variant: Variant, real: Any, looked_up: bool, careful: bool) -> Any:
    """The function of two vectors of outputs, at the places ``a`` and ``b`` after the taps' addresses.

    Returns for each the outputs and the taps' numbers, and where NaN was seen; without ``careful`` all else is as if
    there were none.
    """
    reduction = variant.across
    assert reduction is not None
    floats, indexed = real(0).dtype.kind == "f", variant.role == "index"
    nan = real(math.nan) if floats else real(0)

    if floats:

        def lift(x, p):
            return signed(x, p)

        def lower(s, p):
            v = signed(s, p)
            return pick(v == v, v, nan) if careful else v

    else:
        lift_one, lower_one = inlined(reduction.lift), inlined(reduction.lower)

        def lift(x, p):
            return lift_one(x, p)

        def lower(s, p):
            return lower_one(s, real(1), 1, p)

    def take(s, n, t, number):
        chosen = (t > s) | (t != t) if careful and floats else t > s
        return pick(chosen, t, s), pick(chosen, number, n)

    def join(s, t):
        return pick((s > t) | (s != s) if careful and floats else s > t, s, t)

    if floats and not careful:

        def watch(bad, a, b):
            return bad | either_nan(a, b)

    else:

        def watch(bad, a, b):
            return bad

    lift, lower, watch, take, join = map(_always, (lift, lower, watch, take, join))

    if not indexed:
        return make_sharing_pair(variant, lift, lower, watch, join)

    ahead = elements_ahead(variant)

    def pair(table, taps, alone, far, a, b, p, like):
        x = pointer_like(table[0], like)
        s, t = load(x, a), load(x, b)
        bad = watch(none(s), s, t)
        s, t = lift(s, p), lift(t, p)
        n = integers(s, 0 if looked_up else table[1])
        m = n
        for k in range(1, taps):
            x = pointer_like(table[2 * k], like)
            number = integers(s, k if looked_up else table[2 * k + 1])
            if far:
                prefetch_to_second(x, a + ahead)
                prefetch_to_second(x, b + ahead)
            u, v = load(x, a), load(x, b)
            bad = watch(bad, u, v)
            s, n = take(s, n, lift(u, p), number)
            t, m = take(t, m, lift(v, p), number)
        return lower(s, p), n, lower(t, p), m, bad

    return inlined(pair, always=True)


def make_sharing_pair(variant: Variant, lift: Any, lower: Any, watch: Any, join: Any) -> Any:
    """The function of two vectors of outputs without numbers: taps that both have are taken once.

    ::

        list          0 1 2 3 4 5 6 7 8       3x3 windows, one apart, of which each column is three taps
        first         - - - = = = = = =       alone the first ones of the list, then those that are shared
        second              = = = = = = + + +     which are the last ones of the other's list, and its last ones alone

    With ``far`` what lies ahead is asked for: 8 images of 112 x 112 by windows of 3x3 a step of 2 apart took 1.24 ms,
    so 0.80. Windows of 2x2, which share nothing, are written out: in a loop their four taps took 27 cycles in a cache.
    """
    ahead = elements_ahead(variant)

    def pair_of_four(table, far, a, b, p, like):
        x0, x1 = pointer_like(table[0], like), pointer_like(table[2], like)
        x2, x3 = pointer_like(table[4], like), pointer_like(table[6], like)
        if far:
            prefetch_to_second(x0, a + ahead)
            prefetch_to_second(x1, a + ahead)
            prefetch_to_second(x2, a + ahead)
            prefetch_to_second(x3, a + ahead)
            prefetch_to_second(x0, b + ahead)
            prefetch_to_second(x1, b + ahead)
            prefetch_to_second(x2, b + ahead)
            prefetch_to_second(x3, b + ahead)
        a0, a1, a2, a3 = load(x0, a), load(x1, a), load(x2, a), load(x3, a)
        b0, b1, b2, b3 = load(x0, b), load(x1, b), load(x2, b), load(x3, b)
        bad = watch(watch(watch(watch(none(a0), a0, b0), a1, b1), a2, b2), a3, b3)
        s = join(join(join(lift(a0, p), lift(a1, p)), lift(a2, p)), lift(a3, p))
        t = join(join(join(lift(b0, p), lift(b1, p)), lift(b2, p)), lift(b3, p))
        u, v = lower(s, p), lower(t, p)
        return u, u, v, u, bad

    pair_of_four = _always(pair_of_four)

    def pair(table, taps, alone, far, a, b, p, like):
        if (taps == 4) & (alone == 4):
            return pair_of_four(table, far, a, b, p, like)
        ends = taps - alone
        x, z = pointer_like(table[0], like), pointer_like(table[2 * ends], like)
        u, v = load(x, a), load(z, b)
        bad = watch(none(u), u, v)
        s, t = lift(u, p), lift(v, p)
        for k in range(1, alone):
            x, z = pointer_like(table[2 * k], like), pointer_like(table[2 * (ends + k)], like)
            u, v = load(x, a), load(z, b)
            if far:
                prefetch_to_second(x, a + ahead)
                prefetch_to_second(z, b + ahead)
            bad = watch(bad, u, v)
            s, t = join(s, lift(u, p)), join(t, lift(v, p))
        if alone < taps:
            x = pointer_like(table[2 * alone], like)
            u = load(x, a)
            bad = watch(bad, u, u)
            m = lift(u, p)
            for k in range(alone + 1, taps):
                x = pointer_like(table[2 * k], like)
                u = load(x, a)
                if far:
                    prefetch_to_second(x, a + ahead)
                bad = watch(bad, u, u)
                m = join(m, lift(u, p))
            s, t = join(s, m), join(m, t)
        u, v = lower(s, p), lower(t, p)
        return u, u, v, u, bad

    return _always(pair)


def make_half_pairs(variant: Variant, indexed: bool) -> tuple[Any, Any]:
    """The same for floats of 16 bits, by their bits as integers: the function, and the one for where that one fails.

    The largest float is the largest integer, if that is not negative, else the least integer; the smallest float is the
    largest integer without a sign, if that is negative, else the least. So three comparisons, and none for NaN, find
    both: keys take seven. The first tap that has these bits is the one that was taken, unless there are zeros of both
    signs, which are equal, or NaN.
    """
    _, bits, infinity, not_a_number = BITS[variant.half]
    sign, rest, zero = bits - 1, (1 << (bits - 1)) - 1, -1 << (bits - 1)

    def lift(x, p):
        return x, x, x

    def join(s, t):
        return pick(s[0] > t[0], s[0], t[0]), larger_unsigned(s[1], t[1]), pick(t[2] > s[2], s[2], t[2])

    def value(s, p):
        largest, without_sign, least = s
        r = largest ^ ((largest ^ without_sign) & p)
        return pick((r ^ p) >= 0, r, least), (largest > infinity) | ((without_sign & rest) > infinity)

    def lower(s, p):
        v, bad = value(s, p)
        return pick(bad, not_a_number, v)

    def watch(bad, a, b):
        return bad

    lift, join, value, lower, watch = map(_always, (lift, join, value, lower, watch))
    if not indexed:
        pair = make_sharing_pair(variant, lift, lower, watch, join)
        return pair, pair

    ahead = elements_ahead(variant)

    def numbered_pair(table, taps, alone, far, a, b, p, like):
        x = pointer_like(table[0], like)
        s, t = lift(load(x, a), p), lift(load(x, b), p)
        for k in range(1, taps):
            x = pointer_like(table[2 * k], like)
            if far:
                prefetch_to_second(x, a + ahead)
                prefetch_to_second(x, b + ahead)
            s, t = join(s, lift(load(x, a), p)), join(t, lift(load(x, b), p))
        (u, bad_u), (v, bad_v) = value(s, p), value(t, p)
        bad = bad_u | bad_v | ((s[2] == zero) & ((u & rest) == 0)) | ((t[2] == zero) & ((v & rest) == 0))
        bad = marked(u, bad)
        n = integers(u, table[2 * taps - 1])
        m = n
        # the last one that is written is the first one that has it
        for i in range(1, taps):
            k = taps - 1 - i
            x = pointer_like(table[2 * k], like)
            number = integers(u, table[2 * k + 1])
            n = pick(load(x, a) == u, number, n)
            m = pick(load(x, b) == v, number, m)
        return u, n, v, m, bad

    def key(x, p):
        """In the order of the numbers, zeros alike, NaN above all."""
        m = x >> sign
        size = x & rest
        return pick(size > infinity, rest, ((size ^ m) + (m & 1)) ^ p)

    key = inlined(key)

    def take(s, n, x, number, p):
        k = key(x, p)
        chosen = (k > key(s, p)) | (k == rest)
        return pick(chosen, x, s), pick(chosen, number, n)

    take = inlined(take, always=True)

    def canonical(x):
        return pick((x & rest) > infinity, not_a_number, x)

    canonical = inlined(canonical)

    def careful_pair(table, taps, alone, far, a, b, p, like):
        x = pointer_like(table[0], like)
        s, t = load(x, a), load(x, b)
        n = integers(s, table[1])
        m = n
        for k in range(1, taps):
            x = pointer_like(table[2 * k], like)
            number = integers(s, table[2 * k + 1])
            s, n = take(s, n, load(x, a), number, p)
            t, m = take(t, m, load(x, b), number, p)
        return canonical(s), n, canonical(t), m, none(s)

    return inlined(numbered_pair, always=True), inlined(careful_pair, always=True)


def _always(function: Any) -> Any:
    return inlined(function, always=True)
