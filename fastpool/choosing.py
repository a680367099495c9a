"""From a request to its tasks: which kernels a problem needs, and which form and variant does each.

A forward call is one task. A backward call is one or two: the gradient of a sum or mean is a *gather*; where the
gradient depends on the window's state (Lp, NaN left out of a mean) a *weigh* comes first, which writes the share that
each tap of a window receives; the gradient of a selection is a *scatter* by its indices, after a *check* of those that
the caller gave, or an *index* pass where he gave none.

Integer arithmetic in the subset that Numba compiles, over flat blocks: ``request``, the registry's ``table``, ``spec``
and ``plan``.
"""

from __future__ import annotations

from fastpool import layout as S
from fastpool import request as Q
from fastpool.kernels import rows as T
from fastpool.layout import Block, Numbers
from fastpool.planning import make_plan, refusal
from fastpool.tiling import ACCEPTED, NO_ARITHMETIC, NO_ROLE, NOT_FORCED

FORWARD, INDEX, WEIGH, GATHER, SCATTER, CHECK = (
    S.FORWARD,
    S.INDEX,
    S.WEIGH,
    S.GATHER,
    S.SCATTER,
    S.CHECK,
)

LONG = 1 << 30
"""Taps, or elements between the first and the last tap, from which on states count in 64 bits."""

TAP = 2
"""The kind of indices that number the taps of a window."""

MOST_TASKS = 2


def axis_record(axis: int) -> int:
    """Where the record of an array axis lies in a request."""
    return Q.REQUEST + axis * Q.AXIS_SIZE


def window_record(request: Numbers, p: int) -> int:
    """Where the record of pooled axis number ``p`` lies in a request."""
    return Q.REQUEST + request[Q.RANK] * Q.AXIS_SIZE + p * Q.WINDOW_SIZE


def taps_of(request: Numbers) -> int:
    """Taps of one window."""
    taps = 1
    for p in range(request[Q.POOLED]):
        taps *= request[window_record(request, p) + Q.KERNEL]
    return taps


def index_type(request: Numbers, kind: int) -> int:
    """The type of indices, by its number: int64, or for taps the smallest unsigned one with a value to spare."""
    if kind != TAP:
        return 0
    taps = taps_of(request)
    if taps < 1 << 8:
        return 1
    if taps < 1 << 16:
        return 2
    return 3 if taps < 1 << 32 else 4


def counts_long(request: Numbers, kind: int) -> bool:
    """Whether states count, and number taps, in 64 bits."""
    plane, extent = 1, 0
    for p in range(request[Q.POOLED]):
        at = window_record(request, p)
        plane *= request[axis_record(request[at + Q.AXIS]) + Q.X_SIZE]
        if kind == 1:
            unit = 1
            for axis in range(request[at + Q.AXIS] + 1, request[Q.RANK]):
                unit *= max(request[axis_record(axis) + Q.X_SIZE], 1)
            extent += (request[at + Q.KERNEL] - 1) * request[at + Q.DILATION] * unit
    return plane >= LONG or taps_of(request) >= LONG or extent >= LONG


def row_of(request: Numbers, table: Numbers, role: int, kind: int) -> int:
    """Where the row of the variant lies that does a role, or 0 if there is none."""
    if request[Q.OP] < 0 or request[Q.DTYPE] < 0:
        return 0
    # a complex number is NaN if either part is, but its parts are pooled apart
    if request[Q.COMPLEX] != 0 and request[Q.SKIP_NAN] != 0:
        return 0
    wide = 1 if counts_long(request, kind) else 0
    index = index_type(request, kind)
    return table[T.entry(request[Q.OP], request[Q.DTYPE], role, request[Q.SKIP_NAN], index, wide)]


def row_for(request: Numbers, table: Numbers, form: int, role: int, kind: int) -> int:
    """Where the row of the variant lies that a form does a role with, or 0 if there is none."""
    row = row_of(request, table, role, kind)
    if row != 0 and table[form * T.FORM + T.SLIDE] != 0:
        row += table[row + T.KEYS]
    return row


def tasks_of(request: Numbers, table: Numbers, found: Block) -> int:
    """Writes the role of each task and its kind of indices into ``found``, two numbers each; returns how many."""
    kind = request[Q.INDEX_KIND]
    count = 0
    if request[Q.BACKWARD] == 0:
        found[0] = FORWARD if kind == Q.NO_INDICES else INDEX
        found[1] = kind
        return 1
    if request[Q.OP] == 0 or request[Q.OP] == 1:
        found[0] = INDEX if kind == Q.NO_INDICES else CHECK
        found[2] = SCATTER
        if kind == Q.NO_INDICES:
            # a byte for each output where that will do
            kind = TAP if index_type(request, TAP) == 1 else 0
        found[1] = found[3] = kind
        return 2
    row = row_of(request, table, GATHER, Q.NO_INDICES)
    if row != 0 and table[row + T.READS_STATE] != 0:
        found[0] = WEIGH
        found[1] = Q.NO_INDICES
        count = 1
    found[2 * count] = GATHER
    found[2 * count + 1] = Q.NO_INDICES
    return count + 1


