"""The check of indices that a caller gave: each must name a tap of its own window that lies on the input, or no tap.

Reads ``bufs[2]`` (indices); sets the int64 at ``bufs[1]`` to 1 where one is wrong, and writes nothing otherwise. A
tile is a run of windows along the last spatial axis, for some windows of the axis before.

Where a window lies on the input as a whole, its index is any tap's, which is checked in vectors: a tap's number is
below the number of taps; a flat index, less the window's origin, is one of the offsets that the taps have. The few
windows at the borders are checked one by one. ``c``, the integers of the workspace, after the coordinates of ``walk``::

    offsets of runs of taps | for each border window along a row a bit for each tap on the input
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
def names_tap(plan, c, index, window, flat):
    """Whether an index names a tap of its window (number ``window`` along the last axis) that lies on the input."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    rest = index - flat
    for a in range(lead + 1):
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


@register_jitable
def list_offsets(plan, c, table):
    """Lists the offsets of flat indices from their window's origin; returns (how many runs, length of a run)."""
    outer, spatial = plan[P.OUTER], plan[P.LEAD] + 1
    last = _HEADER + (outer + spatial - 1) * _AXIS
    length = plan[last + P.KERNEL] if plan[last + P.JUMP] == 1 else 1
    runs = plan[P.TAPS] // length
    if runs > plan[P.TABLE]:
        return 0, 0
    for run in range(runs):
        rest, total = run * length, 0
        for b in range(spatial):
            axis = last - b * _AXIS
            total += rest % plan[axis + P.KERNEL] * plan[axis + P.JUMP]
            rest //= plan[axis + P.KERNEL]
        c[table + run] = total
    return runs, length


@register_jitable
def list_masks(plan, c, table, low, high, windows):
    """For each window along the last axis that is not in ``low .. high - 1``: a bit for each tap on the input there."""
    last = _HEADER + (plan[P.OUTER] + plan[P.LEAD]) * _AXIS
    for border in range(low + windows - high):
        window = border if border < low else high + border - low
        c[table + border] = mask_along(plan, last, window, 1)


@register_jitable
def mask_along(plan, axis, window, later):
    """A bit for each tap of a window that lies on the input along one axis; ``later`` is its unit in a tap's number."""
    kernel, dilation = plan[axis + P.KERNEL], plan[axis + P.DILATION]
    origin = window * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
    mask = 0
    for tap in range(plan[P.TAPS]):
        position = origin + tap // later % kernel * dilation
        if (position >= 0) & (position < plan[axis + P.FORWARD_SIZE]):
            mask |= 1 << tap
    return mask


@register_jitable
def mask_of_row(plan, c):
    """A bit for each tap that lies on the input along all leading axes, for the current row of windows."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    mask, later = -1, plan[_HEADER + (outer + lead) * _AXIS + P.KERNEL]
    for b in range(lead):
        a = lead - 1 - b
        axis = _HEADER + (outer + a) * _AXIS
        mask &= mask_along(plan, axis, c[outer + a], later)
        later *= plan[axis + P.KERNEL]
    return mask


@register_jitable
def fits(c, moved, table, runs, length, mask):
    """Whether an index, less its window's origin, is the offset of a tap whose bit is set."""
    found = 0
    for run in range(runs):
        rest = moved - c[table + run]
        if (rest >= 0) & (rest < length):
            found |= mask >> (run * length + rest)
    return found & 1 != 0


