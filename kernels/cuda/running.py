"""Running maxima: windows one position apart along a line, from the states of a line that a thread holds.

Lines are cut where the first window of every ``kernel`` ends. Each window is what lies before the cut, which is
combined from there back, and what lies behind it, from there on (van Herk, Gil and Werman)::

    kernel 3    a b c|d e      bc.c . d   is window bcd,   c . d.de   is window cde

so that an output takes less than three combinations, whatever the kernel. For reductions that may take taps in any
order.
"""

from __future__ import annotations

from typing import Any

from fastpool.kernels.cuda.package import device
from fastpool.kernels.cuda.parts import Parts


def combinations(kernel: int, outputs: int) -> int:
    """How many combinations it takes to make so many windows."""
    whole, rest = divmod(outputs, kernel)
    return whole * 3 * (kernel - 1) + (kernel + 2 * rest - 3 if rest else 0)


def make_running(parts: Parts, get: Any, put: Any, kernel: int, pad: int, size: int, outputs: int) -> Any:
    """``running(line, made)``: writes the states of ``outputs`` windows to the array ``made``, unless it is ``line``.

    ``line`` has the states of ``size`` elements, and ``pad`` taps of the first window lie before them. Each window has
    a tap among them. All loops have constant bounds, so that taps beside the line cost nothing.
    """
    nothing, combine = parts.nothing, parts.combine
    blocks, last = -(-outputs // kernel), size - 1

    def running(line, made):
        for m in range(blocks):
            cut = m * kernel + kernel - 1 - pad
            s = nothing()
            for b in range(kernel):
                e, o = cut - b, m * kernel + kernel - 1 - b
                if (e >= 0) & (e <= last):
                    s = combine(get(line, line, e), s) if e != min(cut, last) else get(line, line, e)
                if o < outputs:
                    put(made, made, o, s)
            for b in range(1, kernel):
                e, o = cut + b, m * kernel + b
                if (e <= last) & (o < outputs):
                    s = combine(s, get(line, line, e)) if b != 1 else get(line, line, e)
                if (o < outputs) & (cut < last):
                    put(made, made, o, combine(get(made, made, o), s))

    return device(running)
