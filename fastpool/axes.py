"""Which axes of an array are pooled: layout words, letter forms, and axes by number."""

from __future__ import annotations

import operator

from fastpool.errors import axes_text, listed, shown, type_error, type_name, value_error
from fastpool.problem import Ints

SPATIAL_LETTERS = {1: ("L", "W"), 2: ("HW",), 3: ("DHW",)}


def _letter_forms() -> dict[str, Ints]:
    forms: dict[str, Ints] = {}
    for count, words in SPATIAL_LETTERS.items():
        for spatial in words:
            for batch in ("N", ""):
                for form in (f"{batch}C{spatial}", f"{batch}{spatial}C", f"{batch}{spatial}"):
                    first = form.index(spatial)
                    forms[form] = tuple(range(first, first + count))
    return forms


LETTER_FORMS = _letter_forms()
"""The spatial axes of every letter form; its length is the rank."""

WORDS = ("channels_first", "channels_last")

LAYOUTS = (*WORDS, *LETTER_FORMS)


def pooled_axes(called: str, place: int | str, layout: object, window: object, axes: object, rank: int) -> Ints:
    """The axes that a call pools, none negative.

    Parameters
    ----------
    called : str
        Name of the public function.
    place : int or str
        The number of spatial axes, or ``"global"`` or ``"window"``, as in ``arguments.Operation``.
    layout, window, axes : object
        What the caller wrote; ``window`` and ``axes`` are read for ``"window"`` alone, ``layout`` for the
        others.
    rank : int
        Number of axes of x.
    """
    if place == "window":
        return _named_axes(called, window, axes, rank)
    if not isinstance(layout, str):
        raise type_error(
            called,
            f"layout={shown(layout)} ({type_name(layout)})",
            "must be a word",
            f"known: {listed(_known(place))}",
        )
    if layout not in WORDS:
        return _letters(called, place, layout, rank)
    after = int(layout == "channels_last")
    first, least = (rank - after - place, place + after) if isinstance(place, int) else (2 - after, 3)
    if rank < least:
        forms = [form for form in _known(place) if len(form) == rank]
        way_out = f"letter forms for x are {listed(forms)}" if forms else "add axes with x[None]"
        given = f"x with {axes_text(rank)}, layout={layout!r}"
        raise value_error(called, given, f"this layout needs at least {least}", way_out)
    return tuple(range(first, rank - after))


def channel_axis(layout: str, axes: Ints, rank: int) -> int:
    """The axis of channels that a layout names, where ``axes`` are the spatial ones; -1 for none."""
    if layout not in WORDS:
        return layout.find("C")
    return axes[0] - 1 if layout == "channels_first" else rank - 1


def _known(place: int | str) -> list[str]:
    """The layouts that a function takes."""
    return [layout for layout in LAYOUTS if layout in WORDS or place == "global" or len(LETTER_FORMS[layout]) == place]


def _letters(called: str, place: int | str, layout: str, rank: int) -> Ints:
    known = _known(place)
    if layout not in known:
        raise value_error(called, f"layout={layout!r}", "unknown layout", f"known: {listed(known)}")
    if rank != len(layout):
        raise value_error(
            called,
            f"x with {axes_text(rank)}, layout={layout!r}",
            f"this layout needs {len(layout)}",
            "'channels_first' and 'channels_last' take any number of axes",
        )
    return LETTER_FORMS[layout]


def _named_axes(called: str, window: object, axes: object, rank: int) -> Ints:
    if axes is None:
        count = len(window) if isinstance(window, tuple | list) else rank
        if count > rank:
            raise value_error(
                called,
                f"window={shown(window)} on x with {axes_text(rank)}",
                "the window must not have more entries than x has axes",
                "give one entry per pooled axis",
            )
        if count == 0:
            raise value_error(called, f"window={shown(window)}", "at least one axis must be pooled", "give a size")
        return tuple(range(rank - count, rank))
    given = f"axes={shown(axes)}"
    entries = tuple(axes) if isinstance(axes, tuple | list) else (axes,)
    if not entries:
        raise value_error(called, given, "at least one axis must be pooled", "name an axis")
    found = tuple([_axis(called, given, entry, rank) for entry in entries])
    if len(set(found)) != len(found):
        raise value_error(called, given, "an axis is named twice", "name each pooled axis once")
    return found


def _axis(called: str, given: str, value: object, rank: int) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        axis = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise type_error(
            called, given, f"every axis must be an integer, not {type_name(value)}", "give axis numbers"
        ) from None
    if not -rank <= axis < rank:
        raise value_error(
            called,
            given,
            f"axis {axis} does not exist in x with {axes_text(rank)}",
            f"axes go from {-rank} to {rank - 1}",
        )
    return axis % rank
