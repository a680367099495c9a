"""Statistics of windows, and their gradients: a thread for each output, or for each element of x.

The definitions are those of the CPU (``fastpool.kernels.statistics``), made functions of the device. The plan in
memory is a frame (see ``fastpool.kernels.frame``), then kernel, stride, dilation and begin padding of each of the three
spatial axes, and for gradients the windows along each of them. Threads run along the lanes, or where there are none
along the last axis.

Order of a window: as on the CPU. The taps of one column (one position along the last axis) in row-major order of the
other two axes; then the columns, up to ``FEW`` from left to right, more in binary blocks, those that their number has
bits of, the smallest first. Of more than ``MANY`` columns, those with one remainder modulo ``MANY`` are one. Columns
that are not on the input are left out where there are few.

Order of a gradient: an element gets the slopes of the windows that hold it in row-major order of the first two axes,
and along the last one from the last window to the first. What windows keep for it is an array of their own numbers, one
component behind the other, each in the order of the threads that made it.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels import frame as F
from fastpool.kernels import statistic_plan as W
from fastpool.kernels.cuda.engine import Kernel
from fastpool.kernels.cuda.memory import (
    NAMES,
    divide,
    from_bits,
    load,
    store,
)
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import device, rebound
from fastpool.kernels.cuda.statistic_parts import GET, PUSH, PUT, STACK, TOP, make_parts

THREADS, FIRST, SECOND, WINDOWS, NUMBERS = range(5)
"""What kernels are told besides the plan: threads, the bits of the two parameters, and how many windows there are."""

AXIS = 4
"""Numbers of a spatial axis."""

OUTPUTS = AXIS * F.SPATIAL
"""Where the numbers of windows begin, behind those of the axes."""


class Walk(NamedTuple):
    """How threads find their way, in integers of one type.

    read(plan, at)              a number of the plan
    part(t, size)               (remainder, quotient)
    reach(plan, at, o, size)    (position of tap 0, first tap, one past the last) of the taps of window o on the input
    holders(plan, at, c, many)  (c counted from the padding, first, one past the last) of the windows that reach across
                                position c; dilated ones may have no tap there
    """

    read: Any
    part: Any
    reach: Any
    holders: Any


def make_walk(number: Any) -> Walk:
    """The walk in integers of type ``number``."""

    def read(plan, at):
        return number(load(plan, at))

    read = device(read)

    def part(t, size):
        quotient = divide(t, size)
        return number(t - quotient * size), quotient

    def reach(plan, at, o, size):
        kernel, dilation = read(plan, at + W.KERNEL), read(plan, at + W.DILATION)
        origin = number(o * read(plan, at + W.STRIDE) - read(plan, at + W.PADDING))
        low, high = number(0), kernel
        if origin < 0:
            low = divide(number(dilation - 1 - origin), dilation)
        if origin >= size:
            high = number(0)
        elif number(origin + (kernel - 1) * dilation) >= size:
            high = number(divide(number(size - 1 - origin), dilation) + 1)
        return origin, min(low, high), high

    def holders(plan, at, c, many):
        stride = read(plan, at + W.STRIDE)
        place = number(c + read(plan, at + W.PADDING))
        ahead = number(place - (read(plan, at + W.KERNEL) - 1) * read(plan, at + W.DILATION))
        low = number(0)
        if ahead > 0:
            low = divide(number(ahead + stride - 1), stride)
        high = min(number(divide(place, stride) + 1), many)
        return place, min(low, high), high

    return Walk(read, device(part), device(reach), device(holders))


def make_windows(name: str, dtype: str, skip: bool, number: Any, few: bool, role: str) -> Any:
    """The kernel that reduces windows: to results, or by roles "keep" and "learn" to what gradients need.

    ``kernel(plan, source, output, aux, p, numbers)`` reads x from ``source``, and by these roles the gradients of
    windows from ``aux``. ``few``: windows have up to ``FEW`` taps along the last axis.
    """
    made = make_parts(name, dtype, skip)
    real, size, nothing, lift, combine = made.real, made.size, made.nothing, made.lift, made.combine
    lower, pull, change, value, kept = made.lower, made.pull, made.change, made.read, made.kept
    read, part, reach, _ = make_walk(number)
    array_at = device(F.array_at)
    put = device(PUT[max(made.kept, 1)])
    push, top = device(PUSH[size]), device(TOP[size])
    room = STACK * size

    def column(source, at, many0, step0, many1, step1, many2, step2, p):
        s, empty = nothing(), True
        for i in range(many0):
            for j in range(many1):
                for k in range(many2):
                    tap = lift(load(source, number(at + i * step0 + j * step1 + k * step2)), p)
                    s = tap if empty else combine(s, tap)
                    empty = False
        return s

    column = device(column)

    def from_left(source, at, many0, step0, many1, step1, taps, low, high, step, p):
        s = nothing()
        for j in range(low, high):
            c = column(source, number(at + j * step), many0, step0, many1, step1, 1, number(0), p)
            s = c if j == low else combine(s, c)
        return s

    def in_blocks(source, at, many0, step0, many1, step1, taps, low, high, step, p):
        stack = cuda.local.array(room, real)
        s = nothing()
        columns = min(taps, number(W.MANY))
        done, block = number(0), number(1)
        while block <= columns:
            if columns & block != 0:
                depth = 0
                for i in range(block):
                    q = number(done + i)
                    # those of its taps, MANY apart, that are on the input
                    begin = number(0) if q >= low else divide(number(low - q + W.MANY - 1), number(W.MANY))
                    end = number(0) if q >= high else divide(number(high - q + W.MANY - 1), number(W.MANY))
                    there = number(at + (q + begin * W.MANY) * step)
                    c = column(source, there, many0, step0, many1, step1, max(end - begin, 0), number(step * W.MANY), p)
                    # as many blocks end here as the number of columns before has ones at its end
                    ends = i
                    while ends & 1 != 0:
                        depth -= 1
                        c = combine(top(stack, depth), c)
                        ends >>= 1
                    push(stack, depth, c)
                    depth += 1
                c = top(stack, 0)
                s = c if done == 0 else combine(s, c)
                done = number(done + block)
            block = number(block * 2)
        return s

    joined = device(from_left if few else in_blocks)

    def kernel(plan, source, output, aux, p, numbers):
        t = number(number(cuda.blockIdx.x) * number(cuda.blockDim.x) + number(cuda.threadIdx.x))
        if t >= number(numbers[THREADS]):
            return
        fixed = (real(from_bits(numbers[FIRST])), real(from_bits(numbers[SECOND])))
        outer, own = read(plan, F.OUTER), read(plan, F.OWN)
        a, b = number(array_at(outer, 0)), number(array_at(outer, 1))
        c, rest = part(t, read(plan, F.LANES))
        x, y = number(c * read(plan, a + 2 * F.SPATIAL)), number(c * read(plan, b + 2 * F.SPATIAL))
        o2, rest = part(rest, read(plan, b + 2))
        o1, rest = part(rest, read(plan, b + 1))
        o0, rest = part(rest, read(plan, b))
        y = number(y + o0 * read(plan, b + 3) + o1 * read(plan, b + 4) + o2 * read(plan, b + 5))
        for back in range(outer):
            axis = number(outer - 1 - back)
            c, rest = part(rest, read(plan, F.SIZES + axis))
            x = number(x + c * read(plan, a + 2 * F.SPATIAL + 1 + axis))
            y = number(y + c * read(plan, b + 2 * F.SPATIAL + 1 + axis))
        origin0, low0, high0 = reach(plan, own, o0, read(plan, a))
        origin1, low1, high1 = reach(plan, own + AXIS, o1, read(plan, a + 1))
        origin2, low2, high2 = reach(plan, own + 2 * AXIS, o2, read(plan, a + 2))
        step0, step1, step2 = read(plan, a + 3), read(plan, a + 4), read(plan, a + 5)
        dilation0, dilation1 = read(plan, own + W.DILATION), read(plan, own + AXIS + W.DILATION)
        x = number(x + (origin0 + low0 * dilation0) * step0 + (origin1 + low1 * dilation1) * step1 + origin2 * step2)
        many0, many1 = number(high0 - low0), number(high1 - low1)
        step0, step1 = number(step0 * dilation0), number(step1 * dilation1)
        step2 = number(step2 * read(plan, own + 2 * AXIS + W.DILATION))
        taps = read(plan, own + 2 * AXIS + W.KERNEL)
        s = joined(source, x, many0, step0, many1, step1, taps, low2, high2, step2, fixed)
        n = real(number(high2 - low2)) * real(number(many0 * many1))
        finish(output, aux, t, y, number(numbers[WINDOWS]), s, n, fixed)

    if role == "keep":

        def finish(output, aux, t, y, apart, s, n, p):
            put(output, t, apart, pull(value(load(aux, y)), s, n, p))

    elif role == "learn":

        def finish(output, aux, t, y, apart, s, n, p):
            g = value(load(aux, y))
            put(output, t, apart, pull(g, s, n, p))
            store(output, number(t + kept * apart), change(g, s, n, p))

    else:

        def finish(output, aux, t, y, apart, s, n, p):
            store(output, y, lower(s, n, p))

    finish = device(finish)
    return rebound(kernel)


def make_push(name: str, dtype: str, skip: bool, number: Any) -> Any:
    """The kernel that makes the gradient of x: from what windows have kept in ``source``, and x in ``aux``."""
    made = make_parts(name, dtype, skip)
    real, slope, value, write = made.real, made.slope, made.read, made.write
    read, part, _, holders = make_walk(number)
    array_at = device(F.array_at)
    get = device(GET[max(made.kept, 1)])

    def kernel(plan, source, output, aux, p, numbers):
        t = number(number(cuda.blockIdx.x) * number(cuda.blockDim.x) + number(cuda.threadIdx.x))
        if t >= number(numbers[THREADS]):
            return
        fixed = (real(from_bits(numbers[FIRST])), real(from_bits(numbers[SECOND])))
        apart = number(numbers[WINDOWS])
        outer, own, lanes = read(plan, F.OUTER), read(plan, F.OWN), read(plan, F.LANES)
        a, b = number(array_at(outer, 0)), number(array_at(outer, 1))
        lane, rest = part(t, lanes)
        c2, rest = part(rest, read(plan, b + 2))
        c1, rest = part(rest, read(plan, b + 1))
        c0, plane = part(rest, read(plan, b))
        x, y = number(lane * read(plan, a + 2 * F.SPATIAL)), number(lane * read(plan, b + 2 * F.SPATIAL))
        x = number(x + c0 * read(plan, a + 3) + c1 * read(plan, a + 4) + c2 * read(plan, a + 5))
        y = number(y + c0 * read(plan, b + 3) + c1 * read(plan, b + 4) + c2 * read(plan, b + 5))
        rest = plane
        for back in range(outer):
            axis = number(outer - 1 - back)
            c, rest = part(rest, read(plan, F.SIZES + axis))
            x = number(x + c * read(plan, a + 2 * F.SPATIAL + 1 + axis))
            y = number(y + c * read(plan, b + 2 * F.SPATIAL + 1 + axis))
        many0, many1, many2 = read(plan, own + OUTPUTS), read(plan, own + OUTPUTS + 1), read(plan, own + OUTPUTS + 2)
        stride0, stride1 = read(plan, own + W.STRIDE), read(plan, own + AXIS + W.STRIDE)
        stride2 = read(plan, own + 2 * AXIS + W.STRIDE)
        dilation0, dilation1 = read(plan, own + W.DILATION), read(plan, own + AXIS + W.DILATION)
        dilation2 = read(plan, own + 2 * AXIS + W.DILATION)
        place0, low0, high0 = holders(plan, own, c0, many0)
        place1, low1, high1 = holders(plan, own + AXIS, c1, many1)
        place2, low2, high2 = holders(plan, own + 2 * AXIS, c2, many2)
        v = value(load(aux, x))
        total = real(0)
        for o0 in range(low0, high0):
            between, _ = part(number(place0 - o0 * stride0), dilation0)
            if between != 0:
                continue
            for o1 in range(low1, high1):
                between, _ = part(number(place1 - o1 * stride1), dilation1)
                if between != 0:
                    continue
                row = number(((plane * many0 + o0) * many1 + o1) * many2)
                for back in range(number(high2 - low2)):
                    o2 = number(high2 - 1 - back)
                    between, _ = part(number(place2 - o2 * stride2), dilation2)
                    if between == 0:
                        c = get(source, number((row + o2) * lanes + lane), apart)
                        total = real(total + slope(c, v, fixed))
        store(output, y, write(total))

    return rebound(kernel)


@functools.cache
def kernel(name: str, dtype: str, skip: bool, role: str, wide: bool, few: bool = True) -> Kernel:
    """The kernel of a statistic in one role: "windows" reduces them, "keep" makes what "push" sends to x, and "learn"
    the same and what each window adds to the gradient of the first parameter.

    ``wide``: places need 64 bits.
    """
    number = np.int64 if wide else np.int32
    made = make_parts(name, dtype, skip)
    element, state = NAMES[dtype], np.dtype(made.real).name
    words = [name, *(["skipna"] if skip else []), dtype, role]
    if role == "push":
        function = make_push(name, dtype, skip, number)
        pointers = (state, element, element)
    else:
        words += [] if few else ["blocks"]
        function = make_windows(name, dtype, skip, number, few, role)
        pointers = (element, NAMES[made.output] if role == "windows" else state, element)
    return Kernel("_".join([*words, *(["wide"] if wide else [])]), function, ("int64", *pointers), "float64", NUMBERS)
