"""Completes the docstrings of the public functions: what many of them share is written once, here.

A function's own docstring holds its summary and its examples. ``{page}`` in it becomes the parameters (in the
order of its signature), the result, the errors, the related functions and the rules. What is particular to an
operation comes from its Family, which stands beside the functions.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from fastpool.arguments import operation
from fastpool.axes import SPATIAL_LETTERS

F = TypeVar("F", bound=Callable[..., Any])

WIDTH = 100


class Family(NamedTuple):
    """What the pages of one operation say differently from those of the others.

    Attributes
    ----------
    dtypes : str
        Element types that it takes.
    result : str
        Element type of the result.
    padding : str
        What padding counts for.
    nan : str
        What ``nan="ignore"`` leaves out.
    reads_x : str
        When the gradient needs the elements of x.
    rules, gradient : str
        The rules of the result and of its gradient.
    source : str
        Where the rules come from; "" if they need no source.
    selected : str
        What indices point at; "" if there are none.
    """

    dtypes: str
    result: str
    padding: str
    nan: str
    reads_x: str
    rules: str
    gradient: str
    source: str = ""
    selected: str = ""


PARAMETERS = {
    "x": (
        "array",
        "{shape} {dtypes} NumPy, torch, CuPy, JAX, Numba's device arrays, or any array with ``__dlpack__`` or "
        "``__cuda_array_interface__``, on the CPU or on a CUDA device; any strides. It is not copied, unless its "
        "elements are not aligned. On a GPU the work is queued on the library's current stream.",
    ),
    "grad_output": (
        "array",
        "Gradient with respect to the forward's result: that result's shape and dtype{dropped}, x's kind of array.",
    ),
    "x_or_shape": (
        "array or tuple of int",
        "The forward's input, or its shape: the elements are read only {reads_x}. With a shape the "
        "gradient has the dtype of ``grad_output``. {shape} {dtypes}",
    ),
    "norm_type": ("float", "The exponent p{norm_for}, above 0 and finite; 2 gives the Euclidean norm."),
    "window": (
        "int or tuple of int",
        "Number of elements that a window takes along each pooled axis, at least 1. An int holds for "
        "every pooled axis.",
    ),
    "op": (
        '{{"max", "min", "mean", "sum", "lp"}} or Reduction',
        "What is computed from the elements of a window; a Reduction is one's own, see ``reduction``.",
    ),
    "axes": (
        "int or tuple of int, optional",
        "The pooled axes; negative ones count from the end. Left out: the last ``len(window)`` axes for a "
        "tuple, every axis for an int. The other tuples have one entry per pooled axis, in this order.",
    ),
    "kernel_size": (
        "int or tuple of int",
        "Number of elements that a window takes along each spatial axis, at least 1. An int holds for "
        "every spatial axis.",
    ),
    "stride": (
        "int or tuple of int, optional",
        "Number of elements from one window to the next, at least 1. Left out: ``{size}``, so windows lie "
        "side by side.",
    ),
    "padding": (
        'int, tuple, or {{"valid", "same", "same_lower"}}',
        "Number of elements added before and after each axis: one int for all, one int per axis, or one "
        '``(begin, end)`` pair per axis, each of any size; {padding}. ``"valid"`` adds none. ``"same"`` '
        "adds so many that there are ``ceil(size / stride)`` results, an odd one at the end; "
        '``"same_lower"`` at the beginning.',
    ),
    "dilation": (
        "int or tuple of int",
        "Number of elements from one tap of a window to the next, at least 1.",
    ),
    "ceil_mode": (
        "bool",
        "Keep a last window that is only partly inside, if it starts inside the array or its begin padding.",
    ),
    "return_indices": (
        'bool or {{"plane", "tensor", "tap"}}',
        'Also return where each {selected} stands. True or ``"plane"``: flat index over the {pooled} axes '
        '(int64, torch\'s convention). ``"tensor"``: flat index over the whole of x in C order (int64, '
        'ONNX\'s convention). ``"tap"``: number of the tap in its window, in the smallest unsigned type '
        "that holds it and one value more (uint8 up to 255 taps).",
    ),
    "count_include_pad": (
        "bool",
        "Whether the divisor{mean_of} counts padding. What ceil mode adds beyond the padding is never counted.",
    ),
    "divisor_override": (
        "int, optional",
        "Divide{mean_by} by this instead of the number of taps; not 0, and not negative for unsigned x.",
    ),
    "keepdims": ("bool", "Keep the spatial axes, with length 1."),
    "indices": (
        "array, optional",
        "The forward's indices. Left out: they are found again from x. They are checked before anything is "
        "written, but on a GPU, where an index that names no tap of its window is passed over.",
    ),
    "index_kind": (
        '{{"plane", "tensor", "tap"}}',
        "What ``indices`` count, as ``return_indices`` of the forward said.",
    ),
    "layout": ("str", "{layout}"),
    "out": (
        "array{pair}, optional",
        "Where to write, and then the object that is returned{pair_is}: x's kind of array, with the shape "
        "and dtype of the result, on x's device, writable, sharing no memory with {inputs}.",
    ),
    "nan": (
        '{{"propagate", "ignore"}}',
        '``"propagate"``: a NaN in a window makes its result NaN. ``"ignore"``: {nan}; a window of '
        "nothing but NaN gives NaN{and_index}.",
    ),
    "device": (
        '{{"cpu", "cuda"}}, optional',
        'Where to compute. Left out: where x is. Another device than x\'s (``"cuda"``, ``"cuda:1"``, ``"cpu"``) '
        "means copies there and back, which are waited for; ``explain`` tells what they take.",
    ),
}
"""Type and description of every parameter; the names in braces are filled in per function."""

LAYOUTS = {
    "global": 'Which axes are spatial. ``"channels_first"``: all but the first two, which are batch and '
    'channels. ``"channels_last"``: all between the first and the last. Letters such as ``"NCHW"``, '
    '``"CHW"`` or ``"HW"`` name every axis.',
    "spatial": 'Which axes are spatial. ``"channels_first"``: {last}, with any number of axes before. '
    '``"channels_last"``: {last} before the very last. Letters such as ``"NC{letters}"``, '
    '``"N{letters}C"`` or ``"{letters}"`` name every axis, and x must have that many.',
}

SIZE_RULE = (
    "Along an axis of n elements with padding b and e, k taps at dilation d and stride s give ``floor((n + "
    "b + e - d * (k - 1) - 1) / s) + 1`` results; with ``ceil_mode`` one more where a further, partial "
    "window starts before ``n + b`` [1]_."
)
SIZE_SOURCE = "PyTorch, ``pooling_output_shape_pad_lr`` in ATen/native/Pool.h; ONNX MaxPool, since opset 22."

ERRORS = {
    "TypeError": "If an argument is of a wrong type: no known kind of array, an element type that is not "
    "pooled, a float or bool where an integer belongs.",
    "ValueError": "If a size, shape, index or word breaks a rule, arrays are on different devices, or a device "
    "cannot be used. Nothing has been written to ``out`` then.",
}


def documented(family: Family) -> Callable[[F], F]:
    """Put the shared text, and that of the family, in the place of ``{page}`` in a function's docstring."""

    def complete(function: F) -> F:
        text = inspect.getdoc(function)
        # there is none under python -OO
        if text is not None:
            function.__doc__ = text.replace("{page}", _page(function, family))
        return function

    return complete


