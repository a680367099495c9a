"""Problem: one frozen record of what a call asks for, with a text form that parses back.

The text form is the test id, the asv parameter, and what errors and bug reports show::

    max2d_fwd+tap_f32_first_mb8ic64_ih112oh56kh3sh2ph1
    mean3d_bwd_f64_last_mb2ic3_id8od4kd2sd2_ih9oh5kh2sh2_iw7ow4kw2sw2_ceil_xpad
    sum2d_fwd_i16_axes2.0_n5x6x7_ih7oh3kh2sh2_iw5ow2kw2sw2_xs1.7.42

Words, separated by ``_`` and in this order:

``<op><n>d``
    ``max``, ``min``, ``mean``, ``sum`` or ``lp``, and the number of pooled axes.
``fwd`` or ``bwd``
    The direction; ``+plane``, ``+tensor`` or ``+tap`` when indices are returned (forward) or given (backward).
``f32``
    The element type of x, see ``DTYPES``.
``first``, ``last`` or ``axes<a>.<b>``
    Which axes of the array are pooled: the last ones, the ones before the last, or the listed ones.
``mb8ic64``, or ``n5x6x7``
    The sizes of the other axes when these are a batch and a channel axis, else the sizes of all axes
    (``n`` alone for none).
``ih112oh56kh3sh2ph1``
    One word per pooled axis, the letter being d, h, w (h, w in 2-D; w in 1-D; a, b, c, ... beyond 3-D): input size,
    output size, kernel size, stride, padding; ``eh2`` end padding where it differs from ``ph``, ``dh2`` dilation.
    A padding of 0 and a dilation of 1 are left out, and so is an axis that equals the one before it.
``ceil``, ``xpad``, ``div3``, ``p2.5``, ``skipna``
    Ceil mode; padding excluded from the divisor; divisor override; the norm of Lp; NaN ignored.
``xs..``, ``ys..``, ``is..``, ``as..``
    Strides in elements of x (or its gradient), y (or its gradient), the indices, and, in backward, of the forward's
    x where it is read, each where the array is not in C order.
"""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import NamedTuple

from fastpool.window import LIMIT, OVERFLOW, Window, extent, multiply_sizes

OPS = ("max", "min", "mean", "sum", "lp")
DIRECTIONS = ("fwd", "bwd")
INDEX_KINDS = ("plane", "tensor", "tap")
NAN_RULES = ("propagate", "ignore")

DTYPES = {
    "b1": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
    "fld": "longdouble",
    "c64": "complex64",
    "c128": "complex128",
    "cld": "clongdouble",
}
"""Element types by their short name; the value is the NumPy (or ml_dtypes) name."""

Ints = tuple[int, ...]


class _Fields(NamedTuple):
    op: str
    direction: str
    dtype: str
    shape: Ints
    axes: Ints
    kernel: Ints
    stride: Ints
    pad_begin: Ints
    pad_end: Ints
    dilation: Ints
    ceil: bool = False
    indices: str = ""
    include_pad: bool = True
    divisor: int = 0
    norm: float = 2.0
    nan: str = "propagate"
    x_strides: Ints = ()
    y_strides: Ints = ()
    index_strides: Ints = ()
    aux_strides: Ints = ()


