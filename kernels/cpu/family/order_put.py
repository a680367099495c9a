"""What becomes of the elements that were selected: the result of a block, or the taps that they were."""

from __future__ import annotations

import math

from numba.extending import register_jitable

from fastpool.kernels.cpu.family.access import reader, value_type, writer
from fastpool.kernels.cpu.family.order_block import flat
from fastpool.kernels.cpu.family.order_keys import keys
from fastpool.kernels.cpu.family.order_mix import make_mix
from fastpool.kernels.cpu.memory import as_float, load_out, load_side, store_out, store_result, store_side
from fastpool.kernels.elements import BITS


def make_finish(dtype: str):
    """The function that makes results, in the row of the lower rank, from that row and that of the upper rank.

    ``p`` are keys and ``q`` elements of the same scratch. Where ``varied`` windows have unequal numbers of taps, which
    are in ``wide`` from ``many``. ``nan`` counts the NaN of each window; with ``worst`` above 0 there is one.
    """
    of, floating = keys(dtype).of, keys(dtype).floating
    value, read, write, mix = value_type(dtype), reader(dtype), writer(dtype), make_mix(dtype)
    zero, none = value(0), value(math.nan if dtype in BITS else 0)

    @register_jitable
    def finish(plan, table, n, p, q, low, high, as_keys, varied, worst, side, nan, wide, many, mean, count):
        differ = varied or plan[table + 3 * n] != plan[table + 3 * n + 1]
        if floating and as_keys:
            for e in range(count):
                store_out(p, low + e, of(load_out(p, low + e)))
            if differ and low != high:
                for e in range(count):
                    store_out(p, high + e, of(load_out(p, high + e)))
        if varied:
            for e in range(count):
                taps = load_side(wide, many + e)
                weight = as_float(plan[table + 3 * taps + 2])
                found = mix(read(load_out(q, low + e)), read(load_out(q, high + e)), weight, mean) + zero
                store_out(q, low + e, write(value(found if taps > 0 else none)))
        elif differ:
            weight = as_float(plan[table + 3 * n + 2])
            for e in range(count):
                found = mix(read(load_out(q, low + e)), read(load_out(q, high + e)), weight, mean) + zero
                store_out(q, low + e, write(value(found)))
        elif floating:
            for e in range(count):
                store_out(q, low + e, write(value(read(load_out(q, low + e)) + zero)))
        if floating and worst > 0 and not varied:
            for e in range(count):
                known = load_out(q, low + e)
                store_out(q, low + e, write(none) if load_side(side, nan + e) > 0 else known)

    return finish


def make_put(dtype: str):
    """The functions that write a block of results: from a row of scratch, where planes are ``pitch`` apart, and of
    windows without taps.
    """
    empty = value_type(dtype)(math.nan if dtype in BITS else 0)
    write = writer(dtype)

    @register_jitable
    def put(q, low, pitch, y, to, block):
        planes, beyond, columns, step, width, lane = block
        times, far, count, near = flat(columns, step, width, lane)
        for r in range(planes):
            for i in range(times):
                place, known = to + r * beyond + i * far, low + r * pitch + i * count
                if near == 1:
                    for e in range(count):
                        store_result(y, place + e, load_out(q, known + e))
                else:
                    for e in range(count):
                        store_result(y, place + e * near, load_out(q, known + e))

    @register_jitable
    def put_empty(y, to, block):
        planes, beyond, columns, step, width, lane = block
        for r in range(planes):
            for o in range(columns):
                for e in range(width):
                    store_result(y, to + r * beyond + o * step + e * lane, write(empty))

    return put, put_empty


@register_jitable
def mark_nan(p, low, high, side, nan, largest, count):
    """Where a window has NaN, its key is what is looked for."""
    for e in range(count):
        wrong = load_side(side, nan + e) > 0
        store_out(p, low + e, largest if wrong else load_out(p, low + e))
        store_out(p, high + e, largest if wrong else load_out(p, high + e))


@register_jitable
def find(p, row, t, number, wanted, wide, found, count):
    """Notes the number of tap ``t`` where it has the key of row ``wanted``: the last call that finds one counts."""
    for e in range(count):
        known = load_side(wide, found + e)
        store_side(wide, found + e, number if load_out(p, t * row + e) == load_out(p, wanted + e) else known)


@register_jitable
def put_taps(plan, table, n, varied, wide, many, low, high, lower, upper, weights, to, block):
    """Writes a block of taps and weights; with no tap counted, -1 and 0."""
    planes, beyond, columns, step, width, lane = block
    for r in range(planes):
        for o in range(columns):
            for i in range(width):
                e = (r * columns + o) * width + i
                taps = load_side(wide, many + e) if varied else n
                at = to + r * beyond + o * step + i * lane
                store_result(lower, at, load_side(wide, low + e) if taps > 0 else -1)
                store_result(upper, at, load_side(wide, high + e) if taps > 0 else -1)
                store_result(weights, at, as_float(plan[table + 3 * taps + 2]))