def _page(function: Callable[..., Any], family: Family) -> str:
    name = function.__name__
    code = function.__code__
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    words = _words(name, family)
    backward = name.endswith("_backward")
    described = [
        (
            f"{parameter} : {PARAMETERS[parameter][0]}".format(**words),
            PARAMETERS[parameter][1].format(**words),
        )
        for parameter in parameters
    ]
    sections = {
        "Parameters": _entries(described),
        "Returns": _entries(_results(name, "return_indices" in parameters, family)),
        "Raises": _entries(list(ERRORS.items())),
        "See Also": _related(name),
        "Notes": _fill(family.gradient) if backward else _rules(name, family),
    }
    if not backward and operation(name).axes != "global":
        sources = [SIZE_SOURCE, family.source] if family.source else [SIZE_SOURCE]
        sections["References"] = "\n".join(f".. [{i}] {source}" for i, source in enumerate(sources, 1))
    return "\n\n".join(f"{title}\n{'-' * len(title)}\n{text}" for title, text in sections.items())


def _words(name: str, family: Family) -> dict[str, str]:
    """What the descriptions of the parameters say differently for each function."""
    op, place = operation(name)
    backward = name.endswith("_backward")
    pair = bool(family.selected) and not backward and place != "global"
    words = {
        "dtypes": family.dtypes,
        "padding": family.padding,
        "nan": family.nan,
        "reads_x": family.reads_x,
        "selected": family.selected,
        "norm_for": "" if op else " of lp",
        "mean_of": "" if op else " of a mean",
        "mean_by": "" if op else " a mean",
        "dropped": ", with or without the spatial axes" if place == "global" else "",
        "size": "window" if place == "window" else "kernel_size",
        "pooled": "pooled" if place == "window" else "spatial",
        "and_index": " and the index -1" if pair else "",
        "pair": " or pair of arrays" if pair else "",
        "pair_is": "; with indices a pair ``(y, indices)``" if pair else "",
        "inputs": "an input" if backward else "x",
    }
    if isinstance(place, int):
        letters = SPATIAL_LETTERS[place][0]
        last = "the last axis" if place == 1 else f"the last {'two' if place == 2 else 'three'} axes"
        words["layout"] = LAYOUTS["spatial"].format(last=last, letters=letters)
        words["shape"] = f"Shape ``(..., {', '.join(letters)})``, or as ``layout`` says."
    else:
        words["layout"] = LAYOUTS["global"]
        words["shape"] = (
            "Shape ``(N, C, ...)``, or as ``layout`` says."
            if place == "global"
            else "Any shape with at least one axis."
        )
    return words


