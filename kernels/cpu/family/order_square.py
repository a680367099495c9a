"""The median of 3x3 windows a step of 1 apart: each column of three is sorted once, for all windows that hold it.

Of nine taps in three sorted columns the median is the one in the middle of: the largest of the three smallest, the
middle one of the three middle ones, the smallest of the three largest.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels.cpu.family.order_keys import keys
from fastpool.kernels.cpu.memory import load_out, load_side, store_out, store_side
from fastpool.kernels.elements import HALVES


@register_jitable
def _same(v):
    return v


@register_jitable
def _unequal(v):
    return v != v


@register_jitable
def least(a, b):
    return a if a < b else b


@register_jitable
def most(a, b):
    return b if a < b else a


@register_jitable
def middle(a, b, c):
    return most(least(a, b), least(most(a, b), c))


def make_sort(dtype: str, read):
    """Sorts columns of three, read by that function, into three rows of scratch, and counts their NaN in ``side``.

    Floats are compared as they are, halves as keys.
    """
    known = keys(dtype)
    floating = known.floating
    as_key, wrong = (known.of, known.bad) if dtype in HALVES else (_same, _unequal)

    @register_jitable
    def sort(x, first, second, third, p, low, mid, high, side, nan, count):
        for e in range(count):
            a, b, c = read(x, first + e), read(x, second + e), read(x, third + e)
            if floating:
                store_side(side, nan + e, wrong(a) + wrong(b) + wrong(c))
            a, b, c = as_key(a), as_key(b), as_key(c)
            s, t = least(a, b), most(a, b)
            u = most(s, c)
            store_out(p, low + e, least(s, c))
            store_out(p, mid + e, least(t, u))
            store_out(p, high + e, most(t, u))

    return sort


def make_combine(dtype: str):
    """Makes the medians from sorted columns, those of a window ``apart`` elements from each other."""
    floating = keys(dtype).floating

    @register_jitable
    def combine(p, low, mid, high, apart, to, side, from_nan, nan, count):
        for e in range(count):
            q, m, r = low + e, low + e + apart, low + e + 2 * apart
            s = most(most(load_out(p, q), load_out(p, m)), load_out(p, r))
            q, m, r = mid + e, mid + e + apart, mid + e + 2 * apart
            t = middle(load_out(p, q), load_out(p, m), load_out(p, r))
            q, m, r = high + e, high + e + apart, high + e + 2 * apart
            u = least(least(load_out(p, q), load_out(p, m)), load_out(p, r))
            store_out(p, to + e, middle(s, t, u))
        if floating:
            for e in range(count):
                q = from_nan + e
                found = load_side(side, q) + load_side(side, q + apart) + load_side(side, q + 2 * apart)
                store_side(side, nan + e, found)

    return combine
