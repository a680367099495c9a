"""Forward of large windows close together: a tile in shared memory, combined along one axis, then along the next.

Blocks of 1, 2, 4, ... taps are made of two of half the size, and a window of two of the largest, which may overlap::

    5 taps    a b c d e f g h        pairs ab bc cd ...      fours abcd bcde ...      abcd . bcde

so the cost grows with the logarithm of the kernel size. For reductions that may combine a tap twice. With indices a
state carries the place in the tile, which is in the order of taps. Reads ``source``, writes ``output`` and, with
indices, ``aux``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import SCALARS, divide, load, store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import make_parts
from fastpool.kernels.cuda.thread import make_states, part
from fastpool.kernels.registry import Variant

ACROSS, DOWN = 32, 8
"""Threads of a block along a row, and rows of them."""

SHARED_BYTES = 24064
"""Bytes of one of the two copies of a tile: both stay below the 48 KiB that any block may have."""

_INT, _LONG = np.int32, np.int64


def state_bytes(variant: Variant) -> int:
    """Bytes of a state in shared memory."""
    used = variant.state if len(variant.state) == 2 else variant.state[:1]
    return sum(np.dtype(SCALARS[dtype]).itemsize for dtype in used)


def capacity(variant: Variant) -> int:
    """States of a tile, at most."""
    return SHARED_BYTES // state_bytes(variant)


def make_tiles(variant: Variant) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    ``VECTORS`` and ``OUTPUTS1`` are the tiles along axes 2 and 1; along axis 0 the window has one tap.
    """
    nothing, leaf, combine, moved, finish, place = make_parts(variant)
    get, put = make_states(variant)
    numbered, pair = variant.role == "index", len(variant.state) == 2
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]
    room = 2 * capacity(variant)
    count_room = room if pair else 1
    half = capacity(variant)
    none = variant.reduction.identity[-1]

    def as_taps(s, e, pitch, d1, d2, n):
        """The state with what its tap adds to an index, in place of its place in the tile."""
        if s[1] >= none:
            return s
        # the selected tap lies at or behind the window's first one
        r, r0 = divide(_INT(s[1]), pitch), divide(e, pitch)
        j1 = divide(_INT(r - r0), d1)
        j2 = divide(_INT((s[1] - r * pitch) - (e - r0 * pitch)), d2)
        return (s[0], count_type(j1 * n[N.JUMP1] + j2 * n[N.JUMP2]))

    as_taps = device(as_taps)

    def kernel(source, output, aux, p, n):
        states = cuda.shared.array(room, state_type)
        counts = cuda.shared.array(count_room, count_type)
        across, down = _INT(cuda.threadIdx.x), _INT(cuda.threadIdx.y)
        tile2, t = part(_INT(cuda.blockIdx.x), n[N.VECTORS], n[N.VECTORS_BY], n[N.VECTORS_SHIFT])
        tile1, t = part(t, n[N.OUTPUTS1], n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT])
        o0, t = part(t, n[N.OUTPUTS0], n[N.OUTPUTS0_BY], n[N.OUTPUTS0_SHIFT])
        near, far = part(t, n[N.NEAR], n[N.NEAR_BY], n[N.NEAR_SHIFT])
        k1, k2, d1, d2 = _INT(n[N.KERNEL1]), _INT(n[N.KERNEL2]), _INT(n[N.DILATION1]), _INT(n[N.DILATION2])
        s1, s2 = _INT(n[N.STRIDE1]), _INT(n[N.STRIDE2])
        first1, first2 = _INT(tile1 * _INT(n[N.TILE1])), _INT(tile2 * _INT(n[N.TILE2]))
        # windows of the last tiles may be fewer
        many1 = min(_INT(n[N.TILE1]), _INT(_INT(n[N.WINDOWS1]) - first1))
        many2 = min(_INT(n[N.TILE2]), _INT(_INT(n[N.WINDOWS2]) - first2))
        rows = _INT((many1 - 1) * s1 + (k1 - 1) * d1 + 1)
        pitch = _INT((many2 - 1) * s2 + (k2 - 1) * d2 + 1)
        i1, i2 = _INT(first1 * s1 - _INT(n[N.PAD1])), _INT(first2 * s2 - _INT(n[N.PAD2]))
        x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR] + o0 * n[N.STEP0]
        r = down
        while r < rows:
            p1 = _INT(i1 + r)
            there = (p1 >= 0) & (p1 < _INT(n[N.SIZE1]))
            at = x + _LONG(p1) * n[N.STEP1]
            c = across
            while c < pitch:
                p2 = _INT(i2 + c)
                e = _INT(r * pitch + c)
                s = nothing()
                if there & (p2 >= 0) & (p2 < _INT(n[N.SIZE2])):
                    s = moved(leaf(load(source, at + _LONG(p2) * n[N.STEP2]), _LONG(1), p), e)
                put(states, counts, e, s)
                c = _INT(c + ACROSS)
            r = _INT(r + DOWN)
        cuda.syncthreads()
        now, other = _INT(0), _INT(half)
        # along axis 1, over all columns; then along axis 2, over the rows of windows
        for axis in range(2):
            k = k1 if axis == 0 else k2
            apart = _INT(d1 * pitch) if axis == 0 else d2
            size = _INT(1)
            while size < k:
                # twice as many taps, or the window itself of two that overlap
                step = size if 2 * size <= k else _INT(k - size)
                covered = _INT(size + step)
                stop = _INT(rows - (covered - 1) * d1) if axis == 0 else many1
                width = pitch if axis == 0 else _INT(pitch - (covered - 1) * d2)
                by = _INT(1) if axis == 0 else s1
                r = down
                while r < stop:
                    c = across
                    while c < width:
                        e = _INT(r * by * pitch + c)
                        s = combine(get(states, counts, now + e), get(states, counts, now + e + step * apart))
                        put(states, counts, other + e, s)
                        c = _INT(c + ACROSS)
                    r = _INT(r + DOWN)
                size = covered
                now, other = other, now
                cuda.syncthreads()
        to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR] + o0 * n[N.OUT0]
        by = _LONG(near) * n[N.AUX_NEAR] + _LONG(far) * n[N.AUX_FAR] + o0 * n[N.AUX0]
        flat = near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR] + o0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2]
        q1 = down
        while q1 < many1:
            q2 = across
            while q2 < many2:
                e = _INT(q1 * s1 * pitch + q2 * s2)
                s = get(states, counts, now + e)
                o1, o2 = _INT(first1 + q1), _INT(first2 + q2)
                store(output, to + o1 * n[N.OUT1] + o2 * n[N.OUT2], finish(s, _LONG(1), _LONG(1), 0, p))
                if numbered:
                    index = flat + q1 * s1 * n[N.UNIT1] + q2 * s2 * n[N.UNIT2]
                    store(aux, by + o1 * n[N.AUX1] + o2 * n[N.AUX2], place(as_taps(s, e, pitch, d1, d2, n), index))
                q2 = _INT(q2 + ACROSS)
            q1 = _INT(q1 + DOWN)

    return rebound(kernel)