def _results(name: str, indices: bool, family: Family) -> list[tuple[str, str]]:
    if name.endswith("_backward"):
        shape = "Gradient with respect to x: x's shape, dtype and kind of array."
        order = "Without ``out`` its axes lie in memory as those of x, or of ``grad_output`` for a shape."
        return [("array", f"{shape} {order}")]
    if operation(name).axes == "global":
        shape = "The shape is that of x without the spatial axes, or with ``keepdims`` with length 1 along them"
    else:
        shape = "The shape is that of x, but along each pooled axis the number of windows"
    order = "Without ``out`` its axes lie in memory as those of x, where x is dense."
    results = [("y : array", f"{shape}; the dtype is {family.result}; the kind of array is that of x. {order}")]
    if indices:
        results.append(("indices : array", "Only with ``return_indices``; shape and kind of array as y."))
    return results


def _related(name: str) -> str:
    forward = name.removesuffix("_backward")
    backward = name != forward
    lines = [f"{forward} : the forward." if backward else f"{forward}_backward : its gradient."]
    if not backward:
        lines.append("vjp : result and gradient together, with the smallest workspace.")
    if forward != "pool":
        lines.append(f"pool{'_backward' if backward else ''} : the same over any axes.")
    return "\n".join(lines)


def _rules(name: str, family: Family) -> str:
    place = operation(name).axes
    size = "This is the pooling whose one window covers all spatial axes." if place == "global" else SIZE_RULE
    rules = family.rules.replace(" [2]_", "") if place == "global" else family.rules
    return _fill(size) + "\n\n" + _fill(rules)


def _entries(described: list[tuple[str, str]]) -> str:
    return "\n".join(f"{head}\n{_fill(text, '    ')}" for head, text in described)


@functools.cache
def _fill(text: str, indent: str = "") -> str:
    """The text in lines of at most ``WIDTH``, code and longer words in one piece.

    The pages are made at import, some 700 paragraphs, most of them alike: ``textwrap`` takes 20 ms for them, this 2.
    """
    # every other piece is code
    pieces = text.split("``")
    pieces[1::2] = [code.replace(" ", "\xa0") for code in pieces[1::2]]
    room, left = WIDTH - len(indent), 0
    lines: list[list[str]] = []
    for word in "``".join(pieces).split(" "):
        left -= len(word) + 1
        if left < 0 or not lines:
            lines.append([])
            left = room - len(word)
        lines[-1].append(word)
    return "\n".join([indent + " ".join(line) for line in lines]).replace("\xa0", " ")
