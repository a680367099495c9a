"""Forward of windows of many taps along one axis, compiled in and inside of the input: threads share a window.

A thread combines a group of ``GROUP`` taps, or one of those behind the last whole group; what they make meets in
shared memory, where groups of groups are combined, and then all that is left from the left::

    20 taps, groups of 8      [0 ... 7] [8 ... 15] 16 17 18 19      six threads
                               a         b        c  d  e  f       (a . b) . ((c . d) . (e . f))

In the order of summation. A block takes some units: a window, or one of some neighbouring lanes. Reads ``source``,
writes ``output`` and, with indices, ``aux``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.lanes import make_accesses
from fastpool.kernels.cuda.memory import SCALARS, divide, load, product, store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import count_of, make_parts
from fastpool.kernels.cuda.thread import make_states
from fastpool.kernels.cuda.trees import make_kept, make_place, make_tree
from fastpool.kernels.registry import Variant

GROUP, GROUPED = 8, 24
"""Taps that a thread combines; and groups of groups are made where there are so many for one thread."""

_INT, _LONG, _PLACE = np.int32, np.int64, np.uint32


def make_runs(
    variant: Variant, taps: int, vector: int, units: int, lanes: int, given: bool, there: tuple[bool, ...]
) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    Windows are ``taps`` long. Taps are read by vectors of ``vector``, of more than one where they are neighbours. A
    block takes ``units``, each a window of ``lanes`` lanes, of which ``VECTORS`` are groups. ``given`` and ``there``
    are as in ``unrolled``.
    """
    parts = make_parts(variant)
    nothing, leaf, combine, moved, finish, place = parts
    get, put = make_states(variant)
    read, _ = make_accesses(vector)
    coordinates = make_place(there)
    numbered, number = variant.role == "index", count_of(variant)
    groups, tails = taps // GROUP, taps % GROUP
    # groups of 8 are made by threads, of 64 and 512 by other threads, as long as there are many
    sizes = [GROUP]
    while taps // sizes[-1] >= GROUPED:
        sizes.append(sizes[-1] * GROUP)
    made2, made3 = (taps // size if size in sizes else 0 for size in (GROUP**2, GROUP**3))
    entries = groups + tails
    per = entries * lanes
    threads = units * per
    places = units * taps * lanes
    counted_places = places if len(variant.state) == 2 else 1
    source_type, state_type, count_type = (
        SCALARS[dtype] for dtype in (variant.source, variant.state[0], variant.state[-1])
    )

    def item(context, at, amount):
        return moved(leaf(context[2][_PLACE(at)], _LONG(1), context[3]), amount)

    group = make_tree(device(item), combine, GROUP, 2)
    above = make_kept(parts, get, GROUP)
    kept = make_kept(parts, get, taps, *sizes)

    def further(shared, shared_counts, thread, jump, size, many):
        """Combines ``many`` groups of ``size`` taps in each unit, of groups of an eighth."""
        step, far = _INT(size // GROUP * lanes), _INT(size // GROUP * jump)
        own = ((step, step, step), (far, far, far), shared, shared_counts)
        for turn in range(-(-units * many * lanes // threads)):
            task = _INT(thread + turn * threads)
            if task < units * many * lanes:
                unit = divide(task, _INT(many * lanes))
                rest = _INT(task - unit * (many * lanes))
                block = divide(rest, _INT(lanes))
                at = _INT(unit * (taps * lanes) + block * (size * lanes) + rest - block * lanes)
                put(shared, shared_counts, _PLACE(at), above(own, at, _INT(0)))

    further = device(further)

    def kernel(source, output, aux, p, n):
        shared = cuda.shared.array(places, state_type)
        shared_counts = cuda.shared.array(counted_places, count_type)
        raw = cuda.local.array(GROUP, source_type)
        thread = _INT(cuda.threadIdx.x)
        start = _INT(_INT(cuda.blockIdx.x) * units)
        jump = _INT(n[N.JUMP2])
        jumps, beside = (jump, jump, jump), (_INT(1), _INT(1), _INT(1))
        r = divide(thread, _INT(per))
        rest = _INT(thread - r * per)
        q = divide(rest, _INT(lanes))
        lane = _INT(rest - q * lanes)
        c, o2, o1, o0, near, far = coordinates(_INT(start + r), n)
        lane_number = _INT(c * lanes + lane)
        if (_INT(start + r) < _INT(n[N.COUNT])) & (lane_number < _INT(n[N.LANES])):
            i2, step = _INT(o2 * _INT(n[N.STRIDE2])), _INT(_INT(n[N.DILATION2]) * _INT(n[N.STEP2]))
            first = _INT(o0 * _INT(n[N.STRIDE0]) * _INT(n[N.STEP0]) + o1 * _INT(n[N.STRIDE1]) * _INT(n[N.STEP1]))
            first = _INT(first + i2 * _INT(n[N.STEP2]) + lane_number)
            base = product(near, _INT(n[N.STEP_NEAR])) + product(far, _INT(n[N.STEP_FAR])) + first
            at = _INT(q * GROUP)
            s = nothing()
            if q < groups:
                for j in range(0, GROUP, vector):
                    read(raw, j, source, base + _INT((at + j) * step))
                s = group((beside, jumps, raw, p), _INT(0), _INT(0))
            else:
                at = _INT(groups * GROUP + q - groups)
                s = leaf(load(source, base + _INT(at * step)), _LONG(1), p)
            put(shared, shared_counts, _PLACE(r * (taps * lanes) + at * lanes + lane), s)
        cuda.syncthreads()
        if made2 > 0:
            further(shared, shared_counts, thread, jump, GROUP**2, made2)
            cuda.syncthreads()
        if made3 > 0:
            further(shared, shared_counts, thread, jump, GROUP**3, made3)
            cuda.syncthreads()
        if thread < units * lanes:
            r = divide(thread, _INT(lanes))
            lane = _INT(thread - r * lanes)
            c, o2, o1, o0, near, far = coordinates(_INT(start + r), n)
            lane_number = _INT(c * lanes + lane)
            if (_INT(start + r) < _INT(n[N.COUNT])) & (lane_number < _INT(n[N.LANES])):
                apart = (_INT(lanes), _INT(lanes), _INT(lanes))
                s = kept((apart, jumps, shared, shared_counts), _INT(r * (taps * lanes) + lane), _INT(0))
                divisor, inside = number(taps), _INT(taps)
                if given:
                    divisor, inside = number(n[N.DIVISOR]), _INT(-1)
                to = product(near, _INT(n[N.OUT_NEAR])) + product(far, _INT(n[N.OUT_FAR]))
                to += product(lane_number, _INT(n[N.OUT_LANE]))
                to += _INT(o0 * _INT(n[N.OUT0]) + o1 * _INT(n[N.OUT1]) + o2 * _INT(n[N.OUT2]))
                store(output, to, finish(s, divisor, inside, 0, p))
                if numbered:
                    flat = _INT(o0 * _INT(n[N.STRIDE0])) * n[N.UNIT0] + _INT(o1 * _INT(n[N.STRIDE1])) * n[N.UNIT1]
                    flat += _INT(o2 * _INT(n[N.STRIDE2])) * n[N.UNIT2] + lane_number * n[N.UNIT_LANE]
                    flat += near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
                    by = product(near, _INT(n[N.AUX_NEAR])) + product(far, _INT(n[N.AUX_FAR]))
                    by += product(lane_number, _INT(n[N.AUX_LANE]))
                    by += _INT(o0 * _INT(n[N.AUX0]) + o1 * _INT(n[N.AUX1]) + o2 * _INT(n[N.AUX2]))
                    store(aux, by, place(s, flat))

    return rebound(kernel)