def _source_step(request: Numbers, axis: int, role: int, y_dense: int, stored: bool) -> int:
    """Stride of what a task reads; ``y_dense`` is that of y in C order, as which a workspace lies."""
    at = axis_record(axis)
    if role == FORWARD or (role == INDEX and request[Q.BACKWARD] == 0):
        return request[at + Q.X_STEP]
    if role in (INDEX, WEIGH):
        return request[at + Q.AUX_STEP]
    if role == GATHER:
        return y_dense if stored else request[at + Q.Y_STEP]
    return request[at + Q.Y_STEP] if role == SCATTER else request[at + Q.INDEX_STEP]


def _output_step(request: Numbers, axis: int, role: int, y_dense: int) -> int:
    """Stride of what a task writes."""
    at = axis_record(axis)
    if role == FORWARD or (role == INDEX and request[Q.BACKWARD] == 0):
        return request[at + Q.Y_STEP]
    if role in (INDEX, WEIGH):
        return y_dense
    return request[at + Q.INDEX_STEP] if role == CHECK else request[at + Q.X_STEP]


def _aux_step(request: Numbers, axis: int, role: int, y_dense: int, reads_x: bool) -> int:
    """Stride of a task's third buffer; that of the output where there is none."""
    at = axis_record(axis)
    if role == WEIGH:
        return request[at + Q.Y_STEP]
    if role in (INDEX, SCATTER):
        own = request[Q.BACKWARD] != 0 and request[Q.INDEX_KIND] == Q.NO_INDICES
        return y_dense if own else request[at + Q.INDEX_STEP]
    if role == GATHER and reads_x:
        return request[at + Q.AUX_STEP]
    return _output_step(request, axis, role, y_dense)


def _write_header(request: Numbers, table: Numbers, row: int, form: int, role: int, kind: int, spec: Block) -> None:
    """The header of the spec of one form, but for FORCED."""
    for i in range(S.SPEC):
        spec[i] = 0
    own = T.own_numbers(request[Q.OP], request[Q.DTYPE])
    record = form * T.FORM
    has_aux = role in (INDEX, WEIGH, SCATTER, CHECK)
    has_aux = has_aux or (role == GATHER and table[row + T.READS_X] != 0)
    scatters = role in (SCATTER, CHECK)
    spec[S.ROLE] = role
    spec[S.FAMILY] = table[record + T.FAMILY]
    spec[S.RANK] = request[Q.RANK] + (1 if request[Q.COMPLEX] != 0 else 0)
    spec[S.POOLED] = request[Q.POOLED]
    spec[S.INCLUDE_PAD] = request[Q.INCLUDE_PAD]
    spec[S.DIVISOR] = request[Q.DIVISOR] if request[Q.DIVISOR] != 0 else table[own + 1]
    spec[S.INDEX_KIND] = max(kind, 0)
    # of max and min, the keys; otherwise the norm, which other operations do not read
    spec[S.PARAM] = table[own] if request[Q.OP] == 0 or request[Q.OP] == 1 else request[Q.NORM]
    spec[S.SOURCE_BYTES] = table[row + T.SOURCE_BYTES]
    spec[S.OUTPUT_BYTES] = table[row + T.OUTPUT_BYTES]
    spec[S.AUX_BYTES] = table[row + T.AUX_BYTES] if has_aux else 0
    spec[S.STATE_BYTES] = table[row + T.STATE_BYTES]
    spec[S.STATE2_BYTES] = table[row + T.STATE2_BYTES]
    spec[S.REPEATABLE] = table[row + T.REPEATABLE]
    # a scatter visits windows in the caller's order of axes, which may only change where ties cannot
    free = table[row + T.REPEATABLE] != 0 or table[row + T.INTEGERS] != 0
    spec[S.ORDER_FREE] = 1 if free and not scatters else 0
    spec[S.FORM_KERNEL] = table[record + T.KERNEL]
    spec[S.FORM_STRIDE] = table[record + T.STRIDE]
    spec[S.MATCH] = table[record + T.MATCH]
    spec[S.FUSED] = table[record + T.FUSED]
    spec[S.SLIDE] = table[record + T.SLIDE]
    spec[S.STACKED] = table[record + T.STACKED]
    spec[S.COUNTED] = table[row + T.COUNTED]
    spec[S.SOURCE_IS_STATE] = table[row + T.SOURCE_IS_STATE]


