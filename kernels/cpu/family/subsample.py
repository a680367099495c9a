"""Strided sub-sampling: every s-th element, and its gradient, the elements put back with zeros between.

Numbers of its own, for each of the three spatial axes: stride, offset. Arrays: the larger one, the smaller one.
A tile is one row of what is written, with all its lanes.
"""

from __future__ import annotations

from fastpool.kernels import frame as F
from fastpool.kernels.cpu.family.access import codes
from fastpool.kernels.cpu.memory import RESULT, SOURCE, load, pointer, store
from fastpool.kernels.frame import lane_stride, offset, size, stride


def make(digest, role, bits):
    """The kernel that copies elements of so many bits: role "pick" writes the smaller array, "place" the larger."""
    code = codes(f"u{bits}")

    def pick(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        rows, count = size(plan, 1, 1), size(plan, 1, 2)
        from_lane, to_lane = lane_stride(plan, 0), lane_stride(plan, 1)
        step, to_step = plan[own + 4] * stride(plan, 0, 2), stride(plan, 1, 2)
        for tile in range(begin, end):
            row, rest = tile % rows, tile // rows
            plane, number = rest % size(plan, 1, 0), rest // size(plan, 1, 0)
            source = offset(plan, 0, number) + (plan[own + 1] + plane * plan[own]) * stride(plan, 0, 0)
            source += (plan[own + 3] + row * plan[own + 2]) * stride(plan, 0, 1) + plan[own + 5] * stride(plan, 0, 2)
            target = offset(plan, 1, number) + plane * stride(plan, 1, 0) + row * stride(plan, 1, 1)
            for o in range(count):
                for lane in range(lanes):
                    element = load(x, source + o * step + lane * from_lane, SOURCE)
                    store(y, target + o * to_step + lane * to_lane, element, RESULT)

    def place(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        y, x = pointer(bufs[1], code), pointer(bufs[0], code)
        own, lanes = plan[F.OWN], plan[F.LANES]
        rows, columns, count = size(plan, 0, 1), size(plan, 0, 2), size(plan, 1, 2)
        from_lane, to_lane = lane_stride(plan, 1), lane_stride(plan, 0)
        to_step, from_step = stride(plan, 0, 2), stride(plan, 1, 2)
        for tile in range(begin, end):
            row, rest = tile % rows, tile // rows
            plane, number = rest % size(plan, 0, 0), rest // size(plan, 0, 0)
            target = offset(plan, 0, number) + plane * stride(plan, 0, 0) + row * stride(plan, 0, 1)
            for i in range(columns):
                for lane in range(lanes):
                    store(x, target + i * to_step + lane * to_lane, 0, RESULT)
            d, h = plane - plan[own + 1], row - plan[own + 3]
            if d < 0 or h < 0 or d % plan[own] or h % plan[own + 2]:
                continue
            d, h = d // plan[own], h // plan[own + 2]
            if d >= size(plan, 1, 0) or h >= size(plan, 1, 1):
                continue
            source = offset(plan, 1, number) + d * stride(plan, 1, 0) + h * stride(plan, 1, 1)
            for o in range(count):
                at = target + (plan[own + 5] + o * plan[own + 4]) * to_step
                for lane in range(lanes):
                    store(x, at + lane * to_lane, load(y, source + o * from_step + lane * from_lane, SOURCE), RESULT)

    return pick if role == "pick" else place
