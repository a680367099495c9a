r"""Any window over any layout, a thread for each element of the result: what no other form takes.

The plan block (see ``fastpool.kernels.plan``) lies in global memory. A thread visits the taps of its window with the
first spatial axis fastest, which is the order of summation: blocks of a power of two taps are combined as they are
completed, and those of an axis from the left when its last tap is there::

    taps of an axis    0   1   2   3   4   5   6            the stack after each:  1 | 2 | 2 1 | 4 | 4 1 | 4 2 | 4 2 1
                       \---/   \---/   \---/   |
                         \-------/       |     |            then (4 . 2) . 1
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels import plan as P
from fastpool.kernels.cuda.memory import DECODE, ENCODE, SCALARS, divide, load, store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import make_parts, shares
from fastpool.kernels.cuda.thread import make_states
from fastpool.kernels.cuda.walk import make_walk
from fastpool.kernels.registry import Variant

MOST_AXES = 32
"""Axes of an array, at most."""

MOST_BLOCKS = 64 + MOST_AXES
"""Blocks of taps on the stack, at most: windows have fewer than 2**63 taps."""


def make_general(variant: Variant, number: Any) -> Any:
    """The kernel of a variant that is no scatter, with indices of type ``number``.

    ``kernel(plan, source, output, aux, p, numbers)`` writes the first ``numbers[0]`` elements of the output.
    """
    nothing, leaf, combine, moved, finish, place = make_parts(variant)
    read, counted, inside, windows = make_walk(number)
    get, put = make_states(variant)
    pair, backward = len(variant.state) == 2, variant.role == "gather"
    numbered, sharing = variant.role == "index", shares(variant)
    counts_taps = (variant.reduction.counted or pair) and not backward and not numbered
    reads_aux = variant.role == "weigh" or (backward and variant.reduction.push_reads_x)
    repeatable = variant.reduction.repeatable
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]
    blocks = 1 if repeatable else MOST_BLOCKS

    def kernel(plan, source, output, aux, p, numbers):
        t = number(number(cuda.blockIdx.x) * number(cuda.blockDim.x) + number(cuda.threadIdx.x))
        if t >= number(numbers[0]):
            return
        first = cuda.local.array(MOST_AXES, number)
        many = cuda.local.array(MOST_AXES, number)
        step = cuda.local.array(MOST_AXES, number)
        done = cuda.local.array(MOST_AXES, number)
        values = cuda.local.array(blocks, state_type)
        counts = cuda.local.array(blocks, count_type)
        outer, spatial = read(plan, P.OUTER), read(plan, P.SPATIAL)
        x, d, i, flat = number(0), number(0), number(0), number(0)
        fixed = load(plan, P.DIVISOR)
        divisor, on_input = np.int64(1), np.int64(1)
        rest, empty = t, False
        for back in range(outer + spatial):
            a = number(outer + spatial - 1 - back)
            at = number(P.HEADER + a * P.AXIS)
            size = read(plan, at + P.OUTPUT)
            quotient = divide(rest, size)
            c = number(rest - quotient * size)
            rest = quotient
            d = number(d + c * read(plan, at + P.OUTPUT_STRIDE))
            i = number(i + c * read(plan, at + P.AUX_STRIDE))
            if a < outer:
                x = number(x + c * read(plan, at + P.SOURCE_STRIDE))
                flat = number(flat + c * read(plan, at + P.INDEX_UNIT))
            else:
                s = number(a - outer)
                done[s] = number(0)
                if backward:
                    first[s], many[s], step[s] = windows(plan, at, c)
                    empty = empty | (many[s] == 0)
                else:
                    first[s] = number(c * read(plan, at + P.WINDOW_STRIDE) - read(plan, at + P.PAD))
                    many[s] = read(plan, at + P.KERNEL)
                    step[s] = read(plan, at + P.DILATION)
                    flat = number(flat + first[s] * read(plan, at + P.INDEX_UNIT))
                    if counts_taps:
                        divisor *= counted(plan, at, c)
                        on_input *= inside(plan, at, c)
        if fixed != 0:
            divisor, on_input = fixed, np.int64(-1)
        state = nothing()
        top = 0
        while not empty:
            here, tap, within, share = x, number(0), True, np.int64(1)
            for a in range(spatial):
                at = number(P.HEADER + (outer + a) * P.AXIS)
                position = number(first[a] + done[a] * step[a])
                within = within & (position >= 0) & (position < read(plan, at + P.SOURCE))
                here = number(here + position * read(plan, at + P.SOURCE_STRIDE))
                if numbered:
                    tap = number(tap + done[a] * read(plan, at + P.JUMP))
                if sharing and within:
                    share *= counted(plan, at, position)
            s = nothing()
            if within:
                s = moved(leaf(load(source, here), fixed if fixed != 0 else share, p), tap)
            if repeatable and within:
                state = combine(state, s)
            a = number(0)
            while a < spatial:
                if not repeatable:
                    # as many blocks end here as the number of taps before has ones at its end
                    ends = done[a]
                    while ends & 1 != 0:
                        top -= 1
                        s = combine(get(values, counts, top), s)
                        ends = number(ends >> 1)
                    put(values, counts, top, s)
                    top += 1
                done[a] = number(done[a] + 1)
                if done[a] < many[a]:
                    break
                done[a] = number(0)
                if not repeatable:
                    left, ends = number(0), many[a]
                    while ends != 0:
                        left = number(left + (ends & 1))
                        ends = number(ends >> 1)
                    top -= left
                    s = get(values, counts, top)
                    for b in range(1, left):
                        s = combine(s, get(values, counts, top + b))
                a = number(a + 1)
            if a == spatial:
                if not repeatable:
                    state = s
                break
        index = np.int64(flat)
        if numbered and load(plan, P.DECODE) != 0:
            index, state = decoded(plan, state, index, first, outer, spatial)
        given = load(aux, i) if reads_aux else 0
        store(output, d, finish(state, divisor, on_input, given, p))
        if numbered:
            store(aux, i, place(state, index))

    if numbered:
        none = variant.reduction.identity[1]

        def decode(plan, state, flat, first, outer, spatial):
            """Turns the number of a tap into its flat index."""
            if state[1] >= none:
                return flat, state
            for a in range(spatial):
                at = number(P.HEADER + (outer + a) * P.AXIS)
                turns = divide(number(state[1]), read(plan, at + P.JUMP))
                size = read(plan, at + P.KERNEL)
                j = number(turns - divide(turns, size) * size)
                flat += np.int64(j * read(plan, at + P.DILATION)) * load(plan, at + P.INDEX_UNIT)
            return flat, (state[0], count_type(0))

        decoded = device(decode)
    else:

        def as_it_is(plan, state, flat, first, outer, spatial):
            return flat, state

        decoded = device(as_it_is)
    return rebound(kernel)


def make_general_scatter(variant: Variant, number: Any) -> Any:
    """The kernel of a selection's gradient: each element adds up, in row-major order, the windows that name it.

    An index that names no tap of its own window on the input matches nowhere. ``kernel(plan, source, output, aux, p,
    numbers)`` reads gradients from ``source``, indices from ``aux``.
    """
    read, _, _, windows = make_walk(number)
    decode, encode = device(DECODE[variant.source]), device(ENCODE[variant.output])
    real, integer = SCALARS[variant.state[0]], SCALARS[variant.aux]

    def kernel(plan, source, output, aux, p, numbers):
        t = number(number(cuda.blockIdx.x) * number(cuda.blockDim.x) + number(cuda.threadIdx.x))
        if t >= number(numbers[0]):
            return
        first = cuda.local.array(MOST_AXES, number)
        many = cuda.local.array(MOST_AXES, number)
        step = cuda.local.array(MOST_AXES, number)
        done = cuda.local.array(MOST_AXES, number)
        own = cuda.local.array(MOST_AXES, number)
        outer, spatial = read(plan, P.OUTER), read(plan, P.SPATIAL)
        by_tap = read(plan, P.INDEX_KIND) == 2
        x, d, i, flat = number(0), number(0), number(0), np.int64(0)
        rest, empty = t, False
        for back in range(outer + spatial):
            a = number(outer + spatial - 1 - back)
            at = number(P.HEADER + a * P.AXIS)
            size = read(plan, at + P.OUTPUT)
            quotient = divide(rest, size)
            c = number(rest - quotient * size)
            rest = quotient
            d = number(d + c * read(plan, at + P.OUTPUT_STRIDE))
            flat += c * load(plan, at + P.INDEX_UNIT)
            if a < outer:
                x = number(x + c * read(plan, at + P.SOURCE_STRIDE))
                i = number(i + c * read(plan, at + P.AUX_STRIDE))
            else:
                s = number(a - outer)
                own[s] = c
                done[s] = number(0)
                first[s], many[s], step[s] = windows(plan, at, c)
                empty = empty | (many[s] == 0)
        total = real(0)
        while not empty:
            here, there, tap, within = x, i, np.int64(0), True
            for a in range(spatial):
                at = number(P.HEADER + (outer + a) * P.AXIS)
                window = number(first[a] + done[a] * step[a])
                within = within & (window >= 0) & (window < read(plan, at + P.SOURCE))
                here = number(here + window * read(plan, at + P.SOURCE_STRIDE))
                there = number(there + window * read(plan, at + P.AUX_STRIDE))
                moved = number(own[a] + read(plan, at + P.PAD) - window * read(plan, at + P.WINDOW_STRIDE))
                tap += np.int64(divide(moved, read(plan, at + P.DILATION))) * load(plan, at + P.JUMP)
            if within:
                named = load(aux, there)
                if named == integer(tap if by_tap else flat):
                    total = real(total + decode(load(source, here)))
            # the last axis runs fastest: windows in row-major order
            a = number(spatial - 1)
            while a >= 0:
                done[a] = number(done[a] + 1)
                if done[a] < many[a]:
                    break
                done[a] = number(0)
                a = number(a - 1)
            if a < 0:
                break
        store(output, d, encode(total))

    return rebound(kernel)