def _write_axes(request: Numbers, table: Numbers, row: int, role: int, spec: Block) -> None:
    """The records of the array axes; the parts of a complex element are one more axis, pooled apart."""
    rank = request[Q.RANK]
    scale = 2 if request[Q.COMPLEX] != 0 else 1
    stored = table[row + T.READS_STATE] != 0
    reads_x = table[row + T.READS_X] != 0
    y_dense = 1
    for i in range(rank):
        axis = rank - 1 - i
        at, to = axis_record(axis), S.SPEC + axis * S.ARRAY_AXIS
        spec[to + S.X_SIZE] = request[at + Q.X_SIZE]
        spec[to + S.Y_SIZE] = request[at + Q.Y_SIZE]
        spec[to + S.SOURCE_STEP] = scale * _source_step(request, axis, role, y_dense, stored)
        spec[to + S.OUTPUT_STEP] = scale * _output_step(request, axis, role, y_dense)
        spec[to + S.AUX_STEP] = scale * _aux_step(request, axis, role, y_dense, reads_x)
        spec[to + S.UNIT] = 0
        y_dense *= max(request[at + Q.Y_SIZE], 1)
    if scale == 2:
        to = S.SPEC + rank * S.ARRAY_AXIS
        spec[to + S.X_SIZE] = spec[to + S.Y_SIZE] = 2
        spec[to + S.SOURCE_STEP] = spec[to + S.OUTPUT_STEP] = spec[to + S.AUX_STEP] = 1
        spec[to + S.UNIT] = 0


def _write_windows(request: Numbers, role: int, kind: int, spec: Block) -> None:
    """The records of the pooled axes, and the units of flat indices."""
    pooled = request[Q.POOLED]
    taps, unit = 1, 1
    for i in range(pooled):
        p = pooled - 1 - i
        at = window_record(request, p)
        to = S.SPEC + spec[S.RANK] * S.ARRAY_AXIS + p * S.POOLED_AXIS
        axis, kernel = request[at + Q.AXIS], request[at + Q.KERNEL]
        size = request[axis_record(axis) + Q.X_SIZE]
        # steps that reach no second window, or no second tap, may be of any size: what is planned stays below 2**63
        padded = size + request[at + Q.PAD_BEGIN] + request[at + Q.PAD_END]
        spec[to + S.AXIS] = axis
        spec[to + S.KERNEL] = kernel
        spec[to + S.STRIDE] = min(request[at + Q.STRIDE], max(padded, 1))
        spec[to + S.DILATION] = request[at + Q.DILATION] if kernel > 1 else 1
        spec[to + S.PAD_BEGIN] = request[at + Q.PAD_BEGIN]
        spec[to + S.PAD_END] = request[at + Q.PAD_END]
        spec[to + S.TAP_UNIT] = taps
        taps *= max(kernel, 1)
        if kind == 0 and (role in (INDEX, SCATTER, CHECK)):
            spec[S.SPEC + axis * S.ARRAY_AXIS + S.UNIT] = unit
            unit *= max(size, 1)
    if kind == 1 and (role in (INDEX, SCATTER, CHECK)):
        for i in range(request[Q.RANK]):
            axis = request[Q.RANK] - 1 - i
            spec[S.SPEC + axis * S.ARRAY_AXIS + S.UNIT] = unit
            unit *= max(request[axis_record(axis) + Q.X_SIZE], 1)


def write_spec(
    request: Numbers, table: Numbers, row: int, form: int, role: int, kind: int, forced: bool, spec: Block
) -> None:
    """The spec of a task in one form."""
    _write_header(request, table, row, form, role, kind, spec)
    spec[S.FORCED] = 1 if forced else 0
    _write_axes(request, table, row, role, spec)
    _write_windows(request, role, kind, spec)


def _attempt(
    request: Numbers, table: Numbers, form: int, role: int, kind: int, forced: bool, spec: Block, plan: Block
) -> int:
    """Plans a task in one form; returns why that form does not take it, or ACCEPTED."""
    if table[form * T.FORM + T.ROLE_BITS] >> role & 1 == 0:
        return NO_ROLE
    row = row_for(request, table, form, role, kind)
    fused, stacked = table[form * T.FORM + T.FUSED], table[form * T.FORM + T.STACKED] * T.IN_STACKS
    if row == 0 or (fused | stacked) & ~table[row + T.VECTOR] != 0:
        return NO_ARITHMETIC
    write_spec(request, table, row, form, role, kind, forced, spec)
    make_plan(spec, plan)
    return refusal(spec, plan)


def choose(request: Numbers, table: Numbers, role: int, kind: int, spec: Block, plan: Block, verdicts: Block) -> int:
    """Plans a task in the first form that takes it; returns the form's number, or that of the reference.

    ``verdicts`` has a number of ``tiling.REASONS`` for each form up to that one.
    """
    wanted = request[Q.FORCED]
    if 0 <= wanted < T.COUNT:
        if _attempt(request, table, wanted, role, kind, True, spec, plan) == ACCEPTED:
            for form in range(wanted):
                verdicts[form] = NOT_FORCED
            verdicts[wanted] = ACCEPTED
            return wanted
    for form in range(T.COUNT):
        verdict = _attempt(request, table, form, role, kind, False, spec, plan) if wanted != T.COUNT else NOT_FORCED
        verdicts[form] = verdict
        if verdict == ACCEPTED:
            return form
    verdicts[T.COUNT] = ACCEPTED
    return T.COUNT
