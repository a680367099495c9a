r"""Windows of two neighbours along a row, of integers of 8 or 16 bits: two in each instruction, in words of 32 bits.

A word is compared as two halves of 16 bits. Of bytes the higher one of a half decides, and what the lower one holds
does not matter; shifted by a byte, the lower ones decide::

    word            b3 b2   b1 b0
    shifted         b2 b1   b0  0        the larger halves begin with max(b3, b2) and max(b1, b0)

Means add bytes in halves, and are shifted: their divisor is a power of two. Outputs are picked from two words by one
instruction. To take bytes one by one took seven instructions for each. The order of the keys of a selection (see
``parts.with_parameter``) is that of elements with or without a sign, from above or from below, so none are made.

Reads ``source``, writes ``output``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import pairwise, picked, product, words_load, words_store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.trees import make_place
from fastpool.kernels.registry import SIZES, Variant

_INT, _WORD = np.int32, np.uint32
_LOW_BYTES = np.uint32(0x00FF00FF)


class _Ways(NamedTuple):
    """How the parts of a word are combined, each for itself, and give the halves that outputs are picked from.

    ``combine`` is called by kernels alone: functions that call it would keep the instructions of the first device.

    first(x), second(x)    the parts
    combine(a, b)          two parts
    other(a, b)            of the parts of all rows, what the first one is combined with
    settle(s)              the halves of an output
    """

    first: Any
    second: Any
    combine: Any
    other: Any
    settle: Any


def _make_selection(name: str, size: int) -> _Ways:
    """Those of a selection of elements of ``size`` bytes."""
    byte, half = _WORD(8), _WORD(16)

    def as_it_is(x):
        return x

    def lower_bytes(x):
        return _WORD(x << byte)

    def second_part(a, b):
        return b

    def lower_half(a, b):
        return _WORD(a << half)

    kept = device(as_it_is)
    return _Ways(kept, device(lower_bytes), pairwise(name), device(second_part if size == 1 else lower_half), kept)


def _make_mean(shift: int) -> _Ways:
    """Those of means of bytes."""
    by, byte = _WORD(shift), _WORD(8)

    def lower_bytes(x):
        return _WORD(x & _LOW_BYTES)

    def higher_bytes(x):
        return _WORD(_WORD(x >> byte) & _LOW_BYTES)

    def added(a, b):
        return _WORD(a + b)

    def second_part(a, b):
        return b

    def divided(s):
        return _WORD(s >> by)

    ways: tuple[Any, ...] = (lower_bytes, higher_bytes, added, second_part, divided)
    return _Ways(*map(device, ways))


def make_pairs(
    variant: Variant, sizes: tuple[int, int, int], words: int, way: str, shift: int, there: tuple[bool, ...]
) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    ``sizes`` are the window's, 2 along the last axis; ``words`` are read of a row at a time. ``way``: the instruction
    that combines, or "mean", by a divisor of ``2**shift``. ``there``: as in ``trees.make_place``.
    """
    k0, k1, _ = sizes
    size = SIZES[variant.source]
    ways = _make_mean(shift) if way == "mean" else _make_selection(way, size)
    first_of, second_of, combine, other, settle = ways
    # the bytes that an output's half begins or, of means, ends with
    pick = picked(0x6420 if way == "mean" else 0x7531 if size == 1 else 0x7632)
    coordinates = make_place(there)
    read, write = words_load(words), words_store(words // 2)
    elements, outputs, written = words * 4 // size, words * 2 // size, words // 2

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, _, o1, o0, near, far = coordinates(t, n)
        i0, i1 = _INT(o0 * _INT(n[N.STRIDE0])), _INT(o1 * _INT(n[N.STRIDE1]))
        at = product(near, _INT(n[N.STEP_NEAR])) + product(far, _INT(n[N.STEP_FAR])) + product(c, _INT(elements))
        at += _INT(i0 * _INT(n[N.STEP0]) + i1 * _INT(n[N.STEP1]))
        step0, step1 = _INT(n[N.DILATION0]) * _INT(n[N.STEP0]), _INT(n[N.DILATION1]) * _INT(n[N.STEP1])
        raw, made = cuda.local.array(words, _WORD), cuda.local.array(written, _WORD)
        first, second = cuda.local.array(words, _WORD), cuda.local.array(words, _WORD)
        for j0 in range(k0):
            for j1 in range(k1):
                read(raw, source, at + _INT(j0 * step0 + j1 * step1))
                for w in range(words):
                    a, b = first_of(raw[w]), second_of(raw[w])
                    first[w] = a if j0 + j1 == 0 else combine(first[w], a)
                    second[w] = b if j0 + j1 == 0 else combine(second[w], b)
        for w in range(written):
            low = combine(first[2 * w], other(first[2 * w], second[2 * w]))
            high = combine(first[2 * w + 1], other(first[2 * w + 1], second[2 * w + 1]))
            made[w] = pick(settle(low), settle(high))
        to = product(near, _INT(n[N.OUT_NEAR])) + product(far, _INT(n[N.OUT_FAR])) + product(c, _INT(outputs))
        write(output, to + _INT(o0 * _INT(n[N.OUT0]) + o1 * _INT(n[N.OUT1])), made)

    return rebound(kernel)
