"""The check of indices that a caller gave: each must name a tap of its own window that lies on the input, or no tap.

Reads ``bufs[2]`` (indices); sets the int64 at ``bufs[1]`` to 1 where one is wrong, and writes nothing otherwise. A
tile is a run of windows along the last spatial axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.cpu.memory import CODES, pointer
from fastpool.kernels.cpu.walk import advance, interior, offset, seek
from fastpool.kernels.registry import Variant

_AXIS, _HEADER = P.AXIS, P.HEADER


@register_jitable
def names_tap(plan, c, index, window, flat, from_axis):
    """Whether an index names a tap of its window (number ``window`` along the last axis) that lies on the input.

    For taps, the spatial axes before ``from_axis`` are known to be in order.
    """
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    rest = index - flat
    for a in range(from_axis, lead + 1):
        axis = _HEADER + (outer + a) * _AXIS
        o = c[outer + a] if a < lead else window
        kernel, dilation = plan[axis + P.KERNEL], plan[axis + P.DILATION]
        origin = o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
        if plan[P.INDEX_KIND] == 2:
            jump = plan[axis + P.JUMP]
            tap = index if jump == 1 else index // jump
            position = origin + tap % kernel * dilation
            if (position < 0) | (position >= plan[axis + P.FORWARD_SIZE]):
                return False
        else:
            unit = plan[axis + P.INDEX_UNIT]
            position = rest // unit % plan[axis + P.FORWARD_SIZE]
            tap = (position - origin) // dilation
            if (position < origin) | (tap >= kernel) | (position - origin != tap * dilation):
                return False
            index -= position * unit
    # a flat index must be the sum of its coordinates: nothing may be left of it
    return (plan[P.INDEX_KIND] == 2) | (index == flat)


def make_check(variant: Variant, digest: int) -> Any:
    """The Python function of one check kernel, ready to be compiled."""
    aux_code, flag_code = CODES[variant.aux], CODES["i64"]
    unsigned = getattr(np, "uint" + variant.aux[1:])

    def over(indices, at, begin, end, taps):
        """Whether a contiguous run has an index that is neither below ``taps`` nor the largest value."""
        found = 0
        for k in range(begin, end):
            found |= unsigned(indices[at + k] + unsigned(1)) > unsigned(taps)
        return found != 0

    over = register_jitable(over)

    def kernel(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        wrong = pointer(bufs[1], flag_code)
        indices = pointer(bufs[2], aux_code)
        c = work
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        last = _HEADER + (outer + lead) * _AXIS
        borders = outer + lead + 2
        taps, by_tap = plan[P.TAPS], plan[P.INDEX_KIND] == 2
        none = (1 << (8 * plan[P.INDEX_BYTES])) - 1 if by_tap and plan[P.INDEX_BYTES] < 8 else -1
        step, lane_step = plan[last + P.AUX_STRIDE], plan[P.AUX_LANE]
        low, high = interior(plan, last)
        for a in range(lead):
            c[borders + 2 * a], c[borders + 2 * a + 1] = interior(plan, _HEADER + (outer + a) * _AXIS)
        bad = False
        seek(plan, c, begin)
        for _ in range(begin, end):
            first_lane, lanes = 0, 1
            if plan[P.FAMILY] != 0:
                first_lane = c[outer + lead + 1] * plan[P.LANE_BLOCK]
                lanes = min(plan[P.LANE_BLOCK], plan[P.LANES] - first_lane)
            at = offset(plan, c, outer + lead, P.AUX_STRIDE) + first_lane * lane_step
            flat = offset(plan, c, outer, P.INDEX_UNIT) + first_lane * plan[P.INDEX_LANE]
            first = c[outer + lead] * plan[P.BLOCK]
            stop = min(first + plan[P.BLOCK], plan[last + P.OUTPUT])
            whole = by_tap & (lane_step == 1 if plan[P.FAMILY] != 0 else step == 1)
            for a in range(lead):
                o = c[outer + a]
                whole = whole & (o >= c[borders + 2 * a]) & (o < c[borders + 2 * a + 1])
            # where every tap of the windows lies on the input, taps need only be counted
            skip, resume = stop, stop
            from_axis = 0
            if whole:
                from_axis = lead
                skip, resume = min(max(low, first), stop), min(max(high, first), stop)
                if (lanes == 1) | (step == lanes):
                    bad = bad | over(indices, at, skip * lanes, resume * lanes, taps)
                else:
                    for k in range(skip, resume):
                        bad = bad | over(indices, at + k * step, 0, lanes, taps)
            k = first
            while k < stop:
                if k == skip:
                    k = resume
                    skip = stop
                    continue
                for e in range(lanes):
                    index = np.int64(indices[at + k * step + e * lane_step])
                    if index != none:
                        beyond = by_tap & ((index < 0) | (index >= taps))
                        if beyond or not names_tap(plan, c, index, k, flat + e * plan[P.INDEX_LANE], from_axis):
                            bad = True
                k += 1
            advance(plan, c)
        if bad:
            wrong[0] = 1

    return kernel
