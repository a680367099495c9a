"""Gradients of means and sums whose windows share no element: each window's share is made once and written often.

No element is in two windows, so nothing is added: an element is the share of its window, or the state of no tap where
it is in none. A division takes as long as dozens of stores, so a thread makes it for all it writes::

    run     windows that are whole images, one after the other in memory: a vector holds the end of one image and the
            beginning of the next       [0 0 0 1]
    strip   a vector of a row, or of lanes, in several rows of elements that lie in one row of windows
                [0 0 1 1]
                [0 0 1 1]

Reads ``source``, writes ``output``. The bits are those of a sum that has one term.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels import reductions as R
from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.lanes import make_accesses
from fastpool.kernels.cuda.means import divisor_of, make_quotient
from fastpool.kernels.cuda.memory import DECODE, ENCODE, SCALARS, ahead, divide, load, product, store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.parts import make_parts, shares
from fastpool.kernels.cuda.thread import between
from fastpool.kernels.cuda.trees import make_place
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64
_ONE = _INT(1)


class Beside(NamedTuple):
    """What a strip is made for.

    Attributes
    ----------
    strides : tuple of int
        Those of the windows along each axis, or 0 where one window is all there is.
    covered : tuple of bool
        Whether every position of an axis is in a window.
    vector : int
        Elements that are written together: of a row, or lanes.
    across : bool
        Whether they are lanes.
    windows : int
        Windows of a row that a vector lies in, at most.
    begins : bool
        Whether the first of them begins with it, or is the only one.
    strip, strips : int
        Elements of a thread along axis 1, and how many threads take the elements of a window there.
    exact : bool
        Whether strips along axis 1 hold positions of the axis alone.
    divisor : int
        That of all windows, or 0 where each has its own, and for sums.
    there : tuple of bool
        Which coordinates there are, as in ``trees.make_place``.
    """

    strides: tuple[int, int, int]
    covered: tuple[bool, bool, bool]
    vector: int
    across: bool
    windows: int
    begins: bool
    strip: int
    strips: int
    exact: bool
    divisor: int
    there: tuple[bool, ...]

    @property
    def word(self) -> str:
        """What tells it from others, for a kernel's name."""
        shape = "s" + "x".join(map(str, self.strides))
        flags = "".join(str(int(flag)) for flag in (*self.covered, self.across, self.begins, self.exact, *self.there))
        words = [shape, f"v{self.vector}", f"w{self.windows}", f"r{self.strip}x{self.strips}", flags]
        return "_".join([*words, f"d{self.divisor}"])


class Run(NamedTuple):
    """What images one after the other are made for.

    Attributes
    ----------
    size : int
        Elements of an image, which is a window.
    vector : int
    divisor : int
        That of all windows, or 0 for sums.
    ragged : bool
        Whether the last vector is not whole.
    """

    size: int
    vector: int
    divisor: int
    ragged: bool

    @property
    def word(self) -> str:
        """What tells it from others, for a kernel's name."""
        divided = f"d{self.divisor}" * (self.divisor not in (0, self.size))
        return "_".join(filter(None, [f"k{self.size}", f"v{self.vector}", divided, "ragged" * self.ragged]))

    @property
    def windows(self) -> int:
        """Windows that a vector lies in, at most."""
        return (self.vector - 2) // self.size + 2


