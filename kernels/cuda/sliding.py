"""Forward of windows one position apart in planes of any size: strips of rows, columns first, by running maxima.

The window and the strip are compiled in. A block has one or several strips. A thread takes a column of one, all of its
elements, and leaves what its windows hold in shared memory; then a thread combines some neighbours of a row, and its
results take their place; then they are written, by columns again.

A tap beside the input stands for the last one inside: every window that has it has that one, too, since its taps are
neighbours. So no tap is left out. For reductions that may take a tap twice, in any order. Reads ``source``, writes
``output``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import SCALARS, behind, divide, load_row, shared_get, shared_load, shared_put, store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import rebound
from fastpool.kernels.cuda.parts import make_parts
from fastpool.kernels.cuda.running import make_running
from fastpool.kernels.cuda.thread import make_coordinates, make_states, part
from fastpool.kernels.registry import SIZES, Variant

_INT, _LONG = np.int32, np.int64


class Segment(NamedTuple):
    """A strip as it is compiled in: its window along axes 1 and 2, and its outputs.

    These are ``rows`` of ``segments``, each of ``neighbours``. A block has ``strips`` of them.
    """

    kernel1: int
    kernel2: int
    rows: int
    segments: int
    neighbours: int
    strips: int

    @property
    def word(self) -> str:
        """What tells it from others in a name."""
        size = f"{self.strips}x{self.rows}x{self.segments}x{self.neighbours}"
        return f"k{self.kernel1}x{self.kernel2}_b{size}"

    @property
    def outputs(self) -> int:
        """Outputs of a row."""
        return self.segments * self.neighbours

    @property
    def columns(self) -> int:
        """Columns of a strip, with those that its last windows reach."""
        return self.outputs + self.kernel2 - 1

    def pitch(self, piece: int) -> int:
        """States of a row in shared memory: an odd number of vectors, which threads of different rows read at once."""
        return ((-(-self.columns // piece)) | 1) * piece

    @property
    def block(self) -> int:
        """Threads of a block, in whole warps."""
        return -(-self.strips * max(self.columns, self.rows * self.segments) // 32) * 32


def piece_of(variant: Variant) -> int:
    """States that a thread reads from shared memory at a time."""
    return max(1, min(4, 16 // SIZES[variant.state[0]]))


def make_strips(variant: Variant, strip: Segment) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    ``COUNT`` is that of all strips, ``VECTORS`` and ``OUTPUTS1`` are those along axes 2 and 1; along axis 0 the window
    has one tap.
    """
    parts = make_parts(variant)
    _, leaf, _, _, finish, _ = parts
    get, put = make_states(variant)
    k1, k2, rows, segments, neighbours, strips = strip
    outputs, columns, piece = strip.outputs, strip.columns, piece_of(variant)
    pitch = strip.pitch(piece)
    size = rows * pitch
    room = strips * size
    high, wide = rows + k1 - 1, neighbours + k2 - 1
    reads = -(-wide // piece)
    held = reads * piece
    down = make_running(parts, get, put, k1, 0, high, rows)
    across = make_running(parts, get, put, k2, 0, wide, neighbours)
    load_shared = shared_load(piece)
    source_type, state_type = SCALARS[variant.source], SCALARS[variant.state[0]]

    def kernel(source, output, aux, p, n):
        states = cuda.shared.array(room, state_type)
        thread = _INT(cuda.threadIdx.x)
        g = divide(thread, _INT(columns))
        column = _INT(thread - g * columns)
        number = _INT(_INT(cuda.blockIdx.x) * strips + g)
        there = (g < strips) & (number < _INT(n[N.COUNT]))
        tile2, t = part(number, n[N.VECTORS], n[N.VECTORS_BY], n[N.VECTORS_SHIFT])
        tile1, t = part(t, n[N.OUTPUTS1], n[N.OUTPUTS1_BY], n[N.OUTPUTS1_SHIFT])
        o0, t = part(t, n[N.OUTPUTS0], n[N.OUTPUTS0_BY], n[N.OUTPUTS0_SHIFT])
        near, far = part(t, n[N.NEAR], n[N.NEAR_BY], n[N.NEAR_SHIFT])
        first1, first2 = _INT(tile1 * rows), _INT(tile2 * outputs)
        if there:
            i1 = _INT(first1 - _INT(n[N.PAD1]))
            i2 = _INT(first2 - _INT(n[N.PAD2]) + column)
            last1, last2 = _INT(_INT(n[N.SIZE1]) - 1), _INT(_INT(n[N.SIZE2]) - 1)
            x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR] + o0 * n[N.STEP0]
            x += max(min(i2, last2), _INT(0))
            raw = cuda.local.array(high, source_type)
            line, made = cuda.local.array(high, state_type), cuda.local.array(rows, state_type)
            step1 = _INT(n[N.STEP1])
            for r in range(high):
                raw[r] = load_row(source, x, _INT(max(min(_INT(i1 + r), last1), _INT(0))), step1)
            for r in range(high):
                put(line, line, r, leaf(raw[r], _LONG(1), p))
            down(line, made)
            for r in range(rows):
                shared_put(states, _INT(g * size + column), r * pitch, made[r])
        cuda.syncthreads()
        # neighbouring threads have the same segment of neighbouring rows
        s, of_rows = cuda.local.array(held, state_type), cuda.local.array(neighbours, state_type)
        q = divide(thread, _INT(rows))
        row = _INT(thread - q * rows)
        other = divide(q, _INT(segments))
        at = _INT(other * size + row * pitch + (q - other * segments) * neighbours)
        if other < strips:
            for j in range(reads):
                load_shared(s, j * piece, states, at, j * piece)
            across(s, of_rows)
        cuda.syncthreads()
        if other < strips:
            for v in range(neighbours):
                shared_put(states, at, v, of_rows[v])
        cuda.syncthreads()
        o2 = _INT(first2 + column)
        if there & (column < outputs) & (o2 < _INT(n[N.WINDOWS2])):
            many = _INT(_INT(n[N.WINDOWS1]) - first1)
            to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR] + o0 * n[N.OUT0]
            to += _LONG(first1) * n[N.OUT1] + o2
            here = behind(output, to)
            if many >= rows:
                for r in range(rows):
                    e = shared_get(states, _INT(g * size + column), r * pitch)
                    store(here, 0, finish(e, _LONG(1), _LONG(1), 0, p))
                    # a sum for each row, where the compiler would make 64-bit products
                    here = behind(here, n[N.OUT1])
            else:
                for r in range(many):
                    e = shared_get(states, _INT(g * size + column + r * pitch), 0)
                    store(here, 0, finish(e, _LONG(1), _LONG(1), 0, p))
                    here = behind(here, n[N.OUT1])

    return rebound(kernel)


