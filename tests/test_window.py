"""Sizes against a count of windows one by one, against torch, and at the edge of 64 bits."""

from __future__ import annotations

import itertools
import random

import pytest

from fastpool.kernels.taps import taps_below, taps_between
from fastpool.window import (
    LIMIT,
    OVERFLOW,
    Window,
    add_sizes,
    extent,
    multiply_sizes,
    output_size,
    same_padding,
)

SMALL = [
    (size, kernel, stride, dilation, lo, hi, ceil)
    for size, kernel, stride, dilation, lo, hi, ceil in itertools.product(
        (1, 2, 3, 4, 7, 8), (1, 2, 3, 5), (1, 2, 3, 4), (1, 2, 3), (0, 1, 3), (0, 1, 2), (0, 1)
    )
]


def counted(size, kernel, stride, dilation, lo, hi, ceil):
    """Windows, found by placing them."""
    reach = (kernel - 1) * dilation
    count = 0
    while count * stride + reach < lo + size + hi:
        count += 1
    if count == 0:
        return 0
    # the last full window leaves positions that no further full one covers
    ends = (count - 1) * stride + reach + 1
    if ceil and ends < lo + size + hi and count * stride < lo + size:
        count += 1
    return count


def test_output_size_by_placing_windows():
    for case in SMALL:
        assert output_size(*case) == counted(*case), case
        *sizes, ceil = case
        assert Window(sizes[0], *sizes[1:], ceil=bool(ceil)).output == counted(*case)


def test_output_size_is_that_of_torch():
    torch = pytest.importorskip("torch")
    compared = 0
    for size, kernel, stride, dilation, pad, _, ceil in SMALL:
        if pad > kernel // 2 or (kernel - 1) * dilation + 1 > size + 2 * pad:
            continue
        y = torch.nn.functional.max_pool1d(torch.zeros(1, 1, size), kernel, stride, pad, dilation, ceil_mode=bool(ceil))
        assert output_size(size, kernel, stride, dilation, pad, pad, ceil) == y.shape[-1]
        compared += 1
    assert compared > 1000


