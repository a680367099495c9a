"""What the kernels along rows have in common: a thread's strip of outputs, and how it reads a row of taps.

A thread makes ``vector`` neighbouring outputs of each of ``strip`` rows. It reads what a row of taps holds for them
once, a vector of 16 bytes or more and the elements beside it, for all rows of outputs that need it::

    kernel 3, stride 2, padding 1, 4 outputs     . [0 1 2 3 4 5 6 7]      one element before, none behind
    kernel 3, stride 1, padding 1, 4 outputs     . [0 1 2 3] .            one element at each side

    rows of outputs, kernel 3, stride 1          0 1 2
                                                   1 2 3
                                                     2 3 4
                                                       3 4 5              6 rows of taps, not 12

There are no branches, so that the loads of all rows wait together. Loads that are left out took as many instructions,
to know which and to fill in what is missing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.means import Divisor
from fastpool.kernels.cuda.memory import SCALARS, ahead, load_or, product, vector_load
from fastpool.kernels.cuda.package import device
from fastpool.kernels.cuda.parts import absent, make_parts
from fastpool.kernels.cuda.thread import make_states, part
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64
_ZERO, _ONE = _INT(0), _INT(1)

Window = tuple[tuple[int, int, int], tuple[int, int, int]]
"""Kernel sizes and strides of three axes."""


class Strip(NamedTuple):
    """What a kernel along rows is made for.

    Attributes
    ----------
    window : Window
    vector : int
        Outputs of a row that a thread makes.
    left : int
        Padding before a row, whose input is as long as its outputs times the stride, and whole vectors; -1 for rows of
        any length with any padding, which are read and written element by element.
    strip : int
        Rows of outputs along axis 1.
    deep : bool
        Whether there is an axis 0.
    outer : int
        Outer axes, of which there is at least one: 1 or 2.
    fixed : Divisor
        What is known of the windows' divisors.
    whole : tuple of bool
        Whether all taps of all strips lie inside, along each axis.
    pitch : int
        How far rows are apart, where that is compiled in, else 0: there is no place to compute for each row then.
    """

    window: Window
    vector: int
    left: int
    strip: int = 1
    deep: bool = True
    outer: int = 2
    fixed: Divisor = Divisor.OWN
    whole: tuple[bool, bool, bool] = (False, False, False)
    pitch: int = 0

    @property
    def word(self) -> str:
        """What tells it from others, for a kernel's name."""
        pairs = zip(*self.window, strict=True)
        shape = "".join(f"k{k}s{s}" for k, s in pairs if (k, s) != (1, 1))
        place = "loose" if self.left < 0 else f"p{self.left}"
        axes = "deep" * self.deep + "far" * (self.outer > 1) + ("", "one", "power", "known")[self.fixed]
        axes += f"w{self.pitch}" * (self.pitch > 0) + "".join(str(axis) for axis in range(3) if not self.whole[axis])
        return "_".join([shape, f"v{self.vector}", place, f"r{self.strip}", axes]).rstrip("_")

    @property
    def rows(self) -> int:
        """Rows of taps of a strip, along axis 1."""
        return (self.strip - 1) * self.window[1][1] + self.window[0][1]

    @property
    def columns(self) -> int:
        """Taps of a row that a thread's outputs need."""
        return (self.vector - 1) * self.window[1][2] + self.window[0][2]


def in_turn(steps: list[Any]) -> Any:
    """A function of the device that calls others of eleven arguments in turn.

    The compiler leaves loops of long bodies as they are, and the conditions in them: a step for each row of taps, made
    for its number, has none.
    """
    if len(steps) == 1:
        return steps[0]
    half = len(steps) // 2
    first, second = in_turn(steps[:half]), in_turn(steps[half:])

    def both(a, b, c, d, e, f, g, h, i, j, k):
        first(a, b, c, d, e, f, g, h, i, j, k)
        second(a, b, c, d, e, f, g, h, i, j, k)

    return device(both)


def make_coordinates(deep: bool, outer: int) -> Any:
    """``coordinates(t, n)``: (vector, strip, position along axis 0, near, far) of thread ``t``."""

    def rest_of(t, n):
        if deep:
            o0, t = part(t, n[N.OUTPUTS0], n[N.OUTPUTS0_BY], n[N.OUTPUTS0_SHIFT])
            return o0, t
        return _INT(0), t

    def outer_of(t, n):
        if outer > 1:
            return part(t, n[N.NEAR], n[N.NEAR_BY], n[N.NEAR_SHIFT])
        return t, _INT(0)

    rest_of, outer_of = device(rest_of), device(outer_of)

    def coordinates(t, n):
        c, t = part(t, n[N.VECTORS], n[N.VECTORS_BY], n[N.VECTORS_SHIFT])
        q1, t = part(t, n[N.OUTPUTS1], n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT])
        o0, t = rest_of(t, n)
        near, far = outer_of(t, n)
        return c, q1, o0, near, far

    return device(coordinates)


