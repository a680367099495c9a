"""The pass of ``match_lanes``, in explicit vectors of lanes: pairs of neighbouring positions of x's gradient.

A window that holds either position is read once, and its gradient is added to those whose tap it names::

    window    first tap, second tap      the taps that stand on both positions, or one that no window has
    lanes     g0 g1 g2 g3 ...            each is added to the first, the second, or neither
"""

from __future__ import annotations

import math
from typing import Any

from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.memory import SCALARS
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vectors import everywhere, load, load_beside, prefetch_to_write, store
from fastpool.kernels.reductions import pick
from fastpool.kernels.registry import Variant

WRITTEN_AHEAD = 2048
"""Bytes of the gradient of x that are asked for ahead of a store."""


def make_write_lanes(variant: Variant) -> Any:
    """The function of a run of pairs, from gradients ``g`` and indices ``t``, by the list ``c`` of their windows, to
    ``y``.

    ``steps`` has room for what lanes add to a flat index.
    """
    if variant.output not in SCALARS:

        def none(g, y, t, c, steps, w):
            # sums of halves are kept in scratch
            return

        return inlined(none)

    lanes = vectors.lanes(variant.output)
    ahead = WRITTEN_AHEAD // (vectors.BYTES // lanes)
    real = SCALARS[variant.output]
    flat = variant.aux == "i64"
    nan = real(math.nan) if variant.output[0] == "f" else real(0)

    one = real(1)

    if variant.output[0] == "f":

        def canonical(s):
            return pick(s == s, s, nan)

    elif variant.output == "b1":

        def canonical(s):
            # a gradient of True and True is True
            return pick(s != 0, one, s)

    else:

        def canonical(s):
            return s

    if variant.aux == "i64":

        def wanted(number, steps, v):
            return load_beside(steps, 0, v) + number

    else:

        def wanted(number, steps, v):
            return number

    canonical, wanted = inlined(canonical), inlined(wanted)

    def added(g, t, window, at, to, index, steps, first, second):
        """The sums of both positions, and the gradients of a window."""
        v = load(g, window[0] + at)
        took = load_beside(t, window[1] + to, v)
        first = pick(took == wanted(window[2] + index, steps, v), first + v, first)
        return first, pick(took == wanted(window[3] + index, steps, v), second + v, second)

    added = inlined(added, always=True)

    def window_of(c, at):
        return c[at], c[at + 1], c[at + 2], c[at + 3]

    window_of = inlined(window_of)

    def put(y, d, second_at, first, second):
        prefetch_to_write(y, d + ahead)
        prefetch_to_write(y, d + second_at + ahead)
        # of a single position the second one is nothing, and written over
        store(y, d + second_at, canonical(second))
        store(y, d, canonical(first))

    put = inlined(put, always=True)

    def write_lanes(g, y, t, c, steps, w):
        many, table, past, lane = w[W.AMOUNT], w[W.KERNEL], w[W.LANES] - lanes, w[W.INDEX_LANE]
        if flat:
            for e in range(lanes):
                steps[e] = e * lane
        at, to, d, index, second_at = w[W.X_GROUP], w[W.I_GROUP], w[W.OUT], w[W.INDEX], w[W.B]
        a, b = window_of(c, table), window_of(c, table + 4)
        a_next, b_next = window_of(c, table + 8), window_of(c, table + 12)
        nothing = everywhere(y, 0)
        g_step, t_step, d_step, index_step, all_lanes = w[W.STEP], w[W.I_STEP], w[W.D_STEP], w[W.INDEX_STEP], w[W.LANES]
        for _ in range(w[W.COUNT]):
            for begin in range(0, all_lanes, lanes):
                e = min(begin, past)
                here, first = index + e * lane, nothing
                second = first
                if many == 2:
                    first, second = added(g, t, a, at + e, to + e, here, steps, first, second)
                    first, second = added(g, t, b, at + e, to + e, here, steps, first, second)
                elif many == 4:
                    first, second = added(g, t, a, at + e, to + e, here, steps, first, second)
                    first, second = added(g, t, b, at + e, to + e, here, steps, first, second)
                    first, second = added(g, t, a_next, at + e, to + e, here, steps, first, second)
                    first, second = added(g, t, b_next, at + e, to + e, here, steps, first, second)
                else:
                    for i in range(many):
                        window = window_of(c, table + 4 * i)
                        first, second = added(g, t, window, at + e, to + e, here, steps, first, second)
                put(y, d + e, second_at, first, second)
            at += g_step
            to += t_step
            d += d_step
            index += index_step

    return inlined(write_lanes)
