"""Forward max pooling with indices of planes that are stacked in scratch: rows of any width are one run of vectors.

Planes are stacked as ``stacked`` says. A second stack has, beside each value, the number of the tap that it is. Rows of
taps are combined first, and then one below the other, so that the first of equal taps in row-major order stays; with
windows a step of 2 apart along rows, those between are left out then, and a row is half as long.

Padding has the identity as its value. Where that is all that a window holds, some of its taps may be padding: it takes
the first that is not, which its place says. A window without a tap on the input is not planned so.

Reads ``bufs[0]``, writes ``bufs[1]`` and the indices ``bufs[2]``, of one byte or of eight: one kernel for both.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels import plan as P
from fastpool.kernels.cpu import vectors
from fastpool.kernels.cpu.memory import CODES, SCALARS, address, pointer
from fastpool.kernels.cpu.numbered_loops import MOST_MERGED, MOST_TAKEN, MOST_WRITTEN, make_numbered
from fastpool.kernels.cpu.parts import make_parameter
from fastpool.kernels.cpu.row_tables import index_of_row
from fastpool.kernels.cpu.stack_copy import extent_of, make_copy, origin_of
from fastpool.kernels.cpu.state import inlined
from fastpool.kernels.cpu.vector_parts import make_vector_parts
from fastpool.kernels.cpu.walk import advance, offset, seek
from fastpool.kernels.registry import Variant, numbers_places

_AXIS, _HEADER = P.AXIS, P.HEADER
_UINT8, _INT64 = CODES["u8"], CODES["i64"]


def make_pool(variant: Variant, lower: Any, canonical: Any) -> Any:
    """The function that combines a stack and writes the outputs of its planes."""
    lanes = vectors.lanes(variant.source)
    along, split, merge, write_taps, write_places = make_numbered(variant, lower, canonical)
    both = numbers_places(variant.source)

    def blocks_of(seen, t, n, count, size, kernel, most, step, jump):
        """Makes the blocks that windows of ``kernel`` taps consist of, from those of ``size`` taps.

        Returns how many, ``most`` at most, how far they and their numbers are apart, and how far the last is from the
        first.
        """
        while most * size < kernel:
            used = min((kernel - 1) // (most * size) + 1, MOST_MERGED)
            apart, more = size * step, size * jump
            merge(seen, t, n, count, used, apart, more, (used - 1) * apart, (used - 1) * more)
            size *= used
        used, rest = (kernel + size - 1) // size, kernel - size
        return used, size * step, size * jump, rest * step, rest * jump

    blocks_of = inlined(blocks_of)

    def pool_planes(seen, plan, c, t, n, y, taps, places, edge, planes_here, p, spare, few_taps, few_places):
        """Combines the stack of ``planes_here`` planes, and writes outputs and indices; ``seen``: there is NaN."""
        outer, lead = plan[P.OUTER], plan[P.LEAD]
        axes = outer + lead
        last = _HEADER + axes * _AXIS
        near = last - _AXIS
        far = near - _AXIS
        pitch, unit = plan[P.PITCH], plan[last + P.WINDOW_STRIDE] * plan[last + P.INDEX_UNIT]
        place = c[axes] * plan[P.BLOCK]
        outputs = min(plan[P.BLOCK], plan[last + P.OUTPUT] - place)
        rows, row_count = extent_of(plan, near), min(plan[near + P.BY], plan[near + P.OUTPUT] - c[axes - 1])
        planes, plane_count, plane_step = 1, 1, 0
        if lead > 1:
            planes, plane_step = extent_of(plan, far), plan[far + P.WINDOW_STRIDE]
            plane_count = min(plan[far + P.BY], plan[far + P.OUTPUT] - c[axes - 2])
        count = (planes_here * planes * rows + plan[P.TAIL]) * pitch
        kernel, step, jump = plan[last + P.KERNEL], plan[last + P.DILATION], plan[last + P.JUMP]
        if plan[last + P.WINDOW_STRIDE] == 2:
            pitch //= 2
            count //= 2
            split(seen, t, n, count, step, kernel, jump)
        else:
            size = kernel if kernel <= MOST_TAKEN else 4
            along(seen, t, n, count, step, size, jump)
            if kernel > size:
                merge(seen, t, n, count, *blocks_of(seen, t, n, count, size, kernel, MOST_MERGED, step, jump))
        step, jump, kernel = plan[near + P.DILATION] * pitch, plan[near + P.JUMP], plan[near + P.KERNEL]
        blocks = blocks_of(seen, t, n, count, 1, kernel, MOST_WRITTEN, step, jump)
        if lead > 1:
            if kernel > 1:
                merge(seen, t, n, count, *blocks)
            step, jump, kernel = plan[far + P.DILATION] * rows * pitch, plan[far + P.JUMP], plan[far + P.KERNEL]
            blocks = blocks_of(seen, t, n, count, 1, kernel, MOST_WRITTEN, step, jump)
        d = offset(plan, c, axes, P.OUTPUT_STRIDE) + place
        i = offset(plan, c, axes, P.AUX_STRIDE) + place
        index = index_of_row(plan, c) + origin_of(plan, last, place) * plan[last + P.INDEX_UNIT]
        # whole vectors are written where what lies behind a row is written after it, or all of it is the row's
        limit = d + planes_here * plane_count * row_count * outputs - lanes
        if outputs >= lanes:
            limit = P.FAR
        elif plan[P.DENSE] == 0:
            limit = -P.FAR
        wide = plan[P.INDEX_BYTES] > 1
        group = _HEADER + max(outer - 1, 0) * _AXIS
        stride = plan[near + P.WINDOW_STRIDE]
        for g in range(planes_here):
            for j in range(plane_count):
                at = (g * planes + j * plane_step) * rows * pitch
                to, put = d + g * plan[group + P.OUTPUT_STRIDE], i + g * plan[group + P.AUX_STRIDE]
                from_here = index + g * plan[group + P.INDEX_UNIT]
                number = 0
                if lead > 1:
                    to += j * plan[far + P.OUTPUT_STRIDE]
                    put += j * plan[far + P.AUX_STRIDE]
                    from_here += j * plane_step * plan[far + P.INDEX_UNIT]
                    front = -origin_of(plan, far, c[axes - 2] + j)
                    if front > 0:
                        number = (front + plan[far + P.DILATION] - 1) // plan[far + P.DILATION] * plan[far + P.JUMP]
                told = (
                    seen, t, n, at, stride * pitch, row_count, outputs, blocks, y, to, plan[near + P.OUTPUT_STRIDE],
                    put, plan[near + P.AUX_STRIDE], limit, edge, origin_of(plan, near, c[axes - 1]), stride,
                    plan[near + P.DILATION], plan[near + P.JUMP], number, from_here, stride * plan[near + P.INDEX_UNIT],
                    unit, p, spare,
                )  # fmt: skip
                if both and wide:
                    write_places(*told, places, few_places)
                else:
                    write_taps(*told, taps, few_taps)

    return inlined(pool_planes)


def make_stacked_index(variant: Variant, digest: int) -> Any:
    """The Python function of one variant's kernel. ``digest`` stands for the sources that it was made from."""
    reduction = variant.vector
    assert reduction is not None
    code, number_code = CODES[variant.source], CODES["i" + variant.source[1:]]
    real = SCALARS[variant.source]
    identity = reduction.identity[0]
    parameter = make_parameter(variant)
    lift, lower, canonical = make_vector_parts(variant)

    # Most planes hold no NaN. They are combined without regard to it, unless one was seen while they were copied.
    watches = variant.source[0] == "f"
    copy_planes = make_copy(variant, lift, watches)
    pool_planes = make_pool(variant, lower, canonical)

    def stacked_index(plan, bufs, work, begin, end):
        """Runs the tiles ``begin .. end - 1``: a tile is some planes, or some rows of one."""
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        c = pointer(address(work) + plan[P.COORDINATES], _INT64)
        t = pointer(address(work) + plan[P.PACK], code)
        n = pointer(address(work) + plan[P.STATE2], number_code)
        edge = pointer(address(work) + plan[P.COLUMN], number_code)
        spare = pointer(address(work) + plan[P.STACK], code)
        few = address(work) + plan[P.STACK] + vectors.BYTES
        few_taps, few_places = pointer(few, _UINT8), pointer(few, _INT64)
        x, y = pointer(bufs[0], code), pointer(bufs[1], code)
        taps, places = pointer(bufs[2], _UINT8), pointer(bufs[2], _INT64)
        p = parameter(plan[P.PARAM])
        nothing = real(identity)
        # places that no pass writes are read, too
        for i in range(plan[P.ROW]):
            t[i] = nothing
        group, axes = plan[P.OUTER] - 1, plan[P.OUTER] + plan[P.LEAD]
        at, last = _HEADER + max(group, 0) * _AXIS, _HEADER + axes * _AXIS
        block, dilation = -1, plan[last + P.DILATION]
        seek(plan, c, begin)
        for _ in range(begin, end):
            if c[axes] != block:
                block = c[axes]
                for o in range(plan[P.BLOCK]):
                    lacks = max(-origin_of(plan, last, block * plan[P.BLOCK] + o), 0)
                    edge[o] = (lacks + dilation - 1) // dilation * plan[last + P.JUMP]
            planes = 1
            if group >= 0:
                planes = min(plan[at + P.BY], plan[at + P.OUTPUT] - c[group])
            seen = copy_planes(plan, c, t, x, planes, p, nothing)
            pool_planes(seen, plan, c, t, n, y, taps, places, edge, planes, p, spare, few_taps, few_places)
            advance(plan, c)

    return stacked_index
