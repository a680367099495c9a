"""The passes of a sweep: every loop over typed memory that a reduction needs, for one role and element type.

``passes(w)`` makes the pass that the words ``w`` call for (see ``words``), on a group of rows at once::

    LEAF    row = leaf(source row)                         MERGE   row A = row A . row B
    PAIR    row = leaf(source A) . leaf(source B)          JOIN    row OUT = row A . row B
    TRIPLE  row = PAIR . leaf(source C)                    HALVE   state j = state 2j . state 2j + 1
    FOUR, SEVEN, EIGHTS   of rows C apart, EIGHTS of many  COPY    row OUT = row A
    EMIT    write(state A + k [. state B + k])             PACK    a dense row from strided memory
    SPLIT   row OUT, row C = the even, the odd of row A    SPREAD  write(state A + k), write(state B + k), in turns

where ``.`` joins, and B gains AMOUNT taps. Outputs along a row are neighbours in a vector (rows family); or the
lanes of one output are (lanes family). EMIT_SPLIT emits windows of two or three taps at stride 2 from rows A and B that
SPLIT has made.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cpu import words as W
from fastpool.kernels.cpu.memory import CODES, pointer
from fastpool.kernels.cpu.parts import Parts, make_parts, shares
from fastpool.kernels.cpu.state import (
    base_pair,
    base_single,
    bind_pair,
    bind_single,
    first_pair,
    first_single,
    inlined,
    put_pair,
    put_single,
    replace_pair,
    replace_single,
    second_pair,
    second_single,
    split_pair,
    split_single,
)
from fastpool.kernels.registry import Variant

SHORT = 64
"""Elements of a row up to which it is read and written eight at a time, where there are vectors."""


def make_passes(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's passes. ``digest`` stands for the sources it was made from."""
    rows = variant.state[0] if shares(variant) else variant.source
    return make_loops(make_parts(variant), variant.state, (variant.source, variant.output, variant.aux, rows), digest)


