"""Rows of x packed for the programs over windows, and back: see ``kernels/windows.py``."""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import windows as W
from fastpool.kernels.cpu.family.access import reader, value_type, writer
from fastpool.kernels.cpu.memory import load_out, load_source, store_result, store_side
from fastpool.kernels.taps import taps_below, taps_between

for _function in (W.tap_at, W.first_window, W.end_window, W.holder, taps_below, taps_between):
    register_jitable(_function)


def make_pack(dtype):
    """The function that packs a row.

    ``pack(rows, x, at, step, lane_step, size, pad, stride, pitch, lanes)``: the row that begins at ``at``; positions
    outside of it are left as they are.
    """
    read = reader(dtype)

    def pack(rows, x, at, step, lane_step, size, pad, stride, pitch, lanes):
        for phase in range(stride):
            low = max(0, -((phase - pad) // stride))
            high = min(pitch, -((phase - pad - size) // stride))
            start = at + (phase - pad) * step
            if lanes == 1:
                for m in range(low, high):
                    store_side(rows, phase * pitch + m, read(load_source(x, start + m * stride * step)))
            else:
                for m in range(low, high):
                    to, source = (phase * pitch + m) * lanes, start + m * stride * step
                    for lane in range(lanes):
                        store_side(rows, to + lane, read(load_source(x, source + lane * lane_step)))

    return register_jitable(pack)


def make_unpack(dtype):
    """The function that writes a packed row of a gradient: with the arguments of ``pack``, the row first, and the
    number of positions that windows reach. The others are 0.
    """
    write, zero = writer(dtype), value_type(dtype)(0)

    def unpack(rows, x, at, step, lane_step, size, pad, stride, pitch, lanes, reach):
        for position in range(size):
            q = position + pad
            to, source = at + position * step, (q % stride * pitch + q // stride) * lanes
            if q < reach:
                for lane in range(lanes):
                    store_result(x, to + lane * lane_step, write(load_out(rows, source + lane)))
            else:
                for lane in range(lanes):
                    store_result(x, to + lane * lane_step, write(zero))

    return register_jitable(unpack)