class Problem(_Fields):
    """What a call asks for: operation, direction, element type, geometry and options.

    Attributes
    ----------
    op : str
        One of ``OPS``, or the key of a user's reduction.
    direction : str
        ``"fwd"`` or ``"bwd"``.
    dtype : str
        Element type of x, a key of ``DTYPES``.
    shape : tuple of int
        Shape of x, in elements.
    axes : tuple of int
        The pooled axes, in the order in which their taps are numbered. The tuples that follow have one entry each.
    kernel, stride, pad_begin, pad_end, dilation : tuple of int
    ceil : bool
        Keep a last partial window.
    indices : str
        ``""`` or one of ``INDEX_KINDS``: returned in forward, given in backward.
    include_pad : bool
        The divisor of a mean counts the padding.
    divisor : int
        The divisor of a mean, or 0 to count taps.
    norm : float
        The exponent of Lp; of a user's reduction its parameter.
    nan : str
        ``"propagate"`` or ``"ignore"``.
    x_strides, y_strides, index_strides, aux_strides : tuple of int
        Strides in elements; empty for C order. In backward, x and y stand for their gradients, and aux is the
        forward's x where the gradient needs it.
    """

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """One Window per pooled axis, in the order of ``axes``."""
        return tuple(
            Window(self.shape[axis], k, s, d, lo, hi, self.ceil)
            for axis, k, s, d, lo, hi in zip(
                self.axes,
                self.kernel,
                self.stride,
                self.dilation,
                self.pad_begin,
                self.pad_end,
                strict=True,
            )
        )

    @cached_property
    def outputs(self) -> Ints:
        """Number of windows per pooled axis, in the order of ``axes``."""
        return tuple(window.output for window in self.windows)

    @cached_property
    def out_shape(self) -> Ints:
        """Shape of y: that of x with the pooled axes replaced."""
        shape = list(self.shape)
        for axis, output in zip(self.axes, self.outputs, strict=True):
            shape[axis] = output
        return tuple(shape)

    @cached_property
    def taps(self) -> int:
        """Taps of one window, those on padding included; OVERFLOW beyond ``2**63 - 1``."""
        count = 1
        for k in self.kernel:
            count = multiply_sizes(count, k)
        return count

    @cached_property
    def plane(self) -> int:
        """Elements of one plane of x: the product of the pooled axes' sizes."""
        return math.prod(self.shape[axis] for axis in self.axes)

    @property
    def out_dtype(self) -> str:
        """Element type of y: x's, but 64 bits for a sum of integers."""
        if self.op == "sum" and self.dtype[0] in "iu":
            return self.dtype[0] + "64"
        return self.dtype

    @property
    def reads_x(self) -> bool:
        """Whether the gradient is computed from the elements of x."""
        if self.op in ("max", "min"):
            return not self.indices
        return self.op not in ("mean", "sum") or self.nan == "ignore"

    @property
    def index_dtype(self) -> str:
        """Element type of the indices: int64, or for taps the smallest unsigned type with a value to spare."""
        if self.indices != "tap":
            return "i64"
        return next(f"u{bits}" for bits in (8, 16, 32, 64) if self.taps < 2**bits)

    @property
    def tap_limit(self) -> int:
        """The tap index that stands for "no tap": the largest value of the indices' type."""
        return int(2 ** int(self.index_dtype[1:]) - 1)

    def overflow(self) -> str:
        """The size that passes ``2**63 - 1``, in words, or "" if none does."""
        for axis, window in zip(self.axes, self.windows, strict=True):
            if extent(window.kernel, window.dilation) == OVERFLOW:
                return f"the window's extent along axis {axis}"
            if window.output == OVERFLOW:
                return f"the padded size of axis {axis}"
        if self.taps == OVERFLOW:
            return "the number of taps of a window"
        padded = list(self.shape)
        for axis, lo, hi in zip(self.axes, self.pad_begin, self.pad_end, strict=True):
            padded[axis] += lo + hi
        for name, shape in (("x", self.shape), ("the result", self.out_shape), ("x with its padding", padded)):
            if 0 not in shape and math.prod(shape) * 16 > LIMIT:
                return f"the size of {name} in bytes"
        return ""

    @property
    def layout(self) -> str:
        """``"first"``, ``"last"``, or ``"axes"`` followed by the axes."""
        rank, count = len(self.shape), len(self.axes)
        if self.axes == tuple(range(rank - count, rank)):
            return "first"
        if self.axes == tuple(range(rank - count - 1, rank - 1)):
            return "last"
        return "axes" + ".".join(map(str, self.axes))

    def __str__(self) -> str:
        count = len(self.axes)
        direction = self.direction + ("+" + self.indices if self.indices else "")
        words = [f"{self.op}{count}d", direction, self.dtype, self.layout]
        others = [n for axis, n in enumerate(self.shape) if axis not in self.axes]
        if len(others) == 2 and self.layout in ("first", "last"):
            words.append(f"mb{others[0]}ic{others[1]}")
        else:
            words.append("n" + "x".join(map(str, self.shape)))
        previous = ""
        for letter, window in zip(_letters(count), self.windows, strict=True):
            word = _window_word(window)
            if word != previous:
                words.append(word.replace("?", letter))
            previous = word
        words += [
            word
            for word, shown in (
                ("ceil", self.ceil),
                ("xpad", not self.include_pad),
                (f"div{self.divisor}", self.divisor != 0),
                (f"p{self.norm!r}", self.op == "lp" or self.norm != 2.0),
                ("skipna", self.nan == "ignore"),
            )
            if shown
        ]
        words += [
            name + ".".join(map(str, strides))
            for name, strides in (
                ("xs", self.x_strides),
                ("ys", self.y_strides),
                ("is", self.index_strides),
                ("as", self.aux_strides),
            )
            if strides
        ]
        return "_".join(words)

    @classmethod
    def parse(cls, text: str) -> Problem:
        """The Problem that ``str`` shows as ``text``.

        Raises
        ------
        ValueError
            If the text does not follow the grammar in this module's description, or contradicts itself.

        Examples
        --------
        >>> Problem.parse("max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1").out_shape
        (8, 64, 56, 56)
        """
        problem = _parse(text)
        if str(problem) != text:
            raise ValueError(f"Problem.parse: {text!r} does not say what it means: read back it is {str(problem)!r}")
        return problem


def _letters(count: int) -> str:
    return "dhw"[-count:] if count <= 3 else "abcdefghijklmnopqrstuvwxyz"[:count]


def _window_word(window: Window) -> str:
    word = f"i?{window.size}o?{window.output}k?{window.kernel}s?{window.stride}"
    if window.pad_begin:
        word += f"p?{window.pad_begin}"
    if window.pad_end != window.pad_begin:
        word += f"e?{window.pad_end}"
    if window.dilation != 1:
        word += f"d?{window.dilation}"
    return word


