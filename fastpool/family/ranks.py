"""Public functions that exist for one, two and three spatial axes: written once, with a name and a page for each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

LETTERS = {1: "L", 2: "HW", 3: "DHW"}
_LAST = {1: "last axis is", 2: "last two axes are", 3: "last three axes are"}
_BEFORE = {1: "one", 2: "two", 3: "three"}


def words(count: int) -> dict[str, str]:
    """What the pages of functions over so many spatial axes say differently.

    ``{n}`` their number, ``{axes}`` in words, ``{shape}`` the shape of x, ``{layout}`` the entry of that parameter.
    """
    letters = LETTERS[count]
    layout = (
        f'layout : str\n    ``"channels_first"``: the {_LAST[count]} spatial, with any number of axes before.\n'
        f'    ``"channels_last"``: the {_BEFORE[count]} before the very last. Letters such as ``"NC{letters}"`` or\n'
        f'    ``"N{letters}C"`` name every axis, and x must have that many.'
    )
    return {
        "n": str(count),
        "axes": "one spatial axis" if count == 1 else f"{_BEFORE[count]} spatial axes",
        "shape": f"(..., {', '.join(letters)})",
        "layout": layout,
    }


OUT = """out : array{pair}, optional
    Where to write, and then the object that is returned{is_pair}: x's kind of array, with the
    shape and dtype of the result, writable, sharing no memory with an input."""
WINDOW = """kernel_size : int or tuple of int
    Taps of a window along each spatial axis, at least 1.
stride : int or tuple of int, optional
    Elements from one window to the next; left out, the kernel size.
padding : int, tuple of int, tuple of pairs, or str
    Places before and behind x that a window may lie on: one number for both, a ``(begin, end)`` pair for each axis,
    ``"valid"`` for none, ``"same"`` for ``ceil(size / stride)`` windows, an odd place at the end, or ``"same_lower"``,
    at the beginning. Taps there do not count.
dilation : int or tuple of int
    Elements from one tap of a window to the next.
ceil_mode : bool
    Keep a last window that lies on x, or on the padding before it, in part."""
GLOBAL_LAYOUT = """layout : str
    ``"channels_first"``: axis 0 is batch, axis 1 channels, the rest spatial. ``"channels_last"``: the spatial axes are
    between. Letters such as ``"NCHW"`` or ``"HWC"`` name every axis."""
DEVICE = """device : {{"cpu"}}, optional
    It runs on the CPU; arrays on a GPU are refused."""
IMPORTS = ">>> import numpy as np\n>>> import fastpool"
RAISES = """Raises
------
TypeError
    If an argument is of a wrong type.
ValueError
    If an argument breaks a rule. Nothing has been written then."""


def page(function: F, name: str, **given: str) -> F:
    """Give a function its name, and fill in its docstring: ``<word>`` becomes that word of ``given``, indented as it
    stands, and ``<out>``, ``<outs>``, ``<window>``, ``<device>`` and ``<raises>`` what many functions share.
    """
    function.__name__ = function.__qualname__ = name
    text = inspect.getdoc(function)
    # there is none under python -OO
    if text is None:
        return function
    shared = {
        "out": OUT.format(pair="", is_pair=""),
        "outs": OUT.format(pair=" or tuple of arrays", is_pair="; a tuple for several"),
        "window": WINDOW,
        "device": DEVICE.format(),
        "raises": RAISES,
    }
    for word, put in {**shared, **given, "name": name}.items():
        text = text.replace(f"<{word}>", put)
    function.__doc__ = text
    return function


def ranked(make: Callable[[int], F], name: str, examples: dict[int, str], **given: str) -> tuple[F, F, F]:
    """The functions ``name`` with ``{n}`` filled in, over one, two and three spatial axes.

    ``make(n)`` gives a function whose docstring has the words of ``words`` in ``<...>``, those of ``given``, which may
    have words of the former, and ``<example>``. Examples need no imports of numpy and fastpool.
    """
    made = []
    for n in (1, 2, 3):
        example = f"{IMPORTS}\n{inspect.cleandoc(examples[n])}"
        made.append(page(make(n), name.format(n=n), **given, **words(n), example=example))
    return made[0], made[1], made[2]
