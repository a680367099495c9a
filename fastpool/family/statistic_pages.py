"""Public functions that pool by a statistic: made from a record for each, with a page and a signature of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from fastpool.arguments import Options
from fastpool.errors import listed, type_error
from fastpool.family import statistic_calls as calls
from fastpool.family.ranks import GLOBAL_LAYOUT, IMPORTS, WINDOW, page, words
from fastpool.family.statistic_calls import Choice

Function = Callable[..., Any]


FLOATING = "of x's dtype"


class Option(NamedTuple):
    """A keyword argument that a statistic has of its own: name, default, and its entry in the page."""

    name: str
    default: object
    entry: str


class Kind(NamedTuple):
    """What the functions of one statistic say and do.

    Attributes
    ----------
    word : str
        The functions are ``<word>_pool{1,2,3}d`` and ``global_<word>_pool``.
    summary : str
        What is taken of each window, as a page begins.
    choice : function
        From the options, checked, to what is pooled by.
    notes : str
        The rule, NaN and empty windows among it, and its source.
    shown : tuple of str
        For the pages: the results of the two windows of two of ``array``, the gradients of these taps, the result of
        all four together, and their gradients then; "" where there is none.
    options : tuple of Option
    dtypes : str
    nan : bool
        Whether there is a rule for NaN.
    gradient : str
        What the backward returns; "" where there is none.
    result : str
        Element type of the result.
    array : str
        The elements of the pages' example.
    """

    word: str
    summary: str
    choice: Choice
    notes: str
    shown: tuple[str, str, str, str]
    options: tuple[Option, ...] = ()
    dtypes: str = "floating"
    nan: bool = True
    gradient: str = "dx : array\n    Gradient with respect to x: its shape, dtype and kind of array."
    result: str = FLOATING
    array: str = "np.float32([1, 2, 4, 8])"


NAN = """nan : {"propagate", "ignore"}
    Whether a NaN makes the result NaN, or is left out; a window of nothing but NaN gives NaN."""
DEVICE = """device : {"cpu", "cuda"}, optional
    Arrays are pooled where they are, on a GPU on its current stream; the word for another device is an error."""
LIKE = "kernel_size, stride, padding, dilation, ceil_mode{options}, layout{nan}\n    As in the forward."

_WINDOWED = (
    ("kernel_size", inspect.Parameter.empty),
    ("stride", None),
    ("padding", 0),
    ("dilation", 1),
    ("ceil_mode", False),
)
_PAGE = """<summary><of>.

Parameters
----------
x : array
    Shape ``<shape>``, or as ``layout`` says; <dtypes>.
<arguments>
<layout>
<out>
<nan_entry><device>

Returns
-------
y : array
    The results, <result>, in x's kind of array.

<raises>

<also>Notes
-----
<notes>

Examples
--------
<example>
"""
_BACKWARD = """Gradient of ``<forward>`` with respect to its input<more>.

Parameters
----------
grad_output : array
    Gradient of the result: its shape, x's dtype.
x : array
    The forward's input.
<arguments>
<out>
<device>

Returns
-------
<gradient>

<raises>

See Also
--------
<forward> : the forward, and the rule.

Notes
-----
An element gets the slopes of the windows that hold it in one order, whatever the layout and the number of threads.

Examples
--------
<example>
"""


def _signed(function: Function, leading: tuple[str, ...], windowed: bool, kind: Kind, trailing: dict[str, Any]) -> None:
    """Give a function the signature that it would have, were its options written out."""
    plain, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, plain) for name in leading]
    if windowed:
        parameters += [inspect.Parameter(name, plain, default=default) for name, default in _WINDOWED]
    named = {**{option.name: option.default for option in kind.options}, **trailing}
    parameters += [inspect.Parameter(name, keyword, default=default) for name, default in named.items()]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]


def _options(called: str, kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a call; an error for a keyword that the function does not have."""
    options = {option.name: option.default for option in kind.options}
    for name in given:
        if name not in options and (name != "nan" or not kind.nan):
            has = listed([*options, "layout", "out", *(["nan"] if kind.nan else []), "device"])
            raise type_error(called, f"{name}=...", "there is no argument of that name", f"by name it takes {has}")
    return {**options, **{name: value for name, value in given.items() if name in options}}


def _forward(called: str, kind: Kind, n: int) -> Function:
    def pool(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: Any = False,
        *,
        layout: Any = "channels_first",
        out: Any = None,
        device: Any = None,
        **given: Any,
    ) -> Any:
        options = _options(called, kind, given)
        asked = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, given.get("nan", "propagate"))
        return calls.forward(called, n, x, asked, kind.choice, options, out, device)

    return pool


def _backward(called: str, kind: Kind, n: int) -> Function:
    def pool_backward(
        grad_output: Any,
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: Any = False,
        *,
        layout: Any = "channels_first",
        out: Any = None,
        device: Any = None,
        **given: Any,
    ) -> Any:
        options = _options(called, kind, given)
        asked = Options(kernel_size, stride, padding, dilation, ceil_mode, layout, given.get("nan", "propagate"))
        return calls.backward(called, n, grad_output, x, asked, kind.choice, options, out, device)

    return pool_backward


def _global(called: str, kind: Kind) -> Function:
    def pool(
        x: Any,
        *,
        keepdims: Any = False,
        layout: Any = "channels_first",
        out: Any = None,
        device: Any = None,
        **given: Any,
    ) -> Any:
        options = _options(called, kind, given)
        asked = Options(layout=layout, nan=given.get("nan", "propagate"))
        return calls.forward(called, "global", x, asked, kind.choice, options, out, device, keepdims)

    return pool