_HEAD = (
    r"(?P<op>[a-z]+?)(?P<count>\d+)d_(?P<direction>fwd|bwd)(?:\+(?P<indices>plane|tensor|tap))?_(?P<dtype>[a-z0-9]+)_"
    r"(?P<layout>first|last|axes\d+(?:\.\d+)*)_(?:mb(?P<mb>\d+)ic(?P<ic>\d+)|n(?P<n>[\dx]*))(?P<rest>(?:_.*)?)"
)
_WINDOW = (
    r"i(?P<a>[a-z])(?P<size>\d+)o(?P=a)\d+k(?P=a)(?P<kernel>\d+)s(?P=a)(?P<stride>\d+)"
    r"(?:p(?P=a)(?P<lo>\d+))?(?:e(?P=a)(?P<hi>\d+))?(?:d(?P=a)(?P<dilation>\d+))?"
)


def _parse(text: str) -> Problem:
    head = re.fullmatch(_HEAD, text)
    if head is None or head["op"] not in OPS or head["dtype"] not in DTYPES:
        raise ValueError(
            f"Problem.parse: {text!r} does not begin like 'max2d_fwd_f32_first_mb8ic64_...'; "
            f"operations: {', '.join(OPS)}; dtypes: {', '.join(DTYPES)}"
        )
    count = int(head["count"])
    if count < 1:
        raise ValueError(f"Problem.parse: {text!r} pools no axis: it must pool one at least")
    found: dict[str, tuple[int, int, int, int, int, int]] = {}
    options: dict[str, object] = {}
    for word in head["rest"].split("_")[1:]:
        window = re.fullmatch(_WINDOW, word)
        if window is not None:
            lo = int(window["lo"] or 0)
            hi = lo if window["hi"] is None else int(window["hi"])
            sizes = (int(window["size"]), int(window["kernel"]), int(window["stride"]))
            found[window["a"]] = (*sizes, lo, hi, int(window["dilation"] or 1))
        else:
            options.update(_parse_option(word, text))
    letters = _letters(count)
    if not found or letters[:1] not in found:
        raise ValueError(f"Problem.parse: {text!r} has no word 'i{letters[:1]}..' for its first axis")
    windows: list[tuple[int, int, int, int, int, int]] = []
    for letter in letters:
        windows.append(found[letter] if letter in found else windows[-1])
    size, kernel, stride, lo_, hi_, dilation = zip(*windows, strict=True)
    if head["n"] is not None:
        shape = tuple(int(n) for n in head["n"].split("x") if n)
        axes = _parse_axes(head["layout"], len(shape), count)
    else:
        axes = _parse_axes(head["layout"], 2 + count, count)
        outer = [int(head["mb"]), int(head["ic"])]
        shape = (*outer, *size) if head["layout"] == "first" else (outer[0], *size, outer[1])
    if len(axes) != count or len(set(axes)) != count or min(axes) < 0 or max(axes) >= len(shape):
        raise ValueError(f"Problem.parse: {text!r} pools the axes {axes}: it must name {count} axes of {shape}")
    if min(*kernel, *stride, *dilation) < 1:
        raise ValueError(f"Problem.parse: {text!r} has a kernel size, stride or dilation of 0: each must be at least 1")
    if any(shape[axis] != n for axis, n in zip(axes, size, strict=True)):
        raise ValueError(
            f"Problem.parse: {text!r} does not say what it means: sizes {size} of windows in a shape {shape}"
        )
    if any(isinstance(given, tuple) and len(given) != len(shape) for given in options.values()):
        raise ValueError(f"Problem.parse: {text!r} has strides of another length than its shape, {shape}")
    return Problem(
        op=head["op"],
        direction=head["direction"],
        dtype=head["dtype"],
        shape=shape,
        axes=axes,
        kernel=kernel,
        stride=stride,
        pad_begin=lo_,
        pad_end=hi_,
        dilation=dilation,
        indices=head["indices"] or "",
        **options,  # type: ignore[arg-type]
    )


def _parse_axes(layout: str, rank: int, count: int) -> Ints:
    if layout == "first":
        return tuple(range(rank - count, rank))
    if layout == "last":
        return tuple(range(rank - count - 1, rank - 1))
    return tuple(map(int, layout.removeprefix("axes").split(".")))


def _parse_option(word: str, text: str) -> dict[str, object]:
    flags: dict[str, dict[str, object]] = {
        "ceil": {"ceil": True},
        "xpad": {"include_pad": False},
        "skipna": {"nan": "ignore"},
    }
    if word in flags:
        return flags[word]
    if re.fullmatch(r"div-?\d+", word):
        return {"divisor": int(word[3:])}
    if re.fullmatch(r"p(\d+\.\d+(e[+-]?\d+)?|\d+e[+-]?\d+|inf)", word):
        return {"norm": float(word[1:])}
    strides = re.fullmatch(r"([xyia])s(-?\d+(?:\.-?\d+)*)", word)
    if strides is not None:
        names = {"x": "x_strides", "y": "y_strides", "i": "index_strides", "a": "aux_strides"}
        return {names[strides[1]]: tuple(map(int, strides[2].split(".")))}
    raise ValueError(f"Problem.parse: {text!r} has a word that the grammar lacks: {word!r}")
