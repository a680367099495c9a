"""The check of indices that a caller gave: each must name a tap of its own window that lies on the input, or no tap.

Reads ``bufs[2]`` (indices); sets the int64 at ``bufs[1]`` to 1 where one is wrong, and writes nothing otherwise. A
tile is a run of windows along the last spatial axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpool.kernels import plan as P
from fastpool.kernels.cpu.memory import CODES, pointer
from fastpool.kernels.cpu.walk import advance, inside, interior, offset, seek
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER


def make_check(variant: Variant, digest: int) -> Any:
    """The Python function of one check kernel, ready to be compiled."""
    aux_code, flag_code = CODES[variant.aux], CODES["i64"]

    def kernel(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        wrong = pointer(bufs[1], flag_code)
        indices = pointer(bufs[2], aux_code)
        c = work
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        last = _HEADER + (outer + lead) * _AXIS
        taps, by_tap = plan[P.TAPS], plan[P.INDEX_KIND] == 2
        none = (1 << (8 * plan[P.INDEX_BYTES])) - 1 if plan[P.INDEX_BYTES] < 8 else -1
        step = plan[last + P.AUX_STRIDE]
        low, high = interior(plan, last)
        bad = 0
        seek(plan, c, begin)
        for tile in range(begin, end):
            at = offset(plan, c, outer + lead, P.AUX_STRIDE)
            flat = offset(plan, c, outer, P.INDEX_UNIT)
            begin_at = c[outer + lead] * plan[P.BLOCK]
            end_at = min(begin_at + plan[P.BLOCK], plan[last + P.OUTPUT])
            whole = 1
            for a in range(lead):
                axis = _HEADER + (outer + a) * _AXIS
                if inside(plan, axis, c[outer + a]) < plan[axis + P.KERNEL]:
                    whole = 0
            for k in range(begin_at, end_at):
                index = np.int64(indices[at + k * step])
                if by_tap and (whole != 0) and (k >= low) and (k < high):
                    # every tap of this window lies on the input
                    if ((index >= taps) | (index < 0)) and (index != none):
                        bad = 1
                elif by_tap:
                    if index != none:
                        if (index >= taps) | (index < 0):
                            bad = 1
                        for a in range(lead + 1):
                            axis = _HEADER + (outer + a) * _AXIS
                            o = c[outer + a] if a < lead else k
                            j = index // plan[axis + P.JUMP] % plan[axis + P.KERNEL]
                            position = (
                                o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD] + j * plan[axis + P.DILATION]
                            )
                            if (position < 0) | (position >= plan[axis + P.FORWARD_SIZE]):
                                bad = 1
                elif index != -1:
                    rebuilt = flat
                    for a in range(lead + 1):
                        axis = _HEADER + (outer + a) * _AXIS
                        o = c[outer + a] if a < lead else k
                        origin = o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
                        position = (index - flat) // plan[axis + P.INDEX_UNIT] % plan[axis + P.FORWARD_SIZE]
                        rebuilt += position * plan[axis + P.INDEX_UNIT]
                        moved = position - origin
                        tap = moved // plan[axis + P.DILATION]
                        if (moved < 0) | (tap >= plan[axis + P.KERNEL]) | (moved != tap * plan[axis + P.DILATION]):
                            bad = 1
                    if rebuilt != index:
                        bad = 1
            advance(plan, c)
        if bad != 0:
            wrong[0] = 1

    return kernel