def make_loops(parts: Parts, state: tuple[str, ...], memory: tuple[str, str, str, str], digest: int) -> Any:
    """The loops over some parts, for the types of ``state``.

    ``memory`` are the types of what is read, of what is written, of the third buffer, and of packed rows.
    """
    source_code, output_code, aux_code, rows_code = (CODES[dtype] for dtype in memory)
    first_code, second_code = CODES[state[0]], CODES[state[-1]]
    first, second, put, replace, split, bind, base = (
        (first_pair, second_pair, put_pair, replace_pair, split_pair, bind_pair, base_pair)
        if len(state) == 2
        else (first_single, second_single, put_single, replace_single, split_single, bind_single, base_single)
    )
    nothing, leaf, join, follow, pack, write, blocks, leaf_block, eight_block, write_block = parts

    def seven(s0, s1, s2, s3, s4, s5, s6, jump):
        """Seven neighbouring taps: 4 + 2 + 1, as binary blocks go."""
        left = join(join(s0, s1, jump), join(s2, s3, jump), 2 * jump)
        return join(join(left, join(s4, s5, jump), 4 * jump), s6, 6 * jump)

    seven = inlined(seven)

    def four_rows(x, u, c, p, jump):
        """The state of four rows, ``c`` apart."""
        left = join(leaf(x, u, p), leaf(x, u + c, p), jump)
        return join(left, join(leaf(x, u + 2 * c, p), leaf(x, u + 3 * c, p), jump), 2 * jump)

    four_rows = inlined(four_rows)

    def eight_rows(x, u, c, p, jump):
        return join(four_rows(x, u, c, p, jump), four_rows(x, u + 4 * c, c, p, jump), 4 * jump)

    eight_rows = inlined(eight_rows)

    def seven_rows(x, u, c, p, jump):
        """The states of seven rows, ``c`` apart."""
        return seven(
            leaf(x, u, p),
            leaf(x, u + c, p),
            leaf(x, u + 2 * c, p),
            leaf(x, u + 3 * c, p),
            leaf(x, u + 4 * c, p),
            leaf(x, u + 5 * c, p),
            leaf(x, u + 6 * c, p),
            jump,
        )

    seven_rows = inlined(seven_rows)

    def passes(w):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        op = w[W.OP]
        t = bind(pointer(w[W.STATES], first_code), pointer(w[W.STATES2], second_code))
        a, b, out, count, amount = w[W.A], w[W.B], w[W.OUT], w[W.COUNT], w[W.AMOUNT]
        rows, pitch, lanes = w[W.ROWS_COUNT], w[W.PITCH], w[W.LANES]
        p = w[W.PARAM]
        if op == W.FILL:
            for row in range(rows):
                o = out + row * pitch
                for e in range(count):
                    put(t, o + e, nothing())
        elif op == W.MERGE:
            for e in range(count):
                replace(t, a + e, join(first(t, a + e), second(t, b + e), amount))
        elif op == W.JOIN:
            for e in range(count):
                put(t, out + e, join(first(t, a + e), second(t, b + e), amount))
        elif op <= W.EIGHTS:
            x = pointer(w[W.SOURCE], rows_code)
            c, step = w[W.C], w[W.SOURCE_PITCH]
            for row in range(rows):
                u, v, z, o = a + row * step, b + row * step, c + row * step, out + row * pitch
                if op == W.LEAF:
                    if (blocks() != 0) & (count < SHORT) & (count % 8 == 0):
                        for e in range(0, count, 8):
                            leaf_block(base(t), o + e, x, u + e, p)
                    else:
                        for e in range(count):
                            put(t, o + e, leaf(x, u + e, p))
                elif op == W.PAIR:
                    for e in range(count):
                        s = leaf(x, u + e, p)
                        put(t, o + e, follow(s, leaf(x, v + e, p), amount))
                elif op == W.TRIPLE:
                    for e in range(count):
                        s = leaf(x, u + e, p)
                        s = follow(s, leaf(x, v + e, p), amount)
                        put(t, o + e, follow(s, leaf(x, z + e, p), 2 * amount))
                elif op == W.FOUR:
                    for e in range(count):
                        put(t, o + e, four_rows(x, u + e, c, p, amount))
                elif op == W.EIGHTS:
                    # blocks of eight rows, combined as they come: pair by pair, each a call, took 2 to 3 times as long
                    slot = w[W.STEP]
                    for q in range(w[W.TWO]):
                        if (blocks() != 0) & (count % 8 == 0):
                            for e in range(0, count, 8):
                                eight_block(base(t), o + e, x, u + e, c, p)
                        else:
                            for e in range(count):
                                put(t, o + e, eight_rows(x, u + e, c, p, amount))
                        u += 8 * c
                        many, gained = q, 8 * amount
                        while many & 1:
                            o -= slot
                            for e in range(count):
                                replace(t, o + e, join(first(t, o + e), second(t, o + slot + e), gained))
                            many >>= 1
                            gained *= 2
                        o += slot
                else:
                    # global pooling of 7x7 planes ends most networks: in one pass, 27 cycles a plane instead of 90
                    for e in range(count):
                        put(t, o + e, seven_rows(x, u + e, c, p, amount))
        elif op == W.PACK:
            x = pointer(w[W.X], source_code)
            packed = pointer(w[W.ROWS], rows_code)
            step, lane_step, group = w[W.STEP], w[W.LANE_STEP], w[W.X_GROUP]
            divisor, packed_pitch = w[W.DIVISOR], w[W.SOURCE_PITCH]
            for row in range(rows):
                u, o = a + row * group, out + row * packed_pitch
                if (lanes == 1) & (step == 1):
                    for k in range(count):
                        pack(packed, o + k, x, u + k, divisor, p)
                elif lanes == 1:
                    for k in range(count):
                        pack(packed, o + k, x, u + k * step, divisor, p)
                else:
                    for k in range(count):
                        for e in range(lanes):
                            pack(packed, o + k * lanes + e, x, u + k * step + e * lane_step, divisor, p)
        elif op == W.HALVE:
            step = w[W.STEP]
            if lanes == 1:
                for k in range(count):
                    s = join(first(t, a + 2 * k * step), second(t, a + (2 * k + 1) * step), amount)
                    put(t, out + k, s)
            else:
                for k in range(count):
                    u = a + 2 * k * step
                    for e in range(lanes):
                        s = join(first(t, u + e), second(t, u + step + e), amount)
                        put(t, out + k * lanes + e, s)
        elif op == W.COPY:
            for e in range(count):
                put(t, out + e, first(t, a + e))
        elif op == W.SPLIT:
            split(t, a, out, w[W.C], count)
        else:
            y = pointer(w[W.Y], output_code)
            aux = pointer(w[W.AUX], aux_code)
            d_step, i_step, index_step = w[W.D_STEP], w[W.I_STEP], w[W.INDEX_STEP]
            divisor, inside = w[W.DIVISOR], w[W.INSIDE]
            two, step = w[W.TWO] != 0, w[W.STEP]
            unit_rows = (step == 1) & (d_step == 1) & (i_step == 1)
            taps = w[W.KERNEL]
            d_lane, i_lane, index_lane = w[W.D_LANE], w[W.I_LANE], w[W.INDEX_LANE]
            unit_lanes = (d_lane == 1) & (i_lane == 1)
            for row in range(rows):
                ar, br = a + row * pitch, b + row * pitch
                d, i = w[W.D] + row * w[W.D_GROUP], w[W.I] + row * w[W.I_GROUP]
                index = w[W.INDEX] + row * w[W.INDEX_GROUP]
                if op == W.EMIT_ROWS:
                    if (blocks() != 0) & unit_rows & (count < SHORT) & (count >= 8):
                        # the last eight may have been written before
                        for k in range(0, count - 7, 8):
                            write_block(y, d + k, base(t), ar + k, br + k, two, divisor, inside, p)
                        k = count - 8
                        write_block(y, d + k, base(t), ar + k, br + k, two, divisor, inside, p)
                        continue
                    # the loops differ in what is a constant 1: with a run-time stride none would be vectorised
                    if unit_rows & two:
                        for k in range(count):
                            s = join(first(t, ar + k), second(t, br + k), amount)
                            write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                    elif unit_rows:
                        for k in range(count):
                            s = first(t, ar + k)
                            write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                    else:
                        for k in range(count):
                            s = first(t, ar + k * step)
                            if two:
                                s = join(s, second(t, br + k * step), amount)
                            at = index + k * index_step
                            write(y, aux, d + k * d_step, i + k * i_step, s, divisor, inside, at, p)
                elif op == W.EMIT_SEVEN:
                    for k in range(count):
                        u = ar + k * step
                        s = seven(
                            first(t, u),
                            first(t, u + 1),
                            first(t, u + 2),
                            first(t, u + 3),
                            first(t, u + 4),
                            first(t, u + 5),
                            first(t, u + 6),
                            amount,
                        )
                        write(y, aux, d + k * d_step, i + k * i_step, s, divisor, inside, index + k * index_step, p)
                elif op == W.EMIT_WINDOW_ROWS:
                    for k in range(count):
                        u = ar + k
                        s = join(first(t, u), second(t, u + 1), amount)
                        s = join(s, second(t, u + 2), 2 * amount)
                        write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                elif op == W.EMIT_SPLIT:
                    if taps == 2:
                        for k in range(count):
                            s = join(first(t, ar + k), second(t, br + k), amount)
                            write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                    else:
                        for k in range(count):
                            s = join(first(t, ar + k), second(t, br + k), amount)
                            s = join(s, first(t, ar + k + 1), 2 * amount)
                            write(y, aux, d + k, i + k, s, divisor, inside, index + k * index_step, p)
                elif op == W.EMIT_SPREAD:
                    for k in range(count):
                        write(y, aux, d + 2 * k, i + 2 * k, first(t, ar + k), divisor, inside, index, p)
                        write(y, aux, d + 2 * k + 1, i + 2 * k + 1, second(t, br + k), divisor, inside, index, p)
                else:
                    for k in range(count):
                        u, v = ar + k * step * lanes, br + k * step * lanes
                        dk, ik, at = d + k * d_step, i + k * i_step, index + k * index_step
                        if op == W.EMIT_WINDOW_LANES:
                            v = u + 2 * lanes
                            if taps == 3:
                                for e in range(lanes):
                                    s = join(first(t, u + e), second(t, u + lanes + e), amount)
                                    s = join(s, second(t, v + e), 2 * amount)
                                    write(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                            else:
                                for e in range(lanes):
                                    s = join(first(t, u + e), second(t, u + lanes + e), amount)
                                    write(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                        elif unit_lanes & two:
                            for e in range(lanes):
                                s = join(first(t, u + e), second(t, v + e), amount)
                                write(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                        elif unit_lanes:
                            for e in range(lanes):
                                s = first(t, u + e)
                                write(y, aux, dk + e, ik + e, s, divisor, inside, at + e * index_lane, p)
                        else:
                            for e in range(lanes):
                                s = first(t, u + e)
                                if two:
                                    s = join(s, second(t, v + e), amount)
                                to, side = dk + e * d_lane, ik + e * i_lane
                                write(y, aux, to, side, s, divisor, inside, at + e * index_lane, p)

    return passes
