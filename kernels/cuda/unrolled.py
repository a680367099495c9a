r"""Forward of windows that are compiled in and lie inside of the input: a thread combines all taps of what it makes.

Without a loop and without a condition on a tap (see ``trees``), so that loads wait together::

    lanes   a vector of neighbouring lanes: each tap is a load
    rows    windows side by side along a row: the thread's outputs are one run of elements, read in vectors

              [0 1 2 3] [4 5 6 7]      two outputs of 4 taps: along the first axes column by column,
              \-------/ \-------/      then the columns of each output

In the order of summation. Reads ``source``, writes ``output`` and, with indices, ``aux``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels.cuda import numbers as N
from fastpool.kernels.cuda.lanes import make_accesses
from fastpool.kernels.cuda.memory import SCALARS, product
from fastpool.kernels.cuda.package import cuda as cuda
from fastpool.kernels.cuda.package import rebound
from fastpool.kernels.cuda.parts import count_of, make_parts
from fastpool.kernels.cuda.thread import make_states
from fastpool.kernels.cuda.trees import make_kept, make_place, make_taps, make_vectors
from fastpool.kernels.registry import Variant

_INT, _LONG = np.int32, np.int64


def make_unrolled(
    variant: Variant,
    sizes: tuple[int, int, int],
    vector: int,
    outputs: int,
    across: bool,
    given: bool,
    there: tuple[bool, ...],
) -> Any:
    """The kernel of a variant: ``kernel(source, output, aux, p, n)``, with ``n`` as in ``numbers``.

    ``sizes`` are the window's. Elements are read by vectors of ``vector``; a thread makes ``outputs``: lanes where it
    goes ``across`` them, else neighbours in a row. ``given``: the divisor is one of the numbers, else it is the
    number of taps. ``there``: which coordinates there are, as in ``trees.make_place``.
    """
    parts = make_parts(variant)
    finish, place = parts.finish, parts.place
    get, put = make_states(variant)
    vectors = make_vectors(parts, put, vector)
    put_vector = vectors.put
    along = 1 if across else sizes[2]
    taps = make_taps(parts, vectors, sizes if across else sizes[:2], vector)
    kept = make_kept(parts, get, along)
    coordinates = make_place(there)
    _, write = make_accesses(outputs)
    numbered, number = variant.role == "index", count_of(variant)
    count = sizes[0] * sizes[1] * sizes[2]
    source_type, output_type, aux_type = (SCALARS[dtype] for dtype in (variant.source, variant.output, variant.aux))
    state_type, count_type = SCALARS[variant.state[0]], SCALARS[variant.state[-1]]
    columns = outputs * along

    def kernel(source, output, aux, p, n):
        t = _INT(_INT(cuda.blockIdx.x) * _INT(cuda.blockDim.x) + _INT(cuda.threadIdx.x))
        if t >= _INT(n[N.COUNT]):
            return
        c, o2, o1, o0, near, far = coordinates(t, n)
        raw = cuda.local.array(vector, source_type)
        values, counts = cuda.local.array(columns, state_type), cuda.local.array(columns, count_type)
        made, beside = cuda.local.array(outputs, output_type), cuda.local.array(outputs, aux_type)
        i0, i1 = _INT(o0 * _INT(n[N.STRIDE0])), _INT(o1 * _INT(n[N.STRIDE1]))
        i2 = _INT(o2 * _INT(n[N.STRIDE2])) if across else _INT(0)
        first = _INT(i0 * _INT(n[N.STEP0]) + i1 * _INT(n[N.STEP1]) + i2 * _INT(n[N.STEP2]))
        base = (
            product(near, _INT(n[N.STEP_NEAR])) + product(far, _INT(n[N.STEP_FAR])) + product(c, _INT(columns)) + first
        )
        steps = (
            _INT(_INT(n[N.DILATION0]) * _INT(n[N.STEP0])),
            _INT(_INT(n[N.DILATION1]) * _INT(n[N.STEP1])),
            _INT(_INT(n[N.DILATION2]) * _INT(n[N.STEP2])),
        )
        jumps = (_INT(n[N.JUMP0]), _INT(n[N.JUMP1]), _INT(n[N.JUMP2]))
        context = (steps, jumps, raw, source, base, p)
        for v in range(0, columns, vector):
            put_vector(values, counts, v, taps(context, _INT(v), _INT(0)))
        divisor, inside = number(count), _INT(count)
        if given:
            divisor, inside = number(n[N.DIVISOR]), _INT(-1)
        by_output = n[N.UNIT_LANE] if across else n[N.UNIT2] * along
        flat = _LONG(0)
        if numbered:
            flat = i0 * n[N.UNIT0] + i1 * n[N.UNIT1] + i2 * n[N.UNIT2] + near * n[N.UNIT_NEAR] + far * n[N.UNIT_FAR]
            flat += c * outputs * by_output
        own = ((_INT(1), _INT(1), _INT(1)), jumps, values, counts)
        for m in range(outputs):
            s = kept(own, _INT(m * along), _INT(0))
            made[m] = finish(s, divisor, inside, 0, p)
            if numbered:
                beside[m] = place(s, flat + m * by_output)
        to = product(near, _INT(n[N.OUT_NEAR])) + product(far, _INT(n[N.OUT_FAR]))
        by_vector = n[N.OUT_LANE] if across else n[N.OUT2]
        to += _INT(o0 * _INT(n[N.OUT0]) + o1 * _INT(n[N.OUT1]) + o2 * _INT(n[N.OUT2])) + product(
            _INT(c * outputs), _INT(by_vector)
        )
        write(output, to, made)
        if numbered:
            by_vector = n[N.AUX_LANE] if across else n[N.AUX2]
            by = (
                product(near, _INT(n[N.AUX_NEAR]))
                + product(far, _INT(n[N.AUX_FAR]))
                + product(_INT(c * outputs), _INT(by_vector))
            )
            write(aux, by + _INT(o0 * _INT(n[N.AUX0]) + o1 * _INT(n[N.AUX1]) + o2 * _INT(n[N.AUX2])), beside)

    return rebound(kernel)