def make_check(variant: Variant, digest: int) -> Any:
    """The Python function of one check kernel, ready to be compiled."""
    aux_code, flag_code = CODES[variant.aux], CODES["i64"]
    unsigned = getattr(np, "uint" + variant.aux[1:])

    def over(indices, at, count, taps):
        """1 where one of a contiguous run is neither below ``taps`` nor the largest value, else 0."""
        most = unsigned(0)
        for k in range(count):
            # one more, so that the largest value, no tap, is the smallest
            number = unsigned(indices[at + k] + unsigned(1))
            most = number if number > most else most
        return 1 if most > taps else 0

    def strange(c, indices, at, count, origin, step, table, runs, length):
        """How many of a contiguous run of flat indices are neither a tap's nor -1."""
        found = 0
        for k in range(count):
            found += indices[at + k] != -1
        for run in range(runs):
            moved = origin + c[table + run]
            for k in range(count):
                rest = indices[at + k] - (moved + k * step)
                found -= (rest >= 0) & (rest < length)
        return found

    def astray(plan, c, indices, at, step, count, origin, along, table, runs, length, mask):
        """How many of a run of indices are neither none nor a tap whose bit is set; ``over`` finds other numbers."""
        taps, found = plan[P.TAPS], 0
        if plan[P.INDEX_KIND] == 2:
            for k in range(count):
                tap = np.int64(indices[at + k * step])
                found += (tap >= 0) & (tap < taps) & ((mask >> (tap & 63)) & 1 == 0)
        else:
            for k in range(count):
                index = np.int64(indices[at + k * step])
                if index != -1:
                    found += 0 if fits(c, index - origin - k * along, table, runs, length, mask) else 1
        return found

    over, strange, astray = map(register_jitable, (over, strange, astray))

    def check_inside(plan, c, indices, at, step, count, lanes, origin, along, table, runs, length):
        """How many indices of a row of windows whose taps all lie on the input are wrong."""
        bad = 0
        if plan[P.INDEX_KIND] == 2:
            if step == lanes:
                return over(indices, at, count * lanes, plan[P.TAPS])
            for k in range(count):
                bad += over(indices, at + k * step, lanes, plan[P.TAPS])
        elif (lanes == 1) & (step == 1):
            bad = strange(c, indices, at, count, origin, along, table, runs, length)
        else:
            lane = plan[P.INDEX_LANE]
            for k in range(count):
                bad += strange(c, indices, at + k * step, lanes, origin + k * along, lane, table, runs, length)
        return bad

    def check_border(plan, c, indices, at, step, count, lanes, origin, along, table, runs, length, mask):
        """How many indices of a run of windows, of whose taps those with a bit lie on the input, are wrong."""
        bad, lane_step = 0, plan[P.AUX_LANE]
        if lanes == 1:
            return astray(plan, c, indices, at, step, count, origin, along, table, runs, length, mask)
        for k in range(count):
            here, start = at + k * step, origin + k * along
            bad += astray(
                plan, c, indices, here, lane_step, lanes, start, plan[P.INDEX_LANE], table, runs, length, mask
            )
        return bad

    check_inside, check_border = map(register_jitable, (check_inside, check_border))

    def check_tile(plan, c, indices, at, rows, first, stop, low, high, lanes, origin, table, runs, length, masks):
        """How many indices of ``rows`` rows of windows, ``first .. stop - 1`` each, are wrong.

        ``at`` and ``origin`` are those of window 0 of the first row.
        """
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        last = _HEADER + (outer + lead) * _AXIS
        step, along = plan[last + P.AUX_STRIDE], plan[last + P.WINDOW_STRIDE] * plan[last + P.INDEX_UNIT]
        pitch, down, begin, end, start = 0, 0, 0, 1, 0
        if lead > 0:
            axis = last - _AXIS
            start = c[outer + lead - 1]
            pitch, down = plan[axis + P.AUX_STRIDE], plan[axis + P.WINDOW_STRIDE] * plan[axis + P.INDEX_UNIT]
            begin, end = interior(plan, axis)
            begin, end = min(max(begin - start, 0), rows), min(max(end - start, 0), rows)
            for a in range(lead - 1):
                before, after = interior(plan, _HEADER + (outer + a) * _AXIS)
                if (c[outer + a] < before) | (c[outer + a] >= after):
                    begin, end = rows, rows
        skip, resume = min(max(low, first), stop), min(max(high, first), stop)
        bad, count = 0, resume - skip
        if (plan[P.INDEX_KIND] == 2) & (first == 0) & (step == lanes) & (pitch == stop * lanes):
            bad = over(indices, at, rows * stop * lanes, plan[P.TAPS])
        else:
            if plan[P.INDEX_KIND] == 2:
                begin_row, end_row, skip_all, count_all = 0, rows, first, stop - first
            else:
                begin_row, end_row, skip_all, count_all = begin, end, skip, count
            for row in range(begin_row, end_row):
                here, there = at + row * pitch + skip_all * step, origin + row * down + skip_all * along
                bad += check_inside(
                    plan, c, indices, here, step, count_all, lanes, there, along, table, runs, length
                )  # fmt: skip
        for k in range(first, stop - count):
            window = k if k < skip else k + count
            mask = c[masks + (window if window < low else window - high + low)]
            here, there = at + begin * pitch + window * step, origin + begin * down + window * along
            bad += check_border(
                plan, c, indices, here, pitch, end - begin, lanes, there, down, table, runs, length, mask
            )
        for row in range(rows):
            if (row < begin) | (row >= end):
                if lead > 0:
                    c[outer + lead - 1] = start + row
                mask = mask_of_row(plan, c)
                here, there = at + row * pitch, origin + row * down
                if count > 0:
                    bad += check_border(
                        plan, c, indices, here + skip * step, step, count, lanes, there + skip * along, along,
                        table, runs, length, mask,
                    )  # fmt: skip
                for k in range(first, stop - count):
                    window = k if k < skip else k + count
                    bits = mask & c[masks + (window if window < low else window - high + low)]
                    bad += check_border(
                        plan, c, indices, here + window * step, step, 1, lanes, there + window * along, along,
                        table, runs, length, bits,
                    )  # fmt: skip
        if lead > 0:
            c[outer + lead - 1] = start
        return bad

    def check_each(plan, c, indices, at, rows, first, stop, lanes, flat):
        """As ``check_tile``, index by index, for any window and memory."""
        outer, lead, taps = plan[P.OUTER], plan[P.LEAD], plan[P.TAPS]
        last = _HEADER + (outer + lead) * _AXIS
        by_tap, bad = plan[P.INDEX_KIND] == 2, 0
        none = (1 << (8 * plan[P.INDEX_BYTES])) - 1 if by_tap and plan[P.INDEX_BYTES] < 8 else -1
        for _ in range(rows):
            for k in range(first, stop):
                for e in range(lanes):
                    index = np.int64(indices[at + k * plan[last + P.AUX_STRIDE] + e * plan[P.AUX_LANE]])
                    if index != none:
                        if by_tap & ((index < 0) | (index >= taps)) or not names_tap(
                            plan, c, index, k, flat + e * plan[P.INDEX_LANE]
                        ):
                            bad += 1
            if lead > 0:
                c[outer + lead - 1] += 1
                at += plan[last - _AXIS + P.AUX_STRIDE]
        if lead > 0:
            c[outer + lead - 1] -= rows
        return bad

    check_tile, check_each = map(register_jitable, (check_tile, check_each))

    def kernel(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        wrong = pointer(bufs[1], flag_code)
        indices = pointer(bufs[2], aux_code)
        c = work
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        last = _HEADER + (outer + lead) * _AXIS
        table = outer + lead + 2
        masks = table + plan[P.TABLE]
        windows = plan[last + P.OUTPUT]
        low, high = interior(plan, last)
        runs, length = 0, 0
        # a bit for each tap, the sign apart
        known = (plan[P.TAPS] < 63) & (low + windows - high <= plan[P.TABLE])
        known = known & (plan[P.AUX_LANE] == 1 if plan[P.FAMILY] != 0 else plan[last + P.AUX_STRIDE] == 1)
        if known:
            list_masks(plan, c, masks, low, high, windows)
            if plan[P.INDEX_KIND] != 2:
                runs, length = list_offsets(plan, c, table)
                known = runs > 0
        bad = 0
        seek(plan, c, begin)
        for _ in range(begin, end):
            first_lane, lanes = 0, 1
            if plan[P.FAMILY] != 0:
                first_lane = c[outer + lead + 1] * plan[P.LANE_BLOCK]
                lanes = min(plan[P.LANE_BLOCK], plan[P.LANES] - first_lane)
            flat = offset(plan, c, outer, P.INDEX_UNIT) + first_lane * plan[P.INDEX_LANE]
            first = c[outer + lead] * plan[P.BLOCK]
            stop = min(first + plan[P.BLOCK], windows)
            rows = 1
            if lead > 0:
                axis = last - _AXIS
                rows = min(plan[axis + P.BY], plan[axis + P.OUTPUT] - c[outer + lead - 1])
            at = offset(plan, c, outer + lead, P.AUX_STRIDE) + first_lane * plan[P.AUX_LANE]
            if known:
                origin = flat
                for a in range(lead + 1):
                    axis = _HEADER + (outer + a) * _AXIS
                    o = c[outer + a] if a < lead else 0
                    origin += (o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]) * plan[axis + P.INDEX_UNIT]
                bad += check_tile(
                    plan, c, indices, at, rows, first, stop, low, high, lanes, origin, table, runs, length, masks
                )
            else:
                bad += check_each(plan, c, indices, at, rows, first, stop, lanes, flat)
            advance(plan, c)
        if bad != 0:
            wrong[0] = 1

    return kernel