def _global_backward(called: str, kind: Kind) -> Function:
    def pool_backward(
        grad_output: Any, x: Any, *, layout: Any = "channels_first", out: Any = None, device: Any = None, **given: Any
    ) -> Any:
        options = _options(called, kind, given)
        asked = Options(layout=layout, nan=given.get("nan", "propagate"))
        return calls.backward(called, "global", grad_output, x, asked, kind.choice, options, out, device)

    return pool_backward


def _text(kind: Kind) -> dict[str, str]:
    """What all pages of a statistic say."""
    notes = inspect.cleandoc(kind.notes)
    return {
        "summary": kind.summary,
        "dtypes": kind.dtypes,
        "nan_entry": NAN + "\n" if kind.nan else "",
        "result": kind.result,
        "device": DEVICE,
        "notes": notes.replace("\n\n.. [1]", "\n\nReferences\n----------\n.. [1]"),
        "gradient": kind.gradient,
        "more": ", and its exponent" if "dp :" in kind.gradient else "",
    }


def _entries(kind: Kind) -> str:
    return "\n".join(option.entry for option in kind.options)


def _common(nan: bool, first: dict[str, Any]) -> dict[str, Any]:
    return {**first, "layout": "channels_first", "out": None, **({"nan": "propagate"} if nan else {}), "device": None}


def _finished(function: Function, text: str, name: str, **given: str) -> Function:
    function.__doc__ = text
    return page(function, name, **given)


def ranked_statistic(kind: Kind) -> tuple[Function, ...]:
    """``<word>_pool{1,2,3}d``, and their gradients where there are such."""
    made: list[Function] = []
    for n in (1, 2, 3):
        name = f"{kind.word}_pool{n}d"
        opening, closing = "[" * n, "]" * n
        shape = (1,) * (n - 1) + (4,)
        window = 2 if n == 1 else (1,) * (n - 1) + (2,)
        array = f"x = {kind.array}{'' if n == 1 else f'.reshape{shape}'}"
        rounded, dtype = (".round(4)", ", dtype=float32") if kind.result == FLOATING else ("", "")
        result = f"array({opening}{kind.shown[0]}{closing}{dtype})"
        example = f">>> {array}\n>>> fastpool.{name}(x, {window}){rounded}\n{result}"
        function = _forward(name, kind, n)
        _signed(function, ("x",), True, kind, _common(kind.nan, {}))
        also = f"See Also\n--------\n{name}_backward : its gradient.\n\n" if kind.gradient else ""
        entries = _entries(kind)
        given = {
            **words(n),
            **_text(kind),
            "of": f" of each window, over {words(n)['axes']}",
            "arguments": WINDOW + ("\n" + entries if entries else ""),
            "also": also,
            "example": f"{IMPORTS}\n{example}",
        }
        made.append(_finished(function, _PAGE, name, **given))
        if not kind.gradient:
            continue
        function = _backward(f"{name}_backward", kind, n)
        _signed(function, ("grad_output", "x"), True, kind, _common(kind.nan, {}))
        ones = f"np.ones({2 if n == 1 else (1,) * (n - 1) + (2,)}, np.float32)"
        first = ("dx, dp = ", "\n>>> dx.round(4)") if "dp :" in kind.gradient else ("", ".round(4)")
        call = f">>> {first[0]}fastpool.{name}_backward({ones}, x, {window}){first[1]}"
        example = f">>> {array}\n{call}\narray({opening}{kind.shown[1]}{closing}{dtype})"
        options = "".join(f", {option.name}" for option in kind.options)
        given = {
            **words(n),
            **_text(kind),
            "forward": name,
            "arguments": LIKE.format(options=options, nan=", nan" if kind.nan else ""),
            "example": f"{IMPORTS}\n{example}",
        }
        made.append(_finished(function, _BACKWARD, f"{name}_backward", **given))
    return tuple(made)


def global_statistic(kind: Kind) -> tuple[Function, Function]:
    """``global_<word>_pool`` and its gradient."""
    name = f"global_{kind.word}_pool"
    function = _global(name, kind)
    _signed(function, ("x",), False, kind, _common(kind.nan, {"keepdims": False}))
    array = f"x = {kind.array}.reshape(1, 1, 1, 4)"
    result = f"array([[{kind.shown[2]}]], dtype=float32)"
    keepdims = "keepdims : bool\n    Whether the spatial axes stay, with one element each."
    entries = _entries(kind)
    given = {
        "shape": "(N, C, ...)",
        **_text(kind),
        "of": " of all elements of each channel",
        "arguments": (entries + "\n" if entries else "") + keepdims,
        "layout": GLOBAL_LAYOUT,
        "also": f"See Also\n--------\n{name}_backward : its gradient.\n\n",
        "example": f"{IMPORTS}\n>>> {array}\n>>> fastpool.{name}(x).round(4)\n{result}",
    }
    forward = _finished(function, _PAGE, name, **given)
    function = _global_backward(f"{name}_backward", kind)
    _signed(function, ("grad_output", "x"), False, kind, _common(kind.nan, {}))
    first = ("dx, dp = ", "\n>>> dx.round(4)") if "dp :" in kind.gradient else ("", ".round(4)")
    call = f">>> {first[0]}fastpool.{name}_backward(np.ones((1, 1), np.float32), x){first[1]}"
    options = "".join(f"{option.name}, " for option in kind.options)
    given = {
        **_text(kind),
        "forward": name,
        "arguments": f"{options}layout{', nan' if kind.nan else ''}\n    As in the forward.",
        "example": f"{IMPORTS}\n>>> {array}\n{call}\narray([[[[{kind.shown[3]}]]]], dtype=float32)",
    }
    return forward, _finished(function, _BACKWARD, f"{name}_backward", **given)
