"""Forward of windows one position apart in small planes, whole ones: columns first, then rows, by running maxima.

Everything about a plane is compiled in. A thread takes a column of a plane, all of its elements at once, and leaves
what its windows hold in shared memory; then the rows are combined there. With channels first a block has several
planes that lie behind each other, and rows are combined

- in vectors: a thread makes 4 neighbouring outputs from what is around them, where rows are whole vectors, or
- whole, by a thread each; then the results are written in vectors across rows and planes.

With channels last a block has some lanes of a plane: neighbouring threads take neighbouring lanes, of a column and
then of a row. For reductions that may take taps in any order. Reads ``source``, writes ``output``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.memory import SCALARS, divide, load, shared_get, shared_load, shared_put, store, vector_store
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import rebound
from fastpool.kernels.cuda.parts import make_parts
from fastpool.kernels.cuda.running import make_running
from fastpool.kernels.cuda.thread import make_states, part
from fastpool.kernels.registry import SIZES, Variant

_INT, _LONG = np.int32, np.int64


class Plane(NamedTuple):
    """A plane as it is compiled in: along axes 1 and 2 its window, elements, padding before them, and outputs.

    ``planes`` of them are a block's, or ``lanes`` of one; ``vector`` outputs a thread's, or whole rows where it is 0.
    ``steps`` of a plane with lanes are from row to row and from column to column, of the source and of the output.
    """

    kernel1: int
    kernel2: int
    size1: int
    size2: int
    pad1: int
    pad2: int
    outputs1: int
    outputs2: int
    planes: int
    lanes: int
    vector: int
    steps: tuple[int, ...] = ()

    @property
    def word(self) -> str:
        """What tells it from others in a name."""
        pair = f"k{self.kernel1}x{self.kernel2}_i{self.size1}x{self.size2}_p{self.pad1}x{self.pad2}"
        words = [f"{pair}_o{self.outputs1}x{self.outputs2}_b{self.planes}x{self.lanes}v{self.vector}"]
        return "_".join([*words, *map(str, self.steps)])

    @property
    def pitch(self) -> int:
        """States of a row in shared memory: with what is beside it, where a thread reads vectors.

        Rows of lanes are an odd number of columns, so that threads of different rows meet in no bank.
        """
        if self.lanes > 1:
            return (self.size2 | 1) * self.lanes
        if self.vector:
            return -(-(self.outputs2 + self.kernel2 - 1) // self.vector) * self.vector
        return max(self.size2, self.outputs2)

    @property
    def states(self) -> int:
        """States in shared memory."""
        return self.planes * self.outputs1 * self.pitch

    @property
    def threads(self) -> int:
        """Threads that a column, or a row, is for."""
        columns = self.size2 * self.planes * self.lanes
        return columns if self.vector else max(columns, self.outputs1 * self.planes * self.lanes)

    @property
    def block(self) -> int:
        """Threads of a block, in whole warps."""
        return -(-self.threads // 32) * 32


def make_planes(variant: Variant, plane: Plane) -> Any:
    """The kernel of a variant for planes behind each other: ``kernel(source, output, aux, p, n)``, as in ``numbers``.

    ``COUNT`` is that of all planes.
    """
    parts = make_parts(variant)
    nothing, leaf, _, _, finish, _ = parts
    get, put = make_states(variant)
    k1, k2, h, w, pad1, pad2, out1, out2, planes, _, vector, _ = plane
    pitch, block, room = plane.pitch, plane.block, plane.states
    down = make_running(parts, get, put, k1, pad1, h, out1)
    piece = vector or max(1, min(4, 16 // max(SIZES[variant.state[0]], SIZES[variant.output])))
    around = piece + k2 - 1
    reads = -(-around // piece)
    held = reads * piece
    across = make_running(parts, get, put, k2, 0, around, piece) if vector else None
    whole = None if vector else make_running(parts, get, put, k2, pad2, w, out2)
    load_shared, store_outputs = shared_load(piece), vector_store(piece)
    # beside a row of the input: states of no tap
    beside, before = pitch - w, pad2 if vector else 0
    fills = -(-(planes * out1 * beside) // block)
    pieces = -(-(planes * out1 * out2) // (piece * block))
    source_type, output_type, state_type = (
        SCALARS[dtype] for dtype in (variant.source, variant.output, variant.state[0])
    )

    def read_columns(states, source, p, first, many, t):
        """The windows of the block's columns, each along its own, into shared memory."""
        q = divide(t, _INT(w))
        if q < many:
            c = _INT(t - q * w)
            at = first * (h * w) + _INT(q * (h * w) + c)
            raw = cuda.local.array(h, source_type)
            line, made = cuda.local.array(h, state_type), cuda.local.array(out1, state_type)
            for r in range(h):
                raw[r] = load(source, at + r * w)
            for r in range(h):
                put(line, line, r, leaf(raw[r], _LONG(1), p))
            down(line, made)
            to = _INT(q * (out1 * pitch) + c + before)
            for r in range(out1):
                shared_put(states, to, r * pitch, made[r])

    def write_piece(output, p, line, to):
        """Writes neighbouring outputs."""
        written = cuda.local.array(piece, output_type)
        for v in range(piece):
            written[v] = finish(get(line, line, v), _LONG(1), _LONG(1), 0, p)
        store_outputs(output, to, written)

    def in_vectors(source, output, aux, p, n):
        states = cuda.shared.array(room, state_type)
        t = _INT(cuda.threadIdx.x)
        first = _LONG(_INT(cuda.blockIdx.x)) * planes
        many = _INT(min(_LONG(planes), n[N.COUNT] - first))
        for i in range(fills):
            e = _INT(t + i * block)
            if e < planes * out1 * beside:
                r = divide(e, _INT(beside))
                c = _INT(e - r * beside)
                shared_put(states, _INT(r * pitch + (c if c < pad2 else c + w)), 0, nothing())
        read_columns(states, source, p, first, many, t)
        cuda.syncthreads()
        line, made = cuda.local.array(held, state_type), cuda.local.array(piece, state_type)
        to = first * (out1 * out2)
        for i in range(pieces):
            e = _INT(t + i * block)
            r = divide(e, _INT(out2 // piece))
            if e < many * (out1 * (out2 // piece)):
                at = _INT(r * pitch + (e - r * (out2 // piece)) * piece)
                for j in range(reads):
                    load_shared(line, j * piece, states, at, j * piece)
                across(line, made)
                write_piece(output, p, made, to + e * piece)

    def in_rows(source, output, aux, p, n):
        states = cuda.shared.array(room, state_type)
        t = _INT(cuda.threadIdx.x)
        first = _LONG(_INT(cuda.blockIdx.x)) * planes
        many = _INT(min(_LONG(planes), n[N.COUNT] - first))
        read_columns(states, source, p, first, many, t)
        cuda.syncthreads()
        line, made = cuda.local.array(w, state_type), cuda.local.array(out2, state_type)
        at = _INT(t * pitch)
        if t < many * out1:
            for c in range(w):
                line[c] = shared_get(states, at, c)
            whole(line, made)
        if pitch != out2:
            cuda.syncthreads()
        if t < many * out1:
            at = _INT(t * out2)
            for c in range(out2):
                shared_put(states, at, c, made[c])
        cuda.syncthreads()
        to = first * (out1 * out2)
        elements = _INT(many * (out1 * out2))
        few = cuda.local.array(piece, state_type)
        for i in range(pieces):
            e = _INT((t + i * block) * piece)
            if e + piece <= elements:
                load_shared(few, 0, states, e, 0)
                write_piece(output, p, few, to + e)
            elif e < elements:
                for v in range(piece - 1):
                    if e + v < elements:
                        store(output, to + e + v, finish(shared_get(states, e, v), _LONG(1), _LONG(1), 0, p))

    return rebound(in_vectors if vector else in_rows)


def make_lane_planes(variant: Variant, plane: Plane) -> Any:
    """The kernel of a variant for lanes of planes: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    ``VECTORS`` are the blocks along the lanes of a plane.
    """
    parts = make_parts(variant)
    _, leaf, _, _, finish, _ = parts
    get, put = make_states(variant)
    k1, k2, h, w, pad1, pad2, out1, out2, _, lanes, _, steps = plane
    step1, step2, to1, to2 = steps
    pitch, room = plane.pitch, plane.states
    down = make_running(parts, get, put, k1, pad1, h, out1)
    across = make_running(parts, get, put, k2, pad2, w, out2)
    source_type, state_type = SCALARS[variant.source], SCALARS[variant.state[0]]

    def kernel(source, output, aux, p, n):
        states = cuda.shared.array(room, state_type)
        t = _INT(cuda.threadIdx.x)
        b, rest = part(_INT(cuda.blockIdx.x), n[N.VECTORS], n[N.VECTORS_BY], n[N.VECTORS_SHIFT])
        near, far = part(rest, n[N.NEAR], n[N.NEAR_BY], n[N.NEAR_SHIFT])
        # the column, and then the row, of a thread
        place = divide(t, _INT(lanes))
        lane = _INT(t - place * lanes)
        if place < w:
            at = _LONG(near) * n[N.STEP_NEAR] + _LONG(far) * n[N.STEP_FAR]
            at += _INT(b * lanes + lane + place * step2)
            raw = cuda.local.array(h, source_type)
            line, made = cuda.local.array(h, state_type), cuda.local.array(out1, state_type)
            for r in range(h):
                raw[r] = load(source, at + r * step1)
            for r in range(h):
                put(line, line, r, leaf(raw[r], _LONG(1), p))
            down(line, made)
            for r in range(out1):
                shared_put(states, t, r * pitch, made[r])
        cuda.syncthreads()
        if place < out1:
            row, found = cuda.local.array(w, state_type), cuda.local.array(out2, state_type)
            at_row = _INT(place * pitch + lane)
            for c in range(w):
                row[c] = shared_get(states, at_row, c * lanes)
            across(row, found)
            to = _LONG(near) * n[N.OUT_NEAR] + _LONG(far) * n[N.OUT_FAR]
            to += _INT(b * lanes + lane + place * to1)
            for c in range(out2):
                store(output, to + c * to2, finish(get(found, found, c), _LONG(1), _LONG(1), 0, p))

    return rebound(kernel)
