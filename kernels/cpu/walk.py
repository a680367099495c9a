"""Where a tile is, and which source positions its taps stand on.

``c`` is the integer part of the workspace::

    coordinates (outer..., lead..., block, lane block) | first | count | step | tap   (one entry per leading axis each)
"""

from __future__ import annotations

from numba.extending import register_jitable

from fastpool.kernels import plan as P
from fastpool.kernels.taps import taps_below, taps_between

register_jitable(taps_below)
register_jitable(taps_between)

_AXIS, _HEADER = P.AXIS, P.HEADER


@register_jitable
def seek(plan, c, tile):
    """Sets the coordinates to tile number ``tile``; the last coordinate runs fastest."""
    axes = plan[P.OUTER] + plan[P.LEAD]
    rest = tile
    blocks = plan[P.LANE_BLOCKS]
    c[axes + 1] = rest % blocks
    rest = rest // blocks
    blocks = plan[P.BLOCKS]
    c[axes] = rest % blocks
    rest = rest // blocks
    for i in range(axes):
        a = axes - 1 - i
        steps = plan[_HEADER + a * _AXIS + P.STEPS]
        c[a] = rest % steps * plan[_HEADER + a * _AXIS + P.BY]
        rest = rest // steps


@register_jitable
def advance(plan, c):
    """Moves the coordinates to the next tile."""
    axes = plan[P.OUTER] + plan[P.LEAD]
    c[axes + 1] += 1
    if c[axes + 1] < plan[P.LANE_BLOCKS]:
        return
    c[axes + 1] = 0
    c[axes] += 1
    if c[axes] < plan[P.BLOCKS]:
        return
    c[axes] = 0
    a = axes - 1
    while a >= 0:
        c[a] += plan[_HEADER + a * _AXIS + P.BY]
        if c[a] < plan[_HEADER + a * _AXIS + P.OUTPUT]:
            return
        c[a] = 0
        a -= 1


@register_jitable
def offset(plan, c, axes, field):
    """Sum of coordinate times the given stride over the first ``axes`` axes."""
    total = 0
    for a in range(axes):
        total += c[a] * plan[_HEADER + a * _AXIS + field]
    return total


@register_jitable
def taps_backward(plan, axis, i):
    """(first window, number of windows, step between them) of those that hold position ``i``.

    A tap j of window o stands on i where ``i + pad = o * stride + j * dilation``. The taps that can are every
    ``stride / gcd``-th one from j0 on; larger taps belong to earlier windows. Windows below 0 or beyond the last are
    counted, too: they stand for padding of the gradient.
    """
    stride = plan[axis + P.WINDOW_STRIDE]
    shifted = i + plan[axis + P.PAD]
    phase = shifted % stride
    gcd = plan[axis + P.GCD]
    if phase % gcd != 0:
        return 0, 0, 1
    every = plan[axis + P.STEP_TAPS]
    j = (phase // gcd * plan[axis + P.INVERSE]) % every
    kernel = plan[axis + P.KERNEL]
    if j >= kernel:
        return 0, 0, 1
    count = (kernel - 1 - j) // every + 1
    last = j + (count - 1) * every
    # exact: the difference is a multiple of stride
    first = (shifted - last * plan[axis + P.DILATION]) // stride
    return first, count, plan[axis + P.STEP_WINDOWS]


@register_jitable
def counted(plan, axis, o):
    """Taps of window ``o`` along an axis that the divisor counts."""
    origin = o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
    kernel = plan[axis + P.KERNEL]
    dilation = plan[axis + P.DILATION]
    return taps_between(origin, plan[axis + P.LOW], plan[axis + P.HIGH], kernel, dilation)


@register_jitable
def inside(plan, axis, o):
    """Taps of window ``o`` along an axis that lie on the input."""
    origin = o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
    kernel = plan[axis + P.KERNEL]
    dilation = plan[axis + P.DILATION]
    return taps_between(origin, 0, plan[axis + P.FORWARD_SIZE], kernel, dilation)


@register_jitable
def interior(plan, axis):
    """First and one past the last of the windows whose taps all lie on the input."""
    stride = plan[axis + P.WINDOW_STRIDE]
    pad = plan[axis + P.PAD]
    first = (pad + stride - 1) // stride
    room = plan[axis + P.FORWARD_SIZE] - 1 - (plan[axis + P.KERNEL] - 1) * plan[axis + P.DILATION] + pad
    last = room // stride + 1 if room >= 0 else 0
    first = min(first, plan[axis + P.WINDOWS])
    last = min(last, plan[axis + P.WINDOWS])
    return first, max(first, last)


@register_jitable
def set_taps(plan, c):
    """Fills first, count and step of the leading axes for the tile's output.

    Returns the leading axes' share of (taps that the divisor counts, taps that lie on the input); 1 in backward.
    """
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    base = outer + lead + 2
    divisor = 1
    on_input = 1
    for a in range(lead):
        axis = _HEADER + (outer + a) * _AXIS
        o = c[outer + a]
        if plan[P.BACKWARD] != 0:
            first, count, step = taps_backward(plan, axis, o)
        else:
            first = o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD]
            count = plan[axis + P.KERNEL]
            step = plan[axis + P.DILATION]
            if plan[P.COUNTS] != 0:
                divisor *= counted(plan, axis, o)
                on_input *= inside(plan, axis, o)
        c[base + a] = first
        c[base + lead + a] = count
        c[base + 2 * lead + a] = step
    return divisor, on_input


@register_jitable
def tap_to_index(plan, c, tap, output):
    """The flat index of a window's tap, where ``output`` is the window's number along the last spatial axis."""
    outer, lead = plan[P.OUTER], plan[P.LEAD]
    index = 0
    for a in range(outer):
        index += c[a] * plan[_HEADER + a * _AXIS + P.INDEX_UNIT]
    for a in range(lead + 1):
        axis = _HEADER + (outer + a) * _AXIS
        o = c[outer + a] if a < lead else output
        j = tap // plan[axis + P.JUMP] % plan[axis + P.KERNEL]
        position = o * plan[axis + P.WINDOW_STRIDE] - plan[axis + P.PAD] + j * plan[axis + P.DILATION]
        index += position * plan[axis + P.INDEX_UNIT]
    return index
