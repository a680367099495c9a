"""Forward of larger windows that are compiled in and lie inside of the input: threads share a window by its columns.

A thread combines all taps of a vector of neighbouring elements along the first axes, without a loop (see ``trees``);
the states of these columns meet in shared memory, where they are combined along the last axis::

    rows    windows side by side along a row: neighbouring threads read neighbouring elements

              0 1 2 3 4 | 5 6 7 8 9 | ...      a unit is a piece of a row, of whole windows; of one for global pooling

    lanes   a unit is some lanes of a window: neighbouring threads take lanes, then columns

A block takes some units, each of ``elements`` states, in which the columns of a window lie ``lanes`` apart. Of many
columns, groups of ``GROUP`` are combined by a thread each first. In the order of summation. Reads ``source``, writes
``output`` and, with indices, ``aux``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import SCALARS, divide, product, store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import rebound
from fastpool.kernels.cuda.parts import count_of, make_parts
from fastpool.kernels.cuda.thread import make_states
from fastpool.kernels.cuda.trees import make_kept, make_place, make_taps, make_vectors
from fastpool.kernels.registry import Variant

GROUP, GROUPED = 8, 24
"""Columns that are combined by a thread first, where a window has so many: one thread would wait for each in turn."""

_INT, _PLACE = np.int32, np.uint32


def make_shared(
    variant: Variant,
    sizes: tuple[int, int, int],
    vector: int,
    units: int,
    elements: int,
    lanes: int,
    across: bool,
    whole: bool,
    ragged: bool,
    given: bool,
    there: tuple[bool, ...],
) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    ``sizes`` are the window's; a thread reads vectors of ``vector``. A block takes ``units`` of ``elements`` elements.
    Across lanes, ``VECTORS`` are groups of ``lanes`` lanes; else pieces of a row of ``LANES * OUTPUTS2`` outputs.
    ``whole``: the window is the whole image, whose elements are one run of memory. ``ragged``: the last
    unit of a row, or of the lanes, is not whole. ``given`` and ``there`` are as in
    ``unrolled``.
    """
    parts = make_parts(variant)
    finish, place = parts.finish, parts.place
    get, put = make_states(variant)
    vectors = make_vectors(parts, put, vector)
    put_vector = vectors.put
    taps = make_taps(parts, vectors, sizes[:2], vector)
    coordinates = make_place(there)
    k0, k1, k2 = sizes
    groups = k2 // GROUP if k2 >= GROUPED else 0
    one_group = make_kept(parts, get, GROUP)
    kept = make_kept(parts, get, k2, *([GROUP] if groups > 0 else []))
    numbered, number = variant.role == "index", count_of(variant)
    count = k0 * k1 * k2
    source_type, state_type, count_type = (
        SCALARS[dtype] for dtype in (variant.source, variant.state[0], variant.state[-1])
    )
    places = units * elements
    counted_places = places if len(variant.state) == 2 else 1
    per, made = elements // vector, elements // k2
    threads = units * per
    pitch, windows = k2 * lanes, made // lanes

    def kernel(source, output, aux, p, n):
        shared = cuda.shared.array(places, state_type)
        shared_counts = cuda.shared.array(counted_places, count_type)
        raw = cuda.local.array(vector, source_type)
        thread = _INT(cuda.threadIdx.x)
        start = _INT(_INT(cuda.blockIdx.x) * units)
        jumps = (_INT(n[N.JUMP0]), _INT(n[N.JUMP1]), _INT(n[N.JUMP2]))
        r = divide(thread, _INT(per))
        e = _INT((thread - r * per) * vector)
        # the element's column, and its lane among those of the unit
        j2 = divide(e, _INT(lanes))
        lane = _INT(e - j2 * lanes)
        c, o2, o1, o0, near, far = coordinates(_INT(start + r), n)
        i0, i1 = _INT(o0 * _INT(n[N.STRIDE0])), _INT(o1 * _INT(n[N.STRIDE1]))
        if whole:
            steps = (_INT(k1 * pitch), _INT(pitch), _INT(lanes))
            first = e
        else:
            steps = (
                _INT(_INT(n[N.DILATION0]) * _INT(n[N.STEP0])),
                _INT(_INT(n[N.DILATION1]) * _INT(n[N.STEP1])),
                _INT(_INT(n[N.DILATION2]) * _INT(n[N.STEP2])),
            )
            first = _INT(i0 * _INT(n[N.STEP0]) + i1 * _INT(n[N.STEP1]))
            if across:
                i2 = _INT(o2 * _INT(n[N.STRIDE2]))
                first = _INT(first + i2 * _INT(n[N.STEP2]) + j2 * steps[2] + c * lanes + lane)
            else:
                first = _INT(first + c * elements + e)
        active = _INT(start + r) < _INT(n[N.COUNT])
        if ragged:
            if across:
                active = active & (_INT(c * lanes + lane) < _INT(n[N.LANES]))
            else:
                active = active & (_INT(c * elements + e) < _INT(_INT(n[N.WINDOWS2]) * pitch))
        if active:
            base = product(near, _INT(n[N.STEP_NEAR])) + product(far, _INT(n[N.STEP_FAR])) + first
            s = taps((steps, jumps, raw, source, base, p), _INT(0), _INT(0))
            put_vector(shared, shared_counts, _INT(r * elements + e), s)
        cuda.syncthreads()
        own = ((_INT(lanes), _INT(lanes), _INT(lanes)), jumps, shared, shared_counts)
        if groups > 0:
            for turn in range(-(-units * made * groups // threads)):
                item = _INT(thread + turn * threads)
                if item >= units * made * groups:
                    break
                # neighbouring threads take outputs that lie side by side, then groups
                g = divide(item, _INT(units * made))
                u = _INT(item - g * (units * made))
                w = divide(u, _INT(lanes))
                at = _INT(w * pitch + u - w * lanes + g * (GROUP * lanes))
                put(shared, shared_counts, _PLACE(at), one_group(own, at, _INT(0)))
            cuda.syncthreads()
        for turn in range(-(-units * made // threads)):
            item = _INT(thread + turn * threads)
            if item >= units * made:
                break
            r = divide(item, _INT(made))
            u = _INT(item - r * made)
            w = divide(u, _INT(lanes))
            lane = _INT(u - w * lanes)
            at = _INT(r * elements + w * pitch + lane)
            c, o2, o1, o0, near, far = coordinates(_INT(start + r), n)
            active = _INT(start + r) < _INT(n[N.COUNT])
            if across:
                lane = _INT(c * lanes + lane)
                if ragged:
                    active = active & (lane < _INT(n[N.LANES]))
            else:
                o2 = _INT(c * windows + w)
                if ragged:
                    active = active & (o2 < _INT(n[N.WINDOWS2]))
            if active:
                s = kept(own, at, _INT(0))
                divisor, inside = number(count), _INT(count)
                if given:
                    divisor, inside = number(n[N.DIVISOR]), _INT(-1)
                to = (
                    product(near, _INT(n[N.OUT_NEAR]))
                    + product(far, _INT(n[N.OUT_FAR]))
                    + product(lane, _INT(n[N.OUT_LANE]))
                )
                to += _INT(o0 * _INT(n[N.OUT0]) + o1 * _INT(n[N.OUT1]) + o2 * _INT(n[N.OUT2]))
                store(output, to, finish(s, divisor, inside, 0, p))
                if numbered:
                    i0, i1 = _INT(o0 * _INT(n[N.STRIDE0])), _INT(o1 * _INT(n[N.STRIDE1]))
                    i2 = _INT(o2 * _INT(n[N.STRIDE2]))
                    flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2] + near * n[N.UNIT_NEAR]
                    flat += far * n[N.UNIT_FAR] + lane * n[N.UNIT_LANE]
                    by = (
                        product(near, _INT(n[N.AUX_NEAR]))
                        + product(far, _INT(n[N.AUX_FAR]))
                        + product(lane, _INT(n[N.AUX_LANE]))
                    )
                    by += _INT(o0 * _INT(n[N.AUX0]) + o1 * _INT(n[N.AUX1]) + o2 * _INT(n[N.AUX2]))
                    store(aux, by, place(s, flat))

    return rebound(kernel)
