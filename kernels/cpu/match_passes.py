"""The passes of ``match``: every loop over typed memory that it needs, for one element type and one type of indices.

``passes(w)`` makes the pass that the words ``w`` call for::

    MATCH_PACK   gradients and codes of rows of windows, from memory into scratch
    MATCH_NONE   sum = 0                          MATCH_TWO    sum = two taps, the earlier window first
    MATCH_ONE    sum = what one tap receives      MATCH_MORE   sum += two taps
    MATCH_WRITE  rows of x's gradient from the sums of their phases

    MATCH_LANES  the same sums, where gradients and indices lie, in x's gradient: ``match_vectors``

A tap receives a window's gradient where the window's code is the tap's; it receives 0 elsewhere, which changes no sum:
each begins at +0.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.match_vectors import make_write_lanes
from fastpool.kernels.cpu.memory import (
    CODES,
    DECODE,
    ENCODE,
    FIRST,
    OUT,
    RESULT,
    SCALARS,
    SOURCE,
    load,
    load_second,
    load_side,
    pointer,
    store,
)
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.registry import Variant


def make_match_passes(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's passes. ``digest`` stands for the sources it was made from."""
    source_code, output_code, aux_code = CODES[variant.source], CODES[variant.output], CODES[variant.aux]
    band_code, code_code, int64_code = CODES[variant.state[0]], CODES["i32"], CODES["i64"]
    decode, encode = DECODE[variant.source], ENCODE[variant.output]
    zero = SCALARS[variant.state[0]](0)
    number = SCALARS["i32"]
    if variant.aux == "i64":

        def code(index, origin, most):
            moved = index - origin
            return number(moved) if (index >= 0) & (moved >= 0) & (moved <= most) else number(-1)

    else:

        def code(index, origin, most):
            return number(index)

    code = inlined(code)

    def taken(codes, band, e, tap):
        g = load_second(band, e)
        return g if load_side(codes, e) == tap else zero

    taken = inlined(taken)
    write_lanes = make_write_lanes(variant)

    def passes(w):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        op = w[W.OP]
        sums, band, codes = (
            pointer(w[W.STATES], band_code),
            pointer(w[W.STATES2], band_code),
            pointer(w[W.ROWS], code_code),
        )
        a, b, out, count = w[W.A], w[W.B], w[W.OUT], w[W.COUNT]
        one, two = number(w[W.AMOUNT]), number(w[W.C])
        if op == W.MATCH_NONE:
            for e in range(count):
                store(sums, out + e, zero, FIRST)
        elif op == W.MATCH_ONE:
            for e in range(count):
                store(sums, out + e, zero + taken(codes, band, a + e, one), FIRST)
        elif op == W.MATCH_TWO:
            for e in range(count):
                s = zero + taken(codes, band, a + e, one)
                store(sums, out + e, s + taken(codes, band, b + e, two), FIRST)
        elif op == W.MATCH_MORE:
            for e in range(count):
                s = load(sums, out + e, FIRST) + taken(codes, band, a + e, one)
                store(sums, out + e, s + taken(codes, band, b + e, two), FIRST)
        elif op == W.MATCH_PACK:
            g, indices = pointer(w[W.X], source_code), pointer(w[W.AUX], aux_code)
            step, lane_step, i_step, i_lane = w[W.STEP], w[W.LANE_STEP], w[W.I_STEP], w[W.I_LANE]
            index_step, index_lane, most, lanes = w[W.INDEX_STEP], w[W.INDEX_LANE], w[W.TWO], w[W.LANES]
            for row in range(w[W.ROWS_COUNT]):
                u, i, o = a + row * w[W.X_GROUP], w[W.I] + row * w[W.I_GROUP], out + row * w[W.PITCH]
                origin = w[W.INDEX] + row * w[W.INDEX_GROUP]
                if (lanes == 1) & (step == 1) & (i_step == 1):
                    for k in range(count):
                        store(band, o + k, decode(load(g, u + k, SOURCE)), OUT)
                    for k in range(count):
                        store(codes, o + k, code(load(indices, i + k, SOURCE), origin + k * index_step, most), RESULT)
                elif (lane_step == 1) & (i_lane == 1):
                    for k in range(count):
                        v, j, q, start = u + k * step, i + k * i_step, o + k * b, origin + k * index_step
                        for e in range(lanes):
                            store(band, q + e, decode(load(g, v + e, SOURCE)), OUT)
                        for e in range(lanes):
                            index = load(indices, j + e, SOURCE)
                            store(codes, q + e, code(index, start + e * index_lane, most), RESULT)
                else:
                    for k in range(count):
                        for e in range(lanes):
                            start = origin + k * index_step + e * index_lane
                            index = load(indices, i + k * i_step + e * i_lane, SOURCE)
                            store(band, o + k * b + e, decode(load(g, u + k * step + e * lane_step, SOURCE)), OUT)
                            store(codes, o + k * b + e, code(index, start, most), RESULT)
        elif op == W.MATCH_LANES:
            g, y, t = pointer(w[W.X], source_code), pointer(w[W.Y], output_code), pointer(w[W.AUX], aux_code)
            write_lanes(g, y, t, pointer(w[W.C], int64_code), pointer(w[W.ROWS], int64_code), w)
        else:
            y = pointer(w[W.Y], output_code)
            d_step, d_lane, phases, skip = w[W.D_STEP], w[W.D_LANE], w[W.KERNEL], w[W.FIRST]
            size, lanes, row_phases = w[W.STEP], w[W.LANES], w[W.AMOUNT]
            # rows in the order of memory: by phase, every second one, took 3.4 ms instead of 2.7
            for row in range(w[W.ROWS_COUNT]):
                cell, phase = (row + w[W.C]) // row_phases, (row + w[W.C]) % row_phases
                s, d = a + cell * w[W.PITCH] + phase * phases * size, w[W.D] + row * w[W.D_GROUP]
                if (lanes == 1) & (d_step == 1) & (phases == 1):
                    for k in range(count):
                        store(y, d + k, encode(load(sums, s + k, SOURCE)), RESULT)
                elif (lanes == 1) & (d_step == 1) & (phases == 2):
                    # both phases in one loop: their vectors are interleaved instead of written element by element
                    if skip == 1:
                        store(y, d, encode(load(sums, s + size, SOURCE)), RESULT)
                    pairs = (count - skip) // 2
                    for k in range(pairs):
                        store(y, d + skip + 2 * k, encode(load(sums, s + skip + k, SOURCE)), RESULT)
                        store(y, d + skip + 2 * k + 1, encode(load(sums, s + size + skip + k, SOURCE)), RESULT)
                    if skip + 2 * pairs < count:
                        store(y, d + count - 1, encode(load(sums, s + skip + pairs, SOURCE)), RESULT)
                else:
                    for turn in range(phases):
                        # the first position of this phase, and its cell
                        k, first = turn - skip, 0
                        if k < 0:
                            k, first = k + phases, 1
                        at = s + turn * size + first * b
                        if k < count:
                            many = (count - 1 - k) // phases + 1
                            if (lanes > 1) & (d_lane == 1):
                                for m in range(many):
                                    q = d + (k + m * phases) * d_step
                                    for e in range(lanes):
                                        store(y, q + e, encode(load(sums, at + m * b + e, SOURCE)), RESULT)
                            else:
                                for m in range(many):
                                    q = d + (k + m * phases) * d_step
                                    for e in range(lanes):
                                        v = encode(load(sums, at + m * b + e, SOURCE))
                                        store(y, q + e * d_lane, v, RESULT)

    return passes