def _make_shares(variant: Variant, divisor: int, many: int) -> Any:
    """``given_by(given, raw, p)``: what ``many`` windows give each of their elements, by the divisor of all windows.

    One look at all of them says whether one has to be divided, as in ``means``.
    """
    number, output_type = SCALARS[variant.state[0]], SCALARS[variant.output]
    decode, encode, parts = device(DECODE[variant.source]), device(ENCODE[variant.output]), make_parts(variant)
    leaf, finish = parts.leaf, parts.finish
    quotient, doubted = None, None
    if variant.reduction.pull is R.share_gradient and divisor > 0:
        quotient, doubted = make_quotient(variant.state[0], divisor_of(divisor))
    by = number(divisor or 1)
    inverse = number(1) / by if variant.state[0][0] == "f" else by

    def by_division(given, raw, p):
        for v in range(many):
            given[v] = finish(leaf(raw[v], by, p), _LONG(1), _LONG(1), 0, p)

    def by_product(given, raw, p):
        sums, values = cuda.local.array(many, number), cuda.local.array(many, number)
        doubt = False
        for v in range(many):
            sums[v] = number(decode(raw[v]))
            values[v] = quotient(sums[v], by, inverse)
            doubt = doubt | doubted(sums[v], values[v])
        if doubt:
            for v in range(many):
                values[v] = sums[v] / by
        for v in range(many):
            given[v] = output_type(encode(values[v]))

    return device(by_division if quotient is None else by_product)


