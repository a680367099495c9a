"""Nearest upsampling: element i of n / m times as many is element floor(i n / m) of x; and its gradient.

Arrays: the larger one (y, or its gradient), the smaller one (x, or its gradient); y may be the one with fewer elements.
The third buffer has for each column of y the column of x, the fourth for each column of x its first one of y, and
behind the last the number of y's columns.

A tile is some rows of x in one plane, and all rows of y that are copies of them. Numbers of its own: rows in a tile,
tiles in a plane. Workspace, for the gradient: two rows of y, as values.
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import codes, reader, value_type, writer
from fastpool.kernels.cpu.memory import (
    address,
    load_out,
    load_second,
    load_side,
    load_source,
    pointer,
    store_out,
    store_result,
    store_side,
)
from fastpool.kernels.frame import lane_stride, offset, size, stride

BAND, BANDS = range(2)
VALUES = {"f16": "f32", "bf16": "f32", "f32": "f32", "f64": "f64"}


@register_jitable
def first_copy(position, large, small):
    """The first of the positions that copy one of so many to ``large``."""
    return (position * large + small - 1) // small


@register_jitable
def widen(y, y_at, y_step, x, x_at, x_step, columns, factor, count, table):
    """A row of x to one of y: each element ``factor`` times, or by the table where that is 0."""
    if (factor == 1) & (y_step == 1) & (x_step == 1):
        for i in range(columns):
            store_result(y, y_at + i, load_source(x, x_at + i))
    elif (factor == 2) & (y_step == 1) & (x_step == 1):
        for i in range(count):
            element = load_source(x, x_at + i)
            store_result(y, y_at + 2 * i, element)
            store_result(y, y_at + 2 * i + 1, element)
    elif factor > 0:
        for i in range(count):
            element = load_source(x, x_at + i * x_step)
            for j in range(factor):
                store_result(y, y_at + (i * factor + j) * y_step, element)
    else:
        for i in range(columns):
            store_result(y, y_at + i * y_step, load_source(x, x_at + load_second(table, i) * x_step))


@register_jitable
def copy_lanes(y, y_at, y_lane, x, x_at, x_lane, lanes):
    """The lanes of one element."""
    if (y_lane == 1) & (x_lane == 1):
        for lane in range(lanes):
            store_result(y, y_at + lane, load_source(x, x_at + lane))
    else:
        for lane in range(lanes):
            store_result(y, y_at + lane * y_lane, load_source(x, x_at + lane * x_lane))


def make(digest, role, dtype):
    """The kernel: role "copy" for elements of so many bits, "fold", the gradient, for elements of a type."""
    return make_copy(digest, dtype) if role == "copy" else make_fold(digest, dtype)


def make_copy(digest, bits):
    code, number_code = codes(f"u{bits}"), codes("i64")

    def copy(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        y, x, table = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[2], number_code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        band, bands = plan[own + BAND], plan[own + BANDS]
        deep, high, wide = size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        y_deep, y_high, columns = size(plan, 0, 0), size(plan, 0, 1), size(plan, 0, 2)
        y_row, y_step, x_step = stride(plan, 0, 1), stride(plan, 0, 2), stride(plan, 1, 2)
        y_lane, x_lane = lane_stride(plan, 0), lane_stride(plan, 1)
        factor = columns // wide if columns % wide == 0 else 0
        for tile in range(begin, end):
            plane = tile // bands
            first = (tile - plane * bands) * band
            y_plane, x_plane = offset(plan, 0, plane), offset(plan, 1, plane)
            for row in range(first, min(first + band, deep * high)):
                d = row // high
                h = row - d * high
                x_at = x_plane + d * stride(plan, 1, 0) + h * stride(plan, 1, 1)
                h_first, h_last = first_copy(h, y_high, high), first_copy(h + 1, y_high, high)
                for z in range(first_copy(d, y_deep, deep), first_copy(d + 1, y_deep, deep)):
                    y_at = y_plane + z * stride(plan, 0, 0) + h_first * y_row
                    for _ in range(h_first, h_last):
                        if lanes == 1:
                            widen(y, y_at, y_step, x, x_at, x_step, columns, factor, wide, table)
                        else:
                            for i in range(columns):
                                source = x_at + load_second(table, i) * x_step
                                copy_lanes(y, y_at + i * y_step, y_lane, x, source, x_lane, lanes)
                        y_at += y_row

    return copy


def make_fold(digest, dtype):
    code, number_code, value_code = codes(dtype), codes("i64"), codes(VALUES[dtype])
    kind, read, write = value_type(dtype), reader(dtype), writer(dtype)

    def fold(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        y, x, table = pointer(bufs[0], code), pointer(bufs[1], code), pointer(bufs[3], number_code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        band, bands = plan[own + BAND], plan[own + BANDS]
        deep, high, wide = size(plan, 1, 0), size(plan, 1, 1), size(plan, 1, 2)
        y_deep, y_high, columns = size(plan, 0, 0), size(plan, 0, 1), size(plan, 0, 2)
        y_step, x_step = stride(plan, 0, 2), stride(plan, 1, 2)
        y_lane, x_lane = lane_stride(plan, 0), lane_stride(plan, 1)
        total = pointer(address(work), value_code)
        across = pointer(address(work) + (columns * lanes + 8) // 8 * 64, value_code)
        for tile in range(begin, end):
            plane = tile // bands
            first = (tile - plane * bands) * band
            y_plane, x_plane = offset(plan, 0, plane), offset(plan, 1, plane)
            for row in range(first, min(first + band, deep * high)):
                d = row // high
                h = row - d * high
                x_at = x_plane + d * stride(plan, 1, 0) + h * stride(plan, 1, 1)
                for i in range(columns * lanes):
                    store_side(total, i, kind(0))
                for u in range(first_copy(h, y_high, high), first_copy(h + 1, y_high, high)):
                    for i in range(columns * lanes):
                        store_out(across, i, kind(0))
                    for z in range(first_copy(d, y_deep, deep), first_copy(d + 1, y_deep, deep)):
                        y_at = y_plane + z * stride(plan, 0, 0) + u * stride(plan, 0, 1)
                        for i in range(columns):
                            for lane in range(lanes):
                                value = read(load_source(y, y_at + i * y_step + lane * y_lane))
                                at = i * lanes + lane
                                store_out(across, at, load_out(across, at) + value)
                    for i in range(columns * lanes):
                        store_side(total, i, load_side(total, i) + load_out(across, i))
                for w in range(wide):
                    begin_at, end_at = load_second(table, w), load_second(table, w + 1)
                    for lane in range(lanes):
                        value = kind(0)
                        for i in range(begin_at, end_at):
                            value += load_side(total, i * lanes + lane)
                        store_result(x, x_at + w * x_step + lane * x_lane, write(value))

    return fold