def test_same_padding():
    """The output is ceil(size / stride) long, and would be shorter with less padding."""
    for size, kernel, stride, dilation, *_ in SMALL:
        total = same_padding(size, kernel, stride, dilation)
        wanted = -(-size // stride)
        assert total >= 0
        assert output_size(size, kernel, stride, dilation, total // 2, total - total // 2, 0) == wanted
        if total > 0:
            assert output_size(size, kernel, stride, dilation, 0, total - 1, 0) < wanted


def test_taps_by_looking_at_each():
    for origin, kernel, dilation in itertools.product(range(-9, 6), (1, 2, 3, 5), (1, 2, 3)):
        positions = [origin + tap * dilation for tap in range(kernel)]
        for low, length in itertools.product(range(-4, 5), range(8)):
            assert taps_below(origin, low, kernel, dilation) == sum(p < low for p in positions)
            inside = sum(low <= p < low + length for p in positions)
            assert taps_between(origin, low, low + length, kernel, dilation) == inside


def test_taps_of_a_window():
    for size, kernel, stride, dilation, lo, hi, ceil in SMALL[::7]:
        window = Window(size, kernel, stride, dilation, lo, hi, bool(ceil))
        for output in range(window.output):
            positions = [output * stride - lo + tap * dilation for tap in range(kernel)]
            assert window.origin(output) == positions[0]
            assert window.taps_inside(output) == sum(0 <= p < size for p in positions)
            assert window.taps_counted(output, False) == window.taps_inside(output)
            assert window.taps_counted(output, True) == sum(p < size + hi for p in positions)


def test_a_window_that_ceil_mode_keeps_starts_before_the_end_padding():
    for size, kernel, stride, dilation, lo, hi, _ in SMALL:
        window = Window(size, kernel, stride, dilation, lo, hi, ceil=True)
        floor = Window(size, kernel, stride, dilation, lo, hi)
        assert window.output - floor.output in (0, 1)
        if window.output > floor.output:
            assert window.origin(window.output - 1) < size


def near(rng: random.Random) -> int:
    """A size that is small, anything, or close to the limit or one of its roots."""
    base = rng.choice((1, 2, 7, 2**31, 2**32, 3037000499, 2**62, LIMIT // 3, LIMIT // 2, LIMIT))
    return max(1, min(LIMIT, base + rng.randrange(-3, 4)))


def test_sums_and_products_at_the_limit():
    rng = random.Random(1)
    overflows = 0
    for _ in range(5000):
        a, b = near(rng), near(rng)
        assert add_sizes(a, b) == (a + b if a + b <= LIMIT else OVERFLOW)
        assert multiply_sizes(a, b) == (a * b if a * b <= LIMIT else OVERFLOW)
        overflows += a * b > LIMIT
    assert 500 < overflows < 4500
    for function in (add_sizes, multiply_sizes):
        assert function(OVERFLOW, 1) == function(1, OVERFLOW) == OVERFLOW
    assert multiply_sizes(0, LIMIT) == multiply_sizes(LIMIT, 0) == 0


def exact(size, kernel, stride, dilation, lo, hi, ceil):
    """The rule in integers without a limit."""
    room = lo + size + hi - (kernel - 1) * dilation - 1
    if room < 0:
        return 0
    count = room // stride + 1
    return count + 1 if ceil and room % stride and count * stride < size + lo else count


def test_output_size_at_the_limit():
    rng = random.Random(2)
    seen = {"overflow": 0, "size": 0}
    for _ in range(20000):
        size, kernel, stride, dilation = (near(rng) for _ in range(4))
        lo, hi = (rng.choice((0, 0, 1, near(rng))) for _ in range(2))
        ceil = rng.randrange(2)
        found = output_size(size, kernel, stride, dilation, lo, hi, ceil)
        padded, span = size + lo + hi, (kernel - 1) * dilation + 1
        if padded > LIMIT or span > LIMIT:
            assert found == OVERFLOW
            seen["overflow"] += 1
        else:
            assert found == exact(size, kernel, stride, dilation, lo, hi, ceil)
            seen["size"] += found > 0
    assert min(seen.values()) > 2000


def test_extent_and_same_padding_at_the_limit():
    rng = random.Random(3)
    overflows = 0
    for _ in range(20000):
        size, kernel, stride, dilation = (near(rng) for _ in range(4))
        span = (kernel - 1) * dilation + 1
        assert extent(kernel, dilation) == (span if span <= LIMIT else OVERFLOW)
        covered = (-(-size // stride) - 1) * stride + span
        if span > LIMIT or covered > LIMIT:
            assert same_padding(size, kernel, stride, dilation) == OVERFLOW
            overflows += 1
        else:
            assert same_padding(size, kernel, stride, dilation) == max(0, covered - size)
    assert 2000 < overflows < 18000


def test_sizes_are_the_same_when_compiled():
    """Compiled integers wrap round: a sum that passes 2**63 on the way would show."""
    numba = pytest.importorskip("numba")
    import fastpool.window

    compiled = {}
    for function in (add_sizes, multiply_sizes, extent):
        numba.extending.register_jitable(function)
    for name in ("output_size", "same_padding"):
        compiled[name] = numba.njit(getattr(fastpool.window, name))
    rng = random.Random(4)
    for _ in range(5000):
        size, kernel, stride, dilation = (near(rng) for _ in range(4))
        lo, hi = (rng.choice((0, 1, near(rng))) for _ in range(2))
        case = (size, kernel, stride, dilation, lo, hi, rng.randrange(2))
        assert compiled["output_size"](*case) == output_size(*case), case
        assert compiled["same_padding"](*case[:4]) == same_padding(*case[:4]), case