def make_run(variant: Variant, made: Run) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    ``VECTORS`` are all of the output's, ``LANES`` its elements, ``NEAR`` its images.
    """
    size, vector, windows, ragged = made.size, made.vector, made.windows, made.ragged
    given_by = _make_shares(variant, made.divisor, windows)
    _, write = make_accesses(vector)
    source_type, output_type = SCALARS[variant.source], SCALARS[variant.output]

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        first = _INT(t * vector)
        window = divide(first, _INT(size))
        # where the vector begins in its image
        tap = _INT(first - window * size)
        raw = cuda.local.array(windows, source_type)
        given, made_now = cuda.local.array(windows, output_type), cuda.local.array(vector, output_type)
        last = _INT(_INT(n[N.NEAR]) - _ONE)
        for u in range(windows):
            raw[u] = load(ahead(source, _INT(min(_INT(window + u), last) * _INT(n[N.STEP_NEAR]))), 0)
        given_by(given, raw, p)
        for e in range(vector):
            v = given[0]
            for u in range(1, windows):
                if u * size <= e + size - 1:
                    v = given[u] if tap >= u * size - e else v
            made_now[e] = v
        if ragged and first + vector > _INT(n[N.LANES]):
            for e in range(vector):
                if first + e < _INT(n[N.LANES]):
                    store(output, first + e, made_now[e])
        else:
            write(ahead(output, first), 0, made_now)

    return rebound(kernel)


def make_beside(variant: Variant, made: Beside) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    ``WINDOWS1`` are the elements along axis 1.
    """
    s0, s1, s2 = made.strides
    covered0, covered1, covered2 = made.covered
    vector, across, windows, begins = made.vector, made.across, made.windows, made.begins
    strip, strips, exact = made.strip, made.strips, made.exact
    nothing, leaf, _, _, finish, _ = make_parts(variant)
    counts_taps = shares(variant) and made.divisor == 0
    coordinates = make_place(made.there)
    (read, _), (_, write) = make_accesses(vector if across else 1), make_accesses(vector)
    source_type, output_type = SCALARS[variant.source], SCALARS[variant.output]
    state_type = SCALARS[variant.state[0]]
    many = vector if across else windows
    given_by = _make_shares(variant, made.divisor, many)
    cut = s1 > 0 and strips * strip != s1

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, i2, q1, i0, near, far = coordinates(t, n)
        k0, k1, k2 = _INT(n[N.KERNEL0]), _INT(n[N.KERNEL1]), _INT(n[N.KERNEL2])
        # windows, and the taps that the first element of the vector and of the strip are in them
        o0, tap0 = _INT(0), _INT(i0 + _INT(n[N.PAD0]))
        if s0 > 0:
            o0 = divide(tap0, _INT(s0))
            tap0 = _INT(tap0 - o0 * s0)
        o1, tap1 = _INT(0), _INT(q1 * strip)
        if s1 > 0:
            o1 = divide(q1, _INT(strips))
            tap1 = _INT((q1 - o1 * strips) * strip)
        i1 = _INT(o1 * s1 + tap1 - _INT(n[N.PAD1]))
        o2, tap2 = _INT(0), _INT((i2 if across else _INT(c * vector)) + _INT(n[N.PAD2]))
        if s2 > 0:
            o2 = divide(tap2, _INT(s2))
            tap2 = _INT(tap2 - o2 * s2)
        there = True
        if not covered0:
            there = there & (tap0 < k0) & (o0 < _INT(n[N.SIZE0]))
            o0 = min(o0, _INT(_INT(n[N.SIZE0]) - _ONE))
        if not covered1:
            there = there & (o1 < _INT(n[N.SIZE1]))
            o1 = min(o1, _INT(_INT(n[N.SIZE1]) - _ONE))
        x = ahead(source, product(near, _INT(n[N.STEP_NEAR])) + product(far, _INT(n[N.STEP_FAR])))
        at = _INT(o0 * _INT(n[N.STEP0]) + o1 * _INT(n[N.STEP1]))
        if across:
            at = _INT(at + _INT(c * vector) * _INT(n[N.STEP_LANE]))
        lead = _INT(1)
        if counts_taps:
            lead = _INT(between(_INT(o0 * s0 - _INT(n[N.PAD0])), k0, n[N.LOW0], n[N.HIGH0]))
            lead = _INT(lead * between(_INT(o1 * s1 - _INT(n[N.PAD1])), k1, n[N.LOW1], n[N.HIGH1]))
        raw, given = cuda.local.array(many, source_type), cuda.local.array(many, output_type)
        # what an element in no window is
        none = finish(nothing(), _LONG(1), _LONG(1), 0, p)
        for u in range(windows):
            o = _INT(o2 + u)
            if windows > 1 or not covered2:
                o = min(o, _INT(_INT(n[N.SIZE2]) - _ONE))
            read(raw, u, ahead(x, _INT(at + o * _INT(n[N.STEP2]))), 0)
        if not counts_taps:
            given_by(given, raw, p)
        for e in range(many):
            o, inside = _INT(o2 if across else o2 + e), there
            if counts_taps:
                taps = between(_INT(o * s2 - _INT(n[N.PAD2])), k2, n[N.LOW2], n[N.HIGH2])
                share = leaf(raw[e], state_type(_INT(lead * taps)), p)
                given[e] = finish(share, _LONG(1), _LONG(1), 0, p)
            if not covered2:
                inside = inside & (o < _INT(n[N.SIZE2]))
                if across:
                    inside = inside & (tap2 < k2)
            given[e] = given[e] if inside else none
        made_now, written = cuda.local.array(vector, output_type), cuda.local.array(vector, output_type)
        for e in range(vector):
            if across:
                made_now[e] = given[e]
            else:
                v, tap = given[0], _INT(tap2 + e)
                for u in range(1, windows):
                    # where a window begins with the vector, which windows its elements are in is known
                    starts = e >= u * s2 if begins else tap2 + e >= u * s2
                    v = given[u] if starts else v
                    tap = _INT(tap2 + e - u * s2) if starts else tap
                if not covered2:
                    v = v if tap < k2 else none
                made_now[e] = v
        by_vector = _INT(c * vector) * _INT(n[N.OUT_LANE]) if across else _INT(c * vector) * _INT(n[N.OUT2])
        to = _INT(i0 * _INT(n[N.OUT0]) + i1 * _INT(n[N.OUT1]) + by_vector)
        if across:
            to = _INT(to + i2 * _INT(n[N.OUT2]))
        y = ahead(output, product(near, _INT(n[N.OUT_NEAR])) + product(far, _INT(n[N.OUT_FAR])))
        y = ahead(y, to)
        for r in range(strip):
            inside = True
            if not exact:
                inside = (i1 + r >= 0) & (i1 + r < _INT(n[N.WINDOWS1]))
            if cut:
                inside = inside & (tap1 + r < s1)
            if inside:
                if covered1:
                    write(y, 0, made_now)
                else:
                    for e in range(vector):
                        written[e] = made_now[e] if tap1 + r < k1 else none
                    write(y, 0, written)
            y = ahead(y, _INT(n[N.OUT1]))

    return rebound(kernel)