def make_images(outer: int) -> Any:
    """``image(near, far, step_near, step_far)``: how far an image lies from the first one."""

    def one(near, far, step_near, step_far):
        return product(near, _INT(step_near))

    def two(near, far, step_near, step_far):
        return product(near, _INT(step_near)) + product(far, _INT(step_far))

    return device(one if outer == 1 else two)


def make_settled(variant: Variant) -> tuple[Any, Any]:
    """(``element(v, there)``, ``state(s, there)``): what stands for a tap beside the input, and for its state.

    In its place the nearest element inside is read. A selection may count that twice, since every window has a tap
    inside.
    """
    nothing, fill = make_parts(variant).nothing, absent(variant)
    again = variant.reduction.select and len(variant.state) == 1

    def as_it_is(v, there):
        return v

    def or_absent(v, there):
        return v if there else fill

    def or_nothing(s, there):
        return s if there else nothing()

    by_element = not again and fill is not None
    return device(or_absent if by_element else as_it_is), device(as_it_is if again or by_element else or_nothing)


def make_placed(whole: bool) -> Any:
    """``placed(i, size)``: (the nearest position inside, whether it is this one); ``whole``: all of them are."""

    def placed(i, size):
        return min(max(i, _ZERO), _INT(_INT(size) - _ONE)), (i >= 0) & (i < _INT(size))

    def unplaced(i, size):
        return i, True

    return device(unplaced if whole else placed)


def make_named(variant: Variant) -> Any:
    """``named(s, first0, first1, first2, n)``: a state with its tap, where ``first`` are those first inside.

    Taps in their order are told from the lowest element by being larger; where none is, it was the first one.
    """
    none, count_type = variant.reduction.identity[-1], SCALARS[variant.state[-1]]

    def as_it_is(s, first0, first1, first2, n):
        return s

    def or_first(s, first0, first1, first2, n):
        if s[1] < none:
            return s
        return (s[0], count_type(first0 * _INT(n[N.JUMP0]) + first1 * _INT(n[N.JUMP1]) + first2 * _INT(n[N.JUMP2])))

    return device(or_first if variant.role == "index" and variant.reduction.follow is not None else as_it_is)


def make_reader(variant: Variant, made: Strip) -> Any:
    """``read(row, row_counts, raw, x, p0, p1, i2, p, n)``: the states of a row of taps.

    The row lies at positions ``p0`` and ``p1`` of axes 0 and 1, its first tap at ``i2`` of axis 2. At a pitch that is
    compiled in it lies ``p0`` rows behind ``x``, and taps beside the input along axis 2 are the nearest inside for
    sums, too: what becomes of them is left to the caller.
    """
    loose, left, columns = made.left < 0, max(made.left, 0), made.columns
    main, deep = made.vector * made.window[1][2], made.deep
    before, behind = (0, 0) if loose else (left, left + main)
    leaf = make_parts(variant).leaf
    _, put = make_states(variant)
    load_main, load_one = vector_load(main), vector_load(1)
    element, state = make_settled(variant)
    placed0, placed1, placed2 = (make_placed(whole) for whole in made.whole)

    def row_of(x, p0, p1, n):
        q1, there = placed1(p1, n[N.SIZE1])
        at = _INT(q1 * _INT(n[N.STEP1]))
        if deep:
            q0, there0 = placed0(p0, n[N.SIZE0])
            at, there = _INT(at + q0 * _INT(n[N.STEP0])), there & there0
        return at, there

    row_of = device(row_of)

    fill, pitch = absent(variant), made.pitch

    def read_at_pitch(row, row_counts, raw, x, p0, p1, i2, p, n):
        there = np.uint32(p1) < np.uint32(n[N.SIZE1])
        for u in range(columns):
            c, _ = placed2(_INT(i2 + u), n[N.SIZE2])
            put(row, row_counts, u, leaf(load_or(ahead(x, c), p0 * pitch, there, fill), _LONG(1), p))

    if pitch:
        return device(read_at_pitch)

    def read(row, row_counts, raw, x, p0, p1, i2, p, n):
        at, there = row_of(x, p0, p1, n)
        if not loose:
            load_main(raw, 0, ahead(x, _INT(at + i2)), left)
            for u in range(main):
                if left + u < columns:
                    put(row, row_counts, left + u, state(leaf(element(raw[u], there), _LONG(1), p), there))
        for u in range(columns):
            if (u < before) | (u >= behind):
                c, inside = placed2(_INT(i2 + u), n[N.SIZE2])
                load_one(raw, 0, ahead(x, _INT(at + c)), 0)
                inside = inside & there
                put(row, row_counts, u, state(leaf(element(raw[0], inside), _LONG(1), p), inside))

    return device(read)