class LaneStrip(NamedTuple):
    """A strip with lanes as it is compiled in: its window along axes 1 and 2; ``rows`` of ``outputs``, of ``lanes``."""

    kernel1: int
    kernel2: int
    rows: int
    outputs: int
    lanes: int

    @property
    def word(self) -> str:
        """What tells it from others in a name."""
        return f"k{self.kernel1}x{self.kernel2}_b{self.rows}x{self.outputs}x{self.lanes}"

    @property
    def columns(self) -> int:
        """Columns of a strip, with those that its last windows reach."""
        return self.outputs + self.kernel2 - 1

    @property
    def pitch(self) -> int:
        """States of a row in shared memory, an odd number of columns: threads of different rows meet in no bank."""
        return (self.columns | 1) * self.lanes

    @property
    def block(self) -> int:
        """Threads of a block, in whole warps."""
        return -(-self.lanes * max(self.columns, self.rows) // 32) * 32


def make_lane_strips(variant: Variant, strip: LaneStrip) -> Any:
    """The kernel of a variant where lanes are neighbours: ``kernel(source, output, aux, p, n)``, as in ``numbers``.

    Neighbouring threads take neighbouring lanes of a column, and then of a row. ``VECTORS`` are the blocks along the
    lanes, ``OUTPUTS2`` and ``OUTPUTS1`` the strips along axes 2 and 1.
    """
    parts = make_parts(variant)
    _, leaf, _, _, finish, _ = parts
    get, put = make_states(variant)
    coordinates = make_coordinates(2)
    k1, k2, rows, outputs, lanes = strip
    pitch, columns = strip.pitch, strip.columns
    room, high = rows * pitch, rows + k1 - 1
    down = make_running(parts, get, put, k1, 0, high, rows)
    across = make_running(parts, get, put, k2, 0, columns, outputs)
    source_type, state_type = SCALARS[variant.source], SCALARS[variant.state[0]]

    def kernel(source, output, aux, p, n):
        states = cuda.shared.array(room, state_type)
        thread = _INT(cuda.threadIdx.x)
        place = divide(thread, _INT(lanes))
        lane = _INT(thread - place * lanes)
        b, tile2, tile1, o0, near, far = coordinates(_INT(cuda.blockIdx.x), n)
        first1, first2 = _INT(tile1 * rows), _INT(tile2 * outputs)
        lane = _INT(lane + b * lanes)
        if place < columns:
            i1 = _INT(first1 - _INT(n[N.PAD1]))
            i2 = _INT(first2 - _INT(n[N.PAD2]) + place)
            last1, last2 = _INT(_INT(n[N.SIZE1]) - 1), _INT(_INT(n[N.SIZE2]) - 1)
            x = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR] + o0 * n[N.STEP0] + lane
            x += _INT(_INT(max(min(i2, last2), _INT(0))) * _INT(n[N.STEP2]))
            raw = cuda.local.array(high, source_type)
            line, made = cuda.local.array(high, state_type), cuda.local.array(rows, state_type)
            step1 = _INT(n[N.STEP1])
            for r in range(high):
                raw[r] = load_row(source, x, _INT(max(min(_INT(i1 + r), last1), _INT(0))), step1)
            for r in range(high):
                put(line, line, r, leaf(raw[r], _LONG(1), p))
            down(line, made)
            for r in range(rows):
                shared_put(states, thread, r * pitch, made[r])
        cuda.syncthreads()
        o1 = _INT(first1 + place)
        if (place < rows) & (o1 < _INT(n[N.WINDOWS1])):
            row, found = cuda.local.array(columns, state_type), cuda.local.array(outputs, state_type)
            at = _INT(thread + place * (pitch - lanes))
            for c in range(columns):
                row[c] = shared_get(states, at, c * lanes)
            across(row, found)
            many = _INT(_INT(n[N.WINDOWS2]) - first2)
            to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR] + o0 * n[N.OUT0] + lane
            here = behind(output, to + _INT(o1 * _INT(n[N.OUT1]) + first2 * _INT(n[N.OUT2])))
            if many >= outputs:
                for c in range(outputs):
                    store(here, 0, finish(get(found, found, c), _LONG(1), _LONG(1), 0, p))
                    # a sum for each column, where the compiler would make 64-bit products
                    here = behind(here, n[N.OUT2])
            else:
                for c in range(outputs):
                    if c < many:
                        store(here, 0, finish(get(found, found, c), _LONG(1), _LONG(1), 0, p))
                    here = behind(here, n[N.OUT2])

    return rebound(kernel)
